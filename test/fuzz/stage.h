/* What fuzz_options.c is played on: a loop, one handle of each kind, an operation, and the input that calls are made of. */
#ifndef LOOP_TEST_FUZZ_STAGE_H
#define LOOP_TEST_FUZZ_STAGE_H

#include "fuzz.h"

#include <loop.h>

#include <stdbool.h>
#include <sys/socket.h>

enum slot {
    TIMER,
    PREPARE,
    ASYNC,
    SIGNAL,
    DESC,
    POLL,
    TCP,
    OTHER_TCP,
    SLOTS
};

union handle {
    loop_handle_t handle;
    loop_timer_t timer;
    loop_prepare_t prepare;
    loop_async_t async;
    loop_signal_t signal;
    loop_desc_t desc;
    loop_poll_t poll;
    loop_tcp_t tcp;
};

extern loop_t *loop;
extern union handle handles[SLOTS];
extern bool open_handles[SLOTS];
extern int fds[SLOTS]; /* to be closed by us after the handle, -1 if there is none */
extern loop_op_t op;
extern bool in_flight;
extern long fail_in; /* allocations until one fails, 0: none does */

/* The next byte of the input, 0 after its end; a number near the limits of something; one bit. */
void give(const uint8_t *data, size_t size);
bool all_taken(void);
uint8_t take(void);
uint64_t take_number(void);
bool take_bool(void);

/* The stage is set: what needs no descriptor is open. And cleared: everything came back. */
void begin(void);
void end(void);

/* An allocator that counts and fails. */
loop_allocator_t counted_allocator(void);

/* Callbacks of handles and of the operation. */
void on_closed(loop_handle_t *handle);
void on_async(loop_async_t *async);
void on_op(loop_op_t *o);

/* Neither closing nor closed. */
bool usable(enum slot slot);

/* Whether a call on a handle gave what it had to. It failed: the handle is as it was. */
void require_result(enum slot slot, const union handle *before, int rc, int expected);

/* A call that submits: what it has to return if its arguments are right. busy: the operation was in flight. */
void require_submitted(int rc, bool arguments_right, bool busy);

/* Descriptors to be attached, and what must be of their flags after a call that takes them. */
enum kind {
    NONE,
    CLOSED,
    PIPE,
    UNIX,
    TCP_SOCKET,
    UDP_SOCKET,
    REGULAR,
    EVENTFD,
    KINDS
};
int make_fd(enum kind kind);
void require_flags(int fd, int before, int rc, bool promised, bool inherit);

/* Loopback, wildcard, or of a family that has no business here. Ports are the system's to choose. */
struct sockaddr_storage take_address(void);

/* The calls. options_desc.c: descriptors, polls, operations */
void try_attach(void);
void try_detach(void);
void try_poll_init(void);
void try_poll_start(void);
void try_transfer(void);
void try_ready(void);
void try_send_to(void);
void try_cancel(void);
void try_deadline(void);

/* options_tcp.c */
void try_open(void);
void try_bind(void);
void try_listen(void);
void try_keepalive(void);
void try_nodelay(void);
void try_watermarks(void);
void try_name(void);
void try_connect(void);
void try_unconnected(void);
/* options_pool.c */
void try_pool(void);
void try_requests(void);

#endif
