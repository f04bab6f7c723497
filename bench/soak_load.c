/* The client of the soak test: blocking sockets, one thread. */
#include "bench.h"
#include "soak.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

struct client {
    int fd;
    enum soak_kind kind;
};

static char message[SOAK_MESSAGE];

static void open_client(struct client *client, int port)
{
    static const enum soak_kind kinds[] = {SOAK_ECHO, SOAK_FLOOD, SOAK_STALL, SOAK_HALF, SOAK_RESET, SOAK_CHURN};
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_port = htons((unsigned short)port)};
    char first;

    addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    client->kind = kinds[bench_random(sizeof(kinds) / sizeof(kinds[0]))];
    client->fd = socket(AF_INET, SOCK_STREAM, 0);
    BENCH_CHECK(client->fd >= 0);
    BENCH_CHECK(connect(client->fd, (struct sockaddr *)&addr, sizeof(addr)) == 0);
    first = (char)client->kind;
    BENCH_CHECK(send(client->fd, &first, 1, MSG_NOSIGNAL) == 1);
}

static size_t send_message(int fd)
{
    size_t size = 1 + bench_random(SOAK_MESSAGE);

    BENCH_CHECK(send(fd, message, size, MSG_NOSIGNAL) == (ssize_t)size);
    return size;
}

static void read_back(int fd, size_t size)
{
    char room[SOAK_MESSAGE];

    BENCH_CHECK(recv(fd, room, size, MSG_WAITALL) == (ssize_t)size);
    BENCH_CHECK(memcmp(room, message, size) == 0);
}

/* What comes until the end, which the server makes. */
static size_t read_to_end(int fd)
{
    char room[65536];
    size_t size = 0;
    ssize_t n;

    while ((n = recv(fd, room, sizeof(room), 0)) > 0)
        size += (size_t)n;
    BENCH_CHECK(n == 0);
    return size;
}

static void reset(int fd)
{
    const struct linger hard = {.l_onoff = 1, .l_linger = 0};

    BENCH_CHECK(setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard)) == 0);
}

static void read_slowly(int fd)
{
    char room[4096];

    for (uint32_t i = bench_random(8); i > 0; i--) {
        (void)nanosleep(&(struct timespec){.tv_nsec = 500000}, NULL);
        BENCH_CHECK(recv(fd, room, sizeof(room), 0) > 0);
    }
    switch (bench_random(3)) {
    case 0:
        BENCH_CHECK(read_to_end(fd) > 0);
        break;
    case 1:
        reset(fd);
        break;
    default: /* leaves with data unread, which resets too */
        break;
    }
}

static void finish(const struct client *client)
{
    size_t size;

    switch (client->kind) {
    case SOAK_ECHO:
        for (uint32_t i = bench_random(4); i > 0; i--)
            read_back(client->fd, send_message(client->fd));
        break;
    case SOAK_FLOOD:
        read_slowly(client->fd);
        break;
    case SOAK_STALL:
        BENCH_CHECK(read_to_end(client->fd) == 0);
        break;
    case SOAK_HALF:
        size = send_message(client->fd);
        BENCH_CHECK(shutdown(client->fd, SHUT_WR) == 0);
        BENCH_CHECK(read_to_end(client->fd) == size);
        break;
    case SOAK_RESET:
        (void)send_message(client->fd);
        reset(client->fd);
        break;
    case SOAK_CHURN:
        BENCH_CHECK(read_to_end(client->fd) > 0);
        break;
    }
    (void)close(client->fd);
}

void soak_load(int port, int control, unsigned seconds)
{
    struct client clients[SOAK_CONNECTIONS];
    time_t end = time(NULL) + (time_t)seconds;

    for (size_t i = 0; i < sizeof(message); i++)
        message[i] = (char)bench_random(256);
    while (time(NULL) < end) {
        char byte = 'r';

        for (unsigned i = 0; i < SOAK_CONNECTIONS; i++)
            open_client(&clients[i], port);
        for (unsigned i = 0; i < SOAK_CONNECTIONS; i++)
            finish(&clients[i]);
        BENCH_CHECK(send(control, &byte, 1, MSG_NOSIGNAL) == 1 && recv(control, &byte, 1, 0) == 1);
    }
    exit(0);
}
