/* What all handles have in common; walking over them; phases, asyncs, tasks. */
#include "model.h"

/* ------------------------------------------------------------------------------------------------------------- memory -- */

void *memory_new(size_t size)
{
    void *memory = malloc(size > 0 ? size : 1);

    CHECK(memory != NULL, "no memory for the test");
    memset(memory, 0xa5, size);
    return memory;
}

void memory_free(void *memory, size_t size)
{
    if (memory == NULL)
        return;
    memset(memory, 0xdb, size);
    free(memory);
}

bool is_injected(int error)
{
    return error == LOOP_ENOMEM && world->plan->faults == FAULTS_MIXED;
}

/* ------------------------------------------------------------------------------------------------------------ life -- */

loop_handle_t *handle_new(struct mhandle *h, size_t size)
{
    CHECK(h->life == LIFE_NONE, "the test opens %s %d twice", h->name, h->number);
    h->handle = memory_new(size);
    h->size = size;
    return h->handle;
}

bool handle_opened(struct mhandle *h, int rc)
{
    if (rc != 0) {
        memory_free(h->handle, h->size);
        h->handle = NULL;
        return false;
    }
    h->handle->data = h;
    h->life = LIFE_OPEN;
    h->active = false;
    h->ref = true;
    h->in_flight = 0;
    h->queued = false;
    h->birth = ++world->seq;
    return true;
}

void handle_release(struct mhandle *h)
{
    loop_handle_t *handle = h->handle;

    h->handle = NULL;
    h->life = LIFE_NONE;
    h->active = false;
    memory_free(handle, h->size);
    if (h->gone != NULL)
        h->gone(h);
}

static void on_closed(loop_handle_t *handle)
{
    struct mhandle *h = handle->data;

    callback_enter(RANK_CLOSE, h, h->name);
    CHECK(h->handle == handle && h->life == LIFE_CLOSING, "a second close callback of %s %d", h->name, h->number);
    CHECK(h->with_cb, "a close callback that nobody gave");
    CHECK(h->in_flight == 0, "%s %d closed with %u operations in flight", h->name, h->number, h->in_flight);
    CHECK(loop_handle_get_type(handle) == LOOP_UNKNOWN_HANDLE, "a type after closing");
    CHECK(loop_handle_get_loop(handle) == NULL, "a loop after closing");
    say("%s %d is closed", h->name, h->number);
    handle_release(h);
    callback_act(NULL);
    callback_leave();
}

loop_close_cb handle_close_cb(struct mhandle *h)
{
    h->with_cb = chance(70);
    say("close %s %d%s", h->name, h->number, h->with_cb ? "" : " without a callback");
    return h->with_cb ? on_closed : NULL;
}

void handle_closing(struct mhandle *h, int rc)
{
    CHECK_RC(rc, 0);
    h->life = LIFE_CLOSING;
    h->active = false;
    h->settled = false;
    h->queued = false;
}

void handle_close(struct mhandle *h)
{
    int rc;

    if (h->life == LIFE_CLOSING) {
        CALL(rc, loop_handle_close(h->handle, on_closed));
        CHECK_RC(rc, LOOP_EBADF);
        return;
    }
    CALL(rc, loop_handle_close(h->handle, handle_close_cb(h)));
    handle_closing(h, rc);
}

void handle_close_open(struct mhandle *h)
{
    if (h->life == LIFE_OPEN)
        handle_close(h);
}

/* ----------------------------------------------------------------------------------------------------------- queries -- */

void handle_check(const struct mhandle *h)
{
    bool active = h->active;

    if (h->life == LIFE_NONE)
        return;
    CHECK(loop_handle_is_closing(h->handle) == (h->life == LIFE_CLOSING), "%s %d: is_closing", h->name, h->number);
    CHECK(loop_handle_get_loop(h->handle) == world->loop || (h->life == LIFE_CLOSING && !h->with_cb), "%s %d: get_loop",
          h->name, h->number);
    if (h->life == LIFE_CLOSING)
        active = false;
    else if (loop_handle_get_type(h->handle) == LOOP_DESC)
        active = h->in_flight > 0;
    CHECK(loop_handle_is_active(h->handle) == active, "%s %d: is_active", h->name, h->number);
    if (h->life == LIFE_OPEN)
        CHECK(loop_handle_has_ref(h->handle) == h->ref, "%s %d: has_ref", h->name, h->number);
}

