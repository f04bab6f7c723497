/* Descriptors of the caller and the operations on them. */
#include "support.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static loop_t *loop;
static loop_desc_t left;
static loop_desc_t right;
static int completions;
static loop_op_t *done[64];

static void note(loop_op_t *op)
{
    done[completions++ % 64] = op;
}

static loop_buf_t buf_of(void *base, size_t len)
{
    loop_buf_t buf = {base, len};

    return buf;
}

static void begin_with(int type)
{
    int fds[2];

    loop = support_loop();
    completions = 0;
    assert_ok(socketpair(AF_UNIX, type, 0, fds));
    assert_ok(loop_desc_attach(loop, &left, fds[0], LOOP_DESC_OWNED));
    assert_ok(loop_desc_attach(loop, &right, fds[1], LOOP_DESC_OWNED));
}

static void run_until(int n)
{
    for (int i = 0; completions < n; i++) {
        assert_true(i < 100000);
        assert_true(loop_run(loop, LOOP_RUN_ONCE) >= 0);
    }
    assert_int_equal(completions, n);
}

/* ------------------------------------------------------------------------------------------------------- attaching -- */

static void an_attached_descriptor_is_non_blocking_and_close_on_exec(void **state)
{
    int fds[2];

    (void)state;
    loop = support_loop();
    assert_ok(pipe(fds));
    assert_ok(loop_desc_attach(loop, &left, fds[0], 0));
    assert_ok(loop_desc_attach(loop, &right, fds[1], LOOP_DESC_INHERIT));
    assert_int_equal(loop_desc_fd(&left), fds[0]);
    assert_true(fcntl(fds[0], F_GETFL) & O_NONBLOCK);
    assert_true(fcntl(fds[0], F_GETFD) & FD_CLOEXEC);
    assert_true(fcntl(fds[1], F_GETFL) & O_NONBLOCK);
    assert_false(fcntl(fds[1], F_GETFD) & FD_CLOEXEC);
    support_finish(loop);
    assert_ok(close(fds[0])); /* still the caller's */
    assert_ok(close(fds[1]));
}

static void what_cannot_be_attached_says_so_and_is_left_as_it_was(void **state)
{
    FILE *file = tmpfile();
    int fds[2];

    (void)state;
    loop = support_loop();
    assert_non_null(file);
    assert_ok(pipe(fds));
    assert_int_equal(loop_desc_attach(loop, &left, fileno(file), 0), LOOP_ENOTPOLLABLE);
    assert_false(fcntl(fileno(file), F_GETFL) & O_NONBLOCK);
    assert_int_equal(loop_desc_attach(loop, &left, -1, 0), LOOP_EBADF);
    assert_int_equal(loop_desc_attach(loop, &left, 1000000, 0), LOOP_EBADF);
    assert_int_equal(loop_desc_attach(loop, &left, fds[0], 1u << 30), LOOP_EINVAL);
    assert_int_equal(loop_desc_attach(NULL, &left, fds[0], 0), LOOP_EINVAL);
    assert_int_equal(loop_desc_attach(loop, NULL, fds[0], 0), LOOP_EINVAL);
    assert_ok(loop_desc_attach(loop, &left, fds[0], 0));
    assert_int_equal(loop_desc_attach(loop, &right, fds[0], 0), LOOP_EEXIST);
    support_finish(loop);
    assert_ok(fclose(file));
    assert_ok(close(fds[0]));
    assert_ok(close(fds[1]));
}

static void a_detached_descriptor_goes_on_in_another_loop(void **state)
{
    char text[8];
    loop_buf_t in = buf_of(text, sizeof(text));
    loop_op_t op = {0};
    loop_t *other = support_loop();
    int fd;

    (void)state;
    begin_with(SOCK_STREAM);
    fd = loop_desc_fd(&left);
    assert_ok(loop_op_read(&left, &op, &in, 1, note));
    assert_int_equal(loop_desc_detach(&left), LOOP_EBUSY);
    assert_ok(loop_op_cancel(&op));
    run_until(1);
    assert_ok(loop_desc_detach(&left));
    assert_int_equal(loop_desc_detach(&left), LOOP_EBADF);
    assert_ok(loop_desc_attach(other, &left, fd, LOOP_DESC_OWNED));
    assert_int_equal(write(loop_desc_fd(&right), "hi", 2), 2);
    assert_ok(loop_op_read(&left, &op, &in, 1, note));
    assert_ok(loop_run(other, LOOP_RUN_DEFAULT));
    assert_int_equal(completions, 2);
    assert_int_equal(op.bytes, 2);
    support_finish(other);
    support_finish(loop);
}

static void detach_in_last(loop_op_t *op)
{
    note(op);
    assert_ok(loop_desc_detach(&left));
    memset(&left, 0xff, sizeof(left)); /* it is ours again */
}

