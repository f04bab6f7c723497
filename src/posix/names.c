/* Name resolution. These calls block and are made by threads of a pool. */
#include "platform.h"
#include "sys.h"

/* Of the errors that not every system knows, some have the number of another. */
static int resolver_error(int code)
{
    switch (code) {
    case 0:
        return 0;
    case EAI_AGAIN:
        return LOOP_EAI_AGAIN;
    case EAI_BADFLAGS:
        return LOOP_EAI_BADFLAGS;
    case EAI_FAIL:
        return LOOP_EAI_FAIL;
    case EAI_FAMILY:
        return LOOP_EAI_FAMILY;
    case EAI_MEMORY:
        return LOOP_EAI_MEMORY;
    case EAI_NONAME:
        return LOOP_EAI_NONAME;
    case EAI_OVERFLOW:
        return LOOP_EAI_OVERFLOW;
    case EAI_SERVICE:
        return LOOP_EAI_SERVICE;
    case EAI_SOCKTYPE:
        return LOOP_EAI_SOCKTYPE;
    case EAI_SYSTEM:
        return loop__errno();
#ifdef EAI_ADDRFAMILY
    case EAI_ADDRFAMILY:
        return LOOP_EAI_ADDRFAMILY;
#endif
#ifdef EAI_BADHINTS
    case EAI_BADHINTS:
        return LOOP_EAI_BADHINTS;
#endif
#ifdef EAI_CANCELED
    case EAI_CANCELED:
        return LOOP_EAI_CANCELED;
#endif
#if defined(EAI_NODATA) && EAI_NODATA != EAI_NONAME
    case EAI_NODATA:
        return LOOP_EAI_NODATA;
#endif
#ifdef EAI_PROTOCOL
    case EAI_PROTOCOL:
        return LOOP_EAI_PROTOCOL;
#endif
    default:
        return LOOP_UNKNOWN;
    }
}

void loop__hints_copy(struct loop__hints *copy, const struct addrinfo *hints)
{
    copy->flags = hints->ai_flags;
    copy->family = hints->ai_family;
    copy->socktype = hints->ai_socktype;
    copy->protocol = hints->ai_protocol;
}

int loop__getaddrinfo(const char *node, const char *service, const struct loop__hints *hints, struct addrinfo **list)
{
    struct addrinfo full = {0};
    int error;

    if (hints != NULL) {
        full.ai_flags = hints->flags;
        full.ai_family = hints->family;
        full.ai_socktype = hints->socktype;
        full.ai_protocol = hints->protocol;
    }
    /* No hints are not the same as empty ones: getaddrinfo(3). */
    error = resolver_error(loop__sys.getaddrinfo(node, service, hints != NULL ? &full : NULL, list));
    if (error != 0)
        *list = NULL;
    return error;
}

void loop__freeaddrinfo(struct addrinfo *list)
{
    freeaddrinfo(list);
}

int loop__getnameinfo(const struct sockaddr *addr, char *host, size_t host_size, char *service, size_t service_size,
                      int flags)
{
    return resolver_error(loop__sys.getnameinfo(addr, (socklen_t)loop__address_length(addr), host, (socklen_t)host_size,
                                                service, (socklen_t)service_size, flags));
}
