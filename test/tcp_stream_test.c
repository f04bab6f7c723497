/* TCP: reading, writing, ending. */
#include "support.h"

static loop_t *loop;
static loop_tcp_t tcp;
static loop_os_fd_t peer; /* a plain blocking socket */
static char text[65536];
static size_t got;
static int ends;
static ptrdiff_t last_end;
static int completions;

static void begin(void)
{
    loop = support_loop();
    peer = support_tcp_and_socket(loop, &tcp);
    got = 0;
    ends = 0;
    completions = 0;
}

static void finish(void)
{
    support_finish(loop);
    if (peer != LOOP_INVALID_FD)
        support_close(peer);
}

static void collect(loop_tcp_t *t, ptrdiff_t nread, const loop_buf_t *buf)
{
    (void)t;
    if (nread < 0) {
        ends++;
        last_end = nread;
    } else {
        memcpy(text + got % 32768, buf->base, (size_t)nread < 32768 ? (size_t)nread : 32768);
        got += (size_t)nread;
    }
}

static void count(loop_op_t *op)
{
    (void)op;
    completions++;
}

static void turns(int n)
{
    for (int i = 0; i < n; i++)
        assert_true(loop_run(loop, LOOP_RUN_NOWAIT) >= 0);
}

static void send_all(loop_os_fd_t fd, const char *data, size_t length)
{
    assert_int_equal(support_send(fd, data, length, 0), length);
}

static void reset_peer(void)
{
    support_close_with_reset(peer);
    peer = LOOP_INVALID_FD;
}

static void until_got(size_t n)
{
    for (int i = 0; got < n; i++) {
        assert_true(i < 100000);
        (void)loop_run(loop, LOOP_RUN_ONCE);
    }
    assert_int_equal(got, n);
}

/* --------------------------------------------------------------------------------------------------------- reading -- */

static void data_and_end_in_one_edge(void **state)
{
    (void)state;
    begin();
    send_all(peer, "hello", 5);
    assert_ok(support_shutdown(peer));
    assert_ok(loop_tcp_read_start(&tcp, NULL, collect));
    assert_int_equal(loop_tcp_read_start(&tcp, NULL, collect), LOOP_EALREADY);
    support_until(loop, &ends);
    assert_int_equal(got, 5);
    assert_memory_equal(text, "hello", 5);
    assert_int_equal(last_end, LOOP_EOF);
    turns(3);
    assert_int_equal(ends, 1);
    assert_false(loop_tcp_is_readable(&tcp));
    assert_false(loop_handle_is_active(&tcp.handle));
    assert_int_equal(loop_tcp_try_write(&tcp, &(loop_buf_t){"bye", 3}, 1), 3); /* the other half is open */
    assert_int_equal(support_recv(peer, text, 3, MSG_WAITALL), 3);
    finish();
}

static void a_reset_while_reading_is_an_error(void **state)
{
    (void)state;
    begin();
    assert_ok(loop_tcp_read_start(&tcp, NULL, collect));
    turns(2);
    reset_peer();
    support_until(loop, &ends);
    assert_int_equal(last_end, LOOP_ECONNRESET);
    finish();
}

static void data_and_reset_in_one_edge_end_in_an_error(void **state)
{
    (void)state;
    if (!support_reset_is_kept())
        skip();
    begin();
    send_all(peer, "hello", 5);
    reset_peer();
    assert_ok(loop_tcp_read_start(&tcp, NULL, collect));
    support_until(loop, &ends);
    assert_int_equal(last_end, LOOP_ECONNRESET);
    assert_int_equal(ends, 1);
    finish();
}

static void an_urgent_byte_does_not_stop_the_stream(void **state)
{
    (void)state;
    begin();
    assert_ok(loop_tcp_read_start(&tcp, NULL, collect));
    send_all(peer, "before", 6);
    assert_int_equal(support_send(peer, "!", 1, MSG_OOB), 1);
    send_all(peer, "after", 5);
    until_got(11);
    assert_memory_equal(text, "beforeafter", 11);
    finish();
}

