/*
 * The place of the kqueue backend. There is none yet: this file only checks that what it will keep in every descriptor and
 * operation fits into the room that loop.h reserves for it on POSIX systems.
 */
#include "loop.h"

/* What is registered, what waits in the batch of changes, and the generation: see struct posix_desc. */
struct kqueue_desc {
    uint8_t interest;
    uint8_t pending;
    uint16_t change;
    uint32_t generation;
};

/* The wait status of a process, or the notes of a watched file. */
struct kqueue_op {
    uint32_t fflags;
    uint32_t change;
};

_Static_assert(sizeof(struct kqueue_desc) <= LOOP_PRIVATE_POSIX_DESC_WORDS * sizeof(uint64_t), "kqueue_desc fits");
_Static_assert(sizeof(struct kqueue_op) <= LOOP_PRIVATE_POSIX_OP_WORDS * sizeof(uint64_t), "kqueue_op fits");
