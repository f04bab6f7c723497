/* The peer libuv. */
#include "bench.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <uv.h>

const char *contender_version(void)
{
    static char text[32];

    (void)snprintf(text, sizeof(text), "libuv %s", uv_version_string());
    return text;
}

/* -------------------------------------------------------------------------------------------------------------- echo -- */

struct connection {
    uv_tcp_t tcp;
    uv_write_t request;
    size_t written;
    char *memory;
};

#define ROOM 65536u

static uv_loop_t the_loop;
static uint64_t done;
static uint64_t goal;

static void count(size_t bytes)
{
    done += bytes;
    if (done == goal)
        uv_stop(&the_loop);
}

/* One buffer for all is enough where nothing outlives the read callback. */
static void give_shared(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    static char shared[ROOM];

    (void)handle;
    (void)suggested;
    buf->base = shared;
    buf->len = ROOM;
}

static void try_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    uv_buf_t answer;

    if (n == 0)
        return;
    answer.base = buf->base;
    answer.len = (size_t)n;
    if (n < 0 || uv_try_write(stream, &answer, 1) != n)
        bench_fail("read and uv_try_write");
    count((size_t)n);
}

static void give_own(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    (void)suggested;
    buf->base = ((struct connection *)handle)->memory;
    buf->len = ROOM;
}

static void write_done(uv_write_t *request, int status)
{
    struct connection *connection = request->data;

    if (status != 0)
        bench_fail("uv_write's callback");
    count(connection->written);
}

static void write_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct connection *connection = (struct connection *)stream;
    uv_buf_t answer;

    if (n == 0)
        return;
    answer.base = buf->base;
    answer.len = (size_t)n;
    connection->written = (size_t)n;
    if (n < 0 || uv_write(&connection->request, stream, &answer, 1, write_done) != 0)
        bench_fail("read and uv_write");
}

static void open_connection(struct connection *connection, int fd, const char *mode)
{
    connection->memory = bench_calloc(1, ROOM);
    connection->request.data = connection;
    BENCH_CHECK(uv_tcp_init(&the_loop, &connection->tcp) == 0);
    BENCH_CHECK(uv_tcp_open(&connection->tcp, fd) == 0);
    if (strcmp(mode, "try") == 0)
        BENCH_CHECK(uv_read_start((uv_stream_t *)&connection->tcp, give_shared, try_read) == 0);
    else if (strcmp(mode, "write") == 0)
        BENCH_CHECK(uv_read_start((uv_stream_t *)&connection->tcp, give_own, write_read) == 0);
    else
        bench_fail("the modes are try and write");
}

uint64_t echo_run(const struct echo_job *job)
{
    struct connection *connections = bench_calloc(job->connections, sizeof(*connections));

    goal = job->bytes;
    BENCH_CHECK(uv_loop_init(&the_loop) == 0);
    for (unsigned i = 0; i < job->connections; i++)
        open_connection(&connections[i], job->fds[i], job->mode);
    BENCH_CHECK(uv_run(&the_loop, UV_RUN_DEFAULT) != 0);
    for (unsigned i = 0; i < job->connections; i++)
        uv_close((uv_handle_t *)&connections[i].tcp, NULL);
    BENCH_CHECK(uv_run(&the_loop, UV_RUN_DEFAULT) == 0);
    BENCH_CHECK(uv_loop_close(&the_loop) == 0);
    for (unsigned i = 0; i < job->connections; i++)
        free(connections[i].memory);
    free(connections);
    return done;
}

/* ------------------------------------------------------------------------------------------------------------ timers -- */

const uint32_t timers_per_second = 1000; /* it knows milliseconds */

static uint64_t fired;

static void on_timer(uv_timer_t *timer)
{
    (void)timer;
    fired++;
}

static void start(uv_timer_t *timer, const uv_timer_t *end, const uint32_t *timeout, uint64_t more)
{
    for (; timer != end; timer++, timeout++) {
        if (uv_timer_start(timer, on_timer, more + *timeout, 0) != 0)
            bench_fail("uv_timer_start");
    }
}

static void stop(uv_timer_t *timer, const uv_timer_t *end)
{
    for (; timer != end; timer++) {
        if (uv_timer_stop(timer) != 0)
            bench_fail("uv_timer_stop");
    }
}

