#include "descriptor.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

static int option(int fd, int name)
{
    int value = 0;
    socklen_t size = sizeof(value);

    return getsockopt(fd, SOL_SOCKET, name, &value, &size) == 0 ? value : -1;
}

static bool has_name(int fd)
{
    char path[64];
    char target[8] = {0};

    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    return readlink(path, target, sizeof(target) - 1) > 0 && strncmp(target, "pipe:", 5) != 0;
}

static enum kqshim_kind kind_of(int fd, mode_t mode)
{
    switch (mode & S_IFMT) {
    case S_IFSOCK:
        return option(fd, SO_TYPE) == SOCK_STREAM || option(fd, SO_TYPE) == SOCK_SEQPACKET ? KQSHIM_STREAM
                                                                                           : KQSHIM_DATAGRAM;
    case S_IFIFO:
        return has_name(fd) ? KQSHIM_FIFO : KQSHIM_PIPE;
    case S_IFREG:
    case S_IFBLK:
        return KQSHIM_FILE;
    case S_IFDIR:
        return KQSHIM_DIRECTORY;
    case S_IFCHR:
        return KQSHIM_DEVICE;
    default:
        return KQSHIM_OTHER;
    }
}

int kqshim_classify(struct kqshim_knote *kn)
{
    int fd = (int)kn->ident;
    struct stat st;

    if (fstat(fd, &st) != 0)
        return errno;
    kn->device = st.st_dev;
    kn->inode = st.st_ino;
    kn->seen = st;
    kn->kind = kind_of(fd, st.st_mode);
    if (kn->kind == KQSHIM_STREAM) {
        int domain = option(fd, SO_DOMAIN);

        kn->tcp = domain == AF_INET || domain == AF_INET6;
        kn->local = domain == AF_UNIX;
    }
    return 0;
}

bool kqshim_readable_end(const struct kqshim_knote *kn)
{
    return (fcntl((int)kn->ident, F_GETFL) & O_ACCMODE) != O_WRONLY;
}

bool kqshim_writable_end(const struct kqshim_knote *kn)
{
    return (fcntl((int)kn->ident, F_GETFL) & O_ACCMODE) != O_RDONLY;
}

bool kqshim_listening(const struct kqshim_knote *kn)
{
    return option((int)kn->ident, SO_ACCEPTCONN) == 1;
}

static bool tcp_info(const struct kqshim_knote *kn, struct tcp_info *info)
{
    socklen_t size = sizeof(*info);

    memset(info, 0, sizeof(*info));
    return kn->tcp && getsockopt((int)kn->ident, IPPROTO_TCP, TCP_INFO, info, &size) == 0;
}

int kqshim_accept_queue(const struct kqshim_knote *kn)
{
    struct tcp_info info;

    return tcp_info(kn, &info) && info.tcpi_unacked > 0 ? (int)info.tcpi_unacked : 1;
}

bool kqshim_see_connection(struct kqshim_knote *kn)
{
    struct sockaddr_storage peer;
    socklen_t size = sizeof(peer);
    struct tcp_info info;
    bool connected = getpeername((int)kn->ident, (struct sockaddr *)&peer, &size) == 0;

    if (connected || (tcp_info(kn, &info) && info.tcpi_state == TCP_SYN_SENT))
        kn->was_connected = true;
    return connected;
}

bool kqshim_writing_shut(const struct kqshim_knote *kn)
{
    struct tcp_info info;

    if (tcp_info(kn, &info)) {
        switch (info.tcpi_state) {
        case TCP_FIN_WAIT1:
        case TCP_FIN_WAIT2:
        case TCP_CLOSING:
        case TCP_LAST_ACK:
        case TCP_TIME_WAIT:
            return true;
        default:
            return false;
        }
    }
    /* Sending nothing on a local stream fails after a shutdown, and does nothing else. */
    return kn->local && option((int)kn->ident, SO_TYPE) == SOCK_STREAM &&
           send((int)kn->ident, "", 0, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 && errno == EPIPE;
}

int kqshim_unread(const struct kqshim_knote *kn)
{
    int bytes = 0;

    return ioctl((int)kn->ident, FIONREAD, &bytes) == 0 ? bytes : 0;
}

int64_t kqshim_low_water(const struct kqshim_knote *kn)
{
    int64_t bytes = 1;

    if ((kn->asked & NOTE_LOWAT) != 0)
        bytes = kn->limit;
    else if (kn->kind == KQSHIM_STREAM)
        bytes = option((int)kn->ident, SO_RCVLOWAT);
    return bytes < 1 ? 1 : bytes;
}

bool kqshim_file_rest(struct kqshim_knote *kn)
{
    struct stat st;
    off_t offset = lseek((int)kn->ident, 0, SEEK_CUR);

    if (fstat((int)kn->ident, &st) != 0 || offset < 0)
        return false;
    kn->data = st.st_size - offset;
#if defined(NOTE_FILE_POLL)
    if ((kn->asked & NOTE_FILE_POLL) != 0)
        return true;
#endif
    return kn->data != 0;
}
