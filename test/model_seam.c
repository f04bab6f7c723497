/*
 * The clock of a run, which moves only in waits and when the run says so; the wait, which looks for events, lets the model look
 * at everything before it sleeps, and then moves the clock; and faults. All by the seam of system calls.
 */
#include "model.h"

#include "posix/sys.h"

#include <errno.h>
#include <unistd.h>

#define FDS 4096
#define DAY LOOP_SEC(86400)

uint64_t seam_now;

/* Where faults happen. */
enum {
    PLACE_MEMORY,
    PLACE_RECV,
    PLACE_READV,
    PLACE_RECVMSG,
    PLACE_SEND,
    PLACE_SENDMSG,
    PLACE_WRITEV,
    PLACE_ACCEPT,
    PLACE_CONNECT,
    PLACE_POLL,
    PLACE_WAIT,
    PLACE_CONTROL
};

static struct loop_sys real;
static uint64_t sent[FDS];
static struct {
    int epfd;
    struct epoll_event event;
} registered[FDS];

/* ------------------------------------------------------------------------------------------------------------- faults -- */

/* Whether a call that could go wrong does. */
static bool fault(uint32_t percent, int place, const char *what)
{
    struct atom outer;
    bool acts;

    if (world->plan->faults != FAULTS_MIXED)
        return false;
    outer = atom_open(ATOM_FAULT, &world->faults[place]);
    acts = atom_acts(percent);
    if (acts)
        say("%s", what);
    atom_close(outer);
    return acts;
}

/* Makes the kernel report what is there once more: after a refusal that was not its own, no edge would come. */
static void rearm(int fd)
{
    if (fd < FDS && registered[fd].event.events != 0)
        (void)real.epoll_ctl(registered[fd].epfd, EPOLL_CTL_MOD, fd, &registered[fd].event);
}

static bool refuses(int fd, int place)
{
    if (fault(3, place, "interrupted")) {
        errno = EINTR;
        return true;
    }
    if (fd < FDS && registered[fd].event.events != 0 && fault(5, place, "it would block")) {
        rearm(fd);
        errno = EAGAIN;
        return true;
    }
    return false;
}

/* How much of len a call does. */
static size_t shortened(int fd, int place, size_t len)
{
    bool storm = world->storm && place >= PLACE_SEND;

    if (len < 2 || !fault(storm ? 90 : 8, place, "less than was asked for"))
        return len;
    rearm(fd);
    return storm ? 1 : 1 + (len - 1) / 3;
}

/* Planted: the last byte comes twice. */
static ssize_t duplicated(char *base, size_t room, ssize_t n)
{
    if (world->plan->faults != FAULT_DUPLICATE || n < 1 || (size_t)n >= room)
        return n;
    base[n] = base[n - 1];
    return n + 1;
}

/* ---------------------------------------------------------------------------------------------------------- transfers -- */

static ssize_t seam_recv(int fd, void *base, size_t len, int flags)
{
    if (refuses(fd, PLACE_RECV))
        return -1;
    return duplicated(base, len, real.recv(fd, base, shortened(fd, PLACE_RECV, len), flags));
}

static ssize_t seam_readv(int fd, const struct iovec *iov, int n)
{
    struct iovec first = {0};

    if (refuses(fd, PLACE_READV))
        return -1;
    if (n < 1)
        return real.readv(fd, iov, n);
    first = iov[0];
    first.iov_len = shortened(fd, PLACE_READV, iov[0].iov_len);
    if (first.iov_len < iov[0].iov_len)
        return real.readv(fd, &first, 1);
    return duplicated(iov[0].iov_base, n == 1 ? iov[0].iov_len : 0, real.readv(fd, iov, n));
}

static ssize_t seam_recvmsg(int fd, struct msghdr *msg, int flags)
{
    return refuses(fd, PLACE_RECVMSG) ? -1 : real.recvmsg(fd, msg, flags);
}

static ssize_t counted(int fd, ssize_t n)
{
    if (n > 0 && fd < FDS)
        sent[fd] += (uint64_t)n;
    return n;
}

