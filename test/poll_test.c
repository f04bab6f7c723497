/*
 * Poll handles: what they report, when, and when no more. Pipes and numbers of descriptors: posix/poll_test.c. Descriptors closed
 * early and calls that fail: posix/fault_poll_test.c.
 */
#include "backend_test.h"
#include "poll_fixture.h"

/* Some systems tell nobody of urgent data. */
static unsigned prioritized(void)
{
    bool known = loop_poll_start(&polls[0], LOOP_PRIORITIZED, note) != LOOP_ENOTSUP;

    assert_ok(loop_poll_stop(&polls[0]));
    return known ? LOOP_PRIORITIZED : 0;
}

#define ALL (LOOP_READABLE | LOOP_WRITABLE | LOOP_DISCONNECT | prioritized())

/* ------------------------------------------------------------------------------------------------------ what is found -- */

static void what_nobody_does_anything_about_is_reported_every_turn(void **state)
{
    (void)state;
    backend_be_calm();
    begin();
    assert_ok(loop_poll_start(&polls[0], LOOP_READABLE, note));
    turn();
    assert_int_equal(reports[0], 0);
    send_byte(peers[0]);
    send_byte(peers[0]);
    assert_int_equal(reports[0], 0); /* never inside another call */
    for (int i = 1; i <= 5; i++) {
        assert_int_equal(loop_run(loop, LOOP_RUN_ONCE), 1);
        assert_int_equal(reports[0], i);
        assert_int_equal(seen[0], LOOP_READABLE);
    }
    read_byte(mine[0]); /* not all of it */
    turn();
    assert_int_equal(reports[0], 6);
    read_byte(mine[0]);
    turn();
    assert_int_equal(reports[0], 6);
    send_byte(peers[0]);
    until_reported(1);
    assert_int_equal(reports[0], 1);
    finish();
}

static void only_what_is_asked_for_is_reported_and_all_of_it_at_once(void **state)
{
    (void)state;
    backend_be_calm();
    begin();
    send_byte(peers[0]);
    assert_ok(loop_poll_start(&polls[0], LOOP_WRITABLE, note));
    turn();
    assert_int_equal(seen[0], LOOP_WRITABLE);
    assert_ok(loop_poll_start(&polls[0], LOOP_READABLE | LOOP_WRITABLE, note));
    turn();
    assert_int_equal(seen[0], LOOP_READABLE | LOOP_WRITABLE);
    assert_ok(loop_poll_start(&polls[0], LOOP_READABLE, note));
    turn();
    assert_int_equal(seen[0], LOOP_READABLE);
    assert_ok(loop_poll_start(&polls[0], LOOP_DISCONNECT | prioritized(), note));
    turn();
    assert_int_equal(reports[0], 3);
    finish();
}

static void a_full_socket_is_writable_again_when_there_is_room(void **state)
{
    static char data[65536];
    int tries = 0;

    (void)state;
    begin();
    assert_ok(loop_poll_start(&polls[0], LOOP_WRITABLE, note));
    do { /* what has arrived meanwhile may have made room */
        assert_true(tries++ < 100);
        while (support_send(mine[0], data, sizeof(data), SUPPORT_DONTWAIT) > 0)
            continue;
        reports[0] = 0;
        turn();
    } while (reports[0] > 0);
    while (support_recv(peers[0], data, sizeof(data), SUPPORT_DONTWAIT) > 0)
        continue;
    support_until(loop, &reports[0]);
    assert_int_equal(seen[0], LOOP_WRITABLE);
    finish();
}

static void the_end_of_the_peers_direction_is_a_disconnect(void **state)
{
    (void)state;
    if (!support_end_is_seen_behind_data())
        skip();
    begin();
    assert_ok(loop_poll_start(&polls[0], LOOP_DISCONNECT, note));
    assert_ok(loop_poll_start(&polls[1], LOOP_READABLE, note));
    for (int i = 0; i < 2; i++) {
        send_byte(peers[i]);
        assert_ok(support_shutdown(peers[i]));
    }
    until_reported(2);
    assert_int_equal(seen[0], LOOP_DISCONNECT);
    assert_int_equal(seen[1], LOOP_READABLE);
    until_reported(2); /* and stays so */
    assert_int_equal(seen[0], LOOP_DISCONNECT);
    finish();
}

