/* The other floor: the smallest program that does the work with io_uring(7) itself, by number. */
#include "bench.h"
#include "ring.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>
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
