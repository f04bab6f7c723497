/* What is peculiar to epoll: waits in whole milliseconds where the kernel knows no others, sockets that hang up before they are
 * connected, registrations that outlive their descriptor, and a set that is made anew because of them. */
#include "internal.h"
#include "posix/readiness.h"

#include "fault_poll_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <unistd.h>

/* -------------------------------------------------------------------------------------------------------- milliseconds -- */

static int fired;

static void end(void)
{
    fault_end();
    support_finish(loop);
}

static void on_timer(loop_timer_t *timer)
{
    (void)timer;
    fired++;
    (void)loop_now(loop);
}

/* A clock that stands still but in a wait, and a wait that takes exactly the time it was asked for. */
static uint64_t fake_now;
static int asked_timeout;
static int wait_error; /* what the wait fails with instead; 0: it succeeds */

static int fake_clock(clockid_t id, struct timespec *time)
{
    (void)id;
    time->tv_sec = (time_t)(fake_now / LOOP_SEC(1));
    time->tv_nsec = (long)(fake_now % LOOP_SEC(1));
    return 0;
}

static int fake_wait(int epfd, struct epoll_event *events, int max, int timeout)
{
    (void)epfd;
    (void)events;
    (void)max;
    asked_timeout = timeout;
    if (wait_error != 0) {
        errno = wait_error;
        return -1;
    }
    fake_now += LOOP_MS(timeout);
    return 0;
}

static void begin_without_nanosecond_waits(int refusal)
{
    loop = support_loop();
    fault_begin();
    fault_arm(FAULT_epoll_pwait_ns, 1, refusal, LONG_MAX / 2);
    fake_now = LOOP_SEC(1000);
    wait_error = 0;
    loop__sys.clock_gettime = fake_clock;
    loop__sys.epoll_wait_ms = fake_wait;
}

static void without_nanosecond_waits_timers_are_still_never_early(void **state)
{
    static const int refusals[] = {ENOSYS, EPERM};

    (void)state;
    for (int i = 0; i < 2; i++) {
        loop_timer_t timer;

        begin_without_nanosecond_waits(refusals[i]);
        fired = 0;
        assert_ok(loop_timer_init(loop, &timer));
        for (int round = 1; round <= 3; round++) {
            assert_ok(loop_timer_start(&timer, on_timer, LOOP_US(1500), 0));
            assert_ok(loop_run(loop, LOOP_RUN_DEFAULT));
            assert_int_equal(asked_timeout, 2);
            assert_int_equal(fired, round);
        }
        assert_int_equal(fault_count(FAULT_epoll_pwait_ns), 1); /* asked once */
        end();
    }
}

static void the_longest_timeout_is_one_the_system_takes(void **state)
{
    loop_timer_t timer;

    (void)state;
    begin_without_nanosecond_waits(ENOSYS);
    fired = 0;
    assert_ok(loop_timer_init(loop, &timer));
    assert_ok(loop_timer_start(&timer, on_timer, UINT64_MAX, 0));
    wait_error = EBADF; /* or the wait would go on to the end of time */
    assert_int_equal(loop_run(loop, LOOP_RUN_ONCE), LOOP_EBADF);
    assert_int_equal(asked_timeout, INT_MAX);
    assert_int_equal(fired, 0);
    wait_error = 0;
    assert_ok(loop_timer_start(&timer, on_timer, LOOP_MS(3) - 1, 0));
    assert_int_equal(loop_run(loop, LOOP_RUN_ONCE), 0);
    assert_int_equal(asked_timeout, 3);
    assert_int_equal(fired, 1);
    end();
}

/* ----------------------------------------------------------------------------------------------------- no connection -- */

static void a_socket_that_is_not_connected_is_hung_up(void **state)
{
    int fd = support_nonblocking_socket();

    (void)state;
    begin_counting();
    assert_ok(loop_handle_close(&polls[0].handle, NULL));
    turn();
    assert_ok(loop_poll_init(loop, &polls[0], fd));
    assert_ok(loop_poll_start(&polls[0], LOOP_READABLE | LOOP_DISCONNECT, note));
    for (int i = 1; i <= 3; i++) {
        turn();
        assert_int_equal(reports[0], i);
        assert_int_equal(seen[0], LOOP_READABLE | LOOP_DISCONNECT);
    }
    finish_counting();
    assert_ok(close(fd));
}

