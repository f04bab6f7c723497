/* loop_shutdown: the end of a loop that others have filled, and the names of what does not end. */
#include "internal.h"

#include "op_fixture.h"
#include "work_fixture.h"

static char named[1024];
static int names;

static void name(loop_handle_t *handle, loop_op_t *op, const char *what, const char *why, void *arg)
{
    size_t used = strlen(named);

    assert_ptr_equal(arg, &names);
    assert_true(why[0] != '\0');
    if (op != NULL)
        assert_ptr_equal(loop_op_get_handle(op), handle);
    else if (handle != NULL)
        assert_string_equal(loop_handle_type_name(loop_handle_get_type(handle)), what);
    (void)snprintf(named + used, sizeof(named) - used, "%s: %s\n", what, why);
    names++;
}

static int shut_down(uint64_t timeout)
{
    named[0] = '\0';
    names = 0;
    return loop_shutdown(loop, timeout, name, &names);
}

static int closed;

static void on_closed(loop_handle_t *handle)
{
    (void)handle;
    closed++;
}

static void on_tick(loop_timer_t *timer)
{
    (void)timer;
}

static void on_phase(loop_prepare_t *prepare)
{
    (void)prepare;
}

static void on_idle(loop_idle_t *idle)
{
    (void)idle;
}

static void on_check(loop_check_t *check)
{
    (void)check;
}

static void on_async(loop_async_t *async)
{
    (void)async;
}

static void on_connection(loop_tcp_t *server, int status)
{
    (void)server;
    assert_ok(status);
}

static void on_read(loop_tcp_t *tcp, ptrdiff_t nread, const loop_buf_t *buf)
{
    (void)tcp;
    (void)nread;
    (void)buf;
}

static void an_empty_loop_is_shut_down_at_once(void **state)
{
    (void)state;
    begin();
    assert_ok(shut_down(0));
    assert_ok(shut_down(UINT64_MAX));
    assert_int_equal(names, 0);
    assert_ok(loop_close(loop));
}

static void everything_is_closed_cancelled_and_run(void **state)
{
    static char big[1 << 20];
    struct {
        loop_timer_t timer;
        loop_prepare_t prepare;
        loop_check_t check;
        loop_idle_t idle;
        loop_async_t async;
        loop_tcp_t server;
        loop_tcp_t one;
        loop_tcp_t other;
        loop_op_t ops[4];
    } h;
    char text[8];
    loop_buf_t in = buf_of(text, sizeof(text));

    (void)state;
    memset(&h, 0, sizeof(h));
    begin_with(SOCK_STREAM);
    assert_ok(loop_timer_init(loop, &h.timer) | loop_timer_start(&h.timer, on_tick, LOOP_SEC(3600), 0));
    assert_ok(loop_prepare_init(loop, &h.prepare) | loop_prepare_start(&h.prepare, on_phase));
    assert_ok(loop_check_init(loop, &h.check) | loop_check_start(&h.check, on_check));
    assert_ok(loop_idle_init(loop, &h.idle) | loop_idle_start(&h.idle, on_idle));
    assert_ok(loop_async_init(loop, &h.async, on_async) | loop_async_send(&h.async));
    (void)support_listen(loop, &h.server, on_connection);
    support_tcp_pair(loop, &h.one, &h.other);
    assert_ok(loop_tcp_read_start(&h.one, NULL, on_read));
    assert_ok(loop_tcp_write(&h.other, &h.ops[0], &(loop_buf_t){big, sizeof(big)}, 1, note));
    assert_ok(loop_op_read(&left, &h.ops[1], &in, 1, note));
    assert_ok(loop_op_read(&left, &h.ops[2], &in, 1, note));
    assert_ok(loop_op_write(&left, &h.ops[3], &(loop_buf_t){"x", 1}, 1, note)); /* finished already */
    assert_ok(loop_handle_unref(&h.server.handle));
    assert_ok(shut_down(LOOP_SEC(10)));
    assert_int_equal(names, 0);
    assert_int_equal(completions, 4);
    assert_int_equal(h.ops[1].status, LOOP_ECANCELED);
    assert_int_equal(h.ops[3].status, 0);
    assert_ok(loop_close(loop));
}

