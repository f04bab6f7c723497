/* fork(2) and its rough edges: numbers that stand for something else, threads cut off in the middle, calls in strange places. */
#include "fork_fixture.h"
#include "internal.h"
#include "backend_test.h"
#include "posix/sys.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>

static loop_t *loop;
static loop_desc_t desc;
static loop_desc_t other;
static loop_op_t op;
static loop_op_t other_op;
static char text[8];
static int completions;
static pid_t child;

static void note(loop_op_t *done)
{
    (void)done;
    completions++;
}

static void begin(void)
{
    loop = support_loop();
    completions = 0;
    memset(&op, 0, sizeof(op));
    memset(&other_op, 0, sizeof(other_op));
    memset(text, 0, sizeof(text));
}

static void finish(void)
{
    end_loop(loop);
    if (in_child)
        child_passed();
    await_child(child);
}

static void fork_both(void)
{
    child = fork_process();
    if (in_child)
        expect(loop_fork(loop) == 0);
}

static void read_on(loop_desc_t *d, loop_op_t *o)
{
    expect(loop_op_read(d, o, &(loop_buf_t){text, sizeof(text)}, 1, note) == 0);
}

/* A pair: fds[0] attached to d, still the caller's, with a read in flight. */
static void attach_pair(int fds[2], loop_desc_t *d, loop_op_t *o)
{
    assert_ok(support_local_pair(fds));
    assert_ok(loop_desc_attach(loop, d, fds[0], 0));
    read_on(d, o);
}

static void close_both(const int fds[2])
{
    expect(close(fds[0]) == 0);
    expect(close(fds[1]) == 0);
}

/* --------------------------------------------------------------------------------------------- numbers of the caller -- */

static void operations_on_a_number_that_is_gone_in_the_child_end_there(void **state)
{
    int gone[2];
    int kept[2];

    (void)state;
    begin();
    attach_pair(gone, &desc, &op);
    attach_pair(kept, &other, &other_op);
    child = fork_process();
    if (in_child) {
        expect(close(gone[0]) == 0);
        expect(loop_fork(loop) == 0);
        run_until_count(loop, &completions, 1);
        expect(op.status == LOOP_EBADF);
        expect(loop_desc_fd(&desc) == LOOP_INVALID_FD);
        /* The number goes to somebody else: the old handle neither reads from it nor closes it. */
        expect(dup2(kept[1], gone[0]) == gone[0]);
        read_on(&desc, &op);
        run_until_count(loop, &completions, 2);
        expect(op.status == LOOP_EBADF);
        expect(loop_handle_close(&desc.handle, NULL) == 0);
        expect(write(gone[0], "x", 1) == 1); /* into the other pair */
        run_until_count(loop, &completions, 3);
        expect(other_op.status == 0 && other_op.bytes == 1);
        end_loop(loop);
        child_passed();
    }
    await_child(child);
    assert_int_equal(write(gone[1], "xy", 2), 2); /* the parent has both */
    assert_int_equal(write(kept[1], "z", 1), 1);
    run_until_count(loop, &completions, 2);
    assert_int_equal(op.bytes, 2);
    assert_int_equal(other_op.bytes, 1);
    end_loop(loop);
    close_both(gone);
    close_both(kept);
}

static void a_number_that_is_a_file_in_the_child_is_lost_there(void **state)
{
    FILE *file = tmpfile();
    int fds[2];

    (void)state;
    assert_non_null(file);
    begin();
    attach_pair(fds, &desc, &op);
    child = fork_process();
    if (in_child) {
        expect(fputs("not for you", file) >= 0 && fflush(file) == 0);
        rewind(file);
        expect(dup2(fileno(file), fds[0]) == fds[0]);
        expect(loop_fork(loop) == 0);
        run_until_count(loop, &completions, 1);
        expect(op.status == LOOP_ENOTPOLLABLE && op.bytes == 0);
        expect(text[0] == '\0');
        end_loop(loop);
        expect(fcntl(fds[0], F_GETFD) >= 0);
        child_passed();
    }
    await_child(child);
    end_loop(loop);
    close_both(fds);
    assert_ok(fclose(file));
}

