/*
 * client MODE PORT …: the other side of the subjects that serve. Sockets block and nothing is hidden: what it costs is not
 * measured.
 *   echo PORT CONNECTIONS ROUNDS [BYTES]   each round sends a message on every connection, then reads every answer and compares
 *                                          it; at the end it reads until the server has closed. ROUNDS may be 0.
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

static unsigned short port;

const char *contender_version(void)
{
    return "client";
}

static void check(bool good, const char *what)
{
    if (!good) {
        perror(what);
        exit(1);
    }
}

static int connect_to_server(void)
{
    const int on = 1;
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_port = htons(port)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    check(fd >= 0, "client: socket");
    check(connect(fd, (struct sockaddr *)&addr, sizeof(addr)) == 0, "client: connect");
    check(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) == 0, "client: setsockopt");
    return fd;
}

static void send_all(int fd, const char *data, size_t size)
{
    check(send(fd, data, size, MSG_NOSIGNAL) == (ssize_t)size, "client: send");
}

static void expect(int fd, const char *data, size_t size, char *room)
{
    check(recv(fd, room, size, MSG_WAITALL) == (ssize_t)size, "client: recv");
    check(memcmp(data, room, size) == 0, "client: the answer differs");
}

static void expect_end(int fd)
{
    char more;

    check(recv(fd, &more, 1, 0) <= 0, "client: more came than was sent");
    (void)close(fd);
}

/* -------------------------------------------------------------------------------------------------------------- echo -- */

static void echo_round(const int *fds, unsigned connections, char *message, char *answer, size_t size,
                       unsigned long round)
{
    for (unsigned i = 0; i < connections; i++) {
        (void)snprintf(message, size, "%lu/%u", round, i);
        send_all(fds[i], message, size);
    }
    for (unsigned i = 0; i < connections; i++) {
        (void)snprintf(message, size, "%lu/%u", round, i);
        expect(fds[i], message, size, answer);
    }
}

static void echo(unsigned connections, unsigned long rounds, size_t size)
{
    int *fds = bench_calloc(connections, sizeof(*fds));
    char *message = bench_calloc(1, size);
    char *answer = bench_calloc(1, size);

    for (unsigned i = 0; i < connections; i++)
        fds[i] = connect_to_server();
    for (unsigned long round = 0; round < rounds; round++)
        echo_round(fds, connections, message, answer, size, round);
    for (unsigned i = 0; i < connections; i++)
        expect_end(fds[i]);
    free(answer);
    free(message);
    free(fds);
}

/* -------------------------------------------------------------------------------------------------------------- main -- */

int main(int argc, char **argv)
{
    const char *mode = argc > 4 ? argv[1] : "";
    unsigned connections;
    unsigned long rounds;
    unsigned long size;

    if (strcmp(mode, "echo") != 0 || argc > 6) {
        (void)fprintf(stderr, "usage: %s echo PORT CONNECTIONS ROUNDS [BYTES]\n", argv[0]);
        return 2;
    }
    port = (unsigned short)bench_number(argv[2], 65535);
    connections = (unsigned)bench_number(argv[3], 1000000);
    rounds = strcmp(argv[4], "0") == 0 ? 0 : (unsigned long)bench_number(argv[4], 1000000000);
    size = argc > 5 ? (unsigned long)bench_number(argv[5], 1 << 20) : 64;
    check(size >= 32, "client: a message has at least 32 bytes");
    bench_descriptors(connections + 32);
    echo(connections, rounds, size);
    return 0;
}
