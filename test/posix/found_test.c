/* What the random test (model_test.c) found on descriptors of POSIX systems, each in its smallest form. */
#include "op_fixture.h"

#include "posix/sys.h"

#include <unistd.h>

static int fds[2];

/* ------------------------------------------------------------------------------------ descriptors that are closed early -- */

static loop_desc_t next;

/* The owner of left closes its descriptor, and a datagram socket that is attached as `next` gets the number. */
static void rob_left(int pair[2])
{
    int number = loop_desc_fd(&left);

    assert_ok(close(number));
    assert_ok(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair));
    assert_int_equal(pair[0], number);
    assert_ok(loop_desc_attach(loop, &next, pair[0], 0));
}

static void a_stream_on_a_descriptor_closed_early_takes_nothing_of_the_next_owner(void **state)
{
    loop_op_t stream = {0};
    loop_op_t fresh = {0};
    loop_op_t ready = {0};
    loop_op_t *got[2];
    char data[8];
    char other[8];
    loop_buf_t in = buf_of(data, 8);
    loop_buf_t in_other = buf_of(other, 8);

    (void)state;
    begin_with(SOCK_DGRAM);
    assert_ok(loop_op_receive_stream(&left, &stream, &in, 1, NULL, NULL));
    assert_int_equal(write(loop_desc_fd(&right), "old", 3), 3);
    assert_int_equal(loop_wait(loop, got, 2, LOOP_FOREVER), 1);
    assert_true(stream.flags & LOOP_OP_MORE);
    rob_left(fds);
    assert_int_equal(write(fds[1], "new", 3), 3);
    assert_int_equal(loop_wait(loop, got, 2, LOOP_FOREVER), 1); /* the stream goes on, and ends */
    assert_ptr_equal(got[0], &stream);
    assert_int_equal(stream.flags, 0);
    assert_int_equal(stream.status, LOOP_EBADF);
    assert_ok(loop_op_receive(&next, &fresh, &in_other, 1, NULL, note));
    run_until(1);
    assert_int_equal(fresh.bytes, 3);
    assert_memory_equal(other, "new", 3);
    assert_int_equal(loop_desc_fd(&left), LOOP_INVALID_FD);
    assert_int_equal(loop_op_ready(&left, &ready, LOOP_READABLE, note), LOOP_EBADF);
    support_finish(loop);
    assert_ok(close(fds[0]));
    assert_ok(close(fds[1]));
}

static void closing_an_owned_descriptor_that_was_closed_early_closes_not_that_of_the_next_owner(void **state)
{
    (void)state;
    begin_with(SOCK_DGRAM); /* owned by their handles */
    rob_left(fds);
    assert_ok(loop_handle_close(&left.handle, NULL));
    (void)loop_run(loop, LOOP_RUN_NOWAIT);
    assert_int_equal(write(fds[0], "!", 1), 1);
    support_finish(loop);
    assert_ok(close(fds[0]));
    assert_ok(close(fds[1]));
}

/* ---------------------------------------------------------------------------------------------------------- connecting -- */

/* As on a TCP handle, and as a connect that fails later. */
static void a_write_after_a_connect_that_failed_at_once_is_cancelled(void **state)
{
    struct sockaddr_un nowhere = {.sun_family = AF_UNIX, .sun_path = "/nowhere/at/all"};
    loop_op_t connecting = {0};
    loop_op_t write = {0};
    char text[4] = "abc";
    loop_buf_t out = buf_of(text, 3);

    (void)state;
    begin();
    assert_ok(loop_desc_attach(loop, &left, socket(AF_UNIX, SOCK_STREAM, 0), LOOP_DESC_OWNED));
    assert_ok(loop_op_connect(&left, &connecting, (struct sockaddr *)&nowhere, note));
    assert_ok(loop_op_write(&left, &write, &out, 1, note));
    run_until(2);
    assert_int_equal(connecting.status, LOOP_ENOENT);
    assert_int_equal(write.status, LOOP_ECANCELED);
    assert_ok(loop_op_write(&left, &write, &out, 1, note));
    run_until(3);
    assert_true(write.status != 0 && write.status != LOOP_ECANCELED); /* what the system says of such a socket */
    support_finish(loop);
}

/* ------------------------------------------------------------------------------------------------------------- writing -- */

static ssize_t (*real_sendmsg)(int fd, const struct msghdr *msg, int flags);
static ssize_t (*real_send)(int fd, const void *base, size_t length, int flags);

/* A system that takes one byte at a time. */
static ssize_t send_a_byte(int fd, const void *base, size_t length, int flags)
{
    return real_send(fd, base, length > 1 ? 1 : length, flags);
}

static ssize_t sendmsg_a_byte(int fd, const struct msghdr *msg, int flags)
{
    return send_a_byte(fd, msg->msg_iov[0].iov_base, msg->msg_iov[0].iov_len, flags);
}

/* The write gave way to others with the descriptor writable; then the wait found out that it is not. */
static void a_write_that_gave_way_is_told_when_it_may_go_on(void **state)
{
    static char bytes[65536];
    loop_op_t writing = {0};
    loop_op_t waiting = {0};
    loop_buf_t buf = buf_of(bytes, 100);

    (void)state;
    begin_with(SOCK_STREAM);
    real_send = loop__sys.send;
    real_sendmsg = loop__sys.sendmsg;
    loop__sys.send = send_a_byte;
    loop__sys.sendmsg = sendmsg_a_byte;
    assert_ok(loop_op_write(&left, &writing, &buf, 1, note));
    loop__sys.send = real_send;
    loop__sys.sendmsg = real_sendmsg;
    while (write(loop_desc_fd(&left), bytes, sizeof(bytes)) > 0) /* until it is full */
        continue;
    assert_ok(loop_op_ready(&left, &waiting, LOOP_WRITABLE, note));
    assert_int_equal(loop_run(loop, LOOP_RUN_NOWAIT), 1);
    assert_int_equal(completions, 0);
    while (read(loop_desc_fd(&right), bytes, sizeof(bytes)) > 0)
        continue;
    for (int i = 0; completions < 2; i++) {
        assert_true(i < 100);
        assert_true(loop_run(loop, LOOP_RUN_NOWAIT) >= 0);
    }
    assert_int_equal(writing.bytes, 100);
    support_finish(loop);
}

LOOP_TEST_MAIN(TEST(a_stream_on_a_descriptor_closed_early_takes_nothing_of_the_next_owner),
               TEST(closing_an_owned_descriptor_that_was_closed_early_closes_not_that_of_the_next_owner),
               TEST(a_write_after_a_connect_that_failed_at_once_is_cancelled),
               TEST(a_write_that_gave_way_is_told_when_it_may_go_on))
