/*
 * Scenes in which every system call and every allocation fails in turn. A scene is a function that plays on the loop, whose
 * handles it opens and closes. It runs once to count its calls; then once for each call of each row and each plausible error of
 * it. Whatever happens: accepted operations complete exactly once, close callbacks come, nothing is left behind, and the same
 * loop serves a clean run of the scene afterwards.
 */
#ifndef LOOP_TEST_FAULT_SCENE_H
#define LOOP_TEST_FAULT_SCENE_H

#include "fault.h"

extern loop_t *loop;
extern long in_flight; /* operations accepted and not completed */
extern long handles;   /* opened and not closed */
extern long successes; /* operations that did what they should; in clean runs always as many */

/* The callback of most operations. */
void completed(loop_op_t *op);

/* The same for an accept, whose connection is closed. */
void completed_accept(loop_op_t *op);

/* The same for one that should time out. */
void timed_out(loop_op_t *op);

/* Around calls that submit an operation or open a handle. They return what they are given. */
int submitted(int rc);
int opened(int rc);
void on_closed(loop_handle_t *handle);

/* Attaches a descriptor, or closes it. */
int attach(loop_desc_t *desc, loop_os_fd_t fd);

/* What becomes of an operation without a callback when it is handed out: completed(), unless a scene sets something else. */
extern loop_op_cb handed_out;

/* A turn that waits at most that long; an error of the wait itself ends no scene. */
void take_turn(uint64_t timeout);

/* A turn of a scene that goes on until something has come about. False: it has taken turns enough, *turn counts them: when
 * something has failed it may never come. */
bool scene_turn(int *turn);

/* Turns until the loop has nothing to do, a bounded number. */
void run_bounded(void);

/* Turns until no operation is in flight, or so many, for a bounded time. */
void await_operations(void);
void await_operations_but(long n);

/* Closes every handle, and checks that nothing is left. */
void close_all(void);

void begin_scene(const loop_options_t *options);
void every_call_fails(void (*scene)(void));
void every_allocation_fails(void (*scene)(void));

#endif
