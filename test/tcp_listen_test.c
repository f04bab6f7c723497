/* TCP: listening, accepting, connecting, adopting sockets, options. */
#include "support.h"

static loop_t *loop;
static loop_tcp_t server;
static loop_tcp_t clients[64];
static loop_tcp_t taken[64];
static loop_op_t ops[64];
static int connections;
static int connected;
static int statuses[64];

static void note_connected(loop_op_t *op)
{
    statuses[connected++] = op->status;
}

static void take(loop_tcp_t *s, int status)
{
    assert_ok(status);
    assert_ok(loop_tcp_init(loop, &taken[connections]));
    assert_ok(loop_tcp_accept(s, &taken[connections]));
    connections++;
}

static void only_count(loop_tcp_t *s, int status)
{
    (void)s;
    assert_ok(status);
    connections++;
}

static struct sockaddr_storage begin(loop_connection_cb cb)
{
    loop = support_loop();
    connections = 0;
    connected = 0;
    memset(ops, 0, sizeof(ops));
    return support_listen(loop, &server, cb);
}

static void dial(int i, const struct sockaddr_storage *addr)
{
    assert_ok(loop_tcp_init(loop, &clients[i]));
    assert_ok(loop_tcp_connect(&clients[i], &ops[i], (const struct sockaddr *)addr, note_connected));
}

static void turns(int n)
{
    for (int i = 0; i < n; i++)
        assert_true(loop_run(loop, LOOP_RUN_NOWAIT) >= 0);
}

static void every_connection_is_reported_once(void **state)
{
    struct sockaddr_storage addr = begin(take);
    struct sockaddr_storage name;
    struct sockaddr_storage peer;
    size_t length = sizeof(name);

    (void)state;
    for (int i = 0; i < 50; i++)
        dial(i, &addr);
    while (connections < 50 || connected < 50)
        assert_int_equal(loop_run(loop, LOOP_RUN_ONCE), 1);
    for (int i = 0; i < 50; i++)
        assert_ok(statuses[i]);
    assert_ok(loop_tcp_getpeername(&clients[0], (struct sockaddr *)&peer, &length));
    assert_int_equal(loop_ip_port((struct sockaddr *)&peer), loop_ip_port((struct sockaddr *)&addr));
    length = 1;
    assert_int_equal(loop_tcp_getsockname(&clients[0], (struct sockaddr *)&name, &length), LOOP_ENOBUFS);
    assert_true(loop_tcp_is_readable(&clients[0]) && loop_tcp_is_writable(&clients[0]));
    assert_true(support_inherited_is(loop_tcp_fd(&taken[0]), false));
    support_finish(loop);
}

static void a_connection_that_is_not_taken_holds_back_the_next(void **state)
{
    struct sockaddr_storage addr = begin(only_count);

    (void)state;
    dial(0, &addr);
    dial(1, &addr);
    support_until(loop, &connections);
    turns(5);
    assert_int_equal(connections, 1);
    assert_ok(loop_tcp_init(loop, &taken[0]));
    assert_ok(loop_tcp_accept(&server, &taken[0]));
    assert_int_equal(loop_tcp_accept(&server, &taken[1]), LOOP_EBADF);
    while (connections < 2)
        assert_true(loop_run(loop, LOOP_RUN_ONCE) >= 0);
    turns(5);
    assert_int_equal(connections, 2);
    assert_int_equal(loop_tcp_accept(&server, &taken[0]), LOOP_EBUSY);
    support_finish(loop); /* with a connection still not taken */
}

static void an_accepted_descriptor_may_go_to_another_loop(void **state)
{
    struct sockaddr_storage addr = begin(only_count);
    loop_t *other = support_loop();
    loop_tcp_t moved;
    loop_os_fd_t fd = LOOP_INVALID_FD;

    (void)state;
    dial(0, &addr);
    assert_int_equal(loop_tcp_accept_fd(&server, &fd), LOOP_EAGAIN);
    support_until(loop, &connections);
    assert_ok(loop_tcp_init(other, &moved));
    assert_int_equal(loop_tcp_accept(&server, &moved), LOOP_EINVAL);
    assert_int_equal(loop_tcp_accept_fd(&server, NULL), LOOP_EINVAL);
    assert_ok(loop_tcp_accept_fd(&server, &fd));
    assert_int_equal(loop_tcp_accept_fd(&server, &fd), LOOP_EAGAIN);
    assert_ok(loop_tcp_open(&moved, fd));
    assert_true(loop_tcp_is_readable(&moved));
    assert_int_equal(loop_tcp_open(&moved, fd), LOOP_EBUSY);
    support_finish(other);
    support_finish(loop);
}

