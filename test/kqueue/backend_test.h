/* What shared tests have to know of the backend: its rows of the seam, and how many calls it makes for what. Here: kqueue's. */
#ifndef LOOP_TEST_KQUEUE_BACKEND_TEST_H
#define LOOP_TEST_KQUEUE_BACKEND_TEST_H

#include "loop.h"

#include "posix/sys.h"

#define BACKEND_NAME "kqueue"
#define BACKEND_FD "n" /* what loop_dump() says of the descriptor of a loop, numbers being n */

/* Makes the kernel object; makes what wakes it, which is the first change of it; changes a registration at once; waits without
 * end or not at all; waits some time; wakes. */
#define FAULT_BACKEND_CREATE FAULT_kqueue_new
#define FAULT_BACKEND_WAKER FAULT_kqueue_new
#define FAULT_BACKEND_CHANGE FAULT_kevent_change
#define FAULT_BACKEND_WAIT FAULT_kevent_wait
#define FAULT_BACKEND_WAIT_TIMED FAULT_kevent_wait
#ifdef EVFILT_USER
#define FAULT_BACKEND_WAKE FAULT_kevent_trigger
#else
#define FAULT_BACKEND_WAKE FAULT_write
#endif

/* Changes at once for a connection, and for closing it: they go with the wait, and close does it. */
#define CHANGES_OF_CONNECTION 0
#define CHANGES_OF_CLOSE 0

/* With a pipe for waking there are two descriptors more, and it is read. */
#ifdef EVFILT_USER
#define PIPES 0
#else
#define PIPES 1
#endif
/* The kqueue, its waker, whose process it is when it is made and closed; a wake-up. */
#define CALLS_OF_LIFE (5 + 3 * PIPES)
#define CALLS_OF_WAKE_UP (1 + PIPES)
/* loop_fork() with so many sockets of the caller's and one connection: closes, and all. The kqueue of the parent is closed as if
 * it were inherited, because a test calls loop_fork() without a fork. A socket costs a look at its kind, and where SIGPIPE is a
 * matter of the socket, an option. */
#ifndef SOCKETS_NEED_NOSIGPIPE
#define CALLS_OF_SOCKET 2
#else
#define CALLS_OF_SOCKET 3
#endif
#define CLOSES_OF_FORK (1 + 2 * PIPES)
#define CALLS_OF_FORK(descs) (CALLS_OF_LIFE + CALLS_OF_SOCKET * (descs) + 1)

/* A registration that fails does so after the call that asked for it. */
#define REGISTERS_LATER true

/* Waits that take as long as they were asked for, of a clock that is moved by advance(). */
#define BACKEND_FAKE_WAIT(name, advance)                                                                               \
    static int name(int kq, const struct kevent *changes, int nchanges, struct kevent *events, int nevents,            \
                    const struct timespec *timeout)                                                                    \
    {                                                                                                                  \
        (void)kq;                                                                                                      \
        (void)changes;                                                                                                 \
        (void)nchanges;                                                                                                \
        (void)events;                                                                                                  \
        (void)nevents;                                                                                                 \
        advance((uint64_t)timeout->tv_sec * 1000000000u + (uint64_t)timeout->tv_nsec);                                 \
        return 0;                                                                                                      \
    }
#define BACKEND_FAKE_WAIT_INSTALL(name) (loop__sys.kevent_wait = (name))

/* From here on the test counts what the kernel does: it does nothing that is not asked for, even where it is made to. */
void backend_be_calm(void);

/* Where the test has changed what getpid() says: this process is the one that made the loop's kernel object. */
void backend_adopt_process(loop_t *loop);

/* Calls hook, on the thread that wakes a loop, right before it does; NULL: no more. */
void backend_hook_wake(void (*hook)(void));

/* Part of invariants_check(): what only the backend knows agrees with itself. */
void backend_check(loop_t *loop);

#endif
