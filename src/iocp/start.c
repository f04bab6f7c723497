/* One operation: the call that starts it, and what its result means. */
#include "iocp.h"

#include "platform.h"

/* What one call takes: of a stream the rest follows. So many buffers are a datagram at the most, and bytes have to be counted
 * in 32 bits. */
#define BUFS_PER_CALL 1024u
#define BYTES_PER_CALL 0x40000000u

/* -------------------------------------------------------------------------------------------------------- requests -- */

OVERLAPPED *loop__request_begin(struct request *request)
{
    request->overlapped = (OVERLAPPED){0};
    request->pending = false;
    return &request->overlapped;
}

int loop__request_started(struct request *request, DWORD error, enum request_way way)
{
    bool there = error == ERROR_SUCCESS || ((way & WAY_RECEIVES) && (error == WSAEMSGSIZE || error == ERROR_MORE_DATA));

    if (there && (way & WAY_SKIPS))
        return START_DONE;
    if (!there && error == WSAEWOULDBLOCK)
        return LOOP_ENOBUFS; /* too many are with the kernel, and nothing tells when to try again */
    if (!there && error != ERROR_IO_PENDING)
        return loop__system_error((int)error);
    request->pending = true;
    return START_PENDING;
}

/* Mostly once is enough; more than six times was never seen. */
#define CANCEL_TRIES 32

/*
 * What cannot be found has ended, and its packet is on its way. But Wine does not find either what it is just carrying on with,
 * such as a write that has room again, and which then goes on as if nothing had been said. There it still says that it is pending.
 */
void loop__request_cancel(HANDLE handle, struct request *request)
{
    bool asks = request->pending;

    for (int i = 0; asks && i < CANCEL_TRIES; i++)
        asks = !loop__sys.CancelIoEx(handle, &request->overlapped) && loop__sys.GetLastError() == ERROR_NOT_FOUND &&
               loop__request_status(request) == NT_PENDING;
}

static DWORD socket_result(int rc)
{
    return rc == 0 ? ERROR_SUCCESS : (DWORD)loop__sys.WSAGetLastError();
}

/* The same as a LOOP_E* code. */
static int code_of(int rc)
{
    return rc == 0 ? 0 : loop__winsock_error();
}

static DWORD handle_result(BOOL ok)
{
    return ok ? ERROR_SUCCESS : loop__sys.GetLastError();
}

/* -------------------------------------------------------------------------------------------------------- transfers -- */

/* The buffers that are not done, as many as one call takes. One at least, which may be empty. */
static DWORD copy_bufs(const struct op *op, WSABUF bufs[BUFS_PER_CALL])
{
    static char nothing;
    size_t room = BYTES_PER_CALL;
    DWORD n = 0;

    for (uint32_t i = op->first; i < op->nbufs && n < BUFS_PER_CALL && room > 0; i++) {
        size_t len = op->bufs[i].len < room ? op->bufs[i].len : room;

        if (len == 0)
            continue;
        bufs[n].buf = op->bufs[i].base;
        bufs[n].len = (ULONG)len;
        room -= len;
        n++;
    }
    if (n == 0) {
        bufs[0].buf = &nothing;
        bufs[0].len = 0;
        n = 1;
    }
    return n;
}

static DWORD read_into(struct op *op, OVERLAPPED *overlapped)
{
    struct desc *desc = op->desc;
    int type = loop__iocp_desc(desc)->type;
    WSABUF bufs[BUFS_PER_CALL];
    DWORD n = copy_bufs(op, bufs);
    /* Without MSG_PEEK a read of nothing would eat a datagram. */
    DWORD flags = bufs[0].len == 0 && type != SOCK_STREAM ? MSG_PEEK : 0;

    if (type == 0)
        return handle_result(loop__sys.ReadFile(loop__iocp_handle(desc), bufs[0].buf, bufs[0].len, NULL, overlapped));
    return socket_result(loop__sys.WSARecv(desc->os.fd, bufs, n, NULL, &flags, overlapped, NULL));
}

