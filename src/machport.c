/* Mach port handles: level-triggered, as poll handles are. Others receive the messages. */
#include "internal.h"

#define NO_PORT 0u
#define DEAD_PORT UINT32_MAX

int loop_machport_init(loop_t *loop, loop_machport_t *public_machport, loop_mach_port_t port)
{
    struct machport *machport = (struct machport *)public_machport;
    int error;

    if (loop == NULL || machport == NULL || port == NO_PORT || port == DEAD_PORT)
        return LOOP_EINVAL;
    if (loop->backend->watch_port == NULL)
        return LOOP_ENOTSUP;
    error = loop__handle_init(loop, &machport->handle, LOOP_MACHPORT);
    if (error != 0)
        return error;
    machport->ready.kind = READY_MACHPORT;
    machport->ready.todo = 0;
    machport->cb = NULL;
    machport->port = port;
    machport->found = port;
    machport->watched = false;
    machport->lost = false;
    return 0;
}

/* Where there are no ports there are no handles of them either, and whoever goes on without one is told why. */
static int check(const loop_machport_t *machport)
{
    int error = loop__handle_check(machport, LOOP_MACHPORT);

    return error == LOOP_EBADF && loop__backend.watch_port == NULL ? LOOP_ENOTSUP : error;
}

static void leave_ready_queue(struct machport *machport)
{
    if (machport->ready.todo == 0)
        return;
    machport->ready.todo = 0;
    list_remove(&machport->ready.link);
}

int loop_machport_start(loop_machport_t *public_machport, loop_machport_cb cb)
{
    struct machport *machport = (struct machport *)public_machport;
    int error = check(public_machport);

    if (error != 0)
        return error;
    if (cb == NULL)
        return LOOP_EINVAL;
    if (!machport->watched) {
        error = machport->handle.loop->backend->watch_port(machport->handle.loop, machport, true);
        if (error != 0)
            return error;
        machport->watched = true;
        machport->lost = false; /* the name stands for another port now */
        leave_ready_queue(machport);
    }
    machport->cb = cb;
    loop__handle_start(&machport->handle);
    return 0;
}

static void stop(struct machport *machport)
{
    if (machport->watched)
        (void)machport->handle.loop->backend->watch_port(machport->handle.loop, machport, false);
    machport->watched = false;
    machport->lost = false;
    leave_ready_queue(machport);
    loop__handle_stop(&machport->handle);
}

int loop_machport_stop(loop_machport_t *public_machport)
{
    struct machport *machport = (struct machport *)public_machport;
    int error = check(public_machport);

    if (error == 0)
        stop(machport);
    return error;
}

void loop__machport_close(struct machport *machport)
{
    stop(machport);
    loop__handle_closed(&machport->handle);
}

static void enter_ready_queue(struct machport *machport)
{
    loop_t *loop = machport->handle.loop;

    if (machport->ready.todo == 0) {
        machport->ready.todo = TODO_MESSAGE;
        list_push(&loop->ready, &machport->ready.link);
    }
    loop__made_ready(loop);
}

void loop__machport_found(struct machport *machport, loop_mach_port_t port)
{
    machport->found = port;
    enter_ready_queue(machport);
}

void loop__machport_lost(struct machport *machport)
{
    machport->watched = false;
    machport->lost = true;
    enter_ready_queue(machport);
}

void loop__machport_dispatch(struct machport *machport)
{
    machport->ready.todo = 0;
    if (machport->lost) {
        stop(machport);
        machport->cb((loop_machport_t *)machport, LOOP_EBADF, machport->port);
    } else {
        machport->cb((loop_machport_t *)machport, 0, machport->found);
    }
}
