/* The peer libevent. */
#include "bench.h"

#include <event2/event.h>
#include <event2/event_struct.h>
#include <event2/listener.h>
#include <event2/thread.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

const char *contender_version(void)
{
    static char text[48];

    (void)snprintf(text, sizeof(text), "libevent %s", event_get_version());
    return text;
}

static struct event_base *make_base(void)
{
    struct event_base *base = event_base_new();

    BENCH_CHECK(base != NULL);
    return base;
}

/* -------------------------------------------------------------------------------------------------------------- echo -- */

static struct event_base *the_base;
static uint64_t done;
static uint64_t goal;

static void on_readable(evutil_socket_t fd, short events, void *data)
{
    static char buffer[65536];
    ssize_t n = recv(fd, buffer, sizeof(buffer), 0);

    (void)events;
    (void)data;
    if (n <= 0 || send(fd, buffer, (size_t)n, MSG_NOSIGNAL) != n)
        bench_fail("recv and send");
    done += (size_t)n;
    if (done == goal)
        (void)event_base_loopbreak(the_base);
}

static struct event *read_all(const int *fds, unsigned connections)
{
    struct event *events = bench_calloc(connections, sizeof(*events));

    the_base = make_base();
    for (unsigned i = 0; i < connections; i++) {
        BENCH_CHECK(event_assign(&events[i], the_base, fds[i], EV_READ | EV_PERSIST, on_readable, NULL) == 0);
        BENCH_CHECK(event_add(&events[i], NULL) == 0);
    }
    return events;
}

static void close_all(struct event *events, const int *fds, unsigned connections)
{
    for (unsigned i = 0; i < connections; i++) {
        (void)event_del(&events[i]);
        (void)close(fds[i]);
    }
}

uint64_t echo_run(const struct echo_job *job)
{
    struct event *events;

    if (strcmp(job->mode, "try") != 0)
        bench_fail("the mode is try");
    goal = job->bytes;
    events = read_all(job->fds, job->connections);
    (void)event_base_dispatch(the_base);
    close_all(events, job->fds, job->connections);
    event_base_free(the_base);
    free(events);
    return done;
}

uint64_t close_run(const struct close_job *job)
{
    struct event *events = read_all(job->fds, job->connections);

    (void)event_base_loop(the_base, EVLOOP_NONBLOCK);
    if (!job->close)
        return job->connections;
    close_all(events, job->fds, job->connections);
    (void)event_base_dispatch(the_base);
    return job->connections;
}

/* ------------------------------------------------------------------------------------------------------------ timers -- */

const uint32_t timers_per_second = 1000000; /* it knows microseconds */

static uint64_t fired;

static void on_timer(evutil_socket_t fd, short events, void *data)
{
    (void)fd;
    (void)events;
    (void)data;
    fired++;
}

/* Starts, and moves what is started. */
static void start(struct event *timer, const struct event *end, const uint32_t *timeout, long more)
{
    for (; timer != end; timer++, timeout++) {
        const struct timeval time = {more + (long)(*timeout / 1000000), (long)(*timeout % 1000000)};

        if (event_add(timer, &time) != 0)
            bench_fail("event_add");
    }
}

static void stop(struct event *timer, const struct event *end)
{
    for (; timer != end; timer++) {
        if (event_del(timer) != 0)
            bench_fail("event_del");
    }
}

uint64_t timers_run(const struct timers_job *job)
{
    struct event *timers = bench_calloc(job->count, sizeof(*timers));
    struct event_base *base = make_base();

    for (uint32_t i = 0; i < job->count; i++)
        BENCH_CHECK(evtimer_assign(&timers[i], base, on_timer, NULL) == 0);
    if (job->start)
        start(timers, timers + job->count, job->first, 0);
    if (job->later)
        start(timers, timers + job->count, job->first, 1);
    if (job->random)
        start(timers, timers + job->count, job->second, 0);
    if (job->stop)
        stop(timers, timers + job->count);
    if (job->fire) {
        (void)nanosleep(&(struct timespec){.tv_sec = job->later ? 2 : 1, .tv_nsec = 1000000}, NULL);
        (void)event_base_dispatch(base);
    }
    return fired;
}

/* -------------------------------------------------------------------------------------------------------------- wake -- */

struct side {
    struct event_base *base;
    struct side *other;
    struct event *woken;
    uint64_t seen;
    bool first; /* began, so it does not answer the last wake-up */
};

static uint64_t rounds;

static void on_wake(evutil_socket_t fd, short events, void *data)
{
    struct side *side = data;

    (void)fd;
    (void)events;
    side->seen++;
    if (side->seen < rounds || !side->first)
        event_active(side->other->woken, EV_READ, 0);
    if (side->seen == rounds)
        (void)event_base_loopbreak(side->base);
}

