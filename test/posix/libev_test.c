/* A libev program drives a loop, as loop_backend_fd() describes it: TCP, timers and posts of another thread. */
#include "support.h"

#include <ev.h>
#include <pthread.h>

static struct ev_loop *host;
static loop_t *loop;
static ev_io io;
static ev_timer limit;
static ev_prepare before_wait;
static long waits;

static void drive(void)
{
    assert_true(loop_run(loop, LOOP_RUN_NOWAIT) >= 0);
}

static void on_readable(struct ev_loop *ev, ev_io *watcher, int events)
{
    (void)ev;
    (void)watcher;
    (void)events;
    drive();
}

static void on_limit(struct ev_loop *ev, ev_timer *watcher, int events)
{
    (void)ev;
    (void)watcher;
    (void)events;
    drive();
}

static void limit_wait(struct ev_loop *ev, ev_prepare *watcher, int events)
{
    int64_t timeout = loop_next_timeout(loop);

    (void)watcher;
    (void)events;
    waits++;
    ev_timer_stop(ev, &limit);
    if (timeout < 0)
        return;
    ev_now_update(ev);
    ev_timer_set(&limit, (double)timeout / 1e9, 0.);
    ev_timer_start(ev, &limit);
}

static void begin(void)
{
    loop = support_loop();
    host = ev_loop_new(EVFLAG_AUTO);
    assert_non_null(host);
    waits = 0;
    ev_io_init(&io, on_readable, loop_backend_fd(loop), EV_READ);
    ev_timer_init(&limit, on_limit, 0., 0.);
    ev_prepare_init(&before_wait, limit_wait);
    ev_io_start(host, &io);
    ev_prepare_start(host, &before_wait);
}

static void finish(void)
{
    ev_io_stop(host, &io);
    ev_timer_stop(host, &limit);
    ev_prepare_stop(host, &before_wait);
    ev_loop_destroy(host);
    assert_ok(loop_shutdown(loop, LOOP_SEC(10), NULL, NULL));
    assert_ok(loop_close(loop));
}

/* What a test waits for: so many things to end. */
static int unfinished;

static void finished_one(void)
{
    if (--unfinished == 0)
        ev_break(host, EVBREAK_ALL);
}

static void wait_for(int things)
{
    unfinished = things;
    ev_run(host, 0);
    assert_int_equal(unfinished, 0);
}

/* ------------------------------------------------------------------------------------------------------------- TCP -- */

#define CLIENTS 4

static loop_tcp_t server;
static loop_tcp_t served[CLIENTS];
static int accepted;
static struct {
    loop_tcp_t tcp;
    loop_op_t connect;
    loop_op_t write;
    int echoes;
} clients[CLIENTS];
static int rounds;

static void written(loop_op_t *op)
{
    assert_ok(op->status);
}

static void echo(loop_tcp_t *tcp, ptrdiff_t nread, const loop_buf_t *buf)
{
    if (nread == LOOP_EOF) {
        assert_ok(loop_handle_close(&tcp->handle, NULL));
        return;
    }
    assert_true(nread > 0);
    assert_int_equal(loop_tcp_try_write(tcp, &(loop_buf_t){buf->base, (size_t)nread}, 1), nread);
}

static void take_connection(loop_tcp_t *tcp, int status)
{
    assert_ok(status);
    assert_true(accepted < CLIENTS);
    assert_ok(loop_tcp_init(loop, &served[accepted]));
    assert_ok(loop_tcp_accept(tcp, &served[accepted]));
    assert_ok(loop_tcp_read_start(&served[accepted], NULL, echo));
    accepted++;
}

static void send_number(int i)
{
    static int numbers[CLIENTS];

    numbers[i] = clients[i].echoes;
    assert_ok(loop_tcp_write(&clients[i].tcp, &clients[i].write, &(loop_buf_t){&numbers[i], sizeof(int)}, 1, written));
}

static void on_echo(loop_tcp_t *tcp, ptrdiff_t nread, const loop_buf_t *buf)
{
    int i = *(int *)tcp->handle.data;
    int number;

    assert_int_equal(nread, sizeof(number));
    memcpy(&number, buf->base, sizeof(number));
    assert_int_equal(number, clients[i].echoes);
    if (++clients[i].echoes < rounds) {
        send_number(i);
    } else {
        assert_ok(loop_handle_close(&tcp->handle, NULL));
        finished_one();
    }
}

static void connected(loop_op_t *op)
{
    loop_tcp_t *tcp = (loop_tcp_t *)loop_op_get_handle(op);

    assert_ok(op->status);
    assert_ok(loop_tcp_read_start(tcp, NULL, on_echo));
    send_number(*(int *)tcp->handle.data);
}