static void urgent_data_is_prioritized(void **state)
{
    loop_os_fd_t fds[2];
    unsigned found = 0;
    char byte;

    (void)state;
    begin();
    support_socket_pair(fds);
    assert_ok(loop_handle_close(&polls[0].handle, NULL));
    turn();
    assert_ok(loop_poll_init(loop, &polls[0], fds[0]));
    if (prioritized() == 0) {
        assert_int_equal(loop_poll_start(&polls[0], LOOP_PRIORITIZED, note), LOOP_ENOTSUP);
        finish();
        support_close(fds[0]);
        support_close(fds[1]);
        skip();
    }
    assert_ok(loop_poll_start(&polls[0], LOOP_PRIORITIZED, note));
    send_byte(fds[1]);
    turn();
    assert_int_equal(reports[0], 0);
    assert_int_equal(support_send(fds[1], "!", 1, MSG_OOB), 1);
    while (reports[0] < 2)
        assert_true(loop_run(loop, LOOP_RUN_ONCE) >= 0);
    assert_int_equal(seen[0], LOOP_PRIORITIZED);
    assert_int_equal(support_recv(fds[0], &byte, 1, MSG_OOB), 1);
    assert_ok(loop_poll_start(&polls[0], ALL, note));
    while (found != (LOOP_READABLE | LOOP_WRITABLE)) { /* it may be told in parts, but nothing else is */
        until_reported(1);
        found |= seen[0];
        assert_false(found & ~(unsigned)(LOOP_READABLE | LOOP_WRITABLE));
    }
    finish();
    support_close(fds[0]);
    support_close(fds[1]);
}

static void an_error_or_a_hang_up_counts_as_everything_that_is_asked_for(void **state)
{
    unsigned asked[POLLS] = {LOOP_READABLE, LOOP_WRITABLE, LOOP_DISCONNECT};

    (void)state;
    backend_be_calm();
    begin();
    asked[3] = ALL;
    if (prioritized() != 0)
        asked[2] = LOOP_PRIORITIZED;
    for (int i = 0; i < POLLS; i++) {
        assert_ok(loop_poll_start(&polls[i], asked[i], note));
        support_close_with_reset(peers[i]);
        peers[i] = LOOP_INVALID_FD;
    }
    until_reported(POLLS);
    memset(reports, 0, sizeof(reports));
    turn();
    for (int i = 0; i < POLLS; i++) {
        assert_int_equal(seen[i], asked[i]);
        assert_int_equal(reports[i], 1);
    }
    finish();
}

/* More than one wait of the system can return at once. */
#define MANY 300

static void note_writable(loop_poll_t *poll, int status, unsigned events)
{
    assert_ok(status);
    assert_int_equal(events, LOOP_WRITABLE);
    ++*(int *)poll->handle.data;
}

static void none_of_many_ready_descriptors_starves(void **state)
{
    loop_poll_t *many = calloc(MANY, sizeof(*many));
    loop_os_fd_t fds[MANY];
    int counts[MANY];

    (void)state;
    backend_be_calm();
    loop = support_loop();
    assert_non_null(many);
    for (int i = 0; i < MANY; i++) {
        if (i % 2 == 0)
            assert_ok(support_local_pair(&fds[i]));
        counts[i] = 0;
        assert_ok(loop_poll_init(loop, &many[i], fds[i]));
        many[i].handle.data = &counts[i];
        assert_ok(loop_poll_start(&many[i], LOOP_WRITABLE, note_writable));
    }
    for (int i = 0; i < 10; i++)
        turn();
    for (int i = 0; i < MANY; i++)
        assert_true(counts[i] >= 5);
    support_finish(loop);
    for (int i = 0; i < MANY; i++)
        support_close(fds[i]);
    free(many);
}

