/* Pipes and FIFOs over kqueue: those that nobody reads, and how their ends are told. */
#include "kqueue/kqueue.h"

#include "fault_poll_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/stat.h>
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

/* ----------------------------------------------------------------------------------------------- pipes nobody reads -- */

static int dead_reports;

static void note_dead(loop_poll_t *poll, int status, unsigned events)
{
    (void)poll;
    assert_ok(status);
    assert_int_equal(events, LOOP_WRITABLE);
    dead_reports++;
}

static void note_dead_or_lost(loop_poll_t *poll, int status, unsigned events)
{
    if (status == 0)
        note_dead(poll, status, events);
    else
        note_lost(poll, status, events);
}

/* The writing end of a pipe without a reader. */
static int dead_pipe(void)
{
    int fds[2];

    assert_ok(pipe(fds));
    assert_ok(close(fds[0]));
    return fds[1];
}

static void finish_dead(int fd)
{
    finish_counting();
    assert_ok(close(fd));
}

/* A wait that has an error to tell tells nothing else. */
static void a_pipe_that_nobody_reads_keeps_nobody_else_waiting(void **state)
{
    int fd = dead_pipe();
    loop_poll_t dead;

    (void)state;
    begin_counting();
    dead_reports = 0;
    assert_ok(loop_poll_init(loop, &dead, fd));
    assert_ok(loop_poll_start(&dead, LOOP_WRITABLE, note_dead));
    assert_ok(loop_poll_start(&polls[1], LOOP_READABLE, note));
    send_byte(peers[1]);
    for (int n = 1; n <= 4; n++) {
        turn();
        assert_int_equal(dead_reports, n);
        assert_int_equal(reports[1], n);
    }
    finish_dead(fd);
}

static bool host_is_woken(int fd)
{
    struct pollfd item = {.fd = fd, .events = POLLIN};

    return poll(&item, 1, 20) == 1;
}

static void a_host_learns_of_a_pipe_that_nobody_reads(void **state)
{
    int fd = dead_pipe();
    int watched;
    loop_poll_t dead;

    (void)state;
    begin_counting();
    dead_reports = 0;
    watched = loop_backend_fd(loop);
    assert_ok(loop_poll_init(loop, &dead, fd));
    assert_ok(loop_poll_start(&dead, LOOP_WRITABLE, note_dead));
    for (int n = 1; n <= 3; n++) {
        assert_true(host_is_woken(watched));
        turn();
        assert_int_equal(dead_reports, n);
    }
    assert_ok(loop_poll_stop(&dead));
    some_turns();
    assert_int_equal(dead_reports, 3);
    assert_false(host_is_woken(watched));
    finish_dead(fd);
}

static void a_poll_handle_that_cannot_be_asked_about_once_is_asked_about_again(void **state)
{
    int fd = dead_pipe();
    loop_poll_t dead;

    (void)state;
    begin_counting();
    dead_reports = 0;
    assert_ok(loop_poll_init(loop, &dead, fd));
    fault_registrations(2, EPIPE, 1); /* the first is for reading */
    assert_ok(loop_poll_start(&dead, LOOP_WRITABLE, note_dead));
    fault_registrations(1, ENOMEM, 1);
    some_turns();
    assert_true(dead_reports >= 3);
    finish_dead(fd);
}

/* A poll handle on a pipe that nobody reads, started for writing, and how adding EVFILT_WRITE fails from then on. */
static int begin_dead(loop_poll_t *dead, long failures)
{
    int fd = dead_pipe();

    begin_counting();
    dead_reports = 0;
    lost = 0;
    assert_ok(loop_poll_init(loop, dead, fd));
    fault_registrations(2, EPIPE, failures); /* the first is for reading */
    assert_ok(loop_poll_start(dead, LOOP_WRITABLE, note_dead_or_lost));
    turn();
    turn();
    assert_int_equal(dead_reports, 2);
    return fd;
}

static void a_pipe_that_nobody_reads_is_closed_early_and_goes_quietly(void **state)
{
    loop_poll_t dead;
    int watched;

    (void)state;
    for (int round = 0; round < 2; round++) {
        int fd = begin_dead(&dead, 1000);

        watched = round == 1 ? loop_backend_fd(loop) : -1;
        assert_ok(close(fd));
        assert_quiet();
        assert_quiet();
        if (round == 1)
            assert_false(host_is_woken(watched));
        assert_int_equal(loop_poll_start(&dead, LOOP_READABLE, note_dead_or_lost), LOOP_EBADF);
        assert_true(loop_handle_is_active(&dead.handle));
        assert_ok(loop_poll_stop(&dead));
        turn();
        assert_int_equal(dead_reports, 2);
        assert_int_equal(lost, 0);
        finish_counting();
    }
}

