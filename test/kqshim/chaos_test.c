/* What the kqueue emulation offers to tests, and its own machinery: kqshim.h, SO_NOSIGPIPE, descriptors of its own. */
#include "kqshim.h"
#include "selftest.h"

#include <sys/uio.h>

static int pair[2];

static void open_pipe(void)
{
    open_kq();
    assert_int_equal(pipe(pair), 0);
}

static void close_both(void)
{
    assert_int_equal(kqshim_chaos(NULL, 1), 0);
    assert_int_equal(close(pair[0]), 0);
    assert_int_equal(close(pair[1]), 0);
    close_kq();
}

static void chaos(const char *list)
{
    assert_int_equal(kqshim_chaos(list, 1), 0);
}

static void unknown_words_are_refused(void **state)
{
    (void)state;
    assert_int_equal(kqshim_chaos("spurious,nonsense", 1), -1);
    assert_int_equal(kqshim_chaos("all", 1), 0);
    assert_int_equal(kqshim_chaos("", 1), 0);
}

static void spurious_events_are_of_registered_descriptors(void **state)
{
    int found = 0;

    (void)state;
    open_pipe();
    assert_int_equal(change(pair[0], EVFILT_READ, EV_ADD), 0);
    chaos("spurious");
    for (int i = 0; i < 1000; i++) {
        if (collect(16, 0) == 0)
            continue;
        assert_int_equal(events[0].ident, pair[0]);
        found++;
    }
    assert_true(found > 10);
    assert_true(found < 900);
    assert_int_equal(change(pair[0], EVFILT_READ, EV_DELETE), 0);
    for (int i = 0; i < 100; i++)
        assert_none();
    close_both();
}

static void swapped_events_come_in_both_orders(void **state)
{
    int read_first = 0;

    (void)state;
    open_kq();
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    assert_int_equal(change(pair[0], EVFILT_READ, EV_ADD), 0);
    assert_int_equal(change(pair[0], EVFILT_WRITE, EV_ADD), 0);
    put(pair[1], "abc");
    chaos("swap");
    for (int i = 0; i < 100; i++) {
        assert_int_equal(collect(16, 0), 2);
        read_first += events[0].filter == (filter_t)EVFILT_READ;
    }
    assert_true(read_first > 0);
    assert_true(read_first < 100);
    close_both();
}

static void short_arrays_lose_nothing(void **state)
{
    int twins[8];
    int seen[8] = {0};
    int rounds = 0;
    int missing = 8;

    (void)state;
    open_pipe();
    put(pair[1], "abc");
    chaos("short");
    for (int i = 0; i < 8; i++) {
        twins[i] = dup(pair[0]);
        assert_int_equal(change_all(twins[i], EVFILT_READ, EV_ADD | EV_CLEAR, 0, 0, i), 0);
    }
    while (missing > 0) {
        int n = collect(16, 0);

        assert_true(n >= 1 && n <= 3);
        for (int i = 0; i < n; i++) {
            assert_int_equal(seen[(intptr_t)events[i].udata]++, 0);
            missing--;
        }
        rounds++;
    }
    assert_true(rounds >= 3);
    for (int i = 0; i < 8; i++)
        assert_int_equal(close(twins[i]), 0);
    close_both();
}

static void every_fifth_wait_is_interrupted(void **state)
{
    int interrupted = 0;

    (void)state;
    open_kq();
    chaos("eintr");
    for (int i = 0; i < 10; i++) {
        int n = collect(16, 1);

        assert_true(n == 0 || errno == EINTR);
        interrupted += n < 0;
    }
    assert_int_equal(interrupted, 2);
    chaos(NULL);
    close_kq();
}

static void late_timeouts_are_not_early(void **state)
{
    long long late = 0;

    (void)state;
    open_kq();
    chaos("late");
    for (int i = 0; i < 5; i++) {
        long long begin = clock_ms();

        assert_int_equal(collect(16, 3), 0);
        assert_true(clock_ms() - begin >= 2);
        late += clock_ms() - begin - 3;
    }
    assert_true(late > 3);
    chaos(NULL);
    close_kq();
}

