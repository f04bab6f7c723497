#include "readiness.h"

#include "io.h"
#include "platform.h"
#include "sys.h"

#include <errno.h>

/* System calls that one writing operation may make in a row: against a peer that drains as fast as we send, a large write
 * would else keep everybody waiting. */
#define WRITES_PER_ATTEMPT 16

enum attempt {
    ATTEMPT_DONE,    /* *status says how */
    ATTEMPT_BLOCKED, /* the descriptor is not ready, and its flag says so */
    ATTEMPT_YIELDED  /* it is, but the others have their turn first */
};

/* ----------------------------------------------------------------------------------------------------- registration -- */

int loop__readiness_attach(loop_t *loop, struct desc *desc)
{
    struct readiness *readiness = loop__readiness(loop);
    struct fd_table *callers = &readiness->callers;
    int fd = desc->os.fd;
    struct desc *owner = loop__fd_table_owner(callers, fd);
    int error;

    if (desc->flags & DESC_CALLER) {
        error = loop__fd_table_reserve(loop, callers, fd);
        if (error != 0)
            return error;
        loop__posix(desc)->generation = loop__fd_table_next_generation(callers, fd);
    }
    error = readiness->change(loop, desc, desc->flags & DESC_TCP ? INTEREST_READ | INTEREST_WRITE : INTEREST_READ);
    if (error != 0)
        return error;
    /* Registered anew although it had an owner: the owner's was closed behind our back, and its registration is gone. */
    if (owner != NULL)
        loop__posix(owner)->interest = 0;
    if (desc->flags & DESC_CALLER)
        loop__fd_table_set(callers, fd, desc);
    else if (owner != NULL)
        loop__fd_table_set(callers, fd, NULL);
    return 0;
}

int loop__readiness_detach(loop_t *loop, struct desc *desc, bool live)
{
    struct readiness *readiness = loop__readiness(loop);

    (void)live;
    (void)readiness->change(loop, desc, 0);
    if (loop__fd_table_owner(&readiness->callers, desc->os.fd) == desc)
        loop__fd_table_set(&readiness->callers, desc->os.fd, NULL);
    return 0;
}

/* -------------------------------------------------------------------------------------- one attempt at one operation -- */

static enum attempt blocked(struct desc *desc, unsigned direction)
{
    desc->flags &= (uint16_t)~direction;
    return ATTEMPT_BLOCKED;
}

/* A short read means that all was read, but only on TCP, and only if nothing else was going on. */
static bool drained_by_short_read(const struct desc *desc)
{
    return (desc->flags & DESC_TCP) && !(desc->edge & EDGE_ODD);
}

static enum attempt attempt_ready(struct op *op, unsigned wanted, int *status)
{
    struct desc *desc = op->desc;
    int found = loop__io_poll(desc->os.fd, wanted);

    if (found == 0) {
        if (wanted & LOOP_READABLE)
            desc->flags &= (uint16_t)~DESC_READABLE;
        if (wanted & LOOP_WRITABLE)
            desc->flags &= (uint16_t)~DESC_WRITABLE;
        return ATTEMPT_BLOCKED;
    }
    *status = found < 0 ? found : 0;
    if (found > 0 && op->kind == OP_READY)
        op->result_flags |= (unsigned)found;
    return ATTEMPT_DONE;
}

static enum attempt attempt_read(struct op *op, int *status)
{
    struct desc *desc = op->desc;
    size_t room = loop__op_left(op);
    ptrdiff_t n;

    if (room == 0)
        return attempt_ready(op, LOOP_READABLE, status);
    n = loop__io_read(desc->os.fd, op->bufs, op->nbufs);
    if (n == LOOP_EAGAIN)
        return blocked(desc, DESC_READABLE);
    if (n > 0) {
        op->bytes = (size_t)n;
        if ((size_t)n < room && drained_by_short_read(desc))
            desc->flags &= (uint16_t)~DESC_READABLE;
    }
    *status = n > 0 ? 0 : n == 0 ? LOOP_EOF : (int)n;
    return ATTEMPT_DONE;
}

