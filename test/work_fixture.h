/* Work that waits until the test lets it go on, for the tests of pools and of what is built on them. */
#ifndef LOOP_TEST_WORK_FIXTURE_H
#define LOOP_TEST_WORK_FIXTURE_H

#include "support.h"

#include <pthread.h>

/* A gate that work stands before. */
struct gate {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int inside; /* how many came to it, ever */
    bool open;
};

void gate_init(struct gate *gate);
void gate_destroy(struct gate *gate);
/* For work callbacks: waits until the gate is open. */
void gate_pass(struct gate *gate);
/* For the test: waits until n have come. */
void gate_await(struct gate *gate, int n);
void gate_open(struct gate *gate);

/* Work and what became of it. work.data points to the item itself. */
struct item {
    loop_work_t work;
    struct gate *gate; /* that it passes, or NULL */
    int ran;
    int ended;
    int status;
};

/* The callbacks of items. */
void item_run(loop_work_t *work);
void item_after(loop_work_t *work, int status);

/* Submits a new item: the result of loop_work(). */
int item_submit(loop_t *loop, struct item *item, loop_lane lane, struct gate *gate);

/* Expects that the item ended once, ran or not, with the status. */
void item_expect(const struct item *item, int ran, int status);

/* A pool that has for every lane the given limits; 0: the defaults. */
loop_pool_t *pool_of(unsigned threads, unsigned queue);

loop_pool_metrics_t metrics_of(loop_pool_t *pool, loop_lane lane);

#endif