static void stopped_reading_loses_no_byte(void **state)
{
    (void)state;
    begin();
    assert_ok(loop_tcp_read_start(&tcp, NULL, collect));
    send_all(peer, "one", 3);
    until_got(3);
    assert_ok(loop_tcp_read_stop(&tcp));
    assert_ok(loop_tcp_read_stop(&tcp));
    send_all(peer, "two", 3);
    turns(3);
    assert_int_equal(got, 3);
    assert_ok(loop_tcp_read_start(&tcp, NULL, collect));
    until_got(6);
    assert_memory_equal(text, "onetwo", 6);
    finish();
}

static char own[16];
static int allocs;
static int given_back;

static void small_buffer(loop_tcp_t *t, size_t suggested, loop_buf_t *buf)
{
    (void)t;
    assert_true(suggested > 0);
    allocs++;
    buf->base = own;
    buf->len = sizeof(own);
}

static void collect_own(loop_tcp_t *t, ptrdiff_t nread, const loop_buf_t *buf)
{
    assert_ptr_equal(buf->base, own);
    given_back++;
    if (nread != 0)
        collect(t, nread, buf);
}

static void every_buffer_of_the_hook_comes_back(void **state)
{
    char data[100];

    (void)state;
    begin();
    allocs = 0;
    given_back = 0;
    memset(data, 'a', sizeof(data));
    send_all(peer, data, sizeof(data));
    assert_ok(loop_tcp_read_start(&tcp, small_buffer, collect_own));
    until_got(100);
    send_all(peer, data, sizeof(own)); /* a full read: there may be more, but there is not */
    until_got(100 + sizeof(own));
    turns(2);
    assert_int_equal(allocs, given_back);
    finish();
}

static void no_buffer(loop_tcp_t *t, size_t suggested, loop_buf_t *buf)
{
    (void)t;
    (void)suggested;
    buf->len = 0;
}

static void a_hook_without_a_buffer_ends_reading(void **state)
{
    (void)state;
    begin();
    send_all(peer, "x", 1);
    assert_ok(loop_tcp_read_start(&tcp, no_buffer, collect));
    support_until(loop, &ends);
    assert_int_equal(last_end, LOOP_ENOBUFS);
    assert_ok(loop_tcp_read_start(&tcp, NULL, collect)); /* the byte is still there */
    until_got(1);
    finish();
}

static void note_closed(loop_handle_t *handle)
{
    (void)handle;
    assert_int_equal(given_back, 1); /* before, not after */
    ends++;
}

static void close_in_hook(loop_tcp_t *t, size_t suggested, loop_buf_t *buf)
{
    small_buffer(t, suggested, buf);
    assert_ok(loop_handle_close(&t->handle, note_closed));
}

static void stop_in_hook(loop_tcp_t *t, size_t suggested, loop_buf_t *buf)
{
    small_buffer(t, suggested, buf);
    assert_ok(loop_tcp_read_stop(t));
}

static void a_hook_that_closes_or_stops_gets_its_buffer_back(void **state)
{
    static const loop_alloc_cb hooks[] = {close_in_hook, stop_in_hook};

    (void)state;
    for (int i = 0; i < 2; i++) {
        begin();
        allocs = 0;
        given_back = 0;
        send_all(peer, "x", 1);
        assert_ok(loop_tcp_read_start(&tcp, hooks[i], collect_own));
        support_until(loop, &allocs);
        turns(3);
        assert_int_equal(allocs, 1);
        assert_int_equal(given_back, 1);
        assert_int_equal(got, 0); /* it came back empty */
        assert_int_equal(ends, i == 0);
        if (i == 1) {
            assert_ok(loop_tcp_read_start(&tcp, NULL, collect));
            until_got(1); /* no byte is lost */
        }
        finish();
    }
}

static loop_tcp_t quiet;
static int quiet_reads;
static int firehose_reads;

static void read_firehose(loop_tcp_t *t, ptrdiff_t nread, const loop_buf_t *buf)
{
    (void)t;
    (void)nread;
    (void)buf;
    firehose_reads++;
}

static void read_quiet(loop_tcp_t *t, ptrdiff_t nread, const loop_buf_t *buf)
{
    (void)t;
    (void)buf;
    assert_int_equal(nread, 1);
    quiet_reads++;
}

