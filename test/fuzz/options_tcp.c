/* TCP handles. */
#include "stage.h"

#include "support.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <unistd.h>

static void on_connection(loop_tcp_t *tcp, int status)
{
    (void)tcp;
    (void)status;
}

static void on_read(loop_tcp_t *tcp, ptrdiff_t nread, const loop_buf_t *buf)
{
    (void)tcp;
    (void)nread;
    (void)buf;
}

static void on_drain(loop_tcp_t *tcp)
{
    (void)tcp;
}

void try_open(void)
{
    enum kind kind = (enum kind)(take() % KINDS);
    bool busy = loop_tcp_fd(&handles[TCP].tcp) != LOOP_INVALID_FD;
    union handle before = handles[TCP]; /* who has asked for the number was noted in it */
    int fd = make_fd(kind);
    int status = fcntl(fd, F_GETFL);
    int rc = loop_tcp_open(&handles[TCP].tcp, fd);
    int expected = 0;

    if (busy)
        expected = LOOP_EBUSY;
    else if (kind == NONE || kind == CLOSED)
        expected = LOOP_EBADF;
    else if (kind == UNIX || kind == UDP_SOCKET)
        expected = LOOP_EINVAL;
    else if (kind != TCP_SOCKET)
        expected = LOOP_ENOTSOCK;
    require_result(TCP, &before, rc, expected);
    if (status >= 0)
        require_flags(fd, status, rc, false, false);
    if (rc != 0 && status >= 0)
        REQUIRE(close(fd) == 0);
}

void try_bind(void)
{
    const unsigned known = LOOP_TCP_IPV6ONLY | LOOP_TCP_REUSEPORT | LOOP_TCP_NO_REUSEADDR;
    struct sockaddr_storage addr = take_address();
    unsigned flags = take_bool() ? take() % 8 : (unsigned)take_number();
    const struct sockaddr *where = take() % 16 != 0 ? (const struct sockaddr *)&addr : NULL;
    bool is_ip = addr.ss_family == AF_INET || addr.ss_family == AF_INET6;
    bool fresh = usable(TCP) && loop_tcp_fd(&handles[TCP].tcp) == LOOP_INVALID_FD;
    union handle before = handles[TCP];
    int rc = loop_tcp_bind(&handles[TCP].tcp, where, flags);

    if (!usable(TCP) || where == NULL || (flags & ~known)) {
        require_result(TCP, &before, rc, LOOP_EINVAL);
    } else if (fresh && !is_ip) {
        require_result(TCP, &before, rc, LOOP_EAFNOSUPPORT);
    } else if (rc < 0) {
        require_result(TCP, &before, rc, rc);
    } else {
        int v6only = 0;
        socklen_t len = sizeof(v6only);

        REQUIRE(is_ip);
        /* Linux sets it by itself when it binds to anything else. */
        if (addr.ss_family == AF_INET6 && IN6_IS_ADDR_UNSPECIFIED(&((struct sockaddr_in6 *)&addr)->sin6_addr)) {
            REQUIRE(getsockopt(loop_tcp_fd(&handles[TCP].tcp), IPPROTO_IPV6, IPV6_V6ONLY, &v6only, &len) == 0);
            REQUIRE((v6only != 0) == ((flags & LOOP_TCP_IPV6ONLY) != 0));
        }
        before = handles[TCP];
        require_result(TCP, &before, loop_tcp_bind(&handles[TCP].tcp, where, flags), LOOP_EINVAL); /* bound already */
    }
}

void try_listen(void)
{
    int backlog = (int)take_number();
    loop_connection_cb cb = take() % 16 != 0 ? on_connection : NULL;
    union handle before = handles[TCP];
    int rc = loop_tcp_listen(&handles[TCP].tcp, backlog, cb);

    if (!usable(TCP))
        REQUIRE(rc == LOOP_EBADF);
    else if (cb == NULL)
        REQUIRE(rc == LOOP_EINVAL);
    if (rc != 0)
        REQUIRE(same_bytes(&before, &handles[TCP], sizeof(before)) || rc == LOOP_ENOMEM);
    else
        REQUIRE(loop_handle_is_active(&handles[TCP].handle) == 1);
}

static int option(int level, int name)
{
    int value = -1;
    socklen_t len = sizeof(value);

    REQUIRE(getsockopt(loop_tcp_fd(&handles[TCP].tcp), level, name, &value, &len) == 0);
    return value;
}

void try_keepalive(void)
{
    int enable = (int)take_number();
    unsigned idle = (unsigned)take_number();
    unsigned interval = (unsigned)take_number();
    unsigned count = (unsigned)take_number();
    bool in_range = idle >= 1 && idle <= 32767 && interval >= 1 && interval <= 32767 && count >= 1 && count <= 127;
    bool has_socket = loop_tcp_fd(&handles[TCP].tcp) != LOOP_INVALID_FD;
    union handle before = handles[TCP];
    int rc = loop_tcp_keepalive(&handles[TCP].tcp, enable, idle, interval, count);

    require_result(TCP, &before, rc, !has_socket ? LOOP_EBADF : enable && !in_range ? LOOP_EINVAL : 0);
    if (rc != 0)
        return;
    REQUIRE((option(SOL_SOCKET, SO_KEEPALIVE) != 0) == (enable != 0));
    if (enable)
        REQUIRE(support_keepalive_is(loop_tcp_fd(&handles[TCP].tcp), (int)idle, (int)interval, (int)count));
}

