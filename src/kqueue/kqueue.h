/*
 * The kqueue backend, of four parts: registration.c has what is registered, changes.c how that gets to the kernel;
 * kqueue.c life, wait and wake; machport.c the Mach ports. What becomes of an event of a descriptor is the readiness
 * engine's business.
 *
 * Kernel facts it rests on, kqueue(2) of macOS, FreeBSD, NetBSD, OpenBSD and DragonFly, where they agree:
 *   a. A registration is a number and a filter. close() ends those of its number, in all kqueues, and takes their events back,
 *      even if a duplicate of the file is open.
 *   b. Adding reports what is there already. With EV_CLEAR every arrival is reported again, whether or not earlier data was
 *      read; data is the bytes that are there in all.
 *   c. Adding again changes all but EV_CLEAR, EV_ONESHOT and EV_DISPATCH, and does not enable.
 *   d. A change that fails gives an event with EV_ERROR if there is room for it, and if there is one of these, the call
 *      returns only these, at once. With EV_RECEIPT every change gives one.
 *   e. A wait that is interrupted has made its changes.
 *   f. A child does not inherit a kqueue: the number is closed there, or somebody else's.
 *   g. READ and WRITE of one descriptor are two events, in either order, and any of them may be spurious.
 */
#ifndef LOOP_KQUEUE_H
#define LOOP_KQUEUE_H

#include "posix/readiness.h"
#include "posix/sys.h"

#include <string.h>

/* At least as many events as changes, so that the error of each has room (fact d). */
#define CHANGES_PER_WAIT 128
#define EVENTS_PER_WAIT 256

/* What an event says about its descriptor: a pointer (low bits 0), or the generation of a descriptor of the caller. */
#define TAG_CALLER 1u
#define TAG_WAKE 2u
#define TAG_MACHPORT 3u /* the port's name tells which */
#define TAG_MASK 3u

/* Beside the directions in posix_desc.pending. */
#define WRITE_ONLY 128u /* no filter for reading can be registered */
#define DEAD 64u        /* a polled pipe without a reader, of which EVFILT_WRITE cannot be registered to tell */
#define WRITING_END 32u /* a polled pipe or FIFO that is only written to: EVFILT_READ may not tell of its end */
#define KINDS (WRITE_ONLY | DEAD | WRITING_END)

struct kqueue_backend {
    struct readiness readiness; /* first: the engine looks for it here */
    int fd;
    uint64_t process;      /* which made fd (fact f) */
    int wake_pipe[2];      /* where there is no EVFILT_USER */
    struct link machports; /* that are watched */
    bool anew;             /* everything is being registered once more, and each error counts at once */
    int nchanges;
    struct kevent changes[CHANGES_PER_WAIT]; /* they go with the next wait */
    struct kevent events[EVENTS_PER_WAIT];
};

static inline struct kqueue_backend *loop__kqueue(loop_t *loop)
{
    return loop->backend_data;
}

/* The type of udata is a pointer, or an integer on NetBSD before 10; that of filter has a sign, or not. */
static inline uintptr_t loop__kevent_udata(const struct kevent *event)
{
    return (uintptr_t)event->udata;
}

static inline struct kevent loop__kevent_of(uintptr_t ident, int filter, unsigned flags, unsigned fflags, int data,
                                            uintptr_t udata)
{
    struct kevent event;

    EV_SET(&event, ident, filter, flags, fflags, data, 0);
    memcpy(&event.udata, &udata, sizeof(udata));
    return event;
}

/* Makes one change at once. Its error, or that of the call, as the system's number. */
int loop__registration_make_one(struct kqueue_backend *backend, struct kevent change);

/* Nobody wants to hear of it any more. */
void loop__registration_delete(struct kqueue_backend *backend, const struct kevent *event);

/* struct readiness: see there. */
int loop__registration_change(loop_t *loop, struct desc *desc, unsigned interest);

/* Of a poll handle, whether a filter is there only for the end, not for data or room; and whether it tells what it has in
 * every wait, or once. */
bool loop__registration_is_of_end(struct desc *desc, int filter);
void loop__registration_repeat(struct kqueue_backend *backend, struct desc *desc, int filter, bool repeats);

/* The changes that wait go to the kernel now. Those that fail wait on: the next wait tries them again, and reports. Whether
 * there is room for another. */
bool loop__registration_flush(struct kqueue_backend *backend);

/* A host that watches the kqueue hears of changes that wait: they may be what tells of something. */
void loop__registration_tell_host(loop_t *loop);

/* None waits any more: they are with the kernel, or are forgotten. */
void loop__registration_clear(struct kqueue_backend *backend);

/* struct loop_backend: see there. */
int loop__machport_watch(loop_t *loop, struct machport *machport, bool watched);

/* An event of EVFILT_MACHPORT. */
void loop__machport_event(loop_t *loop, const struct kevent *event);

/* In a child process, which has inherited no port. */
void loop__machports_forked(loop_t *loop);

/* The descriptor of an event, if it is there still. */
struct desc *loop__registration_owner(struct kqueue_backend *backend, const struct kevent *event);

/* An event with EV_ERROR: a change of the last wait failed. */
void loop__registration_error(loop_t *loop, const struct kevent *event);

#endif
