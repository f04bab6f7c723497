/* Mach ports of the system in a loop. For macOS, and for the tests' own kqueue(2) that is like the one there. */
#include "fault_calls.h"
#include "fork_fixture.h"

#include <errno.h>
#include <mach/mach.h>
#include <poll.h>
#include <signal.h>

_Static_assert(sizeof(mach_port_t) == sizeof(loop_mach_port_t), "loop_mach_port_t is a mach_port_t");

struct letter {
    mach_msg_header_t header;
    uint32_t value;
};

struct received {
    struct letter letter;
    mach_msg_trailer_t trailer;
    uint32_t room[16];
};

static loop_t *loop;
static loop_machport_t handle;
static mach_port_t port;

/* --------------------------------------------------------------------------------------------------------- ports -- */

static mach_port_t open_port(void)
{
    mach_port_t name;

    assert_int_equal(mach_port_allocate(mach_task_self(), MACH_PORT_RIGHT_RECEIVE, &name), KERN_SUCCESS);
    assert_int_equal(mach_port_insert_right(mach_task_self(), name, name, MACH_MSG_TYPE_MAKE_SEND), KERN_SUCCESS);
    return name;
}

static void drop_receive_right(mach_port_t name)
{
    assert_int_equal(mach_port_mod_refs(mach_task_self(), name, MACH_PORT_RIGHT_RECEIVE, -1), KERN_SUCCESS);
}

static void close_port(mach_port_t name)
{
    drop_receive_right(name);
    assert_int_equal(mach_port_deallocate(mach_task_self(), name), KERN_SUCCESS);
}

static int try_to_post(mach_port_t name, uint32_t value)
{
    struct letter letter = {.value = value};

    letter.header.msgh_bits = MACH_MSGH_BITS(MACH_MSG_TYPE_COPY_SEND, 0);
    letter.header.msgh_size = sizeof(letter);
    letter.header.msgh_remote_port = name;
    return mach_msg(&letter.header, MACH_SEND_MSG | MACH_SEND_TIMEOUT, sizeof(letter), 0, MACH_PORT_NULL, 1000,
                    MACH_PORT_NULL);
}

static void post(mach_port_t name, uint32_t value)
{
    assert_int_equal(try_to_post(name, value), MACH_MSG_SUCCESS);
}

/* The value of the next message, or -1. */
static int64_t receive(mach_port_t name)
{
    struct received received;

    if (mach_msg(&received.letter.header, MACH_RCV_MSG | MACH_RCV_TIMEOUT, 0, sizeof(received), name, 0,
                 MACH_PORT_NULL) != MACH_MSG_SUCCESS)
        return -1;
    return received.letter.value;
}

/* ----------------------------------------------------------------------------------------------------- callbacks -- */

static int reports;
static int last_status;
static loop_mach_port_t last_port;
static int64_t last_value;

static void note(loop_machport_t *machport, int status, loop_mach_port_t of)
{
    (void)machport;
    reports++;
    last_status = status;
    last_port = of;
}

static void note_and_receive(loop_machport_t *machport, int status, loop_mach_port_t of)
{
    note(machport, status, of);
    last_value = receive(of);
}

static void begin(void)
{
    loop = support_loop();
    port = open_port();
    reports = 0;
    last_status = 1;
    last_value = -1;
    assert_ok(loop_machport_init(loop, &handle, port));
}

static void finish(void)
{
    support_finish(loop);
    close_port(port);
}

static void turn(void)
{
    assert_true(loop_run(loop, LOOP_RUN_NOWAIT) >= 0);
    support_check(loop);
}

static void assert_reports(int n)
{
    turn();
    assert_int_equal(reports, n);
}

/* Several ports are ready, and a wait may tell of one only. */
static void until_reports(int n)
{
    while (reports < n) {
        assert_true(loop_run(loop, LOOP_RUN_ONCE) >= 0);
        support_check(loop);
    }
    assert_int_equal(reports, n);
}

/* ------------------------------------------------------------------------------------------------------ messages -- */

static void *post_from_a_thread(void *arg)
{
    (void)arg;
    (void)try_to_post(port, 7);
    return NULL;
}

static void a_message_wakes_the_loop(void **state)
{
    pthread_t thread;

    (void)state;
    begin();
    assert_ok(loop_machport_start(&handle, note_and_receive));
    assert_reports(0);
    assert_ok(pthread_create(&thread, NULL, post_from_a_thread, NULL));
    support_until(loop, &reports);
    assert_ok(pthread_join(thread, NULL));
    assert_ok(last_status);
    assert_int_equal(last_port, port);
    assert_int_equal(last_value, 7);
    assert_reports(1);
    finish();
}