/* -------------------------------------------------------------------------------------------------- init and arguments -- */

static void what_cannot_be_polled_says_so_and_is_left_as_it_was(void **state)
{
    loop_os_fd_t file = support_file();
    loop_poll_t poll = {0};
    loop_desc_t desc;
    loop_tcp_t tcp;
    loop_os_fd_t fds[2];
    loop_os_fd_t closed = support_datagram_socket();

    (void)state;
    begin();
    assert_true(file != LOOP_INVALID_FD);
    support_socket_pair(fds);
    support_close(closed);
    assert_int_equal(loop_poll_init(NULL, &poll, fds[0]), LOOP_EINVAL);
    assert_int_equal(loop_poll_init(loop, NULL, fds[0]), LOOP_EINVAL);
    assert_int_equal(loop_poll_init(loop, &poll, LOOP_INVALID_FD), LOOP_EBADF);
    assert_int_equal(loop_poll_init(loop, &poll, closed), LOOP_EBADF);
    assert_int_equal(loop_poll_init(loop, &poll, 1 << 30), LOOP_EBADF);
    assert_int_equal(loop_poll_init(loop, &poll, file), LOOP_ENOTPOLLABLE);
    assert_true(support_nonblocking_is(file, false));
    assert_int_equal(loop_handle_get_type(&poll.handle), LOOP_UNKNOWN_HANDLE);

    /* Whatever watches it already, started or not. */
    assert_int_equal(loop_poll_init(loop, &poll, mine[0]), LOOP_EEXIST);
    assert_int_equal(loop_desc_attach(loop, &desc, mine[0], 0), LOOP_EEXIST);
    assert_ok(loop_desc_attach(loop, &desc, peers[0], 0));
    assert_int_equal(loop_poll_init(loop, &poll, peers[0]), LOOP_EEXIST);
    assert_ok(loop_tcp_init(loop, &tcp));
    assert_ok(loop_tcp_open(&tcp, fds[0]));
    assert_int_equal(loop_poll_init(loop, &poll, fds[0]), LOOP_EEXIST);
    assert_ok(loop_poll_init(loop, &poll, fds[1]));
    assert_ok(loop_handle_close(&tcp.handle, NULL));
    turn();
    assert_ok(loop_tcp_init(loop, &tcp));
    assert_int_equal(loop_tcp_open(&tcp, fds[1]), LOOP_EEXIST);

    /* Who was first is not disturbed. */
    assert_ok(loop_poll_start(&polls[0], LOOP_READABLE, note));
    send_byte(peers[0]);
    turn();
    assert_int_equal(reports[0], 1);
    finish();
    support_close(file);
    support_close(fds[1]);
}

static void two_loops_may_poll_one_descriptor(void **state)
{
    loop_t *other = support_loop();
    loop_poll_t poll;
    int there = 0;

    (void)state;
    begin();
    assert_ok(loop_poll_init(other, &poll, mine[0]));
    poll.handle.data = &there;
    assert_ok(loop_poll_start(&poll, LOOP_READABLE, note_in_data));
    assert_ok(loop_poll_start(&polls[0], LOOP_READABLE, note));
    send_byte(peers[0]);
    support_until(loop, &reports[0]);
    support_until(other, &there);
    assert_int_equal(reports[0], 1);
    assert_int_equal(there, 1);
    support_finish(other);
    finish();
}

