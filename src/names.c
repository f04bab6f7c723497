/* Name resolution: the system's blocking calls on threads of the pool. */
#include "internal.h"
#include "os_socket.h"
#include "platform.h"

#include <string.h>

/* Longer is no name: of a host, of a service. POSIX systems give as much room themselves (NI_MAXHOST, NI_MAXSERV). */
#define HOST_SIZE 1025
#define SERVICE_SIZE 32

struct getaddrinfo_request {
    loop_work_t work; /* public */
    loop_getaddrinfo_cb cb;
    char *names; /* one block: node and service */
    const char *node;
    const char *service;
    struct addrinfo *list;
    struct loop__hints hints;
    int result;
    bool has_hints;
};
FITS(struct getaddrinfo_request, loop_getaddrinfo_t);

struct name_texts {
    char host[HOST_SIZE];
    char service[SERVICE_SIZE];
};

struct getnameinfo_request {
    loop_work_t work; /* public */
    loop_getnameinfo_cb cb;
    struct name_texts *texts;
    union {
        struct sockaddr any;
        struct sockaddr_in6 longest;
    } address;
    int flags;
    int result;
};
FITS(struct getnameinfo_request, loop_getnameinfo_t);

/* ------------------------------------------------------------------------------------------------- name to address -- */

static void find_addresses(loop_work_t *work)
{
    struct getaddrinfo_request *request = (struct getaddrinfo_request *)work;

    request->result =
        loop__getaddrinfo(request->node, request->service, request->has_hints ? &request->hints : NULL, &request->list);
}

static void addresses_found(loop_work_t *work, int status)
{
    struct getaddrinfo_request *request = (struct getaddrinfo_request *)work;

    loop__free(((struct work *)work)->loop, request->names);
    if (status != 0)
        request->cb((loop_getaddrinfo_t *)request, status, NULL);
    else
        request->cb((loop_getaddrinfo_t *)request, request->result, request->list);
}

/* Whether the name can be one; *size grows by what its copy needs. */
static bool measure(const char *name, size_t limit, size_t *size)
{
    size_t length = name != NULL ? strlen(name) : 0;

    if (length >= limit)
        return false;
    *size += name != NULL ? length + 1 : 0;
    return true;
}

static const char *copy_name(char **to, const char *name)
{
    char *copy = *to;
    size_t size;

    if (name == NULL)
        return NULL;
    size = strlen(name) + 1;
    memcpy(copy, name, size);
    *to += size;
    return copy;
}

int loop_getaddrinfo(loop_t *loop, loop_getaddrinfo_t *public_request, const char *node, const char *service,
                     const struct addrinfo *hints, loop_getaddrinfo_cb cb)
{
    struct getaddrinfo_request *request = (struct getaddrinfo_request *)public_request;
    size_t size = 0;
    char *names;
    int error = loop__work_check(loop, (loop_work_t *)request);

    if (error != 0)
        return error;
    if (cb == NULL || (node == NULL && service == NULL) || !measure(node, HOST_SIZE, &size) ||
        !measure(service, SERVICE_SIZE, &size))
        return LOOP_EINVAL;
    names = loop__resize(loop, NULL, size);
    if (names == NULL)
        return LOOP_ENOMEM;
    request->cb = cb;
    request->names = names;
    request->node = copy_name(&names, node);
    request->service = copy_name(&names, service);
    request->list = NULL;
    request->has_hints = hints != NULL;
    if (hints != NULL)
        loop__hints_copy(&request->hints, hints);
    error = loop__work_submit(loop, &request->work, LOOP_LANE_NAMES, find_addresses, addresses_found);
    if (error != 0)
        loop__free(loop, request->names);
    return error;
}

void loop_freeaddrinfo(struct addrinfo *list)
{
    if (list != NULL)
        loop__freeaddrinfo(list);
}

/* ------------------------------------------------------------------------------------------------- address to name -- */

static void find_name(loop_work_t *work)
{
    struct getnameinfo_request *request = (struct getnameinfo_request *)work;
    struct name_texts *texts = request->texts;

    request->result = loop__getnameinfo(&request->address.any, texts->host, sizeof(texts->host), texts->service,
                                        sizeof(texts->service), request->flags);
}

static void name_found(loop_work_t *work, int status)
{
    struct getnameinfo_request *request = (struct getnameinfo_request *)work;
    struct name_texts *texts = request->texts; /* the callback may use the request again */
    loop_t *loop = ((struct work *)work)->loop;
    int result = status != 0 ? status : request->result;

    if (result == 0)
        request->cb((loop_getnameinfo_t *)request, 0, texts->host, texts->service);
    else
        request->cb((loop_getnameinfo_t *)request, result, NULL, NULL);
    loop__free(loop, texts);
}

int loop_getnameinfo(loop_t *loop, loop_getnameinfo_t *public_request, const struct sockaddr *addr, int flags,
                     loop_getnameinfo_cb cb)
{
    struct getnameinfo_request *request = (struct getnameinfo_request *)public_request;
    int error = loop__work_check(loop, (loop_work_t *)request);

    if (error != 0)
        return error;
    if (addr == NULL || cb == NULL)
        return LOOP_EINVAL;
    if (!loop__address_is_ip(addr))
        return LOOP_EAFNOSUPPORT;
    request->texts = loop__resize(loop, NULL, sizeof(*request->texts));
    if (request->texts == NULL)
        return LOOP_ENOMEM;
    memcpy(&request->address, addr, loop__address_length(addr));
    request->cb = cb;
    request->flags = flags;
    error = loop__work_submit(loop, &request->work, LOOP_LANE_NAMES, find_name, name_found);
    if (error != 0)
        loop__free(loop, request->texts);
    return error;
}
