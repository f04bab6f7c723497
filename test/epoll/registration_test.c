/* When a registration is ended by a call, and when it is left to close(): that of a connection which nobody else can have. */
#include "fault_calls.h"
#include "fork_fixture.h"
#include "internal.h"
#include "posix/readiness.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

static loop_t *loop;
static loop_tcp_t server;
static loop_tcp_t accepted;
static loop_tcp_t connected;
static loop_op_t op;
static int waiting; /* connections that were reported */
static int done;

static void on_connection(loop_tcp_t *tcp, int status)
{
    (void)tcp;
    expect(status == 0);
    waiting++;
}

static void note(loop_op_t *connect)
{
    expect(connect->status == 0);
    done++;
}

static void note_end(loop_op_t *any)
{
    (void)any;
    done++;
}

static void turn(void)
{
    expect(loop_run(loop, LOOP_RUN_NOWAIT) >= 0);
}

static void connect_it(loop_tcp_t *tcp)
{
    struct sockaddr_storage addr;
    size_t len = sizeof(addr);

    expect(loop_tcp_getsockname(&server, (struct sockaddr *)&addr, &len) == 0);
    expect(loop_tcp_connect(tcp, &op, (struct sockaddr *)&addr, note) == 0);
    waiting = 0;
    done = 0;
    run_until_count(loop, &done, 1);
    run_until_count(loop, &waiting, 1);
}

/* connected has a connection, which waits at server. */
static void connect_one(void)
{
    turn(); /* what was closed has ended */
    expect(loop_tcp_init(loop, &connected) == 0);
    connect_it(&connected);
}

static void take(void)
{
    expect(loop_tcp_init(loop, &accepted) == 0);
    expect(loop_tcp_accept(&server, &accepted) == 0);
}

static void begin_with(loop_t *new_loop)
{
    loop = new_loop;
    fault_begin();
    memset(&op, 0, sizeof(op));
    (void)support_listen(loop, &server, on_connection);
    connect_one();
}

static void begin(void)
{
    begin_with(support_loop());
}

static void finish(void)
{
    end_loop(loop);
    fault_end();
}

/* How many calls about registrations it makes to close a handle. */
static long calls_to_close(loop_tcp_t *tcp)
{
    fault_arm(FAULT_epoll_ctl, 0, 0, 0);
    expect(loop_handle_close(&tcp->handle, NULL) == 0);
    return fault_count(FAULT_epoll_ctl);
}

/* A child that comes and goes. */
static void fork_and_go_on(void)
{
    pid_t child = fork_process();

    if (in_child)
        child_passed();
    await_child(child);
}

/* Handlers of the user's, older than any loop: they run when the library has noticed the fork, and before it notices its end. */
static loop_tcp_t late;
static long calls_while_forking;
static bool acts_while_forking;

static void in_prepare(void)
{
    struct sockaddr_storage addr = support_loopback();

    if (acts_while_forking)
        expect(loop_tcp_init(loop, &late) == 0 && loop_tcp_bind(&late, (struct sockaddr *)&addr, 0) == 0);
}

static void in_parent(void)
{
    if (acts_while_forking)
        calls_while_forking = calls_to_close(&accepted);
}

static void add_fork_handlers(void)
{
    static bool added;

    if (!added)
        assert_ok(pthread_atfork(in_prepare, in_parent, NULL));
    added = true;
}

/* ------------------------------------------------------------------------------------------------------------- forks -- */

/* The first row: forks are noticed from the first loop on for which that succeeds. */
static void where_forks_are_not_noticed_every_registration_is_ended(void **state)
{
    loop_t *unlucky;

    (void)state;
    add_fork_handlers();
    fault_begin();
    fault_arm(FAULT_pthread_atfork, 1, ENOMEM, 1);
    unlucky = support_loop();
    assert_int_equal(fault_count(FAULT_pthread_atfork), 1);
    fault_end();
    begin_with(unlucky);
    take();
    assert_int_equal(calls_to_close(&accepted), 1);
    /* Another loop is luckier; but nobody knows what was before. */
    fault_arm(FAULT_pthread_atfork, 0, 0, 0);
    assert_ok(loop_close(support_loop()));
    assert_int_equal(fault_count(FAULT_pthread_atfork), 1);
    assert_int_equal(calls_to_close(&connected), 1);
    connect_one();
    take();
    assert_int_equal(calls_to_close(&accepted), 0);
    assert_int_equal(calls_to_close(&connected), 0);
    finish();
}

static void a_registration_is_ended_while_a_fork_is_under_way(void **state)
{
    (void)state;
    add_fork_handlers();
    begin();
    take();
    calls_while_forking = -1;
    acts_while_forking = true;
    fork_and_go_on();
    acts_while_forking = false;
    assert_int_equal(calls_while_forking, 1);
    /* What is made meanwhile may be in the child, too. */
    turn();
    connect_it(&late);
    assert_int_equal(calls_to_close(&late), 1);
    finish();
}

