/*
 * What examples need of the system beside the library: the headers that declare addresses, which Windows has under other
 * names, and the few calls on sockets that C and the library do not have. Here they have one name everywhere, so that no
 * program has to ask where it is.
 */
#ifndef EXAMPLES_OS_H
#define EXAMPLES_OS_H

#include <loop.h>

#ifdef _WIN32
#include <winsock2.h>
#include <ws2tcpip.h>
#else
#include <netinet/in.h>
#include <sys/socket.h>
#endif

/* Closes a socket that belongs to no handle. */
void os_close(loop_os_fd_t fd);

/* Two connected sockets, SOCK_STREAM or SOCK_DGRAM. 0 or an error. */
int os_pair(int type, loop_os_fd_t pair[2]);

/* A socket that listens at the address, and the address it got. 0 or an error. */
int os_listen(struct sockaddr_storage *addr, loop_os_fd_t *fd);

#endif
