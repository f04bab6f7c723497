/* What of ../fault_work_test.c is about POSIX systems: locks that cannot be made, signals that cannot be blocked, children. */
#include "fault_calls.h"
#include "work_fixture.h"

#include "internal.h"

#include <errno.h>
#include <limits.h>

static loop_t *loop;

static void address_found(loop_getaddrinfo_t *request, int status, struct addrinfo *list)
{
    (void)request;
    (void)status;
    loop_freeaddrinfo(list);
}

static void begin(void)
{
    fault_begin();
    loop = support_loop();
}

static void finish(void)
{
    support_finish(loop);
    fault_end();
}

static void a_lane_without_any_thread_takes_no_work(void **state)
{
    struct item item;
    loop_getaddrinfo_t request = {0};

    (void)state;
    begin();
    fault_arm(FAULT_pthread_create, 1, EAGAIN, LONG_MAX / 2);
    assert_int_equal(item_submit(loop, &item, LOOP_LANE_DEFAULT, NULL), LOOP_EAGAIN);
    assert_int_equal(loop_getaddrinfo(loop, &request, "127.0.0.1", "1", NULL, address_found), LOOP_EAGAIN);
    assert_false(loop_alive(loop));
    assert_int_equal(loop_work_cancel(&item.work), LOOP_ENOENT);
    assert_int_equal(metrics_of(loop_get_pool(loop), LOOP_LANE_DEFAULT).refused, 1);
    fault_arm(FAULT_pthread_sigmask, 1, EINVAL, 1);
    assert_int_equal(item_submit(loop, &item, LOOP_LANE_DEFAULT, NULL), LOOP_EAGAIN);
    fault_disarm();
    assert_int_equal(item.ended, 0);
    assert_ok(item_submit(loop, &item, LOOP_LANE_DEFAULT, NULL)); /* and again, when there are threads */
    assert_ok(loop_run(loop, LOOP_RUN_DEFAULT));
    item_expect(&item, 1, 0);
    finish();
}

static void a_pool_whose_locks_cannot_be_made_is_not_made(void **state)
{
    static const enum fault_row rows[] = {FAULT_pthread_mutex_init, FAULT_pthread_cond_init};
    struct support_allocator counts = {0};
    loop_allocator_t allocator = support_allocator(&counts);
    loop_pool_options_t options = LOOP_POOL_OPTIONS_INIT;
    struct item item;

    (void)state;
    options.allocator = &allocator;
    begin();
    for (int i = 0; i < 2; i++) {
        for (long n = 1; n <= LOOP_LANE_COUNT; n++) {
            loop_pool_t *pool = (loop_pool_t *)&options;

            fault_arm(rows[i], n, ENOMEM, 1);
            assert_int_equal(loop_pool_create(&pool, &options), LOOP_ENOMEM);
            assert_null(pool);
            assert_int_equal(counts.live, 0);
        }
    }
    fault_arm(FAULT_pthread_mutex_init, 1, ENOMEM, 1);
    assert_int_equal(item_submit(loop, &item, LOOP_LANE_DEFAULT, NULL), LOOP_ENOMEM);
    assert_null(loop_get_pool(loop));
    assert_ok(item_submit(loop, &item, LOOP_LANE_DEFAULT, NULL));
    assert_ok(loop_run(loop, LOOP_RUN_DEFAULT));
    item_expect(&item, 1, 0);
    finish();
}

static void work_costs_no_system_call_while_the_loop_is_awake(void **state)
{
    loop_pool_t *pool = pool_of(1, 0);
    struct item item;

    (void)state;
    begin();
    assert_ok(loop_set_pool(loop, pool));
    assert_ok(item_submit(loop, &item, LOOP_LANE_DEFAULT, NULL));
    support_until(loop, &item.ended);
    fault_arm(FAULT_getpid, 0, 0, 0); /* counts from 0 */
    for (int i = 0; i < 10; i++) {
        assert_ok(item_submit(loop, &item, LOOP_LANE_DEFAULT, NULL));
        support_until(loop, &item.ended);
    }
    assert_true(fault_count(FAULT_BACKEND_WAKE) <= 10); /* a wake-up each */
    assert_int_equal(fault_count_all(),
                     CALLS_OF_WAKE_UP * fault_count(FAULT_BACKEND_WAKE) + fault_count(FAULT_BACKEND_WAIT));
    support_finish(loop);
    assert_ok(loop_pool_destroy(pool));
    fault_end();
}

/* ------------------------------------------------------------------------------------------- a child, without a fork -- */

/* Threads of which there is no trace but what the pool knows, as after a fork. */
static int phantom_thread(pthread_t *thread, const pthread_attr_t *attr, void *(*entry)(void *), void *argument)
{
    (void)attr;
    (void)entry;
    (void)argument;
    *thread = pthread_self();
    return 0;
}

static pid_t another_process(void)
{
    return 1;
}

static void a_child_that_gets_no_lock_asks_again_and_without_threads_cancels(void **state)
{
    int (*real_create)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
    loop_pool_t *pool;
    struct item items[2];

    (void)state;
    begin();
    pool = pool_of(1, 0);
    assert_ok(loop_set_pool(loop, pool));
    real_create = loop__sys.pthread_create;
    loop__sys.pthread_create = phantom_thread;
    for (int i = 0; i < 2; i++)
        assert_ok(item_submit(loop, &items[i], LOOP_LANE_DEFAULT, NULL));
    loop__sys.pthread_create = real_create;
    loop__sys.getpid = another_process;

    fault_arm(FAULT_pthread_mutex_init, 2, ENOMEM, 1);
    assert_int_equal(loop__work_forked(loop), LOOP_ENOMEM);
    fault_arm(FAULT_pthread_create, 1, EAGAIN, 2);
    assert_ok(loop__work_forked(loop));
    assert_int_equal(items[0].ended + items[1].ended, 0);
    assert_ok(loop_run(loop, LOOP_RUN_DEFAULT));
    for (int i = 0; i < 2; i++)
        item_expect(&items[i], 0, LOOP_ECANCELED);
    assert_ok(item_submit(loop, &items[0], LOOP_LANE_DEFAULT, NULL));
    assert_ok(loop__work_forked(loop)); /* this process has been told: nothing is lost, nothing twice */
    assert_ok(loop_run(loop, LOOP_RUN_DEFAULT));
    item_expect(&items[0], 1, 0);
    backend_adopt_process(loop);
    assert_ok(loop_close(loop));
    assert_ok(loop_pool_destroy(pool));
    fault_end();
}

LOOP_TEST_MAIN(TEST(a_lane_without_any_thread_takes_no_work), TEST(a_pool_whose_locks_cannot_be_made_is_not_made),
               TEST(work_costs_no_system_call_while_the_loop_is_awake),
               TEST(a_child_that_gets_no_lock_asks_again_and_without_threads_cancels))
