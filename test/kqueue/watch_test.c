/* Operations that wait for the exit of a process, and for changes of a file: the engine below handles that are to come. */
#include "internal.h"

#include "fault_calls.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static loop_t *loop;
static struct desc watched;
static struct op ops[2];
static int completions;
static int last_status;
static unsigned last_flags;

static void note(loop_op_t *op)
{
    completions++;
    last_status = op->status;
    last_flags = op->flags;
}

static void begin(int number, unsigned flags)
{
    loop = support_loop();
    fault_begin();
    completions = 0;
    memset(ops, 0, sizeof(ops));
    assert_ok(loop__desc_init(loop, &watched, LOOP_DESC));
    assert_ok(loop__desc_attach(&watched, number, flags));
}

static void finish(void)
{
    fault_end();
    support_finish(loop);
}

static void turn(void)
{
    assert_true(loop_run(loop, LOOP_RUN_NOWAIT) >= 0);
}

static void run_until(int n)
{
    while (completions < n)
        assert_true(loop_run(loop, LOOP_RUN_ONCE) >= 0);
}

/* ---------------------------------------------------------------------------------------------------------- processes -- */

static int stop_pipe[2];

/* A child that lives until its end of the pipe is closed. */
static pid_t child_that_waits(void)
{
    pid_t child;
    char byte;

    assert_ok(pipe(stop_pipe));
    child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        (void)close(stop_pipe[1]);
        _exit(read(stop_pipe[0], &byte, 1) == 0 ? 7 : 1);
    }
    return child;
}

static void let_it_end(void)
{
    assert_ok(close(stop_pipe[1]) | close(stop_pipe[0]));
}

static void reap(pid_t child)
{
    int status = 0;

    assert_int_equal(waitpid(child, &status, WNOHANG), child); /* it has exited, and is there to be waited for */
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 7);
}

static void await_zombie(pid_t child)
{
    siginfo_t info;

    assert_ok(waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT));
}

static void the_exit_of_a_process_ends_the_wait(void **state)
{
    pid_t child = child_that_waits();

    (void)state;
    begin(child, DESC_PROCESS);
    assert_ok(loop__op_watch(&ops[0], &watched, note));
    assert_ok(loop__op_watch(&ops[1], &watched, note));
    turn();
    assert_int_equal(completions, 0);
    let_it_end();
    run_until(2); /* both */
    assert_int_equal(last_status, 0);
    reap(child);
    assert_ok(loop__op_watch(&ops[0], &watched, note)); /* it has exited for ever */
    assert_int_equal(completions, 2);                   /* and even that is told later */
    run_until(3);
    assert_int_equal(last_status, 0);
    finish();
}

static void a_process_that_has_exited_before_is_told_at_once(void **state)
{
    (void)state;
    for (int reaped = 0; reaped < 2; reaped++) {
        pid_t child = child_that_waits();

        let_it_end();
        await_zombie(child);
        if (reaped)
            reap(child);
        begin(child, DESC_PROCESS);
        assert_ok(loop__op_watch(&ops[0], &watched, note));
        assert_int_equal(completions, 0);
        run_until(1);
        assert_int_equal(last_status, 0);
        if (!reaped)
            reap(child);
        finish();
    }
}

/* The memory is what comes next: something else, or a handle for another process. */
static void an_exit_does_not_reach_the_memory_of_a_handle_that_could_not_deregister(void **state)
{
    (void)state;
    for (int used_again = 0; used_again < 2; used_again++) {
        pid_t child = child_that_waits();

        begin(child, DESC_PROCESS);
        assert_ok(loop__op_watch(&ops[0], &watched, note));
        fault_arm(FAULT_kevent_change, 1, ENOMEM, 1);
        assert_ok(loop_handle_close((loop_handle_t *)&watched.handle, NULL));
        run_until(1);
        turn();
        assert_int_equal(last_status, LOOP_ECANCELED);
        memset(&watched, 0xff, sizeof(watched));
        if (used_again) {
            assert_ok(loop__desc_init(loop, &watched, LOOP_DESC));
            assert_ok(loop__desc_attach(&watched, getpid(), DESC_PROCESS));
            assert_ok(loop__op_watch(&ops[0], &watched, note));
        }
        let_it_end();
        await_zombie(child);
        for (int i = 0; i < 8; i++)
            turn();
        assert_int_equal(completions, 1);
        reap(child);
        finish();
    }
}

