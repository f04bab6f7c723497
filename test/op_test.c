/* Operations on descriptors of the caller: what each kind does. */
#include "op_fixture.h"

/* ----------------------------------------------------------------------------------------------- reading and writing -- */

static void what_is_written_is_read(void **state)
{
    char a[] = "one ";
    char b[] = "two";
    char text[16] = "";
    loop_buf_t out[3] = {buf_of(a, 4), buf_of(NULL, 0), buf_of(b, 3)};
    loop_buf_t in[2] = {buf_of(text, 2), buf_of(text + 2, 14)};
    loop_op_t reading = {0};
    loop_op_t writing = {0};

    (void)state;
    begin_with(SOCK_STREAM);
    assert_null(loop_op_get_handle(&reading));
    assert_ok(loop_op_read(&left, &reading, in, 2, note));
    assert_ok(loop_op_write(&right, &writing, out, 3, note));
    memset(out, 0, sizeof(out)); /* the arrays are ours when the call returns */
    memset(in, 0, sizeof(in));
    assert_int_equal(completions, 0); /* never inline */
    assert_true(loop_handle_is_active(&left.handle));
    assert_ptr_equal(loop_op_get_handle(&reading), &left.handle);
    run_until(2);
    assert_ptr_equal(done[0], &writing);
    assert_int_equal(writing.bytes, 7);
    assert_int_equal(reading.bytes, 7);
    assert_int_equal(reading.status, 0);
    assert_memory_equal(text, "one two", 7);
    assert_false(loop_handle_is_active(&left.handle));
    support_finish(loop);
}

static void operations_of_one_direction_complete_in_their_order(void **state)
{
    char text[8] = "";
    loop_op_t ops[4];
    loop_op_t writing = {0};

    (void)state;
    memset(ops, 0, sizeof(ops));
    begin_with(SOCK_STREAM);
    for (int i = 0; i < 4; i++)
        assert_ok(loop_op_read(&left, &ops[i], &(loop_buf_t){&text[i], 1}, 1, note));
    assert_ok(loop_op_write(&right, &writing, &(loop_buf_t){"abcd", 4}, 1, note));
    run_until(5);
    for (int i = 0; i < 4; i++)
        assert_ptr_equal(done[i + 1], &ops[i]);
    assert_string_equal(text, "abcd");
    support_finish(loop);
}

static void the_end_of_the_stream_is_a_status(void **state)
{
    char text[8];
    loop_op_t op = {0};

    (void)state;
    begin_with(SOCK_STREAM);
    assert_ok(loop_op_read(&left, &op, &(loop_buf_t){text, 8}, 1, note));
    assert_ok(loop_handle_close(&right.handle, NULL));
    run_until(1);
    assert_int_equal(op.status, LOOP_EOF);
    assert_int_equal(op.bytes, 0);
    support_finish(loop);
}

static void transfers_of_no_bytes(void **state)
{
    char text[8];
    loop_op_t op = {0};

    (void)state;
    begin_with(SOCK_STREAM);
    assert_ok(loop_op_write(&right, &op, NULL, 0, note));
    run_until(1);
    assert_int_equal(op.status, 0);
    assert_ok(loop_op_read(&left, &op, &(loop_buf_t){text, 0}, 1, note)); /* waits for something to read */
    assert_int_equal(loop_run(loop, LOOP_RUN_NOWAIT), 1);
    assert_int_equal(completions, 1);
    assert_int_equal(support_write(loop_desc_fd(&right), "x", 1), 1);
    run_until(2);
    assert_int_equal(op.status, 0);
    assert_int_equal(op.bytes, 0);
    assert_ok(loop_op_read(&left, &op, NULL, 0, note)); /* no array either */
    run_until(3);
    assert_int_equal(op.status, 0);
    assert_int_equal(op.bytes, 0);
    support_finish(loop);
}

#define BIG ((size_t)4 * 1024 * 1024)
#define PIECES 3000

