/*
 * loop.h - an event loop for C programs and language runtimes.
 *
 * SPDX-License-Identifier: MIT
 *
 * CONTENTS
 *   conventions, ABI          this comment
 *   version, errors           LOOP_VERSION_*, LOOP_E*, loop_strerror
 *   the loop                  loop_init, loop_run, loop_close
 *   handles                   what timers, TCP connections and the others have in common
 *   timers, phases            loop_timer_t, loop_prepare_t, loop_check_t, loop_idle_t
 *   other threads             loop_post, loop_async_t
 *   signals                   loop_signal_t
 *   work pool                 loop_work, loop_pool_t: blocking calls on threads of their own
 *   operations                loop_desc_t, loop_op_t: one request on one descriptor, one result
 *   polling                   loop_poll_t, for descriptors of other libraries
 *   Mach ports                loop_machport_t, on macOS
 *   results by the batch      loop_wait, for language runtimes
 *   deadlines                 of descriptors, of operations
 *   TCP                       loop_tcp_t: listeners and connections
 *   addresses                 loop_ip_addr, loop_ip_name
 *   being embedded            loop_backend_fd, loop_next_timeout, loop_fork, loop_shutdown
 *   being watched             loop_metrics, loop_dump
 *   names                     loop_getaddrinfo, loop_getnameinfo
 *
 * CONVENTIONS, which hold for every function unless its comment says otherwise
 *   Results    0 or a non-negative value is success. Errors are negative LOOP_E* codes, the same on every platform.
 *              A call that fails has changed nothing and completes nothing.
 *   Arguments  A NULL where none is allowed, or a value out of range: LOOP_EINVAL. A handle that is closing or closed:
 *              LOOP_EBADF.
 *   Threads    A loop, its handles and its operations are used by one thread at a time. Only loop_post() and
 *              loop_async_send() may be called from any thread. Functions without a loop or handle argument may be
 *              called from any thread.
 *   Callbacks  No callback runs inside a call, except inside loop_run(), loop_wait(), loop_shutdown(), loop_walk(),
 *              loop_dump() and loop_close(). A callback may call every function of its loop but loop_run(), loop_wait(),
 *              loop_shutdown() and loop_close(), which answer LOOP_EBUSY there. One kind alone runs on other threads:
 *              loop_work_cb, on those of a pool.
 *   Signals    No call raises SIGPIPE, and none changes signal dispositions or masks lastingly; but loop_signal_start()
 *              installs a handler for its one signal, until that is stopped.
 *   Time       Nanoseconds (uint64_t), from a monotonic clock. LOOP_MS(5) and LOOP_SEC(2) convert.
 *
 * MEMORY
 *   thing             allocated by    free to reuse
 *   loop_t            the library     after loop_close() returned 0
 *   handles           the caller      when the close callback is entered (without one: once loop_run() has passed its
 *                                     closing phase)
 *   operations        the caller      when the operation's callback is entered, or loop_wait() has returned it; of a
 *                                     stream of results: with the final one
 *   tasks             the caller      when the task's callback is entered
 *   work, requests    the caller      when the callback for its end is entered (work without one: once
 *                                     loop_work_cancel() answers LOOP_ENOENT)
 *   loop_pool_t       the library     after loop_pool_destroy() returned 0
 *   buffers (data)    the caller      like their operation; loop_tcp_try_write(): when it returns
 *   arrays of buffers the caller      when the submitting call returns
 *   read data         the library     when the read callback returns (or the caller's own, by loop_alloc_cb)
 *
 * ABI AND VERSIONS
 *   Handles, operations, tasks and work have a fixed size with reserved room. Members named `data`, and those documented as
 *   results, are the caller's to use; `opaque` members are the library's. Never copy or move one that is in use.
 *   Versions are major.minor.patch. Before 1.0 a minor version may change API and ABI, and the SONAME carries
 *   major.minor; from 1.0 on only a major version does, and the SONAME carries the major number alone. Structures
 *   filled in by the caller begin with their size, so that they can grow within a major version. Error codes and
 *   enumerators keep their values.
 */
#ifndef LOOP_H
#define LOOP_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(_WIN32)
#if defined(LOOP_BUILD_SHARED)
#define LOOP_EXTERN __declspec(dllexport)
#elif defined(LOOP_USE_SHARED)
#define LOOP_EXTERN __declspec(dllimport)
#else
#define LOOP_EXTERN
#endif
#elif defined(__GNUC__)
#define LOOP_EXTERN __attribute__((visibility("default")))
#else
#define LOOP_EXTERN
#endif

/* ------------------------------------------------------------------------------------------------ version, errors -- */

#define LOOP_VERSION_MAJOR 0
#define LOOP_VERSION_MINOR 1
#define LOOP_VERSION_PATCH 0
#define LOOP_VERSION_NUMBER (LOOP_VERSION_MAJOR * 1000000 + LOOP_VERSION_MINOR * 1000 + LOOP_VERSION_PATCH)

/* The version of the library that is linked, as LOOP_VERSION_NUMBER encodes it. Any thread. */
LOOP_EXTERN unsigned loop_version(void);

/* The same as text, "0.1.0". Static storage. Any thread. */
LOOP_EXTERN const char *loop_version_string(void);

/*
 * Every error of the library: name, value, meaning. Where Linux has an errno value of that name the value is its
 * negative, on every platform, so that codes can be compared with what strace shows; do not pass them to strerror(3).
 */
#define LOOP_SYSTEM_ERRORS(X)                                                                                          \
    X(EPERM, -1, "operation not permitted")                                                                            \
    X(ENOENT, -2, "no such file or directory")                                                                         \
    X(EINTR, -4, "interrupted system call")                                                                            \
    X(EIO, -5, "i/o error")                                                                                            \
    X(ENXIO, -6, "no such device or address")                                                                          \
    X(EBADF, -9, "bad descriptor, or handle closing or closed")                                                        \
    X(EAGAIN, -11, "resource temporarily unavailable")                                                                 \
    X(ENOMEM, -12, "not enough memory")                                                                                \
    X(EACCES, -13, "permission denied")                                                                                \
    X(EFAULT, -14, "bad address in system call argument")                                                              \
    X(EBUSY, -16, "resource busy or in use")                                                                           \
    X(EEXIST, -17, "already exists, or already watched by this loop")                                                  \
    X(ENODEV, -19, "no such device")                                                                                   \
    X(ENOTDIR, -20, "not a directory")                                                                                 \
    X(EISDIR, -21, "illegal operation on a directory")                                                                 \
    X(EINVAL, -22, "invalid argument")                                                                                 \
    X(ENFILE, -23, "file table overflow")                                                                              \
    X(EMFILE, -24, "too many open files")                                                                              \
    X(ENOTTY, -25, "inappropriate ioctl for device")                                                                   \
    X(EFBIG, -27, "file too large")                                                                                    \
    X(ENOSPC, -28, "no space left on device")                                                                          \
    X(ESPIPE, -29, "invalid seek")                                                                                     \
    X(EROFS, -30, "read-only file system")                                                                             \
    X(EPIPE, -32, "broken pipe, or write after shutdown")                                                              \
    X(ERANGE, -34, "result too large")                                                                                 \
    X(ENAMETOOLONG, -36, "name too long")                                                                              \
    X(ENOSYS, -38, "function not implemented")                                                                         \
    X(EOVERFLOW, -75, "value too large for defined data type")                                                         \
    X(ENOTSOCK, -88, "socket operation on non-socket")                                                                 \
    X(EDESTADDRREQ, -89, "destination address required")                                                               \
    X(EMSGSIZE, -90, "message too long")                                                                               \
    X(EPROTOTYPE, -91, "protocol wrong type for socket")                                                               \
    X(ENOPROTOOPT, -92, "protocol option not available")                                                               \
    X(EPROTONOSUPPORT, -93, "protocol not supported")                                                                  \
    X(ENOTSUP, -95, "operation not supported")                                                                         \
    X(EAFNOSUPPORT, -97, "address family not supported")                                                               \
    X(EADDRINUSE, -98, "address already in use")                                                                       \
    X(EADDRNOTAVAIL, -99, "address not available")                                                                     \
    X(ENETDOWN, -100, "network is down")                                                                               \
    X(ENETUNREACH, -101, "network is unreachable")                                                                     \
    X(ECONNABORTED, -103, "connection aborted")                                                                        \
    X(ECONNRESET, -104, "connection reset by peer")                                                                    \
    X(ENOBUFS, -105, "no buffer space available")                                                                      \
    X(EISCONN, -106, "socket is already connected")                                                                    \
    X(ENOTCONN, -107, "socket is not connected")                                                                       \
    X(ESHUTDOWN, -108, "cannot send after transport endpoint shutdown")                                                \
    X(ETIMEDOUT, -110, "timed out")                                                                                    \
    X(ECONNREFUSED, -111, "connection refused")                                                                        \
    X(EHOSTDOWN, -112, "host is down")                                                                                 \
    X(EHOSTUNREACH, -113, "host is unreachable")                                                                       \
    X(EALREADY, -114, "already in progress")                                                                           \
    X(ECANCELED, -125, "operation canceled")

/* Those without a counterpart in the system. */
#define LOOP_OWN_ERRORS(X)                                                                                             \
    X(UNKNOWN, -4094, "unknown error")                                                                                 \
    X(EOF, -4095, "end of file")                                                                                       \
    X(ECLOSED, -4096, "loop is closed or closing")                                                                     \
    X(ENOTPOLLABLE, -4097, "descriptor cannot be polled (a regular file, or an inherited synchronous handle)")

