/* Deadlines: of descriptors, of operations, of TCP handles; what they end, and what goes on after them. */
#include "op_fixture.h"

#include <pthread.h>
#include <stdatomic.h>

static char text[65536];
static loop_op_t ops[8];

static uint64_t in_ms(unsigned ms)
{
    return loop_now(loop) + LOOP_MS(ms);
}

static void begin_pair(void)
{
    begin_with(SOCK_STREAM);
    memset(ops, 0, sizeof(ops));
}

static void read_into(loop_desc_t *desc, loop_op_t *op)
{
    loop_buf_t in = buf_of(text, 16);

    assert_ok(loop_op_read(desc, op, &in, 1, note));
}

static void write_text(loop_desc_t *desc, loop_op_t *op, size_t length)
{
    loop_buf_t out = buf_of(text, length);

    assert_ok(loop_op_write(desc, op, &out, 1, note));
}

/* Fills the socket, so that the operation is parked with a part of it sent. */
static void write_too_much(loop_desc_t *desc, loop_op_t *op)
{
    loop_buf_t out[64];

    for (int i = 0; i < 64; i++)
        out[i] = buf_of(text, sizeof(text));
    assert_ok(loop_op_write(desc, op, out, 64, note));
}

/* ---------------------------------------------------------------------------------------------------- of descriptors -- */

static void a_read_deadline_ends_what_waits_and_never_early(void **state)
{
    uint64_t due;

    (void)state;
    begin_pair();
    due = in_ms(5);
    read_into(&left, &ops[0]);
    read_into(&left, &ops[1]);
    assert_ok(loop_desc_set_deadline(&left, LOOP_READABLE, due));
    run_until(2);
    assert_true(loop_now(loop) >= due);
    assert_ptr_equal(done[0], &ops[0]);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(ops[i].status, LOOP_ETIMEDOUT);
        assert_int_equal(ops[i].bytes, 0);
    }
    support_finish(loop);
}

static void later_operations_fail_without_a_try_until_the_deadline_is_moved(void **state)
{
    (void)state;
    begin_pair();
    write_text(&right, &ops[0], 5);
    run_until(1);
    assert_ok(loop_desc_set_deadline(&left, LOOP_READABLE, 0));
    read_into(&left, &ops[1]);
    assert_int_equal(completions, 1); /* not inside the call */
    run_until(2);
    assert_int_equal(ops[1].status, LOOP_ETIMEDOUT);
    assert_ok(loop_desc_set_deadline(&left, LOOP_READABLE, LOOP_NO_DEADLINE));
    read_into(&left, &ops[1]);
    run_until(3);
    assert_ok(ops[1].status);
    assert_int_equal(ops[1].bytes, 5);
    support_finish(loop);
}

static void directions_have_deadlines_of_their_own(void **state)
{
    (void)state;
    begin_pair();
    assert_ok(loop_desc_set_deadline(&left, LOOP_WRITABLE, 0));
    read_into(&left, &ops[0]);
    write_text(&left, &ops[1], 4);
    run_until(1);
    assert_ptr_equal(done[0], &ops[1]);
    assert_int_equal(ops[1].status, LOOP_ETIMEDOUT);
    write_text(&right, &ops[2], 4);
    run_until(3);
    assert_ok(ops[0].status);
    /* Both at once, and back again. */
    assert_ok(loop_desc_set_deadline(&left, LOOP_READABLE | LOOP_WRITABLE, 0));
    read_into(&left, &ops[0]);
    write_text(&left, &ops[1], 4);
    run_until(5);
    assert_int_equal(ops[0].status, LOOP_ETIMEDOUT);
    assert_int_equal(ops[1].status, LOOP_ETIMEDOUT);
    assert_ok(loop_desc_set_deadline(&left, LOOP_READABLE | LOOP_WRITABLE, in_ms(3600000)));
    write_text(&left, &ops[1], 4);
    run_until(6);
    assert_ok(ops[1].status);
    support_finish(loop);
}

