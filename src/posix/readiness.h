/*
 * The readiness engine: turns "this descriptor may be read now" into finished operations. Shared by epoll and kqueue, whose
 * own part is to register, to wait and to wake.
 *
 *   submit    try the call; if it would block, park the operation on its descriptor
 *   edge      try again, first submitted first
 */
#ifndef LOOP_POSIX_READINESS_H
#define LOOP_POSIX_READINESS_H

#include "internal.h"

#include "fd_table.h"

/* What the kernel reports about a descriptor. */
enum interest {
    INTEREST_READ = LOOP_READABLE,
    INTEREST_WRITE = LOOP_WRITABLE,
    INTEREST_DISCONNECT = LOOP_DISCONNECT,   /* of poll handles only */
    INTEREST_PRIORITIZED = LOOP_PRIORITIZED, /* of poll handles only */
    INTEREST_LEVEL =
        16 /* of poll handles: the others are reported as long as they hold. Alone: registered, but silent */
};

/* What the engine keeps in desc->backend. */
struct posix_desc {
    uint8_t interest; /* what is registered with the kernel; for descriptors of the caller a belief */
    uint32_t generation;
};
_Static_assert(sizeof(struct posix_desc) <= LOOP_PRIVATE_DESC_WORDS * sizeof(uint64_t), "posix_desc fits");

/* The beginning of loop->backend_data. */
struct readiness {
    /* Changes what is registered, or nothing if it is that already. The one place that changes kernel interest. */
    int (*change)(loop_t *loop, struct desc *desc, unsigned interest);
    struct fd_table callers;
};

/* Parts of an edge. */
enum edge {
    EDGE_READ = 1,  /* may be readable */
    EDGE_WRITE = 2, /* may be writable */
    EDGE_ODD = 4    /* urgent data, hang-up or error: a short read does not mean that all was read */
};
_Static_assert(EDGE_READ * 1u * DESC_READABLE == DESC_READABLE && EDGE_WRITE * 1u * DESC_READABLE == DESC_WRITABLE &&
                   EDGE_ODD * 1u * DESC_READABLE == DESC_UNSURE,
               "an edge is shifted into the flags of its descriptor");

static inline struct posix_desc *loop__posix(struct desc *desc)
{
    return (struct posix_desc *)(void *)desc->backend;
}

static inline struct readiness *loop__readiness(loop_t *loop)
{
    return loop->backend_data;
}

/* Registers every attached descriptor as it was, with a kernel object that knows none. An error leaves the records as they
 * are, so that it can be done again. */
int loop__readiness_reattach(loop_t *loop);

/* The members of struct loop_backend that are the same for epoll and kqueue. */
int loop__readiness_attach(loop_t *loop, struct desc *desc);
int loop__readiness_detach(loop_t *loop, struct desc *desc, bool live);
int loop__readiness_submit(loop_t *loop, struct op *op);
void loop__readiness_cancel(loop_t *loop, struct op *op);
void loop__readiness_arm(loop_t *loop, struct desc *desc, enum read_seen seen);
int loop__readiness_watch(loop_t *loop, struct desc *desc, unsigned events);
void loop__readiness_resume(loop_t *loop, struct desc *desc);

/* All that are parked in a queue end with the status. */
void loop__readiness_finish_queue(struct link *queue, int status);

/* The operations that wait for what the edge tells. */
void loop__readiness_run(struct desc *desc, unsigned edge);

/* The backend saw an event. */
static inline void loop__readiness_edge(loop_t *loop, struct desc *desc, unsigned edge)
{
    unsigned flags = (desc->flags & ~(unsigned)DESC_UNSURE) | edge * DESC_READABLE;

    desc->flags = flags;
    if ((edge & EDGE_READ) && (flags & DESC_ARMED))
        loop__desc_queue(loop, desc, TODO_READ);
    if (flags & DESC_PARKED)
        loop__readiness_run(desc, edge);
}

#endif
