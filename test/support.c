#include "support.h"

#include "invariants.h"

#include <arpa/inet.h>
#include <unistd.h>

#define MANY_TURNS 1000000

loop_t *support_loop(void)
{
    loop_t *loop = NULL;

    assert_ok(loop_init(&loop, NULL));
    return loop;
}

void support_check(loop_t *loop)
{
#ifdef NDEBUG
    (void)loop;
#else
    invariants_check(loop);
#endif
}

static void close_handle(loop_handle_t *handle, void *arg)
{
    (void)arg;
    (void)loop_handle_close(handle, NULL);
}

void support_close_all(loop_t *loop)
{
    int error;

    support_check(loop);
    assert_ok(loop_walk(loop, close_handle, NULL));
    support_check(loop);
    while ((error = loop_run(loop, LOOP_RUN_DEFAULT)) == LOOP_EAGAIN) {
        loop_op_t *op; /* one without a callback */

        assert_int_equal(loop_wait(loop, &op, 1, 0), 1);
    }
    assert_ok(error);
}

void support_finish(loop_t *loop)
{
    support_close_all(loop);
    support_check(loop);
    assert_ok(loop_close(loop));
}

void support_until(loop_t *loop, const int *flag)
{
    for (long i = 0; *flag == 0; i++) {
        assert_true(i < MANY_TURNS);
        assert_true(loop_run(loop, LOOP_RUN_ONCE) >= 0);
        support_check(loop);
    }
}

static bool can_bind(const struct sockaddr_storage *addr)
{
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    bool bound = bind(fd, (const struct sockaddr *)addr, sizeof(struct sockaddr_in)) == 0;

    (void)close(fd);
    return bound;
}

/*
 * An address for each process, where the system has the whole of 127.0.0.0/8: every closed connection occupies its port for
 * a minute, and a suite that runs again and again would run out of ports on one address.
 */
struct sockaddr_storage support_loopback(void)
{
    unsigned long number = harness_process();
    struct sockaddr_storage addr;
    char text[32];

    (void)snprintf(text, sizeof(text), "127.%lu.%lu.%lu", 1 + number / 62500 % 250, 1 + number / 250 % 250,
                   1 + number % 250);
    assert_ok(loop_ip_addr(text, 0, &addr));
    if (!can_bind(&addr))
        assert_ok(loop_ip_addr("127.0.0.1", 0, &addr));
    return addr;
}

struct sockaddr_storage support_loopback_port(int port)
{
    struct sockaddr_storage addr = support_loopback();

    ((struct sockaddr_in *)&addr)->sin_port = htons((uint16_t)port);
    return addr;
}

struct sockaddr_storage support_listen(loop_t *loop, loop_tcp_t *server, loop_connection_cb cb)
{
    struct sockaddr_storage addr = support_loopback();
    size_t length = sizeof(addr);

    assert_ok(loop_tcp_init(loop, server));
    assert_ok(loop_tcp_bind(server, (struct sockaddr *)&addr, 0));
    assert_ok(loop_tcp_listen(server, 128, cb));
    assert_ok(loop_tcp_getsockname(server, (struct sockaddr *)&addr, &length));
    return addr;
}

void support_socket_pair(int fds[2])
{
    struct sockaddr_storage addr = support_loopback();
    socklen_t length = sizeof(struct sockaddr_in);
    int listener = support_socket(0);

    assert_true(listener >= 0);
    assert_ok(bind(listener, (struct sockaddr *)&addr, length));
    assert_ok(listen(listener, 1));
    assert_ok(getsockname(listener, (struct sockaddr *)&addr, &length));
    fds[0] = support_socket(0);
    assert_true(fds[0] >= 0);
    assert_ok(connect(fds[0], (struct sockaddr *)&addr, length));
    fds[1] = accept(listener, NULL, NULL);
    assert_true(fds[1] >= 0);
    assert_ok(close(listener));
}

int support_tcp_and_socket(loop_t *loop, loop_tcp_t *tcp)
{
    int fds[2];

    support_socket_pair(fds);
    assert_ok(loop_tcp_init(loop, tcp));
    assert_ok(loop_tcp_open(tcp, fds[0]));
    return fds[1];
}

void support_tcp_pair(loop_t *loop, loop_tcp_t *one, loop_tcp_t *other)
{
    int fd = support_tcp_and_socket(loop, one);

    assert_ok(loop_tcp_init(loop, other));
    assert_ok(loop_tcp_open(other, fd));
}

uint64_t support_seed(void)
{
    const char *given = getenv("LOOP_TEST_SEED");
    uint64_t seed = given != NULL ? strtoull(given, NULL, 10) : 20261123;

    print_message("seed %llu\n", (unsigned long long)seed);
    return seed * 2 + 1;
}

/* splitmix64, in the form of its definition: Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014. */
uint32_t support_random(uint64_t *state, uint32_t below)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return (uint32_t)((z ^ (z >> 31)) >> 33) % below;
}

static void *counted_resize(void *context, void *ptr, size_t size)
{
    struct support_allocator *counts = context;
    void *result;

    if (size == 0) {
        if (ptr != NULL)
            counts->live--;
        free(ptr);
        return NULL;
    }
    if (++counts->calls == counts->fail_at)
        return NULL;
    result = realloc(ptr, size);
    assert_non_null(result);
    if (ptr == NULL)
        counts->live++;
    return result;
}

loop_allocator_t support_allocator(struct support_allocator *counts)
{
    loop_allocator_t allocator = {counted_resize, counts};

    return allocator;
}
