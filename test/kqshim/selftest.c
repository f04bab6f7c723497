/* Self-test of the kqueue emulation: descriptors. */
#include "selftest.h"

static int pair[2]; /* [0] is watched */
static int listener = -1;

static void nonblocking(int fd)
{
    assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
}

static void open_pipe(void)
{
    open_kq();
    assert_int_equal(pipe(pair), 0);
}

static void open_local(void)
{
    open_kq();
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
}

static void close_both(void)
{
    assert_int_equal(close(pair[0]), 0);
    assert_int_equal(close(pair[1]), 0);
    close_kq();
}

static struct sockaddr_in loopback(void)
{
    struct sockaddr_in address;

    memset(&address, 0, sizeof(address));
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return address;
}

static struct sockaddr_in listen_somewhere(void)
{
    struct sockaddr_in address = loopback();
    socklen_t size = sizeof(address);

    listener = socket(AF_INET, SOCK_STREAM, 0);
    assert_true(listener >= 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(listener, 8), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &size), 0);
    return address;
}

static void open_tcp(void)
{
    struct sockaddr_in address = listen_somewhere();

    open_kq();
    pair[0] = socket(AF_INET, SOCK_STREAM, 0);
    assert_true(pair[0] >= 0);
    assert_int_equal(connect(pair[0], (struct sockaddr *)&address, sizeof(address)), 0);
    pair[1] = accept(listener, NULL, NULL);
    assert_true(pair[1] >= 0);
    assert_int_equal(close(listener), 0);
}

/* Readiness */

static void level_repeats(void **state)
{
    (void)state;
    open_pipe();
    assert_int_equal(change(pair[0], EVFILT_READ, EV_ADD), 0);
    put(pair[1], "abc");
    for (int i = 0; i < 3; i++) {
        assert_one(pair[0], EVFILT_READ);
        assert_int_equal(events[0].data, 3);
    }
    take(pair[0], 3);
    assert_none();
    put(pair[1], "d");
    assert_one(pair[0], EVFILT_READ);
    close_both();
}

static void clear_does_not_repeat(void **state)
{
    (void)state;
    open_pipe();
    assert_int_equal(change(pair[0], EVFILT_READ, EV_ADD | EV_CLEAR), 0);
    put(pair[1], "abc");
    assert_one(pair[0], EVFILT_READ);
    assert_none();
    close_both();
}

static void new_bytes_rearm_clear_with_the_total(void)
{
    assert_int_equal(change(pair[0], EVFILT_READ, EV_ADD | EV_CLEAR), 0);
    put(pair[1], "abc");
    assert_one(pair[0], EVFILT_READ);
    assert_int_equal(events[0].data, 3);
    put(pair[1], "de");
    assert_one(pair[0], EVFILT_READ);
    assert_int_equal(events[0].data, 5);
    assert_none();
    close_both();
}

static void new_bytes_rearm_clear_pipe(void **state)
{
    (void)state;
    open_pipe();
    new_bytes_rearm_clear_with_the_total();
}

static void new_bytes_rearm_clear_local(void **state)
{
    (void)state;
    open_local();
    new_bytes_rearm_clear_with_the_total();
}

static void new_bytes_rearm_clear_tcp(void **state)
{
    (void)state;
    open_tcp();
    new_bytes_rearm_clear_with_the_total();
}

static void add_reports_what_is_there(void **state)
{
    (void)state;
    open_tcp();
    put(pair[1], "abc");
    assert_int_equal(change(pair[0], EVFILT_READ, EV_ADD | EV_CLEAR), 0);
    assert_one(pair[0], EVFILT_READ);
    assert_int_equal(events[0].data, 3);
    assert_none();
    close_both();
}

static void adding_again_reports_again(void **state)
{
    (void)state;
    open_pipe();
    put(pair[1], "abc");
    assert_int_equal(change(pair[0], EVFILT_READ, EV_ADD | EV_CLEAR), 0);
    assert_one(pair[0], EVFILT_READ);
    assert_int_equal(change(pair[0], EVFILT_READ, EV_ADD | EV_CLEAR), 0);
    assert_one(pair[0], EVFILT_READ);
    assert_none();
    close_both();
}

static void pipe_writable_until_full(void **state)
{
    static const char block[4096];

    (void)state;
    open_pipe();
    nonblocking(pair[1]);
    assert_int_equal(change(pair[1], EVFILT_WRITE, EV_ADD), 0);
    assert_one(pair[1], EVFILT_WRITE);
    assert_true(events[0].data > 0);
    while (write(pair[1], block, sizeof(block)) > 0)
        continue;
    assert_none();
    while (collect(16, 0) == 0) {
        char buffer[4096];

        assert_true(read(pair[0], buffer, sizeof(buffer)) > 0);
    }
    assert_int_equal(events[0].ident, pair[1]);
    close_both();
}

