/*
 * The handler of signals, and what it replaced.
 *
 * The first watcher of a signal installs the handler and saves the action that was there; the last one puts it back, unless
 * somebody else has installed a handler since. Such a handler usually calls the one it replaced, ours, as ours calls the one
 * that it replaced: so two copies of this library in one process both hear. When the last watcher goes, ours then stays where
 * it is, in the middle of a chain, and passes signals on. If it comes to the top again, by others that put back what they
 * had replaced, it takes itself out with the next signal.
 *
 * If watching begins again meanwhile, our handler has to go on top, and must not meet itself further down in the chain: that
 * would be a circle. Hence there are several, each with an action of its own to pass on to. If all of them stand in a chain,
 * it has to be long enough: who stands above calls them.
 */
#include "platform.h"
#include "sys.h"

#include <errno.h>
#include <stdatomic.h>

#define HANDLERS 4
#define YIELDS 100
#define SLEEPS 20

static struct sigaction replaced[SIGNAL_LIMIT][HANDLERS];
/* Whether a handler may stand in a chain. */
static bool in_use[SIGNAL_LIMIT][HANDLERS];

static atomic_flag lock = ATOMIC_FLAG_INIT;
static atomic_int home; /* the process that watches signals */
/* Of the thread that has the lock: whether its signals are blocked, and what was blocked before. */
static bool masked;
static sigset_t mask;

/* --------------------------------------------------------------------------------------------------------- the lock -- */

static void take_lock(void)
{
    /* Giving way does not help who has the lock if this thread has the higher real-time priority: sleeping does. In a child
     * process nobody may have it: its owner was a thread of the parent's. */
    for (unsigned i = 0; atomic_flag_test_and_set_explicit(&lock, memory_order_acquire); i++) {
        if (i < YIELDS)
            loop__yield();
        else if (i < YIELDS + SLEEPS || loop__sys.getpid() == atomic_load(&home))
            (void)loop__sys.poll(NULL, 0, 1);
        else
            return;
    }
}

static void give_lock(void)
{
    atomic_flag_clear_explicit(&lock, memory_order_release);
}

int loop__signal_lock(void)
{
    sigset_t all;
    sigset_t before;
    int error;

    (void)sigfillset(&all);
    (void)sigemptyset(&before);
    error = loop__sys.pthread_sigmask(SIG_SETMASK, &all, &before);
    take_lock();
    masked = error == 0;
    mask = before;
    return error != 0 ? loop__system_error(error) : 0;
}

void loop__signal_unlock(void)
{
    bool restore = masked;
    sigset_t before = mask;

    give_lock();
    if (restore)
        (void)loop__sys.pthread_sigmask(SIG_SETMASK, &before, NULL);
}

/* ------------------------------------------------------------------------------------------------------ the handler -- */

static bool does_something(const struct sigaction *action)
{
    return action->sa_handler != SIG_DFL && action->sa_handler != SIG_IGN;
}

static void caught(unsigned which, int signum, siginfo_t *info, void *context)
{
    struct sigaction *saved = &replaced[signum][which];
    struct sigaction next;
    bool default_due = false;
    int error = errno;

    /* All signals are blocked: by sa_mask. */
    take_lock();
    if (!loop__signal_caught(signum)) {
        loop__signal_uninstall(signum);
        default_due = !in_use[signum][which] && saved->sa_handler == SIG_DFL;
    }
    next = *saved;
    if ((unsigned)next.sa_flags & (unsigned)SA_RESETHAND) {
        saved->sa_handler = SIG_DFL;
        saved->sa_flags = 0;
    }
    give_lock();
    if (does_something(&next)) {
        if (next.sa_flags & SA_SIGINFO)
            next.sa_sigaction(signum, info, context);
        else
            next.sa_handler(signum);
    } else if (default_due) {
        (void)loop__sys.raise(signum); /* once more, for the action that has been put back */
    }
    errno = error;
}

#define HANDLER(which)                                                                                                 \
    static void caught_by_##which(int signum, siginfo_t *info, void *context)                                          \
    {                                                                                                                  \
        caught(which, signum, info, context);                                                                          \
    }
HANDLER(0)
HANDLER(1)
HANDLER(2)
HANDLER(3)

static void (*const handlers[HANDLERS])(int signum, siginfo_t *info, void *context) = {caught_by_0, caught_by_1,
                                                                                       caught_by_2, caught_by_3};

/* ---------------------------------------------------------------------------------------------- installed and restored -- */

/* Which of our handlers the action is, HANDLERS if none. */
static unsigned which_is(const struct sigaction *action)
{
    unsigned which = 0;

    while (which < HANDLERS && !((action->sa_flags & SA_SIGINFO) && action->sa_sigaction == handlers[which]))
        which++;
    return which;
}

bool loop__signal_known(int signum)
{
    switch (signum) {
    case SIGKILL:
    case SIGSTOP:
    /* Raised by the instruction that is being executed: going on after a handler would raise them again. */
    case SIGSEGV:
    case SIGBUS:
    case SIGFPE:
    case SIGILL:
        return false;
    default:
        return signum > 0 && signum < SIGNAL_LIMIT;
    }
}

int loop__signal_install(int signum)
{
    struct sigaction action = {0};
    unsigned which;

    atomic_store(&home, loop__sys.getpid());
    if (loop__sys.sigaction(signum, NULL, &action) != 0)
        return loop__errno();
    which = which_is(&action);
    if (which < HANDLERS) {
        in_use[signum][which] = true; /* whoever stood above it has gone */
        return 0;
    }
    which = 0;
    while (which < HANDLERS && in_use[signum][which])
        which++;
    if (which == HANDLERS)
        return 0;
    action.sa_sigaction = handlers[which];
    /* On the alternate stack, if the thread has one: the threads of some runtimes have but small ones of their own. */
    action.sa_flags = SA_SIGINFO | SA_RESTART | SA_ONSTACK;
    (void)sigfillset(&action.sa_mask);
    if (loop__sys.sigaction(signum, &action, &replaced[signum][which]) != 0)
        return loop__errno();
    in_use[signum][which] = true;
    return 0;
}

void loop__signal_uninstall(int signum)
{
    struct sigaction action = {0};
    unsigned which;

    if (loop__sys.sigaction(signum, NULL, &action) != 0)
        return;
    which = which_is(&action);
    if (which == HANDLERS || loop__sys.sigaction(signum, &replaced[signum][which], &action) != 0)
        return;
    if (which_is(&action) == which)
        in_use[signum][which] = false;
    else /* somebody was quicker: their handler, and ours below it, go back */
        (void)loop__sys.sigaction(signum, &action, NULL);
}