static void the_last_operations_callback_may_detach(void **state)
{
    char text[8];
    loop_buf_t in = buf_of(text, sizeof(text));
    loop_op_t op = {0};
    int fd;

    (void)state;
    begin_with(SOCK_STREAM);
    fd = loop_desc_fd(&left);
    assert_int_equal(write(loop_desc_fd(&right), "hi", 2), 2);
    assert_ok(loop_op_read(&left, &op, &in, 1, detach_in_last));
    run_until(1);
    assert_ok(close(fd));
    support_finish(loop);
}

/* The owner closes a descriptor early, a duplicate keeps the registration alive in the kernel, the number is reused. */
static void events_of_a_descriptor_closed_early_reach_nobody_else(void **state)
{
    char text[8];
    loop_buf_t in = buf_of(text, sizeof(text));
    loop_op_t stale = {0};
    loop_op_t fresh = {0};
    loop_desc_t next;
    int old[2];
    int new[2];
    int dup_fd;

    (void)state;
    loop = support_loop();
    completions = 0;
    assert_ok(socketpair(AF_UNIX, SOCK_STREAM, 0, old));
    assert_ok(loop_desc_attach(loop, &left, old[0], 0));
    assert_ok(loop_op_read(&left, &stale, &in, 1, note));
    dup_fd = dup(old[0]);
    assert_ok(close(old[0]));
    assert_ok(socketpair(AF_UNIX, SOCK_STREAM, 0, new));
    assert_int_equal(new[0], old[0]);
    assert_ok(loop_desc_attach(loop, &next, new[0], 0));
    assert_ok(loop_op_read(&next, &fresh, &in, 1, note));
    assert_int_equal(write(old[1], "old", 3), 3);
    assert_int_equal(loop_run(loop, LOOP_RUN_NOWAIT), 1);
    assert_int_equal(completions, 0);
    assert_ok(loop_handle_close(&left.handle, NULL)); /* must not take the new registration with it */
    run_until(1);
    assert_ptr_equal(done[0], &stale);
    assert_int_equal(stale.status, LOOP_ECANCELED);
    assert_int_equal(write(new[1], "new", 3), 3);
    run_until(2);
    assert_ptr_equal(done[1], &fresh);
    assert_int_equal(fresh.bytes, 3);
    support_finish(loop);
    assert_ok(close(dup_fd) | close(old[1]) | close(new[0]) | close(new[1]));
}

static void a_tcp_handle_may_get_the_number_of_a_descriptor_closed_early(void **state)
{
    loop_tcp_t tcp;
    loop_op_t op = {0};
    int old[2];
    int tcps[2];
    int dup_fd;
    char text[8];
    loop_buf_t in = buf_of(text, sizeof(text));

    (void)state;
    loop = support_loop();
    completions = 0;
    support_socket_pair(tcps);
    assert_ok(socketpair(AF_UNIX, SOCK_STREAM, 0, old));
    assert_ok(loop_desc_attach(loop, &left, old[0], 0));
    dup_fd = dup(old[0]);
    assert_int_equal(dup2(tcps[0], old[0]), old[0]);
    assert_ok(close(tcps[0]));
    assert_ok(loop_tcp_init(loop, &tcp));
    assert_ok(loop_tcp_open(&tcp, old[0]));
    assert_ok(loop_handle_close(&left.handle, NULL));
    /* The registration of tcp is still there: a byte arrives. */
    assert_ok(loop_desc_attach(loop, &right, tcps[1], LOOP_DESC_TCP));
    assert_ok(loop_op_read(&right, &op, &in, 1, note));
    assert_int_equal(loop_tcp_try_write(&tcp, &(loop_buf_t){"x", 1}, 1), 1);
    run_until(1);
    assert_int_equal(op.bytes, 1);
    support_finish(loop);
    assert_ok(close(dup_fd) | close(old[1]) | close(tcps[1]));
}

static void a_child_that_inherits_a_closed_descriptor_causes_no_events(void **state)
{
    int go[2];
    int fds[2];
    pid_t child;
    loop_tcp_t tcp;
    int status;
    char byte = 'x';

    (void)state;
    loop = support_loop();
    support_socket_pair(fds);
    assert_ok(pipe(go));
    assert_ok(loop_tcp_init(loop, &tcp));
    assert_ok(loop_tcp_open(&tcp, fds[0]));
    child = fork();
    if (child == 0) {
        (void)close(go[1]);
        _exit(read(go[0], &byte, 1) == 0 ? 0 : 1);
    }
    assert_ok(loop_handle_close(&tcp.handle, NULL));
    assert_ok(loop_run(loop, LOOP_RUN_DEFAULT));
    memset(&tcp, 0xff, sizeof(tcp)); /* whoever follows a stale pointer will notice */
    assert_int_equal(write(fds[1], &byte, 1), 1);
    assert_ok(loop_run(loop, LOOP_RUN_NOWAIT));
    assert_ok(loop_close(loop));
    assert_ok(close(go[1]));
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_ok(close(go[0]) | close(fds[1]));
}

/* ----------------------------------------------------------------------------------------------- reading and writing -- */