uint64_t timers_run(const struct timers_job *job)
{
    uv_timer_t *timers = bench_calloc(job->count, sizeof(*timers));
    uv_loop_t loop;

    BENCH_CHECK(uv_loop_init(&loop) == 0);
    for (uint32_t i = 0; i < job->count; i++)
        BENCH_CHECK(uv_timer_init(&loop, &timers[i]) == 0);
    if (job->start)
        start(timers, timers + job->count, job->first, 0);
    if (job->later)
        start(timers, timers + job->count, job->first, 1000);
    if (job->random)
        start(timers, timers + job->count, job->second, 0);
    if (job->stop)
        stop(timers, timers + job->count);
    if (job->fire) {
        (void)nanosleep(&(struct timespec){.tv_sec = job->later ? 2 : 1, .tv_nsec = 1000000}, NULL);
        BENCH_CHECK(uv_run(&loop, UV_RUN_DEFAULT) == 0);
    }
    return fired;
}

/* -------------------------------------------------------------------------------------------------------------- wake -- */

struct side {
    uv_loop_t loop;
    struct side *other;
    uv_async_t async;
    uint64_t seen;
    bool first; /* began, so it does not answer the last wake-up */
};

static uint64_t rounds;

static void on_async(uv_async_t *async)
{
    struct side *side = async->data;

    side->seen++;
    if ((side->seen < rounds || !side->first) && uv_async_send(&side->other->async) != 0)
        bench_fail("uv_async_send");
    if (side->seen == rounds)
        uv_close((uv_handle_t *)async, NULL);
}

static void open_side(struct side *side, struct side *other)
{
    BENCH_CHECK(uv_loop_init(&side->loop) == 0);
    BENCH_CHECK(uv_async_init(&side->loop, &side->async, on_async) == 0);
    side->async.data = side;
    side->other = other;
}

static void *run_side(void *arg)
{
    BENCH_CHECK(uv_run(&((struct side *)arg)->loop, UV_RUN_DEFAULT) == 0);
    return NULL;
}

uint64_t wake_run(const struct wake_job *job)
{
    struct side *sides = bench_calloc(2, sizeof(*sides));
    pthread_t thread;

    if (strcmp(job->mode, "async") != 0)
        bench_fail("the mode is async");
    rounds = job->rounds;
    open_side(&sides[0], &sides[1]);
    open_side(&sides[1], &sides[0]);
    sides[0].first = true;
    BENCH_CHECK(pthread_create(&thread, NULL, run_side, &sides[1]) == 0);
    BENCH_CHECK(uv_async_send(&sides[1].async) == 0);
    (void)run_side(&sides[0]);
    BENCH_CHECK(pthread_join(thread, NULL) == 0);
    return sides[0].seen + sides[1].seen;
}

/* ------------------------------------------------------------------------------------------------------- start, close -- */

uint64_t start_run(uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        uv_loop_t loop;

        if (uv_loop_init(&loop) != 0 || uv_loop_close(&loop) != 0)
            return i;
    }
    return count;
}

static uint64_t closed;

static void on_close(uv_handle_t *handle)
{
    (void)handle;
    closed++;
}

uint64_t close_run(const struct close_job *job)
{
    uv_tcp_t *handles = bench_calloc(job->connections, sizeof(*handles));

    BENCH_CHECK(uv_loop_init(&the_loop) == 0);
    for (unsigned i = 0; i < job->connections; i++) {
        BENCH_CHECK(uv_tcp_init(&the_loop, &handles[i]) == 0);
        BENCH_CHECK(uv_tcp_open(&handles[i], job->fds[i]) == 0);
        BENCH_CHECK(uv_read_start((uv_stream_t *)&handles[i], give_shared, try_read) == 0);
    }
    BENCH_CHECK(uv_run(&the_loop, UV_RUN_NOWAIT) != 0);
    if (!job->close)
        return job->connections;
    for (unsigned i = 0; i < job->connections; i++)
        uv_close((uv_handle_t *)&handles[i], on_close);
    BENCH_CHECK(uv_run(&the_loop, UV_RUN_DEFAULT) == 0);
    return closed;
}

/* ------------------------------------------------------------------------------------------------------------- pipes -- */

static void on_pipe(uv_poll_t *poll, int status, int events)
{
    (void)events;
    if (status != 0)
        bench_fail("polling a pipe");
    if (pipes_readable((unsigned)(uintptr_t)poll->data))
        uv_stop(poll->loop);
}

