/*
 * Readiness of sockets: polls of the AFD driver, which is what Winsock itself is built on. Each poll is a request on a device of
 * the loop's own, tells once, and is asked for anew before the next wait for as long as somebody watches. Where the driver is out
 * of reach, a thread stands in for it.
 */
#include "iocp.h"

#include "platform.h"

#define AFD_OVER ((unsigned)AFD_ABORT | (unsigned)AFD_CONNECT_FAIL)

static ULONG asked_for(unsigned events)
{
    ULONG asked = AFD_OVER;

    if (events & LOOP_READABLE)
        asked |= (ULONG)AFD_RECEIVE | (ULONG)AFD_ACCEPT | (ULONG)AFD_DISCONNECT;
    if (events & LOOP_WRITABLE)
        asked |= AFD_SEND;
    if (events & LOOP_DISCONNECT)
        asked |= AFD_DISCONNECT;
    if (events & LOOP_PRIORITIZED)
        asked |= AFD_RECEIVE_EXPEDITED;
    return asked;
}

/* Of what is watched, what the driver's events mean. An error or a hang-up counts as all of it. */
static unsigned found_in(unsigned watched, const struct afd_poll *poll)
{
    unsigned events = poll->count > 0 ? poll->events : 0;
    unsigned found = 0;

    if (events & (AFD_OVER | AFD_LOCAL_CLOSE))
        return watched;
    if (events & (AFD_RECEIVE | AFD_ACCEPT | AFD_DISCONNECT))
        found |= LOOP_READABLE;
    if (events & AFD_SEND)
        found |= LOOP_WRITABLE;
    if (events & AFD_DISCONNECT)
        found |= LOOP_DISCONNECT;
    if (events & AFD_RECEIVE_EXPEDITED)
        found |= LOOP_PRIORITIZED;
    return found & watched;
}

/* ------------------------------------------------------------------------------------------------------- the device -- */

static int open_device(struct iocp *iocp)
{
    static WCHAR path[] = L"\\Device\\Afd\\loop";
    UNICODE_STRING name = {sizeof(path) - sizeof(path[0]), sizeof(path), path};
    OBJECT_ATTRIBUTES attributes = {.Length = sizeof(attributes), .ObjectName = &name};
    IO_STATUS_BLOCK done;
    HANDLE device;
    NTSTATUS status = loop__sys.NtCreateFile(&device, SYNCHRONIZE, &attributes, &done, NULL, 0,
                                             FILE_SHARE_READ | FILE_SHARE_WRITE, FILE_OPEN, 0, NULL, 0);

    if (status < 0)
        return loop__nt_error((uint32_t)status);
    if (loop__sys.CreateIoCompletionPort(device, iocp->port, PACKET_REQUEST, 0) == NULL) {
        int error = loop__last_error();

        (void)loop__sys.CloseHandle(device);
        return error;
    }
    iocp->afd = device;
    return 0;
}

/* What may be had another time: the thread would need it, too. */
static bool is_lack(int error)
{
    return error == LOOP_ENOMEM || error == LOOP_ENOBUFS || error == LOOP_EMFILE || error == LOOP_ENFILE;
}

static int open_device_or_thread(struct iocp *iocp, loop_t *loop)
{
    int error = iocp->afd == NULL && iocp->poller == NULL ? open_device(iocp) : 0;

    return error == 0 || is_lack(error) ? error : loop__poll_thread_open(iocp, loop);
}

