/* What reading kqueue's part against the systems' manuals found, each in its smallest form. */
#include "kqueue/kqueue.h"

#include "fault_poll_fixture.h"
#include "fork_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

static struct loop_sys kernel;

static int completions;

static void note_end(loop_op_t *op)
{
    (void)op;
    completions++;
}

static void some_turns(void)
{
    for (int i = 0; i < 4; i++)
        turn();
}

/* -------------------------------------------------------------------------------------- numbers closed behind our back -- */

#define UNSENT (1 << 22)

/* A write waits on the first of a pair, whose number then is that of an end of another pair. */
static void begin_reused(loop_desc_t *desc, loop_op_t *op, int *peer, int other[2])
{
    static char data[UNSENT];
    int fds[2];

    begin_counting();
    completions = 0;
    assert_ok(support_local_pair(fds));
    assert_ok(support_local_pair(other));
    assert_ok(loop_desc_attach(loop, desc, fds[0], 0));
    assert_ok(loop_op_write(desc, op, &(loop_buf_t){data, sizeof(data)}, 1, note_end));
    assert_int_equal(completions, 0);
    assert_int_equal(dup2(other[0], fds[0]), fds[0]);
    assert_ok(close(other[0]));
    other[0] = fds[0];
    *peer = fds[1];
}

static void finish_reused(int peer, const int other[2])
{
    finish_counting();
    assert_ok(close(peer));
    assert_ok(close(other[0]));
    assert_ok(close(other[1]));
}

static void a_number_that_was_closed_early_with_a_write_waiting_is_attached_anew(void **state)
{
    loop_desc_t stale;
    loop_desc_t fresh;
    loop_op_t op = {0};
    int other[2];
    int peer;

    (void)state;
    begin_reused(&stale, &op, &peer, other);
    assert_ok(loop_desc_attach(loop, &fresh, other[0], 0));
    some_turns();
    assert_int_equal(completions, 1);
    assert_int_equal(op.status, LOOP_EBADF);
    finish_reused(peer, other);
}

static void a_write_that_waits_goes_to_no_later_owner_of_the_number(void **state)
{
    loop_desc_t stale;
    loop_op_t op = {0};
    char byte;
    int other[2];
    int peer;

    (void)state;
    begin_reused(&stale, &op, &peer, other);
    some_turns();
    assert_int_equal(recv(other[1], &byte, 1, MSG_DONTWAIT), -1);
    assert_int_equal(completions, 0);
    finish_reused(peer, other);
}

/* ---------------------------------------------------------------------------------------------------------- own numbers -- */

static int woken;

static void on_async(loop_async_t *async)
{
    (void)async;
    woken++;
}

static void *send_later(void *async)
{
    (void)usleep(50000);
    return loop_async_send(async) == 0 ? NULL : async;
}

static void expect_wake_up(loop_async_t *async)
{
    pthread_t thread;
    void *failed;
    int before = woken;

    expect(pthread_create(&thread, NULL, send_later, async) == 0);
    run_until_count(loop, &woken, before + 1);
    expect(pthread_join(thread, &failed) == 0 && failed == NULL);
}

/* That the loop's own objects get in the child. */
static void a_number_of_a_poll_handle_is_not_taken_from_the_loop_in_a_child(void **state)
{
    loop_poll_t handles[3];
    loop_async_t async;
    int numbers[3];
    pid_t child;

    (void)state;
    for (int i = 0; i < 3; i++)
        assert_true((numbers[i] = support_socket(0)) >= 0);
    loop = support_loop();
    woken = 0;
    assert_ok(loop_async_init(loop, &async, on_async));
    for (int i = 0; i < 3; i++)
        assert_ok(loop_poll_init(loop, &handles[i], numbers[i]));
    child = fork_process();
    if (in_child) {
        for (int i = 0; i < 3; i++)
            expect(close(numbers[i]) == 0);
        expect(loop_fork(loop) == 0);
        expect_wake_up(&async);
        for (int i = 0; i < 3; i++)
            expect(loop_handle_close(&handles[i].handle, NULL) == 0);
        expect_wake_up(&async);
        end_loop(loop);
        child_passed();
    }
    await_child(child);
    end_loop(loop);
    for (int i = 0; i < 3; i++)
        assert_ok(close(numbers[i]));
}

/* ---------------------------------------------------------------------------------------------------------- urgent data -- */

#ifdef EV_OOBAND

static int mark_reads;

/* Older systems count what is behind the mark, if there is one. */
static int wait_with_mark(int kq, const struct kevent *changes, int nchanges, struct kevent *events, int nevents,
                          const struct timespec *timeout)
{
    int n = kernel.kevent_wait(kq, changes, nchanges, events, nevents, timeout);

    for (int i = 0; i < n; i++) {
        if (events[i].filter == EVFILT_READ && events[i].data == 2) {
            events[i].flags |= EV_OOBAND;
            events[i].data = 1;
        }
    }
    return n;
}

