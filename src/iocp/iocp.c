/* The completion port: making it, associating descriptors, waiting, waking. */
#include "iocp.h"

#include "platform.h"

/* ------------------------------------------------------------------------------------------------- the backend's life -- */

static int iocp_init(loop_t *loop)
{
    struct iocp *iocp;
    int error = loop__winsock_start();

    if (error != 0)
        return error;
    iocp = loop__resize(loop, NULL, sizeof(*iocp));
    if (iocp == NULL)
        return LOOP_ENOMEM;
    *iocp = (struct iocp){0};
    list_init(&iocp->rearm);
    iocp->port = loop__sys.CreateIoCompletionPort(INVALID_HANDLE_VALUE, NULL, 0, 1);
    if (iocp->port == NULL) {
        error = loop__last_error();
        loop__free(loop, iocp);
        return error;
    }
    loop->backend_data = iocp;
    return 0;
}

static void iocp_close(loop_t *loop)
{
    struct iocp *iocp = loop__iocp(loop);

    loop__fine_timer_close(iocp, loop);
    loop__poll_thread_close(iocp, loop);
    if (iocp->afd != NULL)
        (void)loop__sys.CloseHandle(iocp->afd);
    (void)loop__sys.CloseHandle(iocp->port);
    loop__fd_table_free(loop, &iocp->numbers);
    loop__free(loop, iocp);
    loop->backend_data = NULL;
}

/* Processes do not fork here. */
static int iocp_fork(loop_t *loop)
{
    (void)loop;
    return LOOP_ENOTSUP;
}

/* A port cannot be polled by another. */
static loop_os_fd_t iocp_fd(const loop_t *loop)
{
    (void)loop;
    return LOOP_INVALID_FD;
}

/* ----------------------------------------------------------------------------------------------------------- packets -- */

static void take_request(struct request *request)
{
    request->pending = false;
    switch ((enum request_kind)request->kind) {
    case REQUEST_OP:
        loop__iocp_op_packet(CONTAINER_OF(request, struct op, backend));
        break;
    case REQUEST_TRIGGER:
        loop__iocp_trigger_packet(CONTAINER_OF(request, struct desc, backend));
        break;
    case REQUEST_WATCH:
        loop__iocp_watch_packet(CONTAINER_OF(request, struct desc, backend));
        break;
    }
}

/* The number of those that are not only the end of a time. */
static int take_packets(struct iocp *iocp, ULONG count)
{
    int taken = 0;

    for (ULONG i = 0; i < count; i++) {
        const OVERLAPPED_ENTRY *packet = &iocp->packets[i];

        if (packet->lpCompletionKey == PACKET_REQUEST)
            take_request(CONTAINER_OF(packet->lpOverlapped, struct request, overlapped));
        else if (packet->lpCompletionKey == PACKET_WAKE)
            atomic_store(&iocp->woken, false);
        else
            loop__fine_timer_came(iocp);
        taken += packet->lpCompletionKey != PACKET_TIMER;
    }
    return taken;
}

/* One batch of packets. Those taken, or an error. */
static int dequeue(struct iocp *iocp, DWORD ms)
{
    ULONG count = 0;
    DWORD error;

    iocp->again = false;
    if (loop__sys.GetQueuedCompletionStatusEx(iocp->port, iocp->packets, PACKETS_PER_WAIT, &count, ms, FALSE)) {
        iocp->again = count == PACKETS_PER_WAIT;
        return take_packets(iocp, count);
    }
    error = loop__sys.GetLastError(); /* and the count says nothing */
    return error == WAIT_TIMEOUT ? 0 : loop__system_error((int)error);
}

/* What one poll takes at the most, so that it ends. */
#define BATCHES_PER_POLL 16

/* All that is there after the time, or comes in it. Those taken, or an error. */
static int dequeue_all(struct iocp *iocp, DWORD ms)
{
    int taken = dequeue(iocp, ms);

    for (int i = 1; taken >= 0 && iocp->again && i < BATCHES_PER_POLL; i++) {
        int more = dequeue(iocp, 0);

        if (more < 0)
            break; /* the next poll tells, if it lasts */
        taken += more;
    }
    return taken;
}

/* ------------------------------------------------------------------------------------------------------- descriptors -- */

static int look_at_handle(HANDLE handle)
{
    switch (loop__sys.GetFileType(handle)) {
    case FILE_TYPE_DISK:
        return LOOP_ENOTPOLLABLE; /* to read it, one has to say where */
    case FILE_TYPE_UNKNOWN:
        return loop__sys.GetLastError() == ERROR_INVALID_HANDLE ? LOOP_EBADF : 0;
    default:
        return 0;
    }
}

