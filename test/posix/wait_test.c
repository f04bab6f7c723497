/* loop_wait and edges that bring nothing, made by the seam of system calls. The rest: ../wait_test.c. */
#include "op_fixture.h"

#include "posix/sys.h"

#include <errno.h>
#include <unistd.h>

static int timers;
static int reads;

static void on_timer(loop_timer_t *timer)
{
    (void)timer;
    timers++;
}

static void count_read(loop_tcp_t *tcp, ptrdiff_t nread, const loop_buf_t *buf)
{
    (void)tcp;
    (void)nread;
    (void)buf;
    reads++;
}

static ssize_t (*real_recv)(int fd, void *base, size_t len, int flags);

/* Another reader of the socket is quicker. */
static ssize_t come_too_late(int fd, void *base, size_t len, int flags)
{
    assert_int_equal(real_recv(fd, base, len, flags), 1);
    errno = EAGAIN;
    return -1;
}

static void an_edge_that_calls_nobody_back_ends_no_wait(void **state)
{
    (void)state;
    for (int stolen = 0; stolen < 2; stolen++) {
        loop_timer_t timer;
        loop_tcp_t tcp;
        loop_op_t *got;
        int peer;

        begin_with(SOCK_STREAM);
        reads = 0;
        timers = 0;
        peer = support_tcp_and_socket(loop, &tcp);
        assert_ok(loop_tcp_read_start(&tcp, NULL, count_read));
        assert_int_equal(loop_wait(loop, &got, 1, 0), 0);
        assert_int_equal(send(peer, "x", 1, 0), 1);
        real_recv = loop__sys.recv;
        if (stolen)
            loop__sys.recv = come_too_late;
        else
            assert_ok(loop_tcp_read_stop(&tcp));
        assert_ok(loop_timer_init(loop, &timer));
        assert_ok(loop_timer_start(&timer, on_timer, LOOP_MS(20), 0));
        assert_int_equal(loop_wait(loop, &got, 1, LOOP_FOREVER), 0);
        loop__sys.recv = real_recv;
        assert_int_equal(reads, 0);
        assert_int_equal(timers, 1);
        support_finish(loop);
        assert_ok(close(peer));
    }
}

LOOP_TEST_MAIN(TEST(an_edge_that_calls_nobody_back_ends_no_wait))