static void a_timed_out_write_tells_how_much_went_out(void **state)
{
    (void)state;
    begin_pair();
    assert_ok(loop_desc_set_deadline(&left, LOOP_WRITABLE, in_ms(2)));
    write_too_much(&left, &ops[0]);
    write_text(&left, &ops[1], 1);
    run_until(2);
    assert_int_equal(ops[0].status, LOOP_ETIMEDOUT);
    assert_true(ops[0].bytes > 0 && ops[0].bytes < sizeof(text) * 64);
    assert_int_equal(ops[1].status, LOOP_ETIMEDOUT);
    assert_int_equal(ops[1].bytes, 0);
    support_finish(loop);
}

static void waits_for_readiness_go_by_their_direction(void **state)
{
    (void)state;
    begin_pair();
    write_too_much(&left, &ops[7]);
    assert_ok(loop_op_ready(&left, &ops[0], LOOP_READABLE, note));
    assert_ok(loop_op_ready(&left, &ops[1], LOOP_READABLE | LOOP_WRITABLE, note));
    assert_ok(loop_desc_set_deadline(&left, LOOP_READABLE, in_ms(1)));
    run_until(2);
    assert_int_equal(ops[0].status, LOOP_ETIMEDOUT);
    assert_int_equal(ops[1].status, LOOP_ETIMEDOUT);
    assert_ok(loop_op_ready(&left, &ops[2], LOOP_WRITABLE, note));
    assert_ok(loop_desc_set_deadline(&left, LOOP_WRITABLE, in_ms(1)));
    run_until(4);
    assert_int_equal(ops[2].status, LOOP_ETIMEDOUT);
    assert_int_equal(ops[7].status, LOOP_ETIMEDOUT);
    support_finish(loop);
}

static void later_fired(loop_timer_t *timer)
{
    (void)timer;
}

static void a_deadline_moved_away_ends_nothing(void **state)
{
    loop_timer_t later;

    (void)state;
    begin_pair();
    read_into(&left, &ops[0]);
    assert_ok(loop_desc_set_deadline(&left, LOOP_READABLE, in_ms(1)));
    assert_ok(loop_desc_set_deadline(&left, LOOP_READABLE, in_ms(3600000)));
    assert_ok(loop_timer_init(loop, &later));
    assert_ok(loop_timer_start(&later, later_fired, LOOP_MS(5), 0));
    (void)loop_run(loop, LOOP_RUN_ONCE);
    assert_int_equal(completions, 0);
    assert_ok(loop_desc_set_deadline(&left, LOOP_READABLE, LOOP_NO_DEADLINE));
    write_text(&right, &ops[1], 1);
    run_until(2);
    assert_ok(ops[0].status);
    support_finish(loop);
}

/* ------------------------------------------------------------------------------------------------------ of operations -- */

static void an_operation_has_a_deadline_of_its_own(void **state)
{
    uint64_t due;

    (void)state;
    begin_pair();
    read_into(&left, &ops[0]);
    read_into(&left, &ops[1]);
    due = in_ms(3);
    assert_ok(loop_op_set_deadline(&ops[1], due));
    run_until(1);
    assert_true(loop_now(loop) >= due);
    assert_ptr_equal(done[0], &ops[1]);
    assert_int_equal(ops[1].status, LOOP_ETIMEDOUT);
    write_text(&right, &ops[2], 3);
    run_until(3);
    assert_ok(ops[0].status);
    /* The next use of the operation has none. */
    read_into(&left, &ops[1]);
    write_text(&right, &ops[2], 3);
    run_until(5);
    assert_ok(ops[1].status);
    support_finish(loop);
}

static void an_operations_deadline_can_be_moved_cleared_and_in_the_past(void **state)
{
    (void)state;
    begin_pair();
    read_into(&left, &ops[0]);
    assert_ok(loop_op_set_deadline(&ops[0], in_ms(1)));
    assert_ok(loop_op_set_deadline(&ops[0], in_ms(3600000)));
    assert_ok(loop_op_set_deadline(&ops[0], LOOP_NO_DEADLINE));
    assert_ok(loop_op_set_deadline(&ops[0], LOOP_NO_DEADLINE));
    assert_ok(loop_op_set_deadline(&ops[0], loop_now(loop)));
    assert_int_equal(completions, 0); /* not inside the call */
    run_until(1);
    assert_int_equal(ops[0].status, LOOP_ETIMEDOUT);
    /* What has its result keeps it. */
    write_text(&right, &ops[1], 3);
    read_into(&left, &ops[0]);
    (void)loop_run(loop, LOOP_RUN_NOWAIT);
    read_into(&left, &ops[0]);
    write_text(&right, &ops[2], 3);
    assert_ok(loop_op_set_deadline(&ops[2], 0));
    run_until(5);
    assert_ok(ops[2].status);
    support_finish(loop);
}

