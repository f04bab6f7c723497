/* Asyncs in signal handlers; and a close that waits, seen through the seam. */
#include "backend_test.h"
#include "support.h"

#include "posix/sys.h"

#include <pthread.h>
#include <signal.h>

static loop_t *loop;
static loop_async_t async;
static int signalled;

static void on_signalled(loop_async_t *a)
{
    (void)a;
    signalled++;
}

static void on_user_signal(int number)
{
    (void)number;
    (void)loop_async_send(&async);
}

static void an_async_may_be_sent_from_a_signal_handler(void **state)
{
    struct sigaction action = {.sa_handler = on_user_signal};
    struct sigaction old;

    (void)state;
    loop = support_loop();
    signalled = 0;
    assert_ok(loop_async_init(loop, &async, on_signalled));
    assert_ok(sigaction(SIGUSR1, &action, &old));
    for (int i = 0; i < 3; i++) {
        assert_ok(raise(SIGUSR1));
        (void)loop_run(loop, LOOP_RUN_ONCE);
    }
    assert_int_equal(signalled, 3);
    assert_ok(sigaction(SIGUSR1, &old, NULL));
    support_finish(loop);
}

/* A thread is still inside of loop_post(), in its wake-up, when the loop is closed. */
static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int in_wake_up;
    int yields;
} slow = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0, 0};

static void be_slow(void)
{
    (void)pthread_mutex_lock(&slow.lock);
    slow.in_wake_up = 1;
    (void)pthread_cond_broadcast(&slow.changed);
    while (slow.yields == 0)
        (void)pthread_cond_wait(&slow.changed, &slow.lock);
    (void)pthread_mutex_unlock(&slow.lock);
}

static int note_yield(void)
{
    (void)pthread_mutex_lock(&slow.lock);
    slow.yields++;
    (void)pthread_cond_broadcast(&slow.changed);
    (void)pthread_mutex_unlock(&slow.lock);
    return 0;
}

static int slow_status = 1;

static void note_slow_status(loop_task_t *task, int status)
{
    (void)task;
    slow_status = status;
}

static void *post_slowly(void *arg)
{
    static loop_task_t task;

    (void)loop_post(arg, &task, note_slow_status);
    return NULL;
}

static void closing_waits_for_posts_that_are_under_way(void **state)
{
    struct loop_sys saved = loop__sys;
    pthread_t thread;

    (void)state;
    loop = support_loop();
    backend_hook_wake(be_slow);
    loop__sys.sched_yield = note_yield;
    assert_ok(pthread_create(&thread, NULL, post_slowly, loop));
    (void)pthread_mutex_lock(&slow.lock);
    while (!slow.in_wake_up)
        (void)pthread_cond_wait(&slow.changed, &slow.lock);
    (void)pthread_mutex_unlock(&slow.lock);
    assert_ok(loop_close(loop));
    assert_true(slow.yields > 0);
    assert_int_equal(slow_status, LOOP_ECANCELED);
    assert_ok(pthread_join(thread, NULL));
    loop__sys = saved;
}

LOOP_TEST_MAIN(TEST(an_async_may_be_sent_from_a_signal_handler), TEST(closing_waits_for_posts_that_are_under_way))
