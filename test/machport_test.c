/*
 * Mach port handles, over a stand-in for the backend's part, so that their life is the same on every system; and what
 * the functions say where there are no ports. test/kqueue/machport_test.c has real ones.
 */
#include "support.h"

#include "internal.h"

#define PORTS 3
#define FIRST_NAME 4711u

static loop_t *loop;
static loop_machport_t handles[PORTS];
static int reports[PORTS];
static int last_status[PORTS];
static loop_mach_port_t last_port[PORTS];

/* -------------------------------------------------------------------------------------------------- the stand-in -- */

static struct loop_backend stand_in;
static int (*real_poll)(loop_t *loop, int64_t timeout);
static struct machport *watching[PORTS]; /* by index of the name */
static bool has_message[PORTS];
static bool dies[PORTS];
static int begins;
static int ends;
static int begin_error;

static int watch(loop_t *of, struct machport *machport, bool watched)
{
    struct machport **slot = &watching[machport->port - FIRST_NAME];

    assert_ptr_equal(of, loop);
    if (watched) {
        begins++;
        if (begin_error != 0)
            return begin_error;
        assert_null(*slot);
        *slot = machport;
    } else {
        ends++;
        assert_ptr_equal(*slot, machport);
        *slot = NULL;
    }
    return 0;
}

static int poll_ports(loop_t *of, int64_t timeout)
{
    int found = 0;
    int n;

    for (loop_mach_port_t i = 0; i < PORTS; i++) {
        struct machport *machport = watching[i];

        if (machport == NULL)
            continue;
        if (dies[i]) {
            watching[i] = NULL;
            loop__machport_lost(machport);
            found++;
        } else if (has_message[i]) {
            loop__machport_found(machport, FIRST_NAME + i);
            found++;
        }
    }
    n = real_poll(of, found > 0 ? 0 : timeout);
    return n < 0 ? n : n + found;
}

static int index_of(const loop_machport_t *machport)
{
    return (int)(machport - handles);
}

static void note(loop_machport_t *machport, int status, loop_mach_port_t port)
{
    int i = index_of(machport);

    reports[i]++;
    last_status[i] = status;
    last_port[i] = port;
    assert_int_equal(loop_handle_is_active(&machport->handle), status == 0);
}

static void begin(void)
{
    loop = support_loop();
    stand_in = *loop->backend;
    real_poll = stand_in.poll;
    stand_in.poll = poll_ports;
    stand_in.watch_port = watch;
    loop->backend = &stand_in;
    begins = 0;
    ends = 0;
    begin_error = 0;
    for (loop_mach_port_t i = 0; i < PORTS; i++) {
        watching[i] = NULL;
        has_message[i] = false;
        dies[i] = false;
        reports[i] = 0;
        assert_ok(loop_machport_init(loop, &handles[i], FIRST_NAME + i));
    }
}

static void start(int i)
{
    assert_ok(loop_machport_start(&handles[i], note));
}

static void turn(void)
{
    assert_true(loop_run(loop, LOOP_RUN_NOWAIT) >= 0);
    support_check(loop);
}

/* ------------------------------------------------------------------------------------------------------ the rows -- */

static void where_there_are_no_ports_the_functions_say_so(void **state)
{
    loop_machport_t machport = {.handle = {0}};

    (void)state;
    if (loop__backend.watch_port != NULL)
        skip();
    loop = support_loop();
    assert_int_equal(loop_machport_init(loop, &machport, FIRST_NAME), LOOP_ENOTSUP);
    assert_int_equal(loop_machport_start(&machport, note), LOOP_ENOTSUP);
    assert_int_equal(loop_machport_stop(&machport), LOOP_ENOTSUP);
    assert_int_equal(loop_handle_get_type(&machport.handle), LOOP_UNKNOWN_HANDLE);
    assert_int_equal(loop_machport_init(NULL, &machport, FIRST_NAME), LOOP_EINVAL);
    assert_int_equal(loop_machport_start(NULL, note), LOOP_EINVAL);
    support_finish(loop);
}

