/*
 * The two calls of every packet, inline in what makes them. A loop for EINTR would keep the arguments, which costs as much again
 * as all the rest; non-blocking calls are hardly ever interrupted.
 */
#ifndef LOOP_OS_TRANSFER_H
#define LOOP_OS_TRANSFER_H

#include "sys.h"

#include "loop.h"

/* Bytes, 0 for the end of the stream, or less: loop__socket_error() says why. */
static inline ptrdiff_t loop__socket_recv(loop_os_fd_t fd, void *base, size_t len)
{
    return loop__sys.recv(fd, base, len, 0);
}

/* Bytes, or less than 0. */
static inline ptrdiff_t loop__socket_send(loop_os_fd_t fd, const void *base, size_t len)
{
    return loop__sys.send(fd, base, len, SEND_FLAGS);
}

/* The LOOP_E* code of what was less than 0, LOOP_EINTR too; what was not is as it was. */
static inline ptrdiff_t loop__socket_error(ptrdiff_t n)
{
    return n < 0 ? loop__errno() : n;
}

#endif
