/* EVFILT_MACHPORT: a kqueue that watches a port. Compiles on macOS unchanged. */
#include "selftest.h"

#include <mach/mach.h>

struct letter {
    mach_msg_header_t header;
    uint32_t body[4];
};

struct received {
    struct letter letter;
    mach_msg_trailer_t trailer;
};

static mach_port_t port;

static void open_port(void)
{
    assert_int_equal(mach_port_allocate(mach_task_self(), MACH_PORT_RIGHT_RECEIVE, &port), KERN_SUCCESS);
    assert_int_equal(mach_port_insert_right(mach_task_self(), port, port, MACH_MSG_TYPE_MAKE_SEND), KERN_SUCCESS);
}

static void close_port(void)
{
    assert_int_equal(mach_port_mod_refs(mach_task_self(), port, MACH_PORT_RIGHT_RECEIVE, -1), KERN_SUCCESS);
    assert_int_equal(mach_port_deallocate(mach_task_self(), port), KERN_SUCCESS);
}

static int try_to_post(uint32_t value)
{
    struct letter letter;

    memset(&letter, 0, sizeof(letter));
    letter.header.msgh_bits = MACH_MSGH_BITS(MACH_MSG_TYPE_COPY_SEND, 0);
    letter.header.msgh_size = sizeof(letter);
    letter.header.msgh_remote_port = port;
    letter.header.msgh_id = 42;
    letter.body[0] = value;
    return mach_msg(&letter.header, MACH_SEND_MSG | MACH_SEND_TIMEOUT, sizeof(letter), 0, MACH_PORT_NULL, 1,
                    MACH_PORT_NULL);
}

static void post(uint32_t value)
{
    assert_int_equal(try_to_post(value), MACH_MSG_SUCCESS);
}

static int fetch(struct received *received, mach_msg_size_t limit, int options)
{
    memset(received, 0, sizeof(*received));
    return mach_msg(&received->letter.header, MACH_RCV_MSG | MACH_RCV_TIMEOUT | options, 0, limit, port, 0,
                    MACH_PORT_NULL);
}

static void assert_fetched(uint32_t value)
{
    struct received received;

    assert_int_equal(fetch(&received, sizeof(received), 0), MACH_MSG_SUCCESS);
    assert_int_equal(received.letter.body[0], value);
    assert_int_equal(received.letter.header.msgh_id, 42);
    assert_int_equal(received.letter.header.msgh_local_port, port);
}

static void assert_port_ready(void)
{
    assert_int_equal(collect(16, SOON), 1);
    assert_int_equal(events[0].ident, port);
    assert_true(events[0].filter == EVFILT_MACHPORT);
    assert_int_equal(events[0].data, port);
}

static int watch(int flags)
{
    return change((int)port, EVFILT_MACHPORT, flags);
}

static void a_message_is_reported_until_it_is_fetched(void **state)
{
    struct received received;

    (void)state;
    open_kq();
    open_port();
    assert_int_equal(watch(EV_ADD), 0);
    assert_none();
    post(1);
    post(2);
    assert_port_ready();
    assert_fetched(1);
    assert_port_ready();
    assert_fetched(2);
    assert_none();
    assert_int_equal(fetch(&received, sizeof(received), 0), MACH_RCV_TIMED_OUT);
    close_port();
    close_kq();
}

static void a_message_that_waits_is_reported(void **state)
{
    (void)state;
    open_kq();
    open_port();
    post(1);
    assert_int_equal(watch(EV_ADD | EV_CLEAR), 0);
    assert_port_ready();
    assert_none();
    post(2);
    assert_port_ready();
    assert_fetched(1);
    close_port();
    close_kq();
}

static void an_unknown_port_cannot_be_watched(void **state)
{
    (void)state;
    open_kq();
    open_port();
    close_port();
    assert_int_equal(watch(EV_ADD), ENOENT);
    assert_int_equal(try_to_post(1), MACH_SEND_INVALID_DEST);
    close_kq();
}

static void a_full_queue_holds_the_sender(void **state)
{
    (void)state;
    open_port();
    for (uint32_t i = 0; i < 5; i++)
        post(i);
    assert_int_equal(try_to_post(5), MACH_SEND_TIMED_OUT);
    assert_fetched(0);
    post(5);
    close_port();
}

static void a_large_message_can_be_kept(void **state)
{
    struct received received;

    (void)state;
    open_port();
    post(1);
    assert_int_equal(fetch(&received, sizeof(mach_msg_header_t), MACH_RCV_LARGE), MACH_RCV_TOO_LARGE);
    assert_int_equal(received.letter.header.msgh_size, sizeof(struct letter));
    assert_fetched(1);
    close_port();
}

static void *post_from_a_thread(void *unused)
{
    (void)unused;
    (void)try_to_post(1);
    return NULL;
}

static void another_thread_sends(void **state)
{
    pthread_t thread;

    (void)state;
    open_kq();
    open_port();
    assert_int_equal(watch(EV_ADD), 0);
    assert_int_equal(pthread_create(&thread, NULL, post_from_a_thread, NULL), 0);
    assert_port_ready();
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_fetched(1);
    close_port();
    close_kq();
}

static void a_set_names_the_member(void **state)
{
    mach_port_t set;

    (void)state;
    open_kq();
    open_port();
    assert_int_equal(mach_port_allocate(mach_task_self(), MACH_PORT_RIGHT_PORT_SET, &set), KERN_SUCCESS);
    assert_int_equal(mach_port_insert_member(mach_task_self(), port, set), KERN_SUCCESS);
    assert_int_equal(mach_port_insert_member(mach_task_self(), port, set), KERN_ALREADY_IN_SET);
    assert_int_equal(change((int)set, EVFILT_MACHPORT, EV_ADD), 0);
    assert_none();
    post(1);
    assert_int_equal(collect(16, SOON), 1);
    assert_int_equal(events[0].ident, set);
    assert_int_equal(events[0].data, port);
    assert_fetched(1);
    assert_none();
    assert_int_equal(mach_port_extract_member(mach_task_self(), port, set), KERN_SUCCESS);
    post(2);
    assert_none();
    assert_int_equal(mach_port_mod_refs(mach_task_self(), set, MACH_PORT_RIGHT_PORT_SET, -1), KERN_SUCCESS);
    assert_int_equal(collect(16, SOON), 1);
    assert_true((events[0].flags & EV_EOF) != 0);
    assert_none();
    close_port();
    close_kq();
}

LOOP_TEST_MAIN(TEST(a_message_is_reported_until_it_is_fetched), TEST(a_message_that_waits_is_reported),
               TEST(an_unknown_port_cannot_be_watched), TEST(a_full_queue_holds_the_sender),
               TEST(a_large_message_can_be_kept), TEST(another_thread_sends), TEST(a_set_names_the_member))
