#include "readiness.h"

#include "attempt.h"
#include "io.h"
#include "os_transfer.h"
#include "platform.h"
#include "sys.h"

#include <fcntl.h>

/* Operations of a queue that one edge may try before the others have their turn. */
#define ATTEMPTS_PER_RUN 32

static struct op *first_of(const struct link *queue)
{
    return CONTAINER_OF(queue->next, struct op, ready.link);
}

static void finish_parked(struct op *op, int status)
{
    list_remove(&op->ready.link);
    loop__op_finish(op, status);
}

void loop__readiness_finish_queue(struct link *queue, int status)
{
    while (!list_empty(queue))
        finish_parked(first_of(queue), status);
}

/* ----------------------------------------------------------------------------------------------------- registration -- */

/* A number registers as new although it had an owner: the owner's was closed behind our back, and everything on it is over. */
static void lose(struct desc *owner)
{
    loop__posix(owner)->interest = 0;
    loop__readiness_finish_queue(&owner->reads, LOOP_EBADF);
    loop__readiness_finish_queue(&owner->writes, LOOP_EBADF);
    loop__desc_lost(owner);
}

static unsigned first_interest(const struct readiness *readiness, const struct desc *desc)
{
    if (desc->flags & DESC_LEVEL)
        return INTEREST_LEVEL;
    return desc->flags & DESC_TCP ? readiness->tcp_interest : INTEREST_READ;
}

int loop__readiness_attach(loop_t *loop, struct desc *desc)
{
    struct readiness *readiness = loop__readiness(loop);
    struct fd_table *callers = &readiness->callers;
    int fd = desc->os.fd;
    struct desc *owner = loop__fd_table_owner(callers, fd);
    bool recorded = (desc->flags & DESC_CALLER) || readiness->owners_too;
    int error;

    if (desc->flags & DESC_WATCHED)
        return readiness->watches ? 0 : LOOP_ENOTSUP; /* the first operation registers it */
    if (recorded) {
        /* Any number could be given. */
        if (!loop__fd_table_knows(callers, fd) && loop__sys.fcntl(fd, F_GETFD, 0) < 0)
            return LOOP_EBADF;
        error = loop__fd_table_reserve(loop, callers, fd);
        if (error != 0)
            return error;
        loop__posix(desc)->generation = loop__fd_table_next_generation(callers, fd);
    }
    error = readiness->change(loop, desc, first_interest(readiness, desc));
    if (error != 0)
        return error;
    if (owner != NULL && (owner->flags & DESC_CALLER))
        lose(owner);
    if (recorded)
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
    if (!(desc->flags & DESC_WATCHED))
        loop__fd_table_forget(&readiness->callers, desc->os.fd, desc);
    return 0;
}

int loop__readiness_watch(loop_t *loop, struct desc *desc, unsigned events)
{
    /* If the registration is lost, and be it to the next owner of the number, there is nothing to silence. */
    if (events == 0 && loop__posix(desc)->interest == 0)
        return 0;
    return loop__readiness(loop)->change(loop, desc, INTEREST_LEVEL | events);
}

/* ----------------------------------------------------------------------------------------------- queues of a descriptor -- */

LOOP_APART bool loop__readiness_took_all(struct desc *desc, size_t n)
{
    uint16_t unread = loop__posix(desc)->unread;

    return (desc->flags & DESC_TCP) && unread > 0 && n >= unread;
}

/* Something waits for the descriptor to become writable: the kernel has to tell. If it refuses, nothing ever would. */
static void await_writable(struct desc *desc)
{
    loop_t *loop = desc->handle.loop;
    int error = 0;

    /* Behind a connect that is still to be started: it attaches. */
    if (desc->flags & DESC_ATTACHED)
        error = loop__readiness(loop)->change(loop, desc, loop__posix(desc)->interest | INTEREST_WRITE);
    if (error != 0)
        loop__readiness_finish_queue(&desc->writes, error);
}

/* The same of becoming readable, which is registered already unless that failed; or of what is watched. */
static int await_readable(struct desc *desc)
{
    loop_t *loop = desc->handle.loop;
    unsigned interest = desc->flags & DESC_WATCHED ? INTEREST_WATCHED : INTEREST_READ;

    if (!(desc->flags & DESC_ATTACHED) || (loop__posix(desc)->interest & interest))
        return 0;
    return loop__readiness(loop)->change(loop, desc, loop__posix(desc)->interest | interest);
}

