/* What only the IOCP backend promises: seen by calling it, and by watching and replacing the system calls it makes. */
/* Before the fixture, which has a variable of the name of their parameters. */
#include "internal.h"
#include "platform.h"
#include "sys.h"

#include "op_fixture.h"

/* ---------------------------------------------------------------------------------------------------- watched calls -- */

static struct loop_sys real;
static int waits;
static int posts;
static int withheld; /* so many waits find nothing */
static int cancels;
static int closes;
static int closes_first; /* of sockets, before anything was cancelled */
static int long_reads;   /* into memory, left with the kernel */
static int empty_reads;

static void watch_begin(void)
{
    real = loop__sys;
    waits = 0;
    posts = 0;
    withheld = 0;
    cancels = 0;
    closes = 0;
    closes_first = 0;
    long_reads = 0;
    empty_reads = 0;
}

static void watch_end(void)
{
    loop__sys = real;
}

static BOOL watched_wait(HANDLE port, OVERLAPPED_ENTRY *entries, ULONG room, ULONG *count, DWORD ms, BOOL alertable)
{
    waits++;
    if (withheld > 0) {
        withheld--;
        SetLastError(WAIT_TIMEOUT);
        *count = 1; /* as some systems do; it must not count */
        return FALSE;
    }
    return real.GetQueuedCompletionStatusEx(port, entries, room, count, ms, alertable);
}

static BOOL watched_post(HANDLE port, DWORD bytes, ULONG_PTR key, OVERLAPPED *overlapped)
{
    posts++;
    return real.PostQueuedCompletionStatus(port, bytes, key, overlapped);
}

static BOOL watched_cancel(HANDLE handle, OVERLAPPED *overlapped)
{
    cancels++;
    return real.CancelIoEx(handle, overlapped);
}

static int watched_close(SOCKET socket)
{
    closes++;
    closes_first += cancels == 0;
    return real.closesocket(socket);
}

static int watched_recv(SOCKET socket, WSABUF *bufs, DWORD nbufs, DWORD *bytes, DWORD *flags, OVERLAPPED *overlapped,
                        LPWSAOVERLAPPED_COMPLETION_ROUTINE routine)
{
    if (overlapped != NULL) {
        empty_reads += bufs[0].len == 0;
        long_reads += bufs[0].len > 0;
    }
    return real.WSARecv(socket, bufs, nbufs, bytes, flags, overlapped, routine);
}

/* ------------------------------------------------------------------------------------------------------------ waiting -- */

static void a_poll_ends_with_a_packet_the_time_or_a_wake_up(void **state)
{
    char text[4];
    loop_op_t read = {0};
    loop_op_t write = {0};
    uint64_t before;

    (void)state;
    begin_with(SOCK_STREAM);
    assert_int_equal(loop->backend->poll(loop, 0), 0);

    before = loop__clock(0);
    assert_int_equal(loop->backend->poll(loop, (int64_t)LOOP_MS(20)), 0);
    assert_true(loop__clock(0) - before >= LOOP_MS(20));

    loop->backend->wake(loop);
    assert_int_equal(loop->backend->poll(loop, FOREVER), 1);
    assert_int_equal(loop->backend->poll(loop, 0), 0);

    assert_ok(loop_op_read(&left, &read, &(loop_buf_t){text, sizeof(text)}, 1, note));
    assert_int_equal(loop->backend->poll(loop, 0), 0);
    assert_ok(loop_op_write(&right, &write, &(loop_buf_t){"data", 4}, 1, note));
    assert_true(loop->backend->poll(loop, FOREVER) >= 1);
    run_until(2);
    assert_ok(read.status);
    support_finish(loop);
}

static void many_wake_ups_are_one_packet(void **state)
{
    (void)state;
    begin();
    watch_begin();
    loop__sys.PostQueuedCompletionStatus = watched_post;
    for (int round = 1; round <= 3; round++) {
        for (int i = 0; i < 10; i++)
            loop->backend->wake(loop);
        assert_int_equal(posts, round);
        assert_int_equal(loop->backend->poll(loop, FOREVER), 1);
    }
    watch_end();
    support_finish(loop);
}

