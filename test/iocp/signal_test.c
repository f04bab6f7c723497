/*
 * What the console tells: which signal each of its events is, when others are told of it, and an event that comes from a
 * console. Watchers: ../signal_test.c.
 */
#include "sys.h"

#include "child.h"

#include <signal.h>
#include <stdatomic.h>

#ifndef SIGHUP
#define SIGHUP 1
#endif
#ifndef SIGWINCH
#define SIGWINCH 28
#endif

static loop_t *loop;
static loop_signal_t watcher;
static int calls;
static int last_signum;

static void note(loop_signal_t *signal, int signum)
{
    (void)signal;
    calls++;
    last_signum = signum;
}

/* ----------------------------------------------------------------------------------------------------- watched calls -- */

static struct loop_sys real;
static PHANDLER_ROUTINE handler; /* the library's */
static int additions;
static int fail_at; /* the call before it is added that fails */
static int sleeps;
static PTP_TIMER_CALLBACK look; /* the library's */
static COORD window;            /* of the console; 0: there is none */

static BOOL fails_now(void)
{
    if (fail_at == 0 || --fail_at > 0)
        return FALSE;
    SetLastError(ERROR_NOT_ENOUGH_MEMORY);
    return TRUE;
}

static BOOL watched_pin(void)
{
    return fails_now() ? FALSE : real.pin_module();
}

static BOOL watched_set_handler(PHANDLER_ROUTINE routine, BOOL add)
{
    assert_true(add);
    if (fails_now())
        return FALSE;
    additions++;
    handler = routine;
    return real.SetConsoleCtrlHandler(routine, add);
}

static DWORD watched_sleep(DWORD ms, BOOL alertable)
{
    (void)alertable;
    sleeps += ms == INFINITE;
    return 0;
}

/* The looks of the system's own thread come too: they find the same as the tests'. */
static PTP_TIMER watched_timer(PTP_TIMER_CALLBACK callback, void *context, PTP_CALLBACK_ENVIRON environment)
{
    if (fails_now())
        return NULL;
    look = callback;
    return real.CreateThreadpoolTimer(callback, context, environment);
}

static BOOL scripted_size(COORD *size)
{
    *size = window;
    return window.X != 0;
}

static void begin(void)
{
    real = loop__sys;
    loop__sys.pin_module = watched_pin;
    loop__sys.SetConsoleCtrlHandler = watched_set_handler;
    loop__sys.SleepEx = watched_sleep;
    loop__sys.CreateThreadpoolTimer = watched_timer;
    loop__sys.console_size = scripted_size;
    window = (COORD){80, 25};
    calls = 0;
    last_signum = 0;
    sleeps = 0;
    fail_at = 0;
    loop = support_loop();
    assert_ok(loop_signal_init(loop, &watcher));
}

static void finish(void)
{
    support_finish(loop);
    loop__sys = real;
}

static void turn(void)
{
    assert_true(loop_run(loop, LOOP_RUN_NOWAIT) >= 0);
}

/* ------------------------------------------------------------------------------------------------------------ handler -- */

/* The first of this file: later the handler is there. */
static void a_handler_that_cannot_be_added_is_an_error_and_is_tried_again(void **state)
{
    (void)state;
    begin();
    for (int i = 1; handler == NULL && i <= 2; i++) {
        fail_at = i;
        assert_int_equal(loop_signal_start(&watcher, note, SIGINT), LOOP_ENOMEM);
        assert_false(loop_handle_is_active(&watcher.handle));
    }
    assert_ok(loop_signal_start(&watcher, note, SIGINT));
    assert_int_equal(additions, 1);
    finish();
}

/* The second of this file: later the timer is there. */
static void looks_that_cannot_be_had_are_an_error_and_are_tried_again(void **state)
{
    (void)state;
    begin();
    assert_ok(loop_signal_start(&watcher, note, SIGINT)); /* the handler, which is asked for first */
    fail_at = look == NULL;
    if (look == NULL)
        assert_int_equal(loop_signal_start(&watcher, note, SIGWINCH), LOOP_ENOMEM);
    assert_true(handler(CTRL_C_EVENT));
    turn();
    assert_int_equal(last_signum, SIGINT); /* as before */
    assert_ok(loop_signal_start(&watcher, note, SIGWINCH));
    finish();
}

static void it_is_added_once_for_all_signals(void **state)
{
    static const int signals[] = {SIGINT, SIGBREAK, SIGHUP, SIGTERM, SIGWINCH};

    (void)state;
    begin();
    for (int i = 0; i < 10; i++) {
        assert_ok(loop_signal_start(&watcher, note, signals[i % 5]));
        assert_ok(loop_signal_stop(&watcher));
    }
    assert_int_equal(additions, 1);
    finish();
}

