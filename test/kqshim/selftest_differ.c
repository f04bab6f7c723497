/* Self-test of the kqueue emulation: EVFILT_USER, and what each system has its own way of. */
#include "selftest.h"

#include <stdbool.h>
#include <stdlib.h>

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

/* EVFILT_USER */

#if defined(EVFILT_USER)

static int trigger(intptr_t udata)
{
    return change_all(1, EVFILT_USER, 0, NOTE_TRIGGER, 0, udata);
}

static void two_triggers_are_one_event(void **state)
{
    (void)state;
    open_kq();
    assert_int_equal(change_all(1, EVFILT_USER, EV_ADD | EV_CLEAR, 0, 0, 3), 0);
    assert_none();
    assert_int_equal(trigger(3), 0);
    assert_int_equal(trigger(3), 0);
    assert_one(1, EVFILT_USER);
    assert_int_equal((intptr_t)events[0].udata, 3);
    assert_none();
    assert_int_equal(trigger(3), 0);
    assert_one(1, EVFILT_USER);
    close_kq();
}

static void user_flags_are_combined(void **state)
{
    (void)state;
    open_kq();
    assert_int_equal(change_all(1, EVFILT_USER, EV_ADD | EV_CLEAR, NOTE_FFCOPY | 6, 0, 0), 0);
    assert_int_equal(change_all(1, EVFILT_USER, 0, NOTE_FFOR | 1, 0, 0), 0);
    assert_int_equal(change_all(1, EVFILT_USER, 0, NOTE_FFAND | 3 | NOTE_TRIGGER, 0, 0), 0);
    assert_one(1, EVFILT_USER);
    assert_int_equal(events[0].fflags & NOTE_FFLAGSMASK, 3);
    close_kq();
}

static void *trigger_thread(void *result)
{
    *(int *)result = trigger(0);
    return NULL;
}

static void another_thread_triggers(void **state)
{
    pthread_t thread;
    int result = -1;

    (void)state;
    open_kq();
    assert_int_equal(change(1, EVFILT_USER, EV_ADD | EV_CLEAR), 0);
    assert_int_equal(pthread_create(&thread, NULL, trigger_thread, &result), 0);
    assert_one(1, EVFILT_USER);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(result, 0);
    close_kq();
}

static void trigger_handler(int number)
{
    int saved = errno;

    (void)number;
    (void)trigger(0);
    errno = saved;
}

static void a_signal_handler_triggers(void **state)
{
    (void)state;
    open_kq();
    assert_int_equal(change(1, EVFILT_USER, EV_ADD | EV_CLEAR), 0);
    for (int i = 0; i < 5; i++) {
        int n;

        tick(trigger_handler, 2, 0);
        do {
            n = collect(16, SOON);
        } while (n == -1 && errno == EINTR);
        assert_int_equal(n, 1);
        assert_int_equal(events[0].ident, 1);
    }
    close_kq();
}

static void trigger_in_the_add(void **state)
{
    (void)state;
    open_kq();
    assert_int_equal(change_all(1, EVFILT_USER, EV_ADD | EV_CLEAR, NOTE_TRIGGER, 0, 0), 0);
#if defined(ON_MACOS) || defined(ON_OPENBSD)
    assert_one(1, EVFILT_USER);
#else
    assert_none();
#endif
    close_kq();
}

static void clear_in_a_later_change(void **state)
{
    (void)state;
    open_kq();
    assert_int_equal(change(1, EVFILT_USER, EV_ADD | EV_CLEAR), 0);
    assert_int_equal(trigger(0), 0);
    assert_int_equal(change(1, EVFILT_USER, EV_CLEAR), 0);
#if defined(ON_MACOS)
    assert_one(1, EVFILT_USER);
#else
    assert_none();
#endif
    close_kq();
}

/* clang-format off: part of a list */
#define USER_EVENTS                                                                                                    \
    TEST(two_triggers_are_one_event), TEST(user_flags_are_combined), TEST(another_thread_triggers),                    \
        TEST(a_signal_handler_triggers), TEST(trigger_in_the_add), TEST(clear_in_a_later_change),
