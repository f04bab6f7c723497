/* Descriptors whose owner closed them while they were watched, and answers that come when nobody asks any more. */
/* Before the fixture, which has a variable of the name of their parameters. */
#include "iocp.h"

#include "op_fixture.h"

static struct loop_sys real;

/* ------------------------------------------------------------------------------------------------ descriptors closed early -- */

static loop_poll_t poll;
static loop_tcp_t tcp;
static loop_op_t connecting;
static loop_os_fd_t fds[2];
static struct sockaddr_storage address;
static int told;
static int last_status;
static bool same_number;

/* Nobody may look at it any more. */
static void poison(loop_handle_t *handle)
{
    memset(handle, 0xee, sizeof(poll));
}

static void replace_and_close(loop_poll_t *handle, int status, unsigned events)
{
    (void)status;
    (void)events;
    told++;
    support_close(fds[0]);
    assert_ok(loop_tcp_init(loop, &tcp));
    assert_ok(loop_tcp_connect(&tcp, &connecting, (struct sockaddr *)&address, note));
    same_number = loop_tcp_fd(&tcp) == fds[0];
    assert_ok(loop_handle_close(&handle->handle, poison));
}

static void a_poll_handle_whose_number_went_to_another_is_watched_no_more(void **state)
{
    loop_os_fd_t listener = support_socket(0);

    (void)state;
    begin();
    told = 0;
    connecting = (loop_op_t){0};
    address = support_loopback();
    assert_ok(support_listen_at(listener, &address, 5));
    support_socket_pair(fds);
    assert_ok(loop_poll_init(loop, &poll, fds[0]));
    assert_ok(loop_poll_start(&poll, LOOP_READABLE, replace_and_close));
    assert_int_equal(support_send(fds[1], "x", 1, 0), 1);
    support_until(loop, &told);
    if (same_number) {
        run_until(1);
        assert_ok(connecting.status);
        for (size_t i = 0; i < sizeof(poll); i++)
            assert_int_equal(((const unsigned char *)&poll)[i], 0xee);
    }
    support_finish(loop);
    support_close(fds[1]);
    support_close(listener);
}

static void close_early(loop_poll_t *handle, int status, unsigned events)
{
    (void)handle;
    (void)events;
    last_status = status;
    if (told++ == 0)
        support_close(fds[0]);
}

static void set_flag(loop_timer_t *timer)
{
    *(int *)timer->handle.data = 1;
}

static void a_descriptor_closed_between_two_polls_is_told_of_at_once(void **state)
{
    loop_timer_t timer;
    int late = 0;

    (void)state;
    begin();
    told = 0;
    support_socket_pair(fds);
    assert_ok(loop_timer_init(loop, &timer));
    timer.handle.data = &late;
    assert_ok(loop_timer_start(&timer, set_flag, LOOP_MS(5000), 0));
    assert_ok(loop_poll_init(loop, &poll, fds[0]));
    assert_ok(loop_poll_start(&poll, LOOP_READABLE, close_early));
    assert_int_equal(support_send(fds[1], "x", 1, 0), 1);
    while (told < 2 && !late)
        assert_true(loop_run(loop, LOOP_RUN_ONCE) >= 0);
    assert_int_equal(late, 0);
    assert_int_equal(last_status, LOOP_EBADF);
    support_finish(loop);
    support_close(fds[1]);
}

/* What its kernel gives back late meets a descriptor that is lost. */
static void an_operation_of_a_lost_descriptor_says_so(void **state)
{
    static loop_desc_t next;
    loop_op_t accepting = {0};
    loop_os_fd_t client = support_socket(0);
    loop_os_fd_t fresh;

    (void)state;
    begin();
    address = support_loopback();
    fds[0] = support_socket(0);
    assert_ok(support_listen_at(fds[0], &address, 5));
    assert_ok(loop_desc_attach(loop, &left, fds[0], 0));
    assert_ok(loop_op_accept(&left, &accepting, note));
    assert_ok(support_connect(client, &address));
    (void)SleepEx(50, TRUE); /* it is accepted, which the loop has not looked at */
    support_close(fds[0]);
    fresh = support_socket(0);
    assert_ok(loop_desc_attach(loop, &next, fresh, LOOP_DESC_OWNED));
    if (fresh == fds[0]) {
        run_until(1);
        assert_int_equal(accepting.status, LOOP_EBADF);
    }
    support_finish(loop);
    support_close(client);
}

/* ------------------------------------------------------------------------------- answers that nobody can see before -- */

/*
 * Windows may write down what a request gave only when its packet is taken. So that this one does, the kernel gets other
 * memory than the caller's.
 */
static struct hidden {
    OVERLAPPED overlapped;
    struct afd_poll poll;
    OVERLAPPED *callers;
    struct afd_poll *result;
} hidden[8];

static struct hidden *find_hidden(const OVERLAPPED *callers)
{
    for (size_t i = 0; i < sizeof(hidden) / sizeof(hidden[0]); i++) {
        if (hidden[i].callers == callers)
            return &hidden[i];
    }
    return NULL;
}

