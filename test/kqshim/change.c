/* One change of a kevent() call: making, updating, switching and deleting a registration. */
#include "internal.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>

static bool open_descriptor(uintptr_t ident)
{
    return ident <= INT_MAX && !kqshim_is_inner((int)ident) && fcntl((int)ident, F_GETFD) != -1;
}

/* A number that was closed where close() is not seen, and is another descriptor now, has no knotes. */
static bool stale(const struct kqshim_knote *kn)
{
    struct stat st;

    return kn->filter->of_descriptor &&
           (fstat((int)kn->ident, &st) != 0 || st.st_dev != kn->device || st.st_ino != kn->inode);
}

static bool disabled_by(unsigned flags, bool before)
{
    if ((flags & EV_DISABLE) != 0 && ((flags & EV_ENABLE) == 0 || kqshim_personality.disable_wins))
        return true;
    return (flags & EV_ENABLE) != 0 ? false : before;
}

static int add(struct kqshim_kq *kq, const struct kqshim_filter *filter, const struct kevent *change)
{
    struct kqshim_knote *kn;
    int error = filter->of_descriptor ? kqshim_refusal(change->ident) : 0;

    if (error != 0)
        return error;
    kn = calloc(1, sizeof(*kn));
    if (kn == NULL)
        return ENOMEM;
    kn->filter = filter;
    kn->ident = change->ident;
    kn->flags = change->flags & ~(unsigned)(EV_EOF | EV_ERROR);
    kn->asked = change->fflags;
    kn->limit = change->data;
    kn->udata = change->udata;
    kn->disabled = disabled_by(change->flags, false);
    kn->watch = kn->parent_watch = kn->pidfd = -1;
    error = filter->of_descriptor ? kqshim_classify(kn) : 0;
    if (error == 0)
        error = filter->attach(kq, kn);
    if (error != 0) {
        free(kn);
        return error;
    }
    kqshim_insert(kq, kn);
    if (filter->check(kq, kn))
        kqshim_activate(kq, kn);
    return 0;
}

static bool is_user(const struct kqshim_knote *kn)
{
#if defined(EVFILT_USER)
    return kn->filter == &kqshim_user_filter;
#else
    (void)kn;
    return false;
#endif
}

static void store(struct kqshim_knote *kn, const struct kevent *change)
{
#if defined(EVFILT_USER)
    if (is_user(kn))
        kqshim_user_touch(kn, change);
    else
#endif
        kn->asked = change->fflags;
    kn->limit = change->data;
#if defined(EV_KEEPUDATA)
    if ((change->flags & EV_KEEPUDATA) != 0)
        return;
#endif
    kn->udata = change->udata;
}

/* EV_CLEAR, EV_ONESHOT and EV_DISPATCH stay as they were first given. */
static void update(struct kqshim_kq *kq, struct kqshim_knote *kn, const struct kevent *change)
{
    bool was_disabled = kn->disabled;
    bool stored = (change->flags & EV_ADD) != 0 || kqshim_personality.enable_overwrites ||
                  (is_user(kn) && kqshim_personality.user_overwrites);

    if (stored)
        store(kn, change);
    kn->disabled = disabled_by(change->flags, was_disabled);
    if (kn->disabled)
        kqshim_dequeue(kq, kn);
    if (stored || (was_disabled && !kn->disabled && kqshim_personality.enable_rechecks)) {
        if (kn->filter->check(kq, kn))
            kn->active = true;
        else if (is_user(kn))
            kn->active = false;
    }
    if (kn->active)
        kqshim_activate(kq, kn);
}

int kqshim_change(struct kqshim_kq *kq, const struct kevent *change)
{
    const struct kqshim_filter *filter = kqshim_filter(change->filter);
    struct kqshim_knote *kn;

    if (filter == NULL)
        return EINVAL;
    if (kqshim_personality.both_refused && (change->flags & EV_ENABLE) != 0 && (change->flags & EV_DISABLE) != 0)
        return EINVAL;
    if (filter->of_descriptor && !open_descriptor(change->ident))
        return EBADF;
    kn = kqshim_find(kq, change->ident, change->filter);
    if (kn != NULL && stale(kn)) {
        kqshim_drop(kq, kn);
        kn = NULL;
    }
    if (kn == NULL)
        return (change->flags & EV_ADD) != 0 && (change->flags & EV_DELETE) == 0 ? add(kq, filter, change) : ENOENT;
    if ((change->flags & EV_DELETE) != 0)
        kqshim_drop(kq, kn);
    else
        update(kq, kn, change);
    return 0;
}
