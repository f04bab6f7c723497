/* Self-test of the kqueue emulation: changes, lists, waiting, fork(). */
#include "selftest.h"

static int pair[2]; /* [0] is watched */

static void open_pipe(void)
{
    open_kq();
    assert_int_equal(pipe(pair), 0);
}

static void close_both(void)
{
    assert_int_equal(close(pair[0]), 0);
    assert_int_equal(close(pair[1]), 0);
    close_kq();
}

/* Registrations */

static void oneshot_is_gone(void **state)
{
    (void)state;
    open_pipe();
    assert_int_equal(change(pair[0], EVFILT_READ, EV_ADD | EV_ONESHOT), 0);
    put(pair[1], "abc");
    assert_one(pair[0], EVFILT_READ);
    assert_none();
    assert_int_equal(change(pair[0], EVFILT_READ, EV_DELETE), ENOENT);
    close_both();
}

static void dispatch_disables(void **state)
{
    (void)state;
    open_pipe();
    assert_int_equal(change(pair[0], EVFILT_READ, EV_ADD | EV_DISPATCH), 0);
    put(pair[1], "abc");
    assert_one(pair[0], EVFILT_READ);
    assert_none();
    put(pair[1], "d");
    assert_int_equal(change(pair[0], EVFILT_READ, EV_ENABLE), 0);
    put(pair[1], "e");
    assert_one(pair[0], EVFILT_READ);
    assert_int_equal(events[0].data, 5);
    assert_none();
    close_both();
}

static void disable_holds_and_enable_delivers(void **state)
{
    (void)state;
    open_pipe();
    assert_int_equal(change(pair[0], EVFILT_READ, EV_ADD), 0);
    assert_int_equal(change(pair[0], EVFILT_READ, EV_DISABLE), 0);
    put(pair[1], "abc");
    assert_none();
    assert_int_equal(change(pair[0], EVFILT_READ, EV_ENABLE), 0);
    assert_one(pair[0], EVFILT_READ);
    close_both();
}

static void added_disabled_is_quiet(void **state)
{
    (void)state;
    open_pipe();
    put(pair[1], "abc");
    assert_int_equal(change(pair[0], EVFILT_READ, EV_ADD | EV_DISABLE), 0);
    assert_none();
    assert_int_equal(change(pair[0], EVFILT_READ, EV_ENABLE), 0);
    assert_one(pair[0], EVFILT_READ);
    close_both();
}

static void adding_again_does_not_enable(void **state)
{
    (void)state;
    open_pipe();
    put(pair[1], "abc");
    assert_int_equal(change(pair[0], EVFILT_READ, EV_ADD | EV_DISABLE), 0);
    assert_int_equal(change(pair[0], EVFILT_READ, EV_ADD), 0);
    assert_none();
    close_both();
}

static void adding_again_changes_udata(void **state)
{
    (void)state;
    open_pipe();
    assert_int_equal(change_all(pair[0], EVFILT_READ, EV_ADD, 0, 0, 1), 0);
    assert_int_equal(change_all(pair[0], EVFILT_READ, EV_ADD, 0, 0, 2), 0);
    put(pair[1], "abc");
    assert_one(pair[0], EVFILT_READ);
    assert_int_equal((intptr_t)events[0].udata, 2);
    close_both();
}

static void adding_again_does_not_change_clear(void **state)
{
    (void)state;
    open_pipe();
    put(pair[1], "abc");
    assert_int_equal(change(pair[0], EVFILT_READ, EV_ADD | EV_CLEAR), 0);
    assert_int_equal(change(pair[0], EVFILT_READ, EV_ADD), 0);
    assert_one(pair[0], EVFILT_READ);
    assert_none();
    close_both();
}

static void deleted_is_quiet(void **state)
{
    (void)state;
    open_pipe();
    put(pair[1], "abc");
    assert_int_equal(change(pair[0], EVFILT_READ, EV_ADD), 0);
    assert_int_equal(change(pair[0], EVFILT_READ, EV_DELETE), 0);
    assert_none();
    close_both();
}

/* Errors */

