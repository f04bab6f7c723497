/*
 * The little of <mach/mach.h> that watching a port needs, over queues in memory. Ports, messages without descriptors and
 * rights of this process; a port is in one set at the most; no other tasks. The values are our own.
 */
#ifndef KQSHIM_MACH_H
#define KQSHIM_MACH_H

#include <stdint.h>

typedef int kern_return_t;
typedef kern_return_t mach_msg_return_t;
typedef uint32_t mach_port_t;
typedef mach_port_t mach_port_name_t;
typedef mach_port_t ipc_space_t;
typedef uint32_t mach_port_right_t;
typedef int32_t mach_port_delta_t;
typedef uint32_t mach_msg_bits_t;
typedef uint32_t mach_msg_size_t;
typedef int32_t mach_msg_id_t;
typedef int32_t mach_msg_option_t;
typedef uint32_t mach_msg_timeout_t;
typedef uint32_t mach_msg_type_name_t;

#define KERN_SUCCESS 0
#define KERN_INVALID_ARGUMENT 4
#define KERN_NO_SPACE 3
#define KERN_INVALID_NAME 15
#define KERN_INVALID_TASK 16
#define KERN_INVALID_RIGHT 17
#define KERN_INVALID_VALUE 18
#define KERN_ALREADY_IN_SET 11
#define KERN_NOT_IN_SET 12

#define MACH_PORT_NULL ((mach_port_t)0)
#define MACH_PORT_DEAD ((mach_port_t)~0u)

#define MACH_PORT_RIGHT_SEND ((mach_port_right_t)0)
#define MACH_PORT_RIGHT_RECEIVE ((mach_port_right_t)1)
#define MACH_PORT_RIGHT_PORT_SET ((mach_port_right_t)3)
#define MACH_PORT_RIGHT_DEAD_NAME ((mach_port_right_t)4)

#define MACH_MSG_TYPE_MOVE_SEND 17u
#define MACH_MSG_TYPE_MOVE_SEND_ONCE 18u
#define MACH_MSG_TYPE_COPY_SEND 19u
#define MACH_MSG_TYPE_MAKE_SEND 20u
#define MACH_MSG_TYPE_MAKE_SEND_ONCE 21u

typedef struct {
    mach_msg_bits_t msgh_bits;
    mach_msg_size_t msgh_size;
    mach_port_t msgh_remote_port; /* where it goes; after receiving, where an answer goes */
    mach_port_t msgh_local_port;
    mach_port_name_t msgh_voucher_port;
    mach_msg_id_t msgh_id;
} mach_msg_header_t;

/* Stands behind a received message; the buffer must have room for it. */
typedef struct {
    uint32_t msgh_trailer_type;
    uint32_t msgh_trailer_size;
} mach_msg_trailer_t;

#define MACH_MSGH_BITS(remote, local) ((mach_msg_bits_t)((remote) | (local) << 8))
#define MACH_MSGH_BITS_REMOTE(bits) ((bits)&0x1fu)
#define MACH_MSGH_BITS_LOCAL(bits) ((bits) >> 8 & 0x1fu)
#define MACH_MSGH_BITS_COMPLEX 0x80000000u

#define MACH_MSG_TIMEOUT_NONE ((mach_msg_timeout_t)0)

#define MACH_MSG_OPTION_NONE 0x0
#define MACH_SEND_MSG 0x1
#define MACH_RCV_MSG 0x2
#define MACH_RCV_LARGE 0x4
#define MACH_SEND_TIMEOUT 0x10
#define MACH_RCV_TIMEOUT 0x100

#define MACH_MSG_SUCCESS 0
#define MACH_SEND_INVALID_DATA 0x10000002
#define MACH_SEND_INVALID_DEST 0x10000003
#define MACH_SEND_TIMED_OUT 0x10000004
#define MACH_SEND_INVALID_RIGHT 0x10000007
#define MACH_SEND_MSG_TOO_SMALL 0x10000008
#define MACH_SEND_INVALID_HEADER 0x10000010
#define MACH_SEND_NO_BUFFER 0x1000000d
#define MACH_RCV_INVALID_NAME 0x10004002
#define MACH_RCV_TIMED_OUT 0x10004003
#define MACH_RCV_TOO_LARGE 0x10004004
#define MACH_RCV_PORT_DIED 0x10004009

#define mach_task_self() ((mach_port_t)0x103)

kern_return_t mach_port_allocate(ipc_space_t task, mach_port_right_t right, mach_port_name_t *name);
kern_return_t mach_port_insert_right(ipc_space_t task, mach_port_name_t name, mach_port_t source,
                                     mach_msg_type_name_t type);
/* Gives one send right, or one reference of a dead name, back. */
kern_return_t mach_port_deallocate(ipc_space_t task, mach_port_name_t name);
kern_return_t mach_port_mod_refs(ipc_space_t task, mach_port_name_t name, mach_port_right_t right,
                                 mach_port_delta_t delta);
kern_return_t mach_port_destroy(ipc_space_t task, mach_port_name_t name);
kern_return_t mach_port_insert_member(ipc_space_t task, mach_port_name_t name, mach_port_name_t set);
kern_return_t mach_port_extract_member(ipc_space_t task, mach_port_name_t name, mach_port_name_t set);

mach_msg_return_t mach_msg(mach_msg_header_t *message, mach_msg_option_t option, mach_msg_size_t send_size,
                           mach_msg_size_t receive_limit, mach_port_name_t receive_name, mach_msg_timeout_t timeout,
                           mach_port_name_t notify);

#endif
