/* Descriptors of the caller whose registration ends before they do, or outlives them. The rest: ../desc_test.c. */
#include "op_fixture.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

static void a_detached_descriptor_goes_on_in_another_loop(void **state)
{
    char text[8];
    loop_buf_t in = buf_of(text, sizeof(text));
    loop_op_t op = {0};
    loop_t *other = support_loop();
    int fd;

    (void)state;
    begin_with(SOCK_STREAM);
    fd = loop_desc_fd(&left);
    assert_ok(loop_op_read(&left, &op, &in, 1, note));
    assert_int_equal(loop_desc_detach(&left), LOOP_EBUSY);
    assert_ok(loop_op_cancel(&op));
    run_until(1);
    assert_ok(loop_desc_detach(&left));
    assert_int_equal(loop_desc_detach(&left), LOOP_EBADF);
    assert_ok(loop_desc_attach(other, &left, fd, LOOP_DESC_OWNED));
    assert_int_equal(write(loop_desc_fd(&right), "hi", 2), 2);
    assert_ok(loop_op_read(&left, &op, &in, 1, note));
    assert_ok(loop_run(other, LOOP_RUN_DEFAULT));
    assert_int_equal(completions, 2);
    assert_int_equal(op.bytes, 2);
    support_finish(other);
    support_finish(loop);
}

static void detach_in_last(loop_op_t *op)
{
    note(op);
    assert_ok(loop_desc_detach(&left));
    memset(&left, 0xff, sizeof(left)); /* it is ours again */
}

static void the_last_operations_callback_may_detach(void **state)
{
    char text[8];
    loop_buf_t in = buf_of(text, sizeof(text));
    loop_op_t op = {0};
    int fd;

    (void)state;
    begin_with(SOCK_STREAM);
    fd = loop_desc_fd(&left);
    assert_int_equal(write(loop_desc_fd(&right), "hi", 2), 2);
    assert_ok(loop_op_read(&left, &op, &in, 1, detach_in_last));
    run_until(1);
    assert_ok(close(fd));
    support_finish(loop);
}

/* The owner closes a descriptor early, a duplicate keeps the registration alive in the kernel, the number is reused. */
static void events_of_a_descriptor_closed_early_reach_nobody_else(void **state)
{
    char text[8];
    loop_buf_t in = buf_of(text, sizeof(text));
    loop_op_t stale = {0};
    loop_op_t fresh = {0};
    loop_desc_t next;
    int old[2];
    int new[2];
    int dup_fd;

    (void)state;
    begin();
    assert_ok(socketpair(AF_UNIX, SOCK_STREAM, 0, old));
    assert_ok(loop_desc_attach(loop, &left, old[0], 0));
    assert_ok(loop_op_read(&left, &stale, &in, 1, note));
    dup_fd = dup(old[0]);
    assert_ok(close(old[0]));
    assert_ok(socketpair(AF_UNIX, SOCK_STREAM, 0, new));
    assert_int_equal(new[0], old[0]);
    assert_ok(loop_desc_attach(loop, &next, new[0], 0));
    assert_ok(loop_op_read(&next, &fresh, &in, 1, note));
    run_until(1); /* with the number, what was done on the old one is over */
    assert_ptr_equal(done[0], &stale);
    assert_int_equal(stale.status, LOOP_EBADF);
    assert_int_equal(loop_op_read(&left, &stale, &in, 1, note), LOOP_EBADF);
    assert_int_equal(loop_desc_fd(&left), LOOP_INVALID_FD);
    assert_int_equal(write(old[1], "old", 3), 3);
    assert_int_equal(loop_run(loop, LOOP_RUN_NOWAIT), 1);
    assert_int_equal(completions, 1);
    assert_ok(loop_handle_close(&left.handle, NULL)); /* must not take the new registration with it */
    assert_int_equal(write(new[1], "new", 3), 3);
    run_until(2);
    assert_ptr_equal(done[1], &fresh);
    assert_int_equal(fresh.bytes, 3);
    support_finish(loop);
    assert_ok(close(dup_fd) | close(old[1]) | close(new[0]) | close(new[1]));
}

static void a_tcp_handle_may_get_the_number_of_a_descriptor_closed_early(void **state)
{
    loop_tcp_t tcp;
    loop_op_t op = {0};
    int old[2];
    int tcps[2];
    int dup_fd;
    char text[8];
    loop_buf_t in = buf_of(text, sizeof(text));

    (void)state;
    begin();
    support_socket_pair(tcps);
    assert_ok(socketpair(AF_UNIX, SOCK_STREAM, 0, old));
    assert_ok(loop_desc_attach(loop, &left, old[0], 0));
    dup_fd = dup(old[0]);
    assert_int_equal(dup2(tcps[0], old[0]), old[0]);
    assert_ok(close(tcps[0]));
    assert_ok(loop_tcp_init(loop, &tcp));
    assert_ok(loop_tcp_open(&tcp, old[0]));
    assert_ok(loop_handle_close(&left.handle, NULL));
    /* The registration of tcp is still there: a byte arrives. */
    assert_ok(loop_desc_attach(loop, &right, tcps[1], LOOP_DESC_TCP));
    assert_ok(loop_op_read(&right, &op, &in, 1, note));
    assert_int_equal(loop_tcp_try_write(&tcp, &(loop_buf_t){"x", 1}, 1), 1);
    run_until(1);
    assert_int_equal(op.bytes, 1);
    support_finish(loop);
    assert_ok(close(dup_fd) | close(old[1]) | close(tcps[1]));
}

/* It has the open file, and with it the registration. */
static void a_child_that_inherits_a_closed_descriptor_causes_no_events(void **state)
{
    (void)state;
    for (int tcp = 0; tcp < 2; tcp++) {
        int fds[2];
        pid_t child;
        union {
            loop_handle_t handle;
            loop_tcp_t tcp;
            loop_desc_t desc;
        } closed;
        int status;

        begin();
        support_socket_pair(fds);
        if (tcp) {
            assert_ok(loop_tcp_init(loop, &closed.tcp));
            assert_ok(loop_tcp_open(&closed.tcp, fds[0]));
        } else {
            assert_ok(loop_desc_attach(loop, &closed.desc, fds[0], LOOP_DESC_OWNED));
        }
        child = fork();
        if (child == 0) {
            for (;;)
                (void)pause(); /* holds the descriptor until it is killed */
        }
        assert_ok(loop_handle_close(&closed.handle, NULL));
        assert_ok(loop_run(loop, LOOP_RUN_DEFAULT));
        memset(&closed, 0xff, sizeof(closed)); /* whoever follows a stale pointer will notice */
        assert_int_equal(write(fds[1], "x", 1), 1);
        assert_ok(loop_run(loop, LOOP_RUN_NOWAIT));
        support_finish(loop);
        assert_ok(kill(child, SIGKILL));
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_ok(close(fds[1]));
    }
}

LOOP_TEST_MAIN(TEST(a_detached_descriptor_goes_on_in_another_loop), TEST(the_last_operations_callback_may_detach),
               TEST(events_of_a_descriptor_closed_early_reach_nobody_else),
               TEST(a_tcp_handle_may_get_the_number_of_a_descriptor_closed_early),
               TEST(a_child_that_inherits_a_closed_descriptor_causes_no_events))