static void every_event_has_its_signal(void **state)
{
    static const struct {
        DWORD event;
        int signum;
        int sleeps; /* the process would end when the handler returns */
    } rows[] = {{CTRL_C_EVENT, SIGINT, 0},
                {CTRL_BREAK_EVENT, SIGBREAK, 0},
                {CTRL_CLOSE_EVENT, SIGHUP, 1},
                {CTRL_SHUTDOWN_EVENT, SIGTERM, 1}};

    (void)state;
    begin();
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        calls = 0;
        sleeps = 0;
        assert_ok(loop_signal_start(&watcher, note, rows[i].signum));
        assert_true(handler(rows[i].event));
        assert_int_equal(calls, 0);
        assert_int_equal(sleeps, rows[i].sleeps);
        turn();
        assert_int_equal(calls, 1);
        assert_int_equal(last_signum, rows[i].signum);
        for (size_t j = 0; j < sizeof(rows) / sizeof(rows[0]); j++)
            assert_int_equal(handler(rows[j].event), i == j);
        assert_ok(loop_signal_stop(&watcher));
    }
    finish();
}

/* Others may have handlers, and the last one ends the process. */
static void what_nobody_watches_is_left_to_others(void **state)
{
    (void)state;
    begin();
    assert_ok(loop_signal_start(&watcher, note, SIGINT));
    assert_false(handler(CTRL_BREAK_EVENT));
    assert_false(handler(CTRL_LOGOFF_EVENT)); /* of any user */
    assert_false(handler(3));                 /* not in use */
    assert_ok(loop_signal_stop(&watcher));
    assert_false(handler(CTRL_C_EVENT));
    assert_int_equal(sleeps, 0);
    turn();
    assert_int_equal(calls, 0);
    finish();
}

#define CALLERS 2
#define EVENTS_EACH 2000

static atomic_int callers;

static void *call_often(void *argument)
{
    (void)argument;
    for (int i = 0; i < EVENTS_EACH; i++) {
        (void)handler(CTRL_C_EVENT);
        if (i % 8 == 0)
            support_yield();
    }
    atomic_fetch_sub(&callers, 1);
    return NULL;
}

/* Each event has a thread of its own, and watchers come and go meanwhile. */
static void events_and_watchers_may_race(void **state)
{
    static loop_signal_t others[4];
    pthread_t threads[CALLERS];

    (void)state;
    begin();
    assert_ok(loop_signal_start(&watcher, note, SIGINT));
    atomic_store(&callers, CALLERS);
    for (int i = 0; i < CALLERS; i++)
        assert_ok(pthread_create(&threads[i], NULL, call_often, NULL));
    while (atomic_load(&callers) > 0) {
        for (int i = 0; i < 4; i++) {
            assert_ok(loop_signal_init(loop, &others[i]));
            assert_ok(loop_signal_start(&others[i], note, i % 2 ? SIGINT : SIGBREAK));
        }
        turn();
        for (int i = 0; i < 4; i++)
            assert_ok(loop_handle_close(&others[i].handle, NULL));
        turn();
        memset(others, 0xff, sizeof(others));
    }
    for (int i = 0; i < CALLERS; i++)
        assert_ok(pthread_join(threads[i], NULL));
    turn();
    assert_true(calls > 0);
    calls = 0;
    assert_true(handler(CTRL_C_EVENT));
    turn();
    assert_int_equal(calls, 1);
    finish();
}

/* ------------------------------------------------------------------------------------------------- size of the console -- */

/* One more look, as the system's thread pool calls it. */
static void resize(SHORT columns, SHORT lines)
{
    window = (COORD){columns, lines};
    look(NULL, NULL, NULL);
    turn();
}

static void a_console_that_is_resized_is_told_once(void **state)
{
    (void)state;
    begin();
    assert_ok(loop_signal_start(&watcher, note, SIGWINCH));
    resize(80, 25);
    assert_int_equal(calls, 0);
    resize(100, 25);
    assert_int_equal(calls, 1);
    assert_int_equal(last_signum, SIGWINCH);
    resize(100, 25);
    assert_int_equal(calls, 1);
    resize(100, 40);
    assert_int_equal(calls, 2);
    assert_int_equal(handler(CTRL_C_EVENT), FALSE);
    finish();
}

static void a_console_that_comes_and_goes_is_not_resized(void **state)
{
    (void)state;
    begin();
    window = (COORD){0, 0};
    assert_ok(loop_signal_start(&watcher, note, SIGWINCH));
    resize(80, 25);
    resize(0, 0);
    resize(80, 25);
    assert_int_equal(calls, 0);
    resize(80, 24);
    assert_int_equal(calls, 1);
    finish();
}

