/*
 * The IOCP backend's own: what it keeps in every loop, descriptor and operation, and what its files have for each other.
 *
 *   iocp.c       the port: making, waiting, waking, and what kind of thing a packet is
 *   operation.c  the queues of a descriptor: the first operation of each is with the kernel
 *   start.c      one operation: the call that starts it, and what its result means
 *   trigger.c    handles that read or accept by themselves: zero-byte reads, AcceptEx
 *   afd.c        readiness: poll handles, and operations that wait for it
 *   poll_thread.c the same where the driver for it is out of reach
 *   wait.c       processes and other objects that are signalled
 *   fine_timer.c waits that are finer than the system's tick
 */
#ifndef LOOP_IOCP_IOCP_H
#define LOOP_IOCP_IOCP_H

#include "internal.h"

#include "fd_table.h"
#include "sys.h"

/* ---------------------------------------------------------------------------------------------------------- requests -- */

/* The completion key of a packet: what it is about. */
enum packet {
    PACKET_REQUEST, /* its OVERLAPPED is that of a struct request */
    PACKET_WAKE,
    PACKET_TIMER /* a time that is finer than the system's tick is over */
};

enum request_kind {
    REQUEST_OP,      /* of a struct op */
    REQUEST_TRIGGER, /* of a struct desc whose handle reads or accepts by itself */
    REQUEST_WATCH    /* of a struct desc that is a poll handle's */
};

/* What the kernel is asked for. It stays where it is from the call that starts it until its packet was dequeued. */
struct request {
    OVERLAPPED overlapped; /* first: a packet leads straight to it */
    uint8_t kind;          /* enum request_kind */
    bool pending;          /* a packet is to come */
};

/* How a request is started. */
enum request_way {
    WAY_PLAIN = 0,
    WAY_SKIPS = 1,   /* its handle gives no packets for what succeeds at once */
    WAY_RECEIVES = 2 /* to have received what did not fit is no failure */
};

/* The one classifier of what the call gave that started a request (0: success). Negative: nothing was started, for this reason. */
#define START_DONE 0    /* the result is there, and no packet comes */
#define START_PENDING 1 /* a packet comes */
int loop__request_started(struct request *request, DWORD error, enum request_way way);

/* Makes the request ready for the next call that starts it. */
OVERLAPPED *loop__request_begin(struct request *request);

/* Asks for the end of a pending request. The packet comes in any case, perhaps with the success that won the race. */
void loop__request_cancel(HANDLE handle, struct request *request);

/* The NTSTATUS with which it ended, and its bytes. */
static inline uint32_t loop__request_status(const struct request *request)
{
    return (uint32_t)request->overlapped.Internal;
}

static inline size_t loop__request_bytes(const struct request *request)
{
    return request->overlapped.InternalHigh;
}

#define NT_PENDING 0x00000103u
#define NT_CANCELLED 0xC0000120u
#define NT_BUFFER_OVERFLOW 0x80000005u /* the rest of a datagram or message is lost, or waits */

/* NT_SUCCESS(), and what came with something cut off. */
static inline bool loop__request_succeeded(const struct request *request)
{
    return loop__request_status(request) < 0x80000000u || loop__request_status(request) == NT_BUFFER_OVERFLOW;
}

#define IOCTL_AFD_POLL 0x00012024u

enum afd_event {
    AFD_RECEIVE = 1,
    AFD_RECEIVE_EXPEDITED = 2,
    AFD_SEND = 4,
    AFD_DISCONNECT = 8,
    AFD_ABORT = 16,
    AFD_LOCAL_CLOSE = 32, /* comes unasked */
    AFD_ACCEPT = 128,
    AFD_CONNECT_FAIL = 256
};

/* The AFD driver's poll of one socket, input and output. */
struct afd_poll {
    LARGE_INTEGER timeout;
    ULONG count;
    ULONG exclusive;
    HANDLE handle;
    ULONG events;
    LONG status;
};

/* ------------------------------------------------------------------------------------------- loops, descriptors, ops -- */

/* An address as AcceptEx writes it: of the Internet, and 16 bytes more. */
#define ACCEPT_ADDRESS (sizeof(struct sockaddr_in6) + 16)

