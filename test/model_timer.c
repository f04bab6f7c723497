/* Timers: they fire by due time and then in the order of their start, never early, never late, as often as they should. */
#include "model.h"

static struct mtimer *timer_of(loop_timer_t *timer)
{
    return timer->handle.data;
}

static loop_timer_t *handle_of(const struct mtimer *t)
{
    return (loop_timer_t *)t->h.handle;
}

static uint64_t saturated(uint64_t a, uint64_t b)
{
    return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

static bool before(const struct mtimer *a, const struct mtimer *b)
{
    return a->due < b->due || (a->due == b->due && a->seq < b->seq);
}

static void started(struct mtimer *t, uint64_t due)
{
    t->started = true;
    t->ever = true;
    t->h.active = true;
    t->due = due;
    t->seq = ++world->seq;
    t->phase = turn_timer_phase();
}

static void stopped(struct mtimer *t)
{
    t->started = false;
    t->h.active = false;
}

static void on_timer(loop_timer_t *timer)
{
    struct mtimer *t = timer_of(timer);
    uint64_t now;

    callback_enter(RANK_TIMERS, &t->h, "timer");
    now = loop_now(world->loop);
    CHECK(handle_of(t) == timer && t->h.life == LIFE_OPEN, "timer %d fires, closed", t->h.number);
    CHECK(t->started, "timer %d fires, stopped", t->h.number);
    CHECK(t->due <= now, "timer %d fires %llu ns early", t->h.number, (unsigned long long)(t->due - now));
    CHECK(t->due <= seam_now, "timer %d fires %llu ns early", t->h.number, (unsigned long long)(t->due - seam_now));
    CHECK(t->phase == 0 || t->phase != turn_timer_phase(), "timer %d fires in the phase it was started in",
          t->h.number);
    for (int i = 0; i < world->timer_count; i++) {
        const struct mtimer *other = &world->timers[i];

        CHECK(!other->started || !before(other, t), "timer %d fires before timer %d", t->h.number, other->h.number);
    }
    if (t->repeat != 0)
        started(t, saturated(now, t->repeat));
    else
        stopped(t);
    callback_act(&t->h);
    callback_leave();
}

static uint64_t some_time(void)
{
    switch (below(8)) {
    case 0:
    case 1:
        return 0;
    case 2:
        return 1 + below(3);
    case 3:
        return LOOP_US(1 + below(2000));
    case 4:
        return LOOP_MS(5); /* ties */
    case 5:
        return below(100) == 0 ? UINT64_MAX - below(2) : LOOP_SEC(1 + below(3600));
    default:
        return LOOP_MS(1 + below(20));
    }
}

static void start(struct mtimer *t)
{
    uint64_t timeout = some_time();
    uint64_t repeat = chance(25) ? 1 + some_time() / 2 : 0;
    uint64_t now = loop_now(world->loop);
    int rc;

    say("start timer %d: %llu ns, repeat %llu", t->h.number, (unsigned long long)timeout, (unsigned long long)repeat);
    CALL(rc, loop_timer_start(handle_of(t), on_timer, timeout, repeat));
    if (is_injected(rc))
        return;
    CHECK_RC(rc, t->h.life == LIFE_OPEN ? 0 : LOOP_EBADF);
    if (rc != 0)
        return;
    t->repeat = repeat;
    started(t, saturated(now, timeout));
}

static void again(struct mtimer *t)
{
    uint64_t now = loop_now(world->loop);
    bool can = t->ever && t->repeat != 0;
    int rc;

    say("timer %d again", t->h.number);
    CALL(rc, loop_timer_again(handle_of(t)));
    if (is_injected(rc))
        return;
    CHECK_RC(rc, t->h.life != LIFE_OPEN ? LOOP_EBADF : can ? 0 : LOOP_EINVAL);
    if (rc == 0)
        started(t, saturated(now, t->repeat));
}

static void stop(struct mtimer *t)
{
    int rc;

    say("stop timer %d", t->h.number);
    CALL(rc, loop_timer_stop(handle_of(t)));
    CHECK_RC(rc, t->h.life == LIFE_OPEN ? 0 : LOOP_EBADF);
    if (rc == 0)
        stopped(t);
}

static void set_repeat(struct mtimer *t)
{
    uint64_t repeat = chance(50) ? 0 : 1 + some_time();
    int rc;

    say("timer %d: repeat %llu ns", t->h.number, (unsigned long long)repeat);
    CALL(rc, loop_timer_set_repeat(handle_of(t), repeat));
    CHECK_RC(rc, t->h.life == LIFE_OPEN ? 0 : LOOP_EBADF);
    if (rc == 0)
        t->repeat = repeat;
}

static void check(struct mtimer *t)
{
    uint64_t now = loop_now(world->loop);
    uint64_t left = t->started && t->due > now ? t->due - now : 0;

    if (t->h.life != LIFE_OPEN)
        return;
    CHECK(loop_timer_get_due_in(handle_of(t)) == left, "timer %d is due in %llu ns, not %llu", t->h.number,
          (unsigned long long)loop_timer_get_due_in(handle_of(t)), (unsigned long long)left);
    CHECK(loop_timer_get_repeat(handle_of(t)) == t->repeat, "the repeat of timer %d", t->h.number);
    handle_check(&t->h);
}

void timer_close(struct mtimer *t)
{
    handle_close(&t->h);
    t->started = false;
}

void timer_act(struct mhandle *h)
{
    struct mtimer *t = (struct mtimer *)h;
    int rc;

    if (t->h.life == LIFE_NONE) {
        say("open timer %d", t->h.number);
        CALL(rc, loop_timer_init(world->loop, (loop_timer_t *)handle_new(&t->h, sizeof(loop_timer_t))));
        CHECK_RC(rc, 0);
        (void)handle_opened(&t->h, rc);
        t->ever = false;
        t->repeat = 0;
        stopped(t);
        if (chance(70))
            start(t);
        return;
    }
    switch (below(16)) {
    case 0:
        timer_close(t);
        break;
    case 1:
    case 2:
        stop(t);
        break;
    case 3:
    case 4:
        again(t);
        break;
    case 5:
        set_repeat(t);
        break;
    case 6:
        handle_act(&t->h);
        break;
    default:
        start(t);
        break;
    }
    check(t);
}

bool timer_any_started(void)
{
    for (int i = 0; i < world->timer_count; i++) {
        if (world->timers[i].started)
            return true;
    }
    return false;
}

uint64_t timer_next_due(void)
{
    uint64_t due = NEVER;

    for (int i = 0; i < world->timer_count; i++) {
        if (world->timers[i].started && world->timers[i].due < due)
            due = world->timers[i].due;
    }
    return due;
}
