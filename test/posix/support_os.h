/* What tests include of the system, on every platform under this name. Here: POSIX's. */
#ifndef LOOP_TEST_SUPPORT_OS_H
#define LOOP_TEST_SUPPORT_OS_H

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/un.h>

/* Does not wait: LOOP_EAGAIN. */
#define SUPPORT_DONTWAIT MSG_DONTWAIT

#endif
