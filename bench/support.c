#define _GNU_SOURCE /* accept4 */
#include "bench.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

void bench_fail(const char *what)
{
    (void)fprintf(stderr, "%s: failed: %s\n", contender_version(), what);
    exit(1);
}

uint64_t bench_number(const char *text, uint64_t max)
{
    char *end = NULL;
    unsigned long long number = strtoull(text, &end, 10);

    if (*text < '0' || *text > '9' || *end != '\0' || number == 0 || number > max) {
        (void)fprintf(stderr, "'%s' is no number from 1 to %llu\n", text, (unsigned long long)max);
        exit(2);
    }
    return number;
}

void *bench_calloc(size_t count, size_t size)
{
    void *memory = calloc(count, size);

    BENCH_CHECK(memory != NULL);
    return memory;
}

void bench_descriptors(unsigned count)
{
    struct rlimit limit;

    BENCH_CHECK(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    if (limit.rlim_cur >= count)
        return;
    limit.rlim_cur = count;
    if (limit.rlim_max < count)
        limit.rlim_max = count; /* root may */
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
        bench_fail("the limit of open descriptors (ulimit -n) is too low");
}

int bench_accept(int listener)
{
    return accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
}

static int take(int listener)
{
    const int on = 1;
    int fd = accept(listener, NULL, NULL);

    BENCH_CHECK(fd >= 0);
    BENCH_CHECK(fcntl(fd, F_SETFL, O_NONBLOCK) == 0);
    BENCH_CHECK(fcntl(fd, F_SETFD, FD_CLOEXEC) == 0);
    BENCH_CHECK(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) == 0);
    return fd;
}

int bench_listen(void)
{
    struct sockaddr_in addr = {.sin_family = AF_INET};
    socklen_t len = sizeof(addr);
    int listener = socket(AF_INET, SOCK_STREAM, 0);

    addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    BENCH_CHECK(listener >= 0);
    BENCH_CHECK(bind(listener, (struct sockaddr *)&addr, sizeof(addr)) == 0);
    BENCH_CHECK(listen(listener, 4096) == 0);
    BENCH_CHECK(getsockname(listener, (struct sockaddr *)&addr, &len) == 0);
    printf("port %d\n", ntohs(addr.sin_port));
    BENCH_CHECK(fflush(stdout) == 0);
    return listener;
}

int *bench_connections(unsigned count)
{
    int *fds = bench_calloc(count, sizeof(*fds));
    int listener;

    bench_descriptors(count + 32);
    listener = bench_listen();
    for (unsigned i = 0; i < count; i++)
        fds[i] = take(listener);
    (void)close(listener);
    return fds;
}

uint32_t bench_random(uint32_t limit)
{
    static uint64_t state = 0x9E3779B97F4A7C15u; /* the seed */

    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (uint32_t)((state >> 32) * limit >> 32);
}

unsigned long bench_anonymous_memory(void)
{
    static const char key[] = "Anonymous:";
    char line[128];
    unsigned long kb = 0;
    FILE *file = fopen("/proc/self/smaps_rollup", "r");

    BENCH_CHECK(file != NULL);
    while (fgets(line, sizeof(line), file) != NULL) {
        if (strncmp(line, key, sizeof(key) - 1) == 0)
            kb = strtoul(line + sizeof(key) - 1, NULL, 10);
    }
    (void)fclose(file);
    return kb;
}

static uint64_t began;

static uint64_t cpu_time(void)
{
    struct timespec time;

    BENCH_CHECK(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time) == 0);
    return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

void bench_begin(void)
{
    began = cpu_time();
}

void bench_end(void)
{
    printf("cpu %llu ns\n", (unsigned long long)(cpu_time() - began));
}
