/* loop_wait: operations without a callback, handed out by the batch; and a loop that goes from thread to thread. */
#include "op_fixture.h"

#include <pthread.h>

static char text[64];
static loop_op_t ops[8];
static loop_op_t *got[8];
static char trace[128];

static void begin_wait(void)
{
    begin_with(SOCK_STREAM);
    memset(ops, 0, sizeof(ops));
    trace[0] = '\0';
}

static void note_event(const char *what)
{
    (void)strncat(trace, what, sizeof(trace) - strlen(trace) - 1);
}

static void read_without_callback(loop_desc_t *desc, loop_op_t *op)
{
    loop_buf_t in = buf_of(text, sizeof(text));

    assert_ok(loop_op_read(desc, op, &in, 1, NULL));
}

static void write_without_callback(loop_desc_t *desc, loop_op_t *op, size_t length)
{
    loop_buf_t out = buf_of(text, length);

    assert_ok(loop_op_write(desc, op, &out, 1, NULL));
}

static void finished_operations_come_in_the_order_they_finished(void **state)
{
    int n = 0;

    (void)state;
    begin_wait();
    read_without_callback(&left, &ops[0]);
    write_without_callback(&right, &ops[1], 5);
    write_without_callback(&left, &ops[2], 6);
    read_without_callback(&right, &ops[3]);
    while (n < 4)
        n += loop_wait(loop, got + n, 8 - n, LOOP_FOREVER);
    assert_ptr_equal(got[0], &ops[1]); /* done when they were submitted */
    assert_ptr_equal(got[1], &ops[2]);
    assert_int_equal(ops[0].bytes, 5);
    assert_int_equal(ops[3].bytes, 6);
    assert_int_equal(loop_alive(loop), 0);
    support_finish(loop);
}

static void what_does_not_fit_comes_with_the_next_call(void **state)
{
    (void)state;
    begin_wait();
    for (int i = 0; i < 5; i++)
        write_without_callback(&left, &ops[i], 1);
    assert_int_equal(loop_wait(loop, got, 2, 0), 2);
    assert_int_equal(loop_wait(loop, got + 2, 2, 0), 2);
    assert_int_equal(loop_wait(loop, got + 4, 2, 0), 1);
    for (int i = 0; i < 5; i++)
        assert_ptr_equal(got[i], &ops[i]);
    assert_int_equal(loop_wait(loop, got, 8, 0), 0);
    support_finish(loop);
}

static void the_time_ends_a_wait_and_never_early(void **state)
{
    uint64_t start;

    (void)state;
    begin_wait();
    read_without_callback(&left, &ops[0]);
    start = loop_now(loop);
    assert_int_equal(loop_wait(loop, got, 8, LOOP_MS(3)), 0);
    assert_ok(loop_update_time(loop));
    assert_true(loop_now(loop) - start >= LOOP_MS(3));
    assert_int_equal(loop_wait(loop, got, 8, 0), 0); /* no time at all */
    support_finish(loop);
}

static void on_timer(loop_timer_t *timer)
{
    (void)timer;
    note_event("timer ");
}

static void on_task(loop_task_t *task, int status)
{
    (void)task;
    assert_ok(status);
    note_event("task ");
}

static void on_close(loop_handle_t *handle)
{
    (void)handle;
    note_event("close ");
}

static void note_end(loop_op_t *op)
{
    note(op);
    note_event("op ");
}

static void callbacks_run_inside_and_a_timer_ends_the_wait(void **state)
{
    loop_timer_t timer;
    loop_task_t task = {0};
    loop_buf_t in = buf_of(text, sizeof(text));

    (void)state;
    begin_wait();
    assert_ok(loop_timer_init(loop, &timer));
    assert_ok(loop_timer_start(&timer, on_timer, LOOP_MS(2), 0));
    read_without_callback(&left, &ops[0]);
    assert_int_equal(loop_wait(loop, got, 8, LOOP_FOREVER), 0);
    assert_string_equal(trace, "timer ");
    assert_ok(loop_post(loop, &task, on_task));
    assert_int_equal(loop_wait(loop, got, 8, LOOP_FOREVER), 0);
    assert_string_equal(trace, "timer task ");
    /* An operation with a callback is not handed out. */
    assert_ok(loop_op_read(&right, &ops[1], &in, 1, note_end));
    write_without_callback(&left, &ops[2], 1);
    assert_int_equal(loop_wait(loop, got, 8, LOOP_FOREVER), 1);
    while (completions == 0)
        assert_int_equal(loop_wait(loop, got + 1, 7, LOOP_FOREVER), 0);
    assert_ptr_equal(got[0], &ops[2]);
    assert_string_equal(trace, "timer task op ");
    support_finish(loop);
}

