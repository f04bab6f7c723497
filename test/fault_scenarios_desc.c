/* Scenarios over operations on descriptors, and over what needs no descriptor at all. */
#include "fault_world.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <string.h>

#define PIECES 12u

static char block[256 * 1024];

static struct {
    int fds[6];
    loop_desc_t ends[2];   /* a pair of sockets */
    loop_desc_t pipes[2];  /* a pipe */
    loop_desc_t others[2]; /* a listener, and a socket that connects to it */
    struct job read;
    struct job write;
    struct job ready;
    struct job both;
    struct job pipe_read;
    struct job pipe_write;
    struct job broken;
    struct job flood;
    struct job queued;
    struct job accept;
    struct job connect;
    char in[64];
    char pipe_in[64];
} desc;

static bool transfers_done(void)
{
    return desc.read.done && desc.write.done && desc.ready.done && desc.both.done && desc.pipe_read.done &&
           desc.pipe_write.done;
}

static bool connection_done(void)
{
    return desc.accept.done && desc.connect.done;
}

static bool floods_done(void)
{
    return desc.flood.done && desc.queued.done && desc.broken.done;
}

static bool attach(int index, loop_desc_t *handle, unsigned flags)
{
    return world_ok(loop_desc_attach(world.loop, handle, desc.fds[index], flags));
}

static bool submit_read(loop_desc_t *handle, struct job *job, char *into, size_t size)
{
    loop_buf_t buf = {into, size};

    return job_submitted(job, loop_op_read(handle, &job->op, &buf, 1, job_done));
}

static bool submit_write(loop_desc_t *handle, struct job *job, size_t size)
{
    loop_buf_t bufs[2] = {{block, size / 2}, {block + size / 2, size - size / 2}};

    return job_submitted(job, loop_op_write(handle, &job->op, bufs, 2, job_done));
}

/* More than the descriptor takes, so that it has to wait with a list of buffers that is too long for the operation. */
static bool submit_flood(loop_desc_t *handle, struct job *job)
{
    loop_buf_t bufs[PIECES];

    for (unsigned i = 0; i < PIECES; i++)
        bufs[i] = (loop_buf_t){block, sizeof(block)};
    return job_submitted(job, loop_op_write(handle, &job->op, bufs, PIECES, job_done));
}

static void open_descriptors(void)
{
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};

    (void)socketpair(AF_UNIX, SOCK_STREAM, 0, desc.fds);
    (void)pipe(desc.fds + 2);
    desc.fds[4] = socket(AF_INET, SOCK_STREAM, 0);
    (void)bind(desc.fds[4], (struct sockaddr *)&addr, sizeof(addr));
    (void)listen(desc.fds[4], 4);
    desc.fds[5] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
}

static void descriptors_plot(void)
{
    struct sockaddr_storage addr;
    socklen_t len = sizeof(addr);

    memset(&desc, 0, sizeof(desc));
    desc.flood.expected = LOOP_ECANCELED;
    desc.queued.expected = LOOP_ECANCELED;
    desc.broken.expected = LOOP_EPIPE;
    open_descriptors();
    if (!attach(0, &desc.ends[0], 0) || !attach(1, &desc.ends[1], 0) || !attach(2, &desc.pipes[0], 0) ||
        !attach(3, &desc.pipes[1], LOOP_DESC_INHERIT) || !attach(4, &desc.others[0], 0) ||
        !attach(5, &desc.others[1], LOOP_DESC_TCP))
        return;

    if (!submit_read(&desc.ends[0], &desc.read, desc.in, sizeof(desc.in)) ||
        !job_submitted(&desc.ready, loop_op_ready(&desc.ends[1], &desc.ready.op, LOOP_WRITABLE, job_done)) ||
        !job_submitted(&desc.both,
                       loop_op_ready(&desc.pipes[0], &desc.both.op, LOOP_READABLE | LOOP_WRITABLE, job_done)) ||
        !submit_read(&desc.pipes[0], &desc.pipe_read, desc.pipe_in, sizeof(desc.pipe_in)) ||
        !submit_write(&desc.ends[1], &desc.write, 20) || !submit_write(&desc.pipes[1], &desc.pipe_write, 20))
        return;
    world_until(transfers_done);

    (void)getsockname(desc.fds[4], (struct sockaddr *)&addr, &len);
    if (world.error != 0 ||
        !job_submitted(&desc.accept, loop_op_accept(&desc.others[0], &desc.accept.op, job_done)) ||
        !job_submitted(&desc.connect, loop_op_connect(&desc.others[1], &desc.connect.op, (struct sockaddr *)&addr,
                                                      job_done)))
        return;
    world_until(connection_done);

    /* The flood meets no reader and is cancelled; the write behind it too; and the pipe loses its reader. */
    if (world.error != 0 || !submit_flood(&desc.ends[0], &desc.flood) || !submit_write(&desc.ends[0], &desc.queued, 2) ||
        !world_ok(loop_op_cancel(&desc.flood.op)) || !world_ok(loop_op_cancel(&desc.queued.op)) ||
        !world_ok(loop_desc_detach(&desc.pipes[0])))
        return;
    (void)close(desc.fds[2]);
    desc.fds[2] = -1;
    if (submit_write(&desc.pipes[1], &desc.broken, 2))
        world_until(floods_done);
}

