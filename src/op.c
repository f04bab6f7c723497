/* Operations: submission, the way of a result back to its callback, and the public calls on loop_desc_t. */
#include "internal.h"
#include "platform.h"
#include "probe.h"

#include <string.h>

/* ----------------------------------------------------------------------------------------------------- submission -- */

/* Checks what all operations have in common and fills in op. It is not yet submitted. */
int loop__op_prepare(struct desc *desc, struct op *op, enum op_kind kind, loop_op_cb cb)
{
    if (op == NULL || cb == NULL)
        return LOOP_EINVAL;
    if (op->state != OP_IDLE)
        return LOOP_EBUSY;
    if (desc->handle.loop->closing)
        return LOOP_ECLOSED;
    op->bytes = 0;
    op->result_flags = 0;
    op->os.fd = LOOP_INVALID_FD;
    op->ready.kind = READY_OP;
    op->desc = desc;
    op->cb = cb;
    op->bufs = NULL;
    op->first = 0;
    op->nbufs = 0;
    op->kind = (uint8_t)kind;
    op->started = 0;
    op->from = NULL;
    op->to = NULL;
    return 0;
}

/* The caller's buffers: valid until the submission is over. */
int loop__op_set_bufs(struct op *op, const loop_buf_t *bufs, unsigned nbufs)
{
    size_t total = 0;

    if (bufs == NULL && nbufs > 0)
        return LOOP_EINVAL;
    for (unsigned i = 0; i < nbufs; i++) {
        if ((bufs[i].base == NULL && bufs[i].len > 0) || bufs[i].len > PTRDIFF_MAX - total)
            return LOOP_EINVAL;
        total += bufs[i].len;
    }
    op->bufs = (loop_buf_t *)(uintptr_t)bufs;
    op->nbufs = nbufs;
    return 0;
}

int loop__op_submit(struct op *op)
{
    struct desc *desc = op->desc;
    loop_t *loop = desc->handle.loop;
    int error;

    op->state = OP_SUBMITTING;
    desc->inflight++;
    loop->active_ops++;
    loop->metrics.submitted++;
    LOOP_PROBE4(submit, loop, desc, op, op->kind);
    error = loop->backend->submit(loop, op);
    if (error != 0) {
        op->state = OP_IDLE;
        desc->inflight--;
        loop->active_ops--;
        loop->metrics.submitted--;
    }
    return error;
}

/* ------------------------------------------------------------------------------------- what backends call meanwhile -- */

static bool keeps_address(const struct op *op)
{
    return op->kind == OP_SEND || op->kind == OP_RECEIVE;
}

static loop_buf_t *inline_bufs(struct op *op, uint32_t *room)
{
    *room = keeps_address(op) ? 1 : OP_INLINE_BUFS;
    return keeps_address(op) ? &op->keep.datagram.buf : op->keep.bufs;
}

int loop__op_keep(struct op *op)
{
    uint32_t left = op->nbufs - op->first;
    uint32_t room;
    loop_buf_t *copy = inline_bufs(op, &room);

    if (left > room) {
        copy = loop__resize(op->desc->handle.loop, NULL, left * sizeof(*copy));
        if (copy == NULL)
            return LOOP_ENOMEM;
    }
    if (left > 0)
        memcpy(copy, op->bufs + op->first, left * sizeof(*copy));
    /* While submitting, the part of the first buffer that is done is known only by op->bytes. */
    if (left > 0 && op->kind == OP_WRITE) {
        size_t before = op->bytes;

        for (uint32_t i = 0; i < op->first; i++)
            before -= op->bufs[i].len;
        copy[0].base = (char *)copy[0].base + before;
        copy[0].len -= before;
    }
    if (op->to != NULL) {
        size_t length = loop__address_length(op->to);

        memcpy(op->keep.datagram.address, op->to, length);
        op->to = (const struct sockaddr *)(const void *)op->keep.datagram.address;
    }
    op->bufs = copy;
    op->first = 0;
    op->nbufs = left;
    op->state = OP_PARKED;
    return 0;
}

size_t loop__op_left(const struct op *op)
{
    size_t left = 0;

    for (uint32_t i = op->first; i < op->nbufs; i++)
        left += op->bufs[i].len;
    return left;
}

/* Whether op is a write that counts in its stream's write queue. */
static struct stream *queued_in(const struct op *op)
{
    bool counts = op->state == OP_PARKED && op->kind == OP_WRITE && op->desc->handle.type == LOOP_TCP;

    return counts ? (struct stream *)op->desc : NULL;
}

void loop__op_advance(struct op *op, size_t n)
{
    struct stream *stream = queued_in(op);

    op->bytes += n;
    if (op->state == OP_SUBMITTING) {
        /* The array is the caller's and stays as it is: skip what is done as a whole, loop__op_keep() does the rest. */
        size_t done = op->bytes;
        uint32_t first = 0;

        while (first < op->nbufs && op->bufs[first].len <= done)
            done -= op->bufs[first++].len;
        op->first = first;
        return;
    }
    if (stream != NULL)
        loop__stream_unqueue(stream, n);
    while (op->first < op->nbufs && op->bufs[op->first].len <= n)
        n -= op->bufs[op->first++].len;
    if (n > 0) {
        op->bufs[op->first].base = (char *)op->bufs[op->first].base + n;
        op->bufs[op->first].len -= n;
    }
}

void loop__op_cancel_queue(loop_t *loop, const struct link *queue)
{
    /* A backend may finish an operation later than in the call, so each is visited once. */
    for (struct link *link = queue->next, *next; link != queue; link = next) {
        next = link->next;
        loop->backend->cancel(loop, CONTAINER_OF(link, struct op, ready.link));
    }
}

