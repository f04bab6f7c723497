/*
 * The queue of posted tasks, asyncs, the wait and closing, in every order of their steps up to a number of preemptions. These are
 * the sources of the core, compiled with interleave/stdatomic.h, over a backend of this file that has nothing but a wake-up.
 * spin/post.pml checks more orders than this, but of a copy.
 */
#include "support.h"

#include "interleave/explore.h"
#include "internal.h"
#include "posix/sys.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

/* ----------------------------------------------------------------------------------------------------- the backend -- */

static bool edge;
static bool deaf; /* a mistake: wake-ups are lost */
static int polls;
static int wakes;

static bool has_edge(void)
{
    return edge;
}

static int simulated_init(loop_t *loop)
{
    loop->backend_data = NULL;
    edge = false;
    polls = 0;
    wakes = 0;
    return 0;
}

static void simulated_close(loop_t *loop)
{
    explore_step(loop);
}

/* What a host loop would wait for: nobody does. */
static loop_os_fd_t simulated_fd(const loop_t *loop)
{
    (void)loop;
    return 0;
}

static int simulated_poll(loop_t *loop, int64_t timeout)
{
    explore_step(loop);
    polls++;
    if (timeout != 0)
        explore_wait(has_edge);
    edge = false;
    return timeout != 0;
}

static void simulated_wake(loop_t *loop)
{
    explore_step(loop);
    wakes++;
    edge = !deaf;
}

const struct loop_backend loop__backend = {
    .name = "simulated",
    .init = simulated_init,
    .close = simulated_close,
    .fd = simulated_fd,
    .poll = simulated_poll,
    .wake = simulated_wake,
};

static int simulated_yield(void)
{
    explore_yield();
    return 0;
}

/* ------------------------------------------------------------------------------------------------------ the fixture -- */

#define JOBS 4

struct job {
    loop_task_t task;
    int number;
};

static loop_t *loop;
static struct job *jobs[JOBS];
static bool settled[JOBS]; /* the call that posted it has returned */
static int results[JOBS];
static int ran[JOBS];
static int statuses[JOBS];
static int order[JOBS];
static int total;

static void *resize(void *context, void *ptr, size_t size)
{
    (void)context;
    if (size != 0)
        return realloc(ptr, size);
    if (ptr == loop)
        explore_gone(ptr, sizeof(struct loop));
    else
        free(ptr);
    return NULL;
}

static void begin(void)
{
    const loop_allocator_t allocator = {resize, NULL};
    loop_options_t options = LOOP_OPTIONS_INIT;

    options.allocator = &allocator;
    loop__sys.sched_yield = simulated_yield;
    assert_ok(loop_init(&loop, &options));
    total = 0;
    for (int i = 0; i < JOBS; i++) {
        jobs[i] = calloc(1, sizeof(*jobs[i]));
        assert_non_null(jobs[i]);
        jobs[i]->number = i;
        settled[i] = false;
        results[i] = 1;
        ran[i] = 0;
    }
}

/* The memory of a task is the caller's in its callback. */
static void run_job(loop_task_t *task, int status)
{
    struct job *job = (struct job *)task;
    int i = job->number;

    ran[i]++;
    statuses[i] = status;
    order[total++] = i;
    jobs[i] = NULL;
    explore_gone(job, sizeof(*job));
}

static void post(int i)
{
    results[i] = loop_post(loop, &jobs[i]->task, run_job);
    settled[i] = true;
}

static void close_loop(void)
{
    if (loop_close(loop) != 0)
        explore_fault("the loop cannot be closed");
}

static void turn_until(bool (*condition)(void))
{
    while (!condition()) {
        loop_op_t *op;

        if (loop_wait(loop, &op, 1, LOOP_FOREVER) != 0)
            explore_fault("the wait failed");
    }
}

static void expect(bool condition, const char *what)
{
    if (!condition)
        explore_fault(what);
}

/* Whatever was accepted ran once; what was refused did not, and is still the caller's. The loop slept before, between and
 * after its polls. */
static void end(void)
{
    expect(wakes <= polls + 1, "more than one wake-up call in a sleep");
    for (int i = 0; i < JOBS; i++) {
        expect(ran[i] == (results[i] == 0), "a task ran more or less often than it was accepted");
        expect(results[i] >= 0 || results[i] == LOOP_ECLOSED, "a task was refused for another reason");
        free(jobs[i]);
    }
}

static void explore_all(const char *what, const struct explore_scenario *scenario, unsigned preemptions)
{
    if (harness_slow())
        preemptions = 1;
    explore_mistakes = (struct explore_mistakes){NULL, NULL};
    print_message("%s: %lu schedules with up to %u preemptions\n", what, explore(scenario, preemptions), preemptions);
}

/* ---------------------------------------------------------------------------------------------------- falling asleep -- */

