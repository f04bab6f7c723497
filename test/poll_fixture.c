#include "poll_fixture.h"

#include <unistd.h>

loop_t *loop;
loop_poll_t polls[POLLS];
int mine[POLLS];
int peers[POLLS];
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
        int fds[2];

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
        if (mine[i] >= 0)
            assert_ok(close(mine[i]));
        if (peers[i] >= 0)
            assert_ok(close(peers[i]));
    }
}

void turn(void)
{
    assert_true(loop_run(loop, LOOP_RUN_NOWAIT) >= 0);
}

void send_byte(int fd)
{
    assert_int_equal(support_send(fd, "x", 1), 1);
}

void read_byte(int fd)
{
    char byte;

    assert_int_equal(read(fd, &byte, 1), 1);
}
