/* Storms of signals: nothing is lost that must not be, nothing grows, nothing hangs. */
#include "support.h"

#include "platform.h"
#include "backend_test.h"
#include "posix/sys.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <unistd.h>

static loop_t *loop;
static loop_signal_t watcher;
static long told;

static void note(loop_signal_t *handle, int signum)
{
    (void)handle;
    assert_int_equal(signum, SIGUSR1);
    told++;
}

static long storm_size(void)
{
    return harness_slow() ? 2000 : 100000;
}

/* What the signal meets while nobody watches; called through ours meanwhile. */
static atomic_long host_calls;

static void host(int signum)
{
    (void)signum;
    atomic_fetch_add(&host_calls, 1);
}

static void install_host(void)
{
    struct sigaction action = {.sa_handler = host, .sa_flags = SA_RESTART};

    atomic_store(&host_calls, 0);
    assert_ok(sigaction(SIGUSR1, &action, NULL));
}

static void remove_host(void)
{
    struct sigaction now;

    assert_ok(sigaction(SIGUSR1, NULL, &now));
    assert_true(now.sa_handler == host); /* put back, whatever happened */
    assert_true(signal(SIGUSR1, SIG_DFL) != SIG_ERR);
}

static long wake_ups;

static void count_wake_up(void)
{
    wake_ups++;
}

static void a_storm_costs_one_wake_up_no_memory_and_one_callback(void **state)
{
    struct support_allocator counts = {0};
    loop_allocator_t allocator = support_allocator(&counts);
    loop_options_t options = LOOP_OPTIONS_INIT;
    long allocations;
    long n = storm_size();

    (void)state;
    options.allocator = &allocator;
    assert_ok(loop_init(&loop, &options));
    install_host();
    assert_ok(loop_signal_init(loop, &watcher));
    assert_ok(loop_signal_start(&watcher, note, SIGUSR1));
    backend_hook_wake(count_wake_up);
    wake_ups = 0;
    told = 0;
    allocations = counts.calls;
    for (long i = 0; i < n; i++)
        assert_ok(raise(SIGUSR1));
    assert_int_equal(wake_ups, 1);
    assert_int_equal(atomic_load(&host_calls), n); /* what is chained misses none */
    (void)loop_run(loop, LOOP_RUN_NOWAIT);
    (void)loop_run(loop, LOOP_RUN_NOWAIT);
    assert_int_equal(told, 1);
    assert_int_equal(counts.calls, allocations);
    backend_hook_wake(NULL);
    support_finish(loop);
    remove_host();
}

/* ------------------------------------------------------------------------------------------------ storms from elsewhere -- */

static pthread_t target;
static atomic_int storm_over;

static void *storm(void *arg)
{
    long n = storm_size();

    for (long i = 0; i < n; i++) {
        if (i % 2 == 0)
            (void)pthread_kill(target, SIGUSR1);
        else
            (void)kill(getpid(), SIGUSR1);
        if (i % 64 == 0)
            sched_yield(); /* on one processor the others come to their turn */
    }
    atomic_store(&storm_over, 1);
    return arg;
}

/* A callback follows the last signal. */
static void assert_still_hears(loop_signal_t *handle)
{
    long before = told;

    assert_ok(loop_signal_start(handle, note, SIGUSR1));
    assert_ok(raise(SIGUSR1));
    while (told == before)
        assert_true(loop_run(loop, LOOP_RUN_ONCE) >= 0);
}

static void a_watcher_under_fire_hears_the_last_signal(void **state)
{
    pthread_t thread;

    (void)state;
    install_host();
    loop = support_loop();
    told = 0;
    target = pthread_self();
    atomic_store(&storm_over, 0);
    assert_ok(loop_signal_init(loop, &watcher));
    assert_ok(loop_signal_start(&watcher, note, SIGUSR1));
    assert_ok(pthread_create(&thread, NULL, storm, NULL));
    while (!atomic_load(&storm_over))
        assert_true(loop_run(loop, LOOP_RUN_NOWAIT) >= 0);
    assert_ok(pthread_join(thread, NULL));
    assert_still_hears(&watcher);
    assert_true(told > 1);
    support_finish(loop);
    remove_host();
}

static void starting_stopping_and_closing_go_on_under_fire(void **state)
{
    loop_signal_t closing;
    pthread_t thread;
    long rounds = 0;

    (void)state;
    install_host();
    loop = support_loop();
    told = 0;
    target = pthread_self();
    atomic_store(&storm_over, 0);
    assert_ok(loop_signal_init(loop, &watcher));
    assert_ok(pthread_create(&thread, NULL, storm, NULL));
    while (!atomic_load(&storm_over)) {
        assert_ok(loop_signal_start(&watcher, note, SIGUSR1));
        assert_ok(loop_signal_init(loop, &closing));
        assert_ok(loop_signal_start_oneshot(&closing, note, SIGUSR1));
        if (rounds % 3 == 0)
            assert_true(loop_run(loop, LOOP_RUN_NOWAIT) >= 0);
        assert_ok(loop_handle_close(&closing.handle, NULL));
        while (loop_handle_get_type(&closing.handle) != LOOP_UNKNOWN_HANDLE)
            assert_true(loop_run(loop, LOOP_RUN_NOWAIT) >= 0);
        assert_ok(loop_signal_stop(&watcher));
        rounds++;
    }
    assert_ok(pthread_join(thread, NULL));
    assert_true(rounds > 1);
    assert_still_hears(&watcher);
    support_finish(loop);
    remove_host();
}