static void what_calls_back_before_the_wait_ends_it(void **state)
{
    loop_buf_t out = buf_of(text, 4);

    (void)state;
    begin_wait();
    read_without_callback(&left, &ops[0]); /* keeps the loop alive */
    assert_int_equal(loop_wait(loop, got, 8, 0), 0);
    assert_ok(loop_op_write(&left, &ops[1], &out, 1, note)); /* done at once */
    assert_int_equal(loop_wait(loop, got, 8, LOOP_FOREVER), 0);
    assert_int_equal(completions, 1);
    support_finish(loop);
}

static void a_deadline_ends_a_wait_with_its_operation(void **state)
{
    (void)state;
    begin_wait();
    read_without_callback(&left, &ops[0]);
    assert_ok(loop_op_set_deadline(&ops[0], loop_now(loop) + LOOP_MS(2)));
    assert_int_equal(loop_wait(loop, got, 8, LOOP_FOREVER), 1);
    assert_int_equal(got[0]->status, LOOP_ETIMEDOUT);
    support_finish(loop);
}

static void a_close_callback_comes_after_the_caller_has_the_operations(void **state)
{
    (void)state;
    begin_wait();
    read_without_callback(&left, &ops[0]);
    read_without_callback(&left, &ops[1]);
    assert_ok(loop_handle_close(&left.handle, on_close));
    assert_int_equal(loop_wait(loop, got, 1, LOOP_FOREVER), 1);
    assert_int_equal(got[0]->status, LOOP_ECANCELED);
    assert_string_equal(trace, "");
    assert_int_equal(loop_wait(loop, got, 1, LOOP_FOREVER), 1);
    assert_string_equal(trace, "");
    assert_int_equal(loop_wait(loop, got, 1, LOOP_FOREVER), 0);
    assert_string_equal(trace, "close ");
    support_finish(loop);
}

static void run_says_that_operations_wait_to_be_handed_out(void **state)
{
    static const loop_run_mode modes[] = {LOOP_RUN_DEFAULT, LOOP_RUN_ONCE, LOOP_RUN_NOWAIT};

    (void)state;
    begin_wait();
    for (int i = 0; i < 3; i++) {
        write_without_callback(&left, &ops[0], 1);
        assert_int_equal(loop_run(loop, modes[i]), LOOP_EAGAIN);
        assert_int_equal(loop_close(loop), LOOP_EBUSY);
        assert_int_equal(loop_wait(loop, got, 8, LOOP_FOREVER), 1);
    }
    read_without_callback(&left, &ops[0]);
    write_without_callback(&right, &ops[1], 1);
    assert_int_equal(loop_run(loop, LOOP_RUN_DEFAULT), LOOP_EAGAIN); /* also when it happens on the way */
    support_finish(loop);
}

static void stop_keeps_the_next_wait_from_waiting(void **state)
{
    (void)state;
    begin_wait();
    read_without_callback(&left, &ops[0]);
    assert_ok(loop_stop(loop));
    assert_int_equal(loop_wait(loop, got, 8, LOOP_FOREVER), 0);
    write_without_callback(&right, &ops[1], 1);
    assert_true(loop_wait(loop, got, 8, LOOP_FOREVER) >= 1); /* it was for one call */
    support_finish(loop);
}

static loop_tcp_t server;
static loop_tcp_t client;
static loop_tcp_t taken;

static void take(loop_tcp_t *s, int status)
{
    assert_ok(status);
    assert_ok(loop_tcp_init(loop, &taken));
    assert_ok(loop_tcp_accept(s, &taken));
}

