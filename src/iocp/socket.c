/* Sockets: making, adopting, accepting, options, and the transfers that handles make by themselves. */
#include "internal.h"
#include "platform.h"
#include "os_transfer.h"
#include "sys.h"

/* A connection that died in the queue costs one more accept; give up before a system with nothing else holds us. */
#define ACCEPT_TRIES 64
/* In one call: its lengths are smaller than those of the caller. So many buffers are a datagram at the most. */
#define TRANSFER_LIMIT 0x7fffffffu
#define TRANSFER_BUFS 1024
/* A longer queue than this has to be asked for by a negative number: SOMAXCONN_HINT() in winsock2.h. */
#define BACKLOG_LIMIT 200
#define BACKLOG_HINT_LIMIT 65535

static SOCKET socket_of(loop_os_fd_t fd)
{
    return (SOCKET)fd;
}

static HANDLE handle_of(loop_os_fd_t fd)
{
    return (HANDLE)fd;
}

/* ---------------------------------------------------------------------------------------------------------- Winsock -- */

static INIT_ONCE started = INIT_ONCE_STATIC_INIT;

/* FALSE: the next one tries again. */
static BOOL CALLBACK start(INIT_ONCE *once, void *error, void **context)
{
    WSADATA data;
    int number = loop__sys.WSAStartup(MAKEWORD(2, 2), &data);

    (void)once;
    (void)context;
    *(int *)error = number != 0 ? loop__system_error(number) : 0;
    return number == 0;
}

/*
 * Never taken back. Loops, pools and sockets that outlive their loop would all have to be counted, and the last
 * WSACleanup() breaks the sockets of whoever was forgotten. The system does it when the process ends.
 */
int loop__winsock_start(void)
{
    int error = 0;

    if (InitOnceExecuteOnce(&started, start, &error, NULL))
        return 0;
    return error != 0 ? error : loop__last_error();
}

/* ------------------------------------------------------------------------------------------------------ descriptors -- */

static int get_option(loop_os_fd_t fd, int level, int name, int *value)
{
    int len = sizeof(*value);

    *value = 0; /* some are written as one byte */
    return loop__sys.getsockopt(socket_of(fd), level, name, value, &len) == 0 ? 0 : loop__winsock_error();
}

static int set_option(loop_os_fd_t fd, int level, int name, int value)
{
    return loop__sys.setsockopt(socket_of(fd), level, name, &value, sizeof(value)) == 0 ? 0 : loop__winsock_error();
}

/* What Winsock calls no socket may be another handle, or none. */
static int check_handle(loop_os_fd_t fd)
{
    DWORD flags;

    if (fd == LOOP_INVALID_FD)
        return LOOP_EBADF; /* as a handle it stands for this process */
    return loop__sys.GetHandleInformation(handle_of(fd), &flags) ? 0 : loop__last_error();
}

/* The type of a socket. LOOP_ENOTSOCK: it is another handle; LOOP_EBADF: it is none. */
static int get_type(loop_os_fd_t fd, int *type)
{
    int error = get_option(fd, SOL_SOCKET, SO_TYPE, type);

    if (error == LOOP_ENOTSOCK) {
        int why = check_handle(fd);

        return why != 0 ? why : error;
    }
    return error;
}

static int set_nonblocking(loop_os_fd_t fd)
{
    u_long on = 1;

    return loop__sys.ioctlsocket(socket_of(fd), (long)FIONBIO, &on) == 0 ? 0 : loop__winsock_error();
}

static int keep_from_children(loop_os_fd_t fd)
{
    return loop__sys.SetHandleInformation(handle_of(fd), HANDLE_FLAG_INHERIT, 0) ? 0 : loop__last_error();
}

/* What is no socket has no such mode: whether it blocks was decided when it was opened, and attaching finds out. */
int loop__fd_make_async(loop_os_fd_t fd, bool inherit)
{
    DWORD before = 0;
    bool inherited;
    int type;
    int error = get_type(fd, &type);
    bool is_socket = error == 0;

    if (error != 0 && error != LOOP_ENOTSOCK)
        return error;
    if (!inherit && !loop__sys.GetHandleInformation(handle_of(fd), &before))
        return loop__last_error();
    inherited = (before & HANDLE_FLAG_INHERIT) != 0;
    error = inherited ? keep_from_children(fd) : 0;
    if (error != 0 || !is_socket)
        return error;
    /* Last, because nothing tells whether a socket was non-blocking before. */
    error = set_nonblocking(fd);
    if (error != 0 && inherited)
        (void)loop__sys.SetHandleInformation(handle_of(fd), HANDLE_FLAG_INHERIT, HANDLE_FLAG_INHERIT);
    return error;
}