static void run_queue(struct desc *desc, struct link *queue, unsigned direction)
{
    for (int i = 0; !list_empty(queue) && (desc->flags & direction); i++) {
        struct op *op = first_of(queue);
        int status = 0;
        enum attempt outcome = i < ATTEMPTS_PER_RUN ? loop__attempt(op, &status) : ATTEMPT_YIELDED;

        if (outcome == ATTEMPT_DONE) {
            finish_parked(op, status);
            continue;
        }
        if (outcome == ATTEMPT_YIELDED)
            loop__desc_ready(desc, TODO_RESUME);
        else if (direction == DESC_WRITABLE)
            await_writable(desc);
        return;
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

            if (loop__attempt(op, &status) == ATTEMPT_DONE)
                finish_parked(op, status);
        }
    }
}

/* Nothing to read, the end, or an error. */
LOOP_APART static void lone_read_failed(struct desc *desc, struct op *op, ptrdiff_t n)
{
    if (desc->flags & DESC_SOCKET)
        n = loop__socket_error(n);
    if (n == LOOP_EAGAIN)
        desc->flags &= ~(uint32_t)DESC_READABLE;
    else if (n == LOOP_EINTR)
        run_queue(desc, &desc->reads, DESC_READABLE);
    else
        finish_parked(op, n == 0 ? LOOP_EOF : (int)n);
}

static inline void run_lone_read(struct desc *desc, struct op *op)
{
    const loop_buf_t *buf = op->keep.bufs;
    ptrdiff_t n = desc->flags & DESC_SOCKET ? loop__socket_recv(desc->os.fd, buf->base, buf->len)
                                            : loop__io_read(desc->os.fd, buf, 1);

    if (n <= 0) {
        lone_read_failed(desc, op, n);
        return;
    }
    op->bytes = (size_t)n;
    op->status = 0;
    if ((size_t)n < buf->len && loop__readiness_drained(desc, (size_t)n))
        desc->flags &= ~(uint32_t)DESC_READABLE;
    list_init(&desc->reads); /* it was alone */
    if (loop__timer_started(&op->deadline))
        loop__timer_unset(desc->handle.loop, &op->deadline);
    loop__op_queue(desc->handle.loop, op);
}

/* Several operations, or one that is not just a read. */
LOOP_APART static void run_all(struct desc *desc, unsigned edge)
{
    /* A connect looks at the socket's error, which reading would take away: it goes first. */
    if ((edge & EDGE_WRITE) && !list_empty(&desc->writes) && first_of(&desc->writes)->kind == OP_CONNECT)
        run_queue(desc, &desc->writes, DESC_WRITABLE);
    if (edge & EDGE_READ)
        run_queue(desc, &desc->reads, DESC_READABLE);
    if (edge & EDGE_WRITE) {
        run_queue(desc, &desc->writes, DESC_WRITABLE);
        run_ready_for_write(desc);
    }
    if (list_empty(&desc->reads))
        desc->flags &= ~(uint32_t)DESC_READS;
    if (list_empty(&desc->writes))
        desc->flags &= ~(uint32_t)DESC_WRITES;
}

void loop__readiness_run(struct desc *desc, unsigned edge)
{
    struct op *first = first_of(&desc->reads);

    if ((desc->flags & (DESC_READABLE | DESC_WRITES)) == DESC_READABLE && !list_empty(&desc->reads) &&
        first->kept == KEPT_READ && first->ready.link.next == &desc->reads)
        run_lone_read(desc, first);
    else
        run_all(desc, edge);
}

void loop__readiness_resume(loop_t *loop, struct desc *desc)
{
    (void)loop;
    run_queue(desc, &desc->reads, DESC_READABLE);
    run_queue(desc, &desc->writes, DESC_WRITABLE);
    if (desc->flags & DESC_WRITABLE)
        run_ready_for_write(desc);
}

void loop__readiness_arm(loop_t *loop, struct desc *desc, enum read_seen seen, size_t bytes)
{
    (void)loop;
    desc->flags |= DESC_ARMED;
    if (seen == READ_EMPTY || (seen == READ_SHORT && loop__readiness_drained(desc, bytes)))
        desc->flags &= ~(uint32_t)DESC_READABLE;
    if (desc->flags & DESC_READABLE) {
        loop__desc_ready(desc, TODO_READ);
    } else {
        int error = await_readable(desc);

        if (error != 0)
            loop__desc_unreadable(desc, error);
    }
}