static void operations_of_tcp_handles_are_handed_out_too(void **state)
{
    struct sockaddr_storage addr;
    loop_buf_t out = buf_of(text, 3);
    int n = 0;

    (void)state;
    begin();
    memset(ops, 0, sizeof(ops));
    addr = support_listen(loop, &server, take);
    assert_ok(loop_tcp_init(loop, &client));
    assert_ok(loop_tcp_connect(&client, &ops[0], (struct sockaddr *)&addr, NULL));
    assert_ok(loop_tcp_write(&client, &ops[1], &out, 1, NULL));
    assert_ok(loop_tcp_shutdown(&client, &ops[2], NULL));
    while (n < 3) {
        int more = loop_wait(loop, got + n, 8 - n, LOOP_FOREVER);

        assert_true(more >= 0);
        n += more;
    }
    for (int i = 0; i < 3; i++) {
        assert_ptr_equal(got[i], &ops[i]);
        assert_ok(ops[i].status);
    }
    assert_true(loop_tcp_is_readable(&client));
    support_finish(loop);
}

static void wait_in_callback(loop_op_t *op)
{
    note(op);
    assert_int_equal(loop_wait(loop, got, 8, 0), LOOP_EBUSY);
}

static void wrong_use_is_refused(void **state)
{
    loop_buf_t out = buf_of(text, 1);

    (void)state;
    begin_wait();
    assert_int_equal(loop_wait(NULL, got, 8, 0), LOOP_EINVAL);
    assert_int_equal(loop_wait(loop, NULL, 8, 0), LOOP_EINVAL);
    assert_int_equal(loop_wait(loop, got, 0, 0), LOOP_EINVAL);
    assert_ok(loop_op_write(&left, &ops[0], &out, 1, wait_in_callback));
    run_until(1);
    support_finish(loop);
}

/* ------------------------------------------------------------------------------------------------- streams of results -- */

static int results;
static int finals;
static int stop_after;

static struct sockaddr_storage listening(loop_desc_t *desc)
{
    struct sockaddr_storage addr = support_loopback();
    loop_os_fd_t fd = support_socket(0);

    assert_ok(support_listen_at(fd, &addr, 64));
    assert_ok(loop_desc_attach(loop, desc, fd, LOOP_DESC_OWNED));
    results = 0;
    finals = 0;
    stop_after = 0;
    return addr;
}

static loop_os_fd_t dial(const struct sockaddr_storage *addr)
{
    loop_os_fd_t fd = support_socket(0);

    assert_ok(support_connect(fd, addr));
    return fd;
}

static void count_connection(loop_op_t *op)
{
    assert_int_equal(finals, 0); /* nothing after the final one */
    if (op->flags & LOOP_OP_MORE) {
        assert_ok(op->status);
        support_close(op->fd);
        if (++results == stop_after)
            assert_ok(loop_op_cancel(op));
    } else {
        assert_true(op->fd == LOOP_INVALID_FD);
        finals++;
        note(op);
    }
}

static void a_stream_of_connections_ends_once_when_it_is_cancelled(void **state)
{
    struct sockaddr_storage addr;
    loop_os_fd_t clients[8];

    (void)state;
    begin();
    memset(ops, 0, sizeof(ops));
    addr = listening(&left);
    assert_ok(loop_op_accept_stream(&left, &ops[0], count_connection));
    for (int i = 0; i < 8; i++)
        clients[i] = dial(&addr);
    while (results < 8)
        assert_true(loop_run(loop, LOOP_RUN_ONCE) >= 0);
    assert_int_equal(loop_op_accept(&left, &ops[0], note), LOOP_EBUSY);
    assert_ok(loop_op_cancel(&ops[0]));
    assert_ok(loop_op_cancel(&ops[0]));
    assert_int_equal(finals, 0);
    run_until(1);
    assert_int_equal(ops[0].status, LOOP_ECANCELED);
    assert_int_equal(loop_op_cancel(&ops[0]), LOOP_ENOENT);
    for (int i = 0; i < 8; i++)
        support_close(clients[i]);
    support_finish(loop);
}

