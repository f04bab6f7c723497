/* One attempt at one operation: the call, and what its result means. */
#include "attempt.h"

#include "io.h"
#include "platform.h"
#include "sys.h"

#include <errno.h>

static enum attempt blocked(struct desc *desc, unsigned direction)
{
    desc->flags &= ~(uint32_t)direction;
    return ATTEMPT_BLOCKED;
}

static enum attempt attempt_ready(struct op *op, unsigned wanted, int *status)
{
    struct desc *desc = op->desc;
    int found = loop__io_poll(desc->os.fd, wanted);

    if (found == 0) {
        if (wanted & LOOP_READABLE)
            desc->flags &= ~(uint32_t)DESC_READABLE;
        if (wanted & LOOP_WRITABLE)
            desc->flags &= ~(uint32_t)DESC_WRITABLE;
        return ATTEMPT_BLOCKED;
    }
    *status = found < 0 ? found : 0;
    if (found > 0 && op->kind == OP_READY)
        op->result_flags |= (unsigned)found;
    return ATTEMPT_DONE;
}

static void skip_empty_bufs(struct op *op)
{
    while (op->first < op->nbufs && op->bufs[op->first].len == 0)
        op->first++;
}

/* Bytes of the buffers that one system call takes. */
static size_t room_of_call(const loop_buf_t *bufs, unsigned nbufs)
{
    size_t room = 0;

    for (unsigned i = 0; i < loop__iovec_count(nbufs); i++)
        room += bufs[i].len;
    return room;
}

static enum attempt attempt_read(struct op *op, int *status)
{
    struct desc *desc = op->desc;
    size_t room;
    ptrdiff_t n;

    skip_empty_bufs(op);
    if (op->first == op->nbufs) /* of none at all the array may be NULL */
        return attempt_ready(op, LOOP_READABLE, status);
    room = room_of_call(op->bufs + op->first, op->nbufs - op->first);
    n = loop__io_read(desc->os.fd, op->bufs + op->first, op->nbufs - op->first);
    if (n == LOOP_EAGAIN)
        return blocked(desc, DESC_READABLE);
    if (n > 0) {
        op->bytes = (size_t)n;
        if ((size_t)n < room && loop__readiness_drained(desc, (size_t)n))
            desc->flags &= ~(uint32_t)DESC_READABLE;
    }
    *status = n > 0 ? 0 : n == 0 ? LOOP_EOF : (int)n;
    return ATTEMPT_DONE;
}

/* A datagram went, or came, with n bytes. */
static enum attempt datagram_done(struct op *op, ptrdiff_t n, unsigned direction, int *status)
{
    if (n == LOOP_EAGAIN)
        return blocked(op->desc, direction);
    if (n > 0)
        op->bytes = (size_t)n;
    *status = n < 0 ? (int)n : 0;
    return ATTEMPT_DONE;
}

static enum attempt attempt_receive(struct op *op, int *status)
{
    /* They could keep those behind them out of a call, which takes only so many. */
    skip_empty_bufs(op);
    return datagram_done(op, loop__io_receive(op->desc->os.fd, op), DESC_READABLE, status);
}

static enum attempt attempt_accept(struct op *op, int *status)
{
    *status = loop__socket_accept(op->desc->os.fd, &op->os.fd);
    return *status == LOOP_EAGAIN ? blocked(op->desc, DESC_READABLE) : ATTEMPT_DONE;
}

/* The buffers that are not done, while submitting from the caller's array, which must not be changed. */
static ptrdiff_t write_rest(struct op *op)
{
    struct desc *desc = op->desc;
    const loop_buf_t *bufs = op->bufs + op->first;
    unsigned nbufs = op->nbufs - op->first;
    size_t before = op->bytes;
    loop_buf_t rest;

    if (op->state == OP_SUBMITTING && before > 0) {
        for (uint32_t i = 0; i < op->first; i++)
            before -= op->bufs[i].len;
        if (before > 0) {
            rest.base = (char *)bufs->base + before;
            rest.len = bufs->len - before;
            bufs = &rest;
            nbufs = 1;
        }
    }
    return loop__io_write(desc->os.fd, (desc->flags & DESC_SOCKET) != 0, bufs, nbufs);
}

