/* The poll as the loop calls it: counted, probed, and timed where that was asked for. */
#ifndef LOOP_METRICS_H
#define LOOP_METRICS_H

#include "internal.h"

/* The backend's poll between two readings of the clock. */
int loop__metrics_timed_poll(loop_t *loop, int64_t timeout);

LOOP_INLINE int loop__metrics_poll(loop_t *loop, int64_t timeout)
{
    struct metrics *metrics = &loop->metrics;
    int found;

    LOOP_PROBE2(poll_begin, loop, timeout);
    found = metrics->timed ? loop__metrics_timed_poll(loop, timeout) : loop->backend->poll(loop, timeout);
    metrics->waits++;
    LOOP_PROBE2(poll_end, loop, found);
    return found;
}

#endif