static void what_is_written_is_read(void **state)
{
    char a[] = "one ";
    char b[] = "two";
    char text[16] = "";
    loop_buf_t out[3] = {buf_of(a, 4), buf_of(NULL, 0), buf_of(b, 3)};
    loop_buf_t in[2] = {buf_of(text, 2), buf_of(text + 2, 14)};
    loop_op_t reading = {0};
    loop_op_t writing = {0};

    (void)state;
    begin_with(SOCK_STREAM);
    assert_null(loop_op_get_handle(&reading));
    assert_ok(loop_op_read(&left, &reading, in, 2, note));
    assert_ok(loop_op_write(&right, &writing, out, 3, note));
    memset(out, 0, sizeof(out)); /* the arrays are ours when the call returns */
    memset(in, 0, sizeof(in));
    assert_int_equal(completions, 0); /* never inline */
    assert_true(loop_handle_is_active(&left.handle));
    assert_ptr_equal(loop_op_get_handle(&reading), &left.handle);
    run_until(2);
    assert_ptr_equal(done[0], &writing);
    assert_int_equal(writing.bytes, 7);
    assert_int_equal(reading.bytes, 7);
    assert_int_equal(reading.status, 0);
    assert_memory_equal(text, "one two", 7);
    assert_false(loop_handle_is_active(&left.handle));
    support_finish(loop);
}

static void operations_of_one_direction_complete_in_their_order(void **state)
{
    char text[8] = "";
    loop_op_t ops[4];
    loop_op_t writing = {0};

    (void)state;
    memset(ops, 0, sizeof(ops));
    begin_with(SOCK_STREAM);
    for (int i = 0; i < 4; i++)
        assert_ok(loop_op_read(&left, &ops[i], &(loop_buf_t){&text[i], 1}, 1, note));
    assert_ok(loop_op_write(&right, &writing, &(loop_buf_t){"abcd", 4}, 1, note));
    run_until(5);
    for (int i = 0; i < 4; i++)
        assert_ptr_equal(done[i + 1], &ops[i]);
    assert_string_equal(text, "abcd");
    support_finish(loop);
}

static void the_end_of_the_stream_is_a_status(void **state)
{
    char text[8];
    loop_op_t op = {0};

    (void)state;
    begin_with(SOCK_STREAM);
    assert_ok(loop_op_read(&left, &op, &(loop_buf_t){text, 8}, 1, note));
    assert_ok(loop_handle_close(&right.handle, NULL));
    run_until(1);
    assert_int_equal(op.status, LOOP_EOF);
    assert_int_equal(op.bytes, 0);
    support_finish(loop);
}

static void transfers_of_no_bytes(void **state)
{
    char text[8];
    loop_op_t op = {0};

    (void)state;
    begin_with(SOCK_STREAM);
    assert_ok(loop_op_write(&right, &op, NULL, 0, note));
    run_until(1);
    assert_int_equal(op.status, 0);
    assert_ok(loop_op_read(&left, &op, &(loop_buf_t){text, 0}, 1, note)); /* waits for something to read */
    assert_int_equal(loop_run(loop, LOOP_RUN_NOWAIT), 1);
    assert_int_equal(completions, 1);
    assert_int_equal(write(loop_desc_fd(&right), "x", 1), 1);
    run_until(2);
    assert_int_equal(op.status, 0);
    assert_int_equal(op.bytes, 0);
    support_finish(loop);
}

#define BIG (4 * 1024 * 1024)
#define PIECES 3000

static void a_write_of_many_buffers_waits_until_all_went_out(void **state)
{
    unsigned char *data = malloc(BIG);
    unsigned char *got = malloc(BIG);
    loop_buf_t *bufs = calloc(PIECES, sizeof(*bufs));
    loop_op_t writing = {0};
    size_t received = 0;

    (void)state;
    assert_non_null(data);
    assert_non_null(got);
    assert_non_null(bufs);
    for (size_t i = 0; i < BIG; i++)
        data[i] = (unsigned char)(i * 31 + i / 4096);
    for (size_t i = 0; i < PIECES; i++) {
        size_t from = i * (BIG / PIECES);

        bufs[i] = buf_of(data + from, (i + 1 < PIECES ? (i + 1) * (BIG / PIECES) : BIG) - from);
    }
    begin_with(SOCK_STREAM);
    assert_ok(loop_op_write(&right, &writing, bufs, PIECES, note));
    free(bufs);
    while (received < BIG) {
        ssize_t n = read(loop_desc_fd(&left), got + received, BIG - received);

        if (n > 0)
            received += (size_t)n;
        else
            assert_true(loop_run(loop, LOOP_RUN_NOWAIT) >= 0);
    }
    run_until(1);
    assert_int_equal(writing.bytes, BIG);
    assert_int_equal(writing.status, 0);
    assert_memory_equal(data, got, BIG);
    free(data);
    free(got);
    support_finish(loop);
}

