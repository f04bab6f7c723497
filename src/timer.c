/* Timer handles, and the phase that runs whatever the timer heap says is due. */
#include "internal.h"

static struct timer *timer_of(const loop_timer_t *timer)
{
    return (struct timer *)(uintptr_t)timer;
}

int loop_timer_init(loop_t *loop, loop_timer_t *public_timer)
{
    struct timer *timer = timer_of(public_timer);
    int error = loop__handle_init(loop, (struct handle *)timer, LOOP_TIMER);

    if (error != 0)
        return error;
    timer->cb = NULL;
    timer->repeat = 0;
    loop__timer_node_init(&timer->node, TIMER_HANDLE);
    return 0;
}

/* The clock has to be read, or there is no room in the heap. */
LOOP_APART static int start_after_all(struct timer *timer, loop_timer_cb cb, uint64_t timeout, uint64_t repeat)
{
    loop_t *loop = timer->handle.loop;

    (void)loop__now(loop);
    if (!loop__timer_started(&timer->node) && loop__timer_reserve(loop, 1) != 0)
        return LOOP_ENOMEM;
    return loop_timer_start((loop_timer_t *)timer, cb, timeout, repeat);
}

/* Starts a stopped timer, or one that is due later than it is now to be. */
LOOP_APART static int start_or_hasten(struct timer *timer, loop_timer_cb cb, uint64_t timeout, uint64_t repeat)
{
    loop_t *loop = timer->handle.loop;
    bool started = loop__timer_started(&timer->node);
    uint64_t due;

    if (!loop->now_valid || (!started && loop->timers.count == loop->timers.room))
        return start_after_all(timer, cb, timeout, repeat);
    due = loop__add_saturated(loop->now, timeout);
    timer->cb = cb;
    timer->repeat = repeat;
    if (started)
        return loop__timer_move(&loop->timers, &timer->node, due);
    loop__handle_start(&timer->handle);
    return loop__timer_add(&loop->timers, &timer->node, due);
}

int loop_timer_start(loop_timer_t *public_timer, loop_timer_cb cb, uint64_t timeout, uint64_t repeat)
{
    struct timer *timer = timer_of(public_timer);
    int error = loop__handle_check(timer, LOOP_TIMER);
    loop_t *loop;
    uint64_t due;

    if (error != 0)
        return error;
    if (cb == NULL)
        return LOOP_EINVAL;
    loop = timer->handle.loop;
    due = loop__add_saturated(loop->now, timeout);
    /* What servers do most is done here: a started timer is moved to later. One that is stopped is due never. */
    if (!loop->now_valid || due <= timer->node.due)
        return start_or_hasten(timer, cb, timeout, repeat);
    timer->cb = cb;
    timer->repeat = repeat;
    timer->node.due = due;
    timer->node.seq = ++loop->timers.seq;
    return 0;
}

int loop_timer_stop(loop_timer_t *public_timer)
{
    struct timer *timer = timer_of(public_timer);
    int error = loop__handle_check(timer, LOOP_TIMER);

    if (error != 0)
        return error;
    if (loop__timer_started(&timer->node)) {
        loop_t *loop = timer->handle.loop;

        loop__timer_unset(loop, &timer->node);
        loop__handle_stop_active(loop, &timer->handle);
    }
    return 0;
}

int loop_timer_again(loop_timer_t *public_timer)
{
    struct timer *timer = timer_of(public_timer);
    int error = loop__handle_check(timer, LOOP_TIMER);

    if (error != 0)
        return error;
    if (timer->cb == NULL || timer->repeat == 0)
        return LOOP_EINVAL;
    return loop_timer_start(public_timer, timer->cb, timer->repeat, timer->repeat);
}

int loop_timer_set_repeat(loop_timer_t *public_timer, uint64_t repeat)
{
    int error = loop__handle_check(public_timer, LOOP_TIMER);

    if (error == 0)
        timer_of(public_timer)->repeat = repeat;
    return error;
}

uint64_t loop_timer_get_repeat(const loop_timer_t *timer)
{
    return loop__handle_check(timer, LOOP_TIMER) == 0 ? timer_of(timer)->repeat : 0;
}

uint64_t loop_timer_get_due_in(const loop_timer_t *public_timer)
{
    struct timer *timer = timer_of(public_timer);
    uint64_t now;

    if (loop__handle_check(timer, LOOP_TIMER) != 0 || !loop__timer_started(&timer->node))
        return 0;
    now = loop__now(timer->handle.loop);
    return timer->node.due > now ? timer->node.due - now : 0;
}

void loop__timer_close(struct timer *timer)
{
    loop__timer_unset(timer->handle.loop, &timer->node);
    loop__handle_closed(&timer->handle);
}

static void timer_fire(struct timer *timer)
{
    loop_t *loop = timer->handle.loop;

    if (timer->repeat != 0) {
        (void)loop__timer_move(&loop->timers, &timer->node, loop__add_saturated(loop__now(loop), timer->repeat));
    } else {
        loop__timer_unset(loop, &timer->node);
        loop__handle_stop_active(loop, &timer->handle);
    }
    loop->metrics.timers++;
    LOOP_PROBE2(timer, loop, timer);
    timer->cb((loop_timer_t *)timer);
}

bool loop__timers_run(loop_t *loop)
{
    uint64_t now = loop__now(loop);
    uint64_t last_seq = loop->timers.seq;
    bool deadlines = false;
    bool others = false;
    struct timer_node *node;

    /* What is started from here on is due now at the earliest and comes after last_seq: it waits for the next phase. */
    while ((node = loop__timer_due(loop, now)) != NULL) {
        if (node->due == now && node->seq > last_seq)
            break;
        switch ((enum timer_kind)node->kind) {
        case TIMER_HANDLE:
            others = true;
            timer_fire(CONTAINER_OF(node, struct timer, node));
            break;
        case TIMER_READ_DEADLINE:
            deadlines = true;
            loop__deadline_expired(CONTAINER_OF(node, struct desc, read_deadline), LOOP_READABLE);
            break;
        case TIMER_WRITE_DEADLINE:
            deadlines = true;
            loop__deadline_expired(CONTAINER_OF(node, struct desc, write_deadline), LOOP_WRITABLE);
            break;
        case TIMER_OP_DEADLINE:
            deadlines = true;
            loop__timer_unset(loop, node);
            loop__op_end(CONTAINER_OF(node, struct op, deadline), true);
            break;
        case TIMER_ACCEPT_PAUSE:
            others = true;
            loop__timer_unset(loop, node);
            loop__tcp_accept_resume(CONTAINER_OF(node, struct stream, desc.read_deadline));
            break;
        }
        loop__lap(loop);
    }
    return deadlines && !others;
}
