/* The life of the backend, the wait and the wake-up. */
#include "kqueue.h"

#include "platform.h"
#include "posix/io.h"
#include "quirks.h"

#include <errno.h>
#include <fcntl.h>

/* A wait this long is made of several: some systems refuse long ones, or cut them. */
#define LONGEST_WAIT (INT64_C(86400) * 1000000000)

/* ---------------------------------------------------------------------------------------------------------- life -- */

static void close_one(int *fd)
{
    int open = *fd;

    /* Unknown before it is closed: a signal handler may want to wake the loop. */
    *fd = -1;
    if (open >= 0)
        loop__fd_close(open);
}

static void objects_close(struct kqueue_backend *backend)
{
    if (backend->process != loop__process_id())
        backend->fd = -1; /* fact f of kqueue.h */
    close_one(&backend->fd);
    close_one(&backend->wake_pipe[1]);
    close_one(&backend->wake_pipe[0]);
}

/* Where there is no EVFILT_USER, or where the kernel is older than the header that has it. */
static int open_wake_pipe(struct kqueue_backend *backend)
{
    int error;

    if (loop__sys.pipe_new(backend->wake_pipe) != 0) {
        error = loop__errno();
        backend->wake_pipe[0] = -1;
        backend->wake_pipe[1] = -1;
        return error;
    }
#ifndef SOCK_NONBLOCK
    error = loop__fd_make_async(backend->wake_pipe[0], false);
    if (error == 0)
        error = loop__fd_make_async(backend->wake_pipe[1], false);
    if (error != 0)
        return error;
#endif
    error = loop__registration_make_one(
        backend, loop__kevent_of((uintptr_t)backend->wake_pipe[0], EVFILT_READ, EV_ADD | EV_CLEAR, 0, 0, TAG_WAKE));
    return error == 0 ? 0 : loop__system_error(error);
}

static int add_wake_up(struct kqueue_backend *backend)
{
#ifdef EVFILT_USER
    int error =
        loop__registration_make_one(backend, loop__kevent_of(0, EVFILT_USER, EV_ADD | EV_CLEAR, 0, 0, TAG_WAKE));

    if (error != EINVAL)
        return error == 0 ? 0 : loop__system_error(error);
#endif
    return open_wake_pipe(backend);
}

/* On error there is nothing. */
static int objects_open(struct kqueue_backend *backend)
{
    int error;

    backend->wake_pipe[0] = -1;
    backend->wake_pipe[1] = -1;
    backend->process = loop__process_id();
    backend->fd = loop__sys.kqueue_new();
    if (backend->fd < 0)
        return loop__errno();
    /* Not atomic with making it, and need not be: a child of fork(2) has no kqueue that it could leave to another program. */
    if (!KQUEUE_IS_CLOEXEC && loop__sys.fcntl(backend->fd, F_SETFD, FD_CLOEXEC) < 0)
        error = loop__errno();
    else
        error = add_wake_up(backend);
    if (error != 0)
        objects_close(backend);
    return error;
}

static int backend_init(loop_t *loop)
{
    struct kqueue_backend *backend = loop__resize(loop, NULL, sizeof(*backend));
    int error;

    if (backend == NULL)
        return LOOP_ENOMEM;
    backend->readiness = (struct readiness){
        .change = loop__registration_change, .tcp_interest = INTEREST_READ, .owners_too = true, .watches = true};
    backend->anew = false;
    backend->nchanges = 0;
    list_init(&backend->machports);
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
    struct kqueue_backend *backend = loop__kqueue(loop);

    objects_close(backend);
    loop__fd_table_free(loop, &backend->readiness.callers);
    loop__free(loop, backend);
}

static int backend_fork(loop_t *loop)
{
    struct kqueue_backend *backend = loop__kqueue(loop);
    int error;

    objects_close(backend);
    loop__registration_clear(backend);
    error = objects_open(backend);
    if (error == 0) {
        backend->anew = true;
        error = loop__readiness_reattach(loop);
        backend->anew = false;
    }
    if (error != 0) {
        objects_close(backend);
        return error;
    }
#ifdef EVFILT_MACHPORT
    loop__machports_forked(loop);
#endif
    return 0;
}

static loop_os_fd_t backend_fd(const loop_t *loop)
{
    struct kqueue_backend *backend = loop->backend_data;

    /* Whoever waits for it learns only of what is in it. */
    (void)loop__registration_flush(backend);
    return backend->fd;
}

