/* Rare meetings that need what only POSIX has: calls that fail or lie by the seam, numbers of descriptors that others get, and
 * descriptors that leave their loop. The rest: ../life_test.c. */
#include "fault_calls.h"
#include "op_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

static char text[65536];
static loop_op_t ops[4];
static loop_tcp_t tcp;

static void begin_ops(void)
{
    begin();
    memset(ops, 0, sizeof(ops));
}

/* --------------------------------------------------------------------------------------------------------- connecting -- */

static void a_write_behind_a_connect_that_was_ended_is_cancelled(void **state)
{
    struct sockaddr_storage addr = support_loopback_port(1); /* nobody listens there */
    loop_buf_t out = buf_of(text, 5);

    (void)state;
    for (int cancelled = 0; cancelled < 2; cancelled++) {
        begin_ops();
        assert_ok(loop_tcp_init(loop, &tcp));
        fault_begin();
        if (!cancelled)
            fault_arm(FAULT_connect, 1, ENETUNREACH, 1);
        assert_ok(loop_tcp_connect(&tcp, &ops[0], (struct sockaddr *)&addr, note));
        fault_end();
        assert_ok(loop_op_cancel(&ops[0]));
        assert_ok(loop_tcp_write(&tcp, &ops[1], &out, 1, note)); /* its callback is still to come */
        assert_int_equal(loop_tcp_try_write(&tcp, &out, 1), LOOP_EAGAIN);
        run_until(2);
        assert_true(ops[0].status == LOOP_ENETUNREACH || cancelled);
        assert_true(ops[0].status != 0);
        assert_int_equal(ops[1].status, LOOP_ECANCELED);
        assert_int_equal(ops[1].bytes, 0);
        assert_int_equal(loop_tcp_write_queue_size(&tcp), 0);
        assert_int_equal(loop_tcp_write(&tcp, &ops[1], &out, 1, note), LOOP_ENOTCONN);
        assert_int_equal(loop_tcp_try_write(&tcp, &out, 1), LOOP_ENOTCONN);
        support_finish(loop);
    }
}

/* A socket whose connection is not yet made. */
static ssize_t not_yet(int fd, const void *base, size_t len, int flags)
{
    (void)fd;
    (void)base;
    (void)len;
    (void)flags;
    errno = EAGAIN;
    return -1;
}

static void a_connect_that_cannot_be_attached_leaves_no_queue_and_no_registration(void **state)
{
    loop_buf_t out = buf_of(text, 5);

    (void)state;
    for (long failing = 1; failing <= 2; failing++) {
        loop_tcp_t server;
        loop_timer_t keep_alive;
        struct sockaddr_storage addr;
        int duplicate;

        begin_ops();
        addr = support_listen(loop, &server, (loop_connection_cb)abort);
        assert_ok(loop_tcp_init(loop, &tcp));
        fault_begin();
        fault_registrations(1, ENOSPC, failing);
        loop__sys.send = not_yet;
        assert_ok(loop_tcp_connect(&tcp, &ops[0], (struct sockaddr *)&addr, note));
        assert_ok(loop_tcp_write(&tcp, &ops[1], &out, 1, note));
        assert_int_equal(loop_tcp_write_queue_size(&tcp), REGISTERS_LATER ? out.len : 0);
        assert_int_equal(fault_count(FAULT_BACKEND_CHANGE),
                         CHANGES_OF_CONNECTION); /* nothing is registered that is not attached */
        assert_ok(loop_handle_close(&server.handle, NULL));
        run_until(2);
        fault_end();
        assert_int_equal(ops[0].status, LOOP_ENOSPC);
        assert_int_equal(ops[1].status, LOOP_ECANCELED);
        /* A registration that was left would live on with a duplicate and point to nothing. */
        duplicate = dup(loop_tcp_fd(&tcp));
        assert_ok(loop_handle_close(&tcp.handle, NULL));
        assert_ok(loop_run(loop, LOOP_RUN_DEFAULT));
        memset(&tcp, 0xee, sizeof(tcp));
        (void)shutdown(duplicate, SHUT_RDWR); /* if it has not been reset */
        assert_ok(loop_timer_init(loop, &keep_alive));
        assert_ok(loop_timer_start(&keep_alive, (loop_timer_cb)abort, LOOP_SEC(3600), 0));
        assert_int_equal(loop_run(loop, LOOP_RUN_NOWAIT), 1);
        assert_ok(close(duplicate));
        support_finish(loop);
    }
}

/* ---------------------------------------------------------------------------------------------------------- transfers -- */

static int written_nothing;

