/* System calls counted, and single calls made to fail: what users see under strace, and what they see on a bad day. */
#include "fault_calls.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <unistd.h>

static loop_t *loop;
static loop_tcp_t server;
static int reports[16];
static int reported;

static void begin(void)
{
    loop = support_loop();
    fault_begin();
    reported = 0;
}

static void finish(void)
{
    fault_end();
    support_finish(loop);
}

/* ---------------------------------------------------------------------------------------------------------- the clock -- */

static int fired;

static void on_timer(loop_timer_t *timer)
{
    (void)timer;
    fired++;
    (void)loop_now(loop);
}

static void a_turn_reads_the_clock_only_if_it_has_timers_and_then_once(void **state)
{
    loop_timer_t timers[3];

    (void)state;
    begin();
    fired = 0;
    for (int i = 0; i < 10; i++)
        (void)loop_run(loop, LOOP_RUN_NOWAIT);
    assert_int_equal(fault_count(FAULT_clock_gettime), 0);
    for (int i = 0; i < 3; i++) {
        assert_ok(loop_timer_init(loop, &timers[i]));
        assert_ok(loop_timer_start(&timers[i], on_timer, LOOP_US(200), LOOP_US(200)));
    }
    (void)loop_run(loop, LOOP_RUN_ONCE);
    /* Within one loop_run(): a reading a turn, and one at its beginning. */
    fired = 0;
    fault_arm(FAULT_clock_gettime, 0, 0, 0);
    assert_ok(loop_handle_unref(&timers[0].handle));
    while (fired < 30)
        (void)loop_run(loop, LOOP_RUN_ONCE);
    assert_true(fault_count(FAULT_clock_gettime) <= 2 * fault_waits());
    finish();
}

static void stop_after_ten(loop_timer_t *timer)
{
    if (++fired == 10)
        assert_ok(loop_timer_stop(timer));
}

static void a_run_reads_the_clock_once_per_wait(void **state)
{
    loop_timer_t timer;
    long waits;

    (void)state;
    begin();
    fired = 0;
    assert_ok(loop_timer_init(loop, &timer));
    assert_ok(loop_timer_start(&timer, stop_after_ten, LOOP_US(200), LOOP_US(200)));
    fault_arm(FAULT_clock_gettime, 0, 0, 0);
    assert_ok(loop_run(loop, LOOP_RUN_DEFAULT));
    waits = fault_waits();
    /* The first may have been due before the first wait. */
    assert_true(waits >= 9);
    assert_true(fault_count(FAULT_clock_gettime) <= waits + 1);
    finish();
}

/* ----------------------------------------------------------------------------------------------------- counted calls -- */

static int echoes;
static loop_op_t write_op;
static bool by_operation;

static void written(loop_op_t *op)
{
    assert_ok(op->status);
}

static void echo(loop_tcp_t *tcp, ptrdiff_t nread, const loop_buf_t *buf)
{
    loop_buf_t data = {buf->base, (size_t)nread};

    assert_true(nread > 0);
    echoes++;
    if (by_operation)
        assert_ok(loop_tcp_write(tcp, &write_op, &data, 1, written));
    else
        assert_int_equal(loop_tcp_try_write(tcp, &data, 1), nread);
}

