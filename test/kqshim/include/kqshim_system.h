/*
 * Included before the first line of every file that is built for the kqueue emulation (-include). Takes from Linux what
 * the emulated system has not, and adds what Linux has not. For other systems than macOS there is nothing to do.
 */
#ifndef KQSHIM_SYSTEM_H
#define KQSHIM_SYSTEM_H

#if defined(KQSHIM_MACOS)

/*
 * The names are replaced while the headers are read, so that the functions and the enumerators are declared under
 * another name and neither a use nor #ifdef finds the old one.
 */
#define accept4 kqshim_hidden_accept4
#define pipe2 kqshim_hidden_pipe2
#define dup3 kqshim_hidden_dup3
#define SOCK_NONBLOCK KQSHIM_HIDDEN_SOCK_NONBLOCK
#define SOCK_CLOEXEC KQSHIM_HIDDEN_SOCK_CLOEXEC
#define MSG_NOSIGNAL KQSHIM_HIDDEN_MSG_NOSIGNAL

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#undef accept4
#undef pipe2
#undef dup3
#undef SOCK_NONBLOCK
#undef SOCK_CLOEXEC
#undef MSG_NOSIGNAL

/* Known to the emulation's setsockopt(). */
#define SO_NOSIGPIPE 0x1022

#endif

#endif
