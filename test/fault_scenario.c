/* See fault_scenario.h. */
#include "fault_scenario.h"

/* A TCP handle echoes what another sends, with a full write queue; then both end. */
static struct {
    loop_tcp_t server;
    loop_tcp_t client;
    loop_tcp_t taken;
    loop_op_t connect;
    loop_op_t write[2];
    loop_op_t echo;
    loop_op_t end;
    size_t received;
} tcp;

static char big[1 << 20];

static void client_read(loop_tcp_t *t, ptrdiff_t nread, const loop_buf_t *buf)
{
    (void)buf;
    if (nread > 0)
        tcp.received += (size_t)nread;
    else if (nread < 0)
        (void)loop_handle_close(&t->handle, on_closed);
}

static void server_read(loop_tcp_t *t, ptrdiff_t nread, const loop_buf_t *buf)
{
    loop_buf_t answer = {"answer", 6};

    (void)buf;
    if (nread >= 0)
        return;
    if (nread != LOOP_EOF || submitted(loop_tcp_write(t, &tcp.echo, &answer, 1, completed)) != 0 ||
        submitted(loop_tcp_shutdown(t, &tcp.end, completed)) != 0)
        (void)loop_handle_close(&t->handle, on_closed);
}

static void server_connection(loop_tcp_t *server, int status)
{
    if (status != 0)
        return;
    if (opened(loop_tcp_init(loop, &tcp.taken)) != 0)
        return;
    if (loop_tcp_accept(server, &tcp.taken) != 0 || loop_tcp_read_start(&tcp.taken, NULL, server_read) != 0)
        (void)loop_handle_close(&tcp.taken.handle, on_closed);
}

static void client_connected(loop_op_t *op)
{
    completed(op);
    if (op->status != 0 || loop_tcp_read_start(&tcp.client, NULL, client_read) != 0)
        (void)loop_handle_close(&tcp.client.handle, on_closed);
}

/* Its port is shared where that is possible. */
static int bind_somehow(loop_tcp_t *server, const struct sockaddr_storage *addr)
{
    int rc = loop_tcp_bind(server, (const struct sockaddr *)addr, LOOP_TCP_REUSEPORT);

    return rc == LOOP_ENOTSUP ? loop_tcp_bind(server, (const struct sockaddr *)addr, LOOP_TCP_NO_REUSEADDR) : rc;
}

void scenario_tcp(void)
{
    struct sockaddr_storage addr = support_loopback();
    struct sockaddr_storage name;
    size_t length = sizeof(name);
    loop_buf_t bufs[2] = {{big, sizeof(big) / 2}, {big, sizeof(big) / 2}};

    memset(&tcp, 0, sizeof(tcp));
    assert_ok(opened(loop_tcp_init(loop, &tcp.server)));
    assert_ok(opened(loop_tcp_init(loop, &tcp.client)));
    if (bind_somehow(&tcp.server, &addr) == 0 && loop_tcp_listen(&tcp.server, 8, server_connection) == 0 &&
        loop_tcp_getsockname(&tcp.server, (struct sockaddr *)&name, &length) == 0 &&
        submitted(loop_tcp_connect(&tcp.client, &tcp.connect, (struct sockaddr *)&name, client_connected)) == 0) {
        (void)loop_tcp_nodelay(&tcp.client, 1);
        (void)loop_tcp_keepalive(&tcp.client, 1, 10, 10, 3);
        (void)loop_tcp_getpeername(&tcp.client, (struct sockaddr *)&name, &length);
        (void)submitted(loop_tcp_write(&tcp.client, &tcp.write[0], bufs, 2, completed));
        (void)submitted(loop_tcp_write(&tcp.client, &tcp.write[1], bufs, 1, completed));
        (void)submitted(loop_tcp_shutdown(&tcp.client, &tcp.end, completed));
    }
    (void)loop_handle_unref(&tcp.server.handle);
    run_bounded();
    close_all();
}

/* Operations of every kind on descriptors. */
static struct {
    loop_desc_t left;
    loop_desc_t right;
    loop_desc_t listener;
    loop_desc_t client;
    loop_desc_t pipe;
    loop_desc_t udp;
    loop_op_t ops[16];
    char text[16];
} desc;