static void a_stream_may_be_cancelled_in_its_callback(void **state)
{
    struct sockaddr_storage addr;
    loop_os_fd_t clients[4];

    (void)state;
    begin();
    memset(ops, 0, sizeof(ops));
    addr = listening(&left);
    stop_after = 2;
    for (int i = 0; i < 4; i++)
        clients[i] = dial(&addr);
    assert_ok(loop_op_accept_stream(&left, &ops[0], count_connection));
    run_until(1);
    assert_int_equal(results, 2);
    assert_int_equal(ops[0].status, LOOP_ECANCELED);
    for (int i = 0; i < 4; i++)
        support_close(clients[i]);
    support_finish(loop);
}

static void closing_or_a_deadline_ends_a_stream(void **state)
{
    static const int statuses[] = {LOOP_ECANCELED, LOOP_ETIMEDOUT, LOOP_ETIMEDOUT};

    (void)state;
    for (int way = 0; way < 3; way++) {
        struct sockaddr_storage addr;
        loop_os_fd_t dialled;

        begin();
        memset(ops, 0, sizeof(ops));
        addr = listening(&left);
        assert_ok(loop_op_accept_stream(&left, &ops[0], count_connection));
        dialled = dial(&addr);
        while (results < 1)
            assert_true(loop_run(loop, LOOP_RUN_ONCE) >= 0);
        if (way == 0)
            assert_ok(loop_handle_close(&left.handle, NULL));
        else if (way == 1)
            assert_ok(loop_op_set_deadline(&ops[0], loop_now(loop) + LOOP_MS(1)));
        else
            assert_ok(loop_desc_set_deadline(&left, LOOP_READABLE, loop_now(loop) + LOOP_MS(1)));
        run_until(1);
        assert_int_equal(ops[0].status, statuses[way]);
        support_close(dialled);
        support_finish(loop);
    }
}

static void a_stream_without_callback_goes_on_with_the_next_wait(void **state)
{
    struct sockaddr_storage addr;
    loop_os_fd_t clients[3];

    (void)state;
    begin();
    memset(ops, 0, sizeof(ops));
    addr = listening(&left);
    for (int i = 0; i < 3; i++)
        clients[i] = dial(&addr);
    assert_ok(loop_op_accept_stream(&left, &ops[0], NULL));
    for (int i = 0; i < 3; i++) {
        int n = 0;

        while (n == 0)
            n = loop_wait(loop, got, 8, LOOP_FOREVER);
        assert_int_equal(n, 1);
        assert_ptr_equal(got[0], &ops[0]);
        assert_true(ops[0].flags & LOOP_OP_MORE);
        support_close(ops[0].fd);
    }
    assert_ok(loop_handle_close(&left.handle, NULL)); /* while the caller still looks at the last result */
    assert_int_equal(loop_wait(loop, got, 8, LOOP_FOREVER), 1);
    assert_int_equal(ops[0].flags, 0);
    assert_int_equal(ops[0].status, LOOP_ECANCELED);
    for (int i = 0; i < 3; i++)
        support_close(clients[i]);
    support_finish(loop);
}

static char datagrams[16][8];

static void count_datagram(loop_op_t *op)
{
    if (op->flags & LOOP_OP_MORE) {
        assert_int_equal(op->bytes, 2);
        memcpy(datagrams[results++], text, 2);
    } else {
        finals++;
        note(op);
    }
}

static void a_stream_of_datagrams_brings_each_in_the_same_buffers(void **state)
{
    loop_buf_t in[10]; /* more than an operation holds by itself */
    struct sockaddr_storage from;

    (void)state;
    begin_with(SOCK_DGRAM);
    memset(ops, 0, sizeof(ops));
    results = 0;
    finals = 0;
    for (int i = 0; i < 10; i++)
        in[i] = buf_of(text + i, 1);
    assert_ok(loop_op_receive_stream(&left, &ops[0], in, 10, &from, count_datagram));
    memset(in, 0, sizeof(in)); /* the array is the caller's again */
    for (int i = 0; i < 9; i++) {
        char message[2] = {(char)('a' + i), '!'};

        assert_int_equal(support_write(loop_desc_fd(&right), message, 2), 2);
        while (results <= i)
            assert_true(loop_run(loop, LOOP_RUN_ONCE) >= 0);
        assert_memory_equal(datagrams[i], message, 2);
    }
    assert_ok(loop_op_cancel(&ops[0]));
    run_until(1);
    assert_int_equal(ops[0].status, LOOP_ECANCELED);
    assert_int_equal(ops[0].bytes, 0);
    support_finish(loop);
}

