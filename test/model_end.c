/* Descriptors that come in pairs, and listeners: opening, attaching, detaching, closing, deadlines. */
#include "model.h"

static const char *const kind_names[] = {"unix",     "unix", "datagram", "udp",           "pipe",
                                         "tcp-desc", "tcp",  "tcp",      "dialling desc", "dialling tcp"};

const char *end_kind_name(const struct end *e)
{
    return e->pair == NULL ? "listener" : kind_names[e->pair->kind];
}

bool pair_is_dialling(const struct pair *pair)
{
    return pair->kind == PAIR_DIAL || pair->kind == PAIR_DIAL_DESC;
}

bool end_is_tcp_socket(const struct end *e)
{
    return e->pair != NULL && e->pair->kind >= PAIR_TCP_DESC;
}

static loop_desc_t *desc_of(const struct end *e)
{
    return (loop_desc_t *)e->h.handle;
}

/* ----------------------------------------------------------------------------------------------------------- the end -- */

static void forget_flows(struct end *e)
{
    flow_unref(e->in);
    flow_unref(e->out);
    e->in = NULL;
    e->out = NULL;
}

/* The descriptor is being closed: what the other side may see from now on. */
static void close_flows(struct end *e)
{
    if (e->out != NULL)
        e->out->closed = true;
    if (e->in != NULL) {
        /* Bytes that nobody reads any more: TCP answers by a reset, which destroys what is on its way back. */
        bool unread = e->in->pending > 0 || e->in->received_total < e->in->sent_total;

        e->in->reader_gone = true;
        if (e->in->tcp && unread && e->out != NULL)
            e->out->torn = true;
    }
}

static void forget_fd(struct end *e)
{
    end_note_port(e);
    close_flows(e);
    if (e->pair == NULL)
        end_listener_closed(e);
    e->fd = LOOP_INVALID_FD;
}

bool end_is_lost(const struct end *e)
{
    return e->robbed && e->h.life == LIFE_OPEN && loop_desc_fd((const loop_desc_t *)e->h.handle) == LOOP_INVALID_FD;
}

static void on_gone(struct mhandle *h)
{
    struct end *e = (struct end *)h;

    for (int i = 0; i < OPS_PER_END; i++)
        CHECK(!e->ops[i].in_flight, "%s %d closed with an operation in flight", h->name, h->number);
    memory_free(e->given, e->given_size);
    e->given = NULL;
    while (e->receipts != NULL) {
        struct receipt *receipt = e->receipts;

        e->receipts = receipt->next;
        CHECK(receipt->done, "a read that never completed");
        memory_free(receipt->data, receipt->length);
        memory_free(receipt, sizeof(*receipt));
    }
    e->last_receipt = NULL;
    e->robbed = false;
    if (e->fd == LOOP_INVALID_FD)
        forget_flows(e);
}

/* What closing ends; the operations complete later. */
static void end_stops(struct end *e)
{
    for (int i = 0; i < OPS_PER_END; i++) {
        struct mop *m = &e->ops[i];

        if (!m->in_flight)
            continue;
        op_note_time(m);
        m->may_cancel = true;
    }
    e->reading = false;
    e->waits = false;
    e->above = false;
    e->pause = 0;
}

void end_close_fd(struct end *e)
{
    say("close the descriptor of %s %d", end_kind_name(e), e->h.number);
    system_close(e->fd);
    forget_fd(e);
    forget_flows(e);
}

void end_free(struct end *e)
{
    if (e->fd != LOOP_INVALID_FD)
        end_close_fd(e);
    forget_flows(e);
    for (int i = 0; i < OPS_PER_END; i++)
        op_release(&e->ops[i]);
}

void end_close(struct end *e)
{
    int rc;

    if (e->h.life == LIFE_NONE) {
        if (e->fd != LOOP_INVALID_FD)
            end_close_fd(e);
        return;
    }
    if (e->h.life == LIFE_CLOSING) {
        handle_close(&e->h);
        return;
    }
    end_note_port(e);
    end_stops(e);
    if (e->is_tcp && chance(30)) {
        tcp_close(e);
    } else {
        CALL(rc, loop_handle_close(e->h.handle, handle_close_cb(&e->h)));
        handle_closing(&e->h, rc);
    }
    if (e->owned)
        forget_fd(e);
}

