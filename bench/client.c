/*
 * client MODE PORT …: the other side of the subjects that serve. Sockets block and nothing is hidden: what it costs is
 * not measured.
 *   echo PORT CONNECTIONS ROUNDS [BYTES]   each round sends a message on every connection, then reads every answer and
 *                                          compares it; at the end it reads until the server has closed. ROUNDS may be 0.
 *   http PORT CONNECTIONS ROUNDS           the same with requests; at the end it closes.
 *   churn PORT CONNECTIONS ROUNDS          each round opens so many connections, sends a request on each and reads until
 *                                          the server has closed.
 *   idle PORT CONNECTIONS 1                a request on the last of them only, then it closes all.
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

static void open_all(int *fds, unsigned connections)
{
    for (unsigned i = 0; i < connections; i++)
        fds[i] = connect_to_server();
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
        (void)snprintf(message, size, "%010lu/%010u", round, i);
        send_all(fds[i], message, size);
    }
    for (unsigned i = 0; i < connections; i++) {
        (void)snprintf(message, size, "%010lu/%010u", round, i);
        expect(fds[i], message, size, answer);
    }
}

static void echo(unsigned connections, unsigned long rounds, size_t size)
{
    int *fds = bench_calloc(connections, sizeof(*fds));
    char *message = bench_calloc(1, size);
    char *answer = bench_calloc(1, size);

    open_all(fds, connections);
    for (unsigned long round = 0; round < rounds; round++)
        echo_round(fds, connections, message, answer, size, round);
    for (unsigned i = 0; i < connections; i++)
        expect_end(fds[i]);
    free(answer);
    free(message);
    free(fds);
}

/* -------------------------------------------------------------------------------------------------------------- http -- */

#define REQUEST "GET / HTTP/1.1\r\nHost: bench\r\nUser-Agent: bench\r\nAccept: */*\r\n"
static const char keeping[] = REQUEST "\r\n";
static const char closing[] = REQUEST "Connection: close\r\n\r\n";

/* An answer is known by its last line. */
static void expect_answer(int fd)
{
    static const char end[] = "\nHello, world\n";
    char room[256];
    size_t size = 0;

    do {
        ssize_t n = recv(fd, room + size, sizeof(room) - size, 0);

        check(n > 0, "client: the answer is not complete");
        size += (size_t)n;
    } while (size < sizeof(end) || memcmp(room + size - (sizeof(end) - 1), end, sizeof(end) - 1) != 0);
}

static void http(unsigned connections, unsigned long rounds, size_t size)
{
    int *fds = bench_calloc(connections, sizeof(*fds));

    (void)size;
    open_all(fds, connections);
    for (unsigned long round = 0; round < rounds; round++) {
        for (unsigned i = 0; i < connections; i++)
            send_all(fds[i], keeping, sizeof(keeping) - 1);
        for (unsigned i = 0; i < connections; i++)
            expect_answer(fds[i]);
    }
    for (unsigned i = 0; i < connections; i++)
        (void)close(fds[i]);
    free(fds);
}

static void churn(unsigned connections, unsigned long rounds, size_t size)
{
    int *fds = bench_calloc(connections, sizeof(*fds));

    (void)size;
    for (unsigned long round = 0; round < rounds; round++) {
        open_all(fds, connections);
        for (unsigned i = 0; i < connections; i++)
            send_all(fds[i], closing, sizeof(closing) - 1);
        for (unsigned i = 0; i < connections; i++) {
            expect_answer(fds[i]);
            expect_end(fds[i]);
        }
    }
    free(fds);
}

static void idle(unsigned connections, unsigned long rounds, size_t size)
{
    int *fds = bench_calloc(connections, sizeof(*fds));

    (void)rounds;
    (void)size;
    open_all(fds, connections);
    send_all(fds[connections - 1], keeping, sizeof(keeping) - 1);
    expect_answer(fds[connections - 1]);
    for (unsigned i = 0; i < connections; i++)
        (void)close(fds[i]);
    free(fds);
}

/* -------------------------------------------------------------------------------------------------------------- main -- */

typedef void play_fn(unsigned connections, unsigned long rounds, size_t size);

static play_fn *find_mode(const char *name)
{
    static const struct {
        const char *name;
        play_fn *play;
    } modes[] = {{"echo", echo}, {"http", http}, {"churn", churn}, {"idle", idle}};

    for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
        if (strcmp(name, modes[i].name) == 0)
            return modes[i].play;
    }
    return NULL;
}

int main(int argc, char **argv)
{
    play_fn *play = argc == 5 || argc == 6 ? find_mode(argv[1]) : NULL;
    unsigned connections;
    unsigned long rounds;
    unsigned long size;

    if (play == NULL) {
        (void)fprintf(stderr, "usage: %s echo|http|churn|idle PORT CONNECTIONS ROUNDS [BYTES]\n", argv[0]);
        return 2;
    }
    port = (unsigned short)bench_number(argv[2], 65535);
    connections = (unsigned)bench_number(argv[3], 1000000);
    rounds = strcmp(argv[4], "0") == 0 ? 0 : (unsigned long)bench_number(argv[4], 1000000000);
    size = argc > 5 ? (unsigned long)bench_number(argv[5], 1 << 20) : 64;
    check(size >= 32, "client: a message has at least 32 bytes");
    bench_descriptors(connections + 32);
    play(connections, rounds, size);
    return 0;
}