static void dead_pipes_give_any_of_three_errors(void **state)
{
    (void)state;
    open_pipe();
    chaos("deadpipe");
    assert_int_equal(change(pair[1], EVFILT_WRITE, EV_ADD), 0);
    assert_int_equal(change(pair[1], EVFILT_WRITE, EV_DELETE), 0);
    assert_int_equal(close(pair[0]), 0);
    for (int i = 0; i < 20; i++) {
        int error = change(pair[1], EVFILT_WRITE, EV_ADD);

        assert_true(error == EPIPE || error == EBADF || error == EPERM);
    }
    chaos(NULL);
    assert_int_equal(close(pair[1]), 0);
    close_kq();
}

#if defined(EVFILT_USER)
static void user_events_can_be_missing(void **state)
{
    (void)state;
    open_kq();
    chaos("nouser");
    assert_int_equal(change(1, EVFILT_USER, EV_ADD | EV_CLEAR), EINVAL);
    chaos(NULL);
    assert_int_equal(change(1, EVFILT_USER, EV_ADD | EV_CLEAR), 0);
    close_kq();
}
#define USER_TESTS TEST(user_events_can_be_missing),
#else
#define USER_TESTS
#endif

static void a_refused_descriptor_cannot_be_added(void **state)
{
    (void)state;
    open_pipe();
    assert_int_equal(kqshim_refuse(-1, EINVAL), -1);
    assert_int_equal(kqshim_refuse(pair[0], EINVAL), 0);
    assert_int_equal(change(pair[0], EVFILT_READ, EV_ADD), EINVAL);
    assert_int_equal(change(pair[1], EVFILT_WRITE, EV_ADD), 0);
    assert_int_equal(close(pair[0]), 0);
    assert_int_equal(fcntl(pair[1], F_DUPFD, pair[0]), pair[0]);
    assert_int_not_equal(change(pair[0], EVFILT_WRITE, EV_ADD), EINVAL);
    close_both();
}

static void calls_changes_and_events_are_counted(void **state)
{
    struct kqshim_counts before = kqshim_counts();
    struct kqshim_counts after;

    (void)state;
    open_pipe();
    assert_int_equal(change(pair[0], EVFILT_READ, EV_ADD), 0);
    put(pair[1], "abc");
    assert_one(pair[0], EVFILT_READ);
    after = kqshim_counts();
    assert_int_equal(after.calls - before.calls, 2);
    assert_int_equal(after.changes - before.changes, 1);
    assert_int_equal(after.events - before.events, 1);
    close_both();
}

/* Descriptors */

static void descriptors_of_ours_are_out_of_the_way(void **state)
{
    int lowest = dup(0);
    int next;

    (void)state;
    assert_int_equal(close(lowest), 0);
    open_kq();
    assert_int_equal(kq, lowest);
    next = dup(0);
    assert_true(next > kq && next < 100);
    assert_int_equal(close(next), 0);
    close_kq();
}

static void closing_all_but_a_few_spares_ours(void **state)
{
    (void)state;
    open_pipe();
    assert_int_equal(change(pair[0], EVFILT_READ, EV_ADD), 0);
    closefrom(pair[0] > pair[1] ? pair[0] + 1 : pair[1] + 1);
    for (int fd = pair[1] + 1; fd < 2000; fd++)
        assert_int_equal(close(fd), -1);
    put(pair[1], "abc");
    assert_one(pair[0], EVFILT_READ);
    close_both();
}

static void a_forgotten_close_on_exec_is_seen(void **state)
{
    int flags;

    (void)state;
    open_kq();
    flags = fcntl(kq, F_GETFD);
#if defined(ON_MACOS)
    assert_int_equal(flags, FD_CLOEXEC);
#else
    assert_int_equal(flags, 0);
#endif
    close_kq();
}