static void descriptors_cleanup(void)
{
    for (int i = 0; i < 2; i++) {
        world_close(&desc.ends[i]);
        world_close(&desc.pipes[i]);
        world_close(&desc.others[i]);
    }
    if (desc.accept.done && desc.accept.op.fd != LOOP_INVALID_FD)
        (void)close(desc.accept.op.fd);
    for (int i = 0; i < 6; i++) {
        if (desc.fds[i] > 0)
            (void)close(desc.fds[i]);
    }
}

const struct scenario descriptors_scenario = {"descriptors", descriptors_plot, descriptors_cleanup};

/* ------------------------------------------------------------------------------------------------------- datagrams -- */

static struct {
    int fds[2];
    loop_desc_t ends[2];
    struct job receive;
    struct job send;
    struct job connected_send;
    struct job second;
    struct job cancelled;
    struct sockaddr_storage from;
    char in[2][16];
} udp;

static bool datagrams_done(void)
{
    return udp.receive.done && udp.send.done && udp.second.done && udp.connected_send.done && udp.cancelled.done;
}

static void datagrams_plot(void)
{
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    loop_buf_t in[2] = {{udp.in[0], 8}, {udp.in[0] + 8, 8}};
    loop_buf_t second = {udp.in[1], 4};
    loop_buf_t out[2] = {{block, 4}, {block, 6}};
    socklen_t len = sizeof(addr);
    struct sockaddr_in own = addr;

    memset(&udp, 0, sizeof(udp));
    udp.cancelled.expected = LOOP_ECANCELED;
    for (int i = 0; i < 2; i++) {
        udp.fds[i] = socket(AF_INET, SOCK_DGRAM, 0);
        (void)bind(udp.fds[i], (struct sockaddr *)&own, sizeof(own));
    }
    (void)getsockname(udp.fds[0], (struct sockaddr *)&addr, &len);
    (void)connect(udp.fds[1], (struct sockaddr *)&addr, sizeof(addr));
    for (int i = 0; i < 2; i++) {
        if (!world_ok(loop_desc_attach(world.loop, &udp.ends[i], udp.fds[i], 0)))
            return;
    }
    if (!job_submitted(&udp.receive, loop_op_receive(&udp.ends[0], &udp.receive.op, in, 2, &udp.from, job_done)) ||
        !job_submitted(&udp.second, loop_op_receive(&udp.ends[0], &udp.second.op, &second, 1, NULL, job_done)) ||
        !job_submitted(&udp.cancelled, loop_op_receive(&udp.ends[1], &udp.cancelled.op, &second, 1, NULL, job_done)) ||
        !job_submitted(&udp.send,
                       loop_op_send(&udp.ends[1], &udp.send.op, out, 2, (struct sockaddr *)&addr, job_done)) ||
        !job_submitted(&udp.connected_send,
                       loop_op_send(&udp.ends[1], &udp.connected_send.op, out, 2, NULL, job_done)) ||
        !world_ok(loop_op_cancel(&udp.cancelled.op)))
        return;
    world_until(datagrams_done);
    if (world.error == 0) {
        world_check(udp.receive.op.bytes == 10 && udp.receive.op.flags == 0, "the first datagram is another");
        world_check(udp.second.op.bytes == 4 && udp.second.op.flags == LOOP_OP_TRUNCATED, "the second is another");
    }
}

static void datagrams_cleanup(void)
{
    for (int i = 0; i < 2; i++) {
        world_close(&udp.ends[i]);
        (void)close(udp.fds[i]);
    }
}

const struct scenario datagrams_scenario = {"datagrams", datagrams_plot, datagrams_cleanup};

/* -------------------------------------------------------------------------------------------------- timers and tasks -- */

#define TIMERS 40

static struct {
    loop_timer_t timers[TIMERS];
    loop_async_t async;
    loop_task_t task;
    unsigned fired;
    unsigned repeats;
    bool signalled;
    bool posted;
} idle;

static void on_async(loop_async_t *async)
{
    (void)async;
    idle.signalled = true;
}

static void on_task(loop_task_t *task, int status)
{
    (void)task;
    (void)world_ok(status);
    idle.posted = true;
}

static void on_repeat(loop_timer_t *timer)
{
    if (++idle.repeats == 3) {
        (void)world_ok(loop_timer_stop(timer));
        (void)world_ok(loop_async_send(&idle.async));
        (void)world_ok(loop_post(world.loop, &idle.task, on_task));
    }
}

static void on_timer(loop_timer_t *timer)
{
    (void)timer;
    idle.fired++;
}

static bool timers_done(void)
{
    return idle.fired == TIMERS - 1 && idle.repeats == 3 && idle.signalled && idle.posted;
}

static void timers_plot(void)
{
    memset(&idle, 0, sizeof(idle));
    if (!world_ok(loop_async_init(world.loop, &idle.async, on_async)) || !world_ok(loop_async_send(&idle.async)))
        return;
    for (unsigned i = 0; i < TIMERS; i++) {
        uint64_t repeat = i == 0 ? LOOP_US(300) : 0;

        if (!world_ok(loop_timer_init(world.loop, &idle.timers[i])) ||
            !world_ok(loop_timer_start(&idle.timers[i], i == 0 ? on_repeat : on_timer, LOOP_US(10) * i, repeat)))
            return;
    }
    world_until(timers_done);
}

static void timers_cleanup(void)
{
    for (unsigned i = 0; i < TIMERS; i++)
        world_close(&idle.timers[i]);
    world_close(&idle.async);
}

const struct scenario timers_scenario = {"timers and tasks", timers_plot, timers_cleanup};
