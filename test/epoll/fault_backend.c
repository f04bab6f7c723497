/* How epoll's calls fail. */
#include "fault_calls.h"

#include <errno.h>
#include <stddef.h>

void fault_begin_backend(const struct loop_sys *real)
{
    (void)real;
}

void fault_registrations(long n, int error, long times)
{
    fault_arm(FAULT_epoll_ctl, n, error, times);
}

const int *fault_backend_errors(enum fault_row row)
{
    static const int create_errors[] = {EMFILE, ENFILE, ENOMEM, 0};
    static const int epoll_ctl_errors[] = {ENOMEM, ENOSPC, EPERM, EEXIST, ENOENT, 0};
    static const int wake_up_errors[] = {EINTR, EAGAIN, 0};
    static const int epoll_wait_errors[] = {EINTR, EBADF, EINVAL, ENOSYS, EPERM, 0};

    switch (row) {
    case FAULT_epoll_create1:
    case FAULT_eventfd:
        return create_errors;
    case FAULT_epoll_ctl:
        return epoll_ctl_errors;
    case FAULT_epoll_wait_ms:
    case FAULT_epoll_pwait_ns:
        return epoll_wait_errors;
    case FAULT_write_wake_up:
        return wake_up_errors;
    default:
        return NULL;
    }
}
