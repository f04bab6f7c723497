/* TCP handles: how a stream gets its socket (bind, listen, accept, connect, open), and the options of TCP. */
#include "platform.h"
#include "transfer.h"

/* Connections taken in one go, before the other descriptors have their turn. */
#define ACCEPTS_PER_DISPATCH 32
/* No edge comes when a descriptor becomes free, so a listener that ran out of them tries again after this time. */
#define ACCEPT_PAUSE LOOP_MS(100)

static struct stream *tcp_of(const loop_tcp_t *tcp)
{
    return (struct stream *)(uintptr_t)tcp;
}

static bool has_socket(const struct stream *tcp)
{
    return tcp->desc.os.fd != LOOP_INVALID_FD;
}

/* Or had one that it lost in a child of a fork. */
static bool has_had_socket(const struct stream *tcp)
{
    return has_socket(tcp) || (tcp->desc.flags & DESC_ATTACHED);
}

int loop_tcp_init(loop_t *loop, loop_tcp_t *public_tcp)
{
    struct stream *tcp = tcp_of(public_tcp);
    int error = loop__desc_init(loop, (struct desc *)tcp, LOOP_TCP);

    if (error == 0)
        loop__stream_init(tcp);
    return error;
}

/* Of the descriptor of a stream with these flags. */
static unsigned socket_flags(uint32_t stream_flags)
{
    return DESC_SOCKET | DESC_OWNED | (stream_flags & STREAM_OTHER_TCP ? 0u : (unsigned)DESC_TCP);
}

/* The socket is the handle's, to be attached by listen or connect. */
static void keep_socket(struct stream *tcp, loop_os_fd_t fd)
{
    loop__desc_set_fd(&tcp->desc, fd, socket_flags(tcp->flags) | DESC_WRITABLE);
}

/* Gives the handle a fresh socket. */
static int make_socket(struct stream *tcp, const struct sockaddr *addr)
{
    uint32_t epoch = loop__fork_epoch();
    loop_os_fd_t fd;
    int error;

    if (!loop__address_is_ip(addr))
        return LOOP_EAFNOSUPPORT;
    error = loop__socket_open(loop__address_family(addr), &fd);
    if (error != 0)
        return error;
    keep_socket(tcp, fd);
    tcp->desc.handle.made = epoch;
    return 0;
}

static void drop_socket(struct stream *tcp)
{
    loop__socket_close(tcp->desc.os.fd);
    loop__desc_set_fd(&tcp->desc, LOOP_INVALID_FD, 0);
    tcp->desc.handle.made = 0;
}

int loop_tcp_open(loop_tcp_t *public_tcp, loop_os_fd_t fd)
{
    struct stream *tcp = tcp_of(public_tcp);
    unsigned state = 0;
    uint32_t other;
    bool connected;
    int error = loop__handle_check(tcp, LOOP_TCP);

    if (error != 0)
        return error;
    if (has_had_socket(tcp))
        return LOOP_EBUSY;
    error = loop__socket_probe(fd, &state);
    if (error != 0)
        return error;
    other = state & SOCKET_PLAIN_TCP ? 0 : STREAM_OTHER_TCP;
    connected = (state & SOCKET_CONNECTED) != 0;
    error = connected ? loop__desc_take(&tcp->desc, fd, socket_flags(other), false) : loop__fd_make_async(fd, false);
    if (error != 0)
        return error;
    tcp->flags |= other;
    if (connected) {
        loop__stream_set(tcp, STREAM_CONNECTED | (state & SOCKET_SHUT ? (unsigned)STREAM_SHUT : 0u), 0);
        return 0;
    }
    keep_socket(tcp, fd);
    if (state & (SOCKET_BOUND | SOCKET_LISTENING))
        tcp->flags |= STREAM_BOUND;
    return 0;
}

/* ------------------------------------------------------------------------------------------------------- listening -- */

int loop_tcp_bind(loop_tcp_t *public_tcp, const struct sockaddr *addr, unsigned flags)
{
    const unsigned known = LOOP_TCP_IPV6ONLY | LOOP_TCP_REUSEPORT | LOOP_TCP_NO_REUSEADDR;
    struct stream *tcp = tcp_of(public_tcp);
    int error = loop__handle_check(tcp, LOOP_TCP);
    bool fresh;

    if (error != 0)
        return error;
    if (addr == NULL || (flags & ~known) || (tcp->flags & (STREAM_BOUND | STREAM_CONNECTING | STREAM_CONNECTED)))
        return LOOP_EINVAL;
    fresh = !has_socket(tcp);
    if (fresh) {
        error = make_socket(tcp, addr);
        if (error != 0)
            return error;
    }
    error = loop__socket_bind(tcp->desc.os.fd, addr, flags);
    if (error == 0)
        tcp->flags |= STREAM_BOUND;
    else if (fresh)
        drop_socket(tcp);
    return error;
}

