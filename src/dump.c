/* A loop in lines of text, for people with a debugger and for logs. docs/observing.md has the format, which is a promise. */
#include "internal.h"
#include "platform.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#define LINE_SIZE 512

struct line {
    loop_dump_cb print;
    void *arg;
    uint64_t now;
    size_t used;
    char text[LINE_SIZE];
};

/* Adds to the line; what does not fit is cut off. */
static void put(struct line *line, const char *format, ...)
{
    size_t room = sizeof(line->text) - line->used;
    va_list arguments;
    int n;

    va_start(arguments, format);
    /* NOLINTNEXTLINE(clang-analyzer-valist.Uninitialized): the checker errs when it is given several files */
    n = vsnprintf(line->text + line->used, room, format, arguments);
    va_end(arguments);
    if (n > 0)
        line->used += (size_t)n < room ? (size_t)n : room - 1;
}

/* Begins a line: what it is about, its type, its address. */
static void begin(struct line *line, const char *what, const char *type, const void *address)
{
    line->used = 0;
    put(line, "%s %s 0x%" PRIxPTR, what, type, (uintptr_t)address);
}

static void end(struct line *line)
{
    line->print(line->text, line->arg);
}

static void put_address(struct line *line, const char *key, const void *address)
{
    put(line, " %s=0x%" PRIxPTR, key, (uintptr_t)address);
}

/* ns until due, negative when that is past. */
static void put_due(struct line *line, uint64_t due)
{
    if (due >= line->now)
        put(line, " due_in=%" PRIu64, due - line->now);
    else
        put(line, " due_in=-%" PRIu64, line->now - due);
}

static void put_fd(struct line *line, loop_os_fd_t fd)
{
    if (fd == LOOP_INVALID_FD)
        put(line, " fd=-1");
    else
        put(line, " fd=%ju", (uintmax_t)fd);
}

/* ------------------------------------------------------------------------------------------------------- operations -- */

const char *loop__op_kind_name(enum op_kind kind)
{
    switch (kind) {
    case OP_ACCEPT:
        return "accept";
    case OP_CONNECT:
        return "connect";
    case OP_READ:
        return "read";
    case OP_WRITE:
        return "write";
    case OP_RECEIVE:
        return "receive";
    case OP_SEND:
        return "send";
    case OP_EXIT:
        return "exit";
    case OP_CHANGE:
        return "change";
    case OP_READY:
        return "ready";
    case OP_SHUTDOWN:
        return "shutdown";
    case OP_NONE:
        break;
    }
    return "unknown";
}

static void dump_op(struct line *line, const struct op *op)
{
    begin(line, "op", loop__op_kind_name((enum op_kind)op->kind), op);
    put_address(line, "handle", op->desc);
    if (op->state == OP_FINISHED)
        put(line, " state=finished status=%s bytes=%zu", op->status == 0 ? "0" : loop_err_name(op->status), op->bytes);
    else
        put(line, " state=parked bytes=%zu left=%zu", op->bytes, loop__op_left(op));
    end(line);
}

static void dump_queue(struct line *line, const struct link *queue)
{
    for (const struct link *link = queue->next; link != queue; link = link->next)
        dump_op(line, CONTAINER_OF(link, struct op, ready.link));
}

/* ---------------------------------------------------------------------------------------------------------- handles -- */

static void put_timer(struct line *line, const struct timer *timer)
{
    put(line, " repeat=%" PRIu64, timer->repeat);
    if (loop__timer_started(&timer->node))
        put_due(line, timer->node.due);
}

static void put_desc(struct line *line, const struct desc *desc)
{
    put_fd(line, desc->os.fd);
    put(line, " ops=%" PRIu32, desc->inflight);
}

static void put_stream(struct line *line, const struct stream *stream)
{
    static const struct {
        uint32_t flag;
        const char *name;
    } states[] = {
        {STREAM_LISTENING, "listening"}, {STREAM_CONNECTING, "connecting"}, {STREAM_CONNECTED, "connected"},
        {STREAM_FAILED, "failed"},       {STREAM_READING, "reading"},       {STREAM_EOF, "eof"},
        {STREAM_SHUT, "shut"},           {STREAM_PAUSED, "paused"},
    };
    const char *separator = " stream=";

    put(line, " queued=%zu low=%zu high=%zu", stream->queued, stream->low, stream->high);
    for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++) {
        if (stream->flags & states[i].flag) {
            put(line, "%s%s", separator, states[i].name);
            separator = ",";
        }
    }
}

