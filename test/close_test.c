/*
 * Closing from inside every kind of callback: the handle itself, and another whose event stands in the same batch. After its
 * close callback nothing may be heard of a handle; the memory of those is filled with garbage to make sure.
 */
#include "support.h"

static loop_t *loop;

/* All the handles of one scene. Each kind of callback calls act(), which closes everything. */
struct scene {
    loop_tcp_t reader;
    loop_tcp_t writer;
    loop_tcp_t server;
    loop_tcp_t client;
    loop_desc_t desc;
    loop_timer_t timer;
    loop_prepare_t prepare;
    loop_check_t check;
    loop_idle_t idle;
    loop_async_t async;
    loop_op_t write;
    loop_op_t shutdown;
    loop_op_t connect;
    loop_op_t ready;
    loop_task_t task;
};

static struct scene *scene;
static const char *actor; /* the kind of callback that closes */
static int acted;
static int live_handles;
static int live_ops;

static void on_closed(loop_handle_t *handle)
{
    assert_true(live_handles > 0);
    live_handles--;
    memset(handle, 0xee, sizeof(*handle));
    if (live_handles == 0)
        assert_int_equal(live_ops, 0);
}

static void close_one(loop_handle_t *handle, void *arg)
{
    (void)arg;
    assert_ok(loop_handle_close(handle, on_closed));
    assert_int_equal(loop_handle_close(handle, on_closed), LOOP_EBADF);
    support_check(loop);
}

static void act(const char *kind)
{
    assert_true(live_handles > 0);
    support_check(loop);
    if (strcmp(kind, actor) != 0 || acted)
        return;
    acted = 1;
    assert_ok(loop_walk(loop, close_one, NULL));
    support_check(loop);
}

static void on_op(loop_op_t *op)
{
    live_ops--;
    act(op->data);
}

static void on_read(loop_tcp_t *t, ptrdiff_t nread, const loop_buf_t *buf)
{
    (void)buf;
    /* After closing in the alloc callback the buffer comes back, nothing else. */
    assert_true(nread == 0 || !loop_handle_is_closing(&t->handle));
    act(nread == LOOP_EOF ? "end" : "read");
}

static char piece[4096];

static void on_alloc(loop_tcp_t *t, size_t suggested, loop_buf_t *buf)
{
    (void)t;
    (void)suggested;
    buf->base = piece;
    buf->len = sizeof(piece);
    act("alloc");
}

static void on_connection(loop_tcp_t *server, int status)
{
    loop_os_fd_t fd;

    assert_ok(status);
    act("connection");
    if (loop_tcp_accept_fd(server, &fd) == 0)
        support_close(fd);
}

static void on_drain(loop_tcp_t *t)
{
    assert_false(loop_handle_is_closing(&t->handle));
    act("drain");
}

static void on_timer(loop_timer_t *t)
{
    (void)t;
    act("timer");
}

static void on_prepare(loop_prepare_t *p)
{
    (void)p;
    act("prepare");
}

static void on_check(loop_check_t *c)
{
    (void)c;
    act("check");
}

static void on_idle(loop_idle_t *i)
{
    (void)i;
    act("idle");
}

static void on_async(loop_async_t *a)
{
    (void)a;
    act("async");
}

static void on_task(loop_task_t *t, int status)
{
    (void)t;
    assert_ok(status);
    act("task");
}

static void submitted(loop_op_t *op, int result)
{
    assert_ok(result);
    assert_non_null(op->data);
    live_ops++;
}