static void a_write_of_many_buffers_waits_until_all_went_out(void **state)
{
    unsigned char *data = malloc(BIG);
    unsigned char *got = malloc(BIG);
    loop_buf_t *bufs = calloc(PIECES, sizeof(*bufs));
    loop_op_t writing = {0};
    size_t received = 0;

    (void)state;
    assert_non_null(data);
    assert_non_null(got);
    assert_non_null(bufs);
    for (size_t i = 0; i < BIG; i++)
        data[i] = (unsigned char)(i * 31 + i / 4096);
    for (size_t i = 0; i < PIECES; i++) {
        size_t from = i * (BIG / PIECES);

        bufs[i] = buf_of(data + from, (i + 1 < PIECES ? (i + 1) * (BIG / PIECES) : BIG) - from);
    }
    begin_with(SOCK_STREAM);
    assert_ok(loop_op_write(&right, &writing, bufs, PIECES, note));
    free(bufs);
    while (received < BIG) {
        ptrdiff_t n = support_read(loop_desc_fd(&left), got + received, BIG - received);

        if (n > 0)
            received += (size_t)n;
        else
            assert_true(loop_run(loop, LOOP_RUN_NOWAIT) >= 0);
    }
    run_until(1);
    assert_int_equal(writing.bytes, BIG);
    assert_int_equal(writing.status, 0);
    assert_memory_equal(data, got, BIG);
    free(data);
    free(got);
    support_finish(loop);
}

static void a_cancelled_write_tells_how_much_went_out(void **state)
{
    unsigned char *data = calloc(1, BIG);
    loop_op_t writing = {0};
    loop_op_t second = {0};
    size_t received = 0;
    ptrdiff_t n;

    (void)state;
    assert_non_null(data);
    begin_with(SOCK_STREAM);
    assert_ok(loop_op_write(&right, &writing, &(loop_buf_t){data, BIG}, 1, note));
    assert_ok(loop_op_write(&right, &second, &(loop_buf_t){data, 1}, 1, note));
    assert_ok(loop_op_cancel(&second));
    assert_ok(loop_op_cancel(&writing));
    assert_ok(loop_op_cancel(&writing)); /* asking twice changes nothing */
    run_until(2);
    assert_int_equal(writing.status, LOOP_ECANCELED);
    assert_true(writing.bytes > 0 && writing.bytes < BIG);
    assert_int_equal(second.status, LOOP_ECANCELED);
    assert_int_equal(second.bytes, 0);
    while ((n = support_read(loop_desc_fd(&left), data, BIG)) > 0)
        received += (size_t)n;
    assert_int_equal(received, writing.bytes);
    free(data);
    support_finish(loop);
}

static void writing_to_a_pipe_without_a_reader_fails(void **state)
{
    loop_op_t op = {0};
    loop_os_fd_t fds[2];

    (void)state;
    begin();
    assert_ok(support_pipe(fds));
    support_close(fds[0]);
    assert_ok(loop_desc_attach(loop, &left, fds[1], LOOP_DESC_OWNED));
    assert_ok(loop_op_write(&left, &op, &(loop_buf_t){"x", 1}, 1, note));
    run_until(1);
    assert_int_equal(op.status, LOOP_EPIPE);
    assert_int_equal(op.bytes, 0);
    support_finish(loop);
}

/* --------------------------------------------------------------------------------------------------------- datagrams -- */

