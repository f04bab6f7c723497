/*
 * server MODE CONNECTIONS: an HTTP server for that many connections of the client, then it ends.
 *   http, churn   of the client's modes of these names
 *   deadline      as http, and every request moves the deadline of its connection to a minute later
 *   idle          as idle, and it weighs: prints how much memory a connection takes
 */
#include "work.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

int main(int argc, char **argv)
{
    const char *mode = argc == 3 ? argv[1] : "";
    struct server_job job = {0};

    if (strcmp(mode, "http") != 0 && strcmp(mode, "churn") != 0 && strcmp(mode, "deadline") != 0 &&
        strcmp(mode, "idle") != 0) {
        (void)fprintf(stderr, "usage: %s http|churn|deadline|idle CONNECTIONS\n", argv[0]);
        return 2;
    }
    job.connections = bench_number(argv[2], 100000000);
    if (strcmp(mode, "deadline") == 0)
        job.deadline = 60000000000;
    server_work.connections = job.connections;
    server_work.weighs = strcmp(mode, "idle") == 0;
    bench_descriptors(strcmp(mode, "churn") == 0 ? 4096 : (unsigned)job.connections + 32);
    job.listener = bench_listen();
    BENCH_CHECK(fcntl(job.listener, F_SETFL, O_NONBLOCK) == 0);
    bench_begin();
    server_run(&job);
    bench_end();
    if (server_work.accepted != job.connections)
        bench_fail("not all connections came");
    if (server_work.weighs)
        printf("memory %.0f bytes\n", server_work.bytes);
    printf("%s %s: check %llu answers\n", contender_version(), mode, (unsigned long long)server_work.answered);
    return 0;
}
