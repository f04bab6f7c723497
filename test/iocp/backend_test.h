/* What shared tests have to know of the backend. Here: that of completion ports. */
#ifndef LOOP_TEST_IOCP_BACKEND_TEST_H
#define LOOP_TEST_IOCP_BACKEND_TEST_H

#include "loop.h"

#define BACKEND_NAME "iocp"
#define BACKEND_FD "-n" /* what loop_dump() says of the descriptor of a loop: it has none */

/* From here on the test counts what the kernel does: it does nothing that is not asked for, even where it is made to. */
void backend_be_calm(void);

/* Calls hook, on the thread that wakes a loop, right before it does; NULL: no more. */
void backend_hook_wake(void (*hook)(void));

/* Part of invariants_check(): what only the backend knows agrees with itself. */
void backend_check(loop_t *loop);

#endif
