/*
 * What is registered of a descriptor. The caller's are registered at once, so that attaching them answers with their
 * error on every system.
 */
#include "registration.h"

#include "platform.h"
#include "posix/io.h"
#include "quirks.h"

#include <errno.h>
#include <limits.h>

/* ------------------------------------------------------------------------------------------- descriptors with operations -- */

static int add_edge(loop_t *loop, struct desc *desc, int filter, bool at_once)
{
    struct kqueue_backend *backend = loop__kqueue(loop);
    struct kevent change = loop__change_of(desc, filter, EV_ADD | EV_CLEAR, 0, 0);

    /* A host that watches the kqueue learns only of what is in it. */
    if (at_once || loop->watched || backend->anew)
        return loop__registration_make_one(backend, change);
    return loop__registration_push(backend, desc, change) == 0 ? 0 : ENOMEM;
}

static int change_edges(loop_t *loop, struct desc *desc, unsigned interest)
{
    struct posix_desc *posix = loop__posix(desc);
    bool first = posix->interest == 0;
    /* What waited for a descriptor of the caller could hit the next owner of its number. */
    bool at_once = (desc->flags & DESC_CALLER) || (first && (desc->flags & DESC_LISTENER));
    unsigned missing = interest & ~(unsigned)posix->interest;
    int error = 0;

    if (missing & INTEREST_READ)
        error = add_edge(loop, desc, EVFILT_READ, at_once);
    if (error != 0 && first && at_once && quirk_refuses_kind(error) && loop__io_write_only(desc->os.fd)) {
        /* Its READ would tell nothing anyway. */
        interest = INTEREST_WRITE;
        missing = INTEREST_WRITE;
        error = 0;
    }
    if (error == 0 && (missing & INTEREST_WRITE)) {
        error = add_edge(loop, desc, EVFILT_WRITE, at_once);
        if (error != 0 && quirk_pipe_is_dead(error) && !(desc->flags & DESC_SOCKET)) {
            desc->flags |= DESC_WRITABLE;
            if (desc->flags & DESC_PARKED)
                loop__desc_ready(desc, TODO_RESUME);
            interest &= ~(unsigned)INTEREST_WRITE;
            error = 0;
        }
    }
    if (error != 0)
        return first && quirk_refuses_kind(error) ? LOOP_ENOTPOLLABLE : loop__system_error(error);
    posix->interest = (uint8_t)interest;
    return 0;
}

/* ------------------------------------------------------------------------------------------------- poll handles -- */

static bool read_is_of_end(unsigned interest)
{
    return !(interest & INTEREST_READ) && (interest & (INTEREST_DISCONNECT | INTEREST_PRIORITIZED));
}

/* The end counts as everything that is asked for. */
static bool write_is_of_end(struct desc *desc, unsigned interest)
{
    return (loop__posix(desc)->pending & (WRITING_END | WRITE_ONLY)) && !(interest & INTEREST_WRITE) &&
           (interest & ~(unsigned)INTEREST_LEVEL);
}

bool loop__registration_is_of_end(struct desc *desc, int filter)
{
    unsigned interest = loop__posix(desc)->interest;

    return filter == EVFILT_READ ? read_is_of_end(interest) : filter == EVFILT_WRITE && write_is_of_end(desc, interest);
}

static struct kevent write_change(struct desc *desc, unsigned interest, unsigned how)
{
    bool of_end = write_is_of_end(desc, interest);

    /* Room would end every wait. */
    if (of_end && (how & EV_ADD))
        how |= EV_CLEAR;
    return loop__change_of(desc, EVFILT_WRITE, how | (of_end || (interest & INTEREST_WRITE) ? EV_ENABLE : EV_DISABLE),
                           0, 0);
}

/*
 * One filter is registered as long as the descriptor is, if need be disabled: so it can be seen whether the registration has
 * been lost, with the descriptor's number closed and given to another file. It is READ, unless the system has none for what is
 * only written to. The kernel repeats itself: with EV_DISPATCH or EV_ONESHOT every report would cost a change.
 */
