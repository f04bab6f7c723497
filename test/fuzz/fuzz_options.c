/*
 * Every number, flag, size and mode that callers pass: a sequence of calls made of the input, each with arguments that are
 * sometimes right. The result must be the one that loop.h says; a call that fails must leave its handle as it was; and after each
 * the loop's internals must agree.
 */
#include "stage.h"

#include "invariants.h"

#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

/* -------------------------------------------------------------------------------------------- timers, signals, phases -- */

static void on_timer(loop_timer_t *timer)
{
    (void)timer;
}

static void on_prepare(loop_prepare_t *prepare)
{
    (void)prepare;
}

static void on_signal(loop_signal_t *signal, int signum)
{
    (void)signal;
    (void)signum;
}

static void try_timer(void)
{
    uint64_t timeout = take_number();
    uint64_t repeat = take_number() & ~UINT64_C(0xfff); /* not so often that a turn has no end */
    loop_timer_cb cb = take() % 16 != 0 ? on_timer : NULL;
    union handle before = handles[TIMER];
    int rc = loop_timer_start(&handles[TIMER].timer, cb, timeout, repeat);

    if (rc == LOOP_ENOMEM) {
        require_result(TIMER, &before, rc, LOOP_ENOMEM);
        return;
    }
    require_result(TIMER, &before, rc, cb == NULL ? LOOP_EINVAL : 0);
    if (rc == 0) {
        uint64_t now = loop_now(loop);
        uint64_t most = timeout > UINT64_MAX - now ? UINT64_MAX - now : timeout;

        REQUIRE(loop_timer_get_due_in(&handles[TIMER].timer) == most);
        REQUIRE(loop_timer_get_repeat(&handles[TIMER].timer) == repeat);
    }
}

static void try_timer_again(void)
{
    union handle before = handles[TIMER];
    uint64_t repeat = take_number() & ~UINT64_C(0xfff);
    int rc;

    if (take_bool())
        require_result(TIMER, &before, loop_timer_stop(&handles[TIMER].timer), 0);
    before = handles[TIMER];
    require_result(TIMER, &before, loop_timer_set_repeat(&handles[TIMER].timer, repeat), 0);
    before = handles[TIMER];
    rc = loop_timer_again(&handles[TIMER].timer);
    require_result(TIMER, &before, rc,
                   rc == 0 || rc == LOOP_ENOMEM || (rc == LOOP_EINVAL && repeat == 0) ? rc : LOOP_EINVAL);
}

static bool is_watchable(int signum)
{
    switch (signum) {
    case SIGKILL:
    case SIGSTOP:
    case SIGSEGV:
    case SIGBUS:
    case SIGFPE:
    case SIGILL:
    case 32: /* the C library's own */
    case 33:
        return false;
    default:
        return signum >= 1 && signum <= 64;
    }
}

static int watched; /* by the handle that was started last */

static void try_signal(void)
{
    int signum = take_bool() ? SIGURG : (int)take_number();
    loop_signal_cb cb = take() % 16 != 0 ? on_signal : NULL;
    union handle before = handles[SIGNAL];
    int rc = take_bool() ? loop_signal_start(&handles[SIGNAL].signal, cb, signum)
                         : loop_signal_start_oneshot(&handles[SIGNAL].signal, cb, signum);

    require_result(SIGNAL, &before, rc, cb != NULL && is_watchable(signum) ? 0 : LOOP_EINVAL);
    if (rc == 0)
        watched = signum;
}

static void try_phase(void)
{
    loop_prepare_cb cb = take() % 4 != 0 ? on_prepare : NULL;
    union handle before = handles[PREPARE];

    require_result(PREPARE, &before, loop_prepare_start(&handles[PREPARE].prepare, cb), cb == NULL ? LOOP_EINVAL : 0);
    before = handles[PREPARE];
    if (take_bool())
        require_result(PREPARE, &before, loop_prepare_stop(&handles[PREPARE].prepare), 0);
}

/* ----------------------------------------------------------------------------------------------------------- the loop -- */

static void try_init(void)
{
    const unsigned known = LOOP_HANDOVER | LOOP_METRICS_TIME;
    loop_allocator_t allocator = counted_allocator();
    loop_options_t options = LOOP_OPTIONS_INIT;
    loop_t *another = loop;
    int rc;

    if (take() % 4 == 0)
        allocator.resize = NULL;
    if (take() % 4 == 0)
        options.size = (size_t)take_number();
    options.flags = take_bool() ? take() % 2 * LOOP_HANDOVER + take() % 2 * LOOP_METRICS_TIME : (unsigned)take_number();
    options.allocator = take_bool() ? &allocator : NULL;
    options.data = &options;
    rc = loop_init(&another, &options);
    if (options.size != sizeof(options) || (options.flags & ~known) ||
        (options.allocator != NULL && allocator.resize == NULL)) {
        REQUIRE(rc == LOOP_EINVAL && another == NULL);
        return;
    }
    REQUIRE((rc == 0) == (another != NULL));
    if (rc == 0) {
        REQUIRE(loop_get_data(another) == &options);
        REQUIRE(loop_close(another) == 0);
    } else {
        REQUIRE(rc == LOOP_ENOMEM);
    }
}

static void try_run(void)
{
    unsigned mode = (unsigned)take_number();
    loop_op_t *got[2];
    int n = (int)(take() % 4) - 1;
    int rc;

    if (mode == LOOP_RUN_DEFAULT || mode == LOOP_RUN_ONCE)
        mode = LOOP_RUN_NOWAIT; /* the others might wait */
    rc = loop_run(loop, (loop_run_mode)mode);
    REQUIRE(mode == LOOP_RUN_NOWAIT ? rc == 0 || rc == 1 : rc == LOOP_EINVAL);
    REQUIRE(loop_wait(loop, got, n < 2 ? n : 2, 0) == (n < 1 ? LOOP_EINVAL : 0));
}

