/* TCP handles: connecting, reading with and without an alloc callback, the write queue and its marks, listeners. */
#include "model.h"

#include "invariants.h"

static loop_tcp_t *tcp_of(const struct end *e)
{
    return (loop_tcp_t *)e->h.handle;
}

static struct end *end_of(const loop_tcp_t *tcp)
{
    return tcp->handle.data;
}

static int unless_closing(const struct end *e, int rc)
{
    return e->h.life == LIFE_OPEN ? rc : LOOP_EBADF;
}

static void update_active(struct end *e)
{
    e->h.active = e->h.life == LIFE_OPEN && (e->pair == NULL || e->connecting || e->reading);
}

/* --------------------------------------------------------------------------------------------------------- the queue -- */

/* Bytes of the writes in flight; whether some may have ended already. */
static uint64_t in_flight_bytes(const struct end *e, bool *ending)
{
    uint64_t bytes = 0;

    *ending = end_is_over(e, WRITING) || e->out->reader_gone || e->in->closed || !e->connected || e->raw_shut ||
              world->plan->faults == FAULTS_MIXED;
    for (int i = 0; i < OPS_PER_END; i++) {
        const struct mop *m = &e->ops[i];

        if (!m->in_flight || m->kind != MOP_WRITE)
            continue;
        bytes += m->length;
        *ending = *ending || m->may_cancel || m->must_time_out || m->may_time_out || m->due <= loop_now(world->loop);
    }
    return bytes;
}

/* What was accepted, less what the system took: all of it, unless writes have ended that are not told of yet. */
static void check_queue(const struct end *e)
{
    bool ending;
    uint64_t most = in_flight_bytes(e, &ending);
    uint64_t size = loop_tcp_write_queue_size(tcp_of(e));

    if (!system_can.counts_sent) {
        ending = true;
    } else if (e->fd != LOOP_INVALID_FD) {
        uint64_t sent = seam_sent(e->fd) - e->written - e->tried;

        CHECK(sent <= most, "end %d: %llu bytes went out, of %llu", e->h.number, (unsigned long long)sent,
              (unsigned long long)most);
        most -= sent;
    }
    CHECK(ending ? size <= most : size == most, "end %d: %llu bytes are queued, not %llu", e->h.number,
          (unsigned long long)size, (unsigned long long)most);
}

/* Some are asked. */
loop_os_fd_t tcp_number(const loop_tcp_t *tcp)
{
    const struct mhandle *h = tcp->handle.data;

    return h->birth % 4 == 0 ? loop_tcp_fd(tcp) : invariants_number(tcp);
}

void tcp_check(struct end *e)
{
    if (e->h.life != LIFE_OPEN)
        return;
    handle_check(&e->h);
    CHECK(loop_tcp_is_readable(tcp_of(e)) == (e->connected && !e->eof), "end %d: is_readable", e->h.number);
    CHECK(loop_tcp_is_writable(tcp_of(e)) == (e->connected && !e->shut), "end %d: is_writable", e->h.number);
    CHECK(tcp_number(tcp_of(e)) == e->fd, "end %d: the descriptor", e->h.number);
    if (e->pair != NULL)
        check_queue(e);
}

static void on_drain(loop_tcp_t *tcp)
{
    struct end *e = end_of(tcp);

    callback_enter(RANK_DISPATCH, &e->h, "drain");
    CHECK(e->h.life == LIFE_OPEN && tcp_of(e) == tcp, "a drain callback of a closing handle");
    CHECK(e->above, "end %d: a drain callback without a reason", e->h.number);
    CHECK(loop_tcp_write_queue_size(tcp) <= e->low, "end %d: a drain callback above the mark", e->h.number);
    e->above = false;
    callback_act(&e->h);
    callback_leave();
}

static void note_growth(struct end *e)
{
    if (e->drain_set && loop_tcp_write_queue_size(tcp_of(e)) > e->high)
        e->above = true;
}

static void set_watermarks(struct end *e)
{
    size_t low = below(2000);
    size_t high = low + below(4000);
    bool set = chance(80);
    int rc;

    say("marks of end %d: %zu, %zu%s", e->h.number, low, high, set ? "" : ", no callback");
    CALL(rc, loop_tcp_set_watermarks(tcp_of(e), low, high, set ? on_drain : NULL));
    CHECK_RC(rc, unless_closing(e, 0));
    if (rc != 0)
        return;
    e->low = low;
    e->high = high;
    e->drain_set = set;
    e->above = set && loop_tcp_write_queue_size(tcp_of(e)) > high;
}

/* ------------------------------------------------------------------------------------------------------------ writing -- */

static struct mop *free_op(struct end *e)
{
    struct mop *m = &e->ops[below(OPS_PER_END)];

