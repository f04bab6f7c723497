/* Descriptors of the caller: what may be attached, and how. */
#include "op_fixture.h"

static void an_attached_descriptor_is_non_blocking_and_close_on_exec(void **state)
{
    loop_os_fd_t fds[2];

    (void)state;
    begin();
    assert_ok(support_pipe(fds));
    assert_ok(loop_desc_attach(loop, &left, fds[0], 0));
    assert_ok(loop_desc_attach(loop, &right, fds[1], LOOP_DESC_INHERIT));
    assert_int_equal(loop_desc_fd(&left), fds[0]);
    for (int i = 0; i < 2; i++) {
        assert_true(support_nonblocking_is(fds[i], true));
        assert_true(support_inherited_is(fds[i], i == 1));
    }
    support_finish(loop);
    support_close(fds[0]); /* still the caller's */
    support_close(fds[1]);
}

static void what_cannot_be_attached_says_so_and_is_left_as_it_was(void **state)
{
    loop_os_fd_t file = support_file();
    loop_os_fd_t fds[2];

    (void)state;
    begin();
    assert_true(file != LOOP_INVALID_FD);
    assert_ok(support_pipe(fds));
    assert_int_equal(loop_desc_attach(loop, &left, file, 0), LOOP_ENOTPOLLABLE);
    assert_true(support_nonblocking_is(file, false));
    assert_int_equal(loop_desc_attach(loop, &left, LOOP_INVALID_FD, 0), LOOP_EBADF);
    assert_int_equal(loop_desc_attach(loop, &left, 1000000, 0), LOOP_EBADF);
    assert_int_equal(loop_desc_attach(loop, &left, fds[0], 1u << 30), LOOP_EINVAL);
    assert_int_equal(loop_desc_attach(NULL, &left, fds[0], 0), LOOP_EINVAL);
    assert_int_equal(loop_desc_attach(loop, NULL, fds[0], 0), LOOP_EINVAL);
    assert_ok(loop_desc_attach(loop, &left, fds[0], 0));
    assert_int_equal(loop_desc_attach(loop, &right, fds[0], 0), LOOP_EEXIST);
    support_finish(loop);
    support_close(file);
    support_close(fds[0]);
    support_close(fds[1]);
}

LOOP_TEST_MAIN(TEST(an_attached_descriptor_is_non_blocking_and_close_on_exec),
               TEST(what_cannot_be_attached_says_so_and_is_left_as_it_was))