void pipes_run(const struct pipes_job *job)
{
    uv_poll_t *polls = bench_calloc(job->count, sizeof(*polls));

    BENCH_CHECK(uv_loop_init(&the_loop) == 0);
    for (unsigned i = 0; i < job->count; i++) {
        BENCH_CHECK(uv_poll_init(&the_loop, &polls[i], job->fds[i]) == 0);
        polls[i].data = (void *)(uintptr_t)i;
        BENCH_CHECK(uv_poll_start(&polls[i], UV_READABLE, on_pipe) == 0);
    }
    BENCH_CHECK(uv_run(&the_loop, UV_RUN_DEFAULT) != 0);
    for (unsigned i = 0; i < job->count; i++)
        uv_close((uv_handle_t *)&polls[i], NULL);
    BENCH_CHECK(uv_run(&the_loop, UV_RUN_DEFAULT) == 0);
    BENCH_CHECK(uv_loop_close(&the_loop) == 0);
    free(polls);
}

/* -------------------------------------------------------------------------------------------------------------- post -- */

static uv_async_t posted;

static void on_posted(uv_async_t *async)
{
    if (queue_run())
        uv_stop(async->loop);
}

void post_open(uint64_t number)
{
    queue_open(number);
    BENCH_CHECK(uv_loop_init(&the_loop) == 0);
    BENCH_CHECK(uv_async_init(&the_loop, &posted, on_posted) == 0);
}

void post_send(uint64_t task)
{
    if (queue_put(task) && uv_async_send(&posted) != 0)
        bench_fail("uv_async_send");
}

void post_serve(void)
{
    BENCH_CHECK(uv_run(&the_loop, UV_RUN_DEFAULT) != 0);
}

void post_report(void) {}

/* ------------------------------------------------------------------------------------------------------------ server -- */

struct client {
    uv_tcp_t tcp;
    uv_timer_t timer;
};

static uv_tcp_t listener;
static uint64_t deadline; /* ms */
static uint64_t left;

static void on_ended(uv_handle_t *handle)
{
    free(handle->data);
    if (--left == 0)
        uv_close((uv_handle_t *)&listener, NULL);
}

static void on_timer_ended(uv_handle_t *handle)
{
    uv_close((uv_handle_t *)&((struct client *)handle->data)->tcp, on_ended);
}

static void end(struct client *client)
{
    if (deadline > 0)
        uv_close((uv_handle_t *)&client->timer, on_timer_ended);
    else
        uv_close((uv_handle_t *)&client->tcp, on_ended);
}

static void on_deadline(uv_timer_t *timer)
{
    end(timer->data);
}

static void move_deadline(struct client *client)
{
    if (deadline > 0 && uv_timer_start(&client->timer, on_deadline, deadline, 0) != 0)
        bench_fail("uv_timer_start");
}

static void on_request(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct server_answer answer = {0};

    if (n == 0)
        return;
    if (n > 0) {
        uv_buf_t data;

        answer = server_answer(buf->base, (size_t)n);
        data.base = (char *)(uintptr_t)answer.data;
        data.len = answer.size;
        if (uv_try_write(stream, &data, 1) != (int)answer.size)
            bench_fail("uv_try_write");
    }
    if (answer.keep)
        move_deadline(stream->data);
    else
        end(stream->data);
}

static void on_connection(uv_stream_t *server, int status)
{
    struct client *client = bench_calloc(1, deadline > 0 ? sizeof(*client) : sizeof(client->tcp));

    BENCH_CHECK(status == 0 && uv_tcp_init(&the_loop, &client->tcp) == 0);
    client->tcp.data = client;
    BENCH_CHECK(uv_accept(server, (uv_stream_t *)&client->tcp) == 0);
    BENCH_CHECK(uv_read_start((uv_stream_t *)&client->tcp, give_shared, on_request) == 0);
    if (deadline > 0) {
        BENCH_CHECK(uv_timer_init(&the_loop, &client->timer) == 0);
        client->timer.data = client;
        move_deadline(client);
    }
    server_accepted();
}

void server_run(const struct server_job *job)
{
    deadline = job->deadline / 1000000;
    left = job->connections;
    BENCH_CHECK(uv_loop_init(&the_loop) == 0);
    BENCH_CHECK(uv_tcp_init(&the_loop, &listener) == 0 && uv_tcp_open(&listener, job->listener) == 0);
    BENCH_CHECK(uv_listen((uv_stream_t *)&listener, 4096, on_connection) == 0);
    BENCH_CHECK(uv_run(&the_loop, UV_RUN_DEFAULT) == 0);
    BENCH_CHECK(uv_loop_close(&the_loop) == 0);
}
