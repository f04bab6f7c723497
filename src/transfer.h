/*
 * The path of one buffer, which is what connections read and write most of the time. Inline in the public calls, so that a packet
 * pays for nothing that it does not need.
 */
#ifndef LOOP_TRANSFER_H
#define LOOP_TRANSFER_H

#include "internal.h"

#include "os_transfer.h"

/* One buffer that has room, and nothing odd about it; else loop__op_check_bufs() has to look. */
LOOP_INLINE bool loop__op_is_one_buf(const loop_buf_t *bufs, unsigned nbufs)
{
    return nbufs == 1 && bufs != NULL && bufs->base != NULL && (ptrdiff_t)bufs->len > 0;
}

/* A read of one buffer. Its copy is the operation's from the beginning, which costs no more than to keep the caller's array. */
LOOP_INLINE int loop__op_read_one(struct op *op, struct desc *desc, const loop_buf_t *buf, loop_op_cb cb)
{
    loop__op_begin(op, desc, OP_READ, KEPT_READ, cb);
    op->keep.bufs[0] = *buf;
    loop__op_set_bufs(op, op->keep.bufs, 1);
    return loop__op_submit(op);
}

/* A write of one buffer that mostly goes out as a whole: nothing is copied then, and nothing else looked at. unless: what else
 * keeps it from being tried at once. */
LOOP_INLINE bool loop__op_may_send(const struct op *op, const struct desc *desc, const loop_buf_t *bufs, unsigned nbufs,
                                   unsigned unless)
{
    const unsigned all = DESC_SOCKET | DESC_WRITABLE | DESC_WRITES | DESC_WRITE_EXPIRED | DESC_FAILED;

    return (desc->flags & (all | unless)) == (DESC_SOCKET | DESC_WRITABLE) && op != NULL && op->state == OP_IDLE &&
           loop__op_is_one_buf(bufs, nbufs);
}

/* And tries it. False: loop__op_sent() takes what is left, or the error. */
LOOP_INLINE bool loop__op_send(struct op *op, struct desc *desc, const loop_buf_t *buf, loop_op_cb cb, ptrdiff_t *n)
{
    loop_t *loop;

    /* Kept in the operation, not in registers, over the call. */
    loop__op_begin(op, desc, OP_WRITE, KEPT_NOT, cb);
    op->bufs = (loop_buf_t *)(uintptr_t)buf;
    *n = loop__socket_send(desc->os.fd, buf->base, buf->len);
    if (*n != (ptrdiff_t)op->bufs->len)
        return false;
    op->bytes = (size_t)*n;
    op->status = 0;
    op->result_flags = 0;
    loop = op->desc->handle.loop;
    loop__op_accept(loop, op);
    loop__op_queue(loop, op);
    loop__made_ready(loop);
    return true;
}

LOOP_INLINE int loop__stream_write(struct stream *stream, struct op *op, const loop_buf_t *bufs, unsigned nbufs,
                                   loop_op_cb cb)
{
    ptrdiff_t n;

    if (!loop__op_may_send(op, &stream->desc, bufs, nbufs, DESC_SEALED))
        return loop__stream_write_else(stream, op, bufs, nbufs, cb);
    return loop__op_send(op, &stream->desc, bufs, cb, &n) ? 0 : loop__stream_write_rest(op, n);
}

LOOP_INLINE ptrdiff_t loop__stream_try_write(struct stream *stream, const loop_buf_t *bufs, unsigned nbufs)
{
    if ((stream->desc.flags & (DESC_SEALED | DESC_WRITE_EXPIRED | DESC_WRITES)) || nbufs != 1 || bufs == NULL)
        return loop__stream_try_write_else(stream, bufs, nbufs);
    return loop__socket_try_send(stream->desc.os.fd, bufs);
}

#endif
