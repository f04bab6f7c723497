/* What the random test needs of Windows: pairs of descriptors, looking at them, and a process that may fail. */
#include "model.h"

const struct system_abilities system_can = {
    .step_costs = 3, .detaches = false, .counts_sent = false, .counts_cancelled = false, .answers_at_once = false};

/* -------------------------------------------------------------------------------------------------------- descriptors -- */

enum pair_kind system_kind(enum pair_kind kind)
{
    switch (kind) {
    case PAIR_UNIX:
        return PAIR_TCP_DESC;
    case PAIR_UNIX_RAW:
        return PAIR_TCP_RAW;
    case PAIR_DATAGRAM:
        return PAIR_UDP;
    default:
        return kind;
    }
}

static loop_os_fd_t good(loop_os_fd_t fd)
{
    CHECK(fd != LOOP_INVALID_FD, "the system refused what the test needs: error %lu", (unsigned long)GetLastError());
    return fd;
}

static void succeeded(int error)
{
    CHECK(error == 0, "the system refused what the test needs: %s", loop_err_name(error));
}

/* Small buffers fill, so that writes have to wait. */
void system_small_buffers(loop_os_fd_t fd)
{
    (void)support_set_option(fd, SOL_SOCKET, SO_SNDBUF, 8192);
    (void)support_set_option(fd, SOL_SOCKET, SO_RCVBUF, 8192);
}

/* By the number of a descriptor: whether the test made it blocking. The system does not tell. */
static bool blocking[4096];

static bool *blocks(loop_os_fd_t fd)
{
    return &blocking[fd / 4 % (sizeof(blocking) / sizeof(blocking[0]))];
}

/* Some do not block, of the others the library has to see to it. */
static void make_some_nonblocking(loop_os_fd_t fd)
{
    u_long on = chance(50);

    CHECK(ioctlsocket(fd, (long)FIONBIO, &on) == 0, "the system refused what the test needs");
    *blocks(fd) = on == 0;
}

loop_os_fd_t system_socket(void)
{
    loop_os_fd_t fd = good(support_socket(0));

    make_some_nonblocking(fd);
    system_small_buffers(fd);
    return fd;
}

loop_os_fd_t system_listener(struct sockaddr_storage *addr)
{
    loop_os_fd_t fd = system_socket();

    *addr = world->loopback;
    succeeded(support_listen_at(fd, addr, 128));
    return fd;
}

static void tcp_pair(loop_os_fd_t fds[2])
{
    support_socket_pair(fds);
    for (int side = 0; side < 2; side++) {
        system_small_buffers(fds[side]);
        make_some_nonblocking(fds[side]);
    }
}

void system_pair(enum pair_kind kind, loop_os_fd_t fds[2], struct sockaddr_storage addrs[2])
{
    memset(addrs, 0, 2 * sizeof(*addrs));
    switch (kind) {
    case PAIR_UDP:
        for (int side = 0; side < 2; side++) {
            addrs[side] = world->loopback;
            fds[side] = good(support_datagram_socket());
            succeeded(support_bind(fds[side], &addrs[side]));
        }
        break;
    case PAIR_PIPE:
        succeeded(support_pipe(fds));
        break;
    default:
        tcp_pair(fds);
        break;
    }
}

void system_close(loop_os_fd_t fd)
{
    support_close(fd);
}

/* For what system_can says that it is not done. */
loop_os_fd_t system_duplicate(loop_os_fd_t fd)
{
    CHECK(false, "a duplicate");
    return fd;
}

void system_renumber(loop_os_fd_t fd, loop_os_fd_t number)
{
    (void)fd;
    (void)number;
    CHECK(false, "a number of the test's choice");
}

static bool is_socket(loop_os_fd_t fd)
{
    int type;

    return support_get_option(fd, SOL_SOCKET, SO_TYPE, &type) == 0;
}

/* How many bytes wait in a pipe; 0 at its end too, of which reading tells. Negative: none. */
static long long waiting_in_pipe(loop_os_fd_t fd)
{
    DWORD bytes = 0;

    if (!PeekNamedPipe((HANDLE)fd, NULL, 0, NULL, &bytes, NULL))
        return GetLastError() == ERROR_BROKEN_PIPE ? 0 : -1;
    return bytes > 0 ? (long long)bytes : -1;
}

ptrdiff_t system_read(loop_os_fd_t fd, void *base, size_t len)
{
    if (is_socket(fd))
        return support_recv(fd, base, len, SUPPORT_DONTWAIT);
    return waiting_in_pipe(fd) >= 0 ? support_read(fd, base, len) : LOOP_EAGAIN;
}

