/* Signal handles in a process that has handlers of its own: chaining, putting back, a second copy of this library. */
#include "support_posix.h"

#include "posix/sys.h"

#include <dlfcn.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

static loop_t *loop;
static loop_signal_t watcher;
static int told;

static void note(loop_signal_t *signal_handle, int signum)
{
    (void)signal_handle;
    (void)signum;
    told++;
}

static void begin(void)
{
    loop = support_loop();
    assert_ok(loop_signal_init(loop, &watcher));
    told = 0;
}

static void turn(void)
{
    assert_true(loop_run(loop, LOOP_RUN_NOWAIT) >= 0);
}

static void start(void)
{
    assert_ok(loop_signal_start(&watcher, note, SIGUSR1));
}

static void stop(void)
{
    assert_ok(loop_signal_stop(&watcher));
}

static struct sigaction action_of(int signum)
{
    struct sigaction action;

    assert_ok(sigaction(signum, NULL, &action));
    return action;
}

/* The default action, set: C library and sanitizers show some things differently before the first time. */
static struct sigaction default_action_of(int signum)
{
    assert_true(signal(signum, SIG_DFL) != SIG_ERR);
    return action_of(signum);
}

static void assert_same_action(const struct sigaction *a, const struct sigaction *b)
{
    assert_true(a->sa_handler == b->sa_handler);
    assert_int_equal(a->sa_flags, b->sa_flags);
    for (int signum = 1; signum < NSIG; signum++)
        assert_int_equal(sigismember(&a->sa_mask, signum), sigismember(&b->sa_mask, signum));
}

/* The host's handlers. */
static volatile sig_atomic_t host_calls;
static int host_code; /* si_code of the last one with information */
static int host_value;
static void *host_context;
static struct sigaction below; /* what the host replaced */

static void host_plain(int signum)
{
    assert_int_equal(signum, SIGUSR1);
    host_calls++;
}

static void host_informed(int signum, siginfo_t *info, void *context)
{
    assert_int_equal(signum, SIGUSR1);
    host_calls++;
    host_code = info->si_code;
    host_value = info->si_value.sival_int;
    host_context = context;
}

/* Calls the one it replaced, as chaining handlers do. */
static void host_chaining(int signum, siginfo_t *info, void *context)
{
    host_calls++;
    if (below.sa_flags & SA_SIGINFO)
        below.sa_sigaction(signum, info, context);
    else if (below.sa_handler != SIG_DFL && below.sa_handler != SIG_IGN)
        below.sa_handler(signum);
}

static void install(struct sigaction *action, struct sigaction *old)
{
    host_calls = 0;
    assert_ok(sigaction(SIGUSR1, action, old));
}

/* ------------------------------------------------------------------------------------------------------ putting back -- */

static void the_last_stop_puts_back_what_was_there(void **state)
{
    struct sigaction action = {.sa_flags = SA_NODEFER | SA_SIGINFO};
    struct sigaction before[3];
    loop_signal_t second;

    (void)state;
    begin();
    assert_ok(loop_signal_init(loop, &second));
    action.sa_sigaction = host_informed;
    (void)sigaddset(&action.sa_mask, SIGHUP);
    before[0] = (struct sigaction){.sa_handler = SIG_DFL};
    before[1] = (struct sigaction){.sa_handler = SIG_IGN, .sa_flags = SA_RESTART};
    before[2] = action;
    for (int i = 0; i < 3; i++) {
        struct sigaction now;

        install(&before[i], NULL);
        before[i] = action_of(SIGUSR1);
        start();
        assert_ok(loop_signal_start(&second, note, SIGUSR1));
        now = action_of(SIGUSR1);
        assert_true(now.sa_flags & SA_RESTART);
        assert_int_equal(sigismember(&now.sa_mask, SIGTERM), 1);
        stop();
        now = action_of(SIGUSR1);
        assert_true(now.sa_handler != before[i].sa_handler);
        assert_ok(loop_signal_stop(&second));
        now = action_of(SIGUSR1);
        assert_same_action(&now, &before[i]);
    }
    start(); /* closing is stopping */
    support_finish(loop);
    before[0] = action_of(SIGUSR1);
    assert_same_action(&before[0], &before[2]);
    assert_true(signal(SIGUSR1, SIG_DFL) != SIG_ERR);
}

