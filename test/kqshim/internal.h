/*
 * What the files of the kqueue emulation share.
 *
 * kevent.c       kevent(): the list of changes, collecting events, waiting
 * change.c       one change
 * kqueue.c       kqueues: making, finding, closing; fork()
 * knote.c        registrations of a kqueue, and its ready list
 * harvest.c      from the kernel's edges to active knotes
 * filter_*.c     one file per group of filters
 * mach.c         Mach ports
 * interpose.c    libc's close() and others, which a kqueue must know of
 * personality.c  where the emulated systems differ
 *
 * Not emulated: EVFILT_TIMER, EVFILT_SIGNAL and EVFILT_AIO (EINVAL); NOTE_FORK, NOTE_EXEC and NOTE_TRACK (nothing is
 * reported); EVFILT_READ on a file that grows after its end was reached (add it again); error codes in fflags (0);
 * duplicates of a kqueue's number; SO_NOSIGPIPE, which is kept per number, on duplicates of a socket.
 */
#ifndef KQSHIM_INTERNAL_H
#define KQSHIM_INTERNAL_H

#include <sys/event.h>

#include <dirent.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>

#define KQSHIM_PUBLIC __attribute__((visibility("default")))

/* Descriptors at or above this number cannot be kqueues, and what is kept per number is not kept for them. */
#define KQSHIM_NUMBERS 65536

/* One entry of the table of differences, for the system this build emulates. */
struct kqshim_personality {
    bool close_on_exec;          /* kqueue() sets FD_CLOEXEC */
    bool timespec_first;         /* a bad timeout is found before the changes are applied */
    bool zero_filter_skipped;    /* a change of filter 0 is no change */
    bool error_keeps_flags;      /* an error entry keeps the flags of its change beside EV_ERROR */
    bool receipt_without_room;   /* a receipt that finds no room is dropped and the next change applied */
    bool flags_repeated;         /* events carry EV_ADD, EV_DISABLE ... as registered */
    bool enable_overwrites;      /* EV_ENABLE and EV_DISABLE store fflags, data and udata */
    bool enable_rechecks;        /* EV_ENABLE runs the filter */
    bool oneshot_rechecked;      /* the filter of an EV_ONESHOT runs again when it is collected */
    bool clear_beats_dispatch;   /* EV_CLEAR with EV_DISPATCH does not disable */
    bool both_refused;           /* EV_ENABLE with EV_DISABLE: EINVAL */
    bool disable_wins;           /* EV_ENABLE with EV_DISABLE: disabled, else enabled */
    bool user_overwrites;        /* a change of an EVFILT_USER stores its fields whatever enable_overwrites says */
    bool user_add_triggers;      /* NOTE_TRIGGER in the EV_ADD that makes it counts */
    bool user_clear_cancels;     /* EV_CLEAR in a later change takes the trigger back */
    int dead_pipe_error;         /* adding EVFILT_WRITE to a pipe without reader; 0: an event with EV_EOF, as a FIFO */
    int wrong_end_error;         /* reading filter on the writing end of a FIFO, or the reverse; 0: quiet, as a pipe */
    bool pipe_low_water;         /* NOTE_LOWAT counts for pipes, up to their size */
    bool fifo_wrong_end_silent;  /* such a filter does not tell of the end either, as that of a pipe does */
    bool fifo_eof;               /* a FIFO reports that its last writer has left */
    bool fifo_reader_eof;        /* ... and its writing end that the last reader has */
    bool file_write_refused;     /* EVFILT_WRITE on a regular file: EINVAL */
    bool directory_read_refused; /* EVFILT_READ on a directory: EINVAL */
    bool devices_refused;        /* character devices other than terminals: EINVAL unless NOTE_LOWAT with 1 */
    bool zombie_accepted;        /* EVFILT_PROC on a child that has exited: an event, else ESRCH */
    bool exit_unasked;           /* EVFILT_PROC reports an exit although NOTE_EXIT was not asked for */
    bool exit_status_always;     /* NOTE_EXIT carries the status, else only NOTE_EXITSTATUS does */
    bool track_refused;          /* NOTE_TRACK: ENOTSUP */
    unsigned final_unlink;       /* notes of the removal of the last name */
    unsigned growing_write;      /* notes of a write behind the end */
    unsigned shrinking;          /* notes of a truncation */
};

extern const struct kqshim_personality kqshim_personality;

#if defined(KQSHIM_NETBSD9)
typedef intptr_t kqshim_udata_t;
#else
typedef void *kqshim_udata_t;
#endif
typedef __typeof__(((struct kevent *)0)->filter) kqshim_filter_t;

