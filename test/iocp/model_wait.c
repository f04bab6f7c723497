/* The random test's hand in the clock and the waits of completion ports. Of the calls none goes wrong: allocations do. */
#include "model_seam.h"

#include "iocp/sys.h"

struct seam_look {
    HANDLE port;
    OVERLAPPED_ENTRY *entries;
    ULONG room;
};

#define FREQUENCY 1000000000

static struct loop_sys real;

static BOOL seam_frequency(LARGE_INTEGER *frequency)
{
    frequency->QuadPart = FREQUENCY;
    return TRUE;
}

static BOOL seam_counter(LARGE_INTEGER *count)
{
    count->QuadPart = (LONGLONG)seam_now;
    return TRUE;
}

/* Real time would pass. */
static HANDLE seam_no_timer(SECURITY_ATTRIBUTES *security, const WCHAR *name, DWORD flags, DWORD access)
{
    (void)security;
    (void)name;
    (void)flags;
    (void)access;
    SetLastError(ERROR_INVALID_PARAMETER);
    return NULL;
}

int seam_take(struct seam_look *look)
{
    ULONG count = 0;
    ULONG room = chance(20) ? 1 + below(3) : look->room;

    if (!real.GetQueuedCompletionStatusEx(look->port, look->entries, room, &count, 0, FALSE))
        return 0;
    return seam_disorder(look->entries, sizeof(*look->entries), (int)count);
}

bool seam_interrupts_wait(struct seam_look *look)
{
    (void)look;
    return false;
}

static BOOL seam_dequeue(HANDLE port, OVERLAPPED_ENTRY *entries, ULONG room, ULONG *count, DWORD ms, BOOL alertable)
{
    struct seam_look look = {port, entries, room};
    int n;

    (void)alertable;
    n = seam_wait(&look, ms == INFINITE ? -1 : (int64_t)LOOP_MS(ms), LOOP_MS(1));
    *count = (ULONG)n;
    if (n > 0)
        return TRUE;
    SetLastError(WAIT_TIMEOUT);
    return FALSE;
}

static BOOL seam_no_modes(HANDLE handle, UCHAR modes)
{
    (void)handle;
    (void)modes;
    SetLastError(ERROR_NOT_SUPPORTED);
    return FALSE;
}

uint64_t seam_sent(loop_os_fd_t fd)
{
    (void)fd;
    return 0;
}

void seam_opened(loop_os_fd_t fd)
{
    (void)fd;
}

/* The clock's frequency is asked for once in a process, by the first run. */
void seam_begin(void)
{
    real = loop__sys;
    seam_now = LOOP_SEC(1000);
    loop__sys.QueryPerformanceFrequency = seam_frequency;
    loop__sys.QueryPerformanceCounter = seam_counter;
    loop__sys.CreateWaitableTimerExW = seam_no_timer;
    loop__sys.GetQueuedCompletionStatusEx = seam_dequeue;
    if (world->plan->packets_always)
        loop__sys.SetFileCompletionNotificationModes = seam_no_modes;
}

void seam_end(void)
{
    loop__sys = real;
}
