/* What shared tests have to know of the backend: its rows of the seam, and how many calls it makes for what. Here: epoll's. */
#ifndef LOOP_TEST_EPOLL_BACKEND_TEST_H
#define LOOP_TEST_EPOLL_BACKEND_TEST_H

#include "loop.h"

#include "posix/sys.h"

#define BACKEND_NAME "epoll"
#define BACKEND_FD "n" /* what loop_dump() says of the descriptor of a loop, numbers being n */

/* Makes the kernel object; makes what wakes it; changes a registration at once; waits without end or not at all; waits some time;
 * wakes. */
#define FAULT_BACKEND_CREATE FAULT_epoll_create1
#define FAULT_BACKEND_WAKER FAULT_eventfd
#define FAULT_BACKEND_CHANGE FAULT_epoll_ctl
#define FAULT_BACKEND_WAIT FAULT_epoll_wait_ms
#define FAULT_BACKEND_WAIT_TIMED FAULT_epoll_pwait_ns
#define FAULT_BACKEND_WAKE FAULT_write_wake_up

/* Changes at once for a connection that was given to the loop, and for closing it. */
#define CHANGES_OF_CONNECTION 1
#define CHANGES_OF_CLOSE 1

/* A registration that fails fails the call that asked for it. */
#define REGISTERS_LATER false

/* What makes a loop and ends it; a wake-up. */
#define CALLS_OF_LIFE 5
#define CALLS_OF_WAKE_UP 1

/* Calls of loop_fork() with so many descriptors of the caller's and one connection: closes, and all. */
#define CLOSES_OF_FORK 2
#define CALLS_OF_FORK(descs) (CLOSES_OF_FORK + 2 + 1 + (descs) + 1)

/* Waits that take as long as they were asked for, of a clock that is moved by advance(). */
#define BACKEND_FAKE_WAIT(name, advance)                                                                               \
    static int name(int epfd, struct epoll_event *events, int max, const struct epoll_timespec *timeout)               \
    {                                                                                                                  \
        (void)epfd;                                                                                                    \
        (void)events;                                                                                                  \
        (void)max;                                                                                                     \
        advance((uint64_t)timeout->seconds * 1000000000u + (uint64_t)timeout->nanoseconds);                            \
        return 0;                                                                                                      \
    }
#define BACKEND_FAKE_WAIT_INSTALL(name) (loop__sys.epoll_pwait_ns = (name))

/* From here on the test counts what the kernel does: it does nothing that is not asked for, even where it is made to. */
void backend_be_calm(void);

/* Where the test has changed what getpid() says: this process is the one that made the loop's kernel object. */
void backend_adopt_process(loop_t *loop);

/* Calls hook, on the thread that wakes a loop, right before it does; NULL: no more. */
void backend_hook_wake(void (*hook)(void));

/* Part of invariants_check(): what only the backend knows agrees with itself. */
void backend_check(loop_t *loop);

#endif