static void start_clients(void)
{
    static int numbers[CLIENTS];
    struct sockaddr_storage addr = support_listen(loop, &server, take_connection);

    memset(clients, 0, sizeof(clients));
    accepted = 0;
    rounds = harness_slow() ? 20 : 200;
    for (int i = 0; i < CLIENTS; i++) {
        numbers[i] = i;
        assert_ok(loop_tcp_init(loop, &clients[i].tcp));
        clients[i].tcp.handle.data = &numbers[i];
        assert_ok(loop_tcp_connect(&clients[i].tcp, &clients[i].connect, (struct sockaddr *)&addr, connected));
    }
}

static void libev_drives_tcp_echoes(void **state)
{
    (void)state;
    begin();
    start_clients();
    wait_for(CLIENTS);
    finish();
}

/* ---------------------------------------------------------------------------------------------------------- timers -- */

static int ticks;
static uint64_t tick_due;

static void on_tick(loop_timer_t *timer)
{
    assert_ok(loop_update_time(loop));
    assert_true(loop_now(loop) >= tick_due); /* never early, whatever the host's clock thinks */
    if (++ticks == 20) {
        assert_ok(loop_handle_close(&timer->handle, NULL));
        finished_one();
        return;
    }
    tick_due = loop_now(loop) + LOOP_US(1500);
    assert_ok(loop_timer_start(timer, on_tick, LOOP_US(1500), 0));
}

static void start_ticks(loop_timer_t *timer)
{
    ticks = 0;
    assert_ok(loop_timer_init(loop, timer));
    assert_ok(loop_timer_start(timer, on_tick, LOOP_US(1500), 0));
    tick_due = loop_now(loop) + LOOP_US(1500);
}

static void libev_drives_timers(void **state)
{
    loop_timer_t timer;

    (void)state;
    begin();
    start_ticks(&timer);
    wait_for(1);
    assert_int_equal(ticks, 20);
    finish();
}

static void end_wait(loop_timer_t *timer)
{
    (void)timer;
    finished_one();
}

static void a_host_that_waits_for_a_timer_sleeps(void **state)
{
    loop_timer_t timer;

    (void)state;
    begin();
    assert_ok(loop_timer_init(loop, &timer));
    assert_ok(loop_timer_start(&timer, end_wait, LOOP_MS(100), 0));
    wait_for(1);
    assert_true(waits < 20); /* one, and a few for the host's rounding */
    finish();
}

/* ----------------------------------------------------------------------------------------------------------- posts -- */

#define TASKS 500

static loop_task_t tasks[TASKS];
static int ran;

static void run_task(loop_task_t *task, int status)
{
    assert_ok(status);
    assert_ptr_equal(task, &tasks[ran]);
    if (++ran == TASKS)
        finished_one();
}

static void *post_tasks(void *arg)
{
    for (int i = 0; i < TASKS; i++) {
        if (loop_post(loop, &tasks[i], run_task) != 0)
            return arg;
    }
    return NULL;
}

static void libev_drives_posts_of_another_thread(void **state)
{
    pthread_t thread;
    void *failed;

    (void)state;
    begin();
    ran = 0;
    memset(tasks, 0, sizeof(tasks));
    assert_ok(pthread_create(&thread, NULL, post_tasks, &ran));
    wait_for(1);
    assert_ok(pthread_join(thread, &failed));
    assert_null(failed);
    finish();
}

/* ------------------------------------------------------------------------------------------------------ all at once -- */

static int host_ticks;

static void on_host_tick(struct ev_loop *ev, ev_timer *watcher, int events)
{
    (void)events;
    if (++host_ticks == 10) {
        ev_timer_stop(ev, watcher);
        finished_one();
    }
}

static void libev_drives_everything_beside_its_own_watchers(void **state)
{
    ev_timer host_timer;
    loop_timer_t timer;
    pthread_t thread;
    void *failed;

    (void)state;
    begin();
    ran = 0;
    host_ticks = 0;
    memset(tasks, 0, sizeof(tasks));
    start_clients();
    start_ticks(&timer);
    ev_timer_init(&host_timer, on_host_tick, 0.001, 0.001);
    ev_timer_start(host, &host_timer);
    assert_ok(pthread_create(&thread, NULL, post_tasks, &ran));
    wait_for(CLIENTS + 3);
    assert_ok(pthread_join(thread, &failed));
    assert_null(failed);
    assert_int_equal(ticks, 20);
    assert_int_equal(ran, TASKS);
    finish();
}

LOOP_TEST_MAIN(TEST(libev_drives_tcp_echoes), TEST(libev_drives_timers), TEST(a_host_that_waits_for_a_timer_sleeps),
               TEST(libev_drives_posts_of_another_thread), TEST(libev_drives_everything_beside_its_own_watchers))
