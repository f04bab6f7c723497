/* Memory of a loop, through its allocator. */
#include "internal.h"

void *loop__resize(loop_t *loop, void *ptr, size_t size)
{
    return loop->allocator.resize(loop->allocator.context, ptr, size);
}

void loop__free(loop_t *loop, void *ptr)
{
    if (ptr != NULL)
        (void)loop->allocator.resize(loop->allocator.context, ptr, 0);
}