/* What is signalled has no business with the port. */
static int attach_watched(const struct desc *desc)
{
    DWORD flags;

    if (!(desc->flags & DESC_PROCESS))
        return LOOP_ENOTSUP;
    /* To wait for what there is not may be found out much later, or never. That of all bits is a name for this process. */
    if (desc->os.fd == LOOP_INVALID_FD)
        return LOOP_EBADF;
    return loop__sys.GetHandleInformation(loop__iocp_handle(desc), &flags) ? 0 : loop__last_error();
}

/* Notes what kind of descriptor it is: type and family of a socket, 0 of others. */
static int look(struct desc *desc)
{
    struct iocp_desc *iocp_desc = loop__iocp_desc(desc);
    WSAPROTOCOL_INFOW info;
    int type = 0;
    int length = sizeof(type);

    if (loop__sys.getsockopt(desc->os.fd, SOL_SOCKET, SO_TYPE, &type, &length) != 0)
        return look_at_handle(loop__iocp_handle(desc));
    iocp_desc->type = type;
    length = sizeof(info);
    if (loop__sys.getsockopt(desc->os.fd, SOL_SOCKET, SO_PROTOCOL_INFOW, &info, &length) != 0)
        return loop__winsock_error();
    iocp_desc->family = info.iAddressFamily;
    iocp_desc->skips = (info.dwServiceFlags1 & XP1_IFS_HANDLES) != 0;
    return 0;
}

/*
 * Layered providers (those without XP1_IFS_HANDLES) may complete a request behind the system's back, and then the packet that
 * was to be skipped is missed. Of datagram sockets Windows itself is known for that.
 */
static bool may_skip(const struct iocp_desc *iocp_desc)
{
    return iocp_desc->type == 0 || (iocp_desc->type == SOCK_STREAM && iocp_desc->skips);
}

static int associate(struct iocp *iocp, struct desc *desc)
{
    const UCHAR modes = FILE_SKIP_COMPLETION_PORT_ON_SUCCESS | FILE_SKIP_SET_EVENT_ON_HANDLE;
    struct iocp_desc *iocp_desc = loop__iocp_desc(desc);
    HANDLE handle = loop__iocp_handle(desc);

    if (loop__sys.CreateIoCompletionPort(handle, iocp->port, PACKET_REQUEST, 0) == NULL) {
        DWORD error = loop__sys.GetLastError();

        /* It knows no overlapped calls, or belongs to another port. */
        return error == ERROR_INVALID_PARAMETER ? LOOP_ENOTPOLLABLE : loop__system_error((int)error);
    }
    iocp_desc->skips = may_skip(iocp_desc) && loop__sys.SetFileCompletionNotificationModes(handle, modes);
    return 0;
}

/* What the descriptor itself has asked the kernel for, or is about to, ends. */
static void end_own_request(struct desc *desc)
{
    if (desc->flags & DESC_LEVEL)
        loop__iocp_watch_close(desc);
    else
        loop__iocp_trigger_close(desc);
}

/* What is with the kernel comes back from there, because its descriptor was closed. */
static void lose(struct desc *owner)
{
    end_own_request(owner);
    loop__iocp_lose(owner);
    loop__desc_lost(owner);
}

/* Who has the number. That the descriptor of a poll handle was closed is told by a packet, which may be there by now. */
static struct desc *owner_of(struct iocp *iocp, int number)
{
    struct desc *owner = loop__fd_table_owner(&iocp->numbers, number);
    int taken;

    if (owner == NULL || !(owner->flags & DESC_LEVEL) || !loop__iocp_desc(owner)->request.pending)
        return owner;
    taken = dequeue_all(iocp, 0);
    if (taken > 0)
        iocp->early += taken;
    return loop__fd_table_owner(&iocp->numbers, number);
}

/* Another has the number. To be put on the port once more tells that its descriptor is gone; polls need no such thing. */
static bool is_watched_still(const struct desc *owner, const struct desc *desc)
{
    return ((owner->flags | desc->flags) & DESC_LEVEL) != 0;
}

