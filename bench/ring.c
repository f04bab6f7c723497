#include "bench.h"
#include "ring.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define ENTRIES 4096

static void *map(int fd, size_t size, uint64_t offset)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, (off_t)offset);

    BENCH_CHECK(memory != MAP_FAILED);
    return memory;
}

void ring_open(struct ring *ring)
{
    struct io_uring_params params = {.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_COOP_TASKRUN};
    size_t sq_size;
    size_t cq_size;
    char *rings;
    uint32_t *indices;

    ring->fd = (int)syscall(SYS_io_uring_setup, ENTRIES, &params);
    if (ring->fd < 0) {
        perror("io_uring_setup");
        exit(BENCH_SKIPPED);
    }
    BENCH_CHECK(params.features & IORING_FEAT_SINGLE_MMAP);
    sq_size = params.sq_off.array + params.sq_entries * sizeof(uint32_t);
    cq_size = params.cq_off.cqes + params.cq_entries * sizeof(struct io_uring_cqe);
    rings = map(ring->fd, sq_size > cq_size ? sq_size : cq_size, IORING_OFF_SQ_RING);
    ring->sqes = map(ring->fd, params.sq_entries * sizeof(struct io_uring_sqe), IORING_OFF_SQES);
    ring->sq_tail = (_Atomic uint32_t *)(void *)(rings + params.sq_off.tail);
    ring->sq_mask = *(uint32_t *)(void *)(rings + params.sq_off.ring_mask);
    ring->sq_entries = params.sq_entries;
    ring->to_submit = 0;
    ring->cq_head = (_Atomic uint32_t *)(void *)(rings + params.cq_off.head);
    ring->cq_tail = (_Atomic uint32_t *)(void *)(rings + params.cq_off.tail);
    ring->cq_mask = *(uint32_t *)(void *)(rings + params.cq_off.ring_mask);
    ring->cqes = (struct io_uring_cqe *)(void *)(rings + params.cq_off.cqes);
    indices = (uint32_t *)(void *)(rings + params.sq_off.array);
    for (uint32_t i = 0; i < params.sq_entries; i++)
        indices[i] = i;
}

void ring_close(struct ring *ring)
{
    (void)close(ring->fd);
}

static void enter(struct ring *ring, unsigned wait_for)
{
    long n = syscall(SYS_io_uring_enter, ring->fd, ring->to_submit, wait_for, IORING_ENTER_GETEVENTS, NULL, 0);

    if (n < 0 && errno != EINTR)
        bench_fail("io_uring_enter");
    if (n > 0)
        ring->to_submit -= (uint32_t)n;
}

void ring_enter(struct ring *ring)
{
    enter(ring, 1);
}

struct io_uring_sqe *ring_next(struct ring *ring, uint8_t opcode, int fd, uint64_t user_data)
{
    uint32_t tail = atomic_load_explicit(ring->sq_tail, memory_order_relaxed);
    struct io_uring_sqe *sqe = &ring->sqes[tail & ring->sq_mask];

    while (ring->to_submit == ring->sq_entries)
        enter(ring, 0);
    memset(sqe, 0, sizeof(*sqe));
    sqe->opcode = opcode;
    sqe->fd = fd;
    sqe->user_data = user_data;
    atomic_store_explicit(ring->sq_tail, tail + 1, memory_order_release);
    ring->to_submit++;
    return sqe;
}