/* The number gets another file, whose other end is returned. */
static int reuse(int fd, bool full)
{
    static char data[1 << 16];
    int other[2];

    assert_ok(support_local_pair(other));
    assert_ok(fcntl(other[0], F_SETFL, O_NONBLOCK));
    while (full && write(other[0], data, sizeof(data)) > 0)
        continue;
    assert_int_equal(dup2(other[0], fd), fd);
    assert_ok(close(other[0]));
    return other[1];
}

static void what_gets_the_number_of_a_pipe_that_nobody_reads_is_not_registered_for_that(void **state)
{
    static char data[1 << 16];
    loop_poll_t dead;
    loop_desc_t next;
    loop_op_t op = {0};

    (void)state;
    for (int full = 0; full < 2; full++) {
        int fd = begin_dead(&dead, 1);
        int peer = reuse(fd, full);

        turn();
        turn();
        assert_int_equal(dead_reports, 2);
        completions = 0;
        assert_ok(loop_desc_attach(loop, &next, fd, 0));
        assert_ok(loop_op_write(&next, &op, &(loop_buf_t){data, sizeof(data)}, 1, note_end));
        turn();
        assert_int_equal(lost, 1);
        assert_int_equal(completions, !full);
        while (completions == 0) {
            assert_true(read(peer, data, sizeof(data)) > 0);
            turn();
        }
        assert_ok(op.status);
        assert_quiet(); /* there is room, which an edge told of */
        finish_counting();
        assert_ok(close(fd) | close(peer));
    }
}

static void a_handle_whose_pipe_nobody_read_goes_on_with_what_got_the_number(void **state)
{
    loop_poll_t dead;

    (void)state;
    for (int stopped = 0; stopped < 2; stopped++) {
        int fd = begin_dead(&dead, 1);
        int peer = reuse(fd, false);

        turn();
        assert_int_equal(dead_reports, 2);
        if (stopped)
            assert_ok(loop_poll_stop(&dead));
        assert_ok(loop_poll_start(&dead, LOOP_WRITABLE, note_dead_or_lost));
        turn();
        turn();
        assert_int_equal(dead_reports, 4);
        assert_int_equal(lost, 0);
        finish_counting();
        assert_ok(close(fd) | close(peer));
    }
}

static void a_start_that_fails_leaves_a_pipe_that_nobody_reads_reported(void **state)
{
    loop_poll_t dead;
    int fd = begin_dead(&dead, 1000);

    (void)state;
    fault_registrations(1, ENOMEM, 1000);
    assert_int_equal(loop_poll_start(&dead, LOOP_READABLE | LOOP_WRITABLE, note_dead_or_lost), LOOP_ENOMEM);
    turn();
    turn();
    assert_int_equal(dead_reports, 4);
    finish_dead(fd);
}

static int reader = -1;

static int reader_leaves_first(int kq, struct kevent *changes, int n)
{
    if (reader >= 0 && changes[0].filter == EVFILT_WRITE) {
        struct kevent deaf = loop__kevent_of(changes[0].ident, EVFILT_READ, EV_DELETE | EV_RECEIPT, 0, 0, 0);

        /* READ would tell of the end first. */
        (void)kernel.kevent_change(kq, &deaf, 1);
        assert_ok(close(reader));
        reader = -1;
    }
    return kernel.kevent_change(kq, changes, n);
}

/* Between the look at the pipe and its registration. */
static void a_wait_ends_whose_pipe_loses_its_reader_meanwhile(void **state)
{
    static char data[1 << 16];
    loop_desc_t desc;
    loop_op_t op = {0};
    int fds[2];

    (void)state;
    for (int watched = 0; watched < 2; watched++) {
        begin_counting();
        completions = 0;
        assert_ok(pipe(fds));
        assert_ok(loop_desc_attach(loop, &desc, fds[1], LOOP_DESC_OWNED));
        while (write(fds[1], data, sizeof(data)) > 0)
            continue;
        if (watched)
            assert_true(loop_backend_fd(loop) >= 0);
        reader = fds[0];
        kernel = loop__sys;
        loop__sys.kevent_change = reader_leaves_first;
        assert_ok(loop_op_ready(&desc, &op, LOOP_READABLE | LOOP_WRITABLE, note_end));
        some_turns();
        loop__sys.kevent_change = kernel.kevent_change;
        if (reader >= 0)
            assert_ok(close(reader));
        some_turns();
        assert_int_equal(completions, 1);
        assert_ok(op.status);
        finish_counting();
    }
}

static void a_pipe_that_nobody_reads_and_is_not_attached_leaves_nothing_behind(void **state)
{
    int fd = dead_pipe();
    loop_desc_t desc;
    int error = -1;

    (void)state;
    begin_counting();
    for (long n = 1; error != 0; n++) {
        fault_arm(FAULT_fcntl, n, EIO, 1);
        error = loop_desc_attach(loop, &desc, fd, 0);
        if (error == 0)
            assert_ok(loop_handle_close(&desc.handle, NULL));
        else
            memset(&desc, 0xff, sizeof(desc));
        turn();
    }
    finish_dead(fd);
}

