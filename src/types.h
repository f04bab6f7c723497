/*
 * The private shape of the public types, and the loop itself. Public types are opaque storage; every private structure lies in
 * its storage from the first byte on, which the assertions at the end of each section check. The library is compiled without
 * type-based alias analysis for that reason.
 */
#ifndef LOOP_TYPES_H
#define LOOP_TYPES_H

#include "loop.h"

#include "compiler.h"
#include "list.h"
#include "timer_heap.h"

#include <stdatomic.h>
#include <stdbool.h>

#define FITS(private_type, public_type)                                                                                \
    _Static_assert(sizeof(private_type) <= sizeof(public_type), #private_type " outgrew " #public_type)

/* ----------------------------------------------------------------------------------------------------- ready queue -- */

enum ready_kind {
    READY_OP,
    READY_DESC,
    READY_MACHPORT
};

/* Stands in loop->ready. READY_OP is 0, as the caller's zeroed operations are. */
struct ready {
    struct link link;
    /* These two are set and cleared together by one instruction, which takes 4 bytes. */
    uint16_t todo;  /* enum desc_todo; 0: it does not stand there, and nothing was found */
    uint16_t found; /* of a poll handle: LOOP_READABLE and so on, what it asked for, was found, and is not yet told */
    uint8_t kind;
};

/* --------------------------------------------------------------------------------------------------------- handles -- */

enum handle_flag {
    HANDLE_ACTIVE = 1,
    HANDLE_REF = 2,
    HANDLE_CLOSING = 4,
    HANDLE_CLOSED = 8 /* it needs nothing any more: its close callback is due */
};

struct handle {
    void *data; /* public */
    loop_t *loop;
    struct link all; /* loop->handles */
    loop_close_cb close_cb;
    struct handle *closing_next; /* loop->closing */
    uint8_t type;                /* loop_handle_type */
    uint8_t open;                /* the same until it is closed, then LOOP_UNKNOWN_HANDLE */
    uint8_t flags;               /* enum handle_flag */
    /* Here, where there is room: the epoch (loop__fork_epoch()) in which the loop made the descriptor of the handle, whose number
     * nobody has asked for; 0: others may have it. Of a listener that of the connection it has accepted. */
    uint32_t made;
};
FITS(struct handle, loop_handle_t);

struct timer {
    struct handle handle;
    loop_timer_cb cb;
    uint64_t repeat;
    struct timer_node node;
};
FITS(struct timer, loop_timer_t);

struct phase_handle {
    struct handle handle;
    struct link link; /* loop->phases[...] */
    union {
        loop_prepare_cb prepare;
        loop_check_cb check;
        loop_idle_cb idle;
    } cb;
};
FITS(struct phase_handle, loop_prepare_t);
FITS(struct phase_handle, loop_check_t);
FITS(struct phase_handle, loop_idle_t);

enum phase {
    PHASE_IDLE,
    PHASE_PREPARE,
    PHASE_CHECK,
    PHASE_COUNT
};

/* What a turn may have to do besides dispatching: where the bit is clear, there is nothing, so that one look is enough. */
enum extra {
    EXTRA_IDLE = 1 << PHASE_IDLE,
    EXTRA_PREPARE = 1 << PHASE_PREPARE,
    EXTRA_CHECK = 1 << PHASE_CHECK,
    EXTRA_CLOSING = 1 << PHASE_COUNT,
    EXTRA_DONE = 2 << PHASE_COUNT, /* for loop_wait() to hand out */
    EXTRA_STOP = 4 << PHASE_COUNT  /* loop_stop() was called */
};

/* ---------------------------------------------------------------------------------------------------- other threads -- */

enum post_kind {
    POST_TASK,
    POST_ASYNC,
    POST_WORK
};

/* Stands in loop->posted, a stack that many threads push and the loop's thread takes whole. */
struct post_node {
    struct post_node *next;
    uint8_t kind; /* enum post_kind */
};

struct task {
    void *data; /* public */
    struct post_node node;
    loop_task_cb cb;
    atomic_uint queued;
};
FITS(struct task, loop_task_t);

enum async_state {
    ASYNC_QUEUED = 1, /* the node stands in loop->posted, or is being pushed */
    ASYNC_CLOSED = 2,
    ASYNC_FOUND = 4 /* used while loop_fork() repairs the queue */
};

struct async {
    struct handle handle;
    struct post_node node;
    loop_async_cb cb;
    atomic_uint state; /* enum async_state */
};
FITS(struct async, loop_async_t);

/* A handler that caught the signal sends the async, whose callback is the core's. */
struct signal {
    struct async async;
    loop_signal_cb cb;
    struct signal *next; /* the next watcher of the same signal */
    atomic_uint pending; /* the signal came since the last callback, and since the start */
    int signum;          /* 0: stopped */
    bool oneshot;
};
FITS(struct signal, loop_signal_t);

/* ------------------------------------------------------------------------------------------------------- work pool -- */

enum work_state {
    WORK_QUEUED = 1, /* in its lane's queue */
    WORK_RUNNING,    /* a thread of the lane has it */
    WORK_FINISHED    /* posted, or just about to be */
};

struct lane;

struct work {
    void *data; /* public */
    struct post_node node;
    struct link all;    /* loop->works */
    struct link queued; /* its lane's queue */
    loop_t *loop;
    struct lane *lane;
    loop_work_cb work_cb;
    loop_after_work_cb after_cb;
    int status;     /* this and state: under the lane's lock until it is posted */
    uint8_t state;  /* enum work_state */
    bool in_flight; /* accepted and not yet delivered: the loop's thread only */
};
FITS(struct work, loop_work_t);

/* ------------------------------------------------------------------------------------------------------ descriptors -- */

/* What a descriptor stands in the ready queue for. It stands there while any of these is set. */
enum desc_todo {
    TODO_READ = 1,    /* the handle reads or accepts into memory of the library's choice */
    TODO_RESUME = 2,  /* the backend goes on with operations that it interrupted for fairness */
    TODO_DRAIN = 4,   /* the write queue fell below its low mark */
    TODO_POLL = 8,    /* events were found that a poll handle waits for */
    TODO_MESSAGE = 16 /* of a Mach port, not of a descriptor: it has a message, or is gone */
};

enum desc_flag {
    DESC_ATTACHED = 1,
    DESC_TCP = 2,      /* a connected or connecting TCP socket */
    DESC_SOCKET = 4,   /* any socket */
    DESC_LISTENER = 8, /* a listening socket */
    DESC_OWNED = 16,   /* closed with the handle */
    DESC_CALLER = 32,  /* the caller's: its owner may close it behind our back */
    DESC_READABLE = 64,
    DESC_WRITABLE = 128,
    DESC_UNSURE = 256,       /* a short read does not mean that all was read: urgent data, or an end, may be there */
    DESC_READ_EXPIRED = 512, /* the deadline has passed: what reads fails until it is moved */
    DESC_WRITE_EXPIRED = 1024,
    DESC_EXPIRED = DESC_READ_EXPIRED | DESC_WRITE_EXPIRED,
    DESC_ARMED = 2048,   /* the handle reads by itself: it is told when it may */
    DESC_LEVEL = 4096,   /* of a poll handle: no operations; what is watched is reported as long as it holds */
    DESC_FAILED = 8192,  /* the connect failed: what is written goes nowhere. Of a descriptor until that was told */
    DESC_READS = 16384,  /* where it is clear, no operation stands among the reads, so that one look is enough */
    DESC_WRITES = 32768, /* the same of the writes */
    DESC_PARKED = DESC_READS | DESC_WRITES,
    DESC_SEALED = 65536,      /* of a stream: it is not connected, or shut. Nothing may be written at once */
    DESC_UNREADABLE = 131072, /* of a stream: the backend could not make sure that it is told of what comes */
    DESC_PROCESS = 262144,    /* the number of a process: its exit is all that can be waited for */
    DESC_FILE = 524288,       /* whatever kind of file: its changes are all that can be waited for */
    DESC_WATCHED = DESC_PROCESS | DESC_FILE,
    DESC_GIVEN = 1048576 /* somebody else made it: others of the loop may have it, too */
};

struct desc {
    struct handle handle;
    struct ready ready;
    union {
        loop_os_fd_t fd;
        uint64_t room;
    } os;
    uint32_t flags;    /* enum desc_flag */
    uint32_t inflight; /* operations submitted and not yet delivered */
    struct link reads; /* parked operations, first submitted first */
    struct link writes;
    struct timer_node read_deadline;
    struct timer_node write_deadline;
    uint64_t backend[LOOP_PRIVATE_DESC_WORDS];
};
FITS(struct desc, loop_desc_t);

/* There the backend will report by itself what comes next; else it is to be told of the short read, or asked again. */
static inline bool loop__desc_short_read_drains(const struct desc *desc)
{
    return (desc->flags & (DESC_TCP | DESC_UNSURE)) == DESC_TCP;
}

struct poll {
    struct desc desc;
    loop_poll_cb cb;
    uint8_t asked; /* LOOP_READABLE and so on; 0: stopped */
};
FITS(struct poll, loop_poll_t);

struct machport {
    struct handle handle;
    struct ready ready;
    struct link backend; /* the backend's, while it watches */
    loop_machport_cb cb;
    loop_mach_port_t port;
    loop_mach_port_t found; /* of a set the member that has a message */
    bool watched;           /* by the backend */
    bool lost;              /* the port is gone, which is still to be told */
};
FITS(struct machport, loop_machport_t);

enum stream_flag {
    STREAM_BOUND = 1,
    STREAM_LISTENING = 2,
    STREAM_CONNECTING = 4,
    STREAM_CONNECTED = 8,
    STREAM_READING = 16,
    STREAM_EOF = 32,
    STREAM_SHUT = 64,        /* shutdown was asked for: nothing may be written after it */
    STREAM_ABOVE = 128,      /* the write queue has been above its high mark and not yet at the low one */
    STREAM_PAUSED = 256,     /* accepting waits for descriptors */
    STREAM_FAILED = 512,     /* the connect failed, or will be told so soon: only closing is left */
    STREAM_ACCEPTING = 1024, /* inside the connection callback */
    STREAM_OTHER_TCP = 2048  /* MPTCP or the like: not DESC_TCP */
};

struct stream {
    struct desc desc;
    union {
        loop_read_cb read;
        loop_connection_cb connection;
    } cb;
    loop_alloc_cb alloc_cb;
    union {
        uint64_t room;
        loop_os_fd_t accepted; /* of a listener: the connection that waits to be taken */
    } os;
    size_t queued; /* bytes of parked writes */
    size_t low;
    size_t high;
    loop_drain_cb drain_cb;
    uint32_t flags;     /* enum stream_flag */
    int32_t unreadable; /* of one that is DESC_UNREADABLE: why */
};
FITS(struct stream, loop_tcp_t);

/* ------------------------------------------------------------------------------------------------------- operations -- */

enum op_kind {
    OP_NONE,
    OP_READ,
    OP_WRITE,
    OP_RECEIVE,
    OP_SEND,
    OP_ACCEPT,
    OP_READY,
    OP_EXIT,    /* of a process */
    OP_CHANGE,  /* of a file */
    OP_CONNECT, /* this and the next: their handle is told before they are delivered */
    OP_SHUTDOWN
};

/* What an OP_CHANGE found, in result_flags. */
enum file_change {
    FILE_WRITTEN = 1,    /* its contents; of a directory its entries */
    FILE_ATTRIBUTES = 2, /* its owner, mode, times or links */
    FILE_RENAMED = 4,
    FILE_DELETED = 8 /* or what it lies on was taken away */
};

enum op_state {
    OP_IDLE = 0,
    OP_SUBMITTING, /* inside backend->submit: bufs is still the caller's array, unless it is kept already */
    OP_PARKED,     /* in its descriptor's queue, or with the kernel */
    OP_FINISHED    /* in loop->ready or loop->done; of a stream of results also while one is looked at */
};

/* Whether what the operation needs was copied. */
enum op_kept {
    KEPT_NOT,
    KEPT,
    KEPT_READ /* of a read into one buffer that has room: what connections do most of the time */
};

#define OP_INLINE_BUFS 8
#define OP_ADDRESS_SIZE 112

struct op {
    void *data; /* this and the next four: public */
    size_t bytes;
    int status;
    unsigned result_flags;
    union {
        loop_os_fd_t fd;
        uint64_t room;
    } os;
    struct ready ready; /* link: in the descriptor's queue while parked, in loop->ready or loop->done when finished */
    struct desc *desc;
    loop_op_cb cb;
    loop_buf_t *bufs; /* while submitting the caller's, then `keep` or memory of our own */
    uint32_t first;   /* the first of bufs that is not done */
    uint32_t nbufs;
    uint8_t kind;    /* enum op_kind */
    uint8_t state;   /* enum op_state */
    uint8_t events;  /* OP_READY: what is waited for */
    uint8_t started; /* OP_CONNECT: connect() was called */
    uint8_t stream;  /* it gives results until it is ended */
    uint8_t kept;    /* enum op_kept */
    uint8_t ending;  /* its end was asked for */
    uint8_t expired; /* ... by a deadline */
    struct timer_node deadline;
    union {
        loop_buf_t bufs[OP_INLINE_BUFS];
        struct {
            loop_buf_t buf;
            unsigned char address[OP_ADDRESS_SIZE];
        } datagram;
        struct {
            struct desc *desc;
            size_t bytes;
            unsigned result_flags;
        } last; /* until it is kept: its use before, which it has back if it is refused */
    } keep;
    struct sockaddr_storage *from; /* OP_RECEIVE: where the sender's address goes */
    const struct sockaddr *to;     /* OP_SEND, OP_CONNECT: the caller's while submitting, then keep.datagram.address */
    uint64_t reserved;             /* for ancillary data */
    uint64_t backend[LOOP_PRIVATE_OP_WORDS];
};
FITS(struct op, loop_op_t);

/* Which queue and which deadline of its descriptor it belongs to. A wait for both directions is one for reading. */
static inline bool loop__op_is_writing(const struct op *op)
{
    switch ((enum op_kind)op->kind) {
    case OP_CONNECT:
    case OP_WRITE:
    case OP_SEND:
    case OP_SHUTDOWN:
        return true;
    case OP_READY:
        return op->events == LOOP_WRITABLE;
    default:
        return false;
    }
}

_Static_assert(offsetof(struct op, bytes) == offsetof(loop_op_t, bytes), "public part of loop_op_t");
_Static_assert(offsetof(struct op, status) == offsetof(loop_op_t, status), "public part of loop_op_t");
_Static_assert(offsetof(struct op, result_flags) == offsetof(loop_op_t, flags), "public part of loop_op_t");
_Static_assert(offsetof(struct op, os) == offsetof(loop_op_t, fd), "public part of loop_op_t");
_Static_assert(sizeof(loop_tcp_t) <= 256 + 8 * (LOOP_PRIVATE_DESC_WORDS - LOOP_PRIVATE_POSIX_DESC_WORDS),
               "an idle connection costs 256 bytes, and what its backend needs beyond a word");

/* --------------------------------------------------------------------------------------------------------- the loop -- */

enum wake_state {
    WAKE_ASLEEP, /* who posts must wake the loop */
    WAKE_SENT,   /* somebody did */
    WAKE_AWAKE   /* the loop will look at its queue before it sleeps */
};

#define SCRATCH_SIZE 65536u
#define FOREVER (-1)     /* a time to wait */
#define NEVER UINT64_MAX /* an instant */

/* A walk over the handles, which may come and go meanwhile. */
struct walker {
    struct link *next; /* NULL: there is no more */
    struct link *last; /* what came later is not visited */
    struct walker *outer;
};

/* What loop_metrics() reports and the rest of the loop does not know anyway. Counted on the loop's thread. */
struct metrics {
    uint64_t turns;
    uint64_t waits;
    uint64_t events;
    uint64_t submitted; /* operations; the difference to the next is in flight */
    uint64_t delivered;
    uint64_t timers;
    uint64_t tasks;
    bool timed;       /* LOOP_METRICS_TIME: the clock is read for the rest */
    uint64_t mark;    /* the last reading: since then one callback runs */
    uint64_t idle;    /* ns in waits */
    uint64_t longest; /* ns of the longest callback */
};

struct loop {
    struct link ready; /* first: so its address is the loop's, which whoever queues something has at hand */
    const struct loop_backend *backend;
    void *backend_data;    /* the backend's */
    struct link done;      /* finished operations without a callback: loop_wait() hands them out */
    struct link delivered; /* of these, streams of results that wait until the caller has looked at the last one */
    uint64_t now;
    bool now_valid;
    bool running;
    bool closing;
    bool watched;           /* a host loop polls the backend's descriptor */
    struct walker *walkers; /* walks over the handles that are under way, the innermost first */
    unsigned extras;        /* enum extra */
    unsigned turns_skipped; /* by loop_wait(), in a row */
    unsigned futile;        /* descriptors dispatched since the wait that had nothing to call back */
    unsigned flags;         /* LOOP_HANDOVER */
    uintptr_t thread;       /* which ran the loop first */
    size_t active_handles;  /* active and referenced */
    size_t active_works;    /* accepted and not yet delivered */
    size_t closing_handles; /* closed, and their close callback not yet entered */
    struct timer_heap timers;
    struct link handles;
    struct link phases[PHASE_COUNT];
    struct link works;            /* accepted and not yet delivered, first submitted first */
    loop_pool_t *pool;            /* NULL before the first use */
    uint64_t pool_process;        /* in which process the loop and its pool last agreed */
    struct handle *closing_first; /* ready for their close callback, in order */
    struct handle *closing_last;
    struct post_node *tasks; /* taken from posted, in order, not yet run */
    loop_buf_t given;        /* by the user's hook, to the read that is under way */
    loop_buf_t scratch;      /* SCRATCH_SIZE bytes that all reads share; made by the first reader */
    void *data;
    loop_allocator_t allocator;
    struct metrics metrics;
    _Atomic(struct post_node *) posted;
    atomic_uint wake;      /* enum wake_state */
    atomic_uint posters;   /* threads inside loop_post or loop_async_send */
    atomic_size_t wakeups; /* calls of backend->wake */
};

#endif
