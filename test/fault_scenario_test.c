/*
 * Every system call and every allocation of every scenario fails once, with every error that is plausible for it. Each
 * time the failure is returned or reported (or of no consequence), every operation completes once, every handle closes, the
 * same loop plays the scenario again without a fault, and nothing is left behind.
 */
#include "fault_world.h"

#include "harness.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

#define ERRORS_AT_MOST 12
#define CALLS_AT_MOST 500u

/* What each call may plausibly fail with. The order of the rows is the seam's. */
static const struct {
    enum fault_row row;
    int errors[ERRORS_AT_MOST];
} plausible[] = {
    {FAULT_accept4, {EINTR, EMFILE, ENFILE, ENOBUFS, ENOMEM, ECONNABORTED, EPROTO, EPERM, ENETDOWN, EHOSTUNREACH}},
    {FAULT_bind, {EADDRINUSE, EADDRNOTAVAIL, EACCES, ENOBUFS}},
    {FAULT_clock_gettime, {EINVAL}},
    {FAULT_close, {EINTR, EIO, ENOSPC}},
    {FAULT_connect,
     {EINTR, ECONNREFUSED, EADDRNOTAVAIL, ENETUNREACH, EHOSTUNREACH, ETIMEDOUT, EACCES, EPERM, ENOBUFS, EAGAIN}},
    {FAULT_fcntl, {EBADF, ENOMEM}},
    {FAULT_getpeername, {ENOBUFS}},
    {FAULT_getsockname, {ENOBUFS}},
    {FAULT_getsockopt, {ENOBUFS, ENOMEM}},
    {FAULT_if_nametoindex, {ENODEV}},
    {FAULT_listen, {EADDRINUSE, ENOBUFS}},
    {FAULT_poll, {EINTR, ENOMEM}},
    {FAULT_pthread_sigmask, {EINVAL}},
    {FAULT_readv, {EINTR, EIO, ECONNRESET, ENOMEM}},
    {FAULT_recv, {EINTR, ECONNRESET, ETIMEDOUT, ENOMEM, EHOSTUNREACH}},
    {FAULT_recvmsg, {EINTR, ECONNREFUSED, ENOMEM}},
    {FAULT_sched_yield, {ENOSYS}},
    {FAULT_send, {EINTR, EPIPE, ECONNRESET, ENOBUFS, ENOMEM, ETIMEDOUT}},
    {FAULT_sendmsg, {EINTR, EPIPE, ECONNRESET, ENOBUFS, ENOMEM, EMSGSIZE, ENETUNREACH, EPERM}},
    {FAULT_setsockopt, {ENOBUFS, ENOMEM, EACCES}},
    {FAULT_shutdown, {ENOTCONN, ENOBUFS}},
    {FAULT_sigpending, {EFAULT}},
    {FAULT_sigwait, {EINVAL}},
    {FAULT_socket, {EMFILE, ENFILE, ENOBUFS, ENOMEM, EACCES, EAFNOSUPPORT}},
    {FAULT_writev, {EINTR, EIO, ENOSPC, EPIPE}},
    {FAULT_epoll_create1, {EMFILE, ENFILE, ENOMEM}},
    {FAULT_epoll_ctl, {ENOMEM, ENOSPC}},
    {FAULT_epoll_wait, {EINTR, EBADF}},
    {FAULT_epoll_pwait_ns, {EINTR, EBADF, EINVAL, ENOSYS, EPERM}},
    {FAULT_eventfd, {EMFILE, ENFILE, ENODEV, ENOMEM}},
    {FAULT_write, {EINTR}},
};

static bool one_of(int error, const int *errors)
{
    while (*errors != 0 && *errors != error)
        errors++;
    return *errors != 0;
}

/* Failures that mean nothing to the user, or that nothing can be done about. */
static bool may_pass_unnoticed(enum fault_row row, int error)
{
    static const int lost_connections[] = {ECONNABORTED, EPROTO, EPERM, ENETDOWN, EHOSTUNREACH, 0};
    static const int missing_call[] = {ENOSYS, EPERM, 0};

    if (error == EINTR)
        return true;
    switch (row) {
    case FAULT_accept4:
        return one_of(error, lost_connections);
    case FAULT_epoll_pwait_ns:
        return one_of(error, missing_call);
    case FAULT_epoll_ctl:
        return fault_epoll_ctl_operation() == EPOLL_CTL_DEL;
    case FAULT_clock_gettime:
    case FAULT_close:
    case FAULT_pthread_sigmask:
    case FAULT_sched_yield:
    case FAULT_sigpending:
    case FAULT_sigwait:
        return true;
    default:
        return false;
    }
}

