/* Operations: each completes once, never in a call, in order, and with a result that the situation allows. */
#include "model.h"

static const char *const names[] = {"read", "write", "receive", "send", "ready", "accept", "connect", "shutdown"};

int end_direction(const struct mop *m)
{
    switch (m->kind) {
    case MOP_WRITE:
    case MOP_SEND:
    case MOP_CONNECT:
    case MOP_SHUTDOWN:
        return WRITING;
    case MOP_READY:
        return m->events == LOOP_WRITABLE ? WRITING : READING;
    default:
        return READING;
    }
}

static bool transfers(enum mop_kind kind)
{
    return kind <= MOP_SEND;
}

/* --------------------------------------------------------------------------------------------------------- the memory -- */

size_t op_some_length(void)
{
    uint32_t what = below(100);

    if (what < 3)
        return 0;
    if (what < 55)
        return 1 + below(64);
    if (what < 80)
        return 1 + below(1000);
    if (what < 95)
        return 1 + below(9000);
    return 1 + below(80000);
}

static size_t some_datagram_length(void)
{
    return 8 + (chance(70) ? below(100) : below(3000));
}

/* The operation's own memory, new or used before. */
void op_make(struct mop *m, enum mop_kind kind)
{
    if (m->op == NULL) {
        m->op = memory_new(sizeof(*m->op));
        memset(m->op, 0, sizeof(*m->op));
    }
    m->op->data = m;
    m->kind = kind;
    m->piece_count = 0;
    m->length = 0;
    m->with_cb = chance(65);
    m->stream = false;
}

static void free_pieces(struct mop *m)
{
    for (unsigned i = 0; i < m->piece_count; i++)
        memory_free(m->pieces[i].base, m->pieces[i].len);
    m->piece_count = 0;
    memory_free(m->from, sizeof(*m->from));
    m->from = NULL;
}

void op_release(struct mop *m)
{
    free_pieces(m);
    memory_free(m->op, sizeof(*m->op));
    m->op = NULL;
}

/* Cuts length bytes into pieces, and makes the array for the call, which goes right after it. */
loop_buf_t *op_bufs(struct mop *m, size_t length, unsigned *count)
{
    unsigned pieces = chance(70) ? 1 : chance(70) ? 1 + below(4) : 9 + below(PIECES_MAX - 8);
    struct flow *out = end_direction(m) == WRITING ? m->end->out : NULL;
    size_t left = length;
    loop_buf_t *bufs;

    m->length = length;
    *count = 0;
    if (length == 0 && chance(30))
        return NULL;
    bufs = memory_new(sizeof(*bufs) * pieces);
    for (unsigned i = 0; i < pieces; i++) {
        size_t len = i + 1 == pieces ? left : left / (pieces - i) + below(8);

        if (len > left)
            len = left;
        m->pieces[i].base = memory_new(len);
        m->pieces[i].len = len;
        if (out != NULL)
            flow_fill(out, m->pieces[i].base, length - left, len);
        bufs[i].base = m->pieces[i].base;
        bufs[i].len = len;
        left -= len;
    }
    m->piece_count = pieces;
    *count = pieces;
    return bufs;
}

/* ------------------------------------------------------------------------------------------------------- completions -- */

static bool reset_is_possible(const struct end *e)
{
    return (e->in != NULL && e->in->closed) || (e->out != NULL && e->out->reader_gone);
}

/* The errors that a kind of operation may report by itself. */
static bool is_plausible(const struct mop *m, int status)
{
    const struct end *e = m->end;

    switch (m->kind) {
    case MOP_READ:
        if (status == LOOP_EOF)
            return e->in != NULL && (e->in->ended || e->in->closed);
        return status == LOOP_ECONNRESET && reset_is_possible(e);
    case MOP_WRITE:
        if (e->connecting || e->failed)
            return status == LOOP_EPIPE || status == LOOP_ENOTCONN || status == LOOP_ECONNRESET ||
                   status == LOOP_ECONNREFUSED;
        if (status == LOOP_EPIPE)
            return e->out->reader_gone || e->raw_shut;
        return status == LOOP_ECONNRESET && reset_is_possible(e);
    case MOP_SEND:
        return e->out->reader_gone && (status == LOOP_ECONNREFUSED || status == LOOP_ENOTCONN || status == LOOP_EPIPE ||
                                       status == LOOP_ECONNRESET);
    case MOP_RECEIVE:
        return reset_is_possible(e) && status == LOOP_ECONNRESET;
    case MOP_CONNECT:
        /* EPIPE: accepted, ended and reset before it was looked at. */
        return (status == LOOP_ECONNREFUSED || status == LOOP_ECONNRESET || status == LOOP_EPIPE) &&
               e->pair->dialled == NULL;
    case MOP_SHUTDOWN:
        return status == LOOP_ENOTCONN && (reset_is_possible(e) || e->raw_shut || e->connecting || e->failed);
    case MOP_ACCEPT:
        return status == LOOP_EMFILE && world->plan->faults == FAULTS_MIXED;
    case MOP_READY:
        return false;
    }
    return false;
}

