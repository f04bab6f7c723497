/* The peer libev. */
#include "bench.h"

#include <ev.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

const char *contender_version(void)
{
    static char text[32];

    (void)snprintf(text, sizeof(text), "libev %d.%d", ev_version_major(), ev_version_minor());
    return text;
}

/* -------------------------------------------------------------------------------------------------------------- echo -- */

static uint64_t done;
static uint64_t goal;

static void on_readable(struct ev_loop *loop, ev_io *io, int events)
{
    static char buffer[65536];
    ssize_t n = recv(io->fd, buffer, sizeof(buffer), 0);

    (void)events;
    if (n <= 0 || send(io->fd, buffer, (size_t)n, MSG_NOSIGNAL) != n)
        bench_fail("recv and send");
    done += (size_t)n;
    if (done == goal)
        ev_break(loop, EVBREAK_ALL);
}

uint64_t echo_run(const struct echo_job *job)
{
    ev_io *ios = bench_calloc(job->connections, sizeof(*ios));
    struct ev_loop *loop = ev_loop_new(EVBACKEND_EPOLL | EVFLAG_NOENV);

    if (strcmp(job->mode, "try") != 0)
        bench_fail("the mode is try");
    BENCH_CHECK(loop != NULL);
    goal = job->bytes;
    for (unsigned i = 0; i < job->connections; i++) {
        ev_io_init(&ios[i], on_readable, job->fds[i], EV_READ);
        ev_io_start(loop, &ios[i]);
    }
    (void)ev_run(loop, 0);
    for (unsigned i = 0; i < job->connections; i++) {
        ev_io_stop(loop, &ios[i]);
        (void)close(job->fds[i]);
    }
    ev_loop_destroy(loop);
    free(ios);
    return done;
}

/* ------------------------------------------------------------------------------------------------------------ timers -- */

const uint32_t timers_per_second = 1000000000;

static uint64_t fired;

static void on_timer(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)loop;
    (void)timer;
    (void)events;
    fired++;
}

static void start(struct ev_loop *loop, ev_timer *timer, const ev_timer *end, const uint32_t *timeout)
{
    for (; timer != end; timer++, timeout++) {
        ev_timer_set(timer, *timeout * 1e-9, 0.);
        ev_timer_start(loop, timer);
    }
}

/* The cheapest way to move a timer that libev has. It leaves a repeat, which is taken away before the timer fires. */
static void restart(struct ev_loop *loop, ev_timer *timer, const ev_timer *end, const uint32_t *timeout, ev_tstamp more)
{
    for (; timer != end; timer++, timeout++) {
        timer->repeat = more + *timeout * 1e-9;
        ev_timer_again(loop, timer);
    }
}

static void stop(struct ev_loop *loop, ev_timer *timer, const ev_timer *end)
{
    for (; timer != end; timer++)
        ev_timer_stop(loop, timer);
}

uint64_t timers_run(const struct timers_job *job)
{
    ev_timer *timers = bench_calloc(job->count, sizeof(*timers));
    struct ev_loop *loop = ev_loop_new(EVBACKEND_EPOLL | EVFLAG_NOENV);

    BENCH_CHECK(loop != NULL);
    for (uint32_t i = 0; i < job->count; i++)
        ev_init(&timers[i], on_timer);
    if (job->start)
        start(loop, timers, timers + job->count, job->first);
    if (job->later)
        restart(loop, timers, timers + job->count, job->first, 1.);
    if (job->random)
        restart(loop, timers, timers + job->count, job->second, 0.);
    if (job->stop)
        stop(loop, timers, timers + job->count);
    if (job->fire) {
        for (uint32_t i = 0; i < job->count; i++)
            timers[i].repeat = 0;
        (void)nanosleep(&(struct timespec){.tv_sec = job->later ? 2 : 1, .tv_nsec = 1000000}, NULL);
        (void)ev_run(loop, 0);
    }
    return fired;
}

/* -------------------------------------------------------------------------------------------------------------- wake -- */

struct side {
    struct ev_loop *loop;
    struct side *other;
    ev_async async;
    uint64_t seen;
    bool first; /* began, so it does not answer the last wake-up */
};

static uint64_t rounds;

static void on_async(struct ev_loop *loop, ev_async *async, int events)
{
    struct side *side = async->data;

    (void)events;
    side->seen++;
    if (side->seen < rounds || !side->first)
        ev_async_send(side->other->loop, &side->other->async);
    if (side->seen == rounds)
        ev_async_stop(loop, async);
}

static void open_side(struct side *side, struct side *other)
{
    side->loop = ev_loop_new(EVBACKEND_EPOLL | EVFLAG_NOENV);
    BENCH_CHECK(side->loop != NULL);
    ev_async_init(&side->async, on_async);
    side->async.data = side;
    side->other = other;
    ev_async_start(side->loop, &side->async);
}

static void *run_side(void *arg)
{
    (void)ev_run(((struct side *)arg)->loop, 0);
    return NULL;
}

