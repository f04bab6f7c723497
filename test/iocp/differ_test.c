/* What a program sees on Windows and nowhere else: the rows of docs/platforms.md that stand in no shared test. */
#include "op_fixture.h"

#include <windows.h>

static int closed;
static int told;
static int told_status;

static void on_close(loop_handle_t *handle)
{
    (void)handle;
    closed++;
}

static void on_poll(loop_poll_t *poll, int status, unsigned events)
{
    (void)poll;
    (void)events;
    told++;
    told_status = status;
}

static void turns(int n)
{
    while (n-- > 0)
        assert_true(loop_run(loop, LOOP_RUN_NOWAIT) >= 0);
}

/* -------------------------------------------------------------------------------------------------------- attaching -- */

static void what_is_not_open_for_overlapped_calls_is_not_pollable(void **state)
{
    HANDLE ends[2];
    SOCKET synchronous;

    (void)state;
    begin(); /* Winsock is started by now */
    assert_true(CreatePipe(&ends[0], &ends[1], NULL, 0));
    synchronous = WSASocketW(AF_INET, SOCK_STREAM, 0, NULL, 0, 0);
    assert_true(synchronous != INVALID_SOCKET);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(loop_desc_attach(loop, &left, (loop_os_fd_t)ends[i], 0), LOOP_ENOTPOLLABLE);
        assert_true(CloseHandle(ends[i]));
    }
    assert_int_equal(loop_desc_attach(loop, &left, synchronous, 0), LOOP_ENOTPOLLABLE);
    support_close(synchronous);
    support_finish(loop);
}

static void a_descriptor_stays_with_its_first_loop(void **state)
{
    loop_t *other = support_loop();
    loop_os_fd_t fds[2];

    (void)state;
    begin();
    closed = 0;
    assert_ok(support_local_pair(fds));
    assert_ok(loop_desc_attach(loop, &left, fds[0], 0));
    assert_int_equal(loop_desc_attach(other, &right, fds[0], 0), LOOP_ENOTPOLLABLE);
    assert_ok(loop_handle_close(&left.handle, on_close));
    support_until(loop, &closed);
    assert_int_equal(loop_desc_attach(other, &right, fds[0], 0), LOOP_ENOTPOLLABLE);
    support_finish(other);
    support_finish(loop);
    support_close(fds[0]);
    support_close(fds[1]);
}

/* ------------------------------------------------------------------------------------------------------- readiness -- */

static void only_sockets_can_be_polled(void **state)
{
    loop_poll_t poll;
    loop_os_fd_t fds[2];

    (void)state;
    begin();
    assert_ok(support_pipe(fds));
    for (int i = 0; i < 2; i++) {
        assert_int_equal(loop_poll_init(loop, &poll, fds[i]), LOOP_ENOTPOLLABLE);
        support_close(fds[i]);
    }
    support_finish(loop);
}

static void a_pipe_is_always_said_to_be_writable(void **state)
{
    static char text[1024 * 1024];
    loop_op_t write = {0};
    loop_op_t ready = {0};
    loop_os_fd_t fds[2];

    (void)state;
    begin();
    assert_ok(support_pipe(fds));
    assert_ok(loop_desc_attach(loop, &left, fds[1], LOOP_DESC_OWNED));
    assert_ok(loop_op_ready(&left, &ready, LOOP_WRITABLE, note));
    run_until(1);
    assert_ok(ready.status);
    assert_int_equal(ready.flags & LOOP_WRITABLE, LOOP_WRITABLE);
    /* More than it holds: that has to wait all the same. */
    assert_ok(loop_op_write(&left, &write, &(loop_buf_t){text, sizeof(text)}, 1, note));
    turns(3);
    assert_int_equal(completions, 1);
    support_finish(loop);
    support_close(fds[0]);
}

static void a_socket_that_is_not_connected_is_quiet(void **state)
{
    loop_poll_t poll;
    loop_os_fd_t fd;

    (void)state;
    begin();
    told = 0;
    fd = support_socket(0);
    assert_ok(loop_poll_init(loop, &poll, fd));
    assert_ok(loop_poll_start(&poll, LOOP_READABLE | LOOP_WRITABLE | LOOP_DISCONNECT, on_poll));
    turns(5);
    assert_int_equal(told, 0);
    support_finish(loop);
    support_close(fd);
}

static void who_is_polled_and_closed_early_is_told_of_at_once(void **state)
{
    loop_poll_t poll;
    loop_os_fd_t fds[2];

    (void)state;
    begin();
    told = 0;
    support_socket_pair(fds);
    assert_ok(loop_poll_init(loop, &poll, fds[0]));
    assert_ok(loop_poll_start(&poll, LOOP_READABLE, on_poll));
    turns(1);
    support_close(fds[0]);
    support_until(loop, &told);
    assert_int_equal(told_status, LOOP_EBADF);
    assert_false(loop_handle_is_active(&poll.handle));
    support_finish(loop);
    support_close(fds[1]);
}

/* ---------------------------------------------------------------------------------------------------------- embedding -- */

static void a_host_has_nothing_to_poll_and_nobody_forks(void **state)
{
    (void)state;
    begin();
    assert_true(loop_backend_fd(loop) == LOOP_INVALID_FD);
    assert_int_equal(loop_fork(loop), LOOP_ENOTSUP);
    turns(1);
    support_finish(loop);
}

LOOP_TEST_MAIN(TEST(what_is_not_open_for_overlapped_calls_is_not_pollable),
               TEST(a_descriptor_stays_with_its_first_loop), TEST(only_sockets_can_be_polled),
               TEST(a_pipe_is_always_said_to_be_writable), TEST(a_socket_that_is_not_connected_is_quiet),
               TEST(who_is_polled_and_closed_early_is_told_of_at_once),
               TEST(a_host_has_nothing_to_poll_and_nobody_forks))
