#include "work_fixture.h"

void gate_init(struct gate *gate)
{
    assert_ok(pthread_mutex_init(&gate->lock, NULL));
    assert_ok(pthread_cond_init(&gate->changed, NULL));
    gate->inside = 0;
    gate->open = false;
}

void gate_destroy(struct gate *gate)
{
    assert_ok(pthread_cond_destroy(&gate->changed));
    assert_ok(pthread_mutex_destroy(&gate->lock));
}

/* No assertions in here: they must not fail on a thread of the pool. */
void gate_pass(struct gate *gate)
{
    (void)pthread_mutex_lock(&gate->lock);
    gate->inside++;
    (void)pthread_cond_broadcast(&gate->changed);
    while (!gate->open)
        (void)pthread_cond_wait(&gate->changed, &gate->lock);
    (void)pthread_mutex_unlock(&gate->lock);
}

void gate_await(struct gate *gate, int n)
{
    (void)pthread_mutex_lock(&gate->lock);
    while (gate->inside < n)
        (void)pthread_cond_wait(&gate->changed, &gate->lock);
    (void)pthread_mutex_unlock(&gate->lock);
}

void gate_open(struct gate *gate)
{
    (void)pthread_mutex_lock(&gate->lock);
    gate->open = true;
    (void)pthread_cond_broadcast(&gate->changed);
    (void)pthread_mutex_unlock(&gate->lock);
}

void item_run(loop_work_t *work)
{
    struct item *item = work->data;

    if (item->gate != NULL)
        gate_pass(item->gate);
    item->ran++;
}

void item_after(loop_work_t *work, int status)
{
    struct item *item = work->data;

    item->ended++;
    item->status = status;
}

int item_submit(loop_t *loop, struct item *item, loop_lane lane, struct gate *gate)
{
    memset(item, 0, sizeof(*item));
    item->work.data = item;
    item->gate = gate;
    item->status = 1;
    return loop_work(loop, &item->work, lane, item_run, item_after);
}

void item_expect(const struct item *item, int ran, int status)
{
    assert_int_equal(item->ended, 1);
    assert_int_equal(item->ran, ran);
    assert_int_equal(item->status, status);
}

loop_pool_t *pool_of(unsigned threads, unsigned queue)
{
    loop_pool_options_t options = LOOP_POOL_OPTIONS_INIT;
    loop_pool_t *pool = NULL;

    for (int i = 0; i < LOOP_LANE_COUNT; i++) {
        options.lanes[i].threads = threads;
        options.lanes[i].queue = queue;
    }
    assert_ok(loop_pool_create(&pool, &options));
    return pool;
}

loop_pool_metrics_t metrics_of(loop_pool_t *pool, loop_lane lane)
{
    loop_pool_metrics_t metrics = LOOP_POOL_METRICS_INIT;

    assert_ok(loop_pool_metrics(pool, lane, &metrics));
    return metrics;
}
