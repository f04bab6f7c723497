/* The monotonic clock, who a thread is, and giving way to others. */
#include "platform.h"
#include "sys.h"

#include <pthread.h>

uint64_t loop__clock(uint64_t last)
{
    struct timespec ts;

    if (loop__sys.clock_gettime(CLOCK_MONOTONIC, &ts) != 0)
        return last;
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

uintptr_t loop__thread_id(void)
{
    return (uintptr_t)pthread_self();
}

void loop__yield(void)
{
    (void)loop__sys.sched_yield();
}
