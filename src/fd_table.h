/*
 * The caller's descriptors of one loop, by number. Their owner may close one behind our back while a duplicate lives on, and
 * events keep coming; so their events carry the number and a generation of this table in place of a pointer.
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
    uint32_t generation;
};

struct fd_table {
    struct fd_slot *slots;
    uint32_t count;
};

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

/* The owner of a number, if the generation is still that one. */
static inline struct desc *loop__fd_table_find(const struct fd_table *table, uint32_t fd, uint32_t generation)
{
    /* A number without an owner has a generation that no event has. */
    return fd < table->count && table->slots[fd].generation == generation ? table->slots[fd].desc : NULL;
}

void loop__fd_table_free(loop_t *loop, struct fd_table *table);

#endif
