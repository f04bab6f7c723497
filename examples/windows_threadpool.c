/*
 * A loop beside the thread pool of Windows. One socket belongs to the loop and its peer to the pool: a handle can be bound to one
 * of them only, but a process may have both. What the peer receives becomes work for the pool, and the result comes back to the
 * loop by loop_post(). The loop itself runs in a callback of the pool as well: it does not care whose thread it has.
 */
#include "os.h"

#include <windows.h>

#include <stdio.h>
#include <stdlib.h>

static loop_t *loop;
static loop_desc_t ours;
static loop_op_t writing;
static char question[] = "6 7";
static loop_timer_t patience; /* a loop does not know of work elsewhere: this keeps it waiting */

static SOCKET theirs;
static PTP_IO io;
static OVERLAPPED overlapped;
static char received[16];

static PTP_WORK work;
static int answer;
static loop_task_t task;
static int failed = 1;

/* On the loop's thread. */
static void on_answer(loop_task_t *posted, int status)
{
    (void)posted;
    printf("the loop was told: %d\n", answer);
    failed = status != 0 || answer != 42;
    (void)loop_handle_close(&patience.handle, NULL); /* the loop ends when nothing is left */
    (void)loop_handle_close(&ours.handle, NULL);
}

static void on_time(loop_timer_t *timer)
{
    (void)timer;
    exit(1);
}

/* On a thread of the pool. The task is static, so it stays where it is until its callback. */
static void CALLBACK multiply(PTP_CALLBACK_INSTANCE instance, void *context, PTP_WORK self)
{
    int a;
    int b;

    (void)instance;
    (void)context;
    (void)self;
    if (sscanf(received, "%d %d", &a, &b) == 2)
        answer = a * b;
    if (loop_post(loop, &task, on_answer) != 0)
        exit(1);
}

/* Another one. */
static void CALLBACK on_received(PTP_CALLBACK_INSTANCE instance, void *context, void *which, ULONG error,
                                 ULONG_PTR bytes, PTP_IO self)
{
    (void)instance;
    (void)context;
    (void)which;
    (void)self;
    printf("the pool received: %.*s\n", (int)bytes, received);
    if (error == NO_ERROR)
        SubmitThreadpoolWork(work);
}

static void on_written(loop_op_t *op)
{
    if (op->status != 0)
        exit(1);
}

/* The pool must be told before each request, and again if none was started. */
static int receive(void)
{
    WSABUF buf = {sizeof(received) - 1, received};
    DWORD flags = 0;
    int error;

    StartThreadpoolIo(io);
    error = WSARecv(theirs, &buf, 1, NULL, &flags, &overlapped, NULL) == 0 ? 0 : WSAGetLastError();
    if (error == 0 || error == WSA_IO_PENDING)
        return 0;
    CancelThreadpoolIo(io);
    return loop_translate_sys_error(error);
}

/* On a thread of the pool, which is the loop's from its first run to its end. */
static void CALLBACK run(PTP_CALLBACK_INSTANCE instance, void *event)
{
    loop_buf_t out = {question, sizeof(question) - 1};

    (void)CallbackMayRunLong(instance);
    SetEventWhenCallbackReturns(instance, event);
    if (loop_timer_start(&patience, on_time, LOOP_SEC(10), 0) != 0 ||
        loop_op_write(&ours, &writing, &out, 1, on_written) != 0 || loop_run(loop, LOOP_RUN_DEFAULT) != 0)
        failed = 1;
}

int main(void)
{
    HANDLE event = CreateEventW(NULL, TRUE, FALSE, NULL);
    loop_os_fd_t pair[2];

    if (event == NULL || os_pair(SOCK_STREAM, pair) != 0 || loop_init(&loop, NULL) != 0)
        return 1;
    if (loop_timer_init(loop, &patience) != 0 || loop_desc_attach(loop, &ours, pair[0], LOOP_DESC_OWNED) != 0)
        return 1;
    theirs = pair[1];
    io = CreateThreadpoolIo((HANDLE)theirs, on_received, NULL, NULL);
    work = CreateThreadpoolWork(multiply, NULL, NULL);
    if (io == NULL || work == NULL || receive() != 0)
        return 1;
    if (!TrySubmitThreadpoolCallback(run, event, NULL))
        return 1;
    (void)WaitForSingleObject(event, INFINITE);

    WaitForThreadpoolIoCallbacks(io, FALSE);
    CloseThreadpoolIo(io);
    WaitForThreadpoolWorkCallbacks(work, FALSE);
    CloseThreadpoolWork(work);
    os_close(theirs);
    (void)CloseHandle(event);
    if (loop_close(loop) != 0 || failed)
        return 1;
    printf("closed\n");
    return 0;
}