/* In desc->backend. */
struct iocp_desc {
    struct request request; /* the trigger, or a poll handle's poll */
    union {
        struct afd_poll poll;
        unsigned char addresses[2 * ACCEPT_ADDRESS];
    } io;
    SOCKET base;      /* of a poll handle: the socket under those of layered providers */
    SOCKET accepting; /* of a listener: what the trigger accepts into */
    SOCKET accepted;  /* ... and what waits to be taken */
    struct link rearm;
    int32_t error;  /* the trigger's, or why it could not be started: to be told */
    int32_t type;   /* SOCK_*; 0: no socket */
    int32_t family; /* AF_* */
    uint8_t events; /* of a poll handle: what is watched */
    uint8_t asked;  /* ... and what the pending poll asks for */
    bool rearms;    /* it stands in iocp->rearm */
    bool outdated;  /* what the pending poll tells is about what was watched before */
    bool listens;   /* ... is known */
    bool skips;
};
_Static_assert(sizeof(struct iocp_desc) <= LOOP_PRIVATE_DESC_WORDS * sizeof(uint64_t), "iocp_desc fits");

/* In op->backend. */
struct iocp_op {
    struct request request;
    union {
        struct afd_poll poll;
        unsigned char addresses[2 * ACCEPT_ADDRESS];
        struct {
            INT from_length;
            DWORD flags;
        } receive;
        struct {
            HANDLE handle; /* NULL: unregistered */
            HANDLE port;
            struct iocp_op *next; /* in its bucket */
            uintptr_t number;
        } wait;
    } io;
    SOCKET accepting;
    bool accepted; /* ... is a connection, ready to be handed out */
    bool full; /* a write that came back after nothing was sent: its request is a poll that tells when there is room */
};
_Static_assert(sizeof(struct iocp_op) <= LOOP_PRIVATE_OP_WORDS * sizeof(uint64_t), "iocp_op fits");

#define PACKETS_PER_WAIT 128

/* loop->backend_data. */
struct iocp {
    HANDLE port;
    HANDLE afd;                /* the device for polls, NULL until the first one */
    struct link rearm;         /* poll handles that the next wait asks for anew */
    struct fd_table numbers;   /* every descriptor */
    LPFN_CONNECTEX connect_ex; /* NULL until the first use */
    LPFN_ACCEPTEX accept_ex;
    struct poll_thread *poller; /* NULL: not needed until now */
    struct fine_timer *timer;   /* NULL until the first use */
    int early;                  /* events that were taken outside of a poll, for the next one to tell */
    bool coarse;                /* the system has none */
    bool again;                 /* something was asked for in this wait that may be there already */
    atomic_bool woken;          /* a PACKET_WAKE is on its way */
    atomic_bool unposted;       /* ... could not be posted: the next wait ends at once */
    OVERLAPPED_ENTRY packets[PACKETS_PER_WAIT];
};

static inline struct iocp *loop__iocp(loop_t *loop)
{
    return loop->backend_data;
}

static inline struct iocp_desc *loop__iocp_desc(struct desc *desc)
{
    return (struct iocp_desc *)(void *)desc->backend;
}

static inline struct iocp_op *loop__iocp_op(struct op *op)
{
    return (struct iocp_op *)(void *)op->backend;
}

static inline HANDLE loop__iocp_handle(const struct desc *desc)
{
    return (HANDLE)desc->os.fd;
}

static inline enum request_way loop__iocp_way(struct desc *desc)
{
    return loop__iocp_desc(desc)->skips ? WAY_SKIPS : WAY_PLAIN;
}

/* ---------------------------------------------------------------------------------------------------------- iocp.c -- */

/* The place of a descriptor in iocp->numbers: handles are multiples of four. */
static inline int loop__iocp_number(const struct desc *desc)
{
    return (int)((desc->os.fd >> 2) & INT32_MAX);
}

/* --------------------------------------------------------------------------------------------------------- start.c -- */

enum outcome {
    OUTCOME_OVER,    /* *status is the result */
    OUTCOME_PENDING, /* a packet comes */
    OUTCOME_AGAIN    /* it is to be started again, for the rest */
};

enum outcome loop__iocp_start(struct op *op, int *status);

/* After the packet came. */
enum outcome loop__iocp_result(struct op *op, int *status);

