/* Name resolution. Nothing here needs a network: hosts are numbers, or "localhost". */
#include "work_fixture.h"

static loop_t *loop;
static int ended;
static int result;
static struct addrinfo *list;

static void note_addresses(loop_getaddrinfo_t *request, int status, struct addrinfo *found)
{
    (void)request;
    ended++;
    result = status;
    list = found;
    assert_true((status == 0) == (found != NULL));
}

static char host[1025];
static char service[32];

static void note_name(loop_getnameinfo_t *request, int status, const char *h, const char *s)
{
    (void)request;
    ended++;
    result = status;
    assert_true((status == 0) == (h != NULL) && (status == 0) == (s != NULL));
    (void)snprintf(host, sizeof(host), "%s", h != NULL ? h : "");
    (void)snprintf(service, sizeof(service), "%s", s != NULL ? s : "");
}

static void begin(void)
{
    loop = support_loop();
    ended = 0;
    list = NULL;
}

static const struct addrinfo numeric = {.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV, .ai_socktype = SOCK_STREAM};

/* Asks and waits for the answer. */
static int ask(const char *node, const char *port, const struct addrinfo *hints)
{
    loop_getaddrinfo_t request = {0};
    int before = ended;

    assert_ok(loop_getaddrinfo(loop, &request, node, port, hints, note_addresses));
    assert_int_equal(ended, before);
    assert_ok(loop_run(loop, LOOP_RUN_DEFAULT));
    assert_int_equal(ended, before + 1);
    return result;
}

static int ask_name(const char *ip, int port, int flags)
{
    loop_getnameinfo_t request = {0};
    struct sockaddr_storage addr;
    int before = ended;

    assert_ok(loop_ip_addr(ip, port, &addr));
    assert_ok(loop_getnameinfo(loop, &request, (struct sockaddr *)&addr, flags, note_name));
    memset(&addr, 0xee, sizeof(addr)); /* it was copied */
    assert_ok(loop_run(loop, LOOP_RUN_DEFAULT));
    assert_int_equal(ended, before + 1);
    return result;
}

/* -------------------------------------------------------------------------------------------------- name to address -- */

static void expect_first(const char *ip, int port)
{
    char text[64];

    assert_non_null(list);
    assert_ok(loop_ip_name(list->ai_addr, text, sizeof(text)));
    assert_string_equal(text, ip);
    assert_int_equal(loop_ip_port(list->ai_addr), port);
    loop_freeaddrinfo(list);
}

static void numeric_hosts_and_ports_are_found(void **state)
{
    struct addrinfo passive = {.ai_flags = AI_PASSIVE | AI_NUMERICSERV, .ai_family = AF_INET, .ai_protocol = 6};

    (void)state;
    begin();
    assert_ok(ask("127.0.0.1", "80", &numeric));
    assert_int_equal(list->ai_socktype, SOCK_STREAM);
    assert_null(list->ai_next);
    expect_first("127.0.0.1", 80);
    assert_ok(ask("2001:db8::7", "65535", &numeric));
    expect_first("2001:db8::7", 65535);
    assert_ok(ask("192.0.2.1", NULL, &numeric));
    expect_first("192.0.2.1", 0);
    assert_ok(ask(NULL, "8080", &passive));
    assert_int_equal(list->ai_protocol, 6);
    expect_first("0.0.0.0", 8080);
    assert_ok(ask("192.0.2.1", "7", NULL));
    expect_first("192.0.2.1", 7);
    support_finish(loop);
}

static void localhost_is_this_machine(void **state)
{
    struct addrinfo ipv4 = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM};

    (void)state;
    begin();
    assert_ok(ask("localhost", "1", &ipv4));
    expect_first("127.0.0.1", 1);
    support_finish(loop);
}

static void bad_questions_get_the_resolvers_errors(void **state)
{
    struct addrinfo hints = numeric;

    (void)state;
    begin();
    assert_int_equal(ask("not a number", "80", &numeric), LOOP_EAI_NONAME);
    assert_int_equal(ask("127.0.0.1", "http!", &numeric), LOOP_EAI_NONAME);
    hints.ai_flags = 1 << 30;
    assert_int_equal(ask("127.0.0.1", "80", &hints), LOOP_EAI_BADFLAGS);
    hints = numeric;
    hints.ai_family = 12345;
    assert_int_equal(ask("127.0.0.1", "80", &hints), LOOP_EAI_FAMILY);
    hints = numeric;
    hints.ai_socktype = 12345;
    result = ask("127.0.0.1", "80", &hints);
    assert_true(result == LOOP_EAI_SOCKTYPE || result == LOOP_EAI_SERVICE);
    support_finish(loop);
}

