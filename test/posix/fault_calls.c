/* How the calls of POSIX systems fail. */
#include "fault_calls.h"
#include "support_posix.h"

#include <errno.h>
#include <signal.h>

static struct loop_sys real;

void fault_set_error(int error)
{
    errno = error;
}

/* What a failing call returns: -1, but some return the error, and if_nametoindex returns 0. */
intptr_t fault_result(enum fault_row row, int error)
{
    switch (row) {
    case FAULT_getaddrinfo:
    case FAULT_getnameinfo:
    case FAULT_pthread_atfork:
    case FAULT_pthread_cond_init:
    case FAULT_pthread_create:
    case FAULT_pthread_join:
    case FAULT_pthread_mutex_init:
    case FAULT_pthread_sigmask:
    case FAULT_sigwait:
        return error;
    case FAULT_if_nametoindex:
        return 0;
    default:
        return -1;
    }
}

/* A close that fails has closed all the same, close(2). */
static int failing_close(int fd)
{
    bool failing = fault_fails(FAULT_close);
    int error = errno;
    int rc = real.close(fd);

    if (!failing)
        return rc;
    errno = error;
    return -1;
}

/* Nor does a join that fails leave a thread behind: the tests could not know when it ends. */
static int failing_join(pthread_t thread, void **result)
{
    int rc = real.pthread_join(thread, result);

    return fault_fails(FAULT_pthread_join) ? errno : rc;
}

void fault_begin_platform(const struct loop_sys *system_calls)
{
    real = *system_calls;
    loop__sys.close = failing_close;
    loop__sys.pthread_join = failing_join;
    fault_begin_backend(&real);
}

/* What happens within this machine has happened when the call returns; a few things take a moment all the same. */
const uint64_t fault_pause = 0;
const int fault_turns = 3000;

static sigset_t kept_mask;

void fault_keep_signals(void)
{
    assert_ok(pthread_sigmask(SIG_SETMASK, NULL, &kept_mask));
}

/* A write to a pipe whose calls on signals failed may have left the mask changed, and a SIGPIPE behind it. */
void fault_restore_signals(void)
{
    void (*before)(int) = signal(SIGPIPE, SIG_IGN);

    assert_true(before != SIG_ERR);
    assert_ok(pthread_sigmask(SIG_SETMASK, &kept_mask, NULL));
    assert_true(signal(SIGPIPE, before) == SIG_IGN);
}

/* For signals that come while nobody watches. */
void fault_ready_signals(void)
{
    sigset_t none;

    for (int n = 0; n < 2; n++) {
        struct sigaction now;
        int signum = support_signal(n);

        assert_ok(sigaction(signum, NULL, &now));
        if (now.sa_handler == SIG_DFL)
            assert_true(signal(signum, SIG_IGN) != SIG_ERR);
    }
    assert_ok(sigemptyset(&none)); /* should an earlier run have failed to restore it */
    assert_ok(pthread_sigmask(SIG_SETMASK, &none, NULL));
}

long fault_waits(void)
{
    long waits = fault_count(FAULT_BACKEND_WAIT);

    if ((int)FAULT_BACKEND_WAIT_TIMED != (int)FAULT_BACKEND_WAIT)
        waits += fault_count(FAULT_BACKEND_WAIT_TIMED);
    return waits;
}

static const int *resolver_errors(void)
{
    static int errors[32];
    size_t n = support_resolver_errors_count;

    assert_true(n + 2 <= sizeof(errors) / sizeof(errors[0]));
    for (size_t i = 0; i < n; i++)
        errors[i] = support_resolver_errors[i].number;
    errors[n] = EAI_SYSTEM;
    return errors;
}