static int code_of(enum fault_row row, int error)
{
    return row == FAULT_if_nametoindex ? LOOP_EINVAL : loop_translate_sys_error(error);
}

static loop_t *fresh_loop(void)
{
    loop_options_t options = LOOP_OPTIONS_INIT;
    loop_t *loop = NULL;

    fault_reset();
    fault_allocator_reset();
    options.allocator = fault_allocator();
    assert_int_equal(loop_init(&loop, &options), 0);
    return loop;
}

/* After a fault the loop is as good as new, and leaves nothing. */
static void play_again_and_end(loop_t *loop, const struct scenario *scenario)
{
    fault_reset();
    fault_allocator_fail(0);
    world_check(world_play(loop, scenario) == 0, "the loop is not usable afterwards");
    world_check(loop_close(loop) == 0, "the loop cannot be closed");
    world_check(fault_live_blocks() == 0, "memory was not given back");
}

/* Returns false once the scenario makes fewer than n such calls. */
static bool play_with_failing_call(const struct scenario *scenario, enum fault_row row, unsigned n, int error)
{
    loop_t *loop = fresh_loop();
    char text[120];
    sigset_t mask;
    bool hit;
    int result;

    (void)snprintf(text, sizeof(text), "%s, call %u of %s fails with errno %d", scenario->name, n, fault_row_name(row),
                   error);
    world_describe(text);
    (void)sigprocmask(SIG_SETMASK, NULL, &mask);
    fault_fail(row, n, 1, error);
    result = world_play(loop, scenario);
    hit = fault_hits() > 0;
    if (hit && result == 0)
        world_check(may_pass_unnoticed(row, error), "nobody was told");
    else if (result != 0)
        world_check(hit && result == code_of(row, error), loop_err_name(result));
    (void)sigprocmask(SIG_SETMASK, &mask, NULL);
    play_again_and_end(loop, scenario);
    return hit;
}

static void every_call_fails_in(const struct scenario *scenario)
{
    void (*before)(int) = signal(SIGPIPE, SIG_IGN);

    fault_install();
    for (size_t i = 0; i < sizeof(plausible) / sizeof(plausible[0]); i++) {
        for (const int *error = plausible[i].errors; *error != 0; error++) {
            unsigned n = 1;

            while (n < CALLS_AT_MOST && play_with_failing_call(scenario, plausible[i].row, n, *error))
                n++;
            assert_true(n < CALLS_AT_MOST);
        }
    }
    fault_remove();
    (void)signal(SIGPIPE, before);
}

static void every_allocation_fails_in(const struct scenario *scenario)
{
    bool hit = true;

    (void)signal(SIGPIPE, SIG_IGN);
    fault_install();
    for (unsigned n = 1; hit; n++) {
        loop_t *loop = fresh_loop();
        char text[80];
        int result;

        (void)snprintf(text, sizeof(text), "%s, allocation %u fails", scenario->name, n);
        world_describe(text);
        fault_allocator_fail(n);
        result = world_play(loop, scenario);
        hit = fault_allocator_hit();
        world_check(result == (hit ? LOOP_ENOMEM : 0), loop_err_name(result));
        play_again_and_end(loop, scenario);
    }
    fault_remove();
    (void)signal(SIGPIPE, SIG_DFL);
}

static void every_short_transfer_in(const struct scenario *scenario, enum fault_row row)
{
    bool hit = true;

    (void)signal(SIGPIPE, SIG_IGN);
    fault_install();
    for (unsigned n = 1; hit; n++) {
        loop_t *loop = fresh_loop();
        char text[80];

        (void)snprintf(text, sizeof(text), "%s, call %u of %s is short", scenario->name, n, fault_row_name(row));
        world_describe(text);
        fault_shorten(row, n, 1);
        world_check(world_play(loop, scenario) == 0, "a short transfer is an error");
        hit = fault_hits() > 0;
        play_again_and_end(loop, scenario);
    }
    fault_remove();
    (void)signal(SIGPIPE, SIG_DFL);
}

