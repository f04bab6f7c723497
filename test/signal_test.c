/*
 * Signal handles: who is told, when, how often, and when no more. Threads and masks: posix/signal_test.c. What becomes of other
 * handlers: posix/signal_chain_test.c.
 */
#include "support.h"

#include <signal.h>

#define WATCHERS 4

static loop_t *loop;
static loop_signal_t watchers[WATCHERS];
static int told[WATCHERS]; /* callbacks of each */
static int order[64];      /* which were called, one after the other */
static int calls;
static int last_signum;
static int one; /* the signals of these tests */
static int two;

static int index_of(const loop_signal_t *watcher)
{
    return (int)(watcher - watchers);
}

static void note(loop_signal_t *watcher, int signum)
{
    int i = index_of(watcher);

    told[i]++;
    order[calls++ % 64] = i;
    last_signum = signum;
}

static void begin(void)
{
    one = support_signal(0);
    two = support_signal(1);
    if (one < 0)
        skip();
    loop = support_loop();
    memset(told, 0, sizeof(told));
    calls = 0;
    last_signum = 0;
    for (int i = 0; i < WATCHERS; i++)
        assert_ok(loop_signal_init(loop, &watchers[i]));
}

static void finish(void)
{
    support_finish(loop);
}

static void turn(void)
{
    assert_true(loop_run(loop, LOOP_RUN_NOWAIT) >= 0);
}

/* ------------------------------------------------------------------------------------------------------- one watcher -- */

static void a_signal_calls_back_inside_a_turn_and_not_in_its_handler(void **state)
{
    (void)state;
    begin();
    assert_ok(loop_signal_start(&watchers[0], note, one));
    assert_ok(support_raise(one));
    assert_int_equal(calls, 0);
    assert_int_equal(loop_run(loop, LOOP_RUN_ONCE), 1);
    assert_int_equal(told[0], 1);
    assert_int_equal(last_signum, one);
    turn();
    assert_int_equal(calls, 1);
    assert_ok(support_raise(one)); /* and the next time again */
    turn();
    assert_int_equal(calls, 2);
    finish();
}

static void signals_before_the_callback_are_merged(void **state)
{
    (void)state;
    begin();
    assert_ok(loop_signal_start(&watchers[0], note, one));
    for (int i = 0; i < 10; i++)
        assert_ok(support_raise(one));
    turn();
    turn();
    assert_int_equal(calls, 1);
    finish();
}

static void raise_once(loop_signal_t *watcher, int signum)
{
    note(watcher, signum);
    if (calls == 1)
        assert_ok(support_raise(signum));
}

static void a_signal_inside_the_callback_is_not_merged_with_the_one_before(void **state)
{
    (void)state;
    begin();
    assert_ok(loop_signal_start(&watchers[0], raise_once, one));
    assert_ok(support_raise(one));
    turn();
    turn();
    assert_int_equal(calls, 2);
    finish();
}

static void wrong_arguments_change_nothing(void **state)
{
    static const int wrong[] = {0, -1, SIGSEGV, SIGFPE, SIGILL, 128, 1 << 20};
    loop_signal_t never = {0};
    loop_signal_t other;

    (void)state;
    begin();
    assert_int_equal(loop_signal_init(NULL, &other), LOOP_EINVAL);
    assert_int_equal(loop_signal_init(loop, NULL), LOOP_EINVAL);
    assert_int_equal(loop_signal_start(NULL, note, one), LOOP_EINVAL);
    assert_int_equal(loop_signal_start_oneshot(NULL, note, one), LOOP_EINVAL);
    assert_int_equal(loop_signal_stop(NULL), LOOP_EINVAL);
    assert_int_equal(loop_signal_start(&never, note, one), LOOP_EBADF);
    assert_int_equal(loop_signal_stop(&never), LOOP_EBADF);
    assert_ok(loop_signal_start(&watchers[0], note, one));
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        assert_int_equal(loop_signal_start(&watchers[0], note, wrong[i]), LOOP_EINVAL);
        assert_int_equal(loop_signal_start_oneshot(&watchers[1], note, wrong[i]), LOOP_EINVAL);
    }
    assert_int_equal(loop_signal_start(&watchers[0], NULL, two), LOOP_EINVAL);
    assert_false(loop_handle_is_active(&watchers[1].handle));
    assert_ok(support_raise(one));
    turn();
    assert_int_equal(told[0], 1);
    assert_ok(loop_handle_close(&watchers[0].handle, NULL));
    assert_int_equal(loop_signal_start(&watchers[0], note, one), LOOP_EBADF);
    assert_int_equal(loop_signal_stop(&watchers[0]), LOOP_EBADF);
    finish();
}

