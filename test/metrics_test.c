/* loop_metrics: what is counted, and what is timed only where it was asked for. */
#include "backend_test.h"
#include "fake_time.h"
#include "op_fixture.h"

static loop_metrics_t figures(void)
{
    loop_metrics_t metrics = {.size = sizeof(metrics)};

    assert_ok(loop_metrics(loop, &metrics));
    return metrics;
}

static void turn(void)
{
    assert_true(loop_run(loop, LOOP_RUN_NOWAIT) >= 0);
}

static void a_fresh_loop_has_counted_nothing(void **state)
{
    loop_metrics_t zero;
    loop_metrics_t metrics;

    (void)state;
    begin();
    memset(&zero, 0, sizeof(zero));
    zero.size = sizeof(zero);
    metrics = figures();
    assert_memory_equal(&metrics, &zero, sizeof(zero));
    support_finish(loop);
}

static void turns_waits_and_events_are_counted(void **state)
{
    loop_metrics_t before;
    loop_metrics_t after;
    char text[8];
    loop_buf_t in = buf_of(text, sizeof(text));
    loop_op_t op = {0};

    (void)state;
    backend_be_calm();
    begin_with(SOCK_STREAM);
    assert_ok(loop_op_read(&left, &op, &in, 1, note));
    turn();
    before = figures();
    turn();
    turn();
    after = figures();
    assert_int_equal(after.turns - before.turns, 2);
    assert_int_equal(after.waits - before.waits, 2);
    assert_int_equal(after.events, before.events);
    assert_int_equal(support_write(loop_desc_fd(&right), "x", 1), 1);
    run_until(1);
    after = figures();
    assert_int_equal(after.events - before.events, 1);
    support_finish(loop);
}

static void operations_are_counted_when_accepted_and_when_delivered(void **state)
{
    char text[8];
    loop_buf_t in = buf_of(text, sizeof(text));
    loop_op_t ops[3] = {{0}};
    loop_metrics_t metrics;

    (void)state;
    begin_with(SOCK_STREAM);
    assert_ok(loop_op_read(&left, &ops[0], &in, 1, note));
    assert_ok(loop_op_write(&right, &ops[1], &(loop_buf_t){"x", 1}, 1, note));
    assert_int_equal(loop_op_read(&left, &ops[0], &in, 1, note), LOOP_EBUSY); /* refused ones do not count */
    assert_int_equal(loop_op_read(&left, &ops[2], NULL, 1, note), LOOP_EINVAL);
    metrics = figures();
    assert_int_equal(metrics.ops_submitted, 2);
    assert_int_equal(metrics.ops_completed, 0);
    run_until(2);
    metrics = figures();
    assert_int_equal(metrics.ops_submitted, 2);
    assert_int_equal(metrics.ops_completed, 2);
    support_finish(loop);
}

static void do_nothing(loop_work_t *work)
{
    (void)work;
}

static void work_is_no_operation(void **state)
{
    loop_work_t work = {0};
    loop_metrics_t metrics;

    (void)state;
    begin();
    assert_ok(loop_work(loop, &work, LOOP_LANE_DEFAULT, do_nothing, NULL));
    metrics = figures();
    assert_int_equal(metrics.ops_submitted, 0);
    assert_int_equal(metrics.ops_completed, 0);
    assert_int_equal(loop_run(loop, LOOP_RUN_DEFAULT), 0);
    assert_int_equal(figures().ops_completed, 0);
    support_finish(loop);
}

static loop_task_t task;
static int ran;

static void on_task(loop_task_t *t, int status)
{
    (void)t;
    assert_ok(status);
    ran++;
}

static void on_async(loop_async_t *async)
{
    (void)async;
    ran++;
}

static void *post_from_outside(void *arg)
{
    return loop_post(loop, &task, on_task) == 0 && loop_async_send(arg) == 0 ? NULL : arg;
}

static void tasks_asyncs_and_the_one_wake_up_they_cost_are_counted(void **state)
{
    loop_async_t async;
    pthread_t thread;
    void *failed;
    loop_metrics_t metrics;

    (void)state;
    begin();
    ran = 0;
    memset(&task, 0, sizeof(task));
    assert_ok(loop_async_init(loop, &async, on_async));
    turn();
    assert_ok(pthread_create(&thread, NULL, post_from_outside, &async));
    assert_ok(pthread_join(thread, &failed));
    assert_null(failed);
    metrics = figures();
    assert_int_equal(metrics.wakeups, 1);
    turn();
    metrics = figures();
    assert_int_equal(metrics.tasks, 2);
    assert_int_equal(metrics.wakeups, 1);
    support_finish(loop);
}

