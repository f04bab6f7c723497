/*
 * What a read that fills less than its buffer means. On TCP itself it means that all was read, which saves a call for every
 * piece of data. On all else, what is built upon TCP included, the next read has to find out.
 */
#include "fault_calls.h"
#include "op_fixture.h"
#include "support_posix.h"

#include <errno.h>
#include <unistd.h>

#define MULTIPATH 262 /* IPPROTO_MPTCP, newer than some headers */

enum way {
    OPENED,    /* a connection given to a TCP handle */
    CONNECTED, /* a fresh socket given to a TCP handle, which connects it */
    ACCEPTED,  /* by a TCP handle that listens */
    ATTACHED,  /* to a descriptor of the caller */
    WAYS
};

static loop_tcp_t tcp;
static loop_tcp_t server;
static loop_op_t op;
static char text[16];
static int got;
static int taken;

/* ------------------------------------------------------------------------------------- what the system says of sockets -- */

static int (*real_getsockopt)(int fd, int level, int name, void *value, socklen_t *len);
static int protocol;     /* of the sockets on the loop's side */
static const char *said; /* "": the truth */

static int say(int fd, int level, int name, void *value, socklen_t *len)
{
    bool asks_protocol = level == SOL_SOCKET && name == support_so_protocol;

    if (asks_protocol && strcmp(said, "multipath") == 0) {
        *(int *)value = MULTIPATH;
        return 0;
    }
    if (asks_protocol && strcmp(said, "nothing") == 0) {
        errno = ENOPROTOOPT;
        return -1;
    }
    if (level == IPPROTO_TCP && name == support_tcp_ulp && strcmp(said, "tls") == 0) {
        (void)snprintf(value, *len, "tls");
        *len = 4;
        return 0;
    }
    return real_getsockopt(fd, level, name, value, len);
}

/* --------------------------------------------------------------------------------------------------------- connections -- */

static int socket_of(int number)
{
    int fd = support_socket(number);

    assert_true(fd >= 0);
    return fd;
}

static struct sockaddr_storage listening(int fd)
{
    struct sockaddr_storage addr = support_loopback();
    socklen_t length = sizeof(struct sockaddr_in);

    assert_ok(bind(fd, (struct sockaddr *)&addr, length));
    assert_ok(listen(fd, 1));
    assert_ok(getsockname(fd, (struct sockaddr *)&addr, &length));
    return addr;
}

static void dial(int fd, const struct sockaddr_storage *addr)
{
    assert_ok(connect(fd, (const struct sockaddr *)addr, sizeof(struct sockaddr_in)));
}

static void take(loop_tcp_t *s, int status)
{
    assert_ok(status);
    assert_ok(loop_tcp_accept(s, &tcp));
    taken = 1;
}

/* These return the socket that the handle or descriptor is connected with. */
static int accepted_by_us(void)
{
    int listener = socket_of(protocol);
    struct sockaddr_storage addr = listening(listener);
    int peer = socket_of(0);

    taken = 0;
    assert_ok(loop_tcp_init(loop, &server));
    assert_ok(loop_tcp_open(&server, listener));
    assert_ok(loop_tcp_listen(&server, 1, take));
    dial(peer, &addr);
    support_until(loop, &taken);
    return peer;
}

static int accepted_by_the_peer(enum way way)
{
    int listener = socket_of(0);
    struct sockaddr_storage addr = listening(listener);
    int fd = socket_of(protocol);
    int peer;

    if (way == CONNECTED) {
        assert_ok(loop_tcp_open(&tcp, fd));
        assert_ok(loop_tcp_connect(&tcp, &op, (struct sockaddr *)&addr, note));
        run_until(1);
        assert_ok(op.status);
    } else {
        dial(fd, &addr);
        if (way == OPENED)
            assert_ok(loop_tcp_open(&tcp, fd));
        else
            assert_ok(loop_desc_attach(loop, &left, fd, LOOP_DESC_OWNED));
    }
    peer = accept(listener, NULL, NULL);
    assert_true(peer >= 0);
    assert_ok(close(listener));
    return peer;
}

/* -------------------------------------------------------------------------------------------------------------- calls -- */

static void collect(loop_tcp_t *t, ptrdiff_t nread, const loop_buf_t *buf)
{
    (void)t;
    (void)buf;
    assert_true(nread > 0);
    got += (int)nread;
}

static void read_again(loop_op_t *reading)
{
    loop_buf_t in = buf_of(text, sizeof(text));

    if (reading->status == LOOP_ECANCELED) /* the end of the test */
        return;
    assert_ok(reading->status);
    got += (int)reading->bytes;
    assert_ok(loop_op_read(&left, reading, &in, 1, read_again));
}

static void start_reading(enum way way)
{
    loop_buf_t in = buf_of(text, sizeof(text));

    if (way == ATTACHED)
        assert_ok(loop_op_read(&left, &op, &in, 1, read_again));
    else
        assert_ok(loop_tcp_read_start(&tcp, NULL, collect));
}

/* The calls that a reader makes for one small piece of data, until it waits for more. */
static long calls_of_a_short_read(enum way way)
{
    long calls;
    int peer;

    begin();
    memset(&op, 0, sizeof(op));
    got = 0;
    assert_ok(loop_tcp_init(loop, &tcp));
    fault_begin();
    real_getsockopt = loop__sys.getsockopt;
    loop__sys.getsockopt = say;
    peer = way == ACCEPTED ? accepted_by_us() : accepted_by_the_peer(way);
    start_reading(way);
    (void)loop_run(loop, LOOP_RUN_NOWAIT); /* the edges of the beginning are over */
    fault_arm(FAULT_recv, 0, 0, 0);
    assert_int_equal(send(peer, "abc", 3, 0), 3);
    support_until(loop, &got);
    for (int i = 0; i < 3; i++)
        assert_true(loop_run(loop, LOOP_RUN_NOWAIT) >= 0);
    calls = fault_count(FAULT_recv) + fault_count(FAULT_readv);
    fault_end();
    assert_int_equal(got, 3);
    support_finish(loop);
    assert_ok(close(peer));
    return calls;
}

static void on_plain_tcp_it_means_that_all_was_read(void **state)
{
    (void)state;
    said = "";
    protocol = 0;
    for (int way = 0; way < WAYS; way++)
        assert_int_equal(calls_of_a_short_read((enum way)way), 1);
}

static void on_what_is_built_upon_tcp_it_means_nothing(void **state)
{
    static const struct {
        const char *text;
        const int *option;
    } answers[] = {{"multipath", &support_so_protocol}, {"tls", &support_tcp_ulp}, {"nothing", &support_so_protocol}};

    (void)state;
    protocol = 0;
    for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
        if (*answers[i].option < 0)
            continue; /* a system without such sockets */
        said = answers[i].text;
        for (int way = 0; way < WAYS; way++)
            assert_int_equal(calls_of_a_short_read((enum way)way), 2);
    }
}

static void on_multipath_tcp_it_means_nothing(void **state)
{
    int fd = socket(AF_INET, SOCK_STREAM, MULTIPATH);

    (void)state;
    said = "";
    protocol = MULTIPATH;
    if (fd < 0) {
        print_message("this system has no multipath TCP\n");
        return;
    }
    assert_ok(close(fd));
    for (int way = 0; way < WAYS; way++)
        assert_true(calls_of_a_short_read((enum way)way) >= 2);
}

LOOP_TEST_MAIN(TEST(on_plain_tcp_it_means_that_all_was_read), TEST(on_what_is_built_upon_tcp_it_means_nothing),
               TEST(on_multipath_tcp_it_means_nothing))