int loop__readiness_accept(loop_t *loop, struct desc *desc, loop_os_fd_t *result)
{
    (void)loop;
    return loop__socket_accept(desc->os.fd, result);
}

/* Those for either direction stand among the reads. */
static void finish_waits_for_write(struct desc *desc, int error)
{
    for (struct link *link = desc->reads.next, *next; link != &desc->reads; link = next) {
        struct op *op = CONTAINER_OF(link, struct op, ready.link);

        next = link->next;
        if (op->kind == OP_READY && (op->events & LOOP_WRITABLE))
            finish_parked(op, error);
    }
}

void loop__readiness_failed(struct desc *desc, unsigned direction, int error)
{
    loop__posix(desc)->interest &= (uint8_t)~direction;
    if (direction == INTEREST_WRITE) {
        loop__readiness_finish_queue(&desc->writes, error);
        finish_waits_for_write(desc, error);
        return;
    }
    if (!list_empty(&desc->writes) && first_of(&desc->writes)->kind == OP_CONNECT)
        loop__readiness_finish_queue(&desc->writes, error); /* what it connects could not be attached */
    /* So the next read is tried, until one has to wait: await_readable() registers again then. */
    desc->flags |= DESC_READABLE | DESC_UNSURE;
    loop__readiness_finish_queue(&desc->reads, error);
    if (desc->flags & DESC_ARMED)
        loop__desc_unreadable(desc, error);
}

/* ------------------------------------------------------------------------------------------------ submit and cancel -- */

/* Whether to try at once; first: nothing waits before it, ready: the descriptor is thought to be. */
static bool may_try(const struct op *op, bool first, bool ready)
{
    switch ((enum op_kind)op->kind) {
    case OP_READY:
        /* Asked of the system: the descriptor's user reads and writes behind our back. What waits to write stands behind reads
         * that have nothing to do with it, and no edge may be to come. */
        return first || (op->events & LOOP_WRITABLE);
    case OP_EXIT:
    case OP_CHANGE:
    case OP_CONNECT:
    case OP_SHUTDOWN:
        return first; /* they need no room */
    default:
        return first && (ready || loop__op_left(op) == 0);
    }
}

LOOP_APART static int submit(loop_t *loop, struct op *op)
{
    struct desc *desc = op->desc;
    bool writing = loop__op_is_writing(op);
    struct link *queue = writing ? &desc->writes : &desc->reads;
    unsigned direction = writing ? DESC_WRITABLE : DESC_READABLE;
    enum attempt outcome = ATTEMPT_BLOCKED;
    bool first = list_empty(queue);
    int status = 0;
    int error;

    if (may_try(op, first, (desc->flags & direction) != 0))
        outcome = loop__attempt(op, &status);
    if (outcome == ATTEMPT_DONE) {
        loop__op_finish(op, status);
        return 0;
    }
    error = loop__op_keep(op);
    if (error != 0) {
        if (op->bytes == 0 && !op->started)
            return loop__op_refuse(op, error);
        loop__op_finish(op, error);
        return 0;
    }
    list_push(queue, &op->ready.link);
    desc->flags |= writing ? DESC_WRITES : DESC_READS;
    if (outcome == ATTEMPT_YIELDED)
        loop__desc_ready(desc, TODO_RESUME);
    else if (writing && !(desc->flags & DESC_WRITABLE))
        await_writable(desc); /* also behind another: it may have given way to others with the descriptor writable */
    else if (!writing) {
        error = await_readable(desc);
        if (error == 0 && op->kind == OP_READY && (op->events & LOOP_WRITABLE))
            error = loop__readiness(loop)->change(loop, desc, loop__posix(desc)->interest | INTEREST_WRITE);
        if (error != 0)
            finish_parked(op, error);
    }
    return 0;
}

int loop__readiness_submit(loop_t *loop, struct op *op)
{
    struct desc *desc = op->desc;

    if (op->kept == KEPT_READ && !(desc->flags & DESC_READABLE)) {
        op->state = OP_PARKED;
        list_push(&desc->reads, &op->ready.link);
        desc->flags |= DESC_READS;
        return 0;
    }
    return submit(loop, op);
}

void loop__readiness_cancel(loop_t *loop, struct op *op)
{
    (void)loop;
    finish_parked(op, LOOP_ECANCELED);
}
