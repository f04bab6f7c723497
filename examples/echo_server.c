/* An echo server on one loop: echo_server [--host HOST] [--port PORT]. SIGINT and SIGTERM end it. */
#include "echo.h"
#include "serving.h"

static void on_connection(loop_tcp_t *server, int status)
{
    if (status == 0)
        echo_accept(server);
}

static void on_stop(loop_async_t *async)
{
    (void)loop_walk(loop_handle_get_loop(&async->handle), echo_close_any, NULL);
}

int main(int argc, char **argv)
{
    struct sockaddr_storage addr;
    loop_t *loop;
    loop_async_t stop;
    loop_tcp_t server;
    int error = serving_options(argc, argv, &addr);

    if (error == 0)
        error = loop_init(&loop, NULL);
    if (error != 0)
        return serving_failed("start", error);
    if ((error = loop_async_init(loop, &stop, on_stop)) != 0 || (error = loop_tcp_init(loop, &server)) != 0 ||
        (error = serving_listen(&server, &addr, 0, on_connection)) != 0 ||
        (error = serving_stop_on_signals(&stop)) != 0)
        return serving_failed("listen", error);
    stop.handle.data = NULL;
    server.handle.data = NULL;
    serving_announce("", &addr, "");
    error = loop_run(loop, LOOP_RUN_DEFAULT);
    if (error == 0)
        error = loop_close(loop);
    return error == 0 ? 0 : serving_failed("run", error);
}
