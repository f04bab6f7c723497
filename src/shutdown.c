/* The orderly end of a loop that others have filled. */
#include "internal.h"
#include "platform.h"

static void close_open(loop_handle_t *handle, void *arg)
{
    (void)arg;
    (void)loop_handle_close(handle, NULL);
}

/* Closes what is open and cancels what is queued. */
static void end_all(loop_t *loop)
{
    (void)loop_walk(loop, close_open, NULL);
    for (struct link *link = loop->works.next; link != &loop->works; link = link->next)
        (void)loop_work_cancel((loop_work_t *)CONTAINER_OF(link, struct work, all));
}

static bool gone(loop_t *loop)
{
    return list_empty(&loop->handles) && !loop__has_ops(loop) && loop->active_works == 0 && !loop__tasks_waiting(loop);
}

/* --------------------------------------------------------------------------------------------------------- stragglers -- */

struct report {
    loop_straggler_cb cb;
    void *arg;
};

static void name_op(const struct report *report, const struct op *op, const char *why)
{
    report->cb((loop_handle_t *)op->desc, (loop_op_t *)(uintptr_t)op, loop__op_kind_name((enum op_kind)op->kind), why,
               report->arg);
}

static void name_queue(const struct report *report, const struct link *queue, const char *why)
{
    for (struct link *link = queue->next; link != queue; link = link->next)
        name_op(report, CONTAINER_OF(link, struct op, ready.link), why);
}

static const char *why_open(const struct handle *handle, const struct desc *desc)
{
    if (desc != NULL && desc->inflight > 0)
        return "closing, waits for its operations";
    if (handle->type == LOOP_ASYNC && !(handle->flags & HANDLE_CLOSED) &&
        (atomic_load(&((const struct async *)handle)->state) & ASYNC_QUEUED))
        return "closing, a thread is inside loop_async_send()";
    return "closing, its close callback has not been called";
}

static void name_handle(loop_handle_t *public_handle, void *arg)
{
    const struct report *report = arg;
    struct handle *handle = (struct handle *)public_handle;
    struct desc *desc = loop__desc_of(handle);

    report->cb(public_handle, NULL, loop_handle_type_name((loop_handle_type)handle->type), why_open(handle, desc),
               report->arg);
    if (desc != NULL) {
        name_queue(report, &desc->reads, "the system has not given it back");
        name_queue(report, &desc->writes, "the system has not given it back");
    }
}

static void name_stragglers(loop_t *loop, loop_straggler_cb cb, void *arg)
{
    struct report report = {cb, arg};

    (void)loop_walk(loop, name_handle, &report);
    for (struct link *link = loop->ready.next; link != &loop->ready; link = link->next) {
        struct ready *ready = CONTAINER_OF(link, struct ready, link);

        if (ready->kind == READY_OP)
            name_op(&report, CONTAINER_OF(ready, struct op, ready), "finished, its callback has not been called");
    }
    name_queue(&report, &loop->done, "finished, loop_wait() has not handed it out");
    for (struct link *link = loop->works.next; link != &loop->works; link = link->next)
        cb(NULL, NULL, "work", "a thread of the pool has it", arg);
    if (loop__tasks_waiting(loop))
        cb(NULL, NULL, "task", "posted, and not run yet", arg);
}

/* ----------------------------------------------------------------------------------------------------------- shutdown -- */

/* One turn, whose wait ends at the limit. */
static int turn_until(loop_t *loop, uint64_t limit)
{
    int rc;

    if (!loop_alive(loop)) {
        /* What is left waits for another thread to get out of a call. */
        loop__yield();
        return 0;
    }
    rc = loop__run_once(loop, limit);
    return rc < 0 ? rc : 0;
}

int loop_shutdown(loop_t *loop, uint64_t timeout, loop_straggler_cb cb, void *arg)
{
    uint64_t now;
    uint64_t limit;
    int error = 0;

    if (loop == NULL)
        return LOOP_EINVAL;
    if (loop->running || loop->closing || loop->walkers != NULL)
        return LOOP_EBUSY;
    /* Whoever ends the loop is its last thread, also after another one ran it. */
    loop->thread = 0;
    now = loop__clock(loop->now);
    limit = loop__add_saturated(now, timeout);

    end_all(loop);
    while (error == 0 && !gone(loop)) {
        error = turn_until(loop, limit);
        end_all(loop); /* callbacks may have opened more */
        if (error == 0 && loop__clock(now) >= limit)
            error = LOOP_ETIMEDOUT;
    }
    if (gone(loop))
        return 0;
    if (cb != NULL)
        name_stragglers(loop, cb, arg);
    return error;
}
