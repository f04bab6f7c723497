/* Deadlines of descriptors that leave their loop. The rest: ../deadline_test.c. */
#include "op_fixture.h"

#include <unistd.h>

static char text[16];

static uint64_t in_ms(unsigned ms)
{
    return loop_now(loop) + LOOP_MS(ms);
}

static void closing_and_detaching_take_deadlines_along(void **state)
{
    loop_op_t op = {0};
    int fds[2];

    (void)state;
    begin_with(SOCK_STREAM);
    assert_ok(loop_op_read(&left, &op, &(loop_buf_t){text, 16}, 1, note));
    assert_ok(loop_desc_set_deadline(&left, LOOP_READABLE | LOOP_WRITABLE, in_ms(1)));
    assert_ok(loop_handle_close(&left.handle, NULL));
    run_until(1);
    assert_int_equal(op.status, LOOP_ECANCELED);

    assert_ok(pipe(fds));
    assert_ok(loop_run(loop, LOOP_RUN_DEFAULT));
    assert_ok(loop_desc_attach(loop, &left, fds[0], 0));
    assert_ok(loop_desc_set_deadline(&left, LOOP_READABLE, in_ms(1)));
    assert_ok(loop_desc_detach(&left));
    memset(&left, 0xee, sizeof(left)); /* ours again */
    support_finish(loop);
    assert_ok(close(fds[0]));
    assert_ok(close(fds[1]));
}

LOOP_TEST_MAIN(TEST(closing_and_detaching_take_deadlines_along))
