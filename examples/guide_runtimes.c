/* The pieces that docs/guide-runtimes.md shows. Each section runs by itself, one after the other. */
#include "os.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BATCH 64

static loop_t *loop;

/* Two connected sockets. */
static loop_desc_t left;
static loop_desc_t right;

static void expect(bool condition, const char *what)
{
    if (condition)
        return;
    (void)fprintf(stderr, "not so: %s\n", what);
    exit(1);
}

static void open_pair(int type)
{
    loop_os_fd_t pair[2];

    expect(os_pair(type, pair) == 0, "there is a pair of sockets");
    expect(loop_desc_attach(loop, &left, pair[0], LOOP_DESC_OWNED) == 0, "the left one is attached");
    expect(loop_desc_attach(loop, &right, pair[1], LOOP_DESC_OWNED) == 0, "the right one is attached");
}

static void close_pair(void)
{
    expect(loop_handle_close(&left.handle, NULL) == 0, "the left one closes");
    expect(loop_handle_close(&right.handle, NULL) == 0, "the right one closes");
    expect(loop_run(loop, LOOP_RUN_DEFAULT) == 0, "nothing is left");
}

static void say(const char *what, const loop_op_t *op)
{
    printf("%s: %s, %zu bytes\n", what, loop_strerror(op->status), op->bytes);
}

/* ------------------------------------------------------------------------------------------------- the main loop -- */

struct task {
    void (*resume)(struct task *task);
    loop_op_t op;
    char text[16];
};

static int run_tasks(void)
{
    loop_op_t *done[BATCH];
    int n = 0;

    while (n >= 0 && loop_alive(loop)) {
        n = loop_wait(loop, done, BATCH, LOOP_FOREVER);
        for (int i = 0; i < n; i++) {
            struct task *task = done[i]->data;

            task->resume(task);
        }
    }
    return n;
}

static void on_sent(struct task *task)
{
    say("sent", &task->op);
}

static void on_received(struct task *task)
{
    say("received", &task->op);
}

static void batches(void)
{
    struct task receiver = {.resume = on_received};
    struct task sender = {.resume = on_sent, .text = "hello"};
    loop_buf_t in = {receiver.text, sizeof(receiver.text)};
    loop_buf_t out = {sender.text, strlen(sender.text)};

    open_pair(SOCK_STREAM);
    receiver.op.data = &receiver;
    sender.op.data = &sender;
    expect(loop_op_read(&right, &receiver.op, &in, 1, NULL) == 0, "a read begins");
    expect(loop_op_write(&left, &sender.op, &out, 1, NULL) == 0, "a write begins");
    expect(run_tasks() >= 0, "the tasks run");
    close_pair();
}

/* ------------------------------------------------------------------------------------------- one task that waits -- */

/* Runs the loop until the one operation in flight has finished. A runtime would run its other tasks meanwhile. */
static const loop_op_t *await(const loop_op_t *op)
{
    loop_op_t *done;
    int n;

    do {
        n = loop_wait(loop, &done, 1, LOOP_FOREVER);
        expect(n >= 0, "the wait works");
    } while (n == 0);
    expect(done == op, "there is but one");
    return op;
}

static void send_text(char *text)
{
    loop_op_t op = {0};
    loop_buf_t out = {text, strlen(text)};

    expect(loop_op_write(&left, &op, &out, 1, NULL) == 0 && await(&op)->status == 0, "the text is sent");
}

static void deadlines(void)
{
    char text[16];
    loop_buf_t in = {text, sizeof(text)};
    loop_op_t op = {0};

    open_pair(SOCK_STREAM);

    /* For every read from now on, also one in flight. */
    expect(loop_desc_set_deadline(&right, LOOP_READABLE, loop_now(loop) + LOOP_MS(20)) == 0, "it is set");
    expect(loop_op_read(&right, &op, &in, 1, NULL) == 0, "a read begins");
    say("nobody sent", await(&op));

    /* Still over: a read fails without a try, although there is data. */
    send_text("late");
    expect(loop_op_read(&right, &op, &in, 1, NULL) == 0, "a read begins");
    say("too late", await(&op));

    /* Moved, and no byte was lost. */
    expect(loop_desc_set_deadline(&right, LOOP_READABLE, LOOP_NO_DEADLINE) == 0, "it is cleared");
    expect(loop_op_read(&right, &op, &in, 1, NULL) == 0, "a read begins");
    say("cleared", await(&op));

    /* For this read alone. */
    expect(loop_op_read(&right, &op, &in, 1, NULL) == 0, "a read begins");
    expect(loop_op_set_deadline(&op, loop_now(loop) + LOOP_MS(20)) == 0, "the read has a deadline");
    say("its own", await(&op));

    close_pair();
}

