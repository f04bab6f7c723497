/* Rare meetings in the lives of operations, descriptors and streams. Each of these once went wrong. */
#include "fault.h"
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

/* An address at which nobody listens. */
static struct sockaddr_storage refusing(void)
{
    struct sockaddr_storage addr = support_loopback();
    socklen_t length = sizeof(struct sockaddr_in);
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    assert_ok(bind(fd, (struct sockaddr *)&addr, length));
    assert_ok(getsockname(fd, (struct sockaddr *)&addr, &length));
    assert_ok(close(fd));
    return addr;
}

static void attach_tcp_socket(void)
{
    assert_ok(loop_desc_attach(loop, &left, socket(AF_INET, SOCK_STREAM, 0), LOOP_DESC_OWNED));
}

/* --------------------------------------------------------------------------------------------------------- connecting -- */

static void a_connect_that_ends_takes_what_stands_behind_it_along_once(void **state)
{
    struct sockaddr_storage addr = refusing();
    loop_buf_t out = buf_of(text, 1);

    (void)state;
    for (int cancelled = 0; cancelled < 2; cancelled++) {
        begin_ops();
        attach_tcp_socket();
        assert_ok(loop_op_connect(&left, &ops[0], (struct sockaddr *)&addr, note));
        assert_ok(loop_op_connect(&left, &ops[1], (struct sockaddr *)&addr, note));
        assert_ok(loop_op_write(&left, &ops[2], &out, 1, note));
        if (cancelled)
            assert_ok(loop_op_cancel(&ops[0]));
        run_until(3);
        assert_true(ops[0].status != 0 && ops[1].status != 0 && ops[2].status != 0);
        support_finish(loop);
    }
}

static void a_read_does_not_take_the_error_of_the_connect_beside_it(void **state)
{
    struct sockaddr_storage addr = refusing();
    loop_buf_t in = buf_of(text, 8);

    (void)state;
    begin_ops();
    attach_tcp_socket();
    assert_ok(loop_op_connect(&left, &ops[0], (struct sockaddr *)&addr, note));
    assert_ok(loop_op_read(&left, &ops[1], &in, 1, note));
    run_until(2);
    assert_int_equal(ops[0].status, LOOP_ECONNREFUSED);
    assert_true(ops[1].status != 0);
    support_finish(loop);
}