/* What a descriptor is, as far as the filters ask. */
enum kqshim_kind {
    KQSHIM_STREAM,   /* socket with a connection */
    KQSHIM_DATAGRAM, /* socket without */
    KQSHIM_PIPE,
    KQSHIM_FIFO, /* has a name */
    KQSHIM_FILE,
    KQSHIM_DIRECTORY,
    KQSHIM_DEVICE,
    KQSHIM_OTHER /* a kqueue, an eventfd ... */
};

struct kqshim_kq;
struct kqshim_filter;

/* A registration: the pair of ident and filter in one kqueue. */
struct kqshim_knote {
    const struct kqshim_filter *filter;
    uintptr_t ident;
    unsigned flags;  /* of the change that made it */
    unsigned asked;  /* fflags of the last change */
    int64_t limit;   /* data of the last change */
    unsigned fflags; /* what the next event carries */
    int64_t data;
    kqshim_udata_t udata;
    bool active; /* something happened since it was last reported; the filter decides what */
    bool queued; /* in the ready list */
    bool disabled;
    bool forced; /* goes out once without a look at the filter (chaos) */
    bool eof;
    struct kqshim_knote *next_in_bucket;
    struct kqshim_knote *next_ready;
    struct kqshim_knote *previous_ready;

    /* EVFILT_READ, EVFILT_WRITE, EVFILT_EXCEPT */
    enum kqshim_kind kind;
    bool tcp;
    bool local;         /* AF_UNIX */
    bool was_connected; /* has been seen connecting or connected */
    bool in_epoll;
    dev_t device; /* these two tell whether the number still means the same descriptor */
    ino_t inode;

    /* EVFILT_USER */
    bool triggered;

    /* EVFILT_VNODE */
    int watch;
    int parent_watch;
    struct stat seen;

    /* EVFILT_PROC */
    int pidfd;
    bool polled; /* pidfd is a timer */
};

struct kqshim_filter {
    kqshim_filter_t number;
    bool of_descriptor; /* the ident is a descriptor */
    /* Makes the kernel report what the filter wants to know: 0 or an errno. */
    int (*attach)(struct kqshim_kq *kq, struct kqshim_knote *kn);
    void (*detach)(struct kqshim_kq *kq, struct kqshim_knote *kn);
    /* Whether there is an event now; stores data, fflags and eof. */
    bool (*check)(struct kqshim_kq *kq, struct kqshim_knote *kn);
};

/* A kqueue. The number that its user has is an epoll descriptor in which the other descriptors of this struct are. */
struct kqshim_kq {
    pthread_mutex_t lock; /* of everything below; never held while waiting */
    atomic_int number;    /* -1: this slot is free */
    unsigned generation;  /* counts the kqueues this slot has been */
    int read_set;         /* epoll sets: EVFILT_READ, EVFILT_WRITE and EVFILT_EXCEPT must not see each other's edges */
    int write_set;
    int except_set;
    int kick; /* eventfd: readable while the ready list is not empty, after kqshim_settle() */
    bool kicked;
    int inotify;
    struct kqshim_knote **buckets;
    struct kqshim_knote *first_ready;
    struct kqshim_knote *last_ready;
    atomic_uint ready; /* length of the ready list */
    uint64_t random;
    unsigned waits;
};

#define KQSHIM_BUCKETS 1024

/* kqueue.c: find and lock a kqueue; all signals are blocked between the two calls. NULL: no such kqueue. */
struct kqshim_kq *kqshim_enter(int number, sigset_t *mask);
void kqshim_leave(struct kqshim_kq *kq, const sigset_t *mask);
void kqshim_block_signals(sigset_t *mask);
/* The i-th kqueue, locked; NULL if it is free. The limit of i only grows. */
struct kqshim_kq *kqshim_lock_slot(unsigned i);
unsigned kqshim_slots(void);
bool kqshim_is_inner(int fd);
/* Whether the caller is another process in our memory, whose closing of descriptors means nothing here. */
bool kqshim_foreign(void);
/* Length of the ready list of another kqueue; -1 if the number is none. */
int kqshim_ready_of(int number);
int kqshim_epoll(int flags);
/* Moves a descriptor of ours to a high number, so that programs find the low numbers they expect; -1 stays -1. */
int kqshim_inner(int fd);
void kqshim_close_inner(int *fd);
/* Frees the kqueue of that number, if it is one; its outer descriptor stays open. */
void kqshim_destroy(int number);

