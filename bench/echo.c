/* echo MODE CONNECTIONS ROUNDS [BYTES]: a server for the client with the same numbers, which finds it by the port. */
#include "bench.h"

#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv)
{
    struct echo_job job = {0};
    uint64_t done;

    if (argc != 4 && argc != 5) {
        (void)fprintf(stderr, "usage: %s MODE CONNECTIONS ROUNDS [BYTES]\n", argv[0]);
        return 2;
    }
    job.mode = argv[1];
    job.connections = (unsigned)bench_number(argv[2], 100000);
    job.bytes = job.connections * bench_number(argv[3], 1000000000) * (argc == 5 ? bench_number(argv[4], 65536) : 64);
    job.fds = bench_connections(job.connections);
    bench_begin();
    done = echo_run(&job);
    bench_end();
    if (done != job.bytes)
        bench_fail("not all bytes came back");
    printf("%s echo %s: check %llu bytes\n", contender_version(), job.mode, (unsigned long long)done);
    return 0;
}
