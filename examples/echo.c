#include "echo.h"
#include "os.h"

#include <stdlib.h>
#include <string.h>

#define PIECE 4096

struct connection {
    loop_tcp_t tcp;
    loop_op_t write;
    char piece[PIECE];
};

static void on_closed(loop_handle_t *handle)
{
    free(handle->data);
}

static void close_connection(struct connection *connection)
{
    /* Closing twice is an error without harm. */
    (void)loop_handle_close(&connection->tcp.handle, on_closed);
}

static void start_reading(struct connection *connection);

static void on_written(loop_op_t *op)
{
    struct connection *connection = op->data;

    if (op->status == 0)
        start_reading(connection);
    else
        close_connection(connection);
}

/* Reads into the connection's own memory, which the write then uses: nothing is copied. */
static void on_alloc(loop_tcp_t *tcp, size_t suggested, loop_buf_t *buf)
{
    struct connection *connection = tcp->handle.data;

    (void)suggested;
    buf->base = connection->piece;
    buf->len = sizeof(connection->piece);
}

static void on_read(loop_tcp_t *tcp, ptrdiff_t nread, const loop_buf_t *buf)
{
    struct connection *connection = tcp->handle.data;
    loop_buf_t data = {buf->base, (size_t)nread};

    if (nread == 0)
        return;
    if (nread < 0) { /* the end, or an error */
        close_connection(connection);
        return;
    }
    /* The piece is in use until it is written: a peer that does not read stops us from reading. */
    (void)loop_tcp_read_stop(tcp);
    if (loop_tcp_write(tcp, &connection->write, &data, 1, on_written) != 0)
        close_connection(connection);
}

static void start_reading(struct connection *connection)
{
    if (loop_tcp_read_start(&connection->tcp, on_alloc, on_read) != 0)
        close_connection(connection);
}

static struct connection *new_connection(loop_t *loop)
{
    struct connection *connection = malloc(sizeof(*connection));

    if (connection == NULL)
        return NULL;
    memset(&connection->write, 0, sizeof(connection->write));
    if (loop_tcp_init(loop, &connection->tcp) != 0) {
        free(connection);
        return NULL;
    }
    connection->tcp.handle.data = connection;
    connection->write.data = connection;
    return connection;
}

void echo_accept(loop_tcp_t *server)
{
    struct connection *connection = new_connection(loop_handle_get_loop(&server->handle));
    loop_os_fd_t fd;

    if (connection == NULL) { /* no memory: drop this client, keep serving the others */
        if (loop_tcp_accept_fd(server, &fd) == 0)
            os_close(fd);
        return;
    }
    if (loop_tcp_accept(server, &connection->tcp) == 0)
        start_reading(connection);
    else
        close_connection(connection);
}

void echo_open(loop_t *loop, loop_os_fd_t fd)
{
    struct connection *connection = new_connection(loop);

    if (connection == NULL) {
        os_close(fd);
    } else if (loop_tcp_open(&connection->tcp, fd) == 0) {
        start_reading(connection);
    } else {
        os_close(fd);
        close_connection(connection);
    }
}

void echo_close_any(loop_handle_t *handle, void *arg)
{
    (void)arg;
    /* Connections carry themselves in data and are freed; the other handles of our servers carry nothing. */
    (void)loop_handle_close(handle, on_closed);
}
