/*
 * The epoll backend: registers, waits and wakes. What becomes of an event is the readiness engine's business.
 *
 * Kernel facts it rests on, epoll(7) and epoll_ctl(2):
 *   a. Registrations belong to an open file and a number. They outlive close() while a duplicate of the file is open.
 *   b. Adding and modifying report what is there already, also edge-triggered.
 *   c. An edge is reported for every arrival, whether or not earlier data was read.
 *   d. An eventfd registered edge-triggered gives an edge for every write, so it need not be read.
 *   e. EPOLLERR and EPOLLHUP are reported whether asked for or not; edge-triggered, once.
 */
#include "posix/readiness.h"
#include "posix/sys.h"

#include "platform.h"

#include <limits.h>

#define EVENTS_PER_POLL 256

/* What an event says about its descriptor: a pointer (low bits 0), or number and generation of a descriptor of the caller,
 * the same of a poll handle that is started, or the wake-up. */
#define TAG_CALLER 1u
#define TAG_WAKE 2u
#define TAG_LEVEL 3u /* has the bit of TAG_CALLER */
#define TAG_MASK 3u

struct epoll_backend {
    struct readiness readiness; /* first: the engine looks for it here */
    int fd;
    int wake_fd;
    bool without_ns; /* the kernel has no epoll_pwait2 */
    bool stale;      /* it reports what it cannot be told to forget: see make_anew() */
    struct epoll_event events[EVENTS_PER_POLL];
};

static struct epoll_backend *backend_of(loop_t *loop)
{
    return loop->backend_data;
}

/* ----------------------------------------------------------------------------------------------------- registration -- */

static uint64_t event_data(struct desc *desc, unsigned interest)
{
    uint64_t tag = (interest & INTEREST_LEVEL) && interest != INTEREST_LEVEL ? TAG_LEVEL : TAG_CALLER;

    if (!(desc->flags & DESC_CALLER))
        return (uint64_t)(uintptr_t)desc;
    return (uint64_t)loop__posix(desc)->generation << 33 | (uint64_t)(uint32_t)desc->os.fd << 2 | tag;
}

static uint32_t event_mask(const struct desc *desc, unsigned interest)
{
    bool level = (interest & INTEREST_LEVEL) != 0;
    uint32_t mask = level && interest != INTEREST_LEVEL ? 0 : (uint32_t)EPOLLET;

    if (interest & INTEREST_READ)
        mask |=
            level || (desc->flags & DESC_LISTENER) ? (uint32_t)EPOLLIN : (uint32_t)(EPOLLIN | EPOLLRDHUP | EPOLLPRI);
    if (interest & INTEREST_WRITE)
        mask |= EPOLLOUT;
    if (interest & INTEREST_DISCONNECT)
        mask |= EPOLLRDHUP;
    if (interest & INTEREST_PRIORITIZED)
        mask |= EPOLLPRI;
    return mask;
}

/* The descriptor of the caller that an event names, if it is still there. */
static struct desc *event_caller(struct epoll_backend *backend, uint64_t data)
{
    return loop__fd_table_find(&backend->readiness.callers, (uint32_t)(data >> 2) & INT_MAX, (uint32_t)(data >> 33));
}

static struct desc *desc_of(struct handle *handle)
{
    return handle->type == LOOP_DESC || handle->type == LOOP_TCP || handle->type == LOOP_POLL ? (struct desc *)handle
                                                                                              : NULL;
}

/* Whether some descriptor of this loop, other than desc, is registered under its number. */
static bool is_watched(loop_t *loop, const struct desc *desc)
{
    for (struct link *link = loop->handles.next; link != &loop->handles; link = link->next) {
        struct desc *other = desc_of(CONTAINER_OF(link, struct handle, all));

        if (other != NULL && other != desc && other->os.fd == desc->os.fd && loop__posix(other)->interest != 0)
            return true;
    }
    return false;
}

static int control(loop_t *loop, int op, struct desc *desc, unsigned interest)
{
    struct epoll_event event = {.events = event_mask(desc, interest), .data.u64 = event_data(desc, interest)};

    return loop__sys.epoll_ctl(backend_of(loop)->fd, op, desc->os.fd, &event) == 0 ? 0 : loop__errno();
}

/* The number may name another file by now: what a registration of the old one reports is nobody's from here on. */
static void renew_generation(loop_t *loop, struct desc *desc)
{
    struct fd_table *callers = &backend_of(loop)->readiness.callers;

    loop__posix(desc)->generation = loop__fd_table_next_generation(callers, desc->os.fd);
    loop__fd_table_set(callers, desc->os.fd, desc);
}

