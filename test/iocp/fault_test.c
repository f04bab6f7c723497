/* What of ../fault_test.c is about Windows: what makes a loop there, waits for objects, requests that are refused. */
/* Before the others, which have variables of the names of their parameters. */
#include "iocp.h"

#include "fault_scene.h"

#ifndef SIGWINCH
#define SIGWINCH 28
#endif

/* ---------------------------------------------------------------------------------------------------------- a loop -- */

static void init_fails(enum fault_row row)
{
    for (const int *error = fault_errors(row); *error != 0; error++) {
        loop = (loop_t *)&loop;
        fault_arm(row, 1, *error, 1);
        assert_int_equal(loop_init(&loop, NULL), loop_translate_sys_error(*error));
        assert_int_equal(fault_count(row), 1);
        assert_null(loop);
    }
}

static void every_call_of_init_fails_in_turn(void **state)
{
    (void)state;
    fault_begin();
    /* Winsock is started once in a process: this is the only row that asks for it. */
    init_fails(FAULT_WSAStartup);
    init_fails(FAULT_CreateIoCompletionPort);
    fault_disarm();
    assert_ok(loop_init(&loop, NULL));
    fault_end();
    assert_ok(loop_close(loop));
}

/* ------------------------------------------------------------------------------------------------- waits for objects -- */

/* One is signalled, the other is not. Handles for such waits are to come: this is what they will stand on. */
static void scene_objects(void)
{
    static struct desc descs[2];
    static struct op ops[2];

    memset(ops, 0, sizeof(ops));
    for (int i = 0; i < 2; i++) {
        HANDLE event = CreateEventW(NULL, TRUE, i == 0, NULL);

        assert_non_null(event);
        assert_ok(opened(loop__desc_init(loop, &descs[i], LOOP_DESC)));
        if (loop__desc_attach(&descs[i], (loop_os_fd_t)event, DESC_PROCESS | DESC_OWNED) != 0) {
            assert_true(CloseHandle(event));
            continue;
        }
        (void)submitted(loop__op_watch(&ops[i], &descs[i], completed));
    }
    await_operations_but(1);
    close_all();
}

static void every_system_call_of_waits_for_objects_fails_in_turn(void **state)
{
    (void)state;
    every_call_fails(scene_objects);
}

/* ----------------------------------------------------------------------------------------------- size of the console -- */

static void on_resized(loop_signal_t *signal, int signum)
{
    (void)signal;
    (void)signum;
}

static void scene_console(void)
{
    static loop_signal_t watcher;

    assert_ok(opened(loop_signal_init(loop, &watcher)));
    (void)loop_signal_start(&watcher, on_resized, SIGWINCH);
    (void)loop_signal_stop(&watcher);
    (void)loop_signal_start(&watcher, on_resized, SIGWINCH);
    close_all();
}

static void every_system_call_of_watching_the_console_fails_in_turn(void **state)
{
    (void)state;
    every_call_fails(scene_console);
}

/* ------------------------------------------------------------------------------------------------------- requests -- */

/* Winsock says that it would block, which for an operation means nothing: it waits by itself. */
static void too_many_requests_are_a_lack_of_room(void **state)
{
    static loop_desc_t desc;
    loop_os_fd_t fds[2];
    loop_op_t op = {0};
    char byte;

    (void)state;
    begin_scene(NULL);
    assert_ok(support_local_pair(fds));
    assert_ok(opened(loop_desc_attach(loop, &desc, fds[0], LOOP_DESC_OWNED)));
    fault_begin();
    fault_arm(FAULT_WSARecv, 1, WSAEWOULDBLOCK, 1);
    assert_ok(submitted(loop_op_read(&desc, &op, &(loop_buf_t){&byte, 1}, 1, completed)));
    await_operations();
    fault_end();
    assert_int_equal(op.status, LOOP_ENOBUFS);
    close_all();
    assert_ok(loop_close(loop));
    support_close(fds[1]);
}

LOOP_TEST_MAIN(TEST(every_call_of_init_fails_in_turn), TEST(every_system_call_of_waits_for_objects_fails_in_turn),
               TEST(every_system_call_of_watching_the_console_fails_in_turn),
               TEST(too_many_requests_are_a_lack_of_room))
