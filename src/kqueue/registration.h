/* What registration.c and changes.c share: the one says what is registered of a descriptor, the other how it gets there. */
#ifndef LOOP_KQUEUE_REGISTRATION_H
#define LOOP_KQUEUE_REGISTRATION_H

#include "kqueue.h"

#define FILTERS 3 /* of a descriptor, at the most */

struct changes {
    struct kevent list[FILTERS];
    int n;
};

static inline uintptr_t loop__change_udata(struct desc *desc)
{
    if (!(desc->flags & DESC_CALLER))
        return (uintptr_t)desc;
    return (uintptr_t)loop__posix(desc)->generation << 2 | TAG_CALLER;
}

/* fflags and data: of READ a low-water mark that no data reaches, of EXCEPT what is exceptional. */
static inline struct kevent loop__change_of(struct desc *desc, int filter, unsigned flags, unsigned fflags, int data)
{
    return loop__kevent_of((uintptr_t)desc->os.fd, filter, flags, fflags, data, loop__change_udata(desc));
}

static inline unsigned loop__change_direction(const struct kevent *change)
{
#ifdef EVFILT_EXCEPT
    if (change->filter == EVFILT_EXCEPT)
        return INTEREST_PRIORITIZED;
#endif
    return change->filter == EVFILT_WRITE ? INTEREST_WRITE : INTEREST_READ;
}

static inline void loop__changes_add(struct changes *changes, struct kevent change)
{
    changes->list[changes->n++] = change;
}

/* The change goes with the next wait, unless one of that direction does so already. LOOP_ENOMEM. */
int loop__registration_push(struct kqueue_backend *backend, struct desc *desc, struct kevent change);

/* What waits for this descriptor: its number is about to be closed, or is somebody else's already. */
void loop__registration_drop(struct kqueue_backend *backend, struct desc *desc);

/* What waits for a descriptor of the caller is a question: it must not register the number's next owner. */
struct kevent loop__registration_question(struct desc *desc);

/* Makes them all at once, whatever becomes of one, in one call. Afterwards the data of each is its error. */
void loop__registration_make(struct kqueue_backend *backend, struct changes *changes);

#endif
