/* How kqueue's calls fail: as a whole, or one change of them. */
#include "kqueue/kqueue.h"

#include "fault_calls.h"

#include <errno.h>
#include <stddef.h>

static struct loop_sys system_calls; /* without any failure */
static struct loop_sys whole;        /* with failures of whole calls */
static long registrations;
static long failing_n;
static long failing_times;
static int failing_error;

static bool registration_fails(const struct kevent *change)
{
    if (!(change->flags & EV_ADD) || loop__kevent_udata(change) == TAG_WAKE)
        return false;
    registrations++;
    return registrations >= failing_n && registrations < failing_n + failing_times;
}

static void fail_change(struct kevent *receipt)
{
    receipt->flags = EV_ERROR;
    receipt->data = failing_error;
}

/* The others are made. */
static int change_some(int kq, struct kevent *changes, int n)
{
    for (int i = 0; i < n; i++) {
        if (registration_fails(&changes[i]))
            fail_change(&changes[i]);
        else if (whole.kevent_change(kq, &changes[i], 1) < 0)
            return -1;
    }
    return n;
}

static int wait_with_errors(int kq, const struct kevent *changes, int nchanges, struct kevent *events, int nevents,
                            const struct timespec *timeout)
{
    const struct timespec none = {0, 0};
    struct kevent good[CHANGES_PER_WAIT];
    int ngood = 0;
    int n = 0;

    for (int i = 0; i < nchanges; i++) {
        if (registration_fails(&changes[i])) {
            events[n] = changes[i];
            fail_change(&events[n++]);
        } else {
            good[ngood++] = changes[i];
        }
    }
    if (n == 0)
        return whole.kevent_wait(kq, changes, nchanges, events, nevents, timeout);
    /* Without room for events only the changes are made. */
    (void)whole.kevent_wait(kq, good, ngood, NULL, 0, &none);
    return n;
}

/* A wait that is interrupted has made its changes. */
static int failing_wait(int kq, const struct kevent *changes, int nchanges, struct kevent *events, int nevents,
                        const struct timespec *timeout)
{
    const struct timespec none = {0, 0};
    int error;

    if (!fault_fails(FAULT_kevent_wait))
        return system_calls.kevent_wait(kq, changes, nchanges, events, nevents, timeout);
    error = errno;
    if (error == EINTR)
        (void)system_calls.kevent_wait(kq, changes, nchanges, NULL, 0, &none);
    errno = error;
    return -1;
}

void fault_begin_backend(const struct loop_sys *real)
{
    system_calls = *real;
    loop__sys.kevent_wait = failing_wait;
}

void fault_registrations(long n, int error, long times)
{
    fault_arm(FAULT_kevent_change, 0, 0, 0);
    registrations = 0;
    failing_n = n;
    failing_times = times;
    failing_error = error;
    if (loop__sys.kevent_wait != wait_with_errors) {
        whole = loop__sys;
        loop__sys.kevent_wait = wait_with_errors;
        loop__sys.kevent_change = change_some;
    }
}

const int *fault_backend_errors(enum fault_row row)
{
    static const int create_errors[] = {EMFILE, ENFILE, ENOMEM, 0};
    static const int kevent_change_errors[] = {ENOMEM, ENOSPC, EINTR, ENOENT, 0};
    static const int kevent_wait_errors[] = {EINTR, EBADF, EINVAL, ENOMEM, 0};
    static const int kevent_trigger_errors[] = {EINTR, 0};
    static const int fstat_errors[] = {EIO, EBADF, 0};
    static const int pipe_errors[] = {EINTR, EAGAIN, 0};

    switch (row) {
    case FAULT_kqueue_new:
    case FAULT_pipe_new:
        return create_errors;
    case FAULT_kevent_change:
        return kevent_change_errors;
    case FAULT_kevent_wait:
        return kevent_wait_errors;
    case FAULT_kevent_trigger:
        return kevent_trigger_errors;
    case FAULT_fstat:
        return fstat_errors;
    case FAULT_read:
    case FAULT_write:
        return pipe_errors;
    default:
        return NULL;
    }
}