/* Those of name resolution, for what getaddrinfo(3) reports as EAI_*. */
#define LOOP_NAME_ERRORS(X)                                                                                            \
    X(EAI_ADDRFAMILY, -3000, "the host has no address of the family asked for")                                        \
    X(EAI_AGAIN, -3001, "temporary failure of name resolution")                                                        \
    X(EAI_BADFLAGS, -3002, "bad flags for name resolution")                                                            \
    X(EAI_CANCELED, -3003, "the resolver canceled the request")                                                        \
    X(EAI_FAIL, -3004, "permanent failure of name resolution")                                                         \
    X(EAI_FAMILY, -3005, "address family not supported by name resolution")                                            \
    X(EAI_MEMORY, -3006, "not enough memory for name resolution")                                                      \
    X(EAI_NODATA, -3007, "the host has no address")                                                                    \
    X(EAI_NONAME, -3008, "unknown host or service")                                                                    \
    X(EAI_OVERFLOW, -3009, "name too long for its buffer")                                                             \
    X(EAI_SERVICE, -3010, "service not available for the socket type")                                                 \
    X(EAI_SOCKTYPE, -3011, "socket type not supported by name resolution")                                             \
    X(EAI_BADHINTS, -3013, "bad hints for name resolution")                                                            \
    X(EAI_PROTOCOL, -3014, "protocol unknown to name resolution")

#define LOOP_ERRORS(X) LOOP_SYSTEM_ERRORS(X) LOOP_OWN_ERRORS(X) LOOP_NAME_ERRORS(X)

enum {
#define LOOP_ERROR_ENUMERATOR(name, value, message) LOOP_##name = (value),
    LOOP_ERRORS(LOOP_ERROR_ENUMERATOR)
#undef LOOP_ERROR_ENUMERATOR
    LOOP_OK = 0
};

/* The meaning of an error code in words; "unknown error" for what is no LOOP_E* code. Static storage. Any thread. */
LOOP_EXTERN const char *loop_strerror(int error);

/* The name of an error code, "ECONNRESET"; "UNKNOWN" for what is no LOOP_E* code. Static storage. Any thread. */
LOOP_EXTERN const char *loop_err_name(int error);

/*
 * The LOOP_E* code of a system's error number: errno on POSIX systems, GetLastError() or WSAGetLastError() on Windows.
 * 0 gives 0; a number without a counterpart gives LOOP_UNKNOWN; a negative number is taken for a LOOP_E* code and
 * returned as it is. Any thread.
 */
LOOP_EXTERN int loop_translate_sys_error(int sys_error);

/* -------------------------------------------------------------------------------------------------------- the loop -- */

typedef struct loop loop_t;
typedef struct loop_handle loop_handle_t;
typedef struct loop_timer loop_timer_t;
typedef struct loop_prepare loop_prepare_t;
typedef struct loop_check loop_check_t;
typedef struct loop_idle loop_idle_t;
typedef struct loop_async loop_async_t;
typedef struct loop_task loop_task_t;
typedef struct loop_signal loop_signal_t;
typedef struct loop_work_request loop_work_t; /* in C++ a function may not have the name of a structure */
typedef struct loop_pool loop_pool_t;
typedef struct loop_desc loop_desc_t;
typedef struct loop_op loop_op_t;
typedef struct loop_poll loop_poll_t;
typedef struct loop_machport loop_machport_t;
typedef struct loop_tcp loop_tcp_t;
typedef struct loop_getaddrinfo_request loop_getaddrinfo_t;
typedef struct loop_getnameinfo_request loop_getnameinfo_t;

#define LOOP_US(n) ((uint64_t)(n)*1000u)
#define LOOP_MS(n) ((uint64_t)(n)*1000000u)
#define LOOP_SEC(n) ((uint64_t)(n)*1000000000u)

/*
 * Where a loop, or a pool, gets its memory. One function does all: size 0 frees ptr (and returns NULL), ptr NULL allocates,
 * else it resizes as realloc(3) does. It returns NULL when there is no memory; the old block is then unchanged. Results are
 * aligned for any object. Called on the loop's thread only; that of a pool inside loop_pool_create() and
 * loop_pool_destroy() only.
 */
typedef struct loop_allocator {
    void *(*resize)(void *context, void *ptr, size_t size);
    void *context;
} loop_allocator_t;

/* Options of loop_init(). Start from LOOP_OPTIONS_INIT and set what differs. */
typedef struct loop_options {
    size_t size;                       /* sizeof(loop_options_t) */
    const loop_allocator_t *allocator; /* copied; NULL: realloc(3) and free(3) */
    void *data;                        /* initial value of loop_get_data() */
    unsigned flags;                    /* LOOP_HANDOVER, LOOP_METRICS_TIME */
} loop_options_t;

/* Different threads may run the loop, one after the other: between two turns it may be handed over, under a lock of the
 * caller's. Without it every run after the first must come from the same thread. */
#define LOOP_HANDOVER 1u

/* Measure times for loop_metrics(), which reads the clock twice per wait and once per callback. */
#define LOOP_METRICS_TIME 0x100u

#ifdef __cplusplus
#define LOOP_OPTIONS_INIT                                                                                              \
    {                                                                                                                  \
        sizeof(loop_options_t), NULL, NULL, 0                                                                          \
    }
#else
#define LOOP_OPTIONS_INIT                                                                                              \
    {                                                                                                                  \
        .size = sizeof(loop_options_t)                                                                                 \
    }
#endif

/*
 * Makes a loop and stores it in *loop. options may be NULL. Any thread, but not inside of a handler of pthread_atfork(3); the
 * thread that runs the loop uses it afterwards.
 * Errors: LOOP_ENOMEM; LOOP_EMFILE, LOOP_ENFILE (no descriptor free); LOOP_EINVAL (unknown flags, or a size this library
 * does not know). *loop is NULL after an error.
 */
LOOP_EXTERN int loop_init(loop_t **loop, const loop_options_t *options);

/*
 * Frees a loop, joins the threads of its own pool, leaves one that was set. From its start on loop_post() answers LOOP_ECLOSED;
 * tasks still queued run inside this call with LOOP_ECANCELED, once. Calls of loop_post() that began before are waited for; the
 * caller makes sure that none begins any more when it is about to return, and that nobody uses the loop afterwards, from any
 * thread.
 * Errors: LOOP_EBUSY, and the loop stays as it was: a handle is not closed yet, an operation or work has not completed, or
 * the call came from a callback of this loop.
 * Callbacks: those of queued tasks. In them every call that would start something on the loop answers LOOP_ECLOSED.
 */
LOOP_EXTERN int loop_close(loop_t *loop);

typedef enum loop_run_mode {
    LOOP_RUN_DEFAULT = 0, /* until nothing keeps the loop alive, or loop_stop() */
    LOOP_RUN_ONCE = 1,    /* one turn: waits until at least one callback could run or a timer is due */
    LOOP_RUN_NOWAIT = 2   /* one turn without waiting */
} loop_run_mode;

/*
 * Runs turns. The order of one turn is a promise:
 *
 *   1. what the last turn left in the ready queue     5. dispatch: finished operations, readable handles, tasks, asyncs
 *   2. idle handles                                   6. check handles
 *   3. prepare handles                                7. close callbacks
 *   4. poll: waits for events, a wake-up or a timer   8. due timers, by due time, then in order of their start
 *
 * Ends of work and of name requests are dispatched in step 5 among the tasks, in the order in which they came.
 *
 * LOOP_RUN_DEFAULT also runs due timers once before its first turn. Idle handles, closing handles and anything ready make
 * step 4 return at once. Step 5 is bounded: what one turn does not get to is left for step 1 of the next, so that no
 * descriptor starves another.
 *
 * A loop is alive while it has a handle that is active and referenced, an operation, work or a task that has not
 * completed, or a handle that is closing.
 *
 * Returns 0 when nothing keeps the loop alive any more, 1 when it is still alive (stopped, or one of the other modes).
 * Errors: LOOP_EBUSY (called from a callback of this loop); LOOP_EINVAL (no such mode, or another thread than before, see
 * LOOP_HANDOVER); LOOP_EAGAIN (an operation without a callback has finished: loop_wait() hands it out); what the system's
 * wait reports when it fails for good. After an error the loop may be run again.
 */
LOOP_EXTERN int loop_run(loop_t *loop, loop_run_mode mode);

/* Makes loop_run() return after the current turn; called outside of loop_run(), it makes the next call return before its
 * first turn. */
LOOP_EXTERN int loop_stop(loop_t *loop);

/* 1 while something keeps the loop alive (see loop_run), else 0; 0 for NULL. */
LOOP_EXTERN int loop_alive(const loop_t *loop);

/*
 * The loop's time in ns: read from the monotonic clock once after each wait, at the first need, and then kept, so that all
 * callbacks of a turn see about the same time. Its zero point is arbitrary. 0 for NULL.
 * Timers and the wait go by it, too. So a callback that runs for long makes timers late by that time, and once more those it
 * starts afterwards, unless it calls loop_update_time() at its end.
 */
LOOP_EXTERN uint64_t loop_now(loop_t *loop);

/* Reads the clock anew, for callbacks that ran for long. */
LOOP_EXTERN int loop_update_time(loop_t *loop);

/* Calls cb for every handle of the loop, closing ones included, oldest first. cb may close any handle and open new ones, which
 * are not visited; loop_run(), loop_wait() and loop_close() answer LOOP_EBUSY in it. Callbacks: cb. */
LOOP_EXTERN int loop_walk(loop_t *loop, void (*cb)(loop_handle_t *handle, void *arg), void *arg);