/* clang-format on */
#else
#define USER_EVENTS
#endif

/* Where systems differ */

static void enable_and_disable_together(void **state)
{
    int error;

    (void)state;
    open_pipe();
    put(pair[1], "abc");
    assert_int_equal(change(pair[0], EVFILT_READ, EV_ADD), 0);
    error = change(pair[0], EVFILT_READ, EV_ENABLE | EV_DISABLE);
#if defined(ON_FREEBSD)
    assert_int_equal(error, EINVAL);
#else
    assert_int_equal(error, 0);
#endif
#if defined(ON_MACOS)
    assert_none();
#else
    assert_one(pair[0], EVFILT_READ);
#endif
    close_both();
}

static void enable_overwrites_udata(void **state)
{
    (void)state;
    open_pipe();
    put(pair[1], "abc");
    assert_int_equal(change_all(pair[0], EVFILT_READ, EV_ADD | EV_DISABLE, 0, 0, 1), 0);
    assert_int_equal(change_all(pair[0], EVFILT_READ, EV_ENABLE, 0, 0, 2), 0);
    assert_one(pair[0], EVFILT_READ);
#if defined(ON_OPENBSD) || (defined(ON_NETBSD) && !defined(EVFILT_USER))
    assert_int_equal((intptr_t)events[0].udata, 1);
#else
    assert_int_equal((intptr_t)events[0].udata, 2);
#endif
    close_both();
}

static void oneshot_may_be_stale(void **state)
{
    (void)state;
    open_pipe();
    put(pair[1], "abc");
    assert_int_equal(change(pair[0], EVFILT_READ, EV_ADD | EV_ONESHOT), 0);
    take(pair[0], 3);
#if defined(ON_FREEBSD) || defined(ON_NETBSD)
    assert_one(pair[0], EVFILT_READ);
#elif defined(ON_MACOS)
    assert_none();
#else
    assert_true(collect(16, 0) <= 1);
#endif
    close_both();
}

static void clear_with_dispatch(void **state)
{
    (void)state;
    open_pipe();
    assert_int_equal(change(pair[0], EVFILT_READ, EV_ADD | EV_CLEAR | EV_DISPATCH), 0);
    put(pair[1], "abc");
    assert_one(pair[0], EVFILT_READ);
    put(pair[1], "d");
#if defined(ON_NETBSD)
    assert_one(pair[0], EVFILT_READ);
#else
    assert_none();
#endif
    close_both();
}

static void events_repeat_the_flags_of_the_change(void **state)
{
    (void)state;
    open_pipe();
    put(pair[1], "abc");
    assert_int_equal(change(pair[0], EVFILT_READ, EV_ADD), 0);
    assert_one(pair[0], EVFILT_READ);
#if defined(ON_FREEBSD)
    assert_int_equal(events[0].flags, 0);
#else
    assert_int_equal(events[0].flags, EV_ADD);
#endif
    close_both();
}

/* An event with EV_EOF, or an error. */
static void writing_to_a_dead_pipe(void **state)
{
    int error;

    (void)state;
    open_pipe();
    assert_int_equal(close(pair[0]), 0);
    error = change(pair[1], EVFILT_WRITE, EV_ADD);
    if (error == 0) {
        assert_one(pair[1], EVFILT_WRITE);
        assert_true(eof(&events[0]));
    } else {
        assert_true(error == EPIPE || error == EBADF || error == EPERM);
    }
    assert_int_equal(close(pair[1]), 0);
    close_kq();
}

static char directory[32];
static int home;

