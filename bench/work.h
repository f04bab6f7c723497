/* What subjects tell work.c, which contenders do not see. */
#ifndef LOOP_BENCH_WORK_H
#define LOOP_BENCH_WORK_H

#include "bench.h"

extern struct pipes_work {
    int *ends; /* for each pipe the one to read from and the one to write to; then the first pipe's once more */
    uint64_t to_read;
    uint64_t to_write;
    uint64_t check; /* sum of the indices read from */
} pipes_work;

extern struct server_work {
    uint64_t connections; /* that will come */
    bool weighs;          /* measures what memory they take */
    uint64_t accepted;
    uint64_t answered;
    double bytes; /* of memory for each, from the first accepted to the last */
} server_work;

extern struct post_work {
    uint64_t tasks;
    uint64_t ran;
} post_work;

#endif
