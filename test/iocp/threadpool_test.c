/* The thread pool of Windows beside the loop: handles of both, work that hands over results, and loops that run in callbacks. */
#include "op_fixture.h"

#include <windows.h>

#include <stdatomic.h>

#define PATIENCE 60000 /* ms */

/* ------------------------------------------------------------------------------------------------------- a pool's socket -- */

/* A socket that the pool reads, and that sends back what it gets. */
static struct echo {
    SOCKET socket;
    PTP_IO io;
    OVERLAPPED overlapped;
    bool sends; /* what is on its way */
    char text[8];
    int echoed;
    HANDLE over; /* set when the other side has ended it */
} echo;

/* The pool must be told before each request, and again if none was started. */
static void ask(DWORD bytes)
{
    WSABUF buf = {bytes, echo.text};
    DWORD flags = 0;
    int result;

    echo.overlapped = (OVERLAPPED){0};
    StartThreadpoolIo(echo.io);
    if (echo.sends)
        result = WSASend(echo.socket, &buf, 1, NULL, 0, &echo.overlapped, NULL);
    else
        result = WSARecv(echo.socket, &buf, 1, NULL, &flags, &echo.overlapped, NULL);
    if (result == 0 || WSAGetLastError() == WSA_IO_PENDING)
        return;
    CancelThreadpoolIo(echo.io);
    (void)SetEvent(echo.over);
}

static void CALLBACK on_echo(PTP_CALLBACK_INSTANCE instance, void *context, void *overlapped, ULONG error,
                             ULONG_PTR bytes, PTP_IO io)
{
    (void)instance;
    (void)context;
    (void)overlapped;
    (void)io;
    if (error != NO_ERROR || bytes == 0) {
        (void)SetEvent(echo.over);
        return;
    }
    echo.sends = !echo.sends;
    echo.echoed += !echo.sends;
    ask(echo.sends ? (DWORD)bytes : sizeof(echo.text));
}

static void begin_echo(SOCKET socket)
{
    echo = (struct echo){.socket = socket};
    echo.over = CreateEventW(NULL, TRUE, FALSE, NULL);
    assert_non_null(echo.over);
    echo.io = CreateThreadpoolIo((HANDLE)socket, on_echo, NULL, NULL);
    assert_non_null(echo.io);
    ask(sizeof(echo.text));
}

static void finish_echo(void)
{
    assert_int_equal(WaitForSingleObject(echo.over, PATIENCE), WAIT_OBJECT_0);
    WaitForThreadpoolIoCallbacks(echo.io, FALSE);
    CloseThreadpoolIo(echo.io);
    support_close(echo.socket);
    assert_true(CloseHandle(echo.over));
}

static void CALLBACK do_nothing(PTP_CALLBACK_INSTANCE instance, void *event)
{
    SetEventWhenCallbackReturns(instance, event);
}

/* The system's pool has threads and a port from its first use on, and keeps them: that is no test's fault. */
static int setup(void **state)
{
    HANDLE event = CreateEventW(NULL, TRUE, FALSE, NULL);
    loop_os_fd_t fds[2];

    assert_non_null(event);
    assert_true(TrySubmitThreadpoolCallback(do_nothing, event, NULL));
    assert_int_equal(WaitForSingleObject(event, PATIENCE), WAIT_OBJECT_0);
    assert_true(CloseHandle(event));
    support_socket_pair(fds);
    begin_echo(fds[0]);
    support_close(fds[1]);
    finish_echo();
    return harness_setup(state);
}

/* -------------------------------------------------------------------------------------------------------------- handles -- */

#define ROUNDS 200

static int rounds;
static char text[8];

static void on_answer(loop_op_t *op);

static void on_question(loop_op_t *op)
{
    assert_ok(op->status);
    assert_int_equal(op->bytes, 4);
    assert_ok(loop_op_read(&left, op, &(loop_buf_t){text, sizeof(text)}, 1, on_answer));
}

static void on_answer(loop_op_t *op)
{
    assert_ok(op->status);
    assert_int_equal(op->bytes, 4);
    assert_memory_equal(text, "ping", 4);
    if (++rounds < ROUNDS)
        assert_ok(loop_op_write(&left, op, &(loop_buf_t){"ping", 4}, 1, on_question));
    else
        assert_ok(loop_handle_close(&left.handle, NULL));
}

static void a_handle_of_the_pool_and_one_of_the_loop_work_side_by_side(void **state)
{
    loop_os_fd_t fds[2];
    loop_op_t op = {0};

    (void)state;
    rounds = 0;
    begin();
    assert_ok(support_local_pair(fds));
    begin_echo(fds[1]);
    assert_ok(loop_desc_attach(loop, &left, fds[0], LOOP_DESC_OWNED));
    assert_ok(loop_op_write(&left, &op, &(loop_buf_t){"ping", 4}, 1, on_question));
    assert_ok(loop_run(loop, LOOP_RUN_DEFAULT));
    assert_int_equal(rounds, ROUNDS);
    finish_echo();
    assert_int_equal(echo.echoed, ROUNDS);
    support_finish(loop);
}