int loop_tcp_listen(loop_tcp_t *public_tcp, int backlog, loop_connection_cb cb)
{
    struct stream *tcp = tcp_of(public_tcp);
    int error = loop__handle_check(tcp, LOOP_TCP);

    if (error != 0)
        return error;
    if (cb == NULL || !(tcp->flags & STREAM_BOUND) ||
        (tcp->flags & (STREAM_CONNECTING | STREAM_CONNECTED | STREAM_FAILED)))
        return LOOP_EINVAL;
    error = loop__socket_listen(tcp->desc.os.fd, backlog);
    if (error != 0)
        return error;
    if (!(tcp->flags & STREAM_LISTENING)) {
        loop_os_fd_t fd = tcp->desc.os.fd;

        error = loop__desc_attach(&tcp->desc, fd, DESC_SOCKET | DESC_LISTENER | DESC_OWNED);
        if (error != 0) {
            keep_socket(tcp, fd); /* bound, for another try */
            return error;
        }
        loop__timer_unset(tcp->desc.handle.loop, &tcp->desc.read_deadline);
        loop__timer_unset(tcp->desc.handle.loop, &tcp->desc.write_deadline);
        tcp->desc.read_deadline.kind = TIMER_ACCEPT_PAUSE;
        tcp->desc.handle.loop->backend->arm(tcp->desc.handle.loop, &tcp->desc, READ_FIRST, 0);
    }
    tcp->flags |= STREAM_LISTENING;
    tcp->cb.connection = cb;
    loop__handle_start(&tcp->desc.handle);
    return 0;
}

bool loop__tcp_acceptable(struct stream *server)
{
    loop_t *loop = server->desc.handle.loop;
    bool called = false;

    if (server->flags & STREAM_PAUSED)
        return false;
    for (int i = 0; i < ACCEPTS_PER_DISPATCH; i++) {
        loop_os_fd_t fd = LOOP_INVALID_FD;
        int error;

        /* The last one was not taken: loop_tcp_accept() goes on. */
        if (server->os.accepted != LOOP_INVALID_FD)
            return called;
        server->desc.handle.made = loop__fork_epoch();
        error = loop->backend->accept(loop, &server->desc, &fd);
        if (error == LOOP_EAGAIN) {
            loop->backend->arm(loop, &server->desc, READ_EMPTY, 0);
            return called;
        }
        if (error != 0) {
            uint64_t resume = loop__now(loop) + ACCEPT_PAUSE;

            /* Without memory for the timer the listener tries again in the next turn. */
            if (loop__timer_set(loop, &server->desc.read_deadline, resume) == 0)
                server->flags |= STREAM_PAUSED;
            else
                loop->backend->arm(loop, &server->desc, READ_FULL, 0);
            server->cb.connection((loop_tcp_t *)server, error);
            return true;
        }
        called = true;
        server->os.accepted = fd;
        server->flags |= STREAM_ACCEPTING;
        server->cb.connection((loop_tcp_t *)server, 0);
        if (server->desc.handle.flags & HANDLE_CLOSING)
            return true;
        server->flags &= ~(uint32_t)STREAM_ACCEPTING;
    }
    if (server->os.accepted == LOOP_INVALID_FD)
        loop->backend->arm(loop, &server->desc, READ_FULL, 0);
    return true;
}

void loop__tcp_accept_resume(struct stream *server)
{
    server->flags &= ~(uint32_t)STREAM_PAUSED;
    if (server->os.accepted == LOOP_INVALID_FD)
        loop__desc_ready(&server->desc, TODO_READ);
}

/* The connection was taken: report the next, unless that is what we are doing. */
static void accepted(struct stream *server)
{
    server->os.accepted = LOOP_INVALID_FD;
    if (!(server->flags & (STREAM_PAUSED | STREAM_ACCEPTING)))
        loop__desc_ready(&server->desc, TODO_READ);
}

int loop_tcp_accept_fd(loop_tcp_t *public_server, loop_os_fd_t *fd)
{
    struct stream *server = tcp_of(public_server);
    int error = loop__handle_check(server, LOOP_TCP);

    if (error != 0)
        return error;
    if (fd == NULL || !(server->flags & STREAM_LISTENING))
        return LOOP_EINVAL;
    if (server->os.accepted == LOOP_INVALID_FD)
        return LOOP_EAGAIN;
    *fd = server->os.accepted;
    accepted(server);
    return 0;
}

