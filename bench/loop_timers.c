/* loop: timers. */
#include "bench.h"
#include "loop.h"

#include <stdlib.h>
#include <time.h>

const uint32_t timers_per_second = 1000000000;

static uint64_t fired;

static void on_timer(loop_timer_t *timer)
{
    (void)timer;
    fired++;
}

static void start(loop_timer_t *timer, const loop_timer_t *end, const uint32_t *timeout, uint64_t more)
{
    for (; timer != end; timer++, timeout++) {
        if (loop_timer_start(timer, on_timer, more + *timeout, 0) != 0)
            bench_fail("loop_timer_start");
    }
}

static void stop(loop_timer_t *timer, const loop_timer_t *end)
{
    for (; timer != end; timer++) {
        if (loop_timer_stop(timer) != 0)
            bench_fail("loop_timer_stop");
    }
}

uint64_t timers_run(const struct timers_job *job)
{
    loop_timer_t *timers = bench_calloc(job->count, sizeof(*timers));
    loop_t *loop;

    BENCH_CHECK(loop_init(&loop, NULL) == 0);
    for (uint32_t i = 0; i < job->count; i++)
        BENCH_CHECK(loop_timer_init(loop, &timers[i]) == 0);
    if (job->start)
        start(timers, timers + job->count, job->first, 0);
    if (job->later)
        start(timers, timers + job->count, job->first, LOOP_SEC(1));
    if (job->random)
        start(timers, timers + job->count, job->second, 0);
    if (job->stop)
        stop(timers, timers + job->count);
    if (job->fire) {
        (void)nanosleep(&(struct timespec){.tv_sec = job->later ? 2 : 1, .tv_nsec = 1000000}, NULL);
        BENCH_CHECK(loop_run(loop, LOOP_RUN_DEFAULT) == 0);
    }
    /* The loop and its timers end with the process: closing a million of them is no phase. */
    return fired;
}