static void one_turn_is_made_even_without_time(void **state)
{
    char text[8];
    loop_buf_t in = buf_of(text, sizeof(text));
    loop_op_t op = {0};

    (void)state;
    begin_with(SOCK_STREAM);
    assert_ok(loop_op_read(&left, &op, &in, 1, note));
    assert_ok(shut_down(0));
    assert_int_equal(completions, 1);
    assert_ok(loop_close(loop));
}

static void handles_closed_before_keep_their_close_callback(void **state)
{
    (void)state;
    begin_with(SOCK_STREAM);
    closed = 0;
    assert_ok(loop_handle_close(&left.handle, on_closed));
    assert_ok(shut_down(LOOP_SEC(10)));
    assert_int_equal(closed, 1);
    assert_ok(loop_close(loop));
}

static loop_timer_t chain[8];
static int chained;

static void open_next(loop_op_t *op)
{
    note(op);
    assert_ok(loop_timer_init(loop, &chain[chained]));
    assert_ok(loop_timer_start(&chain[chained], on_tick, LOOP_SEC(3600), 0));
    chained++;
}

static loop_task_t opening_task;

static void open_in_task(loop_task_t *task, int status)
{
    assert_ok(status);
    if (chained < 5) {
        assert_ok(loop_timer_init(loop, &chain[chained]));
        assert_ok(loop_timer_start(&chain[chained], on_tick, LOOP_SEC(3600), 0));
        chained++;
        assert_ok(loop_post(loop, task, open_in_task));
    }
}

static void what_callbacks_open_meanwhile_is_closed_too(void **state)
{
    char text[8];
    loop_buf_t in = buf_of(text, sizeof(text));
    loop_op_t op = {0};

    (void)state;
    begin_with(SOCK_STREAM);
    chained = 0;
    memset(&opening_task, 0, sizeof(opening_task));
    assert_ok(loop_op_read(&left, &op, &in, 1, open_next));
    assert_ok(loop_post(loop, &opening_task, open_in_task));
    assert_ok(shut_down(LOOP_SEC(10)));
    assert_int_equal(chained, 5);
    assert_ok(loop_close(loop));
}

/* --------------------------------------------------------------------------------------------------------- stragglers -- */

static loop_timer_t endless;

static void open_again(loop_handle_t *handle)
{
    (void)handle;
    assert_ok(loop_timer_init(loop, &endless));
    assert_ok(loop_handle_close(&endless.handle, closed < 0 ? NULL : open_again));
}

static void a_handle_that_comes_back_again_and_again_is_named(void **state)
{
    (void)state;
    begin();
    closed = 0;
    assert_ok(loop_timer_init(loop, &endless));
    assert_ok(loop_handle_close(&endless.handle, open_again));
    assert_int_equal(shut_down(LOOP_MS(10)), LOOP_ETIMEDOUT);
    assert_string_equal(named, "timer: closing, its close callback has not been called\n");
    assert_int_equal(loop_shutdown(loop, 0, NULL, NULL), LOOP_ETIMEDOUT); /* nobody wants to know */
    closed = -1;
    assert_ok(shut_down(LOOP_SEC(10))); /* it can be repeated */
    assert_ok(loop_close(loop));
}

static loop_op_t stubborn;
static bool give_up;

static void submit_again(loop_op_t *op)
{
    note(op);
    if (!give_up && op->status == 0)
        assert_ok(loop_op_write(&left, op, &(loop_buf_t){"x", 1}, 1, submit_again));
}

static void never_come_back(loop_t *l, struct op *op)
{
    (void)l;
    (void)op;
}