static void an_echo_costs_a_wait_a_receive_and_a_send(void **state)
{
    struct support_allocator counts = {0};
    loop_allocator_t allocator = support_allocator(&counts);
    loop_options_t options = LOOP_OPTIONS_INIT;
    loop_tcp_t tcp;
    char byte = 'x';

    (void)state;
    options.allocator = &allocator;
    for (int i = 0; i < 2; i++) {
        int peer;
        long allocations;

        by_operation = i == 1;
        memset(&write_op, 0, sizeof(write_op));
        assert_ok(loop_init(&loop, &options));
        peer = support_tcp_and_socket(loop, &tcp);
        fault_begin();
        echoes = 0;
        assert_ok(loop_tcp_read_start(&tcp, NULL, echo));
        (void)loop_run(loop, LOOP_RUN_NOWAIT);
        fault_arm(FAULT_recv, 0, 0, 0);
        allocations = counts.calls;
        for (int n = 1; n <= 100; n++) {
            assert_int_equal(send(peer, &byte, 1, 0), 1);
            assert_int_equal(loop_run(loop, LOOP_RUN_ONCE), 1);
            assert_int_equal(echoes, n);
            assert_int_equal(recv(peer, &byte, 1, 0), 1);
        }
        assert_int_equal(fault_count(FAULT_BACKEND_WAIT), 100);
        assert_int_equal(fault_count(FAULT_recv), 100);
        assert_int_equal(fault_count(FAULT_send), 100);
        assert_int_equal(fault_count_all(), 300); /* and nothing else */
        assert_int_equal(counts.calls, allocations);
        fault_end();
        support_finish(loop);
        assert_ok(close(peer));
    }
}

static void a_connection_is_registered_once_for_its_life(void **state)
{
    loop_tcp_t tcp;
    int peer;
    static char data[1 << 20];
    loop_op_t op = {0};
    size_t received = 0;

    (void)state;
    begin();
    peer = support_tcp_and_socket(loop, &tcp);
    assert_int_equal(fault_count(FAULT_BACKEND_CHANGE), CHANGES_OF_CONNECTION);
    assert_ok(loop_tcp_read_start(&tcp, NULL, echo));
    assert_ok(loop_tcp_write(&tcp, &op,
                             (loop_buf_t[]){{data, sizeof(data)},
                                            {data, sizeof(data)},
                                            {data, sizeof(data)},
                                            {data, sizeof(data)},
                                            {data, sizeof(data)},
                                            {data, sizeof(data)}},
                             6, written));
    while (received < 6 * sizeof(data)) {
        ssize_t n = recv(peer, data, sizeof(data), MSG_DONTWAIT);

        received += n > 0 ? (size_t)n : 0;
        (void)loop_run(loop, LOOP_RUN_NOWAIT);
    }
    assert_ok(loop_tcp_read_stop(&tcp));
    assert_ok(loop_tcp_read_start(&tcp, NULL, echo));
    assert_int_equal(fault_count(FAULT_BACKEND_CHANGE), CHANGES_OF_CONNECTION);
    assert_ok(loop_handle_close(&tcp.handle, NULL));
    assert_int_equal(fault_count(FAULT_BACKEND_CHANGE), CHANGES_OF_CONNECTION + CHANGES_OF_CLOSE);
    finish();
    assert_ok(close(peer));
}

static void a_loop_comes_and_goes_with_five_calls(void **state)
{
    (void)state;
    assert_ok(loop_close(support_loop())); /* the first may ask to be told of forks, too, which is no system call */
    fault_begin();
    loop = support_loop();
    assert_ok(loop_close(loop));
    assert_true(fault_count_all() <= CALLS_OF_LIFE);
    fault_end();
}

/* --------------------------------------------------------------------------------------------- accepting on a bad day -- */

static void report(loop_tcp_t *s, int status)
{
    loop_os_fd_t fd;

    if (reported < 16)
        reports[reported] = status;
    reported++;
    if (status == 0 && loop_tcp_accept_fd(s, &fd) == 0)
        assert_ok(close(fd));
}

static int dial(const struct sockaddr_storage *addr)
{
    int fd = support_socket(0);

    assert_true(fd >= 0);
    assert_ok(connect(fd, (const struct sockaddr *)addr, sizeof(struct sockaddr_in)));
    return fd;
}

