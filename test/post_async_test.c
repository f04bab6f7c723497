/* Tasks and asyncs: the ways in for other threads. For signal handlers: posix/post_async_test.c. */
#include "internal.h"

#include "support.h"

#include "backend_test.h"

#include <stdatomic.h>

static loop_t *loop;

/* ------------------------------------------------------------------------------------------------------------- tasks -- */

#define THREADS 4
#define PER_THREAD_MAX 5000

struct numbered {
    loop_task_t task;
    int thread;
    int number;
};

static struct numbered *numbered[THREADS];
static int per_thread;
static int next_number[THREADS];
static int ran;
static loop_async_t keep_alive;

static void run_numbered(loop_task_t *task, int status)
{
    struct numbered *n = task->data;

    assert_ok(status);
    assert_int_equal(n->number, next_number[n->thread]);
    next_number[n->thread]++;
    if (++ran == THREADS * per_thread)
        assert_ok(loop_handle_close(&keep_alive.handle, NULL));
}

static void *post_all(void *arg)
{
    struct numbered *mine = arg;

    for (int i = 0; i < per_thread; i++) {
        if (loop_post(loop, &mine[i].task, run_numbered) != 0)
            return arg;
    }
    return NULL;
}

static void ignore_async(loop_async_t *async)
{
    (void)async;
}

static void tasks_of_many_threads_all_run_each_threads_in_order(void **state)
{
    pthread_t threads[THREADS];

    (void)state;
    loop = support_loop();
    per_thread = harness_slow() ? 500 : PER_THREAD_MAX;
    ran = 0;
    assert_ok(loop_async_init(loop, &keep_alive, ignore_async));
    for (int t = 0; t < THREADS; t++) {
        next_number[t] = 0;
        numbered[t] = calloc((size_t)per_thread, sizeof(*numbered[t]));
        assert_non_null(numbered[t]);
        for (int i = 0; i < per_thread; i++) {
            numbered[t][i].task.data = &numbered[t][i];
            numbered[t][i].thread = t;
            numbered[t][i].number = i;
        }
    }
    for (int t = 0; t < THREADS; t++)
        assert_ok(pthread_create(&threads[t], NULL, post_all, numbered[t]));
    assert_ok(loop_run(loop, LOOP_RUN_DEFAULT));
    assert_int_equal(ran, THREADS * per_thread);
    for (int t = 0; t < THREADS; t++) {
        void *failed = NULL;

        assert_ok(pthread_join(threads[t], &failed));
        assert_null(failed);
        free(numbered[t]);
    }
    support_finish(loop);
}

static loop_task_t again;
static int times;

static void post_again(loop_task_t *task, int status)
{
    assert_ok(status);
    if (++times < 5)
        assert_ok(loop_post(loop, task, post_again)); /* its own again, once it has begun */
}

static void a_task_may_post_itself_and_runs_once_per_turn(void **state)
{
    (void)state;
    loop = support_loop();
    times = 0;
    memset(&again, 0, sizeof(again));
    assert_ok(loop_post(loop, &again, post_again));
    assert_int_equal(loop_run(loop, LOOP_RUN_NOWAIT), 1);
    assert_int_equal(times, 1);
    assert_ok(loop_run(loop, LOOP_RUN_DEFAULT));
    assert_int_equal(times, 5);
    support_finish(loop);
}

/* A second thread that posts only when the main thread is inside loop_close(): the queued task lets it go. */
static atomic_int may_post;
static atomic_int post_result;

static void *post_late(void *arg)
{
    static loop_task_t late;

    while (!atomic_load(&may_post))
        support_yield();
    atomic_store(&post_result, loop_post(arg, &late, run_numbered));
    return NULL;
}

static void wait_for_late_post(loop_task_t *task, int status)
{
    (void)task;
    assert_int_equal(status, LOOP_ECANCELED);
    atomic_store(&may_post, 1);
    while (atomic_load(&post_result) == 1)
        support_yield();
}

