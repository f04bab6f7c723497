/*
 * pipes PIPES ACTIVE EVENTS: ACTIVE bytes, spread evenly over the pipes, each wander from pipe to pipe until EVENTS were
 * read in all. Whoever reads a byte writes it to the next pipe. The benchmark that libevent came with, and libev after it.
 */
#include "work.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static int *open_pipes(unsigned count)
{
    int *ends = bench_calloc((size_t)count * 2 + 2, sizeof(*ends));

    bench_descriptors(2 * count + 32);
    for (unsigned i = 0; i < count; i++)
        BENCH_CHECK(pipe(&ends[2 * (size_t)i]) == 0);
    ends[2 * (size_t)count] = ends[0];
    ends[2 * (size_t)count + 1] = ends[1];
    return ends;
}

static int *reading_ends(const int *ends, unsigned count)
{
    int *fds = bench_calloc(count, sizeof(*fds));

    for (unsigned i = 0; i < count; i++)
        fds[i] = ends[2 * (size_t)i];
    return fds;
}

int main(int argc, char **argv)
{
    struct pipes_job job;
    unsigned active;
    uint64_t events;
    int *fds;

    if (argc != 4) {
        (void)fprintf(stderr, "usage: %s PIPES ACTIVE EVENTS\n", argv[0]);
        return 2;
    }
    job.count = (unsigned)bench_number(argv[1], 1000000);
    active = (unsigned)bench_number(argv[2], job.count);
    events = bench_number(argv[3], 1000000000);
    if (events < active)
        bench_fail("there are more active pipes than events");
    pipes_work.ends = open_pipes(job.count);
    fds = reading_ends(pipes_work.ends, job.count);
    job.fds = fds;
    for (unsigned i = 0; i < active; i++)
        BENCH_CHECK(write(pipes_work.ends[2 * (size_t)i * (job.count / active) + 1], "e", 1) == 1);
    pipes_work.to_read = events;
    pipes_work.to_write = events - active;
    bench_begin();
    pipes_run(&job);
    bench_end();
    if (pipes_work.to_read != 0)
        bench_fail("events were lost");
    printf("%s pipes: check %llu events, %llu\n", contender_version(), (unsigned long long)events,
           (unsigned long long)pipes_work.check);
    free(fds);
    free(pipes_work.ends);
    return 0;
}
