/* Operations: submission, the way of a result back to its callback, and the public calls on loop_desc_t. */
#include "platform.h"
#include "transfer.h"

#include <string.h>

/* ----------------------------------------------------------------------------------------------------- submission -- */

int loop__op_check_bufs(struct op *op, const loop_buf_t *bufs, unsigned nbufs)
{
    size_t total = 0;

    if (bufs == NULL && nbufs > 0)
        return LOOP_EINVAL;
    for (unsigned i = 0; i < nbufs; i++) {
        if ((bufs[i].base == NULL && bufs[i].len > 0) || bufs[i].len > PTRDIFF_MAX - total)
            return LOOP_EINVAL;
        total += bufs[i].len;
    }
    op->keep.last.desc = op->desc;
    op->keep.last.bytes = op->bytes;
    op->keep.last.result_flags = op->result_flags;
    return 0;
}

/* Whether the deadline of the operation's direction has passed. A wait for both directions is one for reading. */
static bool is_expired(const struct op *op)
{
    return op->desc->flags & (loop__op_is_writing(op) ? DESC_WRITE_EXPIRED : DESC_READ_EXPIRED);
}

/* What is over before it begins, and stands behind what the system has not given back yet, ends after that. */
int loop__op_hand_over(struct op *op)
{
    struct desc *desc = op->desc;
    loop_t *loop = desc->handle.loop;
    bool writing = loop__op_is_writing(op);

    if (is_expired(op) || ((desc->flags & DESC_FAILED) && writing)) {
        op->ending = 1;
        op->expired = is_expired(op);
        if (list_empty(writing ? &desc->writes : &desc->reads)) {
            loop__op_finish(op, LOOP_ECANCELED);
            return 0;
        }
    }
    return loop->backend->submit(loop, op);
}

LOOP_APART int loop__op_transfer(struct op *op, struct desc *desc, enum op_kind kind, const loop_buf_t *bufs,
                                 unsigned nbufs, loop_op_cb cb)
{
    int error = loop__op_check_bufs(op, bufs, nbufs);

    if (error != 0)
        return error;
    loop__op_fill(op, desc, kind, bufs, nbufs, cb);
    return loop__op_submit(op);
}

LOOP_APART int loop__op_sent(struct op *op, ptrdiff_t n)
{
    loop_t *loop = op->desc->handle.loop;

    n = loop__socket_error(n);
    loop__op_set_bufs(op, op->bufs, 1);
    loop__op_accept(loop, op);
    if (n == 0 || (n < 0 && n != LOOP_EAGAIN && n != LOOP_EINTR)) {
        loop__op_finish(op, n < 0 ? (int)n : LOOP_EIO);
        return 0;
    }
    if (n == LOOP_EAGAIN)
        op->desc->flags &= ~(uint32_t)DESC_WRITABLE;
    else if (n > 0)
        loop__op_advance(op, (size_t)n);
    return loop->backend->submit(loop, op);
}

/* What is refused for lack of memory has many buffers, was not kept, and is as it was. */
static void give_back(struct op *op)
{
    op->state = OP_IDLE;
    op->desc = op->keep.last.desc;
    op->bytes = op->keep.last.bytes;
    op->result_flags = op->keep.last.result_flags;
}

int loop__op_refuse(struct op *op, int error)
{
    loop_t *loop = op->desc->handle.loop;

    op->desc->inflight--;
    loop->metrics.submitted--;
    give_back(op);
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
    bool counts = op->kind == OP_WRITE && op->kept && op->desc->handle.type == LOOP_TCP;

    return counts ? (struct stream *)op->desc : NULL;
}

