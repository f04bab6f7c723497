/* Sockets: making, adopting, accepting, options, and the transfers that handles make by themselves. */
#include "internal.h"
#include "platform.h"
#include "sys.h"

#include "io.h"
#include "os_transfer.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

/* A connection that died in the queue costs one more accept; give up before a kernel that reports nothing else holds us. */
#define ACCEPT_TRIES 64

static int set_option(int fd, int level, int name, int value)
{
    return loop__sys.setsockopt(fd, level, name, &value, sizeof(value)) == 0 ? 0 : loop__errno();
}

int loop__socket_without_sigpipe(loop_os_fd_t fd)
{
#ifdef SOCKETS_NEED_NOSIGPIPE
    int error = set_option(fd, SOL_SOCKET, SO_NOSIGPIPE, 1);

    return error == LOOP_EINVAL ? LOOP_EPIPE : error; /* setsockopt(2) of macOS */
#else
    (void)fd;
    return 0;
#endif
}

/* A new socket gets what the call that made it could not give. */
static int finish_new(int fd, loop_os_fd_t *result)
{
    int error = 0;

#ifndef SOCK_NONBLOCK
    error = loop__fd_make_async(fd, false);
#endif
    if (error == 0)
        error = loop__socket_without_sigpipe(fd);
    if (error != 0)
        loop__fd_close(fd);
    else
        *result = fd;
    return error;
}

int loop__socket_open(int family, loop_os_fd_t *result)
{
    int fd = loop__sys.socket_new(family);

    return fd >= 0 ? finish_new(fd, result) : loop__errno();
}

void loop__fd_close(loop_os_fd_t fd)
{
    /* Not retried on EINTR: the descriptor is gone then, close(2). */
    (void)loop__sys.close(fd);
}

void loop__socket_close(loop_os_fd_t fd)
{
    loop__fd_close(fd);
}

/* *before: the flags as they were. */
static int add_flag(int fd, int get, int set, int flag, int *before)
{
    *before = loop__sys.fcntl(fd, get, 0);
    if (*before < 0)
        return loop__errno();
    if ((*before & flag) == 0 && loop__sys.fcntl(fd, set, *before | flag) < 0)
        return loop__errno();
    return 0;
}

int loop__fd_make_async(loop_os_fd_t fd, bool inherit)
{
    int file_flags;
    int fd_flags;
    int error = add_flag(fd, F_GETFL, F_SETFL, O_NONBLOCK, &file_flags);

    if (error != 0 || inherit)
        return error;
    error = add_flag(fd, F_GETFD, F_SETFD, FD_CLOEXEC, &fd_flags);
    if (error != 0 && (file_flags & O_NONBLOCK) == 0)
        (void)loop__sys.fcntl(fd, F_SETFL, file_flags);
    return error;
}

static int socket_option(int fd, int level, int name, int *value)
{
    socklen_t len = sizeof(*value);

    return loop__sys.getsockopt(fd, level, name, value, &len) == 0 ? 0 : loop__errno();
}

/* TCP itself: neither MPTCP, nor SCTP, nor TCP with the kernel's TLS in it. A short read means that all was read on TCP alone,
 * so what cannot be found out counts as something else. */
static bool is_plain_tcp(int fd)
{
#ifdef SO_PROTOCOL
    int protocol = 0;

    if (socket_option(fd, SOL_SOCKET, SO_PROTOCOL, &protocol) != 0 || protocol != IPPROTO_TCP)
        return false;
#else
    struct sockaddr_storage name;
    socklen_t name_len = sizeof(name);

    if (loop__sys.getsockname(fd, (struct sockaddr *)&name, &name_len) != 0 ||
        !loop__address_is_ip((struct sockaddr *)&name))
        return false;
#endif
#ifdef TCP_ULP
    char ulp[16] = "";
    socklen_t ulp_len = sizeof(ulp);

    if (loop__sys.getsockopt(fd, IPPROTO_TCP, TCP_ULP, ulp, &ulp_len) == 0 && ulp_len > 0 && ulp[0] != '\0')
        return false;
#endif
    return true;
}

