/* What must hold in a turn, before a wait, and when a run returns. */
#include "model.h"

/* --------------------------------------------------------------------------------------------------------------- turns -- */

static void begin_turn(void)
{
    world->turn++;
    world->rank = RANK_NONE;
    world->phase_seq = 0;
    world->polled = false;
}

static void end_turn(void)
{
    if (world->polled)
        phase_check_turn(RANK_POLL, true);
}

void turn_rank(enum rank rank)
{
    if (rank == RANK_DISPATCH && world->rank < RANK_POLL)
        rank = RANK_LEFTOVER;
    if (rank < world->rank) {
        CHECK(world->mode == MODE_DEFAULT, "a callback of step %d of a turn after one of step %d", rank, world->rank);
        end_turn();
        begin_turn();
        if (rank == RANK_DISPATCH)
            rank = RANK_LEFTOVER;
    }
    if (rank != world->rank) {
        world->phase_seq = 0;
        if (rank == RANK_TIMERS)
            world->timer_phase++;
    }
    world->rank = rank;
}

uint64_t turn_timer_phase(void)
{
    return world->running && world->rank == RANK_TIMERS ? world->timer_phase : 0;
}

void callback_enter(enum rank rank, struct mhandle *h, const char *what)
{
    CHECK(world->inside == 0, "a callback (%s) inside a call that must not call back", what);
    CHECK(world->running || rank == RANK_OUTSIDE, "a callback (%s) outside of a run", what);
    if (rank != RANK_OUTSIDE && !world->walking)
        turn_rank(rank);
    world->outer[world->depth++] = atom_open(ATOM_CALLBACK, h != NULL ? &h->place : &world->here);
    CHECK(world->depth < 8, "callbacks inside of callbacks");
}

void callback_leave(void)
{
    atom_close(world->outer[--world->depth]);
}

static void on_misused_walk(loop_handle_t *handle, void *arg)
{
    (void)handle;
    (void)arg;
}

/* A run inside of a callback is refused, and so is the end of the loop. */
static void misuse(void)
{
    loop_op_t *op;

    CHECK_RC(loop_run(world->loop, (loop_run_mode)below(3)), LOOP_EBUSY);
    CHECK_RC(loop_wait(world->loop, &op, 1, 0), LOOP_EBUSY);
    CHECK_RC(loop_close(world->loop), LOOP_EBUSY);
    CHECK_RC(loop_walk(NULL, on_misused_walk, NULL), LOOP_EINVAL);
}

/* Often with the handle itself, sometimes several things at once, which may undo each other. */
void callback_act(struct mhandle *self)
{
    if (world->quiet || !atom_acts(40))
        return;
    do {
        if (self != NULL && chance(50))
            self->act(self);
        else if (world->depth > 0 && chance(5))
            misuse();
        else
            act_on_anything();
    } while (chance(30));
    run_check_alive();
}

/* --------------------------------------------------------------------------------------------------------------- alive -- */

static bool task_posted(void)
{
    if (world->rescue.posted)
        return true;
    for (int i = 0; i < world->task_count; i++) {
        if (world->tasks[i].posted)
            return true;
    }
    return false;
}

static bool async_queued(void)
{
    for (int i = 0; i < world->async_count; i++) {
        if (world->asyncs[i].queued)
            return true;
    }
    return false;
}

bool model_alive(void)
{
    if (task_posted())
        return true;
    for (int i = 0; i < world->handle_count; i++) {
        const struct mhandle *h = world->handles[i];

        if (h->life == LIFE_NONE)
            continue;
        if (h->in_flight > 0 || (h->active && h->ref))
            return true;
        if (h->life == LIFE_CLOSING && loop_handle_get_type(h->handle) != LOOP_UNKNOWN_HANDLE)
            return true;
    }
    return false;
}

/* A signal that waits counts or does not: it is no task, but the loop has to run for it. */
void run_check_alive(void)
{
    bool alive = model_alive();
    bool is = loop_alive(world->loop) != 0;

    CHECK(is == alive || (is && async_queued()), "the loop is%s alive", is ? "" : " not");
    /* In callbacks seldom: it would cost more than all the rest. */
    if (world->depth == 0 || world->step % 8 == 0)
        support_check(world->loop);
}

