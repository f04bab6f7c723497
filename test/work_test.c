/*
 * Work on the threads of a pool, seen from one loop: where it runs, its end, cancelling, limits. Which signals the threads take:
 * posix/work_test.c.
 */
#include "work_fixture.h"

static loop_t *loop;

static void finish_with(loop_pool_t *pool)
{
    support_finish(loop);
    assert_ok(loop_pool_destroy(pool));
}

static void begin_with(loop_pool_t *pool)
{
    loop = support_loop();
    assert_ok(loop_set_pool(loop, pool));
}

/* --------------------------------------------------------------------------------------------- the way of one work -- */

static pthread_t ran_on;
static pthread_t ended_on;
static int product;
static int ends;

static void multiply(loop_work_t *work)
{
    const int *factors = work->data;

    ran_on = pthread_self();
    product = factors[0] * factors[1];
}

static void multiplied(loop_work_t *work, int status)
{
    (void)work;
    assert_ok(status);
    ended_on = pthread_self();
    ends++;
}

static void work_runs_on_another_thread_and_ends_on_that_of_the_loop(void **state)
{
    int factors[2] = {6, 7};
    loop_work_t work = {0};

    (void)state;
    loop = support_loop();
    ends = 0;
    work.data = factors;
    assert_ok(loop_work(loop, &work, LOOP_LANE_DEFAULT, multiply, multiplied));
    assert_int_equal(ends, 0);
    assert_true(loop_alive(loop));
    assert_ok(loop_run(loop, LOOP_RUN_DEFAULT));
    assert_int_equal(ends, 1);
    assert_int_equal(product, 42);
    assert_false(pthread_equal(ran_on, pthread_self()));
    assert_true(pthread_equal(ended_on, pthread_self()));
    assert_false(loop_alive(loop));
    support_finish(loop);
}

#define MANY 2000
static struct item items[MANY];
static int order[MANY];
static int begun; /* by the one thread of a lane */

static int how_many(void)
{
    return harness_slow() ? 300 : MANY;
}

static void note_order(loop_work_t *work)
{
    struct item *item = work->data;

    item->ran++;
    order[begun++] = (int)(item - items);
}

static int delivered;

static void expect_order(loop_work_t *work, int status)
{
    struct item *item = work->data;

    item_after(work, status);
    assert_int_equal(item - items, delivered);
    delivered++;
}

static void one_thread_works_in_order_and_the_ends_come_in_order(void **state)
{
    loop_pool_t *pool = pool_of(1, 0);
    int n = how_many();

    (void)state;
    begin_with(pool);
    begun = 0;
    delivered = 0;
    memset(items, 0, sizeof(items));
    for (int i = 0; i < n; i++) {
        items[i].work.data = &items[i];
        assert_ok(loop_work(loop, &items[i].work, LOOP_LANE_DEFAULT, note_order, expect_order));
    }
    assert_ok(loop_run(loop, LOOP_RUN_DEFAULT));
    assert_int_equal(delivered, n);
    for (int i = 0; i < n; i++) {
        item_expect(&items[i], 1, 0);
        assert_int_equal(order[i], i);
    }
    finish_with(pool);
}

static void many_threads_end_every_work_exactly_once(void **state)
{
    int n = how_many();

    (void)state;
    loop = support_loop();
    for (int i = 0; i < n; i++)
        assert_ok(item_submit(loop, &items[i], (loop_lane)(i % LOOP_LANE_COUNT), NULL));
    assert_ok(loop_run(loop, LOOP_RUN_DEFAULT));
    for (int i = 0; i < n; i++)
        item_expect(&items[i], 1, 0);
    support_finish(loop);
}

static void work_without_an_after_callback_keeps_the_loop_alive_until_its_end(void **state)
{
    struct gate gate;
    struct item item = {0};

    (void)state;
    gate_init(&gate);
    loop = support_loop();
    item.work.data = &item;
    item.gate = &gate;
    assert_ok(loop_work(loop, &item.work, LOOP_LANE_DEFAULT, item_run, NULL));
    gate_await(&gate, 1);
    assert_int_equal(loop_run(loop, LOOP_RUN_NOWAIT), 1);
    gate_open(&gate);
    assert_ok(loop_run(loop, LOOP_RUN_DEFAULT));
    assert_int_equal(item.ran, 1);
    assert_int_equal(loop_work_cancel(&item.work), LOOP_ENOENT); /* the memory is ours again */
    support_finish(loop);
    gate_destroy(&gate);
}