/* An event without a descriptor, which other threads activate. */
static struct event *wake_event(struct event_base *base, event_callback_fn callback, void *data)
{
    struct event *event = event_new(base, -1, EV_PERSIST, callback, data);

    BENCH_CHECK(event != NULL);
    return event;
}

static void open_side(struct side *side, struct side *other)
{
    side->base = make_base();
    side->woken = wake_event(side->base, on_wake, side);
    side->other = other;
}

static void *run_side(void *arg)
{
    (void)event_base_loop(((struct side *)arg)->base, EVLOOP_NO_EXIT_ON_EMPTY);
    return NULL;
}

uint64_t wake_run(const struct wake_job *job)
{
    struct side *sides = bench_calloc(2, sizeof(*sides));
    pthread_t thread;

    if (strcmp(job->mode, "async") != 0)
        bench_fail("the mode is async");
    BENCH_CHECK(evthread_use_pthreads() == 0);
    rounds = job->rounds;
    open_side(&sides[0], &sides[1]);
    open_side(&sides[1], &sides[0]);
    sides[0].first = true;
    BENCH_CHECK(pthread_create(&thread, NULL, run_side, &sides[1]) == 0);
    event_active(sides[1].woken, EV_READ, 0);
    (void)run_side(&sides[0]);
    BENCH_CHECK(pthread_join(thread, NULL) == 0);
    return sides[0].seen + sides[1].seen;
}

/* ------------------------------------------------------------------------------------------------------------- start -- */

uint64_t start_run(uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        struct event_base *base = event_base_new();

        if (base == NULL)
            return i;
        event_base_free(base);
    }
    return count;
}

/* ------------------------------------------------------------------------------------------------------------- pipes -- */

static void on_pipe(evutil_socket_t fd, short events, void *data)
{
    (void)fd;
    (void)events;
    if (pipes_readable((unsigned)(uintptr_t)data))
        (void)event_base_loopbreak(the_base);
}

void pipes_run(const struct pipes_job *job)
{
    struct event *pipe_events = bench_calloc(job->count, sizeof(*pipe_events));

    the_base = make_base();
    for (unsigned i = 0; i < job->count; i++) {
        struct event *event = &pipe_events[i];

        BENCH_CHECK(event_assign(event, the_base, job->fds[i], EV_READ | EV_PERSIST, on_pipe, (void *)(uintptr_t)i) ==
                    0);
        BENCH_CHECK(event_add(event, NULL) == 0);
    }
    (void)event_base_dispatch(the_base);
    event_base_free(the_base);
    free(pipe_events);
}

/* -------------------------------------------------------------------------------------------------------------- post -- */

static struct event *posted;

static void on_posted(evutil_socket_t fd, short events, void *data)
{
    (void)fd;
    (void)events;
    (void)data;
    if (queue_run())
        (void)event_base_loopbreak(the_base);
}

void post_open(uint64_t number)
{
    queue_open(number);
    BENCH_CHECK(evthread_use_pthreads() == 0);
    the_base = make_base();
    posted = wake_event(the_base, on_posted, NULL);
}

void post_send(uint64_t task)
{
    if (queue_put(task))
        event_active(posted, EV_READ, 0);
}

void post_serve(void)
{
    (void)event_base_loop(the_base, EVLOOP_NO_EXIT_ON_EMPTY);
}

void post_report(void) {}

/* ------------------------------------------------------------------------------------------------------------ server -- */

static struct timeval deadline;
static uint64_t left;

/* What is in the event and persistent has its timeout anew with every call. */
static void on_request(evutil_socket_t fd, short events, void *data)
{
    if ((events & EV_TIMEOUT) || !server_readable(fd)) {
        (void)event_del(data);
        (void)close(fd);
        free(data);
        if (--left == 0)
            (void)event_base_loopbreak(the_base);
    }
}

static void on_connection(struct evconnlistener *server, evutil_socket_t fd, struct sockaddr *from, int size,
                          void *data)
{
    struct event *event = bench_calloc(1, sizeof(*event));

    (void)server;
    (void)from;
    (void)size;
    (void)data;
    BENCH_CHECK(event_assign(event, the_base, fd, EV_READ | EV_PERSIST, on_request, event) == 0);
    BENCH_CHECK(event_add(event, deadline.tv_sec > 0 ? &deadline : NULL) == 0);
    server_accepted();
}

void server_run(const struct server_job *job)
{
    struct evconnlistener *server;

    deadline.tv_sec = (time_t)(job->deadline / 1000000000);
    left = job->connections;
    the_base = make_base();
    server = evconnlistener_new(the_base, on_connection, NULL, LEV_OPT_CLOSE_ON_EXEC, 0, job->listener);
    BENCH_CHECK(server != NULL);
    (void)event_base_dispatch(the_base);
    evconnlistener_free(server);
    event_base_free(the_base);
}
