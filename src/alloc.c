/* Memory of a loop or a pool, through its allocator. */
#include "internal.h"

#include <stdlib.h>

static void *default_resize(void *context, void *ptr, size_t size)
{
    (void)context;
    if (size == 0) {
        free(ptr);
        return NULL;
    }
    return realloc(ptr, size);
}

int loop__allocator_choose(const loop_allocator_t *wanted, loop_allocator_t *result)
{
    *result = wanted != NULL ? *wanted : (loop_allocator_t){default_resize, NULL};
    return result->resize != NULL ? 0 : LOOP_EINVAL;
}

void *loop__resize(loop_t *loop, void *ptr, size_t size)
{
    return loop->allocator.resize(loop->allocator.context, ptr, size);
}

void loop__free(loop_t *loop, void *ptr)
{
    if (ptr != NULL)
        (void)loop->allocator.resize(loop->allocator.context, ptr, 0);
}