static void a_one_shot_puts_back_what_was_there_before_its_callback(void **state)
{
    struct sigaction ignored = {.sa_handler = SIG_IGN};
    struct sigaction now;

    (void)state;
    begin();
    install(&ignored, NULL);
    assert_ok(loop_signal_start_oneshot(&watcher, note, SIGUSR1));
    assert_ok(raise(SIGUSR1));
    turn();
    assert_int_equal(told, 1);
    now = action_of(SIGUSR1);
    assert_true(now.sa_handler == SIG_IGN);
    support_finish(loop);
    assert_true(signal(SIGUSR1, SIG_DFL) != SIG_ERR);
}

static void moving_to_another_signal_puts_back_the_first(void **state)
{
    struct sigaction now;

    (void)state;
    begin();
    start();
    assert_ok(loop_signal_start(&watcher, note, SIGUSR2));
    now = action_of(SIGUSR1);
    assert_true(now.sa_handler == SIG_DFL);
    assert_ok(raise(SIGUSR2));
    turn();
    assert_int_equal(told, 1);
    support_finish(loop);
    now = action_of(SIGUSR2);
    assert_true(now.sa_handler == SIG_DFL);
}

static void a_handler_installed_later_is_left_where_it_is(void **state)
{
    struct sigaction host = {.sa_handler = host_plain};
    struct sigaction now;

    (void)state;
    begin();
    start();
    install(&host, &below);
    assert_ok(raise(SIGUSR1));
    turn();
    assert_int_equal(host_calls, 1);
    assert_int_equal(told, 0); /* it does not pass signals on */
    stop();
    now = action_of(SIGUSR1);
    assert_true(now.sa_handler == host_plain);
    start(); /* begins anew, above it */
    assert_ok(raise(SIGUSR1));
    turn();
    assert_int_equal(host_calls, 2);
    assert_int_equal(told, 1);
    support_finish(loop);
    now = action_of(SIGUSR1);
    assert_true(now.sa_handler == host_plain);
    assert_true(signal(SIGUSR1, SIG_DFL) != SIG_ERR);
}

/* ---------------------------------------------------------------------------------------------------------- chaining -- */

static void a_handler_that_was_there_before_is_still_called(void **state)
{
    struct sigaction host = {.sa_handler = host_plain};

    (void)state;
    begin();
    install(&host, NULL);
    start();
    for (int i = 1; i <= 3; i++) {
        assert_ok(raise(SIGUSR1));
        assert_int_equal(host_calls, i);
        turn();
        assert_int_equal(told, i);
    }
    support_finish(loop);
    assert_true(signal(SIGUSR1, SIG_DFL) != SIG_ERR);
}

static void a_handler_that_wants_information_gets_it(void **state)
{
    struct sigaction host = {.sa_flags = SA_SIGINFO};

    (void)state;
    if (support_realtime_signal(0) < 0)
        skip(); /* nor are there signals with a value */
    begin();
    host.sa_sigaction = host_informed;
    install(&host, NULL);
    host_context = NULL;
    start();
    assert_ok(support_queue_signal(SIGUSR1, 42));
    while (told == 0)
        (void)loop_run(loop, LOOP_RUN_ONCE);
    assert_int_equal(host_calls, 1);
    assert_int_equal(host_code, SI_QUEUE);
    assert_int_equal(host_value, 42);
    assert_non_null(host_context);
    support_finish(loop);
    assert_true(signal(SIGUSR1, SIG_DFL) != SIG_ERR);
}

static void a_handler_that_was_there_for_one_signal_is_called_for_one(void **state)
{
    struct sigaction host = {.sa_handler = host_plain, .sa_flags = (int)SA_RESETHAND};
    struct sigaction now;

    (void)state;
    begin();
    install(&host, NULL);
    start();
    assert_ok(raise(SIGUSR1));
    assert_ok(raise(SIGUSR1));
    assert_int_equal(host_calls, 1);
    stop();
    now = action_of(SIGUSR1);
    assert_true(now.sa_handler == SIG_DFL); /* as it would be without us */
    support_finish(loop);
}

