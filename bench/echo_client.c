/*
 * echo_client PORT CONNECTIONS ROUNDS [BYTES]: the other side of echo and close. In each round it sends a message on every
 * connection, then reads every answer and compares it. At the end it reads until the server has closed. ROUNDS may be 0.
 * Sockets block and nothing is hidden: what it costs is not measured.
 */
#include "bench.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

const char *contender_version(void)
{
    return "echo_client";
}

static void check(int good, const char *what)
{
    if (!good) {
        perror(what);
        exit(1);
    }
}

static int connect_to(long port)
{
    const int on = 1;
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_port = htons((unsigned short)port)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    check(fd >= 0, "echo_client: socket");
    check(connect(fd, (struct sockaddr *)&addr, sizeof(addr)) == 0, "echo_client: connect");
    check(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) == 0, "echo_client: setsockopt");
    return fd;
}

static void play_round(const int *fds, long connections, char *message, char *answer, size_t size, long round)
{
    for (long i = 0; i < connections; i++) {
        (void)snprintf(message, size, "%ld/%ld", round, i);
        check(send(fds[i], message, size, MSG_NOSIGNAL) == (ssize_t)size, "echo_client: send");
    }
    for (long i = 0; i < connections; i++) {
        (void)snprintf(message, size, "%ld/%ld", round, i);
        check(recv(fds[i], answer, size, MSG_WAITALL) == (ssize_t)size, "echo_client: recv");
        check(memcmp(message, answer, size) == 0, "echo_client: the answer differs");
    }
}

int main(int argc, char **argv)
{
    long connections = argc > 2 ? strtol(argv[2], NULL, 10) : 0;
    long rounds = argc > 3 ? strtol(argv[3], NULL, 10) : 0;
    long size = argc > 4 ? strtol(argv[4], NULL, 10) : 64;
    char *message;
    char *answer;
    int *fds;

    if (argc < 4 || argc > 5 || connections <= 0 || rounds < 0 || size < 32) {
        (void)fprintf(stderr, "usage: %s PORT CONNECTIONS ROUNDS [BYTES]\n", argv[0]);
        return 2;
    }
    bench_descriptors((unsigned)connections + 32);
    fds = bench_calloc((size_t)connections, sizeof(*fds));
    message = bench_calloc(1, (size_t)size);
    answer = bench_calloc(1, (size_t)size);
    for (long i = 0; i < connections; i++)
        fds[i] = connect_to(strtol(argv[1], NULL, 10));
    for (long round = 0; round < rounds; round++)
        play_round(fds, connections, message, answer, (size_t)size, round);
    for (long i = 0; i < connections; i++) {
        check(recv(fds[i], answer, (size_t)size, 0) <= 0, "echo_client: more came than was sent");
        (void)close(fds[i]);
    }
    free(answer);
    free(message);
    free(fds);
    return 0;
}
