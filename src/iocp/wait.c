/*
 * The exit of a process, and whatever else is signalled: a thread of the system's pool waits for the object and posts the
 * packet of the operation.
 */
#include "iocp.h"

#include "platform.h"

/*
 * The waits that nothing has come of. A callback knows its own by a number: it may come after its wait was unregistered
 * (Wine's threads look at the object once more), when the operation is over and its memory serves something else.
 */
#define BUCKETS 64

static SRWLOCK lock = SRWLOCK_INIT;
static struct iocp_op *waits[BUCKETS];
static uintptr_t last_number;

/* With the lock. What points to it, or to NULL. */
static struct iocp_op **place_of(uintptr_t number)
{
    struct iocp_op **place = &waits[number % BUCKETS];

    while (*place != NULL && (*place)->io.wait.number != number)
        place = &(*place)->io.wait.next;
    return place;
}

static void remember(struct iocp_op *iocp_op)
{
    struct iocp_op **place;

    AcquireSRWLockExclusive(&lock);
    iocp_op->io.wait.number = ++last_number;
    place = place_of(last_number);
    iocp_op->io.wait.next = NULL;
    *place = iocp_op;
    ReleaseSRWLockExclusive(&lock);
}

/* Whether it was there: no packet was posted, and none will be. */
static bool forget(const struct iocp_op *iocp_op)
{
    struct iocp_op **place;
    bool found;

    AcquireSRWLockExclusive(&lock);
    place = place_of(iocp_op->io.wait.number);
    found = *place != NULL;
    if (found)
        *place = iocp_op->io.wait.next;
    ReleaseSRWLockExclusive(&lock);
    return found;
}

/* False: it must be tried again. */
static bool post(uintptr_t number)
{
    struct iocp_op **place;
    bool done = true;

    AcquireSRWLockExclusive(&lock);
    place = place_of(number);
    if (*place != NULL) {
        struct iocp_op *iocp_op = *place;

        *place = iocp_op->io.wait.next; /* first: it belongs to whoever takes the packet */
        done = loop__sys.PostQueuedCompletionStatus(iocp_op->io.wait.port, 0, PACKET_REQUEST,
                                                    &iocp_op->request.overlapped);
        if (!done)
            *place = iocp_op;
    }
    ReleaseSRWLockExclusive(&lock);
    return done;
}

static void CALLBACK on_signalled(void *context, BOOLEAN timed_out)
{
    (void)timed_out;
    /* Nobody else would tell the loop, and the system will not be short of memory for ever. */
    while (!post((uintptr_t)context))
        (void)loop__sys.SleepEx(1, FALSE);
}

int loop__iocp_await_signalled(struct op *op)
{
    struct iocp_op *iocp_op = loop__iocp_op(op);

    (void)loop__request_begin(&iocp_op->request);
    iocp_op->io.wait.port = loop__iocp(op->desc->handle.loop)->port;
    remember(iocp_op);
    if (!loop__sys.RegisterWaitForSingleObject(&iocp_op->io.wait.handle, loop__iocp_handle(op->desc), on_signalled,
                                               (void *)iocp_op->io.wait.number, INFINITE,
                                               WT_EXECUTEINWAITTHREAD | WT_EXECUTEONLYONCE)) {
        int status = loop__last_error();

        (void)forget(iocp_op);
        return status;
    }
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
    bool forgotten = forget(iocp_op);

    unregister(iocp_op);
    iocp_op->io.wait.handle = NULL;
    if (forgotten)
        iocp_op->request.pending = false;
    return forgotten;
}