    return m->in_flight ? NULL : m;
}

static int writable(const struct end *e)
{
    if (e->h.life != LIFE_OPEN)
        return LOOP_EBADF;
    if (e->shut)
        return LOOP_EPIPE;
    return e->connected || e->connecting ? 0 : LOOP_ENOTCONN;
}

static void write_queued(struct end *e)
{
    struct mop *m = free_op(e);
    loop_buf_t *bufs;
    unsigned count;
    int rc;

    if (m == NULL)
        return;
    op_make(m, MOP_WRITE);
    bufs = op_bufs(m, op_some_length(), &count);
    CALL(rc, loop_tcp_write(tcp_of(e), m->op, bufs, count, op_cb(m)));
    memory_free(bufs, sizeof(*bufs) * count);
    op_submitted(m, rc, writable(e));
    if (rc == 0)
        note_growth(e);
}

static void try_write(struct end *e)
{
    bool ending;
    size_t length = op_some_length();
    unsigned char *data;
    loop_buf_t buf;
    ptrdiff_t n;

    data = memory_new(length);
    flow_fill(e->out, data, 0, length);
    buf.base = data;
    buf.len = length;
    if (e->h.life == LIFE_OPEN && e->out->reader_gone)
        e->in->torn = true;
    CALL(n, loop_tcp_try_write(tcp_of(e), &buf, 1));
    say("end %d tries to write %zu bytes: %td", e->h.number, length, n);
    memory_free(data, length);
    if (writable(e) != 0) {
        CHECK_RC(n, writable(e));
        return;
    }
    if (e->over[WRITING]) {
        CHECK_RC(n, LOOP_ETIMEDOUT);
        return;
    }
    CHECK(n <= (ptrdiff_t)length, "too much was written");
    if (n < 0) {
        bool gone = e->out->reader_gone || e->in->closed || e->raw_shut || e->connecting;

        CHECK(n == LOOP_EAGAIN || (n == LOOP_ETIMEDOUT && end_is_over(e, WRITING)) ||
                  (gone && (n == LOOP_EPIPE || n == LOOP_ECONNRESET)),
              "end %d: a try-write gave %s", e->h.number, loop_err_name((int)n));
        return;
    }
    CHECK(!e->connecting, "a try-write before the connection");
    (void)in_flight_bytes(e, &ending);
    CHECK(ending || loop_tcp_write_queue_size(tcp_of(e)) == 0, "a try-write overtook");
    e->tried += (uint64_t)n;
    if (n > 0)
        flow_sent(e->out, flow_send(e->out, (size_t)n), (size_t)n, true);
}

static void shut_down(struct end *e)
{
    struct mop *m = free_op(e);
    int rc;

    if (m == NULL)
        return;
    op_make(m, MOP_SHUTDOWN);
    CALL(rc, loop_tcp_shutdown(tcp_of(e), m->op, op_cb(m)));
    op_submitted(m, rc, writable(e));
    if (rc == 0) {
        e->shut = true;
        e->out->ended = true;
    }
}

/* ------------------------------------------------------------------------------------------------------------ reading -- */

static void on_alloc(loop_tcp_t *tcp, size_t suggested, loop_buf_t *buf)
{
    struct end *e = end_of(tcp);

    callback_enter(RANK_DISPATCH, &e->h, "alloc");
    CHECK(e->h.life == LIFE_OPEN && tcp_of(e) == tcp, "an alloc callback of a closing handle");
    CHECK(e->reading && e->with_alloc, "end %d: an alloc callback without a read", e->h.number);
    CHECK(e->given == NULL, "end %d: a buffer was not given back", e->h.number);
    CHECK(suggested > 0, "a buffer of no bytes is suggested");
    e->alloc_over = e->over[READING];
    callback_act(&e->h);
    buf->base = NULL;
    buf->len = 0;
    if (e->h.life == LIFE_OPEN && chance(90)) {
        e->given_size = 1 + below(chance(50) ? 64 : 8192);
        e->given = memory_new(e->given_size);
        buf->base = e->given;
        buf->len = e->given_size;
    }
    callback_leave();
}

static void read_data(struct end *e, ptrdiff_t nread, const loop_buf_t *buf)
{
    /* The alloc callback is part of a read that has begun. */
    CHECK(!e->over[READING] || (e->given != NULL && !e->alloc_over), "end %d: data after the deadline", e->h.number);
    CHECK((size_t)nread <= buf->len, "more than there was room for");
    flow_received(e->in, buf->base, (size_t)nread);
}

