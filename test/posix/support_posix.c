/* The part of support.h that has a system's calls, and support_posix.h. */
#include "support_posix.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <unistd.h>

#ifdef __linux__
#include <sys/eventfd.h>
#endif

/* ------------------------------------------------------------------------------------------------------------ sockets -- */

static bool is_prepared(int fd, bool nonblocking)
{
#ifdef SO_NOSIGPIPE
    int on = 1;

    if (setsockopt(fd, SOL_SOCKET, SO_NOSIGPIPE, &on, sizeof(on)) != 0)
        return false;
#endif
    return fcntl(fd, F_SETFD, FD_CLOEXEC) == 0 && (!nonblocking || fcntl(fd, F_SETFL, O_NONBLOCK) == 0);
}

static int prepared_socket(int type, int protocol, bool nonblocking)
{
    int fd = socket(AF_INET, type, protocol);

    if (fd >= 0 && !is_prepared(fd, nonblocking)) {
        (void)close(fd);
        return -1;
    }
    return fd;
}

int support_socket(int protocol)
{
    return prepared_socket(SOCK_STREAM, protocol, false);
}

int support_nonblocking_socket(void)
{
    return prepared_socket(SOCK_STREAM, 0, true);
}

int support_datagram_socket(void)
{
    return prepared_socket(SOCK_DGRAM, 0, false);
}

/* What a call gave, or the error of the one that failed. */
static ptrdiff_t result_of(ptrdiff_t result)
{
    return result >= 0 ? result : loop_translate_sys_error(errno);
}

int support_bind(int fd, struct sockaddr_storage *addr)
{
    socklen_t length = sizeof(struct sockaddr_in);

    if (bind(fd, (struct sockaddr *)addr, length) != 0)
        return loop_translate_sys_error(errno);
    return (int)result_of(getsockname(fd, (struct sockaddr *)addr, &length));
}

int support_listen_at(int fd, struct sockaddr_storage *addr, int backlog)
{
    int error = support_bind(fd, addr);

    return error != 0 ? error : (int)result_of(listen(fd, backlog));
}

int support_connect(int fd, const struct sockaddr_storage *addr)
{
    return (int)result_of(connect(fd, (const struct sockaddr *)addr, sizeof(struct sockaddr_in)));
}

int support_accept(int listener)
{
    return accept(listener, NULL, NULL);
}

static int prepared_pair(int type, int fds[2])
{
    if (socketpair(AF_UNIX, type, 0, fds) != 0)
        return loop_translate_sys_error(errno);
    if (is_prepared(fds[0], false) && is_prepared(fds[1], false))
        return 0;
    (void)close(fds[0]);
    (void)close(fds[1]);
    return LOOP_EIO;
}

int support_local_pair(int fds[2])
{
    return prepared_pair(SOCK_STREAM, fds);
}

int support_datagram_pair(int fds[2])
{
    return prepared_pair(SOCK_DGRAM, fds);
}

int support_pipe(int fds[2])
{
    return (int)result_of(pipe(fds));
}

int support_file(void)
{
    FILE *file = tmpfile();
    int fd;

    if (file == NULL)
        return -1;
    fd = dup(fileno(file));
    (void)fclose(file);
    return fd;
}

void support_close(int fd)
{
    assert_ok(close(fd));
}

void support_close_with_reset(int fd)
{
    struct linger linger = {1, 0};

    assert_ok(setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)));
    assert_ok(close(fd));
}

ptrdiff_t support_read(int fd, void *base, size_t len)
{
    return result_of(read(fd, base, len));
}

ptrdiff_t support_write(int fd, const void *base, size_t len)
{
    return result_of(write(fd, base, len));
}

ptrdiff_t support_recv(int fd, void *base, size_t len, int flags)
{
    return result_of(recv(fd, base, len, flags));
}

ptrdiff_t support_send(int fd, const void *base, size_t len, int flags)
{
#ifdef SO_NOSIGPIPE
    int on = 1;

    (void)setsockopt(fd, SOL_SOCKET, SO_NOSIGPIPE, &on, sizeof(on));
    return result_of(send(fd, base, len, flags));
#else
    return result_of(send(fd, base, len, flags | MSG_NOSIGNAL));
#endif
}

bool support_reset_is_kept(void)
{
    return true;
}

bool support_end_is_seen_behind_data(void)
{
    return true;
}

int support_shutdown(int fd)
{
    return (int)result_of(shutdown(fd, SHUT_WR));
}

int support_set_option(int fd, int level, int name, int value)
{
    return (int)result_of(setsockopt(fd, level, name, &value, sizeof(value)));
}

