/*
 * Streams: reading under control of the user, the write queue with its marks, shutdown. Written once for every kind of
 * stream handle; what is peculiar to TCP is in tcp.c. Writes and shutdowns are operations in the descriptor's write queue,
 * which keeps their order; reads go into memory that is chosen right before them.
 */
#include "internal.h"
#include "platform.h"

void loop__stream_init(struct stream *stream)
{
    stream->cb.read = NULL;
    stream->alloc_cb = NULL;
    stream->os.accepted = LOOP_INVALID_FD;
    stream->desc.ready.kind = READY_STREAM;
    stream->queued = 0;
    stream->low = 0;
    stream->high = 0;
    stream->drain_cb = NULL;
    stream->flags = 0;
}

/* --------------------------------------------------------------------------------------------------------- reading -- */

int loop__stream_read_start(struct stream *stream, loop_alloc_cb alloc_cb, loop_read_cb cb)
{
    loop_t *loop = stream->desc.handle.loop;

    if (cb == NULL)
        return LOOP_EINVAL;
    if (!(stream->flags & STREAM_CONNECTED))
        return LOOP_ENOTCONN;
    if (stream->flags & STREAM_READING)
        return LOOP_EALREADY;
    if (alloc_cb == NULL && loop->scratch == NULL) {
        loop->scratch = loop__resize(loop, NULL, SCRATCH_SIZE);
        if (loop->scratch == NULL)
            return LOOP_ENOMEM;
    }
    stream->alloc_cb = alloc_cb;
    stream->cb.read = cb;
    stream->flags |= STREAM_READING;
    loop__handle_start(&stream->desc.handle);
    loop->backend->arm(loop, &stream->desc, READ_FIRST);
    if (stream->desc.flags & DESC_READ_EXPIRED)
        loop__desc_ready(&stream->desc, TODO_READ);
    return 0;
}

int loop__stream_read_stop(struct stream *stream)
{
    if (stream->flags & STREAM_READING) {
        stream->flags &= ~(uint32_t)STREAM_READING;
        stream->desc.flags &= (uint16_t)~DESC_ARMED;
        loop__handle_stop(&stream->desc.handle);
    }
    return 0;
}

/* The buffer of the user's hook. False: there is none, and the read callback has been told if it had to be. */
static bool ask_for_buffer(struct stream *stream, loop_buf_t *buf)
{
    buf->base = NULL;
    buf->len = 0;
    stream->alloc_cb((loop_tcp_t *)stream, SCRATCH_SIZE, buf);
    if (!(stream->flags & STREAM_READING)) {
        /* Closed or stopped in there: a buffer given all the same goes back. */
        if (buf->base != NULL && buf->len > 0)
            stream->cb.read((loop_tcp_t *)stream, 0, buf);
        return false;
    }
    if (buf->base == NULL || buf->len == 0) {
        (void)loop__stream_read_stop(stream);
        stream->cb.read((loop_tcp_t *)stream, LOOP_ENOBUFS, buf);
        return false;
    }
    if (buf->len > PTRDIFF_MAX)
        buf->len = PTRDIFF_MAX;
    return true;
}

static void end_reading(struct stream *stream, ptrdiff_t why, const loop_buf_t *buf)
{
    (void)loop__stream_read_stop(stream);
    stream->cb.read((loop_tcp_t *)stream, why, buf);
}

/* No data: there was nothing after all, the end, or an error. given: the buffer is the user's. */
static bool read_nothing(struct stream *stream, ptrdiff_t n, const loop_buf_t *buf, bool given)
{
    loop_t *loop = stream->desc.handle.loop;

    if (n == LOOP_EAGAIN) {
        if (given)
            stream->cb.read((loop_tcp_t *)stream, 0, buf);
        if (stream->flags & STREAM_READING)
            loop->backend->arm(loop, &stream->desc, READ_EMPTY);
        return given;
    }
    if (n == 0)
        stream->flags |= STREAM_EOF;
    end_reading(stream, n == 0 ? LOOP_EOF : n, buf);
    return true;
}

