/* The headers in which this system declares sockets, and where systems differ in them. */
#ifndef LOOP_OS_SOCKET_H
#define LOOP_OS_SOCKET_H

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/un.h>

/* How writing raises no SIGPIPE: by a flag of each call, or by an option of the socket. macOS has the flag in its header, but
 * only recent kernels know it. */
#if defined(MSG_NOSIGNAL) && !defined(__APPLE__)
#define SEND_FLAGS MSG_NOSIGNAL
#else
#define SEND_FLAGS 0
#define SOCKETS_NEED_NOSIGPIPE
#endif

/* OpenBSD keeps IPv6 and IPv4 apart, and refuses to be told otherwise. */
#if defined(__OpenBSD__)
#define IPV6_IS_APART true
#else
#define IPV6_IS_APART false
#endif

/* Several listeners on one port: the kernel spreads connections over them. FreeBSD has an option of its own for it; elsewhere
 * SO_REUSEPORT gives all to the last one. */
#if defined(SO_REUSEPORT_LB)
#define SPREAD_PORT SO_REUSEPORT_LB
#elif defined(__linux__) || defined(__DragonFly__)
#define SPREAD_PORT SO_REUSEPORT
#endif

/* Idle seconds before the first probe. OpenBSD has neither this nor the other two. */
#if defined(TCP_KEEPIDLE)
#define KEEPALIVE_IDLE TCP_KEEPIDLE
#elif defined(TCP_KEEPALIVE)
#define KEEPALIVE_IDLE TCP_KEEPALIVE
#endif

#endif
