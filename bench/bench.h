/*
 * What the programs of bench/ share. A program is a subject (echo.c, timers.c, …: the arguments, the fixed amount of
 * work, the check value) linked with one contender (loop_*.c, or the one file of a peer or a floor), which does the work
 * with public APIs only. Costs are found by counting two runs and dividing the difference, so what happens once per run
 * does not matter.
 */
#ifndef LOOP_BENCH_H
#define LOOP_BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The exit status of a contender that cannot run on this system. */
#define BENCH_SKIPPED 77

/* -------------------------------------------------------------------------------------------- support.c, for subjects -- */

/* Ends the program with status 1 after "PROGRAM: what". */
_Noreturn void bench_fail(const char *what);

/* Fails with the name of the call unless it holds. */
#define BENCH_CHECK(call) ((call) ? (void)0 : bench_fail(#call))

/* The number in text, 1..max; ends the program with status 2 if it is none. */
uint64_t bench_number(const char *text, uint64_t max);

/* Memory that is zeroed. Never NULL. */
void *bench_calloc(size_t count, size_t size);

/* Makes room for that many open descriptors. */
void bench_descriptors(unsigned count);

/* Prints "port N" for a new listener on the loopback, which is returned. It blocks. */
int bench_listen(void);

/* Takes a connection, non-blocking and close-on-exec. -1: there is none. */
int bench_accept(int listener);

/* Like bench_listen(), and takes that many connections of the client, non-blocking. */
int *bench_connections(unsigned count);

/* The next number of a fixed sequence, below limit. */
uint32_t bench_random(uint32_t limit);

/* Memory of this process that no file stands behind, in kB. */
unsigned long bench_anonymous_memory(void);

/* The work begins; it has ended: prints "cpu N ns" of all threads of the process in between. */
void bench_begin(void);
void bench_end(void);

/* --------------------------------------------------------------------------------------- what a contender may provide -- */

/* "loop 0.1.0" */
const char *contender_version(void);

/* Echoes whatever comes on the connections until that many bytes went back, then closes them. Returns the bytes echoed.
 * A mode it does not know: bench_fail(). */
struct echo_job {
    const char *mode;
    const int *fds;
    unsigned connections;
    uint64_t bytes;
};
uint64_t echo_run(const struct echo_job *job);

/* Initialises `count` timers, then does the phases asked for, in this order, each over all timers by index. Timeouts
 * are given in units of timers_per_second, which the contender chooses. Returns the number of timers that fired. */
struct timers_job {
    uint32_t count;
    const uint32_t *first;  /* timeouts of `start`, below one second */
    const uint32_t *second; /* timeouts of `random`, below one second */
    bool start;
    bool later;  /* restart with the first timeout and one second */
    bool random; /* restart with the second timeout */
    bool stop;
    bool fire; /* sleep until all are due, then run the loop until none is left */
};
extern const uint32_t timers_per_second;
uint64_t timers_run(const struct timers_job *job);

/* Two threads with a loop each wake each other in turn, that many round trips. Returns the wake-ups seen by both. */
struct wake_job {
    const char *mode;
    uint64_t rounds;
};
uint64_t wake_run(const struct wake_job *job);

/* Makes and frees a loop, that many times. Returns how many there were. */
uint64_t start_run(uint64_t count);

/* Opens a handle for each connection and reads from it; with `close` closes them all within one turn and waits for the
 * end of the last. Returns the number of handles opened, or closed. */
struct close_job {
    const int *fds;
    unsigned connections;
    bool close;
};
uint64_t close_run(const struct close_job *job);

/* Watches the reading ends, fds[0..count-1], as long as they can be read, and calls pipes_readable() with the index of
 * one that can until that returns true. */
struct pipes_job {
    const int *fds;
    unsigned count;
};
void pipes_run(const struct pipes_job *job);

/* work.c: reads a byte and writes one to the next pipe, or not any more. Whether it was the last. */
bool pipes_readable(unsigned index);

/* A flood of tasks, one way: post_open() makes a loop and room for the tasks, and post_serve() runs the loop until
 * post_ran() returns true, while another thread calls post_send() for each task, 0 to tasks-1. post_report() may print
 * what the contender knows of its run. */
void post_open(uint64_t number);
void post_send(uint64_t task);
void post_serve(void);
void post_report(void);

/* work.c: a task runs. Whether it was the last; fails if it is not the next in order. */
bool post_ran(uint64_t task);

/* work.c, for contenders that have wake-ups only: tasks in a list with a lock. put: whether it was empty. */
void queue_open(uint64_t number);
bool queue_put(uint64_t task);
bool queue_run(void); /* runs all there are by post_ran(), and returns its last answer */

/* Serves HTTP/1.1 on a listener, which does not block, until so many connections came and have ended. Tells of each by
 * server_accepted(), and answers by server_answer() or server_readable(). A connection on which nothing comes for that
 * many ns is closed (0: never). */
struct server_job {
    int listener;
    uint64_t connections;
    uint64_t deadline;
};
void server_run(const struct server_job *job);

/* work.c: a connection was accepted. */
void server_accepted(void);

/* work.c: the answer to the one request that was read. */
struct server_answer {
    const char *data;
    size_t size;
    bool keep; /* the connection goes on after it */
};
struct server_answer server_answer(const char *request, size_t size);

/* work.c: reads and answers, for contenders that leave it to the program. Whether the connection goes on. */
bool server_readable(int fd);

#endif
