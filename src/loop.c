/* The loop: its life, the phases of a turn, the wait. */
#include "internal.h"
#include "metrics.h"
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
    if (options != NULL && (options->size != sizeof(*options) || (options->flags & ~LOOP_METRICS_TIME)))
        return LOOP_EINVAL;
    if (options != NULL && options->allocator != NULL) {
        allocator = options->allocator;
        if (allocator->resize == NULL)
            return LOOP_EINVAL;
    }
    loop = allocator->resize(allocator->context, NULL, sizeof(*loop));
    if (loop == NULL)
        return LOOP_ENOMEM;

    *loop = (struct loop){.backend = &loop__backend, .allocator = *allocator, .limit = NO_LIMIT};
    loop->data = options != NULL ? options->data : NULL;
    loop->metrics.timed = options != NULL && (options->flags & LOOP_METRICS_TIME);
    list_init(&loop->ready);
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
    if (loop->running || loop->closing || !list_empty(&loop->handles) || loop->active_ops > 0)
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

static bool must_not_wait(loop_t *loop)
{
    return loop->stopping || !list_empty(&loop->ready) || !list_empty(&loop->phases[PHASE_IDLE]) ||
           loop->closing_first != NULL || loop->tasks != NULL || !alive(loop);
}

/* ns until the next timer or the limit, FOREVER without either. */
static int64_t time_to_timer(loop_t *loop)
{
    struct timer_node *next = loop__timer_next(loop);
    uint64_t due = loop->limit;
    uint64_t now;

    if (next == NULL && due == NO_LIMIT)
        return FOREVER;
    if (next != NULL && next->due < due)
        due = next->due;
    now = loop__now(loop);
    if (due <= now)
        return 0;
    return due - now > INT64_MAX ? INT64_MAX : (int64_t)(due - now);
}

/*
 * Waits until something is ready or posted or the timeout is over. An event that completes nothing, a signal, or a wake-up
 * whose reason was seen before does not end the wait: it goes on for the time that remains.
 *
 * The order of the two stores and loads on loop->wake and loop->posted is what makes a wake-up impossible to lose: this side
 * declares itself asleep and then looks at the queue; a poster fills the queue and then looks whether the loop is asleep.
 */
static int wait_for_events(loop_t *loop, int64_t timeout)
{
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
        if (timeout == 0 || !list_empty(&loop->ready) || loop->tasks != NULL)
            return 0;
        if (timeout > 0) {
            timeout = time_to_timer(loop);
            if (timeout == 0)
                return 0;
        }
    }
}

/* ------------------------------------------------------------------------------------------------------------- turns -- */

/* One pass over what is ready now. What becomes ready meanwhile queues behind. */
static inline void dispatch_round(loop_t *loop)
{
    struct link batch;

    list_take(&loop->ready, &batch);
    while (!list_empty(&batch)) {
        struct ready *ready = CONTAINER_OF(list_pop(&batch), struct ready, link);

        if (ready->kind == READY_OP)
            loop__op_dispatch(CONTAINER_OF(ready, struct op, ready));
        else
            loop__desc_dispatch(CONTAINER_OF(ready, struct desc, ready));
        loop__lap(loop);
    }
}

static int turn(loop_t *loop, loop_run_mode mode)
{
    bool had_leftovers = !list_empty(&loop->ready) || loop->tasks != NULL;
    int64_t timeout = 0;
    int error;

    loop->metrics.turns++;
    if (!list_empty(&loop->ready))
        dispatch_round(loop);
    if (!list_empty(&loop->phases[PHASE_IDLE]))
        loop__phase_run(loop, PHASE_IDLE);
    if (!list_empty(&loop->phases[PHASE_PREPARE]))
        loop__phase_run(loop, PHASE_PREPARE);

    if (mode != LOOP_RUN_NOWAIT && !(mode == LOOP_RUN_ONCE && had_leftovers) && !must_not_wait(loop))
        timeout = time_to_timer(loop);
    error = wait_for_events(loop, timeout);

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

int loop_run(loop_t *loop, loop_run_mode mode)
{
    int error = 0;
    bool more;

    if (loop == NULL || (mode != LOOP_RUN_DEFAULT && mode != LOOP_RUN_ONCE && mode != LOOP_RUN_NOWAIT))
        return LOOP_EINVAL;
    if (loop->running || loop->closing)
        return LOOP_EBUSY;
    loop->running = true;
    loop->now_valid = false;
    if (loop->metrics.timed)
        loop__metrics_mark(loop);
    /* To a host loop events of handles that keep nothing alive count too: not taken, they would keep it awake for ever. */
    more = alive(loop) || (loop->watched && mode == LOOP_RUN_NOWAIT);
    if (mode == LOOP_RUN_DEFAULT && more && !loop->stopping && loop->timers.count > 0)
        loop__timers_run(loop);
    while (more && !loop->stopping) {
        error = turn(loop, mode);
        more = alive(loop);
        if (mode != LOOP_RUN_DEFAULT || error != 0)
            break;
    }
    loop->stopping = false;
    loop->running = false;
    loop->now_valid = false; /* nobody knows how long it is until the next turn */
    if (atomic_load(&loop->wake) == WAKE_AWAKE)
        atomic_store(&loop->wake, WAKE_ASLEEP);
    if (loop->watched)
        loop__host_notify(loop);
    return error != 0 ? error : more;
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
    struct handle marker;

    if (loop == NULL || cb == NULL)
        return LOOP_EINVAL;
    /* The list is turned once round, up to the marker: so it is whole for whatever the callback does, and the callback may
     * close any handle and open new ones. */
    if (loop__handle_init(loop, &marker, LOOP_UNKNOWN_HANDLE) != 0)
        return 0; /* the loop is being closed: it has no handles */
    while (loop->handles.next != &marker.all) {
        struct link *link = list_pop(&loop->handles);
        struct handle *handle = CONTAINER_OF(link, struct handle, all);

        list_push(&loop->handles, link);
        if (handle->type != LOOP_UNKNOWN_HANDLE) /* the marker of a walk around this one */
            cb((loop_handle_t *)handle, arg);
    }
    loop__handle_forget(&marker);
    return 0;
}
