/*
 * Every system call and every allocation fails in turn, where time runs out and where results do not end: deadlines, operations
 * without a callback, streams of connections and of datagrams.
 */
#include "fault_scene.h"

#define SOON LOOP_US(100)
#define MANY 40 /* buffers: more than an operation keeps by itself, also of what is left when a socket is full */

static char big[1 << 19];
static loop_op_t ops[16];
static char text[16];

/* Those that get no deadline are ended at once. */
static void limit(loop_op_t *op, uint64_t due)
{
    if (loop_op_set_deadline(op, due) != 0)
        (void)loop_op_cancel(op);
}

/* An operation that needs memory when it waits. */
static void many_bufs(loop_buf_t bufs[MANY], size_t length)
{
    for (int i = 0; i < MANY; i++)
        bufs[i] = (loop_buf_t){big, length};
}

static loop_os_fd_t listening(struct sockaddr_storage *addr)
{
    loop_os_fd_t fd = support_socket(0);

    *addr = support_loopback();
    assert_ok(support_listen_at(fd, addr, 8));
    return fd;
}

static loop_os_fd_t dial(const struct sockaddr_storage *addr)
{
    loop_os_fd_t fd = support_socket(0);

    assert_ok(support_connect(fd, addr));
    return fd;
}

/* ------------------------------------------------------------------------------------ deadlines of descriptors and operations -- */

static void scene_descriptors(void)
{
    static loop_desc_t full;
    static loop_desc_t quiet;
    loop_buf_t in = {text, sizeof(text)};
    loop_buf_t many[MANY];
    loop_os_fd_t pair[2];
    loop_os_fd_t datagrams[2];

    memset(ops, 0, sizeof(ops));
    many_bufs(many, sizeof(big));
    assert_ok(support_local_pair(pair));
    assert_ok(support_datagram_pair(datagrams));
    if (attach(&full, pair[0]) == 0 &&
        loop_desc_set_deadline(&full, LOOP_READABLE | LOOP_WRITABLE, loop_now(loop) + SOON) == 0) {
        (void)submitted(loop_op_read(&full, &ops[0], &in, 1, timed_out));
        (void)submitted(loop_op_ready(&full, &ops[1], LOOP_READABLE, timed_out));
        (void)submitted(loop_op_write(&full, &ops[2], many, MANY, timed_out));
        (void)submitted(loop_op_ready(&full, &ops[3], LOOP_WRITABLE, timed_out));
    }
    if (attach(&quiet, datagrams[0]) == 0) {
        many_bufs(many, 1);
        if (submitted(loop_op_receive(&quiet, &ops[4], many, MANY, NULL, timed_out)) == 0)
            limit(&ops[4], loop_now(loop) + SOON);
        if (submitted(loop_op_ready(&quiet, &ops[5], LOOP_READABLE, timed_out)) == 0) {
            limit(&ops[5], loop_now(loop) + LOOP_SEC(3600));
            limit(&ops[5], loop_now(loop) + SOON); /* moved */
        }
        if (submitted(loop_op_read(&quiet, &ops[6], &in, 1, timed_out)) == 0)
            limit(&ops[6], loop_now(loop)); /* over at once */
        if (submitted(loop_op_receive_stream(&quiet, &ops[7], many, MANY, NULL, timed_out)) == 0)
            limit(&ops[7], loop_now(loop) + SOON);
    }
    await_operations();

    /* They go on when there is time again. */
    if (loop_desc_fd(&full) != LOOP_INVALID_FD) {
        (void)loop_desc_set_deadline(&full, LOOP_READABLE, LOOP_NO_DEADLINE);
        assert_int_equal(support_send(pair[1], "hello", 5, 0), 5);
        if (submitted(loop_op_read(&full, &ops[8], &in, 1, completed)) == 0)
            limit(&ops[8], LOOP_NO_DEADLINE);
    }
    if (loop_desc_fd(&quiet) != LOOP_INVALID_FD) {
        assert_int_equal(support_send(datagrams[1], "hello", 5, 0), 5);
        if (submitted(loop_op_receive(&quiet, &ops[9], &in, 1, NULL, completed)) == 0)
            limit(&ops[9], loop_now(loop) + LOOP_SEC(3600));
    }
    await_operations();
    close_all();
    support_close(pair[1]);
    support_close(datagrams[1]);
}

