/*
 * A pool: lanes of threads, each with a queue. Loops submit to it from their threads; what a thread of the pool has done goes
 * back to its loop by loop__post(). No lock is held while a work callback runs, and none while posting.
 */
#include "internal.h"
#include "platform.h"

#define MOST_THREADS 1024u
#define DEFAULT_THREADS 4u

struct lane {
    struct loop__mutex lock; /* all below but what never changes */
    struct loop__cond filled;
    struct link queue; /* struct work, by `queued` */
    unsigned queued;   /* its length */
    unsigned running;
    unsigned started; /* threads */
    unsigned longest;
    uint64_t done;
    uint64_t cancelled;
    uint64_t refused;
    bool ending;
    /* These never change: */
    const char *name;
    unsigned most_threads;
    unsigned queue_limit;
    struct loop__thread *threads; /* room for most_threads */
};

struct loop_pool {
    loop_allocator_t allocator;
    uint64_t process;  /* whose the threads are */
    atomic_uint loops; /* that use it */
    bool own;          /* of one loop */
    struct lane lanes[LOOP_LANE_COUNT];
    struct loop__thread threads[];
};

/* ------------------------------------------------------------------------------------------------------------ threads -- */

static void finish(struct work *work, int status)
{
    work->status = status;
    work->state = WORK_FINISHED;
}

/* The life of a thread. */
static void serve(void *argument)
{
    struct lane *lane = argument;

    loop__mutex_lock(&lane->lock);
    for (;;) {
        struct work *work;

        while (list_empty(&lane->queue) && !lane->ending)
            loop__cond_wait(&lane->filled, &lane->lock);
        if (list_empty(&lane->queue))
            break;
        work = CONTAINER_OF(list_pop(&lane->queue), struct work, queued);
        work->state = WORK_RUNNING;
        lane->queued--;
        lane->running++;
        loop__mutex_unlock(&lane->lock);

        work->work_cb((loop_work_t *)work);

        /* The thread counts as free before the loop can know of the result: what its callback submits finds room. */
        loop__mutex_lock(&lane->lock);
        lane->running--;
        lane->done++;
        finish(work, 0);
        loop__mutex_unlock(&lane->lock);
        (void)loop__post(work->loop, &work->node); /* a loop with work in flight is not closed */
        loop__mutex_lock(&lane->lock);
    }
    loop__mutex_unlock(&lane->lock);
}

/* One more thread if none is free for one more work. Holding the lock, so that the number is right for everybody. */
static void make_thread(struct lane *lane)
{
    if (lane->queued + lane->running < lane->started || lane->started == lane->most_threads)
        return;
    if (loop__thread_start(&lane->threads[lane->started], lane->name, serve, lane) == 0)
        lane->started++;
}

static int submit(struct lane *lane, struct work *work)
{
    bool accepted;

    loop__mutex_lock(&lane->lock);
    make_thread(lane);
    accepted =
        lane->started > 0 && (uint64_t)lane->queued + lane->running < (uint64_t)lane->started + lane->queue_limit;
    if (accepted) {
        work->state = WORK_QUEUED;
        list_push(&lane->queue, &work->queued);
        if (++lane->queued > lane->longest)
            lane->longest = lane->queued;
    } else {
        lane->refused++;
    }
    loop__mutex_unlock(&lane->lock);
    if (!accepted)
        return LOOP_EAGAIN;
    loop__cond_signal(&lane->filled);
    return 0;
}

int loop__pool_submit(loop_pool_t *pool, loop_lane lane, struct work *work)
{
    work->lane = &pool->lanes[lane];
    return submit(work->lane, work);
}

int loop__pool_resubmit(struct work *work)
{
    return submit(work->lane, work);
}

int loop__pool_cancel(struct work *work)
{
    struct lane *lane = work->lane;
    bool was_queued;
    int status;

    loop__mutex_lock(&lane->lock);
    was_queued = work->state == WORK_QUEUED;
    if (was_queued) {
        list_remove(&work->queued);
        lane->queued--;
        lane->cancelled++;
        finish(work, LOOP_ECANCELED);
    }
    status = work->state == WORK_FINISHED ? work->status : 0;
    loop__mutex_unlock(&lane->lock);
    if (was_queued)
        (void)loop__post(work->loop, &work->node);
    return status == LOOP_ECANCELED ? 0 : LOOP_EBUSY;
}

enum work_state loop__pool_look(const struct work *work, bool locks, const char **lane_name)
{
    struct lane *lane = work->lane;
    enum work_state state;

    if (locks)
        loop__mutex_lock(&lane->lock);
    state = (enum work_state)work->state;
    if (locks)
        loop__mutex_unlock(&lane->lock);
    *lane_name = lane->name;
    return state;
}

/* -------------------------------------------------------------------------------------------------------------- life -- */

static int lane_init(struct lane *lane)
{
    int error = loop__mutex_init(&lane->lock);

    if (error != 0)
        return error;
    error = loop__cond_init(&lane->filled);
    if (error != 0)
        loop__mutex_destroy(&lane->lock);
    return error;
}

static void lane_destroy(struct lane *lane)
{
    loop__cond_destroy(&lane->filled);
    loop__mutex_destroy(&lane->lock);
}

static unsigned most_threads(const loop_pool_options_t *options, int lane)
{
    return options->lanes[lane].threads != 0 ? options->lanes[lane].threads : DEFAULT_THREADS;
}

