/* What a reading of the IOCP backend found, each in its smallest form. */
/* Before the fixture, which has a variable of the name of their parameters. */
#include "iocp.h"
#include "os_transfer.h"
#include "platform.h"

#include "op_fixture.h"

static struct loop_sys real;

static void watch_begin(void)
{
    real = loop__sys;
}

static void watch_end(void)
{
    loop__sys = real;
}

/* Turns until n operations completed, or for so long that they never will. */
static void wait_for(int n)
{
    for (int i = 0; completions < n && i < 500; i++) {
        assert_true(loop_run(loop, LOOP_RUN_NOWAIT) >= 0);
        (void)SleepEx(2, TRUE);
    }
    assert_int_equal(completions, n);
}

/* ------------------------------------------------------------------------------------------ closing what has succeeded -- */

/* The request succeeds right before. */
static BOOL late_cancel(HANDLE handle, OVERLAPPED *overlapped)
{
    const ULONG_PTR *status = &overlapped->Internal;

    for (int i = 0; *(const volatile ULONG_PTR *)status == 0x103 && i < 500; i++)
        (void)SleepEx(2, TRUE);
    return real.CancelIoEx(handle, overlapped);
}

static void closing_ends_a_connect_that_has_just_succeeded(void **state)
{
    struct sockaddr_storage addr = support_loopback();
    loop_os_fd_t listener = support_socket(0);
    loop_op_t connecting = {0};

    (void)state;
    begin();
    assert_ok(support_listen_at(listener, &addr, 5));
    assert_ok(loop_desc_attach(loop, &left, support_socket(0), LOOP_DESC_OWNED));
    assert_ok(loop_op_connect(&left, &connecting, (struct sockaddr *)&addr, note));
    watch_begin();
    loop__sys.CancelIoEx = late_cancel;
    assert_ok(loop_handle_close(&left.handle, NULL));
    watch_end();
    wait_for(1);
    assert_int_equal(connecting.status, LOOP_ECANCELED);
    support_finish(loop);
    support_close(listener);
}

static void closing_ends_an_accept_that_has_just_succeeded(void **state)
{
    struct sockaddr_storage addr = support_loopback();
    loop_os_fd_t listener = support_socket(0);
    loop_os_fd_t client = support_socket(0);
    loop_op_t accepting = {0};

    (void)state;
    begin();
    assert_ok(support_listen_at(listener, &addr, 5));
    assert_ok(loop_desc_attach(loop, &left, listener, LOOP_DESC_OWNED));
    assert_ok(loop_op_accept(&left, &accepting, note));
    assert_ok(support_connect(client, &addr));
    watch_begin();
    loop__sys.CancelIoEx = late_cancel;
    assert_ok(loop_handle_close(&left.handle, NULL));
    watch_end();
    wait_for(1);
    assert_int_equal(accepting.status, LOOP_ECANCELED);
    support_finish(loop);
    support_close(client);
}

/* The caller goes on with the listener, and nobody else would ever see the connection. */
static void a_connection_outlives_the_handle_of_a_listener_that_is_kept(void **state)
{
    struct sockaddr_storage addr = support_loopback();
    loop_os_fd_t listener = support_socket(0);
    loop_os_fd_t client = support_socket(0);
    loop_op_t accepting = {0};

    (void)state;
    begin();
    assert_ok(support_listen_at(listener, &addr, 5));
    assert_ok(loop_desc_attach(loop, &left, listener, 0));
    assert_ok(loop_op_accept(&left, &accepting, note));
    assert_ok(support_connect(client, &addr));
    watch_begin();
    loop__sys.CancelIoEx = late_cancel;
    assert_ok(loop_handle_close(&left.handle, NULL));
    watch_end();
    wait_for(1);
    assert_int_equal(accepting.status, 0);
    assert_int_equal(support_send(client, "x", 1, 0), 1);
    support_close(accepting.fd);
    support_finish(loop);
    support_close(client);
    support_close(listener);
}

/* ---------------------------------------------------------------------------------------------------------- errors -- */

static void a_write_that_waited_until_its_socket_was_shut_fails_like_others(void **state)
{
    static char bytes[1 << 24]; /* more than a connection holds: a full one soon has room again by itself */
    loop_op_t first = {0};
    loop_op_t second = {0};

    (void)state;
    begin_with(SOCK_STREAM);
    assert_ok(loop_op_write(&left, &first, &(loop_buf_t){bytes, sizeof(bytes)}, 1, note));
    assert_ok(loop_op_write(&left, &second, &(loop_buf_t){bytes, 1}, 1, note));
    assert_ok(support_shutdown(loop_desc_fd(&left)));
    for (int i = 0; completions < 2 && i < 100000; i++) {
        assert_true(loop_run(loop, LOOP_RUN_NOWAIT) >= 0);
        (void)support_recv(loop_desc_fd(&right), bytes, 1 << 16, 0);
    }
    assert_int_equal(completions, 2);
    assert_ok(first.status);
    assert_int_equal(second.status, LOOP_EPIPE);
    support_finish(loop);
}