static enum attempt attempt_write(struct op *op, int *status)
{
    for (int i = 0; i < WRITES_PER_ATTEMPT; i++) {
        ptrdiff_t n;

        /* Empty buffers need no call; on a pipe or stream they send nothing. */
        skip_empty_bufs(op);
        if (op->first == op->nbufs) {
            *status = 0;
            return ATTEMPT_DONE;
        }
        n = write_rest(op);
        if (n == LOOP_EAGAIN)
            return blocked(op->desc, DESC_WRITABLE);
        if (n <= 0) {
            *status = n < 0 ? (int)n : LOOP_EIO; /* nothing of something: trying again would never end */
            return ATTEMPT_DONE;
        }
        loop__op_advance(op, (size_t)n);
    }
    if (op->first == op->nbufs) {
        *status = 0;
        return ATTEMPT_DONE;
    }
    return ATTEMPT_YIELDED;
}

static enum attempt attempt_send(struct op *op, int *status)
{
    return datagram_done(op, loop__io_send(op->desc->os.fd, op), DESC_WRITABLE, status);
}

static int connect_error(void)
{
#ifdef __OpenBSD__
    if (errno == EINVAL)
        return LOOP_ECONNREFUSED; /* of a port of this host on which nobody listens */
#endif
    return loop__errno();
}

/* connect() itself; attaching comes after it, because an unconnected socket reports a hang-up. */
static enum attempt connect_start(struct op *op, int *status)
{
    struct desc *desc = op->desc;
    loop_t *loop = desc->handle.loop;
    int rc = loop__sys.connect(desc->os.fd, op->to, (socklen_t)loop__address_length(op->to));
    bool pending = rc != 0 && (errno == EINPROGRESS || errno == EINTR);

    op->started = 1;
    *status = rc == 0 || pending ? 0 : connect_error();
    if (*status != 0)
        return ATTEMPT_DONE;
    if (!(desc->flags & DESC_ATTACHED)) {
        *status = loop->backend->attach(loop, desc);
        if (*status != 0)
            return ATTEMPT_DONE;
        desc->flags |= DESC_ATTACHED;
    }
    return pending ? blocked(desc, DESC_WRITABLE) : ATTEMPT_DONE;
}

/* What became of the connection, and is told once. */
static int error_of_socket(int fd)
{
    int error = 0;
    socklen_t len = sizeof(error);

    if (loop__sys.getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0)
        error = errno;
    return error != 0 ? loop__system_error(error) : 0;
}

static enum attempt connect_result(struct op *op, int *status)
{
    struct desc *desc = op->desc;
    struct sockaddr_storage name;
    socklen_t len = sizeof(name);

    *status = error_of_socket(desc->os.fd);
    if (*status != 0 || !(desc->flags & DESC_UNSURE))
        return ATTEMPT_DONE;
    /* A hang-up without an error may stem from the time before connect(). */
    if (loop__sys.getpeername(desc->os.fd, (struct sockaddr *)&name, &len) != 0) {
        *status = loop__errno();
        /* Of a socket that is over in both directions, on macOS: it was connected, or has failed since it was asked. */
        if (*status == LOOP_EINVAL)
            *status = error_of_socket(desc->os.fd);
        /* Hung up still: it failed, and whoever else has the socket, in another process, was told why. */
        if (*status == LOOP_ENOTCONN && loop__io_poll(desc->os.fd, LOOP_WRITABLE) == 0)
            return blocked(desc, DESC_WRITABLE);
    }
    return ATTEMPT_DONE;
}

/* An exit can be told again and again, a change once. */
static enum attempt attempt_watched(struct op *op, int *status)
{
    struct posix_desc *posix = loop__posix(op->desc);

    if (posix->unread == 0)
        return blocked(op->desc, DESC_READABLE);
    if (op->kind == OP_CHANGE) {
        op->result_flags |= posix->unread;
        posix->unread = 0;
    }
    *status = 0;
    return ATTEMPT_DONE;
}

enum attempt loop__attempt(struct op *op, int *status)
{
    switch ((enum op_kind)op->kind) {
    case OP_ACCEPT:
        return attempt_accept(op, status);
    case OP_CONNECT:
        return op->started ? connect_result(op, status) : connect_start(op, status);
    case OP_READ:
        return attempt_read(op, status);
    case OP_WRITE:
        return attempt_write(op, status);
    case OP_RECEIVE:
        return attempt_receive(op, status);
    case OP_SEND:
        return attempt_send(op, status);
    case OP_READY:
        return attempt_ready(op, op->events, status);
    case OP_EXIT:
    case OP_CHANGE:
        return attempt_watched(op, status);
    case OP_SHUTDOWN:
        *status = loop__socket_shutdown(op->desc->os.fd);
        return ATTEMPT_DONE;
    case OP_NONE:
        break;
    }
    *status = LOOP_EINVAL;
    return ATTEMPT_DONE;
}
