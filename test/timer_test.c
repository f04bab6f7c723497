/* Timers: order, times, moving, repeating, stopping and closing at any moment. */
#include "support.h"

static loop_t *loop;
static int fired;
static uint64_t fired_at;

static void count(loop_timer_t *timer)
{
    (void)timer;
    fired++;
    fired_at = loop_now(loop);
}

static void a_timer_fires_once_and_never_early(void **state)
{
    loop_timer_t timer;
    uint64_t begin;

    (void)state;
    loop = support_loop();
    fired = 0;
    assert_ok(loop_timer_init(loop, &timer));
    begin = loop_now(loop);
    assert_ok(loop_timer_start(&timer, count, LOOP_MS(5), 0));
    assert_true(loop_handle_is_active(&timer.handle));
    assert_true(loop_timer_get_due_in(&timer) > 0 && loop_timer_get_due_in(&timer) <= LOOP_MS(5));
    assert_ok(loop_run(loop, LOOP_RUN_DEFAULT));
    assert_int_equal(fired, 1);
    assert_true(fired_at - begin >= LOOP_MS(5));
    assert_false(loop_handle_is_active(&timer.handle));
    assert_int_equal(loop_timer_get_due_in(&timer), 0);
    support_finish(loop);
}

/* The loop may wake for the time that a timer was moved away from, and then goes on waiting. */
static void a_timer_moved_to_later_ends_no_turn_at_its_old_time(void **state)
{
    loop_metrics_t metrics = {.size = sizeof(metrics)};
    loop_timer_t timer;
    loop_timer_t stopped;
    uint64_t begin;

    (void)state;
    loop = support_loop();
    fired = 0;
    assert_ok(loop_timer_init(loop, &timer));
    assert_ok(loop_timer_init(loop, &stopped));
    begin = loop_now(loop);
    assert_ok(loop_timer_start(&timer, count, LOOP_MS(15), 0));
    assert_ok(loop_timer_start(&stopped, count, LOOP_MS(12), 0));
    assert_ok(loop_timer_start(&timer, count, LOOP_MS(40), 0));
    assert_ok(loop_timer_stop(&stopped));
    assert_int_equal(loop_run(loop, LOOP_RUN_ONCE), 0);
    assert_int_equal(fired, 1);
    assert_true(fired_at - begin >= LOOP_MS(40));
    assert_ok(loop_metrics(loop, &metrics));
    assert_int_equal(metrics.turns, 1);
    support_finish(loop);
}

#define MANY 10000

static loop_timer_t many[MANY];
static int order[MANY];

static void note_order(loop_timer_t *timer)
{
    order[fired++] = (int)(timer - many);
}

static void timers_of_one_instant_run_in_start_order(void **state)
{
    (void)state;
    loop = support_loop();
    fired = 0;
    for (int i = 0; i < MANY; i++) {
        assert_ok(loop_timer_init(loop, &many[i]));
        assert_ok(loop_timer_start(&many[i], note_order, LOOP_MS(1), 0));
    }
    assert_ok(loop_run(loop, LOOP_RUN_DEFAULT));
    assert_int_equal(fired, MANY);
    for (int i = 0; i < MANY; i++)
        assert_int_equal(order[i], i);
    support_finish(loop);
}

static void a_moved_timer_keeps_only_its_last_time(void **state)
{
    loop_timer_t a;
    loop_timer_t b;

    (void)state;
    loop = support_loop();
    fired = 0;
    assert_ok(loop_timer_init(loop, &many[0]));
    assert_ok(loop_timer_init(loop, &many[1]));
    assert_ok(loop_timer_init(loop, &a));
    assert_ok(loop_timer_init(loop, &b));
    assert_ok(loop_timer_start(&many[0], note_order, LOOP_MS(1), 0));
    assert_ok(loop_timer_start(&many[1], note_order, LOOP_MS(8), 0));
    assert_ok(loop_timer_start(&many[0], note_order, LOOP_MS(6), 0)); /* later */
    assert_ok(loop_timer_start(&many[1], note_order, LOOP_MS(2), 0)); /* sooner */
    assert_ok(loop_run(loop, LOOP_RUN_DEFAULT));
    assert_int_equal(fired, 2);
    assert_int_equal(order[0], 1);
    assert_int_equal(order[1], 0);
    support_finish(loop);
}