static int fired;

static void on_timer(loop_timer_t *timer)
{
    (void)timer;
    fired++;
}

static void timers_are_counted_when_they_fire(void **state)
{
    loop_timer_t timer;
    loop_metrics_t metrics;

    (void)state;
    begin();
    fired = 0;
    assert_ok(loop_timer_init(loop, &timer));
    assert_ok(loop_timer_start(&timer, on_timer, 0, 1));
    while (fired < 5)
        turn();
    metrics = figures();
    assert_int_equal(metrics.timers, fired);
    assert_int_equal(metrics.idle_time, 0); /* nobody asked for times */
    assert_int_equal(metrics.longest_callback, 0);
    support_finish(loop);
}

/* ------------------------------------------------------------------------------------------------------------ times -- */

static void begin_with_clock(unsigned flags)
{
    loop_options_t options = LOOP_OPTIONS_INIT;

    fake_time_begin();
    options.flags = flags;
    assert_ok(loop_init(&loop, &options));
    completions = 0;
    fired = 0;
}

static void finish_with_clock(void)
{
    support_finish(loop);
    fake_time_end();
}

static void time_in_waits_counts_as_idle(void **state)
{
    loop_timer_t timer;

    (void)state;
    begin_with_clock(LOOP_METRICS_TIME);
    turn();
    assert_int_equal(figures().idle_time, 0);
    assert_ok(loop_timer_init(loop, &timer));
    assert_ok(loop_timer_start(&timer, on_timer, LOOP_MS(30), 0));
    assert_ok(loop_run(loop, LOOP_RUN_DEFAULT));
    assert_int_equal(fired, 1);
    assert_int_equal(figures().idle_time, LOOP_MS(30));
    fake_time += LOOP_SEC(1); /* between turns */
    turn();
    assert_int_equal(figures().idle_time, LOOP_MS(30));
    finish_with_clock();
}

static void work_in_timer(loop_timer_t *timer)
{
    (void)timer;
    fake_time += LOOP_MS(20);
}

static void work_in_task(loop_task_t *t, int status)
{
    (void)t;
    (void)status;
    fake_time += LOOP_MS(21);
}

static void work_in_op(loop_op_t *op)
{
    note(op);
    fake_time += LOOP_MS(22);
}

static void work_in_idle(loop_idle_t *idle)
{
    fake_time += LOOP_MS(23);
    assert_ok(loop_handle_close(&idle->handle, NULL));
}

static void work_in_close(loop_handle_t *handle)
{
    (void)handle;
    fake_time += LOOP_MS(24);
}

static void the_longest_callback_of_every_kind_is_found_and_told_once(void **state)
{
    loop_timer_t timers[2];
    loop_idle_t idle;
    loop_op_t ops[2] = {{0}};
    loop_os_fd_t fds[2];

    (void)state;
    begin_with_clock(LOOP_METRICS_TIME);
    for (int i = 0; i < 2; i++) { /* two in a row are two */
        assert_ok(loop_timer_init(loop, &timers[i]));
        assert_ok(loop_timer_start(&timers[i], work_in_timer, 0, 0));
    }
    turn();
    assert_int_equal(figures().longest_callback, LOOP_MS(20));
    assert_int_equal(figures().longest_callback, 0);

    memset(&task, 0, sizeof(task));
    assert_ok(loop_post(loop, &task, work_in_task));
    turn();
    assert_int_equal(figures().longest_callback, LOOP_MS(21));

    assert_ok(support_local_pair(fds));
    assert_ok(loop_desc_attach(loop, &left, fds[0], LOOP_DESC_OWNED));
    assert_ok(loop_op_write(&left, &ops[0], &(loop_buf_t){"x", 1}, 1, work_in_op));
    assert_ok(loop_op_write(&left, &ops[1], &(loop_buf_t){"x", 1}, 1, work_in_op));
    turn();
    assert_int_equal(figures().longest_callback, LOOP_MS(22));

    assert_ok(loop_idle_init(loop, &idle));
    assert_ok(loop_idle_start(&idle, work_in_idle));
    turn();
    assert_int_equal(figures().longest_callback, LOOP_MS(23));

    for (int i = 0; i < 2; i++)
        assert_ok(loop_handle_close(&timers[i].handle, work_in_close));
    turn();
    assert_int_equal(figures().longest_callback, LOOP_MS(24));
    finish_with_clock();
    support_close(fds[1]);
}

