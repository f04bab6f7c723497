#include "invariants.h"

#include "invariants_internal.h"

#include "backend_test.h"

#include <stdio.h>
#include <stdlib.h>

#define ARITY 4u /* of the timer heap */

/* What one walk counts. The sums weigh each descriptor's operations with a number of the descriptor: so that they are equal
 * only if the counts of every descriptor are. */
struct tally {
    loop_t *loop;
    bool settled; /* no turn is under way: nothing is in the hands of a function that called us */
    size_t active;
    size_t closing;
    size_t closed;  /* of these, those that wait for the closing phase only */
    size_t started; /* timer nodes */
    size_t phases[PHASE_COUNT];
    size_t ready_descs;
    size_t queued_asyncs; /* marked as queued */
    size_t posted_asyncs;
    size_t works;
    size_t posted_works;
    size_t inflight;
    uint64_t inflight_sum;
    size_t ops;
    uint64_t ops_sum;
};

void invariants_broken(const char *condition, const void *object, const char *file, int line)
{
    fprintf(stderr, "%s:%d: invariant broken: %s, of %p\n", file, line, condition, object);
    abort();
}

static uint64_t number_of(const struct desc *desc)
{
    uint64_t z = (uint64_t)(uintptr_t)desc * 0x9e3779b97f4a7c15u;

    return (z ^ (z >> 29)) | 1;
}

static void check_linked(const struct link *link)
{
    HOLDS(link->next != NULL && link->prev != NULL, link);
    HOLDS(link->next->prev == link, link);
    HOLDS(link->prev->next == link, link);
}

/* ----------------------------------------------------------------------------------------------------------- timers -- */

static void check_heap(const struct timer_heap *heap)
{
    uint32_t live = 0;

    HOLDS(heap->count <= heap->room, heap);
    HOLDS(heap->none.seq == 0, heap);
    for (uint32_t i = 0; i < heap->count; i++) {
        const struct timer_entry *entry = &heap->entries[i];
        const struct timer_entry *parent = &heap->entries[i > 0 ? (i - 1) / ARITY : 0];

        HOLDS(entry->node != NULL, entry);
        HOLDS(entry->seq != 0 && entry->seq <= heap->seq, entry);
        HOLDS(parent->due < entry->due || (parent->due == entry->due && parent->seq <= entry->seq), entry);
        if (entry->node == &heap->none)
            continue;
        live++;
        HOLDS(entry->node->position == i + 1, entry);
        HOLDS(entry->node->seq <= heap->seq, entry);
        HOLDS(entry->due < entry->node->due || (entry->due == entry->node->due && entry->seq <= entry->node->seq),
              entry);
    }
    HOLDS(live == heap->live, heap);
}

static void check_node(struct tally *tally, const struct timer_node *node, enum timer_kind kind)
{
    const struct timer_heap *heap = &tally->loop->timers;

    if (!loop__timer_started(node))
        return;
    HOLDS(node->kind == kind, node);
    HOLDS(node->position <= heap->count, node);
    HOLDS(heap->entries[node->position - 1].node == node, node);
    tally->started++;
}

/* ------------------------------------------------------------------------------------------------------- operations -- */

static void count_op(struct tally *tally, const struct op *op)
{
    tally->ops++;
    tally->ops_sum += number_of(op->desc);
    HOLDS(op->desc->handle.loop == tally->loop, op);
    HOLDS(op->kind > OP_NONE && op->kind <= OP_SHUTDOWN, op);
}

/* The bytes of the queue's writes. */
static size_t check_queue(struct tally *tally, const struct desc *desc, const struct link *queue, bool writing)
{
    size_t bytes = 0;

    check_linked(queue);
    for (const struct link *link = queue->next; link != queue; link = link->next) {
        struct op *op = CONTAINER_OF(link, struct op, ready.link);

        check_linked(link);
        HOLDS(op->desc == desc, op);
        HOLDS(op->state == OP_PARKED && op->kept, op);
        HOLDS(!op->ending || invariants_ends_later(op), op);
        HOLDS(op->ending || !(desc->handle.flags & HANDLE_CLOSING), op);
        HOLDS(loop__op_is_writing(op) == writing, op);
        HOLDS(op->first <= op->nbufs, op);
        check_node(tally, &op->deadline, TIMER_OP_DEADLINE);
        count_op(tally, op);
        if (op->kind == OP_WRITE)
            bytes += loop__op_left(op);
    }
    return bytes;
}

