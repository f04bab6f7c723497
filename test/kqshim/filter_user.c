/* EVFILT_USER, and the list of all filters. */
#include "internal.h"

#include <errno.h>

static const struct kqshim_filter *const filters[] = {
    &kqshim_read_filter,     &kqshim_write_filter,
#if defined(EVFILT_EXCEPT)
    &kqshim_except_filter,
#endif
#if defined(EVFILT_USER)
    &kqshim_user_filter,
#endif
#if defined(EVFILT_MACHPORT)
    &kqshim_machport_filter,
#endif
    &kqshim_vnode_filter,    &kqshim_proc_filter,
};

const struct kqshim_filter *kqshim_filter(kqshim_filter_t number)
{
    for (size_t i = 0; i < sizeof(filters) / sizeof(filters[0]); i++) {
        if (filters[i]->number == number)
            return filters[i];
    }
    return NULL;
}

#if defined(EVFILT_USER)

/* What the change says of fflags. */
static void combine(struct kqshim_knote *kn, unsigned fflags)
{
    unsigned given = fflags & NOTE_FFLAGSMASK;

    switch (fflags & NOTE_FFCTRLMASK) {
    case NOTE_FFAND:
        kn->asked &= given;
        break;
    case NOTE_FFOR:
        kn->asked |= given;
        break;
    case NOTE_FFCOPY:
        kn->asked = given;
        break;
    default:
        break;
    }
}

static int attach(struct kqshim_kq *kq, struct kqshim_knote *kn)
{
    (void)kq;
    if (kqshim_chaos_no_user())
        return EINVAL;
    kn->triggered = kqshim_personality.user_add_triggers && (kn->asked & NOTE_TRIGGER) != 0;
    kn->asked &= NOTE_FFLAGSMASK;
    return 0;
}

static void detach(struct kqshim_kq *kq, struct kqshim_knote *kn)
{
    (void)kq;
    (void)kn;
}

void kqshim_user_touch(struct kqshim_knote *kn, const struct kevent *change)
{
    combine(kn, change->fflags);
    if ((change->fflags & NOTE_TRIGGER) != 0)
        kn->triggered = true;
    if (kqshim_personality.user_clear_cancels && (change->flags & EV_CLEAR) != 0)
        kn->triggered = false;
}

static bool check(struct kqshim_kq *kq, struct kqshim_knote *kn)
{
    (void)kq;
    kn->fflags = kn->asked;
    kn->data = kn->limit;
    return kn->triggered;
}

const struct kqshim_filter kqshim_user_filter = {
    .number = EVFILT_USER,
    .attach = attach,
    .detach = detach,
    .check = check,
};

#endif
