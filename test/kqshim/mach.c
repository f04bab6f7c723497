/* Mach ports of this process: rights are counted, messages queue in memory. And EVFILT_MACHPORT, which watches one. */
#include "internal.h"

#include <errno.h>
#include <mach/mach.h>
#include <stdlib.h>
#include <string.h>

#define PORTS 1024
#define QUEUE_LIMIT 5

struct message {
    struct message *next;
    mach_msg_size_t size;
    mach_msg_header_t *header; /* as it will be received, the body behind it */
};

struct port {
    mach_port_name_t name; /* MACH_PORT_NULL: this slot is free */
    mach_port_name_t set;  /* of which it is a member, MACH_PORT_NULL: none */
    bool is_set;
    bool alive; /* its receive right exists; without it, the name is dead */
    unsigned send_rights;
    struct message *first;
    unsigned queued;
};

static struct port ports[PORTS];
static unsigned names_given;
/* Taken after the lock of a kqueue, with all signals blocked. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed; /* a message came or went, or a port died */

static void enter(sigset_t *mask)
{
    kqshim_block_signals(mask);
    (void)pthread_mutex_lock(&lock);
}

static void leave(const sigset_t *mask)
{
    (void)pthread_mutex_unlock(&lock);
    (void)pthread_sigmask(SIG_SETMASK, mask, NULL);
}

static struct port *find(mach_port_name_t name)
{
    struct port *port = &ports[(name >> 8) % PORTS];

    return name != MACH_PORT_NULL && port->name == name ? port : NULL;
}

static struct port *find_alive(mach_port_name_t name)
{
    struct port *port = find(name);

    return port != NULL && port->alive ? port : NULL;
}

/* The next message of a port, or of the members of a set. NULL: none waits. */
static struct port *find_message(struct port *port)
{
    if (!port->is_set)
        return port->first != NULL ? port : NULL;
    for (unsigned i = 0; i < PORTS; i++) {
        if (ports[i].name != MACH_PORT_NULL && ports[i].set == port->name && ports[i].first != NULL)
            return &ports[i];
    }
    return NULL;
}

/* Of a port also for the set that it is in. */
static void recheck(mach_port_name_t name)
{
    const struct port *port;
    mach_port_name_t set;
    sigset_t mask;

    enter(&mask);
    port = find(name);
    set = port != NULL ? port->set : MACH_PORT_NULL;
    leave(&mask);
    kqshim_recheck_pair(name, EVFILT_MACHPORT);
    if (set != MACH_PORT_NULL)
        kqshim_recheck_pair(set, EVFILT_MACHPORT);
}

static void free_messages(struct port *port)
{
    while (port->first != NULL) {
        struct message *message = port->first;

        port->first = message->next;
        free(message->header);
        free(message);
    }
    port->queued = 0;
}

/* The receive right is gone. */
static void die(struct port *port)
{
    free_messages(port);
    for (unsigned i = 0; port->is_set && i < PORTS; i++) {
        if (ports[i].set == port->name)
            ports[i].set = MACH_PORT_NULL;
    }
    port->set = MACH_PORT_NULL;
    port->alive = false;
    if (port->send_rights == 0)
        port->name = MACH_PORT_NULL;
    (void)pthread_cond_broadcast(&changed);
}

static kern_return_t release_send_rights(struct port *port, unsigned count)
{
    if (port->send_rights < count || count == 0)
        return KERN_INVALID_RIGHT;
    port->send_rights -= count;
    if (port->send_rights == 0 && !port->alive)
        port->name = MACH_PORT_NULL;
    return KERN_SUCCESS;
}

/* Ports */

static kern_return_t allocate(mach_port_name_t *name, bool is_set)
{
    for (unsigned i = 0; i < PORTS; i++) {
        unsigned slot = ++names_given % PORTS;
        struct port *port = &ports[slot];

        if (port->name != MACH_PORT_NULL)
            continue;
        memset(port, 0, sizeof(*port));
        port->name = *name = (names_given << 8) | 3u;
        port->is_set = is_set;
        port->alive = true;
        return KERN_SUCCESS;
    }
    return KERN_NO_SPACE;
}