/* A pointer of the caller's, kept with the loop; loop_get_data gives NULL for NULL. */
LOOP_EXTERN void loop_set_data(loop_t *loop, void *data);
LOOP_EXTERN void *loop_get_data(const loop_t *loop);

/* --------------------------------------------------------------------------------------------------------- handles -- */

typedef enum loop_handle_type {
    LOOP_UNKNOWN_HANDLE = 0,
    LOOP_TIMER = 1,
    LOOP_PREPARE = 2,
    LOOP_CHECK = 3,
    LOOP_IDLE = 4,
    LOOP_ASYNC = 5,
    LOOP_DESC = 6,
    LOOP_TCP = 7,
    LOOP_SIGNAL = 8,
    LOOP_POLL = 9,
    LOOP_MACHPORT = 10
} loop_handle_type;

/* What all handles begin with; their first member is named `handle`. */
struct loop_handle {
    void *data; /* the caller's */
    uint64_t opaque[7];
};

typedef void (*loop_close_cb)(loop_handle_t *handle);

/*
 * Closes a handle: stops it, cancels its unfinished operations (they complete with LOOP_ECANCELED; what has finished keeps
 * its result), and calls cb (which may be NULL) in the closing phase of a turn, after the last of them. No callback of the
 * handle comes after that one, and the memory is the caller's again when it is entered.
 * Errors: LOOP_EBADF (it is closing already).
 */
LOOP_EXTERN int loop_handle_close(loop_handle_t *handle, loop_close_cb cb);

/* Whether an active handle keeps its loop alive: it does (ref, the default) or not (unref). Both may be called again. */
LOOP_EXTERN int loop_handle_ref(loop_handle_t *handle);
LOOP_EXTERN int loop_handle_unref(loop_handle_t *handle);
/* 1 or 0; 0 for NULL. */
LOOP_EXTERN int loop_handle_has_ref(const loop_handle_t *handle);

/* 1 while the handle does something: a started timer, prepare, check, idle, signal, poll or Mach port; an async until
 * it is closed; a TCP handle that listens, connects or reads; a descriptor with an operation in flight. Else 0; 0 for
 * NULL and for closing ones. */
LOOP_EXTERN int loop_handle_is_active(const loop_handle_t *handle);

/* 1 from loop_handle_close() on, else 0. */
LOOP_EXTERN int loop_handle_is_closing(const loop_handle_t *handle);

/* The type of an open or closing handle, LOOP_UNKNOWN_HANDLE for NULL and after the close callback. */
LOOP_EXTERN loop_handle_type loop_handle_get_type(const loop_handle_t *handle);

/* "timer", "tcp", …; "unknown" for what is no type. Static storage. Any thread. */
LOOP_EXTERN const char *loop_handle_type_name(loop_handle_type type);

/* The handle's loop; NULL for NULL and after the close callback. */
LOOP_EXTERN loop_t *loop_handle_get_loop(const loop_handle_t *handle);

/* ---------------------------------------------------------------------------------------------------------- timers -- */

struct loop_timer {
    loop_handle_t handle;
    uint64_t opaque[6];
};

typedef void (*loop_timer_cb)(loop_timer_t *timer);

/* Errors of all *_init functions: LOOP_ECLOSED (the loop is being closed). */
LOOP_EXTERN int loop_timer_init(loop_t *loop, loop_timer_t *timer);

/*
 * Starts a timer, or moves a started one: cb is called timeout ns from loop_now(), never earlier, and then, if repeat is
 * not 0, every repeat ns counted from the call before. A timeout of 0 comes in the next timer phase that begins after this
 * call, never inside it. A sum past 2^64 counts as the end of time.
 * Moving a started timer to later costs no more than a few stores.
 * Errors: LOOP_EINVAL (cb is NULL); LOOP_ENOMEM (the timer is then as it was).
 */
LOOP_EXTERN int loop_timer_start(loop_timer_t *timer, loop_timer_cb cb, uint64_t timeout, uint64_t repeat);

/* Stops a timer; one that is not started stays so. */
LOOP_EXTERN int loop_timer_stop(loop_timer_t *timer);

/* Starts a repeating timer anew, repeat ns from loop_now(). Errors: LOOP_EINVAL (never started, or no repeat);
 * LOOP_ENOMEM. */
LOOP_EXTERN int loop_timer_again(loop_timer_t *timer);

/* The repeat interval in ns. A new value counts from the next expiry on; 0 makes the next one the last. */
LOOP_EXTERN int loop_timer_set_repeat(loop_timer_t *timer, uint64_t repeat);
LOOP_EXTERN uint64_t loop_timer_get_repeat(const loop_timer_t *timer);

/* ns from loop_now() until the timer is due; 0 if it is due, not started, or NULL. */
LOOP_EXTERN uint64_t loop_timer_get_due_in(const loop_timer_t *timer);

/* ---------------------------------------------------------------------------------------------------------- phases -- */

struct loop_prepare {
    loop_handle_t handle;
    uint64_t opaque[3];
};

struct loop_check {
    loop_handle_t handle;
    uint64_t opaque[3];
};

struct loop_idle {
    loop_handle_t handle;
    uint64_t opaque[3];
};

typedef void (*loop_prepare_cb)(loop_prepare_t *prepare);
typedef void (*loop_check_cb)(loop_check_t *check);
typedef void (*loop_idle_cb)(loop_idle_t *idle);

/*
 * Callbacks at fixed points of every turn (see loop_run): prepare before the wait, check after dispatch, idle before
 * prepare; an active idle handle also keeps the wait from blocking. Within a phase they run in the order of their start. One
 * that is started in its own phase runs from the next turn on. Starting a started one does nothing and returns 0, its
 * callback stays. Errors of start: LOOP_EINVAL (cb is NULL).
 */
LOOP_EXTERN int loop_prepare_init(loop_t *loop, loop_prepare_t *prepare);
LOOP_EXTERN int loop_prepare_start(loop_prepare_t *prepare, loop_prepare_cb cb);
LOOP_EXTERN int loop_prepare_stop(loop_prepare_t *prepare);

LOOP_EXTERN int loop_check_init(loop_t *loop, loop_check_t *check);
LOOP_EXTERN int loop_check_start(loop_check_t *check, loop_check_cb cb);
LOOP_EXTERN int loop_check_stop(loop_check_t *check);

LOOP_EXTERN int loop_idle_init(loop_t *loop, loop_idle_t *idle);
LOOP_EXTERN int loop_idle_start(loop_idle_t *idle, loop_idle_cb cb);
LOOP_EXTERN int loop_idle_stop(loop_idle_t *idle);

/* --------------------------------------------------------------------------------------------------- other threads -- */

typedef void (*loop_task_cb)(loop_task_t *task, int status);

/* One function call to be made by a loop. Zero it (`= {0}` or memset) before its first use. */
struct loop_task {
    void *data; /* the caller's */
    uint64_t opaque[4];
};

/*
 * Makes the loop call cb(task, 0) on its thread, in the dispatch phase; cb(task, LOOP_ECANCELED) if loop_close() comes
 * first. Tasks never coalesce, and those of one thread run in the order they were posted. Allocates nothing and cannot fail
 * for lack of resources; at most one wake-up system call is made per sleep of the loop.
 * The caller makes sure that the loop is not freed meanwhile: when loop_close() returns, every call has returned, or its task
 * has begun to run; for the rest of such a call loop_close() waits.
 * Any thread. Errors: LOOP_ECLOSED (loop_close() has begun; the task is left alone); LOOP_EBUSY (the task is queued already).
 */
LOOP_EXTERN int loop_post(loop_t *loop, loop_task_t *task, loop_task_cb cb);

struct loop_async {
    loop_handle_t handle;
    uint64_t opaque[4];
};

typedef void (*loop_async_cb)(loop_async_t *async);

/* A handle that other threads can signal. It is active, and keeps its loop alive, until it is closed.
 * Errors: LOOP_EINVAL (cb is NULL). */
LOOP_EXTERN int loop_async_init(loop_t *loop, loop_async_t *async, loop_async_cb cb);

/*
 * Makes the loop call the handle's callback on its thread, in the dispatch phase: at least once after the last call; calls
 * made before the callback has begun are merged. What the caller wrote before the call is visible to the callback.
 * Any thread, until the close callback; also from a signal handler. Errors: LOOP_EBADF (closing).
 */
LOOP_EXTERN int loop_async_send(loop_async_t *async);

/* --------------------------------------------------------------------------------------------------------- signals -- */

struct loop_signal {
    loop_handle_t handle;
    uint64_t opaque[7];
};

typedef void (*loop_signal_cb)(loop_signal_t *signal, int signum);

LOOP_EXTERN int loop_signal_init(loop_t *loop, loop_signal_t *signal);

/*
 * Calls cb(signal, signum) on the loop's thread, in the dispatch phase, when the process or one of its threads gets the signal:
 * at least once after the last delivery; signals that come before the callback has begun are merged. Any number of handles
 * may watch one signal, in any number of loops and threads; each is told, those of one loop in the order of their start.
 *
 * A handler is installed (SA_RESTART, every signal blocked in it) when the first handle of the process starts watching a
 * signal, and no handle takes a signal that it was not started for, SIGCHLD neither. When the last one stops, the action that
 * was there before is put back. Meanwhile a handler that was there before is still called, after ours; the default action
 * is not taken. A handler that others install later gets the signals instead of ours, unless it calls ours, which it
 * replaced; then it must not go on doing so once this library is unloaded.
 * A signal that is blocked in every thread reaches nobody.
 * Windows has what the console tells: SIGINT (Ctrl-C), SIGBREAK (Ctrl-Break), SIGHUP (1: it is closed, and the process ends
 * some seconds later, whatever the callback does), SIGTERM (the system shuts down: services only) and SIGWINCH (28: its window
 * has another size; looked for ten times a second while it is watched). Source: SetConsoleCtrlHandler(),
 * GetConsoleScreenBufferInfo().
 *
 * Starting a started handle replaces callback and signal; what it has not reported of another signal is dropped.
 * Errors: LOOP_EINVAL (cb is NULL; no such signal; SIGKILL, SIGSTOP, which nobody can catch; SIGSEGV, SIGBUS, SIGFPE, SIGILL,
 * which tell of the instruction being executed); the handle is then as it was. Source: sigaction(2), signal(7).
 */
