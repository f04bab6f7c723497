/* EVFILT_PROC over pidfds. Where there are none (valgrind), a timer looks at the process again and again. */
#include "internal.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <unistd.h>

#define POLL_NANOSECONDS 2000000

/* As wait() would give it. */
static int wait_status(const siginfo_t *info)
{
    if (info->si_code == CLD_EXITED)
        return (info->si_status & 0xff) << 8;
    return info->si_status | (info->si_code == CLD_DUMPED ? 0x80 : 0);
}

static void exited(struct kqshim_knote *kn, const siginfo_t *info)
{
    bool with_status = kqshim_personality.exit_status_always;

    kn->fflags = kn->asked & NOTE_EXIT;
#if defined(NOTE_EXITSTATUS)
    if ((kn->asked & NOTE_EXITSTATUS) != 0) {
        kn->fflags |= NOTE_EXITSTATUS;
        with_status = true;
    }
#endif
    if (kqshim_personality.exit_unasked)
        kn->fflags |= NOTE_EXIT;
    /* No status if somebody else has reaped, or the process is no child. */
    kn->data = with_status && info->si_pid != 0 ? wait_status(info) : 0;
    kn->flags |= EV_ONESHOT | EV_CLEAR;
    kn->eof = true;
}

/* Leaves it a zombie. si_pid is 0 if it runs. 0 or an errno. */
static int look(idtype_t type, id_t id, siginfo_t *info)
{
    info->si_pid = 0;
    return waitid(type, id, info, WEXITED | WNOHANG | WNOWAIT) == 0 ? 0 : errno;
}

static int open_timer(struct kqshim_knote *kn)
{
    struct itimerspec every = {.it_value.tv_nsec = POLL_NANOSECONDS, .it_interval.tv_nsec = POLL_NANOSECONDS};

    if (kill((pid_t)kn->ident, 0) != 0 && errno == ESRCH)
        return ESRCH;
    kn->pidfd = kqshim_inner((int)syscall(SYS_timerfd_create, CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK));
    if (kn->pidfd < 0)
        return errno;
    kn->polled = true;
    return timerfd_settime(kn->pidfd, 0, &every, NULL) == 0 ? 0 : errno;
}

/* 0 or an errno. */
static int open_source(struct kqshim_knote *kn)
{
    kn->pidfd = kqshim_inner((int)syscall(SYS_pidfd_open, (pid_t)kn->ident, 0));
    if (kn->pidfd >= 0)
        return 0;
    if (errno == ENOSYS)
        return open_timer(kn);
    return errno == EINVAL ? ESRCH : errno;
}

static int attach(struct kqshim_kq *kq, struct kqshim_knote *kn)
{
    siginfo_t info;
    int child = look(P_PID, (id_t)kn->ident, &info);

    if (kqshim_personality.track_refused && (kn->asked & NOTE_TRACK) != 0)
        return ENOTSUP;
    if (child == 0 && info.si_pid != 0) {
        if (!kqshim_personality.zombie_accepted || (kn->asked & NOTE_EXIT) == 0)
            return ESRCH;
        exited(kn, &info);
        return 0;
    }
#if defined(NOTE_EXITSTATUS)
    if (child != 0 && (kn->asked & NOTE_EXITSTATUS) != 0)
        return kill((pid_t)kn->ident, 0) != 0 && errno == ESRCH ? ESRCH : EACCES;
#endif
    child = open_source(kn);
    if (child == 0)
        child = kqshim_add_source(kq, kn->pidfd, KQSHIM_PID, (uint32_t)kn->ident);
    if (child != 0)
        kqshim_close_inner(&kn->pidfd);
    return child;
}

static void detach(struct kqshim_kq *kq, struct kqshim_knote *kn)
{
    (void)kq;
    kqshim_close_inner(&kn->pidfd);
}

static bool check(struct kqshim_kq *kq, struct kqshim_knote *kn)
{
    (void)kq;
    return kn->fflags != 0;
}

/* The timer has ticked. */
static bool still_runs(struct kqshim_knote *kn, siginfo_t *info)
{
    uint64_t ticks;
    int error = look(P_PID, (id_t)kn->ident, info);

    (void)!read(kn->pidfd, &ticks, sizeof(ticks));
    return info->si_pid == 0 && (error == 0 || kill((pid_t)kn->ident, 0) == 0);
}

void kqshim_proc_exited(struct kqshim_kq *kq, uint32_t pid)
{
    struct kqshim_knote *kn = kqshim_find(kq, pid, EVFILT_PROC);
    siginfo_t info;

    if (kn == NULL || kn->pidfd < 0)
        return;
    if (kn->polled && still_runs(kn, &info))
        return;
    if (!kn->polled)
        (void)look(P_PIDFD, (id_t)kn->pidfd, &info);
    exited(kn, &info);
    kqshim_close_inner(&kn->pidfd);
    if (kn->fflags != 0)
        kqshim_activate(kq, kn);
}

const struct kqshim_filter kqshim_proc_filter = {
    .number = EVFILT_PROC,
    .attach = attach,
    .detach = detach,
    .check = check,
};