static struct kevent level_anchor(struct desc *desc, unsigned interest, unsigned how)
{
    if (loop__posix(desc)->pending & WRITE_ONLY)
        return write_change(desc, interest, how);
    if (interest & INTEREST_READ)
        return loop__change_of(desc, EVFILT_READ, how | EV_ENABLE, 0, 0);
    /* No data reaches the low-water mark, where there is one; the end does. */
    if (read_is_of_end(interest))
        return loop__change_of(desc, EVFILT_READ, how | EV_ENABLE, NOTE_LOWAT, INT_MAX);
    return loop__change_of(desc, EVFILT_READ, how | EV_DISABLE, 0, 0);
}

static bool wants_write(struct desc *desc, unsigned interest)
{
    return (interest & INTEREST_WRITE) || write_is_of_end(desc, interest);
}

/* Adds what `interest` has; removes what it does not have and `before` has. */
static struct changes level_changes(struct desc *desc, unsigned interest, unsigned before)
{
    struct changes changes = {.n = 0};

    loop__changes_add(&changes, level_anchor(desc, interest, EV_ADD));
    if (loop__posix(desc)->pending & WRITE_ONLY)
        return changes;
    if (wants_write(desc, interest))
        loop__changes_add(&changes, write_change(desc, interest, EV_ADD));
    else if (wants_write(desc, before))
        loop__changes_add(&changes, loop__change_of(desc, EVFILT_WRITE, EV_DELETE, 0, 0));
#ifdef EVFILT_EXCEPT
    if (interest & INTEREST_PRIORITIZED)
        loop__changes_add(&changes, loop__change_of(desc, EVFILT_EXCEPT, EV_ADD | EV_ENABLE, NOTE_OOB, 0));
    else if (before & INTEREST_PRIORITIZED)
        loop__changes_add(&changes, loop__change_of(desc, EVFILT_EXCEPT, EV_DELETE, 0, 0));
#endif
    return changes;
}

static bool can_watch(unsigned interest)
{
#ifdef EVFILT_EXCEPT
    (void)interest;
    return true;
#else
    return !(interest & INTEREST_PRIORITIZED);
#endif
}

/* Adding again does not change whether it repeats itself (fact c). Whether that removed the anchor. */
static bool forget_end(struct kqueue_backend *backend, struct desc *desc)
{
    bool write_only = (loop__posix(desc)->pending & WRITE_ONLY) != 0;
    bool forgotten = false;

    if (!write_only && loop__registration_is_of_end(desc, EVFILT_READ))
        forgotten = loop__registration_make_one(backend, loop__change_of(desc, EVFILT_READ, EV_DELETE, 0, 0)) == 0;
    if (loop__registration_is_of_end(desc, EVFILT_WRITE) &&
        loop__registration_make_one(backend, loop__change_of(desc, EVFILT_WRITE, EV_DELETE, 0, 0)) == 0)
        forgotten = forgotten || write_only;
    return forgotten;
}

/* Nothing is reported any more. That cannot fail: what is not registered any more is silent. */
static void silence(struct kqueue_backend *backend, struct desc *desc, bool forgotten)
{
    struct changes changes = level_changes(desc, INTEREST_LEVEL, loop__posix(desc)->interest);

    if (!forgotten)
        changes.list[0] = level_anchor(desc, INTEREST_LEVEL, 0); /* not added anew */
    loop__registration_make(backend, &changes);
    loop__posix(desc)->interest = INTEREST_LEVEL;
    if (changes.list[0].data != 0) {
        loop__registration_delete(backend, &changes.list[0]);
        loop__posix(desc)->interest = 0;
    }
}

struct kevent loop__registration_question(struct desc *desc)
{
    return level_anchor(desc, loop__posix(desc)->interest, EV_RECEIPT);
}

/*
 * A pipe whose reader is gone stays so; what may change is that its number is closed. With each wait the kernel is asked
 * for what it has registered of it already, and the receipt ends that wait at once.
 */
static void ask(struct kqueue_backend *backend, struct desc *desc)
{
    loop__posix(desc)->pending |= DEAD;
    (void)loop__registration_push(backend, desc, loop__registration_question(desc));
}

