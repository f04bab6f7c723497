/*
 * One acceptor, several loops: the main thread's loop accepts and hands each connection to the next of three worker loops,
 * one on each thread, by a task that carries the descriptor. acceptor [--host HOST] [--port PORT]
 */
#include "echo.h"
#include "serving.h"

#include <pthread.h>
#include <stdlib.h>

#define WORKERS 3

struct worker {
    loop_t *loop;
    pthread_t thread;
    loop_async_t stop; /* also keeps the loop alive while it has no connection */
};

/* A connection on its way to a worker. */
struct delivery {
    loop_task_t task;
    loop_t *loop;
    loop_os_fd_t fd;
};

static struct worker workers[WORKERS];

static void on_delivery(loop_task_t *task, int status)
{
    struct delivery *delivery = task->data;

    if (status == 0)
        echo_open(delivery->loop, delivery->fd);
    else
        os_close(delivery->fd);
    free(delivery);
}

static void on_connection(loop_tcp_t *server, int status)
{
    static unsigned next;
    struct delivery *delivery;
    loop_os_fd_t fd;

    if (status != 0 || loop_tcp_accept_fd(server, &fd) != 0)
        return;
    delivery = calloc(1, sizeof(*delivery));
    if (delivery == NULL) {
        os_close(fd);
        return;
    }
    delivery->task.data = delivery;
    delivery->loop = workers[next++ % WORKERS].loop;
    delivery->fd = fd;
    if (loop_post(delivery->loop, &delivery->task, on_delivery) != 0) {
        os_close(fd);
        free(delivery);
    }
}

static void on_stop(loop_async_t *async)
{
    (void)loop_walk(loop_handle_get_loop(&async->handle), echo_close_any, NULL);
}

static void *work(void *arg)
{
    struct worker *worker = arg;

    (void)loop_run(worker->loop, LOOP_RUN_DEFAULT);
    return NULL;
}

static int start_worker(struct worker *worker)
{
    int error = loop_init(&worker->loop, NULL);

    if (error == 0)
        error = loop_async_init(worker->loop, &worker->stop, on_stop);
    if (error != 0)
        return error;
    worker->stop.handle.data = NULL;
    return loop_translate_sys_error(pthread_create(&worker->thread, NULL, work, worker));
}

int main(int argc, char **argv)
{
    struct sockaddr_storage addr;
    loop_t *loop;
    loop_async_t stop;
    loop_tcp_t server;
    int error = serving_options(argc, argv, &addr);

    for (int i = 0; i < WORKERS && error == 0; i++)
        error = start_worker(&workers[i]);
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

    /* Nothing is accepted any more. Deliveries that are posted but not run are closed by loop_close(). */
    for (int i = 0; i < WORKERS; i++) {
        (void)loop_async_send(&workers[i].stop);
        (void)pthread_join(workers[i].thread, NULL);
        if (error == 0)
            error = loop_close(workers[i].loop);
    }
    if (error == 0)
        error = loop_close(loop);
    return error == 0 ? 0 : serving_failed("run", error);
}
