/* The life of a loop, its time, what it keeps for its user. How it runs is in run.c. */
#include "internal.h"
#include "platform.h"

int loop_init(loop_t **result, const loop_options_t *options)
{
    const unsigned known = LOOP_HANDOVER | LOOP_METRICS_TIME;
    loop_allocator_t allocator;
    loop_t *loop;
    int error;

    if (result == NULL)
        return LOOP_EINVAL;
    *result = NULL;
    if (options != NULL && (options->size != sizeof(*options) || (options->flags & ~known)))
        return LOOP_EINVAL;
    error = loop__allocator_choose(options != NULL ? options->allocator : NULL, &allocator);
    if (error != 0)
        return error;
    loop = allocator.resize(allocator.context, NULL, sizeof(*loop));
    if (loop == NULL)
        return LOOP_ENOMEM;

    *loop = (struct loop){.backend = &loop__backend, .allocator = allocator};
    loop->data = options != NULL ? options->data : NULL;
    loop->flags = options != NULL ? options->flags : 0;
    loop->metrics.timed = (loop->flags & LOOP_METRICS_TIME) != 0;
    list_init(&loop->ready);
    list_init(&loop->done);
    list_init(&loop->delivered);
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
    if (loop->running || loop->closing || loop->walkers != NULL || !list_empty(&loop->handles) || loop__has_ops(loop) ||
        loop->active_works > 0)
        return LOOP_EBUSY;
    loop->closing = true;
    loop__work_close(loop);
    loop__tasks_close(loop);
    loop->backend->close(loop);
    loop__free(loop, loop->timers.entries);
    loop__free(loop, loop->scratch.base);
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

void loop__read_clock(loop_t *loop)
{
    loop->now = loop__clock(loop->now);
    loop->now_valid = true;
}

uint64_t loop_now(loop_t *loop)
{
    return loop != NULL ? loop__now(loop) : 0;
}

int loop_update_time(loop_t *loop)
{
    if (loop == NULL)
        return LOOP_EINVAL;
    loop__read_clock(loop);
    return 0;
}
