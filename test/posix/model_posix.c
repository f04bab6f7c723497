/* What the random test needs of a POSIX system: pairs of descriptors, looking at them, and processes that may fail. */
#include "model.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* -------------------------------------------------------------------------------------------------------- descriptors -- */

static int good(int result)
{
    CHECK(result >= 0, "the system refused what the test needs: %s", strerror(errno));
    return result;
}

const struct system_abilities system_can = {
    .step_costs = 1, .detaches = true, .counts_sent = true, .counts_cancelled = true, .answers_at_once = true};

enum pair_kind system_kind(enum pair_kind kind)
{
    return kind;
}

/* Small buffers fill, so that writes have to wait. */
void system_small_buffers(loop_os_fd_t fd)
{
    int size = 8192;

    (void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
}

loop_os_fd_t system_socket(void)
{
    int fd = good(chance(50) ? support_nonblocking_socket() : socket(AF_INET, SOCK_STREAM, 0));

    system_small_buffers(fd);
    return fd;
}

static socklen_t bind_any(int fd, struct sockaddr_storage *addr)
{
    socklen_t length = sizeof(struct sockaddr_in);

    *addr = world->loopback;
    (void)good(bind(fd, (struct sockaddr *)addr, length));
    (void)good(getsockname(fd, (struct sockaddr *)addr, &length));
    return length;
}

loop_os_fd_t system_listener(struct sockaddr_storage *addr)
{
    int fd = system_socket();

    (void)bind_any(fd, addr);
    (void)good(listen(fd, 128));
    return fd;
}

static void tcp_pair(int fds[2])
{
    struct sockaddr_storage addr;
    int listener = system_listener(&addr);
    int flags;

    fds[0] = system_socket();
    flags = fcntl(fds[0], F_GETFL);
    (void)fcntl(fds[0], F_SETFL, flags & ~O_NONBLOCK);
    (void)fcntl(listener, F_SETFL, 0);
    (void)good(connect(fds[0], (struct sockaddr *)&addr, sizeof(struct sockaddr_in)));
    fds[1] = good(accept(listener, NULL, NULL));
    (void)fcntl(fds[0], F_SETFL, flags);
    system_small_buffers(fds[1]);
    (void)close(listener);
}

void system_pair(enum pair_kind kind, loop_os_fd_t fds[2], struct sockaddr_storage addrs[2])
{
    memset(addrs, 0, 2 * sizeof(*addrs));
    switch (kind) {
    case PAIR_UNIX:
    case PAIR_UNIX_RAW:
    case PAIR_DATAGRAM:
        (void)good(socketpair(AF_UNIX, kind == PAIR_DATAGRAM ? SOCK_DGRAM : SOCK_STREAM, 0, fds));
        system_small_buffers(fds[0]);
        system_small_buffers(fds[1]);
        break;
    case PAIR_UDP:
        for (int side = 0; side < 2; side++) {
            fds[side] = good(socket(AF_INET, SOCK_DGRAM, 0));
            (void)bind_any(fds[side], &addrs[side]);
        }
        break;
    case PAIR_PIPE:
        (void)good(pipe(fds));
        break;
    default:
        tcp_pair(fds);
        break;
    }
}

void system_close(loop_os_fd_t fd)
{
    (void)good(close(fd));
}

loop_os_fd_t system_duplicate(loop_os_fd_t fd)
{
    return good(fcntl(fd, F_DUPFD_CLOEXEC, 0));
}

void system_renumber(loop_os_fd_t fd, loop_os_fd_t number)
{
    (void)good(dup2(fd, number));
    (void)close(fd);
}

ptrdiff_t system_read(loop_os_fd_t fd, void *base, size_t len)
{
    struct pollfd item = {.fd = fd, .events = POLLIN};
    ssize_t n;

    if (poll(&item, 1, 0) < 1)
        return LOOP_EAGAIN;
    n = read(fd, base, len);
    return n >= 0 ? n : loop_translate_sys_error(errno);
}

/* At most what surely does not block, on a descriptor that may. */
ptrdiff_t system_write(loop_os_fd_t fd, const void *base, size_t len)
{
    struct pollfd item = {.fd = fd, .events = POLLOUT};
    sigset_t pipe_set;
    sigset_t old;
    sigset_t pending;
    ssize_t n;
    int error;
    int number;

    if (poll(&item, 1, 0) < 1)
        return LOOP_EAGAIN;
    (void)sigemptyset(&pipe_set);
    (void)sigaddset(&pipe_set, SIGPIPE);
    (void)sigprocmask(SIG_BLOCK, &pipe_set, &old);
    n = send(fd, base, len, MSG_DONTWAIT);
    if (n < 0 && errno == ENOTSOCK)
        n = write(fd, base, len < 512 ? len : 512);
    error = errno;
    (void)sigpending(&pending);
    if (sigismember(&pending, SIGPIPE))
        (void)sigwait(&pipe_set, &number);
    (void)sigprocmask(SIG_SETMASK, &old, NULL);
    return n >= 0 ? n : loop_translate_sys_error(error);
}

void system_shutdown(loop_os_fd_t fd)
{
    (void)shutdown(fd, SHUT_WR);
}

bool system_is_surely_async(loop_os_fd_t fd)
{
    return system_is_async(fd);
}

bool system_is_stream(loop_os_fd_t fd)
{
    int type = 0;
    socklen_t length = sizeof(type);

    return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &length) == 0 && type == SOCK_STREAM;
}

