#include "os.h"

#include <errno.h>
#include <unistd.h>

void os_close(loop_os_fd_t fd)
{
    (void)close(fd);
}

int os_pair(int type, loop_os_fd_t pair[2])
{
    return socketpair(AF_UNIX, type, 0, pair) == 0 ? 0 : loop_translate_sys_error(errno);
}

int os_listen(struct sockaddr_storage *addr, loop_os_fd_t *fd)
{
    socklen_t length = addr->ss_family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
    struct sockaddr *name = (struct sockaddr *)addr;
    int on = 1;
    int error;

    *fd = socket(addr->ss_family, SOCK_STREAM, 0);
    if (*fd >= 0 && setsockopt(*fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == 0 && bind(*fd, name, length) == 0 &&
        listen(*fd, 1024) == 0 && getsockname(*fd, name, &length) == 0)
        return 0;
    error = loop_translate_sys_error(errno);
    if (*fd >= 0)
        (void)close(*fd);
    return error;
}
