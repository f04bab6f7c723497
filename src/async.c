/* Async handles: a wake-up from other threads that coalesces. Signal handles are built on them. */
#include "internal.h"

int loop__async_init(loop_t *loop, struct async *async, loop_handle_type type, loop_async_cb cb)
{
    int error = loop__handle_init(loop, (struct handle *)async, type);

    if (error != 0)
        return error;
    async->cb = cb;
    async->node.kind = POST_ASYNC;
    atomic_init(&async->state, 0);
    return 0;
}

int loop_async_init(loop_t *loop, loop_async_t *public_async, loop_async_cb cb)
{
    struct async *async = (struct async *)public_async;
    int error;

    if (cb == NULL)
        return LOOP_EINVAL;
    error = loop__async_init(loop, async, LOOP_ASYNC, cb);
    if (error == 0)
        loop__handle_start(&async->handle);
    return error;
}

int loop__async_send(struct async *async)
{
    unsigned before;

    /* Always a write, also when it changes nothing: so the callback sees what every merged sender did before. */
    before = atomic_fetch_or(&async->state, ASYNC_QUEUED);
    if (before & ASYNC_CLOSED)
        return LOOP_EBADF;
    return before & ASYNC_QUEUED ? 0 : loop__post(async->handle.loop, &async->node);
}

int loop_async_send(loop_async_t *public_async)
{
    struct async *async = (struct async *)public_async;

    if (async == NULL)
        return LOOP_EINVAL;
    return async->handle.type == LOOP_ASYNC ? loop__async_send(async) : LOOP_EBADF;
}

void loop__async_run(struct async *async)
{
    /* Not queued any more before the callback: whoever sends from now on is heard again. */
    if (atomic_fetch_and(&async->state, ~(unsigned)ASYNC_QUEUED) & ASYNC_CLOSED)
        loop__handle_closed(&async->handle);
    else
        async->cb((loop_async_t *)async);
}

void loop__async_close(struct async *async)
{
    /* A node that is queued, or just being pushed, is waited for: loop__async_run() ends the closing then. Until then the
     * loop is alive, because the handle is closing. */
    if (!(atomic_fetch_or(&async->state, ASYNC_CLOSED) & ASYNC_QUEUED))
        loop__handle_closed(&async->handle);
}

static void mark_found(struct post_node *node)
{
    for (; node != NULL; node = node->next) {
        if (node->kind == POST_ASYNC)
            atomic_fetch_or(&CONTAINER_OF(node, struct async, node)->state, ASYNC_FOUND);
    }
}

void loop__asyncs_fork(loop_t *loop)
{
    /* A sender may have been between setting the bit and pushing the node. It does not go on in this process, so that nobody
     * would be heard any more and closing would not end: its signal is sent. */
    mark_found(loop->tasks);
    mark_found(atomic_load(&loop->posted));
    for (struct link *link = loop->handles.next; link != &loop->handles; link = link->next) {
        struct handle *handle = CONTAINER_OF(link, struct handle, all);
        struct async *async = (struct async *)handle;
        unsigned before;

        if (handle->type != LOOP_ASYNC && handle->type != LOOP_SIGNAL)
            continue;
        before = atomic_fetch_and(&async->state, ~(unsigned)ASYNC_FOUND);
        /* Of a closed one the bit may be that of a send that was refused. */
        if ((before & ASYNC_QUEUED) && !(before & ASYNC_FOUND) && !(handle->flags & HANDLE_CLOSED))
            (void)loop__post(loop, &async->node);
    }
}
