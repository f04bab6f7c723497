/* What is peculiar to kqueue: changes that go with the wait and may fail there, a wake-up that older kernels do not have, what
 * is refused, a pipe that is not registered because nobody reads it, long waits. */
#include "kqueue/kqueue.h"

#include "backend_test.h"
#include "fault_poll_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

static void begin_loop(void)
{
    loop = support_loop();
    fault_begin();
}

static void finish_loop(void)
{
    fault_end();
    support_finish(loop);
}

/* ------------------------------------------------------------------------------------------------------------ wake-up -- */

static int woken;

static void on_async(loop_async_t *async)
{
    (void)async;
    woken++;
}

static struct loop_sys kernel;

static int change_without_user_events(int kq, struct kevent *changes, int n)
{
#ifdef EVFILT_USER
    if (n == 1 && changes[0].filter == EVFILT_USER) {
        changes[0].flags = EV_ERROR;
        changes[0].data = EINVAL;
        return 1;
    }
#endif
    return kernel.kevent_change(kq, changes, n);
}

/* As on a kernel that is older than its header. */
static void begin_without_user_events(void)
{
    kernel = loop__sys;
    loop__sys.kevent_change = change_without_user_events;
    fault_begin();
}

static void end_without_user_events(void)
{
    fault_end();
    loop__sys = kernel;
}

static void without_user_events_a_pipe_wakes(void **state)
{
    loop_async_t async;

    (void)state;
    begin_without_user_events();
    assert_ok(loop_init(&loop, NULL));
    assert_int_equal(fault_count(FAULT_pipe_new), 1);
    assert_ok(loop_async_init(loop, &async, on_async));
    woken = 0;
    for (int round = 1; round <= 3; round++) {
        fault_arm(FAULT_write, 1, EINTR, 2);
        assert_ok(loop_async_send(&async));
        assert_ok(loop_async_send(&async));
        assert_int_equal(fault_count(FAULT_write), 3); /* one, in spite of interruptions */
        assert_int_equal(loop_run(loop, LOOP_RUN_ONCE), 1);
        assert_int_equal(woken, round);
    }
    fault_arm(FAULT_write, 0, 0, 0);
    assert_int_equal(loop_run(loop, LOOP_RUN_NOWAIT), 1); /* it is empty again */
    assert_int_equal(woken, 3);
    assert_int_equal(fault_count(FAULT_read), 0);
    support_finish(loop);
    end_without_user_events();
}

static void every_call_of_a_pipe_that_wakes_fails_in_turn(void **state)
{
    static const enum fault_row rows[] = {FAULT_kqueue_new, FAULT_pipe_new, FAULT_fcntl, FAULT_kevent_change};

    (void)state;
    begin_without_user_events();
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        bool failed = true;

        for (long n = 1; failed; n++) {
            loop = (loop_t *)&loop;
            fault_arm(rows[i], n, ENOMEM, 1);
            failed = loop_init(&loop, NULL) != 0;
            assert_int_equal(failed, fault_count(rows[i]) >= n);
            if (failed) {
                assert_null(loop);
            } else {
                assert_ok(loop_close(loop));
            }
        }
    }
    end_without_user_events();
}

/* Or it would be full some day. */
static void a_pipe_that_woke_is_emptied_however_often_that_is_interrupted(void **state)
{
    loop_async_t async;

    (void)state;
    begin_without_user_events();
    assert_ok(loop_init(&loop, NULL));
    assert_ok(loop_async_init(loop, &async, on_async));
    woken = 0;
    for (int i = 0; i < 100; i++)
        loop__backend.wake(loop);
    assert_ok(loop_async_send(&async));
    fault_arm(FAULT_read, 1, EINTR, 3);
    assert_int_equal(loop_run(loop, LOOP_RUN_ONCE), 1);
    assert_int_equal(woken, 1);
    assert_int_equal(fault_count(FAULT_read), 3 + 2);
    assert_int_equal(loop_run(loop, LOOP_RUN_NOWAIT), 1);
    assert_int_equal(fault_count(FAULT_read), 3 + 2);
    support_finish(loop);
    end_without_user_events();
}

