/*
 * Handles that read or accept by themselves, into memory that is chosen when something is there. A read of zero bytes tells
 * when: so an idle connection holds no buffer. For a listener AcceptEx is both: it tells, and has the connection.
 */
#include "iocp.h"

#include "platform.h"

static bool is_armed(const struct desc *desc)
{
    return (desc->flags & DESC_ARMED) != 0;
}

/* Something can be read, or taken, or told. */
static void tell(struct desc *desc)
{
    struct iocp_desc *iocp_desc = loop__iocp_desc(desc);

    desc->flags |= DESC_READABLE;
    if (!is_armed(desc))
        return; /* remembered until the handle reads again */
    if (iocp_desc->error != 0 && !(desc->flags & DESC_LISTENER))
        loop__desc_unreadable(desc, iocp_desc->error);
    else
        loop__desc_ready(desc, TODO_READ);
}

static int start_reading(struct desc *desc)
{
    static char nothing;
    struct request *request = &loop__iocp_desc(desc)->request;
    WSABUF buf = {0, &nothing};
    DWORD flags = 0;
    int rc = loop__sys.WSARecv(desc->os.fd, &buf, 1, NULL, &flags, loop__request_begin(request), NULL);

    return loop__stream_error(loop__request_started(
        request, rc == 0 ? ERROR_SUCCESS : (DWORD)loop__sys.WSAGetLastError(), loop__iocp_way(desc)));
}

/* The trigger is over: what it found goes into *iocp_desc. */
static void note_result(struct desc *desc)
{
    struct iocp_desc *iocp_desc = loop__iocp_desc(desc);
    struct request *request = &iocp_desc->request;
    int error = loop__request_succeeded(request) ? 0 : loop__nt_error(loop__request_status(request));

    if (!(desc->flags & DESC_LISTENER)) {
        iocp_desc->error = loop__stream_error(error);
        return;
    }
    if (error == 0)
        error = loop__iocp_accepted(desc->os.fd, iocp_desc->accepting);
    if (error == 0)
        iocp_desc->accepted = iocp_desc->accepting;
    else
        loop__socket_close(iocp_desc->accepting);
    iocp_desc->accepting = INVALID_SOCKET;
    if (!loop__iocp_lost(error))
        iocp_desc->error = error;
}

/* Has the kernel tell when there is something. */
static void await(struct desc *desc)
{
    struct iocp_desc *iocp_desc = loop__iocp_desc(desc);
    int started;

    desc->flags &= ~(uint32_t)DESC_READABLE;
    iocp_desc->request.kind = REQUEST_TRIGGER;
    started = desc->flags & DESC_LISTENER
                  ? loop__iocp_accept(desc, &iocp_desc->request, iocp_desc->io.addresses, &iocp_desc->accepting)
                  : start_reading(desc);
    if (started == START_PENDING)
        return;
    if (started == START_DONE)
        note_result(desc);
    else if (!(desc->flags & DESC_LISTENER))
        iocp_desc->error = loop__stream_error(started);
    else if (!loop__iocp_lost(started))
        iocp_desc->error = started;
    tell(desc);
}

void loop__iocp_arm(loop_t *loop, struct desc *desc, enum read_seen seen, size_t bytes)
{
    struct iocp_desc *iocp_desc = loop__iocp_desc(desc);

    (void)loop;
    (void)bytes;
    desc->flags |= DESC_ARMED;
    if (iocp_desc->request.pending)
        return;
    if (seen == READ_FULL || (seen == READ_FIRST && (desc->flags & DESC_READABLE)))
        tell(desc);
    else
        await(desc);
}

void loop__iocp_trigger_packet(struct desc *desc)
{
    struct iocp_desc *iocp_desc = loop__iocp_desc(desc);

    if (desc->os.fd == LOOP_INVALID_FD) { /* closed or lost meanwhile */
        if (iocp_desc->accepting != INVALID_SOCKET)
            loop__socket_close(iocp_desc->accepting);
        loop__desc_release(desc);
        return;
    }
    note_result(desc);
    tell(desc);
}

int loop__iocp_take(loop_t *loop, struct desc *desc, loop_os_fd_t *result)
{
    struct iocp_desc *iocp_desc = loop__iocp_desc(desc);
    int error = iocp_desc->error;

    (void)loop;
    iocp_desc->error = 0;
    if (error != 0)
        return error;
    if (iocp_desc->accepted != INVALID_SOCKET) {
        *result = iocp_desc->accepted;
        iocp_desc->accepted = INVALID_SOCKET;
        return 0;
    }
    /* Connections that came in one go are taken one after the other; while AcceptEx waits there is none. */
    return iocp_desc->request.pending ? LOOP_EAGAIN : loop__socket_accept(desc->os.fd, result);
}

void loop__iocp_trigger_close(struct desc *desc)
{
    struct iocp_desc *iocp_desc = loop__iocp_desc(desc);

    if (iocp_desc->accepted != INVALID_SOCKET)
        loop__socket_close(iocp_desc->accepted);
    iocp_desc->accepted = INVALID_SOCKET;
    if (iocp_desc->request.pending) {
        loop__request_cancel(loop__iocp_handle(desc), &iocp_desc->request);
        loop__desc_hold(desc);
    }
}
