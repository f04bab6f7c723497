/* One attempt at one operation. */
#ifndef LOOP_POSIX_ATTEMPT_H
#define LOOP_POSIX_ATTEMPT_H

#include "readiness.h"

/* System calls that one writing operation may make in a row: against a peer that drains as fast as we send, a large write would
 * else keep everybody waiting. */
#define WRITES_PER_ATTEMPT 16

enum attempt {
    ATTEMPT_DONE,    /* *status says how */
    ATTEMPT_BLOCKED, /* the descriptor is not ready, and its flag says so */
    ATTEMPT_YIELDED  /* it is, but the others have their turn first */
};

enum attempt loop__attempt(struct op *op, int *status);

#endif