static void check_status(struct mop *m)
{
    int status = m->op->status;
    const char *name = names[m->kind];

    if (m->must_time_out)
        CHECK(status == LOOP_ETIMEDOUT && m->op->bytes == 0, "a %s after the deadline gave %s", name,
              loop_err_name(status));
    if (status == 0 || is_injected(status))
        return;
    if (status == LOOP_EBADF && m->end->robbed)
        return;
    if (status == LOOP_ECANCELED) {
        CHECK(m->may_cancel || ((m->end->failed || m->end->connecting) && end_direction(m) == WRITING),
              "a %s was cancelled that nobody cancelled", name);
        return;
    }
    if (status == LOOP_ETIMEDOUT) {
        CHECK(m->may_time_out || m->must_time_out, "a %s timed out without a deadline, or early", name);
        return;
    }
    CHECK(is_plausible(m, status), "%s %d.%d, a %s, gave %s", end_kind_name(m->end), m->end->h.number, m->number, name,
          loop_err_name(status));
}

/* In each direction, what completes by a callback comes in the order of submission, and so does what is handed out. */
static void check_order(struct mop *m)
{
    struct end *e = m->end;
    uint64_t *last = &e->last_seq[end_direction(m)][m->with_cb];
    bool ended_alone = m->alone && (m->op->status == LOOP_ECANCELED || m->op->status == LOOP_ETIMEDOUT);

    if (m->stream || m->kind == MOP_READY || ended_alone)
        return;
    CHECK(m->seq > *last, "%s %d.%d, a %s, completed before one submitted earlier", end_kind_name(e), e->h.number,
          m->number, names[m->kind]);
    *last = m->seq;
}

static unsigned char *gathered(struct mop *m, size_t length)
{
    unsigned char *data = memory_new(length);
    size_t done = 0;

    for (unsigned i = 0; i < m->piece_count && done < length; i++) {
        size_t n = m->pieces[i].len < length - done ? m->pieces[i].len : length - done;

        memcpy(data + done, m->pieces[i].base, n);
        done += n;
    }
    return data;
}

/* Reads may be told of in another order than they were made in, if one has a callback and another has not. */
static void read_completed(struct mop *m, size_t bytes)
{
    struct end *e = m->end;

    m->receipt->done = true;
    m->receipt->eof = m->op->status == LOOP_EOF;
    m->receipt->length = bytes;
    m->receipt->data = gathered(m, bytes);
    m->receipt = NULL;
    while (e->receipts != NULL && e->receipts->done) {
        struct receipt *receipt = e->receipts;

        e->receipts = receipt->next;
        if (e->receipts == NULL)
            e->last_receipt = NULL;
        if (receipt->length > 0)
            flow_received(e->in, receipt->data, receipt->length);
        if (receipt->eof)
            flow_eof(e->in);
        memory_free(receipt->data, receipt->length);
        memory_free(receipt, sizeof(*receipt));
    }
}