static void wrong_arguments_change_nothing(void **state)
{
    loop_poll_t never = {0};

    (void)state;
    begin();
    send_byte(peers[0]);
    assert_ok(loop_poll_start(&polls[0], LOOP_READABLE, note));
    assert_int_equal(loop_poll_start(&polls[0], 0, note), LOOP_EINVAL);
    assert_int_equal(loop_poll_start(&polls[0], 16, note), LOOP_EINVAL);
    assert_int_equal(loop_poll_start(&polls[0], LOOP_WRITABLE, NULL), LOOP_EINVAL);
    assert_int_equal(loop_poll_start(NULL, LOOP_READABLE, note), LOOP_EINVAL);
    assert_int_equal(loop_poll_stop(NULL), LOOP_EINVAL);
    assert_int_equal(loop_poll_start(&never, LOOP_READABLE, note), LOOP_EBADF);
    assert_int_equal(loop_poll_stop(&never), LOOP_EBADF);
    turn();
    assert_int_equal(seen[0], LOOP_READABLE);
    assert_ok(loop_handle_close(&polls[0].handle, NULL));
    assert_int_equal(loop_poll_start(&polls[0], LOOP_READABLE, note), LOOP_EBADF);
    assert_int_equal(loop_poll_stop(&polls[0]), LOOP_EBADF);
    finish();
}

static void the_handle_is_active_and_keeps_the_loop_alive_while_started(void **state)
{
    (void)state;
    begin();
    assert_int_equal(loop_handle_get_type(&polls[0].handle), LOOP_POLL);
    assert_false(loop_handle_is_active(&polls[0].handle));
    assert_false(loop_alive(loop));
    assert_ok(loop_poll_start(&polls[0], LOOP_READABLE, note));
    assert_true(loop_handle_is_active(&polls[0].handle));
    assert_true(loop_alive(loop));
    assert_ok(loop_handle_unref(&polls[0].handle));
    assert_false(loop_alive(loop));
    assert_ok(loop_handle_ref(&polls[0].handle));
    assert_ok(loop_poll_stop(&polls[0]));
    assert_ok(loop_poll_stop(&polls[0])); /* stays so */
    assert_false(loop_handle_is_active(&polls[0].handle));
    assert_ok(loop_run(loop, LOOP_RUN_DEFAULT));
    finish();
}

/* --------------------------------------------------------------------------------------------- changes in callbacks -- */

static void a_stopped_handle_reports_nothing_until_it_is_started_again(void **state)
{
    (void)state;
    begin();
    send_byte(peers[0]);
    assert_ok(loop_poll_start(&polls[0], LOOP_READABLE, note));
    assert_ok(loop_poll_stop(&polls[0]));
    turn();
    assert_int_equal(reports[0], 0);
    assert_ok(loop_poll_start(&polls[0], LOOP_READABLE, note));
    turn();
    assert_int_equal(reports[0], 1);
    finish();
}

static void swap_directions(loop_poll_t *poll, int status, unsigned events)
{
    note(poll, status, events);
    assert_ok(loop_poll_start(poll, events == LOOP_READABLE ? LOOP_WRITABLE : LOOP_READABLE, swap_directions));
}

static void a_callback_may_change_what_its_handle_waits_for(void **state)
{
    (void)state;
    begin();
    send_byte(peers[0]);
    assert_ok(loop_poll_start(&polls[0], LOOP_READABLE, swap_directions));
    for (int i = 1; i <= 4; i++) {
        turn();
        assert_int_equal(reports[0], i);
        assert_int_equal(seen[0], i % 2 == 1 ? LOOP_READABLE : LOOP_WRITABLE);
    }
    finish();
}

static void stop(loop_poll_t *poll)
{
    assert_ok(loop_poll_stop(poll));
}

static void a_callback_may_stop_others_that_are_ready(void **state)
{
    (void)state;
    all_are_ready(stop);
    until_another_report();
    until_another_report();
    for (int i = 0; i < POLLS; i++)
        assert_true(reports[i] == 0 || reports[i] == reports_of_all); /* always the first one */
    finish();
}

static int closed_handles;

static void on_closed(loop_handle_t *handle)
{
    memset(handle, 0xff, sizeof(loop_poll_t)); /* the memory is ours again */
    closed_handles++;
}

static void close_it(loop_poll_t *poll)
{
    assert_ok(loop_handle_close(&poll->handle, on_closed));
    assert_false(loop_handle_is_active(&poll->handle));
}