static void names_and_hints_are_copied(void **state)
{
    loop_getaddrinfo_t request = {0};
    char node[] = "192.0.2.9";
    char port[] = "99";
    struct addrinfo hints = numeric;

    (void)state;
    begin();
    assert_ok(loop_getaddrinfo(loop, &request, node, port, &hints, note_addresses));
    memset(node, 'x', sizeof(node));
    memset(port, 'x', sizeof(port));
    memset(&hints, 0xee, sizeof(hints));
    assert_ok(loop_run(loop, LOOP_RUN_DEFAULT));
    assert_ok(result);
    expect_first("192.0.2.9", 99);
    support_finish(loop);
}

static void names_too_long_for_any_resolver_are_refused(void **state)
{
    static char long_host[1026];
    static char long_service[33];
    loop_getaddrinfo_t request = {0};

    (void)state;
    begin();
    memset(long_host, '1', 1025);
    memset(long_service, '1', 32);
    assert_int_equal(loop_getaddrinfo(loop, &request, long_host, "1", &numeric, note_addresses), LOOP_EINVAL);
    assert_int_equal(loop_getaddrinfo(loop, &request, "1", long_service, &numeric, note_addresses), LOOP_EINVAL);
    long_host[1024] = '\0';
    assert_true(ask(long_host, "1", &numeric) < 0); /* allowed, and no number */
    support_finish(loop);
}

/* -------------------------------------------------------------------------------------------------- address to name -- */

static void addresses_are_written_as_numbers(void **state)
{
    (void)state;
    begin();
    assert_ok(ask_name("127.0.0.1", 80, NI_NUMERICHOST | NI_NUMERICSERV));
    assert_string_equal(host, "127.0.0.1");
    assert_string_equal(service, "80");
    assert_ok(ask_name("2001:db8::1", 65535, NI_NUMERICHOST | NI_NUMERICSERV));
    assert_string_equal(host, "2001:db8::1");
    assert_string_equal(service, "65535");
    support_finish(loop);
}

static void bad_flags_are_the_resolvers_error(void **state)
{
    (void)state;
    begin();
    (void)ask_name("127.0.0.1", 80, 1 << 30);
    support_finish(loop);
    if (result == 0)
        skip(); /* the resolver does not look at them */
    assert_int_equal(result, LOOP_EAI_BADFLAGS);
}

static int questions;

static void ask_again(loop_getnameinfo_t *request, int status, const char *h, const char *s)
{
    struct sockaddr_storage addr;

    assert_ok(loop_ip_addr("192.0.2.2", questions, &addr));
    if (--questions > 0)
        assert_ok(
            loop_getnameinfo(loop, request, (struct sockaddr *)&addr, NI_NUMERICHOST | NI_NUMERICSERV, ask_again));
    note_name(request, status, h, s); /* the texts are still those of this answer */
}

static void a_request_may_be_used_again_in_its_callback(void **state)
{
    loop_getnameinfo_t request = {0};
    struct sockaddr_storage addr;

    (void)state;
    begin();
    questions = 5;
    assert_ok(loop_ip_addr("192.0.2.1", 6, &addr));
    assert_ok(loop_getnameinfo(loop, &request, (struct sockaddr *)&addr, NI_NUMERICHOST | NI_NUMERICSERV, ask_again));
    for (int i = 1; i <= 5; i++) {
        char expected[16];

        while (ended < i)
            assert_true(loop_run(loop, LOOP_RUN_ONCE) >= 0);
        (void)snprintf(expected, sizeof(expected), "%d", 7 - i);
        assert_string_equal(service, expected);
        assert_string_equal(host, i == 1 ? "192.0.2.1" : "192.0.2.2");
    }
    support_finish(loop);
}

/* --------------------------------------------------------------------------------------------- lanes, cancelling, bounds -- */

