/*
 * Processes for tests: the test's own program, started with an argument. They end with the test, however that ends.
 * main() looks for the argument before it runs tests.
 */
#ifndef LOOP_TEST_IOCP_CHILD_H
#define LOOP_TEST_IOCP_CHILD_H

#include "support.h"

#include <windows.h>

struct child {
    HANDLE process;
    HANDLE job;
    HANDLE stop; /* an event that the child may wait for */
};

/* argument: of letters. flags: for CreateProcess. */
void child_start(struct child *child, const char *argument, DWORD flags);

/* Waits for the child's end. */
DWORD child_status(const struct child *child);

/* Ends the child, if it has not ended. */
void child_close(struct child *child);

/* In the child: whether it was started with this argument; waits until child->stop is set. */
bool child_is(const char *argument, int argc, char **argv);
void child_await_stop(char **argv);

#endif
