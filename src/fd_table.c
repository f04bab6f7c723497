#include "fd_table.h"

#include "internal.h"

#define FIRST_SLOTS 64u

/* In the name of a number without an owner, which so is no event's, even when generations come round. */
#define NOBODYS 4u

int loop__fd_table_reserve(loop_t *loop, struct fd_table *table, int fd)
{
    uint32_t needed = (uint32_t)fd + 1;
    uint32_t count = table->count > 0 ? table->count : FIRST_SLOTS;
    struct fd_slot *slots;

    if (needed <= table->count)
        return 0;
    while (count < needed)
        count *= 2;
    slots = loop__resize(loop, table->slots, count * sizeof(*slots));
    if (slots == NULL)
        return LOOP_ENOMEM;
    for (uint32_t i = table->count; i < count; i++)
        slots[i] = (struct fd_slot){NULL, NOBODYS};
    table->slots = slots;
    table->count = count;
    return 0;
}

struct desc *loop__fd_table_owner(const struct fd_table *table, int fd)
{
    return loop__fd_table_knows(table, fd) ? table->slots[fd].desc : NULL;
}

uint32_t loop__fd_table_next_generation(const struct fd_table *table, int fd)
{
    uint32_t last = (uint32_t)(table->slots[fd].name >> 35);

    return (last + 1) & (UINT32_MAX >> 3);
}

void loop__fd_table_set(struct fd_table *table, int fd, struct desc *desc)
{
    uint64_t name = loop__fd_name(fd, loop__fd_table_next_generation(table, fd));

    table->slots[fd] = (struct fd_slot){desc, name | (desc == NULL ? NOBODYS : 0)};
}

void loop__fd_table_forget(struct fd_table *table, int fd, const struct desc *desc)
{
    if (loop__fd_table_owner(table, fd) == desc)
        loop__fd_table_set(table, fd, NULL);
}

void loop__fd_table_free(loop_t *loop, struct fd_table *table)
{
    loop__free(loop, table->slots);
}
