/*
 * EVFILT_VNODE over inotify. A watch belongs to an inode; all knotes of one kqueue that watch this inode share it, and
 * each event is told to all of them. What an event means follows from what fstat() says then and said before.
 */
#include "internal.h"

#include <errno.h>
#include <limits.h>
#include <stddef.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(NOTE_OPEN)
#define USES (IN_OPEN | IN_CLOSE_WRITE | IN_CLOSE_NOWRITE | IN_ACCESS)
#else
#define USES 0
#endif
#define ENTRIES (IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO)
/* One mask for all, because another one for the same inode would replace it. */
#define ALL (IN_MODIFY | IN_ATTRIB | IN_MOVE_SELF | ENTRIES | USES)

static struct kqshim_knote *next_vnode(const struct kqshim_kq *kq, struct kqshim_knote *kn, unsigned *bucket)
{
    do {
        kn = kqshim_next(kq, kn, bucket);
    } while (kn != NULL && kn->filter != &kqshim_vnode_filter);
    return kn;
}

/* 0 or an errno. */
static int open_inotify(struct kqshim_kq *kq)
{
    int error;

    if (kq->inotify >= 0) {
        kqshim_vnode_harvest(kq); /* what happened before this is not for the new knote */
        return 0;
    }
    kq->inotify = kqshim_inner((int)syscall(SYS_inotify_init1, IN_CLOEXEC | IN_NONBLOCK));
    if (kq->inotify < 0)
        return errno;
    error = kqshim_add_source(kq, kq->inotify, KQSHIM_INOTIFY, 0);
    if (error != 0)
        kqshim_close_inner(&kq->inotify);
    return error;
}

static void descriptor_path(const struct kqshim_knote *kn, char *path, size_t size)
{
    (void)snprintf(path, size, "/proc/self/fd/%d", (int)kn->ident);
}

/* inotify is silent when a watched directory is removed; its parent is not. */
static void watch_parent(struct kqshim_kq *kq, struct kqshim_knote *kn)
{
    char link[64];
    char path[PATH_MAX];
    char *slash;
    ssize_t length;

    descriptor_path(kn, link, sizeof(link));
    length = readlink(link, path, sizeof(path) - 1);
    if (length <= 0)
        return;
    path[length] = '\0';
    slash = strrchr(path, '/');
    if (slash == NULL)
        return;
    slash[slash == path ? 1 : 0] = '\0';
    kn->parent_watch = inotify_add_watch(kq->inotify, path, ALL);
}

static bool watch_used(const struct kqshim_kq *kq, int watch, const struct kqshim_knote *but)
{
    unsigned bucket = 0;

    for (struct kqshim_knote *kn = next_vnode(kq, NULL, &bucket); kn != NULL; kn = next_vnode(kq, kn, &bucket)) {
        if (kn != but && (kn->watch == watch || kn->parent_watch == watch))
            return true;
    }
    return false;
}

static void unwatch(struct kqshim_kq *kq, struct kqshim_knote *kn, int *watch)
{
    if (*watch >= 0 && kq->inotify >= 0 && !watch_used(kq, *watch, kn))
        (void)inotify_rm_watch(kq->inotify, *watch);
    *watch = -1;
}

static int attach(struct kqshim_kq *kq, struct kqshim_knote *kn)
{
    char path[64];
    int error;

    if (kn->kind != KQSHIM_FILE && kn->kind != KQSHIM_DIRECTORY && kn->kind != KQSHIM_DEVICE)
        return EINVAL;
    error = open_inotify(kq);
    if (error != 0)
        return error;
    descriptor_path(kn, path, sizeof(path));
    kn->watch = inotify_add_watch(kq->inotify, path, ALL);
    if (kn->watch < 0)
        return errno;
    if (kn->kind == KQSHIM_DIRECTORY)
        watch_parent(kq, kn);
    return 0;
}

static void detach(struct kqshim_kq *kq, struct kqshim_knote *kn)
{
    unwatch(kq, kn, &kn->watch);
    unwatch(kq, kn, &kn->parent_watch);
}

static bool check(struct kqshim_kq *kq, struct kqshim_knote *kn)
{
    (void)kq;
    return kn->fflags != 0 || kn->eof;
}

