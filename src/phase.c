/* Prepare, check and idle handles: callbacks at fixed points of every turn. */
#include "internal.h"

static int phase_init(loop_t *loop, struct phase_handle *handle, loop_handle_type type)
{
    int error = loop__handle_init(loop, (struct handle *)handle, type);

    if (error == 0)
        list_init(&handle->link);
    return error;
}

/* 1 if it is to be started, 0 if it is started already, or an error. */
static int phase_startable(struct phase_handle *handle, loop_handle_type type, bool has_cb)
{
    int error = loop__handle_check(handle, type);

    if (error != 0)
        return error;
    if (!has_cb)
        return LOOP_EINVAL;
    return !(handle->handle.flags & HANDLE_ACTIVE);
}

static int phase_start(struct phase_handle *handle, enum phase phase)
{
    list_push(&handle->handle.loop->phases[phase], &handle->link);
    handle->handle.loop->extras |= 1u << phase;
    loop__handle_start(&handle->handle);
    if (phase == PHASE_IDLE)
        loop__made_ready(handle->handle.loop);
    return 0;
}

static void phase_unlink(struct phase_handle *handle)
{
    list_remove(&handle->link);
    list_init(&handle->link);
}

static int phase_stop(struct phase_handle *handle, loop_handle_type type)
{
    int error = loop__handle_check(handle, type);

    if (error != 0)
        return error;
    phase_unlink(handle);
    loop__handle_stop(&handle->handle);
    return 0;
}

void loop__phase_close(struct phase_handle *handle)
{
    phase_unlink(handle);
    loop__handle_closed(&handle->handle);
}

void loop__phase_run(loop_t *loop, enum phase phase)
{
    struct link batch;
    struct link called;

    if (list_empty(&loop->phases[phase])) {
        loop->extras &= ~(1u << phase);
        return;
    }
    /* Each leaves the batch before its callback, so that it may be stopped or closed there. New ones queue behind all of them. */
    list_take(&loop->phases[phase], &batch);
    list_init(&called);
    while (!list_empty(&batch)) {
        struct link *link = list_pop(&batch);
        struct phase_handle *handle = CONTAINER_OF(link, struct phase_handle, link);

        list_push(&called, link);
        switch (phase) {
        case PHASE_IDLE:
            handle->cb.idle((loop_idle_t *)handle);
            break;
        case PHASE_PREPARE:
            handle->cb.prepare((loop_prepare_t *)handle);
            break;
        default:
            handle->cb.check((loop_check_t *)handle);
            break;
        }
        loop__lap(loop);
    }
    list_prepend(&loop->phases[phase], &called);
}

int loop_prepare_init(loop_t *loop, loop_prepare_t *prepare)
{
    return phase_init(loop, (struct phase_handle *)prepare, LOOP_PREPARE);
}

int loop_prepare_start(loop_prepare_t *prepare, loop_prepare_cb cb)
{
    struct phase_handle *handle = (struct phase_handle *)prepare;
    int startable = phase_startable(handle, LOOP_PREPARE, cb != NULL);

    if (startable <= 0)
        return startable;
    handle->cb.prepare = cb;
    return phase_start(handle, PHASE_PREPARE);
}

int loop_prepare_stop(loop_prepare_t *prepare)
{
    return phase_stop((struct phase_handle *)prepare, LOOP_PREPARE);
}

int loop_check_init(loop_t *loop, loop_check_t *check)
{
    return phase_init(loop, (struct phase_handle *)check, LOOP_CHECK);
}

int loop_check_start(loop_check_t *check, loop_check_cb cb)
{
    struct phase_handle *handle = (struct phase_handle *)check;
    int startable = phase_startable(handle, LOOP_CHECK, cb != NULL);

    if (startable <= 0)
        return startable;
    handle->cb.check = cb;
    return phase_start(handle, PHASE_CHECK);
}

int loop_check_stop(loop_check_t *check)
{
    return phase_stop((struct phase_handle *)check, LOOP_CHECK);
}

int loop_idle_init(loop_t *loop, loop_idle_t *idle)
{
    return phase_init(loop, (struct phase_handle *)idle, LOOP_IDLE);
}

int loop_idle_start(loop_idle_t *idle, loop_idle_cb cb)
{
    struct phase_handle *handle = (struct phase_handle *)idle;
    int startable = phase_startable(handle, LOOP_IDLE, cb != NULL);

    if (startable <= 0)
        return startable;
    handle->cb.idle = cb;
    return phase_start(handle, PHASE_IDLE);
}

int loop_idle_stop(loop_idle_t *idle)
{
    return phase_stop((struct phase_handle *)idle, LOOP_IDLE);
}
