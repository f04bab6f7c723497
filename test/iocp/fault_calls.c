/* How the calls of Windows fail. */
#include "fault.h"

static struct loop_sys real;

/* That of Winsock's calls is the same. */
void fault_set_error(int error)
{
    SetLastError((DWORD)error);
}

/* What a failing call returns: mostly FALSE, NULL or 0, but -1 in Winsock, and some return the error. */
intptr_t fault_result(enum fault_row row, int error)
{
    switch (row) {
    case FAULT_NtCreateFile:
    case FAULT_WSAStartup:
    case FAULT_getaddrinfo:
    case FAULT_getnameinfo:
        return error;
    case FAULT_WSAIoctl:
    case FAULT_WSAPoll:
    case FAULT_WSARecv:
    case FAULT_WSARecvFrom:
    case FAULT_WSASend:
    case FAULT_WSASendTo:
    case FAULT_WSASocketW:
    case FAULT_WaitForSingleObject:
    case FAULT_accept:
    case FAULT_bind:
    case FAULT_closesocket:
    case FAULT_connect:
    case FAULT_getpeername:
    case FAULT_getsockname:
    case FAULT_getsockopt:
    case FAULT_ioctlsocket:
    case FAULT_listen:
    case FAULT_name_thread:
    case FAULT_setsockopt:
    case FAULT_shutdown:
        return -1;
    default:
        return 0;
    }
}

/* ------------------------------------------------------------------------------- what is done also by a call that fails -- */

static BOOL failing_close(HANDLE handle)
{
    BOOL ok = real.CloseHandle(handle);

    return ok && !fault_fails(FAULT_CloseHandle);
}

static bool is_socket(SOCKET socket)
{
    int type;
    int length = sizeof(type);

    return getsockopt(socket, SOL_SOCKET, SO_TYPE, (char *)&type, &length) == 0;
}

/* Unless it would have to wait: then the socket stays open. What is none is told so in any case. */
static int failing_closesocket(SOCKET socket)
{
    bool failing = is_socket(socket) && fault_fails(FAULT_closesocket);
    DWORD error = GetLastError();
    int rc = failing && error == WSAEWOULDBLOCK ? -1 : real.closesocket(socket);

    if (!failing)
        return rc;
    SetLastError(error);
    return -1;
}

/* All that it can say is that there was nothing to cancel. */
static BOOL failing_cancel(HANDLE handle, OVERLAPPED *overlapped)
{
    BOOL ok = real.CancelIoEx(handle, overlapped);

    return ok && !fault_fails(FAULT_CancelIoEx);
}

static BOOL failing_unregister(HANDLE wait, HANDLE done)
{
    BOOL ok = real.UnregisterWaitEx(wait, done);

    return ok && !fault_fails(FAULT_UnregisterWaitEx);
}

/* The tests could not know when the thread ends. */
static DWORD failing_wait(HANDLE handle, DWORD ms)
{
    DWORD result = real.WaitForSingleObject(handle, ms);

    return fault_fails(FAULT_WaitForSingleObject) ? WAIT_FAILED : result;
}

void fault_begin_platform(const struct loop_sys *system_calls)
{
    real = *system_calls;
    loop__sys.CloseHandle = failing_close;
    loop__sys.closesocket = failing_closesocket;
    loop__sys.CancelIoEx = failing_cancel;
    loop__sys.UnregisterWaitEx = failing_unregister;
    loop__sys.WaitForSingleObject = failing_wait;
}

/* -------------------------------------------------------------------------------------------------------------- scenes -- */

const uint64_t fault_pause = LOOP_MS(1);
const int fault_turns = 100;

void fault_keep_signals(void) {}

void fault_restore_signals(void) {}

void fault_ready_signals(void) {}

/* -------------------------------------------------------------------------------------------------------------- errors -- */

#define STATUS_NO_MEMORY_LEFT ((int)0xC000009A)
#define STATUS_NO_SUCH_NAME ((int)0xC0000034)
#define STATUS_NOT_ALLOWED ((int)0xC0000022)