static int read_results[2];
static int reads;

static void on_read(loop_tcp_t *tcp, ptrdiff_t nread, const loop_buf_t *buf)
{
    (void)tcp;
    (void)buf;
    read_results[reads++ % 2] = (int)nread;
}

static int connection_result;
static int connections;

static void on_connection(loop_tcp_t *server, int status)
{
    (void)server;
    connection_result = status;
    connections++;
}

static int ticks;

static void on_tick(loop_timer_t *timer)
{
    (void)timer;
    ticks++;
}

/* The habit of daemons: the numbers of the loop's own objects are among those that are closed. */
static void a_child_that_closed_every_descriptor_has_a_loop_all_the_same(void **state)
{
    int fds[2];
    int peer;
    loop_desc_t low[2];
    loop_op_t low_ops[2];
    loop_tcp_t tcp;
    loop_tcp_t server;
    loop_timer_t timer;

    (void)state;
    /* Numbers below those of the loop: the objects that the child makes will have them. */
    assert_ok(support_local_pair(fds));
    begin();
    reads = 0;
    connections = 0;
    ticks = 0;
    for (int i = 0; i < 2; i++) {
        assert_ok(loop_desc_attach(loop, &low[i], fds[i], 0));
        memset(&low_ops[i], 0, sizeof(low_ops[i]));
        read_on(&low[i], &low_ops[i]);
    }
    peer = support_tcp_and_socket(loop, &tcp);
    assert_ok(loop_tcp_read_start(&tcp, NULL, on_read));
    (void)support_listen(loop, &server, on_connection);
    assert_ok(loop_timer_init(loop, &timer));
    assert_ok(loop_timer_start(&timer, on_tick, LOOP_MS(20), 0));
    child = fork_process();
    if (in_child) {
        int fresh[2];

        for (int fd = fds[0]; fd < 256; fd++) /* nothing was free below */
            (void)close(fd);
        expect(loop_fork(loop) == 0);
        expect(loop_backend_fd(loop) == fds[0]);
        run_until_count(loop, &completions, 2);
        run_until_count(loop, &reads, 1);
        run_until_count(loop, &connections, 1);
        expect(low_ops[0].status == LOOP_EBADF && low_ops[1].status == LOOP_EBADF);
        expect(read_results[0] == LOOP_EBADF && connection_result == LOOP_EBADF);
        run_until_count(loop, &ticks, 1);
        expect(support_local_pair(fresh) == 0);
        expect(loop_tcp_open(&tcp, fresh[0]) == LOOP_EBUSY); /* what was lost is not replaced */
        expect(loop_desc_attach(loop, &other, fresh[0], 0) == 0);
        read_on(&other, &other_op);
        expect(write(fresh[1], "x", 1) == 1);
        run_until_count(loop, &completions, 3);
        expect(other_op.bytes == 1);
        end_loop(loop);
        close_both(fresh); /* still ours: nobody else closed the numbers */
        child_passed();
    }
    await_child(child);
    end_loop(loop);
    close_both(fds);
    assert_ok(close(peer));
}

