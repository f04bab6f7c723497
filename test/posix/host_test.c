/* A loop inside of a host loop: the descriptor that a host polls. How long it may wait: host_test.c. */
#include "backend_test.h"
#include "op_fixture.h"

#include <poll.h>
#include <pthread.h>
#include <unistd.h>

static int fd;

static void begin_watched(void)
{
    begin();
    fd = loop_backend_fd(loop);
    assert_true(fd >= 0);
}

static bool signalled(void)
{
    struct pollfd item = {.fd = fd, .events = POLLIN};

    return poll(&item, 1, 0) == 1;
}

static void turn(void)
{
    assert_true(loop_run(loop, LOOP_RUN_NOWAIT) >= 0);
}

/* A wait may tell of a part only, and a kqueue may be readable once more. */
static void until_quiet(void)
{
    int turns = 0;

    do {
        assert_true(turns++ < 10);
        turn();
    } while (signalled());
}

static void nothing(loop_timer_t *timer)
{
    (void)timer;
}

static int ran;

static void count_task(loop_task_t *task, int status)
{
    (void)task;
    assert_ok(status);
    ran++;
}

/* ---------------------------------------------------------------------------------------------------- the descriptor -- */

static void a_loop_with_nothing_to_do_is_quiet(void **state)
{
    (void)state;
    begin_watched();
    assert_false(signalled());
    turn();
    assert_false(signalled());
    assert_int_equal(loop_backend_fd(loop), fd);
    assert_true(loop_next_timeout(loop) < 0);
    support_finish(loop);
}

static void an_event_signals_until_a_turn_took_it(void **state)
{
    char text[8];
    loop_buf_t in = buf_of(text, sizeof(text));
    loop_op_t op = {0};

    (void)state;
    backend_be_calm();
    begin_with(SOCK_STREAM);
    fd = loop_backend_fd(loop);
    assert_ok(loop_op_read(&left, &op, &in, 1, note));
    turn();
    assert_false(signalled());
    assert_int_equal(write(loop_desc_fd(&right), "hi", 2), 2);
    assert_true(signalled());
    assert_true(signalled()); /* asking does not take it */
    turn();
    assert_int_equal(completions, 1);
    assert_false(signalled());
    support_finish(loop);
}

static void *post_one(void *task)
{
    return loop_post(loop, task, count_task) == 0 ? NULL : task;
}

static void a_post_of_another_thread_signals(void **state)
{
    static loop_task_t task;
    pthread_t thread;
    void *failed;

    (void)state;
    begin_watched();
    ran = 0;
    assert_ok(pthread_create(&thread, NULL, post_one, &task));
    assert_ok(pthread_join(thread, &failed));
    assert_null(failed);
    assert_true(signalled());
    assert_int_equal(loop_next_timeout(loop), 0);
    turn();
    assert_int_equal(ran, 1);
    assert_false(signalled());
    support_finish(loop);
}

static void what_completes_at_once_outside_of_a_turn_signals(void **state)
{
    loop_op_t op = {0};

    (void)state;
    begin_with(SOCK_STREAM);
    fd = loop_backend_fd(loop);
    until_quiet();
    assert_ok(loop_op_write(&left, &op, &(loop_buf_t){"x", 1}, 1, note));
    assert_int_equal(completions, 0);
    assert_true(signalled());
    assert_true(signalled()); /* until the next wait, although no data is behind it */
    assert_int_equal(loop_next_timeout(loop), 0);
    turn();
    assert_int_equal(completions, 1);
    until_quiet();
    support_finish(loop);
}

static void closing_and_cancelling_outside_of_a_turn_signal(void **state)
{
    char text[8];
    loop_buf_t in = buf_of(text, sizeof(text));
    loop_op_t op = {0};

    (void)state;
    begin_with(SOCK_STREAM);
    fd = loop_backend_fd(loop);
    assert_ok(loop_op_read(&left, &op, &in, 1, note));
    until_quiet();
    assert_ok(loop_op_cancel(&op));
    assert_true(signalled());
    turn();
    assert_int_equal(completions, 1);
    until_quiet();
    assert_ok(loop_handle_close(&left.handle, NULL));
    assert_true(signalled());
    assert_int_equal(loop_next_timeout(loop), 0);
    until_quiet();
    support_finish(loop);
}

static int read_calls;

static void on_read(loop_tcp_t *tcp, ptrdiff_t nread, const loop_buf_t *buf)
{
    (void)buf;
    assert_true(nread > 0);
    read_calls++;
    assert_ok(loop_tcp_read_stop(tcp));
}

static void reading_started_outside_of_a_turn_signals_if_data_is_known(void **state)
{
    loop_tcp_t tcp;
    int peer;

    (void)state;
    begin_watched();
    read_calls = 0;
    peer = support_tcp_and_socket(loop, &tcp);
    assert_int_equal(write(peer, "x", 1), 1);
    until_quiet(); /* the edge is taken, nobody reads */
    assert_ok(loop_tcp_read_start(&tcp, NULL, on_read));
    assert_true(signalled());
    turn();
    assert_int_equal(read_calls, 1);
    support_finish(loop);
    assert_ok(close(peer));
}

static loop_op_t again_op;
static int again_left;

static void write_again(loop_op_t *op)
{
    note(op);
    if (--again_left > 0)
        assert_ok(loop_op_write(&left, op, &(loop_buf_t){"x", 1}, 1, write_again));
}