/* A thread that is kept from giving the lock back, as by a thread of higher priority. */
static int (*real_poll)(struct pollfd *fds, nfds_t nfds, int timeout);
static atomic_int locked;
static atomic_int slept;

static int noted_poll(struct pollfd *fds, nfds_t nfds, int timeout)
{
    atomic_store(&slept, 1);
    return real_poll(fds, nfds, timeout);
}

static void *hold_the_lock(void *arg)
{
    (void)loop__signal_lock();
    atomic_store(&locked, 1);
    while (!atomic_load(&slept))
        sched_yield();
    loop__signal_unlock();
    return arg;
}

static void a_handler_sleeps_while_another_thread_cannot_go_on(void **state)
{
    pthread_t thread;

    (void)state;
    loop = support_loop();
    told = 0;
    atomic_store(&locked, 0);
    atomic_store(&slept, 0);
    assert_ok(loop_signal_init(loop, &watcher));
    assert_ok(loop_signal_start(&watcher, note, SIGUSR1));
    real_poll = loop__sys.poll;
    loop__sys.poll = noted_poll;
    assert_ok(pthread_create(&thread, NULL, hold_the_lock, NULL));
    while (!atomic_load(&locked))
        sched_yield();
    assert_ok(raise(SIGUSR1));
    assert_ok(pthread_join(thread, NULL));
    loop__sys.poll = real_poll;
    assert_true(loop_run(loop, LOOP_RUN_NOWAIT) >= 0);
    assert_int_equal(told, 1);
    support_finish(loop);
}

/* ------------------------------------------------------------------------------------------------------- many threads -- */

#define THREADS 3

static void ignore(loop_signal_t *handle, int signum)
{
    (void)signum;
    ++*(long *)handle->handle.data;
}

/* A loop whose watchers come and go, until the storm is over. */
static void *churn(void *arg)
{
    long heard = 0;
    loop_t *mine;
    loop_signal_t handles[2];
    bool ok = loop_init(&mine, NULL) == 0;

    for (int i = 0; i < 2; i++) {
        ok = ok && loop_signal_init(mine, &handles[i]) == 0;
        handles[i].handle.data = &heard;
    }
    for (int i = 0; ok && !atomic_load(&storm_over); i++) {
        ok = loop_signal_start(&handles[i % 2], ignore, SIGUSR1) == 0;
        if (i % 5 != 0)
            ok = ok && loop_run(mine, LOOP_RUN_NOWAIT) >= 0;
        ok = ok && loop_signal_stop(&handles[i % 2]) == 0;
        sched_yield();
    }
    for (int i = 0; i < 2; i++)
        ok = ok && loop_handle_close(&handles[i].handle, NULL) == 0;
    ok = ok && loop_run(mine, LOOP_RUN_DEFAULT) == 0 && loop_close(mine) == 0;
    return ok ? NULL : arg;
}

static void loops_of_many_threads_come_and_go_under_fire(void **state)
{
    pthread_t threads[THREADS];
    pthread_t stormer;

    (void)state;
    install_host();
    loop = support_loop();
    told = 0;
    target = pthread_self();
    atomic_store(&storm_over, 0);
    assert_ok(loop_signal_init(loop, &watcher));
    assert_ok(loop_signal_start(&watcher, note, SIGUSR1));
    for (int i = 0; i < THREADS; i++)
        assert_ok(pthread_create(&threads[i], NULL, churn, &storm_over));
    assert_ok(pthread_create(&stormer, NULL, storm, NULL));
    while (!atomic_load(&storm_over))
        assert_true(loop_run(loop, LOOP_RUN_NOWAIT) >= 0);
    assert_ok(pthread_join(stormer, NULL));
    for (int i = 0; i < THREADS; i++) {
        void *failed = NULL;

        assert_ok(pthread_join(threads[i], &failed));
        assert_null(failed);
    }
    assert_still_hears(&watcher);
    support_finish(loop);
    remove_host();
}

LOOP_TEST_MAIN(TEST(a_storm_costs_one_wake_up_no_memory_and_one_callback),
               TEST(a_watcher_under_fire_hears_the_last_signal), TEST(starting_stopping_and_closing_go_on_under_fire),
               TEST(a_handler_sleeps_while_another_thread_cannot_go_on),
               TEST(loops_of_many_threads_come_and_go_under_fire))