LOOP_EXTERN int loop_signal_start(loop_signal_t *signal, loop_signal_cb cb, int signum);

/* The same, once: the handle is stopped right before its callback, which may start it again. */
LOOP_EXTERN int loop_signal_start_oneshot(loop_signal_t *signal, loop_signal_cb cb, int signum);

/* Stops watching: no callback comes after it. One that is not started stays so. */
LOOP_EXTERN int loop_signal_stop(loop_signal_t *signal);
/* ------------------------------------------------------------------------------------------------------- work pool -- */

/*
 * Threads for calls that block. A pool has lanes; each has its own threads and its own queue, first come first served, so
 * that slow work does not keep quick work waiting. A thread is started when work comes and none is free, up to the lane's
 * limit, and stays until the pool goes; while it is idle it sleeps and costs no time. It is named "loop-default", "loop-slow"
 * or "loop-names" where the system has names for threads, has the system's usual stack, and blocks all signals but those
 * that a thread raises by its own fault (SIGSEGV and the like). Source: pthread_create(3).
 *
 * Every loop has a pool: one of its own with the default sizes, made at the first use, whose threads loop_close() joins; or
 * one that was given to it with loop_set_pool(), which several loops may share.
 */
typedef enum loop_lane {
    LOOP_LANE_DEFAULT = 0, /* quick calls: a file, a compressed block */
    LOOP_LANE_SLOW = 1,    /* calls that may take seconds: a database, a child process to be waited for */
    LOOP_LANE_NAMES = 2,   /* name resolution: loop_getaddrinfo(), loop_getnameinfo(), and the caller's own */
    LOOP_LANE_COUNT = 3    /* how many this version has */
} loop_lane;

/* Options of loop_pool_create(). Start from LOOP_POOL_OPTIONS_INIT and set what differs. */
typedef struct loop_pool_options {
    size_t size;                       /* sizeof(loop_pool_options_t) */
    const loop_allocator_t *allocator; /* copied; NULL: realloc(3) and free(3) */
    struct {
        unsigned threads; /* at most so many, 1..1024; 0: 4 */
        unsigned queue;   /* at most so many wait beyond those that the threads have; 0: no limit */
    } lanes[LOOP_LANE_COUNT];
} loop_pool_options_t;

#ifdef __cplusplus
#define LOOP_POOL_OPTIONS_INIT                                                                                         \
    {                                                                                                                  \
        sizeof(loop_pool_options_t), NULL, {}                                                                          \
    }
#else
#define LOOP_POOL_OPTIONS_INIT                                                                                         \
    {                                                                                                                  \
        .size = sizeof(loop_pool_options_t)                                                                            \
    }
#endif

/*
 * Makes a pool and stores it in *pool; it has no thread yet. options may be NULL. Any thread.
 * Errors: LOOP_ENOMEM, LOOP_EAGAIN (the system is out of locks); LOOP_EINVAL (too many threads, or a size this library does
 * not know). *pool is NULL after an error.
 */
LOOP_EXTERN int loop_pool_create(loop_pool_t **pool, const loop_pool_options_t *options);

/*
 * Joins the threads of a pool and frees it. Any thread; nobody may use the pool any more.
 * Errors: LOOP_EBUSY (a loop uses it: that ends with loop_close(), which waits for its work).
 */
LOOP_EXTERN int loop_pool_destroy(loop_pool_t *pool);

/* Gives the loop a pool to use, in place of one of its own. The pool must outlive the loop.
 * Errors: LOOP_EBUSY (the loop has one: it was set, or the loop has used its own); LOOP_EINVAL (also: the pool is another
 * loop's own); LOOP_ECLOSED; LOOP_ENOMEM, LOOP_EAGAIN (in the child of a fork, for a pool that was made before it). */
LOOP_EXTERN int loop_set_pool(loop_t *loop, loop_pool_t *pool);

/* The loop's pool; NULL before its first use, unless it was set, and for NULL. A loop's own pool goes with the loop. */
LOOP_EXTERN loop_pool_t *loop_get_pool(const loop_t *loop);

/* What a lane does, and did since the pool was made. */
typedef struct {
    size_t size;            /* sizeof(loop_pool_metrics_t), set by the caller: LOOP_POOL_METRICS_INIT */
    unsigned most_threads;  /* the limits in force */
    unsigned queue_limit;   /* UINT32_MAX: none */
    unsigned threads;       /* that were started */
    unsigned idle;          /* threads without work */
    unsigned running;       /* threads with work */
    unsigned queued;        /* work that no thread has begun */
    unsigned longest_queue; /* the most that ever was queued */
    uint64_t done;          /* work that ran to its end */
    uint64_t cancelled;     /* work that was taken out of the queue */
    uint64_t refused;       /* submissions that got LOOP_EAGAIN */
} loop_pool_metrics_t;

#ifdef __cplusplus
#define LOOP_POOL_METRICS_INIT                                                                                         \
    {                                                                                                                  \
        sizeof(loop_pool_metrics_t), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0                                                      \
    }
#else
#define LOOP_POOL_METRICS_INIT                                                                                         \
    {                                                                                                                  \
        .size = sizeof(loop_pool_metrics_t)                                                                            \
    }
#endif

/* Fills in *metrics, all of it at one moment. Any thread. Errors: LOOP_EINVAL (also: a size this library does not know). */
LOOP_EXTERN int loop_pool_metrics(loop_pool_t *pool, loop_lane lane, loop_pool_metrics_t *metrics);

/* One call to be made by a thread of a pool. Zero it (`= {0}` or memset) before its first use. */
struct loop_work_request {
    void *data; /* the caller's */
    uint64_t opaque[15];
};

typedef void (*loop_work_cb)(loop_work_t *work);
typedef void (*loop_after_work_cb)(loop_work_t *work, int status);

/*
 * Makes a thread of the loop's pool call work_cb(work), and then the loop call after_cb(work, 0) on its own thread, in the
 * dispatch phase. What was written before this call is visible to work_cb, and what work_cb wrote to after_cb. Work of one
 * lane begins in the order in which it was submitted. after_cb may be NULL: then the end is told to nobody, but the loop
 * stays alive until it came, all the same. Allocates nothing, except for the loop's own pool at its first use.
 *
 * work_cb may block, and may call no function of this library but those of any thread. It must return: neither pthread_exit()
 * nor a longjmp() out of it. Until it returns, loop_close() answers LOOP_EBUSY.
 *
 * Errors: LOOP_EAGAIN (the lane's queue is full, or it has no thread and none could be started); LOOP_EBUSY (the work is in
 * flight already); LOOP_ENOMEM; LOOP_EINVAL (also: no such lane); LOOP_ECLOSED.
 */
LOOP_EXTERN int loop_work(loop_t *loop, loop_work_t *work, loop_lane lane, loop_work_cb work_cb,
                          loop_after_work_cb after_cb);

/*
 * Takes work out of the queue: work_cb is not called, and after_cb(work, LOOP_ECANCELED) comes through the loop. On the
 * thread of the loop it was submitted on; also for the `work` in name requests.
 * Errors: LOOP_EBUSY (too late: it runs or has run, and completes as ever); LOOP_ENOENT (it is not in flight).
 */
LOOP_EXTERN int loop_work_cancel(loop_work_t *work);

/* ------------------------------------------------------------------------------------------------------ operations -- */

/* A descriptor of the system: a file descriptor on POSIX systems, a SOCKET or HANDLE on Windows. */
#if defined(_WIN32)
typedef uintptr_t loop_os_fd_t;
#else
typedef int loop_os_fd_t;
#endif
#define LOOP_INVALID_FD ((loop_os_fd_t)-1)

/* A piece of memory. */
typedef struct loop_buf {
    void *base;
    size_t len;
} loop_buf_t;

/* Addresses are the system's own; include <sys/socket.h> and <netinet/in.h>, or <winsock2.h>, to take them apart. */
struct sockaddr;
struct sockaddr_storage;

/*
 * Private room, in 64-bit words, that a backend has in every descriptor and operation. All of them stand here so that the
 * layout of each backend can be checked on every system.
 */
#define LOOP_PRIVATE_POSIX_DESC_WORDS 1
#define LOOP_PRIVATE_POSIX_OP_WORDS 1
#define LOOP_PRIVATE_WINDOWS_DESC_WORDS 24
#define LOOP_PRIVATE_WINDOWS_OP_WORDS 56
#if defined(_WIN32)
#define LOOP_PRIVATE_DESC_WORDS LOOP_PRIVATE_WINDOWS_DESC_WORDS
#define LOOP_PRIVATE_OP_WORDS LOOP_PRIVATE_WINDOWS_OP_WORDS
#else
#define LOOP_PRIVATE_DESC_WORDS LOOP_PRIVATE_POSIX_DESC_WORDS
#define LOOP_PRIVATE_OP_WORDS LOOP_PRIVATE_POSIX_OP_WORDS
#endif

