/*
 * The way in for other threads: a stack of nodes that many threads push and the loop's thread takes whole and turns round.
 * Taking everything at once is what keeps it free of the ABA problem and of producers that block each other.
 */
#include "internal.h"
#include "platform.h"

/* What loop->posted points to when nothing may be posted any more. */
static struct post_node posted_closed;

void loop__tasks_init(loop_t *loop)
{
    atomic_init(&loop->posted, NULL);
    atomic_init(&loop->wake, WAKE_ASLEEP);
    atomic_init(&loop->posters, 0);
    atomic_init(&loop->wakeups, 0);
}

void loop__wake(loop_t *loop)
{
    unsigned asleep = WAKE_ASLEEP;

    if (!atomic_compare_exchange_strong(&loop->wake, &asleep, WAKE_SENT))
        return;
    atomic_fetch_add_explicit(&loop->wakeups, 1, memory_order_relaxed);
    loop->backend->wake(loop);
}

int loop__post(loop_t *loop, struct post_node *node)
{
    struct post_node *head;
    int error = 0;

    atomic_fetch_add(&loop->posters, 1);
    head = atomic_load(&loop->posted);
    do {
        if (head == &posted_closed) {
            error = LOOP_ECLOSED;
            break;
        }
        node->next = head;
    } while (!atomic_compare_exchange_weak(&loop->posted, &head, node));
    /* From the exchange on the node may be running, or gone. */
    if (error == 0)
        loop__wake(loop);
    atomic_fetch_sub(&loop->posters, 1);
    return error;
}

int loop_post(loop_t *loop, loop_task_t *public_task, loop_task_cb cb)
{
    struct task *task = (struct task *)public_task;
    int error;

    if (loop == NULL || task == NULL || cb == NULL)
        return LOOP_EINVAL;
    if (atomic_exchange(&task->queued, 1) != 0)
        return LOOP_EBUSY;
    task->cb = cb;
    task->node.kind = POST_TASK;
    error = loop__post(loop, &task->node);
    if (error != 0)
        atomic_store(&task->queued, 0);
    return error;
}

bool loop__tasks_waiting(loop_t *loop)
{
    return loop->tasks != NULL || atomic_load(&loop->posted) != NULL;
}

static size_t count_nodes(const struct post_node *node)
{
    size_t n = 0;

    for (; node != NULL && node != &posted_closed; node = node->next)
        n++;
    return n;
}

size_t loop__tasks_count(loop_t *loop)
{
    /* Other threads only ever push onto what is posted. */
    return count_nodes(loop->tasks) + count_nodes(atomic_load(&loop->posted));
}

static struct post_node *reversed(struct post_node *stack)
{
    struct post_node *queue = NULL;

    while (stack != NULL) {
        struct post_node *next = stack->next;

        stack->next = queue;
        queue = stack;
        stack = next;
    }
    return queue;
}

void loop__tasks_take(loop_t *loop)
{
    /* Never with tasks left over: a turn runs all that it took. */
    if (atomic_load(&loop->posted) != NULL)
        loop->tasks = reversed(atomic_exchange(&loop->posted, NULL));
}

void loop__tasks_run(loop_t *loop, int status)
{
    while (loop->tasks != NULL) {
        struct post_node *node = loop->tasks;

        loop->tasks = node->next;
        loop->metrics.tasks++;
        LOOP_PROBE3(task, loop, node, status);
        if (node->kind == POST_TASK) {
            struct task *task = CONTAINER_OF(node, struct task, node);
            loop_task_cb cb = task->cb;

            atomic_store(&task->queued, 0);
            cb((loop_task_t *)task, status);
        } else if (node->kind == POST_WORK) {
            loop__work_deliver(CONTAINER_OF(node, struct work, node));
        } else {
            loop__async_run(CONTAINER_OF(node, struct async, node));
        }
        loop__lap(loop);
    }
}

void loop__tasks_close(loop_t *loop)
{
    loop->tasks = reversed(atomic_exchange(&loop->posted, &posted_closed));
    loop__tasks_run(loop, LOOP_ECANCELED);
    while (atomic_load(&loop->posters) != 0)
        loop__yield();
}

void loop__tasks_fork(loop_t *loop)
{
    /* They do not exist in this process and would be waited for in vain, and whom they woke is not this process. */
    (void)atomic_exchange(&loop->posters, 0); /* an exchange, for what those who had left did comes before this */
    if (atomic_load(&loop->wake) == WAKE_SENT)
        atomic_store(&loop->wake, WAKE_ASLEEP);
    loop__asyncs_fork(loop);
}