static void transfer_completed(struct mop *m, bool more)
{
    struct end *e = m->end;
    size_t bytes = m->op->bytes;
    int status = m->op->status;
    unsigned char *data;
    bool ours;

    CHECK(bytes <= m->length, "%zu of %zu bytes", bytes, m->length);
    switch (m->kind) {
    case MOP_READ:
        CHECK(status == 0 ? bytes > 0 || m->length == 0 : bytes == 0, "a read of %zu bytes gave %zu and %s", m->length,
              bytes, loop_err_name(status));
        if (status == LOOP_ECONNRESET)
            e->in->torn = true;
        read_completed(m, bytes);
        break;
    case MOP_RECEIVE:
        if (status != 0)
            break;
        CHECK(!m->stream || more, "a result of a stream that is its end");
        data = gathered(m, bytes);
        ours =
            flow_received_datagram(e->in, data, bytes, m->length, (m->op->flags & LOOP_OP_TRUNCATED) != 0, m->with_cb);
        if (ours && m->from != NULL && e->pair->kind == PAIR_UDP)
            CHECK(loop_ip_port((struct sockaddr *)m->from) ==
                      loop_ip_port((struct sockaddr *)&e->pair->ends[1 - e->side].addr),
                  "a datagram from another sender");
        memory_free(data, bytes);
        break;
    case MOP_SEND:
        CHECK(status == 0 ? bytes == m->length : bytes == 0, "a datagram of %zu bytes: %zu sent, %s", m->length, bytes,
              loop_err_name(status));
        if (e->out->reader_gone && e->in != NULL)
            e->in->torn = true;
        flow_sent(e->out, m->sent, bytes, status == 0);
        break;
    default:
        CHECK(status == 0 ? bytes == m->length : bytes < m->length || m->length == 0, "a write of %zu bytes: %zu, %s",
              m->length, bytes, loop_err_name(status));
        e->written += bytes;
        flow_sent(e->out, m->sent, bytes, status == 0);
        break;
    }
}

static void result(struct mop *m, bool more)
{
    struct end *e = m->end;
    int status = m->op->status;

    if (transfers(m->kind)) {
        transfer_completed(m, more);
        return;
    }
    CHECK(m->op->bytes == 0, "%zu bytes of a %s", m->op->bytes, names[m->kind]);
    switch (m->kind) {
    case MOP_READY:
        CHECK(status != 0 || ((m->op->flags & m->events) != 0 && (m->op->flags & ~m->events) == 0),
              "waited for %u, found %u", m->events, m->op->flags);
        break;
    case MOP_ACCEPT:
        CHECK((status == 0) == (m->op->fd != LOOP_INVALID_FD), "accept gave %s and %d", loop_err_name(status),
              (int)m->op->fd);
        if (status == 0)
            end_accepted(e, m->op->fd);
        break;
    case MOP_CONNECT:
        tcp_connected(e, status);
        break;
    case MOP_SHUTDOWN:
        if (status == LOOP_ECANCELED || status == LOOP_ETIMEDOUT)
            e->shut = false; /* ended before its turn, it has shut nothing */
        break;
    default:
        break;
    }
}

/* A result, by callback or by loop_wait(). */
static void completed(struct mop *m, loop_op_t *op)
{
    struct end *e = m->end;
    bool more = (op->flags & LOOP_OP_MORE) != 0;

    CHECK(m->op == op && m->in_flight, "an operation completes twice");
    CHECK(e->h.life != LIFE_NONE && e->h.in_flight > 0, "an operation completes after its handle was closed");
    CHECK(loop_op_get_handle(op) == e->h.handle, "the handle of an operation");
    CHECK(loop_handle_get_type(e->h.handle) != LOOP_UNKNOWN_HANDLE, "an operation completes after the close callback");
    CHECK(!more || (m->stream && op->status == 0), "more to come of what is no stream, or after an error");
    say("%s %d.%d, a %s: %s, %zu bytes%s", end_kind_name(e), e->h.number, m->number, names[m->kind],
        loop_err_name(op->status), op->bytes, more ? ", more to come" : "");
    if (!m->may_cancel || m->due <= loop_now(world->loop))
        op_note_time(m);
    if (!more) {
        m->in_flight = false;
        e->h.in_flight--;
    }
    check_status(m);
    check_order(m);
    result(m, more);
    if (more)
        return;
    m->due = NEVER;
    free_pieces(m);
    if (chance(60))
        op_release(m);
}

static void on_op(loop_op_t *op)
{
    struct mop *m = op->data;
    struct end *e = m->end;

    callback_enter(RANK_DISPATCH, &e->h, names[m->kind]);
    CHECK(m->with_cb, "a callback of an operation without one");
    completed(m, op);
    /* Often the operation itself goes on, or is ended while a result of it is looked at. */
    callback_act(&e->h);
    callback_leave();
}

struct end *op_delivered(loop_op_t *op)
{
    struct mop *m = op->data;
    struct end *e = m->end;
    struct atom outer = atom_open(ATOM_CALLBACK, &e->h.place);

    CHECK(!m->with_cb, "an operation with a callback was handed out");
    completed(m, op);
    atom_close(outer);
    return e;
}