static void wrong_use_is_refused(void **state)
{
    loop_tcp_t listener;

    (void)state;
    begin_pair();
    assert_int_equal(loop_desc_set_deadline(NULL, LOOP_READABLE, 0), LOOP_EINVAL);
    assert_int_equal(loop_desc_set_deadline(&left, 0, 0), LOOP_EINVAL);
    assert_int_equal(loop_desc_set_deadline(&left, 4, 0), LOOP_EINVAL);
    assert_int_equal(loop_op_set_deadline(NULL, 0), LOOP_EINVAL);
    assert_int_equal(loop_op_set_deadline(&ops[0], 0), LOOP_ENOENT);
    assert_int_equal(loop_tcp_set_deadline(NULL, LOOP_READABLE, 0), LOOP_EINVAL);
    (void)support_listen(loop, &listener, (loop_connection_cb)abort);
    assert_int_equal(loop_tcp_set_deadline(&listener, LOOP_READABLE, in_ms(1)), LOOP_EINVAL);
    assert_ok(loop_handle_close(&listener.handle, NULL));
    assert_int_equal(loop_tcp_set_deadline(&listener, LOOP_READABLE, 0), LOOP_EBADF);
    assert_ok(loop_handle_close(&left.handle, NULL));
    assert_int_equal(loop_desc_set_deadline(&left, LOOP_READABLE, 0), LOOP_EBADF);
    support_finish(loop);
}

static void without_memory_deadlines_stay_as_they_were(void **state)
{
    struct support_allocator counts = {0};
    loop_allocator_t allocator = support_allocator(&counts);
    loop_options_t options = LOOP_OPTIONS_INIT;
    loop_timer_t timers[63];
    loop_os_fd_t fds[2];

    (void)state;
    options.allocator = &allocator;
    completions = 0;
    memset(ops, 0, sizeof(ops));
    assert_ok(loop_init(&loop, &options));
    assert_ok(support_local_pair(fds));
    assert_ok(loop_desc_attach(loop, &left, fds[0], LOOP_DESC_OWNED));
    assert_ok(loop_desc_attach(loop, &right, fds[1], LOOP_DESC_OWNED));
    for (int i = 0; i < 63; i++) { /* one place is left in the heap */
        assert_ok(loop_timer_init(loop, &timers[i]));
        assert_ok(loop_timer_start(&timers[i], (loop_timer_cb)abort, LOOP_SEC(3600), 0));
    }
    counts.calls = 0;
    counts.fail_at = 1;
    assert_int_equal(loop_desc_set_deadline(&left, LOOP_READABLE | LOOP_WRITABLE, in_ms(1)), LOOP_ENOMEM);
    assert_int_equal(counts.calls, 1);
    read_into(&left, &ops[0]);
    assert_ok(loop_op_set_deadline(&ops[0], in_ms(3600000))); /* takes the place */
    counts.calls = 0;
    assert_int_equal(loop_desc_set_deadline(&left, LOOP_READABLE, in_ms(1)), LOOP_ENOMEM);
    counts.calls = 0;
    read_into(&left, &ops[1]);
    assert_int_equal(loop_op_set_deadline(&ops[1], in_ms(1)), LOOP_ENOMEM);
    counts.calls = 0;
    assert_ok(loop_op_set_deadline(&ops[0], in_ms(1))); /* moving needs no memory */
    run_until(1);
    assert_int_equal(ops[0].status, LOOP_ETIMEDOUT);
    counts.fail_at = 0;
    support_finish(loop);
    assert_int_equal(counts.live, 0);
}

/* ------------------------------------------------------------------------------------------------------ of TCP handles -- */

static loop_tcp_t tcp;
static loop_os_fd_t peer;
static ptrdiff_t reads[16];
static int read_count;

