/*
 * The pieces that docs/from-libuv.md shows: a server and a client on one loop, a timer, a thread that sends wake-ups. Everything
 * here has a counterpart in libuv.
 */
#include "os.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void check(int error, const char *what)
{
    if (error >= 0)
        return;
    (void)fprintf(stderr, "%s: %s\n", what, loop_strerror(error));
    exit(1);
}

/* ---------------------------------------------------------------------------------------------------------- timers -- */

static void on_tick(loop_timer_t *timer)
{
    int *ticks = timer->handle.data;

    if (++*ticks == 3)
        (void)loop_timer_stop(timer);
}

static void start_ticking(loop_t *loop, loop_timer_t *timer, int *ticks)
{
    check(loop_timer_init(loop, timer), "timer");
    timer->handle.data = ticks;
    check(loop_timer_start(timer, on_tick, LOOP_MS(10), LOOP_MS(10)), "timer");
}

/* ----------------------------------------------------------------------------------------------------- connections -- */

struct connection {
    loop_tcp_t tcp;
    loop_op_t write;
    char piece[4096];
};

static void on_closed(loop_handle_t *handle)
{
    free(handle->data);
}

static struct connection *new_connection(loop_t *loop)
{
    struct connection *connection = calloc(1, sizeof(*connection)); /* so the operation in it is zeroed, too */

    if (connection == NULL)
        return NULL;
    if (loop_tcp_init(loop, &connection->tcp) != 0) {
        free(connection);
        return NULL;
    }
    connection->tcp.handle.data = connection;
    return connection;
}

/* --------------------------------------------------------------------------------------------------------- writing -- */

static void on_written(loop_op_t *op)
{
    if (op->status != 0)
        (void)loop_handle_close(loop_op_get_handle(op), on_closed); /* LOOP_EBADF if it is closing: no harm */
}

/* What the socket takes now goes out now; the rest waits, and the piece with it. */
static int send_piece(struct connection *connection, size_t length)
{
    loop_buf_t buf = {connection->piece, length};
    ptrdiff_t sent = loop_tcp_try_write(&connection->tcp, &buf, 1);

    if (sent < 0 && sent != LOOP_EAGAIN)
        return (int)sent;
    if (sent > 0) {
        buf.base = connection->piece + sent;
        buf.len -= (size_t)sent;
    }
    return buf.len == 0 ? 0 : loop_tcp_write(&connection->tcp, &connection->write, &buf, 1, on_written);
}

/* ------------------------------------------------------------------------------------------------------ the server -- */

/* Each piece of data that comes moves the deadline: a few stores. */
static int expect_more(loop_tcp_t *tcp)
{
    uint64_t now = loop_now(loop_handle_get_loop(&tcp->handle));

    return loop_tcp_set_deadline(tcp, LOOP_READABLE, now + LOOP_SEC(30));
}

static void on_read(loop_tcp_t *tcp, ptrdiff_t nread, const loop_buf_t *buf)
{
    if (nread < 0) { /* LOOP_EOF, LOOP_ETIMEDOUT, … */
        printf("server: %s\n", loop_strerror((int)nread));
        (void)loop_handle_close(&tcp->handle, on_closed);
        return;
    }
    printf("server: %.*s\n", (int)nread, (const char *)buf->base); /* the loop's memory, until this returns */
    check(expect_more(tcp), "deadline");
}

static void on_connection(loop_tcp_t *server, int status)
{
    struct connection *connection;

    check(status, "accept");
    connection = new_connection(loop_handle_get_loop(&server->handle));
    check(connection != NULL ? 0 : LOOP_ENOMEM, "connection");
    check(loop_tcp_accept(server, &connection->tcp), "accept");
    check(expect_more(&connection->tcp), "deadline");
    check(loop_tcp_read_start(&connection->tcp, NULL, on_read), "read");
    (void)loop_handle_close(&server->handle, NULL); /* one client is enough here */
}