/* -------------------------------------------------------------------------------------------------- the end of a pipe -- */

static unsigned end_events;
static int end_reports;

static void note_end_of_pipe(loop_poll_t *poll, int status, unsigned events)
{
    (void)poll;
    assert_ok(status);
    end_events = events;
    end_reports++;
}

static void turn_and_expect(int more, unsigned events)
{
    int before = end_reports;

    turn();
    assert_int_equal(end_reports, before + more);
    if (more > 0)
        assert_int_equal(end_events, events);
}

/* A low-water mark keeps data quiet on sockets alone. */
static void unread_data_does_not_keep_a_loop_busy_that_waits_for_the_end(void **state)
{
    static char data[1 << 16];
    loop_poll_t poll;
    int fds[2];

    (void)state;
    begin_counting();
    end_reports = 0;
    assert_ok(pipe(fds));
    assert_ok(fcntl(fds[1], F_SETFL, O_NONBLOCK));
    while (write(fds[1], data, sizeof(data)) > 0)
        continue;
    assert_ok(loop_poll_init(loop, &poll, fds[0]));
    for (int i = 0; i < 2; i++) {
        assert_ok(loop_poll_start(&poll, LOOP_DISCONNECT, note_end_of_pipe));
        assert_quiet();
        assert_quiet();
        assert_int_equal(end_reports, 2 * i);
        /* Reading goes on, and is reported as long as there is something. */
        assert_ok(loop_poll_start(&poll, LOOP_READABLE | LOOP_DISCONNECT, note_end_of_pipe));
        turn_and_expect(1, LOOP_READABLE);
        turn_and_expect(1, LOOP_READABLE);
        assert_ok(loop_poll_stop(&poll));
        turn_and_expect(0, 0);
    }
    assert_ok(loop_poll_start(&poll, LOOP_DISCONNECT, note_end_of_pipe));
    assert_quiet();
    assert_ok(loop_poll_stop(&poll));
    assert_ok(loop_poll_start(&poll, LOOP_READABLE, note_end_of_pipe));
    turn_and_expect(1, LOOP_READABLE);
    turn_and_expect(1, LOOP_READABLE);
    assert_ok(loop_poll_start(&poll, LOOP_DISCONNECT, note_end_of_pipe));
    assert_quiet();
    assert_ok(close(fds[1]));
    turn_and_expect(1, LOOP_DISCONNECT);
    turn_and_expect(1, LOOP_DISCONNECT);
    turn_and_expect(1, LOOP_DISCONNECT);
    finish_counting();
    assert_ok(close(fds[0]));
}

/* Only its WRITE tells of the writing end of a FIFO that there is no reader any more, where anything does. */
static bool tells_of_reader(int writer)
{
    const struct timespec none = {0, 0};
    struct kevent event = loop__kevent_of((uintptr_t)writer, EVFILT_WRITE, EV_ADD, 0, 0, 0);
    int kq = kqueue();
    bool told;

    assert_int_equal(kevent(kq, &event, 1, NULL, 0, NULL), 0);
    told = kevent(kq, NULL, 0, &event, 1, &none) == 1 && (event.flags & EV_EOF);
    assert_ok(close(kq));
    return told;
}