static void what_nobody_else_has_is_left_to_close(void **state)
{
    (void)state;
    begin();
    take();
    assert_int_equal(calls_to_close(&accepted), 0);
    assert_int_equal(calls_to_close(&connected), 0);
    assert_int_equal(calls_to_close(&server), 1); /* no connection: it is not worth it to know */
    finish();
}

static struct loop_sys real;

static int socket_and_fork(int family)
{
    int fd = real.socket_new(family);

    fork_and_go_on();
    return fd;
}

static int accept_and_fork(int listener)
{
    int fd = real.accept_new(listener);

    if (fd >= 0)
        fork_and_go_on();
    return fd;
}

/* The child has the socket, and the library had looked for children before it made it. */
static void a_fork_while_a_socket_is_made_is_one_after_it(void **state)
{
    struct sockaddr_storage addr = support_loopback();

    (void)state;
    begin();
    take();
    real = loop__sys;
    loop__sys.socket_new = socket_and_fork;
    assert_ok(loop_tcp_init(loop, &late));
    assert_ok(loop_tcp_bind(&late, (struct sockaddr *)&addr, 0));
    loop__sys.socket_new = real.socket_new;
    assert_int_equal(calls_to_close(&accepted), 1); /* from before */
    turn();
    connect_it(&late);
    take();
    assert_int_equal(calls_to_close(&late), 1);
    assert_int_equal(calls_to_close(&accepted), 0);
    loop__sys.accept_new = accept_and_fork;
    assert_int_equal(calls_to_close(&connected), 1);
    connect_one();
    loop__sys.accept_new = real.accept_new;
    take();
    assert_int_equal(calls_to_close(&accepted), 1);
    finish();
}

static void what_a_child_may_have_is_ended_in_both_processes(void **state)
{
    pid_t child;

    (void)state;
    begin();
    take();
    child = fork_process();
    if (in_child)
        expect(loop_fork(loop) == 0);
    expect(calls_to_close(&accepted) == 1);
    expect(calls_to_close(&connected) == 1);
    expect(calls_to_close(&server) == 1);
    /* What came after the fork is nobody else's. */
    turn();
    (void)support_listen(loop, &server, on_connection);
    connect_one();
    take();
    expect(calls_to_close(&accepted) == 0);
    expect(calls_to_close(&connected) == 0);
    if (in_child) {
        fault_end();
        end_loop(loop);
        child_passed();
    }
    await_child(child);
    finish();
}

static void a_child_may_have_what_was_accepted_before_and_taken_after_the_fork(void **state)
{
    (void)state;
    begin();
    fork_and_go_on();
    take();
    assert_int_equal(calls_to_close(&accepted), 1);
    finish();
}

/* In a child that was made past fork(2), too. */
static void after_loop_fork_everything_is_the_parents_too(void **state)
{
    (void)state;
    begin();
    take();
    assert_ok(loop_fork(loop));
    assert_int_equal(calls_to_close(&accepted), 1);
    assert_int_equal(calls_to_close(&connected), 1);
    connect_one();
    take();
    assert_int_equal(calls_to_close(&accepted), 0);
    finish();
}

/* ------------------------------------------------------------------------------------------------------- duplicates -- */

static void what_was_given_or_shown_may_have_duplicates(void **state)
{
    struct sockaddr_storage addr;
    loop_tcp_t bound;
    loop_tcp_t given;
    loop_os_fd_t fd;

    (void)state;
    begin();
    assert_ok(loop_tcp_accept_fd(&server, &fd));
    assert_ok(loop_tcp_init(loop, &given));
    assert_ok(loop_tcp_open(&given, fd));
    assert_int_equal(calls_to_close(&given), 1);
    turn();
    assert_int_not_equal(loop_tcp_fd(&connected), LOOP_INVALID_FD);
    assert_int_equal(calls_to_close(&connected), 1);
    for (int asked = 0; asked < 2; asked++) {
        addr = support_loopback();
        /* The number is asked for before there is a registration. */
        assert_ok(loop_tcp_init(loop, &bound));
        assert_ok(loop_tcp_bind(&bound, (struct sockaddr *)&addr, 0));
        if (asked)
            assert_int_not_equal(loop_tcp_fd(&bound), LOOP_INVALID_FD);
        connect_it(&bound);
        take();
        assert_int_equal(calls_to_close(&accepted), 0);
        assert_int_equal(calls_to_close(&bound), asked);
        turn();
    }
    assert_ok(loop_tcp_init(loop, &given));
    assert_ok(loop_tcp_open(&given, support_nonblocking_socket()));
    fault_arm(FAULT_connect, 1, EINPROGRESS, 1);
    addr = support_loopback_port(1);
    assert_ok(loop_tcp_connect(&given, &op, (struct sockaddr *)&addr, note_end));
    assert_int_equal(calls_to_close(&given), 1);
    finish();
}

