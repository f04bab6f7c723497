/*
 * Streams: reading under control of the user, the write queue with its marks, shutdown. Written once for every kind of
 * stream handle; what is peculiar to TCP is in tcp.c. Writes and shutdowns are operations in the descriptor's write queue,
 * which keeps their order; reads go into memory that is chosen right before them.
 */
#include "platform.h"
#include "transfer.h"

void loop__stream_init(struct stream *stream)
{
    stream->cb.read = NULL;
    stream->alloc_cb = NULL;
    stream->os.accepted = LOOP_INVALID_FD;
    stream->desc.flags |= DESC_SEALED;
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
    if (alloc_cb == NULL && loop->scratch.base == NULL) {
        loop->scratch.base = loop__resize(loop, NULL, SCRATCH_SIZE);
        if (loop->scratch.base == NULL)
            return LOOP_ENOMEM;
        loop->scratch.len = SCRATCH_SIZE;
    }
    stream->alloc_cb = alloc_cb;
    stream->cb.read = cb;
    stream->flags |= STREAM_READING;
    loop__handle_start(&stream->desc.handle);
    stream->desc.flags &= ~(uint32_t)DESC_UNREADABLE;
    loop->backend->arm(loop, &stream->desc, READ_FIRST, 0);
    if (stream->desc.flags & DESC_READ_EXPIRED)
        loop__desc_ready(&stream->desc, TODO_READ);
    return 0;
}

int loop__stream_read_stop(struct stream *stream)
{
    if (stream->flags & STREAM_READING) {
        stream->flags &= ~(uint32_t)STREAM_READING;
        stream->desc.flags &= ~(uint32_t)DESC_ARMED;
        loop__handle_stop(&stream->desc.handle);
    }
    return 0;
}

/* Closed or stopped in the user's hook, or no buffer from it, or one that is larger than any. */
LOOP_APART static bool take_odd_buffer(struct stream *stream)
{
    loop_buf_t *buf = &stream->desc.handle.loop->given;
    bool given = buf->base != NULL && buf->len > 0;

    if (!(stream->flags & STREAM_READING)) {
        if (given)
            stream->cb.read((loop_tcp_t *)stream, 0, buf); /* it goes back */
        return false;
    }
    if (!given) {
        (void)loop__stream_read_stop(stream);
        stream->cb.read((loop_tcp_t *)stream, LOOP_ENOBUFS, buf);
        return false;
    }
    buf->len = PTRDIFF_MAX;
    return true;
}

/* The buffer of the user's hook, in loop->given. False: there is none, and the read callback has been told if it had to be. */
LOOP_INLINE bool ask_for_buffer(struct stream *stream)
{
    loop_buf_t *buf = &stream->desc.handle.loop->given;

    buf->base = NULL;
    buf->len = 0;
    stream->alloc_cb((loop_tcp_t *)stream, SCRATCH_SIZE, buf);
    buf = &stream->desc.handle.loop->given;
    if ((stream->flags & STREAM_READING) && buf->base != NULL && (ptrdiff_t)buf->len > 0)
        return true;
    return take_odd_buffer(stream);
}

static void end_reading(struct stream *stream, ptrdiff_t why, const loop_buf_t *buf)
{
    (void)loop__stream_read_stop(stream);
    stream->cb.read((loop_tcp_t *)stream, why, buf);
}

/* There may be more. */
LOOP_APART static void read_part(struct stream *stream, ptrdiff_t n, const loop_buf_t *buf)
{
    loop_t *loop = stream->desc.handle.loop;
    enum read_seen seen = (size_t)n == buf->len ? READ_FULL : READ_SHORT;

    stream->cb.read((loop_tcp_t *)stream, n, buf);
    if (stream->flags & STREAM_READING)
        loop->backend->arm(loop, &stream->desc, seen, (size_t)n);
}

static void read_empty(struct stream *stream, const loop_buf_t *buf)
{
    loop_t *loop = stream->desc.handle.loop;

    if (buf != &loop->scratch)
        stream->cb.read((loop_tcp_t *)stream, 0, buf); /* it goes back */
    else
        loop->futile++;
    if (stream->flags & STREAM_READING)
        loop->backend->arm(loop, &stream->desc, READ_EMPTY, 0);
}

/* No data: an interruption, nothing after all, the end, or an error. */
LOOP_APART static void read_nothing(struct stream *stream, ptrdiff_t n, const loop_buf_t *buf)
{
    n = loop__socket_error(n);
    while (n == LOOP_EINTR)
        n = loop__socket_error(loop__socket_recv(stream->desc.os.fd, buf->base, buf->len));
    if (n > 0) {
        read_part(stream, n, buf);
    } else if (n == LOOP_EAGAIN) {
        read_empty(stream, buf);
    } else if (n < 0) {
        end_reading(stream, n, buf);
    } else {
        stream->flags |= STREAM_EOF;
        end_reading(stream, LOOP_EOF, buf);
    }
}