/* ------------------------------------------------------------------------------------------------- lost registrations -- */

static int completions;

static void note_end(loop_op_t *op)
{
    completions += op->status != 0;
}

static void a_registration_the_kernel_lost_is_made_again(void **state)
{
    static char data[1 << 22];
    loop_desc_t desc;
    loop_op_t op = {0};
    int fds[2];

    (void)state;
    loop = support_loop();
    fault_begin();
    completions = 0;
    assert_ok(socketpair(AF_UNIX, SOCK_STREAM, 0, fds));
    assert_ok(loop_desc_attach(loop, &desc, fds[0], LOOP_DESC_OWNED));
    fault_arm(FAULT_epoll_ctl, 1, ENOENT, 1);
    assert_ok(loop_op_write(&desc, &op, &(loop_buf_t){data, sizeof(data)}, 1, note_end));
    assert_int_equal(fault_count(FAULT_epoll_ctl), 2); /* modify, then add: which the real kernel refuses here */
    (void)loop_run(loop, LOOP_RUN_NOWAIT);
    end();
    assert_ok(close(fds[1]));
}

/* ------------------------------------------------------------------------------------------------- a set made anew -- */

/* What the first poll handle watches is reported for ever: it has data, and its owner and the handle have gone, but not the
 * duplicate, which is given back. */
static int leave_a_stray(void)
{
    int duplicate;

    send_byte(peers[0]);
    assert_ok(loop_poll_start(&polls[0], LOOP_READABLE, note));
    duplicate = close_early(0);
    assert_ok(loop_handle_close(&polls[0].handle, NULL));
    return duplicate;
}

static int end_status;

static void note_status(loop_op_t *op)
{
    completions++;
    end_status = op->status;
}

/* The number of what was closed early is somebody else's, of whom the loop knows nothing. */
static void a_set_made_anew_takes_no_number_that_has_another_owner(void **state)
{
    char byte = 0;
    char received = 0;
    loop_desc_t desc;
    loop_op_t op = {0};
    int ours[2];
    int others[2];
    int duplicate;

    (void)state;
    begin_counting();
    completions = 0;
    assert_ok(socketpair(AF_UNIX, SOCK_STREAM, 0, ours));
    assert_ok(socketpair(AF_UNIX, SOCK_STREAM, 0, others));
    assert_ok(loop_desc_attach(loop, &desc, ours[0], 0));
    assert_ok(loop_op_read(&desc, &op, &(loop_buf_t){&byte, 1}, 1, note_status));
    turn();
    assert_int_equal(dup2(others[0], ours[0]), ours[0]); /* which closes ours */
    duplicate = leave_a_stray();
    for (int i = 0; i < 3; i++)
        turn();
    assert_int_equal(fault_count(FAULT_epoll_create1), 1);
    send_byte(others[1]);
    for (int i = 0; i < 3; i++)
        turn();
    assert_int_equal(completions, 1);
    assert_int_equal(end_status, LOOP_EBADF);
    assert_int_equal(recv(ours[0], &received, 1, MSG_DONTWAIT), 1);
    assert_int_equal(loop_desc_fd(&desc), LOOP_INVALID_FD); /* so it is not closed with the handle, either */
    assert_ok(loop_handle_close(&desc.handle, NULL));
    start_all_but_the_first();
    assert_the_others_work();
    finish_counting();
    assert_ok(close(duplicate));
    assert_ok(close(ours[0]));
    assert_ok(close(ours[1]));
    assert_ok(close(others[0]));
    assert_ok(close(others[1]));
}