static void requests_wait_on_the_lane_of_names_only(void **state)
{
    loop_pool_t *pool = pool_of(1, 2);
    loop_getaddrinfo_t address = {0};
    loop_getnameinfo_t name = {0};
    loop_getaddrinfo_t refused = {0};
    struct sockaddr_storage addr = support_loopback();
    struct item quick;
    struct item slow;
    struct item blocker;
    struct gate others;
    struct gate names;

    (void)state;
    gate_init(&others);
    gate_init(&names);
    begin();
    assert_ok(loop_set_pool(loop, pool));
    assert_ok(item_submit(loop, &quick, LOOP_LANE_DEFAULT, &others));
    assert_ok(item_submit(loop, &slow, LOOP_LANE_SLOW, &others));
    gate_await(&others, 2);
    assert_ok(loop_getaddrinfo(loop, &address, "127.0.0.1", "1", &numeric, note_addresses));
    support_until(loop, &ended);
    assert_ok(result);
    loop_freeaddrinfo(list);

    /* The lane of names is full in its turn. */
    assert_ok(item_submit(loop, &blocker, LOOP_LANE_NAMES, &names));
    gate_await(&names, 1);
    ended = 0;
    assert_ok(loop_getaddrinfo(loop, &address, "127.0.0.1", "1", &numeric, note_addresses));
    assert_ok(loop_getnameinfo(loop, &name, (struct sockaddr *)&addr, 0, note_name));
    assert_int_equal(loop_getaddrinfo(loop, &refused, "127.0.0.1", "1", &numeric, note_addresses), LOOP_EAGAIN);
    assert_int_equal(loop_getaddrinfo(loop, &address, "127.0.0.1", "1", &numeric, note_addresses), LOOP_EBUSY);
    assert_int_equal(loop_getnameinfo(loop, &name, (struct sockaddr *)&addr, 0, note_name), LOOP_EBUSY);
    assert_int_equal(loop_close(loop), LOOP_EBUSY);

    /* Both are cancelled by the work that they hold. */
    assert_ok(loop_work_cancel(&address.work));
    assert_ok(loop_work_cancel(&name.work));
    assert_int_equal(loop_work_cancel(&refused.work), LOOP_ENOENT);
    assert_int_equal(ended, 0);
    while (ended < 2) {
        assert_true(loop_run(loop, LOOP_RUN_ONCE) >= 0);
        assert_int_equal(result, LOOP_ECANCELED);
    }
    assert_null(list);
    gate_open(&names);
    gate_open(&others);
    support_finish(loop);
    assert_ok(loop_pool_destroy(pool));
    gate_destroy(&names);
    gate_destroy(&others);
}

static void a_cancelled_question_is_answered_or_cancelled_and_never_both(void **state)
{
    static loop_getaddrinfo_t requests[100];
    int n = harness_slow() ? 20 : 100;

    (void)state;
    begin();
    memset(requests, 0, sizeof(requests));
    for (int i = 0; i < n; i++) {
        int cancelled;

        assert_ok(loop_getaddrinfo(loop, &requests[i], "127.0.0.1", "1", &numeric, note_addresses));
        cancelled = loop_work_cancel(&requests[i].work);
        assert_true(cancelled == 0 || cancelled == LOOP_EBUSY);
        while (ended == i)
            assert_true(loop_run(loop, LOOP_RUN_ONCE) >= 0);
        assert_int_equal(result, cancelled == 0 ? LOOP_ECANCELED : 0);
        loop_freeaddrinfo(list); /* of none, too */
        list = NULL;
    }
    support_finish(loop);
    assert_int_equal(ended, n);
}

static void wrong_arguments_are_refused(void **state)
{
    loop_getaddrinfo_t address = {0};
    loop_getnameinfo_t name = {0};
    struct sockaddr_storage addr = support_loopback();
    struct sockaddr *any = (struct sockaddr *)&addr;

    (void)state;
    begin();
    assert_int_equal(loop_getaddrinfo(NULL, &address, "a", "b", NULL, note_addresses), LOOP_EINVAL);
    assert_int_equal(loop_getaddrinfo(loop, NULL, "a", "b", NULL, note_addresses), LOOP_EINVAL);
    assert_int_equal(loop_getaddrinfo(loop, &address, NULL, NULL, NULL, note_addresses), LOOP_EINVAL);
    assert_int_equal(loop_getaddrinfo(loop, &address, "a", "b", NULL, NULL), LOOP_EINVAL);
    assert_int_equal(loop_getnameinfo(NULL, &name, any, 0, note_name), LOOP_EINVAL);
    assert_int_equal(loop_getnameinfo(loop, NULL, any, 0, note_name), LOOP_EINVAL);
    assert_int_equal(loop_getnameinfo(loop, &name, NULL, 0, note_name), LOOP_EINVAL);
    assert_int_equal(loop_getnameinfo(loop, &name, any, 0, NULL), LOOP_EINVAL);
    any->sa_family = AF_UNIX;
    assert_int_equal(loop_getnameinfo(loop, &name, any, 0, note_name), LOOP_EAFNOSUPPORT);
    loop_freeaddrinfo(NULL);
    assert_false(loop_alive(loop));
    support_finish(loop);
    assert_int_equal(ended, 0);
}

LOOP_TEST_MAIN(TEST(numeric_hosts_and_ports_are_found), TEST(localhost_is_this_machine),
               TEST(bad_questions_get_the_resolvers_errors), TEST(names_and_hints_are_copied),
               TEST(names_too_long_for_any_resolver_are_refused), TEST(addresses_are_written_as_numbers),
               TEST(bad_flags_are_the_resolvers_error), TEST(a_request_may_be_used_again_in_its_callback),
               TEST(requests_wait_on_the_lane_of_names_only),
               TEST(a_cancelled_question_is_answered_or_cancelled_and_never_both), TEST(wrong_arguments_are_refused))
