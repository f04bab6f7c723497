/* The epoll backend's rows of the seam, see src/posix/sys.h. */
#ifndef LOOP_EPOLL_BACKEND_SYS_H
#define LOOP_EPOLL_BACKEND_SYS_H

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
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

/*
 * The wait and the write that ends it are made by number in a process with threads: the C library's own are cancellation points,
 * pthreads(7), and take notes there before and after each call, which cost more than all that the loop does around it. And a
 * thread that is cancelled in the wait would leave a loop behind that nobody can close. Not under the thread sanitizer, which
 * holds the handler of a signal back until the end of a call that it does not know.
 */
#if defined(__SANITIZE_THREAD__)
#define MAKES_PLAIN_CALLS true
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define MAKES_PLAIN_CALLS true
#endif
#endif
#if !defined(MAKES_PLAIN_CALLS) && defined(__GLIBC_PREREQ)
#if __GLIBC_PREREQ(2, 32) /* where the header is there for older ones, too, it refuses them */
#include <sys/single_threaded.h>
#define MAKES_PLAIN_CALLS __libc_single_threaded
#endif
#endif
#if !defined(MAKES_PLAIN_CALLS)
#define MAKES_PLAIN_CALLS false
#endif

static inline int epoll_wait_ms(int epfd, struct epoll_event *events, int max, int timeout)
{
    if (MAKES_PLAIN_CALLS)
        return epoll_wait(epfd, events, max, timeout);
#ifdef SYS_epoll_wait
    return (int)syscall(SYS_epoll_wait, epfd, events, max, timeout);
#else
    return (int)syscall(SYS_epoll_pwait, epfd, events, max, timeout, NULL, (size_t)0);
#endif
}

static inline ssize_t write_wake_up(int fd, const void *base, size_t len)
{
    return MAKES_PLAIN_CALLS ? write(fd, base, len) : (ssize_t)syscall(SYS_write, fd, base, len);
}

/* clang-format off */
#define LOOP_BACKEND_SYS(X) \
    X(int, epoll_create1, (int flags), (flags)) \
    X(int, epoll_ctl, (int epfd, int op, int fd, struct epoll_event *event), (epfd, op, fd, event)) \
    X(int, epoll_wait_ms, (int epfd, struct epoll_event *events, int max, int timeout), (epfd, events, max, timeout)) \
    X(int, epoll_pwait_ns, (int epfd, struct epoll_event *events, int max, const struct epoll_timespec *timeout), (epfd, events, max, timeout)) \
    X(int, eventfd, (unsigned initial, int flags), (initial, flags)) \
    X(ssize_t, write_wake_up, (int fd, const void *base, size_t len), (fd, base, len))
/* clang-format on */

#endif
