/* The rows of the seam that only the port and its requests need: see sys.h. */
#ifndef LOOP_IOCP_BACKEND_SYS_H
#define LOOP_IOCP_BACKEND_SYS_H

/* Not in every toolchain's headers. */
#ifndef CREATE_WAITABLE_TIMER_HIGH_RESOLUTION
#define CREATE_WAITABLE_TIMER_HIGH_RESOLUTION 2
#endif

/* Functions of the sockets' provider that no library exports are called by their address. */
static inline BOOL accept_ex(LPFN_ACCEPTEX function, SOCKET listener, SOCKET accepted, void *addresses, DWORD received,
                             DWORD local, DWORD remote, DWORD *bytes, OVERLAPPED *overlapped)
{
    return function(listener, accepted, addresses, received, local, remote, bytes, overlapped);
}

static inline BOOL connect_ex(LPFN_CONNECTEX function, SOCKET socket, const struct sockaddr *to, int length, void *data,
                              DWORD size, DWORD *sent, OVERLAPPED *overlapped)
{
    return function(socket, to, length, data, size, sent, overlapped);
}

/* clang-format off */
#define LOOP_BACKEND_SYS(X) \
    X(BOOL, accept_ex, (LPFN_ACCEPTEX function, SOCKET listener, SOCKET accepted, void *addresses, DWORD received, DWORD local, DWORD remote, DWORD *bytes, OVERLAPPED *overlapped), (function, listener, accepted, addresses, received, local, remote, bytes, overlapped)) \
    X(BOOL, CancelIoEx, (HANDLE handle, OVERLAPPED *overlapped), (handle, overlapped)) \
    X(BOOL, connect_ex, (LPFN_CONNECTEX function, SOCKET socket, const struct sockaddr *to, int length, void *data, DWORD size, DWORD *sent, OVERLAPPED *overlapped), (function, socket, to, length, data, size, sent, overlapped)) \
    X(HANDLE, CreateIoCompletionPort, (HANDLE handle, HANDLE port, ULONG_PTR key, DWORD threads), (handle, port, key, threads)) \
    X(PTP_WAIT, CreateThreadpoolWait, (PTP_WAIT_CALLBACK callback, void *context, PTP_CALLBACK_ENVIRON environment), (callback, context, environment)) \
    X(HANDLE, CreateWaitableTimerExW, (SECURITY_ATTRIBUTES *security, const WCHAR *name, DWORD flags, DWORD access), (security, name, flags, access)) \
    X(BOOL, DeviceIoControl, (HANDLE device, DWORD code, void *in, DWORD in_size, void *out, DWORD out_size, DWORD *bytes, OVERLAPPED *overlapped), (device, code, in, in_size, out, out_size, bytes, overlapped)) \
    X(DWORD, GetFileType, (HANDLE handle), (handle)) \
    X(BOOL, GetQueuedCompletionStatusEx, (HANDLE port, OVERLAPPED_ENTRY *entries, ULONG room, ULONG *count, DWORD ms, BOOL alertable), (port, entries, room, count, ms, alertable)) \
    X(NTSTATUS, NtCreateFile, (HANDLE *handle, ACCESS_MASK access, OBJECT_ATTRIBUTES *attributes, IO_STATUS_BLOCK *status, LARGE_INTEGER *size, ULONG file_attributes, ULONG share, ULONG disposition, ULONG options, void *ea, ULONG ea_size), (handle, access, attributes, status, size, file_attributes, share, disposition, options, ea, ea_size)) \
    X(BOOL, PostQueuedCompletionStatus, (HANDLE port, DWORD bytes, ULONG_PTR key, OVERLAPPED *overlapped), (port, bytes, key, overlapped)) \
    X(BOOL, ReadFile, (HANDLE handle, void *base, DWORD size, DWORD *bytes, OVERLAPPED *overlapped), (handle, base, size, bytes, overlapped)) \
    X(BOOL, RegisterWaitForSingleObject, (HANDLE *wait, HANDLE object, WAITORTIMERCALLBACK callback, void *context, ULONG ms, ULONG flags), (wait, object, callback, context, ms, flags)) \
    X(BOOL, SetFileCompletionNotificationModes, (HANDLE handle, UCHAR modes), (handle, modes)) \
    X(BOOL, SetWaitableTimer, (HANDLE timer, const LARGE_INTEGER *due, LONG period, PTIMERAPCROUTINE routine, void *argument, BOOL resume), (timer, due, period, routine, argument, resume)) \
    X(BOOL, UnregisterWaitEx, (HANDLE wait, HANDLE done), (wait, done)) \
    X(BOOL, WriteFile, (HANDLE handle, const void *base, DWORD size, DWORD *bytes, OVERLAPPED *overlapped), (handle, base, size, bytes, overlapped)) \
    X(int, WSARecvFrom, (SOCKET socket, WSABUF *bufs, DWORD nbufs, DWORD *bytes, DWORD *flags, struct sockaddr *from, int *from_length, OVERLAPPED *overlapped, LPWSAOVERLAPPED_COMPLETION_ROUTINE routine), (socket, bufs, nbufs, bytes, flags, from, from_length, overlapped, routine)) \
    X(int, WSASendTo, (SOCKET socket, WSABUF *bufs, DWORD nbufs, DWORD *bytes, DWORD flags, const struct sockaddr *to, int length, OVERLAPPED *overlapped, LPWSAOVERLAPPED_COMPLETION_ROUTINE routine), (socket, bufs, nbufs, bytes, flags, to, length, overlapped, routine))
/* clang-format on */

#endif
