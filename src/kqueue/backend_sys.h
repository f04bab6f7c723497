/*
 * The kqueue backend's rows of the seam, see src/posix/sys.h. The one system call has a row for each of its uses, so that a test
 * can make one of them fail and not the others.
 */
#ifndef LOOP_KQUEUE_BACKEND_SYS_H
#define LOOP_KQUEUE_BACKEND_SYS_H

#include <sys/types.h>

#include <sys/event.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <fcntl.h>
#include <unistd.h>

/* The counts are size_t on NetBSD and int elsewhere: this fits into both. */
typedef uint16_t kevent_count;

/* Close-on-exec where one call can do that, or where it always is: KQUEUE_IS_CLOEXEC tells. */
static inline int kqueue_new(void)
{
#if defined(LOOP_HAS_KQUEUE1)
    return kqueue1(O_CLOEXEC);
#else
    return kqueue();
#endif
}
#if defined(LOOP_HAS_KQUEUE1) || defined(LOOP_KQUEUE_IS_CLOEXEC)
#define KQUEUE_IS_CLOEXEC true
#else
#define KQUEUE_IS_CLOEXEC false
#endif

/* Non-blocking and close-on-exec where one call can do that, as sockets are: SOCK_NONBLOCK tells. */
static inline int pipe_new(int fds[2])
{
#ifdef SOCK_NONBLOCK
    return pipe2(fds, O_NONBLOCK | O_CLOEXEC);
#else
    return pipe(fds);
#endif
}

/* Submits the changes and waits, for ever without a timeout. */
static inline int kevent_wait(int kq, const struct kevent *changes, int nchanges, struct kevent *events, int nevents,
                              const struct timespec *timeout)
{
    return kevent(kq, changes, (kevent_count)nchanges, events, (kevent_count)nevents, timeout);
}

/* Makes changes that have EV_RECEIPT, each of which becomes its receipt: EV_ERROR, with the error, or 0, as data. */
static inline int kevent_change(int kq, struct kevent *changes, int n)
{
    const struct timespec none = {0, 0};

    return kevent(kq, changes, (kevent_count)n, changes, (kevent_count)n, &none);
}

/* Makes one change that tells nothing. */
static inline int kevent_trigger(int kq, const struct kevent *change)
{
    return kevent(kq, change, 1, NULL, 0, NULL);
}

/* clang-format off */
#define LOOP_BACKEND_SYS(X) \
    X(int, fstat, (int fd, struct stat *status), (fd, status)) \
    X(int, kevent_change, (int kq, struct kevent *changes, int n), (kq, changes, n)) \
    X(int, kevent_trigger, (int kq, const struct kevent *change), (kq, change)) \
    X(int, kevent_wait, (int kq, const struct kevent *changes, int nchanges, struct kevent *events, int nevents, const struct timespec *timeout), (kq, changes, nchanges, events, nevents, timeout)) \
    X(int, kqueue_new, (void), ()) \
    X(int, pipe_new, (int *fds), (fds)) \
    X(ssize_t, read, (int fd, void *base, size_t len), (fd, base, len)) \
    X(ssize_t, write, (int fd, const void *base, size_t len), (fd, base, len))
/* clang-format on */

#endif