#define SCENARIO_TESTS(name)                                                                                           \
    static void name##_survives_the_failure_of_every_system_call(void **state)                                         \
    {                                                                                                                  \
        (void)state;                                                                                                   \
        every_call_fails_in(&name##_scenario);                                                                         \
    }                                                                                                                  \
    static void name##_survives_the_failure_of_every_allocation(void **state)                                          \
    {                                                                                                                  \
        (void)state;                                                                                                   \
        every_allocation_fails_in(&name##_scenario);                                                                   \
    }

SCENARIO_TESTS(tcp_echo)
SCENARIO_TESTS(tcp_listener)
SCENARIO_TESTS(tcp_options)
SCENARIO_TESTS(descriptors)
SCENARIO_TESTS(datagrams)
SCENARIO_TESTS(timers)

static void short_sends_lose_nothing(void **state)
{
    (void)state;
    every_short_transfer_in(&tcp_echo_scenario, FAULT_send);
    every_short_transfer_in(&tcp_echo_scenario, FAULT_sendmsg);
}

static void short_writes_and_reads_of_descriptors_lose_nothing(void **state)
{
    (void)state;
    every_short_transfer_in(&descriptors_scenario, FAULT_writev);
    every_short_transfer_in(&descriptors_scenario, FAULT_readv);
    every_short_transfer_in(&descriptors_scenario, FAULT_sendmsg);
}

/* A new row of the seam must be given its errors above. */
static void every_row_of_the_seam_has_its_plausible_errors(void **state)
{
    (void)state;
    for (int row = 0; row < FAULT_ROWS; row++) {
        bool known = false;

        for (size_t i = 0; i < sizeof(plausible) / sizeof(plausible[0]); i++)
            known = known || (int)plausible[i].row == row;
        if (!known)
            fail_msg("%s is missing", fault_row_name((enum fault_row)row));
    }
}

/* All scenarios together make every call that there is, but for what only loop_init makes and what races make. */
static void the_scenarios_reach_every_row_of_the_seam(void **state)
{
    static const struct scenario *const all[] = {&tcp_echo_scenario,    &tcp_listener_scenario, &tcp_options_scenario,
                                                 &descriptors_scenario, &datagrams_scenario,    &timers_scenario};
    unsigned calls[FAULT_ROWS] = {0};

    (void)state;
    (void)signal(SIGPIPE, SIG_IGN);
    fault_install();
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        loop_t *loop = fresh_loop();

        world_describe(all[i]->name);
        world_check(world_play(loop, all[i]) == 0, "does not work even without a fault");
        assert_int_equal(loop_close(loop), 0);
        for (int row = 0; row < FAULT_ROWS; row++)
            calls[row] += fault_calls((enum fault_row)row);
    }
    fault_remove();
    (void)signal(SIGPIPE, SIG_DFL);
    for (int row = 0; row < FAULT_ROWS; row++) {
        if (calls[row] == 0 && row != FAULT_sched_yield)
            fail_msg("%s is never called", fault_row_name((enum fault_row)row));
    }
}

LOOP_TEST_MAIN(TEST(every_row_of_the_seam_has_its_plausible_errors), TEST(the_scenarios_reach_every_row_of_the_seam),
               TEST(tcp_echo_survives_the_failure_of_every_system_call),
               TEST(tcp_echo_survives_the_failure_of_every_allocation),
               TEST(tcp_listener_survives_the_failure_of_every_system_call),
               TEST(tcp_listener_survives_the_failure_of_every_allocation),
               TEST(tcp_options_survives_the_failure_of_every_system_call),
               TEST(tcp_options_survives_the_failure_of_every_allocation),
               TEST(descriptors_survives_the_failure_of_every_system_call),
               TEST(descriptors_survives_the_failure_of_every_allocation),
               TEST(datagrams_survives_the_failure_of_every_system_call),
               TEST(datagrams_survives_the_failure_of_every_allocation),
               TEST(timers_survives_the_failure_of_every_system_call),
               TEST(timers_survives_the_failure_of_every_allocation), TEST(short_sends_lose_nothing),
               TEST(short_writes_and_reads_of_descriptors_lose_nothing))