static void answer(struct kqueue_backend *backend, struct desc *desc, int error)
{
    struct posix_desc *posix = loop__posix(desc);
    bool unknown =
        (posix->pending & WRITE_ONLY) && loop__io_write_only(desc->os.fd); /* nothing of it could be registered */

    if (error == EBADF || (error == ENOENT && !unknown)) {
        posix->pending &= (uint8_t)~DEAD;
        posix->interest = 0; /* what has the number now hears nothing, until it is started */
        return;
    }
    loop__desc_found(desc, posix->interest & ~(unsigned)INTEREST_LEVEL);
    ask(backend, desc);
}

/*
 * Pipes and terminals have no low-water mark, except on macOS, where a full buffer reaches it. So unread data, met by a
 * READ that is there for the end, would end every wait: that READ is replaced by one that tells of news only, until these
 * are the end. So is a WRITE that meets room.
 */
void loop__registration_repeat(struct kqueue_backend *backend, struct desc *desc, int filter, bool repeats)
{
    unsigned how = repeats ? EV_ADD : EV_ADD | EV_CLEAR;
    struct changes changes = {.n = 0};
    int error;

    loop__changes_add(&changes, loop__change_of(desc, filter, EV_DELETE, 0, 0));
    if (filter == EVFILT_WRITE)
        loop__changes_add(&changes, loop__change_of(desc, EVFILT_WRITE, how | EV_ENABLE, 0, 0));
    else
        loop__changes_add(&changes, level_anchor(desc, loop__posix(desc)->interest, how));
    loop__registration_make(backend, &changes);
    error = (int)changes.list[1].data;
    if (filter == EVFILT_WRITE && quirk_pipe_is_dead(error)) {
        ask(backend, desc);
    } else if (error != 0) {
        loop__registration_drop(backend, desc);
        loop__fd_table_set(&backend->readiness.callers, desc->os.fd, NULL);
        loop__posix(desc)->interest = 0;
        loop__desc_lost(desc); /* nothing would tell any more */
    }
}

/* What was changed is as it was before. */
static void undo_level(struct kqueue_backend *backend, struct desc *desc, unsigned interest)
{
    unsigned before = loop__posix(desc)->interest;
    struct changes changes = level_changes(desc, before, interest);

    if (write_is_of_end(desc, interest)) /* it would not repeat itself */
        (void)loop__registration_make_one(backend, loop__change_of(desc, EVFILT_WRITE, EV_DELETE, 0, 0));
    if (before == 0)
        loop__registration_delete(backend, &changes.list[0]);
    else
        loop__registration_make(backend, &changes);
}

static bool is_wanted(struct desc *desc, const struct kevent *change, unsigned interest)
{
    return change->filter == EVFILT_WRITE ? wants_write(desc, interest)
                                          : (interest & loop__change_direction(change)) != 0;
}

static int change_level(loop_t *loop, struct desc *desc, unsigned interest)
{
    struct kqueue_backend *backend = loop__kqueue(loop);
    struct posix_desc *posix = loop__posix(desc);
    bool first = posix->interest == 0;
    bool was_dead = (posix->pending & DEAD) != 0;
    bool dead = false;
    bool forgotten;
    struct changes changes;

    if (!can_watch(interest))
        return LOOP_ENOTSUP;
    loop__registration_drop(backend, desc);
    posix->pending &= (uint8_t)~DEAD;
    forgotten = forget_end(backend, desc);
    if (interest == INTEREST_LEVEL && !first) {
        silence(backend, desc, forgotten);
        return 0;
    }
    changes = level_changes(desc, interest, posix->interest);
    loop__registration_make(backend, &changes);
    if (first && quirk_refuses_kind((int)changes.list[0].data) && loop__io_write_only(desc->os.fd)) {
        posix->pending |= WRITE_ONLY;
        changes = level_changes(desc, interest, posix->interest);
        loop__registration_make(backend, &changes);
    }
    for (int i = 0; i < changes.n; i++) {
        const struct kevent *receipt = &changes.list[i];
        int error = (int)receipt->data;

        if (error == 0 || (i > 0 && !is_wanted(desc, receipt, interest)))
            continue; /* what was to be removed is gone */
        if (receipt->filter == EVFILT_WRITE && quirk_pipe_is_dead(error)) {
            dead = is_wanted(desc, receipt, interest);
            continue;
        }
        if (loop__change_direction(receipt) == INTEREST_PRIORITIZED && !(desc->flags & DESC_SOCKET))
            continue; /* nothing is urgent on a pipe or a terminal */
        undo_level(backend, desc, interest);
        if (was_dead)
            ask(backend, desc);
        return first && quirk_refuses_kind(error) ? LOOP_ENOTPOLLABLE : loop__system_error(error);
    }
    posix->interest = (uint8_t)interest;
    if (dead) {
        ask(backend, desc);
        loop__registration_tell_host(loop);
    }
    return 0;
}

