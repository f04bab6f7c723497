/* What must hold of a loop whenever user code runs, checked against its internals. For tests. */
#ifndef LOOP_TEST_INVARIANTS_H
#define LOOP_TEST_INVARIANTS_H

#include <loop.h>

/*
 * Walks every list, queue and heap of the loop and compares them with each other and with the counts. On the loop's thread, also
 * in callbacks, where less is known: what the turn has taken into its hands cannot be seen. Linear in the number of handles,
 * operations and timers. The first thing that does not hold is printed, and the process aborts.
 */
void invariants_check(loop_t *loop);

/* The number of the handle's socket, without asking for it: whoever asks may duplicate it, which changes how it is closed. */
loop_os_fd_t invariants_number(const loop_tcp_t *tcp);

#endif