/* What can be done with any handle. */
void handle_act(struct mhandle *h)
{
    int rc;

    if (h->life != LIFE_OPEN)
        return;
    switch (below(4)) {
    case 0:
        say("unref %s %d", h->name, h->number);
        CALL(rc, loop_handle_unref(h->handle));
        CHECK_RC(rc, 0);
        h->ref = false;
        break;
    case 1:
    case 2:
        say("ref %s %d", h->name, h->number);
        CALL(rc, loop_handle_ref(h->handle));
        CHECK_RC(rc, 0);
        h->ref = true;
        break;
    default:
        break;
    }
    handle_check(h);
}

/* -------------------------------------------------------------------------------------------------------------- walk -- */

static uint64_t last_birth;
static uint64_t walk_began;
static bool walk_quietly;

static void on_walk(loop_handle_t *handle, void *arg)
{
    struct mhandle *h = handle->data;

    callback_enter(world->running ? world->rank : RANK_OUTSIDE, h, "walk");
    CHECK(arg == world, "the argument of a walk");
    CHECK(h->handle == handle && h->life != LIFE_NONE, "a walk visits a handle that is gone");
    CHECK(!h->done, "a walk visits %s %d twice", h->name, h->number);
    CHECK(h->birth > walk_began || h->birth > last_birth, "a walk visits %s %d too late", h->name, h->number);
    last_birth = h->birth;
    h->done = true;
    if (!walk_quietly)
        callback_act(h);
    callback_leave();
}

static int visits;

static void on_nested_walk(loop_handle_t *handle, void *arg)
{
    (void)handle;
    (void)arg;
    visits++;
}

/* A walk inside of a walk visits all of them, too. */
static void nested_walk(void)
{
    int expected = 0;

    for (int i = 0; i < world->handle_count; i++) {
        const struct mhandle *h = world->handles[i];

        expected += h->life != LIFE_NONE && loop_handle_get_type(h->handle) != LOOP_UNKNOWN_HANDLE;
    }
    visits = 0;
    CHECK_RC(loop_walk(world->loop, on_nested_walk, NULL), 0);
    CHECK(visits == expected, "a walk in a walk visits %d of %d handles", visits, expected);
}

void walk_act(void)
{
    int rc;

    say("walk");
    if (world->walking) {
        nested_walk();
        return;
    }
    for (int i = 0; i < world->handle_count; i++)
        world->handles[i]->done = false;
    last_birth = 0;
    walk_began = world->seq;
    walk_quietly = world->running;
    world->walking = true;
    CALL(rc, loop_walk(world->loop, NULL, world));
    CHECK_RC(rc, LOOP_EINVAL);
    rc = loop_walk(world->loop, on_walk, world);
    world->walking = false;
    CHECK_RC(rc, 0);
    for (int i = 0; i < world->handle_count; i++) {
        struct mhandle *h = world->handles[i];

        /* One that is closing without a callback may be gone from the loop already, but only during a run. */
        CHECK(h->done || h->life == LIFE_NONE || h->birth > walk_began ||
                  loop_handle_get_type(h->handle) == LOOP_UNKNOWN_HANDLE,
              "a walk passed over %s %d", h->name, h->number);
    }
}

/* ------------------------------------------------------------------------------------------------------------ phases -- */

static const enum rank phase_ranks[] = {RANK_IDLE, RANK_PREPARE, RANK_CHECK};