static void a_handle_belongs_to_the_pool_or_to_a_loop(void **state)
{
    loop_os_fd_t fds[2];
    loop_op_t ops[2] = {{0}, {0}};
    loop_tcp_t tcp;

    (void)state;
    begin();
    assert_ok(support_local_pair(fds));
    begin_echo(fds[1]);
    assert_int_equal(loop_desc_attach(loop, &left, fds[1], 0), LOOP_ENOTPOLLABLE);
    assert_ok(loop_tcp_init(loop, &tcp));
    assert_true(loop_tcp_open(&tcp, fds[1]) < 0);
    assert_ok(loop_desc_attach(loop, &left, fds[0], LOOP_DESC_OWNED));
    assert_null(CreateThreadpoolIo((HANDLE)fds[0], on_echo, NULL, NULL));
    /* The pool's is as it was. */
    assert_ok(loop_op_write(&left, &ops[0], &(loop_buf_t){"ping", 4}, 1, note));
    assert_ok(loop_op_read(&left, &ops[1], &(loop_buf_t){text, sizeof(text)}, 1, note));
    run_until(2);
    assert_int_equal(ops[1].bytes, 4);
    assert_ok(loop_handle_close(&left.handle, NULL));
    finish_echo();
    assert_int_equal(echo.echoed, 1);
    support_finish(loop);
}

/* ----------------------------------------------------------------------------------------------------------------- work -- */

#define JOBS 100

static struct job {
    loop_task_t task;
    PTP_WORK work;
    int result;
} jobs[JOBS];

static DWORD loop_thread;
static int results;
static int sum;
static loop_timer_t alive; /* until every result is there */

static void on_time(loop_timer_t *timer)
{
    (void)timer;
    fail();
}

static void on_result(loop_task_t *task, int status)
{
    const struct job *job = (const struct job *)task; /* its first member */

    assert_ok(status);
    assert_int_equal(GetCurrentThreadId(), loop_thread);
    sum += job->result;
    if (++results == JOBS)
        assert_ok(loop_handle_close(&alive.handle, NULL));
}

static void CALLBACK do_job(PTP_CALLBACK_INSTANCE instance, void *context, PTP_WORK work)
{
    struct job *job = context;

    (void)instance;
    (void)work;
    job->result = (int)(job - jobs) * 2;
    if (GetCurrentThreadId() == loop_thread || loop_post(loop, &job->task, on_result) != 0)
        abort();
}

static void work_of_the_pool_hands_its_results_to_the_loop(void **state)
{
    (void)state;
    results = 0;
    sum = 0;
    loop_thread = GetCurrentThreadId();
    memset(jobs, 0, sizeof(jobs));
    begin();
    assert_ok(loop_timer_init(loop, &alive));
    assert_ok(loop_timer_start(&alive, on_time, LOOP_SEC(50), 0));
    for (int i = 0; i < JOBS; i++) {
        jobs[i].work = CreateThreadpoolWork(do_job, &jobs[i], NULL);
        assert_non_null(jobs[i].work);
        SubmitThreadpoolWork(jobs[i].work);
    }
    assert_ok(loop_run(loop, LOOP_RUN_DEFAULT));
    assert_int_equal(results, JOBS);
    assert_int_equal(sum, JOBS * (JOBS - 1));
    for (int i = 0; i < JOBS; i++) {
        WaitForThreadpoolWorkCallbacks(jobs[i].work, FALSE);
        CloseThreadpoolWork(jobs[i].work);
    }
    support_finish(loop);
}

/* ----------------------------------------------------------------------------------------------- loops inside of callbacks -- */

/* What is to happen in a callback. Failures there are told by the result. */
struct inside {
    int (*act)(void *argument);
    void *argument;
    int result;
    DWORD thread;
    HANDLE over;
};

static void CALLBACK call_inside(PTP_CALLBACK_INSTANCE instance, void *context)
{
    struct inside *inside = context;

    SetEventWhenCallbackReturns(instance, inside->over);
    (void)CallbackMayRunLong(instance);
    inside->thread = GetCurrentThreadId();
    inside->result = inside->act(inside->argument);
}

static void begin_inside(struct inside *inside, int (*act)(void *), void *argument, TP_CALLBACK_ENVIRON *environment)
{
    *inside = (struct inside){.act = act, .argument = argument, .result = -1};
    inside->over = CreateEventW(NULL, TRUE, FALSE, NULL);
    assert_non_null(inside->over);
    assert_true(TrySubmitThreadpoolCallback(call_inside, inside, environment));
}

static int finish_inside(struct inside *inside)
{
    assert_int_equal(WaitForSingleObject(inside->over, PATIENCE), WAIT_OBJECT_0);
    assert_true(CloseHandle(inside->over));
    assert_true(inside->thread != GetCurrentThreadId());
    return inside->result;
}

static void count_and_close(loop_timer_t *timer)
{
    int *count = timer->handle.data;

    if (++*count == 3)
        (void)loop_handle_close(&timer->handle, NULL);
}

static void count_and_end(loop_work_t *work, int status)
{
    *(int *)work->data += status == 0;
}

