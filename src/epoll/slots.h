/*
 * The descriptors of one loop that are its own, each with a place in a dense table. Their events carry a name in place of a pointer:
 * the place and a generation. Nobody who follows a name meets memory that was given back.
 */
#ifndef LOOP_EPOLL_SLOTS_H
#define LOOP_EPOLL_SLOTS_H

#include "types.h"

struct slot {
    union {
        struct desc *desc;
        uint32_t next; /* of one that is free: another, or SLOTS_NONE */
    } is;
    uint64_t name; /* one that is free has SLOT_FREE in it, and is no event's */
};

#define SLOTS_NONE UINT32_MAX

struct slots {
    struct slot *list;
    uint32_t count;
    uint32_t used; /* those behind were never taken */
    uint32_t free; /* the first, or SLOTS_NONE */
};

/* From the lowest bit on: 3 bits that are 0, SLOT_FREE, 28 of the place, 32 of the generation. */
#define SLOT_FREE 8u

/* Takes a place. LOOP_ENOMEM. */
int loop__slots_take(loop_t *loop, struct slots *slots, struct desc *desc, uint32_t *place);

/* Gives it back: what has its name so far is nobody's from now on. */
void loop__slots_give_back(struct slots *slots, uint32_t place);

/* Where the owner of a name that these slots once gave stands, if its name is still that. */
static inline const struct slot *loop__slots_of(const struct slots *slots, uint64_t name)
{
    return &slots->list[(uint32_t)(name >> 4) & (UINT32_MAX >> 4)]; /* times 16 it is the name again, without a shift */
}

void loop__slots_free(loop_t *loop, struct slots *slots);

#endif