static void check_finished(struct tally *tally, struct op *op)
{
    bool more = (op->result_flags & LOOP_OP_MORE) != 0;

    HOLDS(op->state == OP_FINISHED, op);
    HOLDS(!more || (op->stream && op->status == 0), op);
    HOLDS(more || !loop__timer_started(&op->deadline), op);
    check_node(tally, &op->deadline, TIMER_OP_DEADLINE);
    count_op(tally, op);
}

static void check_ready(struct tally *tally)
{
    const struct link *list = &tally->loop->ready;
    size_t descs = 0;

    check_linked(list);
    for (const struct link *link = list->next; link != list; link = link->next) {
        struct ready *ready = CONTAINER_OF(link, struct ready, link);

        check_linked(link);
        if (ready->kind == READY_OP) {
            struct op *op = CONTAINER_OF(ready, struct op, ready);

            HOLDS(op->cb != NULL, op);
            check_finished(tally, op);
        } else {
            HOLDS(ready->todo != 0, ready);
            descs++;
        }
    }
    HOLDS(tally->settled ? descs == tally->ready_descs : descs <= tally->ready_descs, list);
}

static void check_results(struct tally *tally, const struct link *list, bool delivered)
{
    check_linked(list);
    for (const struct link *link = list->next; link != list; link = link->next) {
        struct op *op = CONTAINER_OF(link, struct op, ready.link);

        check_linked(link);
        HOLDS(op->cb == NULL, op);
        HOLDS(!delivered || (op->result_flags & LOOP_OP_MORE), op);
        check_finished(tally, op);
    }
}

/* ------------------------------------------------------------------------------------------------------ descriptors -- */

static void check_closing_desc(const struct desc *desc)
{
    HOLDS(desc->ready.todo == 0 && desc->flags == 0, desc);
    HOLDS(desc->os.fd == LOOP_INVALID_FD, desc);
    HOLDS(!loop__timer_started(&desc->read_deadline) && !loop__timer_started(&desc->write_deadline), desc);
}

static void check_stream(const struct tally *tally, const struct stream *stream, size_t queued)
{
    const struct desc *desc = &stream->desc;
    uint32_t flags = stream->flags;
    bool closing = (desc->handle.flags & HANDLE_CLOSING) != 0;
    bool paused = desc->read_deadline.kind == TIMER_ACCEPT_PAUSE && loop__timer_started(&desc->read_deadline);

    HOLDS(stream->queued == queued, stream);
    HOLDS(stream->low <= stream->high, stream);
    HOLDS(!(flags & STREAM_READING) || (flags & STREAM_CONNECTED), stream);
    HOLDS(!(flags & STREAM_LISTENING) || !(flags & (STREAM_CONNECTED | STREAM_CONNECTING)), stream);
    if (closing) {
        HOLDS(!(flags & (STREAM_READING | STREAM_CONNECTING)), stream);
        HOLDS(stream->os.accepted == LOOP_INVALID_FD, stream);
        return;
    }
    HOLDS(((flags & (STREAM_READING | STREAM_CONNECTING | STREAM_LISTENING)) != 0) ==
              ((desc->handle.flags & HANDLE_ACTIVE) != 0),
          stream);
    HOLDS(((flags & STREAM_LISTENING) != 0) == ((desc->flags & DESC_LISTENER) != 0), stream);
    HOLDS(((flags & STREAM_PAUSED) != 0) == paused, stream);
    if (!closing)
        HOLDS(((desc->flags & DESC_SEALED) == 0) == ((flags & (STREAM_CONNECTED | STREAM_SHUT)) == STREAM_CONNECTED),
              stream);
    HOLDS(stream->os.accepted == LOOP_INVALID_FD || (flags & STREAM_LISTENING), stream);
    HOLDS(stream->drain_cb == NULL || stream->queued <= stream->high || (flags & STREAM_ABOVE), stream);
    if (tally->settled) {
        HOLDS(!(flags & STREAM_ACCEPTING), stream);
        HOLDS(!(flags & STREAM_ABOVE) || stream->queued > stream->low || (desc->ready.todo & TODO_DRAIN), stream);
    }
}