static void note_read(loop_tcp_t *t, ptrdiff_t nread, const loop_buf_t *buf)
{
    (void)t;
    (void)buf;
    reads[read_count++ % 16] = nread;
}

static void begin_tcp(void)
{
    begin();
    memset(ops, 0, sizeof(ops));
    read_count = 0;
    peer = support_tcp_and_socket(loop, &tcp);
}

static void until_reads(int n)
{
    while (read_count < n)
        assert_true(loop_run(loop, LOOP_RUN_ONCE) >= 0);
    assert_int_equal(read_count, n);
}

static void finish_tcp(void)
{
    support_finish(loop);
    support_close(peer);
}

static void a_handle_that_reads_is_told_stops_and_may_go_on(void **state)
{
    (void)state;
    begin_tcp();
    assert_ok(loop_tcp_read_start(&tcp, NULL, note_read));
    assert_ok(loop_tcp_set_deadline(&tcp, LOOP_READABLE, in_ms(2)));
    until_reads(1);
    assert_int_equal(reads[0], LOOP_ETIMEDOUT);
    assert_false(loop_handle_is_active(&tcp.handle));
    /* The deadline is still over: starting again is answered by it, through the loop. */
    assert_int_equal(support_send(peer, "abc", 3, 0), 3);
    assert_ok(loop_tcp_read_start(&tcp, NULL, note_read));
    assert_int_equal(read_count, 1);
    until_reads(2);
    assert_int_equal(reads[1], LOOP_ETIMEDOUT);
    /* Moved, it goes on, and no byte is lost. */
    assert_ok(loop_tcp_set_deadline(&tcp, LOOP_READABLE, in_ms(3600000)));
    assert_ok(loop_tcp_read_start(&tcp, NULL, note_read));
    until_reads(3);
    assert_int_equal(reads[2], 3);
    assert_int_equal(support_send(peer, "de", 2, 0), 2);
    until_reads(4);
    assert_int_equal(reads[3], 2);
    finish_tcp();
}

static void move_deadline(loop_tcp_t *t, ptrdiff_t nread, const loop_buf_t *buf)
{
    note_read(t, nread, buf);
    if (nread > 0)
        assert_ok(loop_tcp_set_deadline(t, LOOP_READABLE, in_ms(3600000)));
}

static void a_deadline_moved_with_every_packet_does_not_pass(void **state)
{
    (void)state;
    begin_tcp();
    assert_ok(loop_tcp_read_start(&tcp, NULL, move_deadline));
    assert_ok(loop_tcp_set_deadline(&tcp, LOOP_READABLE, in_ms(1000)));
    for (int i = 0; i < 100; i++) {
        assert_int_equal(support_send(peer, "x", 1, 0), 1);
        until_reads(i + 1);
        assert_int_equal(reads[i % 16], 1);
    }
    finish_tcp();
}

static void a_passed_write_deadline_refuses_writes_until_it_is_moved(void **state)
{
    loop_buf_t out = buf_of(text, 10);

    (void)state;
    begin_tcp();
    assert_ok(loop_tcp_set_deadline(&tcp, LOOP_WRITABLE, 0));
    assert_int_equal(loop_tcp_try_write(&tcp, &out, 1), LOOP_ETIMEDOUT);
    assert_ok(loop_tcp_write(&tcp, &ops[0], &out, 1, note));
    run_until(1);
    assert_int_equal(ops[0].status, LOOP_ETIMEDOUT);
    assert_int_equal(ops[0].bytes, 0);
    assert_int_equal(loop_tcp_write_queue_size(&tcp), 0);
    assert_ok(loop_tcp_set_deadline(&tcp, LOOP_WRITABLE, LOOP_NO_DEADLINE));
    assert_int_equal(loop_tcp_try_write(&tcp, &out, 1), 10);
    finish_tcp();
}

