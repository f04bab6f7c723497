#include "scheduler.h"

#include <stdio.h>
#include <stdlib.h>

#define BATCH 64

static void wake_all(struct runtime *runtime)
{
    for (int i = 0; i < runtime->count; i++)
        (void)loop_async_send(&runtime->schedulers[i].stop);
}

/* One coroutine less, or no longer held. */
static void let_go(struct runtime *runtime)
{
    if (atomic_fetch_sub(&runtime->alive, 1) == 1)
        wake_all(runtime);
}

/* ------------------------------------------------------------------------------------------------------ coroutines -- */

struct co *co_new(size_t size, co_function resume)
{
    struct co *co = calloc(1, size);

    if (co == NULL)
        return NULL;
    co->resume = resume;
    co->op.data = co;
    co->task.data = co;
    return co;
}

void co_discard(struct co *co)
{
    free(co);
}

static void on_arrival(loop_task_t *task, int status)
{
    struct co *co = task->data;

    (void)status; /* never LOOP_ECANCELED: loops are closed after the last coroutine has ended */
    co->resume(co);
}

int co_move(struct co *co, struct scheduler *to)
{
    co->scheduler = to;
    /* From here on the coroutine may be running on the other thread. */
    return loop_post(to->loop, &co->task, on_arrival);
}

void co_start(struct co *co, struct scheduler *scheduler)
{
    atomic_fetch_add(&scheduler->runtime->alive, 1);
    /* Neither is the task queued already, nor can the loop be closed while a coroutine is alive. */
    (void)co_move(co, scheduler);
}

bool co_begun(struct co *co, int error)
{
    if (error == 0)
        return true;
    co->op.status = error;
    co->op.bytes = 0;
    co->op.flags = 0;
    return false;
}

void co_ended(struct co *co)
{
    struct runtime *runtime = co->scheduler->runtime;

    free(co);
    let_go(runtime);
}

static void on_closed(loop_handle_t *handle)
{
    struct co *co = handle->data;

    co->resume(co);
}

int co_close(struct co *co, loop_handle_t *handle)
{
    handle->data = co;
    return loop_handle_close(handle, on_closed);
}

static void on_awake(loop_timer_t *timer)
{
    struct co *co = timer->handle.data;

    co->resume(co);
}

int co_sleep(struct co *co, loop_timer_t *timer, uint64_t ns)
{
    timer->handle.data = co;
    return loop_timer_start(timer, on_awake, ns, 0);
}

loop_t *co_loop(const struct co *co)
{
    return co->scheduler->loop;
}

bool co_stopping(const struct co *co)
{
    return co->scheduler->stopping;
}

/* ------------------------------------------------------------------------------------------------------ schedulers -- */

static void end_reading(loop_handle_t *handle, void *arg)
{
    (void)arg;
    if (loop_handle_get_type(handle) == LOOP_DESC)
        (void)loop_desc_set_deadline((loop_desc_t *)handle, LOOP_READABLE, 0);
}

/* The last coroutine that ends signals it, too. Then there is nothing to do but to have been woken. */
static void on_stop(loop_async_t *async)
{
    struct scheduler *scheduler = async->handle.data;

    if (scheduler->stopping)
        return;
    scheduler->stopping = true;
    (void)loop_walk(scheduler->loop, end_reading, NULL);
    wake_all(scheduler->runtime);
}

static void serve(struct scheduler *scheduler)
{
    loop_op_t *done[BATCH];

    while (atomic_load(&scheduler->runtime->alive) > 0) {
        int n = loop_wait(scheduler->loop, done, BATCH, LOOP_FOREVER);

        if (n < 0) { /* somebody closed the loop's descriptors: no coroutine can ever go on */
            (void)fprintf(stderr, "loop_wait: %s\n", loop_strerror(n));
            abort();
        }
        for (int i = 0; i < n; i++) {
            struct co *co = done[i]->data;

            co->resume(co);
        }
    }
}

static void *thread_main(void *arg)
{
    serve(arg);
    return NULL;
}

static int scheduler_init(struct scheduler *scheduler, struct runtime *runtime)
{
    loop_options_t options = LOOP_OPTIONS_INIT;
    int error;

    /* Whoever closes it runs its last turn, when the thread that ran all others has ended. */
    options.flags = LOOP_HANDOVER;
    error = loop_init(&scheduler->loop, &options);
    if (error != 0)
        return error;
    error = loop_async_init(scheduler->loop, &scheduler->stop, on_stop);
    if (error != 0)
        (void)loop_close(scheduler->loop);
    scheduler->stop.handle.data = scheduler;
    scheduler->runtime = runtime;
    scheduler->stopping = false;
    return error;
}

/* Threads that run look at the count of schedulers, so it is complete before the first one starts. */
static int start_threads(struct runtime *runtime)
{
    int error = 0;

    while (error == 0 && runtime->threads < runtime->count - 1) {
        struct scheduler *scheduler = &runtime->schedulers[runtime->threads + 1];

        error = loop_translate_sys_error(pthread_create(&scheduler->thread, NULL, thread_main, scheduler));
        if (error == 0)
            runtime->threads++;
    }
    return error;
}

int runtime_init(struct runtime *runtime, int count)
{
    int error = count >= 1 && count <= RUNTIME_MOST ? 0 : LOOP_EINVAL;

    runtime->count = 0;
    runtime->threads = 0;
    runtime->held = true;
    atomic_init(&runtime->next, 0);
    atomic_init(&runtime->alive, 1);
    while (error == 0 && runtime->count < count) {
        error = scheduler_init(&runtime->schedulers[runtime->count], runtime);
        if (error == 0)
            runtime->count++;
    }
    if (error == 0)
        error = start_threads(runtime);
    if (error != 0)
        (void)runtime_close(runtime);
    return error;
}

static void release(struct runtime *runtime)
{
    if (runtime->held)
        let_go(runtime);
    runtime->held = false;
}

void runtime_run(struct runtime *runtime)
{
    release(runtime);
    serve(&runtime->schedulers[0]);
}

static int scheduler_close(struct scheduler *scheduler)
{
    int error = loop_handle_close(&scheduler->stop.handle, NULL);

    if (error == 0)
        error = loop_run(scheduler->loop, LOOP_RUN_DEFAULT);
    return error != 0 ? error : loop_close(scheduler->loop);
}

int runtime_close(struct runtime *runtime)
{
    int first_error = 0;

    release(runtime);
    for (int i = 1; i <= runtime->threads; i++)
        (void)pthread_join(runtime->schedulers[i].thread, NULL);
    for (int i = 0; i < runtime->count; i++) {
        int error = scheduler_close(&runtime->schedulers[i]);

        if (first_error == 0)
            first_error = error;
    }
    return first_error;
}

struct scheduler *runtime_next(struct runtime *runtime)
{
    return &runtime->schedulers[atomic_fetch_add(&runtime->next, 1) % (unsigned)runtime->count];
}
