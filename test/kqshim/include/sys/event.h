/*
 * <sys/event.h> of the kqueue emulation. The macro KQSHIM_<SYSTEM> on the compiler's command line chooses whose types
 * and constants these are; what that system lacks is not defined. The values are our own.
 */
#ifndef KQSHIM_SYS_EVENT_H
#define KQSHIM_SYS_EVENT_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#if defined(KQSHIM_MACOS) + defined(KQSHIM_FREEBSD) + defined(KQSHIM_NETBSD9) + defined(KQSHIM_NETBSD) +               \
        defined(KQSHIM_OPENBSD) !=                                                                                     \
    1
#error "define one of KQSHIM_MACOS, KQSHIM_FREEBSD, KQSHIM_NETBSD9, KQSHIM_NETBSD, KQSHIM_OPENBSD"
#endif

#if defined(KQSHIM_MACOS)

#pragma pack(push, 4)
struct kevent {
    uintptr_t ident;
    int16_t filter;
    uint16_t flags;
    uint32_t fflags;
    intptr_t data;
    void *udata;
};
#pragma pack(pop)
typedef int kqshim_count_t;

#elif defined(KQSHIM_FREEBSD)

struct kevent {
    uintptr_t ident;
    short filter;
    unsigned short flags;
    unsigned int fflags;
    int64_t data;
    void *udata;
    uint64_t ext[4];
};
typedef int kqshim_count_t;

#elif defined(KQSHIM_NETBSD9) || defined(KQSHIM_NETBSD)

struct kevent {
    uintptr_t ident;
    uint32_t filter;
    uint32_t flags;
    uint32_t fflags;
    int64_t data;
#if defined(KQSHIM_NETBSD9)
    intptr_t udata;
#else
    void *udata;
#endif
};
typedef size_t kqshim_count_t;

#else

struct kevent {
    uintptr_t ident;
    short filter;
    unsigned short flags;
    unsigned int fflags;
    int64_t data;
    void *udata;
};
typedef int kqshim_count_t;

#endif

#if defined(KQSHIM_NETBSD9) || defined(KQSHIM_NETBSD)
#define EVFILT_READ 0u
#define EVFILT_WRITE 1u
#define EVFILT_AIO 2u
#define EVFILT_VNODE 3u
#define EVFILT_PROC 4u
#define EVFILT_SIGNAL 5u
#define EVFILT_TIMER 6u
#define EVFILT_FS 7u
#if defined(KQSHIM_NETBSD)
#define EVFILT_USER 8u
#endif
#else
#define EVFILT_READ (-1)
#define EVFILT_WRITE (-2)
#define EVFILT_AIO (-3)
#define EVFILT_VNODE (-4)
#define EVFILT_PROC (-5)
#define EVFILT_SIGNAL (-6)
#define EVFILT_TIMER (-7)
#define EVFILT_USER (-8)
#endif
#if defined(KQSHIM_MACOS) || defined(KQSHIM_OPENBSD)
#define EVFILT_EXCEPT (-9)
#endif
#if defined(KQSHIM_MACOS)
#define EVFILT_MACHPORT (-10)
#endif

/* Asked for in a change. */
#define EV_ADD 0x0001
#define EV_DELETE 0x0002
#define EV_ENABLE 0x0004
#define EV_DISABLE 0x0008
#define EV_ONESHOT 0x0010
#define EV_CLEAR 0x0020
#define EV_RECEIPT 0x0040
#define EV_DISPATCH 0x0080
#if defined(KQSHIM_FREEBSD)
#define EV_KEEPUDATA 0x0200
#endif

/* Told in an event. */
#if defined(KQSHIM_MACOS)
#define EV_OOBAND 0x2000
#endif
#define EV_ERROR 0x4000
#define EV_EOF 0x8000

