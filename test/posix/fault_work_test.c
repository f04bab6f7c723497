/* Pools and name requests on bad days: threads that cannot be had, locks that cannot be made, no memory, no resolver. */
#include "fault.h"
#include "work_fixture.h"

#include "internal.h"

#include <errno.h>
#include <limits.h>
#include <netdb.h>
#include <sched.h>
#include <signal.h>

static loop_t *loop;
static long in_flight;
static long successes;

/* ---------------------------------------------------------------------------------------------------- one scenario -- */

static struct {
    loop_work_t works[6];
    loop_work_t slow;
    loop_getaddrinfo_t address;
    loop_getnameinfo_t name;
} scene;

static void nothing(loop_work_t *work)
{
    (void)work;
}

static void completed(int status)
{
    assert_true(in_flight > 0);
    in_flight--;
    if (status == 0)
        successes++;
}

static void work_done(loop_work_t *work, int status)
{
    (void)work;
    completed(status);
}

static void address_found(loop_getaddrinfo_t *request, int status, struct addrinfo *list)
{
    (void)request;
    completed(status);
    loop_freeaddrinfo(list);
}

static void name_found(loop_getnameinfo_t *request, int status, const char *host, const char *service)
{
    (void)request;
    completed(status);
    assert_true((status == 0) == (host != NULL && service != NULL));
}

static void submitted(int rc)
{
    if (rc == 0)
        in_flight++;
}

/* A loop, work on every lane of its own pool, the end. Whatever fails: what was accepted completes once, and all is gone
 * afterwards. */
static void scenario(const loop_options_t *options)
{
    struct addrinfo hints = {.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV, .ai_socktype = SOCK_STREAM};
    struct sockaddr_storage addr = support_loopback();

    in_flight = 0;
    memset(&scene, 0, sizeof(scene));
    if (loop_init(&loop, options) != 0)
        return;
    for (int i = 0; i < 6; i++)
        submitted(loop_work(loop, &scene.works[i], LOOP_LANE_DEFAULT, nothing, work_done));
    (void)loop_work_cancel(&scene.works[5]);
    submitted(loop_work(loop, &scene.slow, LOOP_LANE_SLOW, nothing, work_done));
    submitted(loop_getaddrinfo(loop, &scene.address, "127.0.0.1", "80", &hints, address_found));
    submitted(
        loop_getnameinfo(loop, &scene.name, (struct sockaddr *)&addr, NI_NUMERICHOST | NI_NUMERICSERV, name_found));
    /* Without waiting: a wake-up may be what fails. */
    while (in_flight > 0) {
        (void)loop_run(loop, LOOP_RUN_NOWAIT);
        (void)sched_yield();
    }
    assert_ok(loop_close(loop));
}

static void every_system_call_of_work_fails_in_turn(void **state)
{
    long calls[FAULT_ROWS];
    sigset_t mask;

    (void)state;
    assert_ok(pthread_sigmask(SIG_BLOCK, NULL, &mask));
    fault_begin();
    scenario(NULL);
    for (int row = 0; row < FAULT_ROWS; row++)
        calls[row] = fault_count((enum fault_row)row);
    assert_true(calls[FAULT_pthread_create] >= 3);
    assert_int_equal(calls[FAULT_getaddrinfo], 1);
    assert_int_equal(calls[FAULT_getnameinfo], 1);
    for (int row = 0; row < FAULT_ROWS; row++) {
        if (row == FAULT_getpid)
            continue; /* it does not fail, and a wrong answer leaves threads behind */
        for (const int *error = fault_errors((enum fault_row)row); *error != 0; error++) {
            for (long n = 1; n <= (calls[row] < 8 ? calls[row] : 8); n++) {
                fault_arm((enum fault_row)row, n, *error, 1);
                scenario(NULL);
                fault_disarm();
                /* A mask that could not be set back, which no real system refuses. */
                assert_ok(pthread_sigmask(SIG_SETMASK, &mask, NULL));
            }
        }
    }
    fault_end();
    successes = 0;
    scenario(NULL);
    assert_true(successes == 9 || successes == 8); /* one of them cancelled, if it had not begun */
}

static void every_allocation_of_work_fails_in_turn(void **state)
{
    struct support_allocator counts = {0};
    loop_allocator_t allocator = support_allocator(&counts);
    loop_options_t options = LOOP_OPTIONS_INIT;
    long needed;

    (void)state;
    options.allocator = &allocator;
    scenario(&options);
    needed = counts.calls;
    assert_true(needed >= 5); /* the loop's two, the pool, a copy of names, room for names */
    for (long n = 1; n <= needed; n++) {
        counts.calls = 0;
        counts.fail_at = n;
        scenario(&options);
        assert_int_equal(counts.live, 0);
    }
}

/* ------------------------------------------------------------------------------------------------------- single calls -- */

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

static void a_lane_with_a_thread_goes_on_with_that_one(void **state)
{
    struct item items[5];
    struct gate gate;

    (void)state;
    gate_init(&gate);
    begin();
    assert_ok(item_submit(loop, &items[0], LOOP_LANE_SLOW, &gate));
    gate_await(&gate, 1);
    fault_arm(FAULT_pthread_create, 1, EAGAIN, LONG_MAX / 2);
    for (int i = 1; i < 5; i++)
        assert_ok(item_submit(loop, &items[i], LOOP_LANE_SLOW, NULL));
    assert_int_equal(fault_count(FAULT_pthread_create), 4);
    assert_int_equal(metrics_of(loop_get_pool(loop), LOOP_LANE_SLOW).threads, 1);
    gate_open(&gate);
    assert_ok(loop_run(loop, LOOP_RUN_DEFAULT));
    for (int i = 0; i < 5; i++)
        item_expect(&items[i], 1, 0);
    finish();
    gate_destroy(&gate);
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

static void a_thread_without_a_name_works_and_a_join_is_not_asked_for_its_result(void **state)
{
    struct item item;

    (void)state;
    begin();
    fault_arm(FAULT_name_thread, 1, ENAMETOOLONG, 1);
    assert_ok(item_submit(loop, &item, LOOP_LANE_DEFAULT, NULL));
    assert_ok(loop_run(loop, LOOP_RUN_DEFAULT));
    item_expect(&item, 1, 0);
    assert_int_equal(fault_count(FAULT_name_thread), 1);
    fault_arm(FAULT_pthread_join, 1, EDEADLK, 1);
    assert_ok(loop_close(loop));
    assert_int_equal(fault_count(FAULT_pthread_join), 1);
    fault_end();
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

LOOP_TEST_MAIN(TEST(every_system_call_of_work_fails_in_turn), TEST(every_allocation_of_work_fails_in_turn),
               TEST(a_lane_without_any_thread_takes_no_work), TEST(a_lane_with_a_thread_goes_on_with_that_one),
               TEST(a_pool_whose_locks_cannot_be_made_is_not_made),
               TEST(a_thread_without_a_name_works_and_a_join_is_not_asked_for_its_result),
               TEST(work_costs_no_system_call_while_the_loop_is_awake),
               TEST(a_child_that_gets_no_lock_asks_again_and_without_threads_cancels))
