/* Which signals the threads of a pool take. */
#include "support.h"

#include <signal.h>

static sigset_t seen_mask;

static void look_at_mask(loop_work_t *work)
{
    (void)work;
    (void)pthread_sigmask(SIG_BLOCK, NULL, &seen_mask);
}

static void threads_take_no_signal_of_the_process_and_the_mask_of_the_loops_thread_stays(void **state)
{
    static const int blocked[] = {SIGINT, SIGTERM, SIGHUP, SIGCHLD, SIGALRM, SIGUSR1, SIGPIPE, SIGPROF, SIGWINCH};
    static const int open_[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGSYS, SIGTRAP};
    loop_t *loop;
    loop_work_t work = {0};
    sigset_t before;
    sigset_t after;

    (void)state;
    loop = support_loop();
    assert_ok(pthread_sigmask(SIG_BLOCK, NULL, &before));
    assert_ok(loop_work(loop, &work, LOOP_LANE_DEFAULT, look_at_mask, NULL));
    assert_ok(pthread_sigmask(SIG_BLOCK, NULL, &after));
    assert_ok(loop_run(loop, LOOP_RUN_DEFAULT));
    for (size_t i = 0; i < sizeof(blocked) / sizeof(blocked[0]); i++) {
        assert_int_equal(sigismember(&seen_mask, blocked[i]), 1);
        assert_int_equal(sigismember(&after, blocked[i]), sigismember(&before, blocked[i]));
    }
    for (size_t i = 0; i < sizeof(open_) / sizeof(open_[0]); i++)
        assert_int_equal(sigismember(&seen_mask, open_[i]), 0);
    support_finish(loop);
}

LOOP_TEST_MAIN(TEST(threads_take_no_signal_of_the_process_and_the_mask_of_the_loops_thread_stays))