static void a_wait_for_an_exit_can_be_cancelled_and_made_again(void **state)
{
    pid_t child = child_that_waits();

    (void)state;
    begin(child, DESC_PROCESS);
    assert_ok(loop__op_watch(&ops[0], &watched, note));
    assert_ok(loop_op_cancel((loop_op_t *)&ops[0]));
    run_until(1);
    assert_int_equal(last_status, LOOP_ECANCELED);
    let_it_end();
    await_zombie(child);
    turn(); /* told while nobody waits */
    assert_ok(loop__op_watch(&ops[0], &watched, note));
    run_until(2);
    assert_int_equal(last_status, 0);
    reap(child);
    finish();
}

static void a_handle_closed_before_the_exit_hears_nothing_of_it(void **state)
{
    pid_t child = child_that_waits();
    loop_timer_t timer;

    (void)state;
    begin(child, DESC_PROCESS);
    assert_ok(loop__op_watch(&ops[0], &watched, note));
    turn();
    assert_ok(loop_handle_close((loop_handle_t *)&watched, NULL));
    run_until(1);
    assert_int_equal(last_status, LOOP_ECANCELED);
    turn();
    memset(&watched, 0xff, sizeof(watched)); /* whoever follows a stale pointer will notice */
    let_it_end();
    await_zombie(child);
    assert_ok(loop_timer_init(loop, &timer));
    turn();
    turn();
    assert_int_equal(completions, 1);
    reap(child);
    finish();
}

/* -------------------------------------------------------------------------------------------------------------- files -- */

static char directory[64];
static char path[96];
static char other_path[96];
static int file;

static void make_file(void)
{
    (void)snprintf(directory, sizeof(directory), "/tmp/loop_watch_XXXXXX");
    assert_non_null(mkdtemp(directory));
    (void)snprintf(path, sizeof(path), "%s/file", directory);
    (void)snprintf(other_path, sizeof(other_path), "%s/other", directory);
    file = open(path, O_RDWR | O_CREAT | O_NONBLOCK | O_CLOEXEC, 0600);
    assert_true(file >= 0);
}

static void remove_file(void)
{
    (void)unlink(path);
    (void)unlink(other_path);
    (void)close(file);
    assert_ok(rmdir(directory));
}

static unsigned next_change(void)
{
    int before = completions;

    assert_ok(loop__op_watch(&ops[0], &watched, note));
    run_until(before + 1);
    assert_int_equal(last_status, 0);
    return last_flags;
}

static void what_happens_to_a_file_is_told(void **state)
{
    (void)state;
    make_file();
    begin(file, DESC_FILE);
    assert_ok(loop__op_watch(&ops[0], &watched, note));
    turn();
    assert_int_equal(completions, 0);
    assert_int_equal(write(file, "x", 1), 1);
    run_until(1);
    assert_true(last_flags & FILE_WRITTEN);
    assert_ok(fchmod(file, 0640));
    assert_true(next_change() & FILE_ATTRIBUTES);
    assert_ok(rename(path, other_path));
    assert_true(next_change() & FILE_RENAMED);
    assert_ok(unlink(other_path));
    assert_true(next_change() & FILE_DELETED);
    finish();
    remove_file();
}

