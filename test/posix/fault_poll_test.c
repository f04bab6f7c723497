/* Poll handles on bad days: descriptors closed early, duplicates that live on, system calls that fail. */
#include "fault_poll_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

/* ------------------------------------------------------------------------------------------------------ counted calls -- */

static void a_report_costs_a_wait_and_a_change_one_call(void **state)
{
    (void)state;
    begin_counting();
    send_byte(peers[0]);
    assert_ok(loop_poll_start(&polls[0], LOOP_READABLE, note));
    assert_int_equal(fault_count_all(), 1);
    for (int i = 0; i < 10; i++)
        assert_int_equal(loop_run(loop, LOOP_RUN_ONCE), 1);
    assert_int_equal(reports[0], 10);
    assert_int_equal(fault_waits(), 10);
    assert_int_equal(fault_count_all(), 11);
    assert_ok(loop_poll_start(&polls[0], LOOP_READABLE, note)); /* the same again is nothing */
    assert_int_equal(fault_count_all(), 11);
    assert_ok(loop_poll_start(&polls[0], LOOP_WRITABLE, note));
    assert_ok(loop_poll_stop(&polls[0]));
    assert_int_equal(fault_count_all(), 13);
    finish_counting();
}

static void a_silent_handle_disturbs_no_wait(void **state)
{
    (void)state;
    begin_counting();
    send_byte(peers[0]); /* never started */
    send_byte(peers[1]);
    assert_ok(loop_poll_start(&polls[1], LOOP_DISCONNECT, note)); /* waits for something else */
    assert_ok(close(peers[2]));
    peers[2] = -1;
    assert_ok(loop_poll_start(&polls[2], LOOP_READABLE, note));
    assert_ok(loop_poll_stop(&polls[2])); /* stopped, and hung up */
    assert_quiet();
    finish_counting();
}

/* ------------------------------------------------------------------------------------------------------- closed early -- */

static void a_handle_closed_after_its_descriptor_is_forgotten(void **state)
{
    int duplicate;

    (void)state;
    begin_counting();
    start_all_but_the_first();
    send_byte(peers[0]);
    assert_ok(loop_poll_start(&polls[0], LOOP_READABLE, note));
    turn();
    assert_int_equal(reports[0], 1);
    duplicate = close_early(0);
    assert_ok(loop_handle_close(&polls[0].handle, NULL));
    turn();
    memset(&polls[0], 0xff, sizeof(polls[0])); /* whoever follows a stale pointer will notice */
    turn();
    assert_quiet(); /* though the kernel goes on reporting what nobody can deregister */
    assert_the_others_work();
    finish_counting();
    assert_ok(close(duplicate));
}

static void a_handle_stopped_after_its_descriptor_was_closed_is_silent(void **state)
{
    int duplicate;

    (void)state;
    begin_counting();
    start_all_but_the_first();
    send_byte(peers[0]);
    assert_ok(loop_poll_start(&polls[0], LOOP_READABLE, note));
    duplicate = close_early(0);
    assert_ok(loop_poll_stop(&polls[0]));
    assert_false(loop_handle_is_active(&polls[0].handle));
    turn();
    assert_quiet();
    assert_the_others_work();
    finish_counting();
    assert_ok(close(duplicate));
}

static void a_descriptor_closed_without_a_duplicate_goes_quietly(void **state)
{
    (void)state;
    begin_counting();
    send_byte(peers[0]);
    assert_ok(loop_poll_start(&polls[0], LOOP_READABLE, note));
    assert_ok(close(mine[0]));
    mine[0] = -1;
    assert_quiet();
    assert_int_equal(loop_poll_start(&polls[0], LOOP_WRITABLE, note), LOOP_EBADF);
    assert_true(loop_handle_is_active(&polls[0].handle)); /* as it was */
    assert_ok(loop_poll_stop(&polls[0]));
    finish_counting();
}

static void a_handle_that_lost_its_number_may_be_stopped_or_closed_before_it_is_told(void **state)
{
    (void)state;
    for (int closing = 0; closing < 2; closing++) {
        loop_desc_t next;
        int number;
        int fds[2];

        begin_counting();
        lost = 0;
        number = mine[0];
        assert_ok(loop_poll_start(&polls[0], LOOP_READABLE, note_lost));
        assert_ok(close(mine[0]));
        mine[0] = -1;
        assert_ok(socketpair(AF_UNIX, SOCK_STREAM, 0, fds));
        assert_int_equal(fds[0], number);
        assert_ok(loop_desc_attach(loop, &next, number, LOOP_DESC_OWNED));
        if (closing)
            assert_ok(loop_handle_close(&polls[0].handle, NULL));
        else
            assert_ok(loop_poll_stop(&polls[0]));
        turn();
        assert_int_equal(lost, 0);
        finish_counting();
        assert_ok(close(fds[1]));
    }
}

static void events_of_a_descriptor_closed_early_do_not_reach_the_next_of_its_number(void **state)
{
    loop_poll_t next;
    int number;
    int duplicate;
    int fds[2];

    (void)state;
    begin_counting();
    lost = 0;
    assert_ok(loop_poll_start(&polls[0], LOOP_READABLE, note_lost));
    number = mine[0];
    duplicate = close_early(0);
    assert_ok(socketpair(AF_UNIX, SOCK_STREAM, 0, fds));
    assert_int_equal(fds[0], number);
    assert_ok(loop_poll_init(loop, &next, number));
    assert_ok(loop_poll_start(&next, LOOP_READABLE, note)); /* must not be called: it is none of polls */
    send_byte(peers[0]);
    turn();
    assert_int_equal(lost, 1); /* it is told */
    assert_quiet();
    assert_ok(loop_poll_stop(&polls[0]));
    assert_int_equal(loop_poll_start(&polls[0], LOOP_READABLE, note), LOOP_EBADF);
    assert_ok(loop_handle_close(&polls[0].handle, NULL));
    turn();
    assert_ok(loop_handle_close(&next.handle, NULL));
    turn();
    assert_ok(loop_poll_init(loop, &polls[0], number));
    assert_ok(loop_poll_start(&polls[0], LOOP_READABLE, note));
    send_byte(fds[1]);
    turn();
    assert_int_equal(reports[0], 1);
    finish_counting();
    assert_ok(close(duplicate) | close(fds[0]) | close(fds[1]));
}

