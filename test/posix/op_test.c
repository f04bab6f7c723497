/* What operations do on POSIX systems: writing raises no SIGPIPE, ends of pipes, and a send that waits. The rest: ../op_test.c. */
#include "op_fixture.h"

#include <signal.h>
#include <unistd.h>

static void writing_without_a_reader_fails_and_raises_no_signal(void **state)
{
    loop_op_t op = {0};
    sigset_t set;
    sigset_t pending;
    int fds[2];

    (void)state;
    begin();
    assert_ok(pipe(fds));
    assert_ok(close(fds[0]));
    assert_ok(loop_desc_attach(loop, &left, fds[1], LOOP_DESC_OWNED));
    assert_ok(loop_op_write(&left, &op, &(loop_buf_t){"x", 1}, 1, note));
    run_until(1);
    assert_int_equal(op.status, LOOP_EPIPE);

    /* A SIGPIPE that waited before is not ours to take. */
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGPIPE);
    assert_ok(sigprocmask(SIG_BLOCK, &set, NULL));
    assert_ok(loop_op_write(&left, &op, &(loop_buf_t){"x", 1}, 1, note));
    assert_ok(sigpending(&pending));
    assert_false(sigismember(&pending, SIGPIPE));
    assert_ok(raise(SIGPIPE));
    run_until(2);
    assert_ok(loop_op_write(&left, &op, &(loop_buf_t){"x", 1}, 1, note));
    run_until(3);
    assert_ok(sigpending(&pending));
    assert_true(sigismember(&pending, SIGPIPE));
    assert_ok(signal(SIGPIPE, SIG_IGN) == SIG_ERR);
    assert_ok(sigprocmask(SIG_UNBLOCK, &set, NULL));
    assert_true(signal(SIGPIPE, SIG_DFL) == SIG_IGN);
    support_finish(loop);

    begin_with(SOCK_STREAM);
    assert_ok(loop_handle_close(&left.handle, NULL));
    assert_ok(loop_op_write(&right, &op, &(loop_buf_t){"x", 1}, 1, note));
    run_until(1);
    assert_int_equal(op.status, LOOP_EPIPE);
    support_finish(loop);
}

static void what_is_open_for_one_direction_refuses_the_other(void **state)
{
    char byte = 'x';
    loop_buf_t bufs[2] = {buf_of(&byte, 1), buf_of(&byte, 1)};
    loop_op_t ops[4] = {{0}};
    int fds[2];

    (void)state;
    begin();
    assert_ok(pipe(fds));
    assert_ok(loop_desc_attach(loop, &left, fds[0], LOOP_DESC_OWNED));
    assert_ok(loop_desc_attach(loop, &right, fds[1], LOOP_DESC_OWNED));
    for (unsigned i = 0; i < 2; i++) {
        assert_ok(loop_op_read(&right, &ops[i], bufs, 1 + i, note));
        assert_ok(loop_op_write(&left, &ops[2 + i], bufs, 1 + i, note));
    }
    run_until(4);
    for (int i = 0; i < 4; i++)
        assert_int_equal(ops[i].status, LOOP_EBADF);
    support_finish(loop);
}

/* A full AF_UNIX datagram socket makes the send wait; its buffers and address are copied meanwhile. */
static void a_parked_send_keeps_its_address(void **state)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    loop_op_t sending[400];
    int a = socket(AF_UNIX, SOCK_DGRAM, 0);
    int b = socket(AF_UNIX, SOCK_DGRAM, 0);
    char byte = 'x';
    int parked = 0;
    int got = 0;

    (void)state;
    memset(sending, 0, sizeof(sending));
    begin();
    (void)snprintf(addr.sun_path + 1, sizeof(addr.sun_path) - 1, "loop-test-%ld", (long)getpid());
    assert_ok(bind(a, (struct sockaddr *)&addr, sizeof(addr)));
    assert_ok(loop_desc_attach(loop, &right, b, LOOP_DESC_OWNED));
    for (int i = 0; i < 400; i++) {
        struct sockaddr_un copy = addr;
        loop_buf_t two[2] = {buf_of(&byte, 1), buf_of(&byte, 1)};

        assert_ok(loop_op_send(&right, &sending[i], two, 2, (struct sockaddr *)&copy, note));
        memset(&copy, 0, sizeof(copy));
        memset(two, 0, sizeof(two));
    }
    (void)loop_run(loop, LOOP_RUN_NOWAIT);
    parked = 400 - completions;
    assert_true(parked > 0);
    while (completions < 400 || got < 400) {
        char text[4];

        if (recv(a, text, sizeof(text), MSG_DONTWAIT) == 2)
            got++;
        else
            (void)loop_run(loop, LOOP_RUN_NOWAIT);
    }
    for (int i = 0; i < 400; i++)
        assert_int_equal(sending[i].status, 0);
    support_finish(loop);
    assert_ok(close(a));
}

LOOP_TEST_MAIN(TEST(writing_without_a_reader_fails_and_raises_no_signal),
               TEST(what_is_open_for_one_direction_refuses_the_other), TEST(a_parked_send_keeps_its_address))