static void a_listener_out_of_descriptors_reports_pauses_and_goes_on(void **state)
{
    static const int errors[] = {EMFILE, ENFILE};
    static const int codes[] = {LOOP_EMFILE, LOOP_ENFILE};

    (void)state;
    for (int i = 0; i < 2; i++) {
        struct sockaddr_storage addr;
        int client;

        begin();
        addr = support_listen(loop, &server, report);
        client = dial(&addr);
        fault_arm(FAULT_accept_new, 1, errors[i], 3);
        while (reported < 4) /* no new client comes, no descriptor of ours is freed: it goes on by itself */
            (void)loop_run(loop, LOOP_RUN_ONCE);
        for (int n = 0; n < 3; n++)
            assert_int_equal(reports[n], codes[i]);
        assert_int_equal(reports[3], 0);
        assert_true(fault_count_all() < 40); /* three pauses of 100 ms: no busy loop */
        finish();
        assert_ok(close(client));
    }
}

static void lost_connections_are_passed_over(void **state)
{
    struct sockaddr_storage addr;
    int client;

    (void)state;
    begin();
    addr = support_listen(loop, &server, report);
    client = dial(&addr);
    fault_arm(FAULT_accept_new, 1, ECONNABORTED, 5);
    while (reported == 0)
        (void)loop_run(loop, LOOP_RUN_ONCE);
    assert_int_equal(reports[0], 0);
    assert_ok(close(client));
    client = dial(&addr);
    fault_arm(FAULT_accept_new, 1, ECONNABORTED, LONG_MAX / 2); /* a flood: the loop is not held up by it */
    while (reported == 1)
        (void)loop_run(loop, LOOP_RUN_ONCE);
    assert_int_equal(reports[1], LOOP_ECONNABORTED);
    assert_true(fault_count(FAULT_accept_new) < 100);
    fault_disarm();
    while (reported == 2)
        (void)loop_run(loop, LOOP_RUN_ONCE);
    assert_int_equal(reports[2], 0);
    finish();
    assert_ok(close(client));
}

static void a_listener_closed_while_it_pauses_is_gone(void **state)
{
    struct sockaddr_storage addr;
    int client;

    (void)state;
    begin();
    addr = support_listen(loop, &server, report);
    client = dial(&addr);
    fault_arm(FAULT_accept_new, 1, EMFILE, 1);
    while (reported == 0)
        (void)loop_run(loop, LOOP_RUN_ONCE);
    assert_int_equal(reports[0], LOOP_EMFILE);
    assert_ok(loop_handle_close(&server.handle, NULL));
    assert_ok(loop_run(loop, LOOP_RUN_DEFAULT)); /* no timer is left behind */
    finish();
    assert_ok(close(client));
}

/* --------------------------------------------------------------------------------------------------------- single calls -- */

static void a_clock_that_fails_stands_still(void **state)
{
    uint64_t before;

    (void)state;
    begin();
    assert_ok(loop_update_time(loop));
    before = loop_now(loop);
    fault_arm(FAULT_clock_gettime, 1, EINVAL, 1);
    assert_ok(loop_update_time(loop));
    assert_int_equal(loop_now(loop), before);
    assert_ok(loop_update_time(loop));
    assert_true(loop_now(loop) > before);
    finish();
}

static void a_wait_that_fails_for_good_is_reported_and_can_be_repeated(void **state)
{
    loop_timer_t timer;

    (void)state;
    begin();
    fired = 0;
    assert_ok(loop_timer_init(loop, &timer));
    assert_ok(loop_timer_start(&timer, on_timer, LOOP_SEC(3600), 0));
    fault_arm(FAULT_BACKEND_WAIT_TIMED, 1, EBADF, 1);
    assert_int_equal(loop_run(loop, LOOP_RUN_DEFAULT), LOOP_EBADF);
    assert_int_equal(fired, 0);
    assert_ok(loop_timer_start(&timer, on_timer, 0, 0));
    assert_ok(loop_run(loop, LOOP_RUN_DEFAULT));
    assert_int_equal(fired, 1);
    finish();
}

static int completions;

static void note(loop_op_t *op)
{
    completions += op->status != 0;
}