loop_op_cb op_cb(struct mop *m)
{
    return m->with_cb ? on_op : NULL;
}

/* --------------------------------------------------------------------------------------------------------- submission -- */

void op_note_time(struct mop *m)
{
    if (m->due <= loop_now(world->loop) || end_is_over(m->end, end_direction(m)))
        m->may_time_out = true;
}

static void note_receipt(struct mop *m)
{
    struct end *e = m->end;
    struct receipt *receipt = memory_new(sizeof(*receipt));

    memset(receipt, 0, sizeof(*receipt));
    if (e->last_receipt != NULL)
        e->last_receipt->next = receipt;
    else
        e->receipts = receipt;
    e->last_receipt = receipt;
    m->receipt = receipt;
}

/* The call returned rc: what holds now. */
void op_submitted(struct mop *m, int rc, int expected)
{
    struct end *e = m->end;

    say("%s %d.%d: %s%s%s, %zu bytes in %u pieces: %s", end_kind_name(e), e->h.number, m->number, names[m->kind],
        m->stream ? " stream" : "", m->with_cb ? "" : " without a callback", m->length, m->piece_count,
        loop_err_name(rc));
    if (is_injected(rc) && expected == 0) {
        free_pieces(m);
        return;
    }
    CHECK_RC(rc, expected);
    if (rc != 0) {
        free_pieces(m);
        return;
    }
    m->in_flight = true;
    m->may_cancel = false;
    m->alone = false;
    m->may_time_out = false;
    m->must_time_out = e->over[end_direction(m)];
    m->seq = ++world->seq;
    m->due = NEVER;
    e->h.in_flight++;
    if (m->kind == MOP_READ)
        note_receipt(m);
    if (m->kind == MOP_WRITE || m->kind == MOP_SEND)
        m->sent = flow_send(e->out, m->length);
    if (m->kind == MOP_WRITE && e->out->reader_gone && e->out->tcp && e->in != NULL)
        e->in->torn = true;
    if (m->kind == MOP_SEND && e->out->reader_gone && e->in != NULL)
        e->in->torn = true;
}

static int call_transfer(struct mop *m, loop_desc_t *desc, const loop_buf_t *bufs, unsigned count)
{
    struct sockaddr_storage *to = NULL;
    int rc;

    switch (m->kind) {
    case MOP_READ:
        return loop_op_read(desc, m->op, bufs, count, op_cb(m));
    case MOP_WRITE:
        return loop_op_write(desc, m->op, bufs, count, op_cb(m));
    case MOP_RECEIVE:
        if (m->stream)
            return loop_op_receive_stream(desc, m->op, bufs, count, m->from, op_cb(m));
        return loop_op_receive(desc, m->op, bufs, count, m->from, op_cb(m));
    default:
        if (m->end->pair->kind == PAIR_UDP) {
            to = memory_new(sizeof(*to));
            *to = m->end->pair->ends[1 - m->end->side].addr;
        }
        rc = loop_op_send(desc, m->op, bufs, count, (struct sockaddr *)to, op_cb(m));
        memory_free(to, sizeof(*to));
        return rc;
    }
}

static void submit_transfer(struct mop *m, int expected)
{
    struct end *e = m->end;
    bool datagram = m->kind == MOP_RECEIVE || m->kind == MOP_SEND;
    loop_buf_t *bufs;
    unsigned count;
    int rc;

    if (datagram && m->kind == MOP_RECEIVE && chance(50)) {
        m->from = memory_new(sizeof(*m->from));
        memset(m->from, 0, sizeof(*m->from));
    }
    bufs = op_bufs(m, datagram ? some_datagram_length() : op_some_length(), &count);
    CALL(rc, call_transfer(m, (loop_desc_t *)e->h.handle, bufs, count));
    memory_free(bufs, sizeof(*bufs) * count);
    op_submitted(m, rc, expected);
}

/* The listener that is dialled; it may be closed before the connection is made. */
static void submit_connect(struct mop *m, int expected)
{
    struct end *e = m->end;
    struct end *listener = &world->listeners[below((uint32_t)world->listener_count)];
    struct sockaddr_storage *addr;
    int rc;

    if (listener->fd == LOOP_INVALID_FD || e->connecting || e->connected || e->failed)
        return;
    addr = memory_new(sizeof(*addr));
    *addr = listener->addr;
    CALL(rc, loop_op_connect((loop_desc_t *)e->h.handle, m->op, (struct sockaddr *)addr, op_cb(m)));
    memory_free(addr, sizeof(*addr));
    op_submitted(m, rc, expected);
    if (rc == 0) {
        e->connecting = true;
        e->pair->dialled = listener;
        end_note_port(e);
    }
}

