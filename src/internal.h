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
#include "probe.h"
#include "timer_heap.h"

#include <stdatomic.h>
#include <stdbool.h>

#define FITS(private_type, public_type)                                                                                \
    _Static_assert(sizeof(private_type) <= sizeof(public_type), #private_type " outgrew " #public_type)

/* ----------------------------------------------------------------------------------------------------- ready queue -- */

enum ready_kind {
    READY_OP,
    READY_STREAM, /* a descriptor that is a stream, and mostly stands there to be read */
    READY_DESC,
    READY_POLL
};

/* Stands in loop->ready. READY_OP is 0, as the caller's zeroed operations are. */
struct ready {
    struct link link;
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
    TODO_READ = 1,   /* the handle reads or accepts into memory of the library's choice */
    TODO_RESUME = 2, /* the backend goes on with operations that it interrupted for fairness */
    TODO_DRAIN = 4,  /* the write queue fell below its low mark */
    TODO_POLL = 8    /* events were found that a poll handle waits for */
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
    DESC_ARMED = 2048, /* the handle reads by itself: it is told when it may */
    DESC_LEVEL = 4096  /* of a poll handle: no operations; what is watched is reported as long as it holds */
};

struct desc {
    struct handle handle;
    struct ready ready;
    union {
        loop_os_fd_t fd;
        uint64_t room;
    } os;
    uint8_t todo;      /* enum desc_todo */
    uint16_t flags;    /* enum desc_flag */
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
    uint8_t found; /* of these, what was found and not yet reported */
};
FITS(struct poll, loop_poll_t);

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
    uint32_t flags; /* enum stream_flag */
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
    OP_CONNECT, /* this and the next: their handle is told before they are delivered */
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
_Static_assert(sizeof(loop_tcp_t) <= 256 || sizeof(loop_os_fd_t) > 4, "an idle connection costs 256 bytes");

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
    uint64_t submitted;
    uint64_t timers;
    uint64_t tasks;
    bool timed;       /* LOOP_METRICS_TIME: the clock is read for the rest */
    uint64_t mark;    /* the last reading: since then one callback runs */
    uint64_t idle;    /* ns in waits */
    uint64_t longest; /* ns of the longest callback */
};

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
    bool watched;           /* a host loop polls the backend's descriptor */
    struct walker *walkers; /* walks over the handles that are under way, the innermost first */
    unsigned futile;        /* descriptors dispatched since the wait that had nothing to call back */
    unsigned flags;         /* LOOP_HANDOVER */
    uintptr_t thread;       /* which ran the loop first */
    size_t active_handles;  /* active and referenced */
    size_t active_ops;
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
    void *scratch;           /* SCRATCH_SIZE bytes that all reads share; made by the first reader */
    void *data;
    loop_allocator_t allocator;
    struct metrics metrics;
    _Atomic(struct post_node *) posted;
    atomic_uint wake;      /* enum wake_state */
    atomic_uint posters;   /* threads inside loop_post or loop_async_send */
    atomic_size_t wakeups; /* calls of backend->wake */
};

/* run.c */
/* Whether the next turn has something to do for which it need not wait, timers aside. */
bool loop__has_work(loop_t *loop);
/* loop_run() in its mode once, whose wait ends at the given instant at the latest. */
int loop__run_once(loop_t *loop, uint64_t end);

/* loop.c */
void loop__read_clock(loop_t *loop);

static inline uint64_t loop__now(loop_t *loop)
{
    if (!loop->now_valid)
        loop__read_clock(loop);
    return loop->now;
}