static void watching_that_begins_again_below_a_chaining_handler_makes_no_circle(void **state)
{
    struct sigaction host = {.sa_flags = SA_SIGINFO};
    struct sigaction now;

    (void)state;
    begin();
    host.sa_sigaction = host_chaining;
    start();
    install(&host, &below);
    assert_ok(raise(SIGUSR1));
    turn();
    assert_int_equal(host_calls, 1);
    assert_int_equal(told, 1);
    stop();
    assert_ok(raise(SIGUSR1)); /* passed on to where nobody watches, which is no reason to end the process */
    turn();
    assert_int_equal(host_calls, 2);
    assert_int_equal(told, 1);
    for (int i = 1; i <= 5; i++) {
        start();
        assert_ok(raise(SIGUSR1));
        turn();
        assert_int_equal(host_calls, 2 + i); /* once each */
        assert_int_equal(told, 1 + i);
        stop();
        now = action_of(SIGUSR1);
        assert_true(now.sa_sigaction == host_chaining);
    }
    /* The host puts back what it found: ours, which takes itself out. */
    assert_ok(sigaction(SIGUSR1, &below, NULL));
    start();
    assert_ok(raise(SIGUSR1));
    turn();
    assert_int_equal(told, 7);
    stop();
    now = action_of(SIGUSR1);
    assert_true(now.sa_handler == SIG_DFL);
    support_finish(loop);
}

/* A process of its own, which a signal ends. Its exit status says how far it got. */
static int status_of(pid_t child)
{
    int status = 0;

    assert_true(child > 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    return status;
}

static void a_handler_left_behind_lets_the_default_action_happen(void **state)
{
    struct sigaction host = {.sa_flags = SA_SIGINFO};
    pid_t child;
    int status;

    (void)state;
    begin();
    host.sa_sigaction = host_chaining;
    start();
    install(&host, &below);
    stop();
    assert_ok(sigaction(SIGUSR1, &below, NULL));
    child = fork();
    if (child == 0) {
        (void)raise(SIGUSR1);
        _exit(0);
    }
    status = status_of(child);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGUSR1);
    support_finish(loop);
    assert_true(signal(SIGUSR1, SIG_DFL) != SIG_ERR);
}

static void handlers_of_ours_that_all_stand_in_a_chain_hear_through_it(void **state)
{
    struct sigaction host = {.sa_flags = SA_SIGINFO};
    struct sigaction first;
    struct sigaction now;
    int ours_on_top = 0;

    (void)state;
    begin();
    host.sa_sigaction = host_chaining;
    start();
    install(&host, &first);
    /* The host goes on top again and again, and never lets go of what it replaced first. */
    for (int i = 0; i < 10; i++) {
        stop();
        start();
        now = action_of(SIGUSR1);
        ours_on_top += now.sa_sigaction != host_chaining;
        below = first;
        install(&host, NULL);
        assert_ok(raise(SIGUSR1));
        turn();
        assert_int_equal(host_calls, 1);
        assert_int_equal(told, i + 1);
    }
    assert_true(ours_on_top > 0 && ours_on_top < 10);
    assert_ok(sigaction(SIGUSR1, &first, NULL)); /* the host goes, and with it what stood in between */
    assert_ok(raise(SIGUSR1));
    turn();
    assert_int_equal(told, 11);
    stop();
    now = action_of(SIGUSR1);
    assert_true(now.sa_handler == SIG_DFL);
    support_finish(loop);
}

/* Another thread's handler gets in between our look at the action and our putting back. */
static int (*real_sigaction)(int number, const struct sigaction *action, struct sigaction *old);
static bool intrude;

static int intruded_sigaction(int number, const struct sigaction *action, struct sigaction *old)
{
    int rc = real_sigaction(number, action, old);

    if (intrude && action == NULL) {
        struct sigaction host = {.sa_flags = SA_SIGINFO};

        intrude = false;
        host.sa_sigaction = host_chaining;
        (void)real_sigaction(number, &host, &below);
    }
    return rc;
}