/* It accepts; or reading was stopped since, or its deadline has passed, or nothing would tell what comes. */
LOOP_APART static void read_not_at_all(struct stream *stream)
{
    ptrdiff_t why = stream->desc.flags & DESC_READ_EXPIRED ? LOOP_ETIMEDOUT : stream->unreadable;

    if (stream->flags & STREAM_READING)
        end_reading(stream, why, &(loop_buf_t){NULL, 0});
    else if (!(stream->flags & STREAM_LISTENING) || !loop__tcp_acceptable(stream))
        stream->desc.handle.loop->futile++;
}

/* A read of so much room gave n. */
LOOP_INLINE void read_done(struct stream *stream, ptrdiff_t n, const loop_buf_t *buf, size_t room)
{
    /* Neither nothing nor all; what is not above 0 is far beyond any room here, so that one comparison tells. */
    if ((size_t)n - 1 < room - 1 && loop__desc_short_read_drains(&stream->desc)) {
        stream->desc.flags &= ~(uint32_t)DESC_READABLE;
        stream->cb.read((loop_tcp_t *)stream, n, buf);
    } else if (n <= 0) {
        read_nothing(stream, n, buf);
    } else {
        read_part(stream, n, buf);
    }
}

LOOP_APART static void read_into_given(struct stream *stream)
{
    const loop_buf_t *buf;
    ptrdiff_t n;

    if (!ask_for_buffer(stream))
        return;
    buf = &stream->desc.handle.loop->given;
    n = loop__socket_recv(stream->desc.os.fd, buf->base, buf->len);
    buf = &stream->desc.handle.loop->given; /* read anew, not kept in a register over the call */
    read_done(stream, n, buf, buf->len);
}

LOOP_APART static void read_into_scratch(struct stream *stream)
{
    const loop_buf_t *scratch = &stream->desc.handle.loop->scratch;
    ptrdiff_t n = loop__socket_recv(stream->desc.os.fd, scratch->base, SCRATCH_SIZE);

    read_done(stream, n, &stream->desc.handle.loop->scratch, SCRATCH_SIZE);
}

void loop__stream_readable(struct stream *stream)
{
    if (!(stream->flags & STREAM_READING) || (stream->desc.flags & (DESC_READ_EXPIRED | DESC_UNREADABLE)))
        read_not_at_all(stream);
    else if (stream->alloc_cb != NULL)
        read_into_given(stream);
    else
        read_into_scratch(stream);
}

void loop__desc_unreadable(struct desc *desc, int error)
{
    ((struct stream *)desc)->unreadable = error;
    desc->flags |= DESC_UNREADABLE;
    loop__desc_ready(desc, TODO_READ);
}

/* --------------------------------------------------------------------------------------------------------- writing -- */

static int writable(const struct stream *stream)
{
    if (stream->flags & STREAM_SHUT)
        return LOOP_EPIPE;
    return stream->flags & (STREAM_CONNECTED | STREAM_CONNECTING) ? 0 : LOOP_ENOTCONN;
}

/* What was written is queued, in part at least. Only now: on some systems that is so for a moment even of what goes out at once. */
static int note_mark(struct stream *stream, int error)
{
    if (stream->queued > stream->high && stream->drain_cb != NULL)
        stream->flags |= STREAM_ABOVE;
    return error;
}

int loop__stream_write_rest(struct op *op, ptrdiff_t n)
{
    return note_mark((struct stream *)op->desc, loop__op_sent(op, n));
}

int loop__stream_write_else(struct stream *stream, struct op *op, const loop_buf_t *bufs, unsigned nbufs, loop_op_cb cb)
{
    int error = writable(stream);

    if (error == 0)
        error = loop__op_check(op);
    if (error != 0)
        return error;
    return note_mark(stream, loop__op_transfer(op, &stream->desc, OP_WRITE, bufs, nbufs, cb));
}

ptrdiff_t loop__stream_try_write_else(const struct stream *stream, const loop_buf_t *bufs, unsigned nbufs)
{
    int error = writable(stream);

    if (error != 0)
        return error;
    if (bufs == NULL || nbufs == 0)
        return nbufs > 0 ? LOOP_EINVAL : 0;
    if (stream->desc.flags & DESC_WRITE_EXPIRED)
        return LOOP_ETIMEDOUT;
    if (!(stream->flags & STREAM_CONNECTED) || !list_empty(&stream->desc.writes))
        return LOOP_EAGAIN;
    return loop__socket_send_many(stream->desc.os.fd, bufs, nbufs);
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
        loop__stream_set(stream, STREAM_SHUT, 0);
    return error;
}

void loop__stream_op_done(struct stream *stream, enum op_kind kind, int status)
{
    if (kind == OP_CONNECT)
        loop__tcp_connect_done(stream, status);
    /* Ended before its turn, it has shut nothing. */
    else if ((status == LOOP_ECANCELED || status == LOOP_ETIMEDOUT) && !(stream->desc.handle.flags & HANDLE_CLOSING))
        loop__stream_set(stream, 0, STREAM_SHUT);
}

void loop__stream_queue(struct stream *stream, size_t n)
{
    stream->queued += n;
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