/* A host waits on the kernel's object itself. It is better to be told too often than not any more. */
static void the_set_that_a_host_watches_is_not_replaced(void **state)
{
    struct epoll_event event = {.events = EPOLLIN};
    int host = epoll_create1(EPOLL_CLOEXEC);
    int duplicate;

    (void)state;
    begin_counting();
    assert_ok(epoll_ctl(host, EPOLL_CTL_ADD, loop_backend_fd(loop), &event));
    duplicate = leave_a_stray();
    for (int i = 0; i < 3; i++)
        turn();
    assert_int_equal(fault_count(FAULT_epoll_create1), 0);
    assert_ok(close(duplicate)); /* and so it is silent after all */
    turn();
    assert_int_equal(epoll_wait(host, &event, 1, 0), 0);
    assert_ok(loop_poll_start(&polls[1], LOOP_READABLE, note));
    send_byte(peers[1]);
    assert_int_equal(epoll_wait(host, &event, 1, 0), 1);
    turn();
    assert_int_equal(reports[1], 1);
    finish_counting();
    assert_ok(close(host));
}

/* The name of a number's owner has 29 bits for its generation. */
static void events_of_a_number_without_an_owner_reach_nobody_when_generations_come_round(void **state)
{
    struct fd_slot *slot;
    int duplicate;
    int number;

    (void)state;
    begin_counting();
    assert_int_not_equal(loop_backend_fd(loop), LOOP_INVALID_FD); /* so that the set is not replaced */
    number = mine[0];
    slot = &loop__readiness(loop)->callers.slots[number];
    duplicate = leave_a_stray();
    turn();
    /* All the owners that there can be but one, which comes and goes: the next generation is that of the events. */
    slot->name -= (uint64_t)3 << 35;
    assert_int_equal(dup2(peers[1], number), number);
    assert_ok(loop_poll_init(loop, &polls[0], number));
    assert_ok(loop_handle_close(&polls[0].handle, NULL));
    turn();
    assert_ok(close(number));
    for (int i = 0; i < 3; i++)
        turn();
    assert_int_equal(reports_of_all, 0);
    assert_ok(close(duplicate));
    finish_counting();
}

/* Everything that was registered when the kernel had to be given a new set still is. */
static int received;

static void on_read(loop_tcp_t *tcp, ptrdiff_t nread, const loop_buf_t *buf)
{
    (void)tcp;
    (void)buf;
    assert_int_equal(nread, 1);
    received++;
}

static void on_op(loop_op_t *op)
{
    assert_ok(op->status);
    received++;
}

static void other_handles_live_through_an_early_close(void **state)
{
    loop_tcp_t tcp;
    loop_desc_t desc;
    loop_op_t op = {0};
    char text[4];
    int duplicate;
    int socket_fd;
    int fds[2];

    (void)state;
    begin_counting();
    received = 0;
    lost = 0;
    socket_fd = support_tcp_and_socket(loop, &tcp);
    assert_ok(loop_tcp_read_start(&tcp, NULL, on_read));
    assert_ok(socketpair(AF_UNIX, SOCK_STREAM, 0, fds));
    assert_ok(loop_desc_attach(loop, &desc, fds[0], LOOP_DESC_OWNED));
    assert_ok(loop_op_read(&desc, &op, &(loop_buf_t){text, sizeof(text)}, 1, on_op));
    start_all_but_the_first();
    send_byte(peers[0]);
    assert_ok(loop_poll_start(&polls[0], LOOP_READABLE, note));
    duplicate = close_early(0);
    assert_ok(loop_poll_start(&polls[1], LOOP_READABLE, note_lost));
    assert_ok(close(mine[1])); /* another one closed early, of which nothing is left, as comes out now */
    mine[1] = -1;
    assert_ok(loop_handle_close(&polls[0].handle, NULL));
    turn();
    turn();
    assert_int_equal(lost, 1);
    assert_quiet();
    send_byte(socket_fd);
    send_byte(fds[1]);
    while (received < 2)
        assert_true(loop_run(loop, LOOP_RUN_ONCE) >= 0);
    send_byte(peers[2]);
    turn();
    assert_int_equal(reports[2], 1);
    finish_counting();
    assert_ok(close(duplicate) | close(fds[1]) | close(socket_fd));
}

static void on_far_timer(loop_timer_t *timer)
{
    (void)timer;
    fail();
}

static void on_end(loop_op_t *op)
{
    assert_int_equal(op->status, LOOP_EBADF);
    received++;
}

