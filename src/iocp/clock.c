/* The monotonic clock, who a thread is, and giving way to others. */
#include "platform.h"
#include "sys.h"

#include <stdatomic.h>

#define NS_PER_SECOND 1000000000u

/* Ticks per second, fixed while the system runs; 0: not read yet. Threads that read it at once read the same. */
static _Atomic(uint64_t) frequency;

static uint64_t ticks_per_second(void)
{
    uint64_t ticks = atomic_load_explicit(&frequency, memory_order_relaxed);
    LARGE_INTEGER read;

    if (ticks == 0 && loop__sys.QueryPerformanceFrequency(&read) && read.QuadPart > 0) {
        ticks = (uint64_t)read.QuadPart;
        atomic_store_explicit(&frequency, ticks, memory_order_relaxed);
    }
    return ticks;
}

uint64_t loop__clock(uint64_t last)
{
    uint64_t ticks = ticks_per_second();
    LARGE_INTEGER read;
    uint64_t count;

    if (ticks == 0 || !loop__sys.QueryPerformanceCounter(&read))
        return last;
    count = (uint64_t)read.QuadPart;
    /* In two parts: the product of all ticks and a second's ns would overflow within days. */
    return count / ticks * NS_PER_SECOND + count % ticks * NS_PER_SECOND / ticks;
}

uintptr_t loop__thread_id(void)
{
    return GetCurrentThreadId();
}

void loop__yield(void)
{
    (void)loop__sys.SwitchToThread();
}
