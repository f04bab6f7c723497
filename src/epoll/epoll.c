/*
 * The epoll backend: registers, waits and wakes. What becomes of an event is the readiness engine's business.
 *
 * Kernel facts it rests on, epoll(7) and epoll_ctl(2):
 *   a. Registrations belong to an open file and a number. They outlive close() while a duplicate of the file is open.
 *   b. Adding and modifying report what is there already, also edge-triggered.
 *   c. An edge is reported for every arrival, whether or not earlier data was read.
 *   d. An eventfd registered edge-triggered gives an edge for every write, so it need not be read.
 *   e. EPOLLERR and EPOLLHUP are reported whether asked for or not; edge-triggered, once.
 *   f. The epoll descriptor itself is readable from an edge until a wait has taken it.
 */
#include "epoll.h"

#include "platform.h"
#include "posix/forks.h"

#include <limits.h>

/* What an event says about its descriptor: the name of one of the loop's own (slots.h; these bits are 0), the name of one of the
 * caller's (fd_table.h), as it is for a poll handle that is started, and with one more bit for others; or that one bit: the
 * wake-up. */
#define TAG_OTHER 1u
#define TAG_MASK NAME_BITS

static struct epoll_backend *backend_of(loop_t *loop)
{
    return loop->backend_data;
}

/* ----------------------------------------------------------------------------------------------------- registration -- */