/* ---------------------------------------------------------------------------------------------- deadlines of TCP handles -- */

static loop_tcp_t reader;
static loop_tcp_t client;
static loop_os_fd_t peer;
static int reads;

/* First out of time, then data. */
static void on_read(loop_tcp_t *tcp, ptrdiff_t nread, const loop_buf_t *buf)
{
    (void)buf;
    reads++;
    if (nread == LOOP_ETIMEDOUT && loop_tcp_set_deadline(tcp, LOOP_READABLE, LOOP_NO_DEADLINE) == 0) {
        successes++;
        assert_int_equal(support_send(peer, "hello", 5, 0), 5);
        (void)loop_tcp_read_start(tcp, NULL, on_read);
    } else {
        successes += nread == 5;
        (void)loop_handle_close(&tcp->handle, on_closed);
    }
}

static void scene_tcp(void)
{
    loop_buf_t out = {big, 5};
    loop_buf_t many[MANY];
    struct sockaddr_storage addr;
    loop_os_fd_t listener = listening(&addr);
    loop_os_fd_t fds[2];

    memset(ops, 0, sizeof(ops));
    many_bufs(many, sizeof(big));
    reads = 0;
    support_socket_pair(fds);
    peer = fds[1];
    assert_ok(opened(loop_tcp_init(loop, &reader)));
    if (loop_tcp_open(&reader, fds[0]) != 0)
        support_close(fds[0]);
    else if (loop_tcp_set_deadline(&reader, LOOP_READABLE | LOOP_WRITABLE, loop_now(loop) + SOON) == 0) {
        (void)loop_tcp_read_start(&reader, NULL, on_read);
        (void)submitted(loop_tcp_write(&reader, &ops[0], many, MANY, timed_out));
        (void)submitted(loop_tcp_write(&reader, &ops[1], &out, 1, timed_out));
        (void)submitted(loop_tcp_shutdown(&reader, &ops[2], timed_out));
    }
    assert_ok(opened(loop_tcp_init(loop, &client)));
    if (loop_tcp_set_deadline(&client, LOOP_WRITABLE, loop_now(loop) + LOOP_SEC(3600)) == 0 && /* before the socket */
        submitted(loop_tcp_connect(&client, &ops[3], (struct sockaddr *)&addr, completed)) == 0)
        (void)submitted(loop_tcp_write(&client, &ops[4], &out, 1, completed));
    await_operations();
    for (int turn = 0; reads < 2 && loop_handle_is_active(&reader.handle) && scene_turn(&turn);)
        take_turn(SOON);
    (void)loop_tcp_set_deadline(&client, LOOP_WRITABLE, loop_now(loop)); /* over at once */
    if (submitted(loop_tcp_write(&client, &ops[4], &out, 1, timed_out)) == 0)
        await_operations();
    close_all();
    support_close(peer);
    support_close(listener);
}

/* --------------------------------------------------------------------------------------------------- streams of results -- */

static int results;

/* In both streams: after three results enough is enough. */
static void on_result(loop_op_t *op)
{
    if (op->data != NULL && op->fd != LOOP_INVALID_FD) /* of accepting */
        support_close(op->fd);
    if (op->flags & LOOP_OP_MORE) {
        successes++;
        if (++results % 3 == 0)
            assert_ok(loop_op_cancel(op));
        return;
    }
    assert_true(in_flight > 0);
    in_flight--;
    successes += op->status == LOOP_ECANCELED;
}

static void play_streams(loop_op_cb cb)
{
    static loop_desc_t server;
    static loop_desc_t receiver;
    struct sockaddr_storage addr;
    loop_os_fd_t listener = listening(&addr);
    loop_buf_t many[MANY];
    loop_os_fd_t datagrams[2];
    loop_os_fd_t clients[3];

    memset(ops, 0, sizeof(ops));
    many_bufs(many, 1);
    handed_out = on_result;
    assert_ok(support_datagram_pair(datagrams));
    for (int i = 0; i < 3; i++)
        clients[i] = dial(&addr);
    ops[0].data = ops;
    if (attach(&server, listener) == 0) {
        results = 0;
        (void)submitted(loop_op_accept_stream(&server, &ops[0], cb));
        await_operations();
    }
    if (attach(&receiver, datagrams[0]) == 0) {
        results = 0;
        (void)submitted(loop_op_receive_stream(&receiver, &ops[1], many, MANY, NULL, cb));
        for (int i = 0; i < 3; i++) {
            assert_int_equal(support_send(datagrams[1], "hello", 5, 0), 5);
            take_turn(0);
        }
        await_operations();
    }
    close_all();
    for (int i = 0; i < 3; i++)
        support_close(clients[i]);
    support_close(datagrams[1]);
}