static void close_server(loop_tcp_t *s, int status)
{
    assert_ok(status);
    connections++;
    assert_ok(loop_handle_close(&s->handle, NULL));
}

static void a_listener_may_be_closed_in_its_callback(void **state)
{
    struct sockaddr_storage addr = begin(close_server);

    (void)state;
    dial(0, &addr);
    dial(1, &addr);
    support_until(loop, &connections);
    turns(5);
    assert_int_equal(connections, 1);
    support_finish(loop);
}

static void an_address_is_bound_once_unless_the_port_is_shared(void **state)
{
    struct sockaddr_storage addr = begin(take);
    loop_tcp_t a;
    loop_tcp_t b;
    size_t length = sizeof(addr);

    (void)state;
    assert_ok(loop_tcp_init(loop, &a));
    assert_ok(loop_tcp_init(loop, &b));
    assert_int_equal(loop_tcp_bind(&a, (struct sockaddr *)&addr, 0), LOOP_EADDRINUSE);
    assert_int_equal(loop_tcp_fd(&a), LOOP_INVALID_FD); /* nothing is left of it */
    addr = support_loopback();
    if (loop_tcp_bind(&a, (struct sockaddr *)&addr, LOOP_TCP_REUSEPORT) == LOOP_ENOTSUP) {
        assert_int_equal(loop_tcp_fd(&a), LOOP_INVALID_FD);
        support_finish(loop);
        skip(); /* the system spreads connections over no listeners */
    }
    assert_true(loop_tcp_fd(&a) != LOOP_INVALID_FD);
    assert_int_equal(loop_tcp_bind(&a, (struct sockaddr *)&addr, 0), LOOP_EINVAL);
    assert_ok(loop_tcp_getsockname(&a, (struct sockaddr *)&addr, &length));
    assert_ok(loop_tcp_bind(&b, (struct sockaddr *)&addr, LOOP_TCP_REUSEPORT | LOOP_TCP_NO_REUSEADDR));
    assert_ok(loop_tcp_listen(&a, 8, take));
    assert_true(loop_handle_is_active(&a.handle));
    assert_ok(loop_tcp_listen(&b, 8, take));
    assert_ok(loop_tcp_listen(&b, 8, take)); /* again: replaces the callback */
    support_finish(loop);
}

static void one_ipv6_listener_serves_ipv4_unless_told_not_to(void **state)
{
    struct sockaddr_storage any;
    struct sockaddr_storage v4;
    size_t length = sizeof(any);

    (void)state;
    for (unsigned only = 0; only < 2; only++) {
        loop = support_loop();
        connections = 0;
        connected = 0;
        memset(ops, 0, sizeof(ops));
        assert_ok(loop_ip_addr("::", 0, &any));
        assert_ok(loop_tcp_init(loop, &server));
        assert_ok(loop_tcp_bind(&server, (struct sockaddr *)&any, only ? LOOP_TCP_IPV6ONLY : 0));
        assert_ok(loop_tcp_listen(&server, 8, take));
        length = sizeof(any);
        assert_ok(loop_tcp_getsockname(&server, (struct sockaddr *)&any, &length));
        v4 = support_loopback_port(loop_ip_port((struct sockaddr *)&any));
        dial(0, &v4);
        assert_ok(loop_ip_addr("::1", loop_ip_port((struct sockaddr *)&any), &any));
        dial(1, &any);
        while (connected < 2)
            (void)loop_run(loop, LOOP_RUN_ONCE);
        assert_int_equal(statuses[0] + statuses[1], only ? LOOP_ECONNREFUSED : 0);
        support_finish(loop);
    }
}

