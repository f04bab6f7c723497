#include "os.h"

static int last_error(void)
{
    return loop_translate_sys_error(WSAGetLastError());
}

/* Winsock wants to be started before the first socket, and counts how often it is: once too many does no harm. */
static loop_os_fd_t new_socket(int family, int type)
{
    WSADATA data;
    int error = WSAStartup(MAKEWORD(2, 2), &data);

    WSASetLastError(error);
    return error == 0 ? WSASocketW(family, type, 0, NULL, 0, WSA_FLAG_OVERLAPPED) : LOOP_INVALID_FD;
}

/* Binds a new socket, and tells where. */
static int open_at(struct sockaddr_storage *addr, int type, loop_os_fd_t *fd)
{
    int length = addr->ss_family == AF_INET ? (int)sizeof(struct sockaddr_in) : (int)sizeof(struct sockaddr_in6);
    struct sockaddr *name = (struct sockaddr *)addr;
    int error;

    *fd = new_socket(addr->ss_family, type);
    if (*fd != LOOP_INVALID_FD && bind(*fd, name, length) == 0 && getsockname(*fd, name, &length) == 0)
        return 0;
    error = last_error();
    os_close(*fd);
    *fd = LOOP_INVALID_FD;
    return error;
}

static int listen_at(struct sockaddr_storage *addr, int backlog, loop_os_fd_t *fd)
{
    int error = open_at(addr, SOCK_STREAM, fd);

    if (error == 0 && listen(*fd, backlog) != 0)
        error = last_error();
    return error;
}

static int connect_to(loop_os_fd_t fd, const struct sockaddr_storage *addr)
{
    return connect(fd, (const struct sockaddr *)addr, sizeof(struct sockaddr_in)) == 0 ? 0 : last_error();
}

void os_close(loop_os_fd_t fd)
{
    if (fd != LOOP_INVALID_FD)
        (void)closesocket(fd);
}

/* SO_REUSEADDR is left alone: here it lets another program take the port. */
int os_listen(struct sockaddr_storage *addr, loop_os_fd_t *fd)
{
    int error = listen_at(addr, 1024, fd);

    if (error != 0)
        os_close(*fd);
    return error;
}

/* ------------------------------------------------------------------------------------------------------------ pairs -- */

static int stream_pair(loop_os_fd_t pair[2], struct sockaddr_storage addrs[2])
{
    loop_os_fd_t listener;
    int error = listen_at(&addrs[0], 1, &listener);

    if (error == 0)
        error = open_at(&addrs[1], SOCK_STREAM, &pair[0]);
    if (error == 0)
        error = connect_to(pair[0], &addrs[0]);
    if (error == 0 && (pair[1] = accept(listener, NULL, NULL)) == LOOP_INVALID_FD)
        error = last_error();
    os_close(listener);
    return error;
}

static int datagram_pair(loop_os_fd_t pair[2], struct sockaddr_storage addrs[2])
{
    int error = open_at(&addrs[0], SOCK_DGRAM, &pair[0]);

    if (error == 0)
        error = open_at(&addrs[1], SOCK_DGRAM, &pair[1]);
    if (error == 0)
        error = connect_to(pair[0], &addrs[1]);
    return error == 0 ? connect_to(pair[1], &addrs[0]) : error;
}

/* There is no socketpair(): they find each other on the loopback network. */
int os_pair(int type, loop_os_fd_t pair[2])
{
    struct sockaddr_storage addrs[2];
    int error = loop_ip_addr("127.0.0.1", 0, &addrs[0]);

    addrs[1] = addrs[0];
    pair[0] = LOOP_INVALID_FD;
    pair[1] = LOOP_INVALID_FD;
    if (error == 0)
        error = type == SOCK_STREAM ? stream_pair(pair, addrs) : datagram_pair(pair, addrs);
    if (error != 0) {
        os_close(pair[0]);
        os_close(pair[1]);
    }
    return error;
}