int loop_tcp_accept(loop_tcp_t *public_server, loop_tcp_t *public_client)
{
    struct stream *server = tcp_of(public_server);
    struct stream *client = tcp_of(public_client);
    int error = loop__handle_check(server, LOOP_TCP);
    uint32_t other;

    if (error == 0)
        error = loop__handle_check(client, LOOP_TCP);
    if (error != 0)
        return error;
    if (!(server->flags & STREAM_LISTENING) || client->desc.handle.loop != server->desc.handle.loop)
        return LOOP_EINVAL;
    if (server->os.accepted == LOOP_INVALID_FD)
        return LOOP_EAGAIN;
    if (has_had_socket(client))
        return LOOP_EBUSY;
    other = server->flags & STREAM_OTHER_TCP;
    error = loop__desc_attach(&client->desc, server->os.accepted, socket_flags(other));
    if (error != 0)
        return error;
    client->desc.handle.made = server->desc.handle.made;
    loop__stream_set(client, STREAM_CONNECTED | other, 0);
    accepted(server);
    return 0;
}

/* ------------------------------------------------------------------------------------------------------ connecting -- */

int loop_tcp_connect(loop_tcp_t *public_tcp, loop_op_t *public_op, const struct sockaddr *addr, loop_op_cb cb)
{
    struct stream *tcp = tcp_of(public_tcp);
    struct op *op = (struct op *)public_op;
    int error = loop__handle_check(tcp, LOOP_TCP);
    bool fresh;

    if (error != 0)
        return error;
    if (addr == NULL || (tcp->flags & STREAM_LISTENING))
        return LOOP_EINVAL;
    if (tcp->flags & (STREAM_CONNECTING | STREAM_CONNECTED | STREAM_FAILED))
        return LOOP_EISCONN;
    if (!loop__address_is_ip(addr))
        return LOOP_EAFNOSUPPORT;
    error = loop__op_check(op);
    if (error != 0)
        return error;
    fresh = !has_socket(tcp);
    if (fresh) {
        error = make_socket(tcp, addr);
        if (error != 0)
            return error;
    }
    loop__op_fill(op, &tcp->desc, OP_CONNECT, NULL, 0, cb);
    op->to = addr;
    error = loop__op_submit(op);
    if (error == 0) {
        tcp->flags |= STREAM_CONNECTING;
        loop__handle_start(&tcp->desc.handle);
    } else if (fresh) {
        drop_socket(tcp);
    }
    return error;
}

void loop__tcp_connect_failed(struct stream *tcp)
{
    tcp->flags |= STREAM_FAILED;
    tcp->desc.flags |= DESC_FAILED;
}

void loop__tcp_connect_done(struct stream *tcp, int status)
{
    if (tcp->desc.handle.flags & HANDLE_CLOSING)
        return;
    tcp->flags &= ~(uint32_t)STREAM_CONNECTING;
    if (status == 0)
        loop__stream_set(tcp, STREAM_CONNECTED, 0);
    loop__handle_stop(&tcp->desc.handle);
}

/* --------------------------------------------------------------------------------------------- reading and writing -- */

int loop_tcp_read_start(loop_tcp_t *tcp, loop_alloc_cb alloc, loop_read_cb cb)
{
    int error = loop__handle_check(tcp, LOOP_TCP);

    return error != 0 ? error : loop__stream_read_start(tcp_of(tcp), alloc, cb);
}

int loop_tcp_read_stop(loop_tcp_t *tcp)
{
    int error = loop__handle_check(tcp, LOOP_TCP);

    return error != 0 ? error : loop__stream_read_stop(tcp_of(tcp));
}

int loop_tcp_write(loop_tcp_t *tcp, loop_op_t *op, const loop_buf_t *bufs, unsigned nbufs, loop_op_cb cb)
{
    int error = loop__handle_check(tcp, LOOP_TCP);

    return error != 0 ? error : loop__stream_write(tcp_of(tcp), (struct op *)op, bufs, nbufs, cb);
}

ptrdiff_t loop_tcp_try_write(loop_tcp_t *tcp, const loop_buf_t *bufs, unsigned nbufs)
{
    int error = loop__handle_check(tcp, LOOP_TCP);

    return error != 0 ? error : loop__stream_try_write(tcp_of(tcp), bufs, nbufs);
}

int loop_tcp_shutdown(loop_tcp_t *tcp, loop_op_t *op, loop_op_cb cb)
{
    int error = loop__handle_check(tcp, LOOP_TCP);

    return error != 0 ? error : loop__stream_shutdown(tcp_of(tcp), (struct op *)op, cb);
}

