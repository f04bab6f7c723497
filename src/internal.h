/*
 * What the files of the core call of each other, one section a file; at the end the path of an operation, which is inline. The
 * types are in types.h.
 */
#ifndef LOOP_INTERNAL_H
#define LOOP_INTERNAL_H

#include "types.h"

#include "backend.h"
#include "platform.h"
#include "probe.h"

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

static inline bool loop__has_ops(const loop_t *loop)
{
    return loop->metrics.submitted != loop->metrics.delivered;
}

/* ns from now until the instant, 0 if it has come, INT64_MAX if it is farther. */
static inline int64_t loop__time_until(uint64_t now, uint64_t due)
{
    if (due <= now)
        return 0;
    return due - now > INT64_MAX ? INT64_MAX : (int64_t)(due - now);
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

/* Of a handle that is active. Most are that, have a reference, and nothing else. */
void loop__handle_stop_odd(loop_t *loop, struct handle *handle);
static inline void loop__handle_stop_active(loop_t *loop, struct handle *handle)
{
    if (handle->flags != (HANDLE_ACTIVE | HANDLE_REF)) {
        loop__handle_stop_odd(loop, handle);
        return;
    }
    loop->active_handles--;
    handle->flags = HANDLE_REF;
}

static inline void loop__handle_stop(struct handle *handle)
{
    if (handle->flags & HANDLE_ACTIVE)
        loop__handle_stop_active(handle->loop, handle);
}

/* The handle needs nothing any more: its close callback comes in the next closing phase. */
void loop__handle_closed(struct handle *handle);
/* Takes the handle out of its loop without a close callback. */
void loop__handle_forget(struct handle *handle);
void loop__handles_run_closing(loop_t *loop);

/* timer_heap.c. Moves a started node: cannot fail. */
static inline int loop__timer_move(struct timer_heap *heap, struct timer_node *node, uint64_t due)
{
    if (due < node->due)
        return loop__timer_sooner(heap, node, due);
    node->due = due;
    node->seq = ++heap->seq;
    return 0;
}

/* Starts a node (LOOP_ENOMEM) or moves a started one. */
static inline int loop__timer_set(loop_t *loop, struct timer_node *node, uint64_t due)
{
    if (loop__timer_started(node))
        return loop__timer_move(&loop->timers, node, due);
    if (loop->timers.count == loop->timers.room && loop__timer_reserve(loop, 1) != 0)
        return LOOP_ENOMEM;
    return loop__timer_add(&loop->timers, node, due);
}

static inline void loop__timer_unset(loop_t *loop, struct timer_node *node)
{
    if (!loop__timer_started(node))
        return;
    loop->timers.entries[(size_t)node->position - 1].node = &loop->timers.none;
    node->position = 0;
    node->due = UINT64_MAX;
    loop->timers.live--;
}

/* The next node that is due until the given instant, NULL if there is none. Makes the root live and true if it may be one. */
static inline struct timer_node *loop__timer_due(loop_t *loop, uint64_t until)
{
    const struct timer_entry *root = loop->timers.entries;

    if (loop->timers.count == 0 || root->due > until)
        return NULL;
    /* The sequence of `none` is no entry's. */
    return root->seq == root->node->seq ? root->node : loop__timer_settle(&loop->timers, until);
}

/* timer.c */
/* Whether all that was due were deadlines. */
bool loop__timers_run(loop_t *loop);
void loop__timer_close(struct timer *timer);

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
void loop__poll_dispatch_else(struct poll *poll);
void loop__poll_lost(struct poll *poll);
void loop__poll_close(struct poll *poll);

/* machport.c; src/backend.h has what backends call */
void loop__machport_dispatch(struct machport *machport);
void loop__machport_close(struct machport *machport);

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
/* Where work stands, and the name of its lane. locks: threads of this process may have it. */
enum work_state loop__pool_look(const struct work *work, bool locks, const char **lane_name);
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
/* Attaches one that somebody else made, and makes it non-blocking; inherit: and leaves it to child processes. An error leaves
 * it as it was. */
int loop__desc_take(struct desc *desc, loop_os_fd_t fd, unsigned flags, bool inherit);
void loop__desc_close(struct desc *desc);
void loop__desc_dispatch(struct desc *desc);
/* The descriptor that a handle is, NULL for a handle that is none. */
struct desc *loop__desc_of(struct handle *handle);

/* op.c */
/* Gives an operation to the backend, or ends it: the deadline of its direction has passed, or the connect before it failed. */
int loop__op_hand_over(struct op *op);
/* The rest of a write of one buffer that loop__op_send() began (transfer.h): n bytes went out, or loop__socket_error() says why
 * not. */
int loop__op_sent(struct op *op, ptrdiff_t n);
/* Also notes what the operation has back if there is no memory for a copy of so many. */
int loop__op_check_bufs(struct op *op, const loop_buf_t *bufs, unsigned nbufs);
/* The exit of a DESC_PROCESS (status 0, for whoever waits for the process), or the next change of a DESC_FILE (enum file_change).
 * LOOP_ENOTSUP where the backend cannot watch them. */
int loop__op_watch(struct op *op, struct desc *desc, loop_op_cb cb);
/* Checks the buffers, fills in and submits: for all that loop__op_is_one_buf() is not. */
int loop__op_transfer(struct op *op, struct desc *desc, enum op_kind kind, const loop_buf_t *bufs, unsigned nbufs,
                      loop_op_cb cb);
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
/* A connect or shutdown is about to be delivered. */
void loop__op_told(struct op *op);

/* deadline.c */
void loop__deadline_expired(struct desc *desc, unsigned which);

/* stream.c */
void loop__stream_init(struct stream *stream);

/* Sets and clears flags, of which STREAM_CONNECTED and STREAM_SHUT decide whether the descriptor is sealed. */
static inline void loop__stream_set(struct stream *stream, uint32_t set, uint32_t clear)
{
    stream->flags = (stream->flags & ~clear) | set;
    if ((stream->flags & (STREAM_CONNECTED | STREAM_SHUT)) == STREAM_CONNECTED)
        stream->desc.flags &= ~(uint32_t)DESC_SEALED;
    else
        stream->desc.flags |= DESC_SEALED;
}

int loop__stream_read_start(struct stream *stream, loop_alloc_cb alloc_cb, loop_read_cb cb);
int loop__stream_read_stop(struct stream *stream);
/* What loop__stream_write() and loop__stream_try_write() (transfer.h) leave: several buffers, or a reason why nothing can be tried
 * now; and what loop__op_send() left. */
int loop__stream_write_else(struct stream *stream, struct op *op, const loop_buf_t *bufs, unsigned nbufs,
                            loop_op_cb cb);
int loop__stream_write_rest(struct op *op, ptrdiff_t n);
ptrdiff_t loop__stream_try_write_else(const struct stream *stream, const loop_buf_t *bufs, unsigned nbufs);
int loop__stream_shutdown(struct stream *stream, struct op *op, loop_op_cb cb);
/* A connect or shutdown is about to be delivered. */
void loop__stream_op_done(struct stream *stream, enum op_kind kind, int status);
/* Counts in loop->futile if it called nobody back. */
void loop__stream_readable(struct stream *stream);
/* This, and loop__tcp_acceptable(), tell whether they called back. */
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

/* Inside of a poll. found: of a poll handle. */
LOOP_INLINE void loop__desc_queue(loop_t *loop, struct desc *desc, unsigned todo, unsigned found)
{
    struct ready *ready = &desc->ready;

    if (LOOP_LIKELY(ready->todo == 0)) {
        ready->todo = (uint16_t)todo;
        ready->found = (uint16_t)found;
        list_push(&loop->ready, &ready->link);
    } else {
        ready->todo |= (uint16_t)todo;
        ready->found |= (uint16_t)found;
    }
}

static inline void loop__desc_ready(struct desc *desc, unsigned todo)
{
    loop__desc_queue(desc->handle.loop, desc, todo, 0);
    loop__made_ready(desc->handle.loop);
}

/* A poll handle asked for these events, and they hold. To be called in the backend's poll. */
static inline void loop__poll_found(loop_t *loop, struct poll *poll, unsigned events)
{
    loop__desc_queue(loop, &poll->desc, TODO_POLL, events);
}

static inline void loop__poll_dispatch(struct poll *poll)
{
    unsigned events = poll->desc.ready.found;

    poll->desc.ready.todo = 0;
    poll->desc.ready.found = 0;
    if (events != 0)
        poll->cb((loop_poll_t *)poll, 0, events);
    else
        loop__poll_dispatch_else(poll);
}

/* 0, or why the operation cannot be submitted. The loop is not being closed, or there would be no open handle. */
static inline int loop__op_check(const struct op *op)
{
    if (op == NULL)
        return LOOP_EINVAL;
    return op->state == OP_IDLE ? 0 : LOOP_EBUSY;
}

/* Everything that was asked is in order: from here on the operation is changed. */
LOOP_INLINE void loop__op_begin(struct op *op, struct desc *desc, enum op_kind kind, enum op_kept kept, loop_op_cb cb)
{
    op->desc = desc;
    op->cb = cb;
    op->kind = (uint8_t)kind;
    op->state = OP_SUBMITTING;
    op->events = 0;
    op->started = 0;
    op->stream = 0;
    op->kept = (uint8_t)kept;
    op->ending = 0;
    op->expired = 0;
}

LOOP_INLINE void loop__op_set_bufs(struct op *op, const loop_buf_t *bufs, unsigned nbufs)
{
    op->bufs = (loop_buf_t *)(uintptr_t)bufs;
    op->first = 0;
    op->nbufs = nbufs;
    op->bytes = 0;
    op->result_flags = 0;
}

LOOP_INLINE void loop__op_fill(struct op *op, struct desc *desc, enum op_kind kind, const loop_buf_t *bufs,
                               unsigned nbufs, loop_op_cb cb)
{
    loop__op_begin(op, desc, kind, KEPT_NOT, cb);
    loop__op_set_bufs(op, bufs, nbufs);
}

/* From here until loop__op_let_go() the operation is the library's. */
LOOP_INLINE void loop__op_accept(loop_t *loop, struct op *op)
{
    op->desc->inflight++;
    loop->metrics.submitted++;
    LOOP_PROBE4(submit, loop, op->desc, op, op->kind);
}

LOOP_INLINE int loop__op_submit(struct op *op)
{
    struct desc *desc = op->desc;
    loop_t *loop = desc->handle.loop;

    loop__op_accept(loop, op);
    if (desc->flags & (DESC_EXPIRED | DESC_FAILED))
        return loop__op_hand_over(op);
    return loop->backend->submit(loop, op);
}

/* Puts a finished operation where it is delivered from. */
LOOP_INLINE void loop__op_queue(loop_t *loop, struct op *op)
{
    op->state = OP_FINISHED;
    if (op->cb != NULL) {
        list_push(&loop->ready, &op->ready.link);
    } else {
        list_push(&loop->done, &op->ready.link);
        loop->extras |= EXTRA_DONE;
    }
    LOOP_PROBE4(complete, loop, op, op->status, op->bytes);
}

LOOP_INLINE void loop__op_finish_clean(loop_t *loop, struct op *op, int status)
{
    op->status = status;
    loop__op_queue(loop, op);
    loop__made_ready(loop);
}

/* The operation leaves the library, whose last look at it this is. */
LOOP_INLINE void loop__op_let_go(loop_t *loop, struct op *op)
{
    struct desc *desc = op->desc;

    op->state = OP_IDLE;
    loop->metrics.delivered++;
    if (op->kind >= OP_CONNECT)
        loop__op_told(op);
    if (--desc->inflight == 0 && (desc->handle.flags & HANDLE_CLOSING))
        loop__handle_closed(&desc->handle);
}

LOOP_INLINE void loop__op_dispatch(loop_t *loop, struct op *op)
{
    if (op->result_flags & LOOP_OP_MORE) {
        op->cb((loop_op_t *)op);
        loop__op_go_on(op);
        return;
    }
    loop__op_let_go(loop, op);
    op->cb((loop_op_t *)op);
}

#endif
