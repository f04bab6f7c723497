/* All that were attached are registered again, with kernel objects that know none of them: after a fork, above all. */
#include "readiness.h"

/*
 * The number stands for nothing that can be watched any more: whoever had it in this process closed it. It is not ours then,
 * not even to be closed, and what waits for it ends here, because nothing else would end it.
 */
static void lost(loop_t *loop, struct desc *desc, int error)
{
    struct fd_table *callers = &loop__readiness(loop)->callers;

    loop__fd_table_forget(callers, desc->os.fd, desc);
    if (desc->flags & DESC_LEVEL) {
        loop__desc_lost(desc);
        return;
    }
    desc->os.fd = LOOP_INVALID_FD;
    loop__readiness_finish_queue(&desc->writes, error);
    loop__readiness_finish_queue(&desc->reads, error);
    /* Later attempts, the handle's own first, meet a bad descriptor rather than wait. */
    desc->flags |= DESC_READABLE | DESC_WRITABLE;
    if (desc->flags & DESC_ARMED)
        loop__desc_ready(desc, TODO_READ);
}

void loop__readiness_lose_if(loop_t *loop, bool (*is_gone)(loop_t *loop, struct desc *desc))
{
    for (struct link *link = loop->handles.next; link != &loop->handles; link = link->next) {
        struct desc *desc = loop__desc_of(CONTAINER_OF(link, struct handle, all));

        if (desc == NULL || !(desc->flags & DESC_CALLER) || loop__posix(desc)->interest == 0 || !is_gone(loop, desc))
            continue;
        loop__posix(desc)->interest = 0;
        lost(loop, desc, LOOP_EBADF);
    }
}

int loop__readiness_reattach(loop_t *loop)
{
    for (struct link *link = loop->handles.next; link != &loop->handles; link = link->next) {
        struct desc *desc = loop__desc_of(CONTAINER_OF(link, struct handle, all));
        uint8_t interest;
        int error;

        if (desc == NULL || !(desc->flags & DESC_ATTACHED))
            continue;
        interest = loop__posix(desc)->interest;
        loop__posix(desc)->interest = 0;
        error = loop__readiness(loop)->change(loop, desc, interest);
        if (error == LOOP_ENOMEM || error == LOOP_ENOSPC) {
            loop__posix(desc)->interest = interest;
            return error;
        }
        if (error != 0)
            lost(loop, desc, error);
    }
    return 0;
}
