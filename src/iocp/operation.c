/*
 * The queues of a descriptor. The first operation of each is with the kernel, those behind it wait: so the order of results is
 * that of the submissions, what is cancelled before its turn has done nothing, and a write that was cancelled knows what of
 * it went out.
 */
#include "iocp.h"

#include "platform.h"

/* Operations of a queue that may end at once before the others have their turn. */
#define STARTS_PER_RUN 32

static struct op *first_of(const struct link *queue)
{
    return CONTAINER_OF(queue->next, struct op, ready.link);
}

static bool is_with_kernel(struct op *op)
{
    return loop__iocp_op(op)->request.pending;
}

static struct link *queue_of(const struct op *op)
{
    return loop__op_is_writing(op) ? &op->desc->writes : &op->desc->reads;
}

static void finish_parked(struct op *op, int status)
{
    struct desc *desc = op->desc;

    list_remove(&op->ready.link);
    if (list_empty(&desc->writes)) {
        desc->flags &= ~(uint32_t)DESC_WRITES;
        if (desc->os.fd != LOOP_INVALID_FD)
            desc->flags |= DESC_WRITABLE;
    }
    if (list_empty(&desc->reads))
        desc->flags &= ~(uint32_t)DESC_READS;
    loop__op_finish(op, status);
}

/* What reads before the connection is there waits for it. */
static bool waits_for_connection(const struct desc *desc, const struct link *queue)
{
    return queue == &desc->reads && !list_empty(&desc->writes) && first_of(&desc->writes)->kind == OP_CONNECT;
}

/* What was cancelled behind another that is coming back has waited for that one, and for nothing else. */
static void finish_ended(const struct link *queue)
{
    const struct link *link = queue->next;

    if (link != queue && is_with_kernel(first_of(queue)) && first_of(queue)->ending)
        return; /* it has not come back either */
    while (link != queue) {
        struct op *op = CONTAINER_OF(link, struct op, ready.link);

        link = link->next;
        if (op->ending && !is_with_kernel(op))
            finish_parked(op, LOOP_ECANCELED);
    }
}

static void run_queue(struct desc *desc, struct link *queue)
{
    for (int i = 0; !list_empty(queue) && !waits_for_connection(desc, queue); i++) {
        struct op *op = first_of(queue);
        enum outcome outcome;
        int status;

        if (is_with_kernel(op))
            return;
        if (i == STARTS_PER_RUN) {
            loop__desc_ready(desc, TODO_RESUME);
            return;
        }
        outcome = loop__iocp_start(op, &status);
        if (outcome == OUTCOME_PENDING)
            return;
        if (outcome == OUTCOME_OVER)
            finish_parked(op, status);
    }
}

void loop__iocp_resume(loop_t *loop, struct desc *desc)
{
    (void)loop;
    run_queue(desc, &desc->writes);
    run_queue(desc, &desc->reads);
}

/* Waits for a descriptor to become writable stand among the reads, with which they have nothing to do. */
static void start_apart(struct op *op)
{
    int status;
    enum outcome outcome;

    do {
        outcome = loop__iocp_start(op, &status);
    } while (outcome == OUTCOME_AGAIN);
    if (outcome == OUTCOME_OVER)
        finish_parked(op, status);
}

void loop__iocp_op_packet(struct op *op)
{
    struct desc *desc = op->desc;
    struct link *queue = queue_of(op);
    bool connected = op->kind == OP_CONNECT;
    bool ended = op->ending;
    int status;

    if (loop__iocp_result(op, &status) == OUTCOME_OVER)
        finish_parked(op, status);
    else if (op != first_of(queue))
        start_apart(op);
    if (ended)
        finish_ended(queue);
    run_queue(desc, queue);
    if (connected)
        run_queue(desc, &desc->reads);
}

/* ------------------------------------------------------------------------------------------------ submit and cancel -- */

