/*
 * What the random test (model_test.c) and the check of invariants found, each in its smallest form. What is about POSIX
 * systems: posix/found_test.c.
 */
#include "op_fixture.h"

/* --------------------------------------------------------------------------------------------------------------- walk -- */

static loop_timer_t timers[4];
static loop_timer_t late[4];
static char order[64];
static int results[4];
static loop_os_fd_t fds[2];
static int count;

static void begin_timers(void)
{
    begin();
    memset(order, 0, sizeof(order));
    for (int i = 0; i < 4; i++)
        assert_ok(loop_timer_init(loop, &timers[i]));
}

static void note_name(loop_handle_t *handle, void *arg)
{
    char name[2] = {'?', '\0'};

    (void)arg;
    for (int i = 0; i < 4; i++) {
        if (handle == &timers[i].handle)
            name[0] = (char)('a' + i);
        else if (handle == &late[i].handle)
            name[0] = (char)('A' + i);
    }
    (void)strncat(order, name, sizeof(order) - strlen(order) - 1);
}

static void note_and_open(loop_handle_t *handle, void *arg)
{
    int *opened = arg;

    note_name(handle, NULL);
    if (*opened < 4)
        assert_ok(loop_timer_init(loop, &late[(*opened)++]));
}

static void a_walk_is_in_the_order_of_age_also_after_one_that_opened_handles(void **state)
{
    int opened = 0;

    (void)state;
    begin_timers();
    assert_ok(loop_walk(loop, note_and_open, &opened));
    assert_string_equal(order, "abcd");
    order[0] = '\0';
    assert_ok(loop_walk(loop, note_name, NULL));
    assert_string_equal(order, "abcdABCD");
    support_finish(loop);
}

static void open_at_the_end(loop_handle_t *handle, void *arg)
{
    note_name(handle, NULL);
    if (handle == &timers[3].handle)
        assert_ok(loop_timer_init(arg, &late[0]));
}

static void the_last_handle_of_a_walk_may_open_another(void **state)
{
    (void)state;
    begin_timers();
    assert_ok(loop_walk(loop, open_at_the_end, loop));
    assert_string_equal(order, "abcd");
    support_finish(loop);
}

static void walk_again(loop_handle_t *handle, void *arg)
{
    (void)arg;
    if (handle == &timers[1].handle)
        assert_ok(loop_walk(loop, note_name, NULL));
}

static void a_walk_in_a_walk_visits_every_handle(void **state)
{
    (void)state;
    begin_timers();
    assert_ok(loop_walk(loop, walk_again, NULL));
    assert_string_equal(order, "abcd");
    support_finish(loop);
}

static void detach_both(loop_handle_t *handle, void *arg)
{
    (void)arg;
    if (handle != &left.handle)
        return;
    results[0] = loop_desc_detach(&right); /* the next one */
    results[1] = loop_desc_detach(&left);  /* the one the walk stands at */
}

static void handles_may_leave_during_a_walk(void **state)
{
    (void)state;
    begin_with(SOCK_STREAM);
    fds[0] = loop_desc_fd(&left);
    fds[1] = loop_desc_fd(&right);
    assert_ok(loop_walk(loop, detach_both, NULL));
    if (results[0] == LOOP_ENOTSUP) {
        assert_int_equal(results[1], LOOP_ENOTSUP);
        support_finish(loop);
        skip(); /* a descriptor that lives leaves no loop here */
    }
    assert_int_equal(results[0] | results[1], 0);
    order[0] = '\0';
    assert_ok(loop_walk(loop, note_name, NULL));
    assert_string_equal(order, "");
    support_finish(loop);
    support_close(fds[0]);
    support_close(fds[1]);
}

static void call_forbidden(loop_handle_t *handle, void *arg)
{
    loop_op_t *op;

    (void)handle;
    (void)arg;
    results[0] = loop_run(loop, LOOP_RUN_NOWAIT);
    results[1] = loop_wait(loop, &op, 1, 0);
    results[2] = loop_close(loop);
}

