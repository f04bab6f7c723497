/*
 * loop: echo by TCP handles (try, write), by TCP handles whose read deadline moves with every packet (deadline), and by operations,
 * with callbacks (ops) and handed out by loop_wait() (wait).
 */
#include "bench.h"
#include "loop.h"

#include <stdlib.h>
#include <string.h>

#define ROOM 65536u

/* One per connection. Its buffer is the one that is read into where the data must outlive the read callback. */
struct connection {
    union {
        loop_handle_t handle;
        loop_tcp_t tcp;
        loop_desc_t desc;
    } as;
    loop_op_t op;
    bool reads; /* of wait: op is a read */
    loop_buf_t buf;
    char *memory;
};

/* Operations that loop_wait() hands out at once. */
#define BATCH 64

static loop_t *loop;
static uint64_t done;
static uint64_t goal;

static void count(size_t bytes)
{
    done += bytes;
    if (done == goal)
        (void)loop_stop(loop);
}

/* ------------------------------------------------------------------------------------- read start and try-write -- */

static void try_read(loop_tcp_t *tcp, ptrdiff_t n, const loop_buf_t *buf)
{
    loop_buf_t answer = {buf->base, (size_t)n};

    if (n <= 0 || loop_tcp_try_write(tcp, &answer, 1) != n)
        bench_fail("read and try_write");
    count((size_t)n);
}

/* ------------------------------------------------------------------------------------- and a deadline that moves -- */

static void push_deadline(loop_tcp_t *tcp)
{
    if (loop_tcp_set_deadline(tcp, LOOP_READABLE, loop_now(loop) + LOOP_SEC(60)) != 0)
        bench_fail("loop_tcp_set_deadline");
}

static void deadline_read(loop_tcp_t *tcp, ptrdiff_t n, const loop_buf_t *buf)
{
    push_deadline(tcp);
    try_read(tcp, n, buf);
}

/* ---------------------------------------------------------------------------------------- write with a callback -- */

static void give_buffer(loop_tcp_t *tcp, size_t suggested, loop_buf_t *buf)
{
    struct connection *connection = tcp->handle.data;

    (void)suggested;
    buf->base = connection->memory;
    buf->len = ROOM;
}

static void write_done(loop_op_t *op)
{
    if (op->status != 0)
        bench_fail("write");
    count(op->bytes);
}

static void write_read(loop_tcp_t *tcp, ptrdiff_t n, const loop_buf_t *buf)
{
    struct connection *connection = tcp->handle.data;
    loop_buf_t answer = {buf->base, (size_t)n};

    if (n <= 0 || loop_tcp_write(tcp, &connection->op, &answer, 1, write_done) != 0)
        bench_fail("read and write");
}

/* -------------------------------------------------------------------------------------------------- operations -- */

static void op_read_done(loop_op_t *op);

static void op_write_done(loop_op_t *op)
{
    struct connection *connection = op->data;

    if (op->status != 0)
        bench_fail("write operation");
    count(op->bytes);
    connection->buf.len = ROOM;
    if (loop_op_read(&connection->as.desc, op, &connection->buf, 1, op_read_done) != 0)
        bench_fail("loop_op_read");
}

static void op_read_done(loop_op_t *op)
{
    struct connection *connection = op->data;

    if (op->status == LOOP_ECANCELED)
        return; /* closed at the end */
    if (op->status != 0)
        bench_fail("read operation");
    connection->buf.len = op->bytes;
    if (loop_op_write(&connection->as.desc, op, &connection->buf, 1, op_write_done) != 0)
        bench_fail("loop_op_write");
}

/* ------------------------------------------------------------------------------- operations handed out by the batch -- */

static void submit_read(struct connection *connection)
{
    connection->reads = true;
    connection->buf.len = ROOM;
    if (loop_op_read(&connection->as.desc, &connection->op, &connection->buf, 1, NULL) != 0)
        bench_fail("loop_op_read");
}

static void wait_done(struct connection *connection)
{
    if (connection->op.status != 0)
        bench_fail("an operation");
    if (connection->reads) {
        connection->reads = false;
        connection->buf.len = connection->op.bytes;
        if (loop_op_write(&connection->as.desc, &connection->op, &connection->buf, 1, NULL) != 0)
            bench_fail("loop_op_write");
    } else {
        count(connection->op.bytes);
        submit_read(connection);
    }
}

static void serve_waits(void)
{
    loop_op_t *ops[BATCH];

    while (done < goal) {
        int n = loop_wait(loop, ops, BATCH, LOOP_FOREVER);

        if (n < 0)
            bench_fail("loop_wait");
        for (int i = 0; i < n; i++)
            wait_done(ops[i]->data);
    }
}

/* Takes what closing cancelled. */
static void drain_waits(void)
{
    loop_op_t *ops[BATCH];

    while (loop_alive(loop))
        BENCH_CHECK(loop_wait(loop, ops, BATCH, LOOP_FOREVER) >= 0);
}

/* ------------------------------------------------------------------------------------------------------------------- */

static void open_connection(struct connection *connection, int fd, const char *mode)
{
    connection->memory = bench_calloc(1, ROOM);
    connection->buf.base = connection->memory;
    connection->buf.len = ROOM;
    connection->op.data = connection;
    if (strcmp(mode, "ops") == 0 || strcmp(mode, "wait") == 0) {
        BENCH_CHECK(loop_desc_attach(loop, &connection->as.desc, fd, LOOP_DESC_TCP | LOOP_DESC_OWNED) == 0);
        if (mode[0] == 'w')
            submit_read(connection);
        else
            BENCH_CHECK(loop_op_read(&connection->as.desc, &connection->op, &connection->buf, 1, op_read_done) == 0);
        return;
    }
    BENCH_CHECK(loop_tcp_init(loop, &connection->as.tcp) == 0);
    BENCH_CHECK(loop_tcp_open(&connection->as.tcp, fd) == 0);
    connection->as.handle.data = connection;
    if (strcmp(mode, "try") == 0)
        BENCH_CHECK(loop_tcp_read_start(&connection->as.tcp, NULL, try_read) == 0);
    else if (strcmp(mode, "deadline") == 0)
        BENCH_CHECK(loop_tcp_read_start(&connection->as.tcp, NULL, deadline_read) == 0);
    else if (strcmp(mode, "write") == 0)
        BENCH_CHECK(loop_tcp_read_start(&connection->as.tcp, give_buffer, write_read) == 0);
    else
        bench_fail("the modes are try, deadline, write, ops and wait");
}

uint64_t echo_run(const struct echo_job *job)
{
    struct connection *connections = bench_calloc(job->connections, sizeof(*connections));

    goal = job->bytes;
    BENCH_CHECK(loop_init(&loop, NULL) == 0);
    for (unsigned i = 0; i < job->connections; i++)
        open_connection(&connections[i], job->fds[i], job->mode);
    if (strcmp(job->mode, "wait") == 0)
        serve_waits();
    else
        BENCH_CHECK(loop_run(loop, LOOP_RUN_DEFAULT) == 1);
    for (unsigned i = 0; i < job->connections; i++)
        BENCH_CHECK(loop_handle_close(&connections[i].as.handle, NULL) == 0);
    if (strcmp(job->mode, "wait") == 0)
        drain_waits();
    else
        BENCH_CHECK(loop_run(loop, LOOP_RUN_DEFAULT) == 0);
    BENCH_CHECK(loop_close(loop) == 0);
    for (unsigned i = 0; i < job->connections; i++)
        free(connections[i].memory);
    free(connections);
    return done;
}
