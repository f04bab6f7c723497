/*
 * The world a scenario plays in: one loop, and a book of everything that was asked of it. Whatever fails is noted; the
 * scenario then gives up, and the book must balance all the same.
 */
#ifndef LOOP_TEST_FAULT_WORLD_H
#define LOOP_TEST_FAULT_WORLD_H

#include "fault.h"

struct world {
    loop_t *loop;
    int error;  /* the first that was returned or reported, 0: none */
    bool ended; /* the scenario is over, operations may end as they like */
    unsigned submitted;
    unsigned completed;
    unsigned closing;
    unsigned closed;
};

extern struct world world;

/* A scenario: the plot runs until its goal is reached or something failed; the cleanup then closes what is open. */
struct scenario {
    const char *name;
    void (*plot)(void);
    void (*cleanup)(void);
};

/* All of them, and their number. */
extern const struct scenario tcp_echo_scenario;
extern const struct scenario tcp_listener_scenario;
extern const struct scenario tcp_options_scenario;
extern const struct scenario descriptors_scenario;
extern const struct scenario datagrams_scenario;
extern const struct scenario timers_scenario;

/* Plays a scenario on the loop and checks the book: one completion per accepted operation, one close callback per handle,
 * nothing left alive, no descriptor left open. Returns world.error; 0 means that the goal was reached. */
int world_play(loop_t *loop, const struct scenario *scenario);

/* Stops the test with the given text, and with what is being injected. */
void world_check(bool holds, const char *text);
void world_describe(const char *text);

/* Notes a result if it is an error, and returns whether it is none. */
bool world_ok(ptrdiff_t result);

/* Runs turns until the goal is reached or something failed. */
void world_until(bool (*reached)(void));

/* Closes the handle, unless it is none or closing already. */
void world_close(void *handle);

/* One operation under watch. */
struct job {
    loop_op_t op;
    bool pending;
    bool done;
    int expected; /* a status that is no failure */
    void (*then)(struct job *job);
};

/* For the data member of job->op, and for the callback of its submission. */
void job_done(loop_op_t *op);

/* Takes the result of the submission. */
bool job_submitted(struct job *job, int result);

#endif
