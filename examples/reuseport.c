/*
 * Several loops, each with a listener of its own on the same port: the kernel spreads the connections (SO_REUSEPORT,
 * socket(7)). No thread waits for another. reuseport [--host HOST] [--port PORT]
 */
#include "echo.h"
#include "serving.h"

#include <pthread.h>

#define LOOPS 3

struct shard {
    loop_t *loop;
    loop_tcp_t server;
    loop_async_t stop;
    pthread_t thread;
};

static struct shard shards[LOOPS];

static void on_connection(loop_tcp_t *server, int status)
{
    if (status == 0)
        echo_accept(server);
}

static void on_stop(loop_async_t *async)
{
    /* The signal reaches one loop; it tells the others. Telling twice does nothing. */
    /* The signal reaches the first loop, which passes it on. */
    for (int i = 1; async == &shards[0].stop && i < LOOPS; i++)
        (void)loop_async_send(&shards[i].stop);
    (void)loop_walk(loop_handle_get_loop(&async->handle), echo_close_any, NULL);
}

static void *serve(void *arg)
{
    struct shard *shard = arg;

    (void)loop_run(shard->loop, LOOP_RUN_DEFAULT);
    return NULL;
}

/* The first listener gets the port, the others take the same one. */
static int prepare(struct shard *shard, struct sockaddr_storage *addr)
{
    int error = loop_init(&shard->loop, NULL);

    if (error == 0)
        error = loop_async_init(shard->loop, &shard->stop, on_stop);
    if (error == 0)
        error = loop_tcp_init(shard->loop, &shard->server);
    if (error == 0)
        error = serving_listen(&shard->server, addr, LOOP_TCP_REUSEPORT, on_connection);
    return error;
}

int main(int argc, char **argv)
{
    struct sockaddr_storage addr;
    int error = serving_options(argc, argv, &addr);

    for (int i = 0; i < LOOPS && error == 0; i++)
        error = prepare(&shards[i], &addr);
    if (error == 0)
        error = serving_stop_on_signals(&shards[0].stop);
    for (int i = 1; i < LOOPS && error == 0; i++)
        error = loop_translate_sys_error(pthread_create(&shards[i].thread, NULL, serve, &shards[i]));
    if (error != 0)
        return serving_failed("start", error);
    serving_announce("", &addr, "");
    (void)serve(&shards[0]);
    for (int i = 1; i < LOOPS; i++)
        (void)pthread_join(shards[i].thread, NULL);
    for (int i = 0; i < LOOPS && error == 0; i++)
        error = loop_close(shards[i].loop);
    return error == 0 ? 0 : serving_failed("close", error);
}
