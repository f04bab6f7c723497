/* The loop: the order of a turn, run modes, stopping, walking, closing, options, memory. */
#include "support.h"

static loop_t *loop;
static char trace[256];

static void note(const char *what)
{
    (void)strncat(trace, what, sizeof(trace) - strlen(trace) - 1);
}

static loop_timer_t timer;
static loop_prepare_t prepare;
static loop_check_t check;
static loop_idle_t idle;
static loop_task_t task;
static loop_timer_t closing;

static void on_timer(loop_timer_t *t)
{
    (void)t;
    note("timer ");
}

static void on_prepare(loop_prepare_t *p)
{
    (void)p;
    note("prepare ");
}

static void on_check(loop_check_t *c)
{
    (void)c;
    note("check ");
}

static void on_idle(loop_idle_t *i)
{
    (void)i;
    note("idle ");
}

static void on_task(loop_task_t *t, int status)
{
    (void)t;
    note(status == 0 ? "task " : "cancelled ");
}

static void on_closed(loop_handle_t *handle)
{
    (void)handle;
    note("close ");
}

static void begin(void)
{
    loop = support_loop();
    trace[0] = '\0';
    memset(&task, 0, sizeof(task));
    assert_ok(loop_timer_init(loop, &timer));
    assert_ok(loop_timer_init(loop, &closing));
    assert_ok(loop_prepare_init(loop, &prepare));
    assert_ok(loop_check_init(loop, &check));
    assert_ok(loop_idle_init(loop, &idle));
}

static void a_turn_has_its_phases_in_the_promised_order(void **state)
{
    (void)state;
    begin();
    assert_ok(loop_timer_start(&timer, on_timer, 0, 0));
    assert_ok(loop_check_start(&check, on_check));
    assert_ok(loop_prepare_start(&prepare, on_prepare));
    assert_ok(loop_idle_start(&idle, on_idle));
    assert_ok(loop_post(loop, &task, on_task));
    assert_ok(loop_handle_close(&closing.handle, on_closed));
    assert_int_equal(loop_run(loop, LOOP_RUN_NOWAIT), 1);
    assert_string_equal(trace, "idle prepare task check close timer ");
    support_finish(loop);
}

static void stop_turn(loop_prepare_t *p)
{
    (void)p;
    note("prepare ");
    assert_ok(loop_stop(loop));
}

static void run_until_done_runs_due_timers_before_its_first_turn(void **state)
{
    (void)state;
    begin();
    assert_ok(loop_timer_start(&timer, on_timer, 0, 0));
    assert_ok(loop_prepare_start(&prepare, stop_turn));
    assert_int_equal(loop_run(loop, LOOP_RUN_DEFAULT), 1);
    assert_string_equal(trace, "timer prepare ");
    support_finish(loop);
}

static void stop_before_run_makes_it_return_before_its_first_turn(void **state)
{
    (void)state;
    begin();
    assert_ok(loop_timer_start(&timer, on_timer, 0, 0));
    assert_ok(loop_stop(loop));
    assert_int_equal(loop_run(loop, LOOP_RUN_DEFAULT), 1);
    assert_string_equal(trace, "");
    assert_ok(loop_run(loop, LOOP_RUN_DEFAULT));
    assert_string_equal(trace, "timer ");
    support_finish(loop);
}

static void an_idle_handle_keeps_the_wait_from_blocking(void **state)
{
    (void)state;
    begin();
    assert_ok(loop_idle_start(&idle, on_idle));
    assert_int_equal(loop_run(loop, LOOP_RUN_ONCE), 1);
    assert_string_equal(trace, "idle ");
    support_finish(loop);
}

static void run_once_waits_for_the_timer(void **state)
{
    (void)state;
    begin();
    assert_ok(loop_timer_start(&timer, on_timer, LOOP_MS(2), 0));
    assert_ok(loop_run(loop, LOOP_RUN_ONCE));
    assert_string_equal(trace, "timer ");
    support_finish(loop);
}

static loop_prepare_t second;

static void start_second(loop_prepare_t *p)
{
    (void)p;
    note("first ");
    assert_ok(loop_prepare_start(&second, on_prepare));
}

static void what_starts_in_its_own_phase_runs_from_the_next_turn_on(void **state)
{
    (void)state;
    begin();
    assert_ok(loop_prepare_init(loop, &second));
    assert_ok(loop_prepare_start(&prepare, start_second));
    (void)loop_run(loop, LOOP_RUN_NOWAIT);
    assert_string_equal(trace, "first ");
    assert_ok(loop_prepare_stop(&prepare));
    (void)loop_run(loop, LOOP_RUN_NOWAIT);
    assert_string_equal(trace, "first prepare ");
    support_finish(loop);
}

