/*
 * Runs a few threads in every order of their steps, up to a number of preemptions: one thread at a time, and the schedule,
 * not the system, decides at each step which goes on. A step ends before each atomic operation (see stdatomic.h) and where
 * the scenario says so. The order is depth first, so that the same schedules come in every run.
 *
 * Changing to another thread costs a preemption if the running one could go on; so do a signal that is delivered and an
 * exchange that fails without reason. What is found are faults of the order of steps, under sequential consistency.
 */
#ifndef LOOP_TEST_EXPLORE_H
#define LOOP_TEST_EXPLORE_H

#include <stdbool.h>
#include <stddef.h>

#define EXPLORE_THREADS 3

struct explore_scenario {
    void (*begin)(void);                    /* before each schedule */
    void (*threads[EXPLORE_THREADS])(void); /* NULL: there are fewer */
    void (*handler)(void);                  /* interrupts the first thread once, anywhere; NULL: there is none */
    void (*end)(void);                      /* when all threads are done */
};

/* Runs every schedule and returns how many there were. A fault prints the schedule and aborts. */
unsigned long explore(const struct explore_scenario *what, unsigned preemptions);

/* Another thread may go on here. word: what the step is about to touch, or NULL. */
void explore_step(const volatile void *word);

/* Whether an exchange that may fail without reason does. */
bool explore_fails(void);

/* Waits for a condition on memory that only steps change; a schedule in which all threads wait is a fault. */
void explore_wait(bool (*condition)(void));

/* Lets others go on: waits until one of them made a step. */
void explore_yield(void);

/* The memory, from malloc(3), may not be touched until the end of this schedule, and is freed there. */
void explore_gone(void *memory, size_t size);

/*
 * Mistakes to be found. reads_zero: a word whose loads give 0. stored_late: a word (atomic_uint) of which a store is seen by
 * others only after the next step of the thread that made it, as on a processor that puts loads before stores.
 */
struct explore_mistakes {
    const volatile void *reads_zero;
    const volatile void *stored_late;
};
extern struct explore_mistakes explore_mistakes;
bool explore_hides(const volatile void *word);
bool explore_delays(const volatile void *word, unsigned value);

/* A fault. */
void explore_fault(const char *what);

#endif