/* ------------------------------------------------------------------------------------------- processes and files -- */

static struct kevent watched_change(struct desc *desc, unsigned flags)
{
    const unsigned notes = NOTE_WRITE | NOTE_EXTEND | QUIRK_NOTE_TRUNCATE | NOTE_ATTRIB | NOTE_LINK | NOTE_RENAME |
                           NOTE_DELETE | NOTE_REVOKE;

    if (desc->flags & DESC_PROCESS)
        return loop__change_of(desc, EVFILT_PROC, flags, NOTE_EXIT, 0);
    return loop__change_of(desc, EVFILT_VNODE, flags, notes, 0);
}

static int change_watched(struct kqueue_backend *backend, struct desc *desc)
{
    int error = loop__registration_make_one(backend, watched_change(desc, EV_ADD | EV_CLEAR));

    if (error == ESRCH && (desc->flags & DESC_PROCESS)) {
        /* It has exited already; nothing is registered. */
        loop__posix(desc)->unread = 1;
        desc->flags |= DESC_READABLE;
        loop__desc_ready(desc, TODO_RESUME);
        return 0;
    }
    if (error != 0)
        return quirk_refuses_kind(error) ? LOOP_ENOTPOLLABLE : loop__system_error(error);
    loop__posix(desc)->interest = INTEREST_WATCHED;
    return 0;
}

/* -------------------------------------------------------------------------------------------------------- changes -- */

static void remove_all(struct kqueue_backend *backend, struct desc *desc)
{
    struct posix_desc *posix = loop__posix(desc);
    struct changes changes = {.n = 0};

    loop__registration_drop(backend, desc);
    /* Closing ends the registration (fact a). In a child that has not called loop_fork() there is none (fact f). */
    if ((desc->flags & DESC_WATCHED) && backend->process == loop__process_id()) {
        (void)loop__registration_make_one(backend, watched_change(desc, EV_DELETE));
    } else if (!loop__readiness_closes_next(desc) && backend->process == loop__process_id()) {
        if (!(desc->flags & DESC_LEVEL) || !(posix->pending & WRITE_ONLY))
            loop__changes_add(&changes, loop__change_of(desc, EVFILT_READ, EV_DELETE, 0, 0));
        if (wants_write(desc, posix->interest) || (posix->pending & WRITE_ONLY))
            loop__changes_add(&changes, loop__change_of(desc, EVFILT_WRITE, EV_DELETE, 0, 0));
#ifdef EVFILT_EXCEPT
        if (posix->interest & INTEREST_PRIORITIZED)
            loop__changes_add(&changes, loop__change_of(desc, EVFILT_EXCEPT, EV_DELETE, 0, 0));
#endif
        loop__registration_make(backend, &changes);
    }
    posix->interest = 0;
}

