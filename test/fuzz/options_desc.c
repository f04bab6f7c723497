/* Descriptors, polls and operations. */
#include "stage.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

static char memory[256];

static void on_poll(loop_poll_t *poll, int status, unsigned events)
{
    (void)status;
    (void)events;
    (void)loop_poll_stop(poll);
}

void try_attach(void)
{
    const unsigned known = LOOP_DESC_TCP | LOOP_DESC_OWNED | LOOP_DESC_INHERIT;
    enum kind kind = (enum kind)(take() % KINDS);
    unsigned flags = take_bool() ? take() % 8 : (unsigned)take_number();
    bool promised = (flags & LOOP_DESC_TCP) != 0;
    union handle before = handles[DESC];
    int fd;
    int status;
    int rc;

    if (open_handles[DESC])
        return;
    fd = make_fd(kind);
    status = fcntl(fd, F_GETFL);
    rc = loop_desc_attach(loop, &handles[DESC].desc, fd, flags);
    if (flags & ~known)
        REQUIRE(rc == LOOP_EINVAL);
    else if (kind == NONE || kind == CLOSED)
        REQUIRE(rc == LOOP_EBADF || rc == LOOP_ENOMEM);
    else if (kind == REGULAR)
        REQUIRE(rc == LOOP_ENOTPOLLABLE || rc == LOOP_ENOMEM);
    else
        REQUIRE(rc == 0 || rc == LOOP_ENOMEM);
    if (status >= 0)
        require_flags(fd, status, rc, promised, (flags & LOOP_DESC_INHERIT) != 0);
    if (rc == 0) {
        open_handles[DESC] = true;
        fds[DESC] = flags & LOOP_DESC_OWNED ? -1 : fd;
        return;
    }
    REQUIRE(loop_handle_get_type(&handles[DESC].handle) == LOOP_UNKNOWN_HANDLE);
    handles[DESC] = before;
    if (status >= 0)
        REQUIRE(close(fd) == 0);
}

void try_detach(void)
{
    union handle before = handles[DESC];
    bool was_usable = usable(DESC);
    bool busy = was_usable && loop_handle_is_active(&handles[DESC].handle);
    int fd = loop_desc_fd(&handles[DESC].desc);
    int rc = loop_desc_detach(&handles[DESC].desc);

    if (!was_usable || busy) {
        require_result(DESC, &before, rc, LOOP_EBUSY);
        return;
    }
    REQUIRE(rc == 0);
    fds[DESC] = fd;
    on_closed(&handles[DESC].handle); /* its memory and its descriptor are ours again */
}

void try_poll_init(void)
{
    enum kind kind = (enum kind)(take() % KINDS);
    union handle before = handles[POLL];
    int fd;
    int status;
    int rc;

    if (open_handles[POLL])
        return;
    fd = make_fd(kind);
    status = fcntl(fd, F_GETFL);
    rc = loop_poll_init(loop, &handles[POLL].poll, fd);
    if (kind == NONE || kind == CLOSED)
        REQUIRE(rc == LOOP_EBADF || rc == LOOP_ENOMEM);
    else if (kind == REGULAR)
        REQUIRE(rc == LOOP_ENOTPOLLABLE || rc == LOOP_ENOMEM);
    else
        REQUIRE(rc == 0 || rc == LOOP_ENOMEM);
    if (status >= 0)
        require_flags(fd, status, rc, false, true);
    if (rc == 0) {
        open_handles[POLL] = true;
        fds[POLL] = fd;
        return;
    }
    handles[POLL] = before;
    if (status >= 0)
        REQUIRE(close(fd) == 0);
}

void try_poll_start(void)
{
    const unsigned known = LOOP_READABLE | LOOP_WRITABLE | LOOP_DISCONNECT | LOOP_PRIORITIZED;
    unsigned events = take_bool() ? take() % 17 : (unsigned)take_number();
    loop_poll_cb cb = take() % 16 != 0 ? on_poll : NULL;
    union handle before = handles[POLL];
    int rc = loop_poll_start(&handles[POLL].poll, events, cb);

    require_result(POLL, &before, rc, cb == NULL || events == 0 || (events & ~known) ? LOOP_EINVAL : 0);
}

/* --------------------------------------------------------------------------------------------------------- operations -- */

void try_transfer(void)
{
    loop_buf_t bufs[12];
    unsigned nbufs = take() % 13;
    bool writes = take_bool();
    bool right = true;
    bool busy = in_flight;
    size_t total = 0;

    for (unsigned i = 0; i < nbufs; i++) {
        bufs[i].len = take() % (sizeof(memory) / 12);
        bufs[i].base = take() % 16 != 0 ? memory : NULL;
        right = right && (bufs[i].base != NULL || bufs[i].len == 0);
        total += bufs[i].len;
    }
    if (nbufs > 0 && take() % 8 == 0) { /* more than a result can tell */
        bufs[nbufs - 1].len = (size_t)PTRDIFF_MAX + 1 + (size_t)take_number() % PTRDIFF_MAX;
        right = false;
    }
    if (take() % 16 == 0) {
        right = nbufs == 0;
        require_submitted(loop_op_read(&handles[DESC].desc, &op, NULL, nbufs, on_op), right, busy);
    } else if (writes) {
        require_submitted(loop_op_write(&handles[DESC].desc, &op, bufs, nbufs, on_op), right, busy);
    } else {
        require_submitted(loop_op_read(&handles[DESC].desc, &op, bufs, nbufs, on_op), right, busy);
    }
    REQUIRE(total <= sizeof(memory));
}

void try_ready(void)
{
    unsigned events = take_bool() ? take() % 5 : (unsigned)take_number();
    bool busy = in_flight;

    require_submitted(loop_op_ready(&handles[DESC].desc, &op, events, on_op), events >= 1 && events <= 3, busy);
}

void try_send_to(void)
{
    struct sockaddr_storage addr = take_address();
    loop_buf_t buf = {memory, take()};
    bool known = addr.ss_family == AF_INET || addr.ss_family == AF_INET6 || addr.ss_family == AF_UNIX;
    bool busy = in_flight;

    require_submitted(loop_op_send(&handles[DESC].desc, &op, &buf, 1, (struct sockaddr *)&addr, on_op), known, busy);
}

void try_cancel(void)
{
    REQUIRE(loop_op_cancel(&op) == (in_flight ? 0 : LOOP_ENOENT));
    REQUIRE(loop_op_cancel(NULL) == LOOP_EINVAL);
}

void try_deadline(void)
{
    unsigned directions = take_bool() ? take() % 5 : (unsigned)take_number();
    uint64_t due = take_bool() ? loop_now(loop) + take_number() : take_number();
    enum slot slot = take_bool() ? DESC : OTHER_TCP;
    union handle before = handles[slot];
    int rc = slot == DESC ? loop_desc_set_deadline(&handles[DESC].desc, directions, due)
                          : loop_tcp_set_deadline(&handles[OTHER_TCP].tcp, directions, due);

    if (rc == LOOP_ENOMEM)
        require_result(slot, &before, rc, LOOP_ENOMEM);
    else
        require_result(slot, &before, rc, directions < 1 || directions > 3 ? LOOP_EINVAL : 0);
    rc = loop_op_set_deadline(&op, take_number());
    REQUIRE(in_flight ? rc == 0 || rc == LOOP_ENOMEM : rc == LOOP_ENOENT);
}
