/*
 * close CONNECTIONS [keep]: opens and reads from all connections of a client with 0 rounds, and closes them, or (keep)
 * leaves that to the end of the process.
 */
#include "bench.h"

#include <stdio.h>
#include <string.h>

int main(int argc, char **argv)
{
    struct close_job job = {0};
    uint64_t done;

    if (argc != 2 && (argc != 3 || strcmp(argv[2], "keep") != 0)) {
        (void)fprintf(stderr, "usage: %s CONNECTIONS [keep]\n", argv[0]);
        return 2;
    }
    job.close = argc == 2;
    job.connections = (unsigned)bench_number(argv[1], 1000000);
    job.fds = bench_connections(job.connections);
    bench_begin();
    done = close_run(&job);
    bench_end();
    if (done != job.connections)
        bench_fail("not all connections were opened or closed");
    printf("%s close: check %u %s\n", contender_version(), job.connections, job.close ? "closed" : "opened");
    return 0;
}
