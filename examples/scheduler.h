/*
 * A small scheduler: coroutines without stacks, served by loop_wait() on one thread or on several, each with its loop.
 *
 * A coroutine is a function that is called again whenever what it waits for has come, and goes on behind that place:
 *
 *     static void greet(struct co *co)
 *     {
 *         struct greeting *g = (struct greeting *)co;    what must outlive a wait stands in its object, not in locals
 *
 *         CO_BEGIN(co);
 *         CO_AWAIT(co, loop_op_write(&g->desc, &co->op, &g->text, 1, NULL));
 *         if (co->op.status == 0)
 *             …
 *         CO_END(co);
 *     }
 *
 * The macros are a switch over line numbers, so a wait may stand in loops and conditions, but not in a switch of its own nor
 * in a function that the coroutine calls.
 */
#ifndef EXAMPLES_SCHEDULER_H
#define EXAMPLES_SCHEDULER_H

#include <loop.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

struct co;
struct runtime;

/* One thread, its loop, and the coroutines that run there. */
struct scheduler {
    loop_t *loop;
    struct runtime *runtime;
    loop_async_t stop; /* signal it (of any scheduler) to end all */
    bool stopping;
    pthread_t thread;
};

#define RUNTIME_MOST 64

struct runtime {
    int count;
    int threads;       /* that were started beside the calling one */
    bool held;         /* by runtime_init(), until there are coroutines */
    atomic_uint next;  /* who gets the next coroutine that does not mind */
    atomic_uint alive; /* coroutines, on all schedulers and between them, and 1 while it is held */
    struct scheduler schedulers[RUNTIME_MOST];
};

typedef void (*co_function)(struct co *co);

/* What every coroutine's object begins with. */
struct co {
    co_function resume;
    int line;                    /* where it goes on */
    struct scheduler *scheduler; /* where it runs, or where it is going */
    loop_op_t op;                /* what it waits for, and the result */
    loop_task_t task;            /* carries it to another scheduler */
};

/* Makes count schedulers, each with a loop, and starts a thread for each but the first. 0 or an error, after which nothing is
 * left. */
int runtime_init(struct runtime *runtime, int count);

/* Runs the first scheduler on the calling thread, until every coroutine has ended. A stop makes the reads and accepts of all
 * coroutines time out, now and from then on; what they do about it is up to them. */
void runtime_run(struct runtime *runtime);

/* Ends the threads and frees what runtime_init() made: after runtime_run(), or while there is no coroutine. 0 or an error. */
int runtime_close(struct runtime *runtime);

/* The schedulers in turn. Any thread. */
struct scheduler *runtime_next(struct runtime *runtime);

/* A zeroed object of size bytes that begins with a struct co; NULL without memory. It is freed when the coroutine ends, or by
 * co_discard() before it was started. */
struct co *co_new(size_t size, co_function resume);
void co_discard(struct co *co);

/* Starts it on a scheduler, of whatever thread. It may have ended when this returns. */
void co_start(struct co *co, struct scheduler *scheduler);

/* ---------------------------------------------------------------------------------- inside of a coroutine's function -- */

/* Begins something that ends through the loop, such as `loop_op_read(…, &co->op, …, NULL)`, and waits for it. If it cannot be
 * begun, its error is in co->op.status and there is no wait. */
#define CO_AWAIT(co, begin)                                                                                            \
    do {                                                                                                               \
        (co)->line = __LINE__;                                                                                         \
        if (co_begun(co, begin)) {                                                                                     \
            return;                                                                                                    \
        case __LINE__:;                                                                                                \
        }                                                                                                              \
    } while (0)

/* The first and the last statement. */
#define CO_BEGIN(co)                                                                                                   \
    switch ((co)->line) {                                                                                              \
    case 0:
#define CO_END(co)                                                                                                     \
    }                                                                                                                  \
    co_ended(co)

/* To be awaited: the next result of a stream, the close of a handle, a while, another thread. */
#define CO_NEXT_RESULT 0
int co_close(struct co *co, loop_handle_t *handle);
int co_sleep(struct co *co, loop_timer_t *timer, uint64_t ns);
int co_move(struct co *co, struct scheduler *to);

/* The loop it runs on, and whether that was told to stop. */
loop_t *co_loop(const struct co *co);
bool co_stopping(const struct co *co);

/* Parts of the macros. */
bool co_begun(struct co *co, int error);
void co_ended(struct co *co);

#endif
