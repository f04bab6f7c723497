#include "io.h"

#include "internal.h"
#include "platform.h"
#include "sys.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>

_Static_assert(sizeof(loop_buf_t) == sizeof(struct iovec), "loop_buf_t is an iovec");
_Static_assert(offsetof(loop_buf_t, base) == offsetof(struct iovec, iov_base), "loop_buf_t is an iovec");
_Static_assert(offsetof(loop_buf_t, len) == offsetof(struct iovec, iov_len), "loop_buf_t is an iovec");

/* What every system takes in one call at least: IOV_MAX is 1024 on all of ours, but not always defined. */
#define IOVECS_PER_CALL 1024u

uint16_t loop__iovec_count(unsigned n)
{
    return (uint16_t)(n < IOVECS_PER_CALL ? n : IOVECS_PER_CALL);
}

bool loop__io_write_only(int fd)
{
    int flags = loop__sys.fcntl(fd, F_GETFL, 0);

    return flags >= 0 && (flags & O_ACCMODE) == O_WRONLY;
}

ptrdiff_t loop__io_read(int fd, const loop_buf_t *bufs, unsigned nbufs)
{
    for (;;) {
        ssize_t n = loop__sys.readv(fd, loop__iovec(bufs), (int)loop__iovec_count(nbufs));

        if (n >= 0)
            return n;
        if (errno != EINTR)
            return loop__errno();
    }
}

void loop__io_without_sigpipe(int fd)
{
#ifdef F_SETNOSIGPIPE
    (void)loop__sys.fcntl(fd, F_SETNOSIGPIPE, 1); /* what cannot do that is no pipe */
#else
    (void)fd;
#endif
}

#ifdef SOCKETS_NEED_NOSIGPIPE
/* Of a descriptor that counts as none: see loop__socket_without_sigpipe(). */
static bool is_shut_socket(int fd)
{
    int type;
    socklen_t len = sizeof(type);

    return loop__sys.getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) == 0;
}
#endif

/*
 * A write to a pipe without a reader raises SIGPIPE, and no flag of the call prevents it. On macOS and NetBSD it is the
 * process's, not the thread's, but the file can be told to raise none: loop__io_without_sigpipe(). Elsewhere the signal is
 * blocked in this thread around the write, and taken back if it was ours: not if it was blocked and waiting before.
 */
static ptrdiff_t write_without_sigpipe(int fd, const loop_buf_t *bufs, unsigned nbufs)
{
    sigset_t pipe_set;
    sigset_t old;
    sigset_t pending;
    bool waiting = false;
    ptrdiff_t result;
    ssize_t n;
    int error;

    (void)sigemptyset(&pipe_set);
    (void)sigaddset(&pipe_set, SIGPIPE);
    error = loop__sys.pthread_sigmask(SIG_BLOCK, &pipe_set, &old);
    if (error != 0)
        return loop__system_error(error);
    if (sigismember(&old, SIGPIPE) == 1 && loop__sys.sigpending(&pending) == 0)
        waiting = sigismember(&pending, SIGPIPE) == 1;

    do {
        n = loop__sys.writev(fd, loop__iovec(bufs), (int)loop__iovec_count(nbufs));
    } while (n < 0 && errno == EINTR);
    result = n >= 0 ? n : loop__errno();

    if (result == LOOP_EPIPE && !waiting) {
        int number;

        if (loop__sys.sigpending(&pending) == 0 && sigismember(&pending, SIGPIPE) == 1)
            (void)loop__sys.sigwait(&pipe_set, &number);
    }
    (void)loop__sys.pthread_sigmask(SIG_SETMASK, &old, NULL);
    return result;
}

ptrdiff_t loop__io_write(int fd, bool is_socket, const loop_buf_t *bufs, unsigned nbufs)
{
#ifdef SOCKETS_NEED_NOSIGPIPE
    if (!is_socket && is_shut_socket(fd))
        return LOOP_EPIPE;
#endif
    if (!is_socket)
        return write_without_sigpipe(fd, bufs, nbufs);
    return nbufs == 1 ? loop__socket_try_send(fd, bufs) : loop__socket_send_many(fd, bufs, nbufs);
}

ptrdiff_t loop__io_receive(int fd, struct op *op)
{
    for (;;) {
        struct msghdr msg = {0};
        ssize_t n;

        msg.msg_name = op->from;
        msg.msg_namelen = op->from != NULL ? sizeof(*op->from) : 0;
        if (op->first < op->nbufs) {
            msg.msg_iov = loop__iovec(op->bufs + op->first);
            msg.msg_iovlen = loop__iovec_count(op->nbufs - op->first);
        }
        n = loop__sys.recvmsg(fd, &msg, 0);
        if (n >= 0) {
            if (msg.msg_flags & MSG_TRUNC)
                op->result_flags |= LOOP_OP_TRUNCATED;
            return n;
        }
        if (errno != EINTR)
            return loop__errno();
    }
}

ptrdiff_t loop__io_send(int fd, const struct op *op)
{
    /* Half a datagram is none. */
    if (op->nbufs > IOVECS_PER_CALL)
        return LOOP_EMSGSIZE;
#ifdef SOCKETS_NEED_NOSIGPIPE
    if (!(op->desc->flags & DESC_SOCKET))
        return is_shut_socket(fd) ? LOOP_EPIPE : LOOP_ENOTSOCK; /* see loop__socket_without_sigpipe() */
#endif
    for (;;) {
        struct msghdr msg = {0};
        ssize_t n;

        msg.msg_name = (void *)(uintptr_t)op->to;
        msg.msg_namelen = op->to != NULL ? (socklen_t)loop__address_length(op->to) : 0;
        msg.msg_iov = loop__iovec(op->bufs);
        msg.msg_iovlen = loop__iovec_count(op->nbufs);
        n = loop__sys.sendmsg(fd, &msg, SEND_FLAGS);
        if (n >= 0)
            return n;
        if (errno != EINTR)
            return loop__errno();
    }
}

int loop__io_poll(int fd, unsigned wanted)
{
    const short hung = POLLERR | POLLHUP | POLLNVAL;

    if (fd < 0)
        return LOOP_EBADF; /* which poll(2) passes over */
    for (;;) {
        struct pollfd item = {.fd = fd};
        unsigned found = 0;
        int n;

        item.events = (short)((wanted & LOOP_READABLE ? POLLIN | POLLPRI : 0) | (wanted & LOOP_WRITABLE ? POLLOUT : 0));
        n = loop__sys.poll(&item, 1, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return loop__errno();
        if (item.revents & (POLLIN | POLLPRI | hung))
            found |= LOOP_READABLE;
        if (item.revents & (POLLOUT | hung))
            found |= LOOP_WRITABLE;
        return (int)(found & wanted);
    }
}

bool loop__io_hung_up(int fd)
{
    struct pollfd item = {.fd = fd};
    int n;

    do {
        n = loop__sys.poll(&item, 1, 0);
    } while (n < 0 && errno == EINTR);
    return n > 0 && (item.revents & (POLLERR | POLLHUP | POLLNVAL)) != 0;
}