static void check_poll(struct poll *poll)
{
    const struct handle *handle = &poll->desc.handle;

    HOLDS(poll->desc.inflight == invariants_holds(&poll->desc), poll);
    HOLDS(poll->desc.ready.kind == READY_DESC, poll);
    if (handle->flags & HANDLE_CLOSING)
        return;
    HOLDS((poll->asked != 0) == ((handle->flags & HANDLE_ACTIVE) != 0), poll);
    HOLDS(poll->desc.ready.found == 0 || (poll->desc.ready.todo & TODO_POLL), poll);
    HOLDS(!(poll->desc.ready.found & ~(unsigned)poll->asked), poll);
}

static void check_desc(struct tally *tally, struct desc *desc)
{
    bool closing = (desc->handle.flags & HANDLE_CLOSING) != 0;
    bool listens = desc->read_deadline.kind == TIMER_ACCEPT_PAUSE;
    size_t queued;
    uint32_t inflight;

    (void)check_queue(tally, desc, &desc->reads, false);
    queued = check_queue(tally, desc, &desc->writes, true);
    inflight = desc->inflight - invariants_holds(desc);
    tally->inflight += inflight;
    tally->inflight_sum += inflight * number_of(desc);
    if (desc->ready.todo != 0) {
        check_linked(&desc->ready.link);
        tally->ready_descs++;
    }
    HOLDS(!(desc->ready.todo & TODO_POLL) || desc->handle.type == LOOP_POLL, desc);
    HOLDS(!(desc->ready.todo & (TODO_READ | TODO_DRAIN)) || desc->handle.type == LOOP_TCP, desc);
    check_node(tally, &desc->read_deadline, listens ? TIMER_ACCEPT_PAUSE : TIMER_READ_DEADLINE);
    check_node(tally, &desc->write_deadline, TIMER_WRITE_DEADLINE);
    HOLDS(!loop__timer_started(&desc->read_deadline) || !(desc->flags & DESC_READ_EXPIRED), desc);
    HOLDS(!loop__timer_started(&desc->write_deadline) || !(desc->flags & DESC_WRITE_EXPIRED), desc);
    if (desc->handle.type == LOOP_TCP)
        check_stream(tally, (struct stream *)desc, queued);
    if (desc->handle.type == LOOP_POLL)
        check_poll((struct poll *)desc);
    if (closing) {
        check_closing_desc(desc);
        HOLDS((desc->inflight == 0) == ((desc->handle.flags & HANDLE_CLOSED) != 0), desc);
    } else {
        invariants_check_platform(desc, tally->settled);
    }
}

/* ---------------------------------------------------------------------------------------------------------- handles -- */

static void check_async(struct tally *tally, struct async *async)
{
    unsigned state = atomic_load(&async->state);
    bool closing = (async->handle.flags & HANDLE_CLOSING) != 0;

    HOLDS(async->node.kind == POST_ASYNC, async);
    HOLDS(((state & ASYNC_CLOSED) != 0) == closing, async);
    HOLDS(!(state & ASYNC_FOUND), async);
    tally->queued_asyncs += (state & ASYNC_QUEUED) != 0;
    /* Of a closed one the bit may be that of a send that was refused. */
    HOLDS(!closing || (state & ASYNC_QUEUED) || (async->handle.flags & HANDLE_CLOSED), async);
    if (async->handle.type == LOOP_ASYNC)
        HOLDS(closing || (async->handle.flags & HANDLE_ACTIVE), async);
    else
        HOLDS((((struct signal *)async)->signum != 0) == ((async->handle.flags & HANDLE_ACTIVE) != 0), async);
}

