/* What callbacks of every contender do, so that it is the same. */
#include "work.h"

#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* ------------------------------------------------------------------------------------------------------------- pipes -- */

struct pipes_work pipes_work;

bool pipes_readable(unsigned index)
{
    const int *ends = &pipes_work.ends[2 * (size_t)index];
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

void queue_open(uint64_t number)
{
    nodes = bench_calloc(number, sizeof(*nodes));
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

/* ------------------------------------------------------------------------------------------------------------ server -- */

struct server_work server_work;

void server_accepted(void)
{
    static unsigned long at_first;
    struct server_work *work = &server_work;

    work->accepted++;
    if (work->weighs && work->accepted == 1)
        at_first = bench_anonymous_memory();
    if (work->weighs && work->accepted == work->connections && work->connections > 1)
        work->bytes = (double)(bench_anonymous_memory() - at_first) * 1024 / (double)(work->connections - 1);
}

struct server_answer server_answer(const char *request, size_t size)
{
#define ANSWER "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 13\r\n\r\nHello, world\n"
    static const char closing[] = "Connection: close\r\n\r\n";
    struct server_answer answer = {ANSWER, sizeof(ANSWER) - 1, true};

    if (size < sizeof(closing) || memcmp(request, "GET / ", 6) != 0 || memcmp(request + size - 4, "\r\n\r\n", 4) != 0)
        bench_fail("this is not one request");
    answer.keep = memcmp(request + size - (sizeof(closing) - 1), closing, sizeof(closing) - 1) != 0;
    server_work.answered++;
    return answer;
}

bool server_readable(int fd)
{
    static char buffer[65536];
    ssize_t n = recv(fd, buffer, sizeof(buffer), 0);
    struct server_answer answer;

    if (n <= 0)
        return false;
    answer = server_answer(buffer, (size_t)n);
    if (send(fd, answer.data, answer.size, MSG_NOSIGNAL) != (ssize_t)answer.size)
        bench_fail("send");
    return answer.keep;
}