/* Without the flag for skipping: a poll that is answered at once gives its packet, too. */
static int start_poll(loop_t *loop, struct request *request, struct afd_poll *poll, SOCKET socket, unsigned events)
{
    struct iocp *iocp = loop__iocp(loop);
    OVERLAPPED *overlapped = loop__request_begin(request);
    DWORD error = ERROR_SUCCESS;
    int opened = open_device_or_thread(iocp, loop);

    if (opened != 0)
        return opened;
    *poll = (struct afd_poll){.timeout = {.QuadPart = INT64_MAX}, .count = 1};
    poll->handle = (HANDLE)socket;
    poll->events = asked_for(events);
    if (iocp->poller != NULL) {
        int asked = loop__poll_thread_ask(iocp->poller, loop, request, poll);

        return asked != 0 ? asked : loop__request_started(request, ERROR_IO_PENDING, WAY_PLAIN);
    }
    if (!loop__sys.DeviceIoControl(iocp->afd, IOCTL_AFD_POLL, poll, sizeof(*poll), poll, sizeof(*poll), NULL,
                                   overlapped))
        error = loop__sys.GetLastError();
    return loop__request_started(request, error, WAY_PLAIN);
}

void loop__iocp_poll_cancel(struct iocp *iocp, struct request *request)
{
    if (iocp->poller == NULL)
        loop__request_cancel(iocp->afd, request);
    else if (request->pending)
        loop__poll_thread_cancel(iocp->poller, request);
}

/* Layered providers have sockets of their own; the driver knows those below. */
static int base_of(SOCKET socket, SOCKET *base)
{
    DWORD bytes;

    if (loop__sys.WSAIoctl(socket, SIO_BASE_HANDLE, NULL, 0, base, sizeof(*base), &bytes, NULL, NULL) == 0)
        return 0;
    return loop__winsock_error();
}

/* ------------------------------------------------------------------------------------------------------- operations -- */

static int poll_socket(struct desc *desc, struct request *request, struct afd_poll *poll, unsigned events)
{
    SOCKET base;
    int error = base_of(desc->os.fd, &base);

    return error != 0 ? error : start_poll(desc->handle.loop, request, poll, base, events);
}

int loop__iocp_await_ready(struct op *op, struct request *request, struct afd_poll *poll)
{
    struct desc *desc = op->desc;

    if (loop__iocp_desc(desc)->type == 0) {
        /* Of pipes only what can be read is told: by a read of nothing. */
        static char nothing;
        BOOL ok;

        loop__request_begin(request);
        if (op->events & LOOP_WRITABLE)
            return START_DONE;
        ok = loop__sys.ReadFile(loop__iocp_handle(desc), &nothing, 0, NULL, &request->overlapped);
        return loop__request_started(request, ok ? ERROR_SUCCESS : loop__sys.GetLastError(),
                                     loop__iocp_way(desc) | WAY_RECEIVES);
    }
    return poll_socket(desc, request, poll, op->events);
}

int loop__iocp_await_room(struct op *op, struct request *request, struct afd_poll *poll)
{
    return poll_socket(op->desc, request, poll, LOOP_WRITABLE);
}

bool loop__iocp_polls(const struct op *op)
{
    if (op->kind == OP_WRITE)
        return loop__iocp_op((struct op *)(uintptr_t)op)->full;
    return op->kind == OP_READY && loop__iocp_desc(op->desc)->type != 0;
}

unsigned loop__iocp_ready_found(const struct op *op, const struct afd_poll *poll)
{
    if (loop__iocp_desc(op->desc)->type == 0)
        return op->events & LOOP_WRITABLE ? LOOP_WRITABLE : LOOP_READABLE;
    return found_in(op->events, poll);
}

/* ----------------------------------------------------------------------------------------------------- poll handles -- */

static void ask_anew(struct iocp *iocp, struct iocp_desc *iocp_desc)
{
    if (!iocp_desc->rearms) {
        iocp_desc->rearms = true;
        list_push(&iocp->rearm, &iocp_desc->rearm);
    }
}

static void ask_no_more(struct iocp_desc *iocp_desc)
{
    if (iocp_desc->rearms) {
        iocp_desc->rearms = false;
        list_remove(&iocp_desc->rearm);
    }
}