/*
 * The one place that changes a registration. For a descriptor of the caller what we recorded is a belief (fact a): where
 * the kernel knows better, the change is made in the other way.
 */
static int change(loop_t *loop, struct desc *desc, unsigned interest)
{
    struct posix_desc *posix = loop__posix(desc);
    int op = posix->interest == 0 ? EPOLL_CTL_ADD : interest == 0 ? EPOLL_CTL_DEL : EPOLL_CTL_MOD;
    int error;

    if (posix->interest == interest)
        return 0;
    error = control(loop, op, desc, interest);
    if (op == EPOLL_CTL_ADD && error == LOOP_EEXIST && !is_watched(loop, desc)) {
        error = control(loop, EPOLL_CTL_MOD, desc, interest);
    } else if (op == EPOLL_CTL_MOD && error != 0 && interest == INTEREST_LEVEL) {
        /* Silenced in any case. */
        (void)control(loop, EPOLL_CTL_DEL, desc, 0);
        renew_generation(loop, desc);
        interest = 0;
        error = 0;
    } else if (op == EPOLL_CTL_MOD && error == LOOP_ENOENT && (desc->flags & DESC_CALLER)) {
        renew_generation(loop, desc);
        error = control(loop, EPOLL_CTL_ADD, desc, interest);
    } else if (op == EPOLL_CTL_DEL) {
        error = 0; /* gone is gone: closed behind our back, if not by us */
    }
    if (error == LOOP_EPERM)
        error = LOOP_ENOTPOLLABLE;
    if (error == 0)
        posix->interest = (uint8_t)interest;
    return error;
}

/* ---------------------------------------------------------------------------------------------------------- life -- */

/* Makes an epoll instance that knows the wake-up. Its number, or an error. */
static int make_epoll(int wake_fd)
{
    struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.u64 = TAG_WAKE};
    int fd = loop__sys.epoll_create1(EPOLL_CLOEXEC);
    int error;

    if (fd < 0)
        return loop__errno();
    if (loop__sys.epoll_ctl(fd, EPOLL_CTL_ADD, wake_fd, &event) == 0)
        return fd;
    error = loop__errno();
    loop__fd_close(fd);
    return error;
}

/* Adds all that was registered to a new epoll instance. */
static int register_anew(loop_t *loop)
{
    for (struct link *link = loop->handles.next; link != &loop->handles; link = link->next) {
        struct desc *desc = desc_of(CONTAINER_OF(link, struct handle, all));
        unsigned interest = desc != NULL ? loop__posix(desc)->interest : 0;
        int error;

        if (interest == 0)
            continue;
        loop__posix(desc)->interest = 0;
        error = change(loop, desc, interest);
        /* A caller's that is no longer what it was stays out. */
        if (error != 0 && (!(desc->flags & DESC_CALLER) || error == LOOP_ENOMEM || error == LOOP_ENOSPC)) {
            loop__posix(desc)->interest = (uint8_t)interest;
            return error;
        }
    }
    return 0;
}

/*
 * Something level-triggered is reported that belongs to nobody: its owner closed it early while a duplicate lives on, and the
 * kernel knows no way to end that registration (fact a). It would be reported for ever, without a pause. So the epoll
 * instance is replaced as a whole; if that fails, the next poll tries again.
 */
__attribute__((noinline)) static void make_anew(loop_t *loop)
{
    struct epoll_backend *backend = backend_of(loop);
    int old = backend->fd;
    int fd = make_epoll(backend->wake_fd);

    if (fd < 0)
        return;
    backend->fd = fd;
    if (register_anew(loop) == 0) {
        backend->stale = false;
        loop__fd_close(old);
    } else {
        backend->fd = old;
        loop__fd_close(fd);
    }
}

static int backend_init(loop_t *loop)
{
    struct epoll_backend *backend = loop__resize(loop, NULL, sizeof(*backend));
    int error;

    if (backend == NULL)
        return LOOP_ENOMEM;
    backend->readiness = (struct readiness){.change = change};
    backend->without_ns = false;
    backend->stale = false;

    backend->wake_fd = loop__sys.eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (backend->wake_fd < 0) {
        error = loop__errno();
        goto error_eventfd;
    }
    backend->fd = make_epoll(backend->wake_fd);
    if (backend->fd < 0) {
        error = backend->fd;
        goto error_epoll;
    }
    loop->backend_data = backend;
    return 0;

error_epoll:
    loop__fd_close(backend->wake_fd);
error_eventfd:
    loop__free(loop, backend);
    return error;
}