static void dump_handle(loop_handle_t *public_handle, void *arg)
{
    struct line *line = arg;
    struct handle *handle = (struct handle *)public_handle;
    struct desc *desc = loop__desc_of(handle);

    begin(line, "handle", loop_handle_type_name((loop_handle_type)handle->type), handle);
    put(line, " active=%d ref=%d closing=%d", loop_handle_is_active(public_handle), loop_handle_has_ref(public_handle),
        loop_handle_is_closing(public_handle));
    if (handle->type == LOOP_TIMER)
        put_timer(line, (struct timer *)handle);
    if (handle->type == LOOP_ASYNC || handle->type == LOOP_SIGNAL)
        put(line, " sent=%d", (atomic_load(&((struct async *)handle)->state) & ASYNC_QUEUED) != 0);
    if (handle->type == LOOP_SIGNAL)
        put(line, " signum=%d", ((struct signal *)handle)->signum);
    if (desc != NULL)
        put_desc(line, desc);
    if (handle->type == LOOP_TCP)
        put_stream(line, (struct stream *)handle);
    if (handle->type == LOOP_POLL)
        put(line, " events=%u", (unsigned)((struct poll *)handle)->asked);
    if (handle->type == LOOP_MACHPORT)
        put(line, " port=%" PRIu32, ((struct machport *)handle)->port);
    end(line);
    if (desc != NULL) {
        dump_queue(line, &desc->reads);
        dump_queue(line, &desc->writes);
    }
}

/* --------------------------------------------------------------------------------------------------------- the rest -- */

static void dump_timer(struct line *line, const struct timer_node *node)
{
    switch ((enum timer_kind)node->kind) {
    case TIMER_HANDLE:
        begin(line, "timer", "handle", CONTAINER_OF(node, struct timer, node));
        break;
    case TIMER_READ_DEADLINE:
        begin(line, "timer", "read_deadline", CONTAINER_OF(node, struct desc, read_deadline));
        break;
    case TIMER_WRITE_DEADLINE:
        begin(line, "timer", "write_deadline", CONTAINER_OF(node, struct desc, write_deadline));
        break;
    case TIMER_OP_DEADLINE:
        begin(line, "timer", "op_deadline", CONTAINER_OF(node, struct op, deadline));
        break;
    case TIMER_ACCEPT_PAUSE:
        begin(line, "timer", "accept_pause", CONTAINER_OF(node, struct desc, read_deadline));
        break;
    }
    put_due(line, node->due);
    end(line);
}

static const char *work_state_name(enum work_state state)
{
    switch (state) {
    case WORK_QUEUED:
        return "queued";
    case WORK_RUNNING:
        return "running";
    default:
        return "finished"; /* and posted, or just about to be */
    }
}

static void dump_work(struct line *line, const struct work *work)
{
    /* In the child of a fork a lock may be held for ever by a thread that is not there. */
    bool locks = !loop__pool_of_parent(work->loop->pool);
    const char *lane;
    enum work_state state = loop__pool_look(work, locks, &lane);

    begin(line, "work", lane, work);
    put(line, " state=%s", work_state_name(state));
    end(line);
}

static size_t count_list(const struct link *list)
{
    size_t n = 0;

    for (const struct link *link = list->next; link != list; link = link->next)
        n++;
    return n;
}

static size_t count_closing(const struct handle *handle)
{
    size_t n = 0;

    for (; handle != NULL; handle = handle->closing_next)
        n++;
    return n;
}

static void dump_loop(struct line *line, loop_t *loop)
{
    begin(line, "loop", loop->backend->name, loop);
    put_fd(line, loop->backend->fd(loop));
    put(line, " running=%d alive=%d active=%zu ops=%zu ready=%zu", loop->running, loop_alive(loop),
        loop->active_handles, (size_t)(loop->metrics.submitted - loop->metrics.delivered) + loop->active_works,
        count_list(&loop->ready));
    put(line, " closing=%zu posted=%zu timers=%" PRIu32, count_closing(loop->closing_first), loop__tasks_count(loop),
        loop->timers.live);
    end(line);
}

int loop_dump(loop_t *loop, loop_dump_cb print, void *arg)
{
    struct line line = {.print = print, .arg = arg};

    if (loop == NULL || print == NULL)
        return LOOP_EINVAL;
    line.now = loop__clock(loop->now);
    dump_loop(&line, loop);
    (void)loop_walk(loop, dump_handle, &line);
    for (struct link *link = loop->ready.next; link != &loop->ready; link = link->next) {
        struct ready *ready = CONTAINER_OF(link, struct ready, link);

        if (ready->kind == READY_OP)
            dump_op(&line, CONTAINER_OF(ready, struct op, ready));
    }
    dump_queue(&line, &loop->done);
    for (uint32_t i = 0; i < loop->timers.count; i++) {
        if (loop->timers.entries[i].node != &loop->timers.none)
            dump_timer(&line, loop->timers.entries[i].node);
    }
    for (struct link *link = loop->works.next; link != &loop->works; link = link->next)
        dump_work(&line, CONTAINER_OF(link, struct work, all));
    return 0;
}
