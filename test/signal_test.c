/* Signal handles: who is told, when, how often, and when no more. What becomes of other handlers: signal_chain_test.c. */
#include "support.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <unistd.h>

#define WATCHERS 4

static loop_t *loop;
static loop_signal_t watchers[WATCHERS];
static int told[WATCHERS]; /* callbacks of each */
static int order[64];      /* which were called, one after the other */
static int calls;
static int last_signum;

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
    assert_ok(loop_signal_start(&watchers[0], note, SIGUSR1));
    assert_ok(raise(SIGUSR1));
    assert_int_equal(calls, 0);
    assert_int_equal(loop_run(loop, LOOP_RUN_ONCE), 1);
    assert_int_equal(told[0], 1);
    assert_int_equal(last_signum, SIGUSR1);
    turn();
    assert_int_equal(calls, 1);
    assert_ok(raise(SIGUSR1)); /* and the next time again */
    turn();
    assert_int_equal(calls, 2);
    finish();
}

static void signals_before_the_callback_are_merged(void **state)
{
    (void)state;
    begin();
    assert_ok(loop_signal_start(&watchers[0], note, SIGUSR1));
    for (int i = 0; i < 10; i++)
        assert_ok(raise(SIGUSR1));
    turn();
    turn();
    assert_int_equal(calls, 1);
    finish();
}

static void raise_once(loop_signal_t *watcher, int signum)
{
    note(watcher, signum);
    if (calls == 1)
        assert_ok(raise(signum));
}

static void a_signal_inside_the_callback_is_not_merged_with_the_one_before(void **state)
{
    (void)state;
    begin();
    assert_ok(loop_signal_start(&watchers[0], raise_once, SIGUSR1));
    assert_ok(raise(SIGUSR1));
    turn();
    turn();
    assert_int_equal(calls, 2);
    finish();
}

static void wrong_arguments_change_nothing(void **state)
{
    static const int wrong[] = {0, -1, SIGKILL, SIGSTOP, SIGSEGV, SIGBUS, SIGFPE, SIGILL, 32, NSIG, 128, 1 << 20};
    loop_signal_t never = {0};
    loop_signal_t other;

    (void)state;
    begin();
    assert_int_equal(loop_signal_init(NULL, &other), LOOP_EINVAL);
    assert_int_equal(loop_signal_init(loop, NULL), LOOP_EINVAL);
    assert_int_equal(loop_signal_start(NULL, note, SIGUSR1), LOOP_EINVAL);
    assert_int_equal(loop_signal_start_oneshot(NULL, note, SIGUSR1), LOOP_EINVAL);
    assert_int_equal(loop_signal_stop(NULL), LOOP_EINVAL);
    assert_int_equal(loop_signal_start(&never, note, SIGUSR1), LOOP_EBADF);
    assert_int_equal(loop_signal_stop(&never), LOOP_EBADF);
    assert_ok(loop_signal_start(&watchers[0], note, SIGUSR1));
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        assert_int_equal(loop_signal_start(&watchers[0], note, wrong[i]), LOOP_EINVAL);
        assert_int_equal(loop_signal_start_oneshot(&watchers[1], note, wrong[i]), LOOP_EINVAL);
    }
    assert_int_equal(loop_signal_start(&watchers[0], NULL, SIGUSR2), LOOP_EINVAL);
    assert_false(loop_handle_is_active(&watchers[1].handle));
    assert_ok(raise(SIGUSR1));
    turn();
    assert_int_equal(told[0], 1);
    assert_ok(loop_handle_close(&watchers[0].handle, NULL));
    assert_int_equal(loop_signal_start(&watchers[0], note, SIGUSR1), LOOP_EBADF);
    assert_int_equal(loop_signal_stop(&watchers[0]), LOOP_EBADF);
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

