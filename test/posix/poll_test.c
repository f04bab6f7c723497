/* Poll handles on what only POSIX systems have: pipes, and numbers of descriptors that are given anew. */
#include "backend_test.h"
#include "poll_fixture.h"

#include <fcntl.h>
#include <unistd.h>

static void pipes_are_polled_too(void **state)
{
    int fds[2];

    (void)state;
    backend_be_calm();
    begin();
    assert_ok(pipe(fds));
    for (int i = 0; i < 2; i++) {
        assert_ok(loop_handle_close(&polls[i].handle, NULL));
        turn();
        assert_ok(loop_poll_init(loop, &polls[i], fds[i]));
        assert_ok(loop_poll_start(&polls[i], i == 0 ? LOOP_READABLE : LOOP_WRITABLE, note));
    }
    turn();
    assert_int_equal(reports[0], 0);
    assert_int_equal(seen[1], LOOP_WRITABLE);
    assert_int_equal(write(fds[1], "x", 1), 1);
    turn();
    assert_int_equal(seen[0], LOOP_READABLE);
    finish();
    assert_ok(close(fds[0]) | close(fds[1]));
}

static void the_descriptor_is_made_non_blocking_and_stays_the_callers(void **state)
{
    int fds[2];
    loop_poll_t poll;

    (void)state;
    begin();
    assert_ok(pipe(fds));
    assert_ok(loop_poll_init(loop, &poll, fds[0]));
    assert_true(fcntl(fds[0], F_GETFL) & O_NONBLOCK);
    assert_false(fcntl(fds[0], F_GETFD) & FD_CLOEXEC);
    support_close_all(loop);
    assert_ok(close(fds[0]) | close(fds[1]));
    finish();
}

static void another_number_of_the_same_file_is_another_descriptor(void **state)
{
    loop_poll_t other;
    int other_reports = 0;
    int fd;

    (void)state;
    begin();
    fd = dup(mine[0]);
    assert_ok(loop_poll_init(loop, &other, fd));
    assert_ok(loop_poll_start(&polls[0], LOOP_READABLE, note));
    other.handle.data = &other_reports;
    assert_ok(loop_poll_start(&other, LOOP_READABLE, note_in_data));
    send_byte(peers[0]);
    support_until(loop, &reports[0]);
    support_until(loop, &other_reports);
    support_close_all(loop);
    assert_ok(close(fd));
    finish();
}

static loop_poll_t next[POLLS];
static int next_reports[POLLS];

/* The descriptor too; its number goes to a new one at once, and that is polled. */
static void close_and_reuse(loop_poll_t *poll)
{
    int i = index_of(poll);
    int fds[2];

    assert_ok(loop_handle_close(&poll->handle, NULL));
    assert_ok(support_local_pair(fds));
    assert_int_equal(dup2(fds[0], mine[i]), mine[i]);
    assert_ok(close(fds[0]) | close(peers[i]));
    peers[i] = fds[1];
    assert_ok(loop_poll_init(loop, &next[i], mine[i]));
    next[i].handle.data = &next_reports[i];
    next_reports[i] = 0;
    assert_ok(loop_poll_start(&next[i], LOOP_READABLE, note_in_data));
}

static void a_callback_may_give_the_numbers_of_others_to_new_descriptors(void **state)
{
    int fresh = 0;

    (void)state;
    all_are_ready(close_and_reuse);
    for (int i = 0; i < POLLS; i++)
        assert_int_equal(next_reports[i], 0);
    for (int i = 0; i < POLLS; i++) {
        if (reports[i] > 0)
            continue;
        send_byte(peers[i]);
        support_until(loop, &next_reports[i]);
        read_byte(mine[i]);
        fresh++;
    }
    assert_int_equal(fresh, POLLS - 1);
    finish();
}

LOOP_TEST_MAIN(TEST(pipes_are_polled_too), TEST(the_descriptor_is_made_non_blocking_and_stays_the_callers),
               TEST(another_number_of_the_same_file_is_another_descriptor),
               TEST(a_callback_may_give_the_numbers_of_others_to_new_descriptors))
