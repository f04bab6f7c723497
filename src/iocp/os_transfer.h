/* The two calls of every packet: see socket.c. */
#ifndef LOOP_OS_TRANSFER_H
#define LOOP_OS_TRANSFER_H

#include "loop.h"

#include <stddef.h>

/* Bytes, 0 for the end of the stream, or less: loop__socket_error() says why. */
ptrdiff_t loop__socket_recv(loop_os_fd_t fd, void *base, size_t len);
/* Bytes, or less than 0. */
ptrdiff_t loop__socket_send(loop_os_fd_t fd, const void *base, size_t len);

static inline ptrdiff_t loop__socket_error(ptrdiff_t n)
{
    return n; /* it is the LOOP_E* code already */
}

#endif
