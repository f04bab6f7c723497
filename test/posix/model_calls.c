/* The clock of a run, which moves only in waits and when the run says so, and the calls that go wrong, by the seam of system
 * calls; what is the backend's in it is in <backend>/model_wait.c. */
#include "model_calls.h"

#include <errno.h>

static struct loop_sys real;
static uint64_t sent[FDS];

/* ------------------------------------------------------------------------------------------------------------- faults -- */

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

/* -------------------------------------------------------------------------------------------------------------- clock -- */

static int seam_clock(clockid_t id, struct timespec *time)
{
    (void)id;
    time->tv_sec = (time_t)(seam_now / LOOP_SEC(1));
    time->tv_nsec = (long)(seam_now % LOOP_SEC(1));
    return 0;
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