int support_get_option(int fd, int level, int name, int *value)
{
    socklen_t length = sizeof(*value);

    return (int)result_of(getsockopt(fd, level, name, value, &length));
}

bool support_nonblocking_is(int fd, bool expected)
{
    return ((fcntl(fd, F_GETFL) & O_NONBLOCK) != 0) == expected;
}

bool support_inherited_is(int fd, bool expected)
{
    return ((fcntl(fd, F_GETFD) & FD_CLOEXEC) == 0) == expected;
}

#if defined(TCP_KEEPIDLE)
#define IDLE_TIME TCP_KEEPIDLE
#elif defined(TCP_KEEPALIVE)
#define IDLE_TIME TCP_KEEPALIVE
#endif

#ifdef IDLE_TIME
static bool option_is(int fd, int name, int expected)
{
    int value = -1;
    socklen_t length = sizeof(value);

    return getsockopt(fd, IPPROTO_TCP, name, &value, &length) == 0 && value == expected;
}
#endif

bool support_keepalive_is(int fd, int idle, int interval, int count)
{
#ifdef IDLE_TIME
    return option_is(fd, IDLE_TIME, idle) && option_is(fd, TCP_KEEPINTVL, interval) &&
           option_is(fd, TCP_KEEPCNT, count);
#else
    (void)fd;
    (void)idle;
    (void)interval;
    (void)count;
    return true;
#endif
}

#ifdef SO_PROTOCOL
const int support_so_protocol = SO_PROTOCOL;
#else
const int support_so_protocol = -1;
#endif
#ifdef TCP_ULP
const int support_tcp_ulp = TCP_ULP;
#else
const int support_tcp_ulp = -1;
#endif

int support_eventfd(void)
{
#ifdef __linux__
    return eventfd(0, 0);
#else
    errno = ENOSYS;
    return -1;
#endif
}

/* ------------------------------------------------------------------------------------------------------------ signals -- */

int support_signal(int n)
{
    return n == 0 ? SIGUSR1 : SIGUSR2;
}

int support_raise(int signum)
{
    return raise(signum);
}

#if defined(_POSIX_REALTIME_SIGNALS) && _POSIX_REALTIME_SIGNALS > 0

int support_realtime_signal(int n)
{
    return SIGRTMIN + n;
}

int support_queue_signal(int number, int value)
{
    union sigval val = {.sival_int = value};

    return sigqueue(getpid(), number, val);
}

#else

int support_realtime_signal(int n)
{
    (void)n;
    return -1;
}

int support_queue_signal(int number, int value)
{
    (void)number;
    (void)value;
    errno = ENOSYS;
    return -1;
}

#endif

/* -------------------------------------------------------------------------------------------------------------- names -- */

const struct support_resolver_error support_resolver_errors[] = {
#ifdef EAI_ADDRFAMILY
    {EAI_ADDRFAMILY, LOOP_EAI_ADDRFAMILY},
#endif
#ifdef EAI_CANCELED
    {EAI_CANCELED, LOOP_EAI_CANCELED},
#endif
#ifdef EAI_NODATA
    {EAI_NODATA, LOOP_EAI_NODATA},
#endif
    {EAI_AGAIN, LOOP_EAI_AGAIN},           {EAI_BADFLAGS, LOOP_EAI_BADFLAGS}, {EAI_FAIL, LOOP_EAI_FAIL},
    {EAI_FAMILY, LOOP_EAI_FAMILY},         {EAI_MEMORY, LOOP_EAI_MEMORY},     {EAI_NONAME, LOOP_EAI_NONAME},
    {EAI_OVERFLOW, LOOP_EAI_OVERFLOW},     {EAI_SERVICE, LOOP_EAI_SERVICE},   {EAI_SOCKTYPE, LOOP_EAI_SOCKTYPE},
};
const size_t support_resolver_errors_count = sizeof(support_resolver_errors) / sizeof(support_resolver_errors[0]);

unsigned support_interface(char *name, size_t size)
{
    struct if_nameindex *all = if_nameindex();
    unsigned index = 0;

    if (all == NULL)
        return 0;
    if (all[0].if_index != 0 && strlen(all[0].if_name) < size) {
        index = all[0].if_index;
        memcpy(name, all[0].if_name, strlen(all[0].if_name) + 1);
    }
    if_freenameindex(all);
    return index;
}

/* ------------------------------------------------------------------------------------------------------------ threads -- */

void support_yield(void)
{
    (void)sched_yield();
}