static void start_server(loop_t *loop, loop_tcp_t *server, struct sockaddr_storage *addr)
{
    size_t length = sizeof(*addr);

    check(loop_ip_addr("127.0.0.1", 0, addr), "address");
    check(loop_tcp_init(loop, server), "server");
    check(loop_tcp_bind(server, (const struct sockaddr *)addr, 0), "bind");
    check(loop_tcp_listen(server, 128, on_connection), "listen");
    check(loop_tcp_getsockname(server, (struct sockaddr *)addr, &length), "address");
}

/* ------------------------------------------------------------------------------------------------------ the client -- */

struct client {
    struct connection *connection;
    loop_op_t connect;
    loop_op_t shutdown;
};

static void on_shutdown(loop_op_t *op)
{
    struct client *client = op->data;

    check(op->status, "shutdown");
    (void)loop_handle_close(&client->connection->tcp.handle, on_closed);
}

static void on_connect(loop_op_t *op)
{
    struct client *client = op->data;

    check(op->status, "connect");
    memcpy(client->connection->piece, "hello", 5);
    check(send_piece(client->connection, 5), "write");
    check(loop_tcp_shutdown(&client->connection->tcp, &client->shutdown, on_shutdown), "shutdown");
}

static void start_client(loop_t *loop, struct client *client, const struct sockaddr_storage *addr)
{
    memset(client, 0, sizeof(*client));
    client->connection = new_connection(loop);
    check(client->connection != NULL ? 0 : LOOP_ENOMEM, "connection");
    client->connect.data = client;
    client->shutdown.data = client;
    check(loop_tcp_connect(&client->connection->tcp, &client->connect, (const struct sockaddr *)addr, on_connect),
          "connect");
}

/* --------------------------------------------------------------------------------------------------- other threads -- */

struct messages {
    loop_t *loop;
    loop_async_t async;   /* however often it is signalled: at least one callback */
    loop_task_t tasks[3]; /* one callback each */
    int count;
};

static void on_async(loop_async_t *async)
{
    (void)loop_handle_close(&async->handle, NULL);
}

static void on_message(loop_task_t *task, int status)
{
    struct messages *messages = task->data;

    messages->count += status == 0;
}

static void *send_messages(void *arg)
{
    struct messages *messages = arg;

    for (int i = 0; i < 3; i++)
        check(loop_post(messages->loop, &messages->tasks[i], on_message), "post");
    check(loop_async_send(&messages->async), "async");
    return NULL;
}

/* ---------------------------------------------------------------------------------------------------- the end of all -- */

static void close_any(loop_handle_t *handle, void *arg)
{
    (void)arg;
    (void)loop_handle_close(handle, NULL);
}

static void close_all(loop_t *loop)
{
    int more;

    check(loop_walk(loop, close_any, NULL), "walk");
    do
        more = loop_run(loop, LOOP_RUN_ONCE);
    while (more > 0);
    check(more, "run");
    check(loop_close(loop), "close");
}

int main(void)
{
    struct messages messages = {.count = 0};
    struct sockaddr_storage addr;
    struct client client;
    loop_t *loop;
    loop_timer_t timer;
    loop_tcp_t server;
    pthread_t thread;
    int ticks = 0;

    check(loop_init(&loop, NULL), "loop");
    start_ticking(loop, &timer, &ticks);
    start_server(loop, &server, &addr);
    start_client(loop, &client, &addr);
    messages.loop = loop;
    for (int i = 0; i < 3; i++)
        messages.tasks[i].data = &messages;
    check(loop_async_init(loop, &messages.async, on_async), "async");
    check(loop_translate_sys_error(pthread_create(&thread, NULL, send_messages, &messages)), "thread");

    check(loop_run(loop, LOOP_RUN_DEFAULT), "run");
    (void)pthread_join(thread, NULL);
    printf("%d ticks, %d messages\n", ticks, messages.count);
    close_all(loop);
    return 0;
}