static int iocp_attach(loop_t *loop, struct desc *desc)
{
    struct iocp *iocp = loop__iocp(loop);
    struct iocp_desc *iocp_desc = loop__iocp_desc(desc);
    int number = loop__iocp_number(desc);
    struct desc *owner;
    int error;

    *iocp_desc = (struct iocp_desc){.base = INVALID_SOCKET, .accepting = INVALID_SOCKET, .accepted = INVALID_SOCKET};
    if (desc->flags & DESC_WATCHED)
        return attach_watched(desc);
    error = look(desc);
    if (error != 0)
        return error;
    owner = owner_of(iocp, number);
    if (owner != NULL && (desc->flags & DESC_GIVEN) && is_watched_still(owner, desc))
        return LOOP_EEXIST;
    error = loop__fd_table_reserve(loop, &iocp->numbers, number);
    if (error != 0)
        return error;
    if (desc->flags & DESC_LEVEL)
        error = iocp_desc->type != 0 ? loop__iocp_watch_init(desc) : LOOP_ENOTPOLLABLE;
    else
        error = associate(iocp, desc);
    if (error == LOOP_ENOTPOLLABLE && owner != NULL)
        return LOOP_EEXIST;
    if (error != 0)
        return error;
    desc->flags |= DESC_UNSURE; /* after every read the trigger is to be set again */
    if (owner != NULL)
        lose(owner);
    loop__fd_table_set(&iocp->numbers, number, desc);
    return 0;
}

static int iocp_detach(loop_t *loop, struct desc *desc, bool live)
{
    if (live)
        return LOOP_ENOTSUP; /* an association is for life */
    loop__fd_table_forget(&loop__iocp(loop)->numbers, loop__iocp_number(desc), desc);
    end_own_request(desc);
    return 0;
}

/* ------------------------------------------------------------------------------------------------------------- waiting -- */

/* Rounded up, so that no timer is early. */
static DWORD milliseconds(int64_t ns)
{
    const int64_t most = INFINITE - 1;
    int64_t ms;

    if (ns < 0)
        return INFINITE;
    ms = ns / 1000000 + (ns % 1000000 != 0);
    return (DWORD)(ms < most ? ms : most);
}

/* What the system's tick would round up too far is measured by a timer of its own. */
#define TICK ((int64_t)LOOP_MS(16))

static DWORD wait_time(loop_t *loop, uint64_t end, int64_t left)
{
    if (left > 0 && left < TICK && loop__fine_timer_start(loop__iocp(loop), loop, end, left))
        return milliseconds(TICK); /* for the case that it does not come */
    return milliseconds(left);
}

static int iocp_poll(loop_t *loop, int64_t timeout)
{
    struct iocp *iocp = loop__iocp(loop);
    uint64_t end = timeout > 0 ? loop__add_saturated(loop__clock(loop->now), (uint64_t)timeout) : 0;
    int64_t left = timeout;
    int early = iocp->early + loop__iocp_rearm(iocp);

    iocp->early = 0;
    if (atomic_load(&iocp->unposted))
        early += atomic_exchange(&iocp->unposted, false);
    if (early > 0)
        left = 0; /* which is to be told at once */
    if (iocp->poller != NULL && left == 0)
        loop__poll_thread_look(iocp->poller); /* a wait would give it the time */
    for (;;) {
        int taken = dequeue_all(iocp, wait_time(loop, end, left));

        if (taken != 0 || timeout == 0 || early > 0)
            return taken >= 0 ? taken + early : taken;
        if (timeout > 0) {
            left = loop__time_until(loop__clock(loop->now), end);
            if (left == 0)
                return 0;
        }
    }
}

/* About a second, in which the system may find the memory for a packet that it was short of. */
#define WAKE_UP_TRIES 1000

static bool post_wake_up(struct iocp *iocp)
{
    for (int i = 0; i < WAKE_UP_TRIES; i++) {
        if (loop__sys.PostQueuedCompletionStatus(iocp->port, 0, PACKET_WAKE, NULL))
            return true;
        (void)loop__sys.SleepEx(1, FALSE);
    }
    return false;
}

static void iocp_wake(loop_t *loop)
{
    struct iocp *iocp = loop__iocp(loop);

    if (atomic_exchange(&iocp->woken, true))
        return;
    if (post_wake_up(iocp))
        return;
    atomic_store(&iocp->unposted, true);
    atomic_store(&iocp->woken, false);
}

const struct loop_backend loop__backend = {
    .name = "iocp",
    .init = iocp_init,
    .close = iocp_close,
    .fork = iocp_fork,
    .fd = iocp_fd,
    .attach = iocp_attach,
    .detach = iocp_detach,
    .submit = loop__iocp_submit,
    .cancel = loop__iocp_cancel,
    .arm = loop__iocp_arm,
    .accept = loop__iocp_take,
    .watch = loop__iocp_watch,
    .watch_port = NULL,
    .resume = loop__iocp_resume,
    .poll = iocp_poll,
    .wake = iocp_wake,
};