void scenario_desc(void)
{
    struct sockaddr_storage addr = support_loopback();
    struct sockaddr_storage udp_addr = support_loopback();
    loop_buf_t in = {desc.text, sizeof(desc.text)};
    loop_buf_t many[12];
    loop_os_fd_t pair[2];
    loop_os_fd_t pipes[2];
    loop_os_fd_t listener = support_socket(0);
    loop_os_fd_t udp = support_datagram_socket();

    memset(&desc, 0, sizeof(desc));
    for (int i = 0; i < 12; i++)
        many[i] = (loop_buf_t){big, sizeof(big)};
    assert_ok(support_local_pair(pair));
    assert_ok(support_pipe(pipes));
    support_close(pipes[0]);
    assert_ok(support_listen_at(listener, &addr, 4));
    assert_ok(support_bind(udp, &udp_addr));

    if (attach(&desc.left, pair[0]) == 0) {
        (void)submitted(loop_op_ready(&desc.left, &desc.ops[0], LOOP_READABLE | LOOP_WRITABLE, completed));
        (void)submitted(loop_op_read(&desc.left, &desc.ops[1], &in, 1, completed));
        (void)submitted(loop_op_read(&desc.left, &desc.ops[2], &in, 1, completed));
        (void)loop_op_cancel(&desc.ops[2]);
        (void)submitted(loop_op_write(&desc.left, &desc.ops[3], many, 12, completed)); /* more than fits, parks */
        (void)submitted(loop_op_ready(&desc.left, &desc.ops[15], LOOP_WRITABLE, completed));
    }
    if (attach(&desc.right, pair[1]) == 0)
        (void)submitted(loop_op_write(&desc.right, &desc.ops[4], &(loop_buf_t){"hello", 5}, 1, completed));
    if (attach(&desc.pipe, pipes[1]) == 0)
        (void)submitted(loop_op_write(&desc.pipe, &desc.ops[5], &(loop_buf_t){"x", 1}, 1, completed)); /* EPIPE */
    if (attach(&desc.listener, listener) == 0)
        (void)submitted(loop_op_accept(&desc.listener, &desc.ops[6], completed_accept));
    if (attach(&desc.client, support_socket(0)) == 0)
        (void)submitted(loop_op_connect(&desc.client, &desc.ops[7], (struct sockaddr *)&addr, completed));
    if (attach(&desc.udp, udp) == 0) {
        (void)submitted(loop_op_receive(&desc.udp, &desc.ops[8], &in, 1, NULL, completed));
        (void)submitted(loop_op_send(&desc.udp, &desc.ops[9], &in, 1, (struct sockaddr *)&udp_addr, completed));
    }
    for (int i = 0; i < 50; i++)
        (void)loop_run(loop, LOOP_RUN_NOWAIT);
    await_operations_but(2); /* the write, and who waits until it is done */
    close_all();
}

/* Signals, and descriptors that are polled. */
static struct {
    loop_signal_t first;
    loop_signal_t second;
    loop_poll_t poll;
    loop_os_fd_t fds[2];
    int reports;
} watching;

static void on_signal(loop_signal_t *handle, int signum)
{
    successes++;
    watching.reports++;
    (void)loop_signal_start(handle, on_signal, support_signal(signum == support_signal(0)));
}

static void on_poll(loop_poll_t *poll, int status, unsigned events)
{
    char byte;

    watching.reports++;
    if (status != 0) {
        assert_false(loop_handle_is_active(&poll->handle)); /* what it was asked for cannot be had */
        return;
    }
    successes++;
    if (events & LOOP_READABLE)
        assert_int_equal(support_recv(watching.fds[0], &byte, 1, 0), 1);
    if (loop_poll_start(poll, events & LOOP_READABLE ? LOOP_WRITABLE : LOOP_DISCONNECT, on_poll) != 0)
        assert_ok(loop_poll_stop(poll));
}

static void await_reports(int n)
{
    for (int turn = 0; watching.reports < n && scene_turn(&turn);)
        continue;
}

void scenario_watching(void)
{
    fault_ready_signals();
    memset(&watching, 0, sizeof(watching));
    assert_ok(opened(loop_signal_init(loop, &watching.first)));
    assert_ok(opened(loop_signal_init(loop, &watching.second)));
    (void)loop_signal_start(&watching.first, on_signal, support_signal(0));
    (void)loop_signal_start_oneshot(&watching.second, on_signal, support_signal(0));
    assert_ok(support_raise(support_signal(0)));
    assert_ok(support_local_pair(watching.fds));
    assert_int_equal(support_send(watching.fds[1], "x", 1, 0), 1);
    if (opened(loop_poll_init(loop, &watching.poll, watching.fds[0])) == 0)
        (void)loop_poll_start(&watching.poll, LOOP_READABLE, on_poll);
    for (int i = 0; i < 5; i++)
        (void)loop_run(loop, LOOP_RUN_NOWAIT);
    await_reports(4); /* two signals; to read, to write */
    assert_ok(support_raise(support_signal(1)));
    for (int i = 0; i < 5; i++)
        (void)loop_run(loop, LOOP_RUN_NOWAIT);
    await_reports(6); /* both watch the other signal by now */
    close_all();
    support_close(watching.fds[0]);
    support_close(watching.fds[1]);
}