static void a_walk_outside_of_a_run_refuses_runs_in_its_callback(void **state)
{
    (void)state;
    begin_timers();
    assert_ok(loop_walk(loop, call_forbidden, NULL));
    for (int i = 0; i < 3; i++)
        assert_int_equal(results[i], LOOP_EBUSY);
    support_finish(loop);
}

static void attach_again(loop_handle_t *handle, void *arg)
{
    loop_desc_t second;

    (void)arg;
    if (handle == &left.handle)
        results[0] = loop_desc_attach(loop, &second, loop_desc_fd(&right), 0);
}

static void a_second_watcher_is_refused_also_during_a_walk(void **state)
{
    (void)state;
    begin_with(SOCK_STREAM);
    assert_ok(loop_walk(loop, attach_again, NULL));
    assert_int_equal(results[0], LOOP_EEXIST);
    support_finish(loop);
}

/* ------------------------------------------------------------------------------------------------------------ closing -- */

static int alive[2];

static void note_alive(loop_handle_t *handle)
{
    (void)handle;
    alive[count++ % 2] = loop_alive(loop);
}

static void a_handle_that_waits_for_its_close_callback_keeps_the_loop_alive(void **state)
{
    (void)state;
    begin();
    count = 0;
    for (int i = 0; i < 2; i++) {
        assert_ok(loop_timer_init(loop, &timers[i]));
        assert_ok(loop_handle_close(&timers[i].handle, note_alive));
    }
    (void)loop_run(loop, LOOP_RUN_NOWAIT);
    assert_int_equal(count, 2);
    assert_int_equal(alive[0], 1); /* the other is still closing */
    assert_int_equal(alive[1], 0);
    support_finish(loop);
}

/* -------------------------------------------------------------------------------------------------------------- phases -- */

static loop_check_t checks[3];

static void note_check(loop_check_t *check)
{
    const char name[2] = {(char)('a' + (check - checks)), '\0'};

    (void)strncat(order, name, sizeof(order) - strlen(order) - 1);
    if (check == &checks[0])
        assert_ok(loop_check_start(&checks[2], note_check));
}

static void what_starts_in_its_own_phase_comes_after_those_that_were_started_before(void **state)
{
    (void)state;
    begin();
    memset(order, 0, sizeof(order));
    for (int i = 0; i < 3; i++)
        assert_ok(loop_check_init(loop, &checks[i]));
    assert_ok(loop_check_start(&checks[0], note_check));
    assert_ok(loop_check_start(&checks[1], note_check));
    (void)loop_run(loop, LOOP_RUN_NOWAIT);
    assert_string_equal(order, "ab");
    (void)loop_run(loop, LOOP_RUN_NOWAIT);
    assert_string_equal(order, "ababc");
    support_finish(loop);
}

/* ----------------------------------------------------------------------------------------------------------- streams -- */

static char taken[4][8];

static void take(loop_op_t *op)
{
    if (op->flags & LOOP_OP_MORE)
        (void)snprintf(taken[count++ % 4], sizeof(taken[0]), "%.*s", (int)op->bytes, (const char *)op->data);
    else
        note(op);
}

static void read_one(char data[8])
{
    loop_op_t op = {0};
    loop_buf_t in = buf_of(data, 8);

    assert_ok(loop_op_receive(&left, &op, &in, 1, NULL, note));
    run_until(1);
    assert_ok(op.status);
}

static void a_stream_whose_first_datagram_is_there_at_once_keeps_its_buffers(void **state)
{
    loop_op_t op = {0};
    char data[8];

    (void)state;
    for (unsigned pieces = 1; pieces <= 2; pieces++) {
        loop_buf_t in[2] = {buf_of(data, 4), buf_of(data + 4, 4)};

        begin_with(SOCK_DGRAM);
        count = 0;
        for (int i = 0; i < 4; i++) {
            const char text[4] = {'n', 'o', (char)('0' + i), '.'};

            assert_int_equal(support_write(loop_desc_fd(&right), text, 4), 4);
        }
        read_one(data); /* the descriptor is known to be readable from here on */
        op.data = data;
        assert_ok(loop_op_receive_stream(&left, &op, in, pieces, NULL, take));
        memset(in, 0xee, sizeof(in)); /* the array is the caller's again */
        for (int i = 0; count < 3; i++) {
            assert_true(i < 100);
            assert_true(loop_run(loop, LOOP_RUN_NOWAIT) >= 0);
        }
        assert_string_equal(taken[0], "no1.");
        assert_string_equal(taken[2], "no3.");
        support_finish(loop);
    }
}

