#include "stage.h"

#include "invariants.h"
#include "support_posix.h"

#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

/* -------------------------------------------------------------------------------------------------------------- input -- */

static const uint8_t *input;
static size_t left;

void give(const uint8_t *data, size_t size)
{
    input = data;
    left = size;
}

bool all_taken(void)
{
    return left == 0;
}

uint8_t take(void)
{
    if (left == 0)
        return 0;
    left--;
    return *input++;
}

uint64_t take_number(void)
{
    static const uint64_t edges[] = {
        0,        1,         2,     3,       4,        7,           8,        15,        16,         17,
        62,       63,        64,    65,      127,      128,         129,      255,       256,        32767,
        32768,    65535,     65536, INT_MAX, UINT_MAX, PTRDIFF_MAX, SIZE_MAX, INT64_MAX, UINT64_MAX, UINT64_MAX - 1,
        1u << 31, 1000000000};
    uint8_t which = take();

    return which < sizeof(edges) / sizeof(edges[0]) ? edges[which] : (uint64_t)which << take() % 64;
}

bool take_bool(void)
{
    return (take() & 1) != 0;
}

/* ---------------------------------------------------------------------------------------------------------- the stage -- */

loop_t *loop;
union handle handles[SLOTS];
bool open_handles[SLOTS];
int fds[SLOTS]; /* to be closed by us after the handle, -1 if there is none */
loop_op_t op;
bool in_flight;
static long blocks;
long fail_in; /* allocations until one fails, 0: none does */

static void *resize(void *context, void *ptr, size_t size)
{
    REQUIRE(context == &blocks);
    if (size == 0) {
        blocks -= ptr != NULL;
        free(ptr);
        return NULL;
    }
    if (fail_in > 0 && --fail_in == 0)
        return NULL;
    blocks += ptr == NULL;
    return realloc(ptr, size);
}

loop_allocator_t counted_allocator(void)
{
    loop_allocator_t allocator = {resize, &blocks};

    return allocator;
}

void on_closed(loop_handle_t *handle)
{
    int slot = (int)((union handle *)handle - handles);

    REQUIRE(open_handles[slot]);
    open_handles[slot] = false;
    if (fds[slot] >= 0)
        REQUIRE(close(fds[slot]) == 0);
    fds[slot] = -1;
}

void on_op(loop_op_t *o)
{
    REQUIRE(in_flight && o == &op);
    in_flight = false;
}

void on_async(loop_async_t *async)
{
    (void)async;
}

bool usable(enum slot slot)
{
    return open_handles[slot] && !loop_handle_is_closing(&handles[slot].handle);
}

void require_result(enum slot slot, const union handle *before, int rc, int expected)
{
    if (!usable(slot))
        expected = LOOP_EBADF;
    if (rc != expected)
        fprintf(stderr, "%s instead of %s\n", loop_err_name(rc), loop_err_name(expected));
    REQUIRE(rc == expected);
    if (rc < 0)
        REQUIRE(same_bytes(before, &handles[slot], sizeof(*before)));
}

void require_submitted(int rc, bool arguments_right, bool busy)
{
    if (!usable(DESC)) {
        REQUIRE(rc == LOOP_EBADF);
    } else if (busy) {
        REQUIRE(rc == LOOP_EBUSY || (rc == LOOP_EINVAL && !arguments_right));
    } else if (!arguments_right) {
        REQUIRE(rc == LOOP_EINVAL);
    } else {
        REQUIRE(rc == 0 || rc == LOOP_ENOMEM);
    }
    if (!busy)
        in_flight = rc == 0;
}

void begin(void)
{
    const loop_allocator_t allocator = counted_allocator();
    loop_options_t options = LOOP_OPTIONS_INIT;

    options.allocator = &allocator;
    blocks = 0;
    fail_in = 0;
    REQUIRE(loop_init(&loop, &options) == 0);
    memset(handles, 0, sizeof(handles));
    memset(open_handles, 0, sizeof(open_handles));
    memset(&op, 0, sizeof(op));
    in_flight = false;
    for (int i = 0; i < SLOTS; i++)
        fds[i] = -1;
    REQUIRE(loop_timer_init(loop, &handles[TIMER].timer) == 0);
    REQUIRE(loop_prepare_init(loop, &handles[PREPARE].prepare) == 0);
    REQUIRE(loop_async_init(loop, &handles[ASYNC].async, on_async) == 0);
    REQUIRE(loop_signal_init(loop, &handles[SIGNAL].signal) == 0);
    REQUIRE(loop_tcp_init(loop, &handles[TCP].tcp) == 0);
    REQUIRE(loop_tcp_init(loop, &handles[OTHER_TCP].tcp) == 0);
    open_handles[TIMER] = open_handles[PREPARE] = open_handles[ASYNC] = open_handles[SIGNAL] = true;
    open_handles[TCP] = open_handles[OTHER_TCP] = true;
}

void end(void)
{
    for (int i = 0; i < SLOTS; i++) {
        if (usable((enum slot)i))
            REQUIRE(loop_handle_close(&handles[i].handle, on_closed) == 0);
    }
    invariants_check(loop);
    REQUIRE(loop_run(loop, LOOP_RUN_DEFAULT) == 0);
    invariants_check(loop);
    for (int i = 0; i < SLOTS; i++)
        REQUIRE(!open_handles[i]);
    REQUIRE(!in_flight);
    REQUIRE(loop_close(loop) == 0);
    REQUIRE(blocks == 0);
}

/* ---------------------------------------------------------------------------------------------------------- arguments -- */

int make_fd(enum kind kind)
{
    int pair[2] = {-1, -1};

    switch (kind) {
    case CLOSED:
        return 1000;
    case PIPE:
        REQUIRE(pipe(pair) == 0);
        break;
    case UNIX:
        REQUIRE(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
        break;
    case TCP_SOCKET:
        return take_bool() ? support_nonblocking_socket() : socket(AF_INET, SOCK_STREAM, 0);
    case UDP_SOCKET:
        return socket(AF_INET6, SOCK_DGRAM, 0);
    case REGULAR:
        return open("/bin/sh", O_RDONLY);
    case EVENTFD:
        pair[0] = support_eventfd();
        return pair[0] >= 0 ? pair[0] : make_fd(PIPE);
    default:
        return -1;
    }
    REQUIRE(close(pair[1]) == 0);
    return pair[0];
}

void require_flags(int fd, int before, int rc, bool promised, bool inherit)
{
    int flags = fcntl(fd, F_GETFL);

    REQUIRE(flags >= 0);
    if (rc != 0 || promised) {
        REQUIRE(flags == before);
    } else {
        REQUIRE(flags == (before | O_NONBLOCK));
        REQUIRE(inherit || (fcntl(fd, F_GETFD) & FD_CLOEXEC));
    }
}

struct sockaddr_storage take_address(void)
{
    static const char *const texts[] = {"127.0.0.1", "0.0.0.0", "::1", "::", "::ffff:127.0.0.1"};
    struct sockaddr_storage addr;
    uint8_t which = take();

    memset(&addr, 0, sizeof(addr));
    if (which < sizeof(texts) / sizeof(texts[0]))
        REQUIRE(loop_ip_addr(texts[which], 0, &addr) == 0);
    else
        addr.ss_family = (sa_family_t)(which % 4 == 0 ? take_number() : AF_UNIX);
    if (addr.ss_family == AF_INET || addr.ss_family == AF_INET6)
        ((struct sockaddr_in *)&addr)->sin_port = 0;
    return addr;
}
