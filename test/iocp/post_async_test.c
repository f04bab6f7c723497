/* Wake-ups on Windows: a close that waits, seen through the seam, and one that the port did not take. */
#include "iocp.h"

#include "backend_test.h"
#include "support.h"

static loop_t *loop;

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

static BOOL note_yield(void)
{
    (void)pthread_mutex_lock(&slow.lock);
    slow.yields++;
    (void)pthread_cond_broadcast(&slow.changed);
    (void)pthread_mutex_unlock(&slow.lock);
    return FALSE;
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
    loop__sys.SwitchToThread = note_yield;
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

/* ----------------------------------------------------------------------------------------- packets that are not taken -- */

static struct loop_sys real;
static int refusals; /* to come; negative: all are refused */
static int pauses;

static BOOL refuse_wake_up(HANDLE port, DWORD bytes, ULONG_PTR key, OVERLAPPED *overlapped)
{
    if (key != PACKET_WAKE || refusals == 0)
        return real.PostQueuedCompletionStatus(port, bytes, key, overlapped);
    refusals -= refusals > 0;
    SetLastError(ERROR_NO_SYSTEM_RESOURCES);
    return FALSE;
}

static DWORD count_pause(DWORD ms, BOOL alertable)
{
    (void)ms;
    (void)alertable;
    pauses++;
    return 0;
}

static void begin_refusing(int times)
{
    loop = support_loop();
    real = loop__sys;
    loop__sys.PostQueuedCompletionStatus = refuse_wake_up;
    loop__sys.SleepEx = count_pause;
    refusals = times;
    pauses = 0;
}

static void finish_refusing(void)
{
    support_finish(loop);
    loop__sys = real;
}

static void a_wake_up_that_the_port_refuses_is_tried_again(void **state)
{
    (void)state;
    begin_refusing(3);
    loop->backend->wake(loop);
    assert_int_equal(refusals, 0);
    assert_int_equal(pauses, 3);
    assert_int_equal(loop->backend->poll(loop, -1), 1);
    assert_int_equal(loop->backend->poll(loop, 0), 0);
    finish_refusing();
}

static int ran;

static void note_run(loop_task_t *task, int status)
{
    (void)task;
    ran += status == 0;
}

/* After many tries it is left to the next wait, which does not wait; and the one after that is not thought to be on its way. */
static void a_wake_up_that_cannot_be_posted_at_all_is_remembered(void **state)
{
    loop_task_t tasks[2] = {{0}, {0}};

    (void)state;
    ran = 0;
    begin_refusing(-1);
    loop->backend->wake(loop);
    assert_true(pauses > 100);
    assert_int_equal(loop->backend->poll(loop, -1), 1);
    assert_int_equal(loop->backend->poll(loop, 0), 0);
    assert_ok(loop_post(loop, &tasks[0], note_run));
    assert_true(loop_run(loop, LOOP_RUN_ONCE) >= 0);
    assert_int_equal(ran, 1);
    refusals = 0;
    assert_ok(loop_post(loop, &tasks[1], note_run));
    assert_int_equal(loop->backend->poll(loop, -1), 1);
    assert_true(loop_run(loop, LOOP_RUN_ONCE) >= 0);
    assert_int_equal(ran, 2);
    finish_refusing();
}

LOOP_TEST_MAIN(TEST(closing_waits_for_posts_that_are_under_way), TEST(a_wake_up_that_the_port_refuses_is_tried_again),
               TEST(a_wake_up_that_cannot_be_posted_at_all_is_remembered))