bool loop__stream_readable(struct stream *stream)
{
    loop_t *loop = stream->desc.handle.loop;
    loop_buf_t buf = {loop->scratch, SCRATCH_SIZE};
    bool given = stream->alloc_cb != NULL; /* the hook may start reading anew without one */
    bool full;
    ptrdiff_t n;

    if (!(stream->flags & STREAM_READING))
        return false;
    if (stream->desc.flags & DESC_READ_EXPIRED) {
        end_reading(stream, LOOP_ETIMEDOUT, &(loop_buf_t){NULL, 0});
        return true;
    }
    if (given && !ask_for_buffer(stream, &buf))
        return true;
    n = loop__socket_recv(stream->desc.os.fd, buf.base, buf.len);
    if (n <= 0)
        return read_nothing(stream, n, &buf, given);

    full = (size_t)n == buf.len;
    if (!full && loop__desc_short_read_drains(&stream->desc)) {
        stream->desc.flags &= (uint16_t)~DESC_READABLE;
        stream->cb.read((loop_tcp_t *)stream, n, &buf);
        return true;
    }
    stream->cb.read((loop_tcp_t *)stream, n, &buf);
    if (stream->flags & STREAM_READING)
        loop->backend->arm(loop, &stream->desc, full ? READ_FULL : READ_SHORT);
    return true;
}

/* --------------------------------------------------------------------------------------------------------- writing -- */

static int writable(const struct stream *stream)
{
    if (stream->flags & STREAM_SHUT)
        return LOOP_EPIPE;
    return stream->flags & (STREAM_CONNECTED | STREAM_CONNECTING) ? 0 : LOOP_ENOTCONN;
}

int loop__stream_write(struct stream *stream, struct op *op, const loop_buf_t *bufs, unsigned nbufs, loop_op_cb cb)
{
    int error = writable(stream);

    if (error == 0)
        error = loop__op_check(op);
    if (error == 0)
        error = loop__op_check_bufs(op, bufs, nbufs);
    if (error != 0)
        return error;
    loop__op_fill(op, &stream->desc, OP_WRITE, bufs, nbufs, cb);
    return loop__op_submit(op);
}

/* Why nothing can be tried now. */
static ptrdiff_t try_write_refused(const struct stream *stream, const loop_buf_t *bufs, unsigned nbufs)
{
    int error = writable(stream);

    if (error != 0)
        return error;
    if (bufs == NULL || nbufs == 0)
        return nbufs > 0 ? LOOP_EINVAL : 0;
    if (stream->desc.flags & DESC_WRITE_EXPIRED)
        return LOOP_ETIMEDOUT;
    return LOOP_EAGAIN;
}

ptrdiff_t loop__stream_try_write(struct stream *stream, const loop_buf_t *bufs, unsigned nbufs)
{
    const uint32_t open = stream->flags & (STREAM_CONNECTED | STREAM_SHUT);

    if (open != STREAM_CONNECTED || (stream->desc.flags & DESC_WRITE_EXPIRED) || bufs == NULL || nbufs == 0 ||
        !list_empty(&stream->desc.writes))
        return try_write_refused(stream, bufs, nbufs);
    return loop__socket_send(stream->desc.os.fd, bufs, nbufs);
}

int loop__stream_shutdown(struct stream *stream, struct op *op, loop_op_cb cb)
{
    int error = writable(stream);

    if (error == 0)
        error = loop__op_check(op);
    if (error != 0)
        return error;
    loop__op_fill(op, &stream->desc, OP_SHUTDOWN, NULL, 0, cb);
    error = loop__op_submit(op);
    if (error == 0)
        stream->flags |= STREAM_SHUT;
    return error;
}

void loop__stream_op_done(struct stream *stream, enum op_kind kind, int status)
{
    if (kind == OP_CONNECT)
        loop__tcp_connect_done(stream, status);
    /* Ended before its turn, it has shut nothing. */
    else if (status == LOOP_ECANCELED || status == LOOP_ETIMEDOUT)
        stream->flags &= ~(uint32_t)STREAM_SHUT;
}

void loop__stream_queue(struct stream *stream, size_t n)
{
    stream->queued += n;
    if (stream->queued > stream->high && stream->drain_cb != NULL)
        stream->flags |= STREAM_ABOVE;
}

void loop__stream_unqueue(struct stream *stream, size_t n)
{
    stream->queued -= n;
    if ((stream->flags & STREAM_ABOVE) && stream->queued <= stream->low &&
        !(stream->desc.handle.flags & HANDLE_CLOSING))
        loop__desc_ready(&stream->desc, TODO_DRAIN);
}

bool loop__stream_drained(struct stream *stream)
{
    /* It may have grown again since. */
    if (!(stream->flags & STREAM_ABOVE) || stream->queued > stream->low)
        return false;
    stream->flags &= ~(uint32_t)STREAM_ABOVE;
    if (stream->drain_cb == NULL)
        return false;
    stream->drain_cb((loop_tcp_t *)stream);
    return true;
}