static ssize_t seam_send(int fd, const void *base, size_t len, int flags)
{
    return refuses(fd, PLACE_SEND) ? -1 : counted(fd, real.send(fd, base, shortened(fd, PLACE_SEND, len), flags));
}

/* Of the first piece alone, unless that is all there is; datagrams go as a whole. */
static ssize_t seam_sendmsg(int fd, const struct msghdr *msg, int flags)
{
    struct msghdr shorter = *msg;
    struct iovec first = {0};

    if (refuses(fd, PLACE_SENDMSG))
        return -1;
    if (msg->msg_iovlen < 2 || !system_is_stream(fd))
        return counted(fd, real.sendmsg(fd, msg, flags));
    first = msg->msg_iov[0];
    first.iov_len = shortened(fd, PLACE_SENDMSG, first.iov_len);
    if (first.iov_len < msg->msg_iov[0].iov_len) {
        shorter.msg_iov = &first;
        shorter.msg_iovlen = 1;
    }
    return counted(fd, real.sendmsg(fd, &shorter, flags));
}

static ssize_t seam_writev(int fd, const struct iovec *iov, int n)
{
    struct iovec first = {0};

    if (refuses(fd, PLACE_WRITEV))
        return -1;
    if (n < 1)
        return real.writev(fd, iov, n);
    first = iov[0];
    first.iov_len = shortened(fd, PLACE_WRITEV, iov[0].iov_len);
    return first.iov_len < iov[0].iov_len ? real.writev(fd, &first, 1) : real.writev(fd, iov, n);
}

static int seam_accept_new(int fd)
{
    if (refuses(fd, PLACE_ACCEPT))
        return -1;
    if (fault(3, PLACE_ACCEPT, "no descriptor is left")) {
        rearm(fd);
        errno = EMFILE;
        return -1;
    }
    return real.accept_new(fd);
}

/* Interrupted, a connect goes on all the same. */
static int seam_connect(int fd, const struct sockaddr *addr, socklen_t len)
{
    int rc = real.connect(fd, addr, len);

    if ((rc == 0 || errno == EINPROGRESS) && fault(20, PLACE_CONNECT, "interrupted")) {
        errno = EINTR;
        return -1;
    }
    return rc;
}

static int seam_poll(struct pollfd *fds, nfds_t n, int timeout)
{
    if (fault(5, PLACE_POLL, "interrupted")) {
        errno = EINTR;
        return -1;
    }
    return real.poll(fds, n, timeout);
}

uint64_t seam_sent(loop_os_fd_t fd)
{
    return fd < FDS ? sent[fd] : 0;
}

void seam_opened(loop_os_fd_t fd)
{
    CHECK(fd >= 0 && fd < FDS, "descriptor %d", fd);
    sent[fd] = 0;
}

/* ---------------------------------------------------------------------------------------------------- registrations -- */

static int seam_epoll_ctl(int epfd, int op, int fd, struct epoll_event *event)
{
    int rc;

    if (world->alloc_fails && op != EPOLL_CTL_DEL && fault(3, PLACE_CONTROL, "the system has no memory")) {
        errno = ENOMEM;
        return -1;
    }
    rc = real.epoll_ctl(epfd, op, fd, event);
    if (rc == 0 && fd < FDS) {
        registered[fd].epfd = epfd;
        registered[fd].event = *event;
        if (op == EPOLL_CTL_DEL)
            registered[fd].event.events = 0;
    }
    return rc;
}

static int seam_close(int fd)
{
    if (fd >= 0 && fd < FDS)
        registered[fd].event.events = 0;
    return real.close(fd);
}

/* ----------------------------------------------------------------------------------------------------- clock and wait -- */

static int seam_clock(clockid_t id, struct timespec *time)
{
    (void)id;
    time->tv_sec = (time_t)(seam_now / LOOP_SEC(1));
    time->tv_nsec = (long)(seam_now % LOOP_SEC(1));
    return 0;
}

