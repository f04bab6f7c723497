/* loop: pipes by poll handles. */
#include "bench.h"
#include "loop.h"

#include <stdlib.h>

static loop_t *loop;

static void on_poll(loop_poll_t *poll, int status, unsigned events)
{
    (void)events;
    if (status != 0)
        bench_fail("polling a pipe");
    if (pipes_readable((unsigned)(uintptr_t)poll->handle.data))
        (void)loop_stop(loop);
}

void pipes_run(const struct pipes_job *job)
{
    loop_poll_t *polls = bench_calloc(job->count, sizeof(*polls));

    BENCH_CHECK(loop_init(&loop, NULL) == 0);
    for (unsigned i = 0; i < job->count; i++) {
        BENCH_CHECK(loop_poll_init(loop, &polls[i], job->fds[i]) == 0);
        polls[i].handle.data = (void *)(uintptr_t)i;
        BENCH_CHECK(loop_poll_start(&polls[i], LOOP_READABLE, on_poll) == 0);
    }
    BENCH_CHECK(loop_run(loop, LOOP_RUN_DEFAULT) == 1);
    for (unsigned i = 0; i < job->count; i++)
        BENCH_CHECK(loop_handle_close(&polls[i].handle, NULL) == 0);
    BENCH_CHECK(loop_run(loop, LOOP_RUN_DEFAULT) == 0);
    BENCH_CHECK(loop_close(loop) == 0);
    free(polls);
}