static int rounds;

static void go_round(loop_work_t *work, int status)
{
    item_after(work, status);
    if (--rounds > 0)
        assert_ok(loop_work(loop, work, LOOP_LANE_DEFAULT, item_run, go_round));
}

static void work_may_be_submitted_again_by_its_after_callback(void **state)
{
    loop_pool_t *pool = pool_of(1, 1); /* its thread is free again by then */
    struct item item = {0};
    int n = how_many();

    (void)state;
    begin_with(pool);
    rounds = n;
    item.work.data = &item;
    assert_ok(loop_work(loop, &item.work, LOOP_LANE_DEFAULT, item_run, go_round));
    assert_ok(loop_run(loop, LOOP_RUN_DEFAULT));
    assert_int_equal(item.ran, n);
    assert_int_equal(item.ended, n);
    assert_int_equal(metrics_of(pool, LOOP_LANE_DEFAULT).threads, 1);
    finish_with(pool);
}

static void free_item(loop_work_t *work, int status)
{
    assert_ok(status);
    ends++;
    free(work->data);
}

static void work_may_be_freed_by_its_after_callback(void **state)
{
    (void)state;
    loop = support_loop();
    ends = 0;
    for (int i = 0; i < 20; i++) {
        struct item *item = calloc(1, sizeof(*item));

        assert_non_null(item);
        item->work.data = item;
        assert_ok(loop_work(loop, &item->work, LOOP_LANE_DEFAULT, item_run, free_item));
    }
    assert_ok(loop_run(loop, LOOP_RUN_DEFAULT));
    assert_int_equal(ends, 20);
    support_finish(loop);
}

/* ------------------------------------------------------------------------------------------------------------ cancel -- */

static void queued_work_is_cancelled_and_running_work_is_not(void **state)
{
    loop_pool_t *pool = pool_of(1, 0);
    struct item running;
    struct item first;
    struct item second;
    struct item third;
    struct gate gate;

    (void)state;
    gate_init(&gate);
    begin_with(pool);
    assert_ok(item_submit(loop, &running, LOOP_LANE_DEFAULT, &gate));
    gate_await(&gate, 1);
    assert_ok(item_submit(loop, &first, LOOP_LANE_DEFAULT, NULL));
    assert_ok(item_submit(loop, &second, LOOP_LANE_DEFAULT, NULL));
    assert_ok(item_submit(loop, &third, LOOP_LANE_DEFAULT, NULL));
    assert_int_equal(loop_work_cancel(&running.work), LOOP_EBUSY);
    assert_ok(loop_work_cancel(&second.work));
    assert_ok(loop_work_cancel(&second.work)); /* asked for again: it will be so */
    assert_int_equal(second.ended, 0);         /* not inside the call */
    assert_int_equal(loop_work(loop, &second.work, LOOP_LANE_DEFAULT, item_run, item_after), LOOP_EBUSY);
    support_until(loop, &second.ended); /* it does not wait for those before it */
    item_expect(&second, 0, LOOP_ECANCELED);
    assert_int_equal(loop_work_cancel(&second.work), LOOP_ENOENT);
    assert_int_equal(metrics_of(pool, LOOP_LANE_DEFAULT).cancelled, 1);
    gate_open(&gate);
    assert_ok(loop_run(loop, LOOP_RUN_DEFAULT));
    item_expect(&running, 1, 0);
    item_expect(&first, 1, 0);
    item_expect(&third, 1, 0);
    finish_with(pool);
    gate_destroy(&gate);
}