static void a_cancelled_write_tells_how_much_went_out(void **state)
{
    unsigned char *data = calloc(1, BIG);
    loop_op_t writing = {0};
    loop_op_t second = {0};
    size_t received = 0;
    ssize_t n;

    (void)state;
    assert_non_null(data);
    begin_with(SOCK_STREAM);
    assert_ok(loop_op_write(&right, &writing, &(loop_buf_t){data, BIG}, 1, note));
    assert_ok(loop_op_write(&right, &second, &(loop_buf_t){data, 1}, 1, note));
    assert_ok(loop_op_cancel(&second));
    assert_ok(loop_op_cancel(&writing));
    assert_ok(loop_op_cancel(&writing)); /* asking twice changes nothing */
    run_until(2);
    assert_int_equal(writing.status, LOOP_ECANCELED);
    assert_true(writing.bytes > 0 && writing.bytes < BIG);
    assert_int_equal(second.status, LOOP_ECANCELED);
    assert_int_equal(second.bytes, 0);
    while ((n = read(loop_desc_fd(&left), data, BIG)) > 0)
        received += (size_t)n;
    assert_int_equal(received, writing.bytes);
    free(data);
    support_finish(loop);
}

static void writing_without_a_reader_fails_and_raises_no_signal(void **state)
{
    loop_op_t op = {0};
    sigset_t set;
    sigset_t pending;
    int fds[2];

    (void)state;
    loop = support_loop();
    completions = 0;
    assert_ok(pipe(fds));
    assert_ok(close(fds[0]));
    assert_ok(loop_desc_attach(loop, &left, fds[1], LOOP_DESC_OWNED));
    assert_ok(loop_op_write(&left, &op, &(loop_buf_t){"x", 1}, 1, note));
    run_until(1);
    assert_int_equal(op.status, LOOP_EPIPE);

    /* A SIGPIPE that waited before is not ours to take. */
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGPIPE);
    assert_ok(sigprocmask(SIG_BLOCK, &set, NULL));
    assert_ok(loop_op_write(&left, &op, &(loop_buf_t){"x", 1}, 1, note));
    assert_ok(sigpending(&pending));
    assert_false(sigismember(&pending, SIGPIPE));
    assert_ok(raise(SIGPIPE));
    run_until(2);
    assert_ok(loop_op_write(&left, &op, &(loop_buf_t){"x", 1}, 1, note));
    run_until(3);
    assert_ok(sigpending(&pending));
    assert_true(sigismember(&pending, SIGPIPE));
    assert_ok(signal(SIGPIPE, SIG_IGN) == SIG_ERR);
    assert_ok(sigprocmask(SIG_UNBLOCK, &set, NULL));
    assert_true(signal(SIGPIPE, SIG_DFL) == SIG_IGN);
    support_finish(loop);

    begin_with(SOCK_STREAM);
    assert_ok(loop_handle_close(&left.handle, NULL));
    assert_ok(loop_op_write(&right, &op, &(loop_buf_t){"x", 1}, 1, note));
    run_until(1);
    assert_int_equal(op.status, LOOP_EPIPE);
    support_finish(loop);
}

/* --------------------------------------------------------------------------------------------------------- datagrams -- */

static void datagrams_keep_their_bounds_and_bring_their_sender(void **state)
{
    struct sockaddr_storage addr = support_loopback();
    struct sockaddr_storage from;
    struct sockaddr_storage own;
    socklen_t length = sizeof(addr);
    socklen_t own_length = sizeof(own);
    int a = socket(AF_INET, SOCK_DGRAM, 0);
    int b = socket(AF_INET, SOCK_DGRAM, 0);
    loop_op_t receiving[3];
    loop_op_t sending = {0};
    char text[3][4] = {"", "", ""};

    (void)state;
    memset(receiving, 0, sizeof(receiving));
    loop = support_loop();
    completions = 0;
    assert_ok(bind(a, (struct sockaddr *)&addr, sizeof(struct sockaddr_in)));
    assert_ok(bind(b, (struct sockaddr *)&addr, sizeof(struct sockaddr_in)));
    assert_ok(getsockname(a, (struct sockaddr *)&addr, &length));
    assert_ok(getsockname(b, (struct sockaddr *)&own, &own_length));
    assert_ok(loop_desc_attach(loop, &left, a, LOOP_DESC_OWNED));
    assert_ok(loop_desc_attach(loop, &right, b, LOOP_DESC_OWNED));
    for (int i = 0; i < 3; i++)
        assert_ok(loop_op_receive(&left, &receiving[i], &(loop_buf_t){text[i], 4}, 1, i == 0 ? &from : NULL, note));
    assert_ok(loop_op_send(&right, &sending, &(loop_buf_t){"abc", 3}, 1, (struct sockaddr *)&addr, note));
    run_until(2);
    assert_int_equal(receiving[0].bytes, 3);
    assert_int_equal(receiving[0].flags, 0);
    assert_int_equal(loop_ip_port((struct sockaddr *)&from), loop_ip_port((struct sockaddr *)&own));
    assert_ok(loop_op_send(&right, &sending, NULL, 0, (struct sockaddr *)&addr, note));
    run_until(4);
    assert_int_equal(receiving[1].bytes, 0);
    assert_int_equal(receiving[1].status, 0);
    assert_ok(loop_op_send(&right, &sending, &(loop_buf_t){"too long", 8}, 1, (struct sockaddr *)&addr, note));
    run_until(6);
    assert_int_equal(receiving[2].bytes, 4);
    assert_int_equal(receiving[2].flags, LOOP_OP_TRUNCATED);
    support_finish(loop);
}