/* 0, LOOP_ENOTSOCK, or why not. */
static int close_socket(loop_os_fd_t fd)
{
    struct linger none = {0};
    int error;

    if (loop__sys.closesocket(socket_of(fd)) == 0)
        return 0;
    error = loop__winsock_error();
    if (error != LOOP_EAGAIN)
        return error;
    /* Somebody wants it to linger, which a non-blocking one cannot: it stays open. Data goes out without that, too. */
    (void)loop__sys.setsockopt(socket_of(fd), SOL_SOCKET, SO_LINGER, &none, sizeof(none));
    return loop__sys.closesocket(socket_of(fd)) == 0 ? 0 : loop__winsock_error();
}

void loop__socket_close(loop_os_fd_t fd)
{
    (void)close_socket(fd);
}

void loop__fd_close(loop_os_fd_t fd)
{
    if (close_socket(fd) == LOOP_ENOTSOCK)
        (void)loop__sys.CloseHandle(handle_of(fd));
}

/* ------------------------------------------------------------------------------------------------ what a socket is -- */

/* Family and protocol, which are known of sockets without an address, too. */
static int get_info(loop_os_fd_t fd, WSAPROTOCOL_INFOW *info)
{
    int len = sizeof(*info);

    return loop__sys.getsockopt(socket_of(fd), SOL_SOCKET, SO_PROTOCOL_INFOW, info, &len) == 0 ? 0
                                                                                               : loop__winsock_error();
}

static bool is_tcp(const WSAPROTOCOL_INFOW *info)
{
    return (info->iAddressFamily == AF_INET || info->iAddressFamily == AF_INET6) && info->iProtocol == IPPROTO_TCP;
}

int loop__fd_probe(loop_os_fd_t fd, uint32_t *flags)
{
    WSAPROTOCOL_INFOW info;
    int type = 0;
    int listening = 0;
    int error = get_type(fd, &type);

    if (error == LOOP_ENOTSOCK)
        return 0;
    if (error != 0)
        return error;
    *flags |= DESC_SOCKET;
    if (type != SOCK_STREAM)
        return 0;
    error = get_option(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening);
    if (error != 0 && error != LOOP_ENOPROTOOPT)
        return error;
    if (!listening && get_info(fd, &info) == 0 && is_tcp(&info))
        *flags |= DESC_TCP;
    return 0;
}

/* The socket's own address; before it has one, the one that says so on POSIX systems. */
static int get_own_name(loop_os_fd_t fd, struct sockaddr_storage *name, int *len)
{
    struct sockaddr_storage none = {0};
    WSAPROTOCOL_INFOW info;
    int error;

    *len = sizeof(*name);
    if (loop__sys.getsockname(socket_of(fd), (struct sockaddr *)name, len) == 0)
        return 0;
    error = loop__winsock_error();
    if (error != LOOP_EINVAL || get_info(fd, &info) != 0)
        return error;
    ((struct sockaddr *)&none)->sa_family = (u_short)info.iAddressFamily; /* ss_family has a sign in some headers */
    *name = none;
    *len = (int)loop__address_length((struct sockaddr *)name);
    return 0;
}

int loop__socket_probe(loop_os_fd_t fd, unsigned *state)
{
    WSAPROTOCOL_INFOW info;
    struct sockaddr_storage name;
    int len;
    int value = 0;
    int error = get_type(fd, &value);

    if (error != 0)
        return error;
    if (value != SOCK_STREAM)
        return LOOP_EINVAL;
    error = get_own_name(fd, &name, &len);
    if (error != 0)
        return error;
    if (!loop__address_is_ip((struct sockaddr *)&name))
        return LOOP_EINVAL;
    *state = loop_ip_port((struct sockaddr *)&name) > 0 ? SOCKET_BOUND : 0;
    if (get_info(fd, &info) == 0 && is_tcp(&info))
        *state |= SOCKET_PLAIN_TCP;
    error = get_option(fd, SOL_SOCKET, SO_ACCEPTCONN, &value);
    if (error != 0)
        return error;
    if (value != 0) {
        *state |= SOCKET_LISTENING;
        return 0;
    }
    len = sizeof(name);
    if (loop__sys.getpeername(socket_of(fd), (struct sockaddr *)&name, &len) == 0)
        *state |= SOCKET_CONNECTED;
    else if (loop__sys.WSAGetLastError() != WSAENOTCONN)
        return loop__winsock_error();
    return 0;
}

