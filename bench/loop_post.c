/* loop: a flood of tasks. */
#include "bench.h"
#include "loop.h"

#include <stdio.h>
#include <stdlib.h>

static loop_t *loop;
static loop_task_t *tasks;
static loop_async_t alive; /* while no task is posted */

static void on_task(loop_task_t *task, int status)
{
    if (status != 0)
        bench_fail("a task was cancelled");
    if (post_ran((uint64_t)(task - tasks)))
        (void)loop_stop(loop);
}

static void on_async(loop_async_t *async)
{
    (void)async;
}

void post_open(uint64_t number)
{
    tasks = bench_calloc(number, sizeof(*tasks));
    BENCH_CHECK(loop_init(&loop, NULL) == 0);
    BENCH_CHECK(loop_async_init(loop, &alive, on_async) == 0);
}

void post_send(uint64_t task)
{
    if (loop_post(loop, &tasks[task], on_task) != 0)
        bench_fail("loop_post");
}

void post_serve(void)
{
    BENCH_CHECK(loop_run(loop, LOOP_RUN_DEFAULT) == 1);
}

void post_report(void)
{
    loop_metrics_t metrics = {.size = sizeof(metrics)};

    BENCH_CHECK(loop_metrics(loop, &metrics) == 0);
    printf("%llu wake-up calls, %llu waits\n", (unsigned long long)metrics.wakeups, (unsigned long long)metrics.waits);
    if (metrics.wakeups > metrics.waits)
        bench_fail("more wake-up calls than waits");
    BENCH_CHECK(loop_handle_close(&alive.handle, NULL) == 0);
    BENCH_CHECK(loop_run(loop, LOOP_RUN_DEFAULT) == 0);
    BENCH_CHECK(loop_close(loop) == 0);
    free(tasks);
}
