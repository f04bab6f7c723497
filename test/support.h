/* What several test programs need: loops that must come and go cleanly, pairs of connections, waiting for a condition. */
#ifndef LOOP_TEST_SUPPORT_H
#define LOOP_TEST_SUPPORT_H

#include "harness.h"

#include <loop.h>

#include "support_os.h" /* the system's own header files about sockets, addresses and names */

#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Expects a call to succeed. */
#define assert_ok(call) assert_int_equal((call), 0)

loop_t *support_loop(void);

/* In debug builds: the loop's internals agree with each other (invariants.h). Also part of the calls below that take turns. */
void support_check(loop_t *loop);

/* Runs what is left until nothing keeps the loop alive, closes every handle, and frees the loop. */
void support_finish(loop_t *loop);

/* Closes every handle of the loop and runs until their close callbacks came. */
void support_close_all(loop_t *loop);

/* Turns until *flag is not 0; fails after a bound that no sound run comes near. */
void support_until(loop_t *loop, const int *flag);

/* An IPv4 loopback address, any port; or the same address with a port. */
struct sockaddr_storage support_loopback(void);
struct sockaddr_storage support_loopback_port(int port);

/* A listening handle and its address. */
struct sockaddr_storage support_listen(loop_t *loop, loop_tcp_t *server, loop_connection_cb cb);

/* Two connected handles; the listener that made them is closed. */
void support_tcp_pair(loop_t *loop, loop_tcp_t *one, loop_tcp_t *other);

/* A handle connected with a plain blocking socket. */
loop_os_fd_t support_tcp_and_socket(loop_t *loop, loop_tcp_t *tcp);

/*
 * Plain descriptors, written once per platform. They block unless told, and are closed when a program is executed, but those of
 * a pipe are kept. Where the result is one, LOOP_INVALID_FD says that there is none; where it is a number, LOOP_E* codes say why not.
 */

/* Sockets of IPv4: TCP or another protocol for streams, the same that does not block, UDP. */
loop_os_fd_t support_socket(int protocol);
loop_os_fd_t support_nonblocking_socket(void);
loop_os_fd_t support_datagram_socket(void);

/* Binds to the address, listens there, and says which one it became; connects to one. Addresses of IPv4. */
int support_bind(loop_os_fd_t fd, struct sockaddr_storage *addr);
int support_listen_at(loop_os_fd_t fd, struct sockaddr_storage *addr, int backlog);
int support_connect(loop_os_fd_t fd, const struct sockaddr_storage *addr);
loop_os_fd_t support_accept(loop_os_fd_t listener);

/* Connected pairs: of TCP; of streams and of datagrams within this machine; a pipe, read at fds[0] and written at fds[1]. */
void support_socket_pair(loop_os_fd_t fds[2]);
int support_local_pair(loop_os_fd_t fds[2]);
int support_datagram_pair(loop_os_fd_t fds[2]);
int support_pipe(loop_os_fd_t fds[2]);

/* A file of the disk that is gone when it is closed. */
loop_os_fd_t support_file(void);

/* Closes any descriptor, which succeeds; a connection with a reset. */
void support_close(loop_os_fd_t fd);
void support_close_with_reset(loop_os_fd_t fd);

/* Of any descriptor, and of sockets. flags: MSG_OOB, MSG_WAITALL, SUPPORT_DONTWAIT. Bytes; 0 at the end; none raises SIGPIPE
 * but writing to a pipe. */
ptrdiff_t support_read(loop_os_fd_t fd, void *base, size_t len);
ptrdiff_t support_write(loop_os_fd_t fd, const void *base, size_t len);
ptrdiff_t support_recv(loop_os_fd_t fd, void *base, size_t len, int flags);
ptrdiff_t support_send(loop_os_fd_t fd, const void *base, size_t len, int flags);

/* Whether a reset that came before a read is told by it; and whether a poll tells of the end behind data that was not read. */
bool support_reset_is_kept(void);
bool support_end_is_seen_behind_data(void);

/* Ends what is written to a socket. */
int support_shutdown(loop_os_fd_t fd);

/* The system may grow the buffers of a connection until they hold all that is written; these it does not. */
void support_bound_buffers(loop_os_fd_t from, loop_os_fd_t to);

/* Options of sockets that are numbers. */
int support_set_option(loop_os_fd_t fd, int level, int name, int value);
int support_get_option(loop_os_fd_t fd, int level, int name, int *value);

/* Whether the descriptor does not block, or is kept when a program is executed, as far as the system tells. */
bool support_nonblocking_is(loop_os_fd_t fd, bool expected);
bool support_inherited_is(loop_os_fd_t fd, bool expected);

/* Whether the socket has these times in seconds and this count, as far as the system has them for single sockets. */
bool support_keepalive_is(loop_os_fd_t fd, int idle, int interval, int count);

/* Gives the processor away for a moment. */
void support_yield(void);

/* The name of a network interface of this machine, at most size bytes with its end, and the number; 0: there is none. */
unsigned support_interface(char *name, size_t size);

/* A signal that tests may raise, n being 0 or 1; -1 where there are none. Its handler is called before raising returns. */
int support_signal(int n);
int support_raise(int signum);

/* A semaphore of 0; those of POSIX do not work on macOS. */
struct support_semaphore {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    unsigned count;
};
void support_semaphore_init(struct support_semaphore *semaphore);
void support_semaphore_post(struct support_semaphore *semaphore);
void support_semaphore_wait(struct support_semaphore *semaphore);
void support_semaphore_destroy(struct support_semaphore *semaphore);

/* A small generator of the numbers of a random test; the seed is printed, and LOOP_TEST_SEED sets it. */
uint64_t support_seed(void);
uint32_t support_random(uint64_t *state, uint32_t below);

/* An allocator that counts blocks and lets the n-th allocation fail (0: none). */
struct support_allocator {
    long live;
    long calls;
    long fail_at;
};
loop_allocator_t support_allocator(struct support_allocator *counts);

#endif