static void a_turn_that_ends_with_work_left_signals(void **state)
{
    (void)state;
    begin_with(SOCK_STREAM);
    fd = loop_backend_fd(loop);
    memset(&again_op, 0, sizeof(again_op));
    again_left = 100; /* more rounds than one turn makes */
    assert_ok(loop_op_write(&left, &again_op, &(loop_buf_t){"x", 1}, 1, write_again));
    for (int turns = 0; again_left > 0; turns++) {
        assert_true(turns < 100);
        assert_true(signalled());
        turn();
    }
    until_quiet();
    support_finish(loop);
}

static loop_task_t late_task;
static loop_timer_t late_handle;

static void make_work(loop_timer_t *timer)
{
    assert_ok(loop_post(loop, &late_task, count_task));
    assert_ok(loop_handle_close(&timer->handle, NULL));
}

static void work_made_in_the_last_phase_signals(void **state)
{
    (void)state;
    begin_watched();
    memset(&late_task, 0, sizeof(late_task));
    ran = 0;
    assert_ok(loop_timer_init(loop, &late_handle));
    assert_ok(loop_timer_start(&late_handle, make_work, 0, 0));
    assert_false(signalled()); /* timers do not */
    assert_int_equal(loop_next_timeout(loop), 0);
    turn();
    assert_int_equal(ran, 0);
    assert_true(signalled());
    turn();
    assert_int_equal(ran, 1);
    assert_false(signalled());
    support_finish(loop);
}

static void on_idle(loop_idle_t *idle)
{
    (void)idle;
    ran++;
}

static void an_idle_handle_signals_as_long_as_it_is_started(void **state)
{
    loop_idle_t idle;

    (void)state;
    begin_watched();
    ran = 0;
    assert_ok(loop_idle_init(loop, &idle));
    assert_false(signalled());
    assert_ok(loop_idle_start(&idle, on_idle));
    for (int i = 1; i <= 3; i++) {
        assert_true(signalled());
        assert_int_equal(loop_next_timeout(loop), 0);
        turn();
        assert_int_equal(ran, i);
    }
    assert_ok(loop_idle_stop(&idle));
    turn();
    assert_false(signalled());
    support_finish(loop);
}

static void what_was_there_before_the_host_came_signals(void **state)
{
    loop_op_t op = {0};

    (void)state;
    begin_with(SOCK_STREAM);
    assert_ok(loop_op_write(&left, &op, &(loop_buf_t){"x", 1}, 1, note));
    fd = loop_backend_fd(loop);
    assert_true(signalled());
    turn();
    assert_int_equal(completions, 1);
    support_finish(loop);
}

static int connections;

static void on_connection(loop_tcp_t *server, int status)
{
    loop_os_fd_t accepted;

    assert_ok(status);
    assert_ok(loop_tcp_accept_fd(server, &accepted));
    assert_ok(close(accepted));
    connections++;
}

/* They keep no loop alive; if their events were left, the host's loop would turn for ever. */
static void handles_without_a_reference_are_served_and_do_not_keep_the_host_busy(void **state)
{
    struct sockaddr_storage addr;
    loop_timer_t timer;
    loop_tcp_t server;
    int client;

    (void)state;
    begin_watched();
    connections = 0;
    addr = support_listen(loop, &server, on_connection);
    assert_ok(loop_handle_unref(&server.handle));
    assert_false(loop_alive(loop));
    client = support_socket(0);
    assert_ok(connect(client, (struct sockaddr *)&addr, sizeof(struct sockaddr_in)));
    assert_true(signalled());
    until_quiet();
    assert_int_equal(connections, 1);
    assert_false(loop_alive(loop));

    assert_ok(loop_timer_init(loop, &timer));
    assert_ok(loop_timer_start(&timer, nothing, 0, 0));
    assert_ok(loop_handle_unref(&timer.handle));
    assert_int_equal(loop_next_timeout(loop), 0);
    assert_ok(loop_run(loop, LOOP_RUN_NOWAIT));
    assert_true(loop_next_timeout(loop) < 0);
    support_finish(loop);
    assert_ok(close(client));
}

static void a_stop_between_turns_loses_no_signal(void **state)
{
    loop_op_t op = {0};

    (void)state;
    begin_with(SOCK_STREAM);
    fd = loop_backend_fd(loop);
    assert_ok(loop_op_write(&left, &op, &(loop_buf_t){"x", 1}, 1, note));
    assert_ok(loop_stop(loop));
    turn(); /* makes no turn */
    assert_int_equal(completions, 0);
    assert_true(signalled());
    turn();
    assert_int_equal(completions, 1);
    support_finish(loop);
}

LOOP_TEST_MAIN(TEST(a_loop_with_nothing_to_do_is_quiet), TEST(an_event_signals_until_a_turn_took_it),
               TEST(a_post_of_another_thread_signals), TEST(what_completes_at_once_outside_of_a_turn_signals),
               TEST(closing_and_cancelling_outside_of_a_turn_signal),
               TEST(reading_started_outside_of_a_turn_signals_if_data_is_known),
               TEST(a_turn_that_ends_with_work_left_signals), TEST(work_made_in_the_last_phase_signals),
               TEST(an_idle_handle_signals_as_long_as_it_is_started), TEST(what_was_there_before_the_host_came_signals),
               TEST(handles_without_a_reference_are_served_and_do_not_keep_the_host_busy),
               TEST(a_stop_between_turns_loses_no_signal))
