/* Signal handlers that race with a loop, for the thread sanitizer above all. Threads that do: race_test.c. */
#include "support.h"

#include <signal.h>
#include <stdatomic.h>

static pthread_t loop_thread;
static loop_async_t signalled;
static atomic_bool all_sent;
static volatile sig_atomic_t listening;
static loop_t *loop;
static int rounds;
static int total;
static int callbacks;

static void send_from_handler(int number)
{
    (void)number;
    if (listening)
        (void)loop_async_send(&signalled);
}

static void *send_signals(void *arg)
{
    for (int i = 0; i < rounds; i++)
        (void)pthread_kill(loop_thread, SIGUSR1);
    atomic_store(&all_sent, true);
    (void)pthread_kill(loop_thread, SIGUSR1);
    return arg;
}

/* The loop's thread posts to itself all the while, so that the handler interrupts posting, taking and sleeping. */
static void post_myself(loop_task_t *task, int status)
{
    if (status == 0 && !loop_handle_is_closing(&signalled.handle) && ++total % 16 != 0)
        assert_ok(loop_post(loop, task, post_myself));
}

static void on_signal(loop_async_t *a)
{
    static loop_task_t task;

    callbacks++;
    (void)loop_post(loop, &task, post_myself);
    if (atomic_load(&all_sent)) {
        listening = 0;
        assert_ok(loop_handle_close(&a->handle, NULL));
    }
}

static void a_signal_handler_may_send_whatever_it_interrupts(void **state)
{
    struct sigaction action = {.sa_handler = send_from_handler};
    struct sigaction old;
    pthread_t thread;

    (void)state;
    loop = support_loop();
    rounds = harness_slow() ? 10000 : 20000;
    total = 0;
    callbacks = 0;
    loop_thread = pthread_self();
    atomic_store(&all_sent, false);
    assert_ok(loop_async_init(loop, &signalled, on_signal));
    listening = 1;
    assert_ok(sigaction(SIGUSR1, &action, &old));
    assert_ok(pthread_create(&thread, NULL, send_signals, NULL));
    assert_ok(loop_run(loop, LOOP_RUN_DEFAULT)); /* the last signal is heard, or this never returns */
    assert_true(callbacks >= 1);
    assert_ok(pthread_join(thread, NULL));
    assert_ok(sigaction(SIGUSR1, &old, NULL));
    support_finish(loop);
}

LOOP_TEST_MAIN(TEST(a_signal_handler_may_send_whatever_it_interrupts))