/* Everything happens at once: each handle has an event in the first turns. */
static void play(void)
{
    struct sockaddr_storage addr;
    loop_buf_t hello = {"hello", 5};
    char *big;
    loop_os_fd_t pair[2];

    loop = support_loop();
    scene = calloc(1, sizeof(*scene));
    big = calloc(1, 8 << 20);
    assert_non_null(scene);
    assert_non_null(big);
    acted = 0;
    live_handles = 10;
    live_ops = 0;
    scene->write.data = "write";
    scene->shutdown.data = "shutdown";
    scene->connect.data = "connect";
    scene->ready.data = "ready";

    support_tcp_pair(loop, &scene->reader, &scene->writer);
    assert_ok(loop_tcp_read_start(&scene->reader, on_alloc, on_read));
    assert_ok(loop_tcp_set_watermarks(&scene->writer, 1, 2, on_drain));
    submitted(&scene->write, loop_tcp_write(&scene->writer, &scene->write, &(loop_buf_t){big, 8 << 20}, 1, on_op));
    submitted(&scene->shutdown, loop_tcp_shutdown(&scene->writer, &scene->shutdown, on_op));
    addr = support_listen(loop, &scene->server, on_connection);
    assert_ok(loop_tcp_init(loop, &scene->client));
    submitted(&scene->connect, loop_tcp_connect(&scene->client, &scene->connect, (struct sockaddr *)&addr, on_op));
    assert_ok(support_local_pair(pair));
    assert_ok(loop_desc_attach(loop, &scene->desc, pair[0], LOOP_DESC_OWNED));
    assert_int_equal(support_send(pair[1], hello.base, hello.len, 0), 5);
    submitted(&scene->ready, loop_op_ready(&scene->desc, &scene->ready, LOOP_READABLE, on_op));
    assert_ok(loop_timer_init(loop, &scene->timer));
    assert_ok(loop_timer_start(&scene->timer, on_timer, 0, 1));
    assert_ok(loop_prepare_init(loop, &scene->prepare));
    assert_ok(loop_prepare_start(&scene->prepare, on_prepare));
    assert_ok(loop_check_init(loop, &scene->check));
    assert_ok(loop_check_start(&scene->check, on_check));
    assert_ok(loop_idle_init(loop, &scene->idle));
    assert_ok(loop_idle_start(&scene->idle, on_idle));
    assert_ok(loop_async_init(loop, &scene->async, on_async));
    assert_ok(loop_async_send(&scene->async));
    assert_ok(loop_post(loop, &scene->task, on_task));

    for (int i = 0; live_handles > 0; i++) {
        assert_true(i < 100000);
        (void)loop_run(loop, LOOP_RUN_NOWAIT);
    }
    assert_int_equal(acted, 1);
    assert_int_equal(live_ops, 0);
    free(scene); /* a sanitizer sees who comes back to it */
    (void)loop_run(loop, LOOP_RUN_NOWAIT);
    assert_ok(loop_close(loop));
    support_close(pair[1]);
    free(big);
}

#define CLOSE_IN(kind)                                                                                                 \
    static void closing_everything_in_a_##kind##_callback(void **state)                                                \
    {                                                                                                                  \
        (void)state;                                                                                                   \
        actor = #kind;                                                                                                 \
        play();                                                                                                        \
    }

CLOSE_IN(read)
CLOSE_IN(end)
CLOSE_IN(alloc)
CLOSE_IN(write)
CLOSE_IN(drain)
CLOSE_IN(shutdown)
CLOSE_IN(connection)
CLOSE_IN(connect)
CLOSE_IN(ready)
CLOSE_IN(timer)
CLOSE_IN(prepare)
CLOSE_IN(check)
CLOSE_IN(idle)
CLOSE_IN(async)
CLOSE_IN(task)

/* A model of many connections. */
#define CONNECTIONS 24
#define WRITES 4

struct end {
    loop_tcp_t tcp;
    bool open;
    bool ended;   /* an end or an error was reported */
    bool shut;    /* shutdown was accepted */
    bool reset;   /* closed by a reset */
    uint64_t out; /* bytes that went out, by completions and try-writes */
    uint64_t in;
    loop_op_t shutdown;
    struct {
        loop_op_t op;
        bool in_flight;
    } writes[WRITES];
};

static struct end ends[CONNECTIONS][2];
static char bytes[200000];
static bool inside_call;

static void model_read(loop_tcp_t *t, ptrdiff_t nread, const loop_buf_t *buf)
{
    struct end *end = t->handle.data;

    (void)buf;
    assert_false(inside_call);
    assert_true(end->open && !end->ended && !loop_handle_is_closing(&t->handle));
    if (nread > 0)
        end->in += (uint64_t)nread;
    else
        end->ended = nread < 0;
}

static void model_written(loop_op_t *op)
{
    struct end *end = op->data;

    assert_false(inside_call);
    assert_true(end->open);
    for (int i = 0; i < WRITES; i++) {
        if (op == &end->writes[i].op) {
            assert_true(end->writes[i].in_flight);
            end->writes[i].in_flight = false;
            end->out += op->bytes;
        }
    }
}

