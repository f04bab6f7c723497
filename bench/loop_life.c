/* loop: the life of a loop (start), of connections (close). */
#include "bench.h"
#include "loop.h"

static uint64_t closed;

uint64_t start_run(uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        loop_t *loop;

        if (loop_init(&loop, NULL) != 0 || loop_close(loop) != 0)
            return i;
    }
    return count;
}

static void on_read(loop_tcp_t *tcp, ptrdiff_t n, const loop_buf_t *buf)
{
    (void)tcp;
    (void)n;
    (void)buf;
    bench_fail("nothing was sent");
}

static void on_close(loop_handle_t *handle)
{
    (void)handle;
    closed++;
}

uint64_t close_run(const struct close_job *job)
{
    loop_tcp_t *handles = bench_calloc(job->connections, sizeof(*handles));
    loop_t *loop;

    BENCH_CHECK(loop_init(&loop, NULL) == 0);
    for (unsigned i = 0; i < job->connections; i++) {
        BENCH_CHECK(loop_tcp_init(loop, &handles[i]) == 0);
        BENCH_CHECK(loop_tcp_open(&handles[i], job->fds[i]) == 0);
        BENCH_CHECK(loop_tcp_read_start(&handles[i], NULL, on_read) == 0);
    }
    BENCH_CHECK(loop_run(loop, LOOP_RUN_NOWAIT) == 1);
    if (!job->close)
        return job->connections;
    for (unsigned i = 0; i < job->connections; i++) {
        if (loop_handle_close(&handles[i].handle, on_close) != 0)
            bench_fail("loop_handle_close");
    }
    BENCH_CHECK(loop_run(loop, LOOP_RUN_DEFAULT) == 0);
    return closed;
}
