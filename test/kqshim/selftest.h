/* What the self-tests of the kqueue emulation share. They hold on real systems too, and compile there unchanged. */
#ifndef KQSHIM_SELFTEST_H
#define KQSHIM_SELFTEST_H

#include "harness.h"

#if defined(KQSHIM_TEST_API)
#include "kqshim.h"
#endif

#include <sys/types.h>
#include <sys/event.h>
#include <sys/time.h>

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#if defined(__APPLE__) || defined(KQSHIM_MACOS)
#define ON_MACOS 1
#elif defined(__FreeBSD__) || defined(KQSHIM_FREEBSD)
#define ON_FREEBSD 1
#elif defined(__NetBSD__) || defined(KQSHIM_NETBSD) || defined(KQSHIM_NETBSD9)
#define ON_NETBSD 1
#else
#define ON_OPENBSD 1
#endif

#if defined(ON_NETBSD)
typedef size_t count_t;
typedef uint32_t filter_t;
#if !defined(EVFILT_USER)
typedef intptr_t udata_t; /* until NetBSD 9 */
#else
typedef void *udata_t;
#endif
#else
typedef int count_t;
typedef short filter_t;
typedef void *udata_t;
#endif

#define SOON 5000 /* ms: long enough for what must come */

static int kq = -1;
static struct kevent events[16];

static inline struct kevent a_change(int ident, filter_t filter, int flags, unsigned fflags, int data, intptr_t udata)
{
    struct kevent change;

    EV_SET(&change, (uintptr_t)ident, filter, (unsigned short)flags, fflags, data, (udata_t)udata);
    return change;
}

/* 0 or the errno of one change. */
static inline int change_all(int ident, filter_t filter, int flags, unsigned fflags, int data, intptr_t udata)
{
    struct kevent change = a_change(ident, filter, flags, fflags, data, udata);

    return kevent(kq, &change, 1, NULL, 0, NULL) == 0 ? 0 : errno;
}

static inline int change(int ident, filter_t filter, int flags)
{
    return change_all(ident, filter, flags, 0, 0, 0);
}

static inline int collect(count_t room, long ms)
{
    struct timespec ts = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};

    memset(events, 0, sizeof(events));
    return kevent(kq, NULL, 0, events, room, &ts);
}

/* One event of this pair and no other; its place is events[0]. */
static inline void assert_one(int ident, filter_t filter)
{
    assert_int_equal(collect(16, SOON), 1);
    assert_int_equal(events[0].ident, ident);
    assert_true(events[0].filter == filter);
}

static inline void assert_none(void)
{
    assert_int_equal(collect(16, 0), 0);
}

static inline int eof(const struct kevent *event)
{
    return (event->flags & EV_EOF) != 0;
}

static inline void open_kq(void)
{
#if defined(KQSHIM_TEST_API)
    assert_int_equal(kqshim_chaos(NULL, 1), 0); /* whatever the environment says */
#endif
    kq = kqueue();
    assert_true(kq >= 0);
}

static inline void close_kq(void)
{
    assert_int_equal(close(kq), 0);
    kq = -1;
}

static inline void put(int fd, const char *text)
{
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
}

static inline void take(int fd, size_t length)
{
    char buffer[64];

    assert_true(length <= sizeof(buffer));
    assert_int_equal(read(fd, buffer, length), length);
}

/* SIGALRM every so often. */
static inline void tick(void (*handler)(int), long first_ms, long every_ms)
{
    struct itimerval timer = {{every_ms / 1000, every_ms % 1000 * 1000}, {first_ms / 1000, first_ms % 1000 * 1000}};
    struct sigaction action;

    memset(&action, 0, sizeof(action));
    action.sa_handler = handler;
    action.sa_flags = SA_RESTART;
    if (first_ms != 0)
        assert_int_equal(sigaction(SIGALRM, &action, NULL), 0);
    assert_int_equal(setitimer(ITIMER_REAL, &timer, NULL), 0);
}

static inline long long clock_ms(void)
{
    struct timespec ts;

    (void)clock_gettime(CLOCK_MONOTONIC, &ts);
    return (long long)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

#endif