/* What does not fit at once is taken back, unless the reader was quicker. */
static ptrdiff_t write_to_pipe(HANDLE pipe, const void *base, DWORD len)
{
    HANDLE event = CreateEventW(NULL, TRUE, FALSE, NULL);
    OVERLAPPED overlapped = {.hEvent = (HANDLE)((uintptr_t)event | 1)}; /* and no completion port is told */
    DWORD done = 0;
    DWORD error = ERROR_SUCCESS;

    CHECK(event != NULL, "the system refused an event");
    if (!WriteFile(pipe, base, len, NULL, &overlapped))
        error = GetLastError();
    if (error == ERROR_IO_PENDING)
        (void)CancelIoEx(pipe, &overlapped);
    if (error == ERROR_SUCCESS || error == ERROR_IO_PENDING)
        error = GetOverlappedResult(pipe, &overlapped, &done, TRUE) ? ERROR_SUCCESS : GetLastError();
    (void)CloseHandle(event);
    if (error == ERROR_SUCCESS)
        return (ptrdiff_t)done;
    return error == ERROR_OPERATION_ABORTED ? LOOP_EAGAIN : loop_translate_sys_error((int)error);
}

/* At most what surely does not block, on a socket that may. */
ptrdiff_t system_write(loop_os_fd_t fd, const void *base, size_t len)
{
    size_t some = len < 512 ? len : 512;

    if (!is_socket(fd))
        return write_to_pipe((HANDLE)fd, base, (DWORD)some);
    return system_ready(fd, LOOP_WRITABLE) != 0 ? support_send(fd, base, some, 0) : LOOP_EAGAIN;
}

void system_shutdown(loop_os_fd_t fd)
{
    (void)support_shutdown(fd);
}

bool system_is_stream(loop_os_fd_t fd)
{
    int type = 0;

    return support_get_option(fd, SOL_SOCKET, SO_TYPE, &type) == 0 && type == SOCK_STREAM;
}

int system_port(loop_os_fd_t fd, bool peer)
{
    struct sockaddr_storage name;
    int length = sizeof(name);

    if ((peer ? getpeername(fd, (struct sockaddr *)&name, &length)
              : getsockname(fd, (struct sockaddr *)&name, &length)) != 0)
        return 0;
    return loop_ip_port((struct sockaddr *)&name);
}

bool system_is_async(loop_os_fd_t fd)
{
    return support_nonblocking_is(fd, true) && support_inherited_is(fd, false);
}

bool system_is_surely_async(loop_os_fd_t fd)
{
    return !*blocks(fd) && system_is_async(fd);
}

unsigned system_ready(loop_os_fd_t fd, unsigned wanted)
{
    WSAPOLLFD item = {.fd = fd};
    unsigned found = 0;

    if (!is_socket(fd))
        return wanted & LOOP_READABLE && waiting_in_pipe(fd) >= 0 ? LOOP_READABLE : 0;
    item.events = (SHORT)((wanted & LOOP_READABLE ? POLLRDNORM : 0) | (wanted & LOOP_WRITABLE ? POLLWRNORM : 0));
    if (WSAPoll(&item, 1, 0) < 1)
        return 0;
    if (item.revents & (POLLRDNORM | POLLHUP | POLLERR))
        found |= LOOP_READABLE;
    if (item.revents & (POLLWRNORM | POLLERR)) /* POLLHUP: the peer has ended its side, and may still be written to */
        found |= LOOP_WRITABLE;
    return found & wanted;
}

void system_pause(void)
{
    Sleep(2);
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

/* No process is a copy of another: runs are made in this one, the first that fails ends it, and nothing is shrunk. */

static struct report *current;

struct report *child_report(void)
{
    current = calloc(1, sizeof(*current));
    assert_non_null(current);
    return current;
}

void child_report_free(struct report *report)
{
    free(report);
    current = NULL;
}

_Noreturn void child_fail(void)
{
    (void)fprintf(stderr, "failed with seed %llu in step %u of its run: %s:%d: %s\n", (unsigned long long)current->seed,
                  (unsigned)current->step, current->file, current->line, current->text);
    (void)fflush(stderr);
    exit(1);
}

double child_clock(void)
{
    return (double)GetTickCount64() / 1e3;
}

enum outcome child_run(void (*job)(void *arg, struct report *report), void *arg, struct report *report,
                       unsigned seconds)
{
    (void)seconds;
    job(arg, report);
    return OUTCOME_PASSED;
}
