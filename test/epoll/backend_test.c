/* See backend_test.h. */
#include "backend_test.h"

#include "epoll/epoll.h"
#include "invariants_internal.h"

#include <stddef.h>

void backend_be_calm(void) {}

void backend_adopt_process(loop_t *loop)
{
    (void)loop;
}

static void (*wake_hook)(void);
static ssize_t (*real_write)(int fd, const void *base, size_t len);

static ssize_t hooked_write(int fd, const void *base, size_t len)
{
    wake_hook();
    return real_write(fd, base, len);
}

void backend_hook_wake(void (*hook)(void))
{
    if (hook == NULL) {
        loop__sys.write_wake_up = real_write;
        return;
    }
    wake_hook = hook;
    real_write = loop__sys.write_wake_up;
    loop__sys.write_wake_up = hooked_write;
}

/* Every place is free, or that of one descriptor of the loop's own that is attached. */
void backend_check(loop_t *loop)
{
    const struct slots *slots = &((struct epoll_backend *)loop->backend_data)->slots;
    uint32_t places = 0;

    HOLDS(slots->used <= slots->count, loop);
    for (uint32_t i = slots->free; i != SLOTS_NONE; i = slots->list[i].is.next) {
        HOLDS(i < slots->used && (slots->list[i].name & SLOT_FREE), loop);
        places++;
    }
    for (struct link *link = loop->handles.next; link != &loop->handles; link = link->next) {
        struct desc *desc = loop__desc_of(CONTAINER_OF(link, struct handle, all));
        uint32_t place;

        if (desc == NULL || (desc->flags & (DESC_ATTACHED | DESC_CALLER)) != DESC_ATTACHED)
            continue;
        place = loop__posix(desc)->place;
        HOLDS(place < slots->used && slots->list[place].is.desc == desc, desc);
        HOLDS(!(slots->list[place].name & SLOT_FREE), desc);
        places++;
    }
    HOLDS(places == slots->used, loop);
}