static void check_timer(struct tally *tally, struct timer *timer)
{
    check_node(tally, &timer->node, TIMER_HANDLE);
    HOLDS(loop__timer_started(&timer->node) == ((timer->handle.flags & HANDLE_ACTIVE) != 0), timer);
}

static void check_phase_handle(struct tally *tally, struct phase_handle *handle, enum phase phase)
{
    bool active = (handle->handle.flags & HANDLE_ACTIVE) != 0;

    check_linked(&handle->link);
    HOLDS(list_empty(&handle->link) != active, handle);
    tally->phases[phase] += active;
}

static void check_machport(struct tally *tally, const struct machport *machport)
{
    bool active = (machport->handle.flags & HANDLE_ACTIVE) != 0;

    HOLDS(machport->ready.kind == READY_MACHPORT, machport);
    HOLDS((machport->watched || machport->lost) == active && !(machport->watched && machport->lost), machport);
    HOLDS(active || machport->ready.todo == 0, machport);
    HOLDS(!machport->lost || machport->ready.todo != 0, machport);
    if (machport->ready.todo != 0) {
        check_linked(&machport->ready.link);
        tally->ready_descs++;
    }
}

static void check_handle(struct tally *tally, struct handle *handle)
{
    bool closing = (handle->flags & HANDLE_CLOSING) != 0;

    check_linked(&handle->all);
    HOLDS(handle->loop == tally->loop, handle);
    HOLDS(handle->open == (closing ? LOOP_UNKNOWN_HANDLE : handle->type) ||
              (handle->type == LOOP_DESC && handle->open == LOOP_UNKNOWN_HANDLE), /* lost */
          handle);
    HOLDS(!closing || !(handle->flags & HANDLE_ACTIVE), handle);
    HOLDS(closing || !(handle->flags & HANDLE_CLOSED), handle);
    tally->closing += closing;
    tally->closed += (handle->flags & HANDLE_CLOSED) != 0;
    if ((handle->flags & (HANDLE_ACTIVE | HANDLE_REF)) == (HANDLE_ACTIVE | HANDLE_REF))
        tally->active++;
    switch (handle->type) {
    case LOOP_TIMER:
        check_timer(tally, (struct timer *)handle);
        break;
    case LOOP_PREPARE:
        check_phase_handle(tally, (struct phase_handle *)handle, PHASE_PREPARE);
        break;
    case LOOP_CHECK:
        check_phase_handle(tally, (struct phase_handle *)handle, PHASE_CHECK);
        break;
    case LOOP_IDLE:
        check_phase_handle(tally, (struct phase_handle *)handle, PHASE_IDLE);
        break;
    case LOOP_ASYNC:
    case LOOP_SIGNAL:
        check_async(tally, (struct async *)handle);
        break;
    case LOOP_MACHPORT:
        check_machport(tally, (struct machport *)handle);
        break;
    default:
        HOLDS(loop__desc_of(handle) != NULL, handle);
        check_desc(tally, (struct desc *)handle);
        break;
    }
    /* What waits for nobody else is closed at once. */
    if (closing && loop__desc_of(handle) == NULL && handle->type != LOOP_ASYNC && handle->type != LOOP_SIGNAL)
        HOLDS(handle->flags & HANDLE_CLOSED, handle);
}

static void check_closing_list(const struct tally *tally)
{
    const struct handle *last = NULL;
    size_t count = 0;

    for (const struct handle *handle = tally->loop->closing_first; handle != NULL; handle = handle->closing_next) {
        HOLDS(handle->loop == tally->loop && (handle->flags & HANDLE_CLOSED), handle);
        HOLDS(handle->type != LOOP_UNKNOWN_HANDLE, handle);
        HOLDS(++count <= tally->closed, handle);
        last = handle;
    }
    HOLDS(last == tally->loop->closing_last, last);
    HOLDS((tally->loop->closing_first != NULL) == ((tally->loop->extras & EXTRA_CLOSING) != 0), tally->loop);
    HOLDS(!tally->settled || count == tally->closed, tally->loop);
}

