/* EVFILT_VNODE over inotify. */
#include "internal.h"

#include <errno.h>

static int attach(struct kqshim_kq *kq, struct kqshim_knote *kn)
{
    (void)kq;
    (void)kn;
    return EINVAL;
}

static void detach(struct kqshim_kq *kq, struct kqshim_knote *kn)
{
    (void)kq;
    (void)kn;
}

static bool check(struct kqshim_kq *kq, struct kqshim_knote *kn)
{
    (void)kq;
    return kn->fflags != 0;
}

void kqshim_vnode_harvest(struct kqshim_kq *kq)
{
    (void)kq;
}

const struct kqshim_filter kqshim_vnode_filter = {
    .number = EVFILT_VNODE,
    .of_descriptor = true,
    .attach = attach,
    .detach = detach,
    .check = check,
};
