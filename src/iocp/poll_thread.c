/*
 * Polls of sockets where the AFD driver cannot be opened: a thread of the loop's own waits for all of them in WSAPoll() and posts the
 * packets that the driver's would give. It allocates nothing; a datagram that its socket sends to itself ends its call.
 */
#include "iocp.h"

#include "os_transfer.h"
#include "platform.h"

/* ms: what a wake-up costs that could not be sent; and between two looks at what has to be looked at again and again. */
#define LONGEST_WAIT 500
#define PAUSE 10

#define FIRST_ROOM 16u

struct asked {
    struct request *request;
    struct afd_poll *poll;
    bool cancelled;
};

struct poll_thread {
    HANDLE port;
    SOCKET waker;
    struct loop__thread thread;
    struct loop__mutex lock; /* guards the rest */
    struct loop__cond changed;
    struct asked *asked; /* in no order; those that the thread waits for stay where they are meanwhile */
    WSAPOLLFD *fds;      /* the waker's first: the thread's own while it waits */
    uint32_t count;
    uint32_t room;
    uint64_t wanted; /* looks that the loop waits for */
    uint64_t done;
    bool waits;
    bool woken;
    bool grows; /* the loop needs the thread out of its call */
    bool ends;
};

/* ---------------------------------------------------------------------------------------------------------- waking -- */

static int open_waker(SOCKET *result)
{
    struct sockaddr_in self = {.sin_family = AF_INET};
    int length = sizeof(self);
    u_long on = 1;
    int error;
    SOCKET s = loop__sys.WSASocketW(AF_INET, SOCK_DGRAM, 0, NULL, 0, WSA_FLAG_OVERLAPPED | WSA_FLAG_NO_HANDLE_INHERIT);

    if (s == INVALID_SOCKET)
        return loop__winsock_error();
    self.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (loop__sys.bind(s, (struct sockaddr *)&self, length) == 0 &&
        loop__sys.getsockname(s, (struct sockaddr *)&self, &length) == 0 &&
        loop__sys.connect(s, (struct sockaddr *)&self, length) == 0 &&
        loop__sys.ioctlsocket(s, (long)FIONBIO, &on) == 0) {
        *result = s;
        return 0;
    }
    error = loop__winsock_error();
    loop__socket_close(s);
    return error;
}

/* With the lock. */
static void wake(struct poll_thread *poller)
{
    char byte = 0;

    if (poller->waits && !poller->woken)
        poller->woken = loop__socket_send(poller->waker, &byte, 1) == 1;
    loop__cond_broadcast(&poller->changed);
}

static void drain(struct poll_thread *poller)
{
    char bytes[8];

    while (loop__socket_recv(poller->waker, bytes, sizeof(bytes)) > 0)
        continue;
    poller->woken = false;
}

/* ------------------------------------------------------------------------------------------------------- the thread -- */

static SHORT events_for(ULONG asked)
{
    int events = 0;

    if (asked & (AFD_RECEIVE | AFD_ACCEPT | AFD_DISCONNECT))
        events |= POLLRDNORM;
    if (asked & AFD_RECEIVE_EXPEDITED)
        events |= POLLRDBAND;
    if (asked & AFD_SEND)
        events |= POLLWRNORM;
    return (SHORT)events;
}

/* Of what was asked for. What is over is told unasked. */
static ULONG events_in(int found, ULONG asked)
{
    ULONG events = 0;

    if (found & POLLRDNORM)
        events |= (ULONG)AFD_RECEIVE | (ULONG)AFD_ACCEPT;
    if (found & POLLRDBAND)
        events |= AFD_RECEIVE_EXPEDITED;
    if (found & POLLWRNORM)
        events |= AFD_SEND;
    if (found & POLLHUP)
        events |= AFD_DISCONNECT;
    events &= asked;
    if (found & POLLERR)
        events |= AFD_ABORT;
    if (found & POLLNVAL)
        events |= AFD_LOCAL_CLOSE;
    return events;
}

/* The packet of one that is over. False: there is nothing to tell yet, or the packet could not be posted yet. */
static bool tell(struct poll_thread *poller, const struct asked *one, ULONG events)
{
    if (events == 0 && !one->cancelled)
        return false;
    one->poll->count = one->cancelled ? 0 : 1;
    one->poll->events = events;
    one->request->overlapped.Internal = one->cancelled ? NT_CANCELLED : 0;
    return loop__sys.PostQueuedCompletionStatus(poller->port, 0, PACKET_REQUEST, &one->request->overlapped) != FALSE;
}

static uint32_t fill_in(struct poll_thread *poller)
{
    poller->fds[0] = (WSAPOLLFD){.fd = poller->waker, .events = POLLRDNORM};
    for (uint32_t i = 0; i < poller->count; i++) {
        const struct afd_poll *poll = poller->asked[i].poll;

        poller->fds[i + 1] = (WSAPOLLFD){.fd = (SOCKET)poll->handle, .events = events_for(poll->events)};
    }
    return poller->count;
}

/* After a look at the first n. Whether anything came of it. */
static bool take(struct poll_thread *poller, uint32_t n)
{
    bool useful = poller->fds[0].revents != 0;

    if (useful)
        drain(poller);
    for (uint32_t i = n; i-- > 0;) {
        struct asked *one = &poller->asked[i];

        if (tell(poller, one, events_in(poller->fds[i + 1].revents, one->poll->events))) {
            *one = poller->asked[--poller->count];
            useful = true;
        }
    }
    return useful;
}

