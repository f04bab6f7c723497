/* Two processes in one test. */
#ifndef LOOP_TEST_FORK_FIXTURE_H
#define LOOP_TEST_FORK_FIXTURE_H

#include "support.h"

#include <sys/types.h>
#include <unistd.h>

/* Whether this is the child. */
extern bool in_child;

/* fork(2). A child that hangs is ended by a signal after a while. */
pid_t fork_process(void);

/* Ends the child: its test is passed. */
_Noreturn void child_passed(void);

/* Waits for the child, which must have passed. */
void await_child(pid_t child);

/* An assertion for both processes: a child that fails exits, where an assertion of the harness would go on with its tests. */
#define expect(condition) expect_at((condition), #condition, __FILE__, __LINE__)
void expect_at(bool holds, const char *condition, const char *file, int line);

/* Turns until *flag is at least n. */
void run_until_count(loop_t *loop, const int *flag, int n);

/* Closes everything and the loop, in either process. */
void end_loop(loop_t *loop);

#endif
