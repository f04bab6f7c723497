/* start ROUNDS: makes and frees a loop. */
#include "bench.h"

#include <stdio.h>

int main(int argc, char **argv)
{
    uint64_t rounds;
    uint64_t done;

    if (argc != 2) {
        (void)fprintf(stderr, "usage: %s ROUNDS\n", argv[0]);
        return 2;
    }
    rounds = bench_number(argv[1], 1000000000);
    bench_begin();
    done = start_run(rounds);
    bench_end();
    if (done != rounds)
        bench_fail("not all loops were made");
    printf("%s start: check %llu\n", contender_version(), (unsigned long long)rounds);
    return 0;
}
