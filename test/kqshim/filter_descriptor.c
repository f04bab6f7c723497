/* EVFILT_READ, EVFILT_WRITE and EVFILT_EXCEPT: what poll() says is the truth, edges of epoll only say when to ask. */
#include "internal.h"
#include "descriptor.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

static short poll_now(const struct kqshim_knote *kn, int events)
{
    struct pollfd pfd = {.fd = (int)kn->ident, .events = (short)events};

    return poll(&pfd, 1, 0) > 0 ? pfd.revents : 0;
}

static bool of_pipe(const struct kqshim_knote *kn)
{
    return kn->kind == KQSHIM_PIPE || kn->kind == KQSHIM_FIFO;
}

static bool of_file(const struct kqshim_knote *kn)
{
    return kn->kind == KQSHIM_FILE || kn->kind == KQSHIM_DIRECTORY;
}

/* What epoll refuses is always ready. */
static int watch(struct kqshim_knote *kn, int set, uint32_t events)
{
    struct epoll_event event = {.events = events | EPOLLET, .data.fd = (int)kn->ident};
    int error = 0;

    if (of_file(kn))
        return 0;
    if (epoll_ctl(set, EPOLL_CTL_ADD, (int)kn->ident, &event) == 0 ||
        (errno == EEXIST && epoll_ctl(set, EPOLL_CTL_MOD, (int)kn->ident, &event) == 0))
        kn->in_epoll = true;
    else if (errno != EPERM)
        error = errno;
    return error;
}

static void unwatch(struct kqshim_knote *kn, int set)
{
    if (kn->in_epoll && set >= 0)
        (void)epoll_ctl(set, EPOLL_CTL_DEL, (int)kn->ident, NULL);
}

static bool device_refused(const struct kqshim_knote *kn)
{
    bool asks_one = (kn->asked & NOTE_LOWAT) != 0 && kn->limit == 1;

    return kqshim_personality.devices_refused && kn->kind == KQSHIM_DEVICE && !asks_one && !isatty((int)kn->ident);
}

static int attach_read(struct kqshim_kq *kq, struct kqshim_knote *kn)
{
    if (device_refused(kn) || (kn->kind == KQSHIM_DIRECTORY && kqshim_personality.directory_read_refused))
        return EINVAL;
    if (kn->kind == KQSHIM_FIFO && !kqshim_readable_end(kn) && kqshim_personality.wrong_end_error != 0)
        return kqshim_personality.wrong_end_error;
    return watch(kn, kq->read_set, EPOLLIN | EPOLLRDHUP);
}

static void detach_read(struct kqshim_kq *kq, struct kqshim_knote *kn)
{
    unwatch(kn, kq->read_set);
}

static bool check_stream_read(struct kqshim_knote *kn)
{
    short events = poll_now(kn, POLLIN | POLLRDHUP);

    if (kqshim_listening(kn)) {
        kn->data = (events & POLLIN) != 0 ? kqshim_accept_queue(kn) : 0;
        return kn->data > 0;
    }
    kqshim_see_connection(kn);
    if ((events & POLLRDHUP) != 0 || (kn->was_connected && (events & (POLLHUP | POLLERR)) != 0))
        kn->eof = true;
    kn->data = kqshim_unread(kn);
    /* Linux counts up to the urgent byte, others on behind it. */
    if ((poll_now(kn, POLLPRI) & POLLPRI) != 0)
        kn->data++;
    return kn->eof || (events & POLLERR) != 0 || ((events & POLLIN) != 0 && kn->data >= kqshim_low_water(kn));
}

/* One system has a mark for pipes, which is none beyond their size. */
static int64_t pipe_low_water(const struct kqshim_knote *kn)
{
    int64_t size = kqshim_personality.pipe_low_water ? fcntl((int)kn->ident, F_GETPIPE_SZ) : 1;

    return size < kqshim_low_water(kn) ? size : kqshim_low_water(kn);
}

static bool check_pipe_read(struct kqshim_knote *kn)
{
    short events = poll_now(kn, POLLIN);

    if (!kqshim_readable_end(kn)) {
        kn->data = 0;
        kn->eof = (events & POLLERR) != 0 && (kn->kind == KQSHIM_PIPE || !kqshim_personality.fifo_wrong_end_silent);
        return kn->eof;
    }
    kn->data = kqshim_unread(kn);
    kn->eof = (events & POLLHUP) != 0 && (kn->kind == KQSHIM_PIPE || kqshim_personality.fifo_eof);
    return kn->eof || (kn->data > 0 && kn->data >= pipe_low_water(kn));
}

static bool check_other_read(struct kqshim_knote *kn)
{
    short events = poll_now(kn, POLLIN);
    int queued = kqshim_ready_of((int)kn->ident);

    if (kn->kind == KQSHIM_DEVICE && !kn->in_epoll)
        return true;
    kn->eof = kn->kind == KQSHIM_DEVICE && (events & POLLHUP) != 0;
    kn->data = kn->kind == KQSHIM_OTHER ? 1 : kqshim_unread(kn);
    if (queued > 1)
        kn->data = queued;
    return kn->eof || (events & (POLLIN | POLLERR)) != 0;
}

