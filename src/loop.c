/* The loop: its life, the phases of a turn, the wait. */
#include "internal.h"
#include "platform.h"

#include <stdlib.h>

/* How often one turn goes over what became ready while it dispatched. What is left waits for the next turn, after a look at
 * the other descriptors. */
#define DISPATCH_ROUNDS 8

static void *default_resize(void *context, void *ptr, size_t size)
{
    (void)context;
    if (size == 0) {
        free(ptr);
        return NULL;
    }
    return realloc(ptr, size);
}

int loop_init(loop_t **result, const loop_options_t *options)
{
    static const loop_allocator_t standard = {default_resize, NULL};
    const loop_allocator_t *allocator = &standard;
    loop_t *loop;
    int error;

    if (result == NULL)
        return LOOP_EINVAL;
    *result = NULL;
    if (options != NULL && (options->size != sizeof(*options) || (options->flags & ~LOOP_HANDOVER)))
        return LOOP_EINVAL;
    if (options != NULL && options->allocator != NULL) {
        allocator = options->allocator;
        if (allocator->resize == NULL)
            return LOOP_EINVAL;
    }
    loop = allocator->resize(allocator->context, NULL, sizeof(*loop));
    if (loop == NULL)
        return LOOP_ENOMEM;

    *loop = (struct loop){.backend = &loop__backend, .allocator = *allocator};
    loop->data = options != NULL ? options->data : NULL;
    loop->flags = options != NULL ? options->flags : 0;
    list_init(&loop->ready);
    list_init(&loop->done);
    list_init(&loop->delivered);
    list_init(&loop->handles);
    for (int i = 0; i < PHASE_COUNT; i++)
        list_init(&loop->phases[i]);
    loop__tasks_init(loop);
    error = loop->backend->init(loop);
    if (error != 0) {
        loop__free(loop, loop);
        return error;
    }
    *result = loop;
    return 0;
}

int loop_close(loop_t *loop)
{
    if (loop == NULL)
        return LOOP_EINVAL;
    if (loop->running || loop->closing || loop->walks != NULL || !list_empty(&loop->handles) || loop->active_ops > 0)
        return LOOP_EBUSY;
    loop->closing = true;
    loop__tasks_close(loop);
    loop->backend->close(loop);
    loop__free(loop, loop->timers.entries);
    loop__free(loop, loop->scratch);
    loop__free(loop, loop);
    return 0;
}

void loop_set_data(loop_t *loop, void *data)
{
    if (loop != NULL)
        loop->data = data;
}

void *loop_get_data(const loop_t *loop)
{
    return loop != NULL ? loop->data : NULL;
}

/* ------------------------------------------------------------------------------------------------------------- time -- */

uint64_t loop__now(loop_t *loop)
{
    if (!loop->now_valid) {
        loop->now = loop__clock(loop->now);
        loop->now_valid = true;
    }
    return loop->now;
}

uint64_t loop_now(loop_t *loop)
{
    return loop != NULL ? loop__now(loop) : 0;
}

int loop_update_time(loop_t *loop)
{
    if (loop == NULL)
        return LOOP_EINVAL;
    loop->now_valid = false;
    (void)loop__now(loop);
    return 0;
}

/* ---------------------------------------------------------------------------------------------------------- the wait -- */

static bool alive(loop_t *loop)
{
    return loop->active_handles > 0 || loop->active_ops > 0 || loop->closing_first != NULL || loop__tasks_waiting(loop);
}

int loop_alive(const loop_t *loop)
{
    /* Reading the posted queue is an atomic load, which C cannot express on a const object everywhere. */
    return loop != NULL && alive((loop_t *)(uintptr_t)loop);
}

static bool has_results(const loop_t *loop)
{
    return !list_empty(&loop->ready) || !list_empty(&loop->done) || loop->tasks != NULL;
}

static bool must_not_wait(const loop_t *loop)
{
    return loop->stopping || has_results(loop) || !list_empty(&loop->phases[PHASE_IDLE]) || loop->closing_first != NULL;
}

