/* The loop: its life, the phases of a turn, the wait. */
#include "internal.h"
#include "platform.h"

/* How often one turn goes over what became ready while it dispatched. What is left waits for the next turn, after a look at
 * the other descriptors. */
#define DISPATCH_ROUNDS 8

int loop_init(loop_t **result, const loop_options_t *options)
{
    loop_allocator_t allocator;
    loop_t *loop;
    int error;

    if (result == NULL)
        return LOOP_EINVAL;
    *result = NULL;
    if (options != NULL && (options->size != sizeof(*options) || options->flags != 0))
        return LOOP_EINVAL;
    error = loop__allocator_choose(options != NULL ? options->allocator : NULL, &allocator);
    if (error != 0)
        return error;
    loop = allocator.resize(allocator.context, NULL, sizeof(*loop));
    if (loop == NULL)
        return LOOP_ENOMEM;

    *loop = (struct loop){.backend = &loop__backend, .allocator = allocator};
    loop->data = options != NULL ? options->data : NULL;
    list_init(&loop->ready);
    list_init(&loop->handles);
    list_init(&loop->works);
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
    loop__work_close(loop);
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

/* ns until the next timer, FOREVER without one. */
static int64_t time_to_timer(loop_t *loop)
{
    struct timer_node *next = loop__timer_next(loop);
    uint64_t now;

    if (next == NULL)
        return FOREVER;
    now = loop__now(loop);
    if (next->due <= now)
        return 0;
    return next->due - now > INT64_MAX ? INT64_MAX : (int64_t)(next->due - now);
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
        found = loop->backend->poll(loop, timeout);
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

static int turn(loop_t *loop, loop_run_mode mode)
{
    bool had_leftovers = !list_empty(&loop->ready) || loop->tasks != NULL;
    int64_t timeout = 0;
    int error;

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
    more = alive(loop);
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
    struct link batch;

    if (loop == NULL || cb == NULL)
        return LOOP_EINVAL;
    /* One handle at a time moves back before its callback, so that the callback may close any and open new ones. */
    list_take(&loop->handles, &batch);
    while (!list_empty(&batch)) {
        struct link *link = list_pop(&batch);

        list_push(&loop->handles, link);
        cb((loop_handle_t *)CONTAINER_OF(link, struct handle, all), arg);
    }
    return 0;
}
