/* The kqueues of the process: making, finding and closing them, and what fork() does to them. */
#include "internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#define SLOTS 512
/* Descriptors of ours go to the first free number from here on. */
#define INNER_BASE 900

/* Slots are never freed, so a kqueue can be looked up without a lock of all. */
static struct kqshim_kq slots[SLOTS];
static atomic_uint slots_used;
static unsigned made;
static pthread_mutex_t making = PTHREAD_MUTEX_INITIALIZER; /* taken before the lock of a slot */
static atomic_ushort slot_of[KQSHIM_NUMBERS];              /* index + 1; 0: no kqueue */
static atomic_bool inner[KQSHIM_NUMBERS];

void kqshim_block_signals(sigset_t *mask)
{
    sigset_t all;

    (void)sigfillset(&all);
    (void)sigdelset(&all, SIGSEGV);
    (void)sigdelset(&all, SIGBUS);
    (void)sigdelset(&all, SIGFPE);
    (void)sigdelset(&all, SIGILL);
    (void)sigdelset(&all, SIGABRT);
    (void)sigdelset(&all, SIGTRAP);
    (void)pthread_sigmask(SIG_SETMASK, &all, mask);
}

/* The child of vfork() runs in its parent's memory, but has descriptors of its own. */
static atomic_int owner;

bool kqshim_foreign(void)
{
    return getpid() != atomic_load_explicit(&owner, memory_order_relaxed);
}

unsigned kqshim_slots(void)
{
    return atomic_load(&slots_used);
}

struct kqshim_kq *kqshim_lock_slot(unsigned i)
{
    if (atomic_load_explicit(&slots[i].number, memory_order_relaxed) < 0)
        return NULL;
    (void)pthread_mutex_lock(&slots[i].lock);
    if (atomic_load(&slots[i].number) >= 0)
        return &slots[i];
    (void)pthread_mutex_unlock(&slots[i].lock);
    return NULL;
}

static struct kqshim_kq *lookup(int number)
{
    unsigned slot = number < 0 || number >= KQSHIM_NUMBERS ? 0 : atomic_load(&slot_of[number]);

    return slot == 0 ? NULL : &slots[slot - 1];
}

struct kqshim_kq *kqshim_enter(int number, sigset_t *mask)
{
    struct kqshim_kq *kq = lookup(number);

    if (kq == NULL)
        return NULL;
    kqshim_block_signals(mask);
    (void)pthread_mutex_lock(&kq->lock);
    if (atomic_load(&kq->number) == number)
        return kq;
    (void)pthread_mutex_unlock(&kq->lock);
    (void)pthread_sigmask(SIG_SETMASK, mask, NULL);
    return NULL;
}

void kqshim_leave(struct kqshim_kq *kq, const sigset_t *mask)
{
    if (atomic_load(&kq->number) >= 0)
        kqshim_settle(kq);
    (void)pthread_mutex_unlock(&kq->lock);
    (void)pthread_sigmask(SIG_SETMASK, mask, NULL);
}

int kqshim_ready_of(int number)
{
    const struct kqshim_kq *kq = lookup(number);

    return kq == NULL ? -1 : (int)atomic_load(&kq->ready);
}

bool kqshim_is_inner(int fd)
{
    return fd >= 0 && fd < KQSHIM_NUMBERS && atomic_load_explicit(&inner[fd], memory_order_relaxed);
}

int kqshim_inner(int fd)
{
    int high = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, INNER_BASE);

    if (high >= 0) {
        (void)kqshim_real()->close(fd);
        fd = high;
    }
    if (fd >= 0 && fd < KQSHIM_NUMBERS)
        atomic_store(&inner[fd], true);
    return fd;
}

void kqshim_close_inner(int *fd)
{
    if (*fd >= 0) {
        if (*fd < KQSHIM_NUMBERS)
            atomic_store(&inner[*fd], false);
        (void)kqshim_real()->close(*fd);
    }
    *fd = -1;
}

/*
 * Descriptors of ours are made and closed past libc: the thread sanitizer, which follows them by libc's calls, would
 * see one half only and find races in the numbers.
 */
int kqshim_epoll(int flags)
{
    return (int)syscall(SYS_epoll_create1, flags);
}

static void close_sets(struct kqshim_kq *kq)
{
    kqshim_close_inner(&kq->read_set);
    kqshim_close_inner(&kq->write_set);
    kqshim_close_inner(&kq->except_set);
    kqshim_close_inner(&kq->kick);
    kqshim_close_inner(&kq->inotify);
    free(kq->buckets);
    kq->buckets = NULL;
}