static void close_both(loop_prepare_t *p)
{
    note("both ");
    assert_ok(loop_handle_close(&p->handle, on_closed));
    assert_ok(loop_handle_close(&second.handle, on_closed));
}

static void a_phase_callback_may_close_itself_and_those_after_it(void **state)
{
    (void)state;
    begin();
    assert_ok(loop_prepare_init(loop, &second));
    assert_ok(loop_prepare_start(&prepare, close_both));
    assert_ok(loop_prepare_start(&second, on_prepare));
    (void)loop_run(loop, LOOP_RUN_DEFAULT);
    assert_string_equal(trace, "both close close ");
    support_finish(loop);
}

static void starting_twice_keeps_the_first_callback(void **state)
{
    (void)state;
    begin();
    assert_ok(loop_check_start(&check, on_check));
    assert_ok(loop_check_start(&check, on_check));
    assert_int_equal(loop_check_start(&check, NULL), LOOP_EINVAL);
    (void)loop_run(loop, LOOP_RUN_NOWAIT);
    assert_string_equal(trace, "check ");
    assert_ok(loop_check_stop(&check));
    assert_ok(loop_check_stop(&check));
    support_finish(loop);
}

static void unreferenced_handles_do_not_keep_the_loop_alive(void **state)
{
    (void)state;
    begin();
    assert_false(loop_alive(loop));
    assert_ok(loop_timer_start(&timer, on_timer, LOOP_SEC(3600), 0));
    assert_true(loop_alive(loop));
    assert_ok(loop_handle_unref(&timer.handle));
    assert_ok(loop_handle_unref(&timer.handle));
    assert_false(loop_handle_has_ref(&timer.handle));
    assert_false(loop_alive(loop));
    assert_ok(loop_run(loop, LOOP_RUN_DEFAULT));
    assert_ok(loop_handle_ref(&timer.handle));
    assert_true(loop_alive(loop));
    assert_ok(loop_timer_stop(&timer));
    assert_false(loop_alive(loop));
    support_finish(loop);
}

static int results[3];

static void call_forbidden(loop_timer_t *t)
{
    (void)t;
    results[0] = loop_run(loop, LOOP_RUN_DEFAULT);
    results[1] = loop_close(loop);
}

static void run_and_close_are_refused_inside_callbacks(void **state)
{
    (void)state;
    begin();
    assert_ok(loop_timer_start(&timer, call_forbidden, 0, 0));
    assert_ok(loop_run(loop, LOOP_RUN_DEFAULT));
    assert_int_equal(results[0], LOOP_EBUSY);
    assert_int_equal(results[1], LOOP_EBUSY);
    support_finish(loop);
}

static void a_loop_with_handles_is_not_closed(void **state)
{
    (void)state;
    begin();
    assert_int_equal(loop_close(loop), LOOP_EBUSY);
    assert_ok(loop_timer_start(&timer, on_timer, 0, 0)); /* and works on */
    assert_ok(loop_run(loop, LOOP_RUN_DEFAULT));
    assert_string_equal(trace, "timer ");
    support_finish(loop);
}

static void try_everything(loop_task_t *t, int status)
{
    loop_timer_t late;
    loop_signal_t late_signal;
    loop_poll_t late_poll;
    loop_task_t other = {0};

    (void)t;
    assert_int_equal(status, LOOP_ECANCELED);
    results[0] = loop_timer_init(loop, &late);
    assert_int_equal(loop_signal_init(loop, &late_signal), LOOP_ECLOSED);
    assert_int_equal(loop_poll_init(loop, &late_poll, 0), LOOP_ECLOSED);
    results[1] = loop_post(loop, &other, on_task);
    results[2] = loop_run(loop, LOOP_RUN_NOWAIT);
}

static void closing_a_loop_cancels_its_tasks_once_and_refuses_new_ones(void **state)
{
    (void)state;
    loop = support_loop();
    trace[0] = '\0';
    memset(&task, 0, sizeof(task));
    assert_ok(loop_post(loop, &task, try_everything));
    assert_int_equal(loop_post(loop, &task, on_task), LOOP_EBUSY);
    assert_ok(loop_close(loop));
    assert_int_equal(results[0], LOOP_ECLOSED);
    assert_int_equal(results[1], LOOP_ECLOSED);
    assert_int_equal(results[2], LOOP_EBUSY);
    assert_string_equal(trace, "");
}

