/*
 * loop_ip_addr(), loop_ip_name(), loop_ip_port(). The text must be understood as inet_pton(3) understands it, with scopes as
 * getaddrinfo(3) has them, and must come back from the address.
 */
#include "fuzz.h"

#include <loop.h>

#include <arpa/inet.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#define TEXT_MAX 128
#define NAME_MAX_SIZE 62 /* loop.h: enough for any */

union address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
    struct sockaddr_storage storage;
};

static int parse(const char *text, int port, union address *address)
{
    return loop_ip_addr(text, port, &address->storage);
}

/* An address gives a text that gives the address. */
static void check_name(const union address *address)
{
    char name[NAME_MAX_SIZE];
    char other[NAME_MAX_SIZE];
    char plain[INET6_ADDRSTRLEN];
    union address again;
    size_t length;

    REQUIRE(loop_ip_name(&address->any, name, sizeof(name)) == 0);
    length = strlen(name);
    memset(other, 'x', sizeof(other));
    for (size_t size = 0; size <= length; size++)
        REQUIRE(loop_ip_name(&address->any, other, size) == (size == 0 ? LOOP_EINVAL : LOOP_ENOBUFS));
    REQUIRE(other[0] == 'x' && memcmp(other, other + 1, sizeof(other) - 1) == 0);
    REQUIRE(loop_ip_name(&address->any, other, length + 1) == 0 && strcmp(name, other) == 0);

    REQUIRE(parse(name, loop_ip_port(&address->any), &again) == 0);
    REQUIRE(again.any.sa_family == address->any.sa_family);
    REQUIRE(loop_ip_port(&again.any) == loop_ip_port(&address->any));
    if (address->any.sa_family == AF_INET) {
        REQUIRE(again.v4.sin_addr.s_addr == address->v4.sin_addr.s_addr);
        REQUIRE(strcmp(name, inet_ntop(AF_INET, &address->v4.sin_addr, plain, sizeof(plain))) == 0);
    } else {
        REQUIRE(memcmp(&again.v6.sin6_addr, &address->v6.sin6_addr, sizeof(again.v6.sin6_addr)) == 0);
        REQUIRE(again.v6.sin6_scope_id == address->v6.sin6_scope_id);
        REQUIRE(inet_ntop(AF_INET6, &address->v6.sin6_addr, plain, sizeof(plain)) != NULL);
        REQUIRE(strncmp(name, plain, strlen(plain)) == 0);
        REQUIRE((name[strlen(plain)] == '%') == (address->v6.sin6_scope_id != 0));
    }
}

/* Whether getaddrinfo(3) takes the text for an IPv6 address, and which. */
static int reference(const char *text, struct sockaddr_in6 *address)
{
    struct addrinfo hints = {.ai_flags = AI_NUMERICHOST, .ai_family = AF_INET6, .ai_socktype = SOCK_STREAM};
    struct addrinfo *list = NULL;

    if (getaddrinfo(text, NULL, &hints, &list) != 0)
        return 0;
    memcpy(address, list->ai_addr, sizeof(*address));
    freeaddrinfo(list);
    return 1;
}

static void check_ipv6(const char *text, int rc, const union address *address)
{
    const char *percent = strchr(text, '%');
    char head[TEXT_MAX];
    struct in6_addr expected;
    struct sockaddr_in6 known;

    (void)snprintf(head, sizeof(head), "%.*s", (int)(percent != NULL ? percent - text : (ptrdiff_t)strlen(text)), text);
    if (inet_pton(AF_INET6, head, &expected) != 1) {
        REQUIRE(rc == LOOP_EINVAL);
        return;
    }
    if (rc == 0) {
        REQUIRE(address->v6.sin6_family == AF_INET6 && address->v6.sin6_flowinfo == 0);
        REQUIRE(memcmp(&address->v6.sin6_addr, &expected, sizeof(expected)) == 0);
    }
    if (percent == NULL) {
        REQUIRE(rc == 0 && address->v6.sin6_scope_id == 0);
    } else if (reference(text, &known)) {
        REQUIRE(rc == 0 && address->v6.sin6_scope_id == known.sin6_scope_id);
    } else if (rc == 0) {
        /* It takes names of interfaces only where the scope is a link. */
        REQUIRE(address->v6.sin6_scope_id != 0);
        REQUIRE(address->v6.sin6_scope_id == if_nametoindex(percent + 1));
    }
}

static void check_text(const char *text, int port)
{
    union address address;
    union address before;
    struct in_addr v4;
    int rc;

    memset(&address, 0x5a, sizeof(address));
    before = address;
    REQUIRE(parse(text, -1 - port, &address) == LOOP_EINVAL);
    REQUIRE(parse(text, port + 65536, &address) == LOOP_EINVAL);
    rc = parse(text, port, &address);
    REQUIRE(rc == 0 || rc == LOOP_EINVAL);
    if (inet_pton(AF_INET, text, &v4) == 1) {
        REQUIRE(rc == 0 && address.v4.sin_family == AF_INET && address.v4.sin_addr.s_addr == v4.s_addr);
    } else {
        check_ipv6(text, rc, &address);
    }
    if (rc == 0) {
        REQUIRE(loop_ip_port(&address.any) == port);
        check_name(&address);
    } else {
        REQUIRE(same_bytes(&address, &before, sizeof(address)));
    }
}

/* The bytes as an address of either family. */
static void check_bytes(const uint8_t *data, size_t size)
{
    union address address;

    memset(&address, 0, sizeof(address));
    if (size > 0)
        memcpy(&address, data, size < sizeof(address.v6) ? size : sizeof(address.v6));
    address.v6.sin6_family = AF_INET6;
    check_name(&address);
    address.v4.sin_family = AF_INET;
    check_name(&address);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char text[TEXT_MAX];
    size_t length = size < sizeof(text) ? size : sizeof(text) - 1;
    unsigned port = 0;

    if (length > 0)
        memcpy(text, data, length);
    text[length] = '\0';
    for (size_t i = 0; i < length; i++)
        port = port * 31 + data[i];
    check_text(text, (int)(port % 65536));
    check_bytes(data, size);
    return 0;
}