static void a_write_queue_times_out_as_a_whole(void **state)
{
    loop_buf_t out[64];
    size_t received = 0;
    ptrdiff_t n;

    (void)state;
    begin_tcp();
    support_bound_buffers(loop_tcp_fd(&tcp), peer);
    for (int i = 0; i < 64; i++)
        out[i] = buf_of(text, sizeof(text));
    assert_ok(loop_tcp_set_deadline(&tcp, LOOP_WRITABLE, in_ms(3)));
    assert_ok(loop_tcp_write(&tcp, &ops[0], out, 64, note));
    assert_ok(loop_tcp_write(&tcp, &ops[1], out, 64, note));
    assert_ok(loop_tcp_shutdown(&tcp, &ops[2], note));
    assert_true(loop_tcp_write_queue_size(&tcp) > 0);
    run_until(3);
    for (int i = 0; i < 3; i++)
        assert_int_equal(ops[i].status, LOOP_ETIMEDOUT);
    assert_true(ops[0].bytes > 0);
    assert_int_equal(ops[1].bytes, 0);
    assert_int_equal(loop_tcp_write_queue_size(&tcp), 0);
    assert_ok(loop_handle_close(&tcp.handle, NULL));
    assert_ok(loop_run(loop, LOOP_RUN_DEFAULT));
    while ((n = support_recv(peer, text, sizeof(text), 0)) > 0)
        received += (size_t)n;
    assert_int_equal(received, ops[0].bytes); /* the truth about what was sent */
    finish_tcp();
}

/* A listener whose queue is full, so that a further connect waits. */
static struct sockaddr_storage full_listener(loop_os_fd_t *listener, loop_os_fd_t clients[], int *count)
{
    struct sockaddr_storage addr = support_loopback();

    *listener = support_socket(0);
    assert_ok(support_listen_at(*listener, &addr, 0));
    for (*count = 0; *count < 8; (*count)++) {
        clients[*count] = support_nonblocking_socket();
        (void)support_connect(clients[*count], &addr);
    }
    return addr;
}

static void a_connect_times_out_and_takes_the_writes_behind_it_along(void **state)
{
    loop_buf_t out = buf_of(text, 10);
    loop_os_fd_t listener;
    loop_os_fd_t clients[8];
    int count;
    struct sockaddr_storage addr = full_listener(&listener, clients, &count);

    (void)state;
    begin();
    memset(ops, 0, sizeof(ops));
    assert_ok(loop_tcp_init(loop, &tcp));
    assert_ok(loop_tcp_set_deadline(&tcp, LOOP_WRITABLE, in_ms(5))); /* before there is a socket */
    assert_ok(loop_tcp_connect(&tcp, &ops[0], (struct sockaddr *)&addr, note));
    assert_ok(loop_tcp_write(&tcp, &ops[1], &out, 1, note));
    run_until(2);
    assert_int_equal(ops[0].status, LOOP_ETIMEDOUT);
    assert_true(ops[1].status == LOOP_ECANCELED || ops[1].status == LOOP_ETIMEDOUT);
    assert_int_equal(loop_tcp_read_start(&tcp, NULL, note_read), LOOP_ENOTCONN);
    assert_int_equal(loop_tcp_write(&tcp, &ops[1], &out, 1, note), LOOP_ENOTCONN);
    support_finish(loop);
    for (int i = 0; i < count; i++)
        support_close(clients[i]);
    support_close(listener);
}

static void a_write_behind_a_connect_that_has_timed_out_is_ended_too(void **state)
{
    struct sockaddr_storage addr = support_loopback_port(1);
    loop_buf_t out = buf_of(text, 10);

    (void)state;
    begin();
    memset(ops, 0, sizeof(ops));
    assert_ok(loop_tcp_init(loop, &tcp));
    assert_ok(loop_tcp_set_deadline(&tcp, LOOP_WRITABLE, 0));
    assert_ok(loop_tcp_connect(&tcp, &ops[0], (struct sockaddr *)&addr, note)); /* without a try */
    assert_ok(loop_tcp_write(&tcp, &ops[1], &out, 1, note));
    assert_ok(loop_tcp_set_deadline(&tcp, LOOP_WRITABLE, LOOP_NO_DEADLINE));
    assert_ok(loop_tcp_write(&tcp, &ops[2], &out, 1, note)); /* its callback is still to come */
    assert_int_equal(completions, 0);
    run_until(3);
    assert_int_equal(ops[0].status, LOOP_ETIMEDOUT);
    assert_int_equal(ops[1].status, LOOP_ETIMEDOUT);
    assert_int_equal(ops[2].status, LOOP_ECANCELED);
    assert_int_equal(loop_tcp_write(&tcp, &ops[1], &out, 1, note), LOOP_ENOTCONN);
    support_finish(loop);
}