static void it_is_reported_until_it_is_received(void **state)
{
    (void)state;
    begin();
    assert_ok(loop_machport_start(&handle, note));
    post(port, 1);
    for (int n = 1; n <= 3; n++)
        assert_reports(n);
    assert_int_equal(receive(port), 1);
    assert_reports(3);
    finish();
}

static void each_turn_reports_once_however_many_wait(void **state)
{
    (void)state;
    begin();
    for (uint32_t i = 1; i <= 3; i++)
        post(port, i);
    assert_ok(loop_machport_start(&handle, note_and_receive)); /* they wait already */
    for (int n = 1; n <= 3; n++) {
        assert_reports(n);
        assert_int_equal(last_value, n);
    }
    assert_reports(3);
    finish();
}

static void stopping_ends_it_and_starting_goes_on(void **state)
{
    (void)state;
    begin();
    assert_ok(loop_machport_start(&handle, note));
    post(port, 1);
    assert_reports(1);
    assert_ok(loop_machport_stop(&handle));
    assert_reports(1);
    assert_ok(loop_machport_start(&handle, note_and_receive));
    assert_reports(2);
    assert_int_equal(last_value, 1);
    finish();
}

static int closed;

static void on_closed(loop_handle_t *of)
{
    memset(of, 0xff, sizeof(loop_machport_t)); /* the memory is ours again */
    closed++;
}

static void closing_it_leaves_the_message_where_it_is(void **state)
{
    (void)state;
    begin();
    closed = 0;
    assert_ok(loop_machport_start(&handle, note));
    post(port, 1);
    assert_ok(loop_handle_close(&handle.handle, on_closed));
    for (int i = 0; i < 3; i++)
        turn();
    assert_int_equal(closed, 1);
    assert_int_equal(reports, 0);
    assert_int_equal(receive(port), 1);
    finish();
}

static void on_poll(loop_poll_t *poll, int status, unsigned events)
{
    (void)events;
    assert_ok(status);
    *(int *)poll->handle.data += 1;
}

static void it_stands_beside_descriptors(void **state)
{
    loop_poll_t poll;
    int polled = 0;
    int fds[2];

    (void)state;
    begin();
    assert_ok(support_local_pair(fds));
    assert_ok(loop_poll_init(loop, &poll, fds[0]));
    poll.handle.data = &polled;
    assert_ok(loop_poll_start(&poll, LOOP_READABLE, on_poll));
    assert_ok(loop_machport_start(&handle, note));
    post(port, 1);
    assert_int_equal(support_send(fds[1], "x", 1, 0), 1);
    support_until(loop, &polled);
    support_until(loop, &reports);
    finish();
    assert_ok(close(fds[0]) | close(fds[1]));
}

static void a_host_loop_sees_a_message(void **state)
{
    struct pollfd pollfd = {.events = POLLIN};

    (void)state;
    begin();
    pollfd.fd = loop_backend_fd(loop);
    assert_ok(loop_machport_start(&handle, note_and_receive));
    turn();
    post(port, 1);
    assert_int_equal(poll(&pollfd, 1, 10000), 1);
    assert_reports(1);
    finish();
}

/* --------------------------------------------------------------------------------------------------------- names -- */

static void a_port_has_one_watcher_in_a_loop(void **state)
{
    loop_machport_t second;
    loop_machport_t elsewhere;
    loop_t *other = support_loop();

    (void)state;
    begin();
    assert_ok(loop_machport_init(loop, &second, port));
    assert_ok(loop_machport_init(other, &elsewhere, port));
    assert_ok(loop_machport_start(&handle, note));
    assert_int_equal(loop_machport_start(&second, note), LOOP_EEXIST);
    assert_ok(loop_machport_start(&elsewhere, note));
    assert_ok(loop_machport_stop(&handle));
    assert_ok(loop_machport_start(&second, note));
    assert_int_equal(loop_machport_start(&handle, note), LOOP_EEXIST);
    post(port, 1);
    assert_reports(1);
    assert_int_equal(loop_run(other, LOOP_RUN_NOWAIT), 1);
    assert_int_equal(reports, 2);
    support_finish(other);
    finish();
}

