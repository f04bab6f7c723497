/*
 * The seam: every system call of src/iocp goes through this one table, the clock included. Tests replace members to
 * make calls fail and to count them. Rows: result, name, parameters, arguments. Members have C's own calling convention,
 * whatever that of the call is.
 */
#ifndef LOOP_IOCP_SYS_H
#define LOOP_IOCP_SYS_H

#include "os_socket.h"

#include <mswsock.h>
#include <mstcpip.h>
#include <winternl.h>

#include <stdint.h>

/* Not in every toolchain's headers. */
#ifndef TCP_KEEPIDLE
#define TCP_KEEPIDLE 3
#endif
#ifndef TCP_KEEPCNT
#define TCP_KEEPCNT 16
#endif
#ifndef TCP_KEEPINTVL
#define TCP_KEEPINTVL 17
#endif
#ifndef WSA_FLAG_NO_HANDLE_INHERIT
#define WSA_FLAG_NO_HANDLE_INHERIT 0x80
#endif
#ifndef SIO_BASE_HANDLE
#define SIO_BASE_HANDLE 0x48000022
#endif
#ifndef SIO_UDP_CONNRESET
#define SIO_UDP_CONNRESET 0x9800000C
#endif

#include "backend_sys.h"

/* What a thread begins with: the convention is the C library's. */
typedef unsigned(__stdcall thread_entry)(void *argument);

/* clang-format off */
#define LOOP_WINDOWS_SYS(X) \
    X(BOOL, CloseHandle, (HANDLE handle), (handle)) \
    X(PTP_TIMER, CreateThreadpoolTimer, (PTP_TIMER_CALLBACK callback, void *context, PTP_CALLBACK_ENVIRON environment), (callback, context, environment)) \
    X(DWORD, GetCurrentProcessId, (void), ()) \
    X(BOOL, GetHandleInformation, (HANDLE handle, DWORD *flags), (handle, flags)) \
    X(DWORD, GetLastError, (void), ()) \
    X(BOOL, QueryPerformanceCounter, (LARGE_INTEGER *count), (count)) \
    X(BOOL, QueryPerformanceFrequency, (LARGE_INTEGER *frequency), (frequency)) \
    X(BOOL, SetConsoleCtrlHandler, (PHANDLER_ROUTINE handler, BOOL add), (handler, add)) \
    X(BOOL, SetHandleInformation, (HANDLE handle, DWORD mask, DWORD flags), (handle, mask, flags)) \
    X(DWORD, SleepEx, (DWORD ms, BOOL alertable), (ms, alertable)) \
    X(BOOL, SwitchToThread, (void), ()) \
    X(int, WSAGetLastError, (void), ()) \
    X(int, WSAIoctl, (SOCKET s, DWORD code, void *in, DWORD in_len, void *out, DWORD out_len, DWORD *n, OVERLAPPED *overlapped, LPWSAOVERLAPPED_COMPLETION_ROUTINE routine), (s, code, in, in_len, out, out_len, n, overlapped, routine)) \
    X(int, WSAPoll, (WSAPOLLFD *fds, ULONG count, int ms), (fds, count, ms)) \
    X(int, WSARecv, (SOCKET s, WSABUF *bufs, DWORD nbufs, DWORD *n, DWORD *flags, OVERLAPPED *overlapped, LPWSAOVERLAPPED_COMPLETION_ROUTINE routine), (s, bufs, nbufs, n, flags, overlapped, routine)) \
    X(int, WSASend, (SOCKET s, WSABUF *bufs, DWORD nbufs, DWORD *n, DWORD flags, OVERLAPPED *overlapped, LPWSAOVERLAPPED_COMPLETION_ROUTINE routine), (s, bufs, nbufs, n, flags, overlapped, routine)) \
    X(SOCKET, WSASocketW, (int family, int type, int protocol, WSAPROTOCOL_INFOW *info, GROUP group, DWORD flags), (family, type, protocol, info, group, flags)) \
    X(int, WSAStartup, (WORD version, WSADATA *data), (version, data)) \
    X(DWORD, WaitForSingleObject, (HANDLE handle, DWORD ms), (handle, ms)) \
    X(SOCKET, accept, (SOCKET s, struct sockaddr *addr, int *len), (s, addr, len)) \
    X(int, bind, (SOCKET s, const struct sockaddr *addr, int len), (s, addr, len)) \
    X(int, closesocket, (SOCKET s), (s)) \
    X(int, connect, (SOCKET s, const struct sockaddr *addr, int len), (s, addr, len)) \
    X(BOOL, console_size, (COORD *size), (size)) \
    X(int, getaddrinfo, (const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **list), (node, service, hints, list)) \
    X(int, getnameinfo, (const struct sockaddr *addr, socklen_t len, char *host, DWORD host_len, char *service, DWORD service_len, int flags), (addr, len, host, host_len, service, service_len, flags)) \
    X(int, getpeername, (SOCKET s, struct sockaddr *addr, int *len), (s, addr, len)) \
    X(int, getsockname, (SOCKET s, struct sockaddr *addr, int *len), (s, addr, len)) \
    X(int, getsockopt, (SOCKET s, int level, int name, void *value, int *len), (s, level, name, value, len)) \
    X(unsigned, if_nametoindex, (const char *name), (name)) \
    X(int, ioctlsocket, (SOCKET s, long command, u_long *argument), (s, command, argument)) \
    X(int, listen, (SOCKET s, int backlog), (s, backlog)) \
    X(int, name_thread, (const char *name), (name)) \
    X(BOOL, pin_module, (void), ()) \
    X(int, setsockopt, (SOCKET s, int level, int name, const void *value, int len), (s, level, name, value, len)) \
    X(int, shutdown, (SOCKET s, int how), (s, how)) \
    X(HANDLE, thread_new, (thread_entry *entry, void *argument), (entry, argument))
/* clang-format on */

struct loop_sys {
#define SYS_MEMBER(result, name, parameters, arguments) result(*name) parameters;
    LOOP_WINDOWS_SYS(SYS_MEMBER)
    LOOP_BACKEND_SYS(SYS_MEMBER)
#undef SYS_MEMBER
};

extern struct loop_sys loop__sys;

/* error.c: LOOP_E* codes. Of GetLastError(), of WSAGetLastError(). */
int loop__last_error(void);
int loop__winsock_error(void);
/* Of the NTSTATUS with which an operation ended. */
int loop__nt_error(uint32_t status);
/* What POSIX systems say of a connection in place of this: for reads, writes, shutdowns, after one of the others. */
int loop__stream_error(int error);

/* socket.c: makes Winsock usable; cheap after the first time. Whoever may be the first to use Winsock calls it. */
int loop__winsock_start(void);

#endif
