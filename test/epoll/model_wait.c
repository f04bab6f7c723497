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

/* Of the loop's own descriptors, whose events have names with two bits that are 0, the set has those that are registered and not
 * closed. What a caller closed early may have a duplicate. */
static void check_registrations(int epfd)
{
    char line[256];
    FILE *file;

    (void)snprintf(line, sizeof(line), "/proc/self/fdinfo/%d", epfd);
    file = fopen(line, "r");
    CHECK(file != NULL, "no %s", line);
    while (fgets(line, sizeof(line), file) != NULL) {
        const char *name = strstr(line, "data:");
        uint64_t data = name != NULL ? strtoull(name + 5, NULL, 16) : 0;
        int fd = strncmp(line, "tfd:", 4) == 0 ? (int)strtol(line + 4, NULL, 10) : -1;

        if (fd >= 0 && !(data & 3))
            CHECK(seam_is_registered(fd) && registered[fd].event.data.u64 == data,
                  "a registration of %d was left behind", fd);
    }
    (void)fclose(file);
}

int seam_take(struct seam_look *look)
{
    static unsigned looks;
    struct epoll_event *events = look->events;
    int n;

    if (looks++ % 16 == 0)
        check_registrations(look->epfd);
    n = real.epoll_wait_ms(look->epfd, events, chance(20) ? 1 + (int)below(3) : look->max, 0);

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