/* Makes the lanes, whose threads stand side by side. */
static int configure(struct loop_pool *pool, const loop_pool_options_t *options)
{
    static const char *const names[LOOP_LANE_COUNT] = {"loop-default", "loop-slow", "loop-names"};
    struct loop__thread *threads = pool->threads;
    int error = 0;

    for (int i = 0; i < LOOP_LANE_COUNT && error == 0; i++) {
        struct lane *lane = &pool->lanes[i];

        *lane = (struct lane){.name = names[i], .threads = threads};
        list_init(&lane->queue);
        lane->most_threads = most_threads(options, i);
        lane->queue_limit = options->lanes[i].queue != 0 ? options->lanes[i].queue : UINT32_MAX;
        threads += lane->most_threads;
        error = lane_init(lane);
        for (int j = 0; j < i && error != 0; j++)
            lane_destroy(&pool->lanes[j]);
    }
    return error;
}

int loop_pool_create(loop_pool_t **result, const loop_pool_options_t *options)
{
    static const loop_pool_options_t standard = LOOP_POOL_OPTIONS_INIT;
    loop_allocator_t allocator;
    loop_pool_t *pool;
    size_t threads = 0;
    int error;

    if (result == NULL)
        return LOOP_EINVAL;
    *result = NULL;
    if (options == NULL)
        options = &standard;
    if (options->size != sizeof(*options) || loop__allocator_choose(options->allocator, &allocator) != 0)
        return LOOP_EINVAL;
    for (int i = 0; i < LOOP_LANE_COUNT; i++) {
        if (most_threads(options, i) > MOST_THREADS)
            return LOOP_EINVAL;
        threads += most_threads(options, i);
    }
    pool = allocator.resize(allocator.context, NULL, sizeof(*pool) + threads * sizeof(pool->threads[0]));
    if (pool == NULL)
        return LOOP_ENOMEM;
    pool->allocator = allocator;
    pool->process = loop__process_id();
    pool->own = false;
    atomic_init(&pool->loops, 0);
    error = configure(pool, options);
    if (error != 0) {
        (void)allocator.resize(allocator.context, pool, 0);
        return error;
    }
    *result = pool;
    return 0;
}

static void end_threads(struct lane *lane)
{
    loop__mutex_lock(&lane->lock);
    lane->ending = true;
    loop__mutex_unlock(&lane->lock);
    loop__cond_broadcast(&lane->filled);
    for (unsigned i = 0; i < lane->started; i++)
        loop__thread_join(&lane->threads[i]);
    lane_destroy(lane);
}

uint64_t loop__pool_process(const loop_pool_t *pool)
{
    return pool->process;
}

bool loop__pool_of_parent(const loop_pool_t *pool)
{
    return pool->process != loop__process_id();
}

int loop_pool_destroy(loop_pool_t *pool)
{
    loop_allocator_t allocator;

    if (pool == NULL)
        return LOOP_EINVAL;
    /* Without a loop there is no work: one that has some cannot be closed. */
    if (atomic_load(&pool->loops) != 0)
        return LOOP_EBUSY;
    /* In the child of a fork nobody answers, and a lock may have been copied while one of them held it. */
    if (!loop__pool_of_parent(pool)) {
        for (int i = 0; i < LOOP_LANE_COUNT; i++)
            end_threads(&pool->lanes[i]);
    }
    allocator = pool->allocator;
    (void)allocator.resize(allocator.context, pool, 0);
    return 0;
}

/* Locks are made anew: who held them at the time of the fork, if anybody did, is not here. */
int loop__pool_adopt(loop_pool_t *pool)
{
    if (!loop__pool_of_parent(pool))
        return 0;
    for (int i = 0; i < LOOP_LANE_COUNT; i++) {
        struct lane *lane = &pool->lanes[i];
        int error = lane_init(lane);

        if (error != 0)
            return error;
        list_init(&lane->queue);
        lane->queued = 0;
        lane->running = 0;
        lane->started = 0;
    }
    pool->process = loop__process_id();
    return 0;
}

/* ------------------------------------------------------------------------------------------------------------- loops -- */

int loop__pool_create_own(loop_pool_t **pool, const loop_allocator_t *allocator)
{
    loop_pool_options_t options = LOOP_POOL_OPTIONS_INIT;
    int error;

    options.allocator = allocator;
    error = loop_pool_create(pool, &options);
    if (error != 0)
        return error;
    (*pool)->own = true;
    atomic_store(&(*pool)->loops, 1);
    return 0;
}

int loop__pool_use(loop_pool_t *pool)
{
    int error = pool->own ? LOOP_EINVAL : loop__pool_adopt(pool); /* it may be older than the process */

    if (error == 0)
        atomic_fetch_add(&pool->loops, 1);
    return error;
}

void loop__pool_leave(loop_pool_t *pool)
{
    bool own = pool->own; /* another thread may destroy one that is shared, from the next line on */

    atomic_fetch_sub(&pool->loops, 1);
    if (own)
        (void)loop_pool_destroy(pool);
}

/* ----------------------------------------------------------------------------------------------------------- metrics -- */

int loop_pool_metrics(loop_pool_t *pool, loop_lane which, loop_pool_metrics_t *metrics)
{
    struct lane *lane;

    if (pool == NULL || metrics == NULL || (unsigned)which >= LOOP_LANE_COUNT || metrics->size != sizeof(*metrics))
        return LOOP_EINVAL;
    lane = &pool->lanes[which];
    loop__mutex_lock(&lane->lock);
    metrics->most_threads = lane->most_threads;
    metrics->queue_limit = lane->queue_limit;
    metrics->threads = lane->started;
    metrics->running = lane->running;
    metrics->idle = lane->started - lane->running;
    metrics->queued = lane->queued;
    metrics->longest_queue = lane->longest;
    metrics->done = lane->done;
    metrics->cancelled = lane->cancelled;
    metrics->refused = lane->refused;
    loop__mutex_unlock(&lane->lock);
    return 0;
}
