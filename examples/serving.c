#include "serving.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int serving_options(int argc, char **argv, struct sockaddr_storage *addr)
{
    const char *host = "127.0.0.1";
    long port = 0;

    for (int i = 1; i < argc; i += 2) {
        char *end = NULL;

        if (i + 1 == argc)
            return LOOP_EINVAL;
        if (strcmp(argv[i], "--host") == 0) {
            host = argv[i + 1];
        } else if (strcmp(argv[i], "--port") == 0) {
            port = strtol(argv[i + 1], &end, 10);
            if (*argv[i + 1] == '\0' || *end != '\0' || port < 0 || port > 65535)
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

static loop_async_t *stop_async;

static void on_signal(int number)
{
    (void)number;
    /* One of the few calls that are allowed in a signal handler. */
    (void)loop_async_send(stop_async);
}

int serving_stop_on_signals(loop_async_t *async)
{
    struct sigaction action;

    stop_async = async;
    memset(&action, 0, sizeof(action));
    action.sa_handler = on_signal;
    action.sa_flags = (int)SA_RESETHAND;
    (void)sigemptyset(&action.sa_mask);
    return sigaction(SIGINT, &action, NULL) == 0 && sigaction(SIGTERM, &action, NULL) == 0 ? 0 : LOOP_EINVAL;
}

int serving_failed(const char *what, int error)
{
    (void)fprintf(stderr, "%s: %s (%s)\n", what, loop_strerror(error), loop_err_name(error));
    return 1;
}