static void the_handle_is_active_and_keeps_the_loop_alive_while_started(void **state)
{
    (void)state;
    begin();
    assert_int_equal(loop_handle_get_type(&watchers[0].handle), LOOP_SIGNAL);
    assert_false(loop_handle_is_active(&watchers[0].handle));
    assert_false(loop_alive(loop));
    assert_ok(loop_signal_start(&watchers[0], note, one));
    assert_true(loop_handle_is_active(&watchers[0].handle));
    assert_true(loop_alive(loop));
    assert_ok(loop_handle_unref(&watchers[0].handle));
    assert_false(loop_alive(loop));
    assert_ok(loop_run(loop, LOOP_RUN_DEFAULT));
    assert_ok(loop_handle_ref(&watchers[0].handle));
    assert_ok(loop_signal_stop(&watchers[0]));
    assert_ok(loop_signal_stop(&watchers[0])); /* stays so */
    assert_false(loop_handle_is_active(&watchers[0].handle));
    assert_ok(loop_run(loop, LOOP_RUN_DEFAULT));
    finish();
}

/* --------------------------------------------------------------------------------------------------------- one-shot -- */

static void inactive_note(loop_signal_t *watcher, int signum)
{
    assert_false(loop_handle_is_active(&watcher->handle));
    note(watcher, signum);
}

static void a_one_shot_is_stopped_before_its_callback(void **state)
{
    void (*old)(int);

    (void)state;
    begin();
    old = signal(one, SIG_IGN); /* the second signal meets it again */
    assert_true(old != SIG_ERR);
    assert_ok(loop_signal_start_oneshot(&watchers[0], inactive_note, one));
    assert_true(loop_handle_is_active(&watchers[0].handle));
    assert_ok(support_raise(one));
    assert_ok(loop_run(loop, LOOP_RUN_DEFAULT));
    assert_int_equal(calls, 1);
    assert_ok(support_raise(one));
    turn();
    assert_int_equal(calls, 1);
    finish();
    assert_true(signal(one, old) != SIG_ERR);
}

static void start_again(loop_signal_t *watcher, int signum)
{
    inactive_note(watcher, signum);
    if (calls < 3)
        assert_ok(loop_signal_start_oneshot(watcher, start_again, signum));
}

static void a_one_shot_may_be_started_again_in_its_callback(void **state)
{
    (void)state;
    begin();
    assert_ok(loop_signal_start_oneshot(&watchers[0], start_again, one));
    for (int i = 1; i <= 3; i++) {
        assert_ok(support_raise(one));
        turn();
        assert_int_equal(calls, i);
    }
    assert_false(loop_alive(loop));
    finish();
}

static void a_one_shot_leaves_other_watchers_of_the_signal_started(void **state)
{
    (void)state;
    begin();
    assert_ok(loop_signal_start_oneshot(&watchers[0], inactive_note, one));
    assert_ok(loop_signal_start(&watchers[1], note, one));
    for (int i = 0; i < 3; i++) {
        assert_ok(support_raise(one));
        turn();
    }
    assert_int_equal(told[0], 1);
    assert_int_equal(told[1], 3);
    finish();
}

/* -------------------------------------------------------------------------------------------- several, and other loops -- */