int loop__socket_name(loop_os_fd_t fd, bool peer, struct sockaddr *name, size_t *len)
{
    struct sockaddr_storage full;
    int length = sizeof(full);
    int error = 0;

    if (!peer)
        error = get_own_name(fd, &full, &length);
    else if (loop__sys.getpeername(socket_of(fd), (struct sockaddr *)&full, &length) != 0)
        error = loop__winsock_error();
    if (error != 0)
        return error;
    if ((size_t)length > *len)
        return LOOP_ENOBUFS;
    for (int i = 0; i < length; i++)
        ((char *)name)[i] = ((char *)&full)[i];
    *len = (size_t)length;
    return 0;
}

/* ------------------------------------------------------------------------------------------------ making, listening -- */

/* A new socket gets what the call that made it did not give. */
static int finish_new(SOCKET s, bool inherited, loop_os_fd_t *result)
{
    loop_os_fd_t fd = (loop_os_fd_t)s;
    int error = inherited ? keep_from_children(fd) : 0;

    if (error == 0)
        error = set_nonblocking(fd);
    if (error != 0)
        loop__socket_close(fd);
    else
        *result = fd;
    return error;
}

int loop__socket_open(int family, loop_os_fd_t *result)
{
    bool inherited = false;
    int error = loop__winsock_start();
    SOCKET s;

    if (error != 0)
        return error;
    s = loop__sys.WSASocketW(family, SOCK_STREAM, 0, NULL, 0, WSA_FLAG_OVERLAPPED | WSA_FLAG_NO_HANDLE_INHERIT);
    if (s == INVALID_SOCKET && loop__sys.WSAGetLastError() == WSAEINVAL) {
        inherited = true; /* the second flag is unknown before Windows 7 SP1 */
        s = loop__sys.WSASocketW(family, SOCK_STREAM, 0, NULL, 0, WSA_FLAG_OVERLAPPED);
    }
    return s != INVALID_SOCKET ? finish_new(s, inherited, result) : loop__winsock_error();
}

int loop__socket_without_sigpipe(loop_os_fd_t fd)
{
    (void)fd;
    return 0;
}

/*
 * To bind while old connections of the port linger is what SO_REUSEADDR is for on POSIX systems, and what Windows does
 * by itself; its SO_REUSEADDR lets a socket take the port of another. LOOP_TCP_NO_REUSEADDR is the strict way
 * everywhere: with SO_EXCLUSIVEADDRUSE the port has to be free of old connections, and nobody can take it.
 */
int loop__socket_bind(loop_os_fd_t fd, const struct sockaddr *addr, unsigned flags)
{
    WSAPROTOCOL_INFOW info;
    int error = 0;

    if (flags & LOOP_TCP_REUSEPORT)
        return LOOP_ENOTSUP;
    /* Winsock calls the wrong family a bad pointer. */
    if (get_info(fd, &info) == 0 && info.iAddressFamily != addr->sa_family)
        return LOOP_EAFNOSUPPORT;
    if (flags & LOOP_TCP_NO_REUSEADDR)
        error = set_option(fd, SOL_SOCKET, SO_EXCLUSIVEADDRUSE, 1);
    if (error == 0 && addr->sa_family == AF_INET6)
        error = set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, (flags & LOOP_TCP_IPV6ONLY) != 0);
    if (error != 0)
        return error;
    return loop__sys.bind(socket_of(fd), addr, (int)loop__address_length(addr)) == 0 ? 0 : loop__winsock_error();
}

int loop__socket_listen(loop_os_fd_t fd, int backlog)
{
    if (backlog > BACKLOG_LIMIT)
        backlog = -(backlog < BACKLOG_HINT_LIMIT ? backlog : BACKLOG_HINT_LIMIT);
    return loop__sys.listen(socket_of(fd), backlog) == 0 ? 0 : loop__winsock_error();
}

/* Errors that belong to one connection, which is gone: accept() in the documentation of Winsock. */
static bool lost_connection(int number)
{
    return number == WSAECONNRESET || number == WSAECONNABORTED;
}