static DWORD write_from(struct op *op, OVERLAPPED *overlapped)
{
    struct desc *desc = op->desc;
    WSABUF bufs[BUFS_PER_CALL];
    DWORD n = copy_bufs(op, bufs);

    if (loop__iocp_desc(desc)->type == 0)
        return handle_result(loop__sys.WriteFile(loop__iocp_handle(desc), bufs[0].buf, bufs[0].len, NULL, overlapped));
    return socket_result(loop__sys.WSASend(desc->os.fd, bufs, n, NULL, 0, overlapped, NULL));
}

static DWORD receive(struct op *op, OVERLAPPED *overlapped)
{
    struct iocp_op *iocp_op = loop__iocp_op(op);
    WSABUF bufs[BUFS_PER_CALL];
    DWORD n = copy_bufs(op, bufs);

    iocp_op->io.receive.flags = 0;
    iocp_op->io.receive.from_length = sizeof(*op->from);
    return socket_result(
        loop__sys.WSARecvFrom(op->desc->os.fd, bufs, n, NULL, &iocp_op->io.receive.flags, (struct sockaddr *)op->from,
                              op->from != NULL ? &iocp_op->io.receive.from_length : NULL, overlapped, NULL));
}

static DWORD send_to(struct op *op, OVERLAPPED *overlapped)
{
    WSABUF bufs[BUFS_PER_CALL];
    DWORD n = copy_bufs(op, bufs);
    int length = op->to != NULL ? (int)loop__address_length(op->to) : 0;

    if (op->nbufs > BUFS_PER_CALL)
        return WSAEMSGSIZE;
    return socket_result(loop__sys.WSASendTo(op->desc->os.fd, bufs, n, NULL, 0, op->to, length, overlapped, NULL));
}

/* ------------------------------------------------------------------------------------------ connections: extensions -- */

/* A function of the provider's that no library exports. */
static int load_extension(SOCKET socket, GUID id, void *function, DWORD size)
{
    DWORD bytes;

    return code_of(loop__sys.WSAIoctl(socket, SIO_GET_EXTENSION_FUNCTION_POINTER, &id, sizeof(id), function, size,
                                      &bytes, NULL, NULL));
}

/* AcceptEx need not say so. */
static bool listens(struct desc *desc)
{
    int value = 0;
    int length = sizeof(value);
    struct iocp_desc *iocp_desc = loop__iocp_desc(desc);

    if (!iocp_desc->listens && loop__sys.getsockopt(desc->os.fd, SOL_SOCKET, SO_ACCEPTCONN, &value, &length) == 0)
        iocp_desc->listens = value != 0;
    return iocp_desc->listens;
}

int loop__iocp_accept(struct desc *desc, struct request *request, unsigned char *addresses, SOCKET *accepting)
{
    struct iocp *iocp = loop__iocp(desc->handle.loop);
    loop_os_fd_t fd = LOOP_INVALID_FD;
    DWORD bytes;
    int started;

    *accepting = INVALID_SOCKET;
    if (!listens(desc))
        return LOOP_EINVAL;
    if (iocp->accept_ex == NULL) {
        int error = load_extension(desc->os.fd, (GUID)WSAID_ACCEPTEX, &iocp->accept_ex, sizeof(iocp->accept_ex));

        if (error != 0)
            return error;
    }
    started = loop__socket_open(loop__iocp_desc(desc)->family, &fd);
    if (started != 0)
        return started;
    *accepting = fd;
    started = loop__request_started(
        request,
        handle_result(loop__sys.accept_ex(iocp->accept_ex, desc->os.fd, fd, addresses, 0, ACCEPT_ADDRESS,
                                          ACCEPT_ADDRESS, &bytes, loop__request_begin(request))),
        loop__iocp_way(desc));
    if (started < 0) {
        loop__socket_close(fd);
        *accepting = INVALID_SOCKET;
    }
    return started;
}

