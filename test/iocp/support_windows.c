/* The part of support.h that has a system's calls: Windows'. */
#include "sys.h"

#include "support.h"

#include <signal.h>
#include <windows.h>

/* What the option numbers of keep-alive are called in newer headers only. */
#define IDLE_TIME 3
#define PROBE_COUNT 16
#define PROBE_INTERVAL 17

static int last_error(void)
{
    return loop_translate_sys_error((int)GetLastError());
}

/* What a call of Winsock gave, or the error of the one that failed. */
static int result_of(int result)
{
    return result != SOCKET_ERROR ? result : last_error();
}

/* ------------------------------------------------------------------------------------------------------------ sockets -- */

static BOOL CALLBACK start_winsock(INIT_ONCE *once, void *argument, void **context)
{
    WSADATA data;

    (void)once;
    (void)argument;
    (void)context;
    return WSAStartup(MAKEWORD(2, 2), &data) == 0; /* until the process ends */
}

static loop_os_fd_t new_socket(int type, int protocol)
{
    static INIT_ONCE once = INIT_ONCE_STATIC_INIT;

    if (!InitOnceExecuteOnce(&once, start_winsock, NULL, NULL))
        return LOOP_INVALID_FD;
    return WSASocketW(AF_INET, type, protocol, NULL, 0, WSA_FLAG_OVERLAPPED | WSA_FLAG_NO_HANDLE_INHERIT);
}

static int set_nonblocking(loop_os_fd_t fd, bool enable)
{
    u_long on = enable;

    return result_of(ioctlsocket(fd, (long)FIONBIO, &on));
}

loop_os_fd_t support_socket(int protocol)
{
    return new_socket(SOCK_STREAM, protocol);
}

loop_os_fd_t support_nonblocking_socket(void)
{
    loop_os_fd_t fd = new_socket(SOCK_STREAM, 0);

    if (fd != LOOP_INVALID_FD)
        assert_ok(set_nonblocking(fd, true));
    return fd;
}

loop_os_fd_t support_datagram_socket(void)
{
    return new_socket(SOCK_DGRAM, 0);
}

int support_bind(loop_os_fd_t fd, struct sockaddr_storage *addr)
{
    int length = sizeof(struct sockaddr_in);

    if (bind(fd, (struct sockaddr *)addr, length) != 0)
        return last_error();
    return result_of(getsockname(fd, (struct sockaddr *)addr, &length));
}

int support_listen_at(loop_os_fd_t fd, struct sockaddr_storage *addr, int backlog)
{
    int error = support_bind(fd, addr);

    return error != 0 ? error : result_of(listen(fd, backlog));
}

int support_connect(loop_os_fd_t fd, const struct sockaddr_storage *addr)
{
    return result_of(connect(fd, (const struct sockaddr *)addr, sizeof(struct sockaddr_in)));
}

loop_os_fd_t support_accept(loop_os_fd_t listener)
{
    loop_os_fd_t fd = accept(listener, NULL, NULL);

    if (fd != LOOP_INVALID_FD) {
        assert_true(SetHandleInformation((HANDLE)fd, HANDLE_FLAG_INHERIT, 0));
        assert_ok(set_nonblocking(fd, false)); /* it has this of the listener */
    }
    return fd;
}

/* There are no pairs by themselves; TCP keeps together what is written, unless it is told not to. */
int support_local_pair(loop_os_fd_t fds[2])
{
    int error;

    support_socket_pair(fds);
    error = support_set_option(fds[0], IPPROTO_TCP, TCP_NODELAY, 1);
    return error != 0 ? error : support_set_option(fds[1], IPPROTO_TCP, TCP_NODELAY, 1);
}

/* Of 127.0.0.1: connected, a socket of another loopback address gets this one under Wine. */
int support_datagram_pair(loop_os_fd_t fds[2])
{
    struct sockaddr_storage addrs[2];

    for (int i = 0; i < 2; i++) {
        assert_ok(loop_ip_addr("127.0.0.1", 0, &addrs[i]));
        fds[i] = support_datagram_socket();
        assert_ok(support_bind(fds[i], &addrs[i]));
    }
    assert_ok(support_connect(fds[0], &addrs[1]));
    return support_connect(fds[1], &addrs[0]);
}

static bool is_socket(loop_os_fd_t fd)
{
    int type;

    return support_get_option(fd, SOL_SOCKET, SO_TYPE, &type) == 0;
}

