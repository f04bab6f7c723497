/* What the system can tell, found out by asking it: where it cannot, rows of the suite are left out. */
#include "support.h"

#include "iocp.h"

bool support_reset_is_kept(void)
{
    WSAPOLLFD item = {.events = POLLRDNORM};
    loop_os_fd_t fds[2];
    ptrdiff_t n;
    char byte;

    support_socket_pair(fds);
    support_close_with_reset(fds[1]);
    item.fd = fds[0];
    (void)WSAPoll(&item, 1, -1); /* a read that waits would be told in any case */
    n = support_recv(fds[0], &byte, 1, 0);
    support_close(fds[0]);
    return n == LOOP_ECONNRESET;
}

/* A device for polls that wait in the call itself. */
static HANDLE open_afd(void)
{
    static WCHAR path[] = L"\\Device\\Afd\\probe";
    UNICODE_STRING name = {sizeof(path) - sizeof(path[0]), sizeof(path), path};
    OBJECT_ATTRIBUTES attributes = {.Length = sizeof(attributes), .ObjectName = &name};
    IO_STATUS_BLOCK done;
    HANDLE device = NULL;

    assert_true(NtCreateFile(&device, SYNCHRONIZE, &attributes, &done, NULL, 0, FILE_SHARE_READ | FILE_SHARE_WRITE,
                             FILE_OPEN, FILE_SYNCHRONOUS_IO_NONALERT, NULL, 0) >= 0);
    return device;
}

bool support_end_is_seen_behind_data(void)
{
    HANDLE device = open_afd();
    struct afd_poll poll = {.timeout = {.QuadPart = -2000000}, .count = 1, .events = AFD_DISCONNECT}; /* of 0.2 s */
    loop_os_fd_t fds[2];
    DWORD n;
    bool seen;

    support_socket_pair(fds);
    assert_int_equal(support_send(fds[1], "x", 1, 0), 1);
    assert_ok(support_shutdown(fds[1]));
    poll.handle = (HANDLE)fds[0];
    seen = DeviceIoControl(device, IOCTL_AFD_POLL, &poll, sizeof(poll), &poll, sizeof(poll), &n, NULL) &&
           poll.count > 0 && (poll.events & AFD_DISCONNECT) != 0;
    (void)CloseHandle(device);
    support_close(fds[0]);
    support_close(fds[1]);
    return seen;
}