static void of_a_set_the_member_is_named(void **state)
{
    loop_machport_t of_set;
    mach_port_t member = open_port();
    mach_port_t set;

    (void)state;
    begin();
    assert_int_equal(mach_port_allocate(mach_task_self(), MACH_PORT_RIGHT_PORT_SET, &set), KERN_SUCCESS);
    assert_int_equal(mach_port_insert_member(mach_task_self(), port, set), KERN_SUCCESS);
    assert_int_equal(mach_port_insert_member(mach_task_self(), member, set), KERN_SUCCESS);
    assert_ok(loop_machport_init(loop, &of_set, set));
    assert_ok(loop_machport_start(&of_set, note_and_receive));
    assert_reports(0);
    post(member, 1);
    assert_reports(1);
    assert_int_equal(last_port, member);
    assert_int_equal(last_value, 1);
    post(port, 2);
    assert_reports(2);
    assert_int_equal(last_port, port);
    assert_int_equal(last_value, 2);
    close_port(member);
    assert_reports(2);
    assert_int_equal(mach_port_mod_refs(mach_task_self(), set, MACH_PORT_RIGHT_PORT_SET, -1), KERN_SUCCESS);
    assert_reports(3);
    assert_int_equal(last_status, LOOP_EBADF);
    assert_int_equal(last_port, set);
    finish();
}

static void a_port_destroyed_early_is_told_and_disturbs_nobody(void **state)
{
    loop_machport_t other;
    mach_port_t next = open_port();

    (void)state;
    begin();
    assert_ok(loop_machport_init(loop, &other, next));
    assert_ok(loop_machport_start(&handle, note));
    assert_ok(loop_machport_start(&other, note_and_receive));
    post(port, 1);
    drop_receive_right(port);
    assert_reports(1);
    assert_int_equal(last_status, LOOP_EBADF);
    assert_int_equal(last_port, port);
    assert_false(loop_handle_is_active(&handle.handle));
    assert_reports(1);
    assert_int_equal(loop_machport_start(&handle, note), LOOP_ENOENT);
    post(next, 2);
    assert_reports(2);
    assert_int_equal(last_value, 2);
    support_finish(loop);
    close_port(next);
    assert_int_equal(mach_port_deallocate(mach_task_self(), port), KERN_SUCCESS);
}

static void a_port_may_be_gone_before_its_handle_is_stopped_or_closed(void **state)
{
    (void)state;
    for (int round = 0; round < 3; round++) {
        begin();
        if (round > 0)
            assert_ok(loop_machport_start(&handle, note));
        close_port(port);
        if (round == 0)
            assert_int_equal(loop_machport_start(&handle, note), LOOP_ENOENT);
        assert_ok(round == 1 ? loop_machport_stop(&handle) : loop_handle_close(&handle.handle, NULL));
        assert_reports(0);
        support_finish(loop);
    }
}

/* ------------------------------------------------------------------------------------------------------ failures -- */

static void starting_answers_what_the_system_does(void **state)
{
    static const int answers[][2] = {
        {ENOTSUP, LOOP_ENOTSUP}, {EINVAL, LOOP_EINVAL}, {ENOENT, LOOP_ENOENT}, {ENOMEM, LOOP_ENOMEM}};

    (void)state;
    begin();
    fault_begin();
    for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
        fault_registrations(1, answers[i][0], 1); /* the one change */
        assert_int_equal(loop_machport_start(&handle, note), answers[i][1]);
        fault_arm(FAULT_kevent_change, 1, answers[i][0], 1); /* the whole call */
        assert_int_equal(loop_machport_start(&handle, note), answers[i][1]);
        assert_false(loop_handle_is_active(&handle.handle));
    }
    fault_arm(FAULT_kevent_change, 1, EINTR, 3);
    assert_ok(loop_machport_start(&handle, note));
    post(port, 1);
    assert_reports(1);
    fault_end();
    finish();
}

/* The registration stays behind, and its first event ends it. */
static void stopping_cannot_fail(void **state)
{
    (void)state;
    for (int round = 0; round < 2; round++) {
        begin();
        closed = 0;
        fault_begin();
        assert_ok(loop_machport_start(&handle, note));
        fault_arm(FAULT_kevent_change, 1, ENOMEM, 1);
        if (round == 0)
            assert_ok(loop_machport_stop(&handle));
        else
            assert_ok(loop_handle_close(&handle.handle, on_closed));
        assert_int_equal(fault_count(FAULT_kevent_change), 1);
        turn();
        assert_int_equal(closed, round);
        post(port, 1);
        (void)loop_backend_fd(loop); /* so that turns are made with nothing alive */
        assert_reports(0);
        assert_int_equal(fault_count(FAULT_kevent_change), 2);
        assert_reports(0);
        assert_int_equal(fault_count(FAULT_kevent_change), 2);
        fault_end();
        finish();
    }
}

