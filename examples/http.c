/*
 * An HTTP/1.1 server: http [--host HOST] [--port PORT]
 *
 *   /            a small page
 *   /slow?ms=N   the same after N ms
 *   /bytes?n=N   N bytes
 *   /stats       what the server is doing
 *
 * One request of a connection is answered at a time; while its answer is backed up nothing more is read, so a client that does
 * not read costs its own memory and not ours. Connections are recycled through a free list: a server that has warmed up
 * allocates nothing. SIGINT and SIGTERM end it gracefully: requests in flight are answered first.
 */
#include "http_parser.h"
#include "serving.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HEAD_SIZE 16384
#define ANSWER_SIZE 1024
#define BODY_LIMIT ((size_t)1024 * 1024)
#define BYTES_LIMIT (1024ul * 1024 * 1024)
#define IDLE_TIMEOUT LOOP_SEC(30)
#define LINGER_TIMEOUT LOOP_SEC(2)

enum state {
    READING,  /* waits for a request */
    WAITING,  /* a slow answer is due later */
    WRITING,  /* an answer is backed up */
    LINGERING /* the last answer is out; what the client still sends is thrown away, lest a reset destroys the answer */
};

struct connection {
    loop_tcp_t tcp;
    loop_timer_t timer; /* idle timeout, the delay of a slow answer, or the end of lingering */
    loop_op_t write;
    loop_op_t shutdown;
    struct connection *next_free;
    enum state state;
    bool keep_alive;
    bool closing;
    bool head_only;
    int handles;        /* not yet closed */
    size_t used;        /* bytes in head */
    size_t parsed;      /* of these, taken by the requests before */
    size_t skip;        /* bytes of a request's body still to come */
    unsigned long left; /* bytes of /bytes still to write */
    char head[HEAD_SIZE];
    char answer[ANSWER_SIZE];
};

static struct {
    loop_t *loop;
    loop_tcp_t listener;
    loop_async_t stop;
    struct connection *free;
    bool stopping;
    unsigned long in_flight;
    unsigned long connections;
    unsigned long requests;
} server;

static char filler[65536];

static void serve(struct connection *connection);
static void start_reading(struct connection *connection);

/* ----------------------------------------------------------------------------------------------- life of a connection -- */

static void on_closed(loop_handle_t *handle)
{
    struct connection *connection = handle->data;

    if (--connection->handles > 0)
        return;
    server.connections--;
    connection->next_free = server.free;
    server.free = connection;
}

static void close_connection(struct connection *connection)
{
    if (connection->closing)
        return;
    connection->closing = true;
    if (connection->state == WAITING || connection->state == WRITING)
        server.in_flight--;
    (void)loop_handle_close(&connection->tcp.handle, on_closed);
    (void)loop_handle_close(&connection->timer.handle, on_closed);
}

static void on_timeout(loop_timer_t *timer)
{
    close_connection(timer->handle.data);
}

/* Moving a started timer later is a matter of a few stores, so every request may do it. */
static void expect_within(struct connection *connection, uint64_t time)
{
    if (loop_timer_start(&connection->timer, on_timeout, time, 0) != 0)
        close_connection(connection);
}

static struct connection *new_connection(void)
{
    struct connection *connection = server.free;

    if (connection != NULL)
        server.free = connection->next_free;
    else
        connection = malloc(sizeof(*connection));
    if (connection == NULL)
        return NULL;
    memset(connection, 0, offsetof(struct connection, head));
    if (loop_tcp_init(server.loop, &connection->tcp) != 0 || loop_timer_init(server.loop, &connection->timer) != 0) {
        free(connection); /* the loop is being closed: cannot happen while it runs */
        return NULL;
    }
    connection->tcp.handle.data = connection;
    connection->timer.handle.data = connection;
    connection->write.data = connection;
    connection->handles = 2;
    server.connections++;
    return connection;
}

static void on_connection(loop_tcp_t *listener, int status)
{
    struct connection *connection;
    loop_os_fd_t fd;

    if (status != 0) { /* out of descriptors: reported once per pause, accepting goes on by itself */
        (void)serving_failed("accept", status);
        return;
    }
    connection = new_connection();
    if (connection == NULL) {
        if (loop_tcp_accept_fd(listener, &fd) == 0)
            os_close(fd);
        return;
    }
    if (loop_tcp_accept(listener, &connection->tcp) != 0) {
        close_connection(connection);
        return;
    }
    (void)loop_tcp_nodelay(&connection->tcp, 1);
    start_reading(connection);
}

/* ----------------------------------------------------------------------------------------------------------- answering -- */

static void on_shutdown(loop_op_t *op)
{
    (void)op;
}

