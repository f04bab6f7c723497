#include "support.h"

#include "invariants.h"

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
    struct sockaddr_storage copy = *addr;
    loop_os_fd_t fd = support_datagram_socket();
    bool bound = support_bind(fd, &copy) == 0;

    support_close(fd);
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

void support_socket_pair(loop_os_fd_t fds[2])
{
    struct sockaddr_storage addr = support_loopback();
    loop_os_fd_t listener = support_socket(0);

    assert_true(listener != LOOP_INVALID_FD);
    assert_ok(support_listen_at(listener, &addr, 1));
    fds[0] = support_socket(0);
    assert_true(fds[0] != LOOP_INVALID_FD);
    assert_ok(support_connect(fds[0], &addr));
    fds[1] = support_accept(listener);
    assert_true(fds[1] != LOOP_INVALID_FD);
    support_close(listener);
}

loop_os_fd_t support_tcp_and_socket(loop_t *loop, loop_tcp_t *tcp)
{
    loop_os_fd_t fds[2];

    support_socket_pair(fds);
    assert_ok(loop_tcp_init(loop, tcp));
    assert_ok(loop_tcp_open(tcp, fds[0]));
    return fds[1];
}

void support_bound_buffers(loop_os_fd_t from, loop_os_fd_t to)
{
    assert_ok(support_set_option(from, SOL_SOCKET, SO_SNDBUF, 65536));
    assert_ok(support_set_option(to, SOL_SOCKET, SO_RCVBUF, 65536));
}

void support_tcp_pair(loop_t *loop, loop_tcp_t *one, loop_tcp_t *other)
{
    loop_os_fd_t fd = support_tcp_and_socket(loop, one);

    assert_ok(loop_tcp_init(loop, other));
    assert_ok(loop_tcp_open(other, fd));
}

void support_semaphore_init(struct support_semaphore *semaphore)
{
    semaphore->count = 0;
    assert_ok(pthread_mutex_init(&semaphore->lock, NULL));
    assert_ok(pthread_cond_init(&semaphore->changed, NULL));
}

void support_semaphore_post(struct support_semaphore *semaphore)
{
    (void)pthread_mutex_lock(&semaphore->lock);
    semaphore->count++;
    (void)pthread_cond_signal(&semaphore->changed); /* with the lock: whoever waited may destroy it right away */
    (void)pthread_mutex_unlock(&semaphore->lock);
}

void support_semaphore_wait(struct support_semaphore *semaphore)
{
    (void)pthread_mutex_lock(&semaphore->lock);
    while (semaphore->count == 0)
        (void)pthread_cond_wait(&semaphore->changed, &semaphore->lock);
    semaphore->count--;
    (void)pthread_mutex_unlock(&semaphore->lock);
}

void support_semaphore_destroy(struct support_semaphore *semaphore)
{
    assert_ok(pthread_cond_destroy(&semaphore->changed));
    assert_ok(pthread_mutex_destroy(&semaphore->lock));
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
