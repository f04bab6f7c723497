#include "sys.h"

#include "fake_time.h"

#define SECOND 1000000000u

uint64_t fake_time;
int fake_time_reads;
static struct loop_sys system_calls;

static BOOL read_time(LARGE_INTEGER *count)
{
    LARGE_INTEGER frequency;
    uint64_t per_second;

    (void)QueryPerformanceFrequency(&frequency);
    per_second = (uint64_t)frequency.QuadPart;
    fake_time_reads++;
    count->QuadPart = (LONGLONG)(fake_time / SECOND * per_second + fake_time % SECOND * per_second / SECOND);
    return TRUE;
}

/* What is there already is found: the end of a request that is to be closed may be among it. */
static BOOL wait_in_fake_time(HANDLE port, OVERLAPPED_ENTRY *entries, ULONG room, ULONG *count, DWORD ms,
                              BOOL alertable)
{
    if (system_calls.GetQueuedCompletionStatusEx(port, entries, room, count, 0, alertable))
        return TRUE;
    fake_time += (uint64_t)ms * 1000000u;
    SetLastError(WAIT_TIMEOUT);
    return FALSE;
}

void fake_time_begin(void)
{
    system_calls = loop__sys;
    loop__sys.QueryPerformanceCounter = read_time;
    loop__sys.GetQueuedCompletionStatusEx = wait_in_fake_time;
    fake_time = (uint64_t)1000 * SECOND;
    fake_time_reads = 0;
}

void fake_time_end(void)
{
    loop__sys = system_calls;
}