/* A descriptor of the caller's, registered with a loop. A handle: close it with loop_handle_close(). */
struct loop_desc {
    loop_handle_t handle;
    uint64_t opaque[15 + LOOP_PRIVATE_DESC_WORDS];
};

typedef void (*loop_op_cb)(loop_op_t *op);

/*
 * One request on one descriptor, and its result. Zero it (`= {0}` or memset) before its first use; afterwards it may be
 * used again and again. From the call that submits it (if that returned 0) until its callback it belongs to the library,
 * with its buffers. Every submitted operation completes exactly once, on the loop's thread, in the dispatch phase, never
 * inside the submitting call.
 */
struct loop_op {
    void *data; /* the caller's */
    /* The result, valid in the callback and until the next use: */
    size_t bytes;    /* bytes transferred, also when status is an error: what was sent before it */
    int status;      /* 0, or why it failed; LOOP_EOF for a read at the end of the stream */
    unsigned flags;  /* LOOP_OP_*; of a readiness operation the LOOP_READABLE and LOOP_WRITABLE found */
    loop_os_fd_t fd; /* of accept: the new descriptor, non-blocking, close-on-exec, registered with no loop */
    uint64_t opaque[30 + LOOP_PRIVATE_OP_WORDS];
};

/* Flags of results. */
#define LOOP_OP_TRUNCATED 0x100u /* the datagram was longer than the buffers; the rest is lost */
#define LOOP_OP_MORE 0x200u      /* one result of a stream: the operation goes on, and another completion follows */

/* Directions of readiness. */
#define LOOP_READABLE 1u
#define LOOP_WRITABLE 2u

/* Flags of loop_desc_attach(). */
#define LOOP_DESC_TCP                                                                                                  \
    1u /* promise: a non-blocking, close-on-exec TCP socket, such as accept gave. Saves system calls */
#define LOOP_DESC_OWNED 2u   /* the loop's from now on: closing the handle closes it, and nobody else may */
#define LOOP_DESC_INHERIT 4u /* leave the close-on-exec flag as it is */

/*
 * Registers a descriptor with a loop, so that operations can be submitted on it. It is made non-blocking and close-on-exec.
 * Unless LOOP_DESC_OWNED it stays the caller's: its owner closes the handle first, then the descriptor. If the owner
 * closes it early all the same, no operation of another descriptor is disturbed, whatever gets the number next; once the number
 * is registered anew, operations of this handle complete with LOOP_EBADF, and nothing but closing it works.
 * Errors: LOOP_EBADF (not open); LOOP_EEXIST (watched by this loop already); LOOP_ENOTPOLLABLE (files and directories;
 * some devices; on macOS named FIFOs too; on Windows what is not open for overlapped calls, or was attached to another loop);
 * LOOP_ENOMEM; LOOP_ENOSPC (the system's limit of watches); LOOP_ECLOSED. The handle is then as before the call. Source:
 * epoll_ctl(2), kqueue(2), CreateIoCompletionPort().
 */
LOOP_EXTERN int loop_desc_attach(loop_t *loop, loop_desc_t *desc, loop_os_fd_t fd, unsigned flags);

/*
 * Ends the registration at once without a callback and without closing the descriptor, for one that goes on in another
 * loop. The handle's memory is the caller's when it returns 0.
 * Errors: LOOP_EBUSY (operations are in flight); LOOP_ENOTSUP (Windows: a registration lasts as long as the descriptor).
 */
LOOP_EXTERN int loop_desc_detach(loop_desc_t *desc);

/* The descriptor, LOOP_INVALID_FD if there is none. */
LOOP_EXTERN loop_os_fd_t loop_desc_fd(const loop_desc_t *desc);

/*
 * The operations. Several may be in flight on one descriptor: reading ones (accept, read, receive) complete in the order
 * they were submitted, and so do writing ones (connect, write, send), independent of each other. What the system can do at
 * once is done in the submitting call; the completion comes all the same through the loop.
 *
 * cb NULL: the operation has no callback, and loop_wait() alone hands it out. This holds for the operations of TCP handles too.
 *
 * Errors that all of them return: LOOP_EINVAL; LOOP_EBUSY (op is in flight already); LOOP_EBADF (desc is closing);
 * LOOP_ENOMEM (the descriptor is not ready and there is no memory for a copy of more than 8 buffers, for datagrams of more
 * than 1); LOOP_ECLOSED. Everything else, the system's errors above all, is in the completion's status.
 */

/* Waits for a connection on a listening socket: op->fd. It takes the connection only, see loop_desc_attach() and
 * loop_tcp_open(). Connections that the peer aborted meanwhile are passed over. Status: LOOP_EMFILE, LOOP_ENFILE,
 * LOOP_ENOMEM, … Source: accept(2). */
LOOP_EXTERN int loop_op_accept(loop_desc_t *desc, loop_op_t *op, loop_op_cb cb);

/* A stream of connections: each completes the operation with LOOP_OP_MORE and its op->fd, and the operation goes on once the
 * callback has returned, or with the next loop_run() or loop_wait(). Exactly one completion without LOOP_OP_MORE ends it: an
 * error, LOOP_ECANCELED after a cancel or close. Until then the operation is the library's. */
LOOP_EXTERN int loop_op_accept_stream(loop_desc_t *desc, loop_op_t *op, loop_op_cb cb);

/* Connects a socket. Status: LOOP_ECONNREFUSED, LOOP_ETIMEDOUT, LOOP_ENETUNREACH, … What is written before the completion waits
 * for the connection, and ends with LOOP_ECANCELED if it fails. After a failure or a cancel only closing the descriptor is
 * promised to work. Source: connect(2). */
LOOP_EXTERN int loop_op_connect(loop_desc_t *desc, loop_op_t *op, const struct sockaddr *addr, loop_op_cb cb);

/* Reads what there is, at most the sum of the buffers: op->bytes, at least 1. Status LOOP_EOF at the end of the stream; on POSIX
 * systems LOOP_EBADF where the descriptor is not open for reading. With buffers of 0 bytes in all it completes with 0 once the
 * descriptor is readable. Source: readv(2), recvmsg(2). */
LOOP_EXTERN int loop_op_read(loop_desc_t *desc, loop_op_t *op, const loop_buf_t *bufs, unsigned nbufs, loop_op_cb cb);

/* Writes all of the buffers, in order and in one piece with regard to other writes. If it fails or is cancelled, op->bytes
 * says how much went out before. Source: writev(2), sendmsg(2). */
LOOP_EXTERN int loop_op_write(loop_desc_t *desc, loop_op_t *op, const loop_buf_t *bufs, unsigned nbufs, loop_op_cb cb);

/* Receives one datagram: op->bytes (0 is a datagram too), LOOP_OP_TRUNCATED. The sender's address is stored in *from, unless
 * that is NULL; it must stay valid like the buffers. One datagram fills 1024 buffers at most, the first that is not empty and
 * those behind it. Source: recvmsg(2). */
LOOP_EXTERN int loop_op_receive(loop_desc_t *desc, loop_op_t *op, const loop_buf_t *bufs, unsigned nbufs,
                                struct sockaddr_storage *from, loop_op_cb cb);

/* A stream of datagrams, as loop_op_accept_stream() is one of connections: each in the same buffers and the same *from, whose
 * contents are the caller's until the operation goes on. */
LOOP_EXTERN int loop_op_receive_stream(loop_desc_t *desc, loop_op_t *op, const loop_buf_t *bufs, unsigned nbufs,
                                       struct sockaddr_storage *from, loop_op_cb cb);

/* Sends one datagram to an address (copied), or where the socket is connected to (NULL). A Unix socket that is not connected
 * and has nothing on its way is not told when there is room at the receiver's: give it a deadline. Source: sendmsg(2). */
LOOP_EXTERN int loop_op_send(loop_desc_t *desc, loop_op_t *op, const loop_buf_t *bufs, unsigned nbufs,
                             const struct sockaddr *to, loop_op_cb cb);

/* Completes when the descriptor is readable or writable, as asked (or both, then when either holds), or in error or hung up,
 * which counts as both: op->flags. For callers that do the reading and writing by themselves. Source: poll(2). */
LOOP_EXTERN int loop_op_ready(loop_desc_t *desc, loop_op_t *op, unsigned events, loop_op_cb cb);

/*
 * Asks for the end of an operation. The completion decides: LOOP_ECANCELED with the bytes done, or the result that won the
 * race. It comes in any case, through the loop. An operation that is not in flight: LOOP_ENOENT.
 */
LOOP_EXTERN int loop_op_cancel(loop_op_t *op);

/* The handle the operation was last submitted on: of a loop_desc_t or a loop_tcp_t. NULL before the first use. */
LOOP_EXTERN loop_handle_t *loop_op_get_handle(const loop_op_t *op);

/* --------------------------------------------------------------------------------------------- results by the batch -- */

#define LOOP_FOREVER UINT64_MAX

/*
 * A turn for language runtimes: like one of loop_run(), all callbacks of handles, timers and tasks included, and then up to n
 * finished operations that have no callback are stored in ops, in the order in which they finished. What is left over comes
 * with the next call. The wait lasts until there are events, a timer was due, another thread posted, or timeout ns are over
 * (0: no waiting; LOOP_FOREVER); unlike loop_run() it waits also when nothing keeps the loop alive, because others may post.
 * It does not wait if something was ready before, nor after a loop_stop(). Operations that have finished before are handed out
 * at once, without a turn, if nothing else is to be done by now; after 8 such calls in a row a turn is made all the same.
 * Returns the number of operations stored; 0 is no end: callbacks may have run, or the time is over.
 * Errors: LOOP_EINVAL (n < 1, or another thread than before); LOOP_EBUSY (called from a callback of this loop); what the
 * system's wait reports when it fails for good; finished operations are kept for the next call.
 */
