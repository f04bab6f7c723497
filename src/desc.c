/*
 * The life of a descriptor: open -> attached -> closing -> closed. Shared by the caller's descriptors (loop_desc_t) and the
 * handles that own one. It is closed once the last operation in flight was delivered.
 */
#include "internal.h"
#include "platform.h"

int loop__desc_init(loop_t *loop, struct desc *desc, loop_handle_type type)
{
    int error = loop__handle_init(loop, (struct handle *)desc, type);

    if (error != 0)
        return error;
    desc->handle.made = 0;
    desc->ready.kind = READY_DESC;
    desc->os.fd = LOOP_INVALID_FD;
    desc->ready.todo = 0;
    desc->flags = 0;
    desc->inflight = 0;
    list_init(&desc->reads);
    list_init(&desc->writes);
    loop__timer_node_init(&desc->read_deadline, TIMER_READ_DEADLINE);
    loop__timer_node_init(&desc->write_deadline, TIMER_WRITE_DEADLINE);
    for (int i = 0; i < LOOP_PRIVATE_DESC_WORDS; i++)
        desc->backend[i] = 0;
    return 0;
}

void loop__desc_set_fd(struct desc *desc, loop_os_fd_t fd, unsigned flags)
{
    desc->os.fd = fd;
    desc->flags = (desc->flags & (DESC_EXPIRED | DESC_SEALED)) | flags;
}

struct desc *loop__desc_of(struct handle *handle)
{
    switch (handle->type) {
    case LOOP_DESC:
    case LOOP_TCP:
    case LOOP_POLL:
        return (struct desc *)handle;
    default:
        return NULL;
    }
}

int loop__desc_attach(struct desc *desc, loop_os_fd_t fd, unsigned flags)
{
    loop_t *loop = desc->handle.loop;
    int error;

    /* A fresh descriptor counts as not yet readable (adding it reports what is there) and as writable. */
    loop__desc_set_fd(desc, fd, flags | DESC_WRITABLE);
    error = loop->backend->attach(loop, desc);
    if (error != 0) {
        loop__desc_set_fd(desc, LOOP_INVALID_FD, 0);
        return error;
    }
    desc->flags |= DESC_ATTACHED;
    return 0;
}

int loop__desc_take(struct desc *desc, loop_os_fd_t fd, unsigned flags, bool inherit)
{
    int error = loop__desc_attach(desc, fd, flags | DESC_GIVEN);

    if (error != 0)
        return error;
    /* Last, so that a descriptor that could not be attached is as it was. */
    error = loop__fd_make_async(fd, inherit);
    if (error != 0) {
        (void)desc->handle.loop->backend->detach(desc->handle.loop, desc, false);
        loop__desc_set_fd(desc, LOOP_INVALID_FD, 0);
    }
    return error;
}

void loop__desc_close(struct desc *desc)
{
    loop_t *loop = desc->handle.loop;

    loop__timer_unset(loop, &desc->read_deadline);
    loop__timer_unset(loop, &desc->write_deadline);
    loop__op_end_queue(&desc->reads, false);
    loop__op_end_queue(&desc->writes, false);
    if (desc->ready.todo != 0) {
        desc->ready.todo = 0;
        list_remove(&desc->ready.link);
    }
    if (desc->flags & DESC_ATTACHED)
        (void)loop->backend->detach(loop, desc, false);
    if (desc->os.fd != LOOP_INVALID_FD && (desc->flags & DESC_OWNED))
        loop__fd_close(desc->os.fd);
    desc->os.fd = LOOP_INVALID_FD;
    desc->flags = 0;
    if (desc->inflight == 0)
        loop__handle_closed(&desc->handle);
}

void loop__desc_hold(struct desc *desc)
{
    desc->inflight++;
}

void loop__desc_release(struct desc *desc)
{
    if (--desc->inflight == 0 && (desc->handle.flags & HANDLE_CLOSING))
        loop__handle_closed(&desc->handle);
}

void loop__desc_lost(struct desc *desc)
{
    if (desc->ready.todo != 0) {
        desc->ready.todo = 0;
        list_remove(&desc->ready.link);
    }
    loop__desc_set_fd(desc, LOOP_INVALID_FD, 0);
    if (desc->handle.type == LOOP_POLL)
        loop__poll_lost((struct poll *)desc);
    else
        desc->handle.open = LOOP_UNKNOWN_HANDLE;
}

void loop__desc_dispatch(struct desc *desc)
{
    loop_t *loop = desc->handle.loop;
    unsigned todo = desc->ready.todo;
    unsigned futile = loop->futile + 1;
    bool called = false;

    desc->ready.todo = 0;
    if (todo & TODO_RESUME)
        loop->backend->resume(loop, desc);
    if (todo & TODO_DRAIN)
        called = loop__stream_drained((struct stream *)desc);
    if ((todo & TODO_READ) && !(desc->handle.flags & HANDLE_CLOSING)) {
        loop__stream_readable((struct stream *)desc);
        called = called || loop->futile != futile;
    }
    loop->futile = called ? futile - 1 : futile;
}

int loop_desc_attach(loop_t *loop, loop_desc_t *public_desc, loop_os_fd_t fd, unsigned flags)
{
    const unsigned known = LOOP_DESC_TCP | LOOP_DESC_OWNED | LOOP_DESC_INHERIT;
    struct desc *desc = (struct desc *)public_desc;
    uint32_t kind = DESC_CALLER;
    int error;

    if (loop == NULL || desc == NULL || (flags & ~known))
        return LOOP_EINVAL;
    if (fd == LOOP_INVALID_FD)
        return LOOP_EBADF;
    if (flags & LOOP_DESC_TCP) {
        kind |= DESC_TCP | DESC_SOCKET | DESC_GIVEN;
    } else {
        error = loop__fd_probe(fd, &kind);
        if (error != 0)
            return error;
    }
    if (flags & LOOP_DESC_OWNED)
        kind |= DESC_OWNED;
    error = loop__desc_init(loop, desc, LOOP_DESC);
    if (error != 0)
        return error;
    /* What is promised to be TCP is promised to be non-blocking, too. */
    error = flags & LOOP_DESC_TCP ? loop__desc_attach(desc, fd, kind)
                                  : loop__desc_take(desc, fd, kind, (flags & LOOP_DESC_INHERIT) != 0);
    if (error != 0)
        loop__handle_forget(&desc->handle);
    return error;
}

int loop_desc_detach(loop_desc_t *public_desc)
{
    struct desc *desc = (struct desc *)public_desc;
    int error = loop__handle_check(desc, LOOP_DESC);

    if (error != 0)
        return error;
    if (desc->inflight > 0)
        return LOOP_EBUSY;
    error = desc->handle.loop->backend->detach(desc->handle.loop, desc, true);
    if (error != 0)
        return error;
    loop__timer_unset(desc->handle.loop, &desc->read_deadline);
    loop__timer_unset(desc->handle.loop, &desc->write_deadline);
    if (desc->ready.todo != 0)
        list_remove(&desc->ready.link);
    desc->ready.todo = 0;
    loop__handle_forget(&desc->handle);
    return 0;
}

loop_os_fd_t loop_desc_fd(const loop_desc_t *desc)
{
    return loop__handle_check(desc, LOOP_DESC) == 0 ? ((const struct desc *)desc)->os.fd : LOOP_INVALID_FD;
}
