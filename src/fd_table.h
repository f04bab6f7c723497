/*
 * The caller's descriptors of one loop, by number. Their owner may close one behind our back while a duplicate lives on, and
 * events keep coming; so their events carry a name in place of a pointer: the number and a generation of this table.
 */
#ifndef LOOP_FD_TABLE_H
#define LOOP_FD_TABLE_H

#include "loop.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct desc;

struct fd_slot {
    struct desc *desc;
    uint64_t name; /* of the owner; that of a number without one is no event's */
};

struct fd_table {
    struct fd_slot *slots;
    uint32_t count;
};

/* From the lowest bit on: NAME_MARK, which tells it from names of another kind, 2 bits that are 0, 31 of the number, 29 of the generation. */
#define NAME_MARK 2u
#define NAME_BITS 3u

static inline uint64_t loop__fd_name(int fd, uint32_t generation)
{
    return (uint64_t)generation << 35 | (uint64_t)(uint32_t)fd << 4 | NAME_MARK;
}

static inline uint32_t loop__fd_name_number(uint64_t name)
{
    return (uint32_t)(name >> 4) & INT32_MAX; /* that it is times 16 already saves the compiler a shift */
}

/* Whether there is room for the number: then it was that of a descriptor before. */
static inline bool loop__fd_table_knows(const struct fd_table *table, int fd)
{
    return (uint32_t)fd < table->count;
}

/* Makes room for the number of an open descriptor: the table stays that large. LOOP_ENOMEM. */
int loop__fd_table_reserve(loop_t *loop, struct fd_table *table, int fd);

/* Who has the number, NULL if nobody does. */
struct desc *loop__fd_table_owner(const struct fd_table *table, int fd);

/* The generation that the next owner of a reserved number will have: 29 bits. */
uint32_t loop__fd_table_next_generation(const struct fd_table *table, int fd);

/* Gives a reserved number a new owner, or none, and with it a new generation. */
void loop__fd_table_set(struct fd_table *table, int fd, struct desc *desc);

/* The number has no owner from now on, if that one was it. */
void loop__fd_table_forget(struct fd_table *table, int fd, const struct desc *desc);

void loop__fd_table_free(loop_t *loop, struct fd_table *table);

#endif
