/* Socket addresses: text to address and back, lengths by family. */
#include "internal.h"
#include "os_socket.h"
#include "platform.h"

#include <string.h>

/* Longest text: eight groups, an embedded IPv4 address, the scope, the NUL. */
#define TEXT_SIZE 64

int loop__address_family(const struct sockaddr *addr)
{
    return addr->sa_family;
}

bool loop__address_is_ip(const struct sockaddr *addr)
{
    return addr->sa_family == AF_INET || addr->sa_family == AF_INET6;
}

size_t loop__address_length(const struct sockaddr *addr)
{
    switch (addr->sa_family) {
    case AF_INET:
        return sizeof(struct sockaddr_in);
    case AF_INET6:
        return sizeof(struct sockaddr_in6);
    case AF_UNIX:
        return sizeof(struct sockaddr_un);
    default:
        return 0;
    }
}

_Static_assert(sizeof(struct sockaddr_in6) <= OP_ADDRESS_SIZE, "an operation keeps any address");
_Static_assert(sizeof(struct sockaddr_un) <= OP_ADDRESS_SIZE, "an operation keeps any address");

/* The number after the '%' of an IPv6 address: digits, or the name of an interface. */
static int parse_scope(const char *text, uint32_t *scope)
{
    uint64_t number = 0;
    const char *p = text;

    while (*p >= '0' && *p <= '9' && number <= UINT32_MAX)
        number = number * 10 + (uint64_t)(*p++ - '0');
    if (*p == '\0' && p != text && number <= UINT32_MAX) {
        *scope = (uint32_t)number;
        return 0;
    }
    *scope = loop__interface_index(text);
    return *scope != 0 ? 0 : LOOP_EINVAL;
}

static int parse_ipv6(const char *ip, struct sockaddr_in6 *addr)
{
    char text[TEXT_SIZE];
    const char *percent = strchr(ip, '%');
    size_t length = percent != NULL ? (size_t)(percent - ip) : strlen(ip);
    uint32_t scope = 0;

    if (length >= sizeof(text))
        return LOOP_EINVAL;
    memcpy(text, ip, length);
    text[length] = '\0';
    if (inet_pton(AF_INET6, text, &addr->sin6_addr) != 1)
        return LOOP_EINVAL;
    if (percent != NULL && parse_scope(percent + 1, &scope) != 0)
        return LOOP_EINVAL;
    addr->sin6_family = AF_INET6;
    addr->sin6_scope_id = scope;
    return 0;
}

int loop_ip_addr(const char *ip, int port, struct sockaddr_storage *addr)
{
    union {
        struct sockaddr_storage any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } result;

    if (ip == NULL || addr == NULL || port < 0 || port > 65535)
        return LOOP_EINVAL;
    memset(&result, 0, sizeof(result));
    if (inet_pton(AF_INET, ip, &result.v4.sin_addr) == 1) {
        result.v4.sin_family = AF_INET;
        result.v4.sin_port = htons((uint16_t)port);
    } else {
        memset(&result, 0, sizeof(result));
        if (parse_ipv6(ip, &result.v6) != 0)
            return LOOP_EINVAL;
        result.v6.sin6_port = htons((uint16_t)port);
    }
    *addr = result.any;
    return 0;
}

/* Appends "%" and the scope in digits; the text has room for them. */
static void append_scope(char *text, uint32_t scope)
{
    char digits[10];
    size_t n = 0;

    text += strlen(text);
    *text++ = '%';
    do {
        digits[n++] = (char)('0' + scope % 10);
        scope /= 10;
    } while (scope > 0);
    while (n > 0)
        *text++ = digits[--n];
    *text = '\0';
}

int loop_ip_name(const struct sockaddr *addr, char *text, size_t size)
{
    char result[TEXT_SIZE] = "";
    size_t length;

    if (addr == NULL || text == NULL || size == 0)
        return LOOP_EINVAL;
    if (addr->sa_family == AF_INET) {
        (void)inet_ntop(AF_INET, &((const struct sockaddr_in *)(const void *)addr)->sin_addr, result, sizeof(result));
    } else if (addr->sa_family == AF_INET6) {
        const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)(const void *)addr;

        (void)inet_ntop(AF_INET6, &v6->sin6_addr, result, sizeof(result));
        if (v6->sin6_scope_id != 0)
            append_scope(result, (uint32_t)v6->sin6_scope_id);
    } else {
        return LOOP_EAFNOSUPPORT;
    }
    length = strlen(result);
    if (length >= size)
        return LOOP_ENOBUFS;
    memcpy(text, result, length + 1);
    return 0;
}

int loop_ip_port(const struct sockaddr *addr)
{
    if (addr == NULL)
        return LOOP_EINVAL;
    if (addr->sa_family == AF_INET)
        return ntohs(((const struct sockaddr_in *)(const void *)addr)->sin_port);
    if (addr->sa_family == AF_INET6)
        return ntohs(((const struct sockaddr_in6 *)(const void *)addr)->sin6_port);
    return LOOP_EAFNOSUPPORT;
}
