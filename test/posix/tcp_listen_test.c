/* Sockets of other families that are of no use to a TCP handle. */
#include "support.h"

static void a_local_socket_cannot_be_opened(void **state)
{
    loop_t *loop = support_loop();
    loop_os_fd_t fds[2];
    loop_tcp_t tcp;

    (void)state;
    assert_ok(loop_tcp_init(loop, &tcp));
    assert_ok(support_local_pair(fds));
    assert_int_equal(loop_tcp_open(&tcp, fds[0]), LOOP_EINVAL);
    assert_int_equal(loop_tcp_fd(&tcp), LOOP_INVALID_FD);
    support_close(fds[0]);
    support_close(fds[1]);
    support_finish(loop);
}

LOOP_TEST_MAIN(TEST(a_local_socket_cannot_be_opened))