static void read_ended(struct end *e, int status, bool had_buffer)
{
    bool reset = e->in->closed || e->out->reader_gone;

    e->reading = false;
    update_active(e);
    switch (status) {
    case LOOP_EOF:
        e->eof = true;
        flow_eof(e->in);
        break;
    case LOOP_ETIMEDOUT:
        CHECK(end_is_over(e, READING), "end %d: reading timed out early", e->h.number);
        break;
    case LOOP_ENOBUFS:
        CHECK(!had_buffer, "end %d: a buffer was given", e->h.number);
        break;
    case LOOP_ENOMEM:
        CHECK(world->plan->faults == FAULTS_MIXED && !had_buffer, "end %d: reading failed", e->h.number);
        break;
    default:
        CHECK(status == LOOP_ECONNRESET && reset, "end %d: reading ended with %s", e->h.number, loop_err_name(status));
        e->in->torn = true;
        break;
    }
}

static void on_read(loop_tcp_t *tcp, ptrdiff_t nread, const loop_buf_t *buf)
{
    struct end *e = end_of(tcp);
    unsigned char *given = e->given;

    callback_enter(RANK_DISPATCH, &e->h, "read");
    say("end %d read %td", e->h.number, nread);
    CHECK(e->h.life == LIFE_OPEN && tcp_of(e) == tcp, "a read callback of a closing handle");
    CHECK(e->reading || (nread == 0 && given != NULL), "end %d: a read callback, stopped", e->h.number);
    CHECK(given == NULL || buf->base == given, "end %d: another buffer comes back than was given", e->h.number);
    CHECK(nread != 0 || given != NULL, "end %d: nothing was read, without a buffer", e->h.number);
    if (nread > 0)
        read_data(e, nread, buf);
    else if (nread < 0)
        read_ended(e, (int)nread, given != NULL);
    memory_free(given, e->given_size);
    e->given = NULL;
    tcp_check(e);
    callback_act(&e->h);
    callback_leave();
}

static void read_start(struct end *e)
{
    bool with_alloc = chance(40);
    int rc;

    say("end %d starts to read%s", e->h.number, with_alloc ? " with an alloc callback" : "");
    CALL(rc, loop_tcp_read_start(tcp_of(e), with_alloc ? on_alloc : NULL, on_read));
    if (is_injected(rc))
        return;
    CHECK_RC(rc, unless_closing(e, !e->connected ? LOOP_ENOTCONN : e->reading ? LOOP_EALREADY : 0));
    if (rc != 0)
        return;
    e->reading = true;
    e->with_alloc = with_alloc;
    update_active(e);
}

static void read_stop(struct end *e)
{
    int rc;

    say("end %d stops reading", e->h.number);
    CALL(rc, loop_tcp_read_stop(tcp_of(e)));
    CHECK_RC(rc, unless_closing(e, 0));
    e->reading = false;
    update_active(e);
}

/* --------------------------------------------------------------------------------------------------------- connecting -- */

/* Of descriptors too. */
void tcp_connected(struct end *e, int status)
{
    e->connecting = false;
    e->connected = status == 0;
    e->failed = status != 0;
    if (e->is_tcp)
        update_active(e);
}

static void bind_first(struct end *e)
{
    struct sockaddr_storage addr = world->loopback;
    int rc;

    CALL(rc, loop_tcp_bind(tcp_of(e), (struct sockaddr *)&addr, 0));
    CHECK_RC(rc, 0);
    e->fd = tcp_number(tcp_of(e));
}

static void dial(struct end *e)
{
    struct end *listener = &world->listeners[below((uint32_t)world->listener_count)];
    struct mop *m = free_op(e);
    struct sockaddr_storage addr;
    bool again = e->connecting || e->connected || e->failed;
    int rc;

    if (m == NULL || listener->fd == LOOP_INVALID_FD)
        return;
    if (e->h.life == LIFE_OPEN && e->fd == LOOP_INVALID_FD && chance(30))
        bind_first(e);
    addr = listener->addr;
    op_make(m, MOP_CONNECT);
    CALL(rc, loop_tcp_connect(tcp_of(e), m->op, (struct sockaddr *)&addr, op_cb(m)));
    memset(&addr, 0xdb, sizeof(addr));
    op_submitted(m, rc, unless_closing(e, again ? LOOP_EISCONN : 0));
    if (rc != 0)
        return;
    e->connecting = true;
    e->pair->dialled = listener;
    e->fd = tcp_number(tcp_of(e));
    system_small_buffers(e->fd);
    seam_opened(e->fd);
    if (m->must_time_out)
        CHECK(seam_sent(e->fd) == 0, "something was sent");
    end_note_port(e);
    update_active(e);
}

void tcp_close(struct end *e)
{
    loop_close_cb cb = handle_close_cb(&e->h);
    int rc;

    say("... by a reset");
    if (e->out != NULL)
        e->out->torn = true;
    CALL(rc, loop_tcp_close_reset(tcp_of(e), cb));
    handle_closing(&e->h, rc);
}

