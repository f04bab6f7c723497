/*
 * Threads that race with a loop: many rounds, for the thread sanitizer above all. Who wins differs, what comes of it does not.
 * posix/interleave_test.c has the same races step by step, posix/race_test.c has signal handlers.
 */
#include "support.h"

#include <stdatomic.h>

#define POSTERS 3

static loop_t *loop;

/* Rounds: the main thread opens one after the other, the others wait for each. */
static atomic_int opened;
static atomic_int ended; /* threads that are through with the round */

static int rounds_of(int usual)
{
    return harness_slow() ? usual / 2 : usual;
}

static void open_round(int number)
{
    atomic_store(&ended, 0);
    atomic_store(&opened, number);
}

static void wait_for_round(int number)
{
    while (atomic_load(&opened) < number)
        support_yield();
}

static void end_round(void)
{
    atomic_fetch_add(&ended, 1);
}

static void wait_for_all(void)
{
    while (atomic_load(&ended) < POSTERS)
        support_yield();
}

/* So that the threads meet at another point in every round. */
static void linger(int number)
{
    for (volatile int i = number % 97 * 16; i > 0; i--)
        continue;
}

static void start(pthread_t *threads, void *(*body)(void *))
{
    static const int numbers[POSTERS] = {0, 1, 2};

    atomic_store(&opened, 0);
    for (int i = 0; i < POSTERS; i++)
        assert_ok(pthread_create(&threads[i], NULL, body, (void *)(uintptr_t)&numbers[i]));
}

static void join(const pthread_t *threads)
{
    for (int i = 0; i < POSTERS; i++)
        assert_ok(pthread_join(threads[i], NULL));
}

/* ------------------------------------------------------------------------------------------------------------ tasks -- */

/* The task of one thread in one round; its memory goes in its callback, while the thread may still be in loop_post(). */
struct job {
    loop_task_t task;
    int thread;
};

static int rounds;
static int results[POSTERS]; /* of the thread's last loop_post() */
static int statuses[POSTERS];
static int ran[POSTERS];
static atomic_int total;

static void run_job(loop_task_t *task, int status)
{
    struct job *job = (struct job *)task;

    statuses[job->thread] = status;
    ran[job->thread]++;
    total++;
    free(job);
}

static void post_job(int thread)
{
    struct job *job = calloc(1, sizeof(*job));

    if (job == NULL)
        abort();
    job->thread = thread;
    results[thread] = loop_post(loop, &job->task, run_job);
    if (results[thread] != 0)
        free(job);
}

static void *post_in_every_round(void *arg)
{
    int me = *(const int *)arg;

    for (int i = 1; i <= rounds; i++) {
        wait_for_round(i);
        linger(i * (me + 1));
        post_job(me);
        end_round();
    }
    return NULL;
}

static void run_until_total(int n)
{
    while (total < n) {
        loop_op_t *op;

        assert_int_equal(loop_wait(loop, &op, 1, LOOP_FOREVER), 0);
    }
    assert_int_equal(total, n);
}

static void every_post_wakes_a_loop_that_is_about_to_sleep(void **state)
{
    pthread_t threads[POSTERS];

    (void)state;
    loop = support_loop();
    rounds = rounds_of(10000);
    total = 0;
    start(threads, post_in_every_round);
    for (int i = 1; i <= rounds; i++) {
        open_round(i);
        linger(i);
        run_until_total(i * POSTERS);
        wait_for_all();
    }
    join(threads);
    support_finish(loop);
}

static void a_loop_may_be_closed_as_soon_as_the_last_task_runs(void **state)
{
    pthread_t threads[POSTERS];

    (void)state;
    rounds = rounds_of(2000);
    start(threads, post_in_every_round);
    for (int i = 1; i <= rounds; i++) {
        loop = support_loop();
        total = 0;
        open_round(i);
        run_until_total(POSTERS);
        assert_ok(loop_close(loop)); /* whoever posted may still be on the way out */
        wait_for_all();
    }
    join(threads);
}

/* loop_close() must not return while a thread is about to begin a call; so the first task waits for them. */
static void hold_the_close(loop_task_t *task, int status)
{
    (void)task;
    assert_int_equal(status, LOOP_ECANCELED);
    wait_for_all();
}

