/* Invariants of the readiness engine: nothing waits for an edge that has been, or that the kernel was not asked for. */
#include "invariants_internal.h"

#include "posix/readiness.h"

static const struct op *first_of(const struct link *queue)
{
    return CONTAINER_OF(queue->next, struct op, ready.link);
}

/* Parked is only what would block; or its turn comes without an edge. */
static void check_parked(const struct desc *desc, const struct link *queue, unsigned direction)
{
    const struct op *op = first_of(queue);

    if (list_empty(queue))
        return;
    HOLDS(desc->flags & (direction == DESC_WRITABLE ? DESC_WRITES : DESC_READS), desc);
    if (desc->ready.todo & TODO_RESUME)
        return;
    if (op->kind != OP_READY && (op->kind != OP_CONNECT || op->started))
        HOLDS(!(desc->flags & direction), op);
}

static void check_registration(struct desc *desc, struct readiness *readiness)
{
    const struct posix_desc *posix = loop__posix(desc);
    const struct fd_table *callers = &readiness->callers;

    if (posix->interest == 0)
        return;
    HOLDS((desc->flags & DESC_ATTACHED) && desc->os.fd != LOOP_INVALID_FD, desc);
    HOLDS(((posix->interest & INTEREST_LEVEL) != 0) == ((desc->flags & DESC_LEVEL) != 0), desc);
    if (desc->flags & DESC_CALLER) {
        HOLDS(loop__fd_table_owner(callers, desc->os.fd) == desc, desc);
        HOLDS(callers->slots[desc->os.fd].name == loop__fd_name(desc->os.fd, posix->generation), desc);
    }
    if (!list_empty(&desc->writes) && !(desc->ready.todo & TODO_RESUME))
        HOLDS(posix->interest & INTEREST_WRITE, desc);
    if (desc->handle.type == LOOP_POLL)
        HOLDS(posix->interest == (INTEREST_LEVEL | ((struct poll *)desc)->asked), desc);
}

/* A handle that reads or accepts by itself hears of data: by an edge, or because it stands in the ready queue. */
static void check_armed(const struct desc *desc)
{
    const struct stream *stream = (const struct stream *)desc;
    bool waits_for_user = (stream->flags & STREAM_PAUSED) || stream->os.accepted != LOOP_INVALID_FD;

    if (desc->ready.todo & TODO_READ)
        return;
    if ((stream->flags & STREAM_READING) || ((stream->flags & STREAM_LISTENING) && !waits_for_user)) {
        HOLDS(desc->flags & DESC_ARMED, desc);
        HOLDS(!(desc->flags & (DESC_READABLE | DESC_READ_EXPIRED)), desc);
    }
}

bool invariants_ends_later(struct op *op)
{
    (void)op;
    return false;
}

uint32_t invariants_holds(struct desc *desc)
{
    (void)desc;
    return 0;
}

void invariants_check_platform(struct desc *desc, bool settled)
{
    struct readiness *readiness = loop__readiness(desc->handle.loop);

    if (readiness == NULL) /* another backend */
        return;
    check_registration(desc, readiness);
    if (desc->os.fd == LOOP_INVALID_FD)
        return;
    check_parked(desc, &desc->reads, DESC_READABLE);
    check_parked(desc, &desc->writes, DESC_WRITABLE);
    if (settled && desc->handle.type == LOOP_TCP)
        check_armed(desc);
}