const int *fault_errors(enum fault_row row)
{
    static const int accept_errors[] = {EINTR, EAGAIN, ECONNABORTED, EPROTO, EMFILE, ENFILE, ENOBUFS, ENOMEM, EPERM, 0};
    static const int bind_errors[] = {EADDRINUSE, EADDRNOTAVAIL, EACCES, EINVAL, 0};
    static const int clock_gettime_errors[] = {EINVAL, 0};
    static const int close_errors[] = {EINTR, EIO, 0};
    static const int connect_errors[] = {
        EINTR, ECONNREFUSED, ENETUNREACH, EADDRNOTAVAIL, ETIMEDOUT, EAGAIN, EACCES, ENOBUFS, 0};
    static const int fcntl_errors[] = {EBADF, EINTR, ENOMEM, 0};
    static const int getpid_errors[] = {EPERM, 0}; /* it cannot fail */
    static const int getpeername_errors[] = {ENOBUFS, ENOTCONN, EINVAL, 0};
    static const int getsockname_errors[] = {ENOBUFS, EINVAL, 0};
    static const int getsockopt_errors[] = {ENOMEM, ENOBUFS, ENOPROTOOPT, 0};
    static const int if_nametoindex_errors[] = {ENODEV, 0};
    static const int listen_errors[] = {EADDRINUSE, EOPNOTSUPP, 0};
    static const int poll_errors[] = {EINTR, ENOMEM, 0};
    static const int name_thread_errors[] = {ENAMETOOLONG, 0};
    static const int pthread_atfork_errors[] = {ENOMEM, 0};
    static const int pthread_init_errors[] = {ENOMEM, EAGAIN, 0};
    static const int pthread_create_errors[] = {EAGAIN, EPERM, 0};
    static const int pthread_join_errors[] = {EDEADLK, 0};
    static const int pthread_sigmask_errors[] = {EINVAL, 0};
    static const int raise_errors[] = {EAGAIN, 0};
    static const int readv_errors[] = {EINTR, EAGAIN, EIO, ECONNRESET, ENOMEM, 0};
    static const int recv_errors[] = {EINTR, EAGAIN, ECONNRESET, ETIMEDOUT, ENOMEM, 0};
    static const int recvmsg_errors[] = {EINTR, EAGAIN, ECONNREFUSED, ENOMEM, 0};
    static const int sched_yield_errors[] = {ENOSYS, 0};
    static const int send_errors[] = {EINTR, EAGAIN, EPIPE, ECONNRESET, ENOBUFS, ENOMEM, 0};
    static const int setsockopt_errors[] = {ENOPROTOOPT, ENOMEM, EINVAL, 0};
    static const int shutdown_errors[] = {ENOTCONN, ENOBUFS, 0};
    static const int sigaction_errors[] = {EINVAL, 0};
    static const int sigpending_errors[] = {EFAULT, 0};
    static const int sigwait_errors[] = {EINVAL, 0};
    static const int socket_errors[] = {EMFILE, ENFILE, ENOBUFS, ENOMEM, EAFNOSUPPORT, EACCES, 0};
    static const int writev_errors[] = {EINTR, EAGAIN, EPIPE, EIO, ENOSPC, 0};
    static const int no_errors[] = {0};

    switch (row) {
    case FAULT_accept_new:
        return accept_errors;
    case FAULT_bind:
        return bind_errors;
    case FAULT_clock_gettime:
        return clock_gettime_errors;
    case FAULT_close:
        return close_errors;
    case FAULT_connect:
        return connect_errors;
    case FAULT_fcntl:
        return fcntl_errors;
    case FAULT_getaddrinfo:
    case FAULT_getnameinfo:
        return resolver_errors();
    case FAULT_getpid:
        return getpid_errors;
    case FAULT_getpeername:
        return getpeername_errors;
    case FAULT_getsockname:
        return getsockname_errors;
    case FAULT_getsockopt:
        return getsockopt_errors;
    case FAULT_if_nametoindex:
        return if_nametoindex_errors;
    case FAULT_listen:
        return listen_errors;
    case FAULT_name_thread:
        return name_thread_errors;
    case FAULT_poll:
        return poll_errors;
    case FAULT_pthread_atfork:
        return pthread_atfork_errors;
    case FAULT_pthread_cond_init:
    case FAULT_pthread_mutex_init:
        return pthread_init_errors;
    case FAULT_pthread_create:
        return pthread_create_errors;
    case FAULT_pthread_join:
        return pthread_join_errors;
    case FAULT_pthread_sigmask:
        return pthread_sigmask_errors;
    case FAULT_raise:
        return raise_errors;
    case FAULT_readv:
        return readv_errors;
    case FAULT_recv:
        return recv_errors;
    case FAULT_recvmsg:
        return recvmsg_errors;
    case FAULT_sched_yield:
        return sched_yield_errors;
    case FAULT_send:
    case FAULT_sendmsg:
        return send_errors;
    case FAULT_setsockopt:
        return setsockopt_errors;
    case FAULT_shutdown:
        return shutdown_errors;
    case FAULT_sigaction:
        return sigaction_errors;
    case FAULT_sigpending:
        return sigpending_errors;
    case FAULT_sigwait:
        return sigwait_errors;
    case FAULT_socket_new:
        return socket_errors;
    case FAULT_writev:
        return writev_errors;
    default:
        break;
    }
    return fault_backend_errors(row) != NULL ? fault_backend_errors(row) : no_errors;
}