/* End of file */

static void eof_comes_with_the_rest(int close_number)
{
    assert_int_equal(change(pair[0], EVFILT_READ, EV_ADD), 0);
    put(pair[1], "abc");
    assert_int_equal(close_number ? close(pair[1]) : shutdown(pair[1], SHUT_WR), 0);
    do {
        assert_one(pair[0], EVFILT_READ);
    } while (!eof(&events[0]));
    assert_int_equal(events[0].data, 3);
    take(pair[0], 3);
    assert_one(pair[0], EVFILT_READ);
    assert_true(eof(&events[0]));
    assert_int_equal(events[0].data, 0);
    assert_int_equal(close(pair[0]), 0);
    if (!close_number)
        assert_int_equal(close(pair[1]), 0);
    close_kq();
}

static void eof_with_rest_on_tcp(void **state)
{
    (void)state;
    open_tcp();
    eof_comes_with_the_rest(0);
}

static void eof_with_rest_on_local(void **state)
{
    (void)state;
    open_local();
    eof_comes_with_the_rest(1);
}

static void eof_with_rest_on_pipe(void **state)
{
    (void)state;
    open_pipe();
    eof_comes_with_the_rest(1);
}

static void tcp_peer_fin_is_no_eof_for_writing(void **state)
{
    (void)state;
    open_tcp();
    assert_int_equal(change(pair[0], EVFILT_READ, EV_ADD | EV_CLEAR), 0);
    assert_int_equal(shutdown(pair[1], SHUT_WR), 0);
    assert_one(pair[0], EVFILT_READ);
    assert_true(eof(&events[0]));
    assert_int_equal(change(pair[0], EVFILT_WRITE, EV_ADD), 0);
    assert_one(pair[0], EVFILT_WRITE);
    assert_false(eof(&events[0]));
    close_both();
}

static void local_peer_close_is_eof_for_writing(void **state)
{
    (void)state;
    open_local();
    assert_int_equal(change(pair[0], EVFILT_WRITE, EV_ADD | EV_CLEAR), 0);
    assert_one(pair[0], EVFILT_WRITE);
    assert_false(eof(&events[0]));
    assert_int_equal(close(pair[1]), 0);
    assert_one(pair[0], EVFILT_WRITE);
    assert_true(eof(&events[0]));
    assert_int_equal(close(pair[0]), 0);
    close_kq();
}

static void own_shutdown_is_eof_for_writing(void)
{
    assert_int_equal(change(pair[0], EVFILT_WRITE, EV_ADD | EV_CLEAR), 0);
    assert_one(pair[0], EVFILT_WRITE);
    assert_false(eof(&events[0]));
    assert_int_equal(shutdown(pair[0], SHUT_WR), 0);
    assert_one(pair[0], EVFILT_WRITE);
    assert_true(eof(&events[0]));
    close_both();
}

static void own_shutdown_on_tcp(void **state)
{
    (void)state;
    open_tcp();
    own_shutdown_is_eof_for_writing();
}

static void own_shutdown_on_local(void **state)
{
    (void)state;
    open_local();
    own_shutdown_is_eof_for_writing();
}

static void own_shutdown_of_reading(void **state)
{
    (void)state;
    open_tcp();
    assert_int_equal(change(pair[0], EVFILT_READ, EV_ADD), 0);
    assert_none();
    assert_int_equal(shutdown(pair[0], SHUT_RD), 0);
    assert_one(pair[0], EVFILT_READ);
    assert_true(eof(&events[0]));
    close_both();
}

static void pipe_writer_sees_the_reader_go(void **state)
{
    (void)state;
    open_pipe();
    assert_int_equal(change(pair[1], EVFILT_WRITE, EV_ADD), 0);
    assert_int_equal(close(pair[0]), 0);
    assert_one(pair[1], EVFILT_WRITE);
    assert_true(eof(&events[0]));
    assert_int_equal(close(pair[1]), 0);
    close_kq();
}

/* Connecting and listening */

static void unconnected_socket_is_quiet(void **state)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    (void)state;
    open_kq();
    assert_true(fd >= 0);
    assert_int_equal(change(fd, EVFILT_READ, EV_ADD), 0);
    assert_int_equal(change(fd, EVFILT_WRITE, EV_ADD), 0);
    assert_none();
    assert_int_equal(close(fd), 0);
    close_kq();
}