LOOP_EXTERN int loop_wait(loop_t *loop, loop_op_t **ops, int n, uint64_t timeout);

/* -------------------------------------------------------------------------------------------------------- deadlines -- */

#define LOOP_NO_DEADLINE UINT64_MAX

/*
 * The read deadline (LOOP_READABLE), the write deadline (LOOP_WRITABLE) or both of a descriptor, as an instant of loop_now():
 * for the operations in flight in that direction and for all later ones. It can be moved at any time. An instant that is not
 * later than loop_now() is over at once; LOOP_NO_DEADLINE, the default, clears it. A wait for both directions goes by the read
 * deadline, accepting is reading, connecting is writing.
 *
 * When it has passed, the end of what is in flight is asked for, as by loop_op_cancel(), and the completion decides:
 * LOOP_ETIMEDOUT with the bytes done, or the success that won the race. Operations submitted later complete with
 * LOOP_ETIMEDOUT without a try, until the deadline is moved. The descriptor stays usable; but after a timed-out connect, or a
 * write that was sent in part, only closing is promised to work.
 * A TCP handle that reads gets LOOP_ETIMEDOUT in its read callback, and reading has stopped; no byte is lost, and it may be
 * started again. loop_tcp_try_write() returns LOOP_ETIMEDOUT.
 * Moving a deadline to later costs a few stores, no system call and no memory.
 *
 * Errors: LOOP_ENOMEM (both deadlines are then as they were); LOOP_EINVAL (no or unknown directions; a listening TCP handle).
 */
LOOP_EXTERN int loop_desc_set_deadline(loop_desc_t *desc, unsigned directions, uint64_t due);
LOOP_EXTERN int loop_tcp_set_deadline(loop_tcp_t *tcp, unsigned directions, uint64_t due);

/* The deadline of one operation in flight, which ends with it: after it LOOP_ETIMEDOUT as above. Of a stream of results it
 * ends the whole. Errors: LOOP_ENOENT (not in flight); LOOP_ENOMEM (it is then as it was). */
LOOP_EXTERN int loop_op_set_deadline(loop_op_t *op, uint64_t due);

/* --------------------------------------------------------------------------------------------------------- polling -- */

/* What a poll handle may wait for, beside LOOP_READABLE and LOOP_WRITABLE. */
#define LOOP_DISCONNECT 4u  /* the peer has ended its direction, or the connection: sockets only */
#define LOOP_PRIORITIZED 8u /* urgent data of a TCP connection, or, on Linux, an exceptional event of a device */

/* A descriptor that somebody else reads and writes: another library, above all. examples/curl_multi.c shows the use. */
struct loop_poll {
    loop_handle_t handle;
    uint64_t opaque[16 + LOOP_PRIVATE_DESC_WORDS];
};

typedef void (*loop_poll_cb)(loop_poll_t *poll, int status, unsigned events);

/*
 * Prepares a descriptor for being polled, and makes it non-blocking. It stays the caller's: its owner closes the handle
 * first, then the descriptor. If the owner closes it early all the same, nobody else is disturbed, whatever gets the
 * number next. Its own events end with that on kqueue. On Linux they may go on as long as a duplicate of it is open,
 * until the handle is stopped; after loop_backend_fd() was called they go on even then: the kernel cannot be told to
 * forget them, and the loop never sleeps.
 * Errors: as loop_desc_attach(): LOOP_EBADF (not open); LOOP_EEXIST (watched by this loop already, through whatever handle);
 * LOOP_ENOTPOLLABLE (on Windows all but sockets); LOOP_ENOMEM; LOOP_ENOSPC (the system's limit of watches); LOOP_ECLOSED. The
 * handle is then as before the call. Source: epoll_ctl(2), kqueue(2).
 */
LOOP_EXTERN int loop_poll_init(loop_t *loop, loop_poll_t *poll, loop_os_fd_t fd);

/*
 * Calls cb(poll, status, events), with status 0, in the dispatch phase, when the descriptor is ready for some of the events
 * asked for: the ones found. It is level-triggered: as long as that holds and nobody does anything about it, every turn
 * reports it again. An error or a hang-up counts as all events asked for; what it is, the next call on the descriptor tells.
 * As with poll(2), what was found may be over when it is reported: somebody else may have read. A stream socket that is
 * neither connected nor connecting is hung up on Linux, and quiet elsewhere.
 * Starting a started handle replaces events and callback. What was found but is not asked for any more is not reported.
 * A status other than 0, with events 0, tells that watching has ended and the handle has stopped: LOOP_EBADF, the descriptor
 * was closed early and its number is watched through another handle by now; on Windows, was closed early.
 * Errors: LOOP_EINVAL (cb is NULL; no or unknown events); LOOP_EBADF (the descriptor was closed early); LOOP_ENOTSUP
 * (LOOP_PRIORITIZED, where the system tells nobody of urgent data: FreeBSD, NetBSD); LOOP_ENOMEM, LOOP_ENOSPC; the
 * handle is then as it was. Source: epoll(7), kqueue(2), poll(2).
 */
LOOP_EXTERN int loop_poll_start(loop_poll_t *poll, unsigned events, loop_poll_cb cb);

/* Stops: no callback comes after it, also when events were found already. One that is not started stays so. */
LOOP_EXTERN int loop_poll_stop(loop_poll_t *poll);

/* ---------------------------------------------------------------------------------------------------- Mach ports -- */

/* A mach_port_t, for programs that do not include <mach/mach.h>. */
typedef uint32_t loop_mach_port_t;

/*
 * A Mach port of this task, or a set of ports, watched for messages: macOS only. Elsewhere the functions are there, so
 * that programs need no conditional, and answer LOOP_ENOTSUP. examples/machport.c shows the use.
 */
struct loop_machport {
    loop_handle_t handle;
    uint64_t opaque[10];
};

typedef void (*loop_machport_cb)(loop_machport_t *machport, int status, loop_mach_port_t port);

/*
 * Prepares a port for being watched: the name of a receive right or of a port set. The right stays the caller's, who
 * closes the handle first and gives the right up afterwards; what happens if not stands at loop_machport_start().
 * Errors: LOOP_EINVAL (no name: MACH_PORT_NULL or MACH_PORT_DEAD); LOOP_ENOTSUP (no Mach ports here); LOOP_ECLOSED.
 * Whether there is such a port, starting tells.
 */
LOOP_EXTERN int loop_machport_init(loop_t *loop, loop_machport_t *machport, loop_mach_port_t port);

/*
 * Calls cb(machport, 0, port) in the dispatch phase of every turn in which a message waits; it is level-triggered, like
 * a poll handle. port is the one that has the message: of a set the member, if the system tells it, else what is
 * watched. Receiving is the callback's business: mach_msg() with MACH_RCV_MSG | MACH_RCV_TIMEOUT and a time of 0,
 * because somebody else may have received the message meanwhile. How many it receives is its choice; for the rest the
 * next turn calls again. Starting a started handle replaces the callback.
 * A status other than 0 tells that watching has ended and the handle has stopped, port being what was watched:
 * LOOP_EBADF, the receive right or the set was destroyed or moved to another task. That disturbs nobody else, and the
 * handle may be started again if the name stands for a port again. After loop_fork() every started handle of the child
 * is told so, because no port is inherited.
 * Errors, with which the handle stays as it was: LOOP_EINVAL (cb is NULL); LOOP_EEXIST (watched by this loop through
 * another handle, which is so until that one was told that its port is gone); LOOP_ENOENT (the task has no right of
 * that name); LOOP_ENOTSUP (no right to receive, or a port that the system does not let be watched; no Mach ports
 * here); LOOP_ENOMEM; LOOP_EBADF (after a failed loop_fork(), too).
 * Source: kqueue(2), EVFILT_MACHPORT; mach_msg().
 */
LOOP_EXTERN int loop_machport_start(loop_machport_t *machport, loop_machport_cb cb);

/* Stops: no callback comes after it, also when a message was found already. One that is not started stays so. */
LOOP_EXTERN int loop_machport_stop(loop_machport_t *machport);

/* ------------------------------------------------------------------------------------------------------------- TCP -- */

struct loop_tcp {
    loop_handle_t handle;
    uint64_t opaque[23 + LOOP_PRIVATE_DESC_WORDS];
};

typedef void (*loop_connection_cb)(loop_tcp_t *server, int status);
typedef void (*loop_alloc_cb)(loop_tcp_t *tcp, size_t suggested, loop_buf_t *buf);
typedef void (*loop_read_cb)(loop_tcp_t *tcp, ptrdiff_t nread, const loop_buf_t *buf);
typedef void (*loop_drain_cb)(loop_tcp_t *tcp);

/* A handle without a socket yet: bind, connect, open or accept gives it one. */
LOOP_EXTERN int loop_tcp_init(loop_t *loop, loop_tcp_t *tcp);

/* Takes over a socket: one that is connected (from accept, from another loop), bound or listening. It is made
 * non-blocking and close-on-exec, and closing the handle closes it. Errors: LOOP_EBUSY (the handle has a socket);
 * LOOP_ENOTSOCK; LOOP_EINVAL (not a stream socket); those of loop_desc_attach(). The socket is then still the caller's.
 * On kqueue a connection is registered with the next wait: if there is no memory for that, what it then does first ends
 * with LOOP_ENOMEM. */
LOOP_EXTERN int loop_tcp_open(loop_tcp_t *tcp, loop_os_fd_t fd);