static void work_in_thread(loop_work_t *work)
{
    (void)work;
}

/* A loop from its beginning to its end, with fine timers and threads of its own. The number of the step that failed. */
static int whole_life(void *argument)
{
    loop_t *own;
    loop_timer_t timer;
    loop_work_t work = {0};
    int ticks = 0;
    int ends = 0;

    (void)argument;
    if (loop_init(&own, NULL) != 0 || loop_timer_init(own, &timer) != 0)
        return 1;
    timer.handle.data = &ticks;
    work.data = &ends;
    if (loop_timer_start(&timer, count_and_close, LOOP_US(300), LOOP_US(300)) != 0)
        return 2;
    if (loop_work(own, &work, LOOP_LANE_DEFAULT, work_in_thread, count_and_end) != 0)
        return 3;
    if (loop_run(own, LOOP_RUN_DEFAULT) != 0 || ticks != 3 || ends != 1)
        return 4;
    return loop_close(own) == 0 ? 0 : 5;
}

#define LOOPS 4

static void loops_live_inside_of_callbacks(void **state)
{
    struct inside insides[LOOPS];

    (void)state;
    for (int i = 0; i < LOOPS; i++)
        begin_inside(&insides[i], whole_life, NULL, NULL);
    for (int i = 0; i < LOOPS; i++)
        assert_int_equal(finish_inside(&insides[i]), 0);
}

/* Nothing the loop waits for needs another thread of that pool. */
static void a_pool_of_one_thread_is_enough_for_a_loop(void **state)
{
    PTP_POOL pool = CreateThreadpool(NULL);
    TP_CALLBACK_ENVIRON environment;
    struct inside inside;

    (void)state;
    assert_non_null(pool);
    SetThreadpoolThreadMaximum(pool, 1);
    assert_true(SetThreadpoolThreadMinimum(pool, 1));
    TpInitializeCallbackEnviron(&environment);
    TpSetCallbackThreadpool(&environment, pool);
    begin_inside(&inside, whole_life, NULL, &environment);
    assert_int_equal(finish_inside(&inside), 0);
    TpDestroyCallbackEnviron(&environment);
    CloseThreadpool(pool);
}

static int read_one(void *argument)
{
    (void)argument;
    for (int i = 0; completions == 0; i++) {
        if (i == 100000 || loop_run(loop, LOOP_RUN_ONCE) < 0)
            return 1;
    }
    return 0;
}

static int end_one(void *argument)
{
    (void)argument;
    return loop_run(loop, LOOP_RUN_NOWAIT);
}

/* An operation that the one thread began ends on another; requests outlive the callback that made them. */
static void a_loop_made_for_it_is_handed_to_callbacks_and_back(void **state)
{
    loop_options_t options = LOOP_OPTIONS_INIT;
    struct inside inside;
    loop_os_fd_t fds[2];

    (void)state;
    options.flags = LOOP_HANDOVER;
    assert_ok(loop_init(&loop, &options));
    assert_ok(support_local_pair(fds));
    assert_ok(loop_desc_attach(loop, &left, fds[0], LOOP_DESC_OWNED));
    for (int i = 0; i < 6; i++) {
        loop_op_t op = {0};

        completions = 0;
        assert_ok(loop_op_read(&left, &op, &(loop_buf_t){text, sizeof(text)}, 1, note));
        assert_true(loop_run(loop, LOOP_RUN_NOWAIT) >= 0);
        begin_inside(&inside, read_one, NULL, NULL);
        assert_int_equal(support_write(fds[1], "ping", 4), 4);
        assert_int_equal(finish_inside(&inside), 0);
        assert_ok(op.status);
        assert_int_equal(op.bytes, 4);
    }
    support_close(fds[1]);
    support_finish(loop);
}

static void without_the_flag_a_callback_of_another_thread_is_refused(void **state)
{
    struct inside inside;
    loop_timer_t timer;

    (void)state;
    begin();
    assert_ok(loop_timer_init(loop, &timer));
    assert_ok(loop_run(loop, LOOP_RUN_DEFAULT));
    begin_inside(&inside, end_one, NULL, NULL);
    assert_int_equal(finish_inside(&inside), LOOP_EINVAL);
    support_finish(loop);
}

/* clang-format off: a list, not a statement */
#define POOL_TEST(function)                                                                                            \
    {                                                                                                                  \
#function, function, setup, harness_teardown, NULL                                                             \
    }
/* clang-format on */

LOOP_TEST_MAIN(POOL_TEST(a_handle_of_the_pool_and_one_of_the_loop_work_side_by_side),
               POOL_TEST(a_handle_belongs_to_the_pool_or_to_a_loop),
               POOL_TEST(work_of_the_pool_hands_its_results_to_the_loop), POOL_TEST(loops_live_inside_of_callbacks),
               POOL_TEST(a_pool_of_one_thread_is_enough_for_a_loop),
               POOL_TEST(a_loop_made_for_it_is_handed_to_callbacks_and_back),
               POOL_TEST(without_the_flag_a_callback_of_another_thread_is_refused))
