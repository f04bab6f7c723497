/* What an epoll backend keeps of its loop. */
#ifndef LOOP_EPOLL_H
#define LOOP_EPOLL_H

#include "slots.h"

#include "posix/readiness.h"
#include "posix/sys.h"

#define EVENTS_PER_POLL 256

struct epoll_backend {
    struct readiness readiness; /* first: the engine looks for it here */
    int fd;
    int wake_fd;
    bool without_ns;    /* the kernel has no epoll_pwait2 */
    bool stale;         /* the set reports what it cannot be told to forget: see make_anew() */
    bool irreplaceable; /* ... but when it was to be replaced last, that failed */
    uint32_t strays;    /* events of nobody that have not led to its replacement */
    struct slots slots;
    struct epoll_event events[EVENTS_PER_POLL];
};

#endif