static void all_watchers_of_a_signal_are_told_in_the_order_of_their_start(void **state)
{
    (void)state;
    begin();
    assert_ok(loop_signal_start(&watchers[2], note, one));
    assert_ok(loop_signal_start(&watchers[0], note, one));
    assert_ok(loop_signal_start(&watchers[3], note, one));
    assert_ok(loop_signal_start(&watchers[1], note, two));
    assert_ok(support_raise(one));
    turn();
    assert_int_equal(calls, 3);
    assert_int_equal(order[0], 2);
    assert_int_equal(order[1], 0);
    assert_int_equal(order[2], 3);
    assert_ok(loop_signal_stop(&watchers[0]));
    assert_ok(support_raise(one));
    turn();
    assert_int_equal(calls, 5);
    assert_int_equal(order[3], 2);
    assert_int_equal(order[4], 3);
    assert_ok(support_raise(two));
    turn();
    assert_int_equal(order[5], 1);
    assert_int_equal(calls, 6);
    finish();
}

static int told_there;

static void note_there(loop_signal_t *watcher, int signum)
{
    (void)watcher;
    assert_int_equal(signum, one);
    told_there++;
}

static void every_loop_is_told(void **state)
{
    loop_t *other;
    loop_signal_t there;

    (void)state;
    begin();
    other = support_loop();
    told_there = 0;
    assert_ok(loop_signal_init(other, &there));
    assert_ok(loop_signal_start(&watchers[0], note, one));
    assert_ok(loop_signal_start(&there, note_there, one));
    assert_ok(support_raise(one));
    turn();
    assert_int_equal(told[0], 1);
    assert_int_equal(told_there, 0);
    assert_true(loop_run(other, LOOP_RUN_NOWAIT) >= 0);
    assert_int_equal(told_there, 1);
    finish();
    assert_ok(support_raise(one)); /* the other loop lives on */
    assert_true(loop_run(other, LOOP_RUN_NOWAIT) >= 0);
    assert_int_equal(told_there, 2);
    support_finish(other);
}

/* ----------------------------------------------------------------------------------------------- stop, restart, close -- */

static void no_callback_comes_after_a_stop(void **state)
{
    (void)state;
    begin();
    assert_ok(loop_signal_start(&watchers[1], note, one)); /* keeps the disposition */
    assert_ok(loop_signal_start(&watchers[0], note, one));
    assert_ok(support_raise(one));
    assert_ok(loop_signal_stop(&watchers[0]));
    turn();
    assert_int_equal(told[0], 0);
    assert_int_equal(told[1], 1);
    assert_ok(support_raise(one));
    assert_ok(loop_signal_stop(&watchers[1]));
    assert_ok(loop_signal_start(&watchers[1], note, one)); /* starts from nothing */
    turn();
    assert_int_equal(told[1], 1);
    assert_ok(support_raise(one));
    turn();
    assert_int_equal(told[1], 2);
    finish();
}

static void a_restart_for_another_signal_drops_the_old_one_and_hears_the_new_one(void **state)
{
    (void)state;
    begin();
    assert_ok(loop_signal_start(&watchers[0], note, one));
    assert_ok(support_raise(one));
    assert_ok(loop_signal_start(&watchers[0], note, two)); /* its node is still queued */
    turn();
    assert_int_equal(calls, 0);
    assert_ok(loop_signal_start(&watchers[0], note, one));
    assert_ok(support_raise(one));
    assert_ok(loop_signal_stop(&watchers[0]));
    assert_ok(loop_signal_start(&watchers[0], note, two));
    assert_ok(support_raise(two)); /* merged into the queued node, but not lost */
    turn();
    assert_int_equal(calls, 1);
    assert_int_equal(last_signum, two);
    turn();
    assert_int_equal(calls, 1);
    finish();
}

static void note_twice(loop_signal_t *watcher, int signum)
{
    note(watcher, signum);
    note(watcher, signum);
}

static void a_restart_for_the_same_signal_replaces_the_callback_and_loses_nothing(void **state)
{
    (void)state;
    begin();
    assert_ok(loop_signal_start(&watchers[0], note, one));
    assert_ok(support_raise(one));
    assert_ok(loop_signal_start_oneshot(&watchers[0], note_twice, one));
    turn();
    assert_int_equal(calls, 2);
    assert_false(loop_handle_is_active(&watchers[0].handle)); /* that it is a one-shot, too */
    assert_ok(loop_signal_start_oneshot(&watchers[0], note, one));
    assert_ok(loop_signal_start(&watchers[0], note, one));
    assert_ok(support_raise(one));
    turn();
    assert_int_equal(calls, 3);
    assert_true(loop_handle_is_active(&watchers[0].handle));
    finish();
}