static void phase_called(struct mphase *p, const void *handle)
{
    callback_enter(phase_ranks[p->kind], &p->h, p->h.name);
    CHECK(p->h.handle == handle && p->h.life == LIFE_OPEN, "%s %d is called, closed", p->h.name, p->h.number);
    CHECK(p->h.active, "%s %d is called, stopped", p->h.name, p->h.number);
    CHECK(p->last_turn != world->turn, "%s %d is called twice in a turn", p->h.name, p->h.number);
    CHECK(p->start_turn != world->turn || p->start_rank != (int)phase_ranks[p->kind],
          "%s %d is called in the phase it was started in", p->h.name, p->h.number);
    CHECK(p->seq > world->phase_seq, "%s %d is called out of the order of starts", p->h.name, p->h.number);
    world->phase_seq = p->seq;
    p->last_turn = world->turn;
    callback_act(&p->h);
    callback_leave();
}

static void on_idle(loop_idle_t *idle)
{
    phase_called(idle->handle.data, idle);
}

static void on_prepare(loop_prepare_t *prepare)
{
    phase_called(prepare->handle.data, prepare);
}

static void on_check(loop_check_t *check)
{
    phase_called(check->handle.data, check);
}

static int phase_start(struct mphase *p)
{
    switch (p->kind) {
    case MODEL_IDLE:
        return loop_idle_start((loop_idle_t *)p->h.handle, on_idle);
    case MODEL_PREPARE:
        return loop_prepare_start((loop_prepare_t *)p->h.handle, on_prepare);
    default:
        return loop_check_start((loop_check_t *)p->h.handle, on_check);
    }
}

static int phase_stop(struct mphase *p)
{
    switch (p->kind) {
    case MODEL_IDLE:
        return loop_idle_stop((loop_idle_t *)p->h.handle);
    case MODEL_PREPARE:
        return loop_prepare_stop((loop_prepare_t *)p->h.handle);
    default:
        return loop_check_stop((loop_check_t *)p->h.handle);
    }
}

static void phase_open(struct mphase *p)
{
    int rc;

    say("open %s %d", p->h.name, p->h.number);
    switch (p->kind) {
    case MODEL_IDLE:
        CALL(rc, loop_idle_init(world->loop, (loop_idle_t *)handle_new(&p->h, sizeof(loop_idle_t))));
        break;
    case MODEL_PREPARE:
        CALL(rc, loop_prepare_init(world->loop, (loop_prepare_t *)handle_new(&p->h, sizeof(loop_prepare_t))));
        break;
    default:
        CALL(rc, loop_check_init(world->loop, (loop_check_t *)handle_new(&p->h, sizeof(loop_check_t))));
        break;
    }
    CHECK_RC(rc, 0);
    (void)handle_opened(&p->h, rc);
}

void phase_act(struct mhandle *h)
{
    struct mphase *p = (struct mphase *)h;
    int rc;

    if (p->h.life == LIFE_NONE) {
        phase_open(p);
        return;
    }
    switch (below(10)) {
    case 0:
        handle_close(&p->h);
        return;
    case 1:
        handle_act(&p->h);
        return;
    case 2:
    case 3:
    case 4:
    case 5:
        say("stop %s %d", p->h.name, p->h.number);
        CALL(rc, phase_stop(p));
        CHECK_RC(rc, p->h.life == LIFE_OPEN ? 0 : LOOP_EBADF);
        p->h.active = false;
        return;
    default:
        say("start %s %d", p->h.name, p->h.number);
        CALL(rc, phase_start(p));
        CHECK_RC(rc, p->h.life == LIFE_OPEN ? 0 : LOOP_EBADF);
        if (rc == 0 && !p->h.active) {
            p->h.active = true;
            p->seq = ++world->seq;
            p->start_turn = world->turn;
            p->start_rank = world->running ? (int)world->rank : RANK_OUTSIDE;
        }
        return;
    }
}

/* Whether the handle was started before its phase of the turn. A dispatch after a wait may belong to the next turn already, if
 * more than one are run and no callback came between. */
static bool started_in_time(const struct mphase *p, int rank)
{
    if (p->start_turn < world->turn)
        return true;
    return p->start_turn == world->turn && p->start_rank < rank &&
           (p->start_rank != RANK_DISPATCH || world->mode != MODE_DEFAULT);
}