static void the_handle_is_active_and_keeps_the_loop_alive_while_started(void **state)
{
    (void)state;
    begin();
    assert_int_equal(loop_handle_get_type(&watchers[0].handle), LOOP_SIGNAL);
    assert_false(loop_handle_is_active(&watchers[0].handle));
    assert_false(loop_alive(loop));
    assert_ok(loop_signal_start(&watchers[0], note, SIGUSR1));
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

/* --------------------------------------------------------------------------------------------------------- one-shot -- */

static void inactive_note(loop_signal_t *watcher, int signum)
{
    assert_false(loop_handle_is_active(&watcher->handle));
    note(watcher, signum);
}

static void a_one_shot_is_stopped_before_its_callback(void **state)
{
    struct sigaction action = {.sa_handler = SIG_IGN};
    struct sigaction old;

    (void)state;
    assert_ok(sigaction(SIGUSR1, &action, &old)); /* the second signal meets it again */
    begin();
    assert_ok(loop_signal_start_oneshot(&watchers[0], inactive_note, SIGUSR1));
    assert_true(loop_handle_is_active(&watchers[0].handle));
    assert_ok(raise(SIGUSR1));
    assert_ok(loop_run(loop, LOOP_RUN_DEFAULT));
    assert_int_equal(calls, 1);
    assert_ok(raise(SIGUSR1));
    turn();
    assert_int_equal(calls, 1);
    finish();
    assert_ok(sigaction(SIGUSR1, &old, NULL));
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
    assert_ok(loop_signal_start_oneshot(&watchers[0], start_again, SIGUSR1));
    for (int i = 1; i <= 3; i++) {
        assert_ok(raise(SIGUSR1));
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
    assert_ok(loop_signal_start_oneshot(&watchers[0], inactive_note, SIGUSR1));
    assert_ok(loop_signal_start(&watchers[1], note, SIGUSR1));
    for (int i = 0; i < 3; i++) {
        assert_ok(raise(SIGUSR1));
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
    assert_ok(loop_signal_start(&watchers[2], note, SIGUSR1));
    assert_ok(loop_signal_start(&watchers[0], note, SIGUSR1));
    assert_ok(loop_signal_start(&watchers[3], note, SIGUSR1));
    assert_ok(loop_signal_start(&watchers[1], note, SIGUSR2));
    assert_ok(raise(SIGUSR1));
    turn();
    assert_int_equal(calls, 3);
    assert_int_equal(order[0], 2);
    assert_int_equal(order[1], 0);
    assert_int_equal(order[2], 3);
    assert_ok(loop_signal_stop(&watchers[0]));
    assert_ok(raise(SIGUSR1));
    turn();
    assert_int_equal(calls, 5);
    assert_int_equal(order[3], 2);
    assert_int_equal(order[4], 3);
    assert_ok(raise(SIGUSR2));
    turn();
    assert_int_equal(order[5], 1);
    assert_int_equal(calls, 6);
    finish();
}

static int told_there;

static void note_there(loop_signal_t *watcher, int signum)
{
    (void)watcher;
    assert_int_equal(signum, SIGUSR1);
    told_there++;
}

static void every_loop_is_told(void **state)
{
    loop_t *other = support_loop();
    loop_signal_t there;

    (void)state;
    begin();
    told_there = 0;
    assert_ok(loop_signal_init(other, &there));
    assert_ok(loop_signal_start(&watchers[0], note, SIGUSR1));
    assert_ok(loop_signal_start(&there, note_there, SIGUSR1));
    assert_ok(raise(SIGUSR1));
    turn();
    assert_int_equal(told[0], 1);
    assert_int_equal(told_there, 0);
    assert_true(loop_run(other, LOOP_RUN_NOWAIT) >= 0);
    assert_int_equal(told_there, 1);
    finish();
    assert_ok(raise(SIGUSR1)); /* the other loop lives on */
    assert_true(loop_run(other, LOOP_RUN_NOWAIT) >= 0);
    assert_int_equal(told_there, 2);
    support_finish(other);
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

/* ----------------------------------------------------------------------------------------------- stop, restart, close -- */

static void no_callback_comes_after_a_stop(void **state)
{
    (void)state;
    begin();
    assert_ok(loop_signal_start(&watchers[1], note, SIGUSR1)); /* keeps the disposition */
    assert_ok(loop_signal_start(&watchers[0], note, SIGUSR1));
    assert_ok(raise(SIGUSR1));
    assert_ok(loop_signal_stop(&watchers[0]));
    turn();
    assert_int_equal(told[0], 0);
    assert_int_equal(told[1], 1);
    assert_ok(raise(SIGUSR1));
    assert_ok(loop_signal_stop(&watchers[1]));
    assert_ok(loop_signal_start(&watchers[1], note, SIGUSR1)); /* starts from nothing */
    turn();
    assert_int_equal(told[1], 1);
    assert_ok(raise(SIGUSR1));
    turn();
    assert_int_equal(told[1], 2);
    finish();
}

static void a_restart_for_another_signal_drops_the_old_one_and_hears_the_new_one(void **state)
{
    (void)state;
    begin();
    assert_ok(loop_signal_start(&watchers[0], note, SIGUSR1));
    assert_ok(raise(SIGUSR1));
    assert_ok(loop_signal_start(&watchers[0], note, SIGUSR2)); /* its node is still queued */
    turn();
    assert_int_equal(calls, 0);
    assert_ok(loop_signal_start(&watchers[0], note, SIGUSR1));
    assert_ok(raise(SIGUSR1));
    assert_ok(loop_signal_stop(&watchers[0]));
    assert_ok(loop_signal_start(&watchers[0], note, SIGUSR2));
    assert_ok(raise(SIGUSR2)); /* merged into the queued node, but not lost */
    turn();
    assert_int_equal(calls, 1);
    assert_int_equal(last_signum, SIGUSR2);
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
    assert_ok(loop_signal_start(&watchers[0], note, SIGUSR1));
    assert_ok(raise(SIGUSR1));
    assert_ok(loop_signal_start_oneshot(&watchers[0], note_twice, SIGUSR1));
    turn();
    assert_int_equal(calls, 2);
    assert_false(loop_handle_is_active(&watchers[0].handle)); /* that it is a one-shot, too */
    assert_ok(loop_signal_start_oneshot(&watchers[0], note, SIGUSR1));
    assert_ok(loop_signal_start(&watchers[0], note, SIGUSR1));
    assert_ok(raise(SIGUSR1));
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
        assert_ok(loop_signal_start(&watchers[i], stop_or_close_the_next, SIGUSR1));
    assert_ok(raise(SIGUSR1));
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
    assert_ok(loop_signal_start(&watchers[1], note, SIGUSR1));
    assert_ok(loop_signal_start(&watchers[0], note, SIGUSR1));
    assert_ok(raise(SIGUSR1));
    assert_ok(loop_handle_close(&watchers[0].handle, on_closed));
    assert_int_equal(loop_handle_close(&watchers[0].handle, NULL), LOOP_EBADF);
    assert_int_equal(loop_close(loop), LOOP_EBUSY);
    assert_ok(raise(SIGUSR1));
    turn();
    turn();
    assert_true(closed);
    assert_int_equal(told[0], 0);
    assert_int_equal(told[1], 1);
    assert_ok(raise(SIGUSR1)); /* whoever still knows the memory will notice */
    turn();
    assert_int_equal(told[1], 2);
    finish();
}

static void close_itself(loop_signal_t *watcher, int signum)
{
    note(watcher, signum);
    assert_ok(raise(signum));
    assert_ok(loop_handle_close(&watcher->handle, on_closed));
}

static void a_callback_may_close_its_own_handle(void **state)
{
    (void)state;
    begin();
    closed = false;
    assert_ok(loop_signal_start(&watchers[0], close_itself, SIGUSR1));
    assert_ok(raise(SIGUSR1));
    assert_ok(loop_run(loop, LOOP_RUN_DEFAULT));
    assert_true(closed);
    assert_int_equal(calls, 1);
    finish();
}

/* ------------------------------------------------------------------------------------------------------------- waiting -- */

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

LOOP_TEST_MAIN(TEST(a_signal_calls_back_inside_a_turn_and_not_in_its_handler),
               TEST(signals_before_the_callback_are_merged),
               TEST(a_signal_inside_the_callback_is_not_merged_with_the_one_before),
               TEST(wrong_arguments_change_nothing), TEST(a_realtime_signal_is_a_signal),
               TEST(the_handle_is_active_and_keeps_the_loop_alive_while_started),
               TEST(a_handler_leaves_errno_and_the_mask_alone), TEST(a_one_shot_is_stopped_before_its_callback),
               TEST(a_one_shot_may_be_started_again_in_its_callback),
               TEST(a_one_shot_leaves_other_watchers_of_the_signal_started),
               TEST(all_watchers_of_a_signal_are_told_in_the_order_of_their_start), TEST(every_loop_is_told),
               TEST(loops_in_many_threads_are_told_on_their_own_threads), TEST(no_callback_comes_after_a_stop),
               TEST(a_restart_for_another_signal_drops_the_old_one_and_hears_the_new_one),
               TEST(a_restart_for_the_same_signal_replaces_the_callback_and_loses_nothing),
               TEST(a_callback_may_stop_and_close_other_watchers_of_the_same_signal),
               TEST(a_handle_with_a_signal_under_way_is_closed_without_a_callback),
               TEST(a_callback_may_close_its_own_handle), TEST(a_signal_ends_the_wait))
