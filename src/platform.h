/*
 * The platform floor: the system calls the core needs, under the same names on every system. Errors are LOOP_E* codes.
 * No function here blocks, but those of threads and names; interrupted calls are retried.
 */
#ifndef LOOP_PLATFORM_H
#define LOOP_PLATFORM_H

#include "loop.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ns of a monotonic clock; LOOP_E* cannot be told here: a clock that fails stands still. */
uint64_t loop__clock(uint64_t last);

/* The LOOP_E* code of the system's error number. */
int loop__system_error(int number);

/* A number of the calling thread, never 0, that no other living thread has. */
uintptr_t loop__thread_id(void);

/* Gives the processor away for a moment. */
void loop__yield(void);

enum socket_state {
    SOCKET_BOUND = 1,
    SOCKET_LISTENING = 2,
    SOCKET_CONNECTED = 4,
    SOCKET_PLAIN_TCP = 8, /* a short read means that all was read */
    SOCKET_SHUT = 16      /* nothing may be written: it was shut */
};
/* Threads, locks, conditions. The storage has room for those of POSIX systems, and for SRWLOCK, CONDITION_VARIABLE and HANDLE. */
struct loop__mutex {
    uint64_t opaque[8];
};
struct loop__cond {
    uint64_t opaque[8];
};
struct loop__thread {
    const char *name;
    void (*entry)(void *argument);
    void *argument;
    uint64_t opaque[1];
};
/* LOOP_ENOMEM, LOOP_EAGAIN. After them nothing of a lock or a condition can fail. */
int loop__mutex_init(struct loop__mutex *mutex);
void loop__mutex_destroy(struct loop__mutex *mutex);
void loop__mutex_lock(struct loop__mutex *mutex);
void loop__mutex_unlock(struct loop__mutex *mutex);
int loop__cond_init(struct loop__cond *cond);
void loop__cond_destroy(struct loop__cond *cond);
/* May return without cause. */
void loop__cond_wait(struct loop__cond *cond, struct loop__mutex *mutex);
void loop__cond_signal(struct loop__cond *cond);
void loop__cond_broadcast(struct loop__cond *cond);
/* Calls entry(argument) on a new thread of that name (at most 15 bytes, static), with signals blocked. *thread stays where it
 * is until the thread was joined. LOOP_EAGAIN, … */
int loop__thread_start(struct loop__thread *thread, const char *name, void (*entry)(void *argument), void *argument);
void loop__thread_join(struct loop__thread *thread);
/* Tells a child of a fork from its parent. */
uint64_t loop__process_id(void);
/* What was made after one call of this, and before another with the same result, no child of a fork can have. But for a child
 * that was made past fork(2): by vfork(2) or posix_spawn(3), which keeps nothing that is close-on-exec for long, _Fork(3), clone(2);
 * or by a fork that had begun before the first loop was made. 0: nothing is known. Any thread. */
uint32_t loop__fork_epoch(void);

/* Name resolution, for threads of a pool. Errors are LOOP_EAI_* codes, or those of the system. */
struct addrinfo;
/* What of a caller's hints counts. */
struct loop__hints {
    int flags;
    int family;
    int socktype;
    int protocol;
};
void loop__hints_copy(struct loop__hints *copy, const struct addrinfo *hints);
/* hints may be NULL. *list is NULL after an error. */
int loop__getaddrinfo(const char *node, const char *service, const struct loop__hints *hints, struct addrinfo **list);
void loop__freeaddrinfo(struct addrinfo *list);
int loop__getnameinfo(const struct sockaddr *addr, char *host, size_t host_size, char *service, size_t service_size,
                      int flags);

/* Sockets. New ones are non-blocking, close-on-exec and raise no SIGPIPE. */
int loop__socket_open(int family, loop_os_fd_t *result);
/* Writing to it raises no SIGPIPE from now on, where that is a matter of the socket and not of each call. LOOP_EPIPE: both
 * directions are over, and it cannot be had any more. */
int loop__socket_without_sigpipe(loop_os_fd_t fd);
/* What a stream socket of the caller's is (enum socket_state); LOOP_EINVAL if it is none of the Internet's. */
int loop__socket_probe(loop_os_fd_t fd, unsigned *state);
void loop__socket_close(loop_os_fd_t fd);
int loop__socket_bind(loop_os_fd_t fd, const struct sockaddr *addr, unsigned flags);
int loop__socket_listen(loop_os_fd_t fd, int backlog);
/* 0 and *result, or LOOP_EAGAIN, or why not. Connections aborted meanwhile are passed over. */
int loop__socket_accept(loop_os_fd_t listener, loop_os_fd_t *result);
/* Bytes, or a negative error, but never LOOP_EINTR. What it is made of is in os_transfer.h. */
ptrdiff_t loop__socket_try_send(loop_os_fd_t fd, const loop_buf_t *buf);
ptrdiff_t loop__socket_send_many(loop_os_fd_t fd, const loop_buf_t *bufs, unsigned nbufs);
int loop__socket_shutdown(loop_os_fd_t fd);
int loop__socket_linger_reset(loop_os_fd_t fd);
int loop__socket_nodelay(loop_os_fd_t fd, bool enable);
int loop__socket_keepalive(loop_os_fd_t fd, bool enable, unsigned idle, unsigned interval, unsigned count);
int loop__socket_name(loop_os_fd_t fd, bool peer, struct sockaddr *name, size_t *len);

/* Closes any descriptor. */
void loop__fd_close(loop_os_fd_t fd);
/* Adds DESC_SOCKET and DESC_TCP to *flags where they hold for a descriptor of the caller's. */
int loop__fd_probe(loop_os_fd_t fd, uint32_t *flags);
/* Makes a descriptor non-blocking and, unless inherit, close-on-exec. On error it is as it was. */
int loop__fd_make_async(loop_os_fd_t fd, bool inherit);

/*
 * Signals: the platform has the handler and what it replaced, src/signal.c the watchers. Both are guarded by one lock, which
 * is held only while every signal is blocked in the holding thread; so a handler that waits for it never waits for itself.
 */
#define SIGNAL_LIMIT 129 /* signal numbers are below it on every system */

/* Whether it may be the number of a signal that can be watched. */
bool loop__signal_known(int signum);
/* Takes the lock, in any case: an error says that the signals could not be blocked. */
int loop__signal_lock(void);
void loop__signal_unlock(void);
/* With the lock: from now on loop__signal_caught() is called for each signal of that number; no more. */
int loop__signal_install(int signum);
void loop__signal_uninstall(int signum);
/* signal.c: tells the watchers, if there are any. Called in the handler, with the lock. */
bool loop__signal_caught(int signum);

/* The scope number of a network interface, 0 if there is none of that name. */
unsigned loop__interface_index(const char *name);

/* address.c: length by family, 0 for a family that is unknown. */
size_t loop__address_length(const struct sockaddr *addr);
int loop__address_family(const struct sockaddr *addr);
bool loop__address_is_ip(const struct sockaddr *addr);

#endif