static void model_closed(loop_handle_t *handle)
{
    struct end *end = handle->data;

    for (int i = 0; i < WRITES; i++)
        assert_false(end->writes[i].in_flight);
    end->open = false;
}

static void model_open(struct end pair[2])
{
    memset(pair, 0, 2 * sizeof(*pair));
    support_tcp_pair(loop, &pair[0].tcp, &pair[1].tcp);
    for (int i = 0; i < 2; i++) {
        pair[i].open = true;
        pair[i].tcp.handle.data = &pair[i];
        pair[i].shutdown.data = &pair[i];
    }
}

static void model_step(struct end *end, uint32_t action, uint64_t *random)
{
    loop_buf_t buf = {bytes, support_random(random, sizeof(bytes))};
    int slot = (int)support_random(random, WRITES);
    bool usable = end->open && !loop_handle_is_closing(&end->tcp.handle);
    int rc;

    if (action < 30 && !end->writes[slot].in_flight) {
        end->writes[slot].op.data = end;
        rc = loop_tcp_write(&end->tcp, &end->writes[slot].op, &buf, 1, model_written);
        assert_int_equal(rc, !usable ? LOOP_EBADF : end->shut ? LOOP_EPIPE : 0);
        end->writes[slot].in_flight = rc == 0;
    } else if (action < 40 && usable) {
        ptrdiff_t n = loop_tcp_try_write(&end->tcp, &buf, 1);

        if (n > 0)
            end->out += (uint64_t)n;
    } else if (action < 50) {
        (void)loop_op_cancel(&end->writes[slot].op);
    } else if (action < 70 && usable && !end->ended) {
        rc = loop_tcp_read_start(&end->tcp, NULL, model_read);
        assert_true(rc == 0 || rc == LOOP_EALREADY);
    } else if (action < 75 && usable) {
        assert_ok(loop_tcp_read_stop(&end->tcp));
    } else if (action < 77 && usable && !end->shut) {
        assert_ok(loop_tcp_shutdown(&end->tcp, &end->shutdown, model_written));
        end->shut = true;
    } else if (action < 78 && usable) {
        assert_ok(loop_handle_close(&end->tcp.handle, model_closed));
    } else if (action < 79 && usable) {
        assert_ok(loop_tcp_close_reset(&end->tcp, model_closed));
    }
}

static void any_sequence_on_connections_conserves_bytes_and_completions(void **state)
{
    uint64_t random = support_seed();
    int steps = harness_slow() ? 2000 : 20000;

    (void)state;
    loop = support_loop();
    for (int i = 0; i < CONNECTIONS; i++)
        model_open(ends[i]);
    for (int step = 0; step < steps; step++) {
        int i = (int)support_random(&random, CONNECTIONS);
        uint32_t action = support_random(&random, 100);

        inside_call = true;
        model_step(&ends[i][support_random(&random, 2)], action, &random);
        inside_call = false;
        if (action >= 79)
            assert_true(loop_run(loop, LOOP_RUN_NOWAIT) >= 0);
        support_check(loop);
        for (int e = 0; e < 2; e++) {
            /* Bytes of a write in flight have gone out before its completion says so. */
            bool settled = true;

            for (int w = 0; w < WRITES; w++)
                settled = settled && !ends[i][e].writes[w].in_flight;
            assert_true(!settled || ends[i][1 - e].in <= ends[i][e].out);
        }
        if (!ends[i][0].open && !ends[i][1].open)
            model_open(ends[i]);
    }
    support_finish(loop);
}

LOOP_TEST_MAIN(TEST(closing_everything_in_a_read_callback), TEST(closing_everything_in_a_end_callback),
               TEST(closing_everything_in_a_alloc_callback), TEST(closing_everything_in_a_write_callback),
               TEST(closing_everything_in_a_drain_callback), TEST(closing_everything_in_a_shutdown_callback),
               TEST(closing_everything_in_a_connection_callback), TEST(closing_everything_in_a_connect_callback),
               TEST(closing_everything_in_a_ready_callback), TEST(closing_everything_in_a_timer_callback),
               TEST(closing_everything_in_a_prepare_callback), TEST(closing_everything_in_a_check_callback),
               TEST(closing_everything_in_a_idle_callback), TEST(closing_everything_in_a_async_callback),
               TEST(closing_everything_in_a_task_callback),
               TEST(any_sequence_on_connections_conserves_bytes_and_completions))
