/* loop_dump: the format is a promise, so it is compared as text. Addresses are replaced by letters, times by n. */
#include "internal.h"

#include "backend_test.h"
#include "op_fixture.h"
#include "work_fixture.h"

#include <ctype.h>

static char dumped[8192];
static int lines;

static const void *known[16];
static int knowns;

/* The letter of an address: A, B, … in the order they were made known; ? for others. */
static void letter(char *out, uintptr_t address)
{
    *out = '?';
    for (int i = 0; i < knowns; i++) {
        if ((uintptr_t)known[i] == address)
            *out = (char)('A' + i);
    }
}

static void know(const void *address)
{
    known[knowns++] = address;
}

static void on_line(const char *line, void *arg)
{
    char *out = dumped + strlen(dumped);

    assert_ptr_equal(arg, &lines);
    assert_null(strchr(line, '\n'));
    while (*line != '\0') {
        if (strncmp(line, "0x", 2) == 0) {
            char *end;

            letter(out++, (uintptr_t)strtoull(line, &end, 16));
            line = end;
        } else if (strncmp(line, "fd=", 3) == 0 || strncmp(line, "due_in=", 7) == 0) {
            do
                *out++ = *line;
            while (*line++ != '=');
            if (*line == '-')
                *out++ = *line++;
            *out++ = 'n';
            while (isdigit((unsigned char)*line))
                line++;
        } else {
            *out++ = *line++;
        }
    }
    *out++ = '\n';
    *out = '\0';
    lines++;
}

static const char *dump(void)
{
    dumped[0] = '\0';
    lines = 0;
    assert_ok(loop_dump(loop, on_line, &lines));
    return dumped;
}

static void begin_known(void)
{
    begin();
    knowns = 0;
    know(loop);
}

static void on_timer(loop_timer_t *timer)
{
    (void)timer;
}

static void on_idle(loop_idle_t *idle)
{
    (void)idle;
}

static void on_async(loop_async_t *async)
{
    (void)async;
}

static void on_read(loop_tcp_t *tcp, ptrdiff_t nread, const loop_buf_t *buf)
{
    (void)tcp;
    (void)nread;
    (void)buf;
}

static void on_connection(loop_tcp_t *server, int status)
{
    (void)server;
    (void)status;
}

static void on_task(loop_task_t *task, int status)
{
    (void)task;
    (void)status;
}

static void an_empty_loop_is_one_line(void **state)
{
    (void)state;
    begin_known();
    assert_string_equal(dump(), "loop " BACKEND_NAME " A fd=" BACKEND_FD
                                " running=0 alive=0 active=0 ops=0 ready=0 closing=0 posted=0 timers=0\n");
    assert_int_equal(lines, 1);
    support_finish(loop);
}

static void timers_phases_and_asyncs_say_what_they_wait_for(void **state)
{
    loop_timer_t timer;
    loop_timer_t stopped;
    loop_idle_t idle;
    loop_async_t async;
    loop_task_t task = {0};

    (void)state;
    begin_known();
    assert_ok(loop_timer_init(loop, &timer));
    assert_ok(loop_timer_start(&timer, on_timer, LOOP_SEC(3600), 7));
    assert_ok(loop_timer_init(loop, &stopped));
    assert_ok(loop_handle_unref(&stopped.handle));
    assert_ok(loop_idle_init(loop, &idle));
    assert_ok(loop_idle_start(&idle, on_idle));
    assert_ok(loop_handle_close(&idle.handle, NULL));
    assert_ok(loop_async_init(loop, &async, on_async));
    assert_ok(loop_async_send(&async));
    assert_ok(loop_post(loop, &task, on_task));
    know(&timer);
    know(&stopped);
    know(&idle);
    know(&async);
    assert_string_equal(dump(), "loop " BACKEND_NAME " A fd=" BACKEND_FD
                                " running=0 alive=1 active=2 ops=0 ready=0 closing=1 posted=2 timers=1\n"
                                "handle timer B active=1 ref=1 closing=0 repeat=7 due_in=n\n"
                                "handle timer C active=0 ref=0 closing=0 repeat=0\n"
                                "handle idle D active=0 ref=1 closing=1\n"
                                "handle async E active=1 ref=1 closing=0 sent=1\n"
                                "timer handle B due_in=n\n");
    support_finish(loop);
}

static void on_signal(loop_signal_t *watcher, int signum)
{
    (void)watcher;
    (void)signum;
}

static void on_poll(loop_poll_t *poll, int status, unsigned events)
{
    (void)poll;
    (void)status;
    (void)events;
}

