/* A loop inside of a host loop: how long the host may wait. The descriptor that it polls: posix/host_test.c. */
#include "support.h"

static void nothing(loop_timer_t *timer)
{
    (void)timer;
}

static void the_timeout_is_that_of_the_next_timer_by_the_clock(void **state)
{
    loop_t *loop;
    loop_timer_t timer;
    int64_t before;

    (void)state;
    loop = support_loop();
    assert_ok(loop_timer_init(loop, &timer));
    assert_ok(loop_timer_start(&timer, nothing, LOOP_SEC(3600), 0));
    before = loop_next_timeout(loop);
    assert_true(before > 0 && before <= (int64_t)LOOP_SEC(3600));
    while (loop_next_timeout(loop) == before) /* loop_now() stands still here */
        continue;
    assert_true(loop_next_timeout(loop) < before);
    assert_ok(loop_timer_start(&timer, nothing, UINT64_MAX, 0));
    assert_true(loop_next_timeout(loop) > INT64_MAX / 2);
    assert_ok(loop_timer_start(&timer, nothing, 1, 0));
    while (loop_next_timeout(loop) != 0)
        continue;
    assert_ok(loop_timer_stop(&timer));
    assert_true(loop_next_timeout(loop) < 0);
    support_finish(loop);
}

static void nobody_has_no_descriptor_and_no_timeout(void **state)
{
    (void)state;
    assert_int_equal(loop_backend_fd(NULL), LOOP_INVALID_FD);
    assert_int_equal(loop_next_timeout(NULL), LOOP_EINVAL);
}

LOOP_TEST_MAIN(TEST(the_timeout_is_that_of_the_next_timer_by_the_clock), TEST(nobody_has_no_descriptor_and_no_timeout))