static void datagrams_keep_their_bounds_and_bring_their_sender(void **state)
{
    struct sockaddr_storage addr = support_loopback();
    struct sockaddr_storage from;
    struct sockaddr_storage own = support_loopback();
    loop_os_fd_t a = support_datagram_socket();
    loop_os_fd_t b = support_datagram_socket();
    loop_op_t receiving[3];
    loop_op_t sending = {0};
    char text[3][4] = {"", "", ""};

    (void)state;
    memset(receiving, 0, sizeof(receiving));
    begin();
    assert_ok(support_bind(a, &addr));
    assert_ok(support_bind(b, &own));
    assert_ok(loop_desc_attach(loop, &left, a, LOOP_DESC_OWNED));
    assert_ok(loop_desc_attach(loop, &right, b, LOOP_DESC_OWNED));
    for (int i = 0; i < 3; i++)
        assert_ok(loop_op_receive(&left, &receiving[i], &(loop_buf_t){text[i], 4}, 1, i == 0 ? &from : NULL, note));
    assert_ok(loop_op_send(&right, &sending, &(loop_buf_t){"abc", 3}, 1, (struct sockaddr *)&addr, note));
    run_until(2);
    assert_int_equal(receiving[0].bytes, 3);
    assert_int_equal(receiving[0].flags, 0);
    assert_int_equal(loop_ip_port((struct sockaddr *)&from), loop_ip_port((struct sockaddr *)&own));
    assert_ok(loop_op_send(&right, &sending, NULL, 0, (struct sockaddr *)&addr, note));
    run_until(4);
    assert_int_equal(receiving[1].bytes, 0);
    assert_int_equal(receiving[1].status, 0);
    assert_ok(loop_op_send(&right, &sending, &(loop_buf_t){"too long", 8}, 1, (struct sockaddr *)&addr, note));
    run_until(6);
    assert_int_equal(receiving[2].bytes, 4);
    assert_int_equal(receiving[2].flags, LOOP_OP_TRUNCATED);
    support_finish(loop);
}

#define MANY 1100 /* more buffers than one system call takes */

static void a_datagram_for_many_buffers_fills_those_that_one_call_takes(void **state)
{
    static loop_buf_t bufs[MANY];
    static char data[MANY + 1];
    loop_op_t op = {0};

    (void)state;
    begin_with(SOCK_DGRAM);
    for (size_t i = 0; i < MANY; i++)
        bufs[i] = buf_of(data + i, 1);
    for (int parked = 0; parked < 2; parked++) {
        memset(data, 0, sizeof(data));
        if (parked)
            assert_ok(loop_op_receive(&left, &op, bufs, MANY, NULL, note));
        assert_int_equal(support_write(loop_desc_fd(&right), "hello", 5), 5);
        if (!parked)
            assert_ok(loop_op_receive(&left, &op, bufs, MANY, NULL, note));
        run_until(2 * parked + 1);
        assert_int_equal(op.bytes, 5);
        assert_int_equal(op.flags, 0);
        assert_string_equal(data, "hello");
        assert_int_equal(support_write(loop_desc_fd(&right), data, MANY), MANY);
        assert_ok(loop_op_receive(&left, &op, bufs, MANY, NULL, note));
        run_until(2 * parked + 2);
        assert_ok(op.status);
        assert_true(op.bytes == MANY || op.flags == LOOP_OP_TRUNCATED); /* never less without a word */
    }
    support_finish(loop);
}

static unsigned seen_flags;
static size_t seen_bytes;

/* A stream's results are the caller's during the callback only. */
static void see(loop_op_t *op)
{
    seen_flags = op->flags;
    seen_bytes = op->bytes;
    note(op);
}

static void empty_buffers_before_others_take_nothing_from_a_datagram(void **state)
{
    static loop_buf_t bufs[MANY];
    char data[8] = "";
    loop_op_t op = {0};

    (void)state;
    begin_with(SOCK_DGRAM);
    for (size_t i = 0; i < MANY; i++)
        bufs[i] = buf_of(data, i == MANY - 1 ? 5 : 0);
    assert_ok(loop_op_receive(&left, &op, bufs, MANY, NULL, see));
    assert_int_equal(support_write(loop_desc_fd(&right), "hello", 5), 5);
    run_until(1);
    assert_int_equal(seen_flags, 0);
    assert_int_equal(seen_bytes, 5);
    assert_memory_equal(data, "hello", 5);
    assert_ok(loop_op_receive_stream(&left, &op, bufs, MANY, NULL, see));
    for (int i = 0; i < 2; i++) {
        assert_int_equal(support_write(loop_desc_fd(&right), i == 0 ? "one.." : "two..", 5), 5);
        run_until(i + 2);
        assert_int_equal(seen_flags, LOOP_OP_MORE);
        assert_int_equal(seen_bytes, 5);
        assert_memory_equal(data, i == 0 ? "one.." : "two..", 5);
    }
    support_finish(loop);
}

