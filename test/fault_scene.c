#include "fault_scene.h"

/* Of a scene in which nothing fails: more than it needs on a machine that has other things to do. */
#define MANY_TURNS 100000

loop_t *loop;
long in_flight;
long handles;
long successes;
loop_op_cb handed_out = completed;

static bool spoiled; /* something may fail */

/* A status that says something. */
static bool is_known(int status)
{
    return status <= 0 && status != LOOP_UNKNOWN && strcmp(loop_err_name(status), "UNKNOWN") != 0;
}

static void landed(const loop_op_t *op)
{
    assert_true(in_flight > 0 && is_known(op->status));
    in_flight--;
}

void completed(loop_op_t *op)
{
    landed(op);
    if (op->status == 0)
        successes++;
}

void completed_accept(loop_op_t *op)
{
    completed(op);
    if (op->fd != LOOP_INVALID_FD)
        support_close(op->fd);
}

void timed_out(loop_op_t *op)
{
    landed(op);
    if (op->status == LOOP_ETIMEDOUT)
        successes++;
}

int submitted(int rc)
{
    if (rc == 0)
        in_flight++;
    return rc;
}

int opened(int rc)
{
    if (rc == 0)
        handles++;
    return rc;
}

int attach(loop_desc_t *desc, loop_os_fd_t fd)
{
    int rc = opened(loop_desc_attach(loop, desc, fd, LOOP_DESC_OWNED));

    if (rc != 0)
        support_close(fd);
    return rc;
}

void on_closed(loop_handle_t *handle)
{
    (void)handle;
    assert_true(handles > 0);
    handles--;
}

static void close_any(loop_handle_t *handle, void *arg)
{
    (void)arg;
    (void)loop_handle_close(handle, on_closed);
}

void take_turn(uint64_t timeout)
{
    loop_op_t *ops[4];
    int n = loop_wait(loop, ops, 4, timeout);

    for (int i = 0; i < n; i++)
        handed_out(ops[i]);
}

static int turns(void)
{
    return spoiled ? fault_turns : MANY_TURNS;
}

bool scene_turn(int *turn)
{
    take_turn(fault_pause);
    return ++*turn < turns();
}

void run_bounded(void)
{
    for (int turn = 0; loop_alive(loop) && scene_turn(&turn);)
        continue;
}

void await_operations_but(long n)
{
    for (int i = 0; i < turns() / 10 && in_flight > n; i++)
        take_turn(LOOP_US(100));
}

void await_operations(void)
{
    await_operations_but(0);
}

void close_all(void)
{
    assert_ok(loop_walk(loop, close_any, NULL));
    for (int i = 0; handles > 0; i++) {
        assert_true(i < MANY_TURNS);
        take_turn(fault_pause);
    }
    assert_int_equal(in_flight, 0);
    handed_out = completed;
}

/* ------------------------------------------------------------------------------------------------- call after call -- */

void begin_scene(const loop_options_t *options)
{
    in_flight = 0;
    handles = 0;
    assert_ok(loop_init(&loop, options));
}

/* As on the first day. */
static void play_clean(void (*scene)(void))
{
    spoiled = false;
    successes = 0;
    scene();
}

static void play_spoiled(void (*scene)(void))
{
    spoiled = true;
    scene();
    spoiled = false;
}

void every_call_fails(void (*scene)(void))
{
    long calls[FAULT_ROWS];
    long clean;

    fault_keep_signals();
    begin_scene(NULL);
    fault_begin();
    play_clean(scene);
    clean = successes;
    for (int row = 0; row < FAULT_ROWS; row++)
        calls[row] = fault_count((enum fault_row)row);

    for (int row = 0; row < FAULT_ROWS; row++) {
        long most = harness_slow() ? 3 : 40;
        long step = calls[row] > most ? calls[row] / most : 1;

        for (const int *error = fault_errors((enum fault_row)row); *error != 0; error++) {
            for (long n = 1; n <= calls[row]; n += n < 12 ? 1 : step) {
                fault_arm((enum fault_row)row, n, *error, 1);
                play_spoiled(scene);
                fault_disarm();
            }
        }
    }
    /* After all that the same loop works as on its first day. */
    play_clean(scene);
    assert_int_equal(successes, clean);
    fault_end();
    fault_restore_signals();
    assert_ok(loop_close(loop));
}

void every_allocation_fails(void (*scene)(void))
{
    struct support_allocator counts = {0};
    loop_allocator_t allocator = support_allocator(&counts);
    loop_options_t options = LOOP_OPTIONS_INIT;
    long needed;

    options.allocator = &allocator;
    begin_scene(&options);
    play_clean(scene);
    assert_ok(loop_close(loop));
    needed = counts.calls;
    assert_true(needed > 2);
    for (long n = 1; n <= needed; n++) {
        counts.calls = 0;
        counts.fail_at = n;
        in_flight = 0;
        handles = 0;
        if (loop_init(&loop, &options) == 0) {
            long clean;

            play_spoiled(scene);
            counts.fail_at = 0;
            play_clean(scene);
            clean = successes;
            play_clean(scene);
            assert_int_equal(successes, clean);
            assert_ok(loop_close(loop));
        } else {
            assert_null(loop);
        }
        assert_int_equal(counts.live, 0);
    }
}