/* fflags of EVFILT_READ, EVFILT_WRITE and EVFILT_EXCEPT. */
#define NOTE_LOWAT 0x0001
#if defined(KQSHIM_FREEBSD)
#define NOTE_FILE_POLL 0x0002
#elif defined(KQSHIM_OPENBSD)
#define NOTE_EOF 0x0002
#endif
#if defined(KQSHIM_MACOS) || defined(KQSHIM_OPENBSD)
#define NOTE_OOB 0x0004
#endif

/* fflags of EVFILT_VNODE. */
#define NOTE_DELETE 0x0001
#define NOTE_WRITE 0x0002
#define NOTE_EXTEND 0x0004
#define NOTE_ATTRIB 0x0008
#define NOTE_LINK 0x0010
#define NOTE_RENAME 0x0020
#define NOTE_REVOKE 0x0040
#if defined(KQSHIM_FREEBSD) || defined(KQSHIM_NETBSD)
#define NOTE_OPEN 0x0080
#define NOTE_CLOSE 0x0100
#define NOTE_CLOSE_WRITE 0x0200
#define NOTE_READ 0x0400
#endif
#if defined(KQSHIM_OPENBSD)
#define NOTE_TRUNCATE 0x0080
#endif

/* fflags of EVFILT_PROC. */
#define NOTE_EXIT 0x80000000u
#define NOTE_FORK 0x40000000u
#define NOTE_EXEC 0x20000000u
#define NOTE_TRACK 0x00000001u
#define NOTE_TRACKERR 0x00000002u
#define NOTE_CHILD 0x00000004u
#if defined(KQSHIM_MACOS)
#define NOTE_EXITSTATUS 0x04000000u
#endif

/* fflags of EVFILT_USER. */
#if defined(EVFILT_USER)
#define NOTE_TRIGGER 0x01000000u
#define NOTE_FFNOP 0x00000000u
#define NOTE_FFAND 0x40000000u
#define NOTE_FFOR 0x80000000u
#define NOTE_FFCOPY 0xc0000000u
#define NOTE_FFCTRLMASK 0xc0000000u
#define NOTE_FFLAGSMASK 0x00ffffffu
#endif

#if defined(KQSHIM_NETBSD9) || defined(KQSHIM_NETBSD)
#define KQSHIM_FILTER(value) ((uint32_t)(value))
#define KQSHIM_FLAGS(value) ((uint32_t)(value))
#elif defined(KQSHIM_MACOS)
#define KQSHIM_FILTER(value) ((int16_t)(value))
#define KQSHIM_FLAGS(value) ((uint16_t)(value))
#else
#define KQSHIM_FILTER(value) ((short)(value))
#define KQSHIM_FLAGS(value) ((unsigned short)(value))
#endif

#if defined(KQSHIM_FREEBSD)
#define KQSHIM_SET_EXT(set_kev) ((set_kev)->ext[0] = (set_kev)->ext[1] = (set_kev)->ext[2] = (set_kev)->ext[3] = 0)
#else
#define KQSHIM_SET_EXT(set_kev) ((void)(set_kev))
#endif

/* Each argument is evaluated once. */
#define EV_SET(kev, set_ident, set_filter, set_flags, set_fflags, set_data, set_udata)                                 \
    do {                                                                                                               \
        struct kevent *set_kev_ = (kev);                                                                               \
        set_kev_->ident = (uintptr_t)(set_ident);                                                                      \
        set_kev_->filter = KQSHIM_FILTER(set_filter);                                                                  \
        set_kev_->flags = KQSHIM_FLAGS(set_flags);                                                                     \
        set_kev_->fflags = (uint32_t)(set_fflags);                                                                     \
        set_kev_->data = (set_data);                                                                                   \
        set_kev_->udata = (set_udata);                                                                                 \
        KQSHIM_SET_EXT(set_kev_);                                                                                      \
    } while (0)

int kqueue(void);
#if !defined(KQSHIM_MACOS)
int kqueue1(int flags);
#endif
int kevent(int number, const struct kevent *changes, kqshim_count_t nchanges, struct kevent *events,
           kqshim_count_t nevents, const struct timespec *timeout);

#endif