static void a_post_that_races_with_closing_is_cancelled_or_refused(void **state)
{
    pthread_t threads[POSTERS];
    loop_task_t first = {0};

    (void)state;
    rounds = rounds_of(2000);
    start(threads, post_in_every_round);
    for (int i = 1; i <= rounds; i++) {
        loop = support_loop();
        memset(ran, 0, sizeof(ran));
        assert_ok(loop_post(loop, &first, hold_the_close));
        open_round(i);
        linger(i * 7);
        assert_ok(loop_close(loop));
        for (int t = 0; t < POSTERS; t++) {
            if (results[t] == 0) {
                assert_int_equal(ran[t], 1);
                assert_int_equal(statuses[t], LOOP_ECANCELED);
            } else {
                assert_int_equal(results[t], LOOP_ECLOSED);
                assert_int_equal(ran[t], 0);
            }
        }
    }
    join(threads);
}

/* -------------------------------------------------------------------------------------------------------- hand-over -- */

static pthread_mutex_t one_at_a_time = PTHREAD_MUTEX_INITIALIZER;
static int turns[POSTERS];

static void *take_turns(void *arg)
{
    int me = *(const int *)arg;
    bool more = true;

    while (more) {
        loop_op_t *op;

        (void)pthread_mutex_lock(&one_at_a_time);
        more = total < rounds;
        if (more && loop_wait(loop, &op, 1, LOOP_FOREVER) == 0)
            turns[me]++;
        (void)pthread_mutex_unlock(&one_at_a_time);
    }
    return NULL;
}

static void a_loop_that_goes_from_thread_to_thread_misses_no_post(void **state)
{
    loop_options_t options = LOOP_OPTIONS_INIT;
    pthread_t threads[POSTERS];

    (void)state;
    options.flags = LOOP_HANDOVER;
    assert_ok(loop_init(&loop, &options));
    rounds = rounds_of(10000);
    total = 0;
    memset(turns, 0, sizeof(turns));
    start(threads, take_turns);
    for (int i = 0; i < rounds; i++) {
        linger(i);
        post_job(i % POSTERS);
        while (i % 4 == 0 && total <= i)
            support_yield();
    }
    join(threads);
    assert_int_equal(total, rounds);
    assert_true(turns[0] + turns[1] + turns[2] > 0);
    assert_ok(loop_close(loop));
}

/* ----------------------------------------------------------------------------------------------------------- asyncs -- */

static loop_async_t *async;
static int callbacks;
static int closed;

static void *send_until_refused(void *arg)
{
    int me = *(const int *)arg;

    for (int i = 1; i <= rounds; i++) {
        wait_for_round(i);
        linger(i * (me + 1));
        do
            results[me] = loop_async_send(async);
        while (results[me] == 0);
        end_round();
    }
    return NULL;
}

static void on_closed(loop_handle_t *handle)
{
    closed++;
    free(handle);
}

/* Nobody may send after the close callback; so all have been refused before the turn goes on. A node may be queued. */
static void close_under_fire(loop_async_t *a)
{
    assert_int_equal(++callbacks, 1);
    assert_ok(loop_handle_close(&a->handle, on_closed));
    wait_for_all();
}

static void an_async_may_be_closed_while_threads_send_it(void **state)
{
    pthread_t threads[POSTERS];

    (void)state;
    loop = support_loop();
    rounds = rounds_of(2000);
    closed = 0;
    start(threads, send_until_refused);
    for (int i = 1; i <= rounds; i++) {
        async = calloc(1, sizeof(*async));
        assert_non_null(async);
        callbacks = 0;
        assert_ok(loop_async_init(loop, async, close_under_fire));
        open_round(i);
        assert_ok(loop_run(loop, LOOP_RUN_DEFAULT));
        assert_int_equal(callbacks, 1);
        assert_int_equal(closed, i);
        for (int t = 0; t < POSTERS; t++)
            assert_int_equal(results[t], LOOP_EBADF);
    }
    join(threads);
    support_finish(loop);
}

LOOP_TEST_MAIN(TEST(every_post_wakes_a_loop_that_is_about_to_sleep),
               TEST(a_loop_may_be_closed_as_soon_as_the_last_task_runs),
               TEST(a_post_that_races_with_closing_is_cancelled_or_refused),
               TEST(a_loop_that_goes_from_thread_to_thread_misses_no_post),
               TEST(an_async_may_be_closed_while_threads_send_it))
