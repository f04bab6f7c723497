/* The other floor: the smallest program that does the work with io_uring(7) itself, by number. */
#include "bench.h"
#include "ring.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

const char *contender_version(void)
{
    return "io_uring by hand";
}

/* -------------------------------------------------------------------------------------------------------------- echo -- */

#define ROOM 65536u

/* One operation is in flight on each connection. */
struct connection {
    int fd;
    bool sends;
    char *buffer;
};

static void submit(struct ring *ring, struct connection *connection, uint8_t opcode, uint32_t size)
{
    struct io_uring_sqe *sqe = ring_next(ring, opcode, connection->fd, (uint64_t)(uintptr_t)connection);

    connection->sends = opcode == IORING_OP_SEND;
    sqe->addr = (uint64_t)(uintptr_t)connection->buffer;
    sqe->len = size;
}

static uint32_t completed(struct ring *ring, const struct io_uring_cqe *cqe)
{
    struct connection *connection = (struct connection *)(uintptr_t)cqe->user_data;
    bool sent = connection->sends;

    if (cqe->res <= 0)
        bench_fail("recv and send");
    submit(ring, connection, sent ? IORING_OP_RECV : IORING_OP_SEND, sent ? ROOM : (uint32_t)cqe->res);
    return sent ? (uint32_t)cqe->res : 0;
}

uint64_t echo_run(const struct echo_job *job)
{
    struct connection *connections = bench_calloc(job->connections, sizeof(*connections));
    struct ring ring;
    uint64_t done = 0;

    if (strcmp(job->mode, "try") != 0)
        bench_fail("the mode is try");
    ring_open(&ring);
    for (unsigned i = 0; i < job->connections; i++) {
        connections[i].fd = job->fds[i];
        connections[i].buffer = bench_calloc(1, ROOM);
        submit(&ring, &connections[i], IORING_OP_RECV, ROOM);
    }
    while (done < job->bytes) {
        const struct io_uring_cqe *cqe;

        ring_enter(&ring);
        while ((cqe = ring_completed(&ring)) != NULL) {
            done += completed(&ring, cqe);
            ring_seen(&ring);
        }
    }
    ring_close(&ring);
    for (unsigned i = 0; i < job->connections; i++) {
        (void)close(job->fds[i]);
        free(connections[i].buffer);
    }
    free(connections);
    return done;
}

/* ------------------------------------------------------------------------------------------------------------- pipes -- */

/* A poll that goes on, as epoll does: it reports every arrival. */
static void watch(struct ring *ring, int fd, unsigned index)
{
    struct io_uring_sqe *sqe = ring_next(ring, IORING_OP_POLL_ADD, fd, index);

    sqe->poll32_events = POLLIN;
    sqe->len = IORING_POLL_ADD_MULTI;
}

void pipes_run(const struct pipes_job *job)
{
    struct ring ring;
    bool all = false;

    ring_open(&ring);
    for (unsigned i = 0; i < job->count; i++)
        watch(&ring, job->fds[i], i);
    while (!all) {
        const struct io_uring_cqe *cqe;

        ring_enter(&ring);
        while ((cqe = ring_completed(&ring)) != NULL) {
            unsigned index = (unsigned)cqe->user_data;

            if (cqe->res <= 0)
                bench_fail("polling a pipe");
            if (!(cqe->flags & IORING_CQE_F_MORE))
                watch(&ring, job->fds[index], index);
            ring_seen(&ring);
            all = pipes_readable(index);
        }
    }
    ring_close(&ring);
}

/* ------------------------------------------------------------------------------------------------------------ server -- */

enum step {
    RECEIVES,
    SENDS,
    CLOSES
};

struct client {
    int fd;
    enum step step; /* what is in flight */
    bool keep;      /* after what is sent */
    char buffer[1024];
};

static struct io_uring_sqe *take_step(struct ring *ring, struct client *client, enum step step)
{
    static const uint8_t opcodes[] = {IORING_OP_RECV, IORING_OP_SEND, IORING_OP_CLOSE};

    client->step = step;
    return ring_next(ring, opcodes[step], client->fd, (uint64_t)(uintptr_t)client);
}

static void receive(struct ring *ring, struct client *client)
{
    struct io_uring_sqe *sqe = take_step(ring, client, RECEIVES);

    sqe->addr = (uint64_t)(uintptr_t)client->buffer;
    sqe->len = sizeof(client->buffer);
}

static void answer_request(struct ring *ring, struct client *client, uint32_t size)
{
    struct server_answer answer = server_answer(client->buffer, size);
    struct io_uring_sqe *sqe = take_step(ring, client, SENDS);

    client->keep = answer.keep;
    sqe->addr = (uint64_t)(uintptr_t)answer.data;
    sqe->len = (uint32_t)answer.size;
    sqe->msg_flags = MSG_NOSIGNAL;
}

/* Whether that was the end of it. */
static bool next_step(struct ring *ring, struct client *client, int result)
{
    if (client->step == CLOSES) {
        free(client);
        return true;
    }
    if (client->step == RECEIVES && result > 0)
        answer_request(ring, client, (uint32_t)result);
    else if (client->step == SENDS && client->keep && result > 0)
        receive(ring, client);
    else
        (void)take_step(ring, client, CLOSES);
    return false;
}

/* One request accepts connections until it says otherwise. Its user_data is 0. */
static void start_accepting(struct ring *ring, int listener)
{
    struct io_uring_sqe *sqe = ring_next(ring, IORING_OP_ACCEPT, listener, 0);

    sqe->ioprio = IORING_ACCEPT_MULTISHOT;
    sqe->accept_flags = SOCK_CLOEXEC;
}

static void accepted(struct ring *ring, const struct io_uring_cqe *cqe, int listener)
{
    struct client *client = bench_calloc(1, sizeof(*client));

    BENCH_CHECK(cqe->res >= 0);
    client->fd = cqe->res;
    if (!(cqe->flags & IORING_CQE_F_MORE))
        start_accepting(ring, listener);
    receive(ring, client);
    server_accepted();
}

void server_run(const struct server_job *job)
{
    struct ring ring;
    uint64_t left = job->connections;

    if (job->deadline > 0)
        bench_fail("without deadlines");
    ring_open(&ring);
    start_accepting(&ring, job->listener);
    while (left > 0) {
        const struct io_uring_cqe *cqe;

        ring_enter(&ring);
        while ((cqe = ring_completed(&ring)) != NULL) {
            if (cqe->user_data == 0)
                accepted(&ring, cqe, job->listener);
            else
                left -= next_step(&ring, (struct client *)(uintptr_t)cqe->user_data, cqe->res);
            ring_seen(&ring);
        }
    }
    ring_close(&ring);
}
