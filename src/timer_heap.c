/* The timer heap. What due nodes mean is timer.c's business; this file only orders them. */
#include "timer_heap.h"

#include "internal.h"

#define ARITY 4u
#define FIRST_ROOM 64u

static inline bool before(uint64_t a_due, uint64_t a_seq, const struct timer_entry *b)
{
    return a_due < b->due || (a_due == b->due && a_seq < b->seq);
}

static inline bool entry_before(const struct timer_entry *a, const struct timer_entry *b)
{
    return before(a->due, a->seq, b);
}

static inline void entry_set(struct timer_entry *entries, size_t index, uint64_t due, uint64_t seq,
                             struct timer_node *node)
{
    entries[index].due = due;
    entries[index].seq = seq;
    entries[index].node = node;
    node->position = (uint32_t)index + 1;
}

static inline void entry_move(struct timer_entry *entries, size_t to, const struct timer_entry *entry)
{
    entry_set(entries, to, entry->due, entry->seq, entry->node);
}

/* Puts a node into an empty place, as early as it belongs. */
static inline void sift_up(struct timer_entry *entries, size_t index, uint64_t due, uint64_t seq,
                           struct timer_node *node)
{
    while (index > 0) {
        size_t parent = (index - 1) / ARITY;

        if (!before(due, seq, &entries[parent]))
            break;
        entry_move(entries, index, &entries[parent]);
        index = parent;
    }
    entry_set(entries, index, due, seq, node);
}

/* The first of the children that begin at child, of which there is one at least. */
static inline size_t first_child(const struct timer_entry *entries, size_t child, size_t count)
{
    size_t least = child;

    if (child + ARITY <= count) {
        size_t other = child + 2;

        if (entry_before(&entries[child + 1], &entries[child]))
            least = child + 1;
        if (entry_before(&entries[child + 3], &entries[child + 2]))
            other = child + 3;
        return entry_before(&entries[other], &entries[least]) ? other : least;
    }
    for (size_t i = child + 1; i < count; i++) {
        if (entry_before(&entries[i], &entries[least]))
            least = i;
    }
    return least;
}

/*
 * Puts an entry into an empty place, as late as it belongs. It comes from near the leaves and mostly goes back there: so the
 * place is moved down to a leaf without a look at the entry, which then goes up the little that it has to.
 */
static void sift_down(struct timer_heap *heap, size_t top, struct timer_entry entry)
{
    struct timer_entry *entries = heap->entries;
    size_t count = heap->count;
    size_t index = top;
    size_t child;

    while ((child = index * ARITY + 1) < count) {
        child = first_child(entries, child, count);
        entry_move(entries, index, &entries[child]);
        index = child;
    }
    while (index > top) {
        size_t parent = (index - 1) / ARITY;

        if (!entry_before(&entry, &entries[parent]))
            break;
        entry_move(entries, index, &entries[parent]);
        index = parent;
    }
    entry_move(entries, index, &entry);
}

/* Drops all emptied entries, brings the rest up to date and orders it anew. Linear, so constant per stop. */
static void sweep(struct timer_heap *heap)
{
    uint32_t kept = 0;

    for (uint32_t i = 0; i < heap->count; i++) {
        struct timer_node *node = heap->entries[i].node;

        if (node != &heap->none)
            entry_set(heap->entries, kept++, node->due, node->seq, node);
    }
    heap->count = kept;
    if (kept < 2)
        return;
    for (uint32_t i = (kept - 2) / ARITY + 1; i-- > 0;)
        sift_down(heap, i, heap->entries[i]);
}

int loop__timer_reserve(struct loop *loop, uint32_t n)
{
    struct timer_heap *heap = &loop->timers;
    uint32_t room = heap->room > 0 ? heap->room * 2 : FIRST_ROOM;
    struct timer_entry *entries;

    if (n <= heap->room - heap->count)
        return 0;
    if (heap->live < heap->room / 2) {
        sweep(heap);
        if (n <= heap->room - heap->count)
            return 0;
    }
    if (room <= heap->room)
        return LOOP_ENOMEM;
    entries = loop__resize(loop, heap->entries, (size_t)room * sizeof(*entries));
    if (entries == NULL)
        return LOOP_ENOMEM;
    heap->entries = entries;
    heap->room = room;
    return 0;
}

int loop__timer_add(struct timer_heap *heap, struct timer_node *node, uint64_t due)
{
    heap->live++;
    node->due = due;
    node->seq = ++heap->seq;
    sift_up(heap->entries, heap->count++, due, node->seq, node);
    return 0;
}

int loop__timer_sooner(struct timer_heap *heap, struct timer_node *node, uint64_t due)
{
    size_t index = node->position - 1;

    node->due = due;
    node->seq = ++heap->seq;
    /* It may have been moved to later before, and its entry be not later than this. */
    if (due < heap->entries[index].due)
        sift_up(heap->entries, index, due, node->seq, node);
    return 0;
}

struct timer_node *loop__timer_settle(struct timer_heap *heap, uint64_t until)
{
    if (heap->live < heap->count / 2)
        sweep(heap);
    while (heap->count > 0 && heap->entries[0].due <= until) {
        struct timer_node *node = heap->entries[0].node;

        if (node == &heap->none) {
            heap->count--;
            if (heap->count > 0)
                sift_down(heap, 0, heap->entries[heap->count]);
        } else if (heap->entries[0].seq != node->seq) {
            sift_down(heap, 0, (struct timer_entry){node->due, node->seq, node});
        } else {
            return node;
        }
    }
    return NULL;
}