void loop__op_finish(struct op *op, int status)
{
    loop_t *loop = op->desc->handle.loop;
    struct stream *stream = queued_in(op);

    if (stream != NULL && op->first < op->nbufs)
        loop__stream_unqueue(stream, loop__op_left(op));
    if (op->state == OP_PARKED && op->nbufs > 0) {
        uint32_t room;

        if (op->bufs != inline_bufs(op, &room))
            loop__free(loop, op->bufs);
    }
    op->status = status;
    op->state = OP_FINISHED;
    list_push(&loop->ready, &op->ready.link);
    LOOP_PROBE4(complete, loop, op, status, op->bytes);
    loop__made_ready(loop);
    /* What was written in advance can go nowhere. Closing cancels it by itself. */
    if (op->kind == OP_CONNECT && status != 0 && !(op->desc->handle.flags & HANDLE_CLOSING))
        loop__op_cancel_queue(loop, &op->desc->writes);
}

/* -------------------------------------------------------------------------------------------------------- delivery -- */

void loop__op_dispatch(struct op *op)
{
    struct desc *desc = op->desc;

    op->state = OP_IDLE;
    desc->handle.loop->active_ops--;
    if (op->kind == OP_CONNECT && desc->handle.type == LOOP_TCP)
        loop__tcp_connect_done((struct stream *)desc, op->status);
    loop__desc_released(desc);
    op->cb((loop_op_t *)op);
}

int loop_op_cancel(loop_op_t *public_op)
{
    struct op *op = (struct op *)public_op;
    loop_t *loop;

    if (op == NULL)
        return LOOP_EINVAL;
    if (op->state == OP_IDLE)
        return LOOP_ENOENT;
    loop = op->desc->handle.loop;
    if (op->state == OP_PARKED)
        loop->backend->cancel(loop, op);
    return 0;
}

loop_handle_t *loop_op_get_handle(const loop_op_t *op)
{
    return op != NULL ? (loop_handle_t *)((const struct op *)op)->desc : NULL;
}

/* ----------------------------------------------------------------------------------------- the calls on loop_desc_t -- */

static int prepare(loop_desc_t *desc, loop_op_t *op, enum op_kind kind, loop_op_cb cb)
{
    int error = loop__handle_check(desc, LOOP_DESC);

    return error != 0 ? error : loop__op_prepare((struct desc *)desc, (struct op *)op, kind, cb);
}

static int transfer(loop_desc_t *desc, loop_op_t *public_op, enum op_kind kind, const loop_buf_t *bufs, unsigned nbufs,
                    loop_op_cb cb)
{
    int error = prepare(desc, public_op, kind, cb);

    return error != 0 ? error : loop__op_set_bufs((struct op *)public_op, bufs, nbufs);
}

int loop_op_accept(loop_desc_t *desc, loop_op_t *op, loop_op_cb cb)
{
    int error = prepare(desc, op, OP_ACCEPT, cb);

    return error != 0 ? error : loop__op_submit((struct op *)op);
}

int loop_op_connect(loop_desc_t *desc, loop_op_t *op, const struct sockaddr *addr, loop_op_cb cb)
{
    int error = prepare(desc, op, OP_CONNECT, cb);

    if (error != 0)
        return error;
    if (addr == NULL || loop__address_length(addr) == 0)
        return LOOP_EINVAL;
    ((struct op *)op)->to = addr;
    return loop__op_submit((struct op *)op);
}

int loop_op_read(loop_desc_t *desc, loop_op_t *op, const loop_buf_t *bufs, unsigned nbufs, loop_op_cb cb)
{
    int error = transfer(desc, op, OP_READ, bufs, nbufs, cb);

    return error != 0 ? error : loop__op_submit((struct op *)op);
}

int loop_op_write(loop_desc_t *desc, loop_op_t *op, const loop_buf_t *bufs, unsigned nbufs, loop_op_cb cb)
{
    int error = transfer(desc, op, OP_WRITE, bufs, nbufs, cb);

    return error != 0 ? error : loop__op_submit((struct op *)op);
}

int loop_op_receive(loop_desc_t *desc, loop_op_t *op, const loop_buf_t *bufs, unsigned nbufs,
                    struct sockaddr_storage *from, loop_op_cb cb)
{
    int error = transfer(desc, op, OP_RECEIVE, bufs, nbufs, cb);

    if (error != 0)
        return error;
    ((struct op *)op)->from = from;
    return loop__op_submit((struct op *)op);
}

int loop_op_send(loop_desc_t *desc, loop_op_t *op, const loop_buf_t *bufs, unsigned nbufs, const struct sockaddr *to,
                 loop_op_cb cb)
{
    int error = transfer(desc, op, OP_SEND, bufs, nbufs, cb);

    if (error != 0)
        return error;
    if (to != NULL && loop__address_length(to) == 0)
        return LOOP_EINVAL;
    ((struct op *)op)->to = to;
    return loop__op_submit((struct op *)op);
}

int loop_op_ready(loop_desc_t *desc, loop_op_t *op, unsigned events, loop_op_cb cb)
{
    int error = prepare(desc, op, OP_READY, cb);

    if (error != 0)
        return error;
    if (events == 0 || (events & ~(LOOP_READABLE | LOOP_WRITABLE)))
        return LOOP_EINVAL;
    ((struct op *)op)->events = (uint8_t)events;
    return loop__op_submit((struct op *)op);
}
