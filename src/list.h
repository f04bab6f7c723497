/*
 * Intrusive doubly linked list with a sentinel. Removing needs no knowledge of the list, so a closing handle can leave
 * whatever queue it happens to stand in.
 */
#ifndef LOOP_LIST_H
#define LOOP_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct link {
    struct link *next;
    struct link *prev;
};

/* The structure that holds the given link. */
#define CONTAINER_OF(pointer, type, member) ((type *)(void *)((char *)(pointer)-offsetof(type, member)))

static inline void list_init(struct link *list)
{
    list->next = list;
    list->prev = list;
}

static inline bool list_empty(const struct link *list)
{
    return list->next == list;
}

static inline void list_push(struct link *list, struct link *link)
{
    struct link *last = list->prev;

    link->next = list;
    link->prev = last;
    last->next = link;
    list->prev = link;
}

static inline void list_remove(struct link *link)
{
    link->prev->next = link->next;
    link->next->prev = link->prev;
}

static inline struct link *list_pop(struct link *list)
{
    struct link *first = list->next;
    struct link *second = first->next;

    list->next = second;
    second->prev = list;
    return first;
}

/* Moves everything in `from`, which is not empty, to the empty, uninitialised list `to`. */
static inline void list_take_some(struct link *from, struct link *to)
{
    struct link *first = from->next;
    struct link *last = from->prev;

    to->next = first;
    to->prev = last;
    first->prev = to;
    last->next = to;
    list_init(from);
}

/* The same of a list that may be empty. */
static inline void list_take(struct link *from, struct link *to)
{
    if (list_empty(from))
        list_init(to);
    else
        list_take_some(from, to);
}

/* Puts everything in `list` back before what `target` holds. */
static inline void list_prepend(struct link *target, struct link *list)
{
    if (list_empty(list))
        return;
    list->prev->next = target->next;
    target->next->prev = list->prev;
    target->next = list->next;
    list->next->prev = target;
}

#endif
