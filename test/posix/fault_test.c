/* Every system call and every allocation fails in turn: TCP, descriptors, timers and tasks, signals and polls. */
#include "fault_scene.h"

#include <errno.h>
#include <signal.h>
#include <unistd.h>

/* ------------------------------------------------------------------------------------------------------- scenarios -- */

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

static void scenario_tcp(void)
{
    struct sockaddr_storage addr = support_loopback();
    struct sockaddr_storage name;
    size_t length = sizeof(name);
    loop_buf_t bufs[2] = {{big, sizeof(big) / 2}, {big, sizeof(big) / 2}};

    memset(&tcp, 0, sizeof(tcp));
    assert_ok(opened(loop_tcp_init(loop, &tcp.server)));
    assert_ok(opened(loop_tcp_init(loop, &tcp.client)));
    if (loop_tcp_bind(&tcp.server, (struct sockaddr *)&addr, LOOP_TCP_REUSEPORT) == 0 &&
        loop_tcp_listen(&tcp.server, 8, server_connection) == 0 &&
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

static void close_accepted(loop_op_t *op)
{
    completed(op);
    if (op->fd != LOOP_INVALID_FD)
        assert_ok(close(op->fd));
}

static int attach(loop_desc_t *d, int fd)
{
    int rc = opened(loop_desc_attach(loop, d, fd, LOOP_DESC_OWNED));

    if (rc != 0)
        assert_ok(close(fd));
    return rc;
}

static void scenario_desc(void)
{
    struct sockaddr_storage addr = support_loopback();
    socklen_t length = sizeof(struct sockaddr_in);
    loop_buf_t in = {desc.text, sizeof(desc.text)};
    loop_buf_t many[12];
    int pair[2];
    int pipes[2];
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    int udp = socket(AF_INET, SOCK_DGRAM, 0);
    struct sockaddr_storage udp_addr = addr;

    memset(&desc, 0, sizeof(desc));
    for (int i = 0; i < 12; i++)
        many[i] = (loop_buf_t){big, sizeof(big)};
    assert_ok(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
    assert_ok(pipe(pipes));
    assert_ok(close(pipes[0]));
    assert_ok(bind(listener, (struct sockaddr *)&addr, length) | listen(listener, 4));
    assert_ok(getsockname(listener, (struct sockaddr *)&addr, &length));
    assert_ok(bind(udp, (struct sockaddr *)&udp_addr, length));
    assert_ok(getsockname(udp, (struct sockaddr *)&udp_addr, &length));

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
        (void)submitted(loop_op_accept(&desc.listener, &desc.ops[6], close_accepted));
    if (attach(&desc.client, socket(AF_INET, SOCK_STREAM, 0)) == 0)
        (void)submitted(loop_op_connect(&desc.client, &desc.ops[7], (struct sockaddr *)&addr, completed));
    if (attach(&desc.udp, udp) == 0) {
        (void)submitted(loop_op_receive(&desc.udp, &desc.ops[8], &in, 1, NULL, completed));
        (void)submitted(loop_op_send(&desc.udp, &desc.ops[9], &in, 1, (struct sockaddr *)&udp_addr, completed));
    }
    for (int i = 0; i < 50; i++)
        (void)loop_run(loop, LOOP_RUN_NOWAIT);
    close_all();
}

/* Timers, asyncs and tasks. */
static struct {
    loop_timer_t timers[70];
    loop_async_t async;
    loop_task_t task;
    int fired;
} timing;

static void on_fire(loop_timer_t *t)
{
    (void)t;
    timing.fired++;
    successes++;
}

static void on_async(loop_async_t *a)
{
    successes++;
    (void)loop_handle_close(&a->handle, on_closed);
}

static void on_task(loop_task_t *t, int status)
{
    (void)t;
    assert_ok(status);
    successes++;
    in_flight--;
}

static void scenario_timing(void)
{
    struct sockaddr_storage addr;

    memset(&timing, 0, sizeof(timing));
    if (loop_ip_addr("fe80::1%lo", 1, &addr) == 0)
        successes++;
    for (int i = 0; i < 70; i++) {
        assert_ok(opened(loop_timer_init(loop, &timing.timers[i])));
        (void)loop_timer_start(&timing.timers[i], on_fire, LOOP_US(100), 0);
    }
    assert_ok(opened(loop_async_init(loop, &timing.async, on_async)));
    assert_ok(loop_async_send(&timing.async));
    assert_ok(submitted(loop_post(loop, &timing.task, on_task)));
    for (int i = 0; i < 20 && loop_alive(loop); i++) {
        /* Waits that end by the time: also the path with a timeout. */
        (void)loop_run(loop, LOOP_RUN_ONCE);
    }
    close_all();
}

/* Signals, and descriptors that are polled. */
static struct {
    loop_signal_t first;
    loop_signal_t second;
    loop_poll_t poll;
    int fds[2];
} watching;

static void on_signal(loop_signal_t *handle, int signum)
{
    successes++;
    (void)loop_signal_start(handle, on_signal, signum == SIGUSR1 ? SIGUSR2 : SIGUSR1);
}

static void on_poll(loop_poll_t *poll, int status, unsigned events)
{
    char byte;

    assert_ok(status);
    successes++;
    if (events & LOOP_READABLE)
        assert_int_equal(read(watching.fds[0], &byte, 1), 1);
    if (loop_poll_start(poll, events & LOOP_READABLE ? LOOP_WRITABLE : LOOP_DISCONNECT, on_poll) != 0)
        assert_ok(loop_poll_stop(poll));
}

/* For signals that come while nobody watches. */
static void ignore_by_default(int signum)
{
    struct sigaction now;

    assert_ok(sigaction(signum, NULL, &now));
    if (now.sa_handler == SIG_DFL)
        assert_true(signal(signum, SIG_IGN) != SIG_ERR);
}

static void scenario_watching(void)
{
    sigset_t none;

    ignore_by_default(SIGUSR1);
    ignore_by_default(SIGUSR2);
    assert_ok(sigemptyset(&none)); /* should an earlier run have failed to restore it */
    assert_ok(pthread_sigmask(SIG_SETMASK, &none, NULL));
    memset(&watching, 0, sizeof(watching));
    assert_ok(opened(loop_signal_init(loop, &watching.first)));
    assert_ok(opened(loop_signal_init(loop, &watching.second)));
    (void)loop_signal_start(&watching.first, on_signal, SIGUSR1);
    (void)loop_signal_start_oneshot(&watching.second, on_signal, SIGUSR1);
    assert_ok(raise(SIGUSR1));
    assert_ok(socketpair(AF_UNIX, SOCK_STREAM, 0, watching.fds));
    assert_int_equal(write(watching.fds[1], "x", 1), 1);
    if (opened(loop_poll_init(loop, &watching.poll, watching.fds[0])) == 0)
        (void)loop_poll_start(&watching.poll, LOOP_READABLE, on_poll);
    for (int i = 0; i < 5; i++)
        (void)loop_run(loop, LOOP_RUN_NOWAIT);
    assert_ok(raise(SIGUSR2));
    for (int i = 0; i < 5; i++)
        (void)loop_run(loop, LOOP_RUN_NOWAIT);
    close_all();
    assert_ok(close(watching.fds[0]) | close(watching.fds[1]));
}

/* ------------------------------------------------------------------------------------------------- call after call -- */

static void every_system_call_of_tcp_fails_in_turn(void **state)
{
    (void)state;
    every_call_fails(scenario_tcp);
}

static void every_system_call_of_descriptors_fails_in_turn(void **state)
{
    (void)state;
    every_call_fails(scenario_desc);
}

static void every_system_call_of_timers_and_tasks_fails_in_turn(void **state)
{
    (void)state;
    every_call_fails(scenario_timing);
}

static void every_system_call_of_signals_and_polls_fails_in_turn(void **state)
{
    (void)state;
    every_call_fails(scenario_watching);
}

static void every_allocation_of_tcp_fails_in_turn(void **state)
{
    (void)state;
    every_allocation_fails(scenario_tcp);
}

static void every_allocation_of_descriptors_fails_in_turn(void **state)
{
    (void)state;
    every_allocation_fails(scenario_desc);
}

static void every_allocation_of_timers_fails_in_turn(void **state)
{
    (void)state;
    every_allocation_fails(scenario_timing);
}

static void every_allocation_of_signals_and_polls_fails_in_turn(void **state)
{
    (void)state;
    every_allocation_fails(scenario_watching);
}

static void every_call_of_init_fails_in_turn(void **state)
{
    static const enum fault_row rows[] = {FAULT_BACKEND_CREATE, FAULT_BACKEND_WAKER, FAULT_BACKEND_CHANGE};

    (void)state;
    fault_begin();
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        for (const int *error = fault_errors(rows[i]); *error != 0; error++) {
            if (*error == EINTR)
                continue; /* and so it is asked again */
            loop = (loop_t *)&loop;
            fault_arm(rows[i], 1, *error, 1);
            assert_int_equal(loop_init(&loop, NULL), loop_translate_sys_error(*error));
            assert_null(loop);
        }
    }
    fault_end();
}

/* Interrupted again and again, nothing is noticed. */
static void interruptions_are_not_noticed(void **state)
{
    (void)state;
    for (int row = 0; row < FAULT_ROWS; row++) {
        long clean;

        if (row == FAULT_close || row == FAULT_connect || row == FAULT_fcntl)
            continue; /* close and connect go on after EINTR; fcntl knows none here */
        for (const int *error = fault_errors((enum fault_row)row); *error != 0; error++) {
            if (*error != EINTR)
                continue;
            begin_scene(NULL);
            fault_begin();
            successes = 0;
            scenario_tcp();
            scenario_desc();
            clean = successes;
            successes = 0;
            fault_arm((enum fault_row)row, 1, EINTR, 3);
            scenario_tcp();
            fault_arm((enum fault_row)row, 1, EINTR, 3);
            scenario_desc();
            if (successes != clean)
                print_message("EINTR of %s is noticed\n", fault_name((enum fault_row)row));
            assert_int_equal(successes, clean);
            fault_end();
            assert_ok(loop_close(loop));
        }
    }
}

LOOP_TEST_MAIN(TEST(every_system_call_of_tcp_fails_in_turn), TEST(every_system_call_of_descriptors_fails_in_turn),
               TEST(every_system_call_of_timers_and_tasks_fails_in_turn),
               TEST(every_system_call_of_signals_and_polls_fails_in_turn),
               TEST(every_allocation_of_signals_and_polls_fails_in_turn), TEST(every_allocation_of_tcp_fails_in_turn),
               TEST(every_allocation_of_descriptors_fails_in_turn), TEST(every_allocation_of_timers_fails_in_turn),
               TEST(every_call_of_init_fails_in_turn), TEST(interruptions_are_not_noticed))