/* An accept that was cancelled may have a connection all the same: readies it, while a listener that goes on is known. */
void loop__iocp_accept_cancelled(struct op *op);

/* Starts accepting into a new socket: like loop__request_started(). *accepting is INVALID_SOCKET if that fails. */
int loop__iocp_accept(struct desc *desc, struct request *request, unsigned char *addresses, SOCKET *accepting);

/* Readies a socket that AcceptEx filled in for a listener. */
int loop__iocp_accepted(SOCKET listener, SOCKET accepted);

/* Whether accepting failed for a connection that was gone before, so that the next one is looked for. */
static inline bool loop__iocp_lost(int status)
{
    return status == LOOP_ECONNRESET || status == LOOP_ECONNABORTED || status == LOOP_ENOTCONN;
}

/* ----------------------------------------------------------------------------------------------------- operation.c -- */

int loop__iocp_submit(loop_t *loop, struct op *op);
void loop__iocp_cancel(loop_t *loop, struct op *op);
void loop__iocp_resume(loop_t *loop, struct desc *desc);
void loop__iocp_op_packet(struct op *op);
/* Everything that is with the kernel, or waits for it, ends: the number belongs to another descriptor. */
void loop__iocp_lose(struct desc *desc);

/* ------------------------------------------------------------------------------------------------------- trigger.c -- */

void loop__iocp_arm(loop_t *loop, struct desc *desc, enum read_seen seen, size_t bytes);
int loop__iocp_take(loop_t *loop, struct desc *desc, loop_os_fd_t *result);
void loop__iocp_trigger_packet(struct desc *desc);
void loop__iocp_trigger_close(struct desc *desc);

/* ----------------------------------------------------------------------------------------------------------- afd.c -- */

int loop__iocp_watch_init(struct desc *desc);
int loop__iocp_watch(loop_t *loop, struct desc *desc, unsigned events);
void loop__iocp_watch_packet(struct desc *desc);
void loop__iocp_watch_close(struct desc *desc);
/* Before a wait: polls that were answered are asked for anew. The number of handles that were lost. */
int loop__iocp_rearm(struct iocp *iocp);

/* Of an operation that waits for readiness: starts it; the LOOP_READABLE and LOOP_WRITABLE that were found. */
int loop__iocp_await_ready(struct op *op, struct request *request, struct afd_poll *poll);
/* Of one that writes: waits for room. */
int loop__iocp_await_room(struct op *op, struct request *request, struct afd_poll *poll);
unsigned loop__iocp_ready_found(const struct op *op, const struct afd_poll *poll);
/* Whether it is one of the two, now; cancels such a request. */
bool loop__iocp_polls(const struct op *op);
void loop__iocp_poll_cancel(struct iocp *iocp, struct request *request);

/* --------------------------------------------------------------------------------------------------- poll_thread.c -- */

/* Makes iocp->poller. */
int loop__poll_thread_open(struct iocp *iocp, loop_t *loop);
void loop__poll_thread_close(struct iocp *iocp, loop_t *loop);
/* poll->handle and poll->events are asked for: 0, and a packet comes, or why not. */
int loop__poll_thread_ask(struct poll_thread *poller, loop_t *loop, struct request *request, struct afd_poll *poll);
void loop__poll_thread_cancel(struct poll_thread *poller, const struct request *request);
/* Returns when there are the packets of all that holds by now. */
void loop__poll_thread_look(struct poll_thread *poller);

/* ---------------------------------------------------------------------------------------------------------- wait.c -- */

/* Waits for the descriptor to be signalled: like loop__request_started(). */
int loop__iocp_await_signalled(struct op *op);
/* Its packet came. */
void loop__iocp_signalled(struct op *op);
/* Whether no packet comes any more. */
bool loop__iocp_wait_cancel(struct op *op);

/* ----------------------------------------------------------------------------------------------------- fine_timer.c -- */

/* Has a PACKET_TIMER posted at the instant `end`, which is ns from now. False: the system has no such timers. */
bool loop__fine_timer_start(struct iocp *iocp, loop_t *loop, uint64_t end, int64_t ns);
/* Its packet came, perhaps before that instant: it has another clock. */
void loop__fine_timer_came(struct iocp *iocp);
void loop__fine_timer_close(struct iocp *iocp, loop_t *loop);

#endif
