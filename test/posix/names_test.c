/* Name resolution: what the resolver answers, through the seam. */
#include "support_posix.h"

#include "posix/sys.h"

#include <errno.h>

static loop_t *loop;
static int result;

static void note_addresses(loop_getaddrinfo_t *request, int status, struct addrinfo *found)
{
    (void)request;
    assert_null(found);
    result = status;
}

static void note_name(loop_getnameinfo_t *request, int status, const char *host, const char *service)
{
    (void)request;
    assert_true(host == NULL && service == NULL);
    result = status;
}

static int resolver_says;
static int system_says;

static int fake_getaddrinfo(const char *node, const char *port, const struct addrinfo *hints, struct addrinfo **found)
{
    (void)node;
    (void)port;
    (void)hints;
    *found = (struct addrinfo *)&resolver_says; /* which nobody may look at */
    errno = system_says;
    return resolver_says;
}

static int fake_getnameinfo(const struct sockaddr *addr, socklen_t len, char *h, socklen_t h_len, char *s,
                            socklen_t s_len, int flags)
{
    (void)addr;
    (void)flags;
    if (len != sizeof(struct sockaddr_in) || h_len != 1025 || s_len != 32)
        abort();
    h[0] = s[0] = '\0';
    errno = system_says;
    return resolver_says;
}

static void says(int number, int errno_value, int code)
{
    loop_getaddrinfo_t address = {0};
    loop_getnameinfo_t name = {0};
    struct sockaddr_storage addr;

    resolver_says = number;
    system_says = errno_value;
    assert_ok(loop_ip_addr("127.0.0.1", 1, &addr));
    assert_ok(loop_getaddrinfo(loop, &address, "a", "b", NULL, note_addresses));
    assert_ok(loop_run(loop, LOOP_RUN_DEFAULT));
    assert_int_equal(result, code);
    assert_ok(loop_getnameinfo(loop, &name, (struct sockaddr *)&addr, 0, note_name));
    assert_ok(loop_run(loop, LOOP_RUN_DEFAULT));
    assert_int_equal(result, code);
}

static void every_error_of_the_resolver_has_its_code(void **state)
{
    struct loop_sys saved = loop__sys;

    (void)state;
    loop__sys.getaddrinfo = fake_getaddrinfo;
    loop__sys.getnameinfo = fake_getnameinfo;
    loop = support_loop();
    for (size_t i = 0; i < support_resolver_errors_count; i++)
        says(support_resolver_errors[i].number, 0, support_resolver_errors[i].code);
    says(EAI_SYSTEM, EMFILE, LOOP_EMFILE);
    says(EAI_SYSTEM, 0, LOOP_UNKNOWN);
    says(-98765, 0, LOOP_UNKNOWN);
    support_finish(loop);
    loop__sys = saved;
}

LOOP_TEST_MAIN(TEST(every_error_of_the_resolver_has_its_code))
