/* The two queues of io_uring(7), for one thread. */
#ifndef LOOP_BENCH_RING_H
#define LOOP_BENCH_RING_H

#include <linux/io_uring.h>
#include <stdatomic.h>
#include <stdint.h>

struct ring {
    int fd;
    _Atomic uint32_t *sq_tail;
    uint32_t sq_mask;
    uint32_t sq_entries;
    uint32_t to_submit;
    struct io_uring_sqe *sqes;
    _Atomic uint32_t *cq_head;
    _Atomic uint32_t *cq_tail;
    uint32_t cq_mask;
    struct io_uring_cqe *cqes;
};

/* Ends the program with BENCH_SKIPPED where there is no io_uring. */
void ring_open(struct ring *ring);
void ring_close(struct ring *ring);

/* Submits what was gathered and waits for a completion. */
void ring_enter(struct ring *ring);

/* The next request, which is zeroed but for these members. */
struct io_uring_sqe *ring_next(struct ring *ring, uint8_t opcode, int fd, uint64_t user_data);

/* The next completion; NULL if there is none. It is used up by ring_seen(). */
static inline const struct io_uring_cqe *ring_completed(const struct ring *ring)
{
    uint32_t head = atomic_load_explicit(ring->cq_head, memory_order_relaxed);

    return head == atomic_load_explicit(ring->cq_tail, memory_order_acquire) ? NULL : &ring->cqes[head & ring->cq_mask];
}

static inline void ring_seen(struct ring *ring)
{
    uint32_t head = atomic_load_explicit(ring->cq_head, memory_order_relaxed);

    atomic_store_explicit(ring->cq_head, head + 1, memory_order_release);
}

#endif