static void signals_and_polls_say_what_they_watch(void **state)
{
    loop_signal_t watcher;
    loop_signal_t stopped;
    loop_poll_t poll;
    char expected[512];
    loop_os_fd_t fds[2];
    int signum = support_signal(0);

    (void)state;
    if (signum < 0)
        skip();
    begin_known();
    assert_ok(support_local_pair(fds));
    assert_ok(loop_signal_init(loop, &watcher));
    assert_ok(loop_signal_start(&watcher, on_signal, signum));
    assert_ok(support_raise(signum));
    assert_ok(loop_signal_init(loop, &stopped));
    assert_ok(loop_poll_init(loop, &poll, fds[0]));
    assert_ok(loop_poll_start(&poll, LOOP_READABLE | LOOP_DISCONNECT, on_poll));
    know(&watcher);
    know(&stopped);
    know(&poll);
    (void)snprintf(expected, sizeof(expected),
                   "loop " BACKEND_NAME " A fd=" BACKEND_FD
                   " running=0 alive=1 active=2 ops=0 ready=0 closing=0 posted=1 timers=0\n"
                   "handle signal B active=1 ref=1 closing=0 sent=1 signum=%d\n"
                   "handle signal C active=0 ref=1 closing=0 sent=0 signum=0\n"
                   "handle poll D active=1 ref=1 closing=0 fd=n ops=0 events=5\n",
                   signum);
    assert_string_equal(dump(), expected);
    support_finish(loop);
    support_close(fds[0]);
    support_close(fds[1]);
}

static void descriptors_list_their_operations(void **state)
{
    char text[8];
    loop_buf_t in = buf_of(text, sizeof(text));
    loop_op_t ops[4] = {{0}};
    loop_os_fd_t fds[2];

    (void)state;
    begin_known();
    assert_ok(support_local_pair(fds));
    assert_ok(loop_desc_attach(loop, &left, fds[0], LOOP_DESC_OWNED));
    assert_ok(loop_op_read(&left, &ops[0], &in, 1, note));
    assert_ok(loop_op_ready(&left, &ops[1], LOOP_READABLE, note));
    assert_ok(loop_op_write(&left, &ops[2], &(loop_buf_t){"abc", 3}, 1, note));
    assert_ok(loop_op_read(&left, &ops[3], &in, 1, note));
    assert_ok(loop_op_cancel(&ops[3]));
    know(&left);
    for (int i = 0; i < 4; i++)
        know(&ops[i]);
    assert_string_equal(dump(), "loop " BACKEND_NAME " A fd=" BACKEND_FD
                                " running=0 alive=1 active=0 ops=4 ready=2 closing=0 posted=0 timers=0\n"
                                "handle desc B active=1 ref=1 closing=0 fd=n ops=4\n"
                                "op read C handle=B state=parked bytes=0 left=8\n"
                                "op ready D handle=B state=parked bytes=0 left=0\n"
                                "op write E handle=B state=finished status=0 bytes=3\n"
                                "op read F handle=B state=finished status=ECANCELED bytes=0\n");
    support_finish(loop);
    support_close(fds[1]);
}

static void streams_show_their_state_and_their_queue(void **state)
{
    static char big[1 << 23];
    char expected[1024];
    loop_tcp_t server;
    loop_tcp_t bare;
    loop_tcp_t one;
    loop_op_t op = {0};
    loop_os_fd_t peer;

    (void)state;
    begin_known();
    (void)support_listen(loop, &server, on_connection);
    peer = support_tcp_and_socket(loop, &one);
    assert_ok(loop_tcp_init(loop, &bare));
    assert_ok(loop_tcp_read_start(&one, NULL, on_read));
    assert_ok(loop_tcp_set_watermarks(&one, 10, 20, NULL));
    assert_ok(loop_tcp_write(&one, &op, &(loop_buf_t){big, sizeof(big)}, 1, note));
    know(&server);
    know(&one);
    know(&bare);
    know(&op);
    (void)snprintf(
        expected, sizeof(expected),
        "loop " BACKEND_NAME " A fd=" BACKEND_FD
        " running=0 alive=1 active=2 ops=1 ready=0 closing=0 posted=0 timers=0\n"
        "handle tcp B active=1 ref=1 closing=0 fd=n ops=0 queued=0 low=0 high=0 stream=listening\n"
        "handle tcp C active=1 ref=1 closing=0 fd=n ops=1 queued=%zu low=10 high=20 stream=connected,reading\n"
        "op write E handle=C state=parked bytes=%zu left=%zu\n"
        "handle tcp D active=0 ref=1 closing=0 fd=-n ops=0 queued=0 low=0 high=0\n",
        loop_tcp_write_queue_size(&one), sizeof(big) - loop_tcp_write_queue_size(&one),
        loop_tcp_write_queue_size(&one));
    assert_string_equal(dump(), expected);
    support_finish(loop);
    support_close(peer);
}

