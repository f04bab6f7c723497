/* Host loops, forks, shutdowns and dumps on a bad day, and what they cost in system calls and memory. */
#include "internal.h"

#include "fault_calls.h"

#include "fork_fixture.h"

#include <errno.h>
#include <unistd.h>

#define DESCS 3

static loop_t *loop;
static loop_desc_t descs[DESCS];
static loop_op_t reads[DESCS];
static char bytes[DESCS];
static int numbers[DESCS];
static int peers[DESCS];
static loop_tcp_t tcp;
static int tcp_number;
static int tcp_peer;
static int tcp_bytes;
static int completions;
static int connection_status;

static void read_done(loop_op_t *op)
{
    (void)op;
    completions++;
}

static void on_read(loop_tcp_t *t, ptrdiff_t nread, const loop_buf_t *buf)
{
    (void)t;
    (void)buf;
    tcp_bytes += nread > 0 ? (int)nread : 1;
}

static void read_on(int i)
{
    expect(loop_op_read(&descs[i], &reads[i], &(loop_buf_t){&bytes[i], 1}, 1, read_done) == 0);
}

static void begin_with(const loop_options_t *options)
{
    in_child = false;
    completions = 0;
    tcp_bytes = 0;
    memset(reads, 0, sizeof(reads));
    assert_ok(loop_init(&loop, options));
    for (int i = 0; i < DESCS; i++) {
        int fds[2];

        assert_ok(support_local_pair(fds));
        assert_ok(loop_desc_attach(loop, &descs[i], fds[0], LOOP_DESC_OWNED));
        read_on(i);
        numbers[i] = fds[0];
        peers[i] = fds[1];
    }
    tcp_peer = support_tcp_and_socket(loop, &tcp);
    tcp_number = loop_tcp_fd(&tcp);
    assert_ok(loop_tcp_read_start(&tcp, NULL, on_read));
    assert_int_equal(loop_run(loop, LOOP_RUN_NOWAIT), 1);
}

static void begin(void)
{
    backend_be_calm();
    begin_with(NULL);
    fault_begin();
}

static void close_peers(void)
{
    for (int i = 0; i < DESCS; i++)
        expect(close(peers[i]) == 0);
    expect(close(tcp_peer) == 0);
}

/* A number that the library lost is not closed by it: it might be somebody else's. */
static void close_lost(void)
{
    for (int i = 0; i < DESCS; i++) {
        if (loop_desc_fd(&descs[i]) == LOOP_INVALID_FD)
            assert_ok(close(numbers[i]));
    }
    if (loop_tcp_fd(&tcp) == LOOP_INVALID_FD)
        assert_ok(close(tcp_number));
}

static void finish(void)
{
    fault_end();
    close_lost();
    end_loop(loop);
    close_peers();
}

/* Everything that is still watched gets a byte and notices. */
static void assert_traffic(void)
{
    int before = completions;
    int expected = 0;

    for (int i = 0; i < DESCS; i++) {
        if (reads[i].status == 0) {
            assert_int_equal(write(peers[i], "x", 1), 1);
            expected++;
        }
    }
    run_until_count(loop, &completions, before + expected);
    for (int i = 0; i < DESCS; i++) {
        if (reads[i].status == 0)
            read_on(i);
    }
}

static void assert_tcp_traffic(void)
{
    int before = tcp_bytes;

    assert_int_equal(write(tcp_peer, "x", 1), 1);
    run_until_count(loop, &tcp_bytes, before + 1);
}

/* --------------------------------------------------------------------------------------------------------------- fork -- */

static bool is_of_one_descriptor(enum fault_row row, int error)
{
    return row == FAULT_BACKEND_CHANGE && error != ENOMEM && error != ENOSPC;
}

static void after_a_failed_fork_nothing_works_but_closing_and_another_try(int error)
{
    loop_desc_t more;
    int fds[2];

    assert_int_equal(loop_run(loop, LOOP_RUN_NOWAIT), LOOP_EBADF);
    assert_int_equal(loop_run(loop, LOOP_RUN_ONCE), LOOP_EBADF);
    assert_int_equal(loop_backend_fd(loop), LOOP_INVALID_FD);
    assert_ok(support_local_pair(fds));
    assert_int_equal(loop_desc_attach(loop, &more, fds[0], 0), LOOP_EBADF);
    assert_ok(close(fds[0]) | close(fds[1]));
    assert_true(error < 0);
}