int system_port(loop_os_fd_t fd, bool peer)
{
    struct sockaddr_storage name;
    socklen_t length = sizeof(name);

    if ((peer ? getpeername(fd, (struct sockaddr *)&name, &length)
              : getsockname(fd, (struct sockaddr *)&name, &length)) != 0)
        return 0;
    return loop_ip_port((struct sockaddr *)&name);
}

bool system_is_async(loop_os_fd_t fd)
{
    return (fcntl(fd, F_GETFL) & O_NONBLOCK) && (fcntl(fd, F_GETFD) & FD_CLOEXEC);
}

unsigned system_ready(loop_os_fd_t fd, unsigned wanted)
{
    struct pollfd item = {.fd = fd};
    unsigned found = 0;

    item.events = (short)((wanted & LOOP_READABLE ? POLLIN : 0) | (wanted & LOOP_WRITABLE ? POLLOUT : 0));
    if (poll(&item, 1, 0) < 1)
        return 0;
    if (item.revents & (POLLIN | POLLHUP | POLLERR))
        found |= LOOP_READABLE;
    if (item.revents & (POLLOUT | POLLHUP | POLLERR))
        found |= LOOP_WRITABLE;
    return found & wanted;
}

void system_pause(void)
{
    (void)usleep(2000);
}

int system_open_count(void)
{
    unsigned char map[256];
    int count = 0;

    harness_descriptors(map, sizeof(map) * 8);
    for (size_t i = 0; i < sizeof(map) * 8; i++)
        count += (map[i / 8] >> i % 8) & 1;
    return count;
}

/* ---------------------------------------------------------------------------------------------------------- processes -- */

struct report *child_report(void)
{
    void *memory = mmap(NULL, sizeof(struct report), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    assert_true(memory != MAP_FAILED);
    return memory;
}

void child_report_free(struct report *report)
{
    (void)munmap(report, sizeof(*report));
}

_Noreturn void child_fail(void)
{
    _exit(1);
}

double child_clock(void)
{
    struct timespec ts;

    (void)clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* The harness of the parent catches these, to go on with the next test. */
static void die_of_signals(void)
{
    static const int signals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGSYS};

    for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
        (void)signal(signals[i], SIG_DFL);
}

enum outcome child_run(void (*job)(void *arg, struct report *report), void *arg, struct report *report,
                       unsigned seconds)
{
    pid_t child;
    int status = 0;

    report->finished = false;
    report->line = 0;
    (void)fflush(NULL);
    child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        die_of_signals();
        (void)alarm(seconds);
        job(arg, report);
        report->finished = true;
        exit(0); /* what watches for leaks looks now */
    }
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        continue;
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0 && report->finished)
        return OUTCOME_PASSED;
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM)
        return OUTCOME_HUNG;
    if (report->line == 0)
        (void)snprintf(report->text, sizeof(report->text), "the process died: %s %d",
                       WIFSIGNALED(status) ? "signal" : "status",
                       WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
    return OUTCOME_FAILED;
}
