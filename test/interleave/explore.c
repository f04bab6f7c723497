#include "explore.h"

#include "support.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHOICES_MAX 4096
#define GONE_MAX 16
#define NOBODY (-1)
#define POISON 0xdd

enum state {
    RUNNABLE,
    WAITING, /* for condition() */
    YIELDED, /* until steps has changed */
    DONE
};

static struct {
    int number;
    pthread_t thread;
    struct support_semaphore turn;
    enum state state;
    bool (*condition)(void);
    unsigned long steps;
} threads[EXPLORE_THREADS];

/* The schedule: at every choice how many there are and which is taken. */
static struct {
    unsigned count;
    unsigned taken;
} choices[CHOICES_MAX];
static unsigned choices_length;
static unsigned choices_depth;

static const struct explore_scenario *scenario;
static int count; /* of threads */
static int running = NOBODY;
static bool over;       /* there are no more schedules */
static unsigned credit; /* preemptions left */
static unsigned long steps;
static bool signal_pending;
static bool in_handler;
static struct support_semaphore finished;

struct explore_mistakes explore_mistakes;
static struct {
    atomic_uint *word; /* NULL: nothing is delayed */
    unsigned value;
    int thread;
    int steps; /* of the thread that stored it, before others see it */
} late;

static struct {
    unsigned char *memory;
    size_t size;
} gone[GONE_MAX];
static int gone_count;

void explore_fault(const char *what)
{
    fprintf(stderr, "%s; thread %d, step %lu; choices:", what, running, steps);
    for (unsigned i = 0; i < choices_depth; i++)
        fprintf(stderr, " %u/%u", choices[i].taken, choices[i].count);
    fprintf(stderr, "\n");
    abort();
}

static unsigned choose(unsigned n)
{
    if (n == 1)
        return 0;
    if (choices_depth == choices_length) {
        if (choices_length == CHOICES_MAX)
            explore_fault("a schedule without end");
        choices[choices_length].count = n;
        choices[choices_length].taken = 0;
        choices_length++;
    }
    return choices[choices_depth++].taken;
}

/* The next schedule, depth first. */
static bool next_schedule(void)
{
    while (choices_length > 0 && choices[choices_length - 1].taken + 1 == choices[choices_length - 1].count)
        choices_length--;
    if (choices_length > 0)
        choices[choices_length - 1].taken++;
    choices_depth = 0;
    return choices_length > 0;
}

/* ---------------------------------------------------------------------------------------------------------- turns -- */

static bool can_go_on(int i)
{
    switch (threads[i].state) {
    case RUNNABLE:
        return true;
    case WAITING:
        return (i == 0 && signal_pending) || threads[i].condition();
    case YIELDED:
        return threads[i].steps != steps;
    default:
        return false;
    }
}

static void wait_for_turn(int me)
{
    support_semaphore_wait(&threads[me].turn);
}

/* Decides who goes on, and returns when it is the caller's turn again (at once, if it is done). */
static void give_turn(void)
{
    int candidates[EXPLORE_THREADS];
    unsigned n = 0;
    int me = running;
    bool forced = me == NOBODY || !can_go_on(me);
    bool comes_back = me != NOBODY && threads[me].state != DONE; /* looked up now: soon others write it */

    if (!forced)
        candidates[n++] = me;
    for (int i = 0; i < count && (forced || credit > 0); i++) {
        if (i != me && can_go_on(i))
            candidates[n++] = i;
    }
    if (n == 0)
        explore_fault("every thread waits");
    running = candidates[choose(n)];
    if (running == me)
        return;
    credit -= !forced;
    support_semaphore_post(&threads[running].turn);
    if (comes_back)
        wait_for_turn(me);
}

static void maybe_signal(bool forced)
{
    if (running != 0 || !signal_pending || in_handler || (!forced && (credit == 0 || choose(2) == 0)))
        return;
    credit -= !forced;
    signal_pending = false;
    in_handler = true;
    scenario->handler();
    in_handler = false;
}

static void let_late_store_out(void);