static BOOL hiding_control(HANDLE device, DWORD code, void *in, DWORD in_size, void *out, DWORD out_size, DWORD *bytes,
                           OVERLAPPED *overlapped)
{
    struct hidden *hide = find_hidden(NULL);

    assert_non_null(hide);
    assert_int_equal(in_size, sizeof(hide->poll));
    hide->overlapped = *overlapped;
    memcpy(&hide->poll, in, in_size);
    if (!real.DeviceIoControl(device, code, &hide->poll, in_size, &hide->poll, out_size, bytes, &hide->overlapped) &&
        GetLastError() != ERROR_IO_PENDING)
        return FALSE;
    hide->callers = overlapped;
    hide->result = out;
    overlapped->Internal = 0x103;
    SetLastError(ERROR_IO_PENDING);
    return FALSE;
}

static BOOL hiding_cancel(HANDLE handle, OVERLAPPED *overlapped)
{
    struct hidden *hide = find_hidden(overlapped);

    return real.CancelIoEx(handle, hide != NULL ? &hide->overlapped : overlapped);
}

static BOOL hiding_wait(HANDLE port, OVERLAPPED_ENTRY *entries, ULONG room, ULONG *count, DWORD ms, BOOL alertable)
{
    if (!real.GetQueuedCompletionStatusEx(port, entries, room, count, ms, alertable))
        return FALSE;
    for (ULONG i = 0; i < *count; i++) {
        struct hidden *hide = (struct hidden *)(void *)entries[i].lpOverlapped;

        if ((uintptr_t)hide < (uintptr_t)hidden || (uintptr_t)hide >= (uintptr_t)hidden + sizeof(hidden))
            continue;
        hide->callers->Internal = hide->overlapped.Internal;
        hide->callers->InternalHigh = hide->overlapped.InternalHigh;
        *hide->result = hide->poll;
        entries[i].lpOverlapped = hide->callers;
        hide->callers = NULL;
    }
    return TRUE;
}

static void hide_begin(void)
{
    memset(hidden, 0, sizeof(hidden));
    real = loop__sys;
    loop__sys.DeviceIoControl = hiding_control;
    loop__sys.CancelIoEx = hiding_cancel;
    loop__sys.GetQueuedCompletionStatusEx = hiding_wait;
}

static void count_events(loop_poll_t *handle, int status, unsigned events)
{
    (void)handle;
    (void)events;
    told++;
    last_status = status;
}

static void what_was_found_before_a_poll_handle_was_stopped_is_not_told(void **state)
{
    char byte;

    (void)state;
    begin();
    told = 0;
    support_socket_pair(fds);
    hide_begin();
    assert_ok(loop_poll_init(loop, &poll, fds[0]));
    assert_ok(loop_poll_start(&poll, LOOP_READABLE, count_events));
    assert_int_equal(support_send(fds[1], "x", 1, 0), 1);
    (void)SleepEx(50, TRUE); /* it is found, which the loop has not looked at */
    assert_ok(loop_poll_stop(&poll));
    assert_int_equal(support_recv(fds[0], &byte, 1, 0), 1);
    assert_ok(loop_poll_start(&poll, LOOP_READABLE, count_events));
    for (int i = 0; i < 5; i++)
        assert_true(loop_run(loop, LOOP_RUN_NOWAIT) >= 0);
    assert_int_equal(told, 0);
    assert_int_equal(support_send(fds[1], "y", 1, 0), 1);
    support_until(loop, &told);
    support_finish(loop);
    loop__sys = real;
    support_close(fds[0]);
    support_close(fds[1]);
}

static void the_number_of_a_watched_descriptor_that_was_closed_early_may_be_watched_again(void **state)
{
    static loop_poll_t next;
    loop_os_fd_t fresh;

    (void)state;
    begin();
    told = 0;
    last_status = 0;
    support_socket_pair(fds);
    hide_begin();
    assert_ok(loop_poll_init(loop, &poll, fds[0]));
    assert_ok(loop_poll_start(&poll, LOOP_READABLE, count_events));
    assert_true(loop_run(loop, LOOP_RUN_NOWAIT) >= 0);
    support_close(fds[0]);
    (void)SleepEx(50, TRUE);
    fresh = support_socket(0);
    assert_ok(loop_poll_init(loop, &next, fresh));
    support_until(loop, &told);
    assert_int_equal(last_status, LOOP_EBADF);
    support_finish(loop);
    loop__sys = real;
    support_close(fresh);
    support_close(fds[1]);
}

LOOP_TEST_MAIN(TEST(a_poll_handle_whose_number_went_to_another_is_watched_no_more),
               TEST(a_descriptor_closed_between_two_polls_is_told_of_at_once),
               TEST(an_operation_of_a_lost_descriptor_says_so),
               TEST(what_was_found_before_a_poll_handle_was_stopped_is_not_told),
               TEST(the_number_of_a_watched_descriptor_that_was_closed_early_may_be_watched_again))