static void a_handler_that_is_installed_while_we_put_back_survives(void **state)
{
    struct sigaction now;

    (void)state;
    begin();
    host_calls = 0;
    real_sigaction = loop__sys.sigaction;
    loop__sys.sigaction = intruded_sigaction;
    start();
    intrude = true;
    stop();
    now = action_of(SIGUSR1);
    assert_true(now.sa_sigaction == host_chaining);
    start();
    assert_ok(raise(SIGUSR1));
    turn();
    assert_int_equal(host_calls, 1);
    assert_int_equal(told, 1);
    stop();
    loop__sys.sigaction = real_sigaction;
    assert_ok(sigaction(SIGUSR1, &below, NULL));
    start();
    stop();
    now = action_of(SIGUSR1);
    assert_true(now.sa_handler == SIG_DFL);
    support_finish(loop);
}

/* ----------------------------------------------------------------------------------------------------------- SIGCHLD -- */

static pid_t ending_child(void)
{
    pid_t child = fork();

    if (child == 0)
        (void)kill(getpid(), SIGKILL); /* no exit, at which valgrind would complain of what the parent holds */
    return child;
}

static void on_timer(loop_timer_t *timer)
{
    (void)timer;
}

static void a_loop_without_a_handle_for_it_leaves_sigchld_alone(void **state)
{
    struct sigaction before = default_action_of(SIGCHLD);
    struct sigaction now;
    loop_timer_t timer;
    int status;

    (void)state;
    begin();
    start();
    assert_ok(loop_timer_init(loop, &timer));
    assert_ok(loop_timer_start(&timer, on_timer, LOOP_MS(1), 0));
    status = status_of(ending_child());
    (void)loop_run(loop, LOOP_RUN_ONCE);
    assert_true(WIFSIGNALED(status));
    now = action_of(SIGCHLD);
    assert_same_action(&now, &before);
    support_finish(loop);
    now = action_of(SIGCHLD);
    assert_same_action(&now, &before);
}

static void a_handle_for_sigchld_is_told_and_reaps_nothing(void **state)
{
    struct sigaction before = default_action_of(SIGCHLD);
    struct sigaction now;
    pid_t child;
    int status;

    (void)state;
    begin();
    assert_ok(loop_signal_start(&watcher, note, SIGCHLD));
    child = ending_child();
    while (told == 0)
        (void)loop_run(loop, LOOP_RUN_ONCE);
    status = status_of(child);
    assert_true(WIFSIGNALED(status));
    support_finish(loop);
    now = action_of(SIGCHLD);
    assert_same_action(&now, &before);
}

/* ------------------------------------------------------------------------------------------------------- two copies -- */

#ifdef SECOND_COPY

/* What is called of the copy that dlopen() brings. */
static struct {
    int (*loop_init)(loop_t **loop, const loop_options_t *options);
    int (*loop_run)(loop_t *loop, loop_run_mode mode);
    int (*loop_close)(loop_t *loop);
    int (*loop_handle_close)(loop_handle_t *handle, loop_close_cb cb);
    int (*loop_signal_init)(loop_t *loop, loop_signal_t *handle);
    int (*loop_signal_start)(loop_signal_t *handle, loop_signal_cb cb, int signum);
    int (*loop_signal_stop)(loop_signal_t *handle);
} second;

static loop_t *second_loop;
static loop_signal_t second_watcher;
static int second_told;

static void note_second(loop_signal_t *handle, int signum)
{
    (void)handle;
    (void)signum;
    second_told++;
}

/* A function pointer from dlsym(), without the cast that C does not know. */
static void look_up(void *library, const char *name, void *function)
{
    void *symbol = dlsym(library, name);

    assert_non_null(symbol);
    memcpy(function, &symbol, sizeof(symbol));
}

