/* The random test's hand in the registrations and waits of epoll. */
#include "model_calls.h"

#include <errno.h>

struct seam_look {
    int epfd;
    struct epoll_event *events;
    int max;
};

static struct loop_sys real;
static struct {
    int epfd;
    struct epoll_event event;
} registered[FDS];

bool seam_is_registered(int fd)
{
    return fd < FDS && registered[fd].event.events != 0;
}

void seam_rearm(int fd)
{
    if (seam_is_registered(fd))
        (void)real.epoll_ctl(registered[fd].epfd, EPOLL_CTL_MOD, fd, &registered[fd].event);
}

static int seam_epoll_ctl(int epfd, int op, int fd, struct epoll_event *event)
{
    int rc;

    if (world->alloc_fails && op != EPOLL_CTL_DEL && seam_fault(3, PLACE_CONTROL, "the system has no memory")) {
        errno = ENOMEM;
        return -1;
    }
    rc = real.epoll_ctl(epfd, op, fd, event);
    if (rc == 0 && fd < FDS) {
        registered[fd].epfd = epfd;
        registered[fd].event = *event;
        if (op == EPOLL_CTL_DEL)
            registered[fd].event.events = 0;
    }
    return rc;
}

static int seam_close(int fd)
{
    if (fd >= 0 && fd < FDS)
        registered[fd].event.events = 0;
    return real.close(fd);
}

int seam_take(struct seam_look *look)
{
    struct epoll_event *events = look->events;
    int n = real.epoll_wait_ms(look->epfd, events, chance(20) ? 1 + (int)below(3) : look->max, 0);

    return seam_disorder(events, sizeof(*events), n);
}

bool seam_interrupts_wait(struct seam_look *look)
{
    (void)look;
    if (!seam_fault(5, PLACE_WAIT, "interrupted"))
        return false;
    errno = EINTR;
    return true;
}

static int seam_epoll_wait(int epfd, struct epoll_event *events, int max, int timeout)
{
    struct seam_look look = {epfd, events, max};

    return seam_wait(&look, timeout < 0 ? -1 : (int64_t)LOOP_MS(timeout), LOOP_MS(1));
}

static int seam_epoll_pwait_ns(int epfd, struct epoll_event *events, int max, const struct epoll_timespec *timeout)
{
    struct seam_look look = {epfd, events, max};

    /* Some systems know no such call. */
    if (world->plan->seed % 4 == 0) {
        errno = ENOSYS;
        return -1;
    }
    return seam_wait(&look, timeout->seconds * 1000000000 + timeout->nanoseconds, 0);
}

void seam_begin_backend(void)
{
    real = loop__sys;
    memset(registered, 0, sizeof(registered));
    loop__sys.epoll_ctl = seam_epoll_ctl;
    loop__sys.epoll_wait_ms = seam_epoll_wait;
    loop__sys.epoll_pwait_ns = seam_epoll_pwait_ns;
    loop__sys.close = seam_close;
}