/* ------------------------------------------------------------------------------------------------------- late failures -- */

static ptrdiff_t told[4];
static int tellings;

static void on_read(loop_tcp_t *tcp, ptrdiff_t n, const loop_buf_t *buf)
{
    (void)tcp;
    (void)buf;
    assert_in_range(tellings, 0, 3);
    told[tellings++] = n;
}

static void a_connection_that_cannot_be_registered_says_so_and_tries_again(void **state)
{
    loop_tcp_t tcp;
    int peer;

    (void)state;
    begin_loop();
    tellings = 0;
    fault_registrations(1, ENOMEM, 2);
    peer = support_tcp_and_socket(loop, &tcp);
    assert_ok(loop_tcp_read_start(&tcp, NULL, on_read));
    while (tellings < 1)
        assert_true(loop_run(loop, LOOP_RUN_ONCE) >= 0);
    assert_int_equal(told[0], LOOP_ENOMEM);
    assert_false(loop_handle_is_active(&tcp.handle));
    assert_ok(loop_tcp_read_start(&tcp, NULL, on_read));
    while (tellings < 2)
        assert_true(loop_run(loop, LOOP_RUN_ONCE) >= 0);
    assert_int_equal(told[1], LOOP_ENOMEM);
    assert_ok(loop_tcp_read_start(&tcp, NULL, on_read)); /* the third time it is let */
    assert_int_equal(loop_run(loop, LOOP_RUN_NOWAIT), 1);
    assert_int_equal(tellings, 2);
    assert_int_equal(send(peer, "x", 1, 0), 1);
    while (tellings < 3)
        assert_true(loop_run(loop, LOOP_RUN_ONCE) >= 0);
    assert_int_equal(told[2], 1);
    finish_loop();
    assert_ok(close(peer));
}

/* ------------------------------------------------------------------------------------------------------------ the batch -- */

#define MANY (2 * CHANGES_PER_WAIT + 10)

static int accepted;
static loop_tcp_t connections[MANY];

static void on_connection(loop_tcp_t *server, int status)
{
    assert_ok(status);
    assert_ok(loop_tcp_init(loop, &connections[accepted]));
    assert_ok(loop_tcp_accept(server, &connections[accepted]));
    assert_ok(loop_tcp_read_start(&connections[accepted], NULL, on_read));
    accepted++;
}

static void accept_many(loop_tcp_t *server, int peers_of[MANY])
{
    struct sockaddr_storage addr = support_listen(loop, server, on_connection);

    accepted = 0;
    for (int i = 0; i < MANY; i++) {
        peers_of[i] = socket(AF_INET, SOCK_STREAM, 0);
        assert_true(peers_of[i] >= 0);
        assert_ok(connect(peers_of[i], (struct sockaddr *)&addr, sizeof(struct sockaddr_in)));
        (void)loop_run(loop, LOOP_RUN_NOWAIT);
    }
    while (accepted < MANY)
        assert_true(loop_run(loop, LOOP_RUN_ONCE) >= 0);
}

static void changes_go_with_the_wait(void **state)
{
    loop_tcp_t server;
    int peers_of[MANY];

    (void)state;
    begin_loop();
    tellings = 0;
    accept_many(&server, peers_of);
    assert_in_range(fault_count(FAULT_kevent_change), 1, 2); /* the listener's, and where one call takes no more */
    assert_int_equal(send(peers_of[MANY - 1], "x", 1, 0), 1);
    while (tellings < 1)
        assert_true(loop_run(loop, LOOP_RUN_ONCE) >= 0);
    finish_loop();
    for (int i = 0; i < MANY; i++)
        assert_ok(close(peers_of[i]));
}

/* Changes that wait for a descriptor do not hit the next of its number. */
static int changes_submitted;
static int (*submit)(int, const struct kevent *, int, struct kevent *, int, const struct timespec *);

static int counting_wait(int kq, const struct kevent *changes, int nchanges, struct kevent *events, int nevents,
                         const struct timespec *timeout)
{
    changes_submitted += nchanges;
    return submit(kq, changes, nchanges, events, nevents, timeout);
}

