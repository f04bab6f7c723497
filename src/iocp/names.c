/*
 * Name resolution. These calls block and are made by threads of a pool.
 *
 * The calls are those with narrow characters, although Windows takes them for the ANSI code page: names go to the
 * resolver byte by byte, in ASCII form, and what the caller gets and takes apart is struct addrinfo, not ADDRINFOW.
 */
#include "platform.h"
#include "sys.h"

/* The numbers of Winsock, of which EAI_* are other names: some for the same number, and not so in all headers. */
static int resolver_error(int code)
{
    switch (code) {
    case 0:
        return 0;
    case WSAEINVAL:
        return LOOP_EAI_BADFLAGS;
    case WSAEAFNOSUPPORT:
        return LOOP_EAI_FAMILY;
    case WSA_NOT_ENOUGH_MEMORY:
        return LOOP_EAI_MEMORY;
    case ERROR_INSUFFICIENT_BUFFER:
        return LOOP_EAI_OVERFLOW;
    case WSATYPE_NOT_FOUND:
        return LOOP_EAI_SERVICE;
    case WSAESOCKTNOSUPPORT:
        return LOOP_EAI_SOCKTYPE;
    default: /* LOOP_EAI_NONAME and others that GetLastError() gives too */
        return loop__system_error(code);
    }
}

void loop__hints_copy(struct loop__hints *copy, const struct addrinfo *hints)
{
    copy->flags = hints->ai_flags;
    copy->family = hints->ai_family;
    copy->socktype = hints->ai_socktype;
    copy->protocol = hints->ai_protocol;
}

/* Windows ignores some of what it does not know: errors should not depend on its version. */
static int check_hints(const struct loop__hints *hints)
{
    const int known = AI_PASSIVE | AI_CANONNAME | AI_NUMERICHOST | AI_NUMERICSERV | AI_ALL | AI_ADDRCONFIG |
                      AI_V4MAPPED | AI_NON_AUTHORITATIVE | AI_SECURE | AI_RETURN_PREFERRED_NAMES | AI_FQDN |
                      AI_FILESERVER | AI_DISABLE_IDN_ENCODING;

    return hints != NULL && (hints->flags & ~known) != 0 ? LOOP_EAI_BADFLAGS : 0;
}

/* Windows leaves the protocol at 0 unless it was asked for, where others name the one of the socket type. */
static void name_protocols(struct addrinfo *list)
{
    for (; list != NULL; list = list->ai_next) {
        if (list->ai_protocol == 0 && list->ai_socktype == SOCK_STREAM)
            list->ai_protocol = IPPROTO_TCP;
        else if (list->ai_protocol == 0 && list->ai_socktype == SOCK_DGRAM)
            list->ai_protocol = IPPROTO_UDP;
    }
}

int loop__getaddrinfo(const char *node, const char *service, const struct loop__hints *hints, struct addrinfo **list)
{
    struct addrinfo full = {0};
    int error = check_hints(hints);

    if (error == 0)
        error = loop__winsock_start();
    if (hints != NULL) {
        full.ai_flags = hints->flags;
        full.ai_family = hints->family;
        full.ai_socktype = hints->socktype;
        full.ai_protocol = hints->protocol;
    }
    if (error == 0)
        error = resolver_error(loop__sys.getaddrinfo(node, service, hints != NULL ? &full : NULL, list));
    if (error != 0)
        *list = NULL;
    name_protocols(*list);
    return error;
}

void loop__freeaddrinfo(struct addrinfo *list)
{
    freeaddrinfo(list);
}

int loop__getnameinfo(const struct sockaddr *addr, char *host, size_t host_size, char *service, size_t service_size,
                      int flags)
{
    const int known = NI_NOFQDN | NI_NUMERICHOST | NI_NAMEREQD | NI_NUMERICSERV | NI_DGRAM;
    int error = flags & ~known ? LOOP_EAI_BADFLAGS : loop__winsock_start();

    if (error != 0)
        return error;
    return resolver_error(loop__sys.getnameinfo(addr, (socklen_t)loop__address_length(addr), host, (DWORD)host_size,
                                                service, (DWORD)service_size, flags));
}

unsigned loop__interface_index(const char *name)
{
    return loop__sys.if_nametoindex(name);
}