/* The child of vfork() closes its own. */
static void closing_in_a_child_of_vfork(void **state)
{
    volatile int number;
    pid_t child;

    (void)state;
    open_pipe();
    number = pair[0];
    assert_int_equal(change(number, EVFILT_READ, EV_ADD), 0);
    child = vfork(); /* NOLINT(clang-analyzer-security.insecureAPI.vfork): it is the subject */
    if (child == 0) {
        (void)close(number); /* NOLINT(clang-analyzer-unix.Vfork): as above */
        (void)close(kq);
        _exit(0);
    }
    assert_int_equal(waitpid(child, NULL, 0), child);
    put(pair[1], "abc");
    assert_one(pair[0], EVFILT_READ);
    close_both();
}

/* Every edge is seen: a byte stream between two threads, each waiting with EV_CLEAR for the other. */

#define STREAM_BYTES 4000000

static void *write_stream(void *unused)
{
    static const char block[3000];
    int own = kqueue();
    struct kevent event = a_change(pair[1], EVFILT_WRITE, EV_ADD | EV_CLEAR, 0, 0, 0);
    long left = STREAM_BYTES;

    (void)kevent(own, &event, 1, NULL, 0, NULL);
    while (left > 0) {
        size_t length = left % 2999 + 1 < left ? (size_t)(left % 2999 + 1) : (size_t)left;
        ssize_t n = write(pair[1], block, length);

        if (n > 0) {
            left -= n;
        } else {
            struct timespec long_enough = {SOON / 1000, 0};

            if (errno != EAGAIN || kevent(own, NULL, 0, &event, 1, &long_enough) == 0)
                break;
        }
    }
    (void)close(own);
    (void)shutdown(pair[1], SHUT_WR);
    return unused;
}

static long read_stream(void)
{
    char buffer[4000];
    long total = 0;

    while (total < STREAM_BYTES) {
        ssize_t n = read(pair[0], buffer, sizeof(buffer));

        if (n > 0) {
            total += n;
        } else if (n == 0 || errno != EAGAIN || collect(16, SOON) == 0) {
            break;
        }
    }
    return total;
}

static void stream(void)
{
    pthread_t thread;

    for (int i = 0; i < 2; i++)
        assert_int_equal(fcntl(pair[i], F_SETFL, O_NONBLOCK), 0);
    assert_int_equal(change(pair[0], EVFILT_READ, EV_ADD | EV_CLEAR), 0);
    assert_int_equal(pthread_create(&thread, NULL, write_stream, NULL), 0);
    assert_int_equal(read_stream(), STREAM_BYTES);
    assert_int_equal(pthread_join(thread, NULL), 0);
    close_both();
}

static void no_edge_of_a_pipe_is_lost(void **state)
{
    (void)state;
    open_pipe();
    stream();
}

static void no_edge_of_a_local_socket_is_lost(void **state)
{
    (void)state;
    open_kq();
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    stream();
}

static void no_edge_of_tcp_is_lost(void **state)
{
    struct sockaddr_in address;
    socklen_t size = sizeof(address);
    int listener = socket(AF_INET, SOCK_STREAM, 0);

    (void)state;
    open_kq();
    memset(&address, 0, sizeof(address));
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(listener, 1), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &size), 0);
    pair[1] = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(pair[1], (struct sockaddr *)&address, sizeof(address)), 0);
    pair[0] = accept(listener, NULL, NULL);
    assert_int_equal(close(listener), 0);
    stream();
}

/* Threads register, trigger and close while one waits. */

#define THREADS 4
#define ROUNDS 200

static void *busy(void *unused)
{
    (void)unused;
    for (int i = 0; i < ROUNDS; i++) {
        struct kevent add;
        int ends[2];

        if (pipe(ends) != 0)
            return NULL;
        add = a_change(ends[0], EVFILT_READ, EV_ADD, 0, 0, 0);
        (void)kevent(kq, &add, 1, NULL, 0, NULL);
        (void)!write(ends[1], "x", 1);
        (void)close(ends[1]);
        (void)close(ends[0]);
    }
    return unused;
}

