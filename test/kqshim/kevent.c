/* kevent(): changes are applied first, then events are collected; if there are none, it waits. */
#include "internal.h"

#include <errno.h>
#include <poll.h>

#define NANOSECONDS 1000000000
/* Longer timeouts are as good as none. */
#define LONGEST_SECONDS 1000000000

static bool valid(const struct timespec *timeout)
{
    return timeout == NULL || (timeout->tv_sec >= 0 && timeout->tv_nsec >= 0 && timeout->tv_nsec < NANOSECONDS);
}

static int64_t now(void)
{
    struct timespec ts;

    (void)clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * NANOSECONDS + ts.tv_nsec;
}

/* The number of entries, or a negative errno. *done: the call ends here. */
static int apply(struct kqshim_kq *kq, const struct kevent *changes, kqshim_count_t nchanges, struct kevent *events,
                 kqshim_count_t nevents, bool *done)
{
    kqshim_count_t used = 0;

    for (kqshim_count_t i = 0; i < nchanges; i++) {
        struct kevent change = changes[i]; /* the two arrays may be one */
        int error;

        if (kqshim_personality.zero_filter_skipped && change.filter == 0)
            continue;
        error = kqshim_change(kq, &change);
        if (error == 0 && (change.flags & EV_RECEIPT) == 0)
            continue;
        if (used < nevents) {
            unsigned kept = kqshim_personality.error_keeps_flags ? change.flags : 0u;

            change.flags = KQSHIM_FLAGS(kept | EV_ERROR);
            change.data = error;
            events[used++] = change;
        } else if (error != 0) {
            return -error;
        } else if (!kqshim_personality.receipt_without_room) {
            *done = true;
            return 0;
        }
    }
    *done = used > 0;
    return (int)used;
}

static void report(const struct kqshim_knote *kn, struct kevent *event)
{
    unsigned flags = kn->flags;

    if (!kqshim_personality.flags_repeated)
        flags &= ~(unsigned)(EV_ADD | EV_ENABLE | EV_DISABLE);
    if (kn->eof)
        flags |= EV_EOF;
    EV_SET(event, kn->ident, kn->filter->number, flags, kn->fflags, 0, kn->udata);
    event->data = (__typeof__(event->data))kn->data;
}

/* What becomes of a knote that was reported. */
static void reported(struct kqshim_kq *kq, struct kqshim_knote *kn)
{
    bool disable = (kn->flags & EV_DISPATCH) != 0;

    if ((kn->flags & EV_ONESHOT) != 0) {
        kqshim_drop(kq, kn);
        return;
    }
    if ((kn->flags & EV_CLEAR) != 0) {
        kn->fflags = 0;
        kn->data = 0;
        kn->triggered = false;
        disable = disable && !kqshim_personality.clear_beats_dispatch;
    } else if (!disable) {
        kqshim_enqueue(kq, kn);
        return;
    }
    kn->active = false;
    kn->disabled = disable;
}

/* One round over the ready list as it is now; what stays ready goes to its end. */
static kqshim_count_t collect(struct kqshim_kq *kq, struct kevent *events, kqshim_count_t nevents)
{
    unsigned left = atomic_load(&kq->ready);
    kqshim_count_t n = 0;

    while (left-- > 0 && n < nevents) {
        struct kqshim_knote *kn = kq->first_ready;
        bool checked = (kn->flags & EV_ONESHOT) != 0 && !kqshim_personality.oneshot_rechecked;

        kqshim_dequeue(kq, kn);
        /* Also if it is reported without cause: what it says of now is true. */
        if (!checked && !kn->filter->check(kq, kn) && !kn->forced) {
            kn->active = false;
            continue;
        }
        kn->forced = false;
        report(kn, &events[n++]);
        reported(kq, kn);
    }
    return n;
}

/* 0 when there may be something, or the time is over; -EINTR; -EBADF if the kqueue was closed. */
static int block(struct kqshim_kq *kq, int64_t left, const sigset_t *mask)
{
    struct pollfd outer = {.fd = atomic_load(&kq->number), .events = POLLIN};
    struct timespec ts = {.tv_sec = left / NANOSECONDS, .tv_nsec = left % NANOSECONDS};
    unsigned generation = kq->generation;
    int result;

    kqshim_settle(kq);
    (void)pthread_mutex_unlock(&kq->lock);
    /* Signals that came since kevent() began end the wait as they would in a kernel. */
    result = ppoll(&outer, 1, left < 0 ? NULL : &ts, mask) < 0 ? -errno : 0;
    (void)pthread_mutex_lock(&kq->lock);
    return kq->generation == generation ? result : -EBADF;
}

static int collect_or_wait(struct kqshim_kq *kq, struct kevent *events, kqshim_count_t nevents,
                           const struct timespec *timeout, const sigset_t *mask)
{
    bool endless = timeout == NULL || timeout->tv_sec > LONGEST_SECONDS;
    int64_t span = endless ? -1 : (int64_t)timeout->tv_sec * NANOSECONDS + timeout->tv_nsec;
    int64_t end;

    if (span > 0)
        span += kqshim_chaos_late(kq);
    end = span > 0 ? now() + span : 0;
    nevents = kqshim_chaos_short(kq, nevents);
    for (;;) {
        kqshim_count_t n;
        int64_t left = -1;
        int error;

        kqshim_harvest(kq);
        kqshim_chaos_spurious(kq);
        n = collect(kq, events, nevents);
        if (n > 0) {
            kqshim_chaos_swap(kq, events, n);
            return (int)n;
        }
        if (!endless) {
            left = span > 0 ? end - now() : 0;
            if (left <= 0)
                return 0;
        }
        if (kqshim_chaos_interrupts(kq))
            return -EINTR;
        error = block(kq, left, mask);
        if (error != 0)
            return error;
    }
}

static int run(struct kqshim_kq *kq, const struct kevent *changes, kqshim_count_t nchanges, struct kevent *events,
               kqshim_count_t nevents, const struct timespec *timeout, const sigset_t *mask)
{
    bool done = false;
    int n;

    if (kqshim_personality.timespec_first && !valid(timeout))
        return -EINVAL;
    n = apply(kq, changes, nchanges, events, nevents, &done);
    if (done || n != 0)
        return n;
    if (!valid(timeout))
        return -EINVAL;
    if (nevents == 0)
        return 0;
    return collect_or_wait(kq, events, nevents, timeout, mask);
}

KQSHIM_PUBLIC int kevent(int number, const struct kevent *changes, kqshim_count_t nchanges, struct kevent *events,
                         kqshim_count_t nevents, const struct timespec *timeout)
{
    int saved = errno;
    sigset_t mask;
    struct kqshim_kq *kq = kqshim_enter(number, &mask);
    int result = -EBADF;

    if (kq != NULL) {
        result = run(kq, changes, nchanges, events, nevents, timeout, &mask);
        kqshim_leave(kq, &mask);
    }
    kqshim_count(1, (long)nchanges, result > 0 ? result : 0);
    errno = result < 0 ? -result : saved;
    return result < 0 ? -1 : result;
}
