/* Signal handles and what only POSIX systems have of signals: threads that take them, masks, real-time signals. */
#include "support_posix.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <unistd.h>

#define WATCHERS 2

static loop_t *loop;
static loop_signal_t watchers[WATCHERS];
static int told[WATCHERS]; /* callbacks of each */
static int calls;

static void note(loop_signal_t *watcher, int signum)
{
    (void)signum;
    told[watcher - watchers]++;
    calls++;
}

static void begin(void)
{
    loop = support_loop();
    memset(told, 0, sizeof(told));
    calls = 0;
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

static void signals_that_belong_to_the_system_are_refused(void **state)
{
    static const int wrong[] = {SIGKILL, SIGSTOP, SIGBUS, 32, NSIG};

    (void)state;
    begin();
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        assert_int_equal(loop_signal_start(&watchers[0], note, wrong[i]), LOOP_EINVAL);
        assert_int_equal(loop_signal_start_oneshot(&watchers[1], note, wrong[i]), LOOP_EINVAL);
    }
    finish();
}

static void a_realtime_signal_is_a_signal(void **state)
{
    int first = support_realtime_signal(0);
    int second = support_realtime_signal(1);

    (void)state;
    if (first < 0)
        skip();
    begin();
    assert_ok(loop_signal_start(&watchers[0], note, first));
    assert_ok(loop_signal_start(&watchers[1], note, second));
    assert_ok(raise(second));
    turn();
    assert_int_equal(told[0], 0);
    assert_int_equal(told[1], 1);
    finish();
}

static void a_handler_leaves_errno_and_the_mask_alone(void **state)
{
    sigset_t before;
    sigset_t after;

    (void)state;
    begin();
    assert_ok(pthread_sigmask(SIG_SETMASK, NULL, &before));
    assert_ok(loop_signal_start(&watchers[0], note, SIGUSR1));
    errno = ENOTTY;
    assert_ok(raise(SIGUSR1));
    assert_int_equal(errno, ENOTTY);
    assert_ok(loop_signal_start(&watchers[0], note, SIGUSR2));
    assert_ok(loop_signal_stop(&watchers[0]));
    assert_ok(pthread_sigmask(SIG_SETMASK, NULL, &after));
    for (int signum = 1; signum < NSIG; signum++)
        assert_int_equal(sigismember(&after, signum), sigismember(&before, signum));
    finish();
}

#define THREADS 3

static struct thread_loop {
    pthread_t thread;
    loop_t *loop;
    loop_signal_t usr1;
    loop_signal_t usr2;
    int usr1_calls;
    bool wrong_thread;
} threads[THREADS];
static atomic_int ready;
static atomic_int heard;

static void on_usr1(loop_signal_t *watcher, int signum)
{
    struct thread_loop *mine = watcher->handle.data;

    (void)signum;
    mine->wrong_thread |= !pthread_equal(pthread_self(), mine->thread);
    mine->usr1_calls++;
    atomic_fetch_add(&heard, 1);
}

static void on_usr2(loop_signal_t *watcher, int signum)
{
    struct thread_loop *mine = watcher->handle.data;

    on_usr1(watcher, signum);
    (void)loop_handle_close(&mine->usr1.handle, NULL);
    (void)loop_handle_close(&mine->usr2.handle, NULL);
}

static void *run_thread(void *arg)
{
    struct thread_loop *mine = arg;
    bool ok = loop_init(&mine->loop, NULL) == 0 && loop_signal_init(mine->loop, &mine->usr1) == 0 &&
              loop_signal_init(mine->loop, &mine->usr2) == 0;

    mine->thread = pthread_self();
    mine->usr1.handle.data = mine;
    mine->usr2.handle.data = mine;
    ok = ok && loop_signal_start(&mine->usr1, on_usr1, SIGUSR1) == 0 &&
         loop_signal_start(&mine->usr2, on_usr2, SIGUSR2) == 0;
    atomic_fetch_add(&ready, 1);
    ok = ok && loop_run(mine->loop, LOOP_RUN_DEFAULT) == 0 && loop_close(mine->loop) == 0;
    return ok ? NULL : arg;
}

static void await(atomic_int *counter, int value)
{
    /* A call that the thread sanitizer knows: it runs handlers in those only. */
    while (atomic_load(counter) < value)
        (void)poll(NULL, 0, 1);
}

static void loops_in_many_threads_are_told_on_their_own_threads(void **state)
{
    int rounds = harness_slow() ? 20 : 300;

    (void)state;
    memset(threads, 0, sizeof(threads));
    atomic_store(&ready, 0);
    atomic_store(&heard, 0);
    for (int i = 0; i < THREADS; i++)
        assert_ok(pthread_create(&threads[i].thread, NULL, run_thread, &threads[i]));
    await(&ready, THREADS);
    /* By turns to the process, to this thread, and to one of those that run loops: who gets it does not matter. */
    for (int round = 0; round < rounds; round++) {
        if (round % 3 == 0)
            assert_ok(kill(getpid(), SIGUSR1));
        else if (round % 3 == 1)
            assert_ok(raise(SIGUSR1));
        else
            assert_ok(pthread_kill(threads[round % THREADS].thread, SIGUSR1));
        await(&heard, THREADS * (round + 1));
    }
    assert_ok(kill(getpid(), SIGUSR2));
    for (int i = 0; i < THREADS; i++) {
        void *failed = NULL;

        assert_ok(pthread_join(threads[i].thread, &failed));
        assert_null(failed);
        assert_int_equal(threads[i].usr1_calls, rounds + 1);
        assert_false(threads[i].wrong_thread);
    }
}

static atomic_int waiting_done;

static void *signal_again_and_again(void *arg)
{
    pthread_t target = *(pthread_t *)arg;

    /* The first may come before the wait; one of the next ends it, or the handle has been told already. */
    while (!atomic_load(&waiting_done)) {
        (void)pthread_kill(target, SIGUSR1);
        sched_yield();
    }
    return NULL;
}

static void stop_when_told(loop_signal_t *watcher, int signum)
{
    note(watcher, signum);
    if (calls == 50)
        atomic_store(&waiting_done, 1);
    if (calls >= 50)
        loop_stop(loop);
}

static void a_signal_ends_the_wait(void **state)
{
    pthread_t self = pthread_self();
    pthread_t thread;

    (void)state;
    begin();
    atomic_store(&waiting_done, 0);
    assert_ok(loop_signal_start(&watchers[0], stop_when_told, SIGUSR1));
    assert_ok(pthread_create(&thread, NULL, signal_again_and_again, &self));
    assert_int_equal(loop_run(loop, LOOP_RUN_DEFAULT), 1);
    assert_true(calls >= 50);
    assert_ok(pthread_join(thread, NULL));
    finish();
}

LOOP_TEST_MAIN(TEST(signals_that_belong_to_the_system_are_refused), TEST(a_realtime_signal_is_a_signal),
               TEST(a_handler_leaves_errno_and_the_mask_alone),
               TEST(loops_in_many_threads_are_told_on_their_own_threads), TEST(a_signal_ends_the_wait))
