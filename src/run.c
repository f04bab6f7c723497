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
    return loop->active_handles > 0 || loop__has_ops(loop) || loop->active_works > 0 || loop->closing_handles > 0 ||
           loop__tasks_waiting(loop);
}

int loop_alive(const loop_t *loop)
{
    /* Reading the posted queue is an atomic load, which C cannot express on a const object everywhere. */
    return loop != NULL && alive((loop_t *)(uintptr_t)loop);
}

static inline bool is_stopping(const loop_t *loop)
{
    return (loop->extras & EXTRA_STOP) != 0;
}

/* What is to be done at once besides what is ready. */
LOOP_APART static bool has_extras(const loop_t *loop)
{
    return (loop->extras & (EXTRA_CLOSING | EXTRA_DONE)) || !list_empty(&loop->phases[PHASE_IDLE]);
}

bool loop__has_work(loop_t *loop)
{
    return !list_empty(&loop->ready) || has_extras(loop) || loop__tasks_waiting(loop);
}

static inline bool may_wait(const loop_t *loop)
{
    if (!list_empty(&loop->ready))
        return false;
    return loop->extras == 0 || !(is_stopping(loop) || has_extras(loop));
}

/*
 * How far a root of the timer heap must be for its word to be taken: not before then is a timer due. If its timer was moved to
 * later or stopped, the wait ends for nothing and goes on. In return a timer that every packet moves is corrected once in
 * the time that it measures, not in every turn.
 */
#define FAR_ENOUGH LOOP_MS(10)

static int64_t time_limited(loop_t *loop, uint64_t end)
{
    const struct timer_heap *heap = &loop->timers;
    uint64_t now;

    if (heap->live == 0 && end == NEVER)
        return FOREVER;
    now = loop__now(loop);
    if (heap->live > 0) {
        (void)loop__timer_due(loop, loop__add_saturated(now, FAR_ENOUGH));
        if (heap->entries[0].due < end)
            end = heap->entries[0].due;
    }
    return loop__time_until(now, end);
}

/* ns until the next timer or the given instant (NEVER: none), whichever is first; FOREVER without either. */
static inline int64_t time_left(loop_t *loop, uint64_t end)
{
    return end == NEVER && loop->timers.count == 0 ? FOREVER : time_limited(loop, end);
}

/*
 * One wait, and a look at what was posted. Returns what the poll found, 0 also if a signal interrupted it, or an error.
 *
 * The order of the store and the load on loop->wake and loop->posted is what makes a wake-up impossible to lose: this side
 * declares itself asleep and then looks at the queue; a poster fills the queue and then looks whether the loop is asleep. To
 * be awake needs no such order: at worst a poster wakes who is awake.
 */
LOOP_INLINE int wait_once(loop_t *loop, int64_t *timeout)
{
    int found;

    if (*timeout != 0) {
        if (atomic_load(&loop->wake) == WAKE_AWAKE)
            atomic_store(&loop->wake, WAKE_ASLEEP);
        if (atomic_load(&loop->posted) != NULL)
            *timeout = 0;
    }
    found = loop__metrics_poll(loop, *timeout);
    atomic_store_explicit(&loop->wake, WAKE_AWAKE, memory_order_relaxed);
    loop->now_valid = false;
    if (atomic_load(&loop->posted) != NULL)
        loop__tasks_take(loop);
    if (found > 0)
        loop->metrics.events += (unsigned)found;
    return found;
}

/* Results for loop_wait() to hand out, or handles whose close callback became due in the wait. */
static inline bool has_endings(const loop_t *loop)
{
    return (loop->extras & (EXTRA_DONE | EXTRA_CLOSING)) != 0;
}

static inline bool has_results(const loop_t *loop)
{
    return !list_empty(&loop->ready) || loop->tasks != NULL || has_endings(loop);
}

/* An event that completed nothing, a signal, or a wake-up whose reason was seen before ended the wait. */
LOOP_APART static int wait_again(loop_t *loop, uint64_t end, int64_t timeout)
{
    for (;;) {
        int found;

        if (timeout > 0)
            timeout = time_limited(loop, end);
        if (timeout == 0)
            return 0;
        found = wait_once(loop, &timeout);
        if (found < 0 && found != LOOP_EINTR)
            return found;
        if (has_results(loop))
            return 0;
    }
}

/* Waits until something is ready or posted, a timer is due, or the given instant (NEVER; 0: without waiting). */
LOOP_INLINE int wait_for_events(loop_t *loop, uint64_t end)
{
    int64_t timeout = end == 0 ? 0 : time_left(loop, end);
    int found = wait_once(loop, &timeout);

    if (found < 0 && found != LOOP_EINTR)
        return found;
    if (timeout == 0 || has_results(loop))
        return 0;
    return wait_again(loop, end, timeout);
}

/* ---------------------------------------------------------------------------------------------------------- dispatch -- */

LOOP_APART static void dispatch_handle(struct ready *ready)
{
    if (ready->kind == READY_MACHPORT)
        loop__machport_dispatch(CONTAINER_OF(ready, struct machport, ready));
    else
        loop__desc_dispatch(CONTAINER_OF(ready, struct desc, ready));
}

LOOP_INLINE void dispatch_one(loop_t *loop, struct ready *ready)
{
    if (ready->kind == READY_OP) {
        loop__op_dispatch(loop, CONTAINER_OF(ready, struct op, ready));
    } else if (ready->todo == TODO_READ) { /* and nothing else: what a connection mostly stands there for */
        ready->todo = 0;
        ready->found = 0; /* as it is: see struct ready */
        loop__stream_readable(CONTAINER_OF(ready, struct stream, desc.ready));
    } else if (ready->todo == TODO_POLL) { /* of poll handles only */
        loop__poll_dispatch(CONTAINER_OF(ready, struct poll, desc.ready));
    } else {
        dispatch_handle(ready);
    }
}

