/*
 * Signal handles. A process has one handler for each signal, a loop's watchers are many: one table for all loops tells the
 * handler whom to wake. It marks a watcher as pending and sends its async, which is all that can be done in a handler; the
 * rest happens on the loop's thread. A storm of signals finds the node queued already.
 */
#include "internal.h"
#include "platform.h"

/* By signal number, in the order of their start. Guarded by loop__signal_lock(). */
static struct signal *watchers[SIGNAL_LIMIT];

bool loop__signal_caught(int signum)
{
    for (struct signal *signal = watchers[signum]; signal != NULL; signal = signal->next) {
        atomic_store(&signal->pending, 1);
        (void)loop__async_send(&signal->async);
    }
    return watchers[signum] != NULL;
}

static void enter(struct signal *signal, int signum)
{
    struct signal **at = &watchers[signum];

    while (*at != NULL)
        at = &(*at)->next;
    signal->next = NULL;
    signal->signum = signum;
    *at = signal; /* last: a fork in between leaves the child a sound list */
}

static void leave(struct signal *signal)
{
    int signum = signal->signum;
    struct signal **at = &watchers[signum];

    while (*at != signal)
        at = &(*at)->next;
    *at = signal->next;
    signal->signum = 0;
    /* The node may still be queued: it comes out and finds nothing. */
    atomic_store(&signal->pending, 0);
    if (watchers[signum] == NULL)
        loop__signal_uninstall(signum);
}

static void stop(struct signal *signal)
{
    if (signal->signum == 0)
        return;
    /* Should the signals not let themselves be blocked, a stop goes on all the same: the memory will be the caller's. */
    (void)loop__signal_lock();
    leave(signal);
    loop__signal_unlock();
    loop__handle_stop(&signal->async.handle);
}

/* The async's callback. */
static void deliver(loop_async_t *async)
{
    struct signal *signal = (struct signal *)async;
    int signum = signal->signum;

    /* Taken after the node was: a signal that comes from now on queues it again. */
    if (atomic_exchange(&signal->pending, 0) == 0)
        return;
    if (signal->oneshot)
        stop(signal);
    signal->cb((loop_signal_t *)signal, signum);
}

int loop_signal_init(loop_t *loop, loop_signal_t *public_signal)
{
    struct signal *signal = (struct signal *)public_signal;
    int error = loop__async_init(loop, (struct async *)signal, LOOP_SIGNAL, deliver);

    if (error != 0)
        return error;
    signal->cb = NULL;
    signal->next = NULL;
    atomic_init(&signal->pending, 0);
    signal->signum = 0;
    signal->oneshot = false;
    return 0;
}

/* Makes signal a watcher of signum instead of what it watched before. On error nothing has changed. */
static int watch(struct signal *signal, int signum)
{
    int error = loop__signal_lock();

    if (error == 0 && watchers[signum] == NULL)
        error = loop__signal_install(signum);
    if (error == 0) {
        if (signal->signum != 0)
            leave(signal);
        enter(signal, signum);
    }
    loop__signal_unlock();
    return error;
}

static int start(loop_signal_t *public_signal, loop_signal_cb cb, int signum, bool oneshot)
{
    struct signal *signal = (struct signal *)public_signal;
    int error = loop__handle_check(signal, LOOP_SIGNAL);

    if (error == 0 && (cb == NULL || !loop__signal_known(signum)))
        error = LOOP_EINVAL;
    if (error == 0 && signal->signum != signum)
        error = watch(signal, signum);
    if (error != 0)
        return error;
    signal->cb = cb;
    signal->oneshot = oneshot;
    loop__handle_start(&signal->async.handle);
    return 0;
}

int loop_signal_start(loop_signal_t *signal, loop_signal_cb cb, int signum)
{
    return start(signal, cb, signum, false);
}

int loop_signal_start_oneshot(loop_signal_t *signal, loop_signal_cb cb, int signum)
{
    return start(signal, cb, signum, true);
}

int loop_signal_stop(loop_signal_t *signal)
{
    int error = loop__handle_check(signal, LOOP_SIGNAL);

    if (error == 0)
        stop((struct signal *)signal);
    return error;
}

void loop__signal_close(struct signal *signal)
{
    stop(signal);
    loop__async_close(&signal->async);
}
