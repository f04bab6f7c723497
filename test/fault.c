#include "fault.h"

#include <stdatomic.h>
#include <stdlib.h>

#define HANG_MS 5000

struct plan {
    atomic_uint calls;
    unsigned first; /* counted like calls; 0: none */
    unsigned times;
    int error; /* 0: fall short */
};

static struct loop_sys real;
static struct plan plans[FAULT_ROWS];
static atomic_uint hits;
static bool interrupt_everything;
static bool hung;
static int ctl_operation;
static int64_t last_wait;

const char *fault_row_name(enum fault_row row)
{
    static const char *const names[FAULT_ROWS] = {
#define FAULT_NAME(result, name, parameters, arguments) #name,
        LOOP_POSIX_SYS(FAULT_NAME) LOOP_BACKEND_SYS(FAULT_NAME)};

    return names[row];
}

/* Which calls a signal can interrupt. A close is not made again, so it counts as one that cannot. */
static bool may_be_interrupted(enum fault_row row)
{
    switch (row) {
    case FAULT_accept4:
    case FAULT_connect:
    case FAULT_epoll_wait:
    case FAULT_epoll_pwait_ns:
    case FAULT_poll:
    case FAULT_readv:
    case FAULT_recv:
    case FAULT_recvmsg:
    case FAULT_send:
    case FAULT_sendmsg:
    case FAULT_write:
    case FAULT_writev:
        return true;
    default:
        return false;
    }
}

enum fate {
    FATE_REAL,
    FATE_ERROR,
    FATE_SHORT
};

static enum fate decide(enum fault_row row, int *error)
{
    struct plan *plan = &plans[row];
    unsigned call = atomic_fetch_add(&plan->calls, 1) + 1;

    if (plan->first != 0 && call >= plan->first && call - plan->first < plan->times) {
        atomic_fetch_add(&hits, 1);
        *error = plan->error;
        return plan->error != 0 ? FATE_ERROR : FATE_SHORT;
    }
    if (interrupt_everything && call % 2 == 1 && may_be_interrupted(row)) {
        atomic_fetch_add(&hits, 1);
        *error = EINTR;
        return FATE_ERROR;
    }
    return FATE_REAL;
}

/* Whether the system does the work although it reports this error. */
static bool done_all_the_same(enum fault_row row, int error)
{
    return row == FAULT_close || (row == FAULT_connect && error == EINTR);
}

static int failure_of(enum fault_row row, int error)
{
    switch (row) {
    case FAULT_pthread_sigmask:
    case FAULT_sigwait:
        return error;
    case FAULT_if_nametoindex:
        return 0;
    default:
        return -1;
    }
}