static void errors_of_changes(void **state)
{
    int closed;

    (void)state;
    open_pipe();
    assert_int_equal(change(pair[0], EVFILT_READ, EV_DELETE), ENOENT);
    assert_int_equal(change(pair[0], EVFILT_READ, EV_ENABLE), ENOENT);
    assert_int_equal(change(pair[0], EVFILT_READ, EV_DISABLE), ENOENT);
    assert_int_equal(change(pair[0], (filter_t)-100, EV_ADD), EINVAL);
    closed = dup(pair[0]);
    assert_int_equal(close(closed), 0);
    assert_int_equal(change(closed, EVFILT_READ, EV_ADD), EBADF);
    assert_int_equal(change(closed, EVFILT_READ, EV_DELETE), EBADF);
    close_both();
}

static void not_a_kqueue(void **state)
{
    struct timespec none = {0, 0};
    int closed;

    (void)state;
    open_pipe();
    assert_int_equal(kevent(pair[0], NULL, 0, events, 1, &none), -1);
    assert_int_equal(errno, EBADF);
    close_both();
    closed = kqueue();
    assert_int_equal(close(closed), 0);
    assert_int_equal(kevent(closed, NULL, 0, events, 1, &none), -1);
    assert_int_equal(errno, EBADF);
}

static void bad_timeout(void **state)
{
    struct timespec bad = {.tv_sec = 0, .tv_nsec = 1000000000};

    (void)state;
    open_kq();
    assert_int_equal(kevent(kq, NULL, 0, events, 1, &bad), -1);
    assert_int_equal(errno, EINVAL);
    close_kq();
}

/* Two of three changes fail; their entries come alone, although an event is pending. */
static void errors_are_listed_without_events(void **state)
{
    struct kevent changes[3];

    (void)state;
    open_pipe();
    put(pair[1], "abc");
    changes[0] = a_change(pair[0], EVFILT_WRITE, EV_DELETE, 0, 0, 7);
    changes[1] = a_change(pair[0], EVFILT_READ, EV_ADD, 0, 0, 8);
    changes[2] = a_change(pair[1], EVFILT_READ, EV_ENABLE, 0, 0, 9);
    assert_int_equal(kevent(kq, changes, 3, events, 16, NULL), 2);
    assert_true((events[0].flags & EV_ERROR) != 0);
    assert_int_equal(events[0].data, ENOENT);
    assert_int_equal(events[0].ident, pair[0]);
    assert_true(events[0].filter == (filter_t)EVFILT_WRITE);
    assert_int_equal((intptr_t)events[0].udata, 7);
    assert_int_equal(events[1].ident, pair[1]);
    assert_int_equal((intptr_t)events[1].udata, 9);
#if defined(ON_MACOS)
    assert_int_equal(events[0].flags, EV_ERROR | EV_DELETE);
#else
    assert_int_equal(events[0].flags, EV_ERROR);
#endif
    assert_one(pair[0], EVFILT_READ);
    close_both();
}

static void an_error_without_room_ends_the_list(void **state)
{
    struct kevent changes[2];

    (void)state;
    open_pipe();
    changes[0] = a_change(pair[0], EVFILT_WRITE, EV_DELETE, 0, 0, 0);
    changes[1] = a_change(pair[0], EVFILT_READ, EV_ADD, 0, 0, 0);
    assert_int_equal(kevent(kq, changes, 2, NULL, 0, NULL), -1);
    assert_int_equal(errno, ENOENT);
    assert_int_equal(change(pair[0], EVFILT_READ, EV_DELETE), ENOENT);
    close_both();
}

static void receipts_come_for_every_change(void **state)
{
    struct kevent changes[2];

    (void)state;
    open_pipe();
    put(pair[1], "abc");
    changes[0] = a_change(pair[0], EVFILT_READ, EV_ADD | EV_RECEIPT, 0, 0, 7);
    changes[1] = a_change(pair[1], EVFILT_READ, EV_DELETE | EV_RECEIPT, 0, 0, 8);
    assert_int_equal(kevent(kq, changes, 2, events, 16, NULL), 2);
    assert_true((events[0].flags & EV_ERROR) != 0);
    assert_int_equal(events[0].data, 0);
    assert_int_equal((intptr_t)events[0].udata, 7);
    assert_int_equal(events[1].data, ENOENT);
    assert_one(pair[0], EVFILT_READ);
    close_both();
}