static void a_timer_moved_to_the_same_instant_runs_after_those_started_before(void **state)
{
    (void)state;
    loop = support_loop();
    fired = 0;
    for (int i = 0; i < 3; i++) {
        assert_ok(loop_timer_init(loop, &many[i]));
        assert_ok(loop_timer_start(&many[i], note_order, LOOP_MS(1), 0));
    }
    assert_ok(loop_timer_start(&many[0], note_order, LOOP_MS(1), 0));
    assert_ok(loop_run(loop, LOOP_RUN_DEFAULT));
    assert_int_equal(order[0], 1);
    assert_int_equal(order[1], 2);
    assert_int_equal(order[2], 0);
    support_finish(loop);
}

static void stop_after_three(loop_timer_t *timer)
{
    if (++fired == 3)
        assert_ok(loop_timer_stop(timer));
}

static void a_repeating_timer_repeats_until_it_is_stopped(void **state)
{
    loop_timer_t timer;

    (void)state;
    loop = support_loop();
    fired = 0;
    assert_ok(loop_timer_init(loop, &timer));
    assert_int_equal(loop_timer_again(&timer), LOOP_EINVAL);
    assert_ok(loop_timer_start(&timer, stop_after_three, 0, LOOP_US(100)));
    assert_int_equal(loop_timer_get_repeat(&timer), LOOP_US(100));
    assert_ok(loop_run(loop, LOOP_RUN_DEFAULT));
    assert_int_equal(fired, 3);
    assert_ok(loop_timer_again(&timer));
    assert_true(loop_handle_is_active(&timer.handle));
    assert_ok(loop_timer_set_repeat(&timer, 0));
    assert_ok(loop_run(loop, LOOP_RUN_DEFAULT)); /* its last */
    assert_int_equal(fired, 4);
    support_finish(loop);
}

static void restart_at_once(loop_timer_t *timer)
{
    fired++;
    if (fired < 3)
        assert_ok(loop_timer_start(timer, restart_at_once, 0, 0));
}

static void a_timer_started_with_0_in_a_callback_waits_for_the_next_turn(void **state)
{
    loop_timer_t timer;

    (void)state;
    loop = support_loop();
    fired = 0;
    assert_ok(loop_timer_init(loop, &timer));
    assert_ok(loop_timer_start(&timer, restart_at_once, 0, 0));
    for (int i = 1; i <= 3; i++) {
        assert_int_equal(loop_run(loop, LOOP_RUN_NOWAIT), i < 3);
        assert_int_equal(fired, i);
    }
    support_finish(loop);
}

static void a_sum_past_the_end_of_time_is_the_end_of_time(void **state)
{
    loop_timer_t never;
    loop_timer_t soon;

    (void)state;
    loop = support_loop();
    fired = 0;
    assert_ok(loop_timer_init(loop, &never));
    assert_ok(loop_timer_init(loop, &soon));
    assert_ok(loop_timer_start(&never, count, UINT64_MAX, UINT64_MAX));
    assert_ok(loop_timer_start(&soon, count, LOOP_MS(1), 0));
    assert_int_equal(loop_run(loop, LOOP_RUN_ONCE), 1);
    assert_int_equal(fired, 1);
    assert_true(loop_timer_get_due_in(&never) > UINT64_MAX / 2);
    support_finish(loop);
}

static loop_timer_t victims[3];

static void close_others(loop_timer_t *timer)
{
    (void)timer;
    fired++;
    assert_ok(loop_timer_stop(&victims[1]));
    assert_ok(loop_handle_close(&victims[2].handle, NULL));
}

static void a_callback_may_stop_and_close_timers_that_are_due_with_it(void **state)
{
    (void)state;
    loop = support_loop();
    fired = 0;
    for (int i = 0; i < 3; i++)
        assert_ok(loop_timer_init(loop, &victims[i]));
    assert_ok(loop_timer_start(&victims[0], close_others, 0, 0));
    assert_ok(loop_timer_start(&victims[1], count, 0, 0));
    assert_ok(loop_timer_start(&victims[2], count, 0, 0));
    assert_ok(loop_run(loop, LOOP_RUN_DEFAULT));
    assert_int_equal(fired, 1);
    support_finish(loop);
}

static void the_last_timer_may_be_closed_before_the_loop_waits(void **state)
{
    loop_timer_t timer;

    (void)state;
    loop = support_loop();
    assert_ok(loop_timer_init(loop, &timer));
    assert_ok(loop_timer_start(&timer, count, LOOP_SEC(3600), 0));
    assert_ok(loop_handle_close(&timer.handle, NULL));
    assert_ok(loop_run(loop, LOOP_RUN_DEFAULT));
    assert_ok(loop_close(loop));
}