int loop__op_keep(struct op *op)
{
    uint32_t left = op->nbufs - op->first;
    uint32_t room;
    loop_buf_t *copy = inline_bufs(op, &room);

    op->state = OP_PARKED;
    if (op->kept)
        return 0;
    if (left > room) {
        copy = loop__resize(op->desc->handle.loop, NULL, left * sizeof(*copy));
        if (copy == NULL) {
            op->state = OP_SUBMITTING;
            return LOOP_ENOMEM;
        }
    }
    op->kept = KEPT;
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
    if ((op->kind == OP_SEND || op->kind == OP_CONNECT) && op->to != NULL) {
        size_t length = loop__address_length(op->to);

        memcpy(op->keep.datagram.address, op->to, length);
        op->to = (const struct sockaddr *)(const void *)op->keep.datagram.address;
    }
    op->bufs = copy;
    op->first = 0;
    op->nbufs = left;
    if (queued_in(op) != NULL)
        loop__stream_queue((struct stream *)op->desc, loop__op_left(op));
    return 0;
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

/* ---------------------------------------------------------------------------------------------------------- the end -- */

void loop__op_end(struct op *op, bool expired)
{
    if (op->ending || op->state == OP_IDLE)
        return;
    op->ending = 1;
    op->expired = expired;
    if (op->state == OP_PARKED)
        op->desc->handle.loop->backend->cancel(op->desc->handle.loop, op);
}

void loop__op_end_queue(const struct link *queue, bool expired)
{
    const struct link *link = queue->next;

    /* Ending one may end others, and a backend may finish it later than in the call: begin anew after each. */
    while (link != queue) {
        struct op *op = CONTAINER_OF(link, struct op, ready.link);

        if (op->ending) {
            link = link->next;
        } else {
            loop__op_end(op, expired);
            link = queue->next;
        }
    }
}

/* What was copied or timed for the operation is given back. */
static void release(struct op *op)
{
    uint32_t room;

    if (loop__timer_started(&op->deadline))
        loop__timer_unset(op->desc->handle.loop, &op->deadline);
    if (op->kept && op->nbufs > 0 && op->bufs != inline_bufs(op, &room))
        loop__free(op->desc->handle.loop, op->bufs);
}

/* What was written in advance can go nowhere. Closing ends it by itself. */
static void connect_failed(struct op *op)
{
    if (op->desc->handle.flags & HANDLE_CLOSING)
        return;
    if (op->desc->handle.type == LOOP_TCP)
        loop__tcp_connect_failed((struct stream *)op->desc);
    /* One that was ended before its turn tells nothing about those beside it. */
    if (op->started) {
        op->desc->flags |= DESC_FAILED;
        loop__op_end_queue(&op->desc->writes, false);
    }
}

void loop__op_finish(struct op *op, int status)
{
    struct stream *stream = queued_in(op);

    if (stream != NULL && op->first < op->nbufs)
        loop__stream_unqueue(stream, loop__op_left(op));
    if (status == LOOP_ECANCELED && op->expired)
        status = LOOP_ETIMEDOUT;
    if (op->stream && status == 0)
        op->result_flags |= LOOP_OP_MORE;
    else
        release(op);
    loop__op_finish_clean(op->desc->handle.loop, op, status);
    if (op->kind == OP_CONNECT && status != 0)
        connect_failed(op);
}

/* -------------------------------------------------------------------------------------------------------- delivery -- */

void loop__op_go_on(struct op *op)
{
    op->bytes = 0;
    op->result_flags = 0;
    op->os.fd = LOOP_INVALID_FD;
    if (op->ending || (op->desc->handle.flags & HANDLE_CLOSING)) {
        loop__op_finish(op, LOOP_ECANCELED);
        return;
    }
    if (op->desc->os.fd == LOOP_INVALID_FD) {
        loop__op_finish(op, LOOP_EBADF); /* lost meanwhile, as all that was parked on it */
        return;
    }
    op->state = OP_SUBMITTING;
    (void)loop__op_hand_over(op); /* what it needs is kept already, so it cannot be refused */
}

void loop__op_told(struct op *op)
{
    if (op->desc->handle.type == LOOP_TCP)
        loop__stream_op_done((struct stream *)op->desc, (enum op_kind)op->kind, op->status);
    else if (op->started)
        op->desc->flags &= ~(uint32_t)DESC_FAILED;
}

int loop__op_deliver(loop_t *loop, loop_op_t **ops, int n)
{
    int count = 0;

    while (count < n && !list_empty(&loop->done)) {
        struct op *op = CONTAINER_OF(list_pop(&loop->done), struct op, ready.link);

        ops[count++] = (loop_op_t *)op;
        if (op->result_flags & LOOP_OP_MORE)
            list_push(&loop->delivered, &op->ready.link);
        else
            loop__op_let_go(loop, op);
    }
    if (list_empty(&loop->done))
        loop->extras &= ~(unsigned)EXTRA_DONE;
    return count;
}

void loop__op_delivered_go_on(loop_t *loop)
{
    struct link batch;

    list_take(&loop->delivered, &batch);
    while (!list_empty(&batch))
        loop__op_go_on(CONTAINER_OF(list_pop(&batch), struct op, ready.link));
}

int loop_op_cancel(loop_op_t *public_op)
{
    struct op *op = (struct op *)public_op;

    if (op == NULL)
        return LOOP_EINVAL;
    if (op->state == OP_IDLE)
        return LOOP_ENOENT;
    loop__op_end(op, false);
    return 0;
}

loop_handle_t *loop_op_get_handle(const loop_op_t *op)
{
    return op != NULL ? (loop_handle_t *)((const struct op *)op)->desc : NULL;
}

/* ----------------------------------------------------------------------------------------- the calls on loop_desc_t -- */

static inline int check(const loop_desc_t *desc, const loop_op_t *op)
{
    int error = loop__handle_check(desc, LOOP_DESC);

    return error != 0 ? error : loop__op_check((const struct op *)op);
}

static inline int check_transfer(const loop_desc_t *desc, loop_op_t *op, const loop_buf_t *bufs, unsigned nbufs)
{
    int error = check(desc, op);

    return error != 0 ? error : loop__op_check_bufs((struct op *)op, bufs, nbufs);
}

LOOP_APART static int transfer(loop_desc_t *desc, loop_op_t *op, const loop_buf_t *bufs, unsigned nbufs, loop_op_cb cb,
                               enum op_kind kind)
{
    int error = check(desc, op);

    return error != 0 ? error : loop__op_transfer((struct op *)op, (struct desc *)desc, kind, bufs, nbufs, cb);
}

static int accept_connections(loop_desc_t *desc, loop_op_t *public_op, loop_op_cb cb, bool stream)
{
    struct op *op = (struct op *)public_op;
    int error = check(desc, public_op);

    if (error != 0)
        return error;
    loop__op_fill(op, (struct desc *)desc, OP_ACCEPT, NULL, 0, cb);
    op->os.fd = LOOP_INVALID_FD;
    op->stream = stream;
    return loop__op_submit(op);
}

int loop_op_accept(loop_desc_t *desc, loop_op_t *op, loop_op_cb cb)
{
    return accept_connections(desc, op, cb, false);
}

int loop_op_accept_stream(loop_desc_t *desc, loop_op_t *op, loop_op_cb cb)
{
    return accept_connections(desc, op, cb, true);
}

int loop_op_connect(loop_desc_t *desc, loop_op_t *public_op, const struct sockaddr *addr, loop_op_cb cb)
{
    struct op *op = (struct op *)public_op;
    int error = check(desc, public_op);

    if (error != 0)
        return error;
    if (addr == NULL || loop__address_length(addr) == 0)
        return LOOP_EINVAL;
    loop__op_fill(op, (struct desc *)desc, OP_CONNECT, NULL, 0, cb);
    op->to = addr;
    return loop__op_submit(op);
}

int loop_op_read(loop_desc_t *desc, loop_op_t *op, const loop_buf_t *bufs, unsigned nbufs, loop_op_cb cb)
{
    if (check(desc, op) != 0 || !loop__op_is_one_buf(bufs, nbufs))
        return transfer(desc, op, bufs, nbufs, cb, OP_READ);
    return loop__op_read_one((struct op *)op, (struct desc *)desc, bufs, cb);
}

int loop_op_write(loop_desc_t *public_desc, loop_op_t *public_op, const loop_buf_t *bufs, unsigned nbufs, loop_op_cb cb)
{
    struct desc *desc = (struct desc *)public_desc;
    struct op *op = (struct op *)public_op;
    ptrdiff_t n;

    if (loop__handle_check(public_desc, LOOP_DESC) != 0 || !loop__op_may_send(op, desc, bufs, nbufs, 0))
        return transfer(public_desc, public_op, bufs, nbufs, cb, OP_WRITE);
    return loop__op_send(op, desc, bufs, cb, &n) ? 0 : loop__op_sent(op, n);
}

static int receive(loop_desc_t *desc, loop_op_t *public_op, const loop_buf_t *bufs, unsigned nbufs,
                   struct sockaddr_storage *from, loop_op_cb cb, bool stream)
{
    struct op *op = (struct op *)public_op;
    int error = check_transfer(desc, public_op, bufs, nbufs);

    if (error != 0)
        return error;
    loop__op_fill(op, (struct desc *)desc, OP_RECEIVE, bufs, nbufs, cb);
    op->from = from;
    op->to = NULL;
    op->stream = stream;
    /* A first result that is there at once is not the last use of the array. */
    if (stream && loop__op_keep(op) != 0) {
        give_back(op);
        return LOOP_ENOMEM;
    }
    return loop__op_submit(op);
}

int loop_op_receive(loop_desc_t *desc, loop_op_t *op, const loop_buf_t *bufs, unsigned nbufs,
                    struct sockaddr_storage *from, loop_op_cb cb)
{
    return receive(desc, op, bufs, nbufs, from, cb, false);
}

int loop_op_receive_stream(loop_desc_t *desc, loop_op_t *op, const loop_buf_t *bufs, unsigned nbufs,
                           struct sockaddr_storage *from, loop_op_cb cb)
{
    return receive(desc, op, bufs, nbufs, from, cb, true);
}

int loop_op_send(loop_desc_t *desc, loop_op_t *public_op, const loop_buf_t *bufs, unsigned nbufs,
                 const struct sockaddr *to, loop_op_cb cb)
{
    struct op *op = (struct op *)public_op;
    int error = check_transfer(desc, public_op, bufs, nbufs);

    if (error != 0)
        return error;
    if (to != NULL && loop__address_length(to) == 0)
        return LOOP_EINVAL;
    loop__op_fill(op, (struct desc *)desc, OP_SEND, bufs, nbufs, cb);
    op->to = to;
    return loop__op_submit(op);
}

int loop__op_watch(struct op *op, struct desc *desc, loop_op_cb cb)
{
    int error = loop__op_check(op);

    if (error != 0)
        return error;
    loop__op_fill(op, desc, desc->flags & DESC_PROCESS ? OP_EXIT : OP_CHANGE, NULL, 0, cb);
    return loop__op_submit(op);
}

int loop_op_ready(loop_desc_t *desc, loop_op_t *public_op, unsigned events, loop_op_cb cb)
{
    struct op *op = (struct op *)public_op;
    int error = check(desc, public_op);

    if (error != 0)
        return error;
    if (events == 0 || (events & ~(LOOP_READABLE | LOOP_WRITABLE)))
        return LOOP_EINVAL;
    loop__op_fill(op, (struct desc *)desc, OP_READY, NULL, 0, cb);
    op->events = (uint8_t)events;
    return loop__op_submit(op);
}