/* A write whose turn it is: mostly the socket takes all of it at once, and nothing has to be kept. Whether it is over. */
static bool write_at_once(struct op *op, int *status)
{
    struct desc *desc = op->desc;
    ptrdiff_t n;

    if (op->kind != OP_WRITE || op->nbufs < 2 ||
        (desc->flags & (DESC_SOCKET | DESC_WRITABLE | DESC_WRITES)) != (DESC_SOCKET | DESC_WRITABLE))
        return false;
    n = loop__socket_send_many(desc->os.fd, op->bufs, op->nbufs);
    if (n > 0)
        loop__op_advance(op, (size_t)n);
    *status = n < 0 && n != LOOP_EAGAIN ? (int)n : 0;
    return *status != 0 || op->first == op->nbufs;
}

/* A connect may come for a socket that is not attached yet. */
static int attach_for_connect(struct op *op)
{
    struct desc *desc = op->desc;
    int error;

    if (op->kind != OP_CONNECT || (desc->flags & DESC_ATTACHED))
        return 0;
    error = desc->handle.loop->backend->attach(desc->handle.loop, desc);
    if (error == 0)
        desc->flags |= DESC_ATTACHED;
    return error;
}

int loop__iocp_submit(loop_t *loop, struct op *op)
{
    struct desc *desc = op->desc;
    struct link *queue = queue_of(op);
    bool first = list_empty(queue);
    int status = 0;
    int error;

    (void)loop;
    if (first && write_at_once(op, &status)) {
        loop__op_finish(op, status);
        return 0;
    }
    error = loop__op_keep(op);
    if (error != 0) {
        if (op->bytes == 0)
            return loop__op_refuse(op, error);
        loop__op_finish(op, error);
        return 0;
    }
    loop__iocp_op(op)->request.pending = false;
    loop__iocp_op(op)->full = false;
    list_push(queue, &op->ready.link);
    desc->flags |= queue == &desc->writes ? DESC_WRITES : DESC_READS;
    if (op->ending)
        return 0;
    error = attach_for_connect(op);
    if (error != 0)
        finish_parked(op, error);
    else if (first)
        run_queue(desc, queue);
    else if (op->kind == OP_READY && (op->events & LOOP_WRITABLE))
        start_apart(op);
    return 0;
}

/* What stands before it is coming back from the kernel; it ends after that, as it would have done. */
static bool ends_behind(const struct op *op)
{
    struct op *first = first_of(queue_of(op));

    return first != op && first->ending && is_with_kernel(first);
}

/* Nothing comes of it but what has come already. So those behind it have no packet to follow. */
static void cancel_wait(struct op *op)
{
    struct desc *desc = op->desc;

    if (!loop__iocp_wait_cancel(op))
        return;
    finish_parked(op, LOOP_ECANCELED);
    if (!list_empty(&desc->reads))
        loop__desc_ready(desc, TODO_RESUME);
}

static void cancel_request(loop_t *loop, struct op *op)
{
    if (loop__iocp_polls(op))
        loop__iocp_poll_cancel(loop__iocp(loop), &loop__iocp_op(op)->request);
    else
        loop__request_cancel(loop__iocp_handle(op->desc), &loop__iocp_op(op)->request);
    if (op->kind == OP_ACCEPT)
        loop__iocp_accept_cancelled(op);
}

void loop__iocp_cancel(loop_t *loop, struct op *op)
{
    struct request *request = &loop__iocp_op(op)->request;

    if (request->pending && op->kind == OP_EXIT)
        cancel_wait(op);
    else if (request->pending)
        cancel_request(loop, op);
    else if (!ends_behind(op))
        finish_parked(op, LOOP_ECANCELED);
}

static void lose_queue(loop_t *loop, struct link *queue)
{
    const struct link *link = queue->next;

    while (link != queue) {
        struct op *op = CONTAINER_OF(link, struct op, ready.link);

        link = link->next;
        if (!is_with_kernel(op))
            finish_parked(op, LOOP_EBADF);
    }
    (void)loop;
}

void loop__iocp_lose(struct desc *desc)
{
    lose_queue(desc->handle.loop, &desc->reads);
    lose_queue(desc->handle.loop, &desc->writes);
}
