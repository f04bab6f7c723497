/* Signal handles when the system refuses to install a handler, to put one back, or to block signals. */
#include "fault_calls.h"

#include <errno.h>
#include <signal.h>

static loop_t *loop;
static loop_signal_t watcher;
static int told;
static int last_signum;

static void note(loop_signal_t *handle, int signum)
{
    (void)handle;
    told++;
    last_signum = signum;
}

static void begin(void)
{
    backend_be_calm();
    loop = support_loop();
    assert_ok(loop_signal_init(loop, &watcher));
    told = 0;
    assert_true(signal(SIGUSR1, SIG_IGN) != SIG_ERR);
    fault_begin();
}

static void finish(void)
{
    struct sigaction now;

    fault_end();
    support_finish(loop);
    assert_ok(sigaction(SIGUSR1, NULL, &now));
    assert_true(now.sa_handler == SIG_IGN);
    assert_true(signal(SIGUSR1, SIG_DFL) != SIG_ERR);
}

static void assert_told_of(int signum)
{
    int before = told;

    assert_ok(raise(signum));
    (void)loop_run(loop, LOOP_RUN_NOWAIT);
    assert_int_equal(told, before + 1);
    assert_int_equal(last_signum, signum);
}

static void a_start_that_fails_leaves_the_handle_as_it_was(void **state)
{
    static const struct {
        enum fault_row row;
        long n;
    } faults[] = {{FAULT_pthread_sigmask, 1}, {FAULT_sigaction, 1}, {FAULT_sigaction, 2}};

    (void)state;
    for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
        begin();
        fault_arm(faults[i].row, faults[i].n, EINVAL, 1);
        assert_int_equal(loop_signal_start(&watcher, note, SIGUSR1), LOOP_EINVAL);
        assert_false(loop_handle_is_active(&watcher.handle));
        fault_disarm();
        assert_ok(raise(SIGUSR1));
        (void)loop_run(loop, LOOP_RUN_NOWAIT);
        assert_int_equal(told, 0);

        assert_ok(loop_signal_start(&watcher, note, SIGUSR2));
        fault_arm(faults[i].row, faults[i].n, EINVAL, 1);
        assert_int_equal(loop_signal_start(&watcher, note, SIGUSR1), LOOP_EINVAL);
        fault_disarm();
        assert_told_of(SIGUSR2);
        assert_ok(loop_signal_start(&watcher, note, SIGUSR1));
        assert_told_of(SIGUSR1);
        finish();
    }
}

static void a_stop_stops_whatever_fails(void **state)
{
    static const struct {
        enum fault_row row;
        long n;
    } faults[] = {{FAULT_pthread_sigmask, 1}, {FAULT_sigaction, 1}, {FAULT_sigaction, 2}};

    (void)state;
    for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
        begin();
        assert_ok(loop_signal_start(&watcher, note, SIGUSR1));
        assert_ok(raise(SIGUSR1));
        fault_arm(faults[i].row, faults[i].n, EINVAL, 1);
        assert_ok(loop_signal_stop(&watcher));
        fault_disarm();
        assert_false(loop_handle_is_active(&watcher.handle));
        (void)loop_run(loop, LOOP_RUN_NOWAIT);
        assert_int_equal(told, 0);
        assert_ok(loop_signal_start(&watcher, note, SIGUSR1));
        assert_told_of(SIGUSR1);
        finish();
    }
}

static void a_handler_that_could_not_be_taken_out_goes_with_the_next_signal(void **state)
{
    struct sigaction now;

    (void)state;
    begin();
    for (int i = 0; i < 2; i++) {
        assert_ok(loop_signal_start(&watcher, note, SIGUSR1));
        fault_arm(FAULT_sigaction, 2, EINVAL, 1);
        assert_ok(loop_signal_stop(&watcher));
        fault_arm(FAULT_raise, 1, EAGAIN, 1);
        assert_ok(raise(SIGUSR1));
        assert_int_equal(fault_count(FAULT_raise),
                         0); /* ignored before, so there is no default action to repeat it for */
        assert_ok(sigaction(SIGUSR1, NULL, &now));
        assert_true(now.sa_handler == SIG_IGN);
    }
    /* Of a signal with a default action; that the repetition fails keeps this process alive. */
    assert_ok(loop_signal_start(&watcher, note, SIGUSR2));
    fault_arm(FAULT_sigaction, 2, EINVAL, 1);
    assert_ok(loop_signal_stop(&watcher));
    fault_arm(FAULT_raise, 1, EAGAIN, 1);
    errno = 0;
    assert_ok(raise(SIGUSR2));
    assert_int_equal(errno, 0);
    assert_int_equal(fault_count(FAULT_raise), 1);
    assert_ok(sigaction(SIGUSR2, NULL, &now));
    assert_true(now.sa_handler == SIG_DFL);
    finish();
}

static void watching_a_signal_costs_a_few_calls_and_a_callback_only_the_wake_up(void **state)
{
    (void)state;
    begin();
    assert_ok(loop_signal_start(&watcher, note, SIGUSR1));
    assert_int_equal(fault_count_all(), 5); /* the mask, twice; the action looked at and set; whose process it is */
    fault_arm(FAULT_BACKEND_WAKE, 0, 0, 0);
    assert_told_of(SIGUSR1);
    assert_int_equal(fault_count(FAULT_BACKEND_WAKE), 1);
    assert_int_equal(fault_count(FAULT_BACKEND_WAIT), 1);
    assert_int_equal(fault_count_all(), CALLS_OF_WAKE_UP + 1);
    finish();
}

LOOP_TEST_MAIN(TEST(a_start_that_fails_leaves_the_handle_as_it_was), TEST(a_stop_stops_whatever_fails),
               TEST(a_handler_that_could_not_be_taken_out_goes_with_the_next_signal),
               TEST(watching_a_signal_costs_a_few_calls_and_a_callback_only_the_wake_up))