static int walked;

static void close_walked(loop_handle_t *handle, void *arg)
{
    assert_ptr_equal(arg, &walked);
    assert_ptr_equal(loop_handle_get_loop(handle), loop);
    walked++;
    assert_ok(loop_handle_close(handle, NULL));
}

static void walk_visits_every_handle_and_may_close_them(void **state)
{
    (void)state;
    begin();
    walked = 0;
    assert_ok(loop_walk(loop, close_walked, &walked));
    assert_int_equal(walked, 5);
    assert_ok(loop_run(loop, LOOP_RUN_DEFAULT));
    assert_ok(loop_walk(loop, close_walked, &walked));
    assert_int_equal(walked, 5);
    assert_ok(loop_close(loop));
}

static void double_close_and_use_after_close_are_refused(void **state)
{
    (void)state;
    begin();
    assert_int_equal(loop_handle_get_type(&idle.handle), LOOP_IDLE);
    assert_ok(loop_handle_close(&idle.handle, on_closed));
    assert_true(loop_handle_is_closing(&idle.handle));
    assert_int_equal(loop_handle_close(&idle.handle, on_closed), LOOP_EBADF);
    assert_int_equal(loop_idle_start(&idle, on_idle), LOOP_EBADF);
    assert_int_equal(loop_idle_stop(&idle), LOOP_EBADF);
    assert_ok(loop_handle_close(&check.handle, NULL));
    assert_int_equal(loop_check_stop(&check), LOOP_EBADF);
    assert_ok(loop_handle_close(&prepare.handle, NULL));
    assert_int_equal(loop_prepare_stop(&prepare), LOOP_EBADF);
    assert_int_equal(loop_prepare_start(&prepare, on_prepare), LOOP_EBADF);
    (void)loop_run(loop, LOOP_RUN_DEFAULT);
    assert_string_equal(trace, "close ");
    assert_int_equal(loop_handle_close(&idle.handle, on_closed), LOOP_EBADF);
    assert_int_equal(loop_handle_get_type(&idle.handle), LOOP_UNKNOWN_HANDLE);
    assert_int_equal(loop_handle_ref(&idle.handle), LOOP_EBADF);
    assert_int_equal(loop_handle_unref(&idle.handle), LOOP_EBADF);
    assert_null(loop_handle_get_loop(&idle.handle));
    support_finish(loop);
}

static void close_more(loop_handle_t *handle)
{
    (void)handle;
    note("close ");
    assert_ok(loop_handle_close(&check.handle, on_closed));
}

static void a_close_callback_may_close_others(void **state)
{
    (void)state;
    begin();
    assert_ok(loop_handle_close(&idle.handle, close_more));
    (void)loop_run(loop, LOOP_RUN_NOWAIT);
    assert_string_equal(trace, "close ");
    (void)loop_run(loop, LOOP_RUN_NOWAIT);
    assert_string_equal(trace, "close close ");
    support_finish(loop);
}

