/* What tests include of the system, on every platform under this name. Here: Windows'. */
#ifndef LOOP_TEST_SUPPORT_OS_H
#define LOOP_TEST_SUPPORT_OS_H

#ifndef WIN32_LEAN_AND_MEAN
#define WIN32_LEAN_AND_MEAN
#endif
#ifndef NOMINMAX
#define NOMINMAX
#endif
#include <winsock2.h>
#include <ws2tcpip.h>
#include <afunix.h>

/* Does not wait: LOOP_EAGAIN. No flag of Winsock's has this number. */
#define SUPPORT_DONTWAIT 0x40000000

#endif
