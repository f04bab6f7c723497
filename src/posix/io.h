/* Transfers on any descriptor: one system call each, repeated when it was interrupted. */
#ifndef LOOP_POSIX_IO_H
#define LOOP_POSIX_IO_H

#include "loop.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

struct op;

/* loop_buf_t is laid out as iovec is; io.c asserts it. */
static inline struct iovec *loop__iovec(const loop_buf_t *bufs)
{
    return (struct iovec *)(uintptr_t)bufs;
}

/* As many of n as one call takes. Of a type that fits into that of msg_iovlen, which is another one on each system. */
uint16_t loop__iovec_count(unsigned n);

/* Whether a read would fail, whatever comes. */
bool loop__io_write_only(int fd);
/* Bytes, 0 for the end of the stream, or a negative error. */
ptrdiff_t loop__io_read(int fd, const loop_buf_t *bufs, unsigned nbufs);
/* Where SIGPIPE is a matter of the open file: to be called once for what is not a socket and is written to. */
void loop__io_without_sigpipe(int fd);
/* Bytes, or a negative error; never raises SIGPIPE. */
ptrdiff_t loop__io_write(int fd, bool is_socket, const loop_buf_t *bufs, unsigned nbufs);
/* One datagram of op, its flags and address included. Bytes, or a negative error. */
ptrdiff_t loop__io_receive(int fd, struct op *op);
ptrdiff_t loop__io_send(int fd, const struct op *op);
/* The directions of `wanted` that are ready now, 0 if none is, or a negative error. */
int loop__io_poll(int fd, unsigned wanted);
/* Whether there is an error, or nothing can come or go any more. */
bool loop__io_hung_up(int fd);

#endif