/* Whether the socket has something to read, or room, by now. */
static bool is_ready(loop_os_fd_t fd, bool to_write)
{
    WSAPOLLFD item = {.fd = fd, .events = to_write ? POLLWRNORM : POLLRDNORM};

    return WSAPoll(&item, 1, 0) == 1;
}

ptrdiff_t support_recv(loop_os_fd_t fd, void *base, size_t len, int flags)
{
    if ((flags & SUPPORT_DONTWAIT) && !is_ready(fd, false))
        return LOOP_EAGAIN;
    return result_of(recv(fd, base, (int)len, flags & ~SUPPORT_DONTWAIT));
}

ptrdiff_t support_send(loop_os_fd_t fd, const void *base, size_t len, int flags)
{
    int result;

    if (!(flags & SUPPORT_DONTWAIT))
        return result_of(send(fd, base, (int)len, flags));
    assert_ok(set_nonblocking(fd, true));
    result = result_of(send(fd, base, (int)len, flags & ~SUPPORT_DONTWAIT));
    assert_ok(set_nonblocking(fd, false));
    return result;
}

int support_shutdown(loop_os_fd_t fd)
{
    return result_of(shutdown(fd, SD_SEND));
}

int support_set_option(loop_os_fd_t fd, int level, int name, int value)
{
    return result_of(setsockopt(fd, level, name, (const char *)&value, sizeof(value)));
}

int support_get_option(loop_os_fd_t fd, int level, int name, int *value)
{
    int length = sizeof(*value);

    *value = 0; /* some write one byte of it */
    return result_of(getsockopt(fd, level, name, (char *)value, &length));
}

static bool option_is(loop_os_fd_t fd, int name, int expected)
{
    int value;

    return support_get_option(fd, IPPROTO_TCP, name, &value) != 0 || value == expected;
}

bool support_keepalive_is(loop_os_fd_t fd, int idle, int interval, int count)
{
    return option_is(fd, IDLE_TIME, idle) && option_is(fd, PROBE_INTERVAL, interval) &&
           option_is(fd, PROBE_COUNT, count);
}

/* The system does not tell. */
bool support_nonblocking_is(loop_os_fd_t fd, bool expected)
{
    (void)fd;
    (void)expected;
    return true;
}

/* --------------------------------------------------------------------------------------------------- pipes and files -- */

/* Anonymous ones cannot be put on a completion port. */
int support_pipe(loop_os_fd_t fds[2])
{
    static volatile LONG count;
    SECURITY_ATTRIBUTES inherited = {sizeof(inherited), NULL, TRUE};
    wchar_t name[64];
    HANDLE ends[2];

    (void)swprintf(name, sizeof(name) / sizeof(name[0]), L"\\\\.\\pipe\\loop-test-%lu-%ld", GetCurrentProcessId(),
                   InterlockedIncrement(&count));
    ends[0] = CreateNamedPipeW(name, PIPE_ACCESS_INBOUND | FILE_FLAG_OVERLAPPED | FILE_FLAG_FIRST_PIPE_INSTANCE,
                               PIPE_TYPE_BYTE | PIPE_READMODE_BYTE | PIPE_WAIT, 1, 65536, 65536, 0, &inherited);
    if (ends[0] == INVALID_HANDLE_VALUE)
        return last_error();
    ends[1] = CreateFileW(name, GENERIC_WRITE, 0, &inherited, OPEN_EXISTING, FILE_FLAG_OVERLAPPED, NULL);
    if (ends[1] == INVALID_HANDLE_VALUE) {
        int error = last_error();

        (void)CloseHandle(ends[0]);
        return error;
    }
    fds[0] = (loop_os_fd_t)ends[0];
    fds[1] = (loop_os_fd_t)ends[1];
    return 0;
}

loop_os_fd_t support_file(void)
{
    wchar_t folder[MAX_PATH + 1];
    wchar_t name[MAX_PATH + 1];

    if (GetTempPathW(MAX_PATH + 1, folder) == 0 || GetTempFileNameW(folder, L"loop", 0, name) == 0)
        return LOOP_INVALID_FD;
    return (loop_os_fd_t)CreateFileW(name, GENERIC_READ | GENERIC_WRITE, FILE_SHARE_READ | FILE_SHARE_WRITE, NULL,
                                     TRUNCATE_EXISTING, FILE_ATTRIBUTE_TEMPORARY | FILE_FLAG_DELETE_ON_CLOSE, NULL);
}

