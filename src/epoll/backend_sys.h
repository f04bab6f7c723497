/* The epoll backend's rows of the seam, see src/posix/sys.h. */
#ifndef LOOP_EPOLL_BACKEND_SYS_H
#define LOOP_EPOLL_BACKEND_SYS_H

#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

/* As the kernel has it, on 32-bit systems too. */
struct epoll_timespec {
    int64_t seconds;
    int64_t nanoseconds;
};

/* epoll_pwait2(2), since Linux 5.11. By number: neither musl nor a glibc before 2.35 has it. */
static inline int epoll_pwait_ns(int epfd, struct epoll_event *events, int max, const struct epoll_timespec *timeout)
{
#ifdef SYS_epoll_pwait2
    return (int)syscall(SYS_epoll_pwait2, epfd, events, max, timeout, NULL, (size_t)0);
#else
    (void)epfd;
    (void)events;
    (void)max;
    (void)timeout;
    errno = ENOSYS;
    return -1;
#endif
}

/* clang-format off */
#define LOOP_BACKEND_SYS(X) \
    X(int, epoll_create1, (int flags), (flags)) \
    X(int, epoll_ctl, (int epfd, int op, int fd, struct epoll_event *event), (epfd, op, fd, event)) \
    X(int, epoll_wait, (int epfd, struct epoll_event *events, int max, int timeout), (epfd, events, max, timeout)) \
    X(int, epoll_pwait_ns, (int epfd, struct epoll_event *events, int max, const struct epoll_timespec *timeout), (epfd, events, max, timeout)) \
    X(int, eventfd, (unsigned initial, int flags), (initial, flags)) \
    X(ssize_t, write, (int fd, const void *base, size_t len), (fd, base, len))
/* clang-format on */

#endif