static void nobody_listens_there(void **state)
{
    struct sockaddr_storage addr = begin(take);
    char byte = 'x';
    loop_op_t writing = {0};

    (void)state;
    assert_ok(loop_handle_close(&server.handle, NULL));
    assert_int_equal(loop_run(loop, LOOP_RUN_DEFAULT), 0);
    dial(0, &addr);
    assert_true(loop_handle_is_active(&clients[0].handle));
    assert_int_equal(loop_tcp_connect(&clients[0], &ops[1], (struct sockaddr *)&addr, note_connected), LOOP_EISCONN);
    assert_int_equal(loop_tcp_read_start(&clients[0], NULL, (loop_read_cb)abort), LOOP_ENOTCONN);
    assert_ok(loop_tcp_write(&clients[0], &writing, &(loop_buf_t){&byte, 1}, 1, note_connected));
    while (connected < 2)
        (void)loop_run(loop, LOOP_RUN_ONCE);
    assert_int_equal(statuses[0], LOOP_ECONNREFUSED);
    assert_int_equal(statuses[1], LOOP_ECANCELED); /* what was written in advance */
    assert_int_equal(loop_tcp_write_queue_size(&clients[0]), 0);
    assert_int_equal(loop_tcp_write(&clients[0], &writing, &(loop_buf_t){&byte, 1}, 1, note_connected), LOOP_ENOTCONN);
    assert_int_equal(loop_tcp_connect(&clients[0], &ops[1], (struct sockaddr *)&addr, note_connected), LOOP_EISCONN);
    support_finish(loop);
}

/* A listener whose queue is full leaves further connects pending. */
static loop_os_fd_t full_listener(struct sockaddr_storage *addr)
{
    loop_os_fd_t fd = support_socket(0);

    *addr = support_loopback();
    assert_ok(support_listen_at(fd, addr, 0));
    return fd;
}

static int time_is_over;

static void on_time(loop_timer_t *timer)
{
    time_is_over = 1;
    assert_ok(loop_handle_close(&timer->handle, NULL));
}

/* As long as a connection to this machine takes at most. */
static void wait_for_connect(void)
{
    loop_timer_t timer;

    time_is_over = 0;
    assert_ok(loop_timer_init(loop, &timer));
    assert_ok(loop_timer_start(&timer, on_time, LOOP_MS(50), 0));
    support_until(loop, &time_is_over);
    turns(1); /* the handle is closed */
}

static void a_pending_connect_may_be_cancelled_and_closed(void **state)
{
    struct sockaddr_storage addr;
    loop_os_fd_t listener;
    int n = 0;
    loop_op_t writing = {0};

    (void)state;
    loop = support_loop();
    connected = 0;
    memset(ops, 0, sizeof(ops));
    listener = full_listener(&addr);
    do { /* until one does not get through */
        assert_true(n < 10);
        dial(n++, &addr);
        wait_for_connect();
    } while (connected == n);
    assert_ok(loop_tcp_write(&clients[n - 1], &writing, &(loop_buf_t){"x", 1}, 1, note_connected));
    assert_int_equal(loop_tcp_write_queue_size(&clients[n - 1]), 1);
    assert_int_equal(loop_tcp_try_write(&clients[n - 1], &(loop_buf_t){"x", 1}, 1), LOOP_EAGAIN);
    assert_ok(loop_op_cancel(&ops[n - 1]));
    while (connected < n + 1)
        (void)loop_run(loop, LOOP_RUN_ONCE);
    assert_int_equal(statuses[n - 1], LOOP_ECANCELED);
    assert_int_equal(statuses[n], LOOP_ECANCELED);
    dial(n, &addr);
    assert_ok(loop_handle_close(&clients[n].handle, NULL));
    while (connected < n + 2)
        (void)loop_run(loop, LOOP_RUN_ONCE);
    assert_int_equal(statuses[n + 1], LOOP_ECANCELED);
    support_finish(loop);
    support_close(listener);
}