static void a_wait_that_found_nothing_counts_nothing(void **state)
{
    char text[4];
    loop_op_t read = {0};

    (void)state;
    begin_with(SOCK_STREAM);
    assert_ok(loop_op_read(&left, &read, &(loop_buf_t){text, sizeof(text)}, 1, note));
    watch_begin();
    loop__sys.GetQueuedCompletionStatusEx = watched_wait;
    withheld = 3;
    for (int i = 0; i < 3; i++)
        assert_int_equal(loop->backend->poll(loop, 0), 0);
    watch_end();
    assert_int_equal(completions, 0);
    support_finish(loop);
    assert_int_equal(completions, 1);
}

#define MANY 40

static void packets_come_in_batches(void **state)
{
    static loop_desc_t readers[MANY];
    static loop_op_t reads[MANY];
    static char bytes[MANY];
    loop_os_fd_t peers[MANY];

    (void)state;
    begin();
    for (int i = 0; i < MANY; i++) {
        loop_os_fd_t fds[2];

        assert_ok(support_local_pair(fds));
        peers[i] = fds[1];
        assert_ok(loop_desc_attach(loop, &readers[i], fds[0], LOOP_DESC_OWNED));
        reads[i] = (loop_op_t){0};
        assert_ok(loop_op_read(&readers[i], &reads[i], &(loop_buf_t){&bytes[i], 1}, 1, note));
    }
    for (int i = 0; i < MANY; i++)
        assert_int_equal(support_send(peers[i], "x", 1, 0), 1);
    watch_begin();
    loop__sys.GetQueuedCompletionStatusEx = watched_wait;
    run_until(MANY);
    watch_end();
    assert_true(waits < MANY / 2);
    for (int i = 0; i < MANY; i++)
        support_close(peers[i]);
    support_finish(loop);
}

static void fired_at(loop_timer_t *timer)
{
    *(uint64_t *)timer->handle.data = loop__clock(0);
}

static void timers_are_not_early(void **state)
{
    const uint64_t spans[] = {1, LOOP_US(100), LOOP_US(1001), LOOP_MS(2), LOOP_MS(15), LOOP_MS(17)};

    (void)state;
    begin();
    for (size_t i = 0; i < sizeof(spans) / sizeof(spans[0]); i++) {
        loop_timer_t timer;
        uint64_t fired = 0;
        uint64_t start = loop__clock(0);

        assert_ok(loop_timer_init(loop, &timer));
        timer.handle.data = &fired;
        assert_ok(loop_timer_start(&timer, fired_at, spans[i], 0));
        assert_ok(loop_run(loop, LOOP_RUN_DEFAULT));
        assert_true(fired >= start + spans[i]);
        assert_ok(loop_handle_close(&timer.handle, NULL));
        assert_ok(loop_run(loop, LOOP_RUN_DEFAULT));
    }
    support_finish(loop);
}

static HANDLE no_timer(SECURITY_ATTRIBUTES *security, const WCHAR *name, DWORD flags, DWORD access)
{
    (void)security;
    (void)name;
    (void)flags;
    (void)access;
    SetLastError(ERROR_INVALID_PARAMETER);
    return NULL;
}

static void without_fine_timers_none_is_early_either(void **state)
{
    watch_begin();
    loop__sys.CreateWaitableTimerExW = no_timer;
    timers_are_not_early(state);
    watch_end();
}

/* ------------------------------------------------------------------------------------------------------- requests -- */

static int closed;

static void on_close(loop_handle_t *handle)
{
    (void)handle;
    closed++;
}

static void on_read(loop_tcp_t *tcp, ptrdiff_t n, const loop_buf_t *buf)
{
    (void)tcp;
    (void)n;
    (void)buf;
}

static void an_idle_connection_holds_no_memory(void **state)
{
    loop_tcp_t one;
    loop_tcp_t other;

    (void)state;
    begin();
    support_tcp_pair(loop, &one, &other);
    watch_begin();
    loop__sys.WSARecv = watched_recv;
    assert_ok(loop_tcp_read_start(&one, NULL, on_read));
    assert_ok(loop_tcp_read_start(&other, NULL, on_read));
    assert_true(loop_run(loop, LOOP_RUN_NOWAIT) >= 0);
    watch_end();
    assert_int_equal(empty_reads, 2);
    assert_int_equal(long_reads, 0);
    support_finish(loop);
}