static int ask(struct desc *desc, unsigned events)
{
    struct iocp_desc *iocp_desc = loop__iocp_desc(desc);
    int started;

    iocp_desc->request.kind = REQUEST_WATCH;
    started = start_poll(desc->handle.loop, &iocp_desc->request, &iocp_desc->io.poll, iocp_desc->base, events);
    if (started < 0)
        return started;
    iocp_desc->asked = (uint8_t)events;
    return 0;
}

int loop__iocp_watch_init(struct desc *desc)
{
    return base_of(desc->os.fd, &loop__iocp_desc(desc)->base);
}

int loop__iocp_watch(loop_t *loop, struct desc *desc, unsigned events)
{
    struct iocp *iocp = loop__iocp(loop);
    struct iocp_desc *iocp_desc = loop__iocp_desc(desc);
    int error = 0;

    if (iocp_desc->request.pending) {
        /* It may be answered, which is known only when its packet was taken. Another is asked for after that. */
        iocp_desc->outdated = true;
        if (events & ~(unsigned)iocp_desc->asked)
            loop__iocp_poll_cancel(iocp, &iocp_desc->request);
    } else if (events != 0) {
        error = ask(desc, events);
    }
    if (error != 0)
        return error;
    ask_no_more(iocp_desc);
    iocp_desc->events = (uint8_t)events;
    return 0;
}

/* The last poll said that the socket was closed, which no handle of ours can have done. */
static bool is_closed(const struct iocp_desc *iocp_desc)
{
    const struct afd_poll *poll = &iocp_desc->io.poll;

    return loop__request_succeeded(&iocp_desc->request) && poll->count > 0 && (poll->events & AFD_LOCAL_CLOSE) != 0;
}

static void lose(struct desc *desc)
{
    loop__iocp_desc(desc)->events = 0;
    loop__fd_table_forget(&loop__iocp(desc->handle.loop)->numbers, loop__iocp_number(desc), desc);
    loop__desc_lost(desc);
}

void loop__iocp_watch_packet(struct desc *desc)
{
    struct iocp_desc *iocp_desc = loop__iocp_desc(desc);
    struct iocp *iocp = loop__iocp(desc->handle.loop);
    bool told = loop__request_succeeded(&iocp_desc->request);
    unsigned found;

    if (desc->os.fd == LOOP_INVALID_FD) {
        loop__desc_release(desc); /* closed or lost meanwhile */
        return;
    }
    if (is_closed(iocp_desc)) {
        lose(desc);
        return;
    }
    found = told && !iocp_desc->outdated ? found_in(iocp_desc->events, &iocp_desc->io.poll) : 0;
    iocp_desc->outdated = false;
    if (found != 0)
        loop__desc_found(desc, found);
    if (iocp_desc->events == 0)
        return;
    if (found != 0) {
        ask_anew(iocp, iocp_desc);
    } else {
        /* What it is now asked for may hold, and this poll is to find it. */
        iocp->again = true;
        if (ask(desc, iocp_desc->events) != 0)
            lose(desc);
    }
}

int loop__iocp_rearm(struct iocp *iocp)
{
    struct link batch;
    int lost = 0;

    list_take(&iocp->rearm, &batch);
    while (!list_empty(&batch)) {
        struct iocp_desc *iocp_desc = CONTAINER_OF(list_pop(&batch), struct iocp_desc, rearm);
        struct desc *desc = CONTAINER_OF(iocp_desc, struct desc, backend);

        iocp_desc->rearms = false;
        if (ask(desc, iocp_desc->events) != 0) {
            lose(desc); /* nothing would tell any more */
            lost++;
        }
    }
    return lost;
}

void loop__iocp_watch_close(struct desc *desc)
{
    struct iocp_desc *iocp_desc = loop__iocp_desc(desc);

    ask_no_more(iocp_desc);
    if (iocp_desc->request.pending) {
        loop__iocp_poll_cancel(loop__iocp(desc->handle.loop), &iocp_desc->request);
        loop__desc_hold(desc);
    }
}
