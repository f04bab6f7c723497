/* How a loop runs: the wait, the phases of a turn, and the calls that make turns. */
#include "internal.h"
#include "metrics.h"
#include "platform.h"

/* How often one turn goes over what became ready while it dispatched. What is left waits for the next turn, after a look at
 * the other descriptors. */
#define DISPATCH_ROUNDS 8

/* ---------------------------------------------------------------------------------------------------------- the wait -- */

static bool alive(loop_t *loop)
{
    return loop->active_handles > 0 || loop->active_ops > 0 || loop->closing_handles > 0 || loop__tasks_waiting(loop);
}

int loop_alive(const loop_t *loop)
{
    /* Reading the posted queue is an atomic load, which C cannot express on a const object everywhere. */
    return loop != NULL && alive((loop_t *)(uintptr_t)loop);
}

static inline bool has_results(const loop_t *loop)
{
    return !list_empty(&loop->ready) || !list_empty(&loop->done) || loop->tasks != NULL;
}

/* Something to do that the loop's own thread knows of. */
static inline bool is_busy(const loop_t *loop)
{
    return has_results(loop) || !list_empty(&loop->phases[PHASE_IDLE]) || loop->closing_first != NULL;
}

bool loop__has_work(loop_t *loop)
{
    return is_busy(loop) || loop__tasks_waiting(loop);
}

/* ns until the next timer or the given instant (NEVER: none), whichever is first; FOREVER without either. */
static inline int64_t time_left(loop_t *loop, uint64_t end)
{
    const struct timer_node *next = loop__timer_next(loop);

    if (next != NULL && next->due < end)
        end = next->due;
    else if (end == NEVER && next == NULL)
        return FOREVER;
    return loop__time_until(loop__now(loop), end);
}

/*
 * Waits until something is ready or posted, a timer is due, or the given instant (NEVER; 0: without waiting). An event that
 * completes nothing, a signal, or a wake-up whose reason was seen before does not end the wait: it goes on for the time that
 * remains.
 *
 * The order of the two stores and loads on loop->wake and loop->posted is what makes a wake-up impossible to lose: this side
 * declares itself asleep and then looks at the queue; a poster fills the queue and then looks whether the loop is asleep.
 */
static int wait_for_events(loop_t *loop, uint64_t end)
{
    int64_t timeout = end == 0 ? 0 : time_left(loop, end);

    for (;;) {
        int found;

        if (timeout != 0) {
            if (atomic_load(&loop->wake) == WAKE_AWAKE)
                atomic_store(&loop->wake, WAKE_ASLEEP);
            if (loop__tasks_waiting(loop))
                timeout = 0;
        }
        found = loop__metrics_poll(loop, timeout);
        atomic_store(&loop->wake, WAKE_AWAKE);
        loop->now_valid = false;
        loop__tasks_take(loop);
        if (found < 0 && found != LOOP_EINTR)
            return found;
        if (timeout == 0 || has_results(loop))
            return 0;
        if (timeout > 0) {
            timeout = time_left(loop, end);
            if (timeout == 0)
                return 0;
        }
    }
}

/* ---------------------------------------------------------------------------------------------------------- dispatch -- */

static inline void dispatch_one(loop_t *loop, struct ready *ready)
{
    struct desc *desc = CONTAINER_OF(ready, struct desc, ready);

    if (ready->kind == READY_OP) {
        loop__op_dispatch(CONTAINER_OF(ready, struct op, ready));
    } else if (ready->kind == READY_STREAM && desc->todo == TODO_READ) {
        desc->todo = 0;
        loop->futile += !loop__stream_readable((struct stream *)desc);
    } else if (ready->kind == READY_POLL) {
        loop__poll_dispatch((struct poll *)desc);
    } else {
        loop__desc_dispatch(desc);
    }
}

/* One pass over what is ready now, whose number it returns. What becomes ready meanwhile queues behind. */
static unsigned dispatch_round(loop_t *loop)
{
    struct link batch;
    unsigned count = 0;

    list_take(&loop->ready, &batch);
    while (!list_empty(&batch)) {
        dispatch_one(loop, CONTAINER_OF(list_pop(&batch), struct ready, link));
        count++;
        loop__lap(loop);
    }
    return count;
}

/* Whether anything was called back. */
static bool dispatch(loop_t *loop)
{
    bool useful = loop->tasks != NULL;
    unsigned count = 0;

    loop->futile = 0;
    for (int i = 0; i < DISPATCH_ROUNDS && !list_empty(&loop->ready); i++)
        count += dispatch_round(loop);
    if (loop->tasks != NULL)
        loop__tasks_run(loop, 0);
    return useful || count != loop->futile || !list_empty(&loop->done);
}

/* ------------------------------------------------------------------------------------------------------------- turns -- */