/* knote.c */
struct kqshim_knote *kqshim_find(const struct kqshim_kq *kq, uintptr_t ident, kqshim_filter_t filter);
struct kqshim_knote *kqshim_next(const struct kqshim_kq *kq, const struct kqshim_knote *after, unsigned *bucket);
void kqshim_insert(struct kqshim_kq *kq, struct kqshim_knote *kn);
void kqshim_drop(struct kqshim_kq *kq, struct kqshim_knote *kn);
void kqshim_drop_all(struct kqshim_kq *kq);
void kqshim_enqueue(struct kqshim_kq *kq, struct kqshim_knote *kn);
void kqshim_dequeue(struct kqshim_kq *kq, struct kqshim_knote *kn);
void kqshim_activate(struct kqshim_kq *kq, struct kqshim_knote *kn);
/* Makes the outer descriptor readable if the ready list is not empty, else takes our own signal back. */
void kqshim_settle(struct kqshim_kq *kq);
/* Whether some kqueue may have a knote for this descriptor. */
bool kqshim_watched(int fd);
/* All knotes of the descriptor in all kqueues are dropped, or run their filter. */
void kqshim_forget(int fd);
void kqshim_recheck(int fd);
/* The same for a pair that is not of a descriptor. */
void kqshim_recheck_pair(uintptr_t ident, kqshim_filter_t filter);

/* change.c: 0 or an errno. */
int kqshim_change(struct kqshim_kq *kq, const struct kevent *change);

/* harvest.c */
void kqshim_harvest(struct kqshim_kq *kq);
/* In the outer epoll, the upper half of the data says what is readable, the lower half which. */
enum kqshim_source {
    KQSHIM_READ_SET,
    KQSHIM_WRITE_SET,
    KQSHIM_EXCEPT_SET,
    KQSHIM_KICK,
    KQSHIM_INOTIFY,
    KQSHIM_PID
};
int kqshim_add_source(struct kqshim_kq *kq, int fd, enum kqshim_source source, uint32_t which);

/* filter_*.c */
const struct kqshim_filter *kqshim_filter(kqshim_filter_t number);
extern const struct kqshim_filter kqshim_read_filter;
extern const struct kqshim_filter kqshim_write_filter;
#if defined(EVFILT_EXCEPT)
extern const struct kqshim_filter kqshim_except_filter;
#endif
extern const struct kqshim_filter kqshim_vnode_filter;
extern const struct kqshim_filter kqshim_proc_filter;
/* The kind of the descriptor of kn, and what else the filters want to know of it. */
int kqshim_classify(struct kqshim_knote *kn);
#if defined(EVFILT_USER)
extern const struct kqshim_filter kqshim_user_filter;
void kqshim_user_touch(struct kqshim_knote *kn, const struct kevent *change);
#endif
#if defined(EVFILT_MACHPORT)
extern const struct kqshim_filter kqshim_machport_filter;
void kqshim_mach_before_fork(void);
void kqshim_mach_after_fork(bool in_child);
#endif
void kqshim_vnode_harvest(struct kqshim_kq *kq);
void kqshim_proc_exited(struct kqshim_kq *kq, uint32_t pid);

/* interpose.c: libc's own. */
struct kqshim_real {
    int (*close)(int fd);
    int (*dup2)(int from, int to);
    int (*dup3)(int from, int to, int flags);
    int (*close_range)(unsigned first, unsigned last, int flags);
    int (*fclose)(FILE *file);
    int (*closedir)(DIR *directory);
    int (*shutdown)(int fd, int how);
    int (*connect)(int fd, const struct sockaddr *address, socklen_t size);
    int (*setsockopt)(int fd, int level, int name, const void *value, socklen_t size);
    ssize_t (*send)(int fd, const void *base, size_t length, int flags);
    ssize_t (*sendto)(int fd, const void *base, size_t length, int flags, const struct sockaddr *address,
                      socklen_t size);
    ssize_t (*sendmsg)(int fd, const struct msghdr *message, int flags);
    ssize_t (*write)(int fd, const void *base, size_t length);
    ssize_t (*writev)(int fd, const struct iovec *parts, int count);
};
const struct kqshim_real *kqshim_real(void);
void kqshim_forget_number(int fd);

/* chaos.c: each draws from the kqueue's own sequence of random numbers. */
void kqshim_chaos_begin(struct kqshim_kq *kq, unsigned nth);
kqshim_count_t kqshim_chaos_short(struct kqshim_kq *kq, kqshim_count_t nevents);
bool kqshim_chaos_interrupts(struct kqshim_kq *kq);
int64_t kqshim_chaos_late(struct kqshim_kq *kq);
void kqshim_chaos_spurious(struct kqshim_kq *kq);
void kqshim_chaos_swap(struct kqshim_kq *kq, struct kevent *events, kqshim_count_t n);
int kqshim_chaos_dead_pipe(struct kqshim_kq *kq);
bool kqshim_chaos_no_user(void);
int kqshim_refusal(uintptr_t fd);
void kqshim_lift_refusal(int fd);
void kqshim_count(long calls, long changes, long events);

#endif