static void *open_second(void)
{
    void *library = dlopen(SECOND_COPY, RTLD_NOW | RTLD_LOCAL);

    assert_non_null(library);
    look_up(library, "loop_init", &second.loop_init);
    look_up(library, "loop_run", &second.loop_run);
    look_up(library, "loop_close", &second.loop_close);
    look_up(library, "loop_handle_close", &second.loop_handle_close);
    look_up(library, "loop_signal_init", &second.loop_signal_init);
    look_up(library, "loop_signal_start", &second.loop_signal_start);
    look_up(library, "loop_signal_stop", &second.loop_signal_stop);
    assert_true(second.loop_signal_start != loop_signal_start);
    assert_ok(second.loop_init(&second_loop, NULL));
    assert_ok(second.loop_signal_init(second_loop, &second_watcher));
    return library;
}

static void close_second(void *library)
{
    assert_ok(second.loop_handle_close(&second_watcher.handle, NULL));
    assert_ok(second.loop_run(second_loop, LOOP_RUN_DEFAULT));
    assert_ok(second.loop_close(second_loop));
    assert_ok(dlclose(library));
}

/* Both copies start and stop in every order that a random walk finds; whoever is started hears every signal, once. */
static void two_copies_of_the_library_both_hear(void **state)
{
    struct sigaction ignored = {.sa_handler = SIG_IGN};
    uint64_t random = support_seed();
    void *library = open_second();
    bool first_on = false;
    bool second_on = false;
    struct sigaction now;

    (void)state;
    begin();
    install(&ignored, NULL);
    for (int i = 0; i < 300; i++) {
        int told_before = told;
        int second_before = second_told;

        if (support_random(&random, 2) == 0) {
            first_on = !first_on;
            if (first_on)
                start();
            else
                stop();
        } else {
            second_on = !second_on;
            if (second_on)
                assert_ok(second.loop_signal_start(&second_watcher, note_second, SIGUSR1));
            else
                assert_ok(second.loop_signal_stop(&second_watcher));
        }
        assert_ok(raise(SIGUSR1));
        turn();
        assert_true(second.loop_run(second_loop, LOOP_RUN_NOWAIT) >= 0);
        assert_int_equal(told, told_before + first_on);
        assert_int_equal(second_told, second_before + second_on);
    }
    stop();
    assert_ok(second.loop_signal_stop(&second_watcher));
    /* Whatever was left behind takes itself out, one with each signal. */
    for (int i = 0; i < 4; i++)
        assert_ok(raise(SIGUSR1));
    now = action_of(SIGUSR1);
    assert_true(now.sa_handler == SIG_IGN);
    support_finish(loop);
    close_second(library);
    assert_true(signal(SIGUSR1, SIG_DFL) != SIG_ERR);
}

static void copies_that_stop_in_reverse_order_leave_nothing_behind(void **state)
{
    void *library = open_second();
    struct sigaction before = default_action_of(SIGUSR1);
    struct sigaction now;

    (void)state;
    begin();
    start();
    assert_ok(second.loop_signal_start(&second_watcher, note_second, SIGUSR1));
    close_second(library);
    stop();
    now = action_of(SIGUSR1);
    assert_same_action(&now, &before);
    support_finish(loop);
}

#define SECOND_COPY_TESTS                                                                                              \
    TEST(two_copies_of_the_library_both_hear), TEST(copies_that_stop_in_reverse_order_leave_nothing_behind),
#else
#define SECOND_COPY_TESTS
#endif

LOOP_TEST_MAIN(SECOND_COPY_TESTS TEST(the_last_stop_puts_back_what_was_there),
               TEST(a_one_shot_puts_back_what_was_there_before_its_callback),
               TEST(moving_to_another_signal_puts_back_the_first), TEST(a_handler_installed_later_is_left_where_it_is),
               TEST(a_handler_that_was_there_before_is_still_called), TEST(a_handler_that_wants_information_gets_it),
               TEST(a_handler_that_was_there_for_one_signal_is_called_for_one),
               TEST(watching_that_begins_again_below_a_chaining_handler_makes_no_circle),
               TEST(a_handler_left_behind_lets_the_default_action_happen),
               TEST(handlers_of_ours_that_all_stand_in_a_chain_hear_through_it),
               TEST(a_handler_that_is_installed_while_we_put_back_survives),
               TEST(a_loop_without_a_handle_for_it_leaves_sigchld_alone),
               TEST(a_handle_for_sigchld_is_told_and_reaps_nothing))