KQSHIM_PUBLIC kern_return_t mach_port_allocate(ipc_space_t task, mach_port_right_t right, mach_port_name_t *name)
{
    sigset_t mask;
    kern_return_t result;

    if (task != mach_task_self())
        return KERN_INVALID_TASK;
    if (right != MACH_PORT_RIGHT_RECEIVE && right != MACH_PORT_RIGHT_PORT_SET)
        return KERN_INVALID_VALUE;
    enter(&mask);
    result = allocate(name, right == MACH_PORT_RIGHT_PORT_SET);
    leave(&mask);
    return result;
}

KQSHIM_PUBLIC kern_return_t mach_port_insert_right(ipc_space_t task, mach_port_name_t name, mach_port_t source,
                                                   mach_msg_type_name_t type)
{
    sigset_t mask;
    kern_return_t result = KERN_SUCCESS;
    struct port *port;

    if (task != mach_task_self())
        return KERN_INVALID_TASK;
    if (name != source || (type != MACH_MSG_TYPE_MAKE_SEND && type != MACH_MSG_TYPE_COPY_SEND))
        return KERN_INVALID_VALUE;
    enter(&mask);
    port = find_alive(name);
    if (port == NULL)
        result = KERN_INVALID_NAME;
    else if (port->is_set || (type == MACH_MSG_TYPE_COPY_SEND && port->send_rights == 0))
        result = KERN_INVALID_RIGHT;
    else
        port->send_rights++;
    leave(&mask);
    return result;
}

static kern_return_t change_refs(mach_port_name_t name, mach_port_right_t right, mach_port_delta_t delta)
{
    struct port *port = find(name);

    if (port == NULL)
        return KERN_INVALID_NAME;
    if (right == MACH_PORT_RIGHT_RECEIVE || right == MACH_PORT_RIGHT_PORT_SET) {
        if (!port->alive || port->is_set != (right == MACH_PORT_RIGHT_PORT_SET))
            return KERN_INVALID_RIGHT;
        if (delta == -1)
            die(port);
        return delta == -1 || delta == 0 ? KERN_SUCCESS : KERN_INVALID_VALUE;
    }
    if (right != MACH_PORT_RIGHT_SEND && right != MACH_PORT_RIGHT_DEAD_NAME)
        return KERN_INVALID_VALUE;
    if (port->send_rights == 0 || port->alive != (right == MACH_PORT_RIGHT_SEND))
        return KERN_INVALID_RIGHT;
    if (delta < 0)
        return release_send_rights(port, (unsigned)-delta);
    port->send_rights += (unsigned)delta;
    return KERN_SUCCESS;
}

KQSHIM_PUBLIC kern_return_t mach_port_mod_refs(ipc_space_t task, mach_port_name_t name, mach_port_right_t right,
                                               mach_port_delta_t delta)
{
    sigset_t mask;
    kern_return_t result;

    if (task != mach_task_self())
        return KERN_INVALID_TASK;
    enter(&mask);
    result = change_refs(name, right, delta);
    leave(&mask);
    kqshim_recheck_pair(name, EVFILT_MACHPORT);
    return result;
}

KQSHIM_PUBLIC kern_return_t mach_port_deallocate(ipc_space_t task, mach_port_name_t name)
{
    sigset_t mask;
    kern_return_t result;
    struct port *port;

    if (task != mach_task_self())
        return KERN_INVALID_TASK;
    enter(&mask);
    port = find(name);
    result = port == NULL ? KERN_INVALID_NAME : release_send_rights(port, 1);
    leave(&mask);
    return result;
}

