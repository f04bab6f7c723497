/* wake MODE ROUNDS: two threads with a loop each wake each other in turn. */
#include "bench.h"

#include <stdio.h>

int main(int argc, char **argv)
{
    struct wake_job job = {0};
    uint64_t seen;

    if (argc != 3) {
        (void)fprintf(stderr, "usage: %s MODE ROUNDS\n", argv[0]);
        return 2;
    }
    job.mode = argv[1];
    job.rounds = bench_number(argv[2], 1000000000);
    bench_begin();
    seen = wake_run(&job);
    bench_end();
    if (seen != 2 * job.rounds)
        bench_fail("wake-ups were lost, or came twice");
    printf("%s wake %s: check %llu\n", contender_version(), job.mode, (unsigned long long)seen);
    return 0;
}