/* Whether the descriptor that is recorded for a number is registered still: it is not if the number was closed. */
static bool is_registered(struct kqueue_backend *backend, struct desc *desc)
{
    unsigned interest = loop__posix(desc)->interest;
    struct kevent probe;

    if (!(desc->flags & DESC_CALLER) && ((loop__posix(desc)->pending & ~KINDS) != 0 || interest == 0))
        return true; /* it will be */
    if (interest == 0 && !(desc->flags & DESC_LEVEL))
        return true; /* it cannot be as long as it is what it is */
    if (interest == 0)
        return false;
    if (desc->flags & DESC_LEVEL)
        probe = level_anchor(desc, interest, 0);
    else
        probe = loop__change_of(desc, interest & INTEREST_READ ? (int)EVFILT_READ : (int)EVFILT_WRITE, EV_ENABLE, 0, 0);
    return loop__registration_make_one(backend, probe) == 0;
}

/* Whether a descriptor can be registered for the first time. */
static int check_first(struct kqueue_backend *backend, struct desc *desc)
{
    struct desc *owner = loop__fd_table_owner(&backend->readiness.callers, desc->os.fd);
    struct stat status;
    int error;

    if (owner != NULL && owner != desc) {
        if (is_registered(backend, owner))
            return LOOP_EEXIST;
        loop__registration_drop(backend, owner);
    }
    if (!(desc->flags & DESC_CALLER))
        return 0;
    if (desc->flags & DESC_SOCKET) {
        error = loop__socket_without_sigpipe(desc->os.fd);
        if (error == LOOP_EPIPE)
            desc->flags &= ~(uint32_t)(DESC_SOCKET | DESC_TCP); /* it is written to as a pipe is */
        else if (error != 0)
            return error;
    }
    if (loop__sys.fstat(desc->os.fd, &status) != 0)
        return loop__errno();
    if (S_ISREG(status.st_mode) || S_ISDIR(status.st_mode) || S_ISBLK(status.st_mode) || quirk_loses_end(&status))
        return LOOP_ENOTPOLLABLE;
    if (S_ISSOCK(status.st_mode) && (desc->flags & DESC_LEVEL))
        desc->flags |= DESC_SOCKET;
    if (S_ISFIFO(status.st_mode) && (desc->flags & DESC_LEVEL) && loop__io_write_only(desc->os.fd))
        loop__posix(desc)->pending |= WRITING_END;
    if (!S_ISSOCK(status.st_mode) && !(desc->flags & DESC_LEVEL))
        loop__io_without_sigpipe(desc->os.fd);
    return 0;
}

/* A number that a child closed before loop_fork() may have become one of ours. */
static bool is_own(const struct kqueue_backend *backend, int fd)
{
    return fd == backend->fd || fd == backend->wake_pipe[0] || fd == backend->wake_pipe[1];
}

int loop__registration_change(loop_t *loop, struct desc *desc, unsigned interest)
{
    struct kqueue_backend *backend = loop__kqueue(loop);
    struct posix_desc *posix = loop__posix(desc);
    int error;

    if (posix->interest == interest)
        return 0;
    if (interest == 0) {
        remove_all(backend, desc);
        return 0;
    }
    if (desc->flags & DESC_WATCHED)
        return change_watched(backend, desc);
    if ((interest != INTEREST_LEVEL || posix->interest == 0) && is_own(backend, desc->os.fd))
        return LOOP_EBADF;
    if (posix->interest == 0) {
        posix->pending &= (uint8_t)~KINDS;
        error = check_first(backend, desc);
        if (error != 0)
            return error;
    }
    return desc->flags & DESC_LEVEL ? change_level(loop, desc, interest) : change_edges(loop, desc, interest);
}

void loop__registration_error(loop_t *loop, const struct kevent *event)
{
    struct kqueue_backend *backend = loop__kqueue(loop);
    struct desc *desc = loop__registration_owner(backend, event);
    int error = (int)event->data;

    if (desc == NULL)
        return;
    if (desc->flags & DESC_LEVEL) {
        answer(backend, desc, error);
    } else if (event->filter == EVFILT_WRITE && quirk_pipe_is_dead(error) && !(desc->flags & DESC_SOCKET)) {
        loop__posix(desc)->interest &= (uint8_t)~INTEREST_WRITE;
        loop__readiness_edge(loop, desc, EDGE_WRITE | EDGE_ODD);
    } else {
        loop__readiness_failed(desc, loop__change_direction(event), loop__system_error(error));
    }
}