static void a_look_that_comes_after_the_last_watcher_has_gone_tells_nobody(void **state)
{
    (void)state;
    begin();
    assert_ok(loop_signal_start(&watcher, note, SIGWINCH));
    assert_ok(loop_signal_stop(&watcher));
    resize(100, 40);
    assert_int_equal(calls, 0);
    assert_ok(loop_signal_start(&watcher, note, SIGWINCH)); /* what has been changed meanwhile is its size now */
    resize(100, 40);
    assert_int_equal(calls, 0);
    finish();
}

/* ------------------------------------------------------------------------------------------------------------ console -- */

enum child_result {
    CHILD_TOLD = 40,
    CHILD_FAILED,
    CHILD_NO_CONSOLE,
    CHILD_NO_EVENT
};

static int told;

static void note_and_stop(loop_signal_t *signal, int signum)
{
    told = signum;
    (void)loop_signal_stop(signal);
}

static bool resize_console(void)
{
    HANDLE console = CreateFileW(L"CONOUT$", GENERIC_READ | GENERIC_WRITE, FILE_SHARE_READ | FILE_SHARE_WRITE, NULL,
                                 OPEN_EXISTING, 0, NULL);
    const SMALL_RECT smaller = {0, 0, 19, 9};
    bool done = console != INVALID_HANDLE_VALUE && SetConsoleWindowInfo(console, TRUE, &smaller);

    if (console != INVALID_HANDLE_VALUE)
        (void)CloseHandle(console);
    return done;
}

static bool raise_at(int signum)
{
    if (signum == SIGWINCH)
        return resize_console();
    return GenerateConsoleCtrlEvent(signum == SIGINT ? CTRL_C_EVENT : CTRL_BREAK_EVENT, 0);
}

/* In a process that has a console to itself: events are for everyone at a console. */
static int raise_in_child(int signum)
{
    loop_t *own;
    loop_signal_t signal;

    if (GetConsoleCP() == 0)
        return CHILD_NO_CONSOLE;
    (void)SetConsoleCtrlHandler(NULL, FALSE); /* whoever started the tests may have had Ctrl-C ignored */
    if (loop_init(&own, NULL) != 0 || loop_signal_init(own, &signal) != 0 ||
        loop_signal_start(&signal, note_and_stop, signum) != 0)
        return CHILD_FAILED;
    if (!raise_at(signum))
        return CHILD_NO_EVENT;
    if (loop_run(own, LOOP_RUN_DEFAULT) != 0 || told != signum || loop_handle_close(&signal.handle, NULL) != 0 ||
        loop_run(own, LOOP_RUN_DEFAULT) != 0 || loop_close(own) != 0)
        return CHILD_FAILED;
    return CHILD_TOLD;
}

static void raise_at_a_console(const char *argument)
{
    struct child child;
    DWORD status;

    child_start(&child, argument, CREATE_NO_WINDOW);
    status = child_status(&child);
    child_close(&child);
    if (status == CHILD_NO_CONSOLE || status == CHILD_NO_EVENT)
        skip();
    assert_int_equal(status, CHILD_TOLD);
}

static void ctrl_c_at_a_console_is_told(void **state)
{
    (void)state;
    raise_at_a_console("ctrlc");
}

/* Wine refuses to raise it. */
static void ctrl_break_at_a_console_is_told(void **state)
{
    (void)state;
    raise_at_a_console("ctrlbreak");
}

static void a_console_that_is_resized_is_told(void **state)
{
    (void)state;
    raise_at_a_console("resize");
}

int main(int argc, char **argv)
{
    static const harness_test tests[] = {TEST(a_handler_that_cannot_be_added_is_an_error_and_is_tried_again),
                                         TEST(looks_that_cannot_be_had_are_an_error_and_are_tried_again),
                                         TEST(it_is_added_once_for_all_signals),
                                         TEST(every_event_has_its_signal),
                                         TEST(what_nobody_watches_is_left_to_others),
                                         TEST(events_and_watchers_may_race),
                                         TEST(a_console_that_is_resized_is_told_once),
                                         TEST(a_console_that_comes_and_goes_is_not_resized),
                                         TEST(a_look_that_comes_after_the_last_watcher_has_gone_tells_nobody),
                                         TEST(ctrl_c_at_a_console_is_told),
                                         TEST(ctrl_break_at_a_console_is_told),
                                         TEST(a_console_that_is_resized_is_told)};

    if (child_is("ctrlc", argc, argv))
        return raise_in_child(SIGINT);
    if (child_is("ctrlbreak", argc, argv))
        return raise_in_child(SIGBREAK);
    if (child_is("resize", argc, argv))
        return raise_in_child(SIGWINCH);
    return harness_main(tests, sizeof(tests) / sizeof(tests[0]), argc, argv);
}
