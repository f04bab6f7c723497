/* Poll handles: level-triggered events of descriptors that others read and write. */
#include "internal.h"
#include "platform.h"

int loop_poll_init(loop_t *loop, loop_poll_t *public_poll, loop_os_fd_t fd)
{
    struct poll *poll = (struct poll *)public_poll;
    int error;

    if (loop == NULL || poll == NULL)
        return LOOP_EINVAL;
    if (fd == LOOP_INVALID_FD)
        return LOOP_EBADF;
    error = loop__desc_init(loop, &poll->desc, LOOP_POLL);
    if (error != 0)
        return error;
    poll->cb = NULL;
    poll->asked = 0;
    poll->desc.ready.found = 0;
    error = loop__desc_take(&poll->desc, fd, DESC_CALLER | DESC_LEVEL, true);
    if (error != 0)
        loop__handle_forget(&poll->desc.handle);
    return error;
}

int loop_poll_start(loop_poll_t *public_poll, unsigned events, loop_poll_cb cb)
{
    const unsigned known = LOOP_READABLE | LOOP_WRITABLE | LOOP_DISCONNECT | LOOP_PRIORITIZED;
    struct poll *poll = (struct poll *)public_poll;
    int error = loop__handle_check(poll, LOOP_POLL);

    if (error != 0)
        return error;
    if (cb == NULL || events == 0 || (events & ~known))
        return LOOP_EINVAL;
    if (poll->desc.os.fd == LOOP_INVALID_FD)
        return LOOP_EBADF;
    error = poll->desc.handle.loop->backend->watch(poll->desc.handle.loop, &poll->desc, events);
    if (error != 0)
        return error;
    poll->cb = cb;
    poll->asked = (uint8_t)events;
    poll->desc.ready.found &= (uint16_t)events;
    loop__handle_start(&poll->desc.handle);
    return 0;
}

static void stop(struct poll *poll)
{
    if (poll->asked == 0)
        return;
    poll->asked = 0;
    poll->desc.ready.found = 0;
    (void)poll->desc.handle.loop->backend->watch(poll->desc.handle.loop, &poll->desc, 0);
    loop__handle_stop(&poll->desc.handle);
}

int loop_poll_stop(loop_poll_t *poll)
{
    int error = loop__handle_check(poll, LOOP_POLL);

    if (error == 0)
        stop((struct poll *)poll);
    return error;
}

void loop__desc_found(struct desc *desc, unsigned events)
{
    struct poll *poll = (struct poll *)desc;

    loop__poll_found(desc->handle.loop, poll, events & poll->asked);
    loop__made_ready(desc->handle.loop);
}

void loop__poll_lost(struct poll *poll)
{
    poll->desc.ready.found = 0;
    if (poll->asked != 0)
        loop__desc_ready(&poll->desc, TODO_POLL);
}

/* It stands in the ready queue, but not for events. */
void loop__poll_dispatch_else(struct poll *poll)
{
    if (poll->asked != 0 && poll->desc.os.fd == LOOP_INVALID_FD) {
        stop(poll);
        poll->cb((loop_poll_t *)poll, LOOP_EBADF, 0);
    } else {
        poll->desc.handle.loop->futile++;
    }
}

void loop__poll_close(struct poll *poll)
{
    loop__desc_close(&poll->desc);
}
