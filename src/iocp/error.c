/* The numbers of Windows and their LOOP_E* codes, in the order of those. */

/* <winnt.h> has a few of the statuses; the header that has all of them defines these again. */
#define WIN32_NO_STATUS
#include "os_socket.h"
#undef WIN32_NO_STATUS
#include <winternl.h>
#include <ntstatus.h>

#include "platform.h"
#include "sys.h"

/* Not in every toolchain's headers. */
#ifndef ERROR_DIRECTORY_NOT_SUPPORTED
#define ERROR_DIRECTORY_NOT_SUPPORTED 336
#endif
#ifndef ERROR_NO_SUCH_DEVICE
#define ERROR_NO_SUCH_DEVICE 433
#endif
#ifndef ERROR_ELEVATION_REQUIRED
#define ERROR_ELEVATION_REQUIRED 740
#endif
#ifndef ERROR_DISK_QUOTA_EXCEEDED
#define ERROR_DISK_QUOTA_EXCEEDED 1295
#endif

/* Of Windows and of Winsock: they have different numbers, but for those that Winsock has from Windows. */
int loop__system_error(int number)
{
    switch (number) {
    case ERROR_PRIVILEGE_NOT_HELD:
    case ERROR_NOT_OWNER:
        return LOOP_EPERM;
    case ERROR_FILE_NOT_FOUND:
    case ERROR_PATH_NOT_FOUND:
    case ERROR_INVALID_DRIVE:
    case ERROR_NO_MORE_FILES:
    case ERROR_BAD_NETPATH:
    case ERROR_BAD_NET_NAME:
    case ERROR_INVALID_NAME:
    case ERROR_MOD_NOT_FOUND:
    case ERROR_BAD_PATHNAME:
    case ERROR_ENVVAR_NOT_FOUND:
    case ERROR_NOT_FOUND:
    case WSAENOMORE:
    case WSA_E_NO_MORE:
        return LOOP_ENOENT;
    case WSAEINTR:
        return LOOP_EINTR;
    case ERROR_CRC:
    case ERROR_SEEK:
    case ERROR_SECTOR_NOT_FOUND:
    case ERROR_WRITE_FAULT:
    case ERROR_READ_FAULT:
    case ERROR_GEN_FAILURE:
    case ERROR_UNEXP_NET_ERR:
    case ERROR_ADAP_HDW_ERR:
    case ERROR_OPEN_FAILED:
    case ERROR_FILE_INVALID:
    case ERROR_IO_DEVICE:
    case ERROR_DISK_OPERATION_FAILED:
    case ERROR_DISK_RESET_FAILED:
    case ERROR_DISK_RECALIBRATE_FAILED:
    case ERROR_FILE_CORRUPT:
    case ERROR_DISK_CORRUPT:
    case WSASYSCALLFAILURE:
        return LOOP_EIO;
    case ERROR_NOT_READY:
    case ERROR_UNRECOGNIZED_VOLUME:
    case ERROR_NO_MEDIA_IN_DRIVE:
    case ERROR_UNRECOGNIZED_MEDIA:
        return LOOP_ENXIO;
    case ERROR_INVALID_HANDLE:
    case ERROR_INVALID_TARGET_HANDLE:
    case ERROR_ABANDONED_WAIT_0:
    case WSAEBADF:
        return LOOP_EBADF;
    case ERROR_NO_PROC_SLOTS:
    case ERROR_MAX_THRDS_REACHED:
    case ERROR_IO_INCOMPLETE:
    case ERROR_RETRY:
    case ERROR_CONNECTION_COUNT_LIMIT:
    case WSAEWOULDBLOCK:
    case WSAEPROCLIM:
        return LOOP_EAGAIN;
    case ERROR_NOT_ENOUGH_MEMORY:
    case ERROR_OUTOFMEMORY:
    case ERROR_NO_SYSTEM_RESOURCES:
    case ERROR_NONPAGED_SYSTEM_RESOURCES:
    case ERROR_PAGED_SYSTEM_RESOURCES:
    case ERROR_WORKING_SET_QUOTA:
    case ERROR_PAGEFILE_QUOTA:
    case ERROR_COMMITMENT_LIMIT:
    case ERROR_INVALID_USER_BUFFER:
    case ERROR_NOT_ENOUGH_QUOTA:
        return LOOP_ENOMEM; /* ERROR_INVALID_USER_BUFFER: too much is pending, WriteFile() */
    case ERROR_ACCESS_DENIED:
    case ERROR_INVALID_ACCESS:
    case ERROR_NETWORK_ACCESS_DENIED:
    case ERROR_ELEVATION_REQUIRED:
    case ERROR_CANT_ACCESS_FILE:
    case ERROR_ACCESS_DISABLED_BY_POLICY:
    case WSAEACCES:
        return LOOP_EACCES;
    case ERROR_PARTIAL_COPY:
    case ERROR_INVALID_ADDRESS:
    case ERROR_NOACCESS:
    case WSAEFAULT:
        return LOOP_EFAULT;
    case ERROR_CURRENT_DIRECTORY:
    case ERROR_SHARING_VIOLATION:
    case ERROR_LOCK_VIOLATION:
    case ERROR_NETWORK_BUSY:
    case ERROR_DRIVE_LOCKED:
    case ERROR_BUSY_DRIVE:
    case ERROR_PATH_BUSY:
    case ERROR_LOCK_FAILED:
    case ERROR_BUSY:
    case ERROR_PIPE_BUSY:
    case ERROR_DELETE_PENDING:
    case ERROR_OPEN_FILES:
    case ERROR_DEVICE_IN_USE:
        return LOOP_EBUSY;
    case ERROR_FILE_EXISTS:
    case ERROR_DIR_NOT_EMPTY:
    case ERROR_ALREADY_EXISTS:
    case WSAENOTEMPTY:
        return LOOP_EEXIST; /* ERROR_DIR_NOT_EMPTY: as POSIX allows it for rmdir() */
    case ERROR_BAD_UNIT:
    case ERROR_DEV_NOT_EXIST:
    case ERROR_NO_SUCH_DEVICE:
    case ERROR_DEVICE_NOT_CONNECTED:
    case ERROR_BAD_DEVICE:
    case ERROR_DEVICE_REMOVED:
        return LOOP_ENODEV;
    case ERROR_DIRECTORY:
        return LOOP_ENOTDIR;
    case ERROR_DIRECTORY_NOT_SUPPORTED:
        return LOOP_EISDIR;
    case ERROR_INVALID_DATA:
    case ERROR_BAD_LENGTH:
    case ERROR_INVALID_PARAMETER:
    case ERROR_INVALID_LEVEL:
    case ERROR_NEGATIVE_SEEK:
    case ERROR_BAD_ARGUMENTS:
    case ERROR_INVALID_FLAGS:
    case ERROR_NO_UNICODE_TRANSLATION:
    case ERROR_INVALID_REPARSE_DATA:
    case ERROR_NOT_A_REPARSE_POINT:
    case WSAEINVAL:
        return LOOP_EINVAL;
    case ERROR_TOO_MANY_OPEN_FILES:
    case WSAEMFILE:
        return LOOP_EMFILE;
    case ERROR_SHARING_BUFFER_EXCEEDED:
    case ERROR_NO_MORE_SEARCH_HANDLES:
        return LOOP_ENFILE;
    case ERROR_FILE_TOO_LARGE:
        return LOOP_EFBIG;
    case ERROR_HANDLE_DISK_FULL:
    case ERROR_DISK_FULL:
    case ERROR_END_OF_MEDIA:
    case ERROR_DISK_QUOTA_EXCEEDED:
    case ERROR_EOM_OVERFLOW:
    case WSAEDQUOT:
        return LOOP_ENOSPC;
    case ERROR_SEEK_ON_DEVICE:
        return LOOP_ESPIPE;
    case ERROR_WRITE_PROTECT:
        return LOOP_EROFS;
    case ERROR_BROKEN_PIPE:
    case ERROR_BAD_PIPE:
    case ERROR_NO_DATA:
    case ERROR_PIPE_NOT_CONNECTED:
        return LOOP_EPIPE;
    case ERROR_BUFFER_OVERFLOW:
    case ERROR_FILENAME_EXCED_RANGE:
    case WSAENAMETOOLONG:
        return LOOP_ENAMETOOLONG;
    case ERROR_CALL_NOT_IMPLEMENTED:
    case ERROR_PROC_NOT_FOUND:
        return LOOP_ENOSYS;
    case ERROR_ARITHMETIC_OVERFLOW:
        return LOOP_EOVERFLOW;
    case WSAENOTSOCK:
        return LOOP_ENOTSOCK;
    case WSAEDESTADDRREQ:
        return LOOP_EDESTADDRREQ;
    case ERROR_MORE_DATA:
    case WSAEMSGSIZE:
        return LOOP_EMSGSIZE;
    case WSAEPROTOTYPE:
        return LOOP_EPROTOTYPE;
    case WSAENOPROTOOPT:
        return LOOP_ENOPROTOOPT;
    case WSAEPROTONOSUPPORT:
    case WSAESOCKTNOSUPPORT:
        return LOOP_EPROTONOSUPPORT;
    case ERROR_INVALID_FUNCTION:
    case ERROR_NOT_SUPPORTED:
    case ERROR_SYMLINK_NOT_SUPPORTED:
    case WSAEOPNOTSUPP:
    case WSAVERNOTSUPPORTED:
        return LOOP_ENOTSUP; /* ERROR_INVALID_FUNCTION: the device does not do that */
    case WSAEPFNOSUPPORT:
    case WSAEAFNOSUPPORT:
        return LOOP_EAFNOSUPPORT;
    case ERROR_ADDRESS_ALREADY_ASSOCIATED:
    case WSAEADDRINUSE:
        return LOOP_EADDRINUSE;
    case ERROR_ADDRESS_NOT_ASSOCIATED:
    case WSAEADDRNOTAVAIL:
        return LOOP_EADDRNOTAVAIL;
    case ERROR_NO_NETWORK:
    case WSAENETDOWN:
    case WSASYSNOTREADY:
    case WSANOTINITIALISED:
        return LOOP_ENETDOWN;
    case ERROR_NETWORK_UNREACHABLE:
    case ERROR_PROTOCOL_UNREACHABLE:
    case WSAENETUNREACH:
        return LOOP_ENETUNREACH;
    case ERROR_CONNECTION_ABORTED:
    case WSAECONNABORTED:
        return LOOP_ECONNABORTED;
    case ERROR_NETNAME_DELETED:
    case WSAECONNRESET:
        return LOOP_ECONNRESET;
    case ERROR_INSUFFICIENT_BUFFER:
    case WSAENOBUFS:
        return LOOP_ENOBUFS;
    case ERROR_PIPE_CONNECTED:
    case ERROR_CONNECTION_ACTIVE:
    case WSAEISCONN:
        return LOOP_EISCONN;
    case ERROR_PIPE_LISTENING:
    case ERROR_CONNECTION_INVALID:
    case ERROR_NOT_CONNECTED:
    case WSAENOTCONN:
        return LOOP_ENOTCONN;
    case WSAESHUTDOWN:
        return LOOP_ESHUTDOWN;
    case ERROR_SEM_TIMEOUT:
    case ERROR_TIMEOUT:
    case WAIT_TIMEOUT:
    case WSAENETRESET:
    case WSAETIMEDOUT:
        return LOOP_ETIMEDOUT; /* WSAENETRESET: keep-alive probes got no answer */
    case ERROR_CONNECTION_REFUSED:
    case ERROR_PORT_UNREACHABLE:
    case WSAECONNREFUSED:
        return LOOP_ECONNREFUSED;
    case ERROR_HOST_DOWN:
    case WSAEHOSTDOWN:
        return LOOP_EHOSTDOWN;
    case ERROR_REM_NOT_LIST:
    case ERROR_HOST_UNREACHABLE:
    case WSAEHOSTUNREACH:
        return LOOP_EHOSTUNREACH;
    case WSAEINPROGRESS:
    case WSAEALREADY:
        return LOOP_EALREADY;
    case ERROR_OPERATION_ABORTED:
    case ERROR_CANCELLED:
    case ERROR_REQUEST_ABORTED:
    case WSAECANCELLED:
    case WSA_E_CANCELLED:
        return LOOP_ECANCELED;
    case ERROR_HANDLE_EOF:
    case ERROR_GRACEFUL_DISCONNECT:
    case WSAEDISCON:
        return LOOP_EOF;
    case WSATRY_AGAIN:
        return LOOP_EAI_AGAIN;
    case WSANO_RECOVERY:
        return LOOP_EAI_FAIL;
    case WSANO_DATA:
        return LOOP_EAI_NODATA;
    case WSAHOST_NOT_FOUND:
        return LOOP_EAI_NONAME;
    default:
        return LOOP_UNKNOWN;
    }
}