static void time_between_turns_is_nobodys(void **state)
{
    loop_timer_t timer;

    (void)state;
    begin_with_clock(LOOP_METRICS_TIME);
    assert_ok(loop_timer_init(loop, &timer));
    turn();
    fake_time += LOOP_MS(50);
    assert_ok(loop_timer_start(&timer, work_in_timer, 0, 0));
    turn();
    assert_int_equal(figures().longest_callback, LOOP_MS(20));
    finish_with_clock();
}

static void without_the_flag_no_clock_is_read_for_figures(void **state)
{
    loop_op_t op = {0};
    loop_os_fd_t fds[2];

    (void)state;
    begin_with_clock(0);
    assert_ok(support_local_pair(fds));
    assert_ok(loop_desc_attach(loop, &left, fds[0], LOOP_DESC_OWNED));
    fake_time_reads = 0;
    assert_ok(loop_op_write(&left, &op, &(loop_buf_t){"x", 1}, 1, work_in_op));
    turn();
    assert_int_equal(completions, 1);
    assert_int_equal(fake_time_reads, 0);
    assert_int_equal(figures().longest_callback, 0);
    finish_with_clock();
    support_close(fds[1]);
}

static void wrong_sizes_are_refused(void **state)
{
    loop_metrics_t metrics = {.size = sizeof(metrics) - 1};

    (void)state;
    begin();
    assert_int_equal(loop_metrics(loop, &metrics), LOOP_EINVAL);
    metrics.size = 0;
    assert_int_equal(loop_metrics(loop, &metrics), LOOP_EINVAL);
    assert_int_equal(loop_metrics(loop, NULL), LOOP_EINVAL);
    metrics.size = sizeof(metrics);
    assert_int_equal(loop_metrics(NULL, &metrics), LOOP_EINVAL);
    support_finish(loop);
}

static void count_task(loop_task_t *one, int status)
{
    (void)one;
    assert_ok(status);
    completions++;
}

/* Writes that are done at once, each handed out by the next loop_wait(). */
static void what_has_finished_is_handed_out_without_a_turn_but_not_for_ever(void **state)
{
    loop_buf_t out = buf_of("x", 1);
    loop_task_t posted = {0};
    loop_op_t op = {0};
    loop_op_t *got;
    uint64_t turns;

    (void)state;
    begin_with(SOCK_STREAM);
    assert_int_equal(loop_wait(loop, &got, 1, 0), 0);
    turns = figures().turns;
    assert_ok(loop_post(loop, &posted, count_task));
    for (int i = 1; i <= 9; i++) {
        assert_ok(loop_op_write(&left, &op, &out, 1, NULL));
        assert_int_equal(loop_wait(loop, &got, 1, LOOP_FOREVER), 1);
        assert_ptr_equal(got, &op);
        assert_int_equal(figures().turns - turns, i == 9); /* then the others have their turn */
        assert_int_equal(completions, i == 9);
    }
    /* What is to be done in a turn is not put off. */
    assert_ok(loop_op_write(&left, &op, &out, 1, NULL));
    assert_ok(loop_handle_close(&right.handle, NULL));
    assert_int_equal(loop_wait(loop, &got, 1, LOOP_FOREVER), 1);
    assert_int_equal(figures().turns - turns, 2);
    support_finish(loop);
}

LOOP_TEST_MAIN(TEST(a_fresh_loop_has_counted_nothing), TEST(turns_waits_and_events_are_counted),
               TEST(operations_are_counted_when_accepted_and_when_delivered), TEST(work_is_no_operation),
               TEST(tasks_asyncs_and_the_one_wake_up_they_cost_are_counted), TEST(timers_are_counted_when_they_fire),
               TEST(time_in_waits_counts_as_idle), TEST(the_longest_callback_of_every_kind_is_found_and_told_once),
               TEST(time_between_turns_is_nobodys), TEST(without_the_flag_no_clock_is_read_for_figures),
               TEST(what_has_finished_is_handed_out_without_a_turn_but_not_for_ever), TEST(wrong_sizes_are_refused))
