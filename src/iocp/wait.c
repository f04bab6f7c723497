/*
 * The exit of a process, and whatever else is signalled: a thread of the system's pool waits for the object and posts the
 * packet of the operation.
 */
#include "iocp.h"

#include "platform.h"

/* The operation stays where it is until this has returned: whoever takes its packet, or cancels it, unregisters the wait. */
static void CALLBACK on_signalled(void *context, BOOLEAN timed_out)
{
    struct iocp_op *iocp_op = context;
    HANDLE port = iocp_op->io.wait.port;

    (void)timed_out;
    /* Nobody else would tell the loop, and the system will not be short of memory for ever. */
    while (!loop__sys.PostQueuedCompletionStatus(port, 0, PACKET_REQUEST, &iocp_op->request.overlapped)) {
        if (atomic_load(&iocp_op->io.wait.cancelled))
            return;
        (void)loop__sys.SleepEx(1, FALSE);
    }
    atomic_store(&iocp_op->io.wait.posted, true);
}

int loop__iocp_await_signalled(struct op *op)
{
    struct iocp_op *iocp_op = loop__iocp_op(op);

    (void)loop__request_begin(&iocp_op->request);
    iocp_op->io.wait.port = loop__iocp(op->desc->handle.loop)->port;
    atomic_init(&iocp_op->io.wait.posted, false);
    atomic_init(&iocp_op->io.wait.cancelled, false);
    if (!loop__sys.RegisterWaitForSingleObject(&iocp_op->io.wait.handle, loop__iocp_handle(op->desc), on_signalled,
                                               iocp_op, INFINITE, WT_EXECUTEINWAITTHREAD | WT_EXECUTEONLYONCE))
        return loop__last_error();
    iocp_op->request.pending = true;
    return START_PENDING;
}

/* Waits for the callback, if it runs: it only posts. Of a wait that is registered this cannot fail. */
static void unregister(struct iocp_op *iocp_op)
{
    (void)loop__sys.UnregisterWaitEx(iocp_op->io.wait.handle, INVALID_HANDLE_VALUE);
}

void loop__iocp_signalled(struct op *op)
{
    struct iocp_op *iocp_op = loop__iocp_op(op);

    if (iocp_op->io.wait.handle != NULL)
        unregister(iocp_op);
}

bool loop__iocp_wait_cancel(struct op *op)
{
    struct iocp_op *iocp_op = loop__iocp_op(op);

    atomic_store(&iocp_op->io.wait.cancelled, true);
    unregister(iocp_op);
    iocp_op->io.wait.handle = NULL;
    if (atomic_load(&iocp_op->io.wait.posted))
        return false; /* its packet is on its way */
    iocp_op->request.pending = false;
    return true;
}