/* What comes out when the kernel's object is made anew ends the wait before which that happened; with a callback, and without. */
static void nobody_sleeps_over_what_an_early_close_brought_to_light(void **state)
{
    (void)state;
    for (int with_callback = 0; with_callback < 2; with_callback++) {
        loop_timer_t far;
        loop_desc_t desc;
        loop_op_t op = {0};
        loop_op_t *got = NULL;
        char text[4];
        int duplicate;
        int fds[2];

        begin_counting();
        received = 0;
        assert_ok(socketpair(AF_UNIX, SOCK_STREAM, 0, fds));
        assert_ok(loop_desc_attach(loop, &desc, fds[0], 0));
        assert_ok(loop_op_read(&desc, &op, &(loop_buf_t){text, sizeof(text)}, 1, with_callback ? on_end : NULL));
        assert_ok(loop_timer_init(loop, &far));
        assert_ok(loop_timer_start(&far, on_far_timer, LOOP_SEC(3600), 0));
        send_byte(peers[0]);
        assert_ok(loop_poll_start(&polls[0], LOOP_READABLE, note));
        turn();
        duplicate = close_early(0);
        assert_ok(loop_handle_close(&polls[0].handle, NULL));
        assert_ok(close(fds[0]));
        while (received == 0 && got == NULL)
            assert_true(loop_wait(loop, &got, 1, LOOP_FOREVER) >= 0);
        assert_int_equal(op.status, LOOP_EBADF);
        finish_counting();
        assert_ok(close(duplicate) | close(fds[1]));
    }
}

/* First each of the others is asked for, then the wake-up is added, then they are. Not in every turn: each of them costs a call. */
static void without_a_new_set_it_is_tried_again(void **state)
{
    static const struct {
        enum fault_row row;
        long n;
        int error;
    } faults[] = {
        {FAULT_epoll_create1, 1, EMFILE}, {FAULT_epoll_ctl, POLLS, ENOMEM}, {FAULT_epoll_ctl, POLLS + 2, ENOSPC}};

    (void)state;
    for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
        int duplicate;
        int turns;

        begin_counting();
        start_all_but_the_first();
        duplicate = leave_a_stray();
        turn();
        fault_arm(faults[i].row, faults[i].n, faults[i].error, 1);
        turn();
        assert_int_equal(fault_count(faults[i].row), faults[i].n); /* it was tried, and failed */
        assert_the_others_work();
        forget_counts();
        for (turns = 0; fault_count(FAULT_epoll_create1) == 0; turns++)
            turn();
        assert_in_range(turns, 10, 1000);
        assert_quiet();
        assert_the_others_work();
        finish_counting();
        assert_ok(close(duplicate));
    }
}

/* ------------------------------------------------------------------------------------------- processes and files -- */

static void processes_and_files_cannot_be_watched(void **state)
{
    static const unsigned kinds[] = {DESC_PROCESS, DESC_FILE};

    (void)state;
    loop = support_loop();
    fault_begin();
    for (int i = 0; i < 2; i++) {
        struct desc desc;

        assert_ok(loop__desc_init(loop, &desc, LOOP_DESC));
        assert_int_equal(loop__desc_attach(&desc, 1, kinds[i]), LOOP_ENOTSUP);
        loop__handle_forget(&desc.handle);
    }
    end();
}

LOOP_TEST_MAIN(TEST(processes_and_files_cannot_be_watched), TEST(without_nanosecond_waits_timers_are_still_never_early),
               TEST(the_longest_timeout_is_one_the_system_takes), TEST(a_socket_that_is_not_connected_is_hung_up),
               TEST(a_registration_the_kernel_lost_is_made_again), TEST(the_set_that_a_host_watches_is_not_replaced),
               TEST(a_set_made_anew_takes_no_number_that_has_another_owner),
               TEST(events_of_a_number_without_an_owner_reach_nobody_when_generations_come_round),
               TEST(other_handles_live_through_an_early_close),
               TEST(nobody_sleeps_over_what_an_early_close_brought_to_light), TEST(without_a_new_set_it_is_tried_again))
