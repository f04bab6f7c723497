/*
 * Signals, of which Windows has what the console tells its programs: SIGINT for Ctrl-C, SIGBREAK for Ctrl-Break, SIGHUP
 * when its window is closed, SIGTERM for a service when the system shuts down. Others cannot come and are not known.
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

static SRWLOCK lock = SRWLOCK_INIT;
/* The rest is guarded by it. */
static bool added;
static bool watched[SIGNAL_LIMIT];

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

bool loop__signal_known(int signum)
{
    return signum == SIGINT || signum == SIGBREAK || signum == SIGHUP || signum == SIGTERM;
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
    watched[signum] = true;
    return 0;
}

void loop__signal_uninstall(int signum)
{
    watched[signum] = false;
}
