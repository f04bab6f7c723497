/*
 * The contract between the core and a backend, both directions. Nothing else of a backend is visible to the core, and a
 * backend calls nothing else of the core. Porting the library means filling this table.
 *
 * A backend never calls user code. What it has to tell goes to the loop's ready queue through loop__op_finish() and
 * loop__desc_ready() and their like; the scheduler dispatches from there.
 */
#ifndef LOOP_BACKEND_H
#define LOOP_BACKEND_H

#include "loop.h"

#include "compiler.h"

#include <stdbool.h>
#include <stdint.h>

struct desc;
struct machport;
struct op;

/* What the core saw in its last read or accept on a descriptor. */
enum read_seen {
    READ_FIRST, /* nothing: reading starts */
    READ_EMPTY, /* it would have blocked */
    READ_SHORT, /* less than there was room for */
    READ_FULL   /* all that there was room for */
};

struct loop_backend {
    const char *name;

    /* Makes the backend's state in loop->backend_data, wake-up object included. On error nothing is left behind. */
    int (*init)(loop_t *loop);

    /* Frees it. No descriptor is attached any more. */
    void (*close)(loop_t *loop);

    /* In a child process: closes what was inherited, without touching the registrations in it, which are the parent's; makes
     * it anew and registers every attached descriptor as it was. What the descriptors that are gone were asked for ends with
     * their error. On error there is neither the old nor the new: every function that needs it answers LOOP_EBADF, detaching
     * and closing work, and fork may be called again. LOOP_ENOTSUP where processes do not fork; nothing is changed then. */
    int (*fork)(loop_t *loop);

    /* A descriptor that is readable whenever the next poll would find something; LOOP_INVALID_FD if there is none. */
    loop_os_fd_t (*fd)(const loop_t *loop);

    /* Registers desc, whose os.fd and flags are set and which has no operation. May answer LOOP_ENOTPOLLABLE; of a process or a
     * watched file (DESC_WATCHED) LOOP_ENOTSUP. On error nothing is registered. The core sets DESC_ATTACHED. */
    int (*attach)(loop_t *loop, struct desc *desc);

    /* Ends the registration. The core has cancelled every operation before and closes the descriptor afterwards, if at all.
     * Where the system still has memory of desc's, loop__desc_hold().
     * live: the descriptor goes on without us; a backend that cannot do that answers LOOP_ENOTSUP and changes nothing. */
    int (*detach)(loop_t *loop, struct desc *desc, bool live);

    /* Starts op. 0: exactly one loop__op_finish() follows, now or later. Else loop__op_refuse(): none does, nothing was done.
     * One that is ending already only ends, after those before it whose end was asked for.
     * Of a write op->bytes may have gone out before, and without DESC_WRITABLE the socket was full a moment ago.
     * op->bufs and op->to are the caller's and must be copied by loop__op_keep() before this returns with op unfinished.
     * A connect may come for a descriptor that is not attached: attach it at the right moment, and set DESC_ATTACHED. Sets
     * op->started once the connection is under way. */
    int (*submit)(loop_t *loop, struct op *op);

    /* Asks for the end of a parked op. Its loop__op_finish() comes now or later, with LOOP_ECANCELED or the result that won
     * the race. */
    void (*cancel)(loop_t *loop, struct op *op);

    /* The handle reads (or accepts) by itself, into memory of its choice: call loop__desc_ready(desc, TODO_READ) once, as
     * soon as that may give something. seen and bytes tell what the last read gave. Arming again is harmless. A backend that
     * sets DESC_ARMED here, and then reports without being asked, is not told of short reads that drain
     * (loop__desc_short_read_drains()); the core clears the flag when the handle has lost interest. */
    void (*arm)(loop_t *loop, struct desc *desc, enum read_seen seen, size_t bytes);

    /* Takes the next connection of a listener that was told to be readable: 0 and *result, LOOP_EAGAIN, or why not. */
    int (*accept)(loop_t *loop, struct desc *desc, loop_os_fd_t *result);

    /* desc is a poll handle's (DESC_LEVEL): calls loop__desc_found() in every poll in which some of these LOOP_* events hold,
     * an error or a hang-up counting as all of them; whether the kernel repeats itself or is asked anew each time is the
     * backend's business. Replaces what was watched before. 0: watches nothing, and cannot fail. On error nothing has
     * changed. */
    int (*watch)(loop_t *loop, struct desc *desc, unsigned events);

    /* NULL where there are no Mach ports. Calls loop__machport_found() in every poll in which the port has a message,
     * until it is told to end (watched is false), which cannot fail, or has called loop__machport_lost(). LOOP_EEXIST:
     * it watches that port already. On error nothing has changed. */
    int (*watch_port)(loop_t *loop, struct machport *machport, bool watched);

    /* Goes on with a descriptor for which the backend itself had asked by loop__desc_ready(desc, TODO_RESUME). */
    void (*resume)(loop_t *loop, struct desc *desc);

    /* Waits for events, the time (ns; 0: do not wait; negative: for ever) or a wake-up, whichever is first. Returns the
     * number of events and wake-ups taken from the system, 0 when the time is over, or a negative error: LOOP_EINTR if the
     * wait was interrupted. Never returns 0 early. */
    int (*poll)(loop_t *loop, int64_t timeout);

    /* Makes a running or the next poll return. Any thread, also in signal handlers. Cannot fail for lack of resources. */
    void (*wake)(loop_t *loop);
};

/* The backend of this build. */
extern const struct loop_backend loop__backend;

/* Core -> backend: the reports. */

/* op is done: puts it into the ready queue. The backend has taken it out of wherever it kept it. */
void loop__op_finish(struct op *op, int status);

/* The same for one that was never kept, and neither connects nor gives a stream of results. */
LOOP_INLINE void loop__op_finish_clean(loop_t *loop, struct op *op, int status);

/* The same inside of a poll, with op->status set. */
LOOP_INLINE void loop__op_queue(loop_t *loop, struct op *op);

/* What submit returns for an op that it does not accept, because loop__op_keep() failed and nothing was done: the error. */
int loop__op_refuse(struct op *op, int error);

/* Marks op as waiting and copies what it still needs of the caller's arrays. LOOP_ENOMEM: op is unchanged. */
int loop__op_keep(struct op *op);

/* n more bytes of op's buffers are done. */
void loop__op_advance(struct op *op, size_t n);

/* desc stays where it is, closed or not, until the system has given back memory in it; and here it has. */
void loop__desc_hold(struct desc *desc);
void loop__desc_release(struct desc *desc);

/* The caller's descriptor was closed by its owner, and its number belongs to something else: it is as good as closed. The
 * backend has finished its operations before, or does so once the system gives them back. */
void loop__desc_lost(struct desc *desc);

/* Puts desc into the ready queue for the given things (enum desc_todo). */
static inline void loop__desc_ready(struct desc *desc, unsigned todo);

/* Some of the events hold that desc is watched for: puts it into the ready queue for that. */
void loop__desc_found(struct desc *desc, unsigned events);

/* A message waits at the port: of a set the member, if that is known, else what is watched. */
void loop__machport_found(struct machport *machport, loop_mach_port_t port);

/* The port is gone, or does not belong to this process; it is not watched any more. */
void loop__machport_lost(struct machport *machport);

/* For this reason nothing would tell when the armed desc may be read: what its handle reads by itself ends with the error. */
void loop__desc_unreadable(struct desc *desc, int error);

#endif