/* Both ends of a FIFO; whether the system can poll it, and tells of its end. */
static bool open_fifo(const char *name, int fds[2])
{
    loop_poll_t poll;
    bool told = false;
    int error;

    assert_ok(mkfifo(name, 0600));
    fds[0] = open(name, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    fds[1] = open(name, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
    error = loop_poll_init(loop, &poll, fds[1]);
    if (error == 0) {
        assert_ok(loop_handle_close(&poll.handle, NULL));
        turn();
        assert_ok(close(fds[0]));
        told = tells_of_reader(fds[1]);
        fds[0] = open(name, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    } else {
        assert_int_equal(error, LOOP_ENOTPOLLABLE);
    }
    assert_true(fds[0] >= 0 && fds[1] >= 0);
    return told;
}

static void turns_and_expect(unsigned events)
{
    turn_and_expect(1, events);
    turn_and_expect(1, events);
}

/* Room is nothing new to it, neither the one there is nor the one the reader makes. */
static void expect_quiet_writer(const int fds[2])
{
    char byte = 'x';

    assert_quiet();
    assert_int_equal(write(fds[1], &byte, 1), 1);
    assert_int_equal(read(fds[0], &byte, 1), 1);
    assert_quiet();
}

static void expect_end_of_writer(int fds[2], const char *fifo)
{
    static const unsigned others[] = {LOOP_DISCONNECT, LOOP_READABLE, LOOP_READABLE | LOOP_DISCONNECT};
    loop_poll_t poll;
    int reading = fds[0];

    end_reports = 0;
    assert_ok(loop_poll_init(loop, &poll, fds[1]));
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        assert_ok(loop_poll_start(&poll, others[i], note_end_of_pipe));
        expect_quiet_writer(fds);
        assert_ok(loop_poll_start(&poll, others[i] | LOOP_WRITABLE, note_end_of_pipe));
        turns_and_expect(LOOP_WRITABLE);
        assert_ok(loop_poll_stop(&poll));
        expect_quiet_writer(fds);
    }
    assert_ok(loop_poll_start(&poll, LOOP_DISCONNECT, note_end_of_pipe));
    expect_quiet_writer(fds);
    assert_ok(close(reading));
    turns_and_expect(LOOP_DISCONNECT);
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        assert_ok(loop_poll_start(&poll, others[i], note_end_of_pipe));
        turns_and_expect(others[i]);
        assert_ok(loop_poll_stop(&poll));
        assert_quiet();
        assert_ok(loop_poll_start(&poll, others[i] | LOOP_WRITABLE, note_end_of_pipe));
        turns_and_expect(others[i] | LOOP_WRITABLE);
    }
    assert_ok(loop_poll_start(&poll, LOOP_DISCONNECT, note_end_of_pipe));
    turns_and_expect(LOOP_DISCONNECT);
    if (fifo != NULL) {
        fds[0] = open(fifo, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
        expect_quiet_writer(fds);
        assert_ok(close(fds[0]));
        turns_and_expect(LOOP_DISCONNECT);
    }
    assert_ok(loop_handle_close(&poll.handle, NULL));
    assert_quiet();
    assert_ok(close(fds[1]));
}

static int deaf = -1;

/* As if READ told nothing of this descriptor. */
static int wait_without_reads(int kq, const struct kevent *changes, int nchanges, struct kevent *events, int nevents,
                              const struct timespec *timeout)
{
    int n = kernel.kevent_wait(kq, changes, nchanges, events, nevents, timeout);
    int left = 0;

    for (int i = 0; i < n; i++) {
        bool kept =
            events[i].ident != (uintptr_t)deaf || events[i].filter != EVFILT_READ || (events[i].flags & EV_ERROR);

        if (kept)
            events[left++] = events[i];
    }
    return n < 0 ? n : left;
}

static void who_only_writes_to_a_pipe_hears_of_its_end(void **state)
{
    int fds[2];

    (void)state;
    for (int round = 0; round < 2; round++) {
        begin_counting();
        assert_ok(pipe(fds));
        kernel = loop__sys;
        deaf = fds[1];
        /* Where pipes go both ways, READ does. */
        if (round == 1 && (fcntl(fds[1], F_GETFL) & O_ACCMODE) == O_WRONLY)
            loop__sys.kevent_wait = wait_without_reads;
        expect_end_of_writer(fds, NULL);
        loop__sys = kernel;
        finish_counting();
    }
}

static void who_only_writes_to_a_fifo_hears_of_its_end(void **state)
{
    char name[] = "kqueue_pipe_XXXXXX/fifo";
    char *slash = strchr(name, '/');
    bool told;
    int fds[2];

    (void)state;
    begin_counting();
    *slash = '\0';
    assert_non_null(mkdtemp(name));
    *slash = '/';
    told = open_fifo(name, fds);
    if (told)
        expect_end_of_writer(fds, name);
    else
        assert_ok(close(fds[0]) | close(fds[1]));
    assert_ok(unlink(name));
    *slash = '\0';
    assert_ok(rmdir(name));
    finish_counting();
    if (!told)
        skip();
}

LOOP_TEST_MAIN(TEST(a_pipe_that_nobody_reads_keeps_nobody_else_waiting),
               TEST(a_host_learns_of_a_pipe_that_nobody_reads),
               TEST(a_poll_handle_that_cannot_be_asked_about_once_is_asked_about_again),
               TEST(a_pipe_that_nobody_reads_is_closed_early_and_goes_quietly),
               TEST(what_gets_the_number_of_a_pipe_that_nobody_reads_is_not_registered_for_that),
               TEST(a_handle_whose_pipe_nobody_read_goes_on_with_what_got_the_number),
               TEST(a_start_that_fails_leaves_a_pipe_that_nobody_reads_reported),
               TEST(a_wait_ends_whose_pipe_loses_its_reader_meanwhile),
               TEST(a_pipe_that_nobody_reads_and_is_not_attached_leaves_nothing_behind),
               TEST(unread_data_does_not_keep_a_loop_busy_that_waits_for_the_end),
               TEST(who_only_writes_to_a_pipe_hears_of_its_end), TEST(who_only_writes_to_a_fifo_hears_of_its_end))