static void note_line(const char *line, void *arg)
{
    REQUIRE(strlen(line) > 0 && strchr(line, '\n') == NULL);
    ++*(int *)arg;
}

static void try_watching(void)
{
    loop_metrics_t metrics = {.size = take_bool() ? sizeof(metrics) : (size_t)take_number()};
    bool right = metrics.size == sizeof(metrics);
    int lines = 0;

    REQUIRE(loop_metrics(loop, &metrics) == (right ? 0 : LOOP_EINVAL));
    REQUIRE(loop_dump(loop, note_line, &lines) == 0);
    REQUIRE(lines >= 1);
    REQUIRE(loop_next_timeout(loop) >= -1);
}

static void try_names(void)
{
    int number = (int)take_number();

    if (take_bool() && number != INT_MIN)
        number = -number;

    REQUIRE(strlen(loop_strerror(number)) > 0);
    REQUIRE(strlen(loop_err_name(number)) > 0);
    REQUIRE(strlen(loop_handle_type_name((loop_handle_type)((unsigned)number & 0xff))) > 0);
    REQUIRE(loop_translate_sys_error(number) <= 0);
    REQUIRE(number > 0 || loop_translate_sys_error(number) == number);
}

static void try_close(void)
{
    enum slot slot = (enum slot)(take() % SLOTS);
    bool was_usable = usable(slot);

    REQUIRE(loop_handle_close(&handles[slot].handle, on_closed) == (was_usable ? 0 : LOOP_EBADF));
    REQUIRE(loop_handle_is_closing(&handles[slot].handle) || !was_usable);
}

static void try_ref(void)
{
    enum slot slot = (enum slot)(take() % SLOTS);
    bool ref = take_bool();
    int rc = ref ? loop_handle_ref(&handles[slot].handle) : loop_handle_unref(&handles[slot].handle);

    REQUIRE(rc == (open_handles[slot] ? 0 : LOOP_EBADF));
    if (rc == 0)
        REQUIRE(loop_handle_has_ref(&handles[slot].handle) == ref);
}

/* Those that need no descriptor are opened again. */
static void try_reopen(void)
{
    enum slot slot = (enum slot)(take() % SLOTS);
    union handle *handle = &handles[slot];
    int rc = 0;

    if (open_handles[slot] || slot == DESC || slot == POLL)
        return;
    switch (slot) {
    case TIMER:
        rc = loop_timer_init(loop, &handle->timer);
        break;
    case PREPARE:
        rc = loop_prepare_init(loop, &handle->prepare);
        break;
    case ASYNC:
        rc = loop_async_init(loop, &handle->async, on_async);
        break;
    case SIGNAL:
        rc = loop_signal_init(loop, &handle->signal);
        break;
    default:
        rc = loop_tcp_init(loop, &handle->tcp);
        break;
    }
    REQUIRE(rc == 0);
    open_handles[slot] = true;
}

static void try_send(void)
{
    REQUIRE(loop_async_send(&handles[ASYNC].async) == (usable(ASYNC) ? 0 : LOOP_EBADF));
}

/* Where there was no fork it changes nothing. */
static void try_fork(void)
{
    REQUIRE(loop_fork(loop) == 0);
}

static loop_task_t task;
static bool task_queued;

static void on_task(loop_task_t *t, int status)
{
    REQUIRE(t == &task && task_queued && (status == 0 || status == LOOP_ECANCELED));
    task_queued = false;
}

static void try_post(void)
{
    REQUIRE(loop_post(loop, &task, on_task) == (task_queued ? LOOP_EBUSY : 0));
    task_queued = true;
}

static void try_raise(void)
{
    if (loop_handle_is_active(&handles[SIGNAL].handle) && watched == SIGURG)
        REQUIRE(raise(SIGURG) == 0);
}

static void try_no_memory(void)
{
    fail_in = 1 + take() % 4;
}

static void (*const actions[])(void) = {
    try_attach,      try_poll_init, try_poll_start, try_open,     try_bind,      try_listen,
    try_keepalive,   try_nodelay,   try_watermarks, try_name,     try_connect,   try_transfer,
    try_ready,       try_send_to,   try_cancel,     try_deadline, try_timer,     try_timer_again,
    try_signal,      try_phase,     try_init,       try_run,      try_watching,  try_names,
    try_close,       try_ref,       try_reopen,     try_send,     try_no_memory, try_detach,
    try_unconnected, try_fork,      try_post,       try_raise,    try_pool,      try_requests};

#define NUMBERS 32

/* Which numbers of descriptors are in use, from the first on that was free. */
static uint32_t open_numbers(int first)
{
    uint32_t map = 0;

    for (int i = 0; i < NUMBERS; i++) {
        if (fcntl(first + i, F_GETFD) != -1)
            map |= UINT32_C(1) << i;
    }
    return map;
}

static int free_number(void)
{
    int fd = dup(STDERR_FILENO);

    REQUIRE(fd >= 0 && close(fd) == 0);
    return fd;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int number = free_number();
    uint32_t numbers = open_numbers(number);

    give(data, size);
    begin();
    for (int i = 0; i < 64 && !all_taken(); i++) {
        actions[take() % (sizeof(actions) / sizeof(actions[0]))]();
        invariants_check(loop);
    }
    end();
    REQUIRE(!task_queued);
    REQUIRE(open_numbers(number) == numbers);
    return 0;
}