/* --------------------------------------------------------------------------------------------------------- readiness -- */

static void a_wait_for_both_directions_is_not_held_up_by_a_read_before_it(void **state)
{
    loop_op_t read = {0};
    loop_op_t ready = {0};
    char data[8];
    loop_buf_t in = buf_of(data, 8);

    (void)state;
    begin();
    support_socket_pair(fds);
    assert_ok(loop_desc_attach(loop, &left, fds[0], LOOP_DESC_OWNED));
    (void)loop_run(loop, LOOP_RUN_NOWAIT); /* the edges of the beginning are over */
    assert_ok(loop_op_read(&left, &read, &in, 1, note));
    (void)loop_run(loop, LOOP_RUN_NOWAIT);
    assert_ok(loop_op_ready(&left, &ready, LOOP_READABLE | LOOP_WRITABLE, note));
    (void)loop_run(loop, LOOP_RUN_NOWAIT);
    assert_int_equal(completions, 1);
    assert_ptr_equal(done[0], &ready);
    assert_int_equal(ready.flags, LOOP_WRITABLE);
    assert_ok(loop_handle_close(&left.handle, NULL));
    support_finish(loop);
    support_close(fds[1]);
}

/* ---------------------------------------------------------------------------------------------------------- connecting -- */

/* A listener whose queue is full, so that connecting to it takes long. */
static struct sockaddr_storage full_listener(loop_os_fd_t sockets[4])
{
    struct sockaddr_storage addr = support_loopback();

    sockets[0] = support_socket(0);
    assert_ok(support_listen_at(sockets[0], &addr, 0));
    for (int i = 1; i < 4; i++) {
        sockets[i] = support_nonblocking_socket();
        (void)support_connect(sockets[i], &addr);
    }
    return addr;
}

/* On a handle and on a descriptor. */
static void a_write_after_a_cancelled_connect_that_nobody_heard_of_yet_ends_too(void **state)
{
    char text[4] = "abc";
    loop_buf_t out = buf_of(text, 3);
    struct sockaddr_storage addr;
    loop_tcp_t client;
    loop_os_fd_t sockets[4];

    (void)state;
    begin();
    addr = full_listener(sockets);
    for (int way = 0; way < 2; way++) {
        loop_op_t connecting = {0};
        loop_op_t write = {0};

        completions = 0;
        if (way == 0) {
            assert_ok(loop_tcp_init(loop, &client));
            assert_ok(loop_tcp_connect(&client, &connecting, (struct sockaddr *)&addr, note));
        } else {
            assert_ok(loop_desc_attach(loop, &left, support_socket(0), LOOP_DESC_OWNED));
            assert_ok(loop_op_connect(&left, &connecting, (struct sockaddr *)&addr, note));
        }
        assert_ok(loop_op_cancel(&connecting));
        if (way == 0)
            assert_ok(loop_tcp_write(&client, &write, &out, 1, note));
        else
            assert_ok(loop_op_write(&left, &write, &out, 1, note));
        for (int i = 0; i < 4; i++)
            (void)loop_run(loop, LOOP_RUN_NOWAIT);
        assert_int_equal(completions, 2);
        assert_ptr_equal(done[0], &connecting);
        assert_int_equal(connecting.status, LOOP_ECANCELED);
        assert_int_equal(write.status, LOOP_ECANCELED);
        support_close_all(loop);
    }
    support_finish(loop);
    for (int i = 0; i < 4; i++)
        support_close(sockets[i]);
}

static loop_op_t early_write;

static void write_early(loop_op_t *op)
{
    static char text[4] = "abc";
    loop_buf_t out = buf_of(text, 3);

    note(op);
    assert_ok(loop_op_write(&left, &early_write, &out, 1, note));
}