static void a_datagram_nobody_wants_is_reported_on_a_connected_socket(void **state)
{
    struct sockaddr_storage addr = support_loopback();
    loop_os_fd_t gone = support_datagram_socket();
    loop_os_fd_t fd = support_datagram_socket();
    loop_op_t receiving = {0};
    loop_op_t sending = {0};
    char text[4];

    (void)state;
    begin();
    assert_ok(support_bind(gone, &addr));
    support_close(gone);
    assert_ok(support_connect(fd, &addr));
    assert_ok(loop_desc_attach(loop, &left, fd, LOOP_DESC_OWNED));
    assert_ok(loop_op_receive(&left, &receiving, &(loop_buf_t){text, 4}, 1, NULL, note));
    assert_ok(loop_op_send(&left, &sending, &(loop_buf_t){"x", 1}, 1, NULL, note));
    run_until(2);
    assert_int_equal(receiving.status, LOOP_ECONNREFUSED);
    support_finish(loop);
}

/* --------------------------------------------------------------------------------------------------------- readiness -- */

static void readiness_is_what_the_system_says_now(void **state)
{
    char text[8];
    loop_op_t op = {0};
    loop_os_fd_t fd;

    (void)state;
    begin_with(SOCK_STREAM);
    fd = loop_desc_fd(&left);
    assert_ok(loop_op_ready(&left, &op, LOOP_READABLE | LOOP_WRITABLE, note));
    run_until(1);
    assert_int_equal(op.flags, LOOP_WRITABLE);
    assert_ok(loop_op_ready(&left, &op, LOOP_READABLE, note));
    assert_int_equal(loop_run(loop, LOOP_RUN_NOWAIT), 1);
    assert_int_equal(completions, 1);
    assert_int_equal(support_write(loop_desc_fd(&right), "ab", 2), 2);
    run_until(2);
    assert_int_equal(op.flags, LOOP_READABLE);
    assert_int_equal(support_read(fd, text, 1), 1);
    assert_ok(loop_op_ready(&left, &op, LOOP_READABLE, note)); /* one byte is left */
    run_until(3);
    assert_int_equal(support_read(fd, text, 8), 1);
    assert_ok(loop_op_ready(&left, &op, LOOP_READABLE, note)); /* none is */
    assert_int_equal(loop_run(loop, LOOP_RUN_NOWAIT), 1);
    assert_int_equal(completions, 3);
    assert_ok(loop_op_cancel(&op));
    run_until(4);
    assert_int_equal(op.status, LOOP_ECANCELED);
    assert_int_equal(loop_op_ready(&left, &op, 0, note), LOOP_EINVAL);
    assert_int_equal(loop_op_ready(&left, &op, 64, note), LOOP_EINVAL);
    support_finish(loop);
}

static void a_full_socket_becomes_writable_when_the_peer_reads(void **state)
{
    static char data[65536];
    loop_op_t writable = {0};
    loop_op_t either = {0};
    loop_os_fd_t fd;

    (void)state;
    begin_with(SOCK_STREAM);
    fd = loop_desc_fd(&left);
    while (support_write(fd, data, sizeof(data)) > 0)
        continue;
    assert_ok(loop_op_ready(&left, &writable, LOOP_WRITABLE, note));
    assert_ok(loop_op_ready(&left, &either, LOOP_READABLE | LOOP_WRITABLE, note));
    assert_int_equal(loop_run(loop, LOOP_RUN_NOWAIT), 1);
    assert_int_equal(completions, 0);
    while (support_read(loop_desc_fd(&right), data, sizeof(data)) > 0)
        continue;
    run_until(2);
    assert_int_equal(writable.flags, LOOP_WRITABLE);
    assert_int_equal(either.flags, LOOP_WRITABLE);
    support_finish(loop);
}