/* Closed early by its owner, and the number attached anew, before the fork. */
static void a_stale_handle_stays_stale_in_the_child(void **state)
{
    int old[2];
    int fresh[2];
    int dup_fd;

    (void)state;
    begin();
    attach_pair(old, &desc, &op);
    dup_fd = dup(old[0]);
    assert_ok(close(old[0]));
    attach_pair(fresh, &other, &other_op);
    assert_int_equal(fresh[0], old[0]);
    fork_both();
    if (in_child) {
        expect(write(old[1], "old", 3) == 3);
        run_until_count(loop, &completions,
                        1); /* the operation of the stale one, when its number was registered anew */
        expect(op.status == LOOP_EBADF);
        expect(loop_run(loop, LOOP_RUN_NOWAIT) == 1);
        expect(completions == 1);
        expect(write(fresh[1], "new!", 4) == 4);
        run_until_count(loop, &completions, 2);
        expect(other_op.bytes == 4);
        expect(loop_handle_close(&desc.handle, NULL) == 0);
        read_on(&other, &other_op); /* closing the stale one took nothing away */
        expect(write(fresh[1], "x", 1) == 1);
        run_until_count(loop, &completions, 3);
        expect(other_op.bytes == 1);
        end_loop(loop);
        child_passed();
    }
    await_child(child);
    end_loop(loop);
    assert_ok(close(dup_fd) | close(old[1]));
    close_both(fresh);
}

/* The child's copy keeps the parent's registration alive after the parent closed the descriptor early. */
static void a_number_reused_in_the_parent_gets_no_events_of_what_the_child_still_has(void **state)
{
    int old[2];
    int fresh[2];
    int ready[2];
    char byte;

    (void)state;
    begin();
    attach_pair(old, &desc, &op);
    assert_ok(support_local_pair(ready));
    fork_both();
    if (in_child) {
        run_until_count(loop, &completions, 1);
        expect(op.bytes == 3 && memcmp(text, "old", 3) == 0);
        expect(write(ready[1], "x", 1) == 1);
        expect(read(ready[1], &byte, 1) == 1); /* holds its copy until the parent is done */
        end_loop(loop);
        child_passed();
    }
    assert_ok(close(old[0]));
    attach_pair(fresh, &other, &other_op);
    assert_int_equal(fresh[0], old[0]);
    assert_int_equal(write(old[1], "old", 3), 3);
    assert_int_equal(read(ready[0], &byte, 1), 1);
    run_until_count(loop, &completions, 1); /* the operation of the stale one, when its number was registered anew */
    assert_int_equal(op.status, LOOP_EBADF);
    assert_int_equal(loop_run(loop, LOOP_RUN_NOWAIT), 1);
    assert_int_equal(completions, 1);
    assert_int_equal(write(fresh[1], "new!", 4), 4);
    run_until_count(loop, &completions, 2);
    assert_int_equal(other_op.bytes, 4);
    assert_ok(loop_handle_close(&desc.handle, NULL));
    read_on(&other, &other_op);
    assert_int_equal(write(fresh[1], "x", 1), 1);
    run_until_count(loop, &completions, 3);
    end_loop(loop);
    assert_int_equal(write(ready[0], "x", 1), 1);
    await_child(child);
    assert_ok(close(old[1]));
    close_both(fresh);
    close_both(ready);
}

static void a_number_may_be_used_otherwise_in_the_child_once_its_handle_is_closed(void **state)
{
    int old[2];

    (void)state;
    begin();
    attach_pair(old, &desc, &op);
    fork_both();
    if (in_child) {
        int fresh[2];

        expect(loop_handle_close(&desc.handle, NULL) == 0);
        expect(close(old[0]) == 0);
        expect(support_local_pair(fresh) == 0);
        expect(fresh[0] == old[0]);
        expect(loop_desc_attach(loop, &other, fresh[0], LOOP_DESC_OWNED) == 0);
        read_on(&other, &other_op);
        expect(write(old[1], "old", 3) == 3); /* for the parent, who has the other end too */
        expect(write(fresh[1], "new!", 4) == 4);
        run_until_count(loop, &completions, 2);
        expect(other_op.bytes == 4 && op.status == LOOP_ECANCELED);
        end_loop(loop);
        child_passed();
    }
    await_child(child);
    run_until_count(loop, &completions, 1);
    assert_int_equal(op.bytes, 3);
    end_loop(loop);
    close_both(old);
}

/* ---------------------------------------------------------------------------------------------------------- threads -- */

static struct support_semaphore in_write;
static struct support_semaphore go_on;

