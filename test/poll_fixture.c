#include "poll_fixture.h"

loop_t *loop;
loop_poll_t polls[POLLS];
loop_os_fd_t mine[POLLS];
loop_os_fd_t peers[POLLS];
int reports[POLLS];
unsigned seen[POLLS];
int reports_of_all;

int index_of(const loop_poll_t *poll)
{
    return (int)(poll - polls);
}

void note(loop_poll_t *poll, int status, unsigned events)
{
    assert_ok(status);
    assert_int_not_equal(events, 0);
    assert_true(loop_handle_is_active(&poll->handle));
    reports[index_of(poll)]++;
    seen[index_of(poll)] = events;
    reports_of_all++;
}

void begin(void)
{
    loop = support_loop();
    reports_of_all = 0;
    for (int i = 0; i < POLLS; i++) {
        loop_os_fd_t fds[2];

        assert_ok(support_local_pair(fds));
        mine[i] = fds[0];
        peers[i] = fds[1];
        reports[i] = 0;
        seen[i] = 0;
        assert_ok(loop_poll_init(loop, &polls[i], fds[0]));
    }
}

void finish(void)
{
    support_finish(loop);
    for (int i = 0; i < POLLS; i++) {
        if (mine[i] != LOOP_INVALID_FD)
            support_close(mine[i]);
        if (peers[i] != LOOP_INVALID_FD)
            support_close(peers[i]);
    }
}

void turn(void)
{
    assert_true(loop_run(loop, LOOP_RUN_NOWAIT) >= 0);
}

void until_reported(int n)
{
    memset(reports, 0, sizeof(reports));
    for (int i = 0; i < n; i++)
        support_until(loop, &reports[i]);
}

void until_another_report(void)
{
    int before = reports_of_all;

    while (reports_of_all == before)
        assert_true(loop_run(loop, LOOP_RUN_ONCE) >= 0);
    assert_int_equal(reports_of_all, before + 1);
}

void send_byte(loop_os_fd_t fd)
{
    assert_int_equal(support_send(fd, "x", 1, 0), 1);
}

void read_byte(loop_os_fd_t fd)
{
    char byte;

    assert_int_equal(support_recv(fd, &byte, 1, 0), 1);
}

/* What the first callback does to all the others. */
static void (*to_others)(loop_poll_t *poll);

void first_acts_on_the_others(loop_poll_t *poll, int status, unsigned events)
{
    note(poll, status, events);
    if (reports_of_all > 1)
        return;
    for (int i = 0; i < POLLS; i++) {
        if (&polls[i] != poll)
            to_others(&polls[i]);
    }
}

void all_are_ready(void (*action)(loop_poll_t *poll))
{
    begin();
    to_others = action;
    for (int i = 0; i < POLLS; i++) {
        send_byte(peers[i]);
        assert_ok(loop_poll_start(&polls[i], LOOP_READABLE, first_acts_on_the_others));
    }
    until_another_report();
}

void note_in_data(loop_poll_t *poll, int status, unsigned events)
{
    assert_ok(status);
    assert_int_equal(events, LOOP_READABLE);
    ++*(int *)poll->handle.data;
}