/* Waits for a transfer, of which no completion port is told: that is what the lowest bit of the event means. */
static ptrdiff_t transfer(loop_os_fd_t fd, void *base, size_t len, bool to_write)
{
    HANDLE event = CreateEventW(NULL, TRUE, FALSE, NULL);
    OVERLAPPED overlapped = {.hEvent = (HANDLE)((uintptr_t)event | 1)};
    DWORD done = 0;
    BOOL started;
    int error = 0;

    assert_non_null(event);
    started = to_write ? WriteFile((HANDLE)fd, base, (DWORD)len, NULL, &overlapped)
                       : ReadFile((HANDLE)fd, base, (DWORD)len, NULL, &overlapped);
    if ((!started && GetLastError() != ERROR_IO_PENDING) || !GetOverlappedResult((HANDLE)fd, &overlapped, &done, TRUE))
        error = GetLastError() == ERROR_BROKEN_PIPE && !to_write ? 0 : last_error();
    (void)CloseHandle(event);
    return error != 0 ? error : (ptrdiff_t)done;
}

ptrdiff_t support_read(loop_os_fd_t fd, void *base, size_t len)
{
    return is_socket(fd) ? support_recv(fd, base, len, 0) : transfer(fd, base, len, false);
}

ptrdiff_t support_write(loop_os_fd_t fd, const void *base, size_t len)
{
    return is_socket(fd) ? support_send(fd, base, len, 0) : transfer(fd, (void *)(uintptr_t)base, len, true);
}

/* ------------------------------------------------------------------------------------------------------------ handles -- */

void support_close(loop_os_fd_t fd)
{
    if (is_socket(fd))
        assert_ok(closesocket(fd));
    else
        assert_true(CloseHandle((HANDLE)fd));
}

void support_close_with_reset(loop_os_fd_t fd)
{
    struct linger linger = {1, 0};

    assert_ok(setsockopt(fd, SOL_SOCKET, SO_LINGER, (const char *)&linger, sizeof(linger)));
    assert_ok(closesocket(fd));
}

bool support_inherited_is(loop_os_fd_t fd, bool expected)
{
    DWORD flags = 0;

    return GetHandleInformation((HANDLE)fd, &flags) && ((flags & HANDLE_FLAG_INHERIT) != 0) == expected;
}

/* ------------------------------------------------------------------------------------------------- threads and names -- */

void support_yield(void)
{
    (void)SwitchToThread();
}

/* Loaded at run time, so that tests need no library more. */
unsigned support_interface(char *name, size_t size)
{
    char *(WINAPI * name_of)(ULONG index, char *buffer) = NULL;
    HMODULE library = LoadLibraryA("iphlpapi.dll");
    FARPROC function = library != NULL ? GetProcAddress(library, "if_indextoname") : NULL;
    char found[257]; /* as many as that function may write */

    if (function == NULL)
        return 0;
    memcpy(&name_of, &function, sizeof(name_of));
    for (ULONG index = 1; index < 64; index++) {
        if (name_of(index, found) != NULL && strlen(found) < size) {
            memcpy(name, found, strlen(found) + 1);
            return index;
        }
    }
    return 0;
}

/* ------------------------------------------------------------------------------------------------------------ signals -- */

/* What the console would call. It calls it on a thread of its own. */
static PHANDLER_ROUTINE handler;
static BOOL (*set_handler)(PHANDLER_ROUTINE routine, BOOL add);

static BOOL note_handler(PHANDLER_ROUTINE routine, BOOL add)
{
    if (add)
        handler = routine;
    return set_handler(routine, add);
}

static void *call_handler(void *event)
{
    (void)handler(*(const DWORD *)event);
    return NULL;
}

/* Before the first of them is watched: the library adds its handler once. */
int support_signal(int n)
{
    if (set_handler == NULL) {
        set_handler = loop__sys.SetConsoleCtrlHandler;
        loop__sys.SetConsoleCtrlHandler = note_handler;
    }
    return n == 0 ? SIGINT : SIGBREAK;
}

/* There is mostly no console that would raise one for us. */
int support_raise(int signum)
{
    DWORD event = signum == SIGINT ? CTRL_C_EVENT : CTRL_BREAK_EVENT;
    pthread_t thread;

    if (handler == NULL)
        return LOOP_ENOTSUP;
    assert_ok(pthread_create(&thread, NULL, call_handler, &event));
    return pthread_join(thread, NULL);
}