static void a_handle_is_closed_when_the_kernel_has_given_back_its_memory(void **state)
{
    loop_tcp_t one;
    loop_tcp_t other;

    (void)state;
    begin();
    support_tcp_pair(loop, &one, &other);
    assert_ok(loop_tcp_read_start(&one, NULL, on_read));
    closed = 0;
    watch_begin();
    loop__sys.GetQueuedCompletionStatusEx = watched_wait;
    loop__sys.CancelIoEx = watched_cancel;
    loop__sys.closesocket = watched_close;
    withheld = 5;
    assert_ok(loop_handle_close(&one.handle, on_close));
    assert_int_equal(cancels, 1);
    assert_int_equal(closes, 1);
    assert_int_equal(closes_first, 0);
    for (int i = 0; i < 5; i++) {
        assert_true(loop_run(loop, LOOP_RUN_NOWAIT) >= 0);
        assert_int_equal(closed, 0);
    }
    support_until(loop, &closed);
    watch_end();
    support_finish(loop);
}

/* -------------------------------------------------------------------------------------- with packets for everything -- */

static BOOL no_modes(HANDLE handle, UCHAR modes)
{
    (void)handle;
    (void)modes;
    SetLastError(ERROR_INVALID_FUNCTION);
    return FALSE;
}

static void exchange(int type)
{
    char text[8];
    loop_op_t reads[2] = {{0}, {0}};
    loop_op_t writes[2] = {{0}, {0}};

    begin_with(type);
    /* What is there already, and what comes later. */
    assert_ok(loop_op_write(&left, &writes[0], &(loop_buf_t){"1234", 4}, 1, note));
    run_until(1);
    assert_ok(loop_op_read(&right, &reads[0], &(loop_buf_t){text, 4}, 1, note));
    run_until(2);
    assert_ok(reads[0].status);
    assert_int_equal(reads[0].bytes, 4);
    assert_ok(loop_op_read(&right, &reads[1], &(loop_buf_t){text + 4, 4}, 1, note));
    assert_ok(loop_op_write(&left, &writes[1], &(loop_buf_t){"5678", 4}, 1, note));
    run_until(4);
    assert_ok(reads[1].status);
    assert_memory_equal(text, "12345678", 8);
    support_finish(loop);
}

static void short_datagram(void)
{
    char text[4];
    loop_op_t receives[2] = {{0}, {0}};

    begin_with(SOCK_DGRAM);
    for (int i = 0; i < 2; i++) {
        loop_op_t write = {0};

        /* Once it is there before, once it comes later. */
        if (i == 1)
            assert_ok(loop_op_receive(&right, &receives[i], &(loop_buf_t){text, 4}, 1, NULL, note));
        assert_ok(loop_op_write(&left, &write, &(loop_buf_t){"too long", 8}, 1, note));
        if (i == 0) {
            run_until(1);
            assert_ok(loop_op_receive(&right, &receives[i], &(loop_buf_t){text, 4}, 1, NULL, note));
        }
        run_until(2 * i + 2);
        assert_ok(receives[i].status);
        assert_int_equal(receives[i].bytes, 4);
        assert_true((receives[i].flags & LOOP_OP_TRUNCATED) != 0);
    }
    for (int i = 0; i < 10; i++)
        assert_true(loop_run(loop, LOOP_RUN_NOWAIT) >= 0);
    assert_int_equal(completions, 4);
    support_finish(loop);
}

static void what_succeeds_at_once_completes_once(void **state)
{
    (void)state;
    exchange(SOCK_STREAM);
    exchange(SOCK_DGRAM);
    short_datagram();
}

static void without_skipping_it_completes_once_too(void **state)
{
    watch_begin();
    loop__sys.SetFileCompletionNotificationModes = no_modes;
    what_succeeds_at_once_completes_once(state);
    watch_end();
}

LOOP_TEST_MAIN(TEST(a_poll_ends_with_a_packet_the_time_or_a_wake_up), TEST(many_wake_ups_are_one_packet),
               TEST(a_wait_that_found_nothing_counts_nothing), TEST(packets_come_in_batches),
               TEST(timers_are_not_early), TEST(without_fine_timers_none_is_early_either),
               TEST(an_idle_connection_holds_no_memory),
               TEST(a_handle_is_closed_when_the_kernel_has_given_back_its_memory),
               TEST(what_succeeds_at_once_completes_once), TEST(without_skipping_it_completes_once_too))