static loop_os_fd_t fds[2];
static loop_tcp_t tcp;
static struct sockaddr_storage address;
static int told;
static int last_status;
static int failures;
static int number;

static BOOL failing_accept(LPFN_ACCEPTEX function, SOCKET listener, SOCKET accepted, void *addresses, DWORD received,
                           DWORD local, DWORD remote, DWORD *bytes, OVERLAPPED *overlapped)
{
    if (failures > 0) {
        failures--;
        WSASetLastError(number);
        return FALSE;
    }
    return real.accept_ex(function, listener, accepted, addresses, received, local, remote, bytes, overlapped);
}

static void on_connection(loop_tcp_t *server, int status)
{
    loop_os_fd_t fd;

    last_status = status;
    told++;
    if (status == 0) {
        assert_ok(loop_tcp_accept_fd(server, &fd));
        support_close(fd);
    }
}

/* By an operation, and by a handle. */
static void a_connection_lost_before_it_was_accepted_is_passed_over(void **state)
{
    loop_os_fd_t listener = support_socket(0);
    loop_os_fd_t client = support_socket(0);
    loop_op_t accepting = {0};

    (void)state;
    begin();
    address = support_loopback();
    assert_ok(support_listen_at(listener, &address, 5));
    assert_ok(loop_desc_attach(loop, &left, listener, LOOP_DESC_OWNED));
    watch_begin();
    loop__sys.accept_ex = failing_accept;
    failures = 1;
    number = WSAECONNRESET;
    assert_ok(loop_op_accept(&left, &accepting, note));
    assert_ok(support_connect(client, &address));
    wait_for(1);
    assert_ok(accepting.status);
    support_close(accepting.fd);
    support_close(client);

    told = 0;
    last_status = 0;
    failures = 1;
    address = support_listen(loop, &tcp, on_connection);
    for (int i = 0; i < 5; i++)
        assert_true(loop_run(loop, LOOP_RUN_NOWAIT) >= 0);
    assert_int_equal(told, 0);
    client = support_socket(0);
    assert_ok(support_connect(client, &address));
    support_until(loop, &told);
    assert_ok(last_status);
    watch_end();
    support_close(client);
    support_finish(loop);
}

static int failing_receive(SOCKET socket, WSABUF *bufs, DWORD nbufs, DWORD *bytes, DWORD *flags, struct sockaddr *from,
                           int *from_length, OVERLAPPED *overlapped, LPWSAOVERLAPPED_COMPLETION_ROUTINE routine)
{
    if (failures > 0) {
        failures--;
        WSASetLastError(number);
        return SOCKET_ERROR;
    }
    return real.WSARecvFrom(socket, bufs, nbufs, bytes, flags, from, from_length, overlapped, routine);
}

/* The system tells of what was sent before, where POSIX systems tell only who is connected, and then that it was refused. */
static void a_datagram_that_reached_nobody_ends_no_receiving_of_others(void **state)
{
    char text[4];
    loop_op_t receiving = {0};
    loop_os_fd_t sender = support_datagram_socket();

    (void)state;
    begin();
    address = support_loopback();
    fds[0] = support_datagram_socket();
    assert_ok(support_bind(fds[0], &address));
    assert_ok(loop_desc_attach(loop, &left, fds[0], LOOP_DESC_OWNED));
    watch_begin();
    loop__sys.WSARecvFrom = failing_receive;
    failures = 3;
    number = WSAECONNRESET;
    assert_ok(loop_op_receive(&left, &receiving, &(loop_buf_t){text, 4}, 1, NULL, note));
    assert_ok(support_connect(sender, &address));
    assert_int_equal(support_send(sender, "abc", 3, 0), 3);
    wait_for(1);
    assert_ok(receiving.status);
    assert_int_equal(receiving.bytes, 3);
    support_finish(loop);
    support_close(sender);

    begin_with(SOCK_DGRAM);
    failures = 1;
    receiving = (loop_op_t){0};
    assert_ok(loop_op_receive(&left, &receiving, &(loop_buf_t){text, 4}, 1, NULL, note));
    wait_for(1);
    assert_int_equal(receiving.status, LOOP_ECONNREFUSED);
    watch_end();
    support_finish(loop);
}