static void a_datagram_nobody_wants_is_reported_on_a_connected_socket(void **state)
{
    struct sockaddr_storage addr = support_loopback();
    socklen_t length = sizeof(addr);
    int gone = socket(AF_INET, SOCK_DGRAM, 0);
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    loop_op_t receiving = {0};
    loop_op_t sending = {0};
    char text[4];

    (void)state;
    loop = support_loop();
    completions = 0;
    assert_ok(bind(gone, (struct sockaddr *)&addr, sizeof(struct sockaddr_in)));
    assert_ok(getsockname(gone, (struct sockaddr *)&addr, &length));
    assert_ok(close(gone));
    assert_ok(connect(fd, (struct sockaddr *)&addr, length));
    assert_ok(loop_desc_attach(loop, &left, fd, LOOP_DESC_OWNED));
    assert_ok(loop_op_receive(&left, &receiving, &(loop_buf_t){text, 4}, 1, NULL, note));
    assert_ok(loop_op_send(&left, &sending, &(loop_buf_t){"x", 1}, 1, NULL, note));
    run_until(2);
    assert_int_equal(receiving.status, LOOP_ECONNREFUSED);
    support_finish(loop);
}

/* A full AF_UNIX datagram socket makes the send wait; its buffers and address are copied meanwhile. */
static void a_parked_send_keeps_its_address(void **state)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    loop_op_t sending[400];
    int a = socket(AF_UNIX, SOCK_DGRAM, 0);
    int b = socket(AF_UNIX, SOCK_DGRAM, 0);
    char byte = 'x';
    int parked = 0;
    int got = 0;

    (void)state;
    memset(sending, 0, sizeof(sending));
    loop = support_loop();
    completions = 0;
    (void)snprintf(addr.sun_path + 1, sizeof(addr.sun_path) - 1, "loop-test-%ld", (long)getpid());
    assert_ok(bind(a, (struct sockaddr *)&addr, sizeof(addr)));
    assert_ok(loop_desc_attach(loop, &right, b, LOOP_DESC_OWNED));
    for (int i = 0; i < 400; i++) {
        struct sockaddr_un copy = addr;
        loop_buf_t two[2] = {buf_of(&byte, 1), buf_of(&byte, 1)};

        assert_ok(loop_op_send(&right, &sending[i], two, 2, (struct sockaddr *)&copy, note));
        memset(&copy, 0, sizeof(copy));
        memset(two, 0, sizeof(two));
    }
    (void)loop_run(loop, LOOP_RUN_NOWAIT);
    parked = 400 - completions;
    assert_true(parked > 0);
    while (completions < 400 || got < 400) {
        char text[4];

        if (recv(a, text, sizeof(text), MSG_DONTWAIT) == 2)
            got++;
        else
            (void)loop_run(loop, LOOP_RUN_NOWAIT);
    }
    for (int i = 0; i < 400; i++)
        assert_int_equal(sending[i].status, 0);
    support_finish(loop);
    assert_ok(close(a));
}

/* --------------------------------------------------------------------------------------------------------- readiness -- */

static void readiness_is_what_the_system_says_now(void **state)
{
    char text[8];
    loop_op_t op = {0};
    int fd;

    (void)state;
    begin_with(SOCK_STREAM);
    fd = loop_desc_fd(&left);
    assert_ok(loop_op_ready(&left, &op, LOOP_READABLE | LOOP_WRITABLE, note));
    run_until(1);
    assert_int_equal(op.flags, LOOP_WRITABLE);
    assert_ok(loop_op_ready(&left, &op, LOOP_READABLE, note));
    assert_int_equal(loop_run(loop, LOOP_RUN_NOWAIT), 1);
    assert_int_equal(completions, 1);
    assert_int_equal(write(loop_desc_fd(&right), "ab", 2), 2);
    run_until(2);
    assert_int_equal(op.flags, LOOP_READABLE);
    assert_int_equal(read(fd, text, 1), 1);
    assert_ok(loop_op_ready(&left, &op, LOOP_READABLE, note)); /* one byte is left */
    run_until(3);
    assert_int_equal(read(fd, text, 8), 1);
    assert_ok(loop_op_ready(&left, &op, LOOP_READABLE, note)); /* none is */
    assert_int_equal(loop_run(loop, LOOP_RUN_NOWAIT), 1);
    assert_int_equal(completions, 3);
    assert_ok(loop_op_cancel(&op));
    run_until(4);
    assert_int_equal(op.status, LOOP_ECANCELED);
    assert_int_equal(loop_op_ready(&left, &op, 0, note), LOOP_EINVAL);
    assert_int_equal(loop_op_ready(&left, &op, 64, note), LOOP_EINVAL);
    support_finish(loop);
}

