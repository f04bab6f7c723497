/* loop: an HTTP server of TCP handles. */
#include "bench.h"
#include "loop.h"

#include <stdlib.h>

static loop_t *loop;
static loop_tcp_t listener;
static uint64_t deadline;
static uint64_t left;

static void on_close(loop_handle_t *handle)
{
    free(handle);
    if (--left == 0)
        (void)loop_handle_close(&listener.handle, NULL);
}

static void on_read(loop_tcp_t *tcp, ptrdiff_t n, const loop_buf_t *buf)
{
    struct server_answer answer = {0};

    if (n > 0) {
        loop_buf_t data;

        answer = server_answer(buf->base, (size_t)n);
        data.base = (void *)(uintptr_t)answer.data;
        data.len = answer.size;
        if (loop_tcp_try_write(tcp, &data, 1) != (ptrdiff_t)answer.size)
            bench_fail("loop_tcp_try_write");
    }
    if (!answer.keep)
        (void)loop_handle_close(&tcp->handle, on_close);
    else if (deadline > 0 && loop_tcp_set_deadline(tcp, LOOP_READABLE, loop_now(loop) + deadline) != 0)
        bench_fail("loop_tcp_set_deadline");
}

static void on_connection(loop_tcp_t *server, int status)
{
    loop_tcp_t *tcp = bench_calloc(1, sizeof(*tcp));

    BENCH_CHECK(status == 0 && loop_tcp_init(loop, tcp) == 0 && loop_tcp_accept(server, tcp) == 0);
    BENCH_CHECK(loop_tcp_read_start(tcp, NULL, on_read) == 0);
    if (deadline > 0)
        BENCH_CHECK(loop_tcp_set_deadline(tcp, LOOP_READABLE, loop_now(loop) + deadline) == 0);
    server_accepted();
}

void server_run(const struct server_job *job)
{
    deadline = job->deadline;
    left = job->connections;
    BENCH_CHECK(loop_init(&loop, NULL) == 0);
    BENCH_CHECK(loop_tcp_init(loop, &listener) == 0 && loop_tcp_open(&listener, job->listener) == 0);
    BENCH_CHECK(loop_tcp_listen(&listener, 4096, on_connection) == 0);
    BENCH_CHECK(loop_run(loop, LOOP_RUN_DEFAULT) == 0);
    BENCH_CHECK(loop_close(loop) == 0);
}