#define LOOP_TCP_IPV6ONLY 1u /* an IPv6 socket does not serve IPv4 too (it does by default, where the system can) */
#define LOOP_TCP_REUSEPORT                                                                                             \
    2u /* several sockets share the port, the system spreads connections over them: Linux, FreeBSD, DragonFly */
#define LOOP_TCP_NO_REUSEADDR                                                                                          \
    4u /* without SO_REUSEADDR, which is set by default (not on Windows, where it means theft); there SO_EXCLUSIVEADDRUSE */

/* Binds to an address of family AF_INET or AF_INET6; port 0 lets the system choose. Errors: LOOP_EADDRINUSE,
 * LOOP_EADDRNOTAVAIL, LOOP_EACCES, LOOP_EAFNOSUPPORT, LOOP_EINVAL (bound already), LOOP_ENOTSUP (LOOP_TCP_REUSEPORT, on
 * other systems), LOOP_EMFILE, … Source: bind(2), tcp(7). */
LOOP_EXTERN int loop_tcp_bind(loop_tcp_t *tcp, const struct sockaddr *addr, unsigned flags);

/*
 * Listens on a bound socket. cb(server, 0) is called for each connection; in it (or later) loop_tcp_accept() takes the
 * connection, and until then no other is reported. cb(server, error) reports that accepting failed, with LOOP_EMFILE,
 * LOOP_ENFILE or LOOP_ENOMEM above all: it then pauses for 100 ms and goes on by itself; there is one report per pause.
 * A connection that was aborted before it was accepted is passed over.
 * Errors: LOOP_EINVAL (not bound, connected, or cb is NULL); LOOP_EADDRINUSE. Listening twice replaces the callback.
 * Source: listen(2), accept(2).
 */
LOOP_EXTERN int loop_tcp_listen(loop_tcp_t *tcp, int backlog, loop_connection_cb cb);

/* Gives the connection that was reported to client: an initialised handle of the same loop without a socket.
 * Errors: LOOP_EAGAIN (no connection waits); LOOP_EBUSY (client has a socket); LOOP_EINVAL (another loop); those of
 * loop_desc_attach(): the connection still waits then. */
LOOP_EXTERN int loop_tcp_accept(loop_tcp_t *server, loop_tcp_t *client);

/* Gives the connection that was reported as a descriptor, registered with no loop: for loop_tcp_open() on another one. It is
 * the caller's to close. Errors: LOOP_EAGAIN. */
LOOP_EXTERN int loop_tcp_accept_fd(loop_tcp_t *server, loop_os_fd_t *fd);

/* Connects. Writes may follow at once, they wait for the connection; reading starts in the callback or later.
 * Errors: LOOP_EISCONN (connected or connecting); LOOP_EINVAL (listening); LOOP_EBUSY (op in flight); LOOP_EAFNOSUPPORT;
 * LOOP_EMFILE, … The rest comes as the operation's status. Source: connect(2). */
LOOP_EXTERN int loop_tcp_connect(loop_tcp_t *tcp, loop_op_t *op, const struct sockaddr *addr, loop_op_cb cb);

/*
 * Starts reading: cb(tcp, nread, buf) for every piece of data, nread > 0; for the end of the stream with LOOP_EOF or an error
 * with its code, after either of which reading has stopped. buf->base holds nread bytes. With alloc NULL the buffer is the
 * loop's, 64 KiB shared by all handles and valid during the callback. Else alloc(tcp, suggested, buf) is called right before
 * a read to set *buf; every buffer it gave comes back through cb, with nread 0 if there was nothing to read after all, or if
 * alloc itself stopped reading or closed the handle. A buf of length 0: cb gets LOOP_ENOBUFS and reading stops.
 * Errors: LOOP_ENOTCONN; LOOP_EALREADY (reading); LOOP_ENOMEM.
 */
LOOP_EXTERN int loop_tcp_read_start(loop_tcp_t *tcp, loop_alloc_cb alloc, loop_read_cb cb);

/* Stops reading: no read callback comes until reading is started again, and no byte is lost. Not reading: does nothing. */
LOOP_EXTERN int loop_tcp_read_stop(loop_tcp_t *tcp);

/* Writes all of the buffers, whatever their number and length, in the order of the calls, as loop_op_write(). What fits into
 * the socket's buffer is sent in this call. Nothing but 0 bytes in all completes in its turn, too.
 * Errors: LOOP_EPIPE (after shutdown); LOOP_ENOTCONN; LOOP_EBUSY (op in flight); LOOP_ENOMEM (see operations).
 * Status: LOOP_ECONNRESET, LOOP_EPIPE, LOOP_ECANCELED (closed; or the connect before it failed) … */
LOOP_EXTERN int loop_tcp_write(loop_tcp_t *tcp, loop_op_t *op, const loop_buf_t *bufs, unsigned nbufs, loop_op_cb cb);

/* Sends what can be sent at once and returns the number of bytes, which may be less than asked for.
 * Errors: LOOP_EAGAIN (nothing can, or writes are queued); LOOP_ETIMEDOUT (the write deadline has passed); LOOP_EPIPE (after
 * shutdown); LOOP_ENOTCONN; the socket's. */
LOOP_EXTERN ptrdiff_t loop_tcp_try_write(loop_tcp_t *tcp, const loop_buf_t *bufs, unsigned nbufs);

/* Ends the sending side (FIN) when the writes before it are done; reading goes on. Errors: LOOP_EPIPE (shut down already);
 * LOOP_ENOTCONN; LOOP_EBUSY (op in flight). Source: shutdown(2). */
LOOP_EXTERN int loop_tcp_shutdown(loop_tcp_t *tcp, loop_op_t *op, loop_op_cb cb);

/* Like loop_handle_close(), but the peer gets a reset (RST) in place of an orderly end. Source: SO_LINGER in socket(7). */
LOOP_EXTERN int loop_tcp_close_reset(loop_tcp_t *tcp, loop_close_cb cb);

/* Bytes of writes that wait to be sent; 0 for NULL. */
LOOP_EXTERN size_t loop_tcp_write_queue_size(const loop_tcp_t *tcp);

/*
 * Back-pressure: once the write queue has grown above high bytes, cb is called when it has shrunk to low or less, and again
 * after the next time it grew above high. Writes are accepted at any size. cb NULL: none (the default).
 * Errors: LOOP_EINVAL (low > high).
 */
LOOP_EXTERN int loop_tcp_set_watermarks(loop_tcp_t *tcp, size_t low, size_t high, loop_drain_cb cb);

/* 1 or 0: data may be read (connected, not yet at the end), data may be written (connected, not shut down). */
LOOP_EXTERN int loop_tcp_is_readable(const loop_tcp_t *tcp);
LOOP_EXTERN int loop_tcp_is_writable(const loop_tcp_t *tcp);

/* TCP_NODELAY: small writes are not held back. Errors: LOOP_EBADF (no socket yet). Source: tcp(7). */
LOOP_EXTERN int loop_tcp_nodelay(loop_tcp_t *tcp, int enable);

/* Keep-alive probes: after idle seconds of silence, every interval seconds, given up after count. Each of the three at
 * least 1 (ignored when enable is 0). On OpenBSD the three are checked, and the system's own times hold. Errors:
 * LOOP_EBADF (no socket yet). Source: tcp(7), tcp(4). */
LOOP_EXTERN int loop_tcp_keepalive(loop_tcp_t *tcp, int enable, unsigned idle, unsigned interval, unsigned count);

/* The socket's own address, and its peer's. *len: room in bytes, then the length. Errors: LOOP_EBADF (no socket yet);
 * LOOP_ENOBUFS (too little room); LOOP_ENOTCONN. Source: getsockname(2), getpeername(2). */
LOOP_EXTERN int loop_tcp_getsockname(const loop_tcp_t *tcp, struct sockaddr *name, size_t *len);
LOOP_EXTERN int loop_tcp_getpeername(const loop_tcp_t *tcp, struct sockaddr *name, size_t *len);

/* The socket, for options that have no function here; LOOP_INVALID_FD if there is none. Who has asked may have duplicates of it:
 * on Linux it takes a system call more to close. */
LOOP_EXTERN loop_os_fd_t loop_tcp_fd(const loop_tcp_t *tcp);

/* ------------------------------------------------------------------------------------------------------- addresses -- */

/*
 * Turns the text of an IPv4 or IPv6 address into a socket address. "::1%eth0" and "fe80::1%2" carry a scope. port is in host
 * order, 0..65535. Errors: LOOP_EINVAL (not an address, or no such interface). Any thread. Source: inet_pton(3), RFC 4007.
 */
LOOP_EXTERN int loop_ip_addr(const char *ip, int port, struct sockaddr_storage *addr);

/* The text of an IPv4 or IPv6 address without its port, NUL-terminated. 62 bytes are enough for any. Errors: LOOP_EAFNOSUPPORT;
 * LOOP_ENOBUFS (size too small). Any thread. Source: inet_ntop(3). */
LOOP_EXTERN int loop_ip_name(const struct sockaddr *addr, char *text, size_t size);

/* The port of an IPv4 or IPv6 address in host order, or LOOP_EAFNOSUPPORT. Any thread. */
LOOP_EXTERN int loop_ip_port(const struct sockaddr *addr);

/* -------------------------------------------------------------------------------------------------- being embedded -- */

