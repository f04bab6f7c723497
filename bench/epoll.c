/* The floor: the smallest program that does the work with epoll(7) itself. */
#include "bench.h"

#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
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

void post_open(uint64_t tasks)
{
    queue_open(tasks);
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