/* Reads by 16 bytes, so that every read is full. */
static void a_firehose_starves_nobody(void **state)
{
    static char water[262144];
    loop_os_fd_t quiet_peer;

    (void)state;
    begin();
    quiet_peer = support_tcp_and_socket(loop, &quiet);
    quiet_reads = 0;
    firehose_reads = 0;
    assert_ok(loop_tcp_read_start(&tcp, small_buffer, read_firehose));
    assert_ok(loop_tcp_read_start(&quiet, NULL, read_quiet));
    assert_true(support_send(peer, water, sizeof(water), SUPPORT_DONTWAIT) > (ptrdiff_t)sizeof(water) / 4);
    for (int i = 0; i < 20; i++) {
        int before = firehose_reads;

        send_all(quiet_peer, "x", 1);
        for (int n = 0; quiet_reads == i || firehose_reads == before; n++) {
            assert_true(n < 10); /* a wait may tell of one of them only, but the water lasts much longer */
            turns(1);
        }
        assert_int_equal(quiet_reads, i + 1);
    }
    finish();
    support_close(quiet_peer);
}

/* --------------------------------------------------------------------------------------------------------- writing -- */

#define BIG ((size_t)8 * 1024 * 1024)

static void read_exactly(size_t n)
{
    static char sink[65536];

    while (n > 0) {
        ptrdiff_t r = support_recv(peer, sink, n < sizeof(sink) ? n : sizeof(sink), SUPPORT_DONTWAIT);

        if (r > 0)
            n -= (size_t)r;
        else
            assert_true(r == LOOP_EAGAIN && loop_run(loop, LOOP_RUN_NOWAIT) >= 0);
    }
}

static void writes_queue_in_order_and_count(void **state)
{
    char *data = calloc(1, BIG);
    loop_op_t first = {0};
    loop_op_t second = {0};
    loop_op_t empty = {0};
    loop_op_t end = {0};
    size_t queued;
    char byte;

    (void)state;
    assert_non_null(data);
    begin();
    support_bound_buffers(loop_tcp_fd(&tcp), peer);
    assert_ok(loop_tcp_write(&tcp, &empty, NULL, 0, count));
    assert_int_equal(completions, 0);
    turns(1);
    assert_int_equal(completions, 1);
    assert_ok(loop_tcp_write(&tcp, &first, &(loop_buf_t){data, BIG}, 1, count));
    queued = loop_tcp_write_queue_size(&tcp);
    assert_true(queued > 0 && queued < BIG);
    assert_int_equal(loop_tcp_write(&tcp, &first, &(loop_buf_t){data, 1}, 1, count), LOOP_EBUSY);
    assert_ok(loop_tcp_write(&tcp, &second, &(loop_buf_t){data, 10}, 1, count));
    assert_ok(loop_tcp_write(&tcp, &empty, NULL, 0, count));
    assert_int_equal(loop_tcp_write_queue_size(&tcp), queued + 10);
    assert_int_equal(loop_tcp_try_write(&tcp, &(loop_buf_t){data, 1}, 1), LOOP_EAGAIN);
    assert_ok(loop_tcp_shutdown(&tcp, &end, count));
    assert_int_equal(loop_tcp_shutdown(&tcp, &end, count), LOOP_EPIPE);
    assert_int_equal(loop_tcp_write(&tcp, &first, &(loop_buf_t){data, 1}, 1, count), LOOP_EPIPE);
    assert_int_equal(loop_tcp_try_write(&tcp, &(loop_buf_t){data, 1}, 1), LOOP_EPIPE);
    assert_false(loop_tcp_is_writable(&tcp));
    read_exactly(BIG + 10);
    while (completions < 5)
        (void)loop_run(loop, LOOP_RUN_ONCE);
    assert_int_equal(first.bytes, BIG);
    assert_int_equal(second.bytes, 10);
    assert_int_equal(end.status, 0);
    assert_int_equal(loop_tcp_write_queue_size(&tcp), 0);
    assert_int_equal(support_recv(peer, &byte, 1, 0), 0); /* the end follows the data */
    free(data);
    finish();
}

static void try_write_sends_what_fits(void **state)
{
    char *data = calloc(1, BIG);
    ptrdiff_t n;
    size_t sent = 0;

    (void)state;
    assert_non_null(data);
    begin();
    support_bound_buffers(loop_tcp_fd(&tcp), peer);
    assert_int_equal(loop_tcp_try_write(&tcp, NULL, 0), 0);
    assert_int_equal(loop_tcp_try_write(&tcp, NULL, 1), LOOP_EINVAL);
    while ((n = loop_tcp_try_write(&tcp, &(loop_buf_t){data, BIG}, 1)) > 0)
        sent += (size_t)n;
    assert_int_equal(n, LOOP_EAGAIN);
    assert_true(sent > 0);
    read_exactly(sent);
    free(data);
    finish();
}