/* ------------------------------------------------------------------------------------------------------------ queues -- */

/* Until nothing more goes, a moment later either: what is on its way makes room once more. */
static void fill(loop_os_fd_t fd)
{
    static char bytes[65536];

    for (int refusals = 0; refusals < 5; refusals++) {
        while (loop__socket_send(fd, bytes, sizeof(bytes)) > 0)
            refusals = 0;
        (void)SleepEx(10, TRUE);
    }
}

static void what_was_cancelled_behind_a_read_does_not_wait_for_what_stands_between(void **state)
{
    char text[2];
    loop_op_t reads[2] = {{0}, {0}};
    loop_op_t ready = {0};

    (void)state;
    begin_with(SOCK_STREAM);
    fill(loop_desc_fd(&left));
    assert_ok(loop_op_read(&left, &reads[0], &(loop_buf_t){text, 1}, 1, note));
    assert_ok(loop_op_ready(&left, &ready, LOOP_READABLE | LOOP_WRITABLE, note));
    assert_ok(loop_op_read(&left, &reads[1], &(loop_buf_t){text, 1}, 1, note));
    assert_true(loop_run(loop, LOOP_RUN_NOWAIT) >= 0);
    assert_int_equal(completions, 0);
    assert_ok(loop_op_cancel(&reads[0]));
    assert_ok(loop_op_cancel(&reads[1]));
    wait_for(2);
    assert_ptr_equal(done[0], &reads[0]);
    assert_ptr_equal(done[1], &reads[1]);
    assert_int_equal(reads[1].status, LOOP_ECANCELED);
    support_finish(loop);
}

/* Before the wait for it, and during it. */
static void the_end_of_a_pipe_is_something_to_read(void **state)
{
    loop_op_t ready = {0};

    (void)state;
    for (int before = 0; before < 2; before++) {
        begin();
        assert_ok(support_pipe(fds));
        assert_ok(loop_desc_attach(loop, &left, fds[0], LOOP_DESC_OWNED));
        if (before)
            support_close(fds[1]);
        assert_ok(loop_op_ready(&left, &ready, LOOP_READABLE, note));
        if (!before) {
            assert_true(loop_run(loop, LOOP_RUN_NOWAIT) >= 0);
            assert_int_equal(completions, 0);
            support_close(fds[1]);
        }
        wait_for(1);
        assert_ok(ready.status);
        assert_int_equal(ready.flags, LOOP_READABLE);
        support_finish(loop);
    }
}

#define PIECES 200

static void a_datagram_of_many_pieces_is_one(void **state)
{
    static char bytes[PIECES];
    loop_buf_t pieces[PIECES];
    loop_op_t writing = {0};
    loop_op_t reading = {0};
    char text[2 * PIECES];

    (void)state;
    begin_with(SOCK_DGRAM);
    for (int i = 0; i < PIECES; i++)
        pieces[i] = (loop_buf_t){&bytes[i], 1};
    assert_ok(loop_op_write(&left, &writing, pieces, PIECES, note));
    wait_for(1);
    assert_int_equal(writing.bytes, PIECES);
    assert_ok(loop_op_read(&right, &reading, &(loop_buf_t){text, sizeof(text)}, 1, note));
    wait_for(2);
    assert_int_equal(reading.bytes, PIECES);

    assert_int_equal(support_send(loop_desc_fd(&left), text, PIECES, 0), PIECES);
    assert_ok(loop_op_read(&right, &reading, pieces, PIECES, note));
    wait_for(3);
    assert_int_equal(reading.bytes, PIECES);
    support_finish(loop);
}

static uint64_t asked;

static int no_send(SOCKET socket, WSABUF *bufs, DWORD nbufs, DWORD *bytes, DWORD flags, OVERLAPPED *overlapped,
                   LPWSAOVERLAPPED_COMPLETION_ROUTINE routine)
{
    (void)socket;
    (void)bytes;
    (void)flags;
    (void)routine;
    WSASetLastError(overlapped != NULL ? WSAENOBUFS : WSAEWOULDBLOCK);
    for (DWORD i = 0; overlapped != NULL && i < nbufs; i++)
        asked += bufs[i].len;
    return SOCKET_ERROR;
}

static void one_call_is_asked_for_no_more_than_its_result_can_tell(void **state)
{
    char byte;
    loop_buf_t bufs[6];
    loop_op_t writing = {0};

    (void)state;
    begin_with(SOCK_STREAM);
    for (int i = 0; i < 6; i++)
        bufs[i] = (loop_buf_t){&byte, 0x40000000u};
    asked = 0;
    watch_begin();
    loop__sys.WSASend = no_send;
    assert_ok(loop_op_write(&left, &writing, bufs, 6, note));
    wait_for(1);
    watch_end();
    assert_true(asked > 0 && asked <= UINT32_MAX);
    support_finish(loop);
}

