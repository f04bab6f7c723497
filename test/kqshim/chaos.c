/* Legal surprises: what some kernel may do at some time, done often; and what tests may ask (kqshim.h). */
#include "kqshim.h"
#include "internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    SPURIOUS = 1,
    SWAP = 2,
    SHORT = 4,
    EINTR_NOW = 8,
    DEAD_PIPE = 16,
    LATE = 32,
    NO_USER = 64,
    ALL = 127
};

static const char *const words[] = {"spurious", "swap", "short", "eintr", "deadpipe", "late", "nouser"};

static atomic_uint switches;
static atomic_ullong seed = 1;
static atomic_int refusals[KQSHIM_NUMBERS];
static atomic_long calls_made;
static atomic_long changes_made;
static atomic_long events_given;

/* The switches of a list; -1 for an unknown word. */
static int parse(const char *list)
{
    unsigned set = 0;

    while (list != NULL && *list != '\0') {
        size_t length = strcspn(list, ",");
        size_t i = 0;

        if (length == 3 && strncmp(list, "all", length) == 0) {
            set = ALL;
        } else if (length > 0) {
            while (i < sizeof(words) / sizeof(words[0]) &&
                   (strlen(words[i]) != length || strncmp(words[i], list, length) != 0))
                i++;
            if (i == sizeof(words) / sizeof(words[0]))
                return -1;
            set |= 1u << i;
        }
        list += length + (list[length] == ',');
    }
    return (int)set;
}

KQSHIM_PUBLIC int kqshim_chaos(const char *list, uint64_t new_seed)
{
    int set = parse(list);

    if (set < 0)
        return -1;
    atomic_store(&seed, new_seed);
    atomic_store(&switches, (unsigned)set);
    return 0;
}

__attribute__((constructor)) static void read_environment(void)
{
    const char *number = getenv("KQSHIM_SEED");

    if (kqshim_chaos(getenv("KQSHIM_CHAOS"), number == NULL ? 1 : strtoull(number, NULL, 10)) != 0) {
        (void)fputs("KQSHIM_CHAOS has an unknown word\n", stderr);
        exit(2);
    }
}

KQSHIM_PUBLIC int kqshim_refuse(int fd, int error)
{
    if (fd < 0 || fd >= KQSHIM_NUMBERS)
        return -1;
    atomic_store(&refusals[fd], error);
    return 0;
}

int kqshim_refusal(uintptr_t fd)
{
    return fd < KQSHIM_NUMBERS ? atomic_load_explicit(&refusals[fd], memory_order_relaxed) : 0;
}

void kqshim_lift_refusal(int fd)
{
    if (kqshim_refusal((uintptr_t)fd) != 0)
        atomic_store(&refusals[fd], 0);
}

KQSHIM_PUBLIC struct kqshim_counts kqshim_counts(void)
{
    struct kqshim_counts counts = {atomic_load(&calls_made), atomic_load(&changes_made), atomic_load(&events_given)};

    return counts;
}

/* Relaxed: counting must not order the threads of a program that a race detector watches. */
void kqshim_count(long calls, long changes, long events)
{
    atomic_fetch_add_explicit(&calls_made, calls, memory_order_relaxed);
    atomic_fetch_add_explicit(&changes_made, changes, memory_order_relaxed);
    atomic_fetch_add_explicit(&events_given, events, memory_order_relaxed);
}

static bool on(unsigned which)
{
    return (atomic_load_explicit(&switches, memory_order_relaxed) & which) != 0;
}

/* The sequence of Weyl, mixed: every start gives a good one. */
static uint64_t draw(struct kqshim_kq *kq, uint64_t below)
{
    uint64_t x = kq->random += UINT64_C(0x9e3779b97f4a7c15);

    x = (x ^ (x >> 32)) * UINT64_C(0xd6e8feb86659fd93);
    x = (x ^ (x >> 32)) * UINT64_C(0xd6e8feb86659fd93);
    return (x ^ (x >> 32)) % below;
}

void kqshim_chaos_begin(struct kqshim_kq *kq, unsigned nth)
{
    kq->random = atomic_load(&seed) * UINT64_C(0x2545f4914f6cdd1d) + nth;
    kq->waits = 0;
}

kqshim_count_t kqshim_chaos_short(struct kqshim_kq *kq, kqshim_count_t nevents)
{
    kqshim_count_t few;

    if (!on(SHORT))
        return nevents;
    few = (kqshim_count_t)(1 + draw(kq, 3));
    return few < nevents ? few : nevents;
}

bool kqshim_chaos_interrupts(struct kqshim_kq *kq)
{
    return on(EINTR_NOW) && ++kq->waits % 5 == 0;
}

int64_t kqshim_chaos_late(struct kqshim_kq *kq)
{
    return on(LATE) ? (int64_t)draw(kq, 20000000) : 0;
}

static bool may_be_spurious(const struct kqshim_knote *kn)
{
    return !kn->disabled && !kn->queued && (kn->filter == &kqshim_read_filter || kn->filter == &kqshim_write_filter);
}

void kqshim_chaos_spurious(struct kqshim_kq *kq)
{
    uint64_t start;

    if (!on(SPURIOUS) || draw(kq, 8) != 0)
        return;
    start = draw(kq, KQSHIM_BUCKETS);
    for (uint64_t i = 0; i < KQSHIM_BUCKETS; i++) {
        struct kqshim_knote *kn = kq->buckets[(start + i) % KQSHIM_BUCKETS];

        while (kn != NULL && !may_be_spurious(kn))
            kn = kn->next_in_bucket;
        if (kn == NULL)
            continue;
        (void)kn->filter->check(kq, kn);
        kn->forced = true;
        kqshim_activate(kq, kn);
        return;
    }
}

void kqshim_chaos_swap(struct kqshim_kq *kq, struct kevent *events, kqshim_count_t n)
{
    if (!on(SWAP))
        return;
    for (kqshim_count_t i = 0; i + 1 < n; i++) {
        bool pair = events[i].ident == events[i + 1].ident &&
                    ((events[i].filter == EVFILT_READ && events[i + 1].filter == EVFILT_WRITE) ||
                     (events[i].filter == EVFILT_WRITE && events[i + 1].filter == EVFILT_READ));

        if (pair && draw(kq, 2) == 0) {
            struct kevent first = events[i];

            events[i] = events[i + 1];
            events[i + 1] = first;
        }
    }
}

int kqshim_chaos_dead_pipe(struct kqshim_kq *kq)
{
    static const int errors[] = {EPIPE, EBADF, EPERM};

    return on(DEAD_PIPE) ? errors[draw(kq, 3)] : 0;
}

bool kqshim_chaos_no_user(void)
{
    return on(NO_USER);
}
