/* Every system call and every allocation fails in turn: TCP, descriptors, timers and tasks, signals and polls. */
#include "fault_scenario.h"

/* ------------------------------------------------------------------------------------------------------- scenarios -- */

/* Timers, asyncs and tasks. */
static struct {
    loop_timer_t timers[70];
    loop_async_t async;
    loop_task_t task;
    int fired;
} timing;

static void on_fire(loop_timer_t *t)
{
    (void)t;
    timing.fired++;
    successes++;
}

static void on_async(loop_async_t *a)
{
    successes++;
    (void)loop_handle_close(&a->handle, on_closed);
}

static void on_task(loop_task_t *t, int status)
{
    (void)t;
    assert_ok(status);
    successes++;
    in_flight--;
}

static void scenario_timing(void)
{
    struct sockaddr_storage addr;
    char text[300];
    char name[257];

    memset(&timing, 0, sizeof(timing));
    (void)snprintf(text, sizeof(text), "fe80::1%%%s", support_interface(name, sizeof(name)) != 0 ? name : "none");
    if (loop_ip_addr(text, 1, &addr) == 0)
        successes++;
    for (int i = 0; i < 70; i++) {
        assert_ok(opened(loop_timer_init(loop, &timing.timers[i])));
        (void)loop_timer_start(&timing.timers[i], on_fire, LOOP_US(100), 0);
    }
    assert_ok(opened(loop_async_init(loop, &timing.async, on_async)));
    assert_ok(loop_async_send(&timing.async));
    assert_ok(submitted(loop_post(loop, &timing.task, on_task)));
    for (int i = 0; i < 20 && loop_alive(loop); i++) {
        /* Waits that end by the time: also the path with a timeout. */
        (void)loop_run(loop, LOOP_RUN_ONCE);
    }
    close_all();
}

/* A pipe that fills, and datagrams on a socket that knows its peer. */
static struct {
    loop_desc_t reader;
    loop_desc_t writer;
    loop_desc_t sender;
    loop_desc_t receiver;
    loop_op_t ops[8];
    char text[16];
} crossing;

static char full[1 << 20];

static void scenario_crossing(void)
{
    struct sockaddr_storage addr = support_loopback();
    loop_os_fd_t receiver = support_datagram_socket();
    loop_buf_t in = {crossing.text, sizeof(crossing.text)};
    loop_os_fd_t pipes[2];

    memset(&crossing, 0, sizeof(crossing));
    assert_ok(support_pipe(pipes));
    assert_ok(support_bind(receiver, &addr));
    if (attach(&crossing.reader, pipes[0]) == 0) {
        (void)submitted(loop_op_ready(&crossing.reader, &crossing.ops[0], LOOP_READABLE, completed));
        (void)submitted(loop_op_read(&crossing.reader, &crossing.ops[1], &in, 1, completed));
        (void)submitted(loop_op_read(&crossing.reader, &crossing.ops[2], &in, 1, completed));
        (void)loop_op_cancel(&crossing.ops[2]);
    }
    if (attach(&crossing.writer, pipes[1]) == 0) {
        (void)submitted(loop_op_write(&crossing.writer, &crossing.ops[3], &(loop_buf_t){"hello", 5}, 1, completed));
        (void)submitted(
            loop_op_write(&crossing.writer, &crossing.ops[4], &(loop_buf_t){full, sizeof(full)}, 1, completed));
    }
    if (attach(&crossing.receiver, receiver) == 0)
        (void)submitted(loop_op_receive(&crossing.receiver, &crossing.ops[5], &in, 1, NULL, completed));
    if (attach(&crossing.sender, support_datagram_socket()) == 0 &&
        submitted(loop_op_connect(&crossing.sender, &crossing.ops[6], (struct sockaddr *)&addr, completed)) == 0)
        (void)submitted(loop_op_write(&crossing.sender, &crossing.ops[7], &(loop_buf_t){"hello", 5}, 1, completed));
    await_operations_but(1); /* the write of more than the pipe holds */
    close_all();
}

/* ------------------------------------------------------------------------------------------------- call after call -- */

static void every_system_call_of_tcp_fails_in_turn(void **state)
{
    (void)state;
    every_call_fails(scenario_tcp);
}

static void every_system_call_of_descriptors_fails_in_turn(void **state)
{
    (void)state;
    every_call_fails(scenario_desc);
}

static void every_system_call_of_timers_and_tasks_fails_in_turn(void **state)
{
    (void)state;
    every_call_fails(scenario_timing);
}

static void every_system_call_of_signals_and_polls_fails_in_turn(void **state)
{
    (void)state;
    every_call_fails(scenario_watching);
}

static void every_system_call_of_pipes_and_datagrams_fails_in_turn(void **state)
{
    (void)state;
    every_call_fails(scenario_crossing);
}

static void every_allocation_of_tcp_fails_in_turn(void **state)
{
    (void)state;
    every_allocation_fails(scenario_tcp);
}

static void every_allocation_of_descriptors_fails_in_turn(void **state)
{
    (void)state;
    every_allocation_fails(scenario_desc);
}

static void every_allocation_of_timers_fails_in_turn(void **state)
{
    (void)state;
    every_allocation_fails(scenario_timing);
}

static void every_allocation_of_signals_and_polls_fails_in_turn(void **state)
{
    (void)state;
    every_allocation_fails(scenario_watching);
}

LOOP_TEST_MAIN(TEST(every_system_call_of_tcp_fails_in_turn), TEST(every_system_call_of_descriptors_fails_in_turn),
               TEST(every_system_call_of_timers_and_tasks_fails_in_turn),
               TEST(every_system_call_of_signals_and_polls_fails_in_turn),
               TEST(every_system_call_of_pipes_and_datagrams_fails_in_turn),
               TEST(every_allocation_of_signals_and_polls_fails_in_turn), TEST(every_allocation_of_tcp_fails_in_turn),
               TEST(every_allocation_of_descriptors_fails_in_turn), TEST(every_allocation_of_timers_fails_in_turn))
