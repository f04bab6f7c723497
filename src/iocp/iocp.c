/*
 * The place of the IOCP backend. There is none yet: this file only checks that what it will keep in every descriptor and
 * operation fits into the room that loop.h reserves for it on Windows. The layouts are the documented ones of winbase.h,
 * written without that header, so that the check compiles everywhere.
 */
#include "loop.h"

#include "platform.h"

struct overlapped_layout {
    uintptr_t internal;
    uintptr_t internal_high;
    uint32_t offset;
    uint32_t offset_high;
    void *event;
};

struct afd_poll_layout {
    int64_t timeout;
    uint32_t count;
    uint32_t exclusive;
    void *handle;
    uint32_t events;
    int32_t status;
};

/* A descriptor: the zero-byte read that triggers reading, and what the port knows of the handle. */
struct iocp_desc {
    struct overlapped_layout read;
    uint32_t flags;
    uint32_t inflight;
    void *wait;
    uint64_t reserved[8];
};

/* An operation: OVERLAPPED first, so that a packet leads straight to it; the two addresses that AcceptEx writes, each with
 * its 16 bytes more, or what an AFD poll reads and writes. */
struct iocp_op {
    struct overlapped_layout overlapped;
    union {
        unsigned char accept[2 * (128 + 16)];
        struct afd_poll_layout poll;
    } io;
    uintptr_t accept_socket;
    uint32_t received_flags;
    int32_t from_length;
};

/* SRWLOCK and CONDITION_VARIABLE are a pointer each, and so is the HANDLE of a thread. */
_Static_assert(sizeof(void *) <= sizeof(((struct loop__mutex *)0)->opaque), "SRWLOCK fits");
_Static_assert(sizeof(void *) <= sizeof(((struct loop__cond *)0)->opaque), "CONDITION_VARIABLE fits");
_Static_assert(sizeof(void *) <= sizeof(((struct loop__thread *)0)->opaque), "HANDLE fits");

_Static_assert(sizeof(struct iocp_desc) <= LOOP_PRIVATE_WINDOWS_DESC_WORDS * sizeof(uint64_t), "iocp_desc fits");
_Static_assert(sizeof(struct iocp_op) <= LOOP_PRIVATE_WINDOWS_OP_WORDS * sizeof(uint64_t), "iocp_op fits");