/* Without room for a receipt, macOS goes on with the list; the others stop, which is no error. */
static void receipt_without_room(void **state)
{
    struct kevent changes[2];

    (void)state;
    open_pipe();
    changes[0] = a_change(pair[0], EVFILT_READ, EV_ADD | EV_RECEIPT, 0, 0, 0);
    changes[1] = a_change(pair[1], EVFILT_WRITE, EV_ADD, 0, 0, 0);
    assert_int_equal(kevent(kq, changes, 2, NULL, 0, NULL), 0);
    assert_int_equal(change(pair[0], EVFILT_READ, EV_DELETE), 0);
#if defined(ON_MACOS)
    assert_int_equal(change(pair[1], EVFILT_WRITE, EV_DELETE), 0);
#else
    assert_int_equal(change(pair[1], EVFILT_WRITE, EV_DELETE), ENOENT);
#endif
    close_both();
}

static void one_array_for_changes_and_events(void **state)
{
    (void)state;
    open_pipe();
    events[0] = a_change(pair[1], EVFILT_READ, EV_DELETE, 0, 0, 1);
    events[1] = a_change(pair[0], EVFILT_READ, EV_ADD, 0, 0, 2);
    events[2] = a_change(pair[1], EVFILT_WRITE, EV_DELETE, 0, 0, 3);
    assert_int_equal(kevent(kq, events, 3, events, 3, NULL), 2);
    assert_int_equal((intptr_t)events[0].udata, 1);
    assert_int_equal((intptr_t)events[1].udata, 3);
    put(pair[1], "abc");
    assert_one(pair[0], EVFILT_READ);
    close_both();
}

static void no_room_returns_at_once(void **state)
{
    (void)state;
    open_pipe();
    assert_int_equal(change(pair[0], EVFILT_READ, EV_ADD), 0);
    assert_int_equal(kevent(kq, NULL, 0, NULL, 0, NULL), 0);
    close_both();
}

/* Waiting */

static void a_timeout_is_not_early(void **state)
{
    long long begin;

    (void)state;
    open_kq();
    begin = clock_ms();
    assert_int_equal(collect(1, 30), 0);
    assert_true(clock_ms() - begin >= 29); /* the clock is cut to milliseconds */
    close_kq();
}

static void ignore(int number)
{
    (void)number;
}

static void a_signal_ends_the_wait_after_the_changes(void **state)
{
    struct kevent add;

    (void)state;
    open_pipe();
    add = a_change(pair[0], EVFILT_READ, EV_ADD, 0, 0, 0);
    tick(ignore, 20, 20);
    assert_int_equal(kevent(kq, &add, 1, events, 16, NULL), -1);
    assert_int_equal(errno, EINTR);
    tick(NULL, 0, 0);
    assert_int_equal(change(pair[0], EVFILT_READ, EV_DELETE), 0);
    close_both();
}

static void a_short_array_rotates(void **state)
{
    int pipes[4][2];
    int seen[4] = {0};

    (void)state;
    open_kq();
    for (int i = 0; i < 4; i++) {
        assert_int_equal(pipe(pipes[i]), 0);
        put(pipes[i][1], "abc");
        assert_int_equal(change_all(pipes[i][0], EVFILT_READ, EV_ADD, 0, 0, i), 0);
    }
    for (int i = 0; i < 8; i++) {
        assert_int_equal(collect(1, SOON), 1);
        seen[(intptr_t)events[0].udata]++;
    }
    for (int i = 0; i < 4; i++) {
        assert_int_equal(seen[i], 2);
        assert_int_equal(close(pipes[i][0]), 0);
        assert_int_equal(close(pipes[i][1]), 0);
    }
    close_kq();
}

static void reading_and_writing_are_two(void **state)
{
    (void)state;
    open_kq();
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    assert_int_equal(change(pair[0], EVFILT_READ, EV_ADD), 0);
    assert_int_equal(change(pair[0], EVFILT_WRITE, EV_ADD | EV_CLEAR), 0);
    put(pair[1], "abc");
    assert_int_equal(collect(16, SOON), 2);
    assert_true(events[0].filter != events[1].filter);
    put(pair[1], "abc");
    assert_one(pair[0], EVFILT_READ);
    assert_int_equal(change(pair[0], EVFILT_READ, EV_DELETE), 0);
    assert_int_equal(change(pair[0], EVFILT_WRITE, EV_DELETE), 0);
    close_both();
}