static void an_error_ends_a_stream(void **state)
{
    (void)state;
    begin_with(SOCK_STREAM);
    memset(ops, 0, sizeof(ops));
    results = 0;
    finals = 0;
    assert_ok(loop_op_accept_stream(&left, &ops[0], count_connection)); /* it does not listen */
    assert_int_equal(support_write(loop_desc_fd(&right), "x", 1), 1);
    run_until(1);
    assert_int_equal(ops[0].status, LOOP_EINVAL);
    support_finish(loop);
}

/* --------------------------------------------------------------------------------------------------------- hand-over -- */

static int thread_result;

static void *run_elsewhere(void *arg)
{
    (void)arg;
    thread_result = loop_wait(loop, got, 8, LOOP_FOREVER);
    return NULL;
}

static void run_in_thread(void)
{
    pthread_t thread;

    assert_ok(pthread_create(&thread, NULL, run_elsewhere, NULL));
    assert_ok(pthread_join(thread, NULL));
}

static void a_loop_may_be_handed_from_thread_to_thread_if_it_was_made_for_it(void **state)
{
    loop_options_t options = LOOP_OPTIONS_INIT;
    loop_os_fd_t fds[2];

    (void)state;
    options.flags = LOOP_HANDOVER;
    assert_ok(loop_init(&loop, &options));
    assert_ok(support_local_pair(fds));
    assert_ok(loop_desc_attach(loop, &left, fds[0], LOOP_DESC_OWNED));
    assert_ok(loop_desc_attach(loop, &right, fds[1], LOOP_DESC_OWNED));
    memset(ops, 0, sizeof(ops));
    for (int i = 0; i < 4; i++) {
        write_without_callback(&left, &ops[0], 1);
        if (i % 2 == 0) {
            run_in_thread();
            assert_int_equal(thread_result, 1);
        } else {
            assert_int_equal(loop_wait(loop, got, 8, LOOP_FOREVER), 1);
        }
    }
    support_finish(loop);
}

static void without_the_flag_another_thread_is_refused(void **state)
{
    (void)state;
    begin_wait();
    write_without_callback(&left, &ops[0], 1);
    assert_int_equal(loop_run(loop, LOOP_RUN_NOWAIT), LOOP_EAGAIN);
    run_in_thread();
    assert_int_equal(thread_result, LOOP_EINVAL);
    assert_int_equal(loop_wait(loop, got, 8, LOOP_FOREVER), 1);
    support_finish(loop);
}

LOOP_TEST_MAIN(TEST(finished_operations_come_in_the_order_they_finished),
               TEST(what_does_not_fit_comes_with_the_next_call), TEST(the_time_ends_a_wait_and_never_early),
               TEST(callbacks_run_inside_and_a_timer_ends_the_wait), TEST(what_calls_back_before_the_wait_ends_it),
               TEST(a_deadline_ends_a_wait_with_its_operation),
               TEST(a_close_callback_comes_after_the_caller_has_the_operations),
               TEST(run_says_that_operations_wait_to_be_handed_out), TEST(stop_keeps_the_next_wait_from_waiting),
               TEST(operations_of_tcp_handles_are_handed_out_too), TEST(wrong_use_is_refused),
               TEST(a_stream_of_connections_ends_once_when_it_is_cancelled),
               TEST(a_stream_may_be_cancelled_in_its_callback), TEST(closing_or_a_deadline_ends_a_stream),
               TEST(a_stream_without_callback_goes_on_with_the_next_wait),
               TEST(a_stream_of_datagrams_brings_each_in_the_same_buffers), TEST(an_error_ends_a_stream),
               TEST(a_loop_may_be_handed_from_thread_to_thread_if_it_was_made_for_it),
               TEST(without_the_flag_another_thread_is_refused))