/* Submits on a descriptor. */
void op_submit(struct mop *m, enum mop_kind kind, bool stream)
{
    struct end *e = m->end;
    loop_desc_t *desc = (loop_desc_t *)e->h.handle;
    int expected = e->h.life == LIFE_OPEN ? 0 : LOOP_EBADF;
    int rc;

    if (m->in_flight) {
        loop_buf_t buf = {NULL, 0};

        CALL(rc, loop_op_read(desc, m->op, &buf, 1, NULL));
        CHECK_RC(rc, e->h.life == LIFE_OPEN ? LOOP_EBUSY : LOOP_EBADF);
        return;
    }
    op_make(m, kind);
    m->stream = stream;
    switch (kind) {
    case MOP_READY:
        m->events = e->pair == NULL ? LOOP_READABLE : 1 + below(3);
        if (e->pair != NULL && e->pair->kind == PAIR_PIPE)
            m->events = e->side == 0 ? LOOP_READABLE : LOOP_WRITABLE;
        CALL(rc, loop_op_ready(desc, m->op, m->events, op_cb(m)));
        op_submitted(m, rc, expected);
        return;
    case MOP_ACCEPT:
        if (stream)
            CALL(rc, loop_op_accept_stream(desc, m->op, op_cb(m)));
        else
            CALL(rc, loop_op_accept(desc, m->op, op_cb(m)));
        op_submitted(m, rc, expected);
        return;
    case MOP_CONNECT:
        submit_connect(m, expected);
        return;
    default:
        submit_transfer(m, expected);
        return;
    }
}

void op_cancel(struct mop *m)
{
    int rc;

    if (m->op == NULL)
        return;
    say("cancel %s %d.%d", end_kind_name(m->end), m->end->h.number, m->number);
    if (m->in_flight)
        op_note_time(m);
    CALL(rc, loop_op_cancel(m->op));
    CHECK_RC(rc, m->in_flight ? 0 : LOOP_ENOENT);
    if (m->in_flight) {
        m->may_cancel = true;
        m->alone = true;
    }
}

void op_deadline(struct mop *m)
{
    uint64_t due = some_due();
    uint64_t now = loop_now(world->loop);
    int rc;

    if (m->op == NULL)
        return;
    say("deadline of %s %d.%d: in %lld ns", end_kind_name(m->end), m->end->h.number, m->number,
        due == NEVER ? -1LL : (long long)(due - now));
    if (m->in_flight)
        op_note_time(m);
    CALL(rc, loop_op_set_deadline(m->op, due));
    if (is_injected(rc))
        return;
    CHECK_RC(rc, m->in_flight ? 0 : LOOP_ENOENT);
    if (!m->in_flight)
        return;
    m->due = due;
    m->alone = m->alone || due != NEVER;
    op_note_time(m);
}

static enum mop_kind some_kind(const struct end *e, bool *stream)
{
    uint32_t what = below(100);

    *stream = false;
    if (what < 10 && (e->connected || e->pair == NULL))
        return MOP_READY;
    if (e->pair == NULL) {
        *stream = what < 50;
        return MOP_ACCEPT;
    }
    if (!e->connected && !e->connecting)
        return MOP_CONNECT;
    if (e->pair->kind == PAIR_DATAGRAM || e->pair->kind == PAIR_UDP) {
        *stream = what < 30;
        return what < 55 ? MOP_RECEIVE : MOP_SEND;
    }
    if (e->pair->kind == PAIR_PIPE)
        return e->side == 0 ? MOP_READ : MOP_WRITE;
    return what < 55 && e->connected ? MOP_READ : MOP_WRITE;
}

void op_act(struct end *e)
{
    struct mop *m = &e->ops[below(OPS_PER_END)];
    uint32_t what = below(100);
    enum mop_kind kind;
    bool stream;

    if (what < 12) {
        op_cancel(m);
    } else if (what < 22) {
        op_deadline(m);
    } else if (!e->failed) {
        kind = some_kind(e, &stream);
        op_submit(m, kind, stream);
    }
}