static void close_at_once(loop_tcp_t *server, int status)
{
    assert_ok(status);
    assert_ok(loop_tcp_init(loop, &connections[0]));
    assert_ok(loop_tcp_accept(server, &connections[0]));
    assert_ok(loop_tcp_read_start(&connections[0], NULL, on_read));
    assert_ok(loop_handle_close(&connections[0].handle, NULL));
    accepted++;
}

static void a_change_is_dropped_with_its_descriptor(void **state)
{
    loop_tcp_t server;
    struct sockaddr_storage addr;
    int peer = socket(AF_INET, SOCK_STREAM, 0);

    (void)state;
    begin_loop();
    submit = loop__sys.kevent_wait;
    loop__sys.kevent_wait = counting_wait;
    changes_submitted = 0;
    accepted = 0;
    addr = support_listen(loop, &server, close_at_once);
    assert_ok(connect(peer, (struct sockaddr *)&addr, sizeof(struct sockaddr_in)));
    while (accepted < 1)
        assert_true(loop_run(loop, LOOP_RUN_ONCE) >= 0);
    assert_int_equal(loop_run(loop, LOOP_RUN_NOWAIT), 1);
    assert_int_equal(changes_submitted, 0);
    finish_loop();
    assert_ok(close(peer));
}

/* ------------------------------------------------------------------------------------------- what is not registered -- */

/* As macOS answers for some terminals, and others for devices that have no filters. */
static void a_descriptor_that_the_kernel_refuses_is_not_pollable(void **state)
{
    static const int answers[] = {EINVAL, EPERM, ENODEV, EOPNOTSUPP};

    (void)state;
    begin_counting();
    for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
        loop_desc_t desc;
        loop_poll_t poll;
        int fds[2];

        assert_ok(pipe(fds));
        fault_registrations(1, answers[i], 3);
        assert_int_equal(loop_desc_attach(loop, &desc, fds[0], 0), LOOP_ENOTPOLLABLE);
        assert_int_equal(loop_poll_init(loop, &poll, fds[0]), LOOP_ENOTPOLLABLE);
        assert_int_equal(fcntl(fds[0], F_GETFL) & O_NONBLOCK, 0);
        assert_int_equal(loop_desc_attach(loop, &desc, fds[0], 0), LOOP_ENOTPOLLABLE);
        assert_ok(loop_desc_attach(loop, &desc, fds[0], LOOP_DESC_OWNED)); /* from now on it is accepted */
        assert_ok(loop_handle_close(&desc.handle, NULL));
        turn();
        assert_ok(close(fds[1]));
    }
    finish_counting();
}

/* A poll(2) of Linux would call it hung up. */
static void a_socket_that_is_not_connected_is_quiet(void **state)
{
    int fd = support_nonblocking_socket();

    (void)state;
    backend_be_calm();
    begin_counting();
    assert_ok(loop_handle_close(&polls[0].handle, NULL));
    turn();
    assert_ok(loop_poll_init(loop, &polls[0], fd));
    assert_ok(loop_poll_start(&polls[0], LOOP_READABLE | LOOP_WRITABLE | LOOP_DISCONNECT, note));
    turn();
    assert_quiet();
    assert_int_equal(reports[0], 0);
    finish_counting();
    assert_ok(close(fd));
}

/* -------------------------------------------------------------------------------------------------- pipes nobody reads -- */

static int completions;

static void note_end(loop_op_t *op)
{
    (void)op;
    completions++;
}

static void writing_to_a_pipe_that_nobody_reads_fails_whatever_registering_says(void **state)
{
    static const int answers[] = {EPIPE, EBADF, EPERM};
    static char data[1 << 20];

    (void)state;
    for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
        loop_desc_t desc;
        loop_op_t op = {0};
        int fds[2];

        begin_loop();
        completions = 0;
        assert_ok(pipe(fds));
        assert_ok(loop_desc_attach(loop, &desc, fds[1], LOOP_DESC_OWNED));
        assert_ok(loop_op_write(&desc, &op, &(loop_buf_t){data, sizeof(data)}, 1, note_end));
        fault_registrations(1, answers[i], 1);
        assert_ok(close(fds[0]));
        while (completions < 1)
            assert_true(loop_run(loop, LOOP_RUN_ONCE) >= 0);
        assert_int_equal(op.status, LOOP_EPIPE);
        assert_true(op.bytes > 0);
        finish_loop();
    }
}

