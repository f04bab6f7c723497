/* Addresses: text to socket address and back. */
#include "support.h"

static void addresses_survive_the_way_there_and_back(void **state)
{
    static const char *const texts[] = {"0.0.0.0", "127.0.0.1", "255.255.255.255",        "::",
                                        "::1",     "fe80::1%7", "2001:db8::ff00:42:8329", "::ffff:192.0.2.1"};
    struct sockaddr_storage addr;
    char text[64];

    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        assert_ok(loop_ip_addr(texts[i], 8080, &addr));
        assert_int_equal(loop_ip_port((struct sockaddr *)&addr), 8080);
        assert_ok(loop_ip_name((struct sockaddr *)&addr, text, sizeof(text)));
        assert_string_equal(text, texts[i]);
    }
}

static void scopes_may_be_numbers_or_interface_names(void **state)
{
    struct sockaddr_storage addr;
    const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)&addr;
    char name[64];
    char text[96];
    unsigned index = support_interface(name, sizeof(name));

    (void)state;
    assert_ok(loop_ip_addr("fe80::1%4294967295", 1, &addr));
    assert_int_equal(v6->sin6_scope_id, 4294967295u);
    assert_int_not_equal(index, 0);
    (void)snprintf(text, sizeof(text), "fe80::1%%%s", name);
    assert_ok(loop_ip_addr(text, 1, &addr));
    assert_int_equal(v6->sin6_scope_id, index);
    assert_int_equal(loop_ip_addr("fe80::1%4294967296", 1, &addr), LOOP_EINVAL);
    assert_int_equal(loop_ip_addr("fe80::1%nosuchif", 1, &addr), LOOP_EINVAL);
    assert_int_equal(loop_ip_addr("fe80::1%", 1, &addr), LOOP_EINVAL);
}

static void what_is_no_address_is_refused_and_leaves_the_result_alone(void **state)
{
    static const char *const texts[] = {
        "",          " ",         "localhost",
        "1.2.3",     "1.2.3.4.5", "256.1.1.1",
        "1.2.3.4%1", ":::",       "12345::",
        "::1::",     "[::1]",     "1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa:bbbb:cccc:dddd:eeee:ffff"};
    struct sockaddr_storage addr;
    struct sockaddr_storage before;

    (void)state;
    memset(&addr, 0x5a, sizeof(addr));
    before = addr;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        assert_int_equal(loop_ip_addr(texts[i], 1, &addr), LOOP_EINVAL);
    assert_int_equal(loop_ip_addr(NULL, 1, &addr), LOOP_EINVAL);
    assert_int_equal(loop_ip_addr("::1", -1, &addr), LOOP_EINVAL);
    assert_int_equal(loop_ip_addr("::1", 65536, &addr), LOOP_EINVAL);
    assert_memory_equal(&addr, &before, sizeof(addr));
    assert_int_equal(loop_ip_addr("::1", 1, NULL), LOOP_EINVAL);
}

static void names_need_room_and_a_known_family(void **state)
{
    struct sockaddr_storage addr;
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    char text[64];

    (void)state;
    assert_ok(loop_ip_addr("127.0.0.1", 0, &addr));
    assert_ok(loop_ip_name((struct sockaddr *)&addr, text, sizeof("127.0.0.1")));
    assert_int_equal(loop_ip_name((struct sockaddr *)&addr, text, sizeof("127.0.0.1") - 1), LOOP_ENOBUFS);
    assert_int_equal(loop_ip_name((struct sockaddr *)&addr, text, 0), LOOP_EINVAL);
    assert_int_equal(loop_ip_name((struct sockaddr *)&addr, NULL, 10), LOOP_EINVAL);
    assert_int_equal(loop_ip_name(NULL, text, sizeof(text)), LOOP_EINVAL);
    assert_int_equal(loop_ip_name((struct sockaddr *)&un, text, sizeof(text)), LOOP_EAFNOSUPPORT);
    assert_int_equal(loop_ip_port((struct sockaddr *)&un), LOOP_EAFNOSUPPORT);
    assert_int_equal(loop_ip_port(NULL), LOOP_EINVAL);
}

LOOP_TEST_MAIN(TEST(addresses_survive_the_way_there_and_back), TEST(scopes_may_be_numbers_or_interface_names),
               TEST(what_is_no_address_is_refused_and_leaves_the_result_alone),
               TEST(names_need_room_and_a_known_family))
