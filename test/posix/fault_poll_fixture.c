/* See fault_poll_fixture.h. */
#include "fault_poll_fixture.h"

#include <unistd.h>

int lost;

static bool expired;

void begin_counting(void)
{
    begin();
    fault_begin();
}

void finish_counting(void)
{
    fault_end();
    finish();
}

void forget_counts(void)
{
    fault_arm(FAULT_BACKEND_CHANGE, 0, 0, 0);
}

static void on_timer(loop_timer_t *timer)
{
    (void)timer;
    expired = true;
}

/* Runs for a while, in which nothing is to happen: the loop has to sleep. */
void assert_quiet(void)
{
    loop_timer_t timer;
    int before = reports_of_all;

    expired = false;
    assert_ok(loop_timer_init(loop, &timer));
    assert_ok(loop_timer_start(&timer, on_timer, LOOP_MS(30), 0));
    forget_counts();
    while (!expired)
        assert_int_equal(loop_run(loop, LOOP_RUN_ONCE) >= 0, 1);
    assert_int_equal(reports_of_all, before);
    assert_true(fault_waits() < 8);
    assert_ok(loop_handle_close(&timer.handle, NULL));
    turn();
}

/* The owner closes its descriptor, which has data, while it is polled; a duplicate, given back, keeps the file open. */
int close_early(int i)
{
    int duplicate = dup(mine[i]);

    assert_true(duplicate >= 0);
    assert_ok(close(mine[i]));
    mine[i] = -1;
    return duplicate;
}

void start_all_but_the_first(void)
{
    for (int i = 1; i < POLLS; i++)
        assert_ok(loop_poll_start(&polls[i], LOOP_READABLE, note));
}

void assert_the_others_work(void)
{
    for (int i = 1; i < POLLS; i++) {
        int before = reports[i];

        send_byte(peers[i]);
        turn();
        assert_int_equal(reports[i], before + 1);
        read_byte(mine[i]);
    }
}

void note_lost(loop_poll_t *poll, int status, unsigned events)
{
    assert_int_equal(status, LOOP_EBADF);
    assert_int_equal(events, 0);
    assert_false(loop_handle_is_active(&poll->handle));
    lost++;
}
