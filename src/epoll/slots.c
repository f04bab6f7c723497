#include "slots.h"

#include "internal.h"

#define FIRST_SLOTS 16u
#define MOST_SLOTS (UINT32_C(1) << 28)
#define GENERATION (UINT64_C(1) << 32)

static int grow(loop_t *loop, struct slots *slots)
{
    uint32_t count = slots->count > 0 ? 2 * slots->count : FIRST_SLOTS;
    struct slot *list;

    if (count >= MOST_SLOTS)
        return LOOP_ENOMEM;
    list = loop__resize(loop, slots->list, count * sizeof(*list));
    if (list == NULL)
        return LOOP_ENOMEM;
    slots->list = list;
    slots->count = count;
    return 0;
}

int loop__slots_take(loop_t *loop, struct slots *slots, struct desc *desc, uint32_t *place)
{
    struct slot *slot;

    if (slots->free != SLOTS_NONE) {
        *place = slots->free;
        slot = &slots->list[*place];
        slots->free = slot->is.next;
        slot->name &= ~(uint64_t)SLOT_FREE;
    } else {
        if (slots->used == slots->count && grow(loop, slots) != 0)
            return LOOP_ENOMEM;
        *place = slots->used++;
        slot = &slots->list[*place];
        slot->name = (uint64_t)*place << 4;
    }
    slot->is.desc = desc;
    return 0;
}

void loop__slots_give_back(struct slots *slots, uint32_t place)
{
    struct slot *slot = &slots->list[place];

    slot->name = (slot->name + GENERATION) | SLOT_FREE;
    slot->is.next = slots->free;
    slots->free = place;
}

void loop__slots_free(loop_t *loop, struct slots *slots)
{
    loop__free(loop, slots->list);
}