/* Several kqueues */

static int readable(int fd)
{
    struct pollfd pfd = {.fd = fd, .events = POLLIN};

    return poll(&pfd, 1, 0) == 1;
}

static void a_kqueue_is_readable_in_another(void **state)
{
    int inner = kqueue();
    struct kevent add;

    (void)state;
    open_pipe();
    add = a_change(pair[0], EVFILT_READ, EV_ADD | EV_CLEAR, 0, 0, 0);
    assert_int_equal(kevent(inner, &add, 1, NULL, 0, NULL), 0);
    assert_int_equal(change(inner, EVFILT_READ, EV_ADD), 0);
    assert_none();
    assert_false(readable(inner));
    put(pair[1], "abc");
    assert_one(inner, EVFILT_READ);
    assert_true(readable(inner));
    assert_true(readable(kq));
    assert_int_equal(kevent(inner, NULL, 0, events, 16, NULL), 1);
    assert_none();
    assert_false(readable(inner));
    assert_int_equal(close(inner), 0);
    close_both();
}

static void level_keeps_the_kqueue_readable(void **state)
{
    (void)state;
    open_pipe();
    assert_int_equal(change(pair[0], EVFILT_READ, EV_ADD), 0);
    put(pair[1], "abc");
    assert_one(pair[0], EVFILT_READ);
    assert_true(readable(kq));
    take(pair[0], 3);
    assert_none();
    assert_false(readable(kq));
    close_both();
}

static void two_kqueues_watch_one_descriptor(void **state)
{
    int other = kqueue();
    struct kevent add;

    (void)state;
    open_pipe();
    add = a_change(pair[0], EVFILT_READ, EV_ADD, 0, 0, 0);
    assert_int_equal(kevent(other, &add, 1, NULL, 0, NULL), 0);
    assert_int_equal(change(pair[0], EVFILT_READ, EV_ADD), 0);
    put(pair[1], "abc");
    assert_one(pair[0], EVFILT_READ);
    assert_int_equal(kevent(other, NULL, 0, events, 16, NULL), 1);
    assert_int_equal(close(other), 0);
    assert_one(pair[0], EVFILT_READ);
    close_both();
}

static void the_child_of_fork_has_none(void **state)
{
    int status = -1;
    pid_t child;

    (void)state;
    open_pipe();
    assert_int_equal(change(pair[0], EVFILT_READ, EV_ADD), 0);
    child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct timespec none = {0, 0};
        int refused = kevent(kq, NULL, 0, events, 1, &none) == -1 && errno == EBADF;

        _exit(refused && close(kq) == -1 && errno == EBADF ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    put(pair[1], "abc");
    assert_one(pair[0], EVFILT_READ);
    close_both();
}

LOOP_TEST_MAIN(TEST(oneshot_is_gone), TEST(dispatch_disables), TEST(disable_holds_and_enable_delivers),
               TEST(added_disabled_is_quiet), TEST(adding_again_does_not_enable), TEST(adding_again_changes_udata),
               TEST(adding_again_does_not_change_clear), TEST(deleted_is_quiet), TEST(errors_of_changes),
               TEST(not_a_kqueue), TEST(bad_timeout), TEST(errors_are_listed_without_events),
               TEST(an_error_without_room_ends_the_list), TEST(receipts_come_for_every_change),
               TEST(receipt_without_room), TEST(one_array_for_changes_and_events), TEST(no_room_returns_at_once),
               TEST(a_timeout_is_not_early), TEST(a_signal_ends_the_wait_after_the_changes),
               TEST(a_short_array_rotates), TEST(reading_and_writing_are_two), TEST(a_kqueue_is_readable_in_another),
               TEST(level_keeps_the_kqueue_readable), TEST(two_kqueues_watch_one_descriptor),
               TEST(the_child_of_fork_has_none))
