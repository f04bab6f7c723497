/* The part of support.h for which POSIX systems have different calls, or not all of them any. */
#include "support.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/tcp.h>
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

static int prepared_socket(int protocol, bool nonblocking)
{
    int fd = socket(AF_INET, SOCK_STREAM, protocol);

    if (fd >= 0 && !is_prepared(fd, nonblocking)) {
        (void)close(fd);
        return -1;
    }
    return fd;
}

int support_socket(int protocol)
{
    return prepared_socket(protocol, false);
}

int support_nonblocking_socket(void)
{
    return prepared_socket(0, true);
}

int support_local_pair(int fds[2])
{
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, fds) != 0)
        return -1;
    if (is_prepared(fds[0], false) && is_prepared(fds[1], false))
        return 0;
    (void)close(fds[0]);
    (void)close(fds[1]);
    return -1;
}

ptrdiff_t support_send(int fd, const void *base, size_t len)
{
#ifdef SO_NOSIGPIPE
    int on = 1;

    (void)setsockopt(fd, SOL_SOCKET, SO_NOSIGPIPE, &on, sizeof(on));
    return send(fd, base, len, 0);
#else
    return send(fd, base, len, MSG_NOSIGNAL);
#endif
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

bool support_resolver_refuses_flags(int flags)
{
    struct sockaddr_storage addr = support_loopback();
    char host[64];

    return getnameinfo((struct sockaddr *)&addr, sizeof(struct sockaddr_in), host, sizeof(host), NULL, 0, flags) != 0;
}

/* ------------------------------------------------------------------------------------------------------------ threads -- */

void support_semaphore_init(struct support_semaphore *semaphore)
{
    semaphore->count = 0;
    assert_ok(pthread_mutex_init(&semaphore->lock, NULL));
    assert_ok(pthread_cond_init(&semaphore->changed, NULL));
}

void support_semaphore_post(struct support_semaphore *semaphore)
{
    (void)pthread_mutex_lock(&semaphore->lock);
    semaphore->count++;
    (void)pthread_cond_signal(&semaphore->changed); /* with the lock: whoever waited may destroy it right away */
    (void)pthread_mutex_unlock(&semaphore->lock);
}

void support_semaphore_wait(struct support_semaphore *semaphore)
{
    (void)pthread_mutex_lock(&semaphore->lock);
    while (semaphore->count == 0)
        (void)pthread_cond_wait(&semaphore->changed, &semaphore->lock);
    semaphore->count--;
    (void)pthread_mutex_unlock(&semaphore->lock);
}

void support_semaphore_destroy(struct support_semaphore *semaphore)
{
    assert_ok(pthread_cond_destroy(&semaphore->changed));
    assert_ok(pthread_mutex_destroy(&semaphore->lock));
}