uint64_t wake_run(const struct wake_job *job)
{
    struct side *sides = bench_calloc(2, sizeof(*sides));
    pthread_t thread;
    uint64_t seen;

    if (strcmp(job->mode, "async") != 0)
        bench_fail("the mode is async");
    rounds = job->rounds;
    open_side(&sides[0], &sides[1]);
    open_side(&sides[1], &sides[0]);
    sides[0].first = true;
    BENCH_CHECK(pthread_create(&thread, NULL, run_side, &sides[1]) == 0);
    ev_async_send(sides[1].loop, &sides[1].async);
    (void)run_side(&sides[0]);
    BENCH_CHECK(pthread_join(thread, NULL) == 0);
    seen = sides[0].seen + sides[1].seen;
    ev_loop_destroy(sides[0].loop);
    ev_loop_destroy(sides[1].loop);
    free(sides);
    return seen;
}

/* ------------------------------------------------------------------------------------------------------- start, close -- */

uint64_t start_run(uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        struct ev_loop *loop = ev_loop_new(EVBACKEND_EPOLL | EVFLAG_NOENV);

        if (loop == NULL)
            return i;
        ev_loop_destroy(loop);
    }
    return count;
}

uint64_t close_run(const struct close_job *job)
{
    ev_io *ios = bench_calloc(job->connections, sizeof(*ios));
    struct ev_loop *loop = ev_loop_new(EVBACKEND_EPOLL | EVFLAG_NOENV);

    BENCH_CHECK(loop != NULL);
    for (unsigned i = 0; i < job->connections; i++) {
        ev_io_init(&ios[i], on_readable, job->fds[i], EV_READ);
        ev_io_start(loop, &ios[i]);
    }
    (void)ev_run(loop, EVRUN_NOWAIT);
    if (!job->close)
        return job->connections;
    for (unsigned i = 0; i < job->connections; i++) {
        ev_io_stop(loop, &ios[i]);
        (void)close(job->fds[i]);
    }
    (void)ev_run(loop, 0);
    return job->connections;
}

/* ------------------------------------------------------------------------------------------------------------- pipes -- */

static void on_pipe(struct ev_loop *loop, ev_io *io, int events)
{
    (void)events;
    if (pipes_readable((unsigned)(uintptr_t)io->data))
        ev_break(loop, EVBREAK_ALL);
}

void pipes_run(const struct pipes_job *job)
{
    struct ev_loop *loop = ev_loop_new(EVBACKEND_EPOLL | EVFLAG_NOENV);
    ev_io *watchers = bench_calloc(job->count, sizeof(*watchers));

    BENCH_CHECK(loop != NULL);
    for (unsigned i = 0; i < job->count; i++) {
        watchers[i].data = (void *)(uintptr_t)i;
        ev_io_init(&watchers[i], on_pipe, job->fds[i], EV_READ);
        ev_io_start(loop, &watchers[i]);
    }
    (void)ev_run(loop, 0);
    ev_loop_destroy(loop);
    free(watchers);
}

/* -------------------------------------------------------------------------------------------------------------- post -- */

static struct ev_loop *post_loop;
static ev_async posted;

static void on_posted(struct ev_loop *loop, ev_async *async, int events)
{
    (void)async;
    (void)events;
    if (queue_run())
        ev_break(loop, EVBREAK_ALL);
}

void post_open(uint64_t number)
{
    queue_open(number);
    post_loop = ev_loop_new(EVBACKEND_EPOLL | EVFLAG_NOENV);
    BENCH_CHECK(post_loop != NULL);
    ev_async_init(&posted, on_posted);
    ev_async_start(post_loop, &posted);
}

void post_send(uint64_t task)
{
    if (queue_put(task))
        ev_async_send(post_loop, &posted);
}

void post_serve(void)
{
    (void)ev_run(post_loop, 0);
}

void post_report(void) {}

/* ------------------------------------------------------------------------------------------------------------ server -- */

struct client {
    ev_io io;
    ev_timer timer;
};

static ev_tstamp deadline;
static uint64_t left;

static void end(struct ev_loop *loop, struct client *client)
{
    ev_io_stop(loop, &client->io);
    ev_timer_stop(loop, &client->timer);
    (void)close(client->io.fd);
    free(client);
    if (--left == 0)
        ev_break(loop, EVBREAK_ALL);
}

static void on_request(struct ev_loop *loop, ev_io *io, int events)
{
    struct client *client = io->data;

    (void)events;
    if (!server_readable(io->fd))
        end(loop, client);
    else if (deadline > 0)
        ev_timer_again(loop, &client->timer);
}

static void on_deadline(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)events;
    end(loop, timer->data);
}

static void on_connection(struct ev_loop *loop, ev_io *io, int events)
{
    int fd;

    (void)events;
    while ((fd = bench_accept(io->fd)) >= 0) {
        struct client *client = bench_calloc(1, sizeof(*client));

        ev_io_init(&client->io, on_request, fd, EV_READ);
        ev_timer_init(&client->timer, on_deadline, 0., deadline);
        client->io.data = client;
        client->timer.data = client;
        ev_io_start(loop, &client->io);
        if (deadline > 0)
            ev_timer_again(loop, &client->timer);
        server_accepted();
    }
}

void server_run(const struct server_job *job)
{
    struct ev_loop *loop = ev_loop_new(EVBACKEND_EPOLL | EVFLAG_NOENV);
    ev_io listener;

    BENCH_CHECK(loop != NULL);
    deadline = (ev_tstamp)job->deadline * 1e-9;
    left = job->connections;
    ev_io_init(&listener, on_connection, job->listener, EV_READ);
    ev_io_start(loop, &listener);
    (void)ev_run(loop, 0);
    ev_loop_destroy(loop);
}