static void open_fifo(void)
{
    open_kq();
    (void)snprintf(directory, sizeof(directory), "kqshim_XXXXXX");
    assert_non_null(mkdtemp(directory));
    home = open(directory, O_RDONLY | O_CLOEXEC);
    assert_int_equal(fchdir(home), 0);
    assert_int_equal(mkfifo("fifo", 0600), 0);
    pair[0] = open("fifo", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    pair[1] = open("fifo", O_WRONLY | O_CLOEXEC);
    assert_true(pair[0] >= 0 && pair[1] >= 0);
}

static void close_fifo(void)
{
    assert_int_equal(unlink("fifo"), 0);
    assert_int_equal(chdir(".."), 0);
    assert_int_equal(rmdir(directory), 0);
    assert_int_equal(close(home), 0);
    close_both();
}

/* After the last writer has left: nothing on macOS; elsewhere EV_EOF, until there is another writer. */
static void a_fifo_loses_its_writer(void **state)
{
    (void)state;
    open_fifo();
    assert_int_equal(change(pair[0], EVFILT_READ, EV_ADD), 0);
    put(pair[1], "abc");
    assert_one(pair[0], EVFILT_READ);
    take(pair[0], 3);
    assert_none();
    assert_int_equal(close(pair[1]), 0);
#if defined(ON_MACOS)
    assert_none();
#else
    assert_one(pair[0], EVFILT_READ);
    assert_true(eof(&events[0]));
#endif
    pair[1] = open("fifo", O_WRONLY | O_CLOEXEC);
    assert_true(pair[1] >= 0);
    assert_none();
    put(pair[1], "d");
    assert_one(pair[0], EVFILT_READ);
    assert_false(eof(&events[0]));
    close_fifo();
}

/* Of its writing end only EVFILT_WRITE tells that the last reader has left; on NetBSD neither filter does. Of macOS it is
 * not known. */
#if !defined(ON_MACOS)

static void expect_end_of_writing_end(bool told)
{
    (void)told;
    assert_one(pair[1], EVFILT_WRITE);
#if defined(ON_NETBSD)
    assert_false(eof(&events[0]));
#else
    assert_int_equal(eof(&events[0]), told);
#endif
}

static void a_fifo_loses_its_reader(void **state)
{
    (void)state;
    open_fifo();
#if defined(ON_OPENBSD)
    assert_int_equal(change(pair[1], EVFILT_READ, EV_ADD), EINVAL);
#else
    assert_int_equal(change(pair[1], EVFILT_READ, EV_ADD), 0);
#endif
    assert_none();
    assert_int_equal(change(pair[1], EVFILT_WRITE, EV_ADD), 0);
    expect_end_of_writing_end(false);
    assert_int_equal(close(pair[0]), 0);
    expect_end_of_writing_end(true);
    assert_int_equal(change(pair[1], EVFILT_WRITE, EV_DELETE), 0);
    assert_none();
    assert_int_equal(change(pair[1], EVFILT_WRITE, EV_ADD), 0);
    expect_end_of_writing_end(true);
    pair[0] = open("fifo", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    assert_true(pair[0] >= 0);
    expect_end_of_writing_end(false);
    close_fifo();
}

#define READER_OF_FIFO TEST(a_fifo_loses_its_reader),
#else
#define READER_OF_FIFO
#endif

/* Neither end of a pipe has to do with the other's filter, until the other end is closed. */
static void the_wrong_end_of_a_pipe_is_quiet(void **state)
{
    (void)state;
    open_pipe();
    assert_int_equal(change(pair[1], EVFILT_READ, EV_ADD), 0);
    put(pair[1], "abc");
    assert_none();
    assert_int_equal(close(pair[0]), 0);
    assert_one(pair[1], EVFILT_READ);
    assert_true(eof(&events[0]));
    assert_int_equal(change(pair[1], EVFILT_READ, EV_DELETE), 0);
    assert_int_equal(change(pair[1], EVFILT_READ, EV_ADD), 0);
    assert_one(pair[1], EVFILT_READ);
    assert_true(eof(&events[0]));
    assert_int_equal(close(pair[1]), 0);
    close_kq();
}

LOOP_TEST_MAIN(USER_EVENTS READER_OF_FIFO TEST(enable_and_disable_together), TEST(enable_overwrites_udata),
               TEST(oneshot_may_be_stale), TEST(clear_with_dispatch), TEST(events_repeat_the_flags_of_the_change),
               TEST(writing_to_a_dead_pipe), TEST(a_fifo_loses_its_writer), TEST(the_wrong_end_of_a_pipe_is_quiet))