/* Events come in any order, and not all at once. */
static int some_events(int epfd, struct epoll_event *events, int max)
{
    int n = real.epoll_wait(epfd, events, chance(20) ? 1 + (int)below(3) : max, 0);

    for (int i = n - 1; i > 0 && n > 1; i--) {
        int other = (int)below((uint32_t)i + 1);
        struct epoll_event event = events[i];

        events[i] = events[other];
        events[other] = event;
    }
    if (n > 0 && world->plan->faults == FAULT_FORGOTTEN && chance(2))
        n--;
    return n;
}

/* Others do something while the loop sleeps. */
static void act_outside(void)
{
    struct atom outer = atom_open(ATOM_OUTSIDE, &world->outside);

    if (!world->quiet && atom_acts(25)) {
        switch (below(6)) {
        case 0:
            task_act(&world->tasks[below((uint32_t)world->task_count)]);
            break;
        case 1:
            async_send(&world->asyncs[below((uint32_t)world->async_count)]);
            break;
        default:
            end_act_outside(&world->pairs[below((uint32_t)world->pair_count)].ends[1]);
            break;
        }
    }
    atom_close(outer);
}

/* Nothing happens for ns. */
static int sleep_for(int epfd, struct epoll_event *events, int max, int64_t ns, uint64_t slack)
{
    int n = 0;

    for (int look = 0; !turn_before_sleep(ns, slack, look == 2); look++) {
        if (look == 1)
            (void)usleep(2000); /* the system is about to tell */
        n = some_events(epfd, events, max);
        if (n != 0)
            return n;
    }
    act_outside();
    n = some_events(epfd, events, max);
    if (n != 0)
        return n;
    if (ns < 0 || ns > (int64_t)DAY || world->waits_left-- <= 0) {
        task_rescue();
        n = some_events(epfd, events, max);
        CHECK(n > 0, "a task that is posted wakes nobody");
        return n;
    }
    seam_now += (uint64_t)ns + (chance(20) ? below(3000000) : 0);
    say("the loop slept %lld ns: it is %llu ns", (long long)ns, (unsigned long long)seam_now);
    return 0;
}

static int wait_for(int epfd, struct epoll_event *events, int max, int64_t ns, uint64_t slack)
{
    struct atom outer;
    int n;

    CHECK(world->inside == 0 && world->running, "a wait outside of a run");
    turn_rank(RANK_POLL);
    world->polled = true;
    phase_check_turn(RANK_POLL, false);
    if (fault(5, PLACE_WAIT, "interrupted")) {
        errno = EINTR;
        return -1;
    }
    outer = atom_open(ATOM_OUTSIDE, &world->outside);
    n = some_events(epfd, events, max);
    if (n == 0 && ns != 0)
        n = sleep_for(epfd, events, max, ns, slack);
    atom_close(outer);
    return n;
}

static int seam_epoll_wait(int epfd, struct epoll_event *events, int max, int timeout)
{
    return wait_for(epfd, events, max, timeout < 0 ? -1 : (int64_t)LOOP_MS(timeout), LOOP_MS(1));
}

static int seam_epoll_pwait_ns(int epfd, struct epoll_event *events, int max, const struct epoll_timespec *timeout)
{
    /* Some systems know no such call. */
    if (world->plan->seed % 4 == 0) {
        errno = ENOSYS;
        return -1;
    }
    return wait_for(epfd, events, max, timeout->seconds * 1000000000 + timeout->nanoseconds, 0);
}

void seam_begin(void)
{
    real = loop__sys;
    seam_now = LOOP_SEC(1000);
    memset(registered, 0, sizeof(registered));
    loop__sys.clock_gettime = seam_clock;
    loop__sys.epoll_ctl = seam_epoll_ctl;
    loop__sys.epoll_wait = seam_epoll_wait;
    loop__sys.epoll_pwait_ns = seam_epoll_pwait_ns;
    loop__sys.close = seam_close;
    loop__sys.recv = seam_recv;
    loop__sys.readv = seam_readv;
    loop__sys.recvmsg = seam_recvmsg;
    loop__sys.send = seam_send;
    loop__sys.sendmsg = seam_sendmsg;
    loop__sys.writev = seam_writev;
    loop__sys.accept_new = seam_accept_new;
    loop__sys.connect = seam_connect;
    loop__sys.poll = seam_poll;
}

void seam_end(void)
{
    loop__sys = real;
}