static void a_hang_up_counts_as_both(void **state)
{
    loop_op_t op = {0};

    (void)state;
    begin_with(SOCK_STREAM);
    assert_ok(loop_op_ready(&left, &op, LOOP_READABLE, note));
    assert_ok(loop_handle_close(&right.handle, NULL));
    run_until(1);
    assert_int_equal(op.flags, LOOP_READABLE);
    assert_ok(loop_op_ready(&left, &op, LOOP_READABLE | LOOP_WRITABLE, note));
    run_until(2);
    assert_int_equal(op.flags, LOOP_READABLE | LOOP_WRITABLE);
    support_finish(loop);
}

/* ------------------------------------------------------------------------------------------------ accept and connect -- */

static void connections_are_made_and_taken_by_operations(void **state)
{
    struct sockaddr_storage addr = support_loopback();
    loop_os_fd_t listener = support_socket(0);
    loop_os_fd_t client = support_socket(0);
    loop_op_t accepting[2];
    loop_op_t connecting = {0};

    (void)state;
    memset(accepting, 0, sizeof(accepting));
    begin();
    assert_ok(support_listen_at(listener, &addr, 8));
    assert_ok(loop_desc_attach(loop, &left, listener, LOOP_DESC_OWNED));
    assert_ok(loop_op_accept(&left, &accepting[0], note));
    assert_ok(loop_op_accept(&left, &accepting[1], note));
    assert_ok(loop_desc_attach(loop, &right, client, LOOP_DESC_OWNED)); /* before it connects: it reports a hang-up */
    (void)loop_run(loop, LOOP_RUN_NOWAIT);
    assert_ok(loop_op_connect(&right, &connecting, (struct sockaddr *)&addr, note));
    run_until(2);
    assert_int_equal(connecting.status, 0);
    assert_int_equal(accepting[0].status, 0);
    assert_true(support_inherited_is(accepting[0].fd, false));
    assert_true(support_nonblocking_is(accepting[0].fd, true));
    support_close(accepting[0].fd);
    assert_ok(loop_op_cancel(&accepting[1]));
    run_until(3);
    assert_int_equal(accepting[1].status, LOOP_ECANCELED);
    assert_int_equal(accepting[1].fd, LOOP_INVALID_FD);
    assert_int_equal(loop_op_connect(&right, &connecting, NULL, note), LOOP_EINVAL);
    support_finish(loop);
}

static void a_refused_connection_is_a_status(void **state)
{
    struct sockaddr_storage addr = support_loopback();
    loop_os_fd_t gone = support_socket(0);
    loop_op_t connecting = {0};

    (void)state;
    begin();
    assert_ok(support_bind(gone, &addr));
    support_close(gone);
    assert_ok(loop_desc_attach(loop, &left, support_socket(0), LOOP_DESC_OWNED));
    assert_ok(loop_op_connect(&left, &connecting, (struct sockaddr *)&addr, note));
    run_until(1);
    assert_int_equal(connecting.status, LOOP_ECONNREFUSED);
    support_finish(loop);
}

LOOP_TEST_MAIN(TEST(what_is_written_is_read), TEST(operations_of_one_direction_complete_in_their_order),
               TEST(the_end_of_the_stream_is_a_status), TEST(transfers_of_no_bytes),
               TEST(a_write_of_many_buffers_waits_until_all_went_out), TEST(a_cancelled_write_tells_how_much_went_out),
               TEST(writing_to_a_pipe_without_a_reader_fails), TEST(datagrams_keep_their_bounds_and_bring_their_sender),
               TEST(a_datagram_for_many_buffers_fills_those_that_one_call_takes),
               TEST(empty_buffers_before_others_take_nothing_from_a_datagram),
               TEST(a_datagram_nobody_wants_is_reported_on_a_connected_socket),
               TEST(readiness_is_what_the_system_says_now), TEST(a_full_socket_becomes_writable_when_the_peer_reads),
               TEST(a_hang_up_counts_as_both), TEST(connections_are_made_and_taken_by_operations),
               TEST(a_refused_connection_is_a_status))