static unsigned attributes_changed(struct kqshim_knote *kn, const struct stat *now)
{
    if (now->st_nlink == 0 && kn->seen.st_nlink != 0)
        return kqshim_personality.final_unlink;
    if (now->st_nlink != kn->seen.st_nlink && kn->kind != KQSHIM_DIRECTORY)
        return NOTE_LINK;
    return NOTE_ATTRIB;
}

static unsigned contents_changed(struct kqshim_knote *kn, const struct stat *now)
{
    if (now->st_size > kn->seen.st_size)
        return kqshim_personality.growing_write;
    return now->st_size < kn->seen.st_size ? kqshim_personality.shrinking : NOTE_WRITE;
}

/* What an event with a name tells of the directory: only that an entry came or went. */
static unsigned notes_of_entry(const struct inotify_event *event)
{
    if ((event->mask & ENTRIES) == 0)
        return 0;
    return NOTE_WRITE | ((event->mask & IN_ISDIR) != 0 ? NOTE_LINK : 0u);
}

static unsigned notes_of_self(struct kqshim_knote *kn, const struct inotify_event *event, const struct stat *now)
{
    unsigned notes = 0;

    if ((event->mask & IN_MODIFY) != 0)
        notes |= contents_changed(kn, now);
    if ((event->mask & IN_ATTRIB) != 0)
        notes |= attributes_changed(kn, now);
    if ((event->mask & IN_MOVE_SELF) != 0)
        notes |= NOTE_RENAME;
#if defined(NOTE_OPEN)
    if ((event->mask & IN_OPEN) != 0)
        notes |= NOTE_OPEN;
    if ((event->mask & IN_CLOSE_NOWRITE) != 0)
        notes |= NOTE_CLOSE;
    if ((event->mask & IN_CLOSE_WRITE) != 0)
        notes |= NOTE_CLOSE_WRITE;
    if ((event->mask & IN_ACCESS) != 0)
        notes |= NOTE_READ;
#endif
    if ((event->mask & IN_UNMOUNT) != 0) {
        notes |= NOTE_REVOKE;
        kn->eof = true;
    }
    return notes;
}

static void tell(struct kqshim_kq *kq, struct kqshim_knote *kn, const struct inotify_event *event)
{
    struct stat now;
    unsigned notes = 0;

    if (fstat((int)kn->ident, &now) != 0)
        return;
    if ((event->mask & IN_Q_OVERFLOW) != 0)
        notes = NOTE_WRITE | NOTE_ATTRIB;
    else if (event->wd == kn->watch)
        notes = event->len > 0 ? notes_of_entry(event) : notes_of_self(kn, event, &now);
    if (kn->kind == KQSHIM_DIRECTORY && now.st_nlink == 0 && kn->seen.st_nlink != 0)
        notes |= kqshim_personality.final_unlink;
    kn->seen = now;
    kn->fflags |= notes & kn->asked;
    if (check(kq, kn))
        kqshim_activate(kq, kn);
    if (event->wd == kn->watch && (event->mask & IN_MOVE_SELF) != 0 && kn->kind == KQSHIM_DIRECTORY) {
        unwatch(kq, kn, &kn->parent_watch);
        watch_parent(kq, kn);
    }
}

static void tell_all(struct kqshim_kq *kq, const struct inotify_event *event)
{
    bool overflow = (event->mask & IN_Q_OVERFLOW) != 0;
    unsigned bucket = 0;

    if ((event->mask & IN_IGNORED) != 0)
        return;
    for (struct kqshim_knote *kn = next_vnode(kq, NULL, &bucket); kn != NULL; kn = next_vnode(kq, kn, &bucket)) {
        if (overflow || kn->watch == event->wd || kn->parent_watch == event->wd)
            tell(kq, kn, event);
    }
}

void kqshim_vnode_harvest(struct kqshim_kq *kq)
{
    union {
        struct inotify_event first;
        char bytes[8192];
    } buffer;
    ssize_t length;

    while ((length = read(kq->inotify, buffer.bytes, sizeof(buffer.bytes))) > 0) {
        size_t at = 0;

        while (at < (size_t)length) {
            struct inotify_event event;

            memcpy(&event, buffer.bytes + at, offsetof(struct inotify_event, name));
            tell_all(kq, &event);
            at += offsetof(struct inotify_event, name) + event.len;
        }
    }
}

const struct kqshim_filter kqshim_vnode_filter = {
    .number = EVFILT_VNODE,
    .of_descriptor = true,
    .attach = attach,
    .detach = detach,
    .check = check,
};