/* ns until the next timer or the given instant (NEVER: none), whichever is first; FOREVER without either. */
static int64_t time_left(loop_t *loop, uint64_t end)
{
    struct timer_node *next = loop->timers.count > 0 ? loop__timer_next(loop) : NULL;
    uint64_t now;

    if (next != NULL && next->due < end)
        end = next->due;
    else if (end == NEVER && next == NULL)
        return FOREVER;
    now = loop__now(loop);
    if (end <= now)
        return 0;
    return end - now > INT64_MAX ? INT64_MAX : (int64_t)(end - now);
}

/*
 * Waits until something is ready or posted, a timer is due or the end has come (NEVER: there is none; 0: without waiting). An event that completes nothing, a signal, or a wake-up
 * whose reason was seen before does not end the wait: it goes on for the time that remains.
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
        found = loop->backend->poll(loop, timeout);
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

/* ------------------------------------------------------------------------------------------------------------- turns -- */

/* One pass over what is ready now. What becomes ready meanwhile queues behind. */
static void dispatch_round(loop_t *loop)
{
    struct link batch;

    list_take(&loop->ready, &batch);
    while (!list_empty(&batch)) {
        struct ready *ready = CONTAINER_OF(list_pop(&batch), struct ready, link);

        if (ready->kind == READY_OP)
            loop__op_dispatch(CONTAINER_OF(ready, struct op, ready));
        else
            loop__desc_dispatch(CONTAINER_OF(ready, struct desc, ready));
    }
}

/* One turn, whose wait lasts until the given instant at the most; needs_life: only while something keeps the loop alive. */
static int turn(loop_t *loop, uint64_t end, bool needs_life)
{
    int error;

    if (!list_empty(&loop->ready))
        dispatch_round(loop);
    if (!list_empty(&loop->phases[PHASE_IDLE]))
        loop__phase_run(loop, PHASE_IDLE);
    if (!list_empty(&loop->phases[PHASE_PREPARE]))
        loop__phase_run(loop, PHASE_PREPARE);

    if (must_not_wait(loop) || (needs_life && !alive(loop)))
        end = 0;
    error = wait_for_events(loop, end);

    for (int i = 0; i < DISPATCH_ROUNDS && !list_empty(&loop->ready); i++)
        dispatch_round(loop);
    if (loop->tasks != NULL)
        loop__tasks_run(loop, 0);
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

    if (loop->running || loop->closing || loop->walks != NULL)
        return LOOP_EBUSY;
    if (loop->thread != thread && loop->thread != 0 && !(loop->flags & LOOP_HANDOVER))
        return LOOP_EINVAL;
    loop->thread = thread;
    loop->running = true;
    loop->now_valid = false;
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
}

/* What a mode waits for: alive() decides about the first turn, this about its wait and the turns after it. */
static int run_turns(loop_t *loop, loop_run_mode mode)
{
    bool leftovers = has_results(loop);
    int error = 0;

    if (mode == LOOP_RUN_NOWAIT || (mode == LOOP_RUN_ONCE && leftovers))
        return turn(loop, 0, true);
    if (mode == LOOP_RUN_ONCE)
        return turn(loop, NEVER, true);
    while (error == 0 && alive(loop) && !loop->stopping && list_empty(&loop->done))
        error = turn(loop, NEVER, true);
    return error;
}

int loop_run(loop_t *loop, loop_run_mode mode)
{
    int error;
    bool more;

    if (loop == NULL || (mode != LOOP_RUN_DEFAULT && mode != LOOP_RUN_ONCE && mode != LOOP_RUN_NOWAIT))
        return LOOP_EINVAL;
    error = enter(loop);
    if (error != 0)
        return error;
    if (mode == LOOP_RUN_DEFAULT && loop->timers.count > 0 && !loop->stopping && alive(loop))
        loop__timers_run(loop);
    if (!list_empty(&loop->done))
        error = LOOP_EAGAIN;
    else if (alive(loop) && !loop->stopping)
        error = run_turns(loop, mode);
    if (error == 0 && !list_empty(&loop->done))
        error = LOOP_EAGAIN;
    more = alive(loop);
    leave(loop);
    return error != 0 ? error : more;
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

int loop_walk(loop_t *loop, void (*cb)(loop_handle_t *handle, void *arg), void *arg)
{
    if (loop == NULL || cb == NULL)
        return LOOP_EINVAL;
    loop__handles_walk(loop, cb, arg);
    return 0;
}