size_t loop_tcp_write_queue_size(const loop_tcp_t *tcp)
{
    return loop_handle_get_type((const loop_handle_t *)tcp) == LOOP_TCP ? tcp_of(tcp)->queued : 0;
}

int loop_tcp_set_watermarks(loop_tcp_t *public_tcp, size_t low, size_t high, loop_drain_cb cb)
{
    struct stream *tcp = tcp_of(public_tcp);
    int error = loop__handle_check(tcp, LOOP_TCP);

    if (error != 0)
        return error;
    if (low > high)
        return LOOP_EINVAL;
    tcp->low = low;
    tcp->high = high;
    tcp->drain_cb = cb;
    tcp->flags &= ~(uint32_t)STREAM_ABOVE;
    if (cb != NULL && tcp->queued > high)
        tcp->flags |= STREAM_ABOVE;
    return 0;
}

int loop_tcp_is_readable(const loop_tcp_t *tcp)
{
    return loop__handle_check(tcp, LOOP_TCP) == 0 && (tcp_of(tcp)->flags & STREAM_CONNECTED) != 0 &&
           !(tcp_of(tcp)->flags & STREAM_EOF);
}

int loop_tcp_is_writable(const loop_tcp_t *tcp)
{
    return loop__handle_check(tcp, LOOP_TCP) == 0 && (tcp_of(tcp)->flags & STREAM_CONNECTED) != 0 &&
           !(tcp_of(tcp)->flags & STREAM_SHUT);
}

/* --------------------------------------------------------------------------------------------------------- closing -- */

void loop__tcp_close(struct stream *tcp)
{
    if ((tcp->flags & STREAM_LISTENING) && tcp->os.accepted != LOOP_INVALID_FD) {
        loop__socket_close(tcp->os.accepted);
        tcp->os.accepted = LOOP_INVALID_FD;
    }
    tcp->flags &= ~(uint32_t)(STREAM_READING | STREAM_CONNECTING);
    loop__desc_close(&tcp->desc);
}

int loop_tcp_close_reset(loop_tcp_t *public_tcp, loop_close_cb cb)
{
    struct stream *tcp = tcp_of(public_tcp);
    int error = loop__handle_check(tcp, LOOP_TCP);

    if (error != 0)
        return error;
    if (has_socket(tcp) && !(tcp->flags & STREAM_LISTENING)) {
        error = loop__socket_linger_reset(tcp->desc.os.fd);
        if (error != 0)
            return error;
    }
    return loop_handle_close(&public_tcp->handle, cb);
}

/* --------------------------------------------------------------------------------------------------------- options -- */

static int check_socket(const loop_tcp_t *tcp)
{
    int error = loop__handle_check(tcp, LOOP_TCP);

    if (error != 0)
        return error;
    return has_socket(tcp_of(tcp)) ? 0 : LOOP_EBADF;
}

int loop_tcp_nodelay(loop_tcp_t *tcp, int enable)
{
    int error = check_socket(tcp);

    return error != 0 ? error : loop__socket_nodelay(tcp_of(tcp)->desc.os.fd, enable != 0);
}

int loop_tcp_keepalive(loop_tcp_t *tcp, int enable, unsigned idle, unsigned interval, unsigned count)
{
    const unsigned most = 32767; /* what Linux takes: tcp(7) */
    int error = check_socket(tcp);

    if (error != 0)
        return error;
    if (enable && (idle < 1 || interval < 1 || count < 1 || idle > most || interval > most || count > 127))
        return LOOP_EINVAL;
    return loop__socket_keepalive(tcp_of(tcp)->desc.os.fd, enable != 0, idle, interval, count);
}

static int socket_name(const loop_tcp_t *tcp, bool peer, struct sockaddr *name, size_t *len)
{
    int error = check_socket(tcp);

    if (error != 0)
        return error;
    if (name == NULL || len == NULL)
        return LOOP_EINVAL;
    return loop__socket_name(tcp_of(tcp)->desc.os.fd, peer, name, len);
}

int loop_tcp_getsockname(const loop_tcp_t *tcp, struct sockaddr *name, size_t *len)
{
    return socket_name(tcp, false, name, len);
}

int loop_tcp_getpeername(const loop_tcp_t *tcp, struct sockaddr *name, size_t *len)
{
    return socket_name(tcp, true, name, len);
}

loop_os_fd_t loop_tcp_fd(const loop_tcp_t *tcp)
{
    if (check_socket(tcp) != 0)
        return LOOP_INVALID_FD;
    tcp_of(tcp)->desc.handle.made = 0; /* whoever has the number may duplicate it */
    return tcp_of(tcp)->desc.os.fd;
}