static void every_call_of_a_fork_fails_in_turn(void **state)
{
    static const enum fault_row rows[] = {FAULT_BACKEND_CREATE, FAULT_BACKEND_WAKER, FAULT_BACKEND_CHANGE};

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        for (const int *error = fault_errors(rows[i]); *error != 0; error++) {
            if (*error == EINTR)
                continue; /* and so it is asked again */
            long calls = rows[i] == FAULT_BACKEND_CHANGE ? 1 + DESCS + 1 : 1;

            for (long n = 1; n <= calls; n++) {
                bool of_one = n > 1 && is_of_one_descriptor(rows[i], *error);
                int rc;

                begin();
                fault_arm(rows[i], n, *error, 1);
                rc = loop_fork(loop);
                fault_disarm();
                if (of_one) {
                    assert_ok(rc);
                } else {
                    assert_int_equal(rc, loop_translate_sys_error(*error));
                    after_a_failed_fork_nothing_works_but_closing_and_another_try(rc);
                    assert_int_equal(completions, 0);
                    assert_ok(loop_fork(loop));
                }
                (void)loop_run(loop, LOOP_RUN_NOWAIT);
                assert_int_equal(completions, of_one && n <= 1 + DESCS);
                assert_traffic();
                if (!(of_one && n == calls))
                    assert_tcp_traffic();
                finish();
            }
        }
    }
}

static void a_descriptor_that_cannot_be_registered_again_says_so(void **state)
{
    static const int errors[] = {EPERM, ENOENT, EBADF};
    static const int codes[] = {LOOP_ENOTPOLLABLE, LOOP_ENOENT, LOOP_EBADF};

    (void)state;
    for (int i = 0; i < 3; i++) {
        begin();
        fault_arm(FAULT_BACKEND_CHANGE, 2, errors[i], 1 + DESCS);
        assert_ok(loop_fork(loop));
        fault_disarm();
        run_until_count(loop, &completions, DESCS);
        for (int n = 0; n < DESCS; n++)
            assert_int_equal(reads[n].status, codes[i]);
        run_until_count(loop, &tcp_bytes, 1); /* the error, once */
        (void)loop_run(loop, LOOP_RUN_NOWAIT);
        assert_int_equal(tcp_bytes, 1);
        for (int n = 0; n < DESCS; n++)
            assert_int_equal(loop_desc_fd(&descs[n]), LOOP_INVALID_FD);
        finish();
    }
}

static void handles_can_be_closed_while_a_fork_has_failed(void **state)
{
    (void)state;
    begin();
    fault_arm(FAULT_BACKEND_CREATE, 1, EMFILE, 1);
    assert_int_equal(loop_fork(loop), LOOP_EMFILE);
    fault_disarm();
    for (int i = 0; i < DESCS; i++)
        assert_ok(loop_handle_close(&descs[i].handle, NULL));
    assert_ok(loop_handle_close(&tcp.handle, NULL));
    /* The wait fails, and callbacks come all the same. */
    assert_int_equal(loop_run(loop, LOOP_RUN_NOWAIT), LOOP_EBADF);
    assert_int_equal(completions, DESCS);
    fault_end();
    assert_ok(loop_close(loop));
    close_peers();
}

static void a_child_whose_fork_failed_cannot_hit_the_parent(void **state)
{
    pid_t child;

    (void)state;
    begin();
    child = fork_process();
    if (in_child) {
        fault_arm(FAULT_BACKEND_CHANGE, 3, ENOMEM, 1);
        expect(loop_fork(loop) == LOOP_ENOMEM);
        fault_disarm();
        expect(loop_shutdown(loop, LOOP_SEC(10), NULL, NULL) == 0);
        expect(loop_close(loop) == 0);
        child_passed();
    }
    await_child(child);
    assert_traffic();
    assert_tcp_traffic();
    finish();
}