static void wrong_arguments_are_refused(void **state)
{
    loop_timer_t timer;

    (void)state;
    loop = support_loop();
    assert_int_equal(loop_timer_init(NULL, &timer), LOOP_EINVAL);
    assert_int_equal(loop_timer_init(loop, NULL), LOOP_EINVAL);
    assert_ok(loop_timer_init(loop, &timer));
    assert_int_equal(loop_timer_start(NULL, count, 0, 0), LOOP_EINVAL);
    assert_int_equal(loop_timer_start(&timer, NULL, 0, 0), LOOP_EINVAL);
    assert_int_equal(loop_timer_stop(NULL), LOOP_EINVAL);
    assert_int_equal(loop_timer_again(NULL), LOOP_EINVAL);
    assert_int_equal(loop_timer_set_repeat(NULL, 1), LOOP_EINVAL);
    assert_int_equal(loop_timer_get_repeat(NULL), 0);
    assert_int_equal(loop_timer_get_due_in(NULL), 0);
    assert_ok(loop_timer_stop(&timer)); /* not started: stays so */
    assert_ok(loop_handle_close(&timer.handle, NULL));
    assert_int_equal(loop_timer_start(&timer, count, 0, 0), LOOP_EBADF);
    assert_int_equal(loop_timer_stop(&timer), LOOP_EBADF);
    assert_int_equal(loop_timer_again(&timer), LOOP_EBADF);
    assert_int_equal(loop_timer_set_repeat(&timer, 1), LOOP_EBADF);
    support_finish(loop);
}

/* The model: a timer is due at due[i], or stopped. Time passes only by running turns. */
#define RANDOM_TIMERS 200

static uint64_t due[RANDOM_TIMERS];
static bool started[RANDOM_TIMERS];
static uint64_t last_due;

static void check_due(loop_timer_t *timer)
{
    int i = (int)(timer - many);

    assert_true(started[i]);
    assert_true(loop_now(loop) >= due[i]);
    assert_true(due[i] >= last_due); /* in the order of due times */
    last_due = due[i];
    started[i] = false;
    fired++;
}

static void any_sequence_of_starts_moves_and_stops_fires_what_the_model_says(void **state)
{
    uint64_t random = support_seed();
    int steps = harness_slow() ? 2000 : 20000;

    (void)state;
    loop = support_loop();
    for (int i = 0; i < RANDOM_TIMERS; i++) {
        assert_ok(loop_timer_init(loop, &many[i]));
        started[i] = false;
    }
    for (int step = 0; step < steps; step++) {
        uint32_t i = support_random(&random, RANDOM_TIMERS);
        uint32_t action = support_random(&random, 100);

        if (action < 70) {
            uint64_t timeout = LOOP_US(support_random(&random, 3000));

            assert_ok(loop_timer_start(&many[i], check_due, timeout, 0));
            due[i] = loop_now(loop) + timeout;
            started[i] = true;
        } else if (action < 95) {
            assert_ok(loop_timer_stop(&many[i]));
            started[i] = false;
        } else {
            last_due = 0;
            assert_true(loop_run(loop, LOOP_RUN_NOWAIT) >= 0);
            for (int t = 0; t < RANDOM_TIMERS; t++)
                assert_int_equal(loop_handle_is_active(&many[t].handle), started[t]);
        }
        support_check(loop);
    }
    support_finish(loop);
}

LOOP_TEST_MAIN(TEST(a_timer_fires_once_and_never_early), TEST(a_timer_moved_to_later_ends_no_turn_at_its_old_time),
               TEST(timers_of_one_instant_run_in_start_order), TEST(a_moved_timer_keeps_only_its_last_time),
               TEST(a_timer_moved_to_the_same_instant_runs_after_those_started_before),
               TEST(a_repeating_timer_repeats_until_it_is_stopped),
               TEST(a_timer_started_with_0_in_a_callback_waits_for_the_next_turn),
               TEST(a_sum_past_the_end_of_time_is_the_end_of_time),
               TEST(a_callback_may_stop_and_close_timers_that_are_due_with_it),
               TEST(the_last_timer_may_be_closed_before_the_loop_waits), TEST(wrong_arguments_are_refused),
               TEST(any_sequence_of_starts_moves_and_stops_fires_what_the_model_says))
