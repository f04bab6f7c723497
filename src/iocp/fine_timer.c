/*
 * Waits that are finer than the system's tick: a waitable timer of high resolution, whose end a thread of the system's pool
 * turns into a packet.
 */
#include "iocp.h"

#include "platform.h"

struct fine_timer {
    HANDLE timer;
    PTP_WAIT wait;
    uint64_t end; /* the instant that is set; 0: none, or it has come */
};

/* Takes nothing from *fine, which may be gone: see wait.c. */
static void CALLBACK on_end(PTP_CALLBACK_INSTANCE instance, PVOID context, PTP_WAIT wait, TP_WAIT_RESULT result)
{
    HANDLE port = context;

    (void)instance;
    (void)wait;
    (void)result;
    (void)loop__sys.PostQueuedCompletionStatus(port, 0, PACKET_TIMER, NULL);
}

static void destroy(struct fine_timer *fine, loop_t *loop)
{
    if (fine->wait != NULL) {
        SetThreadpoolWait(fine->wait, NULL, NULL);
        WaitForThreadpoolWaitCallbacks(fine->wait, TRUE);
        CloseThreadpoolWait(fine->wait);
    }
    if (fine->timer != NULL)
        (void)loop__sys.CloseHandle(fine->timer);
    loop__free(loop, fine);
}

static struct fine_timer *make(struct iocp *iocp, loop_t *loop)
{
    struct fine_timer *fine = loop__resize(loop, NULL, sizeof(*fine));

    if (fine == NULL)
        return NULL;
    *fine = (struct fine_timer){0};
    fine->timer = loop__sys.CreateWaitableTimerExW(NULL, NULL, CREATE_WAITABLE_TIMER_HIGH_RESOLUTION, TIMER_ALL_ACCESS);
    if (fine->timer != NULL)
        fine->wait = loop__sys.CreateThreadpoolWait(on_end, iocp->port, NULL);
    if (fine->wait != NULL)
        return fine;
    destroy(fine, loop);
    return NULL;
}

bool loop__fine_timer_start(struct iocp *iocp, loop_t *loop, uint64_t end, int64_t ns)
{
    LARGE_INTEGER due = {.QuadPart = -((ns + 99) / 100)}; /* relative, and never early */
    struct fine_timer *fine = iocp->timer;

    if (fine == NULL && !iocp->coarse) {
        fine = make(iocp, loop);
        iocp->timer = fine;
        iocp->coarse = fine == NULL;
    }
    if (fine == NULL)
        return false;
    if (fine->end == end)
        return true;
    if (!loop__sys.SetWaitableTimer(fine->timer, &due, 0, NULL, NULL, FALSE))
        return false;
    SetThreadpoolWait(fine->wait, fine->timer, NULL);
    fine->end = end;
    return true;
}

void loop__fine_timer_came(struct iocp *iocp)
{
    if (iocp->timer != NULL)
        iocp->timer->end = 0;
}

void loop__fine_timer_close(struct iocp *iocp, loop_t *loop)
{
    if (iocp->timer != NULL)
        destroy(iocp->timer, loop);
    iocp->timer = NULL;
}
