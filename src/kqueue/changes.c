/* How changes get to the kernel: they are gathered and go with the next wait, in one call; or they are made at once. */
#include "registration.h"

#include "platform.h"

#include <errno.h>

/* A change that waits, made anew from what is left of it in a receipt. */
static struct kevent waiting_change(struct desc *desc, const struct kevent *receipt)
{
    return desc->flags & DESC_LEVEL ? loop__registration_question(desc)
                                    : loop__change_of(desc, (int)receipt->filter, EV_ADD | EV_CLEAR, 0, 0);
}

struct desc *loop__registration_owner(struct kqueue_backend *backend, const struct kevent *event)
{
    uintptr_t udata = loop__kevent_udata(event);
    struct desc *desc;

    if (!(udata & TAG_MASK))
        return (struct desc *)udata;
    desc = loop__fd_table_owner(&backend->readiness.callers, (int)event->ident);
    return desc != NULL && loop__change_udata(desc) == udata ? desc : NULL;
}

void loop__registration_clear(struct kqueue_backend *backend)
{
    for (int i = 0; i < backend->nchanges; i++) {
        struct desc *desc = loop__registration_owner(backend, &backend->changes[i]);

        if (desc != NULL)
            loop__posix(desc)->pending &= KINDS;
    }
    backend->nchanges = 0;
}

void loop__registration_drop(struct kqueue_backend *backend, struct desc *desc)
{
    uintptr_t udata = loop__change_udata(desc);

    if (!(loop__posix(desc)->pending & ~KINDS))
        return;
    loop__posix(desc)->pending &= KINDS;
    for (int i = backend->nchanges; i-- > 0;) {
        if (backend->changes[i].ident == (uintptr_t)desc->os.fd && loop__kevent_udata(&backend->changes[i]) == udata)
            backend->changes[i] = backend->changes[--backend->nchanges];
    }
}

bool loop__registration_flush(struct kqueue_backend *backend)
{
    int n = backend->nchanges;
    int left = 0;
    bool done = false;

    if (n == 0)
        return true;
    for (int i = 0; i < n; i++)
        backend->changes[i].flags |= EV_RECEIPT;
    n = loop__sys.kevent_change(backend->fd, backend->changes, n);
    if (n < 0) /* nothing was done, or all: doing it again does no harm */
        n = backend->nchanges;
    else
        done = true;
    for (int i = 0; i < n; i++) {
        struct kevent receipt = backend->changes[i];
        struct desc *desc = loop__registration_owner(backend, &receipt);

        if (desc == NULL)
            continue;
        if (!done || receipt.data != 0 || (desc->flags & DESC_LEVEL))
            backend->changes[left++] = waiting_change(desc, &receipt);
        else
            loop__posix(desc)->pending &= (uint8_t)~loop__change_direction(&receipt);
    }
    backend->nchanges = left;
    return left < CHANGES_PER_WAIT;
}

void loop__registration_tell_host(loop_t *loop)
{
    if (loop->watched && loop__kqueue(loop)->nchanges > 0)
        loop->backend->wake(loop);
}

int loop__registration_push(struct kqueue_backend *backend, struct desc *desc, struct kevent change)
{
    unsigned direction = loop__change_direction(&change);

    if (loop__posix(desc)->pending & direction)
        return 0;
    if (backend->nchanges == CHANGES_PER_WAIT && !loop__registration_flush(backend))
        return LOOP_ENOMEM;
    backend->changes[backend->nchanges++] = change;
    loop__posix(desc)->pending |= (uint8_t)direction;
    return 0;
}

/* -------------------------------------------------------------------------------------------------------- at once -- */

void loop__registration_make(struct kqueue_backend *backend, struct changes *changes)
{
    int n;

    for (int i = 0; i < changes->n; i++)
        changes->list[i].flags |= EV_RECEIPT;
    do {
        n = loop__sys.kevent_change(backend->fd, changes->list, changes->n);
    } while (n < 0 && errno == EINTR);
    for (int i = n < 0 ? 0 : n; i < changes->n; i++)
        changes->list[i].data = n < 0 ? errno : EIO;
}

int loop__registration_make_one(struct kqueue_backend *backend, struct kevent change)
{
    struct changes changes = {.n = 0};

    loop__changes_add(&changes, change);
    loop__registration_make(backend, &changes);
    return (int)changes.list[0].data;
}

void loop__registration_delete(struct kqueue_backend *backend, const struct kevent *event)
{
    (void)loop__registration_make_one(
        backend, loop__kevent_of(event->ident, (int)event->filter, EV_DELETE, 0, 0, loop__kevent_udata(event)));
}