static enum attempt attempt_receive(struct op *op, int *status)
{
    ptrdiff_t n = loop__io_receive(op->desc->os.fd, op);

    if (n == LOOP_EAGAIN)
        return blocked(op->desc, DESC_READABLE);
    if (n > 0)
        op->bytes = (size_t)n;
    *status = n < 0 ? (int)n : 0;
    return ATTEMPT_DONE;
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
        while (op->first < op->nbufs && op->bufs[op->first].len == 0)
            op->first++;
        if (op->first == op->nbufs) {
            *status = 0;
            return ATTEMPT_DONE;
        }
        n = write_rest(op);
        if (n == LOOP_EAGAIN)
            return blocked(op->desc, DESC_WRITABLE);
        if (n < 0) {
            *status = (int)n;
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
    ptrdiff_t n = loop__io_send(op->desc->os.fd, op);

    if (n == LOOP_EAGAIN)
        return blocked(op->desc, DESC_WRITABLE);
    if (n > 0)
        op->bytes = (size_t)n;
    *status = n < 0 ? (int)n : 0;
    return ATTEMPT_DONE;
}

/* connect() itself; attaching comes after it, because an unconnected socket reports a hang-up. */
static enum attempt connect_start(struct op *op, int *status)
{
    struct desc *desc = op->desc;
    loop_t *loop = desc->handle.loop;
    int rc = loop__sys.connect(desc->os.fd, op->to, (socklen_t)loop__address_length(op->to));
    bool pending = rc != 0 && (errno == EINPROGRESS || errno == EINTR);

    op->started = 1;
    *status = rc == 0 || pending ? 0 : loop__errno();
    if (*status != 0)
        return ATTEMPT_DONE;
    if (!(desc->flags & DESC_ATTACHED)) {
        *status = loop__readiness_attach(loop, desc);
        if (*status != 0)
            return ATTEMPT_DONE;
        desc->flags |= DESC_ATTACHED;
    }
    return pending ? blocked(desc, DESC_WRITABLE) : ATTEMPT_DONE;
}

static enum attempt connect_result(struct op *op, int *status)
{
    struct desc *desc = op->desc;
    struct sockaddr_storage name;
    socklen_t len = sizeof(name);
    int error = 0;
    socklen_t error_len = sizeof(error);

    if (loop__sys.getsockopt(desc->os.fd, SOL_SOCKET, SO_ERROR, &error, &error_len) != 0)
        error = errno;
    *status = error != 0 ? loop__system_error(error) : 0;
    if (error != 0 || !(desc->edge & EDGE_ODD))
        return ATTEMPT_DONE;
    /* A hang-up without an error may stem from the time before connect(). */
    if (loop__sys.getpeername(desc->os.fd, (struct sockaddr *)&name, &len) != 0) {
        if (errno == ENOTCONN)
            return blocked(desc, DESC_WRITABLE);
        *status = loop__errno();
    }
    return ATTEMPT_DONE;
}

static enum attempt attempt(struct op *op, int *status)
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
    case OP_SHUTDOWN:
        *status = loop__socket_shutdown(op->desc->os.fd);
        return ATTEMPT_DONE;
    case OP_NONE:
        break;
    }
    *status = LOOP_EINVAL;
    return ATTEMPT_DONE;
}

/* ----------------------------------------------------------------------------------------------- queues of a descriptor -- */

static void finish_parked(struct op *op, int status)
{
    list_remove(&op->ready.link);
    loop__op_finish(op, status);
}

/* Something waits for the descriptor to become writable: the kernel has to tell. If it refuses, nothing ever would. */
static void await_writable(struct desc *desc)
{
    loop_t *loop = desc->handle.loop;
    int error = loop__readiness(loop)->change(loop, desc, INTEREST_READ | INTEREST_WRITE);

    while (error != 0 && !list_empty(&desc->writes))
        finish_parked(CONTAINER_OF(desc->writes.next, struct op, ready.link), error);
}