static void writes_that_nobody_would_wake_fail(void **state)
{
    static char data[1 << 22];
    loop_desc_t desc;
    loop_op_t first = {0};
    loop_op_t second = {0};
    int fds[2];

    (void)state;
    begin();
    completions = 0;
    assert_ok(socketpair(AF_UNIX, SOCK_STREAM, 0, fds));
    assert_ok(loop_desc_attach(loop, &desc, fds[0], LOOP_DESC_OWNED));
    fault_registrations(1, ENOMEM, 1);
    assert_ok(loop_op_write(&desc, &first, &(loop_buf_t){data, sizeof(data)}, 1, note));
    while (completions < 1)
        (void)loop_run(loop, LOOP_RUN_ONCE);
    assert_int_equal(first.status, LOOP_ENOMEM);
    assert_true(first.bytes > 0); /* and it says how much went out */
    assert_ok(loop_op_write(&desc, &second, &(loop_buf_t){data, 1}, 1, note));
    assert_ok(loop_op_cancel(&second));
    while (completions < 2)
        (void)loop_run(loop, LOOP_RUN_ONCE);
    finish();
    assert_ok(close(fds[1]));
}

/* Sockets of each kind that can be taken over: connected, fresh; by a TCP handle, by a descriptor. */
static int take_over(int kind, int fd)
{
    static loop_tcp_t tcp;
    static loop_desc_t desc;
    int rc;

    if (kind == 2)
        return loop_desc_attach(loop, &desc, fd, LOOP_DESC_OWNED);
    assert_ok(loop_tcp_init(loop, &tcp));
    rc = loop_tcp_open(&tcp, fd);
    if (rc != 0) {
        assert_int_equal(loop_tcp_fd(&tcp), LOOP_INVALID_FD);
        assert_ok(loop_handle_close(&tcp.handle, NULL));
        assert_ok(loop_run(loop, LOOP_RUN_DEFAULT));
    }
    return rc;
}

static void a_descriptor_that_cannot_be_made_asynchronous_is_as_it_was(void **state)
{
    (void)state;
    for (int kind = 0; kind < 3; kind++) {
        long calls = 0;
        int refusals = 0;

        for (long n = 0; n <= calls; n++) { /* first without a failure, to count */
            int fds[2];
            int rc;

            begin();
            support_socket_pair(fds);
            if (kind == 1) {
                assert_ok(close(fds[0]));
                fds[0] = socket(AF_INET, SOCK_STREAM, 0);
            }
            assert_ok(fcntl(fds[0], F_SETFD, 0));
            fault_arm(FAULT_fcntl, n, ENOMEM, 1);
            rc = take_over(kind, fds[0]);
            if (n == 0)
                calls = fault_count(FAULT_fcntl);
            if (rc != 0) {
                refusals++;
                assert_false(fcntl(fds[0], F_GETFL) & O_NONBLOCK);
                assert_false(fcntl(fds[0], F_GETFD) & FD_CLOEXEC);
                fault_disarm();
                assert_ok(take_over(kind, fds[0])); /* and may be taken over still */
            }
            assert_true(fcntl(fds[0], F_GETFL) & O_NONBLOCK);
            assert_true(fcntl(fds[0], F_GETFD) & FD_CLOEXEC);
            finish();
            assert_ok(close(fds[1]));
        }
        assert_true(refusals >= 4);
    }
}

LOOP_TEST_MAIN(TEST(a_turn_reads_the_clock_only_if_it_has_timers_and_then_once),
               TEST(a_run_reads_the_clock_once_per_wait), TEST(a_clock_that_fails_stands_still),
               TEST(an_echo_costs_a_wait_a_receive_and_a_send), TEST(a_connection_is_registered_once_for_its_life),
               TEST(a_loop_comes_and_goes_with_five_calls),
               TEST(a_listener_out_of_descriptors_reports_pauses_and_goes_on), TEST(lost_connections_are_passed_over),
               TEST(a_listener_closed_while_it_pauses_is_gone),
               TEST(a_wait_that_fails_for_good_is_reported_and_can_be_repeated),
               TEST(writes_that_nobody_would_wake_fail),
               TEST(a_descriptor_that_cannot_be_made_asynchronous_is_as_it_was))