static void work_that_has_run_is_too_late_to_cancel(void **state)
{
    loop_pool_t *pool = pool_of(1, 0);
    struct item item;

    (void)state;
    begin_with(pool);
    assert_ok(item_submit(loop, &item, LOOP_LANE_SLOW, NULL));
    while (metrics_of(pool, LOOP_LANE_SLOW).done == 0)
        support_yield();
    assert_int_equal(loop_work_cancel(&item.work), LOOP_EBUSY);
    assert_ok(loop_run(loop, LOOP_RUN_DEFAULT));
    item_expect(&item, 1, 0);
    finish_with(pool);
}

static void cancelling_races_with_starting_and_one_of_them_wins(void **state)
{
    uint64_t random = support_seed();
    int batches = harness_slow() ? 20 : 100;
    int cancelled = 0;

    (void)state;
    loop = support_loop();
    for (int batch = 0; batch < batches; batch++) {
        static int result[100];

        for (int i = 0; i < 100; i++) {
            assert_ok(item_submit(loop, &items[i], LOOP_LANE_DEFAULT, NULL));
            result[i] = 1;
            if (support_random(&random, 2) == 0) {
                int victim = (int)support_random(&random, (uint32_t)i + 1);

                result[victim] = loop_work_cancel(&items[victim].work);
                assert_true(result[victim] == 0 || result[victim] == LOOP_EBUSY || result[victim] == LOOP_ENOENT);
            }
            if (support_random(&random, 8) == 0)
                (void)loop_run(loop, LOOP_RUN_NOWAIT);
        }
        assert_ok(loop_run(loop, LOOP_RUN_DEFAULT));
        for (int i = 0; i < 100; i++) {
            assert_int_equal(items[i].ended, 1);
            assert_int_equal(items[i].ran, items[i].status == 0);
            assert_true(items[i].ran == 1 || items[i].status == LOOP_ECANCELED);
            if (result[i] == 0)
                assert_int_equal(items[i].ran, 0);
            cancelled += items[i].ran == 0;
        }
    }
    assert_int_equal(metrics_of(loop_get_pool(loop), LOOP_LANE_DEFAULT).cancelled, cancelled);
    assert_int_equal(metrics_of(loop_get_pool(loop), LOOP_LANE_DEFAULT).done, batches * 100 - cancelled);
    support_finish(loop);
}

/* -------------------------------------------------------------------------------------------------- limits and lanes -- */

static void a_full_lane_refuses_what_is_more_than_its_threads_and_its_queue(void **state)
{
    loop_pool_t *pool = pool_of(2, 3);
    loop_pool_metrics_t metrics;
    struct gate gate;

    (void)state;
    gate_init(&gate);
    begin_with(pool);
    for (int i = 0; i < 5; i++)
        assert_ok(
            item_submit(loop, &items[i], LOOP_LANE_SLOW, &gate)); /* whether or not a thread has come to them yet */
    assert_int_equal(item_submit(loop, &items[5], LOOP_LANE_SLOW, &gate), LOOP_EAGAIN);
    assert_int_equal(loop_work_cancel(&items[5].work), LOOP_ENOENT);
    assert_ok(item_submit(loop, &items[6], LOOP_LANE_DEFAULT, NULL)); /* another lane, another queue */
    gate_await(&gate, 2);
    metrics = metrics_of(pool, LOOP_LANE_SLOW);
    assert_int_equal(metrics.most_threads, 2);
    assert_int_equal(metrics.queue_limit, 3);
    assert_int_equal(metrics.threads, 2);
    assert_int_equal(metrics.idle, 0);
    assert_int_equal(metrics.running, 2);
    assert_int_equal(metrics.queued, 3);
    assert_true(metrics.longest_queue >= 3);
    assert_int_equal(metrics.refused, 1);
    assert_int_equal(metrics.done, 0);

    /* Cancelling makes room. */
    assert_ok(loop_work_cancel(&items[4].work));
    assert_ok(item_submit(loop, &items[5], LOOP_LANE_SLOW, &gate));
    assert_int_equal(item_submit(loop, &items[7], LOOP_LANE_SLOW, &gate), LOOP_EAGAIN);
    gate_open(&gate);
    assert_ok(loop_run(loop, LOOP_RUN_DEFAULT));
    for (int i = 0; i < 4; i++)
        item_expect(&items[i], 1, 0);
    item_expect(&items[4], 0, LOOP_ECANCELED);
    item_expect(&items[5], 1, 0);
    assert_int_equal(items[7].ended, 0);
    metrics = metrics_of(pool, LOOP_LANE_SLOW);
    assert_int_equal(metrics.idle, 2);
    assert_int_equal(metrics.running, 0);
    assert_int_equal(metrics.queued, 0);
    assert_int_equal(metrics.done, 5);
    assert_int_equal(metrics.refused, 2);
    finish_with(pool);
    gate_destroy(&gate);
}