void tcp_act(struct end *e)
{
    struct mop *m = &e->ops[below(OPS_PER_END)];
    uint32_t what = below(100);

    if ((!e->connected && !e->connecting && what < 60) || what >= 96)
        dial(e);
    else if (what < 30)
        write_queued(e);
    else if (what < 40)
        try_write(e);
    else if (what < 43)
        shut_down(e);
    else if (what < 65)
        read_start(e);
    else if (what < 73)
        read_stop(e);
    else if (what < 80)
        set_watermarks(e);
    else if (what < 88)
        op_cancel(m);
    else
        op_deadline(m);
    tcp_check(e);
}

/* ---------------------------------------------------------------------------------------------------------- listeners -- */

/* Takes a connection with a handle: the stray one that was made for it becomes the handle of the end it belongs to. */
static void accept_handle(struct end *server)
{
    struct mhandle *stray = &world->stray;
    struct end *e;
    int rc;

    if (stray->life != LIFE_NONE)
        return;
    CALL(rc, loop_tcp_init(world->loop, (loop_tcp_t *)handle_new(stray, sizeof(loop_tcp_t))));
    CHECK_RC(rc, 0);
    (void)handle_opened(stray, rc);
    CALL(rc, loop_tcp_accept(tcp_of(server), (loop_tcp_t *)stray->handle));
    say("listener %d accepts with a handle: %s", server->h.number, loop_err_name(rc));
    if (!is_injected(rc))
        CHECK_RC(rc, unless_closing(server, server->waits ? 0 : LOOP_EAGAIN));
    e = rc == 0 ? end_of_connection(server, tcp_number((loop_tcp_t *)stray->handle)) : NULL;
    if (rc == 0)
        server->waits = false;
    if (e == NULL) {
        handle_close(stray);
        return;
    }
    end_take_handle(e, stray);
    tcp_check(e);
}

static void accept_fd(struct end *server)
{
    loop_os_fd_t fd = LOOP_INVALID_FD;
    int rc;

    CALL(rc, loop_tcp_accept_fd(tcp_of(server), &fd));
    say("listener %d accepts: %s", server->h.number, loop_err_name(rc));
    CHECK_RC(rc, unless_closing(server, server->waits ? 0 : LOOP_EAGAIN));
    if (rc != 0)
        return;
    server->waits = false;
    end_accepted(server, fd);
}

static void on_connection(loop_tcp_t *tcp, int status)
{
    struct end *e = end_of(tcp);

    callback_enter(RANK_DISPATCH, &e->h, "connection");
    say("listener %d: a connection, %s", e->h.number, loop_err_name(status));
    CHECK(e->h.life == LIFE_OPEN && tcp_of(e) == tcp, "a connection for a closing handle");
    CHECK(e->pause <= loop_now(world->loop) || e->pause_unsure, "a connection, or a second report, in a pause");
    CHECK(!e->waits, "a second connection before the first was taken");
    e->pause = 0;
    if (status == 0) {
        e->waits = true;
        if (chance(40))
            accept_fd(e);
        else if (chance(70))
            accept_handle(e);
    } else {
        CHECK(status == LOOP_EMFILE && world->plan->faults == FAULTS_MIXED, "accepting failed: %s",
              loop_err_name(status));
        e->pause = loop_now(world->loop) + LOOP_MS(100);
        e->pause_unsure = world->refused;
    }
    callback_act(&e->h);
    callback_leave();
}

bool tcp_listen(struct end *e)
{
    size_t length = sizeof(e->addr);
    int rc;

    say("open a listening tcp handle %d", e->h.number);
    CALL(rc, loop_tcp_init(world->loop, (loop_tcp_t *)handle_new(&e->h, sizeof(loop_tcp_t))));
    CHECK_RC(rc, 0);
    (void)handle_opened(&e->h, rc);
    e->is_tcp = true;
    e->owned = true;
    CALL(rc, loop_tcp_bind(tcp_of(e), (struct sockaddr *)&e->addr, 0));
    CHECK_RC(rc, 0);
    CALL(rc, loop_tcp_listen(tcp_of(e), 128, on_connection));
    if (is_injected(rc)) {
        end_close(e);
        return false;
    }
    CHECK_RC(rc, 0);
    CHECK_RC(loop_tcp_getsockname(tcp_of(e), (struct sockaddr *)&e->addr, &length), 0);
    e->fd = tcp_number(tcp_of(e));
    update_active(e);
    return true;
}

void tcp_listener_act(struct end *e)
{
    switch (below(4)) {
    case 0:
        accept_fd(e);
        break;
    case 1:
    case 2:
        accept_handle(e);
        break;
    default:
        handle_check(&e->h);
        break;
    }
}