KQSHIM_PUBLIC kern_return_t mach_port_destroy(ipc_space_t task, mach_port_name_t name)
{
    sigset_t mask;
    kern_return_t result = KERN_INVALID_NAME;
    struct port *port;

    if (task != mach_task_self())
        return KERN_INVALID_TASK;
    enter(&mask);
    port = find(name);
    if (port != NULL) {
        port->send_rights = 0;
        die(port);
        result = KERN_SUCCESS;
    }
    leave(&mask);
    kqshim_recheck_pair(name, EVFILT_MACHPORT);
    return result;
}

static kern_return_t move(mach_port_name_t name, mach_port_name_t set_name, bool in)
{
    struct port *port = find_alive(name);
    const struct port *set = find_alive(set_name);

    if (port == NULL || set == NULL)
        return KERN_INVALID_NAME;
    if (port->is_set || !set->is_set)
        return KERN_INVALID_RIGHT;
    if (in && port->set != MACH_PORT_NULL)
        return port->set == set_name ? KERN_ALREADY_IN_SET : KERN_NO_SPACE;
    if (!in && port->set != set_name)
        return KERN_NOT_IN_SET;
    port->set = in ? set_name : MACH_PORT_NULL;
    return KERN_SUCCESS;
}

static kern_return_t move_and_tell(ipc_space_t task, mach_port_name_t name, mach_port_name_t set, bool in)
{
    sigset_t mask;
    kern_return_t result;

    if (task != mach_task_self())
        return KERN_INVALID_TASK;
    enter(&mask);
    result = move(name, set, in);
    (void)pthread_cond_broadcast(&changed);
    leave(&mask);
    kqshim_recheck_pair(set, EVFILT_MACHPORT);
    return result;
}

KQSHIM_PUBLIC kern_return_t mach_port_insert_member(ipc_space_t task, mach_port_name_t name, mach_port_name_t set)
{
    return move_and_tell(task, name, set, true);
}

KQSHIM_PUBLIC kern_return_t mach_port_extract_member(ipc_space_t task, mach_port_name_t name, mach_port_name_t set)
{
    return move_and_tell(task, name, set, false);
}

/* Messages */

/* Gives the lock up until something changed. False: the time is over; end NULL is never. */
static bool wait_until(const struct timespec *end)
{
    if (end == NULL)
        return pthread_cond_wait(&changed, &lock) == 0;
    return pthread_cond_timedwait(&changed, &lock, end) != ETIMEDOUT;
}

static struct timespec after(mach_msg_timeout_t ms)
{
    struct timespec ts;

    (void)clock_gettime(CLOCK_MONOTONIC, &ts);
    ts.tv_sec += ms / 1000;
    ts.tv_nsec += (long)(ms % 1000) * 1000000;
    if (ts.tv_nsec >= 1000000000) {
        ts.tv_sec++;
        ts.tv_nsec -= 1000000000;
    }
    return ts;
}

static mach_msg_return_t copy(const mach_msg_header_t *header, mach_msg_size_t size, struct message **copied)
{
    struct message *message = calloc(1, sizeof(*message));
    mach_msg_bits_t bits = header->msgh_bits;

    if (message != NULL)
        message->header = malloc(size);
    if (message == NULL || message->header == NULL) {
        free(message);
        return MACH_SEND_NO_BUFFER;
    }
    memcpy(message->header, header, size);
    message->size = size;
    message->header->msgh_size = size;
    message->header->msgh_remote_port = header->msgh_local_port;
    message->header->msgh_local_port = header->msgh_remote_port;
    message->header->msgh_bits = MACH_MSGH_BITS(MACH_MSGH_BITS_LOCAL(bits), MACH_MSGH_BITS_REMOTE(bits));
    *copied = message;
    return MACH_MSG_SUCCESS;
}

