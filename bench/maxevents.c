/*
 * maxevents READY SIZE CALLS: calls epoll_wait() so often with room for SIZE events while READY descriptors are ready,
 * and checks what it returns. Before that it checks what becomes of a call whose room is too small, bad, or no room at all.
 */
#include "bench.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

/* An epoll instance with so many eventfds in it, which stay ready as long as nobody reads them. */
static int open_ready(unsigned count)
{
    int epfd = epoll_create1(EPOLL_CLOEXEC);

    BENCH_CHECK(epfd >= 0);
    for (unsigned i = 0; i < count; i++) {
        struct epoll_event event = {.events = EPOLLIN, .data.u32 = i};
        int fd = eventfd(1, EFD_CLOEXEC);

        BENCH_CHECK(fd >= 0 && epoll_ctl(epfd, EPOLL_CTL_ADD, fd, &event) == 0);
    }
    return epfd;
}

static bool fails_with(int error, int epfd, struct epoll_event *events, int size)
{
    return epoll_wait(epfd, events, size, 0) == -1 && errno == error;
}

/* Little room is no error: the rest comes with the next call. EFAULT is for memory that cannot be written, EINVAL for
 * sizes that are none. */
static void check_claims(void)
{
    struct epoll_event events[2];
    int epfd = open_ready(3);
    long page = sysconf(_SC_PAGESIZE);
    void *sealed = mmap(NULL, (size_t)page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    unsigned first;

    BENCH_CHECK(sealed != MAP_FAILED);
    BENCH_CHECK(epoll_wait(epfd, events, 1, 0) == 1);
    first = events[0].data.u32;
    BENCH_CHECK(epoll_wait(epfd, events, 2, 0) == 2);
    BENCH_CHECK(events[0].data.u32 != first && events[1].data.u32 != first);
    BENCH_CHECK(fails_with(EFAULT, epfd, sealed, 2));
    BENCH_CHECK(fails_with(EINVAL, epfd, events, 0));
    BENCH_CHECK(fails_with(EINVAL, epfd, events, INT_MAX));
    (void)munmap(sealed, (size_t)page);
    (void)close(epfd);
}

int main(int argc, char **argv)
{
    struct epoll_event *events;
    uint64_t check = 0;
    uint64_t calls;
    unsigned ready;
    int expected;
    int size;
    int epfd;

    if (argc != 4) {
        (void)fprintf(stderr, "usage: %s READY SIZE CALLS\n", argv[0]);
        return 2;
    }
    ready = (unsigned)bench_number(argv[1], 1000000);
    size = (int)bench_number(argv[2], 1000000);
    calls = bench_number(argv[3], 1000000000);
    bench_descriptors(ready + 32);
    check_claims();
    epfd = open_ready(ready);
    events = bench_calloc((size_t)size, sizeof(*events));
    expected = ready < (unsigned)size ? (int)ready : size;
    bench_begin();
    for (uint64_t i = 0; i < calls; i++) {
        if (epoll_wait(epfd, events, size, -1) != expected)
            bench_fail("epoll_wait");
        check += events[expected - 1].data.u32;
    }
    bench_end();
    printf("maxevents: check %llu\n", (unsigned long long)check);
    free(events);
    return 0;
}