static void a_blocked_lane_does_not_keep_another_from_work(void **state)
{
    loop_pool_t *pool = pool_of(2, 4);
    struct gate gate;
    int n = harness_slow() ? 50 : 500;

    (void)state;
    gate_init(&gate);
    begin_with(pool);
    for (int i = 0; i < 6; i++)
        assert_ok(item_submit(loop, &items[i], LOOP_LANE_SLOW, &gate));
    gate_await(&gate, 2);
    assert_int_equal(item_submit(loop, &items[6], LOOP_LANE_SLOW, &gate), LOOP_EAGAIN);
    for (int i = 0; i < n; i++) {
        assert_ok(item_submit(loop, &items[6], LOOP_LANE_DEFAULT, NULL));
        support_until(loop, &items[6].ended);
        item_expect(&items[6], 1, 0);
    }
    assert_int_equal(metrics_of(pool, LOOP_LANE_SLOW).done, 0);
    gate_open(&gate);
    assert_ok(loop_run(loop, LOOP_RUN_DEFAULT));
    finish_with(pool);
    gate_destroy(&gate);
}

static void threads_are_started_when_none_is_free(void **state)
{
    loop_pool_t *pool = pool_of(3, 0);
    struct gate gate;

    (void)state;
    gate_init(&gate);
    begin_with(pool);
    assert_int_equal(metrics_of(pool, LOOP_LANE_DEFAULT).threads, 0);
    for (int i = 0; i < 20; i++) {
        assert_ok(item_submit(loop, &items[0], LOOP_LANE_DEFAULT, NULL));
        support_until(loop, &items[0].ended);
        assert_int_equal(metrics_of(pool, LOOP_LANE_DEFAULT).threads, 1);
    }
    for (int i = 0; i < 5; i++) {
        assert_ok(item_submit(loop, &items[i], LOOP_LANE_DEFAULT, &gate));
        assert_int_equal(metrics_of(pool, LOOP_LANE_DEFAULT).threads, i < 3 ? i + 1 : 3);
    }
    gate_await(&gate, 3);
    gate_open(&gate);
    assert_ok(loop_run(loop, LOOP_RUN_DEFAULT));
    assert_int_equal(metrics_of(pool, LOOP_LANE_SLOW).threads, 0);
    finish_with(pool);
    gate_destroy(&gate);
}

static void the_default_limits_are_four_threads_and_a_queue_without_limit(void **state)
{
    struct gate gate;

    (void)state;
    gate_init(&gate);
    loop = support_loop();
    for (int i = 0; i < 300; i++)
        assert_ok(item_submit(loop, &items[i], LOOP_LANE_NAMES, &gate));
    gate_await(&gate, 4);
    assert_int_equal(metrics_of(loop_get_pool(loop), LOOP_LANE_NAMES).threads, 4);
    assert_int_equal(metrics_of(loop_get_pool(loop), LOOP_LANE_NAMES).queued, 296);
    assert_int_equal(metrics_of(loop_get_pool(loop), LOOP_LANE_NAMES).queue_limit, UINT32_MAX);
    gate_open(&gate);
    assert_ok(loop_run(loop, LOOP_RUN_DEFAULT));
    support_finish(loop);
    gate_destroy(&gate);
}

/* ---------------------------------------------------------------------------------------------------- wrong arguments -- */