static void a_full_socket_becomes_writable_when_the_peer_reads(void **state)
{
    static char data[65536];
    loop_op_t writable = {0};
    loop_op_t either = {0};
    int fd;

    (void)state;
    begin_with(SOCK_STREAM);
    fd = loop_desc_fd(&left);
    while (write(fd, data, sizeof(data)) > 0)
        continue;
    assert_ok(loop_op_ready(&left, &writable, LOOP_WRITABLE, note));
    assert_ok(loop_op_ready(&left, &either, LOOP_READABLE | LOOP_WRITABLE, note));
    assert_int_equal(loop_run(loop, LOOP_RUN_NOWAIT), 1);
    assert_int_equal(completions, 0);
    while (read(loop_desc_fd(&right), data, sizeof(data)) > 0)
        continue;
    run_until(2);
    assert_int_equal(writable.flags, LOOP_WRITABLE);
    assert_int_equal(either.flags, LOOP_WRITABLE);
    support_finish(loop);
}

static void a_hang_up_counts_as_both(void **state)
{
    loop_op_t op = {0};

    (void)state;
    begin_with(SOCK_STREAM);
    assert_ok(loop_op_ready(&left, &op, LOOP_READABLE, note));
    assert_ok(loop_handle_close(&right.handle, NULL));
    run_until(1);
    assert_int_equal(op.flags, LOOP_READABLE);
    assert_ok(loop_op_ready(&left, &op, LOOP_READABLE | LOOP_WRITABLE, note));
    run_until(2);
    assert_int_equal(op.flags, LOOP_READABLE | LOOP_WRITABLE);
    support_finish(loop);
}

/* ------------------------------------------------------------------------------------------------ accept and connect -- */

static void connections_are_made_and_taken_by_operations(void **state)
{
    struct sockaddr_storage addr = support_loopback();
    socklen_t length = sizeof(addr);
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    int client = socket(AF_INET, SOCK_STREAM, 0);
    loop_op_t accepting[2];
    loop_op_t connecting = {0};

    (void)state;
    memset(accepting, 0, sizeof(accepting));
    loop = support_loop();
    completions = 0;
    assert_ok(bind(listener, (struct sockaddr *)&addr, sizeof(struct sockaddr_in)));
    assert_ok(listen(listener, 8));
    assert_ok(getsockname(listener, (struct sockaddr *)&addr, &length));
    assert_ok(loop_desc_attach(loop, &left, listener, LOOP_DESC_OWNED));
    assert_ok(loop_op_accept(&left, &accepting[0], note));
    assert_ok(loop_op_accept(&left, &accepting[1], note));
    assert_ok(loop_desc_attach(loop, &right, client, LOOP_DESC_OWNED)); /* before it connects: it reports a hang-up */
    (void)loop_run(loop, LOOP_RUN_NOWAIT);
    assert_ok(loop_op_connect(&right, &connecting, (struct sockaddr *)&addr, note));
    run_until(2);
    assert_int_equal(connecting.status, 0);
    assert_int_equal(accepting[0].status, 0);
    assert_true(fcntl(accepting[0].fd, F_GETFD) & FD_CLOEXEC);
    assert_true(fcntl(accepting[0].fd, F_GETFL) & O_NONBLOCK);
    assert_ok(close(accepting[0].fd));
    assert_ok(loop_op_cancel(&accepting[1]));
    run_until(3);
    assert_int_equal(accepting[1].status, LOOP_ECANCELED);
    assert_int_equal(accepting[1].fd, LOOP_INVALID_FD);
    assert_int_equal(loop_op_connect(&right, &connecting, NULL, note), LOOP_EINVAL);
    support_finish(loop);
}

static void a_refused_connection_is_a_status(void **state)
{
    struct sockaddr_storage addr = support_loopback();
    socklen_t length = sizeof(addr);
    int gone = socket(AF_INET, SOCK_STREAM, 0);
    loop_op_t connecting = {0};

    (void)state;
    loop = support_loop();
    completions = 0;
    assert_ok(bind(gone, (struct sockaddr *)&addr, sizeof(struct sockaddr_in)));
    assert_ok(getsockname(gone, (struct sockaddr *)&addr, &length));
    assert_ok(close(gone));
    assert_ok(loop_desc_attach(loop, &left, socket(AF_INET, SOCK_STREAM, 0), LOOP_DESC_OWNED));
    assert_ok(loop_op_connect(&left, &connecting, (struct sockaddr *)&addr, note));
    run_until(1);
    assert_int_equal(connecting.status, LOOP_ECONNREFUSED);
    support_finish(loop);
}

/* ------------------------------------------------------------------------------------------------ cancel and close -- */