static void cancelling(void)
{
    char text[16];
    loop_buf_t in = {text, sizeof(text)};
    loop_op_t op = {0};

    open_pair(SOCK_STREAM);
    expect(loop_op_read(&right, &op, &in, 1, NULL) == 0, "a read begins");
    expect(loop_op_cancel(&op) == 0, "its end is asked for");
    /* op and text are still the library's here. */
    say("cancelled", await(&op));
    expect(loop_op_cancel(&op) == LOOP_ENOENT, "there is nothing to cancel any more");
    close_pair();
}

/* --------------------------------------------------------------------------------------------- streams of results -- */

static void streams(void)
{
    char text[16];
    loop_buf_t in = {text, sizeof(text)};
    loop_op_t op = {0};

    open_pair(SOCK_DGRAM);
    send_text("one");
    send_text("three");
    expect(loop_op_receive_stream(&right, &op, &in, 1, NULL, NULL) == 0, "it begins once");
    while (await(&op)->flags & LOOP_OP_MORE) {
        say("datagram", &op); /* text is ours until the next wait */
        if (op.bytes == strlen("three"))
            expect(loop_op_cancel(&op) == 0, "its end is asked for");
    }
    say("the end", &op);
    close_pair();
}

/* ---------------------------------------------------------------------------------------------- from other threads -- */

struct call {
    loop_task_t task;
    bool done;
    long answer;
};

static void on_answer(loop_task_t *task, int status)
{
    struct call *call = task->data;

    call->done = status == 0;
}

static void *blocking_call(void *arg)
{
    struct call *call = arg;

    call->answer = 42; /* something that takes its time */
    (void)loop_post(loop, &call->task, on_answer);
    return NULL;
}

static void other_threads(void)
{
    struct call call = {.done = false};
    loop_op_t *none[1];
    pthread_t thread;

    call.task.data = &call;
    expect(pthread_create(&thread, NULL, blocking_call, &call) == 0, "a thread starts");
    while (!call.done)
        expect(loop_wait(loop, none, 1, LOOP_FOREVER) == 0, "a task is no operation");
    printf("answer: %ld\n", call.answer);
    expect(pthread_join(thread, NULL) == 0, "the thread ends");
}

/* ------------------------------------------------------------------------------------------------ one loop for all -- */

#define WORKERS 3
#define LAPS 300

/* A task whose every step runs on whatever thread is free. */
struct runner {
    loop_task_t task;
    loop_op_t op;
    int laps;
    char byte;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* who holds it has the loop */
static atomic_bool over;

/* Runs inside loop_wait(), so on the thread that has the loop. */
static void submit(loop_task_t *task, int status)
{
    struct runner *runner = task->data;
    loop_buf_t buf = {&runner->byte, 1};

    expect(status == 0, "the loop is open");
    if (runner->laps % 2 == 0)
        expect(loop_op_write(&left, &runner->op, &buf, 1, NULL) == 0, "a write begins");
    else
        expect(loop_op_read(&right, &runner->op, &buf, 1, NULL) == 0, "a read begins");
}

static void wake(loop_task_t *task, int status)
{
    (void)task;
    (void)status;
}

/* Runs without the loop, so it may take its time. What it wants of the loop it posts. */
static void step(struct runner *runner)
{
    static loop_task_t last;

    expect(runner->op.status == 0 && runner->op.bytes == 1, "the byte went through");
    if (++runner->laps < LAPS) {
        expect(loop_post(loop, &runner->task, submit) == 0, "the next step is posted");
    } else {
        over = true;
        expect(loop_post(loop, &last, wake) == 0, "whoever waits is woken");
    }
}

static void *worker(void *arg)
{
    while (!over) {
        loop_op_t *done;
        int n;

        (void)pthread_mutex_lock(&lock);
        n = over ? 0 : loop_wait(loop, &done, 1, LOOP_FOREVER);
        (void)pthread_mutex_unlock(&lock);
        if (n == 1)
            step(done->data);
    }
    return arg;
}

static void one_loop_for_all(void)
{
    struct runner runner = {.byte = 'x'};
    pthread_t threads[WORKERS];

    open_pair(SOCK_STREAM);
    runner.task.data = &runner;
    runner.op.data = &runner;
    expect(loop_post(loop, &runner.task, submit) == 0, "the first step is posted");
    for (int i = 0; i < WORKERS; i++)
        expect(pthread_create(&threads[i], NULL, worker, NULL) == 0, "a thread starts");
    for (int i = 0; i < WORKERS; i++)
        expect(pthread_join(threads[i], NULL) == 0, "a thread ends");
    printf("laps: %d\n", runner.laps);
    close_pair();
}

int main(void)
{
    loop_options_t options = LOOP_OPTIONS_INIT;

    options.flags = LOOP_HANDOVER;
    expect(loop_init(&loop, &options) == 0, "there is a loop");
    batches();
    deadlines();
    cancelling();
    streams();
    other_threads();
    one_loop_for_all();
    expect(loop_close(loop) == 0, "the loop closes");
    return 0;
}