/* ------------------------------------------------------------------------------------------------------------ opening -- */

void end_init(struct end *e, struct pair *pair, int number, int side)
{
    memset(e, 0, sizeof(*e));
    e->h.name = "end";
    e->h.number = number;
    e->h.gone = on_gone;
    e->h.act = end_act;
    e->pair = pair;
    e->side = side;
    e->fd = LOOP_INVALID_FD;
    for (int i = 0; i < OPS_PER_END; i++) {
        e->ops[i].end = e;
        e->ops[i].number = i;
        e->ops[i].due = NEVER;
    }
}

static void reset(struct end *e)
{
    e->is_tcp = false;
    e->owned = false;
    e->attached = false;
    e->connecting = false;
    e->connected = e->pair != NULL && !pair_is_dialling(e->pair);
    e->failed = false;
    e->shut = false;
    e->raw_shut = false;
    e->reading = false;
    e->eof = false;
    e->waits = false;
    e->pause = 0;
    e->tried = 0;
    e->written = 0;
    e->drain_set = false;
    e->above = false;
}

static void reset_handle(struct end *e)
{
    e->robbed = false;

    for (int direction = READING; direction <= WRITING; direction++) {
        e->due[direction] = NEVER;
        e->over[direction] = false;
        e->last_seq[direction][0] = 0;
        e->last_seq[direction][1] = 0;
    }
}

/* A connection that was reset before, or ended from both sides, is none any more. */
static bool check_opened(struct end *e, const loop_tcp_t *tcp)
{
    seam_opened(e->fd);
    e->tried = 0;
    e->written = 0;
    CHECK(tcp_number(tcp) == e->fd, "the descriptor of a handle");
    if (loop_tcp_is_writable(tcp))
        return true;
    CHECK(e->in->closed || (e->in->ended && e->raw_shut), "end %d: an open connection is taken for none", e->h.number);
    end_close(e);
    return false;
}

/* Gives the end's descriptor a handle. */
bool end_attach(struct end *e, bool as_tcp)
{
    unsigned flags = 0;
    int rc;

    reset_handle(e);
    e->attached = true;
    if (as_tcp) {
        loop_tcp_t *tcp = (loop_tcp_t *)handle_new(&e->h, sizeof(loop_tcp_t));

        say("open a tcp handle on end %d", e->h.number);
        CALL(rc, loop_tcp_init(world->loop, tcp));
        CHECK_RC(rc, 0);
        (void)handle_opened(&e->h, rc);
        e->is_tcp = true;
        e->owned = true;
        CALL(rc, loop_tcp_open(tcp, e->fd));
        if (is_injected(rc)) {
            /* The descriptor is still ours; the handle has none. */
            CALL(rc, loop_handle_close(e->h.handle, NULL));
            e->owned = false;
            e->h.with_cb = false;
            handle_closing(&e->h, rc);
            return false;
        }
        CHECK_RC(rc, 0);
        return check_opened(e, tcp);
    }
    e->is_tcp = false;
    e->owned = chance(50);
    if (e->owned)
        flags |= LOOP_DESC_OWNED;
    if (end_is_tcp_socket(e) && system_is_surely_async(e->fd) && chance(50))
        flags |= LOOP_DESC_TCP;
    say("attach %s %d%s%s", end_kind_name(e), e->h.number, e->owned ? ", owned" : "",
        flags & LOOP_DESC_TCP ? ", promised to be TCP" : "");
    CALL(rc, loop_desc_attach(world->loop, (loop_desc_t *)handle_new(&e->h, sizeof(loop_desc_t)), e->fd, flags));
    if (!is_injected(rc))
        CHECK_RC(rc, 0);
    if (!handle_opened(&e->h, rc)) {
        e->owned = false;
        return false;
    }
    CHECK(system_is_async(e->fd), "an attached descriptor that blocks, or is inherited");
    CHECK(loop_desc_fd(desc_of(e)) == e->fd, "the descriptor of a handle");
    return true;
}