static void a_write_behind_a_connect_that_was_ended_is_cancelled(void **state)
{
    struct sockaddr_storage addr = refusing();
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

#define MANY 1100 /* more buffers than one system call takes */

static void a_read_into_more_buffers_than_a_call_takes_loses_nothing(void **state)
{
    static loop_buf_t bufs[MANY];
    loop_buf_t rest = buf_of(text, 2000);
    int fds[2];

    (void)state;
    begin_ops();
    support_socket_pair(fds);
    assert_ok(loop_desc_attach(loop, &left, fds[0], LOOP_DESC_OWNED));
    assert_int_equal(write(fds[1], text, 2000), 2000);
    for (int i = 0; i < MANY; i++)
        bufs[i] = buf_of(text + i, 1);
    assert_ok(loop_op_read(&left, &ops[0], bufs, MANY, note));
    run_until(1);
    assert_ok(loop_op_read(&left, &ops[1], &rest, 1, note));
    run_until(2);
    assert_int_equal(ops[0].bytes + ops[1].bytes, 2000);
    /* Empty buffers before the one that is not are no end of the stream. */
    for (int i = 0; i < MANY; i++)
        bufs[i] = buf_of(text, i == MANY - 1 ? 5 : 0);
    assert_int_equal(write(fds[1], text, 5), 5);
    assert_ok(loop_op_read(&left, &ops[0], bufs, MANY, note));
    run_until(3);
    assert_ok(ops[0].status);
    assert_int_equal(ops[0].bytes, 5);
    support_finish(loop);
    assert_ok(close(fds[1]));
}

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

/* What stands before it in the queue of reads: a read, a read of no bytes, a wait. */
static int submit_first(int kind, loop_op_t *op)
{
    loop_buf_t in = buf_of(text, kind == 0 ? 8 : 0);

    return kind < 2 ? loop_op_read(&left, op, &in, 1, note) : loop_op_ready(&left, op, LOOP_READABLE, note);
}

static void a_wait_for_both_directions_behind_a_read_sees_that_it_may_write(void **state)
{
    (void)state;
    for (int kind = 0; kind < 6; kind++) {
        int fds[2];

        begin_ops();
        if (kind < 3)
            support_socket_pair(fds);
        else
            assert_ok(socketpair(AF_UNIX, SOCK_STREAM, 0, fds));
        assert_ok(loop_desc_attach(loop, &left, fds[0], LOOP_DESC_OWNED));
        assert_ok(submit_first(kind % 3, &ops[0]));
        assert_int_equal(loop_run(loop, LOOP_RUN_NOWAIT), 1); /* the edges of the beginning are over */
        assert_ok(loop_op_ready(&left, &ops[1], LOOP_READABLE | LOOP_WRITABLE, note));
        for (int i = 0; i < 3; i++)
            assert_int_equal(loop_run(loop, LOOP_RUN_NOWAIT), 1);
        assert_int_equal(completions, 1);
        assert_ptr_equal(done[0], &ops[1]);
        assert_int_equal(ops[1].flags, LOOP_WRITABLE);
        support_finish(loop);
        assert_ok(close(fds[1]));
    }
}

/* ------------------------------------------------------------------------------------------------------------ numbers -- */

static void numbers_of_nothing_are_refused_and_cost_no_memory(void **state)
{
    struct support_allocator counts = {0};
    loop_allocator_t allocator = support_allocator(&counts);
    loop_options_t options = LOOP_OPTIONS_INIT;
    long calls;

    (void)state;
    options.allocator = &allocator;
    assert_ok(loop_init(&loop, &options));
    calls = counts.calls;
    assert_int_equal(loop_desc_attach(loop, &left, LOOP_INVALID_FD, LOOP_DESC_TCP), LOOP_EBADF);
    assert_int_equal(loop_desc_attach(loop, &left, -7, LOOP_DESC_TCP), LOOP_EBADF);
    assert_int_equal(loop_desc_attach(loop, &left, 1 << 24, LOOP_DESC_TCP), LOOP_EBADF);
    assert_int_equal(counts.calls, calls);
    support_finish(loop);
}

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

static char big[8 << 20];

static int open_full_stream(void)
{
    int peer = support_tcp_and_socket(loop, &tcp);
    loop_buf_t out = buf_of(big, sizeof(big));

    assert_ok(loop_tcp_write(&tcp, &ops[0], &out, 1, note));
    return peer;
}

static void a_shutdown_needs_no_room_in_the_socket(void **state)
{
    int peer;

    (void)state;
    begin_ops();
    peer = open_full_stream();
    assert_ok(loop_op_cancel(&ops[0]));
    run_until(1);
    assert_ok(loop_tcp_shutdown(&tcp, &ops[1], note)); /* the peer reads nothing */
    run_until(2);
    assert_ok(ops[1].status);
    support_finish(loop);
    assert_ok(close(peer));
}

static void a_shutdown_ended_before_its_turn_has_shut_nothing(void **state)
{
    int peer;

    (void)state;
    begin_ops();
    peer = open_full_stream();
    assert_ok(loop_tcp_shutdown(&tcp, &ops[1], note));
    assert_false(loop_tcp_is_writable(&tcp));
    assert_ok(loop_op_cancel(&ops[1]));
    run_until(1);
    assert_int_equal(ops[1].status, LOOP_ECANCELED);
    assert_true(loop_tcp_is_writable(&tcp));
    assert_ok(loop_tcp_shutdown(&tcp, &ops[1], note));
    support_finish(loop);
    assert_ok(close(peer));
}

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
    loop_buf_t out = buf_of(text, 1);
    int peer;

    (void)state;
    begin_ops();
    memset(writes, 0, sizeof(writes));
    peer = open_full_stream();
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

static void reading_started_while_its_deadline_is_over_hears_all_that_comes_later(void **state)
{
    int peer;

    (void)state;
    begin_ops();
    callbacks = 0;
    peer = support_tcp_and_socket(loop, &tcp);
    assert_ok(loop_tcp_set_deadline(&tcp, LOOP_READABLE, 0));
    assert_ok(loop_tcp_read_start(&tcp, NULL, count_read));
    assert_ok(loop_tcp_set_deadline(&tcp, LOOP_READABLE, LOOP_NO_DEADLINE));
    for (int i = 1; i <= 3; i++) {
        assert_int_equal(send(peer, "x", 1, 0), 1);
        while (callbacks < i)
            assert_true(loop_run(loop, LOOP_RUN_ONCE) >= 0);
    }
    support_finish(loop);
    assert_ok(close(peer));
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

/* ------------------------------------------------------------------------------------------------------ refused calls -- */

static void an_operation_that_was_refused_is_as_it_was(void **state)
{
    loop_buf_t out = buf_of(text, 3);

    (void)state;
    begin_with(SOCK_STREAM);
    memset(ops, 0, sizeof(ops));
    assert_ok(loop_op_write(&left, &ops[0], &out, 1, note));
    run_until(1);
    assert_int_equal(loop_op_read(&right, &ops[0], NULL, 1, note), LOOP_EINVAL);
    assert_int_equal(loop_op_ready(&right, &ops[0], 0, note), LOOP_EINVAL);
    assert_int_equal(loop_op_connect(&right, &ops[0], NULL, note), LOOP_EINVAL);
    assert_ptr_equal(loop_op_get_handle(&ops[0]), &left.handle);
    assert_int_equal(ops[0].bytes, 3);
    support_finish(loop);
}

LOOP_TEST_MAIN(TEST(a_connect_that_ends_takes_what_stands_behind_it_along_once),
               TEST(a_read_does_not_take_the_error_of_the_connect_beside_it),
               TEST(a_write_behind_a_connect_that_was_ended_is_cancelled),
               TEST(a_connect_that_cannot_be_attached_leaves_no_queue_and_no_registration),
               TEST(a_read_into_more_buffers_than_a_call_takes_loses_nothing),
               TEST(a_system_that_writes_nothing_of_something_is_an_error),
               TEST(a_wait_for_both_directions_behind_a_read_sees_that_it_may_write),
               TEST(numbers_of_nothing_are_refused_and_cost_no_memory),
               TEST(a_write_that_has_lost_its_number_writes_to_nobody_else),
               TEST(a_socket_that_could_not_be_opened_is_as_it_was), TEST(a_shutdown_needs_no_room_in_the_socket),
               TEST(a_shutdown_ended_before_its_turn_has_shut_nothing), TEST(many_small_writes_leave_others_their_turn),
               TEST(an_edge_that_calls_nobody_back_ends_no_run_once),
               TEST(reading_started_while_its_deadline_is_over_hears_all_that_comes_later),
               TEST(the_error_of_a_write_is_asked_for_once), TEST(an_interrupted_try_is_made_again),
               TEST(an_operation_that_was_refused_is_as_it_was))