/* ---------------------------------------------------------------------------------------------------------- wake -- */

static void backend_wake(loop_t *loop)
{
    struct kqueue_backend *backend = loop__kqueue(loop);
    int saved = errno; /* we may be in a signal handler */

    if (backend->wake_pipe[1] >= 0) {
        /* If it is full, the loop is woken already. */
        while (loop__sys.write(backend->wake_pipe[1], "", 1) < 0 && errno == EINTR)
            continue;
    } else {
#ifdef EVFILT_USER
        /* Flags of 0: some systems take EV_CLEAR here for an order to forget the trigger. */
        struct kevent change = loop__kevent_of(0, EVFILT_USER, 0, NOTE_TRIGGER, 0, TAG_WAKE);

        while (loop__sys.kevent_trigger(backend->fd, &change) < 0 && errno == EINTR)
            continue;
#endif
    }
    errno = saved;
}

/* If it became full, nothing more would be reported. */
static void empty_wake_pipe(struct kqueue_backend *backend)
{
    char bytes[64];
    ssize_t n;

    if (backend->wake_pipe[0] < 0)
        return;
    do {
        n = loop__sys.read(backend->wake_pipe[0], bytes, sizeof(bytes));
    } while (n == (ssize_t)sizeof(bytes) || (n < 0 && errno == EINTR));
}

/* ---------------------------------------------------------------------------------------------------------- wait -- */

static unsigned level_of(const struct desc *desc, const struct kevent *event)
{
    bool end = (event->flags & EV_EOF) != 0;

    /* An error, or the other side is gone; that of a socket may only have ended what it sends. */
    if (end && (event->fflags != 0 || !(desc->flags & DESC_SOCKET) || loop__io_hung_up(desc->os.fd)))
        return INTEREST_READ | INTEREST_WRITE | INTEREST_DISCONNECT | INTEREST_PRIORITIZED;
    if (event->filter == EVFILT_READ)
        return end ? INTEREST_READ | INTEREST_DISCONNECT : INTEREST_READ;
    return event->filter == EVFILT_WRITE ? INTEREST_WRITE : INTEREST_PRIORITIZED;
}

static void level_event(struct kqueue_backend *backend, struct desc *desc, const struct kevent *event)
{
    unsigned interest = loop__posix(desc)->interest;
    unsigned found = level_of(desc, event) & interest;
    bool once = (event->flags & EV_CLEAR) != 0;

    if (found != 0)
        loop__desc_found(desc, found);
    else if (!(interest & ~(unsigned)INTEREST_LEVEL))
        loop__registration_delete(backend, event); /* silencing it had failed */
    if (once == (found != 0) && loop__registration_is_of_end(desc, (int)event->filter))
        loop__registration_repeat(backend, desc, (int)event->filter, once);
}

/* With urgent data older systems count only what is on one side of it. */
#ifdef EV_OOBAND
#define EVENT_OF_MARK EV_OOBAND
#else
#define EVENT_OF_MARK 0
#endif

/* All edges are odd: an event may be spurious, so a connection is not made for that; and a read may end at urgent data, so it
 * is compared with what was counted. */
static void edge(loop_t *loop, struct desc *desc, const struct kevent *event)
{
    unsigned parts = EDGE_ODD | (event->filter == EVFILT_WRITE ? EDGE_WRITE : EDGE_READ);
    bool counted = !(event->flags & (EV_EOF | EVENT_OF_MARK)) && event->data > 0 && event->data <= UINT16_MAX;

    /* An error or the end of the one is often that of the other. */
    if (event->flags & EV_EOF)
        parts |= EDGE_READ | EDGE_WRITE;
    if (parts & EDGE_READ)
        loop__posix(desc)->unread = counted ? (uint16_t)event->data : 0;
    loop__readiness_edge(loop, desc, parts);
}

static unsigned change_of_file(unsigned notes)
{
    unsigned change = 0;

    if (notes & (NOTE_WRITE | NOTE_EXTEND | QUIRK_NOTE_TRUNCATE))
        change |= FILE_WRITTEN;
    if (notes & (NOTE_ATTRIB | NOTE_LINK))
        change |= FILE_ATTRIBUTES;
    if (notes & NOTE_RENAME)
        change |= FILE_RENAMED;
    if (notes & (NOTE_DELETE | NOTE_REVOKE))
        change |= FILE_DELETED;
    return change;
}

