/* Threads, locks and conditions. */
#include "platform.h"
#include "sys.h"

#define HOLDS(storage, type)                                                                                           \
    _Static_assert(sizeof(type) <= sizeof(storage) && _Alignof(type) <= _Alignof(uint64_t), "room for " #type)

HOLDS(((struct loop__mutex *)0)->opaque, SRWLOCK);
HOLDS(((struct loop__cond *)0)->opaque, CONDITION_VARIABLE);
HOLDS(((struct loop__thread *)0)->opaque, HANDLE);

/* ------------------------------------------------------------------------------------------------ locks, conditions -- */

/* Nothing of these can fail, and nothing needs to be given back. */

static SRWLOCK *lock_of(struct loop__mutex *mutex)
{
    return (SRWLOCK *)(void *)mutex->opaque;
}

static CONDITION_VARIABLE *condition_of(struct loop__cond *cond)
{
    return (CONDITION_VARIABLE *)(void *)cond->opaque;
}

int loop__mutex_init(struct loop__mutex *mutex)
{
    InitializeSRWLock(lock_of(mutex));
    return 0;
}

void loop__mutex_destroy(struct loop__mutex *mutex)
{
    (void)mutex;
}

void loop__mutex_lock(struct loop__mutex *mutex)
{
    AcquireSRWLockExclusive(lock_of(mutex));
}

void loop__mutex_unlock(struct loop__mutex *mutex)
{
    ReleaseSRWLockExclusive(lock_of(mutex));
}

int loop__cond_init(struct loop__cond *cond)
{
    InitializeConditionVariable(condition_of(cond));
    return 0;
}

void loop__cond_destroy(struct loop__cond *cond)
{
    (void)cond;
}

void loop__cond_wait(struct loop__cond *cond, struct loop__mutex *mutex)
{
    (void)SleepConditionVariableSRW(condition_of(cond), lock_of(mutex), INFINITE, 0);
}

void loop__cond_signal(struct loop__cond *cond)
{
    WakeConditionVariable(condition_of(cond));
}

void loop__cond_broadcast(struct loop__cond *cond)
{
    WakeAllConditionVariable(condition_of(cond));
}

/* ---------------------------------------------------------------------------------------------------------- threads -- */

static HANDLE *handle_of(struct loop__thread *thread)
{
    return (HANDLE *)(void *)thread->opaque;
}

static unsigned __stdcall run(void *argument)
{
    struct loop__thread *thread = argument;

    (void)loop__sys.name_thread(thread->name); /* only for those who look */
    thread->entry(thread->argument);
    return 0;
}

int loop__thread_start(struct loop__thread *thread, const char *name, void (*entry)(void *argument), void *argument)
{
    thread->name = name;
    thread->entry = entry;
    thread->argument = argument;
    *handle_of(thread) = loop__sys.thread_new(run, thread);
    /* Whatever the system is out of: the C library has only guesses. */
    return *handle_of(thread) != NULL ? 0 : LOOP_EAGAIN;
}

void loop__thread_join(struct loop__thread *thread)
{
    (void)loop__sys.WaitForSingleObject(*handle_of(thread), INFINITE);
    (void)loop__sys.CloseHandle(*handle_of(thread));
}

/* There are no forks, and nobody here who asks. */
uint32_t loop__fork_epoch(void)
{
    return 0;
}

uint64_t loop__process_id(void)
{
    return loop__sys.GetCurrentProcessId();
}