/*
 * A host loop (of a GUI, of another library) drives a loop that never waits by itself:
 *
 *   once                     watch loop_backend_fd() for reading, level-triggered
 *   before the host waits    limit its wait to loop_next_timeout()
 *   when either ends it      loop_run(loop, LOOP_RUN_NOWAIT)
 *
 * The descriptor, a real one of epoll(7) or kqueue(2), is readable from the moment when a turn would have something to
 * do: an event arrived, or a task was posted; and, once this function was called, a turn ended with work left, or a
 * call outside of a turn made work (an operation that completed at once, a handle that is closing, a started idle
 * handle). On kqueue it may be readable once more, with nothing to do. Timers do not make it readable. It stays the
 * library's: watch it, and neither read nor close nor change it.
 * Once this function was called, LOOP_RUN_NOWAIT also makes its turn when nothing keeps the loop alive, so that handles
 * without a reference are served as long as the host runs. loop_fork() makes another descriptor.
 * LOOP_INVALID_FD where there is none (Windows), after a failed loop_fork(), and for NULL. Source: epoll(7), kqueue(2).
 */
LOOP_EXTERN loop_os_fd_t loop_backend_fd(loop_t *loop);

/* ns until the next timer is due, by the clock and not by loop_now(); 0 if a turn has something to do at once: anything ready,
 * posted or closing, an idle handle. Negative if a host may wait for as long as it likes, and for NULL (LOOP_EINVAL). Ask
 * again after every call that may have started or stopped a timer. */
LOOP_EXTERN int64_t loop_next_timeout(loop_t *loop);

/*
 * Makes a loop usable in a child process after fork(2); without it the child may only leave the loop alone, because the
 * kernel's objects are the parent's too (Linux), or are not there (kqueue). To be called in the child before any other
 * function on this loop, its handles and operations, also from within a callback that forked. The parent notices
 * nothing.
 *
 * The inherited objects are closed, with the registrations in them left as they are; new ones are made and every attached
 * descriptor is registered with them. Handles, started timers, operations in flight, posted tasks and everything queued go on
 * in both processes, each with its own copy in memory, and are served from the child's copies of the descriptors. The files
 * behind those are shared: a byte is read by one of the two only, a TCP connection ends when both have closed it. So as a rule
 * each descriptor goes on in one process, and the other closes the handle, which disturbs nobody.
 *
 * A number stands for what it is in the child at the time of this call. If that cannot be watched, because its owner closed it,
 * the descriptor is lost to its handle: operations in flight on it complete with that error (LOOP_EBADF, LOOP_ENOTPOLLABLE),
 * reading and accepting report it, and closing the handle leaves the number alone. Close the handles of descriptors whose
 * numbers the child wants to use otherwise after this call and before it does so.
 * If a connect in flight fails, the system tells one of the two why; the other gets LOOP_ENOTCONN.
 * A call of loop_post() that another thread was in the middle of may or may not have posted; that thread is not in the child.
 * Work that was queued waits for threads of the child, work that was running completes with LOOP_ECANCELED there.
 * Mach ports are not inherited: their started handles stop, and their callbacks say so.
 *
 * Errors: LOOP_EMFILE, LOOP_ENFILE, LOOP_ENOMEM, LOOP_ENOSPC (the system's limit of watches). The loop then has no kernel
 * objects: running it answers LOOP_EBADF, as does what needs a new registration; handles can be closed, nothing of the parent's
 * can be hit, and loop_fork() may be called again, which restores everything. LOOP_ECLOSED (inside loop_close()); LOOP_ENOTSUP
 * (Windows). Callbacks: none. Source: fork(2), epoll(7), kqueue(2).
 */
LOOP_EXTERN int loop_fork(loop_t *loop);

/*
 * Named by loop_shutdown(): what is left, and why. A handle: handle, op is NULL. An operation that has not completed: op, and
 * handle is the one it was submitted on. Work: both NULL, named once for each. Posted tasks: both NULL, named once. what is the
 * type in words ("tcp", "read", "work", "task"). Both texts are static. The callback may look and must not change anything.
 */
typedef void (*loop_straggler_cb)(loop_handle_t *handle, loop_op_t *op, const char *what, const char *why, void *arg);

/*
 * Ends all that goes on in a loop: closes every handle, which cancels its operations, cancels work, and runs until every callback
 * has come and every task has run, or until timeout ns are over; at least one turn, UINT64_MAX: without an end. Handles that
 * callbacks open meanwhile are closed too. The handles get no close callback; to free their memory by one, close them by
 * loop_walk() first.
 * Returns 0 when nothing is left: loop_close() may follow. LOOP_ETIMEDOUT: time is over; what is left was named through cb
 * (NULL: it is not), and the call may be repeated. LOOP_EAGAIN: operations without a callback have finished; take them by
 * loop_wait() and repeat it. LOOP_EBUSY (inside a callback of this loop). Other errors of loop_run(), after naming. It may come
 * from another thread than the one that ran the loop, once that has done so for the last time.
 * Callbacks: those of operations, tasks, closing handles; then cb.
 */
LOOP_EXTERN int loop_shutdown(loop_t *loop, uint64_t timeout, loop_straggler_cb cb, void *arg);

/* --------------------------------------------------------------------------------------------------- being watched -- */

/* Figures of a loop, since it was made. docs/observing.md explains how to read them. */
typedef struct {            /* no tag: C++ would see the function hide it */
    size_t size;            /* sizeof(loop_metrics_t), set by the caller */
    uint64_t turns;         /* see loop_run() */
    uint64_t waits;         /* calls of the system's wait, also those that did not have to wait */
    uint64_t events;        /* reported by those: readiness of descriptors, and wake-ups */
    uint64_t ops_submitted; /* operations accepted; those in flight are the difference to the next */
    uint64_t ops_completed; /* operations whose callback was called */
    uint64_t timers;        /* callbacks of timer handles */
    uint64_t tasks;         /* tasks run, and callbacks of asyncs */
    uint64_t wakeups;       /* system calls that woke the loop, from other threads or for a host loop */
    /* Loops made with LOOP_METRICS_TIME only; else 0: */
    uint64_t idle_time;        /* ns spent in waits that had leave to wait */
    uint64_t longest_callback; /* ns of the longest callback since the last call of loop_metrics() */
} loop_metrics_t;

/* Fills in *out, whose size is set. Errors: LOOP_EINVAL (also: a size this library does not know). */
LOOP_EXTERN int loop_metrics(loop_t *loop, loop_metrics_t *out);

/* line: text of one line, without its end; valid during the call. */
typedef void (*loop_dump_cb)(const char *line, void *arg);

/*
 * Describes the loop in lines of text: one for the loop, then for each handle one and one for each of its parked operations,
 * then one for each finished operation whose callback has not been called, then one for each started timer, then one for each
 * piece of work that was accepted and has not come back. A line is a word, the type (of work its lane), the address, and KEY=VALUE pairs with one space between; docs/observing.md has the list. Keys keep their names,
 * meaning and order; new ones are added at the end. Allocates nothing. Callbacks: print, which must not change anything.
 */
LOOP_EXTERN int loop_dump(loop_t *loop, loop_dump_cb print, void *arg);
/* ----------------------------------------------------------------------------------------------------------- names -- */

/* The system's own; include <netdb.h>, or <ws2tcpip.h>, to take it apart, and for the flags below. */
struct addrinfo;

/* Requests. Zero one (`= {0}` or memset) before its first use. `work.data` is the caller's, and loop_work_cancel(&r->work)
 * cancels. */
struct loop_getaddrinfo_request {
    loop_work_t work;
    uint64_t opaque[10];
};

struct loop_getnameinfo_request {
    loop_work_t work;
    uint64_t opaque[10];
};

typedef void (*loop_getaddrinfo_cb)(loop_getaddrinfo_t *request, int status, struct addrinfo *list);
typedef void (*loop_getnameinfo_cb)(loop_getnameinfo_t *request, int status, const char *host, const char *service);

/*
 * Finds the addresses of a host and the port of a service, one of which may be NULL, with the system's resolver on
 * LOOP_LANE_NAMES. node, service and hints (which may be NULL; its flags, family, socket type and protocol count) are copied.
 * cb(request, 0, list) gets a list that it frees with loop_freeaddrinfo(), then or later; cb(request, error, NULL) tells why
 * there is none: LOOP_EAI_* or the system's error, LOOP_ECANCELED if it was cancelled. A request that has begun goes on until
 * the resolver gives up; loop_close() answers LOOP_EBUSY until then.
 * Names go to the resolver byte by byte: international ones have to be in ASCII form ("xn--…"), unless the system turns them
 * into it (AI_IDN of glibc).
 * Errors: LOOP_EINVAL (also: no cb, neither node nor service, node over 1024 bytes, service over 31); those of loop_work().
 * Source: getaddrinfo(3).
 */
LOOP_EXTERN int loop_getaddrinfo(loop_t *loop, loop_getaddrinfo_t *request, const char *node, const char *service,
                                 const struct addrinfo *hints, loop_getaddrinfo_cb cb);

/* Frees a list that a callback got; NULL: does nothing. Any thread. Source: freeaddrinfo(3). */
LOOP_EXTERN void loop_freeaddrinfo(struct addrinfo *list);

/*
 * Finds the names of an IPv4 or IPv6 address (copied) and of its port, as loop_getaddrinfo() does. flags: NI_*, 0 for none.
 * cb(request, 0, host, service) gets two texts that live until it returns; cb(request, error, NULL, NULL) tells why not.
 * Errors: LOOP_EAFNOSUPPORT; LOOP_EINVAL (also: no cb); those of loop_work(). Source: getnameinfo(3).
 */
LOOP_EXTERN int loop_getnameinfo(loop_t *loop, loop_getnameinfo_t *request, const struct sockaddr *addr, int flags,
                                 loop_getnameinfo_cb cb);

#ifdef __cplusplus
}
#endif

#endif /* LOOP_H */