static void check_phases(const struct tally *tally)
{
    for (int i = 0; i < PHASE_COUNT; i++) {
        const struct link *list = &tally->loop->phases[i];
        size_t count = 0;

        check_linked(list);
        for (const struct link *link = list->next; link != list; link = link->next) {
            check_linked(link);
            count++;
        }
        HOLDS(tally->settled ? count == tally->phases[i] : count <= tally->phases[i], list);
        HOLDS(count == 0 || (tally->loop->extras & (1u << i)), list);
    }
}

/* ------------------------------------------------------------------------------------------------------------ posted -- */

/* Other threads only ever push before what we look at. */
static void check_nodes(struct tally *tally, struct post_node *node)
{
    for (; node != NULL; node = node->next) {
        if (node->kind == POST_TASK) {
            HOLDS(atomic_load(&CONTAINER_OF(node, struct task, node)->queued) == 1, node);
        } else if (node->kind == POST_ASYNC) {
            struct async *async = CONTAINER_OF(node, struct async, node);

            HOLDS(async->handle.loop == tally->loop, async);
            HOLDS(atomic_load(&async->state) & ASYNC_QUEUED, async);
            tally->posted_asyncs++;
        } else {
            struct work *work = CONTAINER_OF(node, struct work, node);

            HOLDS(node->kind == POST_WORK, node);
            HOLDS(work->loop == tally->loop && work->in_flight, work);
            HOLDS(work->state == WORK_FINISHED, work);
            tally->posted_works++;
        }
    }
}

static void check_works(struct tally *tally)
{
    const struct link *list = &tally->loop->works;

    check_linked(list);
    for (const struct link *link = list->next; link != list; link = link->next) {
        const struct work *work = CONTAINER_OF(link, struct work, all);

        check_linked(link);
        HOLDS(work->loop == tally->loop && work->in_flight, work);
        tally->works++;
    }
    HOLDS(list_empty(list) || tally->loop->pool != NULL, list);
}

static void check_posted(struct tally *tally)
{
    loop_t *loop = tally->loop;

    HOLDS(!tally->settled || loop->closing || loop->tasks == NULL, loop);
    check_nodes(tally, loop->tasks);
    if (!loop->closing) /* then a mark stands for the queue */
        check_nodes(tally, atomic_load(&loop->posted));
}

void invariants_check(loop_t *loop)
{
    struct tally tally = {.loop = loop, .settled = !loop->running};
    const struct link *list = &loop->handles;

    check_linked(list);
    check_heap(&loop->timers);
    check_posted(&tally); /* before what it is compared with: threads go on posting */
    check_works(&tally);
    for (const struct link *link = list->next; link != list; link = link->next)
        check_handle(&tally, CONTAINER_OF(link, struct handle, all));
    check_ready(&tally);
    check_results(&tally, &loop->done, false);
    HOLDS(list_empty(&loop->done) == ((loop->extras & EXTRA_DONE) == 0), loop);
    check_results(&tally, &loop->delivered, true);
    check_phases(&tally);
    check_closing_list(&tally);
    if (loop->backend == &loop__backend) /* not that of a test */
        backend_check(loop);

    /* Threads may be about to post the others. */
    HOLDS(tally.posted_asyncs <= tally.queued_asyncs, loop);
    HOLDS(tally.posted_works <= tally.works, loop);
    HOLDS(tally.active == loop->active_handles, loop);
    HOLDS(tally.closing == loop->closing_handles, loop);
    HOLDS(tally.inflight == loop->metrics.submitted - loop->metrics.delivered, loop);
    HOLDS(tally.works == loop->active_works, loop);
    HOLDS(tally.settled ? tally.ops == tally.inflight : tally.ops <= tally.inflight, loop);
    HOLDS(!tally.settled || tally.ops_sum == tally.inflight_sum, loop);
    HOLDS(tally.settled ? tally.started == loop->timers.live : tally.started <= loop->timers.live, loop);
}

loop_os_fd_t invariants_number(const loop_tcp_t *tcp)
{
    return ((const struct desc *)(const void *)tcp)->os.fd;
}
