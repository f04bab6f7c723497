/* What is promised of every operation, where datagrams may wait until there is room for them. The rest: ../op_life_test.c. */
#include "op_fixture.h"

#include <unistd.h>

/* Refused operations keep what their last use left in them. */
static void without_memory_an_operation_is_refused_and_as_it_was(void **state)
{
    struct support_allocator counts = {0};
    loop_allocator_t allocator = support_allocator(&counts);
    loop_options_t options = LOOP_OPTIONS_INIT;
    static char data[65536];
    loop_buf_t many[9]; /* more than an operation keeps by itself */
    loop_op_t op = {0};
    loop_op_t sending = {0};
    loop_os_fd_t stream[2];
    loop_os_fd_t datagram[2];
    loop_desc_t third;
    loop_desc_t fourth;

    (void)state;
    for (int i = 0; i < 9; i++)
        many[i] = buf_of(data, 1);
    options.allocator = &allocator;
    completions = 0;
    assert_ok(loop_init(&loop, &options));
    assert_ok(support_local_pair(stream));
    assert_ok(support_datagram_pair(datagram));
    assert_ok(loop_desc_attach(loop, &left, stream[0], LOOP_DESC_OWNED));
    assert_ok(loop_desc_attach(loop, &right, stream[1], LOOP_DESC_OWNED));
    assert_ok(loop_desc_attach(loop, &third, datagram[0], LOOP_DESC_OWNED));
    assert_ok(loop_desc_attach(loop, &fourth, datagram[1], LOOP_DESC_OWNED));
    assert_int_equal(support_write(datagram[1], data, 5), 5);
    assert_ok(loop_op_receive(&third, &op, many, 3, NULL, note));
    run_until(1);
    while (support_write(stream[1], data, sizeof(data)) > 0 || support_write(datagram[1], data, 1000) > 0)
        continue;

    counts.calls = 0;
    counts.fail_at = 1;
    assert_int_equal(loop_op_write(&right, &op, many, 9, note), LOOP_ENOMEM);
    counts.calls = 0;
    assert_int_equal(loop_op_read(&left, &op, many, 9, note), LOOP_ENOMEM);
    counts.calls = 0;
    assert_int_equal(loop_op_send(&fourth, &op, many, 2, NULL, note), LOOP_ENOMEM);
    counts.calls = 0;
    assert_int_equal(loop_op_receive(&fourth, &op, many, 2, NULL, note), LOOP_ENOMEM);
    counts.calls = 0;
    assert_int_equal(loop_op_receive_stream(&fourth, &op, many, 2, NULL, note), LOOP_ENOMEM);
    assert_ptr_equal(loop_op_get_handle(&op), &third.handle);
    assert_int_equal(op.bytes, 3);
    assert_int_equal(op.status, 0);
    assert_int_equal(op.flags, LOOP_OP_TRUNCATED);
    assert_false(loop_handle_is_active(&left.handle) || loop_handle_is_active(&right.handle));
    assert_false(loop_handle_is_active(&fourth.handle));
    assert_int_equal(loop_op_cancel(&op), LOOP_ENOENT);
    assert_int_equal(loop_alive(loop), 0);

    counts.fail_at = 0;
    assert_ok(loop_op_receive(&fourth, &op, many, 2, NULL, note));
    assert_ok(loop_op_send(&fourth, &sending, many, 2, NULL, note));
    support_finish(loop);
    assert_int_equal(completions, 3);
    assert_int_equal(counts.live, 0);
}

LOOP_TEST_MAIN(TEST(without_memory_an_operation_is_refused_and_as_it_was))