static void look(struct poll_thread *poller)
{
    uint32_t n = fill_in(poller);
    uint64_t wanted = poller->wanted;
    int found;
    bool useful;

    poller->waits = true;
    loop__mutex_unlock(&poller->lock);
    found = loop__sys.WSAPoll(poller->fds, n + 1, wanted > poller->done ? 0 : LONGEST_WAIT);
    loop__mutex_lock(&poller->lock);
    poller->waits = false;
    useful = found >= 0 && take(poller, n);
    poller->done = wanted;
    loop__cond_broadcast(&poller->changed);
    if (found != 0 && !useful && poller->wanted == wanted) {
        /* It failed, or what is there is nothing that was asked for, and stays: the end of a peer's side, for one. */
        loop__mutex_unlock(&poller->lock);
        (void)loop__sys.SleepEx(PAUSE, FALSE);
        loop__mutex_lock(&poller->lock);
    }
}

static void run(void *argument)
{
    struct poll_thread *poller = argument;

    loop__mutex_lock(&poller->lock);
    while (!poller->ends) {
        if (poller->count == 0 || poller->grows)
            loop__cond_wait(&poller->changed, &poller->lock);
        else
            look(poller);
    }
    loop__mutex_unlock(&poller->lock);
}

/* --------------------------------------------------------------------------------------------------------- the loop -- */

int loop__poll_thread_open(struct iocp *iocp, loop_t *loop)
{
    struct poll_thread *poller = loop__resize(loop, NULL, sizeof(*poller));
    int error;

    if (poller == NULL)
        return LOOP_ENOMEM;
    *poller = (struct poll_thread){.port = iocp->port};
    (void)loop__mutex_init(&poller->lock); /* on Windows neither can fail */
    (void)loop__cond_init(&poller->changed);
    error = open_waker(&poller->waker);
    if (error != 0) {
        loop__free(loop, poller);
        return error;
    }
    error = loop__thread_start(&poller->thread, "loop-poll", run, poller);
    if (error != 0) {
        loop__socket_close(poller->waker);
        loop__free(loop, poller);
        return error;
    }
    iocp->poller = poller;
    return 0;
}

void loop__poll_thread_close(struct iocp *iocp, loop_t *loop)
{
    struct poll_thread *poller = iocp->poller;

    if (poller == NULL)
        return;
    loop__mutex_lock(&poller->lock);
    poller->ends = true;
    wake(poller);
    loop__mutex_unlock(&poller->lock);
    loop__thread_join(&poller->thread);
    loop__socket_close(poller->waker);
    loop__free(loop, poller->asked);
    loop__free(loop, poller->fds);
    loop__free(loop, poller);
    iocp->poller = NULL;
}

/* With the lock. On error there is the room that there was. */
static int grow(struct poll_thread *poller, loop_t *loop)
{
    uint32_t room = poller->room > 0 ? poller->room * 2 : FIRST_ROOM;
    struct asked *asked;
    WSAPOLLFD *fds = NULL;

    poller->grows = true;
    wake(poller);
    while (poller->waits)
        loop__cond_wait(&poller->changed, &poller->lock);
    asked = loop__resize(loop, poller->asked, room * sizeof(*asked));
    if (asked != NULL) {
        poller->asked = asked;
        fds = loop__resize(loop, poller->fds, (room + 1) * sizeof(*fds));
    }
    if (fds != NULL) {
        poller->fds = fds;
        poller->room = room;
    }
    poller->grows = false;
    loop__cond_broadcast(&poller->changed);
    return fds != NULL ? 0 : LOOP_ENOMEM;
}

/* As the driver does, what holds is told at once. Whether it is. */
static bool ask_at_once(struct poll_thread *poller, const struct asked *one)
{
    WSAPOLLFD fd = {.fd = (SOCKET)one->poll->handle, .events = events_for(one->poll->events)};

    return loop__sys.WSAPoll(&fd, 1, 0) > 0 && tell(poller, one, events_in(fd.revents, one->poll->events));
}

int loop__poll_thread_ask(struct poll_thread *poller, loop_t *loop, struct request *request, struct afd_poll *poll)
{
    struct asked one = {.request = request, .poll = poll};
    int error = 0;

    request->overlapped.Internal = NT_PENDING;
    if (ask_at_once(poller, &one))
        return 0;
    loop__mutex_lock(&poller->lock);
    if (poller->count == poller->room)
        error = grow(poller, loop);
    if (error == 0) {
        poller->asked[poller->count++] = one;
        wake(poller);
    }
    loop__mutex_unlock(&poller->lock);
    return error;
}

void loop__poll_thread_cancel(struct poll_thread *poller, const struct request *request)
{
    loop__mutex_lock(&poller->lock);
    for (uint32_t i = 0; i < poller->count; i++) {
        if (poller->asked[i].request == request) {
            poller->asked[i].cancelled = true;
            wake(poller);
        }
    }
    loop__mutex_unlock(&poller->lock);
}

void loop__poll_thread_look(struct poll_thread *poller)
{
    uint64_t wanted;

    loop__mutex_lock(&poller->lock);
    wanted = ++poller->wanted;
    wake(poller);
    while (poller->count > 0 && poller->done < wanted)
        loop__cond_wait(&poller->changed, &poller->lock);
    loop__mutex_unlock(&poller->lock);
}