static void nothing_was_read(loop_tcp_t *tcp, ptrdiff_t nread, const loop_buf_t *buf)
{
    (void)tcp;
    (void)buf;
    (void)nread;
    fail();
}

static pid_t holder;
static int duplicate;

/* A duplicate that nobody tells of: a debugger has one, or the child of a system call. */
static int close_behind_a_duplicate(int fd)
{
    loop__sys.close = close;
    duplicate = dup(fd);
    return close(fd);
}

/* A child that comes after the library has looked whether there is one. */
static int close_behind_a_fork(int fd)
{
    loop__sys.close = close;
    holder = fork_process();
    while (in_child)
        (void)pause();
    return close(fd);
}

static void end_the_holder(void)
{
    int status;

    if (holder > 0) {
        assert_ok(kill(holder, SIGKILL));
        assert_int_equal(waitpid(holder, &status, 0), holder);
    } else {
        assert_ok(close(duplicate));
    }
    holder = 0;
}

static uint64_t events(void)
{
    loop_metrics_t metrics = {.size = sizeof(metrics)};

    assert_ok(loop_metrics(loop, &metrics));
    return metrics.events;
}

static void until_another_event(void)
{
    uint64_t before = events();

    while (events() == before)
        turn();
}

static void what_is_kept_unnoticed_reports_to_nobody(void **state)
{
    static int (*const closes[])(int) = {close_behind_a_duplicate, close_behind_a_fork};

    (void)state;
    for (size_t i = 0; i < sizeof(closes) / sizeof(closes[0]); i++) {
        uint32_t place;

        begin();
        take();
        place = loop__posix((struct desc *)(void *)&accepted)->place;
        loop__sys.close = closes[i];
        assert_int_equal(calls_to_close(&accepted), 0);
        turn();
        memset(&accepted, 0xff, sizeof(accepted)); /* whoever follows a stale pointer will notice */
        /* Somebody else has its place among the names now, and is not disturbed. */
        assert_ok(loop_tcp_init(loop, &late));
        connect_it(&late);
        assert_int_equal(loop__posix((struct desc *)(void *)&late)->place, place);
        assert_ok(loop_tcp_read_start(&late, NULL, nothing_was_read));
        turn();
        fault_arm(FAULT_recv, 0, 0, 0);
        assert_int_equal(loop_tcp_try_write(&connected, &(loop_buf_t){"x", 1}, 1), 1);
        until_another_event();
        assert_int_equal(fault_count(FAULT_recv), 0);
        finish();
        end_the_holder();
    }
}

/* In the long run it is cheaper to have a new set, which knows nothing of them. */
static void edges_of_nobody_do_not_come_for_ever(void **state)
{
    int pair[2];
    loop_desc_t desc;

    (void)state;
    begin();
    for (int round = 0; round < 2; round++) {
        long calls;
        int n;

        assert_ok(support_local_pair(pair));
        assert_ok(loop_desc_attach(loop, &desc, pair[0], 0));
        duplicate = dup(pair[0]);
        assert_ok(close(pair[0]));
        assert_ok(loop_handle_close(&desc.handle, NULL));
        turn();
        fault_arm(FAULT_epoll_create1, 0, 0, 0);
        for (n = 0; fault_count(FAULT_epoll_create1) == 0; n++) {
            assert_int_equal(write(pair[1], "x", 1), 1);
            calls = fault_count_all();
            turn();
            if (fault_count(FAULT_epoll_create1) == 0)
                assert_int_equal(fault_count_all(), calls + 1); /* the wait, and nothing else */
        }
        assert_in_range(n, 65, 1000); /* there is room for more than 64 descriptors */
        n = (int)events();
        assert_int_equal(write(pair[1], "x", 1), 1);
        turn();
        assert_int_equal(events(), n);
        assert_ok(close(duplicate) | close(pair[1]));
    }
    finish();
}

LOOP_TEST_MAIN(TEST(where_forks_are_not_noticed_every_registration_is_ended),
               TEST(a_registration_is_ended_while_a_fork_is_under_way), TEST(what_nobody_else_has_is_left_to_close),
               TEST(a_fork_while_a_socket_is_made_is_one_after_it),
               TEST(what_a_child_may_have_is_ended_in_both_processes),
               TEST(a_child_may_have_what_was_accepted_before_and_taken_after_the_fork),
               TEST(after_loop_fork_everything_is_the_parents_too), TEST(what_was_given_or_shown_may_have_duplicates),
               TEST(what_is_kept_unnoticed_reports_to_nobody), TEST(edges_of_nobody_do_not_come_for_ever))