int loop__fd_probe(loop_os_fd_t fd, uint32_t *flags)
{
    int type = 0;
    int listening = 0;
    int error = socket_option(fd, SOL_SOCKET, SO_TYPE, &type);

    if (error == 0) {
        *flags |= DESC_SOCKET;
        error = socket_option(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening);
        if (error != 0 && error != LOOP_ENOPROTOOPT)
            return error;
    } else if (error != LOOP_ENOTSOCK) {
        return error;
    } else if (loop__io_write_only(fd)) {
        *flags |= DESC_READABLE; /* no event would tell that it never is; the call does */
    }
    if (type == SOCK_STREAM && !listening && is_plain_tcp(fd))
        *flags |= DESC_TCP;
    return 0;
}

int loop__socket_probe(loop_os_fd_t fd, unsigned *state)
{
    struct sockaddr_storage name;
    socklen_t len = sizeof(name);
    int value = 0;
    bool shut;
    int error = socket_option(fd, SOL_SOCKET, SO_TYPE, &value);

    if (error != 0)
        return error;
    if (value != SOCK_STREAM)
        return LOOP_EINVAL;
    error = loop__socket_without_sigpipe(fd);
    if (error != 0 && error != LOOP_EPIPE)
        return error;
    shut = error == LOOP_EPIPE;
    if (loop__sys.getsockname(fd, (struct sockaddr *)&name, &len) != 0)
        return loop__errno();
    if (!loop__address_is_ip((struct sockaddr *)&name))
        return LOOP_EINVAL;
    *state = loop_ip_port((struct sockaddr *)&name) > 0 ? SOCKET_BOUND : 0;
    if (shut)
        *state |= SOCKET_SHUT;
    if (is_plain_tcp(fd))
        *state |= SOCKET_PLAIN_TCP;
    error = socket_option(fd, SOL_SOCKET, SO_ACCEPTCONN, &value);
    if (error != 0)
        return error;
    if (value != 0) {
        *state |= SOCKET_LISTENING;
        return 0;
    }
    len = sizeof(name);
    if (loop__sys.getpeername(fd, (struct sockaddr *)&name, &len) == 0)
        *state |= SOCKET_CONNECTED;
    else if (errno != ENOTCONN)
        return loop__errno();
    return 0;
}

static int spread_port(int fd)
{
#ifdef SPREAD_PORT
    int error = set_option(fd, SOL_SOCKET, SPREAD_PORT, 1);

    return error == LOOP_ENOPROTOOPT ? LOOP_ENOTSUP : error;
#else
    (void)fd;
    return LOOP_ENOTSUP;
#endif
}

int loop__socket_bind(loop_os_fd_t fd, const struct sockaddr *addr, unsigned flags)
{
    int error = 0;

    if (!(flags & LOOP_TCP_NO_REUSEADDR))
        error = set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    if (error == 0 && (flags & LOOP_TCP_REUSEPORT))
        error = spread_port(fd);
    if (error == 0 && addr->sa_family == AF_INET6 && !IPV6_IS_APART)
        error = set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, (flags & LOOP_TCP_IPV6ONLY) != 0);
    if (error != 0)
        return error;
    return loop__sys.bind(fd, addr, (socklen_t)loop__address_length(addr)) == 0 ? 0 : loop__errno();
}

int loop__socket_listen(loop_os_fd_t fd, int backlog)
{
    return loop__sys.listen(fd, backlog) == 0 ? 0 : loop__errno();
}

/* Errors that belong to one connection, which is gone: accept(2) has the list for Linux. */
static bool lost_connection(int number)
{
    switch (number) {
    case ECONNABORTED:
    case EPERM:
    case EPROTO:
    case ENETDOWN:
    case ENOPROTOOPT:
    case EHOSTDOWN:
    case EHOSTUNREACH:
    case ENETUNREACH:
        return true;
    default:
        return false;
    }
}

