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
        16, /* of poll handles: the others are reported as long as they hold. Alone: registered, but silent */
    INTEREST_WATCHED = 32 /* of DESC_WATCHED: the exit of the process, changes of the file */
};

/* What the engine keeps in desc->backend. */
struct posix_desc {
    uint8_t interest; /* what is registered with the kernel; for descriptors of the caller a belief */
    uint8_t pending;  /* of a backend that gathers changes: those of `interest` that wait to go to the kernel */
    uint16_t
        unread; /* bytes that the last edge counted, 0: it did not say. Of DESC_WATCHED: what was found and not yet told */
    union {
        uint32_t generation; /* of the number, if that is recorded */
        uint32_t place;      /* with epoll, of a descriptor of the loop's own */
    };
};
_Static_assert(sizeof(struct posix_desc) <= LOOP_PRIVATE_DESC_WORDS * sizeof(uint64_t), "posix_desc fits");

/* The beginning of loop->backend_data. */
struct readiness {
    /* Changes what is registered, or nothing if it is that already. The one place that changes kernel interest. */
    int (*change)(loop_t *loop, struct desc *desc, unsigned interest);
    unsigned tcp_interest; /* what a TCP connection is registered for at first */
    bool owners_too;       /* the table below has every descriptor, not only those of the caller */
    bool watches;          /* change() knows INTEREST_WATCHED */
    struct fd_table callers;
};

/* Parts of an edge. */
enum edge {
    EDGE_READ = 1,  /* may be readable */
    EDGE_WRITE = 2, /* may be writable */
    EDGE_ODD = 4    /* urgent data, hang-up or error: a short read does not mean that all was read */
};
_Static_assert((unsigned)EDGE_READ *DESC_READABLE == (unsigned)DESC_READABLE &&
                   (unsigned)EDGE_WRITE * DESC_READABLE == (unsigned)DESC_WRITABLE &&
                   (unsigned)EDGE_ODD * DESC_READABLE == (unsigned)DESC_UNSURE,
               "an edge is shifted into the flags of its descriptor");

static inline struct posix_desc *loop__posix(struct desc *desc)
{
    return (struct posix_desc *)(void *)desc->backend;
}

static inline struct readiness *loop__readiness(loop_t *loop)
{
    return loop->backend_data;
}

/* Whether a read of n bytes took all that the last edge counted: what came later gives another edge. */
bool loop__readiness_took_all(struct desc *desc, size_t n);

/* After a read of n bytes that had room for more: whether what is unread, if there is anything, has an edge yet to come. A read
 * may end at urgent data. */
static inline bool loop__readiness_drained(struct desc *desc, size_t n)
{
    return loop__desc_short_read_drains(desc) || loop__readiness_took_all(desc, n);
}

/* Whether what is detached is closed next, by us. */
static inline bool loop__readiness_closes_next(const struct desc *desc)
{
    return (desc->flags & DESC_OWNED) && (desc->handle.flags & HANDLE_CLOSING);
}

/* Registers every attached descriptor as it was, with a kernel object that knows none. An error leaves the records as they
 * are, so that it can be done again. */
int loop__readiness_reattach(loop_t *loop);
/* Before that: what waits for descriptors of the caller of which is_gone() says that their owner has closed them ends. Their number
 * may be somebody else's by now. */
void loop__readiness_lose_if(loop_t *loop, bool (*is_gone)(loop_t *loop, struct desc *desc));

/* The members of struct loop_backend that are the same for epoll and kqueue. */
int loop__readiness_attach(loop_t *loop, struct desc *desc);
int loop__readiness_detach(loop_t *loop, struct desc *desc, bool live);
int loop__readiness_submit(loop_t *loop, struct op *op);
void loop__readiness_cancel(loop_t *loop, struct op *op);
void loop__readiness_arm(loop_t *loop, struct desc *desc, enum read_seen seen, size_t bytes);
int loop__readiness_accept(loop_t *loop, struct desc *desc, loop_os_fd_t *result);
int loop__readiness_watch(loop_t *loop, struct desc *desc, unsigned events);
void loop__readiness_resume(loop_t *loop, struct desc *desc);

/* The registration for a direction (INTEREST_READ or INTEREST_WRITE) failed after change() had returned 0. */
void loop__readiness_failed(struct desc *desc, unsigned direction, int error);

/* All that are parked in a queue end with the status. */
void loop__readiness_finish_queue(struct link *queue, int status);

/* Inside of a poll: the operations that wait for what the edge tells. */
void loop__readiness_run(struct desc *desc, unsigned edge);

/* The backend saw an event. */
static inline void loop__readiness_edge(loop_t *loop, struct desc *desc, unsigned edge)
{
    unsigned flags = (desc->flags & ~(unsigned)DESC_UNSURE) | edge * DESC_READABLE;

    desc->flags = flags;
    if ((edge & EDGE_READ) && (flags & DESC_ARMED))
        loop__desc_queue(loop, desc, TODO_READ, 0);
    if (flags & DESC_PARKED)
        loop__readiness_run(desc, edge);
}

#endif
