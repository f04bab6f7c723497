/* Descriptors of the caller on Windows, where a registration lasts as long as the descriptor. The rest: ../desc_test.c. */
#include "op_fixture.h"

static void a_live_descriptor_cannot_leave_its_loop(void **state)
{
    char text[4];
    loop_buf_t in = buf_of(text, sizeof(text));
    loop_op_t op = {0};

    (void)state;
    begin_with(SOCK_STREAM);
    assert_ok(loop_op_read(&left, &op, &in, 1, note));
    assert_int_equal(loop_desc_detach(&left), LOOP_EBUSY);
    assert_int_equal(support_write(loop_desc_fd(&right), "abc", 3), 3);
    run_until(1);
    assert_int_equal(loop_desc_detach(&left), LOOP_ENOTSUP);
    /* And it goes on as if nothing had been asked. */
    assert_ok(loop_op_read(&left, &op, &in, 1, note));
    assert_int_equal(support_write(loop_desc_fd(&right), "de", 2), 2);
    run_until(2);
    assert_int_equal(op.bytes, 2);
    assert_ok(loop_handle_close(&left.handle, NULL));
    assert_int_equal(loop_desc_detach(&left), LOOP_EBADF);
    support_finish(loop);
}

static void closing_takes_deadlines_along(void **state)
{
    char text[4];
    loop_buf_t in = buf_of(text, sizeof(text));
    loop_op_t op = {0};

    (void)state;
    begin_with(SOCK_STREAM);
    assert_ok(loop_op_read(&left, &op, &in, 1, note));
    assert_ok(loop_desc_set_deadline(&left, LOOP_READABLE | LOOP_WRITABLE, loop_now(loop) + LOOP_MS(1)));
    assert_ok(loop_handle_close(&left.handle, NULL));
    run_until(1);
    assert_int_equal(op.status, LOOP_ECANCELED);
    support_finish(loop);
}

LOOP_TEST_MAIN(TEST(a_live_descriptor_cannot_leave_its_loop), TEST(closing_takes_deadlines_along))