static void *come_and_go(void *unused)
{
    for (int i = 0; i < ROUNDS / 4; i++) {
        int own = kqueue();
        struct kevent add;
        int ends[2];

        if (own < 0 || pipe(ends) != 0)
            return NULL;
        add = a_change(ends[1], EVFILT_WRITE, EV_ADD, 0, 0, 0);
        (void)kevent(own, &add, 1, &add, 1, NULL);
        (void)close(own);
        (void)close(ends[1]);
        (void)close(ends[0]);
    }
    return unused;
}

static void threads_make_and_close_kqueues(void **state)
{
    pthread_t threads[THREADS];

    (void)state;
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, come_and_go, NULL), 0);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
}

static void threads_share_a_kqueue(void **state)
{
    pthread_t threads[THREADS];
    struct kevent end;

    (void)state;
    open_pipe();
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, busy, NULL), 0);
    for (int i = 0; i < ROUNDS; i++)
        assert_true(collect(16, 1) >= 0);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    end = a_change(pair[0], EVFILT_READ, EV_ADD, 0, 0, 0);
    assert_int_equal(kevent(kq, &end, 1, NULL, 0, NULL), 0);
    assert_none();
    close_both();
}

#if defined(ON_MACOS)

static int broken_pipes;

static void count_broken_pipe(int number)
{
    (void)number;
    broken_pipes++;
}

/* Signals that sending on a socket without a peer raises. */
static int send_in_vain(int option_first)
{
    struct iovec part;
    struct msghdr message;
    int on = 1;

    broken_pipes = 0;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    if (option_first)
        assert_int_equal(setsockopt(pair[0], SOL_SOCKET, SO_NOSIGPIPE, &on, sizeof(on)), 0);
    assert_int_equal(close(pair[1]), 0);
    if (!option_first)
        assert_int_equal(setsockopt(pair[0], SOL_SOCKET, SO_NOSIGPIPE, &on, sizeof(on)), -1);
    memset(&message, 0, sizeof(message));
    part.iov_base = &on;
    part.iov_len = sizeof(on);
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    assert_int_equal(send(pair[0], &on, sizeof(on), 0), -1);
    assert_int_equal(errno, EPIPE);
    assert_int_equal(sendmsg(pair[0], &message, 0), -1);
    assert_int_equal(write(pair[0], &on, sizeof(on)), -1);
    assert_int_equal(writev(pair[0], &part, 1), -1);
    assert_int_equal(errno, EPIPE);
    assert_int_equal(close(pair[0]), 0);
    return broken_pipes;
}

static void the_socket_option_keeps_sigpipe_away(void **state)
{
    (void)state;
    assert_true(signal(SIGPIPE, count_broken_pipe) != SIG_ERR);
    assert_int_equal(send_in_vain(1), 0);
    assert_int_equal(send_in_vain(0), 4); /* the number is the same, the option is not */
    assert_true(signal(SIGPIPE, SIG_DFL) != SIG_ERR);
}
#define MACOS_TESTS TEST(the_socket_option_keeps_sigpipe_away),
#else
#define MACOS_TESTS
#endif

LOOP_TEST_MAIN(TEST(unknown_words_are_refused), TEST(spurious_events_are_of_registered_descriptors),
               TEST(swapped_events_come_in_both_orders), TEST(short_arrays_lose_nothing),
               TEST(every_fifth_wait_is_interrupted), TEST(late_timeouts_are_not_early),
               TEST(dead_pipes_give_any_of_three_errors), USER_TESTS TEST(a_refused_descriptor_cannot_be_added),
               TEST(calls_changes_and_events_are_counted), TEST(descriptors_of_ours_are_out_of_the_way),
               TEST(closing_all_but_a_few_spares_ours), TEST(a_forgotten_close_on_exec_is_seen),
               MACOS_TESTS TEST(closing_in_a_child_of_vfork), TEST(no_edge_of_a_pipe_is_lost),
               TEST(no_edge_of_a_local_socket_is_lost), TEST(no_edge_of_tcp_is_lost), TEST(threads_share_a_kqueue),
               TEST(threads_make_and_close_kqueues))