static int drains;
static size_t queue_at_drain;

static void on_drain(loop_tcp_t *t)
{
    drains++;
    queue_at_drain = loop_tcp_write_queue_size(t);
}

static void the_drain_callback_comes_once_per_time_above_the_mark(void **state)
{
    char *data = calloc(1, BIG);
    loop_op_t op = {0};

    (void)state;
    assert_non_null(data);
    begin();
    support_bound_buffers(loop_tcp_fd(&tcp), peer);
    drains = 0;
    assert_ok(loop_tcp_set_watermarks(&tcp, 100000, 200000, on_drain));
    for (int i = 1; i <= 2; i++) {
        assert_ok(
            loop_tcp_write(&tcp, &op, &(loop_buf_t){data, BIG}, 1, count)); /* one write: drained before it is done */
        assert_true(loop_tcp_write_queue_size(&tcp) > 200000);
        turns(2);
        assert_int_equal(drains, i - 1);
        read_exactly(BIG);
        while (completions < i)
            (void)loop_run(loop, LOOP_RUN_ONCE);
        assert_int_equal(drains, i);
        assert_true(queue_at_drain <= 100000);
    }
    assert_ok(loop_tcp_write(&tcp, &op, &(loop_buf_t){data, BIG}, 1, count));
    assert_ok(loop_tcp_set_watermarks(&tcp, 0, 0, NULL));
    read_exactly(BIG);
    turns(2);
    assert_int_equal(drains, 2);
    free(data);
    finish();
}

static void a_reset_with_a_write_queued_tells_what_went_out(void **state)
{
    char *data = calloc(1, BIG);
    loop_op_t first = {0};
    loop_op_t second = {0};

    (void)state;
    assert_non_null(data);
    begin();
    support_bound_buffers(loop_tcp_fd(&tcp), peer);
    assert_ok(loop_tcp_write(&tcp, &first, &(loop_buf_t){data, BIG}, 1, count));
    assert_ok(loop_tcp_write(&tcp, &second, &(loop_buf_t){data, 1}, 1, count));
    reset_peer();
    while (completions < 2)
        (void)loop_run(loop, LOOP_RUN_ONCE);
    assert_int_equal(first.status, LOOP_ECONNRESET);
    assert_true(first.bytes > 0 && first.bytes < BIG);
    assert_true(second.status == LOOP_EPIPE || second.status == LOOP_ECONNRESET);
    assert_int_equal(second.bytes, 0);
    assert_int_equal(loop_tcp_write_queue_size(&tcp), 0);
    free(data);
    finish();
}

static void closing_cancels_queued_writes(void **state)
{
    char *data = calloc(1, BIG);
    loop_op_t first = {0};
    loop_op_t end = {0};

    (void)state;
    assert_non_null(data);
    begin();
    support_bound_buffers(loop_tcp_fd(&tcp), peer);
    assert_ok(loop_tcp_write(&tcp, &first, &(loop_buf_t){data, BIG}, 1, count));
    assert_ok(loop_tcp_shutdown(&tcp, &end, count));
    assert_ok(loop_handle_close(&tcp.handle, NULL));
    (void)loop_run(loop, LOOP_RUN_DEFAULT);
    assert_int_equal(completions, 2);
    assert_int_equal(first.status, LOOP_ECANCELED);
    assert_true(first.bytes > 0);
    assert_int_equal(end.status, LOOP_ECANCELED);
    free(data);
    finish();
}

static void close_reset_resets_the_peer(void **state)
{
    loop_tcp_t one;
    loop_tcp_t other;

    (void)state;
    begin();
    support_tcp_pair(loop, &one, &other);
    assert_ok(loop_tcp_read_start(&one, NULL, collect));
    assert_ok(loop_tcp_close_reset(&other, NULL));
    support_until(loop, &ends);
    assert_int_equal(last_end, LOOP_ECONNRESET);
    finish();
}