void try_nodelay(void)
{
    int enable = (int)take_number();
    bool has_socket = loop_tcp_fd(&handles[TCP].tcp) != LOOP_INVALID_FD;
    union handle before = handles[TCP];
    int rc = loop_tcp_nodelay(&handles[TCP].tcp, enable);

    require_result(TCP, &before, rc, has_socket ? 0 : LOOP_EBADF);
    if (rc == 0)
        REQUIRE((option(IPPROTO_TCP, TCP_NODELAY) != 0) == (enable != 0));
}

void try_watermarks(void)
{
    size_t low = (size_t)take_number();
    size_t high = (size_t)take_number();
    union handle before = handles[OTHER_TCP];
    int rc = loop_tcp_set_watermarks(&handles[OTHER_TCP].tcp, low, high, take_bool() ? on_drain : NULL);

    require_result(OTHER_TCP, &before, rc, low > high ? LOOP_EINVAL : 0);
}

void try_name(void)
{
    struct sockaddr_storage name;
    struct sockaddr_storage untouched;
    size_t len = take() % (sizeof(name) + 1);
    size_t given = len;
    int rc;

    memset(&name, 0x5a, sizeof(name));
    untouched = name;
    rc = loop_tcp_getsockname(&handles[TCP].tcp, (struct sockaddr *)&name, take() % 16 != 0 ? &len : NULL);
    if (rc == 0) {
        REQUIRE(len <= given && (len == sizeof(struct sockaddr_in) || len == sizeof(struct sockaddr_in6)));
        return;
    }
    REQUIRE(rc == LOOP_EBADF || rc == LOOP_EINVAL || (rc == LOOP_ENOBUFS && given < sizeof(struct sockaddr_in6)));
    REQUIRE(len == given && same_bytes(&name, &untouched, sizeof(name)));
}

/* Connecting is tried with addresses that cannot be connected to. */
void try_connect(void)
{
    struct sockaddr_storage addr = take_address();
    const struct sockaddr *where = take() % 16 != 0 ? (const struct sockaddr *)&addr : NULL;
    bool is_ip = addr.ss_family == AF_INET || addr.ss_family == AF_INET6;
    union handle before = handles[OTHER_TCP];
    bool busy = in_flight;
    int rc;

    if (!busy)
        in_flight = true;
    rc = loop_tcp_connect(&handles[OTHER_TCP].tcp, &op, where, on_op);
    if (!busy && rc != 0)
        in_flight = false;
    if (rc == 0) {
        REQUIRE(usable(OTHER_TCP) && !busy && where != NULL && is_ip);
        return;
    }
    if (usable(OTHER_TCP) && where == NULL)
        REQUIRE(rc == LOOP_EINVAL);
    require_result(OTHER_TCP, &before, rc, rc);
}

/* What a handle without a connection refuses. */
void try_unconnected(void)
{
    loop_buf_t buf = {&buf, sizeof(buf)};
    loop_read_cb cb = take_bool() ? on_read : NULL;
    union handle before = handles[TCP];
    bool listens = usable(TCP) && loop_handle_is_active(&handles[TCP].handle);
    bool connected = loop_tcp_is_writable(&handles[TCP].tcp);
    loop_os_fd_t fd;
    loop_op_t idle;

    memset(&idle, 0, sizeof(idle));
    REQUIRE(!connected); /* there is nothing to connect to */
    require_result(TCP, &before, loop_tcp_read_start(&handles[TCP].tcp, NULL, cb),
                   cb == NULL ? LOOP_EINVAL : LOOP_ENOTCONN);
    require_result(TCP, &before, loop_tcp_read_stop(&handles[TCP].tcp), 0);
    require_result(TCP, &before, loop_tcp_write(&handles[TCP].tcp, &idle, &buf, 1, on_op), LOOP_ENOTCONN);
    require_result(TCP, &before, (int)loop_tcp_try_write(&handles[TCP].tcp, &buf, 1), LOOP_ENOTCONN);
    require_result(TCP, &before, loop_tcp_shutdown(&handles[TCP].tcp, &idle, on_op), LOOP_ENOTCONN);
    require_result(TCP, &before, loop_tcp_accept_fd(&handles[TCP].tcp, &fd), listens ? LOOP_EAGAIN : LOOP_EINVAL);
    REQUIRE(!loop_tcp_is_readable(&handles[TCP].tcp) && loop_tcp_write_queue_size(&handles[TCP].tcp) == 0);
}