static void connect_reports_writing(void **state)
{
    struct sockaddr_in address = listen_somewhere();
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    int peer;

    (void)state;
    open_kq();
    nonblocking(fd);
    assert_int_equal(change(fd, EVFILT_WRITE, EV_ADD | EV_CLEAR), 0);
    assert_true(connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0 || errno == EINPROGRESS);
    assert_one(fd, EVFILT_WRITE);
    assert_false(eof(&events[0]));
    peer = accept(listener, NULL, NULL);
    assert_int_equal(close(peer), 0);
    assert_int_equal(close(fd), 0);
    assert_int_equal(close(listener), 0);
    close_kq();
}

/* Both filters say EV_EOF, and go on saying it after the error was fetched. */
static void refused_connect_ends_both_filters(void **state)
{
    struct sockaddr_in address = listen_somewhere();
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    int error = 0;
    socklen_t size = sizeof(error);

    (void)state;
    assert_int_equal(close(listener), 0);
    open_kq();
    nonblocking(fd);
    assert_int_equal(change(fd, EVFILT_READ, EV_ADD), 0);
    assert_int_equal(change(fd, EVFILT_WRITE, EV_ADD), 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), -1);
    if (errno == EINPROGRESS) {
        for (int i = 0; i < 2; i++) {
            long long end = clock_ms() + SOON;

            while (collect(16, SOON) < 2)
                assert_true(clock_ms() < end);
            assert_true(events[0].filter != events[1].filter);
            assert_true(eof(&events[0]));
            assert_true(eof(&events[1]));
            assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size), 0);
            assert_int_equal(error, i == 0 ? ECONNREFUSED : 0);
        }
    }
    assert_int_equal(close(fd), 0);
    close_kq();
}

static void listener_counts_connections(void **state)
{
    struct sockaddr_in address = listen_somewhere();
    int out[2];

    (void)state;
    open_kq();
    assert_int_equal(change(listener, EVFILT_READ, EV_ADD), 0);
    assert_int_equal(change(listener, EVFILT_WRITE, EV_ADD), 0);
    assert_none();
    for (int i = 0; i < 2; i++) {
        out[i] = socket(AF_INET, SOCK_STREAM, 0);
        assert_int_equal(connect(out[i], (struct sockaddr *)&address, sizeof(address)), 0);
    }
    for (int left = 2; left > 0; left--) {
        int peer;

        assert_one(listener, EVFILT_READ);
        assert_int_equal(events[0].data, left);
        peer = accept(listener, NULL, NULL);
        assert_true(peer >= 0);
        assert_int_equal(close(peer), 0);
    }
    assert_none();
    assert_int_equal(close(out[0]), 0);
    assert_int_equal(close(out[1]), 0);
    assert_int_equal(close(listener), 0);
    close_kq();
}

