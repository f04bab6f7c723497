/*
 * The clock of a run, which moves only in waits and when the run says so; the wait, which looks for events, lets the model look
 * at everything before it sleeps, and then moves the clock; and faults. All by the seam of system calls; what
 * is the backend's in it is in <backend>/model_wait.c.
 */
#include "model_seam.h"

#include <errno.h>
#include <unistd.h>

#define DAY LOOP_SEC(86400)

uint64_t seam_now;

static struct loop_sys real;
static uint64_t sent[FDS];

/* ------------------------------------------------------------------------------------------------------------- faults -- */

/* Whether a call that could go wrong does. */
bool seam_fault(uint32_t percent, int place, const char *what)
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

static bool refuses(int fd, int place)
{
    if (seam_fault(3, place, "interrupted")) {
        errno = EINTR;
        return true;
    }
    if (seam_is_registered(fd) && seam_fault(5, place, "it would block")) {
        seam_rearm(fd);
        errno = EAGAIN;
        return true;
    }
    return false;
}

/* How much of len a call does. */
static size_t shortened(int fd, int place, size_t len)
{
    bool storm = world->storm && place >= PLACE_SEND;

    if (len < 2 || !seam_fault(storm ? 90 : 8, place, "less than was asked for"))
        return len;
    seam_rearm(fd);
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
    if (seam_fault(3, PLACE_ACCEPT, "no descriptor is left")) {
        seam_rearm(fd);
        errno = EMFILE;
        return -1;
    }
    return real.accept_new(fd);
}

/* Interrupted, a connect goes on all the same. */
static int seam_connect(int fd, const struct sockaddr *addr, socklen_t len)
{
    int rc = real.connect(fd, addr, len);

    if ((rc == 0 || errno == EINPROGRESS) && seam_fault(20, PLACE_CONNECT, "interrupted")) {
        errno = EINTR;
        return -1;
    }
    return rc;
}

static int seam_poll(struct pollfd *fds, nfds_t n, int timeout)
{
    if (seam_fault(5, PLACE_POLL, "interrupted")) {
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

/* ----------------------------------------------------------------------------------------------------- clock and wait -- */

static int seam_clock(clockid_t id, struct timespec *time)
{
    (void)id;
    time->tv_sec = (time_t)(seam_now / LOOP_SEC(1));
    time->tv_nsec = (long)(seam_now % LOOP_SEC(1));
    return 0;
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

int seam_disorder(void *events, size_t size, int n)
{
    unsigned char *bytes = events;

    for (int i = n - 1; i > 0; i--) {
        size_t one = (size_t)i * size;
        size_t other = below((uint32_t)i + 1) * size;

        for (size_t k = 0; k < size; k++) {
            unsigned char byte = bytes[one + k];

            bytes[one + k] = bytes[other + k];
            bytes[other + k] = byte;
        }
    }
    if (n > 0 && world->plan->faults == FAULT_FORGOTTEN && chance(2))
        n--;
    return n;
}

/* Nothing happens for ns. */
static int sleep_for(struct seam_look *look, int64_t ns, uint64_t slack)
{
    int n = 0;

    for (int i = 0; !turn_before_sleep(ns, slack, i == 2); i++) {
        if (i == 1)
            (void)usleep(2000); /* the system is about to tell */
        n = seam_take(look);
        if (n != 0)
            return n;
    }
    act_outside();
    n = seam_take(look);
    if (n != 0)
        return n;
    if (ns < 0 || ns > (int64_t)DAY || world->waits_left-- <= 0) {
        task_rescue();
        n = seam_take(look);
        CHECK(n > 0, "a task that is posted wakes nobody");
        return n;
    }
    seam_now += (uint64_t)ns + (chance(20) ? below(3000000) : 0);
    say("the loop slept %lld ns: it is %llu ns", (long long)ns, (unsigned long long)seam_now);
    return 0;
}

int seam_wait(struct seam_look *look, int64_t ns, uint64_t slack)
{
    struct atom outer;
    int n;

    CHECK(world->inside == 0 && world->running, "a wait outside of a run");
    turn_rank(RANK_POLL);
    world->polled = true;
    phase_check_turn(RANK_POLL, false);
    if (seam_interrupts_wait(look))
        return -1;
    outer = atom_open(ATOM_OUTSIDE, &world->outside);
    n = seam_take(look);
    if (n == 0 && ns != 0)
        n = sleep_for(look, ns, slack);
    atom_close(outer);
    return n;
}

void seam_begin(void)
{
    real = loop__sys;
    seam_now = LOOP_SEC(1000);
    seam_begin_backend();
    loop__sys.clock_gettime = seam_clock;
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
