#include "fork_fixture.h"

#include <sys/wait.h>

bool in_child;

pid_t fork_process(void)
{
    pid_t child;

    (void)fflush(NULL);
    in_child = false;
    child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        in_child = true;
        (void)alarm(harness_slow() ? 250 : 50);
    }
    return child;
}

void child_passed(void)
{
    (void)fflush(NULL);
    /* Under valgrind the memory of the harness, which a child cannot free, would count as lost; what is executed is not
     * looked at. */
    if (harness_slow())
        (void)execlp("true", "true", (char *)NULL);
    _exit(0);
}

void await_child(pid_t child)
{
    int status = -1;

    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

void expect_at(bool holds, const char *condition, const char *file, int line)
{
    if (holds)
        return;
    if (in_child) {
        (void)fprintf(stderr, "child: %s:%d: %s\n", file, line, condition);
        _exit(1);
    }
    _fail(file, line);
}

void run_until_count(loop_t *loop, const int *flag, int n)
{
    while (*flag < n) {
        int alive = loop_run(loop, LOOP_RUN_ONCE);

        expect(alive >= 0);
        if (alive == 0) /* there is nothing to wait for: another thread is to post something */
            support_yield();
    }
}

void end_loop(loop_t *loop)
{
    expect(loop_shutdown(loop, LOOP_SEC(20), NULL, NULL) == 0);
    expect(loop_close(loop) == 0);
}
