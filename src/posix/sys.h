/*
 * The seam: every system call of src/posix and of the backend above it goes through this one table, the clock included.
 * Tests replace members to make calls fail and to count them. Rows: result, name, parameters, arguments. Of DIRECT rows the
 * types are the same on every system, so that the table holds the system's own functions: what every packet calls.
 */
#ifndef LOOP_POSIX_SYS_H
#define LOOP_POSIX_SYS_H

#include "os_socket.h"

#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/uio.h>
#include <time.h>

#if defined(__linux__)
#include <sys/prctl.h>
#elif defined(__FreeBSD__) || defined(__OpenBSD__) || defined(__DragonFly__)
#include <pthread_np.h>
#endif

#include "backend_sys.h"

/* Names the calling thread: a different call everywhere. */
static inline int name_thread(const char *name)
{
#if defined(__linux__)
    return prctl(PR_SET_NAME, name, 0L, 0L, 0L);
#elif defined(__APPLE__)
    return pthread_setname_np(name);
#elif defined(__NetBSD__)
    return pthread_setname_np(pthread_self(), "%s", (void *)(uintptr_t)name);
#else
    pthread_set_name_np(pthread_self(), name);
    return 0;
#endif
}

/* Non-blocking and close-on-exec where one call can do that: SOCK_NONBLOCK tells. */
static inline int accept_new(int fd)
{
#ifdef SOCK_NONBLOCK
    return accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
#else
    return accept(fd, NULL, NULL);
#endif
}

static inline int socket_new(int family)
{
#ifdef SOCK_NONBLOCK
    return socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
#else
    return socket(family, SOCK_STREAM, 0);
#endif
}

/* clang-format off */
#define LOOP_POSIX_DIRECT_SYS(X) \
    X(ssize_t, recv, (int fd, void *base, size_t len, int flags), (fd, base, len, flags)) \
    X(ssize_t, send, (int fd, const void *base, size_t len, int flags), (fd, base, len, flags))
#define LOOP_POSIX_WRAPPED_SYS(X) \
    X(int, accept_new, (int fd), (fd)) \
    X(int, bind, (int fd, const struct sockaddr *addr, socklen_t len), (fd, addr, len)) \
    X(int, clock_gettime, (clockid_t clock, struct timespec *ts), (clock, ts)) \
    X(int, close, (int fd), (fd)) \
    X(int, connect, (int fd, const struct sockaddr *addr, socklen_t len), (fd, addr, len)) \
    X(int, fcntl, (int fd, int command, int argument), (fd, command, argument)) \
    X(pid_t, getpid, (void), ()) \
    X(int, getaddrinfo, (const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **list), (node, service, hints, list)) \
    X(int, getnameinfo, (const struct sockaddr *addr, socklen_t len, char *host, socklen_t host_len, char *service, socklen_t service_len, int flags), (addr, len, host, host_len, service, service_len, flags)) \
    X(int, getpeername, (int fd, struct sockaddr *addr, socklen_t *len), (fd, addr, len)) \
    X(int, getsockname, (int fd, struct sockaddr *addr, socklen_t *len), (fd, addr, len)) \
    X(int, getsockopt, (int fd, int level, int name, void *value, socklen_t *len), (fd, level, name, value, len)) \
    X(unsigned, if_nametoindex, (const char *name), (name)) \
    X(int, listen, (int fd, int backlog), (fd, backlog)) \
    X(int, name_thread, (const char *name), (name)) \
    X(int, poll, (struct pollfd *fds, nfds_t nfds, int timeout), (fds, nfds, timeout)) \
    X(int, pthread_atfork, (void (*prepare)(void), void (*parent)(void), void (*child)(void)), (prepare, parent, child)) \
    X(int, pthread_cond_init, (pthread_cond_t *cond, const pthread_condattr_t *attr), (cond, attr)) \
    X(int, pthread_create, (pthread_t *thread, const pthread_attr_t *attr, void *(*entry)(void *), void *argument), (thread, attr, entry, argument)) \
    X(int, pthread_join, (pthread_t thread, void **result), (thread, result)) \
    X(int, pthread_mutex_init, (pthread_mutex_t *mutex, const pthread_mutexattr_t *attr), (mutex, attr)) \
    X(int, pthread_sigmask, (int how, const sigset_t *set, sigset_t *old), (how, set, old)) \
    X(int, raise, (int number), (number)) \
    X(ssize_t, readv, (int fd, const struct iovec *iov, int n), (fd, iov, n)) \
    X(ssize_t, recvmsg, (int fd, struct msghdr *msg, int flags), (fd, msg, flags)) \
    X(int, sched_yield, (void), ()) \
    X(ssize_t, sendmsg, (int fd, const struct msghdr *msg, int flags), (fd, msg, flags)) \
    X(int, setsockopt, (int fd, int level, int name, const void *value, socklen_t len), (fd, level, name, value, len)) \
    X(int, shutdown, (int fd, int how), (fd, how)) \
    X(int, sigaction, (int number, const struct sigaction *action, struct sigaction *old), (number, action, old)) \
    X(int, sigpending, (sigset_t *set), (set)) \
    X(int, sigwait, (const sigset_t *set, int *number), (set, number)) \
    X(int, socket_new, (int family), (family)) \
    X(ssize_t, writev, (int fd, const struct iovec *iov, int n), (fd, iov, n))
/* clang-format on */

#define LOOP_POSIX_SYS(X) LOOP_POSIX_DIRECT_SYS(X) LOOP_POSIX_WRAPPED_SYS(X)

struct loop_sys {
#define SYS_MEMBER(result, name, parameters, arguments) result(*name) parameters;
    LOOP_POSIX_SYS(SYS_MEMBER)
    LOOP_BACKEND_SYS(SYS_MEMBER)
#undef SYS_MEMBER
};

extern struct loop_sys loop__sys;

/* The LOOP_E* code of errno. */
int loop__errno(void);

#endif
