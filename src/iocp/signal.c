/*
 * Signals, of which Windows has what the console tells its programs: SIGINT for Ctrl-C, SIGBREAK for Ctrl-Break, SIGHUP
 * when its window is closed, SIGTERM for a service when the system shuts down. SIGWINCH is not told to who does not read the
 * console's input, which belongs to the program: so the size of the window is looked at again and again while anybody
 * watches that signal. Others cannot come and are not known.
 *
 * Windows calls handlers on a thread that it makes for each event, holding a lock that adding and removing handlers
 * needs too. So ours is added once and never removed, lest who removes it wait for a handler that waits for our lock.
 */
#include "platform.h"
#include "sys.h"

#include <signal.h>

#ifndef SIGHUP
#define SIGHUP 1
#endif
#ifndef SIGWINCH
#define SIGWINCH 28
#endif

#define LOOK_EVERY_MS 100
#define LOOK_LATER_BY_MS 50 /* at most, together with what else wakes the processor */

static SRWLOCK lock = SRWLOCK_INIT;
/* The rest is guarded by it. */
static bool added;
static bool watched[SIGNAL_LIMIT];
static PTP_TIMER looks; /* NULL until the first use; stays, as the handler does */
static COORD last_size; /* as far as it is known */

/* ------------------------------------------------------------------------------------------------------------- events -- */

static int signal_of(DWORD event)
{
    switch (event) {
    case CTRL_C_EVENT:
        return SIGINT;
    case CTRL_BREAK_EVENT:
        return SIGBREAK;
    case CTRL_CLOSE_EVENT:
        return SIGHUP;
    case CTRL_SHUTDOWN_EVENT:
        return SIGTERM;
    default: /* CTRL_LOGOFF_EVENT: of any user, as services see it */
        return 0;
    }
}

/* FALSE: the handler that was there before is called, and at last the default one, which ends the process. */
static BOOL WINAPI caught(DWORD event)
{
    int signum = signal_of(event);
    bool told = false;

    AcquireSRWLockExclusive(&lock);
    if (signum != 0 && watched[signum])
        told = loop__signal_caught(signum);
    ReleaseSRWLockExclusive(&lock);
    /* The process ends as soon as this returns, or after some seconds: they belong to the loop. */
    if (told && (event == CTRL_CLOSE_EVENT || event == CTRL_SHUTDOWN_EVENT))
        (void)loop__sys.SleepEx(INFINITE, FALSE);
    return told;
}

/* ------------------------------------------------------------------------------------------------ size of the window -- */

/* With the lock: a look that is held up does not come with an old size after a newer one. Whether it is another than before;
 * a console that is not there has none. */
static bool size_changed(void)
{
    COORD size;
    COORD before = last_size;

    if (!loop__sys.console_size(&size))
        return false;
    last_size = size;
    return before.X != 0 && (size.X != before.X || size.Y != before.Y);
}

static void CALLBACK look(PTP_CALLBACK_INSTANCE instance, void *context, PTP_TIMER timer)
{
    (void)instance;
    (void)context;
    (void)timer;
    AcquireSRWLockExclusive(&lock);
    if (watched[SIGWINCH] && size_changed()) /* a look may come after the last watcher has gone */
        (void)loop__signal_caught(SIGWINCH);
    ReleaseSRWLockExclusive(&lock);
}

static int start_looking(void)
{
    const int64_t due = -(int64_t)LOOK_EVERY_MS * 10000; /* from now, in units of 100 ns */
    FILETIME first = {.dwLowDateTime = (DWORD)due, .dwHighDateTime = (DWORD)((uint64_t)due >> 32)};

    if (looks == NULL)
        looks = loop__sys.CreateThreadpoolTimer(look, NULL, NULL);
    if (looks == NULL)
        return loop__last_error();
    last_size = (COORD){0, 0};
    (void)size_changed();
    SetThreadpoolTimer(looks, &first, LOOK_EVERY_MS, LOOK_LATER_BY_MS);
    return 0;
}

static void stop_looking(void)
{
    SetThreadpoolTimer(looks, NULL, 0, 0);
}

/* ---------------------------------------------------------------------------------------------------------- platform.h -- */

bool loop__signal_known(int signum)
{
    return signum == SIGINT || signum == SIGBREAK || signum == SIGHUP || signum == SIGTERM || signum == SIGWINCH;
}

int loop__signal_lock(void)
{
    AcquireSRWLockExclusive(&lock);
    return 0;
}

void loop__signal_unlock(void)
{
    ReleaseSRWLockExclusive(&lock);
}

int loop__signal_install(int signum)
{
    /* Never removed, so what it is part of must stay where it is. */
    if (!added && (!loop__sys.pin_module() || !loop__sys.SetConsoleCtrlHandler(caught, TRUE)))
        return loop__last_error();
    added = true;
    if (signum == SIGWINCH) {
        int error = start_looking();

        if (error != 0)
            return error;
    }
    watched[signum] = true;
    return 0;
}

void loop__signal_uninstall(int signum)
{
    watched[signum] = false;
    if (signum == SIGWINCH)
        stop_looking();
}