static void run_queue(struct desc *desc, struct link *queue, unsigned direction)
{
    while (!list_empty(queue) && (desc->flags & direction)) {
        struct op *op = CONTAINER_OF(queue->next, struct op, ready.link);
        int status = 0;
        enum attempt outcome = attempt(op, &status);

        if (outcome == ATTEMPT_DONE) {
            finish_parked(op, status);
        } else {
            if (outcome == ATTEMPT_YIELDED)
                loop__desc_ready(desc, TODO_RESUME);
            else if (direction == DESC_WRITABLE)
                await_writable(desc);
            return;
        }
    }
}

/* Waits for either direction stand among the reads. */
static void run_ready_for_write(struct desc *desc)
{
    for (struct link *link = desc->reads.next, *next; link != &desc->reads; link = next) {
        struct op *op = CONTAINER_OF(link, struct op, ready.link);

        next = link->next;
        if (op->kind == OP_READY && (op->events & LOOP_WRITABLE)) {
            int status = 0;

            if (attempt(op, &status) == ATTEMPT_DONE)
                finish_parked(op, status);
        }
    }
}

void loop__readiness_edge(struct desc *desc, unsigned edge)
{
    desc->edge = (uint8_t)edge;
    if (edge & EDGE_READ) {
        desc->flags |= DESC_READABLE;
        if (!list_empty(&desc->reads))
            run_queue(desc, &desc->reads, DESC_READABLE);
        if (loop__posix(desc)->armed) {
            loop__posix(desc)->armed = false;
            loop__desc_ready(desc, TODO_READ);
        }
    }
    if (edge & EDGE_WRITE) {
        desc->flags |= DESC_WRITABLE;
        if (!list_empty(&desc->writes))
            run_queue(desc, &desc->writes, DESC_WRITABLE);
        if (!list_empty(&desc->reads))
            run_ready_for_write(desc);
    }
}

void loop__readiness_resume(loop_t *loop, struct desc *desc)
{
    (void)loop;
    run_queue(desc, &desc->writes, DESC_WRITABLE);
}

void loop__readiness_arm(loop_t *loop, struct desc *desc, enum read_seen seen)
{
    bool more = (desc->flags & DESC_READABLE) != 0;

    (void)loop;
    if (seen == READ_EMPTY || (seen == READ_SHORT && drained_by_short_read(desc)))
        more = false;
    if (more) {
        loop__desc_ready(desc, TODO_READ);
    } else {
        desc->flags &= (uint16_t)~DESC_READABLE;
        loop__posix(desc)->armed = true;
    }
}

/* ------------------------------------------------------------------------------------------------ submit and cancel -- */

int loop__readiness_submit(loop_t *loop, struct op *op)
{
    struct desc *desc = op->desc;
    bool writing = loop__op_is_writing(op);
    struct link *queue = writing ? &desc->writes : &desc->reads;
    unsigned direction = writing ? DESC_WRITABLE : DESC_READABLE;
    enum attempt outcome = ATTEMPT_BLOCKED;
    bool first = list_empty(queue);
    int status = 0;
    int error;

    (void)loop;
    /* Readiness is asked of the system: the descriptor's user reads and writes behind our back. A wait for both directions
     * stands among the reads, and those before it say nothing about writing. */
    if (op->kind == OP_READY ? first || op->events == (LOOP_READABLE | LOOP_WRITABLE) :
                               first && (desc->flags & direction))
        outcome = attempt(op, &status);
    if (outcome == ATTEMPT_DONE) {
        loop__op_finish(op, status);
        return 0;
    }
    error = loop__op_keep(op);
    if (error != 0) {
        if (op->bytes == 0 && !op->started)
            return error;
        loop__op_finish(op, error);
        return 0;
    }
    list_push(queue, &op->ready.link);
    if (outcome == ATTEMPT_YIELDED)
        loop__desc_ready(desc, TODO_RESUME);
    else if (first && writing)
        await_writable(desc);
    else if (op->kind == OP_READY && (op->events & LOOP_WRITABLE) && !writing) {
        error = loop__readiness(loop)->change(loop, desc, INTEREST_READ | INTEREST_WRITE);
        if (error != 0)
            finish_parked(op, error);
    }
    return 0;
}

void loop__readiness_cancel(loop_t *loop, struct op *op)
{
    (void)loop;
    finish_parked(op, LOOP_ECANCELED);
}