static void a_close_that_fails_is_a_close(void **state)
{
    (void)state;
    for (const int *error = fault_errors(FAULT_close); *error != 0; error++) {
        begin();
        fault_arm(FAULT_close, 1, *error, 2);
        assert_ok(loop_fork(loop));
        fault_disarm();
        assert_traffic();
        assert_tcp_traffic();
        finish();
    }
}

static void a_fork_makes_the_calls_it_needs(void **state)
{
    (void)state;
    begin();
    fault_arm(FAULT_close, 0, 0, 0);
    assert_ok(loop_fork(loop));
    assert_int_equal(fault_count(FAULT_close), CLOSES_OF_FORK);
    assert_int_equal(fault_count(FAULT_BACKEND_CREATE), 1);
    assert_int_equal(fault_count(FAULT_BACKEND_WAKER), 1);
    assert_int_equal(fault_count(FAULT_BACKEND_CHANGE),
                     1 + DESCS + 1); /* nothing is removed: that would be the parent's */
    assert_int_equal(fault_count_all(), CALLS_OF_FORK(DESCS));
    finish();
}

/* ------------------------------------------------------------------------------------------------------------- wake-ups -- */

static loop_op_t writes[8];

static void submit_writes(void)
{
    memset(writes, 0, sizeof(writes));
    for (int i = 0; i < 8; i++)
        assert_ok(loop_op_write(&descs[0], &writes[i], &(loop_buf_t){"x", 1}, 1, read_done));
}

static void a_loop_that_no_host_watches_wakes_nobody(void **state)
{
    (void)state;
    begin();
    fault_arm(FAULT_BACKEND_WAKE, 0, 0, 0);
    submit_writes();
    assert_ok(loop_op_cancel(&reads[1]));
    run_until_count(loop, &completions, 9);
    assert_int_equal(fault_count(FAULT_BACKEND_WAKE), 0);
    finish();
}

static void a_host_is_woken_once_per_sleep(void **state)
{
    (void)state;
    begin();
    assert_true(loop_backend_fd(loop) >= 0);
    fault_arm(FAULT_BACKEND_WAKE, 0, 0, 0);
    for (int round = 1; round <= 3; round++) {
        submit_writes();
        assert_int_equal(fault_count(FAULT_BACKEND_WAKE), round);
        assert_int_equal(loop_run(loop, LOOP_RUN_NOWAIT), 1);
        assert_int_equal(completions, round * 8);
    }
    assert_int_equal(loop_run(loop, LOOP_RUN_NOWAIT), 1);
    assert_int_equal(fault_count(FAULT_BACKEND_WAKE), 3);
    finish();
}

static void a_wake_up_that_was_interrupted_is_repeated(void **state)
{
    (void)state;
    begin();
    assert_true(loop_backend_fd(loop) >= 0);
    fault_arm(FAULT_BACKEND_WAKE, 1, EINTR, 3);
    submit_writes();
    assert_int_equal(fault_count(FAULT_BACKEND_WAKE), 4);
    run_until_count(loop, &completions, 8);
    finish();
}

/* ------------------------------------------------------------------------------------------------------------- shutdown -- */

static void a_shutdown_that_needs_no_wait_does_without(void **state)
{
    (void)state;
    begin();
    fault_arm(FAULT_BACKEND_WAIT, 1, EBADF, 1);
    assert_ok(loop_shutdown(loop, LOOP_SEC(10), NULL, NULL));
    assert_int_equal(completions, DESCS);
    fault_end();
    assert_ok(loop_close(loop));
    close_peers();
}

static void keep(loop_t *l, struct op *op)
{
    (void)l;
    (void)op;
}

static void count_name(loop_handle_t *handle, loop_op_t *op, const char *what, const char *why, void *arg)
{
    (void)handle;
    (void)what;
    (void)why;
    *(int *)arg += op != NULL;
}