static void sockets_of_any_state_can_be_opened(void **state)
{
    struct sockaddr_storage addr = begin(take);
    struct sockaddr_storage own = support_loopback();
    loop_tcp_t tcp;
    loop_os_fd_t fds[2];
    loop_os_fd_t fd;

    (void)state;
    assert_ok(loop_tcp_init(loop, &tcp));
    fd = support_datagram_socket();
    assert_int_equal(loop_tcp_open(&tcp, fd), LOOP_EINVAL);
    support_close(fd);
    assert_ok(support_pipe(fds));
    assert_int_equal(loop_tcp_open(&tcp, fds[0]), LOOP_ENOTSOCK);
    support_close(fds[0]);
    support_close(fds[1]);
    assert_int_equal(loop_tcp_open(&tcp, LOOP_INVALID_FD), LOOP_EBADF);

    fd = support_socket(0); /* fresh: connects */
    assert_ok(loop_tcp_open(&tcp, fd));
    assert_true(support_nonblocking_is(fd, true));
    assert_int_equal(loop_tcp_listen(&tcp, 1, take), LOOP_EINVAL);
    assert_ok(loop_tcp_connect(&tcp, &ops[0], (struct sockaddr *)&addr, note_connected));
    support_until(loop, &connected);
    assert_ok(statuses[0]);
    assert_ok(loop_handle_close(&tcp.handle, NULL));
    assert_int_equal(loop_run(loop, LOOP_RUN_NOWAIT), 1);

    fd = support_socket(0); /* listening already */
    assert_ok(support_listen_at(fd, &own, 4));
    assert_ok(loop_tcp_init(loop, &tcp));
    assert_ok(loop_tcp_open(&tcp, fd));
    assert_ok(loop_tcp_listen(&tcp, 4, take));
    support_finish(loop);
}

static int option(const loop_tcp_t *tcp, int level, int name)
{
    int value = -1;

    assert_ok(support_get_option(loop_tcp_fd(tcp), level, name, &value));
    return value;
}

static void options_reach_the_socket(void **state)
{
    loop_tcp_t a;
    loop_tcp_t b;

    (void)state;
    loop = support_loop();
    support_tcp_pair(loop, &a, &b);
    assert_ok(loop_tcp_nodelay(&a, 1));
    assert_true(option(&a, IPPROTO_TCP, TCP_NODELAY));
    assert_ok(loop_tcp_nodelay(&a, 0));
    assert_false(option(&a, IPPROTO_TCP, TCP_NODELAY));
    assert_ok(loop_tcp_keepalive(&a, 1, 11, 7, 3));
    assert_true(option(&a, SOL_SOCKET, SO_KEEPALIVE));
    assert_true(support_keepalive_is(loop_tcp_fd(&a), 11, 7, 3));
    assert_ok(loop_tcp_keepalive(&a, 0, 0, 0, 0));
    assert_false(option(&a, SOL_SOCKET, SO_KEEPALIVE));
    assert_int_equal(loop_tcp_keepalive(&a, 1, 0, 1, 1), LOOP_EINVAL);
    assert_int_equal(loop_tcp_keepalive(&a, 1, 1, 0, 1), LOOP_EINVAL);
    assert_int_equal(loop_tcp_keepalive(&a, 1, 1, 1, 0), LOOP_EINVAL);
    assert_int_equal(loop_tcp_keepalive(&a, 1, 32768, 1, 1), LOOP_EINVAL);
    support_finish(loop);
}