static void block_in_wake_up(void)
{
    support_semaphore_post(&in_write);
    support_semaphore_wait(&go_on);
}

static loop_task_t task;
static int ran;

static void run_task(loop_task_t *t, int status)
{
    (void)t;
    expect(status == 0);
    ran++;
}

static void *post_task(void *arg)
{
    return loop_post(loop, &task, run_task) == 0 ? NULL : arg;
}

/* It counts as inside of loop_post(), which loop_close() waits for. */
static void a_thread_that_was_waking_the_loop_does_not_hold_up_the_child(void **state)
{
    pthread_t thread;
    void *failed;

    (void)state;
    begin();
    ran = 0;
    memset(&task, 0, sizeof(task));
    support_semaphore_init(&in_write);
    support_semaphore_init(&go_on);
    backend_hook_wake(block_in_wake_up);
    assert_ok(pthread_create(&thread, NULL, post_task, &ran));
    support_semaphore_wait(&in_write);
    child = fork_process();
    backend_hook_wake(NULL);
    if (in_child) {
        expect(loop_fork(loop) == 0);
        expect(loop_run(loop, LOOP_RUN_DEFAULT) == 0);
        expect(ran == 1);
        end_loop(loop);
        child_passed();
    }
    support_semaphore_post(&go_on);
    assert_ok(pthread_join(thread, &failed));
    assert_null(failed);
    run_until_count(loop, &ran, 1);
    end_loop(loop);
    await_child(child);
    support_semaphore_destroy(&in_write);
    support_semaphore_destroy(&go_on);
}

static loop_async_t async;
static loop_async_t queued_async;

static void on_async(loop_async_t *a)
{
    (void)a;
    ran++;
}

/* Between the two steps of loop_async_send(), which no seam reaches: the state is set by hand. */
static void a_sender_cut_off_in_the_middle_is_heard_in_the_child(void **state)
{
    (void)state;
    begin();
    ran = 0;
    assert_ok(loop_async_init(loop, &async, on_async));
    assert_ok(loop_async_init(loop, &queued_async, on_async));
    assert_ok(loop_async_send(&queued_async));
    atomic_fetch_or(&((struct async *)&async)->state, ASYNC_QUEUED);
    fork_both();
    if (in_child) {
        run_until_count(loop, &ran, 2);
        expect(loop_async_send(&async) == 0); /* and heard again */
        expect(loop_async_send(&queued_async) == 0);
        run_until_count(loop, &ran, 4);
        end_loop(loop);
        child_passed();
    }
    await_child(child);
    atomic_fetch_and(&((struct async *)&async)->state, ~(unsigned)ASYNC_QUEUED);
    end_loop(loop);
}

static void what_is_repaired_in_the_child_wakes_its_host_and_not_the_parents(void **state)
{
    struct pollfd item = {.events = POLLIN};

    (void)state;
    begin();
    ran = 0;
    assert_ok(loop_async_init(loop, &async, on_async));
    item.fd = loop_backend_fd(loop);
    atomic_fetch_or(&((struct async *)&async)->state, ASYNC_QUEUED);
    fork_both();
    if (in_child) {
        item.fd = loop_backend_fd(loop);
        expect(poll(&item, 1, 0) == 1);
        run_until_count(loop, &ran, 1);
        end_loop(loop);
        child_passed();
    }
    await_child(child);
    assert_int_equal(poll(&item, 1, 0), 0);
    atomic_fetch_and(&((struct async *)&async)->state, ~(unsigned)ASYNC_QUEUED);
    end_loop(loop);
}

static void an_async_whose_closing_waits_for_a_sender_closes_in_the_child(void **state)
{
    (void)state;
    begin();
    assert_ok(loop_async_init(loop, &async, on_async));
    atomic_fetch_or(&((struct async *)&async)->state, ASYNC_QUEUED);
    assert_ok(loop_handle_close(&async.handle, NULL));
    assert_int_equal(loop_shutdown(loop, 0, NULL, NULL), LOOP_ETIMEDOUT);
    fork_both();
    if (in_child) {
        end_loop(loop);
        child_passed();
    }
    await_child(child);
    assert_ok(loop_fork(loop)); /* does it here, too */
    end_loop(loop);
}