static bool three_ran(void)
{
    return total == 3;
}

static void run_three_and_close(void)
{
    turn_until(three_ran);
    close_loop();
}

static void post_two(void)
{
    post(0);
    post(1);
}

static void post_third(void)
{
    post(2);
}

static void end_in_order(void)
{
    int first = order[0] == 0 || (order[0] == 2 && order[1] == 0) ? 0 : 1;

    end();
    expect(first == 0 && statuses[0] == 0 && statuses[1] == 0 && statuses[2] == 0,
           "tasks of a thread ran out of order");
}

static const struct explore_scenario sleeping = {
    begin, {run_three_and_close, post_two, post_third}, NULL, end_in_order};

static void whoever_posts_wakes_the_loop_however_it_falls_asleep(void **state)
{
    (void)state;
    explore_all("falling asleep", &sleeping, 3);
}

static void begin_watched(void)
{
    begin();
    expect(loop_backend_fd(loop) == 0, "the backend has no descriptor");
}

/* It wakes itself when it leaves something undone, beside those who post. */
static void a_loop_that_a_host_watches_misses_no_post(void **state)
{
    struct explore_scenario scenario = sleeping;

    (void)state;
    scenario.begin = begin_watched;
    explore_all("falling asleep under a host loop", &scenario, 2);
}

/* ---------------------------------------------------------------------------------------------------------- closing -- */

static struct post_node *taken; /* what loop_close() took from the queue and has not run yet */

/* loop_close() must not return before each call has returned or its task was taken: what the caller promises. */
static bool posters_are_known(void)
{
    for (int i = 0; i < 2; i++) {
        bool is_taken = ran[i] > 0;

        for (const struct post_node *node = taken; node != NULL; node = node->next)
            is_taken = is_taken || node == &((struct task *)&jobs[i]->task)->node;
        if (!is_taken && !settled[i])
            return false;
    }
    return true;
}

static void hold_the_close(loop_task_t *task, int status)
{
    (void)task;
    expect(status == LOOP_ECANCELED, "a task runs in loop_close() as if nothing was the matter");
    taken = loop->tasks;
    explore_wait(posters_are_known);
}

static void begin_closing(void)
{
    begin();
    expect(loop_post(loop, &jobs[3]->task, hold_the_close) == 0, "the first task is refused");
}

static void post_first(void)
{
    post(0);
}

static void post_second(void)
{
    post(1);
}

static void end_closing(void)
{
    end();
    for (int i = 0; i < 2; i++)
        expect(ran[i] == 0 || statuses[i] == LOOP_ECANCELED, "a task ran in loop_close() as if nothing was the matter");
}

static const struct explore_scenario closing = {
    begin_closing, {close_loop, post_first, post_second}, NULL, end_closing};

static void a_task_posted_while_the_loop_closes_is_cancelled_or_refused(void **state)
{
    (void)state;
    explore_all("closing", &closing, 4);
}

/* ------------------------------------------------------------------------------------------------------ shared tasks -- */

static struct job *shared;
static int accepted;
static int shared_ran;
static loop_async_t keep_alive;

static void ignore(loop_async_t *a)
{
    (void)a;
}

static void begin_shared(void)
{
    begin();
    shared = jobs[3];
    accepted = 0;
    shared_ran = 0;
    assert_ok(loop_async_init(loop, &keep_alive, ignore));
}

static void run_shared(loop_task_t *task, int status)
{
    (void)task;
    (void)status;
    shared_ran++;
}

static void post_shared(int own)
{
    int result = loop_post(loop, &shared->task, run_shared);

    expect(result == 0 || result == LOOP_EBUSY, "a shared task is refused");
    accepted += result == 0;
    post(own);
}

static void let_end(loop_prepare_t *prepare)
{
    if (total < 2)
        return;
    (void)loop_handle_close(&keep_alive.handle, NULL);
    (void)loop_handle_close(&prepare->handle, NULL);
}

static void post_shared_and_first(void)
{
    post_shared(0);
}

static void post_shared_and_second(void)
{
    post_shared(1);
}

static void run_two_and_close(void)
{
    loop_prepare_t prepare;

    (void)loop_prepare_init(loop, &prepare);
    (void)loop_prepare_start(&prepare, let_end);
    expect(loop_run(loop, LOOP_RUN_DEFAULT) == 0, "the run failed");
    expect(shared_ran == accepted && accepted > 0, "a shared task ran more or less often than it was accepted");
    close_loop();
}

static const struct explore_scenario sharing = {
    begin_shared, {run_two_and_close, post_shared_and_first, post_shared_and_second}, NULL, end};

static void a_task_that_two_threads_post_runs_as_often_as_it_was_accepted(void **state)
{
    (void)state;
    explore_all("sharing a task", &sharing, 2);
}