static void wrong_use_is_refused(void **state)
{
    struct sockaddr_storage addr = support_loopback();
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    loop_tcp_t tcp;
    loop_op_t op = {0};
    size_t length = sizeof(addr);

    (void)state;
    loop = support_loop();
    assert_int_equal(loop_tcp_init(NULL, &tcp), LOOP_EINVAL);
    assert_int_equal(loop_tcp_init(loop, NULL), LOOP_EINVAL);
    assert_ok(loop_tcp_init(loop, &tcp));
    assert_int_equal(loop_tcp_bind(&tcp, NULL, 0), LOOP_EINVAL);
    assert_int_equal(loop_tcp_bind(&tcp, (struct sockaddr *)&addr, 1u << 20), LOOP_EINVAL);
    assert_int_equal(loop_tcp_bind(&tcp, (struct sockaddr *)&un, 0), LOOP_EAFNOSUPPORT);
    assert_int_equal(loop_tcp_listen(&tcp, 8, take), LOOP_EINVAL);
    assert_int_equal(loop_tcp_connect(&tcp, &op, NULL, note_connected), LOOP_EINVAL);
    assert_int_equal(loop_tcp_connect(&tcp, &op, (struct sockaddr *)&un, note_connected), LOOP_EAFNOSUPPORT);
    assert_int_equal(loop_tcp_connect(&tcp, NULL, (struct sockaddr *)&addr, note_connected), LOOP_EINVAL);
    assert_int_equal(loop_tcp_read_start(&tcp, NULL, (loop_read_cb)abort), LOOP_ENOTCONN);
    assert_int_equal(loop_tcp_read_start(&tcp, NULL, NULL), LOOP_EINVAL);
    assert_ok(loop_tcp_read_stop(&tcp));
    assert_int_equal(loop_tcp_write(&tcp, &op, NULL, 0, note_connected), LOOP_ENOTCONN);
    assert_int_equal(loop_tcp_try_write(&tcp, NULL, 0), LOOP_ENOTCONN);
    assert_int_equal(loop_tcp_shutdown(&tcp, &op, note_connected), LOOP_ENOTCONN);
    assert_int_equal(loop_tcp_nodelay(&tcp, 1), LOOP_EBADF);
    assert_int_equal(loop_tcp_keepalive(&tcp, 1, 1, 1, 1), LOOP_EBADF);
    assert_int_equal(loop_tcp_getsockname(&tcp, (struct sockaddr *)&addr, &length), LOOP_EBADF);
    assert_int_equal(loop_tcp_getpeername(&tcp, (struct sockaddr *)&addr, &length), LOOP_EBADF);
    assert_int_equal(loop_tcp_accept(&tcp, &tcp), LOOP_EINVAL);
    assert_int_equal(loop_tcp_set_watermarks(&tcp, 2, 1, NULL), LOOP_EINVAL);
    assert_false(loop_tcp_is_readable(&tcp) || loop_tcp_is_writable(&tcp));
    addr = support_loopback();
    assert_ok(loop_tcp_bind(&tcp, (struct sockaddr *)&addr, 0));
    assert_int_equal(loop_tcp_listen(&tcp, 8, NULL), LOOP_EINVAL);
    assert_int_equal(loop_tcp_getsockname(&tcp, NULL, &length), LOOP_EINVAL);
    length = sizeof(addr);
    assert_int_equal(loop_tcp_getpeername(&tcp, (struct sockaddr *)&addr, &length), LOOP_ENOTCONN);

    assert_ok(loop_tcp_close_reset(&tcp, NULL)); /* closing: refused everywhere */
    assert_int_equal(loop_tcp_close_reset(&tcp, NULL), LOOP_EBADF);
    assert_int_equal(loop_tcp_open(&tcp, 0), LOOP_EBADF);
    assert_int_equal(loop_tcp_bind(&tcp, (struct sockaddr *)&addr, 0), LOOP_EBADF);
    assert_int_equal(loop_tcp_listen(&tcp, 8, take), LOOP_EBADF);
    assert_int_equal(loop_tcp_accept(&tcp, &tcp), LOOP_EBADF);
    assert_int_equal(loop_tcp_accept_fd(&tcp, NULL), LOOP_EBADF);
    assert_int_equal(loop_tcp_connect(&tcp, &op, (struct sockaddr *)&addr, note_connected), LOOP_EBADF);
    assert_int_equal(loop_tcp_read_start(&tcp, NULL, (loop_read_cb)abort), LOOP_EBADF);
    assert_int_equal(loop_tcp_read_stop(&tcp), LOOP_EBADF);
    assert_int_equal(loop_tcp_write(&tcp, &op, NULL, 0, note_connected), LOOP_EBADF);
    assert_int_equal(loop_tcp_try_write(&tcp, NULL, 0), LOOP_EBADF);
    assert_int_equal(loop_tcp_shutdown(&tcp, &op, note_connected), LOOP_EBADF);
    assert_int_equal(loop_tcp_set_watermarks(&tcp, 1, 2, NULL), LOOP_EBADF);
    assert_int_equal(loop_tcp_fd(&tcp), LOOP_INVALID_FD);
    assert_int_equal(loop_tcp_write_queue_size(NULL), 0);
    assert_int_equal(loop_tcp_bind(NULL, NULL, 0), LOOP_EINVAL);
    assert_int_equal(loop_tcp_nodelay(NULL, 0), LOOP_EINVAL);
    support_finish(loop);
}

LOOP_TEST_MAIN(TEST(every_connection_is_reported_once), TEST(a_connection_that_is_not_taken_holds_back_the_next),
               TEST(an_accepted_descriptor_may_go_to_another_loop), TEST(a_listener_may_be_closed_in_its_callback),
               TEST(an_address_is_bound_once_unless_the_port_is_shared),
               TEST(one_ipv6_listener_serves_ipv4_unless_told_not_to), TEST(nobody_listens_there),
               TEST(a_pending_connect_may_be_cancelled_and_closed), TEST(sockets_of_any_state_can_be_opened),
               TEST(options_reach_the_socket), TEST(wrong_use_is_refused))