int loop__iocp_accepted(SOCKET listener, SOCKET accepted)
{
    if (loop__sys.setsockopt(accepted, SOL_SOCKET, SO_UPDATE_ACCEPT_CONTEXT, &listener, sizeof(listener)) != 0)
        return LOOP_ECONNABORTED;
    return loop__fd_make_async(accepted, false); /* the listener's options are now its own */
}

/* ConnectEx wants a socket that is bound. */
static int bind_for_connect(const struct op *op)
{
    SOCKET socket = op->desc->os.fd;
    struct sockaddr_storage name;
    int length = sizeof(name);

    if (loop__sys.getsockname(socket, (struct sockaddr *)&name, &length) == 0)
        return 0;
    name = (struct sockaddr_storage){0}; /* any */
    ((struct sockaddr *)&name)->sa_family = op->to->sa_family;
    length = (int)loop__address_length(op->to);
    return code_of(loop__sys.bind(socket, (struct sockaddr *)&name, length));
}

/* To connect to the unspecified address means this host on POSIX systems, and is an error on Windows. */
static void make_specific(struct sockaddr *address)
{
    struct sockaddr_in *v4 = (struct sockaddr_in *)(void *)address;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)(void *)address;

    if (address->sa_family == AF_INET && v4->sin_addr.s_addr == htonl(INADDR_ANY))
        v4->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    else if (address->sa_family == AF_INET6 && IN6_IS_ADDR_UNSPECIFIED(&v6->sin6_addr))
        v6->sin6_addr.s6_addr[15] = 1;
}

static int connect_to(struct op *op, struct request *request)
{
    struct desc *desc = op->desc;
    struct iocp *iocp = loop__iocp(desc->handle.loop);
    OVERLAPPED *overlapped = loop__request_begin(request);
    int length = (int)loop__address_length(op->to);
    int error;

    op->started = 1;
    make_specific((struct sockaddr *)(uintptr_t)op->to); /* kept: it is the operation's own */
    if (loop__iocp_desc(desc)->type != SOCK_STREAM)      /* without a connection it is only told where to send to */
        return code_of(loop__sys.connect(desc->os.fd, op->to, length));
    error = bind_for_connect(op);
    if (error == 0 && iocp->connect_ex == NULL)
        error = load_extension(desc->os.fd, (GUID)WSAID_CONNECTEX, &iocp->connect_ex, sizeof(iocp->connect_ex));
    if (error != 0)
        return error;
    return loop__request_started(
        request,
        handle_result(loop__sys.connect_ex(iocp->connect_ex, desc->os.fd, op->to, length, NULL, 0, NULL, overlapped)),
        loop__iocp_way(desc));
}

/* --------------------------------------------------------------------------------------------------------- results -- */

/* What succeeded needs its descriptor once more, which may be closed or lost by now: why not, or 0. */
static int check_descriptor(const struct op *op)
{
    if (op->desc->os.fd != LOOP_INVALID_FD)
        return 0;
    return op->ending ? LOOP_ECANCELED : LOOP_EBADF;
}

/* Readies the connection, once. */
static int ready_accepted(struct op *op)
{
    struct iocp_op *iocp_op = loop__iocp_op(op);
    int error;

    if (iocp_op->accepted)
        return 0;
    error = check_descriptor(op);
    if (error == 0)
        error = loop__iocp_accepted(op->desc->os.fd, iocp_op->accepting);
    iocp_op->accepted = error == 0;
    return error;
}

void loop__iocp_accept_cancelled(struct op *op)
{
    const uint32_t success = 0;

    /* With a listener that closes, its connections are reset. */
    if (!(op->desc->flags & DESC_OWNED) && loop__request_status(&loop__iocp_op(op)->request) == success)
        (void)ready_accepted(op);
}