static ssize_t recv_to_mark(int fd, void *base, size_t len, int flags)
{
    return kernel.recv(fd, base, mark_reads++ == 0 ? 1 : len, flags);
}

static int bytes_read;

static void on_read(loop_tcp_t *tcp, ptrdiff_t n, const loop_buf_t *buf)
{
    (void)tcp;
    (void)buf;
    assert_true(n > 0);
    bytes_read += (int)n;
}

static void what_is_behind_urgent_data_is_read_whatever_the_event_counts(void **state)
{
    loop_tcp_t tcp;
    int peer;

    (void)state;
    begin_counting();
    bytes_read = 0;
    peer = support_tcp_and_socket(loop, &tcp);
    assert_ok(loop_tcp_read_start(&tcp, NULL, on_read));
    some_turns();
    kernel = loop__sys;
    mark_reads = 0;
    loop__sys.kevent_wait = wait_with_mark;
    loop__sys.recv = recv_to_mark;
    assert_int_equal(send(peer, "ab", 2, 0), 2);
    some_turns();
    assert_int_equal(bytes_read, 2);
    loop__sys = kernel;
    finish_counting();
    assert_ok(close(peer));
}

#define URGENT_TESTS TEST(what_is_behind_urgent_data_is_read_whatever_the_event_counts),
#else
#define URGENT_TESTS
#endif

/* ------------------------------------------------------------------------------------------------------- connections -- */

static int socket_errors[3]; /* what SO_ERROR tells, one after the other */
static int times_asked;

static int connect_slowly(int fd, const struct sockaddr *address, socklen_t len)
{
    assert_true(kernel.connect(fd, address, len) == 0 || errno == EINPROGRESS);
    errno = EINPROGRESS;
    return -1;
}

static int tell_socket_error(int fd, int level, int option, void *value, socklen_t *len)
{
    if (level != SOL_SOCKET || option != SO_ERROR)
        return kernel.getsockopt(fd, level, option, value, len);
    assert_in_range(times_asked, 0, 2);
    memcpy(value, &socket_errors[times_asked++], sizeof(int));
    return 0;
}

static int be_over(int fd, struct sockaddr *address, socklen_t *len)
{
    (void)fd;
    (void)address;
    *len = 0;
    errno = EINVAL;
    return -1;
}

/* The status of a connect whose result is looked at when the socket is over in both directions, on macOS. */
static int status_of_late_look(int first_error, int second_error)
{
    struct sockaddr_storage address = support_loopback();
    socklen_t length = sizeof(struct sockaddr_in);
    int server = support_socket(0);
    loop_desc_t desc;
    loop_op_t op = {0};
    int status;

    begin_counting();
    assert_ok(bind(server, (struct sockaddr *)&address, length));
    assert_ok(listen(server, 1));
    assert_ok(getsockname(server, (struct sockaddr *)&address, &length));
    assert_ok(loop_desc_attach(loop, &desc, support_nonblocking_socket(), LOOP_DESC_OWNED));
    completions = 0;
    times_asked = 0;
    socket_errors[0] = first_error;
    socket_errors[1] = second_error;
    socket_errors[2] = 0;
    kernel = loop__sys;
    loop__sys.connect = connect_slowly;
    loop__sys.getsockopt = tell_socket_error;
    loop__sys.getpeername = be_over;
    assert_ok(loop_op_connect(&desc, &op, (struct sockaddr *)&address, note_end));
    while (completions == 0)
        assert_true(loop_run(loop, LOOP_RUN_ONCE) >= 0);
    loop__sys = kernel;
    status = op.status;
    finish_counting();
    assert_ok(close(server));
    return status;
}

static void a_connection_that_was_over_before_it_was_looked_at_had_come_about(void **state)
{
    (void)state;
    assert_ok(status_of_late_look(0, 0));
    assert_int_equal(status_of_late_look(ECONNREFUSED, 0), LOOP_ECONNREFUSED);
    assert_int_equal(status_of_late_look(0, ETIMEDOUT), LOOP_ETIMEDOUT); /* failed between the looks */
}

LOOP_TEST_MAIN(URGENT_TESTS TEST(a_number_that_was_closed_early_with_a_write_waiting_is_attached_anew),
               TEST(a_write_that_waits_goes_to_no_later_owner_of_the_number),
               TEST(a_number_of_a_poll_handle_is_not_taken_from_the_loop_in_a_child),
               TEST(a_connection_that_was_over_before_it_was_looked_at_had_come_about))