/* ------------------------------------------------------------------------------------------------------------ races -- */

static atomic_int writer_round;
static loop_os_fd_t writer_fd;
static int writer_rounds;

/* Writes a byte in every round, after a time that differs from round to round. */
static void *write_in_rounds(void *arg)
{
    (void)arg;
    for (int i = 1; i <= writer_rounds; i++) {
        while (atomic_load(&writer_round) < i)
            support_yield();
        for (volatile int spin = 0; spin < i * 37 % 5000; spin = spin + 1)
            continue;
        if (support_write(writer_fd, "x", 1) != 1)
            return arg;
    }
    return NULL;
}

/* A byte arrives at about the time of the deadline: exactly one of the two is reported, and the byte is never lost. */
static void a_deadline_that_races_with_data_gives_one_result(void **state)
{
    int timeouts = 0;
    pthread_t writer;
    void *failed;
    loop_os_fd_t fds[2];
    char byte;
    loop_buf_t in = buf_of(&byte, 1);

    (void)state;
    begin();
    memset(ops, 0, sizeof(ops));
    assert_ok(support_local_pair(fds));
    assert_ok(loop_desc_attach(loop, &left, fds[0], LOOP_DESC_OWNED));
    writer_fd = fds[1];
    writer_rounds = harness_slow() ? 1000 : 10000;
    atomic_store(&writer_round, 0);
    assert_ok(pthread_create(&writer, NULL, write_in_rounds, NULL));
    for (int i = 1; i <= writer_rounds; i++) {
        int before = completions;

        assert_ok(loop_op_read(&left, &ops[0], &in, 1, note));
        /* From over already to far away. */
        assert_ok(loop_desc_set_deadline(&left, LOOP_READABLE, loop_now(loop) + (uint64_t)(i % 50) * 400));
        atomic_store(&writer_round, i);
        run_until(before + 1);
        assert_ok(loop_desc_set_deadline(&left, LOOP_READABLE, LOOP_NO_DEADLINE));
        if (ops[0].status != 0) {
            assert_int_equal(ops[0].status, LOOP_ETIMEDOUT);
            assert_int_equal(ops[0].bytes, 0);
            timeouts++;
            assert_ok(loop_op_read(&left, &ops[0], &in, 1, note));
            run_until(before + 2);
            assert_ok(ops[0].status);
        }
        assert_int_equal(ops[0].bytes, 1);
    }
    assert_ok(pthread_join(writer, &failed));
    assert_null(failed);
    print_message("the deadline won %d times of %d\n", timeouts, writer_rounds);
    assert_true(timeouts >= writer_rounds / 50); /* those that were over already */
    support_finish(loop);
    support_close(writer_fd);
}

LOOP_TEST_MAIN(TEST(a_read_deadline_ends_what_waits_and_never_early),
               TEST(later_operations_fail_without_a_try_until_the_deadline_is_moved),
               TEST(directions_have_deadlines_of_their_own), TEST(a_timed_out_write_tells_how_much_went_out),
               TEST(waits_for_readiness_go_by_their_direction), TEST(a_deadline_moved_away_ends_nothing),
               TEST(an_operation_has_a_deadline_of_its_own),
               TEST(an_operations_deadline_can_be_moved_cleared_and_in_the_past), TEST(wrong_use_is_refused),
               TEST(without_memory_deadlines_stay_as_they_were), TEST(a_handle_that_reads_is_told_stops_and_may_go_on),
               TEST(a_deadline_moved_with_every_packet_does_not_pass),
               TEST(a_passed_write_deadline_refuses_writes_until_it_is_moved), TEST(a_write_queue_times_out_as_a_whole),
               TEST(a_connect_times_out_and_takes_the_writes_behind_it_along),
               TEST(a_write_behind_a_connect_that_has_timed_out_is_ended_too),
               TEST(a_deadline_that_races_with_data_gives_one_result))
