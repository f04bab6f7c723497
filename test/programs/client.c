/*
 * client [-e | -s MS] HOST:PORT: sends its standard input and prints all that comes back until the server ends the connection.
 * With -e it ends its own direction after the input; without, the server has to know when to stop. With -s it fails if the
 * server ends the connection earlier than MS milliseconds after the connection was made, or after it last sent something.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* When the server last heard of us, at the earliest, in ms. */
static long long last_sign;

static long long now(void)
{
    struct timespec time;

    (void)clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1000LL + time.tv_nsec / 1000000;
}

static int dial(const char *where)
{
    const char *colon = strrchr(where, ':');
    struct sockaddr_in addr;
    char host[64] = "";
    int fd;

    if (colon == NULL || (size_t)(colon - where) >= sizeof(host))
        return -1;
    memcpy(host, where, (size_t)(colon - where));
    memset(&addr, 0, sizeof(addr));
    addr.sin_family = AF_INET;
    addr.sin_port = htons((unsigned short)strtoul(colon + 1, NULL, 10));
    fd = socket(AF_INET, SOCK_STREAM, 0);
    last_sign = now();
    if (fd < 0 || inet_pton(AF_INET, host, &addr.sin_addr) != 1 ||
        connect(fd, (struct sockaddr *)&addr, sizeof(addr)) != 0)
        return -1;
    return fd;
}

/* All of standard input. The server may answer before it has read everything, so both go on at once. */
static int exchange(int fd, int end_after_input)
{
    struct pollfd events[2] = {{fd, POLLIN, 0}, {STDIN_FILENO, POLLIN, 0}};
    char input[65536];
    char output[65536];
    ssize_t have = 0;
    ssize_t sent = 0;

    for (;;) {
        events[0].events = (short)(sent < have ? POLLIN | POLLOUT : POLLIN);
        events[1].fd = sent < have ? -1 : events[1].fd;
        if (poll(events, 2, -1) < 0 && errno != EINTR)
            return -1;
        if (events[0].revents & (POLLIN | POLLHUP | POLLERR)) {
            ssize_t n = recv(fd, output, sizeof(output), 0);

            if (n <= 0)
                return n == 0 ? 0 : -1;
            if (fwrite(output, 1, (size_t)n, stdout) != (size_t)n || fflush(stdout) != 0)
                return -1;
        }
        if (events[0].revents & POLLOUT) {
            long long before = now();
            ssize_t n = send(fd, input + sent, (size_t)(have - sent), MSG_DONTWAIT);

            if (n < 0 && errno != EAGAIN)
                return -1;
            sent += n > 0 ? n : 0;
            last_sign = n > 0 ? before : last_sign;
            events[1].fd = STDIN_FILENO;
        } else if (events[1].fd >= 0 && events[1].revents != 0) {
            have = read(STDIN_FILENO, input, sizeof(input));
            sent = 0;
            if (have <= 0) {
                have = 0;
                events[1].fd = -1;
                if (end_after_input && shutdown(fd, SHUT_WR) != 0)
                    return -1;
            }
        }
    }
}

int main(int argc, char **argv)
{
    int end_after_input = argc == 3 && strcmp(argv[1], "-e") == 0;
    int is_timed = argc == 4 && strcmp(argv[1], "-s") == 0;
    int fd;

    if (argc != 2 && !end_after_input && !is_timed)
        return 2;
    (void)signal(SIGPIPE, SIG_IGN);
    fd = dial(argv[argc - 1]);
    if (fd < 0 || exchange(fd, end_after_input) != 0) {
        perror("client");
        return 1;
    }
    /* One more for the two roundings. */
    if (is_timed && now() - last_sign + 1 < strtol(argv[2], NULL, 10)) {
        (void)fprintf(stderr, "client: the server ended the connection after %lld ms\n", now() - last_sign);
        return 1;
    }
    return 0;
}