static void a_pipe_that_nobody_reads_is_reported_as_writable_in_every_poll(void **state)
{
    static const int answers[] = {EPIPE, EBADF, EPERM};

    (void)state;
    for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
        loop_poll_t poll;
        int fds[2];

        begin_counting();
        assert_ok(pipe(fds));
        assert_ok(close(fds[0]));
        assert_ok(loop_handle_close(&polls[0].handle, NULL));
        turn();
        assert_ok(loop_poll_init(loop, &poll, fds[1]));
        assert_ok(loop_handle_close(&poll.handle, NULL));
        turn();
        assert_ok(loop_poll_init(loop, &polls[0], fds[1]));
        fault_registrations(2, answers[i], 1000); /* all for writing: the first is for reading */
        assert_ok(loop_poll_start(&polls[0], LOOP_WRITABLE, note));
        for (int n = 1; n <= 3; n++) {
            turn();
            assert_int_equal(reports[0], n);
            assert_int_equal(seen[0], LOOP_WRITABLE);
        }
        assert_ok(loop_poll_stop(&polls[0]));
        turn();
        assert_quiet();
        assert_int_equal(reports[0], 3);
        finish_counting();
        assert_ok(close(fds[1]));
    }
}

/* ---------------------------------------------------------------------------------------------------------- long waits -- */

static uint64_t fake_now;
static int waits_made;

static int fake_clock(clockid_t id, struct timespec *time)
{
    (void)id;
    time->tv_sec = (time_t)(fake_now / LOOP_SEC(1));
    time->tv_nsec = (long)(fake_now % LOOP_SEC(1));
    return 0;
}

static void advance(uint64_t ns)
{
    assert_true(ns <= LOOP_SEC(86400));
    fake_now += ns;
    waits_made++;
}

BACKEND_FAKE_WAIT(fake_wait, advance)

static int fired;

static void on_timer(loop_timer_t *timer)
{
    (void)timer;
    fired++;
}

static void a_long_wait_is_made_of_some_that_every_system_takes(void **state)
{
    loop_timer_t timer;

    (void)state;
    begin_loop();
    fake_now = LOOP_SEC(1000);
    fired = 0;
    waits_made = 0;
    loop__sys.clock_gettime = fake_clock;
    BACKEND_FAKE_WAIT_INSTALL(fake_wait);
    assert_ok(loop_timer_init(loop, &timer));
    assert_ok(loop_timer_start(&timer, on_timer, LOOP_SEC(86400 * 10) + 1, 0));
    assert_ok(loop_run(loop, LOOP_RUN_DEFAULT));
    assert_int_equal(fired, 1);
    assert_int_equal(waits_made, 11);
    assert_true(fake_now == LOOP_SEC(1000) + LOOP_SEC(86400 * 10) + 1);
    finish_loop();
}

LOOP_TEST_MAIN(TEST(without_user_events_a_pipe_wakes), TEST(every_call_of_a_pipe_that_wakes_fails_in_turn),
               TEST(a_pipe_that_woke_is_emptied_however_often_that_is_interrupted),
               TEST(a_connection_that_cannot_be_registered_says_so_and_tries_again), TEST(changes_go_with_the_wait),
               TEST(a_change_is_dropped_with_its_descriptor),
               TEST(a_descriptor_that_the_kernel_refuses_is_not_pollable),
               TEST(a_socket_that_is_not_connected_is_quiet),
               TEST(writing_to_a_pipe_that_nobody_reads_fails_whatever_registering_says),
               TEST(a_pipe_that_nobody_reads_is_reported_as_writable_in_every_poll),
               TEST(a_long_wait_is_made_of_some_that_every_system_takes))