static int closed;

static void on_closed(loop_handle_t *handle)
{
    (void)handle;
    closed++;
}

/* A refused send leaves its mark, but there is nothing that was cut off. */
static void a_send_that_was_refused_is_not_made_up_for_in_the_child(void **state)
{
    (void)state;
    begin();
    ran = 0;
    closed = 0;
    assert_ok(loop_async_init(loop, &async, on_async));
    assert_ok(loop_handle_close(&async.handle, on_closed));
    assert_int_equal(loop_async_send(&async), LOOP_EBADF);
    fork_both();
    expect(loop_run(loop, LOOP_RUN_DEFAULT) == 0);
    expect(closed == 1 && ran == 0);
    finish();
}

static void fork_in_close_callback(loop_handle_t *handle)
{
    on_closed(handle);
    expect(loop_fork(loop) == 0);
}

static void nor_is_it_when_its_close_callback_is_about_to_come(void **state)
{
    (void)state;
    begin();
    ran = 0;
    closed = 0;
    assert_ok(loop_async_init(loop, &queued_async, on_async));
    assert_ok(loop_async_init(loop, &async, on_async));
    assert_ok(loop_handle_close(&queued_async.handle, fork_in_close_callback));
    assert_ok(loop_handle_close(&async.handle, on_closed));
    assert_int_equal(loop_async_send(&async), LOOP_EBADF);
    assert_ok(loop_run(loop, LOOP_RUN_DEFAULT));
    assert_int_equal(closed, 2);
    assert_int_equal(ran, 0);
    end_loop(loop);
}

/* --------------------------------------------------------------------------------------------------- odd moments -- */

static void a_fork_without_a_fork_changes_nothing(void **state)
{
    int fds[2];
    int before;

    (void)state;
    begin();
    attach_pair(fds, &desc, &op);
    before = loop_backend_fd(loop);
    assert_true(before >= 0);
    for (int i = 0; i < 3; i++)
        assert_ok(loop_fork(loop));
    assert_int_equal(write(fds[1], "hello", 5), 5);
    run_until_count(loop, &completions, 1);
    assert_int_equal(op.bytes, 5);
    end_loop(loop);
    close_both(fds);
}

static int walked;

static void fork_while_walking(loop_handle_t *handle, void *arg)
{
    (void)handle;
    (void)arg;
    if (walked++ == 1)
        assert_ok(loop_fork(loop));
}

static void a_fork_inside_of_a_walk_finds_every_descriptor(void **state)
{
    int one[2];
    int two[2];

    (void)state;
    begin();
    walked = 0;
    attach_pair(one, &desc, &op);
    attach_pair(two, &other, &other_op);
    assert_ok(loop_walk(loop, fork_while_walking, NULL));
    assert_int_equal(walked, 2);
    assert_int_equal(write(one[1], "a", 1), 1);
    assert_int_equal(write(two[1], "b", 1), 1);
    run_until_count(loop, &completions, 2);
    end_loop(loop);
    close_both(one);
    close_both(two);
}

static void the_childs_host_is_signalled_by_its_own_descriptor(void **state)
{
    (void)state;
    begin();
    ran = 0;
    memset(&task, 0, sizeof(task));
    assert_true(loop_backend_fd(loop) >= 0);
    assert_ok(loop_post(loop, &task, run_task)); /* the wake-up went to the parent's descriptor */
    fork_both();
    if (in_child) {
        struct pollfd item = {.fd = loop_backend_fd(loop), .events = POLLIN};

        expect(item.fd >= 0);
        expect(poll(&item, 1, 0) == 1);
        expect(loop_run(loop, LOOP_RUN_NOWAIT) == 0);
        expect(ran == 1);
        expect(poll(&item, 1, 0) == 0);
    }
    finish();
}

