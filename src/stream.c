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
    if (stream->desc.flags & DESC_READ_EXPIRED)
        loop__desc_ready(&stream->desc, TODO_READ);
    else
        loop->backend->arm(loop, &stream->desc, READ_FIRST);
    return 0;
}

int loop__stream_read_stop(struct stream *stream)
{
    if (stream->flags & STREAM_READING) {
        stream->flags &= ~(uint32_t)STREAM_READING;
        loop__handle_stop(&stream->desc.handle);
    }
    return 0;
}

void loop__stream_readable(struct stream *stream)
{
    loop_t *loop = stream->desc.handle.loop;
    loop_buf_t buf = {loop->scratch, SCRATCH_SIZE};
    bool given = stream->alloc_cb != NULL; /* the callback may start reading anew without one */
    enum read_seen seen = READ_SHORT;
    ptrdiff_t n;

    if (!(stream->flags & STREAM_READING))
        return;
    if (stream->desc.flags & DESC_READ_EXPIRED) {
        const loop_buf_t none = {NULL, 0};

        (void)loop__stream_read_stop(stream);
        stream->cb.read((loop_tcp_t *)stream, LOOP_ETIMEDOUT, &none);
        return;
    }
    if (given) {
        buf.base = NULL;
        buf.len = 0;
        stream->alloc_cb((loop_tcp_t *)stream, SCRATCH_SIZE, &buf);
        if ((stream->desc.handle.flags & HANDLE_CLOSING) || !(stream->flags & STREAM_READING)) {
            /* Closed or stopped in there: a buffer given all the same goes back, unless nothing may be called any more. */
            if (buf.base != NULL && buf.len > 0 && !(stream->desc.handle.flags & HANDLE_CLOSING))
                stream->cb.read((loop_tcp_t *)stream, 0, &buf);
            return;
        }
        if (buf.base == NULL || buf.len == 0) {
            (void)loop__stream_read_stop(stream);
            stream->cb.read((loop_tcp_t *)stream, LOOP_ENOBUFS, &buf);
            return;
        }
        if (buf.len > PTRDIFF_MAX)
            buf.len = PTRDIFF_MAX;
    }

    n = loop__socket_recv(stream->desc.os.fd, buf.base, buf.len);
    if (n > 0) {
        seen = (size_t)n == buf.len ? READ_FULL : READ_SHORT;
        stream->cb.read((loop_tcp_t *)stream, n, &buf);
    } else if (n == LOOP_EAGAIN) {
        seen = READ_EMPTY;
        if (given)
            stream->cb.read((loop_tcp_t *)stream, 0, &buf);
    } else {
        stream->flags |= n == 0 ? STREAM_EOF : 0u;
        (void)loop__stream_read_stop(stream);
        stream->cb.read((loop_tcp_t *)stream, n == 0 ? LOOP_EOF : n, &buf);
        return;
    }
    if (stream->flags & STREAM_READING)
        loop->backend->arm(loop, &stream->desc, seen);
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
        error = loop__op_prepare(&stream->desc, op, OP_WRITE, cb);
    if (error == 0)
        error = loop__op_set_bufs(op, bufs, nbufs);
    if (error == 0)
        error = loop__op_submit(op);
    if (error == 0 && op->state == OP_PARKED) {
        stream->queued += loop__op_left(op);
        if (stream->queued > stream->high && stream->drain_cb != NULL)
            stream->flags |= STREAM_ABOVE;
    }
    return error;
}

ptrdiff_t loop__stream_try_write(struct stream *stream, const loop_buf_t *bufs, unsigned nbufs)
{
    int error = writable(stream);

    if (error != 0)
        return error;
    if (bufs == NULL || nbufs == 0)
        return bufs == NULL && nbufs > 0 ? LOOP_EINVAL : 0;
    if (stream->desc.flags & DESC_WRITE_EXPIRED)
        return LOOP_ETIMEDOUT;
    if (!list_empty(&stream->desc.writes) || !(stream->flags & STREAM_CONNECTED))
        return LOOP_EAGAIN;
    return loop__socket_send(stream->desc.os.fd, bufs, nbufs);
}

int loop__stream_shutdown(struct stream *stream, struct op *op, loop_op_cb cb)
{
    int error = writable(stream);

    if (error == 0)
        error = loop__op_prepare(&stream->desc, op, OP_SHUTDOWN, cb);
    if (error == 0)
        error = loop__op_submit(op);
    if (error == 0)
        stream->flags |= STREAM_SHUT;
    return error;
}

void loop__stream_unqueue(struct stream *stream, size_t n)
{
    stream->queued -= n;
    if ((stream->flags & STREAM_ABOVE) && stream->queued <= stream->low &&
        !(stream->desc.handle.flags & HANDLE_CLOSING))
        loop__desc_ready(&stream->desc, TODO_DRAIN);
}

void loop__stream_drained(struct stream *stream)
{
    /* It may have grown again since. */
    if (!(stream->flags & STREAM_ABOVE) || stream->queued > stream->low)
        return;
    stream->flags &= ~(uint32_t)STREAM_ABOVE;
    if (stream->drain_cb != NULL)
        stream->drain_cb((loop_tcp_t *)stream);
}
