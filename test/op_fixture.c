#include "op_fixture.h"

loop_t *loop;
loop_desc_t left;
loop_desc_t right;
int completions;
loop_op_t *done[64];

void note(loop_op_t *op)
{
    done[completions++ % 64] = op;
    support_check(loop_handle_get_loop(loop_op_get_handle(op)));
}

loop_buf_t buf_of(void *base, size_t len)
{
    loop_buf_t buf = {base, len};

    return buf;
}

void begin(void)
{
    loop = support_loop();
    completions = 0;
}

void begin_with(int type)
{
    loop_os_fd_t fds[2];

    begin();
    assert_ok(type == SOCK_DGRAM ? support_datagram_pair(fds) : support_local_pair(fds));
    assert_ok(loop_desc_attach(loop, &left, fds[0], LOOP_DESC_OWNED));
    assert_ok(loop_desc_attach(loop, &right, fds[1], LOOP_DESC_OWNED));
}

void run_until(int n)
{
    for (int i = 0; completions < n; i++) {
        assert_true(i < 100000);
        assert_true(loop_run(loop, LOOP_RUN_ONCE) >= 0);
        support_check(loop);
    }
    assert_int_equal(completions, n);
}