int loop__socket_accept(loop_os_fd_t listener, loop_os_fd_t *result)
{
    for (int i = 0;; i++) {
        SOCKET s = loop__sys.accept(socket_of(listener), NULL, NULL);

        if (s != INVALID_SOCKET)
            return finish_new(s, true, result);
        if (!lost_connection(loop__sys.WSAGetLastError()) || i >= ACCEPT_TRIES)
            return loop__winsock_error();
    }
}

/* -------------------------------------------------------------------------------------------------------- transfers -- */

/* Without an OVERLAPPED these are non-blocking calls as on POSIX systems, and leave no packet in a completion port. */

static int stream_error(void)
{
    return loop__stream_error(loop__winsock_error());
}

ptrdiff_t loop__socket_recv(loop_os_fd_t fd, void *base, size_t len)
{
    WSABUF buf;
    DWORD flags = 0;
    DWORD n = 0;

    buf.len = len < TRANSFER_LIMIT ? (ULONG)len : TRANSFER_LIMIT;
    buf.buf = base;
    return loop__sys.WSARecv(socket_of(fd), &buf, 1, &n, &flags, NULL, NULL) == 0 ? (ptrdiff_t)n : stream_error();
}

ptrdiff_t loop__socket_send_many(loop_os_fd_t fd, const loop_buf_t *bufs, unsigned nbufs)
{
    WSABUF some[TRANSFER_BUFS];
    size_t room = TRANSFER_LIMIT;
    DWORD count = 0;
    DWORD n = 0;

    for (; count < nbufs && count < TRANSFER_BUFS && room > 0; count++) {
        size_t len = bufs[count].len < room ? bufs[count].len : room;

        some[count].len = (ULONG)len;
        some[count].buf = bufs[count].base;
        room -= len;
    }
    return loop__sys.WSASend(socket_of(fd), some, count, &n, 0, NULL, NULL) == 0 ? (ptrdiff_t)n : stream_error();
}

ptrdiff_t loop__socket_send(loop_os_fd_t fd, const void *base, size_t len)
{
    WSABUF one;
    DWORD n = 0;

    one.len = len < TRANSFER_LIMIT ? (ULONG)len : TRANSFER_LIMIT;
    one.buf = (char *)(uintptr_t)base;
    return loop__sys.WSASend(socket_of(fd), &one, 1, &n, 0, NULL, NULL) == 0 ? (ptrdiff_t)n : stream_error();
}

ptrdiff_t loop__socket_try_send(loop_os_fd_t fd, const loop_buf_t *buf)
{
    return loop__socket_send(fd, buf->base, buf->len);
}

int loop__socket_shutdown(loop_os_fd_t fd)
{
    return loop__sys.shutdown(socket_of(fd), SD_SEND) == 0 ? 0 : stream_error();
}

/* ---------------------------------------------------------------------------------------------------------- options -- */

int loop__socket_linger_reset(loop_os_fd_t fd)
{
    struct linger linger = {0};

    linger.l_onoff = 1;
    return loop__sys.setsockopt(socket_of(fd), SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)) == 0
               ? 0
               : loop__winsock_error();
}

int loop__socket_nodelay(loop_os_fd_t fd, bool enable)
{
    return set_option(fd, IPPROTO_TCP, TCP_NODELAY, enable);
}

/* Before the options, which came with Windows 10 1709, there was a call, which does not know the count. */
static int set_keepalive_times(loop_os_fd_t fd, unsigned idle, unsigned interval)
{
    struct tcp_keepalive times;
    DWORD n;

    times.onoff = 1;
    times.keepalivetime = idle * 1000;
    times.keepaliveinterval = interval * 1000;
    return loop__sys.WSAIoctl(socket_of(fd), SIO_KEEPALIVE_VALS, &times, sizeof(times), NULL, 0, &n, NULL, NULL) == 0
               ? 0
               : loop__winsock_error();
}

int loop__socket_keepalive(loop_os_fd_t fd, bool enable, unsigned idle, unsigned interval, unsigned count)
{
    int error = 0;

    if (enable) {
        error = set_option(fd, IPPROTO_TCP, TCP_KEEPIDLE, (int)idle);
        if (error == 0)
            error = set_option(fd, IPPROTO_TCP, TCP_KEEPINTVL, (int)interval);
        if (error == 0)
            error = set_option(fd, IPPROTO_TCP, TCP_KEEPCNT, (int)count);
        if (error == LOOP_ENOPROTOOPT || error == LOOP_EINVAL)
            error = set_keepalive_times(fd, idle, interval);
    }
    return error != 0 ? error : set_option(fd, SOL_SOCKET, SO_KEEPALIVE, enable);
}
