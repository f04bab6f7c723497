/*
 * Operations without handles, as the author of a language runtime uses them: a descriptor, one request, one result. Here a
 * message goes through a pair of sockets; then a read that nobody answers is cancelled.
 */
#include "os.h"

#include <stdio.h>

static loop_desc_t ends[2];
static loop_op_t reading;
static loop_op_t writing;
static char text[32];

static void on_cancelled(loop_op_t *op)
{
    printf("second read: %s\n", loop_err_name(op->status));
    (void)loop_handle_close(&ends[0].handle, NULL);
    (void)loop_handle_close(&ends[1].handle, NULL);
}

static void on_read(loop_op_t *op)
{
    loop_buf_t buf = {text, sizeof(text)};

    printf("first read: %zu bytes: %.*s\n", op->bytes, (int)op->bytes, text);
    /* In its callback an operation may be used again. */
    if (loop_op_read(&ends[1], op, &buf, 1, on_cancelled) == 0)
        (void)loop_op_cancel(op);
}

static void on_written(loop_op_t *op)
{
    printf("write: %zu bytes, status %d\n", op->bytes, op->status);
}

int main(void)
{
    char message[] = "hello";
    loop_buf_t out = {message, sizeof(message) - 1};
    loop_buf_t in = {text, sizeof(text)};
    loop_os_fd_t pair[2];
    loop_t *loop;

    if (os_pair(SOCK_STREAM, pair) != 0 || loop_init(&loop, NULL) != 0)
        return 1;
    /* Owned: closing the handle closes the descriptor. */
    if (loop_desc_attach(loop, &ends[0], pair[0], LOOP_DESC_OWNED) != 0 ||
        loop_desc_attach(loop, &ends[1], pair[1], LOOP_DESC_OWNED) != 0)
        return 1;
    if (loop_op_read(&ends[1], &reading, &in, 1, on_read) != 0 ||
        loop_op_write(&ends[0], &writing, &out, 1, on_written) != 0)
        return 1;
    if (loop_run(loop, LOOP_RUN_DEFAULT) != 0)
        return 1;
    return loop_close(loop) == 0 ? 0 : 1;
}