static void make_flows(struct pair *pair, bool one_way)
{
    for (int side = 0; side < 2; side++) {
        struct flow *flow;

        if (one_way && side == 0)
            continue;
        flow = flow_new();
        flow->datagrams = pair->kind == PAIR_DATAGRAM || pair->kind == PAIR_UDP;
        flow->lossy = pair->kind == PAIR_UDP;
        flow->tcp = pair->kind >= PAIR_TCP_DESC;
        flow->pipe = pair->kind == PAIR_PIPE;
        flow->immediate = !flow->lossy && !flow->tcp;
        flow->refs = 2;
        pair->ends[side].out = flow;
        pair->ends[1 - side].in = flow;
    }
}

/* The first end of one that dials: a descriptor, or a TCP handle that makes its socket itself. */
static void open_dialling(struct pair *pair)
{
    struct end *e = &pair->ends[0];
    int rc;

    say("open a %s", end_kind_name(e));
    pair->dialled = NULL;
    pair->port = 0;
    make_flows(pair, false);
    if (pair->kind == PAIR_DIAL_DESC) {
        e->fd = system_socket();
        (void)end_attach(e, false);
        return;
    }
    reset_handle(e);
    CALL(rc, loop_tcp_init(world->loop, (loop_tcp_t *)handle_new(&e->h, sizeof(loop_tcp_t))));
    CHECK_RC(rc, 0);
    (void)handle_opened(&e->h, rc);
    e->is_tcp = true;
    e->owned = true;
}

bool end_is_empty(const struct end *e)
{
    return e->h.life == LIFE_NONE && e->fd == LOOP_INVALID_FD;
}

void pair_open(struct pair *pair, loop_os_fd_t number)
{
    struct sockaddr_storage addrs[2];
    loop_os_fd_t fds[2];

    forget_flows(&pair->ends[0]);
    forget_flows(&pair->ends[1]);
    reset(&pair->ends[0]);
    reset(&pair->ends[1]);
    if (pair_is_dialling(pair)) {
        open_dialling(pair);
        return;
    }
    say("open a %s pair: ends %d and %d", end_kind_name(&pair->ends[0]), pair->ends[0].h.number,
        pair->ends[1].h.number);
    system_pair(pair->kind, fds, addrs);
    if (number != LOOP_INVALID_FD) {
        system_renumber(fds[0], number);
        fds[0] = number;
    }
    make_flows(pair, pair->kind == PAIR_PIPE);
    for (int side = 0; side < 2; side++) {
        struct end *e = &pair->ends[side];
        bool raw = side == 1 && (pair->kind == PAIR_UNIX_RAW || pair->kind == PAIR_TCP_RAW);

        e->fd = fds[side];
        e->addr = addrs[side];
        if (!raw)
            (void)end_attach(e, pair->kind == PAIR_TCP || pair->kind == PAIR_TCP_RAW);
    }
}

void end_open_listener(struct end *e)
{
    reset(e);
    reset_handle(e);
    e->addr = world->loopback;
    if (chance(50)) {
        (void)tcp_listen(e);
        return;
    }
    e->fd = system_listener(&e->addr);
    say("open listener %d", e->h.number);
    (void)end_attach(e, false);
}

/* ----------------------------------------------------------------------------------------------------------- accepting -- */

void end_note_port(struct end *e)
{
    if (e->pair != NULL && e->side == 0 && pair_is_dialling(e->pair) && e->pair->port == 0) {
        loop_os_fd_t fd = e->is_tcp && e->h.life == LIFE_OPEN ? tcp_number((loop_tcp_t *)e->h.handle) : e->fd;

        e->pair->port = fd != LOOP_INVALID_FD ? system_port(fd, false) : 0;
    }
}

/* The end that an accepted connection belongs to; NULL if the dialling one has been given up. */
struct end *end_of_connection(struct end *listener, loop_os_fd_t fd)
{
    int port = system_port(fd, true);

    for (int i = 0; i < world->pair_count && port != 0; i++) {
        struct pair *pair = &world->pairs[i];

        if (!pair_is_dialling(pair) || pair->dialled != listener)
            continue;
        end_note_port(&pair->ends[0]);
        if (pair->port != port)
            continue;
        pair->dialled = NULL;
        CHECK(end_is_empty(&pair->ends[1]), "a connection was accepted twice");
        pair->ends[1].connected = true;
        return &pair->ends[1];
    }
    return NULL;
}