static void datagram_of_no_bytes_is_reported(void **state)
{
    struct sockaddr_in address = loopback();
    socklen_t size = sizeof(address);

    (void)state;
    open_kq();
    pair[0] = socket(AF_INET, SOCK_DGRAM, 0);
    pair[1] = socket(AF_INET, SOCK_DGRAM, 0);
    assert_int_equal(bind(pair[0], (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(getsockname(pair[0], (struct sockaddr *)&address, &size), 0);
    assert_int_equal(change(pair[0], EVFILT_READ, EV_ADD | EV_CLEAR), 0);
    assert_none();
    assert_int_equal(sendto(pair[1], "", 0, 0, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_one(pair[0], EVFILT_READ);
    assert_false(eof(&events[0]));
    close_both();
}

static void low_water_mark_holds_back(void **state)
{
    (void)state;
    open_tcp();
    assert_int_equal(change_all(pair[0], EVFILT_READ, EV_ADD, NOTE_LOWAT, 4, 0), 0);
    put(pair[1], "abc");
    assert_none();
    put(pair[1], "d");
    assert_one(pair[0], EVFILT_READ);
    assert_int_equal(events[0].data, 4);
    close_both();
}

#if defined(EVFILT_EXCEPT) && defined(NOTE_OOB)
static void urgent_data_is_an_exception(void **state)
{
    (void)state;
    open_tcp();
    assert_int_equal(change_all(pair[0], EVFILT_EXCEPT, EV_ADD | EV_CLEAR, NOTE_OOB, 0, 0), 0);
    put(pair[1], "abc");
    assert_none();
    assert_int_equal(send(pair[1], "!", 1, MSG_OOB), 1);
    assert_one(pair[0], (filter_t)EVFILT_EXCEPT);
    assert_true((events[0].fflags & NOTE_OOB) != 0);
    close_both();
}
#define EXCEPTIONS TEST(urgent_data_is_an_exception),
#else
#define EXCEPTIONS
#endif

/* Closing */

static void close_drops_a_pending_event(void **state)
{
    (void)state;
    open_pipe();
    assert_int_equal(change(pair[0], EVFILT_READ, EV_ADD), 0);
    put(pair[1], "abc");
    assert_one(pair[0], EVFILT_READ);
    assert_int_equal(close(pair[0]), 0);
    assert_none();
    assert_int_equal(change(pair[0], EVFILT_READ, EV_DELETE), EBADF);
    assert_int_equal(close(pair[1]), 0);
    close_kq();
}

static void close_drops_although_a_duplicate_lives(void **state)
{
    int twin;

    (void)state;
    open_pipe();
    twin = dup(pair[0]);
    assert_true(twin >= 0);
    assert_int_equal(change(pair[0], EVFILT_READ, EV_ADD), 0);
    assert_int_equal(close(pair[0]), 0);
    put(pair[1], "abc");
    assert_none();
    assert_int_equal(change(twin, EVFILT_READ, EV_DELETE), ENOENT);
    assert_int_equal(close(twin), 0);
    assert_int_equal(close(pair[1]), 0);
    close_kq();
}

static void a_reused_number_is_not_watched(void **state)
{
    (void)state;
    open_pipe();
    assert_int_equal(change(pair[0], EVFILT_READ, EV_ADD), 0);
    assert_int_equal(close(pair[0]), 0);
    assert_int_equal(fcntl(pair[1], F_DUPFD, pair[0]), pair[0]);
    assert_none();
    assert_int_equal(change(pair[0], EVFILT_READ, EV_DELETE), ENOENT);
    close_both();
}

static void dup2_over_it_drops(void **state)
{
    int other[2];

    (void)state;
    open_pipe();
    assert_int_equal(pipe(other), 0);
    assert_int_equal(change(pair[0], EVFILT_READ, EV_ADD), 0);
    put(other[1], "abc");
    assert_int_equal(dup2(other[0], pair[0]), pair[0]);
    assert_none();
    assert_int_equal(change(pair[0], EVFILT_READ, EV_DELETE), ENOENT);
    assert_int_equal(change(pair[0], EVFILT_READ, EV_ADD), 0);
    assert_one(pair[0], EVFILT_READ);
    assert_int_equal(close(other[0]), 0);
    assert_int_equal(close(other[1]), 0);
    close_both();
}

static void fclose_drops(void **state)
{
    FILE *file;

    (void)state;
    open_pipe();
    file = fdopen(pair[0], "r");
    assert_non_null(file);
    assert_int_equal(change(pair[0], EVFILT_READ, EV_ADD), 0);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(fcntl(pair[1], F_DUPFD, pair[0]), pair[0]);
    assert_int_equal(change(pair[0], EVFILT_READ, EV_DELETE), ENOENT);
    close_both();
}

LOOP_TEST_MAIN(TEST(level_repeats), TEST(clear_does_not_repeat), TEST(new_bytes_rearm_clear_pipe),
               TEST(new_bytes_rearm_clear_local), TEST(new_bytes_rearm_clear_tcp), TEST(add_reports_what_is_there),
               TEST(adding_again_reports_again), TEST(pipe_writable_until_full), TEST(eof_with_rest_on_tcp),
               TEST(eof_with_rest_on_local), TEST(eof_with_rest_on_pipe), TEST(tcp_peer_fin_is_no_eof_for_writing),
               TEST(local_peer_close_is_eof_for_writing), TEST(own_shutdown_on_tcp), TEST(own_shutdown_on_local),
               TEST(own_shutdown_of_reading), TEST(pipe_writer_sees_the_reader_go), TEST(unconnected_socket_is_quiet),
               TEST(connect_reports_writing), TEST(refused_connect_ends_both_filters),
               TEST(listener_counts_connections), TEST(datagram_of_no_bytes_is_reported),
               TEST(low_water_mark_holds_back), EXCEPTIONS TEST(close_drops_a_pending_event),
               TEST(close_drops_although_a_duplicate_lives), TEST(a_reused_number_is_not_watched),
               TEST(dup2_over_it_drops), TEST(fclose_drops))