static ssize_t write_nothing(int fd, const struct iovec *iov, int n)
{
    (void)fd;
    (void)iov;
    (void)n;
    written_nothing++;
    return 0;
}

static void a_system_that_writes_nothing_of_something_is_an_error(void **state)
{
    loop_buf_t out = buf_of(text, sizeof(text));

    (void)state;
    for (int parked = 0; parked < 2; parked++) {
        int fds[2];
        ssize_t n = 1;

        begin_ops();
        written_nothing = 0;
        assert_ok(pipe(fds));
        assert_ok(loop_desc_attach(loop, &left, fds[1], LOOP_DESC_OWNED));
        while (parked && n > 0)
            n = write(fds[1], text, sizeof(text));
        fault_begin();
        if (!parked)
            loop__sys.writev = write_nothing;
        assert_ok(loop_op_write(&left, &ops[0], &out, 1, note));
        loop__sys.writev = write_nothing;
        if (parked)
            assert_true(read(fds[0], text, sizeof(text)) > 0);
        run_until(1);
        fault_end();
        assert_int_equal(ops[0].status, LOOP_EIO);
        assert_int_equal(ops[0].bytes, 0);
        assert_int_equal(written_nothing, 1); /* trying again would never end */
        support_finish(loop);
        assert_ok(close(fds[0]));
    }
}

/* ------------------------------------------------------------------------------------------------------------ numbers -- */

static void a_write_that_has_lost_its_number_writes_to_nobody_else(void **state)
{
    static loop_buf_t pieces[20000];
    int size = 8 << 20;
    int old[2];
    int sockets[2];
    int number;

    (void)state;
    begin_ops();
    assert_ok(socketpair(AF_UNIX, SOCK_STREAM, 0, old));
    assert_ok(setsockopt(old[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)));
    support_socket_pair(sockets);
    number = old[0];
    assert_ok(loop_desc_attach(loop, &left, number, LOOP_DESC_OWNED));
    for (int i = 0; i < 20000; i++)
        pieces[i] = buf_of(text, 1);
    assert_ok(loop_op_write(&left, &ops[0], pieces, 20000, note)); /* gives way to others before it is done */
    assert_int_equal(dup2(sockets[0], number), number);
    assert_ok(close(sockets[0]));
    assert_ok(loop_tcp_init(loop, &tcp));
    assert_ok(loop_tcp_open(&tcp, number));
    run_until(1);
    assert_int_equal(ops[0].status, LOOP_EBADF);
    assert_ok(loop_handle_close(&left.handle, NULL)); /* owned, but not any more */
    (void)loop_run(loop, LOOP_RUN_NOWAIT);
    assert_true(fcntl(number, F_GETFD) >= 0);
    assert_int_equal(recv(sockets[1], text, sizeof(text), MSG_DONTWAIT), -1);
    assert_int_equal(errno, EAGAIN);
    support_finish(loop);
    assert_ok(close(old[1]) | close(sockets[1]));
}

static void a_socket_that_could_not_be_opened_is_as_it_was(void **state)
{
    int fds[2];
    int flags;

    (void)state;
    begin_ops();
    support_socket_pair(fds);
    flags = fcntl(fds[0], F_GETFL);
    assert_ok(loop_desc_attach(loop, &left, fds[0], LOOP_DESC_TCP));
    assert_ok(loop_tcp_init(loop, &tcp));
    assert_int_equal(loop_tcp_open(&tcp, fds[0]), LOOP_EEXIST);
    assert_int_equal(fcntl(fds[0], F_GETFL), flags);
    assert_ok(loop_desc_detach(&left));
    fault_begin();
    fault_arm(FAULT_fcntl, 1, ENOMEM, 1);
    assert_int_equal(loop_tcp_open(&tcp, fds[0]), LOOP_ENOMEM);
    fault_end();
    assert_int_equal(fcntl(fds[0], F_GETFL), flags);
    assert_ok(loop_tcp_open(&tcp, fds[0])); /* and may be opened still */
    support_finish(loop);
    assert_ok(close(fds[1]));
}

/* ------------------------------------------------------------------------------------------------------------ streams -- */

#define WRITES 5000

static long sends_before_callback;

static void note_first_write(loop_op_t *op)
{
    if (completions == 1)
        sends_before_callback = fault_count(FAULT_send);
    note(op);
}