static uint64_t event_data(struct desc *desc, unsigned interest)
{
    bool started = (interest & INTEREST_LEVEL) && interest != INTEREST_LEVEL;

    if (!(desc->flags & DESC_CALLER))
        return backend_of(desc->handle.loop)->slots.list[loop__posix(desc)->place].name;
    return loop__fd_name(desc->os.fd, loop__posix(desc)->generation) | (started ? 0 : TAG_OTHER);
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

/* Whether some descriptor of this loop, other than desc, is registered under its number. */
static bool is_watched(loop_t *loop, const struct desc *desc)
{
    for (struct link *link = loop->handles.next; link != &loop->handles; link = link->next) {
        struct desc *other = loop__desc_of(CONTAINER_OF(link, struct handle, all));

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

/* A number that a child closed before loop_fork() may have become one of ours. */
static bool is_own(const struct epoll_backend *backend, int fd)
{
    return fd == backend->fd || fd == backend->wake_fd;
}

/*
 * Whether close() ends the registration, because nobody else has the open file (fact a). Somebody may have it all the same, if the
 * process forks before it is closed, or forked unnoticed: its events are nobody's then; see stray().
 */
static bool ends_with_close(const struct desc *desc)
{
    return loop__readiness_closes_next(desc) && !(desc->flags & DESC_LISTENER) && desc->handle.made != 0 &&
           desc->handle.made == loop__fork_epoch();
}

/*
 * The one place that changes a registration. For a descriptor of the caller what we recorded is a belief (fact a): where
 * the kernel knows better, the change is made in the other way.
 */
static int change(loop_t *loop, struct desc *desc, unsigned interest)
{
    struct posix_desc *posix = loop__posix(desc);
    int op = posix->interest == 0 ? EPOLL_CTL_ADD : interest == 0 ? EPOLL_CTL_DEL : EPOLL_CTL_MOD;
    bool silence = op == EPOLL_CTL_MOD && interest == INTEREST_LEVEL;
    int error;

    if (posix->interest == interest)
        return 0;
    if (interest == 0 && ends_with_close(desc)) {
        posix->interest = 0;
        return 0;
    }
    error = control(loop, op, desc, interest);
    if (error != 0 && !silence && is_own(backend_of(loop), desc->os.fd))
        return LOOP_EBADF;
    if (op == EPOLL_CTL_ADD && error == LOOP_EEXIST && !is_watched(loop, desc)) {
        error = control(loop, EPOLL_CTL_MOD, desc, interest);
    } else if (error != 0 && silence) { /* which must not fail */
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

static void objects_close(struct epoll_backend *backend)
{
    int fd = backend->fd;
    int wake_fd = backend->wake_fd;

    /* Unknown before they are closed: a signal handler may want to wake the loop. */
    backend->fd = -1;
    backend->wake_fd = -1;
    if (wake_fd >= 0)
        loop__fd_close(wake_fd);
    if (fd >= 0)
        loop__fd_close(fd);
}

static int add_wake_up(int fd, int wake_fd)
{
    struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.u64 = TAG_OTHER};

    return loop__sys.epoll_ctl(fd, EPOLL_CTL_ADD, wake_fd, &event);
}

/* The epoll instance, and in it the descriptor that wakes it. On error there is neither. */
static int objects_open(struct epoll_backend *backend)
{
    int error;

    backend->stale = false;
    backend->irreplaceable = false;
    backend->strays = 0;
    backend->wake_fd = -1;
    backend->fd = loop__sys.epoll_create1(EPOLL_CLOEXEC);
    if (backend->fd < 0)
        return loop__errno();
    backend->wake_fd = loop__sys.eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (backend->wake_fd >= 0 && add_wake_up(backend->fd, backend->wake_fd) == 0)
        return 0;
    error = loop__errno();
    objects_close(backend);
    return error;
}

/* Whether the set does not know the number any more. What it reports anew is reported by the next one, too. */
static bool is_gone(loop_t *loop, struct desc *desc)
{
    int error = control(loop, EPOLL_CTL_MOD, desc, loop__posix(desc)->interest);

    return error == LOOP_ENOENT || error == LOOP_EBADF;
}

/*
 * Something is reported that belongs to nobody: its owner closed it early while a duplicate lives on, and the kernel knows no way
 * to end that registration (fact a). It would be reported for ever, level-triggered without a pause. So the epoll instance is
 * replaced as a whole; if that fails, it is tried again when as many more have come as there is room for descriptors, each of which
 * costs a call. Gives the time that is left to wait: none if more was found to be closed early, and what waited for it has ended.
 */
LOOP_APART static int64_t make_anew(loop_t *loop, int64_t timeout)
{
    struct epoll_backend *backend = backend_of(loop);
    int old = backend->fd;
    int fd = loop__sys.epoll_create1(EPOLL_CLOEXEC);

    backend->stale = false;
    backend->strays = 0;
    backend->irreplaceable = true;
    if (fd < 0)
        return timeout;
    loop__readiness_lose_if(loop, is_gone);
    backend->fd = fd;
    if (add_wake_up(fd, backend->wake_fd) == 0 && loop__readiness_reattach(loop) == 0) {
        backend->irreplaceable = false;
        loop__fd_close(old);
    } else {
        backend->fd = old;
        loop__fd_close(fd);
    }
    return list_empty(&loop->ready) && list_empty(&loop->done) ? timeout : 0;
}

static int backend_init(loop_t *loop)
{
    struct epoll_backend *backend = loop__resize(loop, NULL, sizeof(*backend));
    int error;

    if (backend == NULL)
        return LOOP_ENOMEM;
    backend->readiness = (struct readiness){.change = change, .tcp_interest = INTEREST_READ | INTEREST_WRITE};
    backend->without_ns = false;
    backend->slots = (struct slots){.free = SLOTS_NONE};
    loop__forks_notice();
    error = objects_open(backend);
    if (error != 0) {
        loop__free(loop, backend);
        return error;
    }
    loop->backend_data = backend;
    return 0;
}

static void backend_close(loop_t *loop)
{
    struct epoll_backend *backend = backend_of(loop);

    objects_close(backend);
    loop__fd_table_free(loop, &backend->readiness.callers);
    loop__slots_free(loop, &backend->slots);
    loop__free(loop, backend);
}

/* The inherited epoll instance is the parent's as well: closing our descriptor of it leaves its registrations alone, while
 * removing one would remove the parent's. */
static int backend_fork(loop_t *loop)
{
    struct epoll_backend *backend = backend_of(loop);
    int error;

    loop__forks_count();
    objects_close(backend);
    error = objects_open(backend);
    if (error == 0)
        error = loop__readiness_reattach(loop);
    if (error != 0)
        objects_close(backend);
    return error;
}

static int backend_attach(loop_t *loop, struct desc *desc)
{
    struct slots *slots = &backend_of(loop)->slots;
    int error;

    if (desc->flags & DESC_CALLER)
        return loop__readiness_attach(loop, desc);
    error = loop__slots_take(loop, slots, desc, &loop__posix(desc)->place);
    if (error != 0)
        return error;
    error = loop__readiness_attach(loop, desc);
    if (error != 0)
        loop__slots_give_back(slots, loop__posix(desc)->place);
    return error;
}

static int backend_detach(loop_t *loop, struct desc *desc, bool live)
{
    int error = loop__readiness_detach(loop, desc, live);

    if (!(desc->flags & DESC_CALLER))
        loop__slots_give_back(&backend_of(loop)->slots, loop__posix(desc)->place);
    return error;
}

static loop_os_fd_t backend_fd(const loop_t *loop)
{
    return ((const struct epoll_backend *)loop->backend_data)->fd;
}

/* ------------------------------------------------------------------------------------------------------ wait and wake -- */

static void backend_wake(loop_t *loop)
{
    const uint64_t one = 1;
    int saved = errno; /* we may be in a signal handler */

    while (loop__sys.write_wake_up(backend_of(loop)->wake_fd, &one, sizeof(one)) < 0 && errno == EINTR)
        continue;
    errno = saved;
}

/* Rounded up, so that a wait is never short. */
static int whole_milliseconds(int64_t ns)
{
    int64_t ms = ns / 1000000 + (ns % 1000000 != 0);

    return ms > INT_MAX ? INT_MAX : (int)ms;
}

LOOP_APART static int wait_for_time(struct epoll_backend *backend, int64_t timeout)
{
    if (!backend->without_ns) {
        struct epoll_timespec time = {timeout / 1000000000, timeout % 1000000000};
        int n = loop__sys.epoll_pwait_ns(backend->fd, backend->events, EVENTS_PER_POLL, &time);

        /* EPERM: a sandbox that does not know the call. */
        if (n >= 0 || (errno != ENOSYS && errno != EPERM))
            return n;
        backend->without_ns = true;
    }
    return loop__sys.epoll_wait_ms(backend->fd, backend->events, EVENTS_PER_POLL, whole_milliseconds(timeout));
}

LOOP_INLINE int wait_for(struct epoll_backend *backend, int64_t timeout)
{
    if (timeout > 0)
        return wait_for_time(backend, timeout);
    return loop__sys.epoll_wait_ms(backend->fd, backend->events, EVENTS_PER_POLL, (int)timeout);
}

static unsigned edge_of(uint32_t events)
{
    unsigned edge = 0;

    if (events & (EPOLLRDHUP | EPOLLPRI | EPOLLHUP | EPOLLERR))
        edge |= EDGE_ODD | EDGE_READ;
    if (events & EPOLLIN)
        edge |= EDGE_READ;
    if (events & (EPOLLOUT | EPOLLHUP | EPOLLERR))
        edge |= EDGE_WRITE;
    return edge;
}

LOOP_APART static void edge_else(loop_t *loop, struct desc *desc, const struct epoll_event *event)
{
    loop__readiness_edge(loop, desc, edge_of(event->events));
}

/* What a connection mostly reports is known when this is compiled. */
LOOP_INLINE void edge(loop_t *loop, struct desc *desc, const struct epoll_event *event)
{
    if (event->events == (EPOLLIN | EPOLLOUT))
        loop__readiness_edge(loop, desc, EDGE_READ | EDGE_WRITE);
    else
        edge_else(loop, desc, event);
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

/* An event of nobody. Edges come once for each arrival, and a new set costs a call for each descriptor: so many are let pass. */
LOOP_APART static void stray(struct epoll_backend *backend, bool level)
{
    bool many = ++backend->strays > backend->slots.count + backend->readiness.callers.count;

    if (many || (level && !backend->irreplaceable))
        backend->stale = true;
}

/* Whatever was registered has its place in its table, which never shrinks but may have moved since the last event. */
LOOP_INLINE void own_edge(loop_t *loop, struct epoll_backend *backend, const struct epoll_event *event)
{
    const struct slot *slot = loop__slots_of(&backend->slots, event->data.u64);

    if (LOOP_LIKELY(slot->name == event->data.u64))
        edge(loop, slot->is.desc, event);
    else
        stray(backend, false);
}

LOOP_INLINE const struct fd_slot *callers_slot(const struct epoll_backend *backend, const struct epoll_event *event)
{
    return &backend->readiness.callers.slots[loop__fd_name_number(event->data.u64)];
}

LOOP_INLINE void callers_edge(loop_t *loop, struct epoll_backend *backend, const struct epoll_event *event)
{
    const struct fd_slot *slot = callers_slot(backend, event);

    if (LOOP_LIKELY(slot->name == (event->data.u64 ^ TAG_OTHER)))
        edge(loop, slot->desc, event);
    else
        stray(backend, false);
}

LOOP_APART static void level_else(struct epoll_backend *backend, const struct epoll_event *event)
{
    const struct fd_slot *slot = callers_slot(backend, event);

    if (slot->name == event->data.u64)
        loop__desc_found(slot->desc, level_of(event->events));
    else
        stray(backend, true);
}

/* Mostly a poll handle's descriptor can be read. */
LOOP_INLINE void callers_level(loop_t *loop, struct epoll_backend *backend, const struct epoll_event *event)
{
    const struct fd_slot *slot = callers_slot(backend, event);

    if (event->events == EPOLLIN && slot->name == event->data.u64)
        loop__poll_found(loop, (struct poll *)slot->desc, INTEREST_READ);
    else
        level_else(backend, event);
}

static int backend_poll(loop_t *loop, int64_t timeout)
{
    struct epoll_backend *backend = backend_of(loop);
    const struct epoll_event *event;
    const struct epoll_event *end;
    int n;

    /* A host watches the instance itself, and cannot be told of another. */
    if (backend->stale && !loop->watched)
        timeout = make_anew(loop, timeout);
    n = wait_for(backend, timeout);
    if (n < 0)
        return loop__errno();
    end = backend->events + n;
    for (event = backend->events; event != end; event++) {
        uint64_t data = event->data.u64;

        if (!(data & TAG_MASK))
            own_edge(loop, backend, event);
        else if (!(data & TAG_OTHER))
            callers_level(loop, backend, event);
        else if (data != TAG_OTHER)
            callers_edge(loop, backend, event);
    }
    return n;
}

const struct loop_backend loop__backend = {
    .name = "epoll",
    .init = backend_init,
    .close = backend_close,
    .fork = backend_fork,
    .fd = backend_fd,
    .attach = backend_attach,
    .detach = backend_detach,
    .submit = loop__readiness_submit,
    .cancel = loop__readiness_cancel,
    .arm = loop__readiness_arm,
    .accept = loop__readiness_accept,
    .watch = loop__readiness_watch,
    .resume = loop__readiness_resume,
    .poll = backend_poll,
    .wake = backend_wake,
};
