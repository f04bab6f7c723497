/* Invariants of what the IOCP backend keeps in descriptors and operations. */
#include "invariants_internal.h"

#include "iocp.h"

static struct op *first_of(const struct link *queue)
{
    return CONTAINER_OF(queue->next, struct op, ready.link);
}

/* It is with the kernel, or stands behind one that comes back from there for the same reason. */
bool invariants_ends_later(struct op *op)
{
    struct op *first = first_of(loop__op_is_writing(op) ? &op->desc->writes : &op->desc->reads);

    return loop__iocp_op(op)->request.pending || (first->ending && loop__iocp_op(first)->request.pending);
}

uint32_t invariants_holds(struct desc *desc)
{
    return desc->os.fd == LOOP_INVALID_FD && loop__iocp_desc(desc)->request.pending;
}

/* Something is to come for the first of a queue. */
static void check_first(struct desc *desc, const struct link *queue)
{
    struct op *first = first_of(queue);
    bool waits = queue == &desc->reads && !list_empty(&desc->writes) && first_of(&desc->writes)->kind == OP_CONNECT;

    HOLDS(list_empty(queue) || loop__iocp_op(first)->request.pending || waits || (desc->ready.todo & TODO_RESUME),
          desc);
}

void invariants_check_platform(struct desc *desc, bool settled)
{
    struct iocp_desc *iocp_desc = loop__iocp_desc(desc);

    HOLDS(list_empty(&desc->reads) == ((desc->flags & DESC_READS) == 0), desc);
    HOLDS(list_empty(&desc->writes) == ((desc->flags & DESC_WRITES) == 0), desc);
    if (desc->os.fd == LOOP_INVALID_FD || !(desc->flags & DESC_ATTACHED))
        return;
    check_first(desc, &desc->reads);
    check_first(desc, &desc->writes);
    HOLDS(loop__fd_table_owner(&loop__iocp(desc->handle.loop)->numbers, loop__iocp_number(desc)) == desc ||
              (desc->flags & DESC_WATCHED),
          desc);
    HOLDS(iocp_desc->accepting == INVALID_SOCKET || iocp_desc->request.pending, desc);
    if (desc->flags & DESC_LEVEL)
        HOLDS(iocp_desc->events == 0 || iocp_desc->request.pending || iocp_desc->rearms, desc);
    else if (settled && (desc->flags & DESC_ARMED))
        HOLDS(iocp_desc->request.pending || (desc->flags & DESC_READABLE) || (desc->ready.todo & TODO_READ), desc);
}