/*
 * Statuses have more to tell than the numbers that Windows makes of them: in ERROR_NETNAME_DELETED, a reset is the same
 * as a handle that was closed here. STATUS_CONNECTION_ABORTED is no cancellation: whoever has closed the handle knows.
 */
int loop__nt_error(uint32_t status)
{
    switch ((NTSTATUS)status) {
    case STATUS_SUCCESS:
        return 0;
    case STATUS_PRIVILEGE_NOT_HELD:
        return LOOP_EPERM;
    case STATUS_NO_SUCH_FILE:
    case STATUS_NO_MORE_FILES:
    case STATUS_OBJECT_NAME_INVALID:
    case STATUS_OBJECT_NAME_NOT_FOUND:
    case STATUS_OBJECT_PATH_INVALID:
    case STATUS_OBJECT_PATH_NOT_FOUND:
    case STATUS_OBJECT_PATH_SYNTAX_BAD:
    case STATUS_BAD_NETWORK_PATH:
    case STATUS_BAD_NETWORK_NAME:
    case STATUS_NOT_FOUND:
        return LOOP_ENOENT;
    case STATUS_DATA_ERROR:
    case STATUS_CRC_ERROR:
    case STATUS_DEVICE_DATA_ERROR:
    case STATUS_UNSUCCESSFUL:
    case STATUS_UNEXPECTED_NETWORK_ERROR:
    case STATUS_UNEXPECTED_IO_ERROR:
    case STATUS_IO_DEVICE_ERROR:
    case STATUS_DISK_CORRUPT_ERROR:
    case STATUS_FILE_CORRUPT_ERROR:
    case STATUS_FILE_INVALID:
        return LOOP_EIO;
    case STATUS_NO_MEDIA_IN_DEVICE:
    case STATUS_UNRECOGNIZED_VOLUME:
    case STATUS_UNRECOGNIZED_MEDIA:
        return LOOP_ENXIO;
    case STATUS_INVALID_PORT_HANDLE:
    case STATUS_OBJECT_TYPE_MISMATCH:
    case STATUS_FILE_CLOSED:
        return LOOP_EBADF;
    case STATUS_PIPE_EMPTY:
    case STATUS_RETRY:
    case STATUS_DEVICE_BUSY:
    case STATUS_CONNECTION_COUNT_LIMIT:
    case STATUS_DEVICE_NOT_READY:
    case STATUS_CANT_WAIT:
        return LOOP_EAGAIN; /* STATUS_DEVICE_NOT_READY, STATUS_CANT_WAIT: a socket would block */
    case STATUS_NO_MEMORY:
    case STATUS_SECTION_TOO_BIG:
    case STATUS_WORKING_SET_QUOTA:
    case STATUS_COMMITMENT_LIMIT:
    case STATUS_PAGEFILE_QUOTA:
    case STATUS_QUOTA_EXCEEDED:
    case STATUS_PAGEFILE_QUOTA_EXCEEDED:
    case STATUS_TOO_MANY_PAGING_FILES:
    case STATUS_CONFLICTING_ADDRESSES:
    case STATUS_INSUFFICIENT_RESOURCES:
    case STATUS_INVALID_USER_BUFFER:
        return LOOP_ENOMEM;
    case STATUS_ACCESS_DENIED:
    case STATUS_NETWORK_ACCESS_DENIED:
    case STATUS_CANNOT_DELETE:
        return LOOP_EACCES;
    case STATUS_ACCESS_VIOLATION:
    case STATUS_INVALID_ADDRESS:
        return LOOP_EFAULT;
    case STATUS_SHARING_VIOLATION:
    case STATUS_FILE_LOCK_CONFLICT:
    case STATUS_LOCK_NOT_GRANTED:
    case STATUS_DELETE_PENDING:
    case STATUS_PIPE_NOT_AVAILABLE:
    case STATUS_INSTANCE_NOT_AVAILABLE:
    case STATUS_NETWORK_BUSY:
        return LOOP_EBUSY;
    case STATUS_OBJECT_NAME_COLLISION:
    case STATUS_DIRECTORY_NOT_EMPTY:
        return LOOP_EEXIST;
    case STATUS_NO_SUCH_DEVICE:
    case STATUS_DEVICE_DOES_NOT_EXIST:
    case STATUS_DEVICE_NOT_CONNECTED:
    case STATUS_DEVICE_REMOVED:
        return LOOP_ENODEV;
    case STATUS_NOT_A_DIRECTORY:
        return LOOP_ENOTDIR;
    case STATUS_FILE_IS_A_DIRECTORY:
        return LOOP_EISDIR;
    case STATUS_INVALID_PARAMETER:
    case STATUS_INVALID_INFO_CLASS:
    case STATUS_INFO_LENGTH_MISMATCH:
    case STATUS_INVALID_READ_MODE:
        return LOOP_EINVAL;
    case STATUS_TOO_MANY_OPENED_FILES:
        return LOOP_EMFILE;
    case STATUS_FILE_TOO_LARGE:
        return LOOP_EFBIG;
    case STATUS_DISK_FULL:
        return LOOP_ENOSPC;
    case STATUS_MEDIA_WRITE_PROTECTED:
        return LOOP_EROFS;
    case STATUS_PIPE_BROKEN:
    case STATUS_PIPE_CLOSING:
    case STATUS_PIPE_DISCONNECTED:
    case STATUS_INVALID_PIPE_STATE:
        return LOOP_EPIPE;
    case STATUS_NAME_TOO_LONG:
        return LOOP_ENAMETOOLONG;
    case STATUS_NOT_IMPLEMENTED:
        return LOOP_ENOSYS;
    case STATUS_BUFFER_OVERFLOW:
    case STATUS_INVALID_BUFFER_SIZE:
        return LOOP_EMSGSIZE;
    case STATUS_NOT_SUPPORTED:
    case STATUS_INVALID_DEVICE_REQUEST:
        return LOOP_ENOTSUP;
    case STATUS_ADDRESS_ALREADY_EXISTS:
    case STATUS_ADDRESS_ALREADY_ASSOCIATED:
        return LOOP_EADDRINUSE;
    case STATUS_INVALID_ADDRESS_COMPONENT:
    case STATUS_ADDRESS_NOT_ASSOCIATED:
    case STATUS_TOO_MANY_ADDRESSES:
        return LOOP_EADDRNOTAVAIL;
    case STATUS_NETWORK_UNREACHABLE:
    case STATUS_PROTOCOL_UNREACHABLE:
    case STATUS_PROTOCOL_NOT_SUPPORTED:
        return LOOP_ENETUNREACH;
    case STATUS_CONNECTION_ABORTED:
        return LOOP_ECONNABORTED;
    case STATUS_CONNECTION_RESET:
    case STATUS_CONNECTION_DISCONNECTED:
    case STATUS_LINK_FAILED:
    case STATUS_REMOTE_DISCONNECT:
        return LOOP_ECONNRESET;
    case STATUS_BUFFER_TOO_SMALL:
    case STATUS_REMOTE_RESOURCES:
        return LOOP_ENOBUFS;
    case STATUS_CONNECTION_ACTIVE:
    case STATUS_PIPE_CONNECTED:
        return LOOP_EISCONN;
    case STATUS_CONNECTION_INVALID:
    case STATUS_PIPE_LISTENING:
    case STATUS_INVALID_CONNECTION:
        return LOOP_ENOTCONN;
    case STATUS_TIMEOUT:
    case STATUS_IO_TIMEOUT:
    case STATUS_LINK_TIMEOUT:
        return LOOP_ETIMEDOUT;
    case STATUS_REMOTE_NOT_LISTENING:
    case STATUS_CONNECTION_REFUSED:
    case STATUS_PORT_UNREACHABLE:
        return LOOP_ECONNREFUSED;
    case STATUS_HOST_DOWN:
        return LOOP_EHOSTDOWN;
    case STATUS_HOST_UNREACHABLE:
        return LOOP_EHOSTUNREACH;
    case STATUS_CANCELLED:
    case STATUS_REQUEST_ABORTED:
    case STATUS_REQUEST_CANCELED:
    case STATUS_LOCAL_DISCONNECT:
    case STATUS_TRANSACTION_ABORTED:
    case STATUS_INVALID_HANDLE:
    case STATUS_HANDLES_CLOSED:
    case STATUS_ADDRESS_CLOSED:
        return LOOP_ECANCELED;
    case STATUS_END_OF_FILE:
    case STATUS_GRACEFUL_DISCONNECT:
        return LOOP_EOF;
    default:
        return LOOP_UNKNOWN;
    }
}

int loop__last_error(void)
{
    return loop__system_error((int)loop__sys.GetLastError());
}

int loop__winsock_error(void)
{
    return loop__system_error(loop__sys.WSAGetLastError());
}

int loop__stream_error(int error)
{
    switch (error) {
    case LOOP_ECONNABORTED: /* the system gave the connection up: nobody acknowledged what was sent, above all */
        return LOOP_ECONNRESET;
    case LOOP_ESHUTDOWN:
        return LOOP_EPIPE;
    default:
        return error;
    }
}
