/* What callbacks of every contender do, so that it is the same. */
#include "work.h"

#include <pthread.h>
#include <unistd.h>

/* ------------------------------------------------------------------------------------------------------------- pipes -- */

struct pipes_work pipes_work;

bool pipes_readable(unsigned index)
{
    const int *ends = &pipes_work.ends[2 * index];
    char byte;

    if (read(ends[0], &byte, 1) != 1)
        bench_fail("read from a pipe");
    pipes_work.check += index;
    if (pipes_work.to_write > 0) {
        pipes_work.to_write--;
        if (write(ends[3], &byte, 1) != 1)
            bench_fail("write to a pipe");
    }
    return --pipes_work.to_read == 0;
}

/* -------------------------------------------------------------------------------------------------------------- post -- */

struct post_work post_work;

bool post_ran(uint64_t task)
{
    if (task != post_work.ran)
        bench_fail("tasks ran out of order");
    return ++post_work.ran == post_work.tasks;
}

struct node {
    struct node *next;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct node *nodes;
static struct node *first;
static struct node **last = &first;

void queue_open(uint64_t tasks)
{
    nodes = bench_calloc(tasks, sizeof(*nodes));
}

bool queue_put(uint64_t task)
{
    struct node *node = &nodes[task];
    bool was_empty;

    (void)pthread_mutex_lock(&lock);
    was_empty = first == NULL;
    *last = node;
    last = &node->next;
    (void)pthread_mutex_unlock(&lock);
    return was_empty;
}

bool queue_run(void)
{
    struct node *node;
    bool all = false;

    (void)pthread_mutex_lock(&lock);
    node = first;
    first = NULL;
    last = &first;
    (void)pthread_mutex_unlock(&lock);
    while (node != NULL) {
        struct node *next = node->next;

        all = post_ran((uint64_t)(node - nodes));
        node = next;
    }
    return all;
}
