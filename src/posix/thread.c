/* Threads, locks and conditions. */
#include "platform.h"
#include "sys.h"

#include <unistd.h>

#define HOLDS(storage, type)                                                                                           \
    _Static_assert(sizeof(type) <= sizeof(storage) && _Alignof(type) <= _Alignof(uint64_t), "room for " #type)

HOLDS(((struct loop__mutex *)0)->opaque, pthread_mutex_t);
HOLDS(((struct loop__cond *)0)->opaque, pthread_cond_t);
HOLDS(((struct loop__thread *)0)->opaque, pthread_t);

/* ------------------------------------------------------------------------------------------------ locks, conditions -- */

/*
 * What makes one may fail for want of resources and goes through the seam. Using one that was made fails only for callers who
 * break its rules, such as unlocking what they have not locked, and makes no system call without contention.
 */

static pthread_mutex_t *mutex_of(struct loop__mutex *mutex)
{
    return (pthread_mutex_t *)(void *)mutex->opaque;
}

static pthread_cond_t *cond_of(struct loop__cond *cond)
{
    return (pthread_cond_t *)(void *)cond->opaque;
}

static int code_of(int error)
{
    return error != 0 ? loop__system_error(error) : 0;
}

int loop__mutex_init(struct loop__mutex *mutex)
{
    return code_of(loop__sys.pthread_mutex_init(mutex_of(mutex), NULL));
}

void loop__mutex_destroy(struct loop__mutex *mutex)
{
    (void)pthread_mutex_destroy(mutex_of(mutex));
}

void loop__mutex_lock(struct loop__mutex *mutex)
{
    (void)pthread_mutex_lock(mutex_of(mutex));
}

void loop__mutex_unlock(struct loop__mutex *mutex)
{
    (void)pthread_mutex_unlock(mutex_of(mutex));
}

int loop__cond_init(struct loop__cond *cond)
{
    return code_of(loop__sys.pthread_cond_init(cond_of(cond), NULL));
}

void loop__cond_destroy(struct loop__cond *cond)
{
    (void)pthread_cond_destroy(cond_of(cond));
}

void loop__cond_wait(struct loop__cond *cond, struct loop__mutex *mutex)
{
    (void)pthread_cond_wait(cond_of(cond), mutex_of(mutex));
}

void loop__cond_signal(struct loop__cond *cond)
{
    (void)pthread_cond_signal(cond_of(cond));
}

void loop__cond_broadcast(struct loop__cond *cond)
{
    (void)pthread_cond_broadcast(cond_of(cond));
}

/* ---------------------------------------------------------------------------------------------------------- threads -- */

/* All signals but those that a thread brings upon itself: blocked, they would kill the process past its handlers. */
static void fill_blocked(sigset_t *set)
{
    (void)sigfillset(set);
    (void)sigdelset(set, SIGBUS);
    (void)sigdelset(set, SIGFPE);
    (void)sigdelset(set, SIGILL);
    (void)sigdelset(set, SIGSEGV);
    (void)sigdelset(set, SIGSYS);
    (void)sigdelset(set, SIGTRAP);
}

static void *run(void *argument)
{
    struct loop__thread *thread = argument;

    (void)loop__sys.name_thread(thread->name); /* only for those who look */
    thread->entry(thread->argument);
    return NULL;
}

int loop__thread_start(struct loop__thread *thread, const char *name, void (*entry)(void *argument), void *argument)
{
    sigset_t blocked;
    sigset_t old;
    int error;

    thread->name = name;
    thread->entry = entry;
    thread->argument = argument;
    fill_blocked(&blocked);
    /* A new thread has the mask of its maker: so there is no moment in which a signal could reach it. */
    error = loop__sys.pthread_sigmask(SIG_SETMASK, &blocked, &old);
    if (error != 0)
        return code_of(error);
    error = loop__sys.pthread_create((pthread_t *)(void *)thread->opaque, NULL, run, thread);
    (void)loop__sys.pthread_sigmask(SIG_SETMASK, &old, NULL);
    return code_of(error);
}

void loop__thread_join(struct loop__thread *thread)
{
    (void)loop__sys.pthread_join(*(pthread_t *)(void *)thread->opaque, NULL);
}

uint64_t loop__process_id(void)
{
    return (uint64_t)loop__sys.getpid();
}
