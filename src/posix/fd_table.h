/*
 * The caller's descriptors of one loop, by number. Their owner may close one behind our back while a duplicate lives on, and
 * events keep coming; so their events carry the number and a generation of this table in place of a pointer.
 */
#ifndef LOOP_POSIX_FD_TABLE_H
#define LOOP_POSIX_FD_TABLE_H

#include "loop.h"

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

/* Makes room for the number of an open descriptor. LOOP_EBADF, LOOP_ENOMEM. */
int loop__fd_table_reserve(loop_t *loop, struct fd_table *table, int fd);

/* Who has the number, NULL if nobody does. */
struct desc *loop__fd_table_owner(const struct fd_table *table, int fd);

/* The generation that the next owner of a reserved number will have: 31 bits. */
uint32_t loop__fd_table_next_generation(const struct fd_table *table, int fd);

/* Gives a reserved number a new owner, or none, and with it a new generation. */
void loop__fd_table_set(struct fd_table *table, int fd, struct desc *desc);

/* The owner of a number, if the generation is still that one. */
static inline struct desc *loop__fd_table_find(const struct fd_table *table, uint32_t fd, uint32_t generation)
{
    /* Of a number without an owner the generation has moved on. */
    return fd < table->count && table->slots[fd].generation == generation ? table->slots[fd].desc : NULL;
}

void loop__fd_table_free(loop_t *loop, struct fd_table *table);

#endif