/* The answer is out. */
static void answered(struct connection *connection)
{
    server.in_flight--;
    connection->state = READING;
    if (connection->keep_alive && !server.stopping)
        return;
    connection->state = LINGERING;
    if (loop_tcp_shutdown(&connection->tcp, &connection->shutdown, on_shutdown) != 0) {
        close_connection(connection);
        return;
    }
    start_reading(connection);
}

/* Goes on with the connection after an answer that did not go out at once. */
static void go_on(struct connection *connection)
{
    if (connection->closing || connection->state != READING)
        return;
    start_reading(connection);
    serve(connection);
}

static void write_more(struct connection *connection);

static void on_written(loop_op_t *op)
{
    struct connection *connection = op->data;

    if (connection->closing)
        return;
    if (op->status != 0) {
        close_connection(connection);
    } else if (connection->left > 0) {
        write_more(connection);
    } else {
        answered(connection);
        go_on(connection);
    }
}

static void write_later(struct connection *connection, const char *base, size_t length)
{
    loop_buf_t buf = {(void *)(uintptr_t)base, length};

    (void)loop_tcp_read_stop(&connection->tcp);
    connection->state = WRITING;
    if (loop_tcp_write(&connection->tcp, &connection->write, &buf, 1, on_written) != 0)
        close_connection(connection);
}

static void write_more(struct connection *connection)
{
    size_t length = connection->left < sizeof(filler) ? (size_t)connection->left : sizeof(filler);

    connection->left -= (unsigned long)length;
    write_later(connection, filler, length);
}

/* Sends an answer. The usual one fits into the socket's buffer and is done when this returns, with one system call and
 * without an operation; what does not fit is queued. */
static void send_answer(struct connection *connection, size_t length)
{
    loop_buf_t buf = {connection->answer, length};
    ptrdiff_t sent = loop_tcp_try_write(&connection->tcp, &buf, 1);

    if (sent == (ptrdiff_t)length && connection->left == 0)
        answered(connection);
    else if (sent == (ptrdiff_t)length)
        write_more(connection);
    else if (sent >= 0 || sent == LOOP_EAGAIN)
        write_later(connection, connection->answer + (sent > 0 ? sent : 0), length - (size_t)(sent > 0 ? sent : 0));
    else
        close_connection(connection);
}

static void answer(struct connection *connection, const char *status, const char *body, unsigned long length)
{
    bool last = !connection->keep_alive || server.stopping;
    int n = snprintf(connection->answer, sizeof(connection->answer),
                     "HTTP/1.1 %s\r\nContent-Type: text/plain\r\nContent-Length: %lu\r\n%s\r\n%s", status, length,
                     last ? "Connection: close\r\n" : "", connection->head_only || body == NULL ? "" : body);

    if (last)
        connection->keep_alive = false;
    connection->left = body == NULL && !connection->head_only ? length : 0;
    send_answer(connection, (size_t)n);
}

static void answer_text(struct connection *connection, const char *status, const char *body)
{
    answer(connection, status, body, (unsigned long)strlen(body));
}

static void answer_page(struct connection *connection)
{
    answer_text(connection, "200 OK", "Hello from loop.\n");
}

static void answer_stats(struct connection *connection)
{
    char text[128];

    (void)snprintf(text, sizeof(text), "in_flight %lu\nconnections %lu\nrequests %lu\n", server.in_flight,
                   server.connections, server.requests);
    answer_text(connection, "200 OK", text);
}

static void on_slow(loop_timer_t *timer)
{
    struct connection *connection = timer->handle.data;

    answer_page(connection);
    go_on(connection);
}

static void answer_later(struct connection *connection, unsigned long ms)
{
    (void)loop_tcp_read_stop(&connection->tcp);
    connection->state = WAITING;
    if (loop_timer_start(&connection->timer, on_slow, LOOP_MS(ms < 60000 ? ms : 60000), 0) != 0)
        close_connection(connection);
}

static void refuse(struct connection *connection, const char *status)
{
    server.in_flight++;
    connection->state = WRITING;
    connection->keep_alive = false;
    connection->head_only = false;
    answer_text(connection, status, "");
}

static void handle_request(struct connection *connection, const struct http_request *request)
{
    size_t path_length = 0;
    unsigned long n;

    while (path_length < request->target_length && request->target[path_length] != '?')
        path_length++;
    server.requests++;
    server.in_flight++;
    connection->state = WRITING;
    connection->head_only = http_is(request->method, request->method_length, "HEAD");
    if (!connection->head_only && !http_is(request->method, request->method_length, "GET")) {
        answer_text(connection, "405 Method Not Allowed\r\nAllow: GET, HEAD", "");
    } else if (http_is(request->target, path_length, "/")) {
        answer_page(connection);
    } else if (http_is(request->target, path_length, "/slow")) {
        answer_later(connection, http_query(request, "ms", 1000));
    } else if (http_is(request->target, path_length, "/stats")) {
        answer_stats(connection);
    } else if (http_is(request->target, path_length, "/bytes")) {
        n = http_query(request, "n", 0);
        answer(connection, "200 OK", NULL, n < BYTES_LIMIT ? n : BYTES_LIMIT);
    } else {
        answer_text(connection, "404 Not Found", "");
    }
}