/* More bytes than any buffer holds, through small ones; every byte is checked by its place. */
static uint64_t place_out;
static uint64_t place_in;
static uint64_t total;
static loop_op_t pump;
static unsigned char pattern[65536 + 256];

static void pump_more(loop_op_t *op)
{
    size_t n = total - place_out < 65536 ? (size_t)(total - place_out) : 65536;
    loop_buf_t bufs[2] = {{pattern + place_out % 251, n / 3}, {pattern + (place_out + n / 3) % 251, n - n / 3}};

    assert_ok(op->status);
    place_out += n;
    if (n > 0)
        assert_ok(loop_tcp_write(&tcp, op, bufs, 2, pump_more));
    else
        assert_ok(loop_tcp_shutdown(&tcp, op, count));
}

static void check_bytes(loop_tcp_t *t, ptrdiff_t nread, const loop_buf_t *buf)
{
    if (nread < 0) {
        assert_int_equal(nread, LOOP_EOF);
        assert_ok(loop_handle_close(&t->handle, NULL));
        ends++;
        return;
    }
    assert_true(memcmp(buf->base, pattern + place_in % 251, (size_t)nread) == 0);
    place_in += (uint64_t)nread;
}

static void a_gigabyte_passes_through_small_buffers(void **state)
{
    loop_tcp_t other;

    (void)state;
    loop = support_loop();
    ends = 0;
    completions = 0;
    total = harness_slow() ? 16u << 20 : 1u << 30;
    place_in = 0;
    place_out = 0;
    memset(&pump, 0, sizeof(pump));
    for (size_t i = 0; i < sizeof(pattern); i++)
        pattern[i] = (unsigned char)(i % 251);
    support_tcp_pair(loop, &tcp, &other);
    assert_ok(support_set_option(loop_tcp_fd(&tcp), SOL_SOCKET, SO_SNDBUF, 16384));
    assert_ok(support_set_option(loop_tcp_fd(&other), SOL_SOCKET, SO_RCVBUF, 16384));
    assert_ok(loop_tcp_read_start(&other, NULL, check_bytes));
    pump_more(&pump);
    support_until(loop, &ends);
    assert_int_equal(place_in, total);
    support_finish(loop);
}

/* ------------------------------------------------------------------------------------------------------- operations -- */

static void an_operation_of_a_handle_may_be_cancelled(void **state)
{
    char *data = calloc(1, BIG);
    loop_op_t first = {0};
    loop_op_t second = {0};

    (void)state;
    assert_non_null(data);
    begin();
    support_bound_buffers(loop_tcp_fd(&tcp), peer);
    assert_ok(loop_tcp_write(&tcp, &first, &(loop_buf_t){data, BIG}, 1, count));
    assert_ok(loop_tcp_write(&tcp, &second, &(loop_buf_t){data, 77}, 1, count));
    assert_ptr_equal(loop_op_get_handle(&second), &tcp.handle);
    assert_ok(loop_op_cancel(&second));
    turns(1);
    assert_int_equal(completions, 1);
    assert_int_equal(second.status, LOOP_ECANCELED);
    read_exactly(BIG);
    while (completions < 2)
        (void)loop_run(loop, LOOP_RUN_ONCE);
    assert_int_equal(loop_tcp_write_queue_size(&tcp), 0);
    free(data);
    finish();
}

LOOP_TEST_MAIN(TEST(data_and_end_in_one_edge), TEST(a_reset_while_reading_is_an_error),
               TEST(data_and_reset_in_one_edge_end_in_an_error), TEST(an_urgent_byte_does_not_stop_the_stream),
               TEST(stopped_reading_loses_no_byte), TEST(every_buffer_of_the_hook_comes_back),
               TEST(a_hook_without_a_buffer_ends_reading), TEST(a_hook_that_closes_or_stops_gets_its_buffer_back),
               TEST(a_firehose_starves_nobody), TEST(writes_queue_in_order_and_count), TEST(try_write_sends_what_fits),
               TEST(the_drain_callback_comes_once_per_time_above_the_mark),
               TEST(a_reset_with_a_write_queued_tells_what_went_out), TEST(closing_cancels_queued_writes),
               TEST(close_reset_resets_the_peer), TEST(a_gigabyte_passes_through_small_buffers),
               TEST(an_operation_of_a_handle_may_be_cancelled))
