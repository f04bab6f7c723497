/* What all handles have in common: registration with the loop, activity, closing. */
#include "internal.h"

static struct handle *handle_of(const loop_handle_t *handle)
{
    return (struct handle *)(uintptr_t)handle;
}

static bool type_known(uint8_t type)
{
    return type >= LOOP_TIMER && type <= LOOP_TCP;
}

int loop__handle_init(loop_t *loop, struct handle *handle, loop_handle_type type)
{
    if (loop == NULL || handle == NULL)
        return LOOP_EINVAL;
    if (loop->closing)
        return LOOP_ECLOSED;
    handle->loop = loop;
    handle->close_cb = NULL;
    handle->closing_next = NULL;
    handle->type = (uint8_t)type;
    handle->flags = HANDLE_REF;
    list_push(&loop->handles, &handle->all);
    for (struct walk *walk = loop->walks; walk != NULL; walk = walk->outer) {
        if (walk->next == &loop->handles)
            walk->next = &handle->all;
        if (walk->end == &loop->handles)
            walk->end = &handle->all;
    }
    return 0;
}

int loop__handle_check(const void *pointer, loop_handle_type type)
{
    const struct handle *handle = pointer;

    if (handle == NULL)
        return LOOP_EINVAL;
    return handle->type == type && !(handle->flags & HANDLE_CLOSING) ? 0 : LOOP_EBADF;
}

void loop__handle_start(struct handle *handle)
{
    if (handle->flags & HANDLE_ACTIVE)
        return;
    handle->flags |= HANDLE_ACTIVE;
    if (handle->flags & HANDLE_REF)
        handle->loop->active_handles++;
}

void loop__handle_stop(struct handle *handle)
{
    if (!(handle->flags & HANDLE_ACTIVE))
        return;
    handle->flags &= (uint8_t)~HANDLE_ACTIVE;
    if (handle->flags & HANDLE_REF)
        handle->loop->active_handles--;
}

int loop_handle_ref(loop_handle_t *public_handle)
{
    struct handle *handle = handle_of(public_handle);

    if (handle == NULL)
        return LOOP_EINVAL;
    if (!type_known(handle->type))
        return LOOP_EBADF;
    if (!(handle->flags & HANDLE_REF) && (handle->flags & HANDLE_ACTIVE))
        handle->loop->active_handles++;
    handle->flags |= HANDLE_REF;
    return 0;
}

int loop_handle_unref(loop_handle_t *public_handle)
{
    struct handle *handle = handle_of(public_handle);

    if (handle == NULL)
        return LOOP_EINVAL;
    if (!type_known(handle->type))
        return LOOP_EBADF;
    if ((handle->flags & HANDLE_REF) && (handle->flags & HANDLE_ACTIVE))
        handle->loop->active_handles--;
    handle->flags &= (uint8_t)~HANDLE_REF;
    return 0;
}

int loop_handle_has_ref(const loop_handle_t *handle)
{
    return handle != NULL && (handle_of(handle)->flags & HANDLE_REF) != 0;
}

int loop_handle_is_active(const loop_handle_t *public_handle)
{
    const struct handle *handle = handle_of(public_handle);

    if (handle == NULL || (handle->flags & HANDLE_CLOSING))
        return 0;
    if (handle->type == LOOP_DESC)
        return ((const struct desc *)handle)->inflight > 0;
    return (handle->flags & HANDLE_ACTIVE) != 0;
}

int loop_handle_is_closing(const loop_handle_t *handle)
{
    return handle != NULL && (handle_of(handle)->flags & HANDLE_CLOSING) != 0;
}

loop_handle_type loop_handle_get_type(const loop_handle_t *handle)
{
    if (handle == NULL || !type_known(handle_of(handle)->type))
        return LOOP_UNKNOWN_HANDLE;
    return (loop_handle_type)handle_of(handle)->type;
}

const char *loop_handle_type_name(loop_handle_type type)
{
    switch (type) {
    case LOOP_TIMER:
        return "timer";
    case LOOP_PREPARE:
        return "prepare";
    case LOOP_CHECK:
        return "check";
    case LOOP_IDLE:
        return "idle";
    case LOOP_ASYNC:
        return "async";
    case LOOP_DESC:
        return "desc";
    case LOOP_TCP:
        return "tcp";
    case LOOP_UNKNOWN_HANDLE:
        break;
    }
    return "unknown";
}

loop_t *loop_handle_get_loop(const loop_handle_t *handle)
{
    return loop_handle_get_type(handle) != LOOP_UNKNOWN_HANDLE ? handle_of(handle)->loop : NULL;
}

int loop_handle_close(loop_handle_t *public_handle, loop_close_cb cb)
{
    struct handle *handle = handle_of(public_handle);

    if (handle == NULL)
        return LOOP_EINVAL;
    if (!type_known(handle->type) || (handle->flags & HANDLE_CLOSING))
        return LOOP_EBADF;
    loop__handle_stop(handle);
    handle->flags |= HANDLE_CLOSING;
    handle->close_cb = cb;
    switch (handle->type) {
    case LOOP_TIMER:
        loop__timer_close((struct timer *)handle);
        break;
    case LOOP_ASYNC:
        loop__async_close((struct async *)handle);
        break;
    case LOOP_DESC:
        loop__desc_close((struct desc *)handle);
        break;
    case LOOP_TCP:
        loop__tcp_close((struct stream *)handle);
        break;
    default:
        loop__phase_close((struct phase_handle *)handle);
        break;
    }
    return 0;
}

void loop__handle_closed(struct handle *handle)
{
    loop_t *loop = handle->loop;

    handle->closing_next = NULL;
    if (loop->closing_last != NULL)
        loop->closing_last->closing_next = handle;
    else
        loop->closing_first = handle;
    loop->closing_last = handle;
}

void loop__handle_forget(struct handle *handle)
{
    for (struct walk *walk = handle->loop->walks; walk != NULL; walk = walk->outer) {
        if (walk->next == &handle->all)
            walk->next = handle->all.next;
        if (walk->end == &handle->all)
            walk->end = handle->all.next;
    }
    list_remove(&handle->all);
    handle->type = LOOP_UNKNOWN_HANDLE;
    handle->flags = HANDLE_CLOSING;
}

void loop__handles_run_closing(loop_t *loop)
{
    const struct handle *last = loop->closing_last;
    bool more = loop->closing_first != NULL;

    /* Those closed by these callbacks wait for the next turn. Those that wait for their callback keep the loop alive. */
    while (more) {
        struct handle *handle = loop->closing_first;
        loop_close_cb cb = handle->close_cb;

        more = handle != last;
        loop->closing_first = handle->closing_next;
        if (loop->closing_first == NULL)
            loop->closing_last = NULL;
        loop__handle_forget(handle);
        if (cb != NULL)
            cb((loop_handle_t *)handle);
    }
}

void loop__handles_walk(loop_t *loop, void (*cb)(loop_handle_t *handle, void *arg), void *arg)
{
    struct walk walk = {loop->handles.next, &loop->handles, loop->walks};

    loop->walks = &walk;
    while (walk.next != walk.end) {
        struct link *link = walk.next;

        walk.next = link->next;
        cb((loop_handle_t *)CONTAINER_OF(link, struct handle, all), arg);
    }
    loop->walks = walk.outer;
}