/* ------------------------------------------------------------------------------------------------------------ asyncs -- */

static loop_async_t *async;
static bool async_open;
static bool sender_done;
static int written;
static int seen;
static int promised;

static bool sender_is_known(void)
{
    unsigned async_state = atomic_load_explicit(&((struct async *)async)->state, memory_order_seq_cst);

    return sender_done || (async_state & ASYNC_QUEUED);
}

static void on_async_closed(loop_handle_t *handle)
{
    expect((loop_async_t *)handle == async, "another handle is closed");
    async = NULL;
    explore_gone(handle, sizeof(loop_async_t));
}

static void close_when_signalled(loop_async_t *a)
{
    expect(async_open, "an async calls back after it was closed");
    seen = written;
    async_open = false;
    (void)loop_handle_close(&a->handle, on_async_closed);
    /* No call may begin after the close callback: what the caller promises. */
    explore_wait(sender_is_known);
}

static void note_signal(loop_async_t *a)
{
    (void)a;
    expect(async_open, "an async calls back after it was closed");
    seen = written;
}

static void begin_with_async(loop_async_cb cb)
{
    begin();
    async = calloc(1, sizeof(*async));
    assert_non_null(async);
    assert_ok(loop_async_init(loop, async, cb));
    async_open = true;
    sender_done = false;
    written = 0;
    seen = 0;
    promised = 0;
}

static void begin_async(void)
{
    begin_with_async(close_when_signalled);
}

static void send_once(void)
{
    int result;

    written++;
    result = loop_async_send(async);
    expect(result == 0 || (result == LOOP_EBADF && !async_open), "an open async refuses a signal");
    if (result == 0 && async_open)
        promised = written;
}

static void send_twice(void)
{
    send_once();
    if (async_open)
        send_once();
    sender_done = true;
}

static bool async_and_first_done(void)
{
    return async == NULL && total == 1;
}

static void run_async_and_close(void)
{
    turn_until(async_and_first_done);
    close_loop();
}

static void end_async(void)
{
    end();
    expect(seen >= 1, "a signal was lost");
}

static const struct explore_scenario signalling = {
    begin_async, {run_async_and_close, send_twice, post_first}, NULL, end_async};

static void closing_an_async_waits_for_whoever_is_sending(void **state)
{
    (void)state;
    explore_all("closing an async", &signalling, 3);
}

static void begin_handler(void)
{
    begin_with_async(note_signal);
}

static void handle_signal(void)
{
    if (async_open)
        send_once();
}

static bool both_ran_and_signal_seen(void)
{
    return total == 2 && seen >= promised;
}

static bool async_gone(void)
{
    return async == NULL;
}

static void run_interrupted(void)
{
    post(1);
    turn_until(both_ran_and_signal_seen);
    async_open = false; /* the handler sends no more; what it sent until here need not be seen */
    (void)loop_handle_close(&async->handle, on_async_closed);
    turn_until(async_gone);
    close_loop();
}

static const struct explore_scenario interrupted = {begin_handler, {run_interrupted, post_first}, handle_signal, end};

static void a_signal_handler_may_send_at_every_step(void **state)
{
    (void)state;
    explore_all("a signal at every step", &interrupted, 3);
}

/* ---------------------------------------------------------------------------------------------- that faults are found -- */

static void begin_deaf(void)
{
    begin();
    deaf = true;
}

static void begin_with_late_store(void)
{
    begin_shared();
    explore_mistakes.stored_late = &loop->wake;
}

static void begin_without_looking_for_posters(void)
{
    begin_closing();
    explore_mistakes.reads_zero = &loop->posters;
}

static void expect_found(const struct explore_scenario *scenario)
{
    int status = 0;
    pid_t child = fork();

    assert_true(child >= 0);
    if (child == 0) {
        (void)close(STDERR_FILENO);
        (void)explore(scenario, 1);
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGABRT);
}

static void mistakes_are_found(void **state)
{
    struct explore_scenario scenario = sleeping;

    (void)state;
    scenario.begin = begin_deaf;
    expect_found(&scenario);
    scenario = sharing;
    scenario.begin = begin_with_late_store;
    expect_found(&scenario);
    scenario = closing;
    scenario.begin = begin_without_looking_for_posters;
    expect_found(&scenario);
}

LOOP_TEST_MAIN(TEST(whoever_posts_wakes_the_loop_however_it_falls_asleep),
               TEST(a_loop_that_a_host_watches_misses_no_post),
               TEST(a_task_posted_while_the_loop_closes_is_cancelled_or_refused),
               TEST(a_task_that_two_threads_post_runs_as_often_as_it_was_accepted),
               TEST(closing_an_async_waits_for_whoever_is_sending), TEST(a_signal_handler_may_send_at_every_step),
               TEST(mistakes_are_found))
