/* What several test programs need: loops that must come and go cleanly, pairs of connections, waiting for a condition. */
#ifndef LOOP_TEST_SUPPORT_H
#define LOOP_TEST_SUPPORT_H

#include "harness.h"

#include <loop.h>

#include <netinet/in.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

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
int support_tcp_and_socket(loop_t *loop, loop_tcp_t *tcp);

/* A plain connected pair of TCP sockets; fds[0] is blocking, fds[1] too. */
void support_socket_pair(int fds[2]);

/* TCP sockets and a connected pair of local ones, closed when a program is executed; -1 and errno if there are none. */
int support_socket(int protocol);
int support_nonblocking_socket(void);
int support_local_pair(int fds[2]);

/* send() that raises no SIGPIPE. */
ptrdiff_t support_send(int fd, const void *base, size_t len);

/* Whether the socket has these times in seconds and this count, as far as the system has them for single sockets. */
bool support_keepalive_is(int fd, int idle, int interval, int count);

/* The option that tells what a socket of TCP really is, and the one that tells what the kernel has put above it; -1: none. */
extern const int support_so_protocol;
extern const int support_tcp_ulp;

/* An eventfd; -1 and ENOSYS where there are none. */
int support_eventfd(void);

/* The n-th real-time signal, -1 where there are none; and sigqueue() to this process, -1 and ENOSYS where there is none. */
int support_realtime_signal(int n);
int support_queue_signal(int number, int value);

/* What the resolver can say here but for EAI_SYSTEM, and the library for it; and whether getnameinfo() looks at its flags. */
extern const struct support_resolver_error {
    int number;
    int code;
} support_resolver_errors[];
extern const size_t support_resolver_errors_count;
bool support_resolver_refuses_flags(int flags);

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
