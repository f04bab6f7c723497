/*
 * What the files of the core share: the private shape of the public types, the loop itself, and the calls between floors.
 * Public types are opaque storage; every private structure lies in its storage from the first byte on, which the assertions
 * at the end of each section check. The library is compiled without type-based alias analysis for that reason.
 */
#ifndef LOOP_INTERNAL_H
#define LOOP_INTERNAL_H

#include "loop.h"

#include "backend.h"
#include "list.h"
#include "timer_heap.h"

#include <stdatomic.h>
#include <stdbool.h>

#define FITS(private_type, public_type)                                                                                \
    _Static_assert(sizeof(private_type) <= sizeof(public_type), #private_type " outgrew " #public_type)

/* ----------------------------------------------------------------------------------------------------- ready queue -- */

enum ready_kind {
    READY_OP,
    READY_DESC
};

/* Stands in loop->ready. */
struct ready {
    struct link link;
    uint8_t kind;
};

/* --------------------------------------------------------------------------------------------------------- handles -- */

enum handle_flag {
    HANDLE_ACTIVE = 1,
    HANDLE_REF = 2,
    HANDLE_CLOSING = 4
};

struct handle {
    void *data; /* public */
    loop_t *loop;
    struct link all; /* loop->handles */
    loop_close_cb close_cb;
    struct handle *closing_next; /* loop->closing */
    uint8_t type;                /* loop_handle_type */
    uint8_t flags;               /* enum handle_flag */
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

/* ---------------------------------------------------------------------------------------------------- other threads -- */

enum post_kind {
    POST_TASK,
    POST_ASYNC
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
    ASYNC_CLOSED = 2
};

struct async {
    struct handle handle;
    struct post_node node;
    loop_async_cb cb;
    atomic_uint state; /* enum async_state */
};
FITS(struct async, loop_async_t);

/* ------------------------------------------------------------------------------------------------------ descriptors -- */

/* What a descriptor stands in the ready queue for. It stands there while any of these is set. */
enum desc_todo {
    TODO_READ = 1,   /* the handle reads or accepts into memory of the library's choice */
    TODO_RESUME = 2, /* the backend goes on with operations that it interrupted for fairness */
    TODO_DRAIN = 4   /* the write queue fell below its low mark */
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
    DESC_READ_EXPIRED = 256, /* the deadline has passed: what reads fails until it is moved */
    DESC_WRITE_EXPIRED = 512,
    DESC_EXPIRED = DESC_READ_EXPIRED | DESC_WRITE_EXPIRED
};

struct desc {
    struct handle handle;
    struct ready ready;
    union {
        loop_os_fd_t fd;
        uint64_t room;
    } os;
    uint8_t todo;      /* enum desc_todo */
    uint8_t edge;      /* the backend's: what the last event held beside readable and writable */
    uint16_t flags;    /* enum desc_flag */
    uint32_t inflight; /* operations submitted and not yet delivered */
    struct link reads; /* parked operations, first submitted first */
    struct link writes;
    struct timer_node read_deadline;
    struct timer_node write_deadline;
    uint64_t backend[LOOP_PRIVATE_DESC_WORDS];
};
FITS(struct desc, loop_desc_t);

enum stream_flag {
    STREAM_BOUND = 1,
    STREAM_LISTENING = 2,
    STREAM_CONNECTING = 4,
    STREAM_CONNECTED = 8,
    STREAM_READING = 16,
    STREAM_EOF = 32,
    STREAM_SHUT = 64,       /* shutdown was asked for: nothing may be written after it */
    STREAM_ABOVE = 128,     /* the write queue has been above its high mark and not yet at the low one */
    STREAM_PAUSED = 256,    /* accepting waits for descriptors */
    STREAM_FAILED = 512,    /* the connect failed: only closing is left */
    STREAM_ACCEPTING = 1024 /* inside the connection callback */
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
    uint32_t flags; /* enum stream_flag */
};
FITS(struct stream, loop_tcp_t);

/* ------------------------------------------------------------------------------------------------------- operations -- */

enum op_kind {
    OP_NONE,
    OP_ACCEPT,
    OP_CONNECT,
    OP_READ,
    OP_WRITE,
    OP_RECEIVE,
    OP_SEND,
    OP_READY,
    OP_SHUTDOWN
};

enum op_state {
    OP_IDLE = 0,
    OP_SUBMITTING, /* inside backend->submit: bufs is still the caller's array */
    OP_PARKED,     /* in its descriptor's queue, or with the kernel */
    OP_FINISHED    /* in loop->ready or loop->done; of a stream of results also while one is looked at */
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
    uint8_t kept;    /* loop__op_keep() copied what it needs */
    uint8_t ending;  /* its end was asked for */
    uint8_t expired; /* ... by a deadline */
    struct timer_node deadline;
    union {
        loop_buf_t bufs[OP_INLINE_BUFS];
        struct {
            loop_buf_t buf;
            unsigned char address[OP_ADDRESS_SIZE];
        } datagram;
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
_Static_assert(sizeof(loop_tcp_t) <= 256 || sizeof(loop_os_fd_t) > 4, "an idle connection costs 256 bytes");

/* --------------------------------------------------------------------------------------------------------- the loop -- */

enum wake_state {
    WAKE_ASLEEP, /* who posts must wake the loop */
    WAKE_SENT,   /* somebody did */
    WAKE_AWAKE   /* the loop will look at its queue before it sleeps */
};

/* A walk over loop->handles, which stay in their list: others look through it meanwhile. */
struct walk {
    struct link *next; /* moves on when the handle it stands at leaves the list */
    struct link *end;  /* the first that was not there when the walk began, or the head of the list */
    struct walk *outer;
};

#define SCRATCH_SIZE 65536u
#define FOREVER (-1)     /* a time to wait */
#define NEVER UINT64_MAX /* an instant */

struct loop {
    const struct loop_backend *backend;
    void *backend_data; /* the backend's */
    struct link ready;
    struct link done;      /* finished operations without a callback: loop_wait() hands them out */
    struct link delivered; /* of these, streams of results that wait until the caller has looked at the last one */
    uint64_t now;
    bool now_valid;
    bool running;
    bool stopping;
    bool closing;
    unsigned flags;        /* LOOP_HANDOVER */
    uintptr_t thread;      /* which ran the loop first */
    size_t active_handles; /* active and referenced */
    size_t active_ops;
    struct timer_heap timers;
    struct link handles;
    struct walk *walks; /* that are going on over handles, the innermost first */
    struct link phases[PHASE_COUNT];
    struct handle *closing_first; /* ready for their close callback, in order */
    struct handle *closing_last;
    struct post_node *tasks; /* taken from posted, in order, not yet run */
    void *scratch;           /* SCRATCH_SIZE bytes that all reads share; made by the first reader */
    void *data;
    loop_allocator_t allocator;
    _Atomic(struct post_node *) posted;
    atomic_uint wake;    /* enum wake_state */
    atomic_uint posters; /* threads inside loop_post or loop_async_send */
};

/* loop.c */
uint64_t loop__now(loop_t *loop);

/* Instants do not wrap round: what is past the end of time is the end of time. */
static inline uint64_t loop__add_saturated(uint64_t a, uint64_t b)
{
    return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

/* alloc.c: resize as loop_allocator_t has it */
void *loop__resize(loop_t *loop, void *ptr, size_t size);
void loop__free(loop_t *loop, void *ptr);

/* handle.c */
int loop__handle_init(loop_t *loop, struct handle *handle, loop_handle_type type);
/* 0, LOOP_EINVAL (NULL) or LOOP_EBADF (closing, closed or of another type). */
int loop__handle_check(const void *pointer, loop_handle_type type);
void loop__handle_start(struct handle *handle);
void loop__handle_stop(struct handle *handle);
/* The handle needs nothing any more: its close callback comes in the next closing phase. */
void loop__handle_closed(struct handle *handle);
/* Takes the handle out of its loop without a close callback. */
void loop__handle_forget(struct handle *handle);
void loop__handles_run_closing(loop_t *loop);
void loop__handles_walk(loop_t *loop, void (*cb)(loop_handle_t *handle, void *arg), void *arg);

/* timer.c */
void loop__timers_run(loop_t *loop);
void loop__timer_close(struct timer *timer);

/* phase.c */
void loop__phase_run(loop_t *loop, enum phase phase);
void loop__phase_close(struct phase_handle *handle);

/* task.c */
void loop__tasks_init(loop_t *loop);
/* Pushes a node and wakes the loop if it sleeps; LOOP_ECLOSED. Any thread. */
int loop__post(loop_t *loop, struct post_node *node);
/* Whether anything is posted or waits to run. */
bool loop__tasks_waiting(loop_t *loop);
/* Moves what is posted to loop->tasks. */
void loop__tasks_take(loop_t *loop);
/* Runs loop->tasks with the given status. */
void loop__tasks_run(loop_t *loop, int status);
/* Refuses all posting from now on, runs what is queued with LOOP_ECANCELED, waits for posters on their way out. */
void loop__tasks_close(loop_t *loop);

/* async.c */
void loop__async_run(struct async *async);
void loop__async_close(struct async *async);

/* desc.c: the life of a descriptor; src/backend.h has what backends call */
int loop__desc_init(loop_t *loop, struct desc *desc, loop_handle_type type);
/* Gives the descriptor a number of the system's (LOOP_INVALID_FD: takes it away) and flags; what is expired stays so. */
void loop__desc_set_fd(struct desc *desc, loop_os_fd_t fd, unsigned flags);
int loop__desc_attach(struct desc *desc, loop_os_fd_t fd, unsigned flags);
void loop__desc_close(struct desc *desc);
void loop__desc_dispatch(struct desc *desc);
void loop__desc_released(struct desc *desc);

/* op.c */
int loop__op_prepare(struct desc *desc, struct op *op, enum op_kind kind, loop_op_cb cb);
int loop__op_set_bufs(struct op *op, const loop_buf_t *bufs, unsigned nbufs);
int loop__op_submit(struct op *op);
void loop__op_dispatch(struct op *op);
size_t loop__op_left(const struct op *op);
/* Asks for the end of an operation, or of all that are parked in a queue; expired: because a deadline has passed. */
void loop__op_end(struct op *op, bool expired);
void loop__op_end_queue(const struct link *queue, bool expired);
/* Hands out finished operations that have no callback, at most n. */
int loop__op_deliver(loop_t *loop, loop_op_t **ops, int n);
/* The caller has looked at what loop__op_deliver() gave: streams of results go on. */
void loop__op_delivered_go_on(loop_t *loop);

/* deadline.c */
void loop__deadline_expired(struct desc *desc, unsigned direction);

/* stream.c */
void loop__stream_init(struct stream *stream);
int loop__stream_read_start(struct stream *stream, loop_alloc_cb alloc_cb, loop_read_cb cb);
int loop__stream_read_stop(struct stream *stream);
int loop__stream_write(struct stream *stream, struct op *op, const loop_buf_t *bufs, unsigned nbufs, loop_op_cb cb);
ptrdiff_t loop__stream_try_write(struct stream *stream, const loop_buf_t *bufs, unsigned nbufs);
int loop__stream_shutdown(struct stream *stream, struct op *op, loop_op_cb cb);
void loop__stream_readable(struct stream *stream);
void loop__stream_drained(struct stream *stream);
/* n bytes of parked writes went out, or never will. */
void loop__stream_unqueue(struct stream *stream, size_t n);

/* tcp.c */
void loop__tcp_acceptable(struct stream *server);
void loop__tcp_accept_resume(struct stream *server);
void loop__tcp_connect_done(struct stream *tcp, int status);
void loop__tcp_close(struct stream *tcp);

#endif
