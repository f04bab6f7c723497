/* Counting. What every loop counts costs an increment where it happens; clock readings only a loop that asked for them. */
#include "metrics.h"

#include "platform.h"

void loop__metrics_mark(loop_t *loop)
{
    loop->metrics.mark = loop__clock(loop->metrics.mark);
}

void loop__metrics_lap(loop_t *loop)
{
    struct metrics *metrics = &loop->metrics;
    uint64_t before = metrics->mark;

    loop__metrics_mark(loop);
    if (metrics->mark - before > metrics->longest)
        metrics->longest = metrics->mark - before;
}

int loop__metrics_timed_poll(loop_t *loop, int64_t timeout)
{
    struct metrics *metrics = &loop->metrics;
    uint64_t before;
    int found;

    loop__metrics_mark(loop);
    before = metrics->mark;
    found = loop->backend->poll(loop, timeout);
    loop__metrics_mark(loop);
    if (timeout != 0)
        metrics->idle += metrics->mark - before;
    return found;
}

int loop_metrics(loop_t *loop, loop_metrics_t *out)
{
    struct metrics *metrics;

    if (loop == NULL || out == NULL || out->size != sizeof(*out))
        return LOOP_EINVAL;
    metrics = &loop->metrics;
    out->turns = metrics->turns;
    out->waits = metrics->waits;
    out->events = metrics->events;
    out->ops_submitted = metrics->submitted;
    out->ops_completed = metrics->delivered;
    out->timers = metrics->timers;
    out->tasks = metrics->tasks;
    out->wakeups = atomic_load_explicit(&loop->wakeups, memory_order_relaxed);
    out->idle_time = metrics->idle;
    out->longest_callback = metrics->longest;
    metrics->longest = 0;
    return 0;
}