/* A backend from which an operation does not come back: cancelling is a wish. */
static void an_operation_that_the_system_keeps_is_named_and_waited_for(void **state)
{
    struct loop_backend slow = loop__backend;
    char text[8];
    loop_buf_t in = buf_of(text, sizeof(text));
    loop_op_t op = {0};
    uint64_t before;
    loop_metrics_t metrics = {.size = sizeof(metrics)};
    loop_os_fd_t fds[2];

    (void)state;
    begin();
    assert_ok(support_local_pair(fds));
    assert_ok(loop_desc_attach(loop, &left, fds[0], 0)); /* not to be closed, which might end it, too */
    assert_ok(loop_op_read(&left, &op, &in, 1, note));
    slow.cancel = never_come_back;
    loop->backend = &slow;
    assert_ok(loop_update_time(loop));
    before = loop_now(loop);
    assert_int_equal(shut_down(LOOP_MS(20)), LOOP_ETIMEDOUT);
    assert_string_equal(named, "desc: closing, waits for its operations\nread: the system has not given it back\n");
    assert_ok(loop_update_time(loop));
    assert_true(loop_now(loop) - before >= LOOP_MS(20));
    assert_ok(loop_metrics(loop, &metrics));
    assert_true(metrics.turns < 20); /* it slept */
    assert_int_equal(loop_close(loop), LOOP_EBUSY);
    ((struct desc *)&left)->os.fd = fds[0]; /* as it was when the end was asked for: there it comes */
    loop__backend.cancel(loop, (struct op *)&op);
    ((struct desc *)&left)->os.fd = LOOP_INVALID_FD;
    assert_ok(shut_down(LOOP_SEC(10)));
    assert_int_equal(op.status, LOOP_ECANCELED);
    assert_ok(loop_close(loop));
    support_close(fds[0]);
    support_close(fds[1]);
}

static loop_desc_t late_desc;
static loop_os_fd_t late_fds[2];

static void submit_late(loop_task_t *task, int status)
{
    assert_ok(status);
    assert_ok(support_local_pair(late_fds));
    assert_ok(loop_desc_attach(loop, &late_desc, late_fds[0], LOOP_DESC_OWNED));
    assert_ok(loop_op_write(&late_desc, task->data, &(loop_buf_t){"x", 1}, 1, note));
}

static void an_operation_whose_turn_has_not_come_is_named(void **state)
{
    loop_op_t op = {0};
    loop_task_t task = {0};

    (void)state;
    begin();
    task.data = &op;
    assert_ok(loop_post(loop, &task, submit_late));
    assert_int_equal(shut_down(0), LOOP_ETIMEDOUT);
    assert_string_equal(named, "desc: closing, waits for its operations\n"
                               "write: finished, its callback has not been called\n");
    assert_ok(shut_down(0));
    assert_int_equal(completions, 1);
    assert_ok(loop_close(loop));
    support_close(late_fds[1]);
}

static loop_task_t endless_task;

static void post_again(loop_task_t *task, int status)
{
    if (status == 0)
        assert_ok(loop_post(loop, task, post_again));
}

static void a_task_that_posts_itself_is_named(void **state)
{
    (void)state;
    begin();
    memset(&endless_task, 0, sizeof(endless_task));
    assert_ok(loop_post(loop, &endless_task, post_again));
    assert_int_equal(shut_down(LOOP_MS(5)), LOOP_ETIMEDOUT);
    assert_string_equal(named, "task: posted, and not run yet\n");
    assert_ok(loop_close(loop)); /* which cancels it */
}

static void a_sender_in_the_middle_of_its_call_is_named(void **state)
{
    loop_async_t async;

    (void)state;
    begin();
    assert_ok(loop_async_init(loop, &async, on_async));
    atomic_fetch_or(&((struct async *)&async)->state, ASYNC_QUEUED); /* as by a thread that stopped there */
    assert_int_equal(shut_down(LOOP_MS(5)), LOOP_ETIMEDOUT);
    assert_string_equal(named, "async: closing, a thread is inside loop_async_send()\n");
    assert_ok(loop__post(loop, &((struct async *)&async)->node)); /* it goes on */
    assert_ok(shut_down(LOOP_SEC(10)));
    assert_ok(loop_close(loop));
}

