#include "fault_scene.h"

#include <signal.h>

#define TURNS 3000

loop_t *loop;
long in_flight;
long handles;
long successes;
loop_op_cb handed_out = completed;

void completed(loop_op_t *op)
{
    assert_true(in_flight > 0);
    in_flight--;
    if (op->status == 0)
        successes++;
}

void timed_out(loop_op_t *op)
{
    assert_true(in_flight > 0);
    in_flight--;
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

void run_bounded(void)
{
    for (int i = 0; i < TURNS && loop_alive(loop); i++)
        take_turn(0);
}

void await_operations(void)
{
    for (int i = 0; i < TURNS / 10 && in_flight > 0; i++)
        take_turn(LOOP_US(100));
}

void close_all(void)
{
    assert_ok(loop_walk(loop, close_any, NULL));
    for (int i = 0; handles > 0; i++) {
        assert_true(i < TURNS);
        take_turn(0);
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

/* A write to a pipe whose calls on signals failed may have left the mask changed, and a SIGPIPE behind it. */
static void restore_signals(const sigset_t *mask)
{
    void (*before)(int) = signal(SIGPIPE, SIG_IGN);

    assert_true(before != SIG_ERR);
    assert_ok(pthread_sigmask(SIG_SETMASK, mask, NULL));
    assert_true(signal(SIGPIPE, before) == SIG_IGN);
}

void every_call_fails(void (*scene)(void))
{
    long calls[FAULT_ROWS];
    long clean;
    sigset_t mask;

    assert_ok(pthread_sigmask(SIG_SETMASK, NULL, &mask));
    begin_scene(NULL);
    fault_begin();
    successes = 0;
    scene();
    clean = successes;
    for (int row = 0; row < FAULT_ROWS; row++)
        calls[row] = fault_count((enum fault_row)row);

    for (int row = 0; row < FAULT_ROWS; row++) {
        long most = harness_slow() ? 3 : 40;
        long step = calls[row] > most ? calls[row] / most : 1;

        for (const int *error = fault_errors((enum fault_row)row); *error != 0; error++) {
            for (long n = 1; n <= calls[row]; n += n < 12 ? 1 : step) {
                fault_arm((enum fault_row)row, n, *error, 1);
                scene();
                fault_disarm();
            }
        }
    }
    /* After all that the same loop works as on its first day. */
    successes = 0;
    scene();
    assert_int_equal(successes, clean);
    fault_end();
    restore_signals(&mask);
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
    scene();
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

            scene();
            counts.fail_at = 0;
            successes = 0;
            scene();
            clean = successes;
            successes = 0;
            scene();
            assert_int_equal(successes, clean);
            assert_ok(loop_close(loop));
        } else {
            assert_null(loop);
        }
        assert_int_equal(counts.live, 0);
    }
}
