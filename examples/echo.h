/* An echo connection: what it reads it writes back, with back-pressure. Shared by the echo servers. */
#ifndef EXAMPLES_ECHO_H
#define EXAMPLES_ECHO_H

#include <loop.h>

/* Takes the connection that server reports. */
void echo_accept(loop_tcp_t *server);

/* Takes a descriptor that was accepted elsewhere. It is closed if that fails. */
void echo_open(loop_t *loop, loop_os_fd_t fd);

/* Closes every handle of the loop: a callback for loop_walk(). */
void echo_close_any(loop_handle_t *handle, void *arg);

#endif
