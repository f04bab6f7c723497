/* fork(2) and what watches: poll handles and signal handles in parent and child. */
#include "fork_fixture.h"

#include "internal.h"
#include "platform.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>

static loop_t *loop;

static void turn(void)
{
    expect(loop_run(loop, LOOP_RUN_NOWAIT) >= 0);
}

/* ------------------------------------------------------------------------------------------------------------- polls -- */

static loop_poll_t poll;
static int fds[2];
static int reports;
static int last_status;

static void on_poll(loop_poll_t *handle, int status, unsigned events)
{
    expect(handle == &poll);
    expect(status != 0 || events == LOOP_READABLE);
    last_status = status;
    reports++;
}

static void begin_poll(void)
{
    loop = support_loop();
    reports = 0;
    last_status = 0;
    assert_ok(socketpair(AF_UNIX, SOCK_STREAM, 0, fds));
    assert_ok(loop_poll_init(loop, &poll, fds[0]));
    assert_ok(loop_poll_start(&poll, LOOP_READABLE, on_poll));
}

static void a_poll_handle_goes_on_in_both_processes(void **state)
{
    pid_t child;

    (void)state;
    begin_poll();
    assert_int_equal(write(fds[1], "x", 1), 1);
    run_until_count(loop, &reports, 1);
    child = fork_process();
    if (in_child) {
        expect(loop_fork(loop) == 0);
        run_until_count(loop, &reports, 3);
        expect(loop_poll_stop(&poll) == 0);
        turn();
        expect(reports == 3);
        end_loop(loop);
        child_passed();
    }
    await_child(child);
    run_until_count(loop, &reports, 2); /* what the child stopped was its own */
    end_loop(loop);
    assert_ok(close(fds[0]) | close(fds[1]));
}

static void a_stopped_poll_handle_can_be_started_in_the_child(void **state)
{
    pid_t child;

    (void)state;
    begin_poll();
    assert_ok(loop_poll_stop(&poll));
    assert_int_equal(write(fds[1], "x", 1), 1);
    child = fork_process();
    if (in_child) {
        expect(loop_fork(loop) == 0);
        turn();
        expect(reports == 0);
        expect(loop_poll_start(&poll, LOOP_READABLE, on_poll) == 0);
        turn();
        expect(reports == 1);
        end_loop(loop);
        child_passed();
    }
    await_child(child);
    end_loop(loop);
    assert_ok(close(fds[0]) | close(fds[1]));
}

static void a_poll_handle_whose_descriptor_the_child_closed_is_told(void **state)
{
    pid_t child;

    (void)state;
    begin_poll();
    child = fork_process();
    if (in_child) {
        expect(close(fds[0]) == 0);
        expect(loop_fork(loop) == 0);
        turn();
        expect(reports == 1 && last_status == LOOP_EBADF);
        expect(!loop_handle_is_active(&poll.handle));
        end_loop(loop);
        child_passed();
    }
    await_child(child);
    end_loop(loop);
    assert_ok(close(fds[0]) | close(fds[1]));
}

/* ----------------------------------------------------------------------------------------------------------- signals -- */

static loop_signal_t watcher;
static int told;

static void on_signal(loop_signal_t *handle, int signum)
{
    expect(handle == &watcher && signum == SIGUSR1);
    told++;
}

static void begin_signal(void)
{
    loop = support_loop();
    told = 0;
    assert_ok(loop_signal_init(loop, &watcher));
    assert_ok(loop_signal_start(&watcher, on_signal, SIGUSR1));
}

static void each_process_hears_its_own_signals(void **state)
{
    pid_t child;

    (void)state;
    begin_signal();
    child = fork_process();
    if (in_child) {
        expect(raise(SIGUSR1) == 0); /* before the loop is the child's */
        expect(loop_fork(loop) == 0);
        turn();
        expect(told == 1);
        expect(raise(SIGUSR1) == 0);
        turn();
        expect(told == 2);
        end_loop(loop);
        child_passed();
    }
    await_child(child);
    turn();
    assert_int_equal(told, 0);
    assert_ok(raise(SIGUSR1));
    turn();
    assert_int_equal(told, 1);
    end_loop(loop);
}

/* A thread that has the lock of the signal tables while another one forks. */
static atomic_int locked;
static atomic_int forked;

static void *hold_the_lock(void *arg)
{
    (void)loop__signal_lock();
    atomic_store(&locked, 1);
    while (!atomic_load(&forked))
        sched_yield();
    loop__signal_unlock();
    return arg;
}

static void a_lock_that_nobody_in_the_child_can_give_back_holds_nobody_up(void **state)
{
    pthread_t thread;
    pid_t child;

    (void)state;
    begin_signal();
    atomic_store(&locked, 0);
    atomic_store(&forked, 0);
    assert_ok(pthread_create(&thread, NULL, hold_the_lock, NULL));
    while (!atomic_load(&locked))
        sched_yield();
    child = fork_process();
    if (in_child) {
        expect(raise(SIGUSR1) == 0);
        expect(raise(SIGUSR1) == 0); /* the lock was given back */
        expect(loop_fork(loop) == 0);
        turn();
        expect(told == 1);
        end_loop(loop);
        child_passed();
    }
    atomic_store(&forked, 1);
    assert_ok(pthread_join(thread, NULL));
    await_child(child);
    end_loop(loop);
}

/* A handler on another thread had marked the watcher, and was about to post it, when the process was forked. */
static void a_signal_that_was_just_being_posted_is_heard_in_the_child(void **state)
{
    struct signal *private = (struct signal *)&watcher;
    pid_t child;

    (void)state;
    begin_signal();
    child = fork_process();
    if (in_child) {
        atomic_store(&private->pending, 1);
        atomic_store(&private->async.state, ASYNC_QUEUED);
        expect(loop_fork(loop) == 0);
        turn();
        expect(told == 1);
        end_loop(loop);
        child_passed();
    }
    await_child(child);
    end_loop(loop);
}

LOOP_TEST_MAIN(TEST(a_poll_handle_goes_on_in_both_processes), TEST(a_stopped_poll_handle_can_be_started_in_the_child),
               TEST(a_poll_handle_whose_descriptor_the_child_closed_is_told), TEST(each_process_hears_its_own_signals),
               TEST(a_lock_that_nobody_in_the_child_can_give_back_holds_nobody_up),
               TEST(a_signal_that_was_just_being_posted_is_heard_in_the_child))