#define FAULT_WRAPPER(result, name, parameters, arguments)                                                             \
    static result fault_##name parameters                                                                              \
    {                                                                                                                  \
        int error = 0;                                                                                                 \
        if (decide(FAULT_##name, &error) != FATE_ERROR)                                                                \
            return real.name arguments;                                                                                \
        if (done_all_the_same(FAULT_##name, error))                                                                    \
            (void)real.name arguments;                                                                                 \
        errno = error;                                                                                                 \
        return (result)failure_of(FAULT_##name, error);                                                                \
    }
LOOP_POSIX_SYS(FAULT_WRAPPER)
LOOP_BACKEND_SYS(FAULT_WRAPPER)

/* ------------------------------------------------------------------------------------------- rows with more to them -- */

static ssize_t short_send(int fd, const void *base, size_t len, int flags)
{
    int error = 0;

    switch (decide(FAULT_send, &error)) {
    case FATE_ERROR:
        errno = error;
        return -1;
    case FATE_SHORT:
        return real.send(fd, base, len > 0 ? 1 : 0, flags);
    default:
        return real.send(fd, base, len, flags);
    }
}

static struct iovec first_byte(const struct iovec *iov, size_t n)
{
    struct iovec byte = {NULL, 0};

    for (size_t i = 0; i < n && byte.iov_len == 0; i++) {
        byte.iov_base = iov[i].iov_base;
        byte.iov_len = iov[i].iov_len > 0 ? 1 : 0;
    }
    return byte;
}

static ssize_t short_sendmsg(int fd, const struct msghdr *msg, int flags)
{
    struct msghdr part = *msg;
    struct iovec byte = first_byte(msg->msg_iov, msg->msg_iovlen);
    int error = 0;

    switch (decide(FAULT_sendmsg, &error)) {
    case FATE_ERROR:
        errno = error;
        return -1;
    case FATE_SHORT:
        part.msg_iov = &byte;
        part.msg_iovlen = 1;
        return real.sendmsg(fd, &part, flags);
    default:
        return real.sendmsg(fd, msg, flags);
    }
}

static ssize_t short_writev(int fd, const struct iovec *iov, int n)
{
    struct iovec byte = first_byte(iov, (size_t)n);
    int error = 0;

    switch (decide(FAULT_writev, &error)) {
    case FATE_ERROR:
        errno = error;
        return -1;
    case FATE_SHORT:
        return real.writev(fd, &byte, 1);
    default:
        return real.writev(fd, iov, n);
    }
}

static ssize_t short_readv(int fd, const struct iovec *iov, int n)
{
    struct iovec byte = first_byte(iov, (size_t)n);
    int error = 0;

    switch (decide(FAULT_readv, &error)) {
    case FATE_ERROR:
        errno = error;
        return -1;
    case FATE_SHORT:
        return real.readv(fd, &byte, 1);
    default:
        return real.readv(fd, iov, n);
    }
}

static int noted_epoll_ctl(int epfd, int op, int fd, struct epoll_event *event)
{
    unsigned before = atomic_load(&hits);
    int result = fault_epoll_ctl(epfd, op, fd, event);
    int saved = errno;

    if (atomic_load(&hits) != before)
        ctl_operation = op;
    errno = saved;
    return result;
}

static int bounded_epoll_wait(int epfd, struct epoll_event *events, int max, int timeout)
{
    int n = fault_epoll_wait(epfd, events, max, timeout < 0 ? HANG_MS : timeout);

    last_wait = timeout;
    if (n == 0 && timeout < 0) {
        hung = true;
        errno = ETIMEDOUT;
        return -1;
    }
    return n;
}

static int noted_epoll_pwait_ns(int epfd, struct epoll_event *events, int max, const struct epoll_timespec *timeout)
{
    last_wait = timeout == NULL ? -1 : timeout->seconds * 1000000000 + timeout->nanoseconds;
    return fault_epoll_pwait_ns(epfd, events, max, timeout);
}

/* --------------------------------------------------------------------------------------------------------- control -- */

void fault_reset(void)
{
    for (int row = 0; row < FAULT_ROWS; row++) {
        atomic_store(&plans[row].calls, 0);
        plans[row].first = 0;
    }
    atomic_store(&hits, 0);
    interrupt_everything = false;
    hung = false;
    ctl_operation = 0;
    last_wait = 0;
}

void fault_install(void)
{
    fault_reset();
    real = loop__sys;
#define FAULT_PUT(result, name, parameters, arguments) loop__sys.name = fault_##name;
    LOOP_POSIX_SYS(FAULT_PUT)
    LOOP_BACKEND_SYS(FAULT_PUT)
    loop__sys.send = short_send;
    loop__sys.sendmsg = short_sendmsg;
    loop__sys.writev = short_writev;
    loop__sys.readv = short_readv;
    loop__sys.epoll_ctl = noted_epoll_ctl;
    loop__sys.epoll_wait = bounded_epoll_wait;
    loop__sys.epoll_pwait_ns = noted_epoll_pwait_ns;
    (void)fault_send;
    (void)fault_sendmsg;
    (void)fault_writev;
    (void)fault_readv;
}

void fault_remove(void)
{
    loop__sys = real;
}

unsigned fault_calls(enum fault_row row)
{
    return atomic_load(&plans[row].calls);
}

unsigned fault_calls_of_all(void)
{
    unsigned sum = 0;

    for (int row = 0; row < FAULT_ROWS; row++)
        sum += atomic_load(&plans[row].calls);
    return sum;
}

void fault_fail(enum fault_row row, unsigned first, unsigned times, int error)
{
    plans[row].first = atomic_load(&plans[row].calls) + first;
    plans[row].times = times;
    plans[row].error = error;
}

void fault_shorten(enum fault_row row, unsigned first, unsigned times)
{
    fault_fail(row, first, times, 0);
}

void fault_interrupt_everything(void)
{
    interrupt_everything = true;
}

unsigned fault_hits(void)
{
    return atomic_load(&hits);
}

int fault_epoll_ctl_operation(void)
{
    return ctl_operation;
}

bool fault_hung(void)
{
    return hung;
}

int64_t fault_last_wait(void)
{
    return last_wait;
}

/* ------------------------------------------------------------------------------------------------------- allocator -- */

static unsigned allocations;
static unsigned live_blocks;
static unsigned failing;
static bool allocation_failed;

static void *resize(void *context, void *ptr, size_t size)
{
    void *result;

    (void)context;
    if (size == 0) {
        live_blocks -= ptr != NULL;
        free(ptr);
        return NULL;
    }
    allocations++;
    if (allocations == failing) {
        allocation_failed = true;
        return NULL;
    }
    result = realloc(ptr, size);
    live_blocks += ptr == NULL && result != NULL;
    return result;
}

const loop_allocator_t *fault_allocator(void)
{
    static const loop_allocator_t allocator = {resize, NULL};

    return &allocator;
}

void fault_allocator_reset(void)
{
    allocations = 0;
    live_blocks = 0;
    failing = 0;
    allocation_failed = false;
}

void fault_allocator_fail(unsigned nth)
{
    failing = nth != 0 ? allocations + nth : 0;
    allocation_failed = false;
}

bool fault_allocator_hit(void)
{
    return allocation_failed;
}

unsigned fault_allocations(void)
{
    return allocations;
}

unsigned fault_live_blocks(void)
{
    return live_blocks;
}