/* The second of two connects fails with the first, and is told before it. */
static void a_write_after_the_last_of_two_connects_ends_with_the_first_of_them(void **state)
{
    struct sockaddr_storage addr;
    loop_op_t first = {0};
    loop_op_t second = {0};
    loop_op_t *got[4];
    loop_os_fd_t sockets[4];

    (void)state;
    begin();
    memset(&early_write, 0, sizeof(early_write));
    addr = full_listener(sockets);
    assert_ok(loop_desc_attach(loop, &left, support_socket(0), LOOP_DESC_OWNED));
    assert_ok(loop_op_connect(&left, &first, (struct sockaddr *)&addr, NULL));
    assert_ok(loop_op_connect(&left, &second, (struct sockaddr *)&addr, write_early));
    assert_ok(loop_op_cancel(&first));
    assert_int_equal(loop_run(loop, LOOP_RUN_NOWAIT), LOOP_EAGAIN); /* the first is still to be handed out */
    assert_int_equal(loop_wait(loop, got, 4, 0), 1);
    assert_ptr_equal(got[0], &first);
    assert_int_equal(second.status, LOOP_ECANCELED);
    assert_int_equal(completions, 2);
    assert_int_equal(early_write.status, LOOP_ECANCELED);
    support_finish(loop);
    for (int i = 0; i < 4; i++)
        support_close(sockets[i]);
}

/* -------------------------------------------------------------------------------------------------------------- TCP -- */

static loop_tcp_t tcp;
static char buffer[4];
static int allocs;
static int returned;

static void note_return(loop_tcp_t *t, ptrdiff_t nread, const loop_buf_t *buf)
{
    (void)t;
    (void)nread;
    returned += buf->base == buffer;
}

static void start_without_the_second_time(loop_tcp_t *t, size_t suggested, loop_buf_t *buf)
{
    (void)suggested;
    *buf = buf_of(buffer, sizeof(buffer));
    if (++allocs < 2)
        return;
    assert_ok(loop_tcp_read_stop(t));
    assert_ok(loop_tcp_read_start(t, NULL, note_return));
}

static void a_buffer_comes_back_also_if_its_callback_starts_reading_without_one(void **state)
{
    loop_os_fd_t peer;

    (void)state;
    begin();
    allocs = 0;
    returned = 0;
    peer = support_tcp_and_socket(loop, &tcp);
    assert_ok(loop_tcp_read_start(&tcp, start_without_the_second_time, note_return));
    assert_int_equal(support_send(peer, "full", 4, 0),
                     4); /* as much as the buffer holds: it is asked for once more, and finds nothing */
    for (int i = 0; allocs < 2; i++) {
        assert_true(i < 100);
        assert_true(loop_run(loop, LOOP_RUN_NOWAIT) >= 0);
    }
    assert_int_equal(returned, 2);
    support_finish(loop);
    support_close(peer);
}

LOOP_TEST_MAIN(TEST(a_walk_is_in_the_order_of_age_also_after_one_that_opened_handles),
               TEST(the_last_handle_of_a_walk_may_open_another), TEST(a_walk_in_a_walk_visits_every_handle),
               TEST(handles_may_leave_during_a_walk), TEST(a_walk_outside_of_a_run_refuses_runs_in_its_callback),
               TEST(a_second_watcher_is_refused_also_during_a_walk),
               TEST(a_handle_that_waits_for_its_close_callback_keeps_the_loop_alive),
               TEST(what_starts_in_its_own_phase_comes_after_those_that_were_started_before),
               TEST(a_stream_whose_first_datagram_is_there_at_once_keeps_its_buffers),
               TEST(a_wait_for_both_directions_is_not_held_up_by_a_read_before_it),
               TEST(a_write_after_a_cancelled_connect_that_nobody_heard_of_yet_ends_too),
               TEST(a_write_after_the_last_of_two_connects_ends_with_the_first_of_them),
               TEST(a_buffer_comes_back_also_if_its_callback_starts_reading_without_one))