/* ----------------------------------------------------------------------------------------------------------- attaching -- */

static int modes_set;

static BOOL counted_modes(HANDLE handle, UCHAR modes)
{
    modes_set++;
    return real.SetFileCompletionNotificationModes(handle, modes);
}

/* Of datagrams real systems tell at times that a packet comes, and none does: as others report it. */
static void only_streams_skip_packets(void **state)
{
    (void)state;
    watch_begin();
    loop__sys.SetFileCompletionNotificationModes = counted_modes;
    modes_set = 0;
    begin_with(SOCK_DGRAM);
    assert_int_equal(modes_set, 0);
    support_finish(loop);
    begin_with(SOCK_STREAM);
    assert_int_equal(modes_set, 2);
    support_finish(loop);
    watch_end();
}

static int family_made;

static SOCKET watched_socket(int family, int type, int protocol, WSAPROTOCOL_INFOW *info, GROUP group, DWORD flags)
{
    family_made = family;
    return real.WSASocketW(family, type, protocol, info, group, flags);
}

static void a_listener_may_be_bound_after_it_was_attached(void **state)
{
    struct sockaddr_in6 any = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    loop_op_t accepting = {0};
    SOCKET listener;

    (void)state;
    begin();
    listener = WSASocketW(AF_INET6, SOCK_STREAM, 0, NULL, 0, WSA_FLAG_OVERLAPPED | WSA_FLAG_NO_HANDLE_INHERIT);
    assert_true(listener != INVALID_SOCKET);
    assert_ok(loop_desc_attach(loop, &left, listener, LOOP_DESC_OWNED));
    if (bind(listener, (struct sockaddr *)&any, sizeof(any)) == 0) {
        assert_ok(listen(listener, 5));
        watch_begin();
        loop__sys.WSASocketW = watched_socket;
        assert_ok(loop_op_accept(&left, &accepting, note));
        watch_end();
        assert_int_equal(family_made, AF_INET6);
    }
    support_finish(loop);
}

/* ------------------------------------------------------------------------------------------------------------- waiting -- */

static int timers_set;
static LARGE_INTEGER stopped; /* the loop's clock */

static BOOL stopped_clock(LARGE_INTEGER *count)
{
    *count = stopped;
    return TRUE;
}

/* Of a clock that is not the loop's, for which it comes too early the first time. */
static BOOL early_timer(HANDLE timer, const LARGE_INTEGER *due, LONG period, PTIMERAPCROUTINE routine, void *argument,
                        BOOL resume)
{
    LARGE_INTEGER frequency;

    timers_set++;
    if (timers_set == 2) {
        assert_true(real.QueryPerformanceFrequency(&frequency));
        stopped.QuadPart += frequency.QuadPart; /* a second */
    }
    return real.SetWaitableTimer(timer, due, period, routine, argument, resume);
}

static void a_fine_timer_that_comes_early_is_set_again(void **state)
{
    (void)state;
    begin();
    watch_begin();
    assert_true(real.QueryPerformanceCounter(&stopped));
    loop__sys.QueryPerformanceCounter = stopped_clock;
    loop__sys.SetWaitableTimer = early_timer;
    timers_set = 0;
    assert_int_equal(loop->backend->poll(loop, (int64_t)LOOP_MS(8)), 0);
    watch_end();
    assert_int_equal(timers_set, 2);
    support_finish(loop);
}

LOOP_TEST_MAIN(TEST(closing_ends_a_connect_that_has_just_succeeded),
               TEST(closing_ends_an_accept_that_has_just_succeeded),
               TEST(a_connection_outlives_the_handle_of_a_listener_that_is_kept),
               TEST(a_write_that_waited_until_its_socket_was_shut_fails_like_others),
               TEST(a_connection_lost_before_it_was_accepted_is_passed_over),
               TEST(a_datagram_that_reached_nobody_ends_no_receiving_of_others),
               TEST(what_was_cancelled_behind_a_read_does_not_wait_for_what_stands_between),
               TEST(the_end_of_a_pipe_is_something_to_read), TEST(a_datagram_of_many_pieces_is_one),
               TEST(one_call_is_asked_for_no_more_than_its_result_can_tell), TEST(only_streams_skip_packets),
               TEST(a_listener_may_be_bound_after_it_was_attached), TEST(a_fine_timer_that_comes_early_is_set_again))
