/* The timer heap. What due nodes mean is timer.c's business; this file only orders them. */
#include "timer_heap.h"

#include "internal.h"

#define ARITY 4u
#define FIRST_ROOM 64u
/* Below this many entries sweeping is not worth it: emptied entries leave as they surface. */
#define SWEEP_MIN 64u

static inline bool entry_before(const struct timer_entry *a, const struct timer_entry *b)
{
    return a->due < b->due || (a->due == b->due && a->seq < b->seq);
}

static inline void entry_place(struct timer_heap *heap, uint32_t index, struct timer_entry entry)
{
    heap->entries[index] = entry;
    if (entry.node != NULL)
        entry.node->position = index + 1;
}

static void sift_up(struct timer_heap *heap, uint32_t index, struct timer_entry entry)
{
    while (index > 0) {
        uint32_t parent = (index - 1) / ARITY;

        if (!entry_before(&entry, &heap->entries[parent]))
            break;
        entry_place(heap, index, heap->entries[parent]);
        index = parent;
    }
    entry_place(heap, index, entry);
}

static void sift_down(struct timer_heap *heap, uint32_t index, struct timer_entry entry)
{
    for (;;) {
        size_t child = (size_t)index * ARITY + 1;
        size_t end = child + ARITY;
        size_t least = child;

        if (child >= heap->count)
            break;
        if (end > heap->count)
            end = heap->count;
        for (size_t i = child + 1; i < end; i++) {
            if (entry_before(&heap->entries[i], &heap->entries[least]))
                least = i;
        }
        if (!entry_before(&heap->entries[least], &entry))
            break;
        entry_place(heap, index, heap->entries[least]);
        index = (uint32_t)least;
    }
    entry_place(heap, index, entry);
}

/* Drops all emptied entries, brings the rest up to date and orders it anew. Linear, so constant per stop. */
static void sweep(struct timer_heap *heap)
{
    uint32_t kept = 0;

    for (uint32_t i = 0; i < heap->count; i++) {
        struct timer_node *node = heap->entries[i].node;

        if (node == NULL)
            continue;
        entry_place(heap, kept, (struct timer_entry){node->due, node->seq, node});
        kept++;
    }
    heap->count = kept;
    heap->empties = 0;
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
    if (room <= heap->room)
        return LOOP_ENOMEM;
    entries = loop__resize(loop, heap->entries, (size_t)room * sizeof(*entries));
    if (entries == NULL)
        return LOOP_ENOMEM;
    heap->entries = entries;
    heap->room = room;
    return 0;
}

int loop__timer_set(struct loop *loop, struct timer_node *node, uint64_t due)
{
    struct timer_heap *heap = &loop->timers;
    struct timer_entry entry = {due, heap->seq + 1, node};

    if (node->position != 0) {
        uint32_t index = node->position - 1;

        if (due < heap->entries[index].due)
            sift_up(heap, index, entry);
    } else {
        int error = loop__timer_reserve(loop, 1);

        if (error != 0)
            return error;
        heap->count++;
        sift_up(heap, heap->count - 1, entry);
    }
    heap->seq++;
    node->due = due;
    node->seq = entry.seq;
    return 0;
}

void loop__timer_unset(struct loop *loop, struct timer_node *node)
{
    struct timer_heap *heap = &loop->timers;

    if (node->position == 0)
        return;
    heap->entries[node->position - 1].node = NULL;
    node->position = 0;
    heap->empties++;
    if (heap->empties == heap->count) {
        heap->count = 0;
        heap->empties = 0;
    } else if (heap->count >= SWEEP_MIN && heap->empties > heap->count / 4 * 3) {
        sweep(heap);
    }
}

struct timer_node *loop__timer_next(struct loop *loop)
{
    struct timer_heap *heap = &loop->timers;

    while (heap->count > 0) {
        struct timer_node *node = heap->entries[0].node;

        if (node == NULL) {
            heap->empties--;
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
