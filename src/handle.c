/* What all handles have in common: registration with the loop, activity, closing. */
#include "internal.h"

static struct handle *handle_of(const loop_handle_t *handle)
{
    return (struct handle *)(uintptr_t)handle;
}

static bool type_known(uint8_t type)
{
    return type >= LOOP_TIMER && type <= LOOP_MACHPORT;
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
    handle->open = (uint8_t)type;
    handle->flags = HANDLE_REF;
    list_push(&loop->handles, &handle->all);
    return 0;
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
    case LOOP_SIGNAL:
        return "signal";
    case LOOP_POLL:
        return "poll";
    case LOOP_MACHPORT:
        return "machport";
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
    handle->open = LOOP_UNKNOWN_HANDLE;
    handle->close_cb = cb;
    handle->loop->closing_handles++;
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
    case LOOP_SIGNAL:
        loop__signal_close((struct signal *)handle);
        break;
    case LOOP_POLL:
        loop__poll_close((struct poll *)handle);
        break;
    case LOOP_MACHPORT:
        loop__machport_close((struct machport *)handle);
        break;
    default:
        loop__phase_close((struct phase_handle *)handle);
        break;
    }
    return 0;
}

LOOP_APART void loop__handle_stop_odd(loop_t *loop, struct handle *handle)
{
    if (handle->flags & HANDLE_REF)
        loop->active_handles--;
    handle->flags &= (uint8_t)~HANDLE_ACTIVE;
}

void loop__handle_closed(struct handle *handle)
{
    loop_t *loop = handle->loop;

    handle->closing_next = NULL;
    handle->flags |= HANDLE_CLOSED;
    if (loop->closing_last != NULL)
        loop->closing_last->closing_next = handle;
    else
        loop->closing_first = handle;
    loop->closing_last = handle;
    loop->extras |= EXTRA_CLOSING;
    loop__made_ready(loop);
}

void loop__handle_forget(struct handle *handle)
{
    for (struct walker *walker = handle->loop->walkers; walker != NULL; walker = walker->outer) {
        if (walker->next == &handle->all)
            walker->next = walker->next != walker->last ? walker->next->next : NULL;
        if (walker->last == &handle->all)
            walker->last = walker->last->prev;
    }
    list_remove(&handle->all);
    handle->type = LOOP_UNKNOWN_HANDLE;
    handle->open = LOOP_UNKNOWN_HANDLE;
    handle->flags = HANDLE_CLOSING;
}

void loop__handles_run_closing(loop_t *loop)
{
    struct handle *handle = loop->closing_first;

    /* Those closed by these callbacks wait for the next turn. */
    loop->closing_first = NULL;
    loop->closing_last = NULL;
    loop->extras &= ~(unsigned)EXTRA_CLOSING;
    while (handle != NULL) {
        struct handle *next = handle->closing_next;
        loop_close_cb cb = handle->close_cb;

        loop__handle_forget(handle);
        loop->closing_handles--;
        if (cb != NULL)
            cb((loop_handle_t *)handle);
        loop__lap(loop);
        handle = next;
    }
}

int loop_walk(loop_t *loop, void (*cb)(loop_handle_t *handle, void *arg), void *arg)
{
    struct walker walker;

    if (loop == NULL || cb == NULL)
        return LOOP_EINVAL;
    if (list_empty(&loop->handles))
        return 0;
    walker = (struct walker){.next = loop->handles.next, .last = loop->handles.prev, .outer = loop->walkers};
    loop->walkers = &walker;
    while (walker.next != NULL) {
        struct link *link = walker.next;

        walker.next = link != walker.last ? link->next : NULL;
        cb((loop_handle_t *)CONTAINER_OF(link, struct handle, all), arg);
    }
    loop->walkers = walker.outer;
    return 0;
}