static void a_registration_left_behind_serves_the_next_start(void **state)
{
    (void)state;
    begin();
    fault_begin();
    assert_ok(loop_machport_start(&handle, note));
    fault_arm(FAULT_kevent_change, 1, ENOMEM, 1);
    assert_ok(loop_machport_stop(&handle));
    assert_ok(loop_machport_start(&handle, note_and_receive));
    post(port, 1);
    assert_reports(1);
    assert_reports(1);
    fault_end();
    finish();
}

static void a_wait_that_fails_loses_nothing(void **state)
{
    static const int errors[] = {EINTR, ENOMEM, EBADF};

    (void)state;
    begin();
    fault_begin();
    assert_ok(loop_machport_start(&handle, note));
    post(port, 1);
    for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
        fault_arm(FAULT_kevent_wait, 1, errors[i], 1);
        (void)loop_run(loop, LOOP_RUN_NOWAIT);
        assert_int_equal(reports, i);
        fault_disarm();
        assert_reports((int)i + 1);
    }
    fault_end();
    finish();
}

/* ---------------------------------------------------------------------------------------------------------- fork -- */

static void a_child_has_no_ports(void **state)
{
    pid_t child;

    (void)state;
    begin();
    assert_ok(loop_machport_start(&handle, note));
    post(port, 1);
    child = fork_process();
    if (child == 0) {
        expect(loop_fork(loop) == 0);
        expect(loop_run(loop, LOOP_RUN_DEFAULT) == 0);
        expect(reports == 1);
        expect(last_status == LOOP_EBADF);
        expect(last_port == port);
        expect(loop_machport_start(&handle, note) == LOOP_ENOENT);
        end_loop(loop);
        child_passed();
    }
    await_child(child);
    assert_reports(1);
    assert_ok(last_status);
    finish();
}

static void a_child_ends_nothing_of_the_parents(void **state)
{
    loop_machport_t other;
    mach_port_t next = open_port();
    pid_t child;

    (void)state;
    begin();
    assert_ok(loop_machport_init(loop, &other, next));
    assert_ok(loop_machport_start(&other, note_and_receive));
    assert_ok(loop_machport_start(&handle, note_and_receive));
    child = fork_process();
    if (child == 0) {
        fault_begin();
        expect(loop_machport_stop(&other) == 0);
        expect(fault_count(FAULT_kevent_change) == 0); /* the number may be that of another kqueue */
        fault_arm(FAULT_kqueue_new, 1, EMFILE, 1);
        expect(loop_fork(loop) == LOOP_EMFILE);
        expect(reports == 0);
        expect(loop_machport_stop(&handle) == 0);
        expect(loop_machport_start(&handle, note) == LOOP_EBADF);
        expect(loop_fork(loop) == 0);
        expect(loop_run(loop, LOOP_RUN_DEFAULT) == 0);
        expect(reports == 0);
        fault_end();
        end_loop(loop);
        child_passed();
    }
    await_child(child);
    post(port, 1);
    post(next, 1);
    until_reports(2); /* each took its message */
    finish();
    close_port(next);
}

LOOP_TEST_MAIN(TEST(a_message_wakes_the_loop), TEST(it_is_reported_until_it_is_received),
               TEST(each_turn_reports_once_however_many_wait), TEST(stopping_ends_it_and_starting_goes_on),
               TEST(closing_it_leaves_the_message_where_it_is), TEST(it_stands_beside_descriptors),
               TEST(a_host_loop_sees_a_message), TEST(a_port_has_one_watcher_in_a_loop),
               TEST(of_a_set_the_member_is_named), TEST(a_port_destroyed_early_is_told_and_disturbs_nobody),
               TEST(a_port_may_be_gone_before_its_handle_is_stopped_or_closed),
               TEST(starting_answers_what_the_system_does), TEST(stopping_cannot_fail),
               TEST(a_registration_left_behind_serves_the_next_start), TEST(a_wait_that_fails_loses_nothing),
               TEST(a_child_has_no_ports), TEST(a_child_ends_nothing_of_the_parents))