static bool accept_result(struct op *op, int *status)
{
    struct iocp_op *iocp_op = loop__iocp_op(op);
    SOCKET accepted = iocp_op->accepting;

    if (*status == 0)
        *status = ready_accepted(op);
    iocp_op->accepting = INVALID_SOCKET;
    if (*status == 0) {
        op->os.fd = accepted;
        return true;
    }
    loop__socket_close(accepted);
    return !loop__iocp_lost(*status);
}

static bool read_result(struct op *op, size_t n, int *status)
{
    int type = loop__iocp_desc(op->desc)->type;

    op->bytes = n;
    if (type == 0 && *status == LOOP_EPIPE)
        *status = LOOP_EOF;
    if (*status != 0 || n > 0 || loop__op_left(op) == 0)
        return true;
    if (type == 0)
        return false; /* somebody wrote nothing to the pipe */
    *status = LOOP_EOF;
    return true;
}

static bool write_result(struct op *op, size_t n, int *status)
{
    struct iocp_op *iocp_op = loop__iocp_op(op);

    if (iocp_op->full) {
        iocp_op->full = false; /* there is room, or an error that writing will tell */
        return *status != 0;
    }
    if (n > 0)
        loop__op_advance(op, n);
    /* Wine ends a write early, and be it after nothing, when the peer has ended its side; the next one just so. */
    iocp_op->full = *status == 0 && n == 0 && loop__op_left(op) > 0;
    return *status != 0 || loop__op_left(op) == 0;
}

/*
 * Windows tells who receives datagrams of one that was sent before and reached nobody. POSIX systems tell that only to who is
 * connected, and call it refused. Whether there is nothing to tell.
 */
static bool reached_nobody(const struct op *op, int *status)
{
    int type = loop__iocp_desc(op->desc)->type;
    struct sockaddr_storage peer;
    int length = sizeof(peer);

    if ((op->kind != OP_READ && op->kind != OP_RECEIVE) || type == 0 || type == SOCK_STREAM)
        return false;
    if (*status == LOOP_ECONNRESET)
        *status = LOOP_ECONNREFUSED;
    else if (*status != LOOP_ECONNREFUSED && *status != LOOP_ETIMEDOUT) /* the latter: it was too long on its way */
        return false;
    return loop__sys.getpeername(op->desc->os.fd, (struct sockaddr *)&peer, &length) != 0;
}

/* Whether it is over, with *status; else it is to be started again. */
static bool is_over(struct op *op, size_t n, int *status)
{
    struct desc *desc = op->desc;

    switch ((enum op_kind)op->kind) {
    case OP_ACCEPT:
        return accept_result(op, status);
    case OP_READ:
        return read_result(op, n, status);
    case OP_WRITE:
        return write_result(op, n, status);
    case OP_RECEIVE:
        if (loop__request_status(&loop__iocp_op(op)->request) == NT_BUFFER_OVERFLOW)
            op->result_flags |= LOOP_OP_TRUNCATED;
        op->bytes = n;
        return true;
    case OP_SEND:
        op->bytes = n;
        return true;
    case OP_READY:
        if (*status == 0)
            op->result_flags |= loop__iocp_ready_found(op, &loop__iocp_op(op)->io.poll);
        return *status != 0 || op->result_flags != 0;
    case OP_CONNECT:
        if (*status == 0)
            *status = check_descriptor(op);
        if (*status == 0 && loop__iocp_desc(desc)->type == SOCK_STREAM)
            *status = code_of(loop__sys.setsockopt(desc->os.fd, SOL_SOCKET, SO_UPDATE_CONNECT_CONTEXT, NULL, 0));
        return true;
    case OP_EXIT:
        loop__iocp_signalled(op);
        return true;
    default:
        return true;
    }
}

/* What an operation that failed tells. */
static int error_of(const struct op *op, int error)
{
    if (op->kind == OP_READY && error == LOOP_EPIPE)
        return 0; /* the end of a pipe is something to read */
    return op->kind == OP_READ || op->kind == OP_WRITE ? loop__stream_error(error) : error;
}

