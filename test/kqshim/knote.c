/* The registrations of a kqueue, and the list of those that may have an event. */
#include "internal.h"

#include <limits.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* How many knotes of all kqueues belong to a descriptor: spares close() a look into every kqueue. */
static atomic_uint watchers[KQSHIM_NUMBERS];

static unsigned bucket_of(uintptr_t ident)
{
    return (unsigned)(ident % KQSHIM_BUCKETS);
}

struct kqshim_knote *kqshim_find(const struct kqshim_kq *kq, uintptr_t ident, kqshim_filter_t filter)
{
    struct kqshim_knote *kn = kq->buckets[bucket_of(ident)];

    while (kn != NULL && (kn->ident != ident || kn->filter->number != filter))
        kn = kn->next_in_bucket;
    return kn;
}

struct kqshim_knote *kqshim_next(const struct kqshim_kq *kq, const struct kqshim_knote *after, unsigned *bucket)
{
    if (after != NULL && after->next_in_bucket != NULL)
        return after->next_in_bucket;
    for (unsigned i = after == NULL ? 0 : *bucket + 1; i < KQSHIM_BUCKETS; i++) {
        if (kq->buckets[i] != NULL) {
            *bucket = i;
            return kq->buckets[i];
        }
    }
    return NULL;
}

static void count_watcher(const struct kqshim_knote *kn, unsigned change)
{
    if (kn->filter->of_descriptor && kn->ident < KQSHIM_NUMBERS)
        atomic_fetch_add(&watchers[kn->ident], change);
}

bool kqshim_watched(int fd)
{
    return fd >= 0 && (fd >= KQSHIM_NUMBERS || atomic_load_explicit(&watchers[fd], memory_order_relaxed) != 0);
}

void kqshim_insert(struct kqshim_kq *kq, struct kqshim_knote *kn)
{
    struct kqshim_knote **bucket = &kq->buckets[bucket_of(kn->ident)];

    kn->next_in_bucket = *bucket;
    *bucket = kn;
    count_watcher(kn, 1);
}

void kqshim_drop(struct kqshim_kq *kq, struct kqshim_knote *kn)
{
    struct kqshim_knote **link = &kq->buckets[bucket_of(kn->ident)];

    while (*link != kn)
        link = &(*link)->next_in_bucket;
    *link = kn->next_in_bucket;
    kqshim_dequeue(kq, kn);
    kn->filter->detach(kq, kn);
    count_watcher(kn, UINT_MAX);
    free(kn);
}

void kqshim_drop_all(struct kqshim_kq *kq)
{
    for (unsigned i = 0; i < KQSHIM_BUCKETS; i++) {
        while (kq->buckets[i] != NULL)
            kqshim_drop(kq, kq->buckets[i]);
    }
}

void kqshim_enqueue(struct kqshim_kq *kq, struct kqshim_knote *kn)
{
    if (kn->queued)
        return;
    kn->queued = true;
    kn->next_ready = NULL;
    kn->previous_ready = kq->last_ready;
    *(kq->last_ready != NULL ? &kq->last_ready->next_ready : &kq->first_ready) = kn;
    kq->last_ready = kn;
    atomic_fetch_add(&kq->ready, 1u);
}

void kqshim_dequeue(struct kqshim_kq *kq, struct kqshim_knote *kn)
{
    if (!kn->queued)
        return;
    kn->queued = false;
    *(kn->previous_ready != NULL ? &kn->previous_ready->next_ready : &kq->first_ready) = kn->next_ready;
    *(kn->next_ready != NULL ? &kn->next_ready->previous_ready : &kq->last_ready) = kn->previous_ready;
    atomic_fetch_sub(&kq->ready, 1u);
}

void kqshim_activate(struct kqshim_kq *kq, struct kqshim_knote *kn)
{
    kn->active = true;
    if (!kn->disabled)
        kqshim_enqueue(kq, kn);
}

void kqshim_settle(struct kqshim_kq *kq)
{
    bool wanted = kq->first_ready != NULL;
    eventfd_t taken;

    if (wanted == kq->kicked)
        return;
    kq->kicked = wanted;
    if (wanted)
        (void)eventfd_write(kq->kick, 1);
    else
        (void)eventfd_read(kq->kick, &taken);
}

static void each_knote(int fd, bool forget)
{
    sigset_t mask;
    unsigned slots = kqshim_slots();

    if (!kqshim_watched(fd) || kqshim_foreign())
        return;
    kqshim_block_signals(&mask);
    for (unsigned i = 0; i < slots; i++) {
        struct kqshim_kq *kq = kqshim_lock_slot(i);
        struct kqshim_knote *next;

        if (kq == NULL)
            continue;
        for (struct kqshim_knote *kn = kq->buckets[bucket_of((uintptr_t)fd)]; kn != NULL; kn = next) {
            next = kn->next_in_bucket;
            if (kn->ident != (uintptr_t)fd || !kn->filter->of_descriptor)
                continue;
            if (forget)
                kqshim_drop(kq, kn);
            else if (kn->filter->check(kq, kn))
                kqshim_activate(kq, kn);
        }
        kqshim_settle(kq);
        (void)pthread_mutex_unlock(&kq->lock);
    }
    (void)pthread_sigmask(SIG_SETMASK, &mask, NULL);
}

void kqshim_forget(int fd)
{
    each_knote(fd, true);
}

void kqshim_recheck(int fd)
{
    each_knote(fd, false);
}

void kqshim_recheck_pair(uintptr_t ident, kqshim_filter_t filter)
{
    sigset_t mask;

    kqshim_block_signals(&mask);
    for (unsigned i = 0; i < kqshim_slots(); i++) {
        struct kqshim_kq *kq = kqshim_lock_slot(i);
        struct kqshim_knote *kn;

        if (kq == NULL)
            continue;
        kn = kqshim_find(kq, ident, filter);
        if (kn != NULL && kn->filter->check(kq, kn))
            kqshim_activate(kq, kn);
        kqshim_settle(kq);
        (void)pthread_mutex_unlock(&kq->lock);
    }
    (void)pthread_sigmask(SIG_SETMASK, &mask, NULL);
}