static void wrong_arguments_are_refused(void **state)
{
    loop_options_t options = LOOP_OPTIONS_INIT;
    loop_allocator_t none = {NULL, NULL};
    loop_t *other = NULL;

    (void)state;
    begin();
    assert_int_equal(loop_init(NULL, NULL), LOOP_EINVAL);
    options.flags = 1u << 31;
    assert_int_equal(loop_init(&other, &options), LOOP_EINVAL);
    options.flags = 0;
    options.size = 1;
    assert_int_equal(loop_init(&other, &options), LOOP_EINVAL);
    options.size = sizeof(options);
    options.allocator = &none;
    assert_int_equal(loop_init(&other, &options), LOOP_EINVAL);
    assert_null(other);
    assert_int_equal(loop_close(NULL), LOOP_EINVAL);
    assert_int_equal(loop_run(NULL, LOOP_RUN_ONCE), LOOP_EINVAL);
    assert_int_equal(loop_run(loop, (loop_run_mode)9), LOOP_EINVAL);
    assert_int_equal(loop_stop(NULL), LOOP_EINVAL);
    assert_int_equal(loop_alive(NULL), 0);
    assert_int_equal(loop_now(NULL), 0);
    assert_int_equal(loop_update_time(NULL), LOOP_EINVAL);
    assert_int_equal(loop_walk(loop, NULL, NULL), LOOP_EINVAL);
    assert_int_equal(loop_walk(NULL, close_walked, NULL), LOOP_EINVAL);
    assert_null(loop_get_data(NULL));
    loop_set_data(NULL, NULL);
    assert_int_equal(loop_handle_close(NULL, NULL), LOOP_EINVAL);
    assert_int_equal(loop_handle_ref(NULL), LOOP_EINVAL);
    assert_int_equal(loop_handle_unref(NULL), LOOP_EINVAL);
    assert_int_equal(loop_handle_has_ref(NULL), 0);
    assert_int_equal(loop_handle_is_active(NULL), 0);
    assert_int_equal(loop_handle_is_closing(NULL), 0);
    assert_int_equal(loop_handle_get_type(NULL), LOOP_UNKNOWN_HANDLE);
    assert_null(loop_handle_get_loop(NULL));
    assert_int_equal(loop_prepare_init(NULL, &prepare), LOOP_EINVAL);
    assert_int_equal(loop_check_init(loop, NULL), LOOP_EINVAL);
    assert_int_equal(loop_idle_init(NULL, NULL), LOOP_EINVAL);
    assert_int_equal(loop_prepare_start(NULL, on_prepare), LOOP_EINVAL);
    assert_int_equal(loop_check_start(NULL, on_check), LOOP_EINVAL);
    assert_int_equal(loop_idle_start(&idle, NULL), LOOP_EINVAL);
    assert_int_equal(loop_prepare_start(&prepare, NULL), LOOP_EINVAL);
    assert_int_equal(loop_prepare_stop(NULL), LOOP_EINVAL);
    assert_int_equal(loop_post(NULL, &task, on_task), LOOP_EINVAL);
    assert_int_equal(loop_post(loop, NULL, on_task), LOOP_EINVAL);
    assert_int_equal(loop_post(loop, &task, NULL), LOOP_EINVAL);
    assert_int_equal(loop_prepare_stop((loop_prepare_t *)&timer), LOOP_EBADF); /* of another type */
    support_finish(loop);
}

static void options_set_data_and_allocator(void **state)
{
    struct support_allocator counts = {0};
    loop_allocator_t allocator = support_allocator(&counts);
    loop_options_t options = LOOP_OPTIONS_INIT;
    int data;

    (void)state;
    options.allocator = &allocator;
    options.data = &data;
    assert_ok(loop_init(&loop, &options));
    assert_ptr_equal(loop_get_data(loop), &data);
    loop_set_data(loop, NULL);
    assert_null(loop_get_data(loop));
    assert_true(counts.live > 0);
    assert_ok(loop_timer_init(loop, &timer));
    assert_ok(loop_timer_start(&timer, on_timer, 0, 0));
    support_finish(loop);
    assert_int_equal(counts.live, 0);
}

static void time_is_kept_within_a_turn_and_read_anew_on_demand(void **state)
{
    uint64_t before;

    (void)state;
    loop = support_loop();
    before = loop_now(loop);
    assert_int_equal(loop_now(loop), before);
    do
        assert_ok(loop_update_time(loop));
    while (loop_now(loop) == before);
    assert_true(loop_now(loop) > before);
    support_finish(loop);
}

LOOP_TEST_MAIN(TEST(a_turn_has_its_phases_in_the_promised_order),
               TEST(run_until_done_runs_due_timers_before_its_first_turn),
               TEST(stop_before_run_makes_it_return_before_its_first_turn),
               TEST(an_idle_handle_keeps_the_wait_from_blocking), TEST(run_once_waits_for_the_timer),
               TEST(what_starts_in_its_own_phase_runs_from_the_next_turn_on),
               TEST(a_phase_callback_may_close_itself_and_those_after_it),
               TEST(starting_twice_keeps_the_first_callback), TEST(unreferenced_handles_do_not_keep_the_loop_alive),
               TEST(run_and_close_are_refused_inside_callbacks), TEST(a_loop_with_handles_is_not_closed),
               TEST(closing_a_loop_cancels_its_tasks_once_and_refuses_new_ones),
               TEST(walk_visits_every_handle_and_may_close_them), TEST(double_close_and_use_after_close_are_refused),
               TEST(a_close_callback_may_close_others), TEST(wrong_arguments_are_refused),
               TEST(options_set_data_and_allocator), TEST(time_is_kept_within_a_turn_and_read_anew_on_demand))