/* Calls that cannot fail: none. */
const int *fault_errors(enum fault_row row)
{
    static const int accept_errors[] = {WSAEWOULDBLOCK, WSAECONNRESET, WSAEMFILE, WSAENOBUFS, 0};
    static const int bind_errors[] = {WSAEADDRINUSE, WSAEACCES, WSAEADDRNOTAVAIL, WSAENOBUFS, 0};
    static const int cancel_errors[] = {ERROR_NOT_FOUND, 0};
    static const int clock_errors[] = {ERROR_NOT_SUPPORTED, 0};
    static const int closesocket_errors[] = {WSAEWOULDBLOCK, WSAENETDOWN, 0};
    static const int connect_errors[] = {WSAECONNREFUSED, WSAENETUNREACH, WSAETIMEDOUT, WSAENOBUFS, 0};
    static const int create_file_errors[] = {STATUS_NO_MEMORY_LEFT, STATUS_NO_SUCH_NAME, STATUS_NOT_ALLOWED, 0};
    static const int get_errors[] = {WSAENOBUFS, WSAENETDOWN, 0};
    static const int getpeername_errors[] = {WSAENOTCONN, WSAENETDOWN, 0};
    static const int getsockopt_errors[] = {WSAENOPROTOOPT, WSAENOBUFS, 0};
    static const int handle_errors[] = {ERROR_INVALID_HANDLE, ERROR_NOT_ENOUGH_MEMORY, 0};
    static const int if_nametoindex_errors[] = {ERROR_NOT_FOUND, 0};
    static const int listen_errors[] = {WSAEADDRINUSE, WSAEMFILE, WSAENOBUFS, 0};
    static const int memory_errors[] = {ERROR_NOT_ENOUGH_MEMORY, ERROR_NO_SYSTEM_RESOURCES, 0};
    static const int module_errors[] = {ERROR_MOD_NOT_FOUND, 0};
    static const int name_thread_errors[] = {ERROR_CALL_NOT_IMPLEMENTED, 0};
    static const int read_errors[] = {ERROR_BROKEN_PIPE, ERROR_NO_SYSTEM_RESOURCES, 0};
    static const int receive_errors[] = {WSAEWOULDBLOCK, WSAECONNRESET, WSAENOBUFS, 0};
    static const int resolver_errors[] = {WSAHOST_NOT_FOUND, WSATRY_AGAIN, WSA_NOT_ENOUGH_MEMORY, WSANO_RECOVERY, 0};
    static const int send_errors[] = {WSAEWOULDBLOCK, WSAECONNRESET, WSAECONNABORTED, WSAENOBUFS, 0};
    static const int send_to_errors[] = {WSAEWOULDBLOCK, WSAENETUNREACH, WSAENOBUFS, 0};
    static const int setsockopt_errors[] = {WSAENOPROTOOPT, WSAEINVAL, WSAENOBUFS, 0};
    static const int shutdown_errors[] = {WSAENOTCONN, WSAENETDOWN, 0};
    static const int socket_errors[] = {WSAEMFILE, WSAENOBUFS, WSAEAFNOSUPPORT, WSAEINVAL, 0};
    static const int startup_errors[] = {WSASYSNOTREADY, WSAEPROCLIM, 0};
    static const int support_errors[] = {ERROR_NOT_SUPPORTED, ERROR_NOT_ENOUGH_MEMORY, 0};
    static const int wait_errors[] = {ERROR_NOT_ENOUGH_MEMORY, ERROR_INVALID_HANDLE, 0};
    static const int write_errors[] = {ERROR_NO_DATA, ERROR_NO_SYSTEM_RESOURCES, 0};
    static const int no_errors[] = {0};

    switch (row) {
    case FAULT_accept:
    case FAULT_accept_ex:
        return accept_errors;
    case FAULT_bind:
        return bind_errors;
    case FAULT_CancelIoEx:
        return cancel_errors;
    case FAULT_QueryPerformanceCounter:
    case FAULT_QueryPerformanceFrequency:
    case FAULT_SwitchToThread:
        return clock_errors;
    case FAULT_closesocket:
        return closesocket_errors;
    case FAULT_connect:
    case FAULT_connect_ex:
        return connect_errors;
    case FAULT_NtCreateFile:
        return create_file_errors;
    case FAULT_WSAIoctl:
    case FAULT_WSAPoll:
    case FAULT_getsockname:
    case FAULT_ioctlsocket:
        return get_errors;
    case FAULT_getpeername:
        return getpeername_errors;
    case FAULT_getsockopt:
        return getsockopt_errors;
    case FAULT_CloseHandle:
    case FAULT_GetFileType:
    case FAULT_GetHandleInformation:
    case FAULT_SetHandleInformation:
    case FAULT_UnregisterWaitEx:
    case FAULT_WaitForSingleObject:
    case FAULT_console_size:
        return handle_errors;
    case FAULT_if_nametoindex:
        return if_nametoindex_errors;
    case FAULT_listen:
        return listen_errors;
    case FAULT_CreateIoCompletionPort:
    case FAULT_CreateThreadpoolTimer:
    case FAULT_CreateThreadpoolWait:
    case FAULT_DeviceIoControl:
    case FAULT_PostQueuedCompletionStatus:
    case FAULT_RegisterWaitForSingleObject:
    case FAULT_SetConsoleCtrlHandler:
    case FAULT_SetWaitableTimer:
    case FAULT_thread_new:
        return memory_errors;
    case FAULT_pin_module:
        return module_errors;
    case FAULT_name_thread:
        return name_thread_errors;
    case FAULT_ReadFile:
        return read_errors;
    case FAULT_WSARecv:
    case FAULT_WSARecvFrom:
        return receive_errors;
    case FAULT_getaddrinfo:
    case FAULT_getnameinfo:
        return resolver_errors;
    case FAULT_WSASend:
        return send_errors;
    case FAULT_WSASendTo:
        return send_to_errors;
    case FAULT_setsockopt:
        return setsockopt_errors;
    case FAULT_shutdown:
        return shutdown_errors;
    case FAULT_WSASocketW:
        return socket_errors;
    case FAULT_WSAStartup:
        return startup_errors;
    case FAULT_CreateWaitableTimerExW:
    case FAULT_SetFileCompletionNotificationModes:
        return support_errors;
    case FAULT_GetQueuedCompletionStatusEx:
        return wait_errors;
    case FAULT_WriteFile:
        return write_errors;
    default:
        return no_errors;
    }
}