static void a_shutdown_whose_wait_fails_names_what_is_left_and_can_be_repeated(void **state)
{
    struct loop_backend slow = loop__backend;
    int named = 0;

    (void)state;
    begin();
    slow.cancel = keep; /* the operations do not come back at once */
    loop->backend = &slow;
    fault_arm(FAULT_BACKEND_WAIT_TIMED, 1, EINVAL, 1);
    assert_int_equal(loop_shutdown(loop, LOOP_SEC(10), count_name, &named), LOOP_EINVAL);
    assert_int_equal(named, DESCS);
    for (int i = 0; i < DESCS; i++)
        loop__backend.cancel(loop, (struct op *)&reads[i]);
    assert_ok(loop_shutdown(loop, LOOP_SEC(10), count_name, &named));
    assert_int_equal(completions, DESCS);
    fault_end();
    assert_ok(loop_close(loop));
    close_peers();
}

/* --------------------------------------------------------------------------------------------------------------- memory -- */

static void ignore_line(const char *line, void *arg)
{
    (void)line;
    (void)arg;
}

static void find_pause(const char *line, void *arg)
{
    *(int *)arg += strncmp(line, "timer accept_pause 0x", 21) == 0;
}

static void on_connection(loop_tcp_t *server, int status)
{
    (void)server;
    connection_status = status;
}

static void a_listener_that_pauses_shows_in_the_dump_and_as_the_hosts_timeout(void **state)
{
    struct sockaddr_storage addr;
    loop_tcp_t server;
    int client = support_socket(0);
    int found = 0;

    (void)state;
    begin();
    connection_status = 0;
    addr = support_listen(loop, &server, on_connection);
    assert_ok(connect(client, (struct sockaddr *)&addr, sizeof(struct sockaddr_in)));
    fault_arm(FAULT_accept_new, 1, EMFILE, 1);
    while (connection_status == 0)
        assert_int_equal(loop_run(loop, LOOP_RUN_ONCE), 1);
    assert_int_equal(connection_status, LOOP_EMFILE);
    assert_ok(loop_dump(loop, find_pause, &found));
    assert_int_equal(found, 1);
    assert_true(loop_next_timeout(loop) >= 0 && loop_next_timeout(loop) <= (int64_t)LOOP_MS(100));
    finish();
    assert_ok(close(client));
}

static void none_of_these_needs_memory(void **state)
{
    struct support_allocator counts = {0};
    loop_allocator_t allocator = support_allocator(&counts);
    loop_options_t options = LOOP_OPTIONS_INIT;
    loop_metrics_t metrics = {.size = sizeof(metrics)};
    long before;

    (void)state;
    options.allocator = &allocator;
    begin_with(&options);
    before = counts.calls;
    counts.fail_at = before + 1;
    assert_true(loop_backend_fd(loop) >= 0);
    assert_true(loop_next_timeout(loop) < 0);
    assert_ok(loop_fork(loop));
    assert_ok(loop_metrics(loop, &metrics));
    assert_ok(loop_dump(loop, ignore_line, NULL));
    assert_traffic();
    assert_tcp_traffic();
    assert_ok(loop_shutdown(loop, LOOP_SEC(10), NULL, NULL));
    assert_int_equal(counts.calls, before);
    assert_ok(loop_close(loop));
    assert_int_equal(counts.live, 0);
    close_peers();
}

LOOP_TEST_MAIN(TEST(every_call_of_a_fork_fails_in_turn), TEST(a_descriptor_that_cannot_be_registered_again_says_so),
               TEST(handles_can_be_closed_while_a_fork_has_failed),
               TEST(a_child_whose_fork_failed_cannot_hit_the_parent), TEST(a_close_that_fails_is_a_close),
               TEST(a_fork_makes_the_calls_it_needs), TEST(a_loop_that_no_host_watches_wakes_nobody),
               TEST(a_host_is_woken_once_per_sleep), TEST(a_wake_up_that_was_interrupted_is_repeated),
               TEST(a_shutdown_that_needs_no_wait_does_without),
               TEST(a_shutdown_whose_wait_fails_names_what_is_left_and_can_be_repeated),
               TEST(a_listener_that_pauses_shows_in_the_dump_and_as_the_hosts_timeout),
               TEST(none_of_these_needs_memory))