/* So many passes over what is ready; what becomes ready in one queues for the next. timed: callbacks are. Whether anything was
 * called back. */
LOOP_INLINE bool dispatch(loop_t *loop, int rounds, bool timed)
{
    unsigned count = 0;

    loop->futile = 0;
    for (; rounds > 0 && !list_empty(&loop->ready); rounds--) {
        struct link *link = loop->ready.next;
        struct link batch;

        if (link->next == &loop->ready) { /* one alone, as with a single connection */
            list_init(&loop->ready);
            list_init(&batch);
        } else {
            list_take_some(&loop->ready, &batch);
            link = list_pop(&batch);
        }
        for (;;) {
            dispatch_one(loop, CONTAINER_OF(link, struct ready, link));
            count++;
            if (timed)
                loop__metrics_lap(loop);
            if (list_empty(&batch))
                break;
            link = list_pop(&batch);
        }
    }
    return count != loop->futile;
}

LOOP_APART static bool dispatch_apart(loop_t *loop, int rounds)
{
    return dispatch(loop, rounds, loop->metrics.timed);
}

/* What was posted. Whether that or the dispatching before called back, or the turn has something to end. */
static inline bool run_posted(loop_t *loop, bool called)
{
    if (loop->tasks != NULL) {
        loop__tasks_run(loop, 0);
        called = true;
    }
    return called || has_endings(loop);
}

/* ------------------------------------------------------------------------------------------------------------- turns -- */

/* An edge whose data was read before it came ends no wait. */
LOOP_APART static int go_on_waiting(loop_t *loop, uint64_t end)
{
    int error;

    do {
        if (time_left(loop, end) == 0)
            return 0;
        if (!may_wait(loop))
            end = 0;
        error = wait_for_events(loop, end);
    } while (!run_posted(loop, dispatch_apart(loop, DISPATCH_ROUNDS)) && end != 0 && error == 0);
    return error;
}

/* Callbacks that come before the wait. */
LOOP_APART static void run_before_wait(loop_t *loop)
{
    if (!list_empty(&loop->ready))
        (void)dispatch_apart(loop, 1);
    loop__phase_run(loop, PHASE_IDLE);
    loop__phase_run(loop, PHASE_PREPARE);
}

LOOP_APART static void run_extras(loop_t *loop)
{
    loop__phase_run(loop, PHASE_CHECK);
    loop__handles_run_closing(loop);
}

/* Whether all that was due were deadlines, what they end being still with the system. */
static inline bool run_after_dispatch(loop_t *loop)
{
    if (loop->extras != 0)
        run_extras(loop);
    return loop->timers.count > 0 && loop__timers_run(loop) && !has_results(loop);
}

/* The rest of a turn whose wait failed, or ended for nothing. */
LOOP_APART static int turn_else(loop_t *loop, uint64_t end, int error)
{
    bool ends_later;

    if (error != 0) {
        (void)run_posted(loop, dispatch_apart(loop, DISPATCH_ROUNDS));
        (void)run_after_dispatch(loop);
        return error;
    }
    do {
        error = go_on_waiting(loop, end);
        ends_later = run_after_dispatch(loop);
    } while (ends_later && error == 0 && loop->extras == 0 && time_left(loop, end) != 0);
    return error;
}

/* One turn, whose wait lasts until the given instant at the most; needs_life: only while something keeps the loop alive. */
LOOP_INLINE int turn(loop_t *loop, uint64_t end, bool needs_life)
{
    bool called;
    int error;

    loop->metrics.turns++;
    if (!list_empty(&loop->ready) || loop->extras != 0) {
        run_before_wait(loop);
        if (!may_wait(loop) || (needs_life && !alive(loop)))
            end = 0;
    }
    error = wait_for_events(loop, end);
    if (error != 0)
        return turn_else(loop, end, error);
    called = loop->metrics.timed ? dispatch_apart(loop, DISPATCH_ROUNDS) : dispatch(loop, DISPATCH_ROUNDS, false);
    if (!run_posted(loop, called) && end != 0)
        return turn_else(loop, end, 0);
    (void)run_after_dispatch(loop);
    return 0;
}

LOOP_APART static int single_turn(loop_t *loop, uint64_t end, bool needs_life)
{
    return turn(loop, end, needs_life);
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
    loop->extras &= ~(unsigned)EXTRA_STOP;
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
        if (!is_stopping(loop) && (alive(loop) || loop->watched))
            error = single_turn(loop, 0, true);
    } else if (mode == LOOP_RUN_ONCE) {
        if (!is_stopping(loop) && alive(loop))
            error = single_turn(loop, has_results(loop) ? 0 : end, true);
    } else {
        if (loop->timers.count > 0 && !is_stopping(loop) && alive(loop))
            (void)loop__timers_run(loop);
        while (error == 0 && !(loop->extras & (EXTRA_STOP | EXTRA_DONE)) && alive(loop))
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

/* Whether what has finished is handed out without a turn: nothing else is to be done at once, and it is not for ever. */
static bool may_skip_turn(loop_t *loop)
{
    if (loop->extras != EXTRA_DONE || !list_empty(&loop->ready) || loop->turns_skipped == DISPATCH_ROUNDS) {
        loop->turns_skipped = 0;
        return false;
    }
    loop->turns_skipped++;
    return true;
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
    if (!may_skip_turn(loop)) {
        if (timeout != 0 && end == 0)
            end = loop__add_saturated(loop__now(loop), timeout);
        count = single_turn(loop, has_results(loop) ? 0 : end, false); /* as LOOP_RUN_ONCE */
    }
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
    loop->extras |= EXTRA_STOP;
    return 0;
}
