/* The floor: the smallest program that does the work with epoll(7) itself. */
#include "bench.h"

#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define EVENTS 256

const char *contender_version(void)
{
    return "epoll by hand";
}

/* -------------------------------------------------------------------------------------------------------------- echo -- */

uint64_t echo_run(const struct echo_job *job)
{
    static char buffer[65536];
    struct epoll_event events[EVENTS];
    int epfd = epoll_create1(EPOLL_CLOEXEC);
    uint64_t done = 0;

    if (strcmp(job->mode, "try") != 0)
        bench_fail("the mode is try");
    BENCH_CHECK(epfd >= 0);
    for (unsigned i = 0; i < job->connections; i++) {
        struct epoll_event event = {.events = EPOLLIN, .data.fd = job->fds[i]};

        BENCH_CHECK(epoll_ctl(epfd, EPOLL_CTL_ADD, job->fds[i], &event) == 0);
    }
    while (done < job->bytes) {
        int count = epoll_wait(epfd, events, EVENTS, -1);

        for (int i = 0; i < count; i++) {
            ssize_t n = recv(events[i].data.fd, buffer, sizeof(buffer), 0);

            if (n <= 0 || send(events[i].data.fd, buffer, (size_t)n, MSG_NOSIGNAL) != n)
                bench_fail("recv and send");
            done += (size_t)n;
        }
    }
    for (unsigned i = 0; i < job->connections; i++)
        (void)close(job->fds[i]);
    (void)close(epfd);
    return done;
}

/* ------------------------------------------------------------------------------------------------------------- pipes -- */

void pipes_run(const struct pipes_job *job)
{
    struct epoll_event events[EVENTS];
    int epfd = epoll_create1(EPOLL_CLOEXEC);
    bool all = false;

    BENCH_CHECK(epfd >= 0);
    for (unsigned i = 0; i < job->count; i++) {
        struct epoll_event event = {.events = EPOLLIN, .data.u32 = i};

        BENCH_CHECK(epoll_ctl(epfd, EPOLL_CTL_ADD, job->fds[i], &event) == 0);
    }
    while (!all) {
        int count = epoll_wait(epfd, events, EVENTS, -1);

        for (int i = 0; i < count; i++)
            all = pipes_readable(events[i].data.u32);
    }
    (void)close(epfd);
}

/* -------------------------------------------------------------------------------------------------------------- post -- */

static int wake_fd;

void post_open(uint64_t number)
{
    queue_open(number);
    wake_fd = eventfd(0, EFD_CLOEXEC);
    BENCH_CHECK(wake_fd >= 0);
}

void post_send(uint64_t task)
{
    const uint64_t one = 1;

    if (queue_put(task) && write(wake_fd, &one, sizeof(one)) != sizeof(one))
        bench_fail("write to an eventfd");
}

void post_serve(void)
{
    struct epoll_event event = {.events = EPOLLIN | EPOLLET};
    int epfd = epoll_create1(EPOLL_CLOEXEC);

    BENCH_CHECK(epfd >= 0 && epoll_ctl(epfd, EPOLL_CTL_ADD, wake_fd, &event) == 0);
    do
        (void)epoll_wait(epfd, &event, 1, -1);
    while (!queue_run());
    (void)close(epfd);
}

void post_report(void) {}

/* ------------------------------------------------------------------------------------------------------------ server -- */

/* When something came last on each connection: looked over once a second, which is a deadline of that precision. */
struct seen {
    uint64_t deadline; /* 0: there is none, and no times */
    uint64_t *times;   /* by descriptor; 0: not a connection */
    int room;
    uint64_t now;
    uint64_t looked;
};

static void read_clock(struct seen *seen)
{
    struct timespec time;

    BENCH_CHECK(clock_gettime(CLOCK_MONOTONIC, &time) == 0);
    seen->now = (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

static void note(struct seen *seen, int fd, uint64_t time)
{
    if (seen->times != NULL)
        seen->times[fd] = time;
}

static uint64_t close_late(struct seen *seen)
{
    uint64_t closed = 0;

    seen->looked = seen->now;
    for (int fd = 0; fd < seen->room; fd++) {
        if (seen->times[fd] != 0 && seen->now - seen->times[fd] > seen->deadline) {
            seen->times[fd] = 0;
            (void)close(fd);
            closed++;
        }
    }
    return closed;
}

static void accept_all(int epfd, int listener, struct seen *seen)
{
    int fd;

    while ((fd = bench_accept(listener)) >= 0) {
        struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};

        BENCH_CHECK(epoll_ctl(epfd, EPOLL_CTL_ADD, fd, &event) == 0);
        note(seen, fd, seen->now);
        server_accepted();
    }
}

/* The number of connections that have ended. */
static uint64_t serve_events(int epfd, const struct server_job *job, struct seen *seen)
{
    struct epoll_event events[EVENTS];
    int count = epoll_wait(epfd, events, EVENTS, job->deadline > 0 ? 1000 : -1);
    uint64_t ended = 0;

    if (job->deadline > 0)
        read_clock(seen);
    for (int i = 0; i < count; i++) {
        int fd = events[i].data.fd;

        if (fd == job->listener) {
            accept_all(epfd, fd, seen);
        } else if (server_readable(fd)) {
            note(seen, fd, seen->now);
        } else {
            note(seen, fd, 0);
            (void)close(fd);
            ended++;
        }
    }
    return ended;
}

void server_run(const struct server_job *job)
{
    struct epoll_event event = {.events = EPOLLIN, .data.fd = job->listener};
    struct seen seen = {.deadline = job->deadline};
    int epfd = epoll_create1(EPOLL_CLOEXEC);
    uint64_t left = job->connections;

    BENCH_CHECK(epfd >= 0 && epoll_ctl(epfd, EPOLL_CTL_ADD, job->listener, &event) == 0);
    if (job->deadline > 0) {
        seen.room = (int)job->connections + 32;
        seen.times = bench_calloc((size_t)seen.room, sizeof(*seen.times));
        read_clock(&seen);
        seen.looked = seen.now;
    }
    while (left > 0) {
        left -= serve_events(epfd, job, &seen);
        if (seen.now - seen.looked >= 1000000000)
            left -= close_late(&seen);
    }
    free(seen.times);
    (void)close(epfd);
}