/* 0 or an errno. */
static int open_sets(struct kqshim_kq *kq)
{
    kq->except_set = kq->inotify = -1;
    kq->kicked = false;
    kq->buckets = calloc(KQSHIM_BUCKETS, sizeof(struct kqshim_knote *));
    kq->read_set = kqshim_inner(kqshim_epoll(EPOLL_CLOEXEC));
    kq->write_set = kqshim_inner(kqshim_epoll(EPOLL_CLOEXEC));
    kq->kick = kqshim_inner((int)syscall(SYS_eventfd2, 0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (kq->buckets == NULL)
        return ENOMEM;
    if (kq->read_set < 0 || kq->write_set < 0 || kq->kick < 0)
        return EMFILE;
    if (kqshim_add_source(kq, kq->read_set, KQSHIM_READ_SET, 0) != 0 ||
        kqshim_add_source(kq, kq->write_set, KQSHIM_WRITE_SET, 0) != 0 ||
        kqshim_add_source(kq, kq->kick, KQSHIM_KICK, 0) != 0)
        return ENOMEM;
    return 0;
}

static unsigned free_slot(void)
{
    unsigned i = 0;

    while (i < SLOTS && i < atomic_load(&slots_used) && atomic_load(&slots[i].number) >= 0)
        i++;
    return i;
}

static int make(int number)
{
    unsigned i;
    int error;
    sigset_t mask;

    kqshim_block_signals(&mask);
    (void)pthread_mutex_lock(&making);
    i = free_slot();
    if (i >= SLOTS || number >= KQSHIM_NUMBERS) {
        error = EMFILE;
    } else {
        struct kqshim_kq *kq = &slots[i];

        if (i >= atomic_load(&slots_used)) {
            (void)pthread_mutex_init(&kq->lock, NULL);
            atomic_store(&kq->number, -1);
            atomic_store(&slots_used, i + 1);
        }
        (void)pthread_mutex_lock(&kq->lock);
        atomic_store(&kq->number, number);
        error = open_sets(kq);
        if (error == 0) {
            kqshim_chaos_begin(kq, made++);
            atomic_store(&slot_of[number], (unsigned short)(i + 1));
        } else {
            close_sets(kq);
            atomic_store(&kq->number, -1);
        }
        (void)pthread_mutex_unlock(&kq->lock);
    }
    (void)pthread_mutex_unlock(&making);
    (void)pthread_sigmask(SIG_SETMASK, &mask, NULL);
    return error;
}

static int create(int close_on_exec)
{
    int number = kqshim_epoll(close_on_exec ? EPOLL_CLOEXEC : 0);
    int error;

    if (number < 0)
        return -1;
    kqshim_forget_number(number);
    error = make(number);
    if (error == 0)
        return number;
    (void)kqshim_real()->close(number);
    errno = error;
    return -1;
}

KQSHIM_PUBLIC int kqueue(void)
{
    return create(kqshim_personality.close_on_exec);
}

#if !defined(KQSHIM_MACOS)
KQSHIM_PUBLIC int kqueue1(int flags)
{
    if ((flags & ~(O_CLOEXEC | O_NONBLOCK)) != 0) {
        errno = EINVAL;
        return -1;
    }
    return create((flags & O_CLOEXEC) != 0);
}
#endif

/* The lock of kq is held. */
static void empty(struct kqshim_kq *kq)
{
    atomic_store(&slot_of[atomic_load(&kq->number)], (unsigned short)0);
    kqshim_drop_all(kq);
    close_sets(kq);
    kq->generation++;
    atomic_store(&kq->number, -1);
}

void kqshim_destroy(int number)
{
    sigset_t mask;
    struct kqshim_kq *kq = lookup(number) == NULL || kqshim_foreign() ? NULL : kqshim_enter(number, &mask);

    if (kq != NULL) {
        empty(kq);
        kqshim_leave(kq, &mask);
    }
}

/* The mask that the forking thread had; guarded by the lock that it holds. */
static sigset_t fork_mask;

static void before_fork(void)
{
    sigset_t mask;

    kqshim_block_signals(&mask);
    (void)pthread_mutex_lock(&making);
    fork_mask = mask;
    for (unsigned i = 0; i < atomic_load(&slots_used); i++)
        (void)pthread_mutex_lock(&slots[i].lock);
#if defined(EVFILT_MACHPORT)
    kqshim_mach_before_fork();
#endif
}

static void unlock_all(bool child)
{
    sigset_t mask = fork_mask;

#if defined(EVFILT_MACHPORT)
    kqshim_mach_after_fork(child);
#else
    (void)child;
#endif
    for (unsigned i = atomic_load(&slots_used); i-- > 0;)
        (void)pthread_mutex_unlock(&slots[i].lock);
    (void)pthread_mutex_unlock(&making);
    (void)pthread_sigmask(SIG_SETMASK, &mask, NULL);
}

static void in_parent(void)
{
    unlock_all(false);
}

/* The child has no kqueues; nothing may touch what is registered, which is the parent's too. */
static void in_child(void)
{
    atomic_store(&owner, getpid());
    for (unsigned i = 0; i < atomic_load(&slots_used); i++) {
        struct kqshim_kq *kq = &slots[i];
        int number = atomic_load(&kq->number);

        if (number < 0)
            continue;
        kqshim_close_inner(&kq->read_set);
        kqshim_close_inner(&kq->write_set);
        kqshim_close_inner(&kq->except_set);
        kqshim_close_inner(&kq->inotify);
        (void)kqshim_real()->close(number);
        empty(kq);
    }
    unlock_all(true);
}

__attribute__((constructor)) static void prepare(void)
{
    atomic_store(&owner, getpid());
    (void)pthread_atfork(before_fork, in_parent, in_child);
}
