/*
 * An echo server whose connections are coroutines: straight-line code that reads with a deadline, writes and closes.
 *
 *   --host HOST, --port PORT   where it listens (127.0.0.1, a free port)
 *   --threads N                so many threads, each with a loop (1)
 *   --silence MS               a peer that says nothing, or takes nothing, for so long is disconnected (10000)
 *   --move N                   after every N messages a connection goes on with the next thread (0: stays)
 *
 * SIGINT and SIGTERM end it: what is being written is written, nothing more is read.
 */
#include "scheduler.h"
#include "serving.h"

#define PIECE 4096
#define PAUSE LOOP_MS(100)

struct server {
    struct runtime runtime;
    uint64_t silence;
    unsigned long move;
};

static struct server server;

/* ----------------------------------------------------------------------------------------------------- connections -- */

struct connection {
    struct co co;
    loop_desc_t desc;
    loop_os_fd_t fd;
    bool open;
    unsigned long messages;
    char piece[PIECE];
};

/* The descriptor belongs to no loop yet, or no longer: it may go on in any. */
static void attach(struct connection *c)
{
    c->open = loop_desc_attach(co_loop(&c->co), &c->desc, c->fd, LOOP_DESC_TCP | LOOP_DESC_OWNED) == 0;
    if (!c->open)
        os_close(c->fd);
}

static int set_deadline(struct connection *c, unsigned direction)
{
    return loop_desc_set_deadline(&c->desc, direction, loop_now(co_loop(&c->co)) + server.silence);
}

static int read_piece(struct connection *c)
{
    loop_buf_t buf = {c->piece, sizeof(c->piece)};
    int error = set_deadline(c, LOOP_READABLE);

    return error != 0 ? error : loop_op_read(&c->desc, &c->co.op, &buf, 1, NULL);
}

static int write_piece(struct connection *c)
{
    loop_buf_t buf = {c->piece, c->co.op.bytes};
    int error = set_deadline(c, LOOP_WRITABLE);

    return error != 0 ? error : loop_op_write(&c->desc, &c->co.op, &buf, 1, NULL);
}

/* Leaves the loop, if it is time to: nothing is in flight between two messages. */
static bool left(struct connection *c)
{
    return server.move > 0 && ++c->messages % server.move == 0 && loop_desc_detach(&c->desc) == 0;
}

static void echo(struct co *co)
{
    struct connection *c = (struct connection *)co;

    CO_BEGIN(co);
    attach(c);
    while (c->open && !co_stopping(co)) {
        CO_AWAIT(co, read_piece(c));
        if (co->op.status != 0) /* the end, an error, or LOOP_ETIMEDOUT: silent for too long */
            break;
        CO_AWAIT(co, write_piece(c));
        if (co->op.status != 0)
            break;
        if (left(c)) {
            CO_AWAIT(co, co_move(co, runtime_next(&server.runtime)));
            attach(c); /* on another thread */
        }
    }
    CO_AWAIT(co, co_close(co, &c->desc.handle));
    CO_END(co);
}

static void serve(loop_os_fd_t fd)
{
    struct connection *c = (struct connection *)co_new(sizeof(*c), echo);

    if (c == NULL) {
        os_close(fd);
        return;
    }
    c->fd = fd;
    co_start(&c->co, runtime_next(&server.runtime));
}

/* -------------------------------------------------------------------------------------------------------- accepting -- */

struct acceptor {
    struct co co;
    loop_desc_t desc;
    loop_timer_t timer;
};

static void accept_all(struct co *co)
{
    struct acceptor *a = (struct acceptor *)co;

    CO_BEGIN(co);
    while (!co_stopping(co)) {
        CO_AWAIT(co, loop_op_accept_stream(&a->desc, &co->op, NULL));
        while (co->op.flags & LOOP_OP_MORE) {
            serve(co->op.fd);
            CO_AWAIT(co, CO_NEXT_RESULT);
        }
        if (!co_stopping(co)) /* no descriptor is free, or no memory: that may pass */
            CO_AWAIT(co, co_sleep(co, &a->timer, PAUSE));
    }
    CO_AWAIT(co, co_close(co, &a->desc.handle));
    CO_AWAIT(co, co_close(co, &a->timer.handle));
    CO_END(co);
}

/* Before the scheduler runs its loop is the main thread's. */
static int start_acceptor(struct scheduler *scheduler, loop_os_fd_t fd)
{
    struct acceptor *a = (struct acceptor *)co_new(sizeof(*a), accept_all);
    int error = a != NULL ? loop_timer_init(scheduler->loop, &a->timer) : LOOP_ENOMEM;

    if (error == 0)
        error = loop_desc_attach(scheduler->loop, &a->desc, fd, LOOP_DESC_OWNED);
    if (error == 0)
        co_start(&a->co, scheduler);
    return error;
}

/* ------------------------------------------------------------------------------------------------------------- main -- */

int main(int argc, char **argv)
{
    struct sockaddr_storage addr;
    loop_os_fd_t fd;
    long threads = 1;
    long silence = 10000;
    long move = 0;
    int error = serving_take(&argc, argv, "--threads", 1, RUNTIME_MOST, &threads);

    if (error == 0)
        error = serving_take(&argc, argv, "--silence", 1, 1000000000, &silence);
    if (error == 0)
        error = serving_take(&argc, argv, "--move", 0, 1000000000, &move);
    if (error == 0)
        error = serving_options(argc, argv, &addr);
    if (error == 0)
        error = os_listen(&addr, &fd);
    if (error != 0)
        return serving_failed("listen", error);
    server.silence = LOOP_MS(silence);
    server.move = (unsigned long)move;

    if ((error = runtime_init(&server.runtime, (int)threads)) != 0 ||
        (error = start_acceptor(&server.runtime.schedulers[0], fd)) != 0 ||
        (error = serving_stop_on_signals(&server.runtime.schedulers[0].stop)) != 0)
        return serving_failed("start", error);
    serving_announce("", &addr, "");
    runtime_run(&server.runtime);
    error = runtime_close(&server.runtime);
    return error == 0 ? 0 : serving_failed("close", error);
}