void explore_step(const volatile void *word)
{
    const volatile unsigned char *touched = word;

    if (running == NOBODY)
        return;
    steps++;
    give_turn();
    maybe_signal(false);
    let_late_store_out();
    for (int i = 0; i < gone_count; i++) {
        if (touched >= gone[i].memory && touched < gone[i].memory + gone[i].size)
            explore_fault("memory is used that is gone");
    }
}

bool explore_fails(void)
{
    if (running == NOBODY || credit == 0 || choose(2) == 0)
        return false;
    credit--;
    return true;
}

void explore_wait(bool (*condition)(void))
{
    int me = running;

    steps++;
    let_late_store_out();
    while (!condition()) {
        threads[me].condition = condition;
        threads[me].state = WAITING;
        give_turn();
        threads[me].state = RUNNABLE;
        maybe_signal(!condition());
    }
}

void explore_yield(void)
{
    int me = running;

    threads[me].steps = steps;
    threads[me].state = YIELDED;
    give_turn();
    threads[me].state = RUNNABLE;
}

static void *run_thread(void *arg)
{
    int me = *(const int *)arg;

    for (;;) {
        bool all_done = true;

        wait_for_turn(me);
        if (over)
            return NULL;
        scenario->threads[me]();
        threads[me].state = DONE;
        steps++;
        for (int i = 0; i < count; i++)
            all_done = all_done && threads[i].state == DONE;
        if (all_done)
            support_semaphore_post(&finished);
        else
            give_turn();
    }
}

/* ------------------------------------------------------------------------------------------------------- mistakes -- */

bool explore_hides(const volatile void *word)
{
    return running != NOBODY && word == explore_mistakes.reads_zero;
}

bool explore_delays(const volatile void *word, unsigned value)
{
    if (running == NOBODY || word != explore_mistakes.stored_late)
        return false;
    late.word = (atomic_uint *)(uintptr_t)word;
    late.value = value;
    late.thread = running;
    late.steps = 2;
    return true;
}

/* The thread has made a step: after its next one the store is seen. */
static void let_late_store_out(void)
{
    if (late.word != NULL && late.thread == running && --late.steps == 0) {
        atomic_store_explicit(late.word, late.value, memory_order_seq_cst);
        late.word = NULL;
    }
}

/* --------------------------------------------------------------------------------------------------------- memory -- */

void explore_gone(void *memory, size_t size)
{
    if (gone_count == GONE_MAX)
        explore_fault("too much memory is gone");
    memset(memory, POISON, size);
    gone[gone_count].memory = memory;
    gone[gone_count++].size = size;
}

static void free_gone(void)
{
    for (int i = 0; i < gone_count; i++) {
        for (size_t j = 0; j < gone[i].size; j++) {
            if (gone[i].memory[j] != POISON)
                explore_fault("memory was written that is gone");
        }
        free(gone[i].memory);
    }
    gone_count = 0;
}

/* ------------------------------------------------------------------------------------------------------------ all -- */

static void run_schedule(unsigned preemptions)
{
    steps = 0;
    credit = preemptions;
    signal_pending = scenario->handler != NULL;
    late.word = NULL;
    scenario->begin();
    for (int i = 0; i < count; i++)
        threads[i].state = RUNNABLE;
    give_turn();
    support_semaphore_wait(&finished);
    running = NOBODY;
    scenario->end();
    free_gone();
}

unsigned long explore(const struct explore_scenario *what, unsigned preemptions)
{
    unsigned long schedules = 0;

    scenario = what;
    running = NOBODY;
    over = false;
    choices_length = 0;
    choices_depth = 0;
    support_semaphore_init(&finished);
    for (count = 0; count < EXPLORE_THREADS && scenario->threads[count] != NULL; count++) {
        threads[count].number = count;
        support_semaphore_init(&threads[count].turn);
        if (pthread_create(&threads[count].thread, NULL, run_thread, &threads[count].number) != 0)
            explore_fault("no thread");
    }
    do {
        run_schedule(preemptions);
        schedules++;
    } while (next_schedule());
    over = true;
    for (int i = 0; i < count; i++) {
        support_semaphore_post(&threads[i].turn);
        (void)pthread_join(threads[i].thread, NULL);
        support_semaphore_destroy(&threads[i].turn);
    }
    support_semaphore_destroy(&finished);
    return schedules;
}
