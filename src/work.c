/* Work of a loop: what it submits to its pool, and the way of the result back. */
#include "internal.h"

/* ------------------------------------------------------------------------------------------------------ the loop's pool -- */

int loop_set_pool(loop_t *loop, loop_pool_t *pool)
{
    int error;

    if (loop == NULL || pool == NULL)
        return LOOP_EINVAL;
    if (loop->closing)
        return LOOP_ECLOSED;
    if (loop->pool != NULL)
        return LOOP_EBUSY;
    error = loop__pool_use(pool);
    if (error != 0)
        return error;
    loop->pool = pool;
    loop->pool_process = loop__pool_process(pool);
    return 0;
}

loop_pool_t *loop_get_pool(const loop_t *loop)
{
    return loop != NULL ? loop->pool : NULL;
}

static int make_own_pool(loop_t *loop)
{
    int error = loop__pool_create_own(&loop->pool, &loop->allocator);

    if (error == 0)
        loop->pool_process = loop__pool_process(loop->pool);
    return error;
}

void loop__work_close(loop_t *loop)
{
    loop_pool_t *pool = loop->pool;

    if (pool == NULL)
        return;
    if (loop__pool_of_parent(pool))
        atomic_store(&loop->posters, 0); /* threads that this process does not have */
    loop->pool = NULL;
    loop__pool_leave(pool);
}

/* -------------------------------------------------------------------------------------------------------------- work -- */

int loop__work_check(const loop_t *loop, const loop_work_t *work)
{
    if (loop == NULL || work == NULL)
        return LOOP_EINVAL;
    if (loop->closing)
        return LOOP_ECLOSED;
    return ((const struct work *)work)->in_flight ? LOOP_EBUSY : 0;
}

int loop__work_submit(loop_t *loop, loop_work_t *public_work, loop_lane lane, loop_work_cb work_cb,
                      loop_after_work_cb after_cb)
{
    struct work *work = (struct work *)public_work;
    int error = loop->pool == NULL ? make_own_pool(loop) : 0;

    if (error != 0)
        return error;
    work->node.kind = POST_WORK;
    work->loop = loop;
    work->work_cb = work_cb;
    work->after_cb = after_cb;
    error = loop__pool_submit(loop->pool, lane, work);
    if (error != 0)
        return error;
    work->in_flight = true;
    list_push(&loop->works, &work->all);
    loop->active_works++;
    return 0;
}

int loop_work(loop_t *loop, loop_work_t *work, loop_lane lane, loop_work_cb work_cb, loop_after_work_cb after_cb)
{
    int error = loop__work_check(loop, work);

    if (error != 0)
        return error;
    if (work_cb == NULL || (unsigned)lane >= LOOP_LANE_COUNT)
        return LOOP_EINVAL;
    return loop__work_submit(loop, work, lane, work_cb, after_cb);
}

int loop_work_cancel(loop_work_t *work)
{
    if (work == NULL)
        return LOOP_EINVAL;
    return ((struct work *)work)->in_flight ? loop__pool_cancel((struct work *)work) : LOOP_ENOENT;
}

void loop__work_deliver(struct work *work)
{
    work->in_flight = false;
    list_remove(&work->all);
    work->loop->active_works--;
    if (work->after_cb != NULL)
        work->after_cb((loop_work_t *)work, work->status);
}

/* -------------------------------------------------------------------------------------------------------------- fork -- */

enum {
    WORK_POSTED = WORK_FINISHED + 1 /* seen in the loop's queue */
};

static void mark_posted(struct post_node *node)
{
    for (; node != NULL; node = node->next) {
        if (node->kind == POST_WORK)
            CONTAINER_OF(node, struct work, node)->state = WORK_POSTED;
    }
}

/*
 * loop->works is the loop's own list and whole; the lanes' queues may have been copied while a thread changed them. What
 * counts of each work is its state, one byte, and whether it stands in the posted stack, which is whole at all times.
 */
int loop__work_forked(loop_t *loop)
{
    int error = loop->pool != NULL ? loop__pool_adopt(loop->pool) : 0;

    if (error != 0)
        return error;
    if (loop->pool == NULL || loop->pool_process == loop__pool_process(loop->pool))
        return 0;
    loop->pool_process = loop__pool_process(loop->pool);
    mark_posted(loop->tasks);
    mark_posted(atomic_load(&loop->posted));
    for (struct link *link = loop->works.next; link != &loop->works; link = link->next) {
        struct work *work = CONTAINER_OF(link, struct work, all);

        if (work->state == WORK_POSTED) {
            work->state = WORK_FINISHED;
            continue;
        }
        if (work->state == WORK_QUEUED && loop__pool_resubmit(work) == 0)
            continue;
        /* Begun and never to be ended; or no thread can be had. */
        if (work->state != WORK_FINISHED)
            work->status = LOOP_ECANCELED;
        work->state = WORK_FINISHED;
        (void)loop__post(loop, &work->node);
    }
    return 0;
}
