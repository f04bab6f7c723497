/*
 * Mach ports in a kqueue, as macOS has them. The facts of kqueue.h hold, and:
 *   - A port is reported as long as a message waits, unless EV_CLEAR asks otherwise; data is the name of the one that
 *     has the message, which matters if a set is watched.
 *   - When the right to receive leaves the task there is a last event, with EV_EOF, and the registration is gone.
 *   - Names are given anew, to other ports; so an event is that of the handle that watches a port of its name, if there
 *     is one.
 */
#include "kqueue.h"

#include "platform.h"

#ifdef EVFILT_MACHPORT

static struct kevent change_of(loop_mach_port_t port, unsigned flags)
{
    return loop__kevent_of(port, EVFILT_MACHPORT, flags, 0, 0, TAG_MACHPORT);
}

static struct machport *watcher_of(struct kqueue_backend *backend, loop_mach_port_t port)
{
    for (struct link *link = backend->machports.next; link != &backend->machports; link = link->next) {
        struct machport *machport = CONTAINER_OF(link, struct machport, backend);

        if (machport->port == port)
            return machport;
    }
    return NULL;
}

static int begin(struct kqueue_backend *backend, struct machport *machport)
{
    int error;

    if (watcher_of(backend, machport->port) != NULL)
        return LOOP_EEXIST;
    error = loop__registration_make_one(backend, change_of(machport->port, EV_ADD));
    if (error != 0)
        return loop__system_error(error);
    list_push(&backend->machports, &machport->backend);
    return 0;
}

static void end(struct kqueue_backend *backend, struct machport *machport)
{
    list_remove(&machport->backend);
    /* In a child that has not called loop_fork() there is no registration (fact f). */
    if (backend->process == loop__process_id())
        (void)loop__registration_make_one(backend, change_of(machport->port, EV_DELETE));
}

int loop__machport_watch(loop_t *loop, struct machport *machport, bool watched)
{
    if (watched)
        return begin(loop__kqueue(loop), machport);
    end(loop__kqueue(loop), machport);
    return 0;
}

static void lose(struct machport *machport)
{
    list_remove(&machport->backend);
    loop__machport_lost(machport);
}

void loop__machport_event(loop_t *loop, const struct kevent *event)
{
    struct kqueue_backend *backend = loop__kqueue(loop);
    struct machport *machport = watcher_of(backend, (loop_mach_port_t)event->ident);

    if (machport == NULL)
        loop__registration_delete(backend, event); /* it had failed before */
    else if (event->flags & EV_EOF)
        lose(machport);
    else
        loop__machport_found(machport, event->data != 0 ? (loop_mach_port_t)event->data : machport->port);
}

void loop__machports_forked(loop_t *loop)
{
    struct kqueue_backend *backend = loop__kqueue(loop);

    while (!list_empty(&backend->machports))
        lose(CONTAINER_OF(backend->machports.next, struct machport, backend));
}

#endif