static int inside;

static void dump_inside(loop_timer_t *timer)
{
    (void)timer;
    (void)dump();
    inside++;
}

static void a_callback_may_dump(void **state)
{
    loop_timer_t timer;

    (void)state;
    begin_known();
    inside = 0;
    assert_ok(loop_timer_init(loop, &timer));
    assert_ok(loop_timer_start(&timer, dump_inside, 0, 0));
    know(&timer);
    assert_ok(loop_run(loop, LOOP_RUN_DEFAULT));
    assert_int_equal(inside, 1);
    assert_string_equal(dumped, "loop " BACKEND_NAME " A fd=" BACKEND_FD
                                " running=1 alive=0 active=0 ops=0 ready=0 closing=0 posted=0 timers=0\n"
                                "handle timer B active=0 ref=1 closing=0 repeat=0\n");
    support_finish(loop);
}

static void a_timer_that_is_overdue_has_a_negative_time(void **state)
{
    loop_timer_t timer;

    (void)state;
    begin_known();
    assert_ok(loop_timer_init(loop, &timer));
    assert_ok(loop_timer_start(&timer, on_timer, 0, 0));
    know(&timer);
    while (strstr(dump(), "timer handle B due_in=-n") == NULL)
        continue;
    support_finish(loop);
}

static void walk_dump(loop_handle_t *handle, void *arg)
{
    (void)handle;
    (void)arg;
    (void)dump();
}

static void a_dump_inside_of_a_walk_has_every_handle_once(void **state)
{
    loop_timer_t timers[3];

    (void)state;
    begin_known();
    for (int i = 0; i < 3; i++) {
        assert_ok(loop_timer_init(loop, &timers[i]));
        know(&timers[i]);
    }
    assert_ok(loop_walk(loop, walk_dump, NULL));
    assert_int_equal(lines, 4);
    support_finish(loop);
}

static void work_says_in_which_lane_it_stands_and_how_far_it_is(void **state)
{
    loop_pool_t *pool = pool_of(1, 1);
    struct gate gate;
    struct item running;
    struct item queued;

    (void)state;
    gate_init(&gate);
    begin_known();
    assert_ok(loop_set_pool(loop, pool));
    assert_ok(item_submit(loop, &running, LOOP_LANE_SLOW, &gate));
    gate_await(&gate, 1);
    assert_ok(item_submit(loop, &queued, LOOP_LANE_SLOW, &gate));
    know(&running.work);
    know(&queued.work);
    assert_non_null(strstr(dump(), "work loop-slow B state=running\nwork loop-slow C state=queued\n"));
    assert_ok(loop_work_cancel(&queued.work));
    assert_non_null(strstr(dump(), "work loop-slow C state=finished\n"));
    gate_open(&gate);
    support_finish(loop);
    assert_ok(loop_pool_destroy(pool));
    gate_destroy(&gate);
}

static void every_kind_of_operation_has_its_name(void **state)
{
    static const char *const names[] = {"unknown", "read", "write",  "receive", "send",    "accept",
                                        "ready",   "exit", "change", "connect", "shutdown"};

    (void)state;
    for (int kind = OP_NONE; kind <= OP_SHUTDOWN; kind++)
        assert_string_equal(loop__op_kind_name((enum op_kind)kind), names[kind]);
}

static void wrong_arguments_are_refused(void **state)
{
    (void)state;
    begin();
    assert_int_equal(loop_dump(loop, NULL, NULL), LOOP_EINVAL);
    assert_int_equal(loop_dump(NULL, on_line, NULL), LOOP_EINVAL);
    support_finish(loop);
}

LOOP_TEST_MAIN(TEST(an_empty_loop_is_one_line), TEST(timers_phases_and_asyncs_say_what_they_wait_for),
               TEST(signals_and_polls_say_what_they_watch), TEST(descriptors_list_their_operations),
               TEST(streams_show_their_state_and_their_queue), TEST(a_callback_may_dump),
               TEST(a_timer_that_is_overdue_has_a_negative_time), TEST(a_dump_inside_of_a_walk_has_every_handle_once),
               TEST(work_says_in_which_lane_it_stands_and_how_far_it_is), TEST(every_kind_of_operation_has_its_name),
               TEST(wrong_arguments_are_refused))