/* Instants do not wrap round: what is past the end of time is the end of time. */
static inline uint64_t loop__add_saturated(uint64_t a, uint64_t b)
{
    return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

/* alloc.c: resize as loop_allocator_t has it */
/* The wanted allocator, or the standard one for NULL. LOOP_EINVAL: it has no function. */
int loop__allocator_choose(const loop_allocator_t *wanted, loop_allocator_t *result);
void *loop__resize(loop_t *loop, void *ptr, size_t size);
void loop__free(loop_t *loop, void *ptr);

/* handle.c */
int loop__handle_init(loop_t *loop, struct handle *handle, loop_handle_type type);

/* 0, LOOP_EINVAL (NULL) or LOOP_EBADF (closing, closed or of another type). */
static inline int loop__handle_check(const void *pointer, loop_handle_type type)
{
    const struct handle *handle = pointer;

    if (handle == NULL)
        return LOOP_EINVAL;
    return handle->open == type ? 0 : LOOP_EBADF;
}

static inline void loop__handle_start(struct handle *handle)
{
    if (handle->flags & HANDLE_ACTIVE)
        return;
    handle->flags |= HANDLE_ACTIVE;
    if (handle->flags & HANDLE_REF)
        handle->loop->active_handles++;
}

static inline void loop__handle_stop(struct handle *handle)
{
    if (!(handle->flags & HANDLE_ACTIVE))
        return;
    handle->flags &= (uint8_t)~HANDLE_ACTIVE;
    if (handle->flags & HANDLE_REF)
        handle->loop->active_handles--;
}

/* The handle needs nothing any more: its close callback comes in the next closing phase. */
void loop__handle_closed(struct handle *handle);
/* Takes the handle out of its loop without a close callback. */
void loop__handle_forget(struct handle *handle);
void loop__handles_run_closing(loop_t *loop);

/* timer_heap.c. Moves a started node: cannot fail. */
static inline void loop__timer_move(struct timer_heap *heap, struct timer_node *node, uint64_t due)
{
    if (due < node->due) {
        loop__timer_sooner(heap, node, due);
        return;
    }
    node->due = due;
    node->seq = ++heap->seq;
}

/* Starts a node (LOOP_ENOMEM) or moves a started one. */
static inline int loop__timer_set(loop_t *loop, struct timer_node *node, uint64_t due)
{
    if (loop__timer_started(node)) {
        loop__timer_move(&loop->timers, node, due);
        return 0;
    }
    if (loop->timers.count == loop->timers.room && loop__timer_reserve(loop, 1) != 0)
        return LOOP_ENOMEM;
    loop__timer_add(&loop->timers, node, due);
    return 0;
}

static inline void loop__timer_unset(loop_t *loop, struct timer_node *node)
{
    if (!loop__timer_started(node))
        return;
    loop->timers.entries[node->position - 1].node = &loop->timers.none;
    node->position = 0;
    loop->timers.live--;
}

/* The next node due, NULL if there is none. Makes the root live and true first. */
static inline struct timer_node *loop__timer_next(loop_t *loop)
{
    const struct timer_entry *root = loop->timers.entries;

    if (loop->timers.count == 0)
        return NULL;
    /* The sequence of `none` is no entry's. */
    return root->seq == root->node->seq ? root->node : loop__timer_settle(&loop->timers);
}

/* timer.c */
void loop__timers_run(loop_t *loop);
void loop__timer_close(struct timer *timer);
/* The rest of loop_timer_start(). */
int loop__timer_begin(struct timer *timer, loop_timer_cb cb, uint64_t timeout, uint64_t repeat);

/* phase.c */
void loop__phase_run(loop_t *loop, enum phase phase);
void loop__phase_close(struct phase_handle *handle);

/* task.c */
void loop__tasks_init(loop_t *loop);
/* Pushes a node and wakes the loop if it sleeps; LOOP_ECLOSED. Any thread. */
int loop__post(loop_t *loop, struct post_node *node);
/* Wakes the loop if it sleeps and nobody did so before. Any thread. */
void loop__wake(loop_t *loop);
/* Whether anything is posted or waits to run. */
bool loop__tasks_waiting(loop_t *loop);
size_t loop__tasks_count(loop_t *loop);
/* Moves what is posted to loop->tasks. */
void loop__tasks_take(loop_t *loop);
/* Runs loop->tasks with the given status. */
void loop__tasks_run(loop_t *loop, int status);
/* Refuses all posting from now on, runs what is queued with LOOP_ECANCELED, waits for posters on their way out. */
void loop__tasks_close(loop_t *loop);
/* In a child process: forgets the threads that were posting. */
void loop__tasks_fork(loop_t *loop);

/* async.c */
int loop__async_init(loop_t *loop, struct async *async, loop_handle_type type, loop_async_cb cb);
/* Any thread, also in a signal handler. */
int loop__async_send(struct async *async);
void loop__async_run(struct async *async);
void loop__async_close(struct async *async);
/* In a child process: finishes what threads were sending. */
void loop__asyncs_fork(loop_t *loop);

/* signal.c; src/platform.h has what the platform's handler calls */
void loop__signal_close(struct signal *signal);

/* poll.c */
void loop__poll_dispatch(struct poll *poll);
void loop__poll_lost(struct poll *poll);
void loop__poll_close(struct poll *poll);

/* pool.c: threads and queues */
/* A pool for one loop, which uses it from now on. LOOP_ENOMEM, LOOP_EAGAIN. */
int loop__pool_create_own(loop_pool_t **pool, const loop_allocator_t *allocator);
/* One more loop uses it. LOOP_EINVAL: it is another's own. */
int loop__pool_use(loop_pool_t *pool);
/* A loop does not use it any more. A loop's own is destroyed. */
void loop__pool_leave(loop_pool_t *pool);
/* Queues work, whose loop and callbacks are set. LOOP_EAGAIN: it was not. */
int loop__pool_submit(loop_pool_t *pool, loop_lane lane, struct work *work);
/* 0: a queued one was posted as LOOP_ECANCELED, now or before. LOOP_EBUSY: too late. */
int loop__pool_cancel(struct work *work);
/* Queues work again where it was in the parent: see loop__work_forked(). LOOP_EAGAIN. */
int loop__pool_resubmit(struct work *work);
/* Whether the pool came by a fork, and its threads are in another process. */
bool loop__pool_of_parent(const loop_pool_t *pool);
/* Makes the pool one of this process: in the child of a fork it forgets threads and queues, once, whichever loop asks first.
 * LOOP_ENOMEM: ask again. */
int loop__pool_adopt(loop_pool_t *pool);
uint64_t loop__pool_process(const loop_pool_t *pool);

/* work.c */
/* 0, or why the loop takes no such request now: LOOP_EINVAL, LOOP_ECLOSED, LOOP_EBUSY. */
int loop__work_check(const loop_t *loop, const loop_work_t *work);
/* Submits what was checked: LOOP_EAGAIN, LOOP_ENOMEM. */
int loop__work_submit(loop_t *loop, loop_work_t *work, loop_lane lane, loop_work_cb work_cb,
                      loop_after_work_cb after_cb);
void loop__work_deliver(struct work *work);
/* Leaves the pool, and joins the threads of one that is the loop's own. */
void loop__work_close(loop_t *loop);
/*
 * For loop_fork(), in the child, where no thread of a pool exists: what was queued waits for threads of this process, what
 * had finished is delivered with its result, and what was running is delivered as LOOP_ECANCELED. Each loop has to say so
 * for itself; saying it twice does nothing. LOOP_ENOMEM: nothing is lost, it may be called again.
 */
int loop__work_forked(loop_t *loop);

/* desc.c: the life of a descriptor; src/backend.h has what backends call */
int loop__desc_init(loop_t *loop, struct desc *desc, loop_handle_type type);
/* Gives the descriptor a number of the system's (LOOP_INVALID_FD: takes it away) and flags; what is expired stays so. */
void loop__desc_set_fd(struct desc *desc, loop_os_fd_t fd, unsigned flags);
int loop__desc_attach(struct desc *desc, loop_os_fd_t fd, unsigned flags);
void loop__desc_close(struct desc *desc);
void loop__desc_dispatch(struct desc *desc);
/* The descriptor that a handle is, NULL for a handle that is none. */
struct desc *loop__desc_of(struct handle *handle);

/* op.c */
int loop__op_submit_expired(struct op *op);
/* Also notes what the operation has back if there is no memory for a copy of so many. */
int loop__op_check_many_bufs(struct op *op, const loop_buf_t *bufs, unsigned nbufs);
/* Accepts the operation as loop__op_submit() does, and completes it with the given status. */
void loop__op_complete(struct op *op, int status);
size_t loop__op_left(const struct op *op);
/* Asks for the end of an operation, or of all that are parked in a queue; expired: because a deadline has passed. */
void loop__op_end(struct op *op, bool expired);
void loop__op_end_queue(const struct link *queue, bool expired);
/* Hands out finished operations that have no callback, at most n. */
int loop__op_deliver(loop_t *loop, loop_op_t **ops, int n);
/* The caller has looked at what loop__op_deliver() gave: streams of results go on. */
void loop__op_delivered_go_on(loop_t *loop);
/* The next result of a stream, or the final one. */
void loop__op_go_on(struct op *op);

/* deadline.c */
void loop__deadline_expired(struct desc *desc, unsigned which);

/* stream.c */
void loop__stream_init(struct stream *stream);
int loop__stream_read_start(struct stream *stream, loop_alloc_cb alloc_cb, loop_read_cb cb);
int loop__stream_read_stop(struct stream *stream);
int loop__stream_write(struct stream *stream, struct op *op, const loop_buf_t *bufs, unsigned nbufs, loop_op_cb cb);
ptrdiff_t loop__stream_try_write(struct stream *stream, const loop_buf_t *bufs, unsigned nbufs);
int loop__stream_shutdown(struct stream *stream, struct op *op, loop_op_cb cb);
/* A connect or shutdown is about to be delivered. */
void loop__stream_op_done(struct stream *stream, enum op_kind kind, int status);
/* These, and loop__tcp_acceptable(), tell whether they called back. */
bool loop__stream_readable(struct stream *stream);
bool loop__stream_drained(struct stream *stream);
/* n more bytes wait in parked writes; n of them went out, or never will. */
void loop__stream_queue(struct stream *stream, size_t n);
void loop__stream_unqueue(struct stream *stream, size_t n);

/* tcp.c */
bool loop__tcp_acceptable(struct stream *server);
void loop__tcp_accept_resume(struct stream *server);
/* The connect failed: known before its callback, and at its callback. */
void loop__tcp_connect_failed(struct stream *tcp);
void loop__tcp_connect_done(struct stream *tcp, int status);
void loop__tcp_close(struct stream *tcp);

/* dump.c */
const char *loop__op_kind_name(enum op_kind kind);

/* host.c */
/* Tells a host loop, if one watches, that a turn has something to do. */
void loop__host_notify(loop_t *loop);

/* Called where something became ready. Inside of a turn nobody has to be told: its end looks. */
static inline void loop__made_ready(loop_t *loop)
{
    if (!loop->running)
        loop__host_notify(loop);
}

/* metrics.c; metrics.h has what the wait needs */
/* Reads the clock: now begins what loop__lap() measures. */
void loop__metrics_mark(loop_t *loop);
void loop__metrics_lap(loop_t *loop);

/* Called after every callback. */
static inline void loop__lap(loop_t *loop)
{
    if (loop->metrics.timed)
        loop__metrics_lap(loop);
}

/* ------------------------------------------------------------------------------------------- the path of an operation -- */

/*
 * What every packet costs is decided here: checked and filled in, handed to the backend, finished, dispatched. These are inline
 * because they are called from other files than their own in each of these steps.
 */

/* Inside of a poll. */
static inline void loop__desc_queue(struct desc *desc, uint8_t todo)
{
    if (desc->todo == 0)
        list_push(&desc->handle.loop->ready, &desc->ready.link);
    desc->todo |= todo;
}

static inline void loop__desc_ready(struct desc *desc, uint8_t todo)
{
    loop__desc_queue(desc, todo);
    loop__made_ready(desc->handle.loop);
}

/* 0, or why the operation cannot be submitted. The loop is not being closed, or there would be no open handle. */
static inline int loop__op_check(const struct op *op)
{
    if (op == NULL)
        return LOOP_EINVAL;
    return op->state == OP_IDLE ? 0 : LOOP_EBUSY;
}

static inline int loop__op_check_bufs(struct op *op, const loop_buf_t *bufs, unsigned nbufs)
{
    if (nbufs != 1 || bufs == NULL || bufs->base == NULL || bufs->len > PTRDIFF_MAX)
        return loop__op_check_many_bufs(op, bufs, nbufs);
    return 0;
}

/* Everything that was asked is in order: from here on the operation is changed. */
static inline void loop__op_fill(struct op *op, struct desc *desc, enum op_kind kind, const loop_buf_t *bufs,
                                 unsigned nbufs, loop_op_cb cb)
{
    op->bytes = 0;
    op->result_flags = 0;
    op->desc = desc;
    op->cb = cb;
    op->bufs = (loop_buf_t *)(uintptr_t)bufs;
    op->first = 0;
    op->nbufs = nbufs;
    op->kind = (uint8_t)kind;
    op->state = OP_SUBMITTING;
    op->events = 0;
    op->started = 0;
    op->stream = 0;
    op->kept = 0;
    op->ending = 0;
    op->expired = 0;
}

static inline int loop__op_submit(struct op *op)
{
    struct desc *desc = op->desc;
    loop_t *loop = desc->handle.loop;

    desc->inflight++;
    loop->active_ops++;
    loop->metrics.submitted++;
    LOOP_PROBE4(submit, loop, desc, op, op->kind);
    if (desc->flags & DESC_EXPIRED)
        return loop__op_submit_expired(op);
    return loop->backend->submit(loop, op);
}

static inline void loop__op_keep_one(struct op *op)
{
    op->keep.bufs[0] = *op->bufs;
    op->bufs = op->keep.bufs;
    op->kept = 1;
    op->state = OP_PARKED;
}

static inline void loop__op_finish_clean(struct op *op, int status)
{
    loop_t *loop = op->desc->handle.loop;

    op->status = status;
    op->state = OP_FINISHED;
    list_push(op->cb != NULL ? &loop->ready : &loop->done, &op->ready.link);
    LOOP_PROBE4(complete, loop, op, status, op->bytes);
    loop__made_ready(loop);
}

/* The operation leaves the library, whose last look at it this is. */
static inline void loop__op_let_go(struct op *op)
{
    struct desc *desc = op->desc;

    op->state = OP_IDLE;
    desc->handle.loop->active_ops--;
    if (op->kind >= OP_CONNECT && desc->handle.type == LOOP_TCP)
        loop__stream_op_done((struct stream *)desc, (enum op_kind)op->kind, op->status);
    if (--desc->inflight == 0 && (desc->handle.flags & HANDLE_CLOSING))
        loop__handle_closed(&desc->handle);
}

static inline void loop__op_dispatch(struct op *op)
{
    if (op->result_flags & LOOP_OP_MORE) {
        op->cb((loop_op_t *)op);
        loop__op_go_on(op);
        return;
    }
    loop__op_let_go(op);
    op->cb((loop_op_t *)op);
}

#endif