static void a_callback_may_close_others_that_are_ready(void **state)
{
    (void)state;
    closed_handles = 0;
    all_are_ready(close_it);
    assert_int_equal(closed_handles, POLLS - 1);
    until_another_report();
    until_another_report();
    finish();
}

static void wait_for_disconnect(loop_poll_t *poll)
{
    assert_ok(loop_poll_start(poll, LOOP_DISCONNECT, first_acts_on_the_others));
}

static void what_was_found_but_is_not_asked_for_any_more_is_not_reported(void **state)
{
    (void)state;
    all_are_ready(wait_for_disconnect);
    until_another_report();
    for (int i = 0; i < POLLS; i++) {
        read_byte(mine[i]);
        assert_ok(support_shutdown(peers[i]));
    }
    until_reported(POLLS);
    finish();
}

static void stop_and_start(loop_poll_t *poll)
{
    assert_ok(loop_poll_stop(poll));
    read_byte(mine[index_of(poll)]);
    assert_ok(loop_poll_start(poll, LOOP_READABLE, note));
}

static void a_start_after_a_stop_knows_nothing_of_what_was_found_before(void **state)
{
    (void)state;
    all_are_ready(stop_and_start);
    for (int i = 0; i < POLLS; i++)
        send_byte(peers[i]);
    until_reported(POLLS);
    finish();
}

static void close_itself(loop_poll_t *poll, int status, unsigned events)
{
    note(poll, status, events);
    assert_ok(loop_handle_close(&poll->handle, on_closed));
}

static void a_callback_may_close_its_own_handle(void **state)
{
    (void)state;
    begin();
    closed_handles = 0;
    send_byte(peers[0]);
    assert_ok(loop_poll_start(&polls[0], LOOP_READABLE, close_itself));
    assert_ok(loop_run(loop, LOOP_RUN_DEFAULT));
    assert_int_equal(closed_handles, 1);
    assert_int_equal(reports[0], 1);
    finish();
}

static void stop_itself(loop_poll_t *poll, int status, unsigned events)
{
    note(poll, status, events);
    assert_ok(loop_poll_stop(poll));
}

static void a_callback_may_stop_its_own_handle(void **state)
{
    (void)state;
    begin();
    send_byte(peers[0]);
    assert_ok(loop_poll_start(&polls[0], LOOP_READABLE, stop_itself));
    assert_ok(loop_run(loop, LOOP_RUN_DEFAULT)); /* nothing keeps it alive then */
    assert_int_equal(reports[0], 1);
    finish();
}

LOOP_TEST_MAIN(TEST(what_nobody_does_anything_about_is_reported_every_turn),
               TEST(only_what_is_asked_for_is_reported_and_all_of_it_at_once),
               TEST(a_full_socket_is_writable_again_when_there_is_room),
               TEST(the_end_of_the_peers_direction_is_a_disconnect), TEST(urgent_data_is_prioritized),
               TEST(an_error_or_a_hang_up_counts_as_everything_that_is_asked_for),
               TEST(none_of_many_ready_descriptors_starves), TEST(what_cannot_be_polled_says_so_and_is_left_as_it_was),
               TEST(two_loops_may_poll_one_descriptor), TEST(wrong_arguments_change_nothing),
               TEST(the_handle_is_active_and_keeps_the_loop_alive_while_started),
               TEST(a_stopped_handle_reports_nothing_until_it_is_started_again),
               TEST(a_callback_may_change_what_its_handle_waits_for), TEST(a_callback_may_stop_others_that_are_ready),
               TEST(a_callback_may_close_others_that_are_ready),
               TEST(what_was_found_but_is_not_asked_for_any_more_is_not_reported),
               TEST(a_start_after_a_stop_knows_nothing_of_what_was_found_before),
               TEST(a_callback_may_close_its_own_handle), TEST(a_callback_may_stop_its_own_handle))