static void wrong_arguments_are_refused_and_change_nothing(void **state)
{
    loop_work_t work = {0};
    struct item item;
    struct gate gate;

    (void)state;
    gate_init(&gate);
    loop = support_loop();
    assert_int_equal(loop_work(NULL, &work, LOOP_LANE_DEFAULT, item_run, NULL), LOOP_EINVAL);
    assert_int_equal(loop_work(loop, NULL, LOOP_LANE_DEFAULT, item_run, NULL), LOOP_EINVAL);
    assert_int_equal(loop_work(loop, &work, LOOP_LANE_DEFAULT, NULL, item_after), LOOP_EINVAL);
    assert_int_equal(loop_work(loop, &work, LOOP_LANE_COUNT, item_run, NULL), LOOP_EINVAL);
    assert_int_equal(loop_work(loop, &work, (loop_lane)-1, item_run, NULL), LOOP_EINVAL);
    assert_int_equal(loop_work_cancel(NULL), LOOP_EINVAL);
    assert_int_equal(loop_work_cancel(&work), LOOP_ENOENT);
    assert_false(loop_alive(loop));
    assert_null(loop_get_pool(loop)); /* nor was a pool made for that */

    assert_ok(item_submit(loop, &item, LOOP_LANE_DEFAULT, &gate));
    assert_int_equal(loop_work(loop, &item.work, LOOP_LANE_SLOW, item_run, NULL), LOOP_EBUSY);
    gate_open(&gate);
    assert_ok(loop_run(loop, LOOP_RUN_DEFAULT));
    item_expect(&item, 1, 0);
    support_finish(loop);
    gate_destroy(&gate);
}

static int close_result;

static void submit_late(loop_task_t *task, int status)
{
    static loop_work_t work;

    (void)task;
    assert_int_equal(status, LOOP_ECANCELED);
    close_result = loop_work(loop, &work, LOOP_LANE_DEFAULT, item_run, NULL);
    assert_int_equal(loop_set_pool(loop, (loop_pool_t *)&work), LOOP_ECLOSED);
    assert_int_equal(loop_work_cancel(&work), LOOP_ENOENT);
}

static void a_loop_that_closes_takes_no_work(void **state)
{
    loop_task_t task = {0};

    (void)state;
    loop = support_loop();
    close_result = 0;
    assert_ok(loop_post(loop, &task, submit_late));
    assert_ok(loop_close(loop));
    assert_int_equal(close_result, LOOP_ECLOSED);
}

static void a_loop_with_work_in_flight_is_not_closed(void **state)
{
    struct item item;
    struct gate gate;

    (void)state;
    gate_init(&gate);
    loop = support_loop();
    assert_ok(item_submit(loop, &item, LOOP_LANE_DEFAULT, &gate));
    gate_await(&gate, 1);
    assert_int_equal(loop_close(loop), LOOP_EBUSY);
    gate_open(&gate);
    while (metrics_of(loop_get_pool(loop), LOOP_LANE_DEFAULT).done == 0)
        support_yield();
    assert_int_equal(loop_close(loop), LOOP_EBUSY); /* its end has not been told yet */
    support_until(loop, &item.ended);
    item_expect(&item, 1, 0);
    assert_ok(loop_close(loop));
    gate_destroy(&gate);
}

LOOP_TEST_MAIN(TEST(work_runs_on_another_thread_and_ends_on_that_of_the_loop),
               TEST(one_thread_works_in_order_and_the_ends_come_in_order),
               TEST(many_threads_end_every_work_exactly_once),
               TEST(work_without_an_after_callback_keeps_the_loop_alive_until_its_end),
               TEST(work_may_be_submitted_again_by_its_after_callback), TEST(work_may_be_freed_by_its_after_callback),
               TEST(queued_work_is_cancelled_and_running_work_is_not), TEST(work_that_has_run_is_too_late_to_cancel),
               TEST(cancelling_races_with_starting_and_one_of_them_wins),
               TEST(a_full_lane_refuses_what_is_more_than_its_threads_and_its_queue),
               TEST(a_blocked_lane_does_not_keep_another_from_work), TEST(threads_are_started_when_none_is_free),
               TEST(the_default_limits_are_four_threads_and_a_queue_without_limit),
               TEST(wrong_arguments_are_refused_and_change_nothing), TEST(a_loop_that_closes_takes_no_work),
               TEST(a_loop_with_work_in_flight_is_not_closed))