static void stop_or_close_the_next(loop_signal_t *watcher, int signum)
{
    int i = index_of(watcher);

    note(watcher, signum);
    if (i + 1 < WATCHERS)
        assert_ok(loop_signal_stop(&watchers[i + 1]));
    if (i + 2 < WATCHERS)
        assert_ok(loop_handle_close(&watchers[i + 2].handle, NULL));
    assert_ok(loop_signal_stop(watcher));
}

static void a_callback_may_stop_and_close_other_watchers_of_the_same_signal(void **state)
{
    (void)state;
    begin();
    for (int i = 0; i < WATCHERS; i++)
        assert_ok(loop_signal_start(&watchers[i], stop_or_close_the_next, one));
    assert_ok(support_raise(one));
    turn();
    turn();
    assert_int_equal(told[0], 1);
    assert_int_equal(told[1], 0);
    assert_int_equal(told[2], 0);
    assert_int_equal(told[3], 1);
    finish();
}

static bool closed;

static void on_closed(loop_handle_t *handle)
{
    memset(handle, 0xff, sizeof(loop_signal_t)); /* the memory is ours again */
    closed = true;
}

static void a_handle_with_a_signal_under_way_is_closed_without_a_callback(void **state)
{
    (void)state;
    begin();
    closed = false;
    assert_ok(loop_signal_start(&watchers[1], note, one));
    assert_ok(loop_signal_start(&watchers[0], note, one));
    assert_ok(support_raise(one));
    assert_ok(loop_handle_close(&watchers[0].handle, on_closed));
    assert_int_equal(loop_handle_close(&watchers[0].handle, NULL), LOOP_EBADF);
    assert_int_equal(loop_close(loop), LOOP_EBUSY);
    assert_ok(support_raise(one));
    turn();
    turn();
    assert_true(closed);
    assert_int_equal(told[0], 0);
    assert_int_equal(told[1], 1);
    assert_ok(support_raise(one)); /* whoever still knows the memory will notice */
    turn();
    assert_int_equal(told[1], 2);
    finish();
}

static void close_itself(loop_signal_t *watcher, int signum)
{
    note(watcher, signum);
    assert_ok(support_raise(signum));
    assert_ok(loop_handle_close(&watcher->handle, on_closed));
}

static void a_callback_may_close_its_own_handle(void **state)
{
    (void)state;
    begin();
    closed = false;
    assert_ok(loop_signal_start(&watchers[0], close_itself, one));
    assert_ok(support_raise(one));
    assert_ok(loop_run(loop, LOOP_RUN_DEFAULT));
    assert_true(closed);
    assert_int_equal(calls, 1);
    finish();
}

LOOP_TEST_MAIN(
    TEST(a_signal_calls_back_inside_a_turn_and_not_in_its_handler), TEST(signals_before_the_callback_are_merged),
    TEST(a_signal_inside_the_callback_is_not_merged_with_the_one_before), TEST(wrong_arguments_change_nothing),
    TEST(the_handle_is_active_and_keeps_the_loop_alive_while_started), TEST(a_one_shot_is_stopped_before_its_callback),
    TEST(a_one_shot_may_be_started_again_in_its_callback), TEST(a_one_shot_leaves_other_watchers_of_the_signal_started),
    TEST(all_watchers_of_a_signal_are_told_in_the_order_of_their_start), TEST(every_loop_is_told),
    TEST(no_callback_comes_after_a_stop), TEST(a_restart_for_another_signal_drops_the_old_one_and_hears_the_new_one),
    TEST(a_restart_for_the_same_signal_replaces_the_callback_and_loses_nothing),
    TEST(a_callback_may_stop_and_close_other_watchers_of_the_same_signal),
    TEST(a_handle_with_a_signal_under_way_is_closed_without_a_callback), TEST(a_callback_may_close_its_own_handle))
