/*
 * Deadlines of descriptors, one per direction, and of single operations. A deadline that passes asks for the end of what is
 * in flight; the completion decides, as with loop_op_cancel(). Until it is moved, the direction stays expired and refuses
 * what comes later.
 */
#include "internal.h"

struct direction {
    struct timer_node *node;
    const struct link *queue;
    uint32_t expired; /* enum desc_flag */
};

static struct direction direction_of(struct desc *desc, unsigned which)
{
    if (which == LOOP_READABLE)
        return (struct direction){&desc->read_deadline, &desc->reads, DESC_READ_EXPIRED};
    return (struct direction){&desc->write_deadline, &desc->writes, DESC_WRITE_EXPIRED};
}

void loop__deadline_expired(struct desc *desc, unsigned which)
{
    struct direction direction = direction_of(desc, which);
    loop_t *loop = desc->handle.loop;

    loop__timer_unset(loop, direction.node);
    desc->flags |= direction.expired;
    loop__op_end_queue(direction.queue, true);
    /* A stream that reads by itself hears of it at dispatch, like of all that ends its reading. */
    if (which == LOOP_READABLE && desc->handle.type == LOOP_TCP)
        loop__desc_ready(desc, TODO_READ);
}

static void set_one(struct desc *desc, unsigned which, uint64_t due)
{
    struct direction direction = direction_of(desc, which);
    loop_t *loop = desc->handle.loop;

    if (due == LOOP_NO_DEADLINE) {
        desc->flags &= ~(uint32_t)direction.expired;
        loop__timer_unset(loop, direction.node);
    } else if (due <= loop__now(loop)) {
        loop__deadline_expired(desc, which);
    } else {
        desc->flags &= ~(uint32_t)direction.expired;
        (void)loop__timer_set(loop, direction.node, due); /* there is room */
    }
}

/* Moving a deadline needs no memory, and starting two must not fail between them. */
static int reserve(struct desc *desc, unsigned directions)
{
    uint32_t needed = 0;

    if ((directions & LOOP_READABLE) && !loop__timer_started(&desc->read_deadline))
        needed++;
    if ((directions & LOOP_WRITABLE) && !loop__timer_started(&desc->write_deadline))
        needed++;
    return needed > 0 ? loop__timer_reserve(desc->handle.loop, needed) : 0;
}

LOOP_APART static int set_anew(struct desc *desc, unsigned directions, uint64_t due)
{
    if (directions == 0 || (directions & ~(LOOP_READABLE | LOOP_WRITABLE)))
        return LOOP_EINVAL;
    if (due != LOOP_NO_DEADLINE) {
        int error = reserve(desc, directions);

        if (error != 0)
            return error;
    }
    if (directions & LOOP_READABLE)
        set_one(desc, LOOP_READABLE, due);
    if (directions & LOOP_WRITABLE)
        set_one(desc, LOOP_WRITABLE, due);
    return 0;
}

/* What servers do with every packet is done here: a started deadline of one direction moves to later. One that is not started
 * is due never. */
LOOP_INLINE int set_deadline(struct desc *desc, unsigned directions, uint64_t due)
{
    loop_t *loop = desc->handle.loop;
    struct timer_node *node = directions == LOOP_READABLE ? &desc->read_deadline : &desc->write_deadline;

    if ((directions != LOOP_READABLE && directions != LOOP_WRITABLE) || due == LOOP_NO_DEADLINE || due <= node->due ||
        !loop->now_valid || due <= loop->now)
        return set_anew(desc, directions, due);
    node->due = due;
    node->seq = ++loop->timers.seq;
    return 0;
}

int loop_desc_set_deadline(loop_desc_t *desc, unsigned directions, uint64_t due)
{
    int error = loop__handle_check(desc, LOOP_DESC);

    return error != 0 ? error : set_deadline((struct desc *)desc, directions, due);
}

int loop_tcp_set_deadline(loop_tcp_t *tcp, unsigned directions, uint64_t due)
{
    int error = loop__handle_check(tcp, LOOP_TCP);

    if (error != 0)
        return error;
    /* A listener's node serves its pauses. */
    if (((struct stream *)tcp)->flags & STREAM_LISTENING)
        return LOOP_EINVAL;
    return set_deadline((struct desc *)tcp, directions, due);
}

int loop_op_set_deadline(loop_op_t *public_op, uint64_t due)
{
    struct op *op = (struct op *)public_op;
    loop_t *loop;

    if (op == NULL)
        return LOOP_EINVAL;
    if (op->state == OP_IDLE)
        return LOOP_ENOENT;
    loop = op->desc->handle.loop;
    if (op->state == OP_FINISHED && !(op->result_flags & LOOP_OP_MORE))
        return 0; /* too late to change the result */
    if (due == LOOP_NO_DEADLINE) {
        loop__timer_unset(loop, &op->deadline);
        return 0;
    }
    if (due <= loop__now(loop)) {
        loop__op_end(op, true);
        return 0;
    }
    op->deadline.kind = TIMER_OP_DEADLINE;
    return loop__timer_set(loop, &op->deadline, due);
}
