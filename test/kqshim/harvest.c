/* From what epoll and inotify report to active knotes. An edge only says: look. */
#include "internal.h"

#include <errno.h>
#include <sys/epoll.h>

#define BATCH 64

int kqshim_add_source(struct kqshim_kq *kq, int fd, enum kqshim_source source, uint32_t which)
{
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = (uint64_t)source << 32 | which};

    return epoll_ctl(atomic_load(&kq->number), EPOLL_CTL_ADD, fd, &event) == 0 ? 0 : errno;
}

static void edge(struct kqshim_kq *kq, struct kqshim_knote *kn)
{
    /* What is not checked when it is collected must be checked now. */
    if ((kn->flags & EV_ONESHOT) != 0 && !kqshim_personality.oneshot_rechecked && !kn->filter->check(kq, kn))
        return;
    kqshim_activate(kq, kn);
}

static void drain(struct kqshim_kq *kq, int set, const struct kqshim_filter *filter)
{
    struct epoll_event events[BATCH];
    int n;

    do {
        n = epoll_wait(set, events, BATCH, 0);
        for (int i = 0; i < n; i++) {
            struct kqshim_knote *kn = kqshim_find(kq, (uintptr_t)events[i].data.fd, filter->number);

            if (kn != NULL)
                edge(kq, kn);
        }
    } while (n == BATCH);
}

static void read_source(struct kqshim_kq *kq, uint64_t what)
{
    switch ((enum kqshim_source)(what >> 32)) {
    case KQSHIM_READ_SET:
        drain(kq, kq->read_set, &kqshim_read_filter);
        break;
    case KQSHIM_WRITE_SET:
        drain(kq, kq->write_set, &kqshim_write_filter);
        break;
    case KQSHIM_EXCEPT_SET:
#if defined(EVFILT_EXCEPT)
        drain(kq, kq->except_set, &kqshim_except_filter);
#endif
        break;
    case KQSHIM_INOTIFY:
        kqshim_vnode_harvest(kq);
        break;
    case KQSHIM_PID:
        kqshim_proc_exited(kq, (uint32_t)what);
        break;
    case KQSHIM_KICK:
        break;
    }
}

void kqshim_harvest(struct kqshim_kq *kq)
{
    struct epoll_event events[BATCH];
    int n;

    do {
        n = epoll_wait(atomic_load(&kq->number), events, BATCH, 0);
        for (int i = 0; i < n; i++)
            read_source(kq, events[i].data.u64);
    } while (n == BATCH);
}
