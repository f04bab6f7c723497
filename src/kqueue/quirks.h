/* Where the systems that have kqueue(2) differ, and no check can tell. docs/platforms.md lists what users see of it. */
#ifndef LOOP_KQUEUE_QUIRKS_H
#define LOOP_KQUEUE_QUIRKS_H

#include <sys/types.h>

#include <sys/event.h>
#include <sys/stat.h>
#include <sys/time.h>

#include <errno.h>
#include <stdbool.h>

/* What answers adding EVFILT_WRITE to a pipe whose reader is gone: EPIPE on FreeBSD and OpenBSD, EBADF on NetBSD, EPERM on older
 * ones; on macOS it is an event. Writing tells what it is. */
static inline bool quirk_pipe_is_dead(int error)
{
    return error == EPIPE || error == EBADF || error == EPERM;
}

/* Files and directories can be registered, but not waited for: their READ tells of the offset. A device that a kqueue refuses
 * answers EINVAL (terminals on macOS), ENODEV or EOPNOTSUPP. */
static inline bool quirk_refuses_kind(int error)
{
    return error == EINVAL || error == EPERM || error == ENODEV || error == EOPNOTSUPP;
}

/* Only OpenBSD tells of a file that was made shorter by this. */
#ifdef NOTE_TRUNCATE
#define QUIRK_NOTE_TRUNCATE NOTE_TRUNCATE
#else
#define QUIRK_NOTE_TRUNCATE 0u
#endif

/* macOS tells the reader of a named FIFO nothing when the last writer leaves. A pipe has no links. */
static inline bool quirk_loses_end(const struct stat *status)
{
#if defined(__APPLE__)
    return S_ISFIFO(status->st_mode) && status->st_nlink > 0;
#else
    (void)status;
    return false;
#endif
}

#endif
