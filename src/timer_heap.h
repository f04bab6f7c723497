/*
 * The timer heap: an array heap of arity four, ordered by due time and then by start sequence.
 *
 * An entry copies the due time and sequence of its node and is immutable until it is corrected:
 *   later    the node gets the new time, its entry stays; the difference is found when the entry surfaces   O(1)
 *   sooner   the entry is corrected at once and moves up                                                    O(log n)
 *   stop     the entry is emptied in place and the node's memory is free at once                            O(1)
 * Emptied entries are swept when they are the majority, at the next look for a due timer or when room is needed. So an entry is
 * never later than its node, and a root that agrees with its node is the true next timer.
 */
#ifndef LOOP_TIMER_HEAP_H
#define LOOP_TIMER_HEAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct loop;

enum timer_kind {
    TIMER_HANDLE,         /* of a struct timer */
    TIMER_READ_DEADLINE,  /* of a descriptor */
    TIMER_WRITE_DEADLINE, /* of a descriptor */
    TIMER_OP_DEADLINE,    /* of an operation */
    TIMER_ACCEPT_PAUSE    /* the read deadline's node of a listener that ran out of descriptors */
};

/* Part of what is timed. */
struct timer_node {
    uint64_t due; /* of one that is not started: UINT64_MAX */
    uint64_t seq;
    uint32_t position; /* index of the entry + 1; 0: not started */
    uint8_t kind;      /* enum timer_kind */
};

struct timer_entry {
    uint64_t due;
    uint64_t seq;
    struct timer_node *node; /* the heap's `none`: stopped since */
};

struct timer_heap {
    struct timer_entry *entries;
    uint32_t count; /* entries in use, emptied ones included */
    uint32_t live;  /* of these, not emptied */
    uint32_t room;
    uint64_t seq;           /* of the last start */
    struct timer_node none; /* what emptied entries point to */
};

static inline void loop__timer_node_init(struct timer_node *node, enum timer_kind kind)
{
    node->due = UINT64_MAX;
    node->seq = 0;
    node->position = 0;
    node->kind = (uint8_t)kind;
}

static inline bool loop__timer_started(const struct timer_node *node)
{
    return node->position != 0;
}

/* Room for n more nodes, so that starting so many cannot fail. LOOP_ENOMEM. */
int loop__timer_reserve(struct loop *loop, uint32_t n);

/* Starts a node; there must be room for it. */
int loop__timer_add(struct timer_heap *heap, struct timer_node *node, uint64_t due);

/* The slower parts of loop__timer_set and loop__timer_due, see internal.h. */
int loop__timer_sooner(struct timer_heap *heap, struct timer_node *node, uint64_t due);
struct timer_node *loop__timer_settle(struct timer_heap *heap, uint64_t until);

#endif
