/* The random test's hand in the registrations and waits of kqueue. */
#include "model_calls.h"

#include "kqueue/kqueue.h"

#include <errno.h>

struct seam_look {
    int kq;
    const struct kevent *changes; /* not yet made */
    int nchanges;
    struct kevent *events;
    int max;
};

enum direction {
    FOR_READING,
    FOR_WRITING,
    DIRECTIONS
};

static struct loop_sys real;
static struct {
    int kq;
    bool there[DIRECTIONS];
    struct kevent change[DIRECTIONS];
} registered[FDS];

bool seam_is_registered(int fd)
{
    return fd < FDS && (registered[fd].there[FOR_READING] || registered[fd].there[FOR_WRITING]);
}

/* Adding again looks again. */
void seam_rearm(int fd)
{
    if (!seam_is_registered(fd))
        return;
    for (int i = 0; i < DIRECTIONS; i++) {
        if (registered[fd].there[i]) {
            struct kevent change = registered[fd].change[i];

            change.flags = EV_ADD | EV_RECEIPT;
            (void)real.kevent_change(registered[fd].kq, &change, 1);
        }
    }
}

static void record(int kq, const struct kevent *change)
{
    int i = change->filter == EVFILT_WRITE ? FOR_WRITING : FOR_READING;

    if (change->ident >= FDS || (change->filter != EVFILT_READ && change->filter != EVFILT_WRITE))
        return;
    registered[change->ident].kq = kq;
    registered[change->ident].there[i] = !(change->flags & EV_DELETE);
    registered[change->ident].change[i] = *change;
}

static bool refuses_change(const struct kevent *change)
{
    return world->alloc_fails && (change->flags & EV_ADD) && loop__kevent_udata(change) != TAG_WAKE &&
           seam_fault(3, PLACE_CONTROL, "the system has no memory");
}

static void refuse(struct kevent *receipt)
{
    receipt->flags = EV_ERROR;
    receipt->data = ENOMEM;
}

/* One by one, so that some can be refused. */
static int seam_kevent_change(int kq, struct kevent *changes, int n)
{
    for (int i = 0; i < n; i++) {
        struct kevent change = changes[i];

        if (refuses_change(&change)) {
            refuse(&changes[i]);
            continue;
        }
        if (real.kevent_change(kq, &changes[i], 1) < 0)
            return -1;
        if (changes[i].data == 0)
            record(kq, &change);
    }
    return n;
}

/* What a wait was given to change. The errors, if there are any, are all that it returns. */
static int make_changes(struct seam_look *look)
{
    int errors = 0;

    for (int i = 0; i < look->nchanges; i++) {
        struct kevent change = look->changes[i];

        change.flags |= EV_RECEIPT;
        if (refuses_change(&change))
            refuse(&change);
        else
            (void)real.kevent_change(look->kq, &change, 1);
        if (change.data != 0)
            look->events[errors++] = change;
        else
            record(look->kq, &look->changes[i]);
    }
    look->nchanges = 0;
    return errors;
}

int seam_take(struct seam_look *look)
{
    const struct timespec none = {0, 0};
    struct kevent *events = look->events;
    int n = make_changes(look);

    if (n > 0)
        return n;
    n = real.kevent_wait(look->kq, NULL, 0, events, chance(20) ? 1 + (int)below(3) : look->max, &none);
    return seam_disorder(events, sizeof(*events), n);
}

/* The changes have been made, then, and none of them failed. */
bool seam_interrupts_wait(struct seam_look *look)
{
    if (look->nchanges > 0 || !seam_fault(5, PLACE_WAIT, "interrupted"))
        return false;
    errno = EINTR;
    return true;
}

static int seam_kevent_wait(int kq, const struct kevent *changes, int nchanges, struct kevent *events, int nevents,
                            const struct timespec *timeout)
{
    struct seam_look look = {kq, changes, nchanges, events, nevents};

    return seam_wait(&look, timeout == NULL ? -1 : (int64_t)timeout->tv_sec * 1000000000 + timeout->tv_nsec, 0);
}

static int seam_close(int fd)
{
    if (fd >= 0 && fd < FDS)
        memset(&registered[fd], 0, sizeof(registered[fd]));
    return real.close(fd);
}

void seam_begin_backend(void)
{
    real = loop__sys;
    memset(registered, 0, sizeof(registered));
    loop__sys.kevent_change = seam_kevent_change;
    loop__sys.kevent_wait = seam_kevent_wait;
    loop__sys.close = seam_close;
}