static int fork_result;

static void fork_in_close(loop_task_t *t, int status)
{
    (void)t;
    expect(status == LOOP_ECANCELED);
    fork_result = loop_fork(loop);
    expect(loop_backend_fd(loop) == LOOP_INVALID_FD);
    expect(loop_shutdown(loop, 0, NULL, NULL) == LOOP_EBUSY);
}

static void fork_is_refused_where_it_makes_no_sense(void **state)
{
    (void)state;
    begin();
    in_child = false;
    memset(&task, 0, sizeof(task));
    assert_int_equal(loop_fork(NULL), LOOP_EINVAL);
    assert_ok(loop_post(loop, &task, fork_in_close));
    assert_ok(loop_close(loop));
    assert_int_equal(fork_result, LOOP_ECLOSED);
}

/* A connect that fails after the fork: the system tells the reason to one process only, but both have to learn of it. */
static void a_connect_in_flight_fails_in_both(void **state)
{
    struct sockaddr_storage addr = support_loopback();
    socklen_t length = sizeof(struct sockaddr_in);
    int listener = support_socket(0);
    int fillers[8];
    int filled = 0;
    loop_tcp_t tcp;

    (void)state;
    begin();
    assert_ok(bind(listener, (struct sockaddr *)&addr, length) | listen(listener, 0));
    assert_ok(getsockname(listener, (struct sockaddr *)&addr, &length));
    do { /* until the queue is full, and no more answers come */
        struct pollfd item = {.events = POLLOUT};

        assert_true(filled < 8);
        item.fd = fillers[filled] = support_nonblocking_socket();
        (void)connect(fillers[filled++], (struct sockaddr *)&addr, length);
        if (poll(&item, 1, 100) == 0)
            break;
    } while (true);
    assert_ok(loop_tcp_init(loop, &tcp));
    assert_ok(loop_tcp_connect(&tcp, &op, (struct sockaddr *)&addr, note));
    assert_int_equal(loop_run(loop, LOOP_RUN_NOWAIT), 1);
    assert_int_equal(completions, 0);
    fork_both();
    expect(close(listener) == 0); /* in both: the next try of the system is refused */
    run_until_count(loop, &completions, 1);
    expect(op.status == LOOP_ECONNREFUSED || op.status == LOOP_ENOTCONN);
    while (filled > 0)
        expect(close(fillers[--filled]) == 0);
    finish();
}

LOOP_TEST_MAIN(TEST(operations_on_a_number_that_is_gone_in_the_child_end_there),
               TEST(a_number_that_is_a_file_in_the_child_is_lost_there),
               TEST(a_child_that_closed_every_descriptor_has_a_loop_all_the_same),
               TEST(a_stale_handle_stays_stale_in_the_child),
               TEST(a_number_reused_in_the_parent_gets_no_events_of_what_the_child_still_has),
               TEST(a_number_may_be_used_otherwise_in_the_child_once_its_handle_is_closed),
               TEST(a_thread_that_was_waking_the_loop_does_not_hold_up_the_child),
               TEST(a_sender_cut_off_in_the_middle_is_heard_in_the_child),
               TEST(what_is_repaired_in_the_child_wakes_its_host_and_not_the_parents),
               TEST(an_async_whose_closing_waits_for_a_sender_closes_in_the_child),
               TEST(a_send_that_was_refused_is_not_made_up_for_in_the_child),
               TEST(nor_is_it_when_its_close_callback_is_about_to_come), TEST(a_fork_without_a_fork_changes_nothing),
               TEST(a_fork_inside_of_a_walk_finds_every_descriptor),
               TEST(the_childs_host_is_signalled_by_its_own_descriptor), TEST(fork_is_refused_where_it_makes_no_sense),
               TEST(a_connect_in_flight_fails_in_both))