/* The registration for an exit is gone with its event. */
static void watched_event(loop_t *loop, struct desc *desc, const struct kevent *event)
{
    struct posix_desc *posix = loop__posix(desc);

    if (desc->flags & DESC_PROCESS) {
        posix->interest = 0;
        posix->unread = 1;
    } else {
        posix->unread |= (uint16_t)change_of_file(event->fflags);
    }
    loop__readiness_edge(loop, desc, EDGE_READ);
}

/* No close(2) ends the registration of a process, and ending it may have failed: then the kernel has the address of what
 * is gone. Exits are rare enough to look for it. */
static struct desc *owner_of(loop_t *loop, const struct kevent *event)
{
    struct desc *desc = loop__registration_owner(loop__kqueue(loop), event);

    if (event->filter != EVFILT_PROC)
        return desc;
    for (struct link *link = loop->handles.next; link != &loop->handles; link = link->next) {
        if (loop__desc_of(CONTAINER_OF(link, struct handle, all)) == desc)
            return (desc->flags & DESC_PROCESS) && (uintptr_t)desc->os.fd == event->ident ? desc : NULL;
    }
    return NULL;
}

static void take(loop_t *loop, const struct kevent *event)
{
    struct desc *desc;

    if (loop__kevent_udata(event) == TAG_WAKE) {
        empty_wake_pipe(loop__kqueue(loop));
        return;
    }
    if (event->flags & EV_ERROR) {
        loop__registration_error(loop, event);
        return;
    }
#ifdef EVFILT_MACHPORT
    if (loop__kevent_udata(event) == TAG_MACHPORT) {
        loop__machport_event(loop, event);
        return;
    }
#endif
    desc = owner_of(loop, event);
    if (desc == NULL)
        loop__registration_delete(loop__kqueue(loop), event); /* deregistering it had failed */
    else if (desc->flags & DESC_WATCHED)
        watched_event(loop, desc, event);
    else if (desc->flags & DESC_LEVEL)
        level_event(loop__kqueue(loop), desc, event);
    else
        edge(loop, desc, event);
}

/* Errors of changes come alone (fact d). Where a change fails in every wait, nobody would hear of anything else. */
static int add_events(struct kqueue_backend *backend, int n)
{
    const struct timespec none = {0, 0};
    int more = loop__sys.kevent_wait(backend->fd, NULL, 0, backend->events + n, EVENTS_PER_WAIT - n, &none);

    return more > 0 ? n + more : n;
}

static int wait_once(struct kqueue_backend *backend, int64_t timeout)
{
    struct timespec time = {(time_t)(timeout / 1000000000), (long)(timeout % 1000000000)};
    int n = loop__sys.kevent_wait(backend->fd, backend->changes, backend->nchanges, backend->events, EVENTS_PER_WAIT,
                                  timeout < 0 ? NULL : &time);

    if (n < 0 && errno != EINTR)
        return loop__errno(); /* perhaps the changes were not made: they go with the next wait */
    n = n < 0 ? LOOP_EINTR : n;
    if (backend->nchanges > 0)
        loop__registration_clear(backend);
    if (n > 0 && (backend->events[0].flags & EV_ERROR))
        n = add_events(backend, n);
    return n;
}

static int backend_poll(loop_t *loop, int64_t timeout)
{
    struct kqueue_backend *backend = loop__kqueue(loop);
    int n = wait_once(backend, timeout < LONGEST_WAIT ? timeout : LONGEST_WAIT);

    while (n == 0 && timeout > LONGEST_WAIT) {
        timeout -= LONGEST_WAIT;
        n = wait_once(backend, timeout < LONGEST_WAIT ? timeout : LONGEST_WAIT);
    }
    for (int i = 0; i < n; i++)
        take(loop, &backend->events[i]);
    loop__registration_tell_host(loop);
    return n;
}

const struct loop_backend loop__backend = {
    .name = "kqueue",
    .init = backend_init,
    .close = backend_close,
    .fork = backend_fork,
    .fd = backend_fd,
    .attach = loop__readiness_attach,
    .detach = loop__readiness_detach,
    .submit = loop__readiness_submit,
    .cancel = loop__readiness_cancel,
    .arm = loop__readiness_arm,
    .accept = loop__readiness_accept,
    .watch = loop__readiness_watch,
#ifdef EVFILT_MACHPORT
    .watch_port = loop__machport_watch,
#endif
    .resume = loop__readiness_resume,
    .poll = backend_poll,
    .wake = backend_wake,
};