static void wrong_arguments_are_refused(void **state)
{
    loop_machport_t other = {.handle = {0}};

    (void)state;
    begin();
    assert_int_equal(loop_machport_init(NULL, &other, FIRST_NAME), LOOP_EINVAL);
    assert_int_equal(loop_machport_init(loop, NULL, FIRST_NAME), LOOP_EINVAL);
    assert_int_equal(loop_machport_init(loop, &other, 0), LOOP_EINVAL);
    assert_int_equal(loop_machport_init(loop, &other, UINT32_MAX), LOOP_EINVAL);
    assert_int_equal(loop_machport_start(NULL, note), LOOP_EINVAL);
    assert_int_equal(loop_machport_start(&handles[0], NULL), LOOP_EINVAL);
    assert_int_equal(loop_machport_stop(NULL), LOOP_EINVAL);
    assert_int_equal(begins, 0);
    support_finish(loop);
}

static void a_message_is_reported_in_every_turn_in_which_it_waits(void **state)
{
    (void)state;
    begin();
    start(0);
    start(1);
    turn();
    assert_int_equal(reports[0] + reports[1], 0);
    has_message[1] = true;
    for (int n = 1; n <= 3; n++) {
        turn();
        assert_int_equal(reports[1], n);
        assert_ok(last_status[1]);
        assert_int_equal(last_port[1], FIRST_NAME + 1);
    }
    has_message[1] = false;
    turn();
    assert_int_equal(reports[1], 3);
    assert_int_equal(reports[0], 0);
    support_finish(loop);
    assert_int_equal(begins, 2);
    assert_int_equal(ends, 2);
}

static int others;

static void note_other(loop_machport_t *machport, int status, loop_mach_port_t port)
{
    (void)machport;
    (void)status;
    (void)port;
    others++;
}

static void starting_again_replaces_the_callback(void **state)
{
    (void)state;
    begin();
    others = 0;
    start(0);
    assert_ok(loop_machport_start(&handles[0], note_other));
    assert_int_equal(begins, 1);
    has_message[0] = true;
    turn();
    assert_int_equal(others, 1);
    assert_int_equal(reports[0], 0);
    support_finish(loop);
}

/* Stops, or closes, the others. */
static bool closes;

static void end_others(loop_machport_t *machport, int status, loop_mach_port_t port)
{
    note(machport, status, port);
    for (int i = 0; i < PORTS; i++) {
        if (i == index_of(machport) || loop_handle_is_closing(&handles[i].handle))
            continue;
        assert_ok(closes ? loop_handle_close(&handles[i].handle, NULL) : loop_machport_stop(&handles[i]));
    }
}

static void what_was_found_is_not_reported_after_the_end(void **state)
{
    (void)state;
    for (int round = 0; round < 2; round++) {
        begin();
        closes = round == 1;
        for (int i = 0; i < PORTS; i++) {
            assert_ok(loop_machport_start(&handles[i], end_others));
            has_message[i] = true;
        }
        turn();
        turn();
        assert_int_equal(reports[0], 2);
        assert_int_equal(reports[1] + reports[2], 0);
        assert_int_equal(ends, 2);
        support_finish(loop);
        assert_int_equal(ends, 3);
    }
}

static void stopping_what_is_stopped_does_nothing(void **state)
{
    (void)state;
    begin();
    assert_ok(loop_machport_stop(&handles[0]));
    start(0);
    assert_true(loop_handle_is_active(&handles[0].handle));
    assert_ok(loop_machport_stop(&handles[0]));
    assert_ok(loop_machport_stop(&handles[0]));
    assert_false(loop_handle_is_active(&handles[0].handle));
    assert_int_equal(ends, 1);
    support_finish(loop);
    assert_int_equal(ends, 1);
}

static void a_start_that_fails_changes_nothing(void **state)
{
    (void)state;
    begin();
    begin_error = LOOP_EEXIST;
    assert_int_equal(loop_machport_start(&handles[0], note), LOOP_EEXIST);
    assert_false(loop_handle_is_active(&handles[0].handle));
    assert_int_equal(loop_run(loop, LOOP_RUN_DEFAULT), 0);
    begin_error = 0;
    start(0);
    has_message[0] = true;
    turn();
    assert_int_equal(reports[0], 1);
    support_finish(loop);
}