static bool check_read(struct kqshim_kq *kq, struct kqshim_knote *kn)
{
    (void)kq;
    switch (kn->kind) {
    case KQSHIM_STREAM:
        return check_stream_read(kn);
    case KQSHIM_PIPE:
    case KQSHIM_FIFO:
        return check_pipe_read(kn);
    case KQSHIM_FILE:
    case KQSHIM_DIRECTORY:
        return kqshim_file_rest(kn);
    default:
        return check_other_read(kn);
    }
}

static int attach_pipe_write(struct kqshim_kq *kq, struct kqshim_knote *kn)
{
    int chaos = kqshim_chaos_dead_pipe(kq);

    if (!kqshim_writable_end(kn))
        return kn->kind == KQSHIM_FIFO ? kqshim_personality.wrong_end_error : 0;
    if ((poll_now(kn, POLLOUT) & POLLERR) == 0)
        return 0;
    if (chaos != 0)
        return chaos;
    return kn->kind == KQSHIM_PIPE ? kqshim_personality.dead_pipe_error : 0;
}

static int attach_write(struct kqshim_kq *kq, struct kqshim_knote *kn)
{
    int error = 0;

    if (device_refused(kn) || (of_file(kn) && kqshim_personality.file_write_refused))
        return EINVAL;
    if (of_pipe(kn))
        error = attach_pipe_write(kq, kn);
    return error != 0 ? error : watch(kn, kq->write_set, EPOLLOUT);
}

static void detach_write(struct kqshim_kq *kq, struct kqshim_knote *kn)
{
    unwatch(kn, kq->write_set);
}

/* A socket that was never connected is quiet, although poll() calls it writable and hung up. */
static bool check_stream_write(struct kqshim_knote *kn)
{
    short events = poll_now(kn, POLLOUT | POLLRDHUP);
    bool connected;

    if (kqshim_listening(kn))
        return false;
    connected = kqshim_see_connection(kn);
    /* RDHUP without a connection is what is left of one whose end was read. */
    if (kn->was_connected || (events & POLLERR) != 0 || (!connected && (events & POLLRDHUP) != 0))
        kn->eof = kn->eof || (events & (POLLERR | POLLHUP)) != 0;
    kn->eof = kn->eof || kqshim_writing_shut(kn);
    return kn->eof || (connected && (events & POLLOUT) != 0);
}

static bool check_pipe_write(struct kqshim_knote *kn)
{
    short events = poll_now(kn, POLLOUT);

    if (!kqshim_writable_end(kn)) {
        kn->eof = (events & POLLHUP) != 0 && (kn->kind == KQSHIM_PIPE || !kqshim_personality.fifo_wrong_end_silent);
        return kn->eof;
    }
    kn->eof = (events & POLLERR) != 0 && (kn->kind == KQSHIM_PIPE || kqshim_personality.fifo_reader_eof);
    return kn->eof || (events & POLLOUT) != 0;
}

static bool check_write(struct kqshim_kq *kq, struct kqshim_knote *kn)
{
    short events;

    (void)kq;
    kn->data = 4096; /* a positive number is all that users may expect */
    switch (kn->kind) {
    case KQSHIM_STREAM:
        return check_stream_write(kn);
    case KQSHIM_PIPE:
    case KQSHIM_FIFO:
        return check_pipe_write(kn);
    case KQSHIM_FILE:
    case KQSHIM_DIRECTORY:
        kn->data = 1;
        return true;
    default:
        if (!kn->in_epoll)
            return true;
        events = poll_now(kn, POLLOUT);
        kn->eof = kn->kind == KQSHIM_DEVICE && (events & POLLHUP) != 0;
        return kn->eof || (events & POLLOUT) != 0;
    }
}

const struct kqshim_filter kqshim_read_filter = {
    .number = EVFILT_READ,
    .of_descriptor = true,
    .attach = attach_read,
    .detach = detach_read,
    .check = check_read,
};

const struct kqshim_filter kqshim_write_filter = {
    .number = EVFILT_WRITE,
    .of_descriptor = true,
    .attach = attach_write,
    .detach = detach_write,
    .check = check_write,
};

#if defined(EVFILT_EXCEPT)

static int attach_except(struct kqshim_kq *kq, struct kqshim_knote *kn)
{
    if (kn->kind != KQSHIM_STREAM)
        return EINVAL;
    if (kq->except_set < 0) {
        kq->except_set = kqshim_inner(kqshim_epoll(EPOLL_CLOEXEC));
        if (kq->except_set < 0 || kqshim_add_source(kq, kq->except_set, KQSHIM_EXCEPT_SET, 0) != 0) {
            kqshim_close_inner(&kq->except_set);
            return ENOMEM;
        }
    }
    return watch(kn, kq->except_set, EPOLLPRI);
}

static void detach_except(struct kqshim_kq *kq, struct kqshim_knote *kn)
{
    unwatch(kn, kq->except_set);
}

static bool check_except(struct kqshim_kq *kq, struct kqshim_knote *kn)
{
    (void)kq;
    kn->fflags = kn->asked & NOTE_OOB;
    return kn->fflags != 0 && (poll_now(kn, POLLPRI) & POLLPRI) != 0;
}

const struct kqshim_filter kqshim_except_filter = {
    .number = EVFILT_EXCEPT,
    .of_descriptor = true,
    .attach = attach_except,
    .detach = detach_except,
    .check = check_except,
};

#endif
