/*
 * The headers in which Windows declares sockets, in the only order in which they get along. Nothing else here includes
 * <windows.h> or <winsock2.h>.
 */
#ifndef LOOP_OS_SOCKET_H
#define LOOP_OS_SOCKET_H

/* They keep out of <windows.h>: <winsock.h>, which clashes with <winsock2.h>; the macros min and max. */
#ifndef WIN32_LEAN_AND_MEAN
#define WIN32_LEAN_AND_MEAN
#endif
#ifndef NOMINMAX
#define NOMINMAX
#endif
/* What headers declare, not what has to be there: that is decided by which functions are called. */
#ifndef _WIN32_WINNT
#define _WIN32_WINNT 0x0A00
#endif

#include <winsock2.h>
#include <ws2tcpip.h>
#include <afunix.h>

#endif