int loop__socket_accept(loop_os_fd_t listener, loop_os_fd_t *result)
{
    for (int i = 0;; i++) {
        int fd = loop__sys.accept_new(listener);
        int error;

        if (fd >= 0) {
            error = finish_new(fd, result);
            if (error != LOOP_EPIPE || i >= ACCEPT_TRIES)
                return error;
            continue; /* reset before it was accepted */
        }
        if (errno != EINTR && !(lost_connection(errno) && i < ACCEPT_TRIES))
            return loop__errno();
    }
}

LOOP_APART static ptrdiff_t try_send_again(loop_os_fd_t fd, const loop_buf_t *buf)
{
    ptrdiff_t n;

    do {
        n = loop__socket_error(loop__socket_send(fd, buf->base, buf->len));
    } while (n == LOOP_EINTR);
    return n;
}

ptrdiff_t loop__socket_try_send(loop_os_fd_t fd, const loop_buf_t *buf)
{
    /* Volatile, for the rare second try: kept in registers over the call they would cost more. */
    volatile loop_os_fd_t same_fd = fd;
    const loop_buf_t *volatile same_buf = buf;
    ptrdiff_t n = loop__socket_send(fd, buf->base, buf->len);

    if (n >= 0)
        return n;
    return errno == EINTR ? try_send_again(same_fd, same_buf) : loop__errno();
}

ptrdiff_t loop__socket_send_many(loop_os_fd_t fd, const loop_buf_t *bufs, unsigned nbufs)
{
    struct msghdr msg = {0};
    ssize_t n;

    msg.msg_iov = loop__iovec(bufs);
    msg.msg_iovlen = loop__iovec_count(nbufs);
    do {
        n = loop__sys.sendmsg(fd, &msg, SEND_FLAGS);
    } while (n < 0 && errno == EINTR);
    return n >= 0 ? n : loop__errno();
}

int loop__socket_shutdown(loop_os_fd_t fd)
{
    return loop__sys.shutdown(fd, SHUT_WR) == 0 ? 0 : loop__errno();
}

int loop__socket_linger_reset(loop_os_fd_t fd)
{
    struct linger linger = {.l_onoff = 1, .l_linger = 0};

    return loop__sys.setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)) == 0 ? 0 : loop__errno();
}

int loop__socket_nodelay(loop_os_fd_t fd, bool enable)
{
    return set_option(fd, IPPROTO_TCP, TCP_NODELAY, enable);
}

int loop__socket_keepalive(loop_os_fd_t fd, bool enable, unsigned idle, unsigned interval, unsigned count)
{
    int error = 0;

#ifdef KEEPALIVE_IDLE
    if (enable) {
        error = set_option(fd, IPPROTO_TCP, KEEPALIVE_IDLE, (int)idle);
        if (error == 0)
            error = set_option(fd, IPPROTO_TCP, TCP_KEEPINTVL, (int)interval);
        if (error == 0)
            error = set_option(fd, IPPROTO_TCP, TCP_KEEPCNT, (int)count);
    }
#else
    (void)idle; /* the system's own times hold */
    (void)interval;
    (void)count;
#endif
    return error != 0 ? error : set_option(fd, SOL_SOCKET, SO_KEEPALIVE, enable);
}

int loop__socket_name(loop_os_fd_t fd, bool peer, struct sockaddr *name, size_t *len)
{
    struct sockaddr_storage full;
    socklen_t length = sizeof(full);
    int rc = peer ? loop__sys.getpeername(fd, (struct sockaddr *)&full, &length)
                  : loop__sys.getsockname(fd, (struct sockaddr *)&full, &length);

    if (rc != 0)
        return loop__errno();
    if (length > *len)
        return LOOP_ENOBUFS;
    for (size_t i = 0; i < length; i++)
        ((char *)name)[i] = ((char *)&full)[i];
    *len = length;
    return 0;
}

unsigned loop__interface_index(const char *name)
{
    return loop__sys.if_nametoindex(name);
}