static void scene_streams(void)
{
    play_streams(on_result);
}

static void scene_streams_without_callback(void)
{
    play_streams(NULL);
}

/* --------------------------------------------------------------------------------------------- operations without callback -- */

static void close_accepted(loop_op_t *op)
{
    if (op->data != NULL)
        completed_accept(op);
    else
        completed(op);
}

static void scene_operations_without_callback(void)
{
    static loop_desc_t left;
    static loop_desc_t right;
    static loop_desc_t server;
    static loop_desc_t dialling;
    loop_buf_t in = {text, sizeof(text)};
    loop_buf_t out = {big, 5};
    loop_buf_t many[MANY];
    struct sockaddr_storage addr;
    loop_os_fd_t listener = listening(&addr);
    loop_os_fd_t pair[2];

    memset(ops, 0, sizeof(ops));
    many_bufs(many, 1);
    handed_out = close_accepted;
    assert_ok(support_local_pair(pair));
    if (attach(&left, pair[0]) == 0) {
        (void)submitted(loop_op_read(&left, &ops[0], many, MANY, NULL));
        (void)submitted(loop_op_read(&left, &ops[1], &in, 1, NULL));
        (void)loop_op_cancel(&ops[1]);
    }
    if (attach(&right, pair[1]) == 0) {
        (void)submitted(loop_op_write(&right, &ops[2], &out, 1, NULL));
        (void)submitted(loop_op_ready(&right, &ops[3], LOOP_WRITABLE, NULL));
        if (submitted(loop_op_read(&right, &ops[4], &in, 1, NULL)) == 0)
            limit(&ops[4], loop_now(loop) + SOON);
    }
    ops[5].data = ops;
    if (attach(&server, listener) == 0)
        (void)submitted(loop_op_accept(&server, &ops[5], NULL));
    if (attach(&dialling, support_socket(0)) == 0)
        (void)submitted(loop_op_connect(&dialling, &ops[6], (struct sockaddr *)&addr, NULL));
    await_operations();
    assert_ok(opened(loop_tcp_init(loop, &client)));
    if (submitted(loop_tcp_connect(&client, &ops[7], (struct sockaddr *)&addr, NULL)) == 0) {
        (void)submitted(loop_tcp_write(&client, &ops[8], &out, 1, NULL));
        (void)submitted(loop_tcp_shutdown(&client, &ops[9], NULL));
    }
    await_operations();
    close_all();
}

/* ------------------------------------------------------------------------------------------------- call after call -- */

#define FAILS_IN_TURN(what)                                                                                            \
    static void every_system_call_of_##what##_fails_in_turn(void **state)                                              \
    {                                                                                                                  \
        (void)state;                                                                                                   \
        every_call_fails(scene_##what);                                                                                \
    }                                                                                                                  \
    static void every_allocation_of_##what##_fails_in_turn(void **state)                                               \
    {                                                                                                                  \
        (void)state;                                                                                                   \
        every_allocation_fails(scene_##what);                                                                          \
    }

FAILS_IN_TURN(descriptors)
FAILS_IN_TURN(tcp)
FAILS_IN_TURN(streams)
FAILS_IN_TURN(streams_without_callback)
FAILS_IN_TURN(operations_without_callback)

LOOP_TEST_MAIN(TEST(every_system_call_of_descriptors_fails_in_turn),
               TEST(every_allocation_of_descriptors_fails_in_turn), TEST(every_system_call_of_tcp_fails_in_turn),
               TEST(every_allocation_of_tcp_fails_in_turn), TEST(every_system_call_of_streams_fails_in_turn),
               TEST(every_allocation_of_streams_fails_in_turn),
               TEST(every_system_call_of_streams_without_callback_fails_in_turn),
               TEST(every_allocation_of_streams_without_callback_fails_in_turn),
               TEST(every_system_call_of_operations_without_callback_fails_in_turn),
               TEST(every_allocation_of_operations_without_callback_fails_in_turn))