static void an_operation_submitted_again_by_its_callback_ends_with_its_handle(void **state)
{
    (void)state;
    begin_with(SOCK_STREAM);
    give_up = false;
    memset(&stubborn, 0, sizeof(stubborn));
    assert_ok(loop_op_write(&left, &stubborn, &(loop_buf_t){"x", 1}, 1, submit_again));
    assert_int_equal(loop_run(loop, LOOP_RUN_NOWAIT), 1);
    give_up = true; /* on a closing handle it would be refused */
    assert_ok(shut_down(LOOP_SEC(10)));
    assert_ok(loop_close(loop));
}

/* ------------------------------------------------------------------------------------------------------------ refused -- */

static int refused[2];

static void shut_down_inside(loop_timer_t *timer)
{
    (void)timer;
    refused[0] = loop_shutdown(loop, 0, NULL, NULL);
}

static void shut_down_walking(loop_handle_t *handle, void *arg)
{
    (void)handle;
    (void)arg;
    refused[1] = loop_shutdown(loop, 0, NULL, NULL);
}

static void shutdown_is_refused_inside_callbacks(void **state)
{
    loop_timer_t timer;

    (void)state;
    begin();
    refused[0] = refused[1] = 0;
    assert_ok(loop_timer_init(loop, &timer));
    assert_ok(loop_timer_start(&timer, shut_down_inside, 0, 0));
    assert_ok(loop_run(loop, LOOP_RUN_DEFAULT));
    assert_int_equal(refused[0], LOOP_EBUSY);
    assert_ok(loop_walk(loop, shut_down_walking, NULL));
    assert_int_equal(refused[1], LOOP_EBUSY);
    assert_int_equal(loop_shutdown(NULL, 0, NULL, NULL), LOOP_EINVAL);
    assert_ok(shut_down(0));
    assert_ok(loop_close(loop));
}

static void a_stop_does_not_keep_a_loop_from_shutting_down(void **state)
{
    (void)state;
    begin_with(SOCK_STREAM);
    assert_ok(loop_stop(loop));
    assert_ok(shut_down(LOOP_SEC(10)));
    assert_ok(loop_close(loop));
}

static void work_is_cancelled_and_what_runs_is_named(void **state)
{
    struct gate gate;
    struct item running;
    struct item queued;
    loop_pool_t *pool = pool_of(1, 0);

    (void)state;
    begin();
    gate_init(&gate);
    assert_ok(loop_set_pool(loop, pool));
    assert_ok(item_submit(loop, &running, LOOP_LANE_DEFAULT, &gate));
    gate_await(&gate, 1);
    assert_ok(item_submit(loop, &queued, LOOP_LANE_DEFAULT, &gate));
    assert_int_equal(shut_down(LOOP_MS(5)), LOOP_ETIMEDOUT);
    assert_int_equal(names, 1);
    assert_string_equal(named, "work: a thread of the pool has it\n");
    item_expect(&queued, 0, LOOP_ECANCELED);
    gate_open(&gate);
    assert_int_equal(shut_down(LOOP_SEC(60)), 0);
    item_expect(&running, 1, 0);
    assert_ok(loop_close(loop));
    assert_ok(loop_pool_destroy(pool));
    gate_destroy(&gate);
}

LOOP_TEST_MAIN(TEST(work_is_cancelled_and_what_runs_is_named), TEST(an_empty_loop_is_shut_down_at_once),
               TEST(everything_is_closed_cancelled_and_run), TEST(one_turn_is_made_even_without_time),
               TEST(handles_closed_before_keep_their_close_callback), TEST(what_callbacks_open_meanwhile_is_closed_too),
               TEST(a_handle_that_comes_back_again_and_again_is_named),
               TEST(an_operation_that_the_system_keeps_is_named_and_waited_for),
               TEST(an_operation_whose_turn_has_not_come_is_named), TEST(a_task_that_posts_itself_is_named),
               TEST(a_sender_in_the_middle_of_its_call_is_named),
               TEST(an_operation_submitted_again_by_its_callback_ends_with_its_handle),
               TEST(shutdown_is_refused_inside_callbacks), TEST(a_stop_does_not_keep_a_loop_from_shutting_down))