void end_take_handle(struct end *e, struct mhandle *from)
{
    loop_handle_t *handle = from->handle;

    reset_handle(e);
    e->h.handle = handle;
    e->h.size = from->size;
    from->handle = NULL;
    from->life = LIFE_NONE;
    handle->data = &e->h;
    e->h.life = LIFE_OPEN;
    e->h.active = from->active;
    e->h.ref = from->ref;
    e->h.in_flight = 0;
    e->h.birth = from->birth;
    e->is_tcp = true;
    e->owned = true;
    e->fd = tcp_number((loop_tcp_t *)handle);
    system_small_buffers(e->fd);
    seam_opened(e->fd);
    say("the connection is that of end %d", e->h.number);
}

void end_accepted(struct end *listener, loop_os_fd_t fd)
{
    struct end *e = end_of_connection(listener, fd);

    CHECK(system_is_async(fd), "an accepted descriptor that blocks, or is inherited");
    if (e == NULL) {
        system_close(fd);
        return;
    }
    say("the connection is that of end %d", e->h.number);
    e->fd = fd;
    system_small_buffers(fd);
    if (!world->quiet && chance(80))
        (void)end_attach(e, chance(50));
}

/* Connections in its queue are reset. */
void end_listener_closed(struct end *listener)
{
    for (int i = 0; i < world->pair_count; i++) {
        struct pair *pair = &world->pairs[i];

        if (pair->dialled != listener)
            continue;
        pair->dialled = NULL;
        if (pair->ends[1].out != NULL) {
            pair->ends[1].out->closed = true;
            pair->ends[1].out->torn = true;
        }
        if (pair->ends[1].in != NULL) {
            pair->ends[1].in->reader_gone = true;
            pair->ends[1].in->torn = true;
        }
    }
}

/* ---------------------------------------------------------------------------------------------------------- deadlines -- */

bool end_is_over(const struct end *e, int direction)
{
    return e->h.life == LIFE_OPEN && (e->over[direction] || e->due[direction] <= loop_now(world->loop));
}

uint64_t some_due(void)
{
    uint64_t now = loop_now(world->loop);

    switch (below(8)) {
    case 0:
        return chance(50) ? now : 0;
    case 1:
    case 2:
        return NEVER;
    case 3:
        return now + 1 + below(2);
    case 4:
        return now + LOOP_MS(5);
    case 5:
        return now + LOOP_SEC(3600);
    default:
        return now + LOOP_US(1 + below(20000));
    }
}

void end_deadline(struct end *e)
{
    unsigned directions = 1 + below(3);
    uint64_t due = some_due();
    uint64_t now = loop_now(world->loop);
    bool refused = e->is_tcp && e->pair == NULL;
    int rc;

    if (e->h.life == LIFE_NONE)
        return;
    say("deadline of %s %d, directions %u: in %lld ns", end_kind_name(e), e->h.number, directions,
        due == NEVER ? -1LL : (long long)(due - now));
    if (e->is_tcp)
        CALL(rc, loop_tcp_set_deadline((loop_tcp_t *)e->h.handle, directions, due));
    else
        CALL(rc, loop_desc_set_deadline(desc_of(e), directions, due));
    if (is_injected(rc))
        return;
    CHECK_RC(rc, e->h.life != LIFE_OPEN || end_is_lost(e) ? LOOP_EBADF : refused ? LOOP_EINVAL : 0);
    if (rc != 0)
        return;
    for (int i = 0; i < OPS_PER_END; i++) {
        if (e->ops[i].in_flight)
            op_note_time(&e->ops[i]);
    }
    for (int direction = READING; direction <= WRITING; direction++) {
        if (!(directions & (direction == READING ? LOOP_READABLE : LOOP_WRITABLE)))
            continue;
        e->due[direction] = due;
        e->over[direction] = due <= now;
    }
    for (int i = 0; i < OPS_PER_END; i++) {
        if (e->ops[i].in_flight)
            op_note_time(&e->ops[i]);
    }
}