static void many_small_writes_leave_others_their_turn(void **state)
{
    static loop_op_t writes[WRITES];
    static char big[8 << 20];
    loop_buf_t much = buf_of(big, sizeof(big));
    loop_buf_t out = buf_of(text, 1);
    int peer;

    (void)state;
    begin_ops();
    memset(writes, 0, sizeof(writes));
    peer = support_tcp_and_socket(loop, &tcp);
    assert_ok(loop_tcp_write(&tcp, &ops[0], &much, 1, note));
    for (int i = 0; i < WRITES; i++)
        assert_ok(loop_tcp_write(&tcp, &writes[i], &out, 1, note_first_write));
    assert_ok(loop_op_cancel(&ops[0]));
    run_until(1);
    fault_begin();
    while (completions < WRITES + 1) {
        (void)recv(peer, text, sizeof(text), MSG_DONTWAIT);
        assert_true(loop_run(loop, LOOP_RUN_NOWAIT) >= 0);
    }
    fault_end();
    assert_in_range(sends_before_callback, 1, 600);
    support_finish(loop);
    assert_ok(close(peer));
}

static int callbacks;

static void count_read(loop_tcp_t *t, ptrdiff_t nread, const loop_buf_t *buf)
{
    (void)t;
    (void)nread;
    (void)buf;
    callbacks++;
}

static void count_timer(loop_timer_t *timer)
{
    (void)timer;
    callbacks++;
}

static ssize_t nothing_there(int fd, void *base, size_t len, int flags)
{
    (void)fd;
    (void)base;
    (void)len;
    (void)flags;
    errno = EAGAIN;
    return -1;
}

static void an_edge_that_calls_nobody_back_ends_no_run_once(void **state)
{
    (void)state;
    for (int way = 0; way < 2; way++) {
        loop_timer_t timer;
        int peer;

        begin_ops();
        callbacks = 0;
        peer = support_tcp_and_socket(loop, &tcp);
        (void)loop_run(loop, LOOP_RUN_NOWAIT);
        assert_ok(loop_tcp_read_start(&tcp, NULL, count_read));
        fault_begin();
        if (way == 0)
            assert_ok(loop_tcp_read_stop(&tcp));
        else
            loop__sys.recv = nothing_there; /* it was read before its edge came */
        assert_int_equal(send(peer, "x", 1, 0), 1);
        assert_ok(loop_timer_init(loop, &timer));
        assert_ok(loop_timer_start(&timer, count_timer, LOOP_MS(20), 0));
        (void)loop_run(loop, LOOP_RUN_ONCE);
        fault_end();
        assert_int_equal(callbacks, 1);
        support_finish(loop);
        assert_ok(close(peer));
    }
}

static ssize_t reset(int fd, const void *base, size_t len, int flags)
{
    (void)fd;
    (void)base;
    (void)len;
    (void)flags;
    loop__sys.send = NULL; /* the system tells once */
    errno = ECONNRESET;
    return -1;
}

static void the_error_of_a_write_is_asked_for_once(void **state)
{
    loop_buf_t out = buf_of(text, 4);
    int peer;

    (void)state;
    begin_ops();
    peer = support_tcp_and_socket(loop, &tcp);
    fault_begin();
    loop__sys.send = reset;
    assert_ok(loop_tcp_write(&tcp, &ops[0], &out, 1, note));
    fault_end();
    run_until(1);
    assert_int_equal(ops[0].status, LOOP_ECONNRESET);
    support_finish(loop);
    assert_ok(close(peer));
}

static void an_interrupted_try_is_made_again(void **state)
{
    loop_buf_t out[2] = {buf_of(text, 4), buf_of(text, 3)};
    int peer;

    (void)state;
    begin_ops();
    peer = support_tcp_and_socket(loop, &tcp);
    for (unsigned count = 1; count <= 2; count++) {
        enum fault_row row = count == 1 ? FAULT_send : FAULT_sendmsg;

        fault_begin();
        fault_arm(row, 1, EINTR, 3);
        assert_int_equal(loop_tcp_try_write(&tcp, out, count), count == 1 ? 4 : 7);
        assert_int_equal(fault_count(row), 4);
        fault_end();
    }
    support_finish(loop);
    assert_ok(close(peer));
}

LOOP_TEST_MAIN(TEST(a_write_behind_a_connect_that_was_ended_is_cancelled),
               TEST(a_connect_that_cannot_be_attached_leaves_no_queue_and_no_registration),
               TEST(a_system_that_writes_nothing_of_something_is_an_error),
               TEST(a_write_that_has_lost_its_number_writes_to_nobody_else),
               TEST(a_socket_that_could_not_be_opened_is_as_it_was), TEST(many_small_writes_leave_others_their_turn),
               TEST(an_edge_that_calls_nobody_back_ends_no_run_once), TEST(the_error_of_a_write_is_asked_for_once),
               TEST(an_interrupted_try_is_made_again))