/* One turn, whose wait lasts until the given instant at the most; needs_life: only while something keeps the loop alive. */
static int turn(loop_t *loop, uint64_t end, bool needs_life)
{
    int error;

    loop->metrics.turns++;
    if (!list_empty(&loop->ready))
        (void)dispatch_round(loop);
    if (!list_empty(&loop->phases[PHASE_IDLE]))
        loop__phase_run(loop, PHASE_IDLE);
    if (!list_empty(&loop->phases[PHASE_PREPARE]))
        loop__phase_run(loop, PHASE_PREPARE);

    /* An edge whose data was read before it came ends no wait. */
    do {
        if (is_busy(loop) || loop->stopping || (needs_life && !alive(loop)))
            end = 0;
        error = wait_for_events(loop, end);
    } while (!dispatch(loop) && end != 0 && error == 0 && time_left(loop, end) != 0);
    if (!list_empty(&loop->phases[PHASE_CHECK]))
        loop__phase_run(loop, PHASE_CHECK);
    if (loop->closing_first != NULL)
        loop__handles_run_closing(loop);
    if (loop->timers.count > 0)
        loop__timers_run(loop);
    return error;
}

/* What all ways to run a loop begin with, and end with if it returned 0. */
static int enter(loop_t *loop)
{
    uintptr_t thread = loop__thread_id();

    if (loop->running || loop->closing || loop->walkers != NULL)
        return LOOP_EBUSY;
    if (loop->thread != thread && loop->thread != 0 && !(loop->flags & LOOP_HANDOVER))
        return LOOP_EINVAL;
    loop->thread = thread;
    loop->running = true;
    loop->now_valid = false;
    if (loop->metrics.timed)
        loop__metrics_mark(loop);
    if (!list_empty(&loop->delivered))
        loop__op_delivered_go_on(loop);
    return 0;
}

static void leave(loop_t *loop)
{
    loop->stopping = false;
    loop->running = false;
    loop->now_valid = false; /* nobody knows how long it is until the next turn */
    if (atomic_load(&loop->wake) == WAKE_AWAKE)
        atomic_store(&loop->wake, WAKE_ASLEEP);
    if (loop->watched)
        loop__host_notify(loop);
}

/* The turns of a mode: one, or as many as there are; waits until the given instant at the most. */
static int run_turns(loop_t *loop, loop_run_mode mode, uint64_t end)
{
    int error = 0;

    if (!list_empty(&loop->done))
        return LOOP_EAGAIN;
    if (mode == LOOP_RUN_NOWAIT) {
        /* To a host loop events of handles that keep nothing alive count too: not taken, they would keep it awake for ever. */
        if (!loop->stopping && (alive(loop) || loop->watched))
            error = turn(loop, 0, true);
    } else if (mode == LOOP_RUN_ONCE) {
        if (!loop->stopping && alive(loop))
            error = turn(loop, has_results(loop) ? 0 : end, true);
    } else {
        if (loop->timers.count > 0 && !loop->stopping && alive(loop))
            loop__timers_run(loop);
        while (error == 0 && !loop->stopping && list_empty(&loop->done) && alive(loop))
            error = turn(loop, end, true);
    }
    return error == 0 && !list_empty(&loop->done) ? LOOP_EAGAIN : error;
}

static int run(loop_t *loop, loop_run_mode mode, uint64_t end)
{
    int error = enter(loop);
    bool more;

    if (error != 0)
        return error;
    error = run_turns(loop, mode, end);
    more = alive(loop);
    leave(loop);
    return error != 0 ? error : more;
}

int loop__run_once(loop_t *loop, uint64_t end)
{
    return run(loop, LOOP_RUN_ONCE, end);
}

int loop_run(loop_t *loop, loop_run_mode mode)
{
    if (loop == NULL || (mode != LOOP_RUN_DEFAULT && mode != LOOP_RUN_ONCE && mode != LOOP_RUN_NOWAIT))
        return LOOP_EINVAL;
    return run(loop, mode, NEVER);
}

int loop_wait(loop_t *loop, loop_op_t **ops, int n, uint64_t timeout)
{
    uint64_t end = timeout == LOOP_FOREVER ? NEVER : 0;
    int count;

    if (loop == NULL || ops == NULL || n < 1)
        return LOOP_EINVAL;
    count = enter(loop);
    if (count != 0)
        return count;
    if (timeout != 0 && end == 0)
        end = loop__add_saturated(loop__now(loop), timeout);
    count = turn(loop, end, false);
    /* Last, so that a close callback comes only after the caller has seen the operations of its handle. */
    if (count == 0)
        count = loop__op_deliver(loop, ops, n);
    leave(loop);
    return count;
}

int loop_stop(loop_t *loop)
{
    if (loop == NULL)
        return LOOP_EINVAL;
    loop->stopping = true;
    return 0;
}
