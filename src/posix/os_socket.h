/* The headers in which this system declares socket addresses. */
#ifndef LOOP_OS_SOCKET_H
#define LOOP_OS_SOCKET_H

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/un.h>

#endif