/* Whether the sender may send with a right of this type. */
static mach_msg_return_t check_right(const struct port *port, mach_msg_type_name_t type)
{
    if (port == NULL || port->is_set)
        return MACH_SEND_INVALID_DEST;
    switch (type) {
    case MACH_MSG_TYPE_MAKE_SEND:
    case MACH_MSG_TYPE_MAKE_SEND_ONCE:
    case MACH_MSG_TYPE_MOVE_SEND_ONCE:
        return MACH_MSG_SUCCESS;
    case MACH_MSG_TYPE_COPY_SEND:
    case MACH_MSG_TYPE_MOVE_SEND:
        return port->send_rights > 0 ? MACH_MSG_SUCCESS : MACH_SEND_INVALID_DEST;
    default:
        return MACH_SEND_INVALID_HEADER;
    }
}

/* The reply's right is made for the receiver, which is this process. */
static mach_msg_return_t give_reply_right(const mach_msg_header_t *header)
{
    mach_msg_type_name_t type = MACH_MSGH_BITS_LOCAL(header->msgh_bits);
    struct port *port;

    if (header->msgh_local_port == MACH_PORT_NULL)
        return MACH_MSG_SUCCESS;
    port = find_alive(header->msgh_local_port);
    if (port == NULL || check_right(port, type) != MACH_MSG_SUCCESS)
        return MACH_SEND_INVALID_RIGHT;
    if (type == MACH_MSG_TYPE_MAKE_SEND || type == MACH_MSG_TYPE_COPY_SEND)
        port->send_rights++;
    return MACH_MSG_SUCCESS;
}

/* Consumes the message unless it fails. */
static mach_msg_return_t enqueue(struct message *message, const mach_msg_header_t *header, const struct timespec *end)
{
    mach_msg_type_name_t type = MACH_MSGH_BITS_REMOTE(header->msgh_bits);
    mach_msg_return_t result;
    struct message **last;
    struct port *port;

    for (;;) {
        port = find_alive(header->msgh_remote_port);
        result = check_right(port, type);
        if (result != MACH_MSG_SUCCESS)
            return result;
        if (port->queued < QUEUE_LIMIT)
            break;
        if (!wait_until(end))
            return MACH_SEND_TIMED_OUT;
    }
    result = give_reply_right(header);
    if (result != MACH_MSG_SUCCESS)
        return result;
    if (type == MACH_MSG_TYPE_MOVE_SEND)
        (void)release_send_rights(port, 1);
    last = &port->first;
    while (*last != NULL)
        last = &(*last)->next;
    *last = message;
    port->queued++;
    (void)pthread_cond_broadcast(&changed);
    return MACH_MSG_SUCCESS;
}

static mach_msg_return_t send_message(const mach_msg_header_t *header, mach_msg_size_t size, const struct timespec *end)
{
    struct message *message = NULL;
    mach_msg_return_t result;
    sigset_t mask;

    if (size < sizeof(*header))
        return MACH_SEND_MSG_TOO_SMALL;
    if ((header->msgh_bits & MACH_MSGH_BITS_COMPLEX) != 0)
        return MACH_SEND_INVALID_HEADER;
    if (size % 4 != 0)
        return MACH_SEND_INVALID_DATA;
    result = copy(header, size, &message);
    if (result != MACH_MSG_SUCCESS)
        return result;
    enter(&mask);
    result = enqueue(message, header, end);
    leave(&mask);
    if (result != MACH_MSG_SUCCESS) {
        free(message->header);
        free(message);
        return result;
    }
    recheck(header->msgh_remote_port);
    return MACH_MSG_SUCCESS;
}

/* Takes the first message off the queue; NULL and the reason if there is none that fits. */
static struct message *dequeue(mach_port_name_t name, mach_msg_header_t *header, mach_msg_size_t limit, bool keep,
                               const struct timespec *end, mach_msg_return_t *result)
{
    struct port *port = find_alive(name);
    struct port *owner = NULL;
    struct message *message;

    *result = MACH_RCV_INVALID_NAME;
    while (port != NULL && (owner = find_message(port)) == NULL) {
        if (!wait_until(end)) {
            *result = MACH_RCV_TIMED_OUT;
            return NULL;
        }
        port = find_alive(name);
        *result = MACH_RCV_PORT_DIED;
    }
    if (port == NULL)
        return NULL;
    message = owner->first;
    *result = message->size + sizeof(mach_msg_trailer_t) > limit ? MACH_RCV_TOO_LARGE : MACH_MSG_SUCCESS;
    if (*result != MACH_MSG_SUCCESS && keep) {
        if (limit >= sizeof(*header))
            header->msgh_size = message->size;
        return NULL;
    }
    owner->first = message->next;
    owner->queued--;
    (void)pthread_cond_broadcast(&changed);
    return message;
}