static void wrong_use_is_refused(void **state)
{
    char text[4];
    loop_buf_t in = buf_of(text, 4);
    loop_op_t op = {0};
    loop_op_t other = {0};

    (void)state;
    begin_with(SOCK_STREAM);
    assert_int_equal(loop_op_cancel(NULL), LOOP_EINVAL);
    assert_int_equal(loop_op_cancel(&op), LOOP_ENOENT);
    assert_null(loop_op_get_handle(NULL));
    assert_int_equal(loop_op_read(NULL, &op, &in, 1, note), LOOP_EINVAL);
    assert_int_equal(loop_op_read(&left, NULL, &in, 1, note), LOOP_EINVAL);
    assert_int_equal(loop_op_read(&left, &op, &in, 1, NULL), LOOP_EINVAL);
    assert_int_equal(loop_op_read(&left, &op, NULL, 1, note), LOOP_EINVAL);
    assert_int_equal(loop_op_write(&left, &op, &(loop_buf_t){NULL, 1}, 1, note), LOOP_EINVAL);
    assert_int_equal(loop_op_write(&left, &op, &(loop_buf_t){text, SIZE_MAX}, 1, note), LOOP_EINVAL);
    assert_int_equal(loop_op_send(&left, &op, &in, 1, &(struct sockaddr){.sa_family = AF_UNSPEC}, note), LOOP_EINVAL);
    assert_int_equal(loop_op_accept(NULL, &op, note), LOOP_EINVAL);
    assert_int_equal(loop_op_receive(NULL, &op, &in, 1, NULL, note), LOOP_EINVAL);
    assert_int_equal(loop_op_send(NULL, &op, &in, 1, NULL, note), LOOP_EINVAL);
    assert_int_equal(loop_op_ready(NULL, &op, LOOP_READABLE, note), LOOP_EINVAL);
    assert_int_equal(loop_op_connect(NULL, &op, NULL, note), LOOP_EINVAL);
    assert_int_equal(loop_desc_detach(NULL), LOOP_EINVAL);
    assert_int_equal(loop_desc_fd(NULL), LOOP_INVALID_FD);
    assert_ok(loop_op_read(&left, &op, &in, 1, note));
    assert_int_equal(loop_op_read(&left, &op, &in, 1, note), LOOP_EBUSY);
    assert_int_equal(loop_op_write(&right, &op, &in, 1, note), LOOP_EBUSY);
    assert_ok(loop_handle_close(&left.handle, NULL));
    assert_int_equal(loop_op_read(&left, &other, &in, 1, note), LOOP_EBADF);
    assert_int_equal(loop_close(loop), LOOP_EBUSY);
    run_until(1);
    assert_int_equal(op.status, LOOP_ECANCELED);
    support_finish(loop);
}

static int closed_after;

static void note_closed(loop_handle_t *handle)
{
    (void)handle;
    closed_after = completions;
}

static void close_left(loop_op_t *op)
{
    note(op);
    (void)loop_handle_close(&left.handle, note_closed);
}

static void closing_completes_everything_once_and_then_calls_back(void **state)
{
    static char text[16];
    loop_op_t ops[8];

    (void)state;
    memset(ops, 0, sizeof(ops));
    begin_with(SOCK_STREAM);
    closed_after = 0;
    for (int i = 0; i < 8; i++)
        assert_ok(loop_op_read(&left, &ops[i], &(loop_buf_t){text, 1}, 1, close_left));
    /* Two bytes: two reads finish in the same batch, and the first callback closes. */
    assert_int_equal(write(loop_desc_fd(&right), "ab", 2), 2);
    run_until(8);
    (void)loop_run(loop, LOOP_RUN_NOWAIT);
    assert_int_equal(closed_after, 8);
    for (int i = 0; i < 8; i++)
        assert_int_equal(ops[i].status, i < 2 ? 0 : LOOP_ECANCELED);
    support_finish(loop);
}

static void resubmit(loop_op_t *op)
{
    static char text[4];

    note(op);
    if (completions < 100)
        assert_ok(loop_op_write(&left, op, &(loop_buf_t){text, 1}, 1, resubmit));
}

static void an_operation_may_be_submitted_again_in_its_callback_without_starving_others(void **state)
{
    loop_op_t op = {0};
    char text[4];

    (void)state;
    begin_with(SOCK_STREAM);
    assert_ok(loop_op_write(&left, &op, &(loop_buf_t){text, 1}, 1, resubmit));
    (void)loop_run(loop, LOOP_RUN_NOWAIT);
    assert_true(completions > 1 && completions < 100); /* several rounds, and an end of the turn */
    while (completions < 100)
        (void)loop_run(loop, LOOP_RUN_NOWAIT);
    support_finish(loop);
}

/* ---------------------------------------------------------------------------------------------------- random sequence -- */

#define PAIRS 12
#define OPS 6

struct model_op {
    loop_op_t op;
    bool in_flight;
    int end;
    bool writes;
    char byte[64];
};

static loop_desc_t descs[PAIRS * 2];
static bool open_desc[PAIRS * 2];
static struct model_op model[PAIRS * 2][OPS];
static size_t sent[PAIRS * 2];     /* bytes that left an end */
static size_t received[PAIRS * 2]; /* bytes that arrived at it */
static bool inside_call;