/* What the NTSTATUS of its request means to an operation. */
static int status_of(const struct op *op, const struct request *request)
{
    int error;

    if (loop__request_succeeded(request))
        return 0;
    error = loop__nt_error(loop__request_status(request));
    if (op->ending) {
        /* Whatever ends what was cancelled or closed is the cancelling; but it may have been over before. */
        bool closing = (op->desc->handle.flags & HANDLE_CLOSING) != 0;

        return closing || error == LOOP_EBADF || error == LOOP_ECONNABORTED ? LOOP_ECANCELED : error_of(op, error);
    }
    return error == LOOP_ECANCELED ? LOOP_EBADF : error_of(op, error); /* its owner closed the descriptor */
}

enum outcome loop__iocp_result(struct op *op, int *status)
{
    struct request *request = &loop__iocp_op(op)->request;
    bool counts = loop__request_succeeded(request) || op->kind == OP_WRITE;

    *status = status_of(op, request);
    if (!reached_nobody(op, status) && is_over(op, counts ? loop__request_bytes(request) : 0, status))
        return OUTCOME_OVER;
    if (!op->ending)
        return OUTCOME_AGAIN;
    *status = LOOP_ECANCELED;
    return OUTCOME_OVER;
}

/* -------------------------------------------------------------------------------------------------------- starting -- */

static int start(struct op *op)
{
    struct iocp_op *iocp_op = loop__iocp_op(op);
    struct request *request = &iocp_op->request;
    enum request_way way = loop__iocp_way(op->desc);

    switch ((enum op_kind)op->kind) {
    case OP_ACCEPT:
        iocp_op->accepted = false;
        return loop__iocp_accept(op->desc, request, iocp_op->io.addresses, &iocp_op->accepting);
    case OP_READ:
        return loop__request_started(request, read_into(op, loop__request_begin(request)), way | WAY_RECEIVES);
    case OP_WRITE:
        if (iocp_op->full)
            return loop__iocp_await_room(op, request, &iocp_op->io.poll);
        return loop__request_started(request, write_from(op, loop__request_begin(request)), way);
    case OP_RECEIVE:
        return loop__request_started(request, receive(op, loop__request_begin(request)), way | WAY_RECEIVES);
    case OP_SEND:
        return loop__request_started(request, send_to(op, loop__request_begin(request)), way);
    case OP_CONNECT:
        return connect_to(op, request);
    case OP_READY:
        return loop__iocp_await_ready(op, request, &iocp_op->io.poll);
    case OP_EXIT:
        return loop__iocp_await_signalled(op);
    default:
        return LOOP_ENOTSUP;
    }
}

enum outcome loop__iocp_start(struct op *op, int *status)
{
    *status = check_descriptor(op);
    if (*status != 0)
        return OUTCOME_OVER;
    if (op->kind == OP_SHUTDOWN) {
        *status = loop__socket_shutdown(op->desc->os.fd);
        return OUTCOME_OVER;
    }
    if (op->kind == OP_WRITE && loop__op_left(op) == 0)
        return OUTCOME_OVER;
    loop__iocp_op(op)->request.kind = REQUEST_OP;
    *status = start(op);
    if (*status == START_PENDING)
        return OUTCOME_PENDING;
    if (*status == START_DONE)
        return loop__iocp_result(op, status);
    if ((op->kind == OP_ACCEPT && loop__iocp_lost(*status)) || reached_nobody(op, status))
        return OUTCOME_AGAIN;
    *status = error_of(op, *status);
    if (op->kind == OP_READ)
        (void)read_result(op, 0, status);
    else if (op->kind == OP_READY && *status == 0)
        op->result_flags |= loop__iocp_ready_found(op, &loop__iocp_op(op)->io.poll);
    return OUTCOME_OVER;
}