static mach_msg_return_t receive(mach_msg_header_t *header, mach_msg_size_t limit, mach_port_name_t name, bool keep,
                                 const struct timespec *end)
{
    mach_msg_trailer_t trailer = {.msgh_trailer_type = 0, .msgh_trailer_size = sizeof(trailer)};
    mach_msg_return_t result;
    struct message *message;
    sigset_t mask;

    enter(&mask);
    message = dequeue(name, header, limit, keep, end, &result);
    leave(&mask);
    if (message == NULL)
        return result;
    if (result == MACH_MSG_SUCCESS) {
        memcpy(header, message->header, message->size);
        memcpy((char *)header + message->size, &trailer, sizeof(trailer));
    }
    free(message->header);
    free(message);
    return result;
}

KQSHIM_PUBLIC mach_msg_return_t mach_msg(mach_msg_header_t *message, mach_msg_option_t option,
                                         mach_msg_size_t send_size, mach_msg_size_t receive_limit,
                                         mach_port_name_t receive_name, mach_msg_timeout_t timeout,
                                         mach_port_name_t notify)
{
    struct timespec end = after(timeout);
    mach_msg_return_t result = MACH_MSG_SUCCESS;

    (void)notify;
    if ((option & MACH_SEND_MSG) != 0)
        result = send_message(message, send_size, (option & MACH_SEND_TIMEOUT) != 0 ? &end : NULL);
    if (result == MACH_MSG_SUCCESS && (option & MACH_RCV_MSG) != 0)
        result = receive(message, receive_limit, receive_name, (option & MACH_RCV_LARGE) != 0,
                         (option & MACH_RCV_TIMEOUT) != 0 ? &end : NULL);
    return result;
}

/* EVFILT_MACHPORT */

static bool check(struct kqshim_kq *kq, struct kqshim_knote *kn)
{
    struct port *port;
    const struct port *owner;

    (void)kq;
    (void)pthread_mutex_lock(&lock);
    port = find_alive((mach_port_name_t)kn->ident);
    owner = port != NULL ? find_message(port) : NULL;
    kn->eof = port == NULL;
    kn->data = owner != NULL ? (int64_t)owner->name : 0;
    (void)pthread_mutex_unlock(&lock);
    if (kn->eof)
        kn->flags |= EV_ONESHOT;
    return kn->eof || owner != NULL;
}

static int attach(struct kqshim_kq *kq, struct kqshim_knote *kn)
{
    (void)check(kq, kn);
    return kn->eof ? ENOENT : 0;
}

static void detach(struct kqshim_kq *kq, struct kqshim_knote *kn)
{
    (void)kq;
    (void)kn;
}

const struct kqshim_filter kqshim_machport_filter = {
    .number = EVFILT_MACHPORT,
    .attach = attach,
    .detach = detach,
    .check = check,
};

/* fork() */

void kqshim_mach_before_fork(void)
{
    (void)pthread_mutex_lock(&lock);
}

void kqshim_mach_after_fork(bool in_child)
{
    if (in_child) {
        for (unsigned i = 0; i < PORTS; i++) {
            free_messages(&ports[i]);
            ports[i].name = MACH_PORT_NULL;
        }
    }
    (void)pthread_mutex_unlock(&lock);
}

__attribute__((constructor)) static void prepare(void)
{
    pthread_condattr_t attributes;

    (void)pthread_condattr_init(&attributes);
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&changed, &attributes);
    (void)pthread_condattr_destroy(&attributes);
}