/* ------------------------------------------------------------------------------------------------------------- reading -- */

/* Answers what has arrived: one request, or several that the client did not wait between. */
static void serve(struct connection *connection)
{
    while (connection->state == READING && !connection->closing) {
        size_t rest = connection->used - connection->parsed;
        size_t body = connection->skip < rest ? connection->skip : rest;
        struct http_request request;
        enum http_result result;

        connection->parsed += body;
        connection->skip -= body;
        rest -= body;
        if (rest == 0)
            break;
        result = http_parse(connection->head + connection->parsed, rest, &request);
        if (result == HTTP_INCOMPLETE) {
            if (rest == sizeof(connection->head))
                refuse(connection, "431 Request Header Fields Too Large");
            break;
        }
        if (result == HTTP_MALFORMED) {
            refuse(connection, "400 Bad Request");
            break;
        }
        connection->parsed += request.head_length;
        connection->skip = request.body_length;
        connection->keep_alive = request.keep_alive;
        if (request.chunked)
            refuse(connection, "501 Not Implemented");
        else if (request.body_length > BODY_LIMIT)
            refuse(connection, "413 Content Too Large");
        else
            handle_request(connection, &request);
    }
    if (connection->parsed > 0) {
        connection->used -= connection->parsed;
        memmove(connection->head, connection->head + connection->parsed, connection->used);
        connection->parsed = 0;
    }
}

static void on_alloc(loop_tcp_t *tcp, size_t suggested, loop_buf_t *buf)
{
    struct connection *connection = tcp->handle.data;

    (void)suggested;
    if (connection->state == LINGERING)
        connection->used = 0;
    buf->base = connection->head + connection->used;
    buf->len = sizeof(connection->head) - connection->used;
}

static void on_read(loop_tcp_t *tcp, ptrdiff_t nread, const loop_buf_t *buf)
{
    struct connection *connection = tcp->handle.data;

    (void)buf;
    if (nread < 0) {
        close_connection(connection);
    } else if (nread > 0 && connection->state == READING) {
        connection->used += (size_t)nread;
        expect_within(connection, IDLE_TIMEOUT);
        serve(connection);
    }
}

static void start_reading(struct connection *connection)
{
    int error;

    expect_within(connection, connection->state == LINGERING ? LINGER_TIMEOUT : IDLE_TIMEOUT);
    error = loop_tcp_read_start(&connection->tcp, on_alloc, on_read);
    if (error != 0 && error != LOOP_EALREADY)
        close_connection(connection);
}

/* ---------------------------------------------------------------------------------------------------------------- main -- */

static void stop_handle(loop_handle_t *handle, void *arg)
{
    struct connection *connection = handle->data;

    (void)arg;
    if (loop_handle_get_type(handle) == LOOP_TCP && connection != NULL && connection->state == READING)
        close_connection(connection);
}

static void on_stop(loop_async_t *async)
{
    server.stopping = true;
    (void)loop_handle_close(&server.listener.handle, NULL);
    (void)loop_handle_close(&async->handle, NULL);
    /* Idle connections end now, the others with their answer. Then nothing keeps the loop alive. */
    (void)loop_walk(server.loop, stop_handle, NULL);
}

int main(int argc, char **argv)
{
    struct sockaddr_storage addr;
    int error = serving_options(argc, argv, &addr);

    if (error == 0)
        error = loop_init(&server.loop, NULL);
    if (error != 0)
        return serving_failed("start", error);
    if ((error = loop_async_init(server.loop, &server.stop, on_stop)) != 0 ||
        (error = loop_tcp_init(server.loop, &server.listener)) != 0 ||
        (error = serving_listen(&server.listener, &addr, 0, on_connection)) != 0 ||
        (error = serving_stop_on_signals(&server.stop)) != 0)
        return serving_failed("listen", error);
    memset(filler, 'x', sizeof(filler));
    serving_announce("http://", &addr, "/");

    error = loop_run(server.loop, LOOP_RUN_DEFAULT);
    if (error == 0)
        error = loop_close(server.loop);
    while (server.free != NULL) {
        struct connection *next = server.free->next_free;

        free(server.free);
        server.free = next;
    }
    return error == 0 ? 0 : serving_failed("run", error);
}