void phase_check_turn(int up_to_rank, bool check_too)
{
    for (int i = 0; i < world->phase_count; i++) {
        struct mphase *p = &world->phases[i];
        int rank = (int)phase_ranks[p->kind];

        if (p->h.life == LIFE_OPEN && p->h.active && started_in_time(p, rank) &&
            (rank < up_to_rank || (check_too && rank == RANK_CHECK)))
            CHECK(p->last_turn == world->turn, "%s %d was not called in a turn", p->h.name, p->h.number);
    }
}

/* ------------------------------------------------------------------------------------------------------------ asyncs -- */

static void on_async(loop_async_t *async)
{
    struct mhandle *h = async->handle.data;

    callback_enter(RANK_DISPATCH, h, h->name);
    CHECK(h->handle == &async->handle && h->life == LIFE_OPEN, "async %d is called, closed", h->number);
    CHECK(h->queued, "async %d is called without a reason", h->number);
    h->queued = false;
    callback_act(h);
    callback_leave();
}

void async_send(struct mhandle *h)
{
    int rc;

    /* A closing one without a callback may be gone: nobody may send to it then. */
    if (h->life == LIFE_NONE || (h->life == LIFE_CLOSING && !h->with_cb))
        return;
    say("send async %d", h->number);
    CALL(rc, loop_async_send((loop_async_t *)h->handle));
    CHECK_RC(rc, h->life == LIFE_OPEN ? 0 : LOOP_EBADF);
    if (rc == 0)
        h->queued = true;
}

void async_act(struct mhandle *h)
{
    int rc;

    if (h->life == LIFE_NONE) {
        say("open async %d", h->number);
        CALL(rc, loop_async_init(world->loop, (loop_async_t *)handle_new(h, sizeof(loop_async_t)), on_async));
        CHECK_RC(rc, 0);
        (void)handle_opened(h, rc);
        h->active = true;
        return;
    }
    switch (below(10)) {
    case 0:
        handle_close(h);
        return;
    case 1:
        handle_act(h);
        return;
    default:
        async_send(h);
        return;
    }
}

/* ------------------------------------------------------------------------------------------------------------- tasks -- */

static void task_called(loop_task_t *task, int status)
{
    struct mtask *t = task->data;

    callback_enter(world->ending ? RANK_OUTSIDE : RANK_DISPATCH, NULL, "task");
    CHECK(t->posted && t->task == task, "a task runs twice");
    CHECK_RC(status, world->ending ? LOOP_ECANCELED : 0);
    CHECK(t->seq > world->task_seq, "tasks run out of order");
    world->task_seq = t->seq;
    t->posted = false;
    if (t == &world->rescue) {
        say("the run is to end");
        (void)loop_stop(world->loop);
        world->stop_asked = true;
    }
    if (chance(50)) {
        memory_free(t->task, sizeof(*t->task));
        t->task = NULL;
    }
}

static void on_task(loop_task_t *task, int status)
{
    task_called(task, status);
    if (world->ending) {
        loop_timer_t timer;
        loop_task_t other = {0};

        CHECK_RC(loop_timer_init(world->loop, &timer), LOOP_ECLOSED);
        CHECK_RC(loop_post(world->loop, &other, on_task), LOOP_ECLOSED);
        CHECK_RC(loop_close(world->loop), LOOP_EBUSY);
    } else {
        callback_act(NULL);
    }
    callback_leave();
}

void task_act(struct mtask *t)
{
    int rc;

    if (t->task == NULL) {
        t->task = memory_new(sizeof(*t->task));
        memset(t->task, 0, sizeof(*t->task));
        t->task->data = t;
    }
    say("post task");
    CALL(rc, loop_post(world->loop, t->task, on_task));
    CHECK_RC(rc, t->posted ? LOOP_EBUSY : 0);
    if (rc == 0) {
        t->posted = true;
        t->seq = ++world->seq;
    }
}

void task_rescue(void)
{
    if (!world->rescue.posted)
        task_act(&world->rescue);
}
