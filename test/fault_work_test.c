/* Pools and name requests on bad days: threads that cannot be had, no memory, no resolver. */
#include "fault.h"
#include "work_fixture.h"

#include <limits.h>

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
        support_yield();
    }
    assert_ok(loop_close(loop));
}

static void every_system_call_of_work_fails_in_turn(void **state)
{
    long calls[FAULT_ROWS];

    (void)state;
    fault_keep_signals();
    fault_begin();
    scenario(NULL);
    for (int row = 0; row < FAULT_ROWS; row++)
        calls[row] = fault_count((enum fault_row)row);
    assert_true(calls[FAULT_THREAD] >= 3);
    assert_int_equal(calls[FAULT_getaddrinfo], 1);
    assert_int_equal(calls[FAULT_getnameinfo], 1);
    for (int row = 0; row < FAULT_ROWS; row++) {
        if (row == FAULT_PROCESS)
            continue; /* it does not fail, and a wrong answer leaves threads behind */
        for (const int *error = fault_errors((enum fault_row)row); *error != 0; error++) {
            for (long n = 1; n <= (calls[row] < 8 ? calls[row] : 8); n++) {
                fault_arm((enum fault_row)row, n, *error, 1);
                scenario(NULL);
                fault_disarm();
                fault_restore_signals();
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

static void a_lane_with_a_thread_goes_on_with_that_one(void **state)
{
    struct item items[5];
    struct gate gate;

    (void)state;
    gate_init(&gate);
    begin();
    assert_ok(item_submit(loop, &items[0], LOOP_LANE_SLOW, &gate));
    gate_await(&gate, 1);
    fault_arm(FAULT_THREAD, 1, fault_errors(FAULT_THREAD)[0], LONG_MAX / 2);
    for (int i = 1; i < 5; i++)
        assert_ok(item_submit(loop, &items[i], LOOP_LANE_SLOW, NULL));
    assert_int_equal(fault_count(FAULT_THREAD), 4);
    assert_int_equal(metrics_of(loop_get_pool(loop), LOOP_LANE_SLOW).threads, 1);
    gate_open(&gate);
    assert_ok(loop_run(loop, LOOP_RUN_DEFAULT));
    for (int i = 0; i < 5; i++)
        item_expect(&items[i], 1, 0);
    finish();
    gate_destroy(&gate);
}

static void a_thread_without_a_name_works_and_a_join_is_not_asked_for_its_result(void **state)
{
    struct item item;

    (void)state;
    begin();
    fault_arm(FAULT_name_thread, 1, fault_errors(FAULT_name_thread)[0], 1);
    assert_ok(item_submit(loop, &item, LOOP_LANE_DEFAULT, NULL));
    assert_ok(loop_run(loop, LOOP_RUN_DEFAULT));
    item_expect(&item, 1, 0);
    assert_int_equal(fault_count(FAULT_name_thread), 1);
    fault_arm(FAULT_JOIN, 1, fault_errors(FAULT_JOIN)[0], 1);
    assert_ok(loop_close(loop));
    assert_int_equal(fault_count(FAULT_JOIN), 1);
    fault_end();
}

LOOP_TEST_MAIN(TEST(every_system_call_of_work_fails_in_turn), TEST(every_allocation_of_work_fails_in_turn),
               TEST(a_lane_with_a_thread_goes_on_with_that_one),
               TEST(a_thread_without_a_name_works_and_a_join_is_not_asked_for_its_result))