static void a_handle_that_goes_on_with_a_reused_number_hears_the_new_descriptor_only(void **state)
{
    int number;
    int duplicate;
    int fds[2];

    (void)state;
    begin_counting();
    number = mine[0];
    for (int round = 0; round < 2; round++) {
        assert_ok(loop_poll_start(&polls[0], LOOP_READABLE, note));
        mine[0] = number;
        duplicate = close_early(0);
        assert_ok(socketpair(AF_UNIX, SOCK_STREAM, 0, fds));
        assert_int_equal(fds[0], number);
        if (round == 1) /* once with, once without a stop between */
            assert_ok(loop_poll_stop(&polls[0]));
        assert_ok(loop_poll_start(&polls[0], LOOP_READABLE | LOOP_DISCONNECT, note));
        send_byte(peers[0]); /* the old one's */
        turn();
        assert_quiet();
        send_byte(fds[1]);
        turn();
        assert_int_equal(reports[0], round + 1);
        assert_ok(loop_poll_stop(&polls[0]));
        assert_ok(close(duplicate) | close(peers[0]));
        read_byte(number);
        peers[0] = fds[1];
    }
    mine[0] = number;
    finish_counting();
}

/* ------------------------------------------------------------------------------------------------------ calls that fail -- */

static void an_init_that_fails_leaves_no_trace(void **state)
{
    static const struct {
        enum fault_row row;
        long n;
        int error;
        int expected;
    } faults[] = {{FAULT_BACKEND_CHANGE, 1, ENOMEM, LOOP_ENOMEM}, {FAULT_BACKEND_CHANGE, 1, ENOSPC, LOOP_ENOSPC},
                  {FAULT_fcntl, 1, EINVAL, LOOP_EINVAL},          {FAULT_fcntl, 2, EINVAL, LOOP_EINVAL},
                  {FAULT_BACKEND_CHANGE, 1, EBADF, LOOP_EBADF},   {FAULT_BACKEND_CHANGE, 1, EPERM, LOOP_ENOTPOLLABLE}};
    loop_poll_t poll = {0};

    (void)state;
    begin_counting();
    for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
        fault_arm(faults[i].row, faults[i].n, faults[i].error, 1);
        assert_int_equal(loop_poll_init(loop, &poll, peers[0]), faults[i].expected);
        fault_disarm();
        assert_int_equal(loop_handle_get_type(&poll.handle), LOOP_UNKNOWN_HANDLE);
        assert_false(fcntl(peers[0], F_GETFL) & O_NONBLOCK);
    }
    assert_ok(loop_poll_init(loop, &poll, peers[0]));
    finish_counting();
}

static void a_start_that_fails_leaves_the_handle_as_it_was(void **state)
{
    (void)state;
    begin_counting();
    send_byte(peers[0]);
    fault_arm(FAULT_BACKEND_CHANGE, 1, ENOMEM, 1);
    assert_int_equal(loop_poll_start(&polls[0], LOOP_READABLE, note), LOOP_ENOMEM);
    assert_false(loop_handle_is_active(&polls[0].handle));
    turn();
    assert_int_equal(reports[0], 0);
    assert_ok(loop_poll_start(&polls[0], LOOP_READABLE, note));
    fault_arm(FAULT_BACKEND_CHANGE, 1, ENOMEM, 1);
    assert_int_equal(loop_poll_start(&polls[0], LOOP_WRITABLE, note), LOOP_ENOMEM);
    turn();
    assert_int_equal(reports[0], 1);
    assert_int_equal(seen[0], LOOP_READABLE);
    finish_counting();
}

static void a_stop_cannot_fail(void **state)
{
    static const int errors[] = {ENOMEM, ENOENT, EBADF, EPERM};

    (void)state;
    begin_counting();
    send_byte(peers[0]);
    for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
        for (long times = 1; times <= 2; times++) {
            assert_ok(loop_poll_start(&polls[0], LOOP_READABLE, note));
            turn();
            fault_arm(FAULT_BACKEND_CHANGE, 1, errors[i], times);
            assert_ok(loop_poll_stop(&polls[0]));
            fault_disarm();
            assert_false(loop_handle_is_active(&polls[0].handle));
            turn();
            assert_quiet();
        }
    }
    assert_int_equal(reports[0], 8);
    finish_counting();
}

LOOP_TEST_MAIN(TEST(a_report_costs_a_wait_and_a_change_one_call), TEST(a_silent_handle_disturbs_no_wait),
               TEST(a_handle_closed_after_its_descriptor_is_forgotten),
               TEST(a_handle_stopped_after_its_descriptor_was_closed_is_silent),
               TEST(a_descriptor_closed_without_a_duplicate_goes_quietly),
               TEST(a_handle_that_lost_its_number_may_be_stopped_or_closed_before_it_is_told),
               TEST(events_of_a_descriptor_closed_early_do_not_reach_the_next_of_its_number),
               TEST(a_handle_that_goes_on_with_a_reused_number_hears_the_new_descriptor_only),
               TEST(an_init_that_fails_leaves_no_trace), TEST(a_start_that_fails_leaves_the_handle_as_it_was),
               TEST(a_stop_cannot_fail))
