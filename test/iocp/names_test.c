/* Name resolution on Windows: what the resolver answers, through the seam. */
#include "sys.h"

#include "support.h"

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

static int fake_getaddrinfo(const char *node, const char *port, const struct addrinfo *hints, struct addrinfo **found)
{
    (void)node;
    (void)port;
    (void)hints;
    *found = (struct addrinfo *)(void *)&resolver_says; /* which nobody may look at */
    return resolver_says;
}

static int fake_getnameinfo(const struct sockaddr *addr, socklen_t len, char *h, DWORD h_len, char *s, DWORD s_len,
                            int flags)
{
    (void)addr;
    (void)flags;
    if (len != sizeof(struct sockaddr_in) || h_len != 1025 || s_len != 32)
        abort();
    h[0] = s[0] = '\0';
    return resolver_says;
}

static void says(int number, int code)
{
    loop_getaddrinfo_t address = {0};
    loop_getnameinfo_t name = {0};
    struct sockaddr_storage addr;

    resolver_says = number;
    assert_ok(loop_ip_addr("127.0.0.1", 1, &addr));
    assert_ok(loop_getaddrinfo(loop, &address, "a", "b", NULL, note_addresses));
    assert_ok(loop_run(loop, LOOP_RUN_DEFAULT));
    assert_int_equal(result, code);
    assert_ok(loop_getnameinfo(loop, &name, (struct sockaddr *)&addr, 0, note_name));
    assert_ok(loop_run(loop, LOOP_RUN_DEFAULT));
    assert_int_equal(result, code);
}

/* The numbers are those of Winsock and of Windows. */
static void every_error_of_the_resolver_has_its_code(void **state)
{
    static const struct {
        int number;
        int code;
    } rows[] = {
        {WSATRY_AGAIN, LOOP_EAI_AGAIN},
        {WSANO_RECOVERY, LOOP_EAI_FAIL},
        {WSANO_DATA, LOOP_EAI_NODATA},
        {WSAHOST_NOT_FOUND, LOOP_EAI_NONAME},
        {WSAEINVAL, LOOP_EAI_BADFLAGS},
        {WSAEAFNOSUPPORT, LOOP_EAI_FAMILY},
        {WSA_NOT_ENOUGH_MEMORY, LOOP_EAI_MEMORY},
        {ERROR_INSUFFICIENT_BUFFER, LOOP_EAI_OVERFLOW},
        {WSATYPE_NOT_FOUND, LOOP_EAI_SERVICE},
        {WSAESOCKTNOSUPPORT, LOOP_EAI_SOCKTYPE},
        {WSAENETDOWN, LOOP_ENETDOWN}, /* the system's */
        {-98765, LOOP_UNKNOWN},
    };
    struct loop_sys saved = loop__sys;

    (void)state;
    loop__sys.getaddrinfo = fake_getaddrinfo;
    loop__sys.getnameinfo = fake_getnameinfo;
    loop = support_loop();
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        says(rows[i].number, rows[i].code);
    support_finish(loop);
    loop__sys = saved;
}

LOOP_TEST_MAIN(TEST(every_error_of_the_resolver_has_its_code))