static void check_completion(loop_op_t *op)
{
    struct model_op *m = op->data;

    assert_false(inside_call);
    assert_true(m->in_flight);
    assert_true(loop_handle_get_type(&descs[m->end].handle) == LOOP_DESC); /* not after its close callback */
    m->in_flight = false;
    if (m->writes)
        sent[m->end] += op->bytes;
    else
        received[m->end] += op->bytes;
}

static void check_closed(loop_handle_t *handle)
{
    int end = (int)((loop_desc_t *)handle - descs);

    for (int i = 0; i < OPS; i++)
        assert_false(model[end][i].in_flight);
    open_desc[end] = false;
}

static void open_pair(int pair)
{
    int fds[2];

    assert_ok(socketpair(AF_UNIX, SOCK_STREAM, 0, fds));
    for (int i = 0; i < 2; i++) {
        int end = pair * 2 + i;

        assert_ok(loop_desc_attach(loop, &descs[end], fds[i], LOOP_DESC_OWNED));
        open_desc[end] = true;
        sent[end] = 0;
        received[end] = 0;
    }
}

static void any_sequence_of_operations_completes_each_exactly_once(void **state)
{
    uint64_t random = support_seed();
    int steps = harness_slow() ? 3000 : 30000;

    (void)state;
    loop = support_loop();
    memset(model, 0, sizeof(model));
    for (int pair = 0; pair < PAIRS; pair++)
        open_pair(pair);
    for (int step = 0; step < steps; step++) {
        int end = (int)support_random(&random, PAIRS * 2);
        struct model_op *m = &model[end][support_random(&random, OPS)];
        uint32_t action = support_random(&random, 100);
        loop_buf_t buf = buf_of(m->byte, 1 + support_random(&random, sizeof(m->byte)));
        bool usable = open_desc[end] && !loop_handle_is_closing(&descs[end].handle);
        int rc;

        inside_call = true;
        m->op.data = m;
        if (action < 70 && !m->in_flight) {
            m->end = end;
            m->writes = action < 30;
            rc = m->writes     ? loop_op_write(&descs[end], &m->op, &buf, 1, check_completion)
                 : action < 60 ? loop_op_read(&descs[end], &m->op, &buf, 1, check_completion)
                               : loop_op_ready(&descs[end], &m->op, 1 + support_random(&random, 3), check_completion);
            assert_int_equal(rc, usable ? 0 : LOOP_EBADF);
            m->in_flight = rc == 0;
        } else if (action < 80) {
            assert_int_equal(loop_op_cancel(&m->op), m->in_flight ? 0 : LOOP_ENOENT);
        } else if (action < 81 && usable) {
            assert_ok(loop_handle_close(&descs[end].handle, check_closed));
        }
        inside_call = false;
        if (action >= 81)
            assert_true(loop_run(loop, LOOP_RUN_NOWAIT) >= 0);
        if (!open_desc[end] && !open_desc[end ^ 1]) {
            assert_true(received[end] <= sent[end ^ 1]);
            assert_true(received[end ^ 1] <= sent[end]);
            open_pair(end / 2);
        }
    }
    support_finish(loop);
    for (int end = 0; end < PAIRS * 2; end++) {
        for (int i = 0; i < OPS; i++)
            assert_false(model[end][i].in_flight);
    }
}

LOOP_TEST_MAIN(TEST(an_attached_descriptor_is_non_blocking_and_close_on_exec),
               TEST(what_cannot_be_attached_says_so_and_is_left_as_it_was),
               TEST(a_detached_descriptor_goes_on_in_another_loop), TEST(the_last_operations_callback_may_detach),
               TEST(events_of_a_descriptor_closed_early_reach_nobody_else),
               TEST(a_tcp_handle_may_get_the_number_of_a_descriptor_closed_early),
               TEST(a_child_that_inherits_a_closed_descriptor_causes_no_events), TEST(what_is_written_is_read),
               TEST(operations_of_one_direction_complete_in_their_order), TEST(the_end_of_the_stream_is_a_status),
               TEST(transfers_of_no_bytes), TEST(a_write_of_many_buffers_waits_until_all_went_out),
               TEST(a_cancelled_write_tells_how_much_went_out),
               TEST(writing_without_a_reader_fails_and_raises_no_signal),
               TEST(datagrams_keep_their_bounds_and_bring_their_sender),
               TEST(a_datagram_nobody_wants_is_reported_on_a_connected_socket), TEST(a_parked_send_keeps_its_address),
               TEST(readiness_is_what_the_system_says_now), TEST(a_full_socket_becomes_writable_when_the_peer_reads),
               TEST(a_hang_up_counts_as_both), TEST(connections_are_made_and_taken_by_operations),
               TEST(a_refused_connection_is_a_status), TEST(wrong_use_is_refused),
               TEST(closing_completes_everything_once_and_then_calls_back),
               TEST(an_operation_may_be_submitted_again_in_its_callback_without_starving_others),
               TEST(any_sequence_of_operations_completes_each_exactly_once))
