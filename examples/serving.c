#include "serving.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int number(const char *text, long least, long most, long *value)
{
    char *end = NULL;

    *value = strtol(text, &end, 10);
    return *text != '\0' && *end == '\0' && *value >= least && *value <= most ? 0 : LOOP_EINVAL;
}

int serving_take(int *argc, char **argv, const char *name, long least, long most, long *value)
{
    for (int i = 1; i + 1 < *argc; i += 2) {
        if (strcmp(argv[i], name) == 0) {
            int error = number(argv[i + 1], least, most, value);

            *argc -= 2;
            memmove(&argv[i], &argv[i + 2], (size_t)(*argc - i) * sizeof(*argv));
            return error;
        }
    }
    return 0;
}

int serving_options(int argc, char **argv, struct sockaddr_storage *addr)
{
    const char *host = "127.0.0.1";
    long port = 0;

    for (int i = 1; i < argc; i += 2) {
        if (i + 1 == argc)
            return LOOP_EINVAL;
        if (strcmp(argv[i], "--host") == 0) {
            host = argv[i + 1];
        } else if (strcmp(argv[i], "--port") == 0) {
            if (number(argv[i + 1], 0, 65535, &port) != 0)
                return LOOP_EINVAL;
        } else {
            return LOOP_EINVAL;
        }
    }
    return loop_ip_addr(host, (int)port, addr);
}

int serving_listen(loop_tcp_t *tcp, struct sockaddr_storage *addr, unsigned flags, loop_connection_cb cb)
{
    size_t length = sizeof(*addr);
    int error = loop_tcp_bind(tcp, (const struct sockaddr *)addr, flags);

    if (error == 0)
        error = loop_tcp_listen(tcp, 1024, cb);
    if (error == 0)
        error = loop_tcp_getsockname(tcp, (struct sockaddr *)addr, &length);
    return error;
}

void serving_announce(const char *prefix, const struct sockaddr_storage *addr, const char *suffix)
{
    const struct sockaddr *name = (const struct sockaddr *)addr;
    bool v6 = name->sa_family == AF_INET6;
    char host[64] = "";

    (void)loop_ip_name(name, host, sizeof(host));
    printf("listening on %s%s%s%s:%d%s\n", prefix, v6 ? "[" : "", host, v6 ? "]" : "", loop_ip_port(name), suffix);
    (void)fflush(stdout);
}

static struct {
    loop_signal_t signals[2];
    loop_async_t *async;
} stop;

/* Nobody watches for the second one any more. */
static void on_signal(loop_signal_t *signal, int number)
{
    (void)signal;
    (void)number;
    for (int i = 0; i < 2; i++)
        (void)loop_handle_close(&stop.signals[i].handle, NULL);
    (void)loop_async_send(stop.async);
}

int serving_stop_on_signals(loop_async_t *async)
{
    static const int numbers[2] = {SIGINT, SIGTERM};
    int error = 0;

    stop.async = async;
    for (int i = 0; i < 2 && error == 0; i++) {
        error = loop_signal_init(loop_handle_get_loop(&async->handle), &stop.signals[i]);
        stop.signals[i].handle.data = NULL;
        if (error == 0)
            error = loop_signal_start(&stop.signals[i], on_signal, numbers[i]);
        if (error == 0)
            error = loop_handle_unref(&stop.signals[i].handle);
    }
    return error;
}

int serving_failed(const char *what, int error)
{
    (void)fprintf(stderr, "%s: %s (%s)\n", what, loop_strerror(error), loop_err_name(error));
    return 1;
}
