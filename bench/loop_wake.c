/* loop: two threads wake each other, by async handles (async) or by tasks (post). */
#include "bench.h"
#include "loop.h"

#include <pthread.h>
#include <string.h>

struct side {
    loop_t *loop;
    struct side *other;
    loop_async_t async; /* mode async: signalled by the other side. Mode post: only keeps the loop alive */
    loop_task_t task;   /* mode post: posted to this side by the other one */
    uint64_t seen;
    bool first; /* began, so it does not answer the last wake-up */
};

static uint64_t rounds;

static void async_wake(struct side *side);
static void post_wake(struct side *side);
static void (*wake)(struct side *side);

static void woken(struct side *side)
{
    side->seen++;
    if (side->seen < rounds || !side->first)
        wake(side->other);
    if (side->seen == rounds)
        BENCH_CHECK(loop_handle_close(&side->async.handle, NULL) == 0);
}

static void on_async(loop_async_t *async)
{
    woken(async->handle.data);
}

static void async_wake(struct side *side)
{
    if (loop_async_send(&side->async) != 0)
        bench_fail("loop_async_send");
}

static void on_task(loop_task_t *task, int status)
{
    if (status != 0)
        bench_fail("a task was cancelled");
    woken(task->data);
}

static void post_wake(struct side *side)
{
    if (loop_post(side->loop, &side->task, on_task) != 0)
        bench_fail("loop_post");
}

static void open_side(struct side *side, struct side *other)
{
    BENCH_CHECK(loop_init(&side->loop, NULL) == 0);
    BENCH_CHECK(loop_async_init(side->loop, &side->async, on_async) == 0);
    side->async.handle.data = side;
    side->task.data = side;
    side->other = other;
}

static void *run_side(void *arg)
{
    struct side *side = arg;

    BENCH_CHECK(loop_run(side->loop, LOOP_RUN_DEFAULT) == 0);
    return NULL;
}

uint64_t wake_run(const struct wake_job *job)
{
    struct side *sides = bench_calloc(2, sizeof(*sides));
    pthread_t thread;

    if (strcmp(job->mode, "async") != 0 && strcmp(job->mode, "post") != 0)
        bench_fail("the modes are async and post");
    wake = strcmp(job->mode, "async") == 0 ? async_wake : post_wake;
    rounds = job->rounds;
    open_side(&sides[0], &sides[1]);
    open_side(&sides[1], &sides[0]);
    sides[0].first = true;
    BENCH_CHECK(pthread_create(&thread, NULL, run_side, &sides[1]) == 0);
    wake(&sides[1]);
    (void)run_side(&sides[0]);
    BENCH_CHECK(pthread_join(thread, NULL) == 0);
    BENCH_CHECK(loop_close(sides[0].loop) == 0);
    BENCH_CHECK(loop_close(sides[1].loop) == 0);
    return sides[0].seen + sides[1].seen;
}