static void another_thread_is_told_that_the_loop_closes(void **state)
{
    pthread_t thread;
    loop_task_t task = {0};

    (void)state;
    loop = support_loop();
    atomic_store(&may_post, 0);
    atomic_store(&post_result, 1);
    assert_ok(loop_post(loop, &task, wait_for_late_post));
    assert_ok(pthread_create(&thread, NULL, post_late, loop));
    assert_ok(loop_close(loop));
    assert_int_equal(atomic_load(&post_result), LOOP_ECLOSED);
    assert_ok(pthread_join(thread, NULL));
}

/* ------------------------------------------------------------------------------------------------------------ asyncs -- */

static loop_async_t async;
static int signalled;

static void on_signalled(loop_async_t *a)
{
    (void)a;
    signalled++;
}

static void sends_before_the_callback_are_merged(void **state)
{
    (void)state;
    loop = support_loop();
    signalled = 0;
    assert_int_equal(loop_async_init(loop, &async, NULL), LOOP_EINVAL);
    assert_ok(loop_async_init(loop, &async, on_signalled));
    assert_true(loop_handle_is_active(&async.handle));
    for (int i = 0; i < 10; i++)
        assert_ok(loop_async_send(&async));
    assert_int_equal(signalled, 0);
    (void)loop_run(loop, LOOP_RUN_ONCE);
    assert_int_equal(signalled, 1);
    (void)loop_run(loop, LOOP_RUN_NOWAIT);
    assert_int_equal(signalled, 1);
    assert_int_equal(loop_async_send(NULL), LOOP_EINVAL);
    support_finish(loop);
}

static void on_async_closed(loop_handle_t *handle)
{
    (void)handle;
    signalled += 100;
}

static void a_queued_async_may_be_closed_and_calls_back_no_more(void **state)
{
    (void)state;
    loop = support_loop();
    signalled = 0;
    assert_ok(loop_async_init(loop, &async, on_signalled));
    assert_ok(loop_async_send(&async));
    assert_ok(loop_handle_close(&async.handle, on_async_closed));
    assert_int_equal(loop_async_send(&async), LOOP_EBADF);
    assert_ok(loop_run(loop, LOOP_RUN_DEFAULT));
    assert_int_equal(signalled, 100);
    assert_int_equal(loop_async_send(&async), LOOP_EBADF);
    assert_ok(loop_close(loop));
}

/* As by a thread that stopped between marking the handle as queued and queueing it. */
static void an_async_closed_in_the_middle_of_a_send_keeps_the_loop_alive(void **state)
{
    struct async *sent = (struct async *)&async;

    (void)state;
    loop = support_loop();
    signalled = 0;
    assert_ok(loop_async_init(loop, &async, on_signalled));
    atomic_fetch_or(&sent->state, ASYNC_QUEUED);
    assert_ok(loop_handle_close(&async.handle, on_async_closed));
    assert_true(loop_alive(loop));
    assert_int_equal(loop_run(loop, LOOP_RUN_NOWAIT), 1);
    assert_int_equal(signalled, 0);
    assert_int_equal(loop_close(loop), LOOP_EBUSY);
    assert_ok(loop__post(loop, &sent->node)); /* the thread goes on */
    assert_ok(loop_run(loop, LOOP_RUN_DEFAULT));
    assert_int_equal(signalled, 100);
    assert_ok(loop_close(loop));
}

static int shared; /* not atomic: the handle orders the accesses */
static int seen;
static atomic_int sender_done;

static void look(loop_async_t *a)
{
    (void)a;
    seen = shared;
    if (atomic_load(&sender_done))
        assert_ok(loop_handle_close(&async.handle, NULL));
}

static void *send_many(void *arg)
{
    int rounds = harness_slow() ? 1000 : 20000;

    (void)arg;
    for (int i = 0; i < rounds; i++)
        (void)loop_async_send(&async);
    shared = 42;
    atomic_store(&sender_done, 1);
    (void)loop_async_send(&async);
    return NULL;
}

