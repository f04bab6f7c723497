/* Requests that are cancelled at a bad moment. */
/* Before the fixture, which has a variable of the name of their parameters. */
#include "iocp.h"

#include "op_fixture.h"

static struct loop_sys real;

/* -------------------------------------------------------------------------------------------------------- accepting -- */

static loop_op_t accepting;
static uint32_t lost_with;

/* What the accept gave is a connection that is gone. */
static BOOL losing_wait(HANDLE port, OVERLAPPED_ENTRY *entries, ULONG room, ULONG *count, DWORD ms, BOOL alertable)
{
    OVERLAPPED *lost = &loop__iocp_op((struct op *)&accepting)->request.overlapped;

    if (!real.GetQueuedCompletionStatusEx(port, entries, room, count, ms, alertable))
        return FALSE;
    for (ULONG i = 0; i < *count; i++) {
        if (entries[i].lpOverlapped == lost)
            lost->Internal = lost_with;
    }
    return TRUE;
}

static void an_accept_that_loses_its_connection_is_cancelled(void **state)
{
    static const uint32_t statuses[] = {0xC0000140, 0xC000020D, 0xC0000241}; /* not connected, reset, aborted */

    (void)state;
    for (size_t i = 0; i < sizeof(statuses) / sizeof(statuses[0]); i++) {
        struct sockaddr_storage addr = support_loopback();
        loop_os_fd_t listener = support_socket(0);

        begin();
        assert_ok(support_listen_at(listener, &addr, 4));
        assert_ok(loop_desc_attach(loop, &left, listener, LOOP_DESC_OWNED));
        lost_with = statuses[i];
        accepting = (loop_op_t){0};
        real = loop__sys;
        loop__sys.GetQueuedCompletionStatusEx = losing_wait;
        assert_ok(loop_op_accept(&left, &accepting, note));
        assert_ok(loop_op_cancel(&accepting));
        run_until(1);
        loop__sys = real;
        assert_int_equal(accepting.status, LOOP_ECANCELED);
        assert_int_equal(accepting.fd, LOOP_INVALID_FD);
        support_finish(loop);
    }
}

/* -------------------------------------------------------------------------------------------- what is not found at first -- */

static int misses;

static BOOL missing_cancel(HANDLE handle, OVERLAPPED *overlapped)
{
    if (misses > 0) {
        misses--;
        SetLastError(ERROR_NOT_FOUND);
        return FALSE;
    }
    return real.CancelIoEx(handle, overlapped);
}

static void what_the_system_does_not_find_at_first_is_looked_for_again(void **state)
{
    char byte;
    loop_op_t read = {0};

    (void)state;
    begin_with(SOCK_STREAM);
    assert_ok(loop_op_read(&left, &read, &(loop_buf_t){&byte, 1}, 1, note));
    real = loop__sys;
    loop__sys.CancelIoEx = missing_cancel;
    misses = 6;
    assert_ok(loop_op_cancel(&read));
    assert_int_equal(misses, 0);
    run_until(1);
    loop__sys = real;
    assert_int_equal(read.status, LOOP_ECANCELED);
    support_finish(loop);
}

/* A packet that is on its way is all that there is to find. */
static BOOL late_cancel(HANDLE handle, OVERLAPPED *overlapped)
{
    (void)handle;
    misses++;
    overlapped->Internal = 0;
    SetLastError(ERROR_NOT_FOUND);
    return FALSE;
}

static void what_has_ended_is_not_looked_for_again(void **state)
{
    char byte;
    loop_op_t read = {0};

    (void)state;
    begin_with(SOCK_STREAM);
    assert_ok(loop_op_read(&left, &read, &(loop_buf_t){&byte, 1}, 1, note));
    real = loop__sys;
    loop__sys.CancelIoEx = late_cancel;
    misses = 0;
    assert_ok(loop_op_cancel(&read));
    loop__sys = real;
    assert_int_equal(misses, 1);
    assert_true(CancelIoEx((HANDLE)loop_desc_fd(&left), NULL));
    run_until(1);
    support_finish(loop);
}

static atomic_int round_now;
static loop_os_fd_t reader_fd;

/* In every other round, until the end of the stream. */
static void *read_in_rounds(void *argument)
{
    static char bytes[20000];
    uint64_t seed = 1;

    for (;;) {
        if (atomic_load(&round_now) % 2 == 0)
            support_yield();
        else if (support_recv(reader_fd, bytes, 1 + support_random(&seed, sizeof(bytes) - 1), 0) <= 0)
            return argument;
    }
}

/* When the peer reads, the system carries on with the write; the peer reads no more, and the write comes back all the same. */
static void a_write_that_is_cancelled_while_its_peer_reads_comes_back(void **state)
{
    static char bytes[1 << 20];
    const int rounds = 600;
    struct sockaddr_storage addr = support_loopback();
    loop_os_fd_t listener = support_socket(0);
    loop_os_fd_t writer_fd = support_socket(0);
    pthread_t reader;
    uint64_t seed = support_seed();

    (void)state;
    begin();
    /* With little room, of which the system hears often. */
    assert_ok(support_set_option(listener, SOL_SOCKET, SO_RCVBUF, 8192));
    assert_ok(support_set_option(writer_fd, SOL_SOCKET, SO_SNDBUF, 8192));
    assert_ok(support_listen_at(listener, &addr, 1));
    assert_ok(support_connect(writer_fd, &addr));
    reader_fd = support_accept(listener);
    assert_ok(loop_desc_attach(loop, &left, writer_fd, LOOP_DESC_OWNED));
    atomic_store(&round_now, 0);
    assert_ok(pthread_create(&reader, NULL, read_in_rounds, NULL));
    for (int i = 0; i < rounds; i++) {
        loop_op_t write = {0};

        atomic_store(&round_now, 2 * i + 1);
        assert_ok(loop_op_write(&left, &write, &(loop_buf_t){bytes, sizeof(bytes)}, 1, note));
        for (volatile uint32_t spin = support_random(&seed, 200000); spin > 0; spin = spin - 1)
            continue;
        assert_ok(loop_op_cancel(&write));
        atomic_store(&round_now, 2 * i + 2);
        run_until(i + 1);
        assert_true(write.status == LOOP_ECANCELED || write.bytes == sizeof(bytes));
    }
    support_finish(loop);
    atomic_store(&round_now, 1);
    assert_ok(pthread_join(reader, NULL));
    support_close(reader_fd);
    support_close(listener);
}

LOOP_TEST_MAIN(TEST(an_accept_that_loses_its_connection_is_cancelled),
               TEST(what_the_system_does_not_find_at_first_is_looked_for_again),
               TEST(what_has_ended_is_not_looked_for_again),
               TEST(a_write_that_is_cancelled_while_its_peer_reads_comes_back))
