/* A loop inside of another loop, and inside of a forked process. */
#include "internal.h"
#include "platform.h"

void loop__host_notify(loop_t *loop)
{
    /* The wake-up makes the backend's descriptor readable until the next poll takes it, and is sent once until then. */
    if (loop->watched && loop__has_work(loop))
        loop__wake(loop);
}

loop_os_fd_t loop_backend_fd(loop_t *loop)
{
    loop_os_fd_t fd;

    if (loop == NULL || loop->closing)
        return LOOP_INVALID_FD;
    fd = loop->backend->fd(loop);
    if (fd != LOOP_INVALID_FD) {
        loop->watched = true;
        loop__made_ready(loop);
    }
    return fd;
}

int64_t loop_next_timeout(loop_t *loop)
{
    struct timer_node *next;

    if (loop == NULL)
        return LOOP_EINVAL;
    if (loop__has_work(loop))
        return 0;
    next = loop__timer_due(loop, UINT64_MAX);
    if (next == NULL)
        return FOREVER;
    /* Between turns the loop's time is old, and nobody tells when the host began to wait. */
    return loop__time_until(loop__clock(loop->now), next->due);
}

int loop_fork(loop_t *loop)
{
    int error;

    if (loop == NULL)
        return LOOP_EINVAL;
    if (loop->closing)
        return LOOP_ECLOSED;
    error = loop->backend->fork(loop);
    if (error == LOOP_ENOTSUP)
        return error;
    /* Not before: it may wake the loop, and that must not reach the parent. */
    loop__tasks_fork(loop);
    if (error == 0)
        error = loop__work_forked(loop);
    if (error == 0)
        loop__made_ready(loop);
    return error;
}