static void a_port_that_is_gone_is_told_once(void **state)
{
    (void)state;
    begin();
    start(0);
    dies[0] = true;
    has_message[0] = true;
    assert_int_equal(loop_run(loop, LOOP_RUN_DEFAULT), 0);
    assert_int_equal(reports[0], 1);
    assert_int_equal(last_status[0], LOOP_EBADF);
    assert_int_equal(last_port[0], FIRST_NAME);
    assert_int_equal(ends, 0);
    dies[0] = false;
    start(0); /* the name has come back */
    turn();
    assert_int_equal(reports[0], 2);
    assert_ok(last_status[0]);
    support_finish(loop);
}

/* Whatever the handle does before it is told. */
static void a_port_that_is_gone_is_not_told_to_who_has_given_it_up(void **state)
{
    (void)state;
    begin();
    for (int i = 0; i < PORTS; i++) {
        start(i);
        watching[i] = NULL;
        loop__machport_lost((struct machport *)&handles[i]);
        support_check(loop);
    }
    start(0);
    assert_ok(loop_machport_stop(&handles[1]));
    assert_ok(loop_handle_close(&handles[2].handle, NULL));
    turn();
    assert_int_equal(reports[0] + reports[1] + reports[2], 0);
    assert_int_equal(begins, 4);
    assert_int_equal(ends, 0);
    has_message[0] = true;
    turn();
    assert_int_equal(reports[0], 1);
    support_finish(loop);
}

static void a_started_one_keeps_the_loop_alive(void **state)
{
    (void)state;
    begin();
    assert_false(loop_alive(loop));
    start(0);
    assert_true(loop_alive(loop));
    assert_ok(loop_handle_unref(&handles[0].handle));
    assert_false(loop_alive(loop));
    assert_ok(loop_handle_ref(&handles[0].handle));
    assert_true(loop_alive(loop));
    assert_ok(loop_machport_stop(&handles[0]));
    assert_false(loop_alive(loop));
    support_finish(loop);
}

static int closed;

static void on_closed(loop_handle_t *handle)
{
    assert_int_equal(loop_handle_get_type(handle), LOOP_UNKNOWN_HANDLE);
    closed++;
}

static char dumped[1024];

static void append(const char *line, void *arg)
{
    (void)arg;
    (void)strncat(dumped, line, sizeof(dumped) - strlen(dumped) - 1);
}

static void it_is_a_handle_like_the_others(void **state)
{
    (void)state;
    begin();
    closed = 0;
    dumped[0] = '\0';
    start(0);
    assert_int_equal(loop_handle_get_type(&handles[0].handle), LOOP_MACHPORT);
    assert_ptr_equal(loop_handle_get_loop(&handles[0].handle), loop);
    assert_ok(loop_dump(loop, append, NULL));
    assert_non_null(strstr(dumped, "handle machport 0x"));
    assert_non_null(strstr(dumped, " active=1 ref=1 closing=0 port=4711"));
    assert_ok(loop_handle_close(&handles[0].handle, on_closed));
    assert_int_not_equal(loop_machport_start(&handles[0], note), 0);
    assert_int_not_equal(loop_machport_stop(&handles[0]), 0);
    assert_int_equal(ends, 1);
    assert_int_equal(closed, 0);
    assert_ok(loop_shutdown(loop, LOOP_SEC(5), NULL, NULL));
    assert_int_equal(closed, 1);
    assert_ok(loop_close(loop));
}

LOOP_TEST_MAIN(TEST(where_there_are_no_ports_the_functions_say_so), TEST(wrong_arguments_are_refused),
               TEST(a_message_is_reported_in_every_turn_in_which_it_waits), TEST(starting_again_replaces_the_callback),
               TEST(what_was_found_is_not_reported_after_the_end), TEST(stopping_what_is_stopped_does_nothing),
               TEST(a_start_that_fails_changes_nothing), TEST(a_port_that_is_gone_is_told_once),
               TEST(a_port_that_is_gone_is_not_told_to_who_has_given_it_up), TEST(a_started_one_keeps_the_loop_alive),
               TEST(it_is_a_handle_like_the_others))