/* ------------------------------------------------------------------------------------------------------ before a wait -- */

static bool seen_ready; /* something could be done, by a look at the descriptors */
static bool seen_finally;

/* Of what is cancelled or closed: whether the system may have to give it back yet, of which it tells soon. */
static bool is_told_later(void)
{
    if (system_can.answers_at_once || seen_finally)
        return false;
    seen_ready = true;
    say("the system has not given back yet what has ended");
    return true;
}

static uint64_t sooner(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* The next deadline that has not passed yet. */
static uint64_t next_deadline(const struct end *e, uint64_t now)
{
    uint64_t due = NEVER;

    for (int i = 0; i < OPS_PER_END; i++) {
        if (e->ops[i].in_flight && e->ops[i].due > now)
            due = sooner(due, e->ops[i].due);
    }
    if (e->h.life != LIFE_OPEN)
        return due;
    for (int direction = READING; direction <= WRITING; direction++) {
        if (e->due[direction] > now && !e->over[direction])
            due = sooner(due, e->due[direction]);
    }
    return e->pause > now ? sooner(due, e->pause) : due;
}

static void each_end(void (*visit)(struct end *e))
{
    for (int i = 0; i < world->pair_count; i++) {
        visit(&world->pairs[i].ends[0]);
        visit(&world->pairs[i].ends[1]);
    }
    for (int i = 0; i < world->listener_count; i++)
        visit(&world->listeners[i]);
}

/* Of a timer that is so far the loop does not ask whether it is still there: see src/run.c. */
#define FAR_ENOUGH LOOP_MS(10)

static uint64_t next_due;

static bool unsure; /* whether a listener pauses, or tries again at once */

static void note_deadline(struct end *e)
{
    if (e->h.life == LIFE_OPEN && e->pause > loop_now(world->loop) && e->pause_unsure)
        unsure = true;
    next_due = sooner(next_due, next_deadline(e, loop_now(world->loop)));
}

/* The wait lasts until the next timer, deadline, or the end that was asked for: not longer, and not shorter but for a timer that
 * was moved to later or stopped, and that is far. */
static void check_length(int64_t ns, uint64_t slack)
{
    uint64_t now;
    uint64_t exact;

    next_due = timer_next_due();
    unsure = false;
    each_end(note_deadline);
    next_due = sooner(next_due, world->wait_end);
    if (unsure)
        return;
    if (next_due == NEVER) {
        CHECK(ns < 0 || ns > (int64_t)LOOP_SEC(86400) || (timer_any_started() && ns >= (int64_t)FAR_ENOUGH),
              "a wait of %lld ns for nothing", (long long)ns);
        return;
    }
    now = loop_now(world->loop);
    CHECK(next_due > now, "a wait although something was due %llu ns ago", (unsigned long long)(now - next_due));
    exact = next_due - now;
    CHECK(ns > 0, "an endless wait although something is due in %llu ns", (unsigned long long)exact);
    if (exact > LOOP_SEC(86400))
        return;
    CHECK((uint64_t)ns <= exact + slack, "a wait of %lld ns, not %llu", (long long)ns, (unsigned long long)exact);
    CHECK((uint64_t)ns >= sooner(exact, FAR_ENOUGH), "a wait of %lld ns, not %llu", (long long)ns,
          (unsigned long long)exact);
}

/* What of e could go on, although the loop is about to sleep? */
static void check_sleeping_end(struct end *e)
{
    unsigned wanted = 0;
    unsigned asked = 0;

    for (int i = 0; i < OPS_PER_END; i++) {
        const struct mop *m = &e->ops[i];

        if (!m->in_flight)
            continue;
        CHECK(!m->may_cancel || is_told_later(), "the loop sleeps although an operation's end was asked for: %s %d.%d",
              end_kind_name(e), e->h.number, i);
        CHECK(m->due > loop_now(world->loop) || is_told_later(),
              "the loop sleeps although an operation has timed out: %s %d.%d", end_kind_name(e), e->h.number, i);
        CHECK(!end_is_over(e, end_direction(m)) || is_told_later(),
              "the loop sleeps although a deadline has passed: %s %d.%d", end_kind_name(e), e->h.number, i);
        if (m->kind == MOP_READY)
            asked |= m->events;
        else
            wanted |= end_direction(m) == READING ? LOOP_READABLE : LOOP_WRITABLE;
    }
    if (e->h.life != LIFE_OPEN)
        return;
    if (e->reading) {
        CHECK(!end_is_over(e, READING), "the loop sleeps although a read deadline has passed: %s %d", end_kind_name(e),
              e->h.number);
        wanted |= LOOP_READABLE;
    }
    if (e->is_tcp && e->pair == NULL && !e->waits && e->pause <= loop_now(world->loop))
        wanted |= LOOP_READABLE;
    if (e->is_tcp)
        CHECK(!e->above || loop_tcp_write_queue_size((loop_tcp_t *)e->h.handle) > e->low,
              "the loop sleeps although a write queue has drained: %s %d", end_kind_name(e), e->h.number);
    wanted |= asked;
    if (wanted != 0 && !e->robbed)
        wanted = system_ready(e->fd, wanted);
    if (wanted == 0 || e->robbed)
        return;
    seen_ready = true;
    say("%s %d is ready, of which the system has not told yet", end_kind_name(e), e->h.number);
    CHECK(!seen_finally, "the loop sleeps although %s %d is %s", end_kind_name(e), e->h.number,
          wanted == LOOP_READABLE   ? "readable"
          : wanted == LOOP_WRITABLE ? "writable"
                                    : "readable and writable");
}

/* All that was sent on what transfers at once has been received, if nobody waits to read it. */
static void check_settled_end(struct end *e)
{
    if (e->in == NULL || e->fd == LOOP_INVALID_FD || e->h.life == LIFE_CLOSING || !e->in->immediate)
        return;
    if (system_ready(e->fd, LOOP_READABLE) == 0)
        flow_check_settled(e->in);
}

/* Closed without a callback: the model hears of it only when the run returns. */
static bool gone_quietly(const struct mhandle *h)
{
    return h->life == LIFE_CLOSING && !h->with_cb && loop_handle_get_type(h->handle) == LOOP_UNKNOWN_HANDLE;
}

static void check_sleeping_handles(void)
{
    CHECK(!task_posted(), "the loop sleeps although a task is posted");
    CHECK(!async_queued(), "the loop sleeps although an async was sent");
    CHECK(!world->stop_asked, "the loop sleeps although it is to stop");
    CHECK(world->mode == MODE_WAIT || model_alive(), "the loop sleeps although nothing keeps it alive");
    for (int i = 0; i < world->phase_count; i++) {
        const struct mphase *p = &world->phases[i];

        CHECK(p->kind != MODEL_IDLE || !p->h.active, "the loop sleeps although idle %d is started", p->h.number);
    }
    for (int i = 0; i < world->handle_count; i++) {
        const struct mhandle *h = world->handles[i];

        CHECK(h->life != LIFE_CLOSING || gone_quietly(h) || is_told_later(),
              "the loop sleeps although %s %d is to be closed", h->name, h->number);
    }
}

bool turn_before_sleep(int64_t ns, uint64_t slack, bool final)
{
    CHECK(world->mode != MODE_NOWAIT, "a run that must not wait waits");
    seen_ready = false;
    seen_finally = final;
    check_sleeping_handles();
    check_length(ns, slack);
    each_end(check_sleeping_end);
    if (!seen_ready)
        each_end(check_settled_end);
    return !seen_ready;
}

/* ---------------------------------------------------------------------------------------------------------------- runs -- */

/* A TCP handle may have asked the system for what no operation of the test stands for. */
static bool has_none_pending(const struct mhandle *h)
{
    return system_can.answers_at_once || h->act != end_act || !((const struct end *)h)->is_tcp;
}

static bool settled(const struct mhandle *h)
{
    return h->life == LIFE_CLOSING && h->in_flight == 0 && has_none_pending(h);
}

static bool without_callback_in_flight(void)
{
    for (int i = 0; i < world->handle_count; i++) {
        if (world->handles[i]->in_flight > 0)
            return true;
    }
    return false;
}

static void begin_run(enum run_mode mode)
{
    for (int i = 0; i < world->handle_count; i++)
        world->handles[i]->settled = settled(world->handles[i]);
    world->mode = mode;
    world->running = true;
    world->wait_end = NEVER;
    world->waits_left = mode == MODE_DEFAULT ? 1 + (int)below(12) : 3;
    begin_turn();
}

/* The memory of handles that closed without a callback is free once the run has passed its closing phase. */
static void sweep_closed(void)
{
    for (int i = 0; i < world->handle_count; i++) {
        struct mhandle *h = world->handles[i];

        if (h->life != LIFE_CLOSING)
            continue;
        CHECK(!h->settled || !world->polled || !h->with_cb, "%s %d did not close in a turn", h->name, h->number);
        if (h->with_cb)
            continue;
        if (loop_handle_get_type(h->handle) == LOOP_UNKNOWN_HANDLE) {
            CHECK(h->in_flight == 0, "%s %d closed with operations in flight", h->name, h->number);
            say("%s %d is closed", h->name, h->number);
            handle_release(h);
        } else {
            CHECK(!h->settled || !world->polled, "%s %d did not close in a turn", h->name, h->number);
        }
    }
}

static void end_run(void)
{
    end_turn();
    world->running = false;
    sweep_closed();
    world->stop_asked = false;
    world->rank = RANK_OUTSIDE;
}

void run_some(enum run_mode mode)
{
    static const loop_run_mode modes[] = {LOOP_RUN_DEFAULT, LOOP_RUN_ONCE, LOOP_RUN_NOWAIT};
    static const char *const names[] = {"default", "once", "nowait"};
    bool stopped = world->stop_asked;
    int rc;

    say("run %s", names[mode]);
    begin_run(mode);
    rc = loop_run(world->loop, modes[mode]);
    say("run %s: %d", names[mode], rc);
    if (rc == LOOP_EAGAIN)
        CHECK(without_callback_in_flight(), "a run waits for a loop_wait() that has nothing to give");
    else
        CHECK(rc == 0 || rc == 1, "a run returned %s", loop_err_name(rc));
    CHECK(mode != MODE_DEFAULT || rc != 1 || world->stop_asked, "a run ended although it was not stopped");
    CHECK(!stopped || !world->polled, "a run although it was stopped before");
    end_run();
    if (rc >= 0)
        CHECK(rc == (loop_alive(world->loop) != 0), "a run returned %d", rc);
}

void wait_some(void)
{
    static const uint64_t times[] = {0, 0, 1, LOOP_US(50), LOOP_MS(1), LOOP_MS(7), LOOP_FOREVER};
    int n = chance(30) ? 1 : 1 + (int)below(64);
    uint64_t timeout = times[below(7)];
    loop_op_t *ops[64];
    struct end *ends[64];
    int rc;

    say("wait for %d operations, %lld ns", n, (long long)timeout);
    begin_run(MODE_WAIT);
    if (timeout != LOOP_FOREVER)
        world->wait_end = seam_now + timeout;
    rc = loop_wait(world->loop, ops, n, timeout);
    say("wait: %d", rc);
    CHECK(rc >= 0 && rc <= n, "a wait returned %s", rc < 0 ? loop_err_name(rc) : "too much");
    end_run();
    for (int i = 0; i < rc; i++)
        ends[i] = op_delivered(ops[i]);
    sweep_closed();
    for (int i = 0; i < rc; i++) {
        struct atom outer = atom_open(ATOM_CALLBACK, &ends[i]->h.place);

        callback_act(&ends[i]->h);
        atom_close(outer);
    }
}

void run_act(void)
{
    switch (below(20)) {
    case 0:
        run_some(MODE_DEFAULT);
        break;
    case 1:
    case 2:
        run_some(MODE_ONCE);
        break;
    case 3:
    case 4:
    case 5:
    case 6:
    case 7:
    case 8:
        wait_some();
        break;
    default:
        run_some(MODE_NOWAIT);
        break;
    }
}