static void changes_that_nobody_waits_for_are_told_together_later(void **state)
{
    unsigned change = 0;

    (void)state;
    make_file();
    begin(file, DESC_FILE);
    assert_ok(loop__op_watch(&ops[0], &watched, note)); /* from now on it is watched */
    assert_int_equal(write(file, "x", 1), 1);
    run_until(1);
    assert_int_equal(write(file, "y", 1), 1);
    assert_ok(fchmod(file, 0640));
    turn();
    while ((change & (FILE_WRITTEN | FILE_ATTRIBUTES)) != (FILE_WRITTEN | FILE_ATTRIBUTES))
        change |= next_change();
    assert_ok(loop__op_watch(&ops[1], &watched, note));
    turn();
    assert_int_equal(((loop_op_t *)&ops[1])->bytes, 0);
    assert_ok(loop_op_cancel((loop_op_t *)&ops[1]));
    turn();
    assert_int_equal(last_status, LOOP_ECANCELED); /* nothing was told twice */
    finish();
    remove_file();
}

static void of_a_directory_its_entries_are_told(void **state)
{
    int fd;

    (void)state;
    make_file();
    fd = open(directory, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    begin(fd, DESC_FILE | DESC_OWNED);
    assert_ok(loop__op_watch(&ops[0], &watched, note));
    turn();
    assert_int_equal(completions, 0);
    assert_ok(rename(path, other_path));
    run_until(1);
    assert_true(last_flags & FILE_WRITTEN);
    finish();
    remove_file();
}

static void what_has_no_changes_is_refused(void **state)
{
    int fds[2];

    (void)state;
    assert_ok(pipe(fds));
    begin(fds[0], DESC_FILE);
    assert_ok(loop__op_watch(&ops[0], &watched, note));
    run_until(1);
    assert_int_equal(last_status, LOOP_ENOTPOLLABLE);
    finish();
    assert_ok(close(fds[0]) | close(fds[1]));
}

/* ---------------------------------------------------------------------------------------------------------- bad days -- */

static void a_registration_that_fails_ends_the_operation(void **state)
{
    (void)state;
    make_file();
    begin(file, DESC_FILE);
    fault_arm(FAULT_kevent_change, 1, ENOMEM, 1);
    assert_ok(loop__op_watch(&ops[0], &watched, note));
    assert_int_equal(completions, 0);
    run_until(1);
    assert_int_equal(last_status, LOOP_ENOMEM);
    assert_int_equal(write(file, "x", 1), 1);
    assert_ok(loop__op_watch(&ops[0], &watched, note));
    turn();
    assert_int_equal(completions, 1); /* what was before is not told */
    assert_int_equal(write(file, "x", 1), 1);
    run_until(2);
    assert_true(last_flags & FILE_WRITTEN);
    finish();
    remove_file();
}

static void a_child_watches_anew_what_was_watched(void **state)
{
    (void)state;
    make_file();
    begin(file, DESC_FILE);
    assert_ok(loop__op_watch(&ops[0], &watched, note));
    turn();
    assert_ok(loop_fork(loop)); /* as in a child */
    assert_int_equal(write(file, "x", 1), 1);
    run_until(1);
    assert_int_equal(last_status, 0);
    assert_true(last_flags & FILE_WRITTEN);
    finish();
    remove_file();
}

LOOP_TEST_MAIN(TEST(the_exit_of_a_process_ends_the_wait), TEST(a_process_that_has_exited_before_is_told_at_once),
               TEST(an_exit_does_not_reach_the_memory_of_a_handle_that_could_not_deregister),
               TEST(a_wait_for_an_exit_can_be_cancelled_and_made_again),
               TEST(a_handle_closed_before_the_exit_hears_nothing_of_it), TEST(what_happens_to_a_file_is_told),
               TEST(changes_that_nobody_waits_for_are_told_together_later), TEST(of_a_directory_its_entries_are_told),
               TEST(what_has_no_changes_is_refused), TEST(a_registration_that_fails_ends_the_operation),
               TEST(a_child_watches_anew_what_was_watched))
