/* What a step does to an end: with its handle and its operations, without a handle, or behind the handle's back. */
#include "model.h"

static void detach(struct end *e)
{
    loop_desc_t *desc = (loop_desc_t *)e->h.handle;
    int rc;

    if (e->is_tcp || e->h.life == LIFE_NONE)
        return;
    say("detach %s %d", end_kind_name(e), e->h.number);
    CALL(rc, loop_desc_detach(desc));
    CHECK_RC(rc, e->h.life != LIFE_OPEN ? LOOP_EBADF
                 : e->h.in_flight > 0   ? LOOP_EBUSY
                 : system_can.detaches  ? 0
                                        : LOOP_ENOTSUP);
    if (rc != 0)
        return;
    CHECK(loop_handle_get_type(&desc->handle) == LOOP_UNKNOWN_HANDLE, "a type after detaching");
    e->owned = false;
    handle_release(&e->h);
}

/* A second watcher of the same descriptor is refused, and disturbs nobody. */
static void attach_twice(struct end *e)
{
    loop_desc_t *desc;
    int rc;

    if (e->h.life != LIFE_OPEN || e->fd == LOOP_INVALID_FD || (e->pair != NULL && !e->connected))
        return;
    desc = memory_new(sizeof(*desc));
    say("attach %s %d again", end_kind_name(e), e->h.number);
    CALL(rc, loop_desc_attach(world->loop, desc, e->fd, 0));
    if (!is_injected(rc))
        CHECK_RC(rc, LOOP_EEXIST);
    memory_free(desc, sizeof(*desc));
}

/* The owner closes the descriptor before the handle, while a duplicate lives on, and its number goes to another. */
static void rob(struct end *e)
{
    struct pair *pair = &world->pairs[below((uint32_t)world->pair_count)];
    loop_os_fd_t number = e->fd;

    if (e->is_tcp || e->owned || e->h.life != LIFE_OPEN || e->pair == NULL || pair_is_dialling(pair) ||
        !system_can.detaches || world->plan->faults == FAULTS_MIXED || !end_is_empty(&pair->ends[0]) ||
        !end_is_empty(&pair->ends[1]))
        return;
    say("close the descriptor of %s %d before its handle", end_kind_name(e), e->h.number);
    e->fd = system_duplicate(number);
    e->robbed = true;
    pair_open(pair, number);
}

/* All that is left is to end it. */
static void act_robbed(struct end *e)
{
    struct mop *m = &e->ops[below(OPS_PER_END)];

    switch (below(4)) {
    case 0:
        end_close(e);
        break;
    case 1:
        end_deadline(e);
        break;
    case 2:
        op_deadline(m);
        break;
    default:
        op_cancel(m);
        break;
    }
}

static void raw_read(struct end *e)
{
    unsigned char data[4096];
    ptrdiff_t n;

    if (e->in == NULL)
        return;
    n = system_read(e->fd, data, e->in->datagrams ? sizeof(data) : 1 + below(sizeof(data)));
    say("end %d reads by itself: %td", e->h.number, n);
    if (n > 0) {
        if (e->in->datagrams)
            (void)flow_received_datagram(e->in, data, (size_t)n, sizeof(data), false, 0);
        else
            flow_received(e->in, data, (size_t)n);
    } else if (n == 0) {
        flow_eof(e->in);
    } else {
        CHECK(n == LOOP_EAGAIN || (n == LOOP_ECONNRESET && e->in->closed), "end %d: %s", e->h.number,
              loop_err_name((int)n));
        if (n == LOOP_ECONNRESET)
            e->in->torn = true;
    }
}

static void raw_write(struct end *e)
{
    unsigned char data[4096];
    size_t length = 1 + below(sizeof(data));
    ptrdiff_t n;

    if (e->out == NULL || e->raw_shut || e->out->datagrams)
        return;
    if (e->out->reader_gone && e->in != NULL && e->in->tcp)
        e->in->torn = true;
    flow_fill(e->out, data, 0, length);
    n = system_write(e->fd, data, length);
    say("end %d writes by itself: %td", e->h.number, n);
    if (n > 0) {
        flow_sent(e->out, flow_send(e->out, length), (size_t)n, true);
    } else {
        CHECK(n == LOOP_EAGAIN || e->out->reader_gone, "end %d: %s", e->h.number, loop_err_name((int)n));
    }
}

/* An end without a handle. */
static void act_raw(struct end *e)
{
    switch (below(12)) {
    case 0:
    case 1:
        end_close_fd(e);
        break;
    case 2:
    case 3:
        if (system_can.detaches || !e->attached)
            (void)end_attach(e, e->pair != NULL && end_is_tcp_socket(e) && e->connected && chance(50));
        break;
    case 4:
        if (e->out != NULL && !e->out->datagrams && e->pair->kind != PAIR_PIPE && !e->raw_shut && e->connected) {
            say("end %d shuts down by itself", e->h.number);
            system_shutdown(e->fd);
            e->raw_shut = true;
            e->out->ended = true;
        }
        break;
    case 5:
    case 6:
    case 7:
        if (e->connected)
            raw_read(e);
        break;
    default:
        if (e->connected)
            raw_write(e);
        break;
    }
}

void end_act_outside(struct end *e)
{
    if (e->pair == NULL || e->h.life != LIFE_NONE || e->fd == LOOP_INVALID_FD || !e->connected)
        return;
    switch (below(8)) {
    case 0:
        end_close_fd(e);
        break;
    case 1:
    case 2:
        raw_read(e);
        break;
    default:
        raw_write(e);
        break;
    }
}

void end_act(struct mhandle *h)
{
    struct end *e = (struct end *)h;
    uint32_t what;

    if (end_is_empty(e)) {
        if (e->pair == NULL)
            end_open_listener(e);
        else if (end_is_empty(&e->pair->ends[0]) && end_is_empty(&e->pair->ends[1]) && e->pair->dialled == NULL)
            pair_open(e->pair, LOOP_INVALID_FD);
        return;
    }
    if (e->h.life == LIFE_NONE) {
        act_raw(e);
        return;
    }
    if (e->robbed && e->h.life == LIFE_OPEN) {
        act_robbed(e);
        return;
    }
    what = below(100);
    if (what < 6)
        end_close(e);
    else if (what < 7)
        rob(e);
    else if (what < 8)
        detach(e);
    else if (what < 10)
        handle_act(&e->h);
    else if (what < 11)
        attach_twice(e);
    else if (what < 20)
        end_deadline(e);
    else if (e->is_tcp && e->pair == NULL)
        tcp_listener_act(e);
    else if (e->is_tcp)
        tcp_act(e);
    else
        op_act(e);
}