static void backend_close(loop_t *loop)
{
    struct epoll_backend *backend = backend_of(loop);

    loop__fd_close(backend->wake_fd);
    loop__fd_close(backend->fd);
    loop__fd_table_free(loop, &backend->readiness.callers);
    loop__free(loop, backend);
}

/* ------------------------------------------------------------------------------------------------------ wait and wake -- */

static void backend_wake(loop_t *loop)
{
    const uint64_t one = 1;
    int saved = errno; /* we may be in a signal handler */

    while (loop__sys.write(backend_of(loop)->wake_fd, &one, sizeof(one)) < 0 && errno == EINTR)
        continue;
    errno = saved;
}

/* Rounded up, so that a wait is never short. */
static int whole_milliseconds(int64_t ns)
{
    int64_t ms = ns / 1000000 + (ns % 1000000 != 0);

    return ms > INT_MAX ? INT_MAX : (int)ms;
}

static int wait_for(struct epoll_backend *backend, int64_t timeout)
{
    int n;

    if (timeout > 0 && !backend->without_ns) {
        struct epoll_timespec time = {timeout / 1000000000, timeout % 1000000000};

        n = loop__sys.epoll_pwait_ns(backend->fd, backend->events, EVENTS_PER_POLL, &time);
        /* EPERM: a sandbox that does not know the call. */
        if (n >= 0 || (errno != ENOSYS && errno != EPERM))
            return n;
        backend->without_ns = true;
    }
    return loop__sys.epoll_wait(backend->fd, backend->events, EVENTS_PER_POLL,
                                timeout > 0 ? whole_milliseconds(timeout) : (int)timeout);
}

_Static_assert((unsigned)EPOLLIN == (unsigned)EDGE_READ && (unsigned)EPOLLOUT == (unsigned)EDGE_WRITE << 1,
               "plain events are an edge, but for a shift");

static inline unsigned edge_of(uint32_t events)
{
    unsigned edge = 0;

    if (!(events & ~(uint32_t)(EPOLLIN | EPOLLOUT)))
        return (events & EPOLLIN) | (events >> 1 & EDGE_WRITE);
    if (events & (EPOLLRDHUP | EPOLLPRI | EPOLLHUP | EPOLLERR))
        edge |= EDGE_ODD | EDGE_READ;
    if (events & EPOLLIN)
        edge |= EDGE_READ;
    if (events & (EPOLLOUT | EPOLLHUP | EPOLLERR))
        edge |= EDGE_WRITE;
    return edge;
}

static unsigned level_of(uint32_t events)
{
    unsigned found = 0;

    if (events & EPOLLIN)
        found |= INTEREST_READ;
    if (events & EPOLLOUT)
        found |= INTEREST_WRITE;
    if (!(events & ~(uint32_t)(EPOLLIN | EPOLLOUT)))
        return found;
    if (events & (EPOLLERR | EPOLLHUP))
        found |= INTEREST_READ | INTEREST_WRITE | INTEREST_DISCONNECT | INTEREST_PRIORITIZED;
    if (events & EPOLLRDHUP)
        found |= INTEREST_DISCONNECT;
    if (events & EPOLLPRI)
        found |= INTEREST_PRIORITIZED;
    return found;
}

static void caller_event(struct epoll_backend *backend, const struct epoll_event *event)
{
    struct desc *desc = event_caller(backend, event->data.u64);

    if ((event->data.u64 & TAG_MASK) == TAG_LEVEL) {
        if (desc != NULL)
            loop__desc_found(desc, level_of(event->events));
        else
            backend->stale = true;
    } else if (desc != NULL) {
        loop__readiness_edge(desc, edge_of(event->events));
    }
}

static int backend_poll(loop_t *loop, int64_t timeout)
{
    struct epoll_backend *backend = backend_of(loop);
    int n;

    if (backend->stale)
        make_anew(loop);
    n = wait_for(backend, timeout);
    if (n < 0)
        return loop__errno();
    for (int i = 0; i < n; i++) {
        const struct epoll_event *event = &backend->events[i];

        if (!(event->data.u64 & TAG_MASK))
            loop__readiness_edge((struct desc *)(uintptr_t)event->data.u64, edge_of(event->events));
        else if (event->data.u64 & TAG_CALLER)
            caller_event(backend, event);
    }
    return n;
}

const struct loop_backend loop__backend = {
    .name = "epoll",
    .init = backend_init,
    .close = backend_close,
    .attach = loop__readiness_attach,
    .detach = loop__readiness_detach,
    .submit = loop__readiness_submit,
    .cancel = loop__readiness_cancel,
    .arm = loop__readiness_arm,
    .watch = loop__readiness_watch,
    .resume = loop__readiness_resume,
    .poll = backend_poll,
    .wake = backend_wake,
};