static void a_callback_follows_the_last_send_and_sees_what_was_written(void **state)
{
    pthread_t thread;

    (void)state;
    loop = support_loop();
    shared = 0;
    seen = 0;
    atomic_store(&sender_done, 0);
    assert_ok(loop_async_init(loop, &async, look));
    shared = 1;
    assert_ok(pthread_create(&thread, NULL, send_many, NULL));
    assert_ok(pthread_join(thread, NULL));
    assert_ok(loop_run(loop, LOOP_RUN_DEFAULT));
    assert_int_equal(seen, 42);
    support_finish(loop);
}

/* A ping-pong between two loops: every message must wake a loop that sleeps, or is about to. */
static loop_t *loops[2];
static loop_async_t pings[2];
static int rallies;

static void pong(loop_async_t *a)
{
    int me = a == &pings[1];

    if (rallies-- > 0) {
        assert_ok(loop_async_send(&pings[1 - me]));
        return;
    }
    assert_ok(loop_handle_close(&a->handle, NULL));
    if (rallies == -1)
        assert_ok(loop_async_send(&pings[1 - me]));
}

static void *run_second(void *arg)
{
    return loop_run(arg, LOOP_RUN_DEFAULT) == 0 ? NULL : arg;
}

static void no_wake_up_is_lost_between_two_loops(void **state)
{
    pthread_t thread;
    void *failed = NULL;

    (void)state;
    rallies = harness_slow() ? 500 : 10000;
    for (int i = 0; i < 2; i++) {
        loops[i] = support_loop();
        assert_ok(loop_async_init(loops[i], &pings[i], pong));
    }
    assert_ok(pthread_create(&thread, NULL, run_second, loops[1]));
    assert_ok(loop_async_send(&pings[0]));
    assert_ok(loop_run(loops[0], LOOP_RUN_DEFAULT));
    assert_ok(pthread_join(thread, &failed));
    assert_null(failed);
    for (int i = 0; i < 2; i++)
        assert_ok(loop_close(loops[i]));
}

/* --------------------------------------------------------------------------------------------------------- wake-ups -- */

static int wake_ups;

static void count_wake_up(void)
{
    wake_ups++;
}

static void post_ten(loop_async_t *a)
{
    static loop_task_t tasks[10];

    (void)a;
    times = -100; /* so that post_again does not come to its end */
    for (int i = 0; i < 10; i++)
        assert_ok(loop_post(loop, &tasks[i], post_again));
}

static void one_wake_up_per_sleep_and_none_while_awake(void **state)
{
    loop_task_t tasks[10];

    (void)state;
    loop = support_loop();
    memset(tasks, 0, sizeof(tasks));
    backend_hook_wake(count_wake_up);
    wake_ups = 0;
    times = 100; /* post_again does not post again */
    for (int i = 0; i < 10; i++)
        assert_ok(loop_post(loop, &tasks[i], post_again));
    assert_int_equal(wake_ups, 1);
    assert_ok(loop_run(loop, LOOP_RUN_DEFAULT));
    assert_int_equal(times, 110);

    assert_ok(loop_async_init(loop, &async, post_ten));
    assert_ok(loop_async_send(&async));
    assert_int_equal(wake_ups, 2);
    (void)loop_run(loop, LOOP_RUN_ONCE);
    assert_int_equal(wake_ups, 2);
    times = 100;
    (void)loop_run(loop, LOOP_RUN_NOWAIT);
    assert_int_equal(times, 110);
    backend_hook_wake(NULL);
    support_finish(loop);
}

LOOP_TEST_MAIN(TEST(tasks_of_many_threads_all_run_each_threads_in_order),
               TEST(a_task_may_post_itself_and_runs_once_per_turn), TEST(another_thread_is_told_that_the_loop_closes),
               TEST(sends_before_the_callback_are_merged), TEST(a_queued_async_may_be_closed_and_calls_back_no_more),
               TEST(an_async_closed_in_the_middle_of_a_send_keeps_the_loop_alive),
               TEST(a_callback_follows_the_last_send_and_sees_what_was_written),
               TEST(no_wake_up_is_lost_between_two_loops), TEST(one_wake_up_per_sleep_and_none_while_awake))
