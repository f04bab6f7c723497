/* Rare meetings in the lives of operations, descriptors and streams. Each of these once went wrong. */
#include "op_fixture.h"

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
    loop_os_fd_t fd = support_socket(0);

    assert_ok(support_bind(fd, &addr));
    support_close(fd);
    return addr;
}

static void attach_tcp_socket(void)
{
    assert_ok(loop_desc_attach(loop, &left, support_socket(0), LOOP_DESC_OWNED));
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

/* ---------------------------------------------------------------------------------------------------------- transfers -- */

#define MANY 1100 /* more buffers than one system call takes */

static void a_read_into_more_buffers_than_a_call_takes_loses_nothing(void **state)
{
    static loop_buf_t bufs[MANY];
    loop_buf_t rest = buf_of(text, 2000);
    loop_os_fd_t fds[2];

    (void)state;
    begin_ops();
    support_socket_pair(fds);
    assert_ok(loop_desc_attach(loop, &left, fds[0], LOOP_DESC_OWNED));
    assert_int_equal(support_write(fds[1], text, 2000), 2000);
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
    assert_int_equal(support_write(fds[1], text, 5), 5);
    assert_ok(loop_op_read(&left, &ops[0], bufs, MANY, note));
    run_until(3);
    assert_ok(ops[0].status);
    assert_int_equal(ops[0].bytes, 5);
    support_finish(loop);
    support_close(fds[1]);
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
        loop_os_fd_t fds[2];

        begin_ops();
        if (kind < 3)
            support_socket_pair(fds);
        else
            assert_ok(support_local_pair(fds));
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
        support_close(fds[1]);
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
    assert_int_equal(loop_desc_attach(loop, &left, (loop_os_fd_t)-7, LOOP_DESC_TCP), LOOP_EBADF);
    assert_int_equal(loop_desc_attach(loop, &left, 1 << 24, LOOP_DESC_TCP), LOOP_EBADF);
    assert_int_equal(counts.calls, calls);
    support_finish(loop);
}

/* ------------------------------------------------------------------------------------------------------------ streams -- */

static char big[8 << 20];

static loop_os_fd_t open_full_stream(void)
{
    loop_os_fd_t peer = support_tcp_and_socket(loop, &tcp);
    loop_buf_t out = buf_of(big, sizeof(big));

    assert_ok(loop_tcp_write(&tcp, &ops[0], &out, 1, note));
    return peer;
}

static void a_shutdown_needs_no_room_in_the_socket(void **state)
{
    loop_os_fd_t peer;

    (void)state;
    begin_ops();
    peer = open_full_stream();
    assert_ok(loop_op_cancel(&ops[0]));
    run_until(1);
    assert_ok(loop_tcp_shutdown(&tcp, &ops[1], note)); /* the peer reads nothing */
    run_until(2);
    assert_ok(ops[1].status);
    support_finish(loop);
    support_close(peer);
}

static void a_shutdown_ended_before_its_turn_has_shut_nothing(void **state)
{
    loop_os_fd_t peer;

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
    support_close(peer);
}

static int callbacks;

static void count_read(loop_tcp_t *t, ptrdiff_t nread, const loop_buf_t *buf)
{
    (void)t;
    (void)nread;
    (void)buf;
    callbacks++;
}

static void reading_started_while_its_deadline_is_over_hears_all_that_comes_later(void **state)
{
    loop_os_fd_t peer;

    (void)state;
    begin_ops();
    callbacks = 0;
    peer = support_tcp_and_socket(loop, &tcp);
    assert_ok(loop_tcp_set_deadline(&tcp, LOOP_READABLE, 0));
    assert_ok(loop_tcp_read_start(&tcp, NULL, count_read));
    assert_ok(loop_tcp_set_deadline(&tcp, LOOP_READABLE, LOOP_NO_DEADLINE));
    for (int i = 1; i <= 3; i++) {
        assert_int_equal(support_send(peer, "x", 1, 0), 1);
        while (callbacks < i)
            assert_true(loop_run(loop, LOOP_RUN_ONCE) >= 0);
    }
    support_finish(loop);
    support_close(peer);
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
               TEST(a_read_into_more_buffers_than_a_call_takes_loses_nothing),
               TEST(a_wait_for_both_directions_behind_a_read_sees_that_it_may_write),
               TEST(numbers_of_nothing_are_refused_and_cost_no_memory), TEST(a_shutdown_needs_no_room_in_the_socket),
               TEST(a_shutdown_ended_before_its_turn_has_shut_nothing),
               TEST(reading_started_while_its_deadline_is_over_hears_all_that_comes_later),
               TEST(an_operation_that_was_refused_is_as_it_was))
