/* Calls of libc that a kqueue has to know of. They stand before libc's, which are found by dlsym(RTLD_NEXT). */
#include "internal.h"

#include <dlfcn.h>
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

static struct kqshim_real real;
static atomic_bool found;

static void find(void *function, const char *name)
{
    void *address = dlsym(RTLD_NEXT, name);

    memcpy(function, &address, sizeof(address));
}

__attribute__((constructor)) static void find_all(void)
{
    find(&real.close, "close");
    find(&real.dup2, "dup2");
    find(&real.dup3, "dup3");
    find(&real.close_range, "close_range");
    find(&real.fclose, "fclose");
    find(&real.closedir, "closedir");
    find(&real.shutdown, "shutdown");
    find(&real.connect, "connect");
    find(&real.setsockopt, "setsockopt");
    find(&real.send, "send");
    find(&real.sendto, "sendto");
    find(&real.sendmsg, "sendmsg");
    find(&real.write, "write");
    find(&real.writev, "writev");
    atomic_store(&found, true);
}

/* Other libraries may call before our constructor has run. */
const struct kqshim_real *kqshim_real(void)
{
    if (!atomic_load(&found))
        find_all();
    return &real;
}

#if defined(KQSHIM_MACOS)
/* As kqshim_system.h has it, which is for users. */
#define SO_NOSIGPIPE 0x1022

static void set_no_sigpipe(int fd, bool set);
#endif

void kqshim_forget_number(int fd)
{
    if (fd < 0)
        return;
    kqshim_destroy(fd);
    kqshim_forget(fd);
    kqshim_lift_refusal(fd);
#if defined(KQSHIM_MACOS)
    set_no_sigpipe(fd, false);
#endif
}

KQSHIM_PUBLIC int close(int fd)
{
    int saved = errno;

    if (kqshim_is_inner(fd)) {
        errno = EBADF;
        return -1;
    }
    kqshim_forget_number(fd);
    errno = saved;
    return kqshim_real()->close(fd);
}

KQSHIM_PUBLIC int dup2(int from, int to)
{
    if (from != to)
        kqshim_forget_number(to);
    return kqshim_real()->dup2(from, to);
}

KQSHIM_PUBLIC int dup3(int from, int to, int flags)
{
    if (from != to)
        kqshim_forget_number(to);
    return kqshim_real()->dup3(from, to, flags);
}

/* Descriptors of ours, which no program knows, survive. */
KQSHIM_PUBLIC int close_range(unsigned first, unsigned last, int flags)
{
    unsigned begin = first;

    if (flags != 0)
        return kqshim_real()->close_range(first, last, flags);
    for (unsigned fd = first; fd <= last && fd < KQSHIM_NUMBERS; fd++) {
        if (!kqshim_is_inner((int)fd)) {
            kqshim_forget_number((int)fd);
            continue;
        }
        if (begin < fd)
            (void)kqshim_real()->close_range(begin, fd - 1, 0);
        begin = fd + 1;
    }
    return begin <= last ? kqshim_real()->close_range(begin, last, 0) : 0;
}

KQSHIM_PUBLIC void closefrom(int first)
{
    (void)close_range(first < 0 ? 0u : (unsigned)first, ~0u, 0);
}

KQSHIM_PUBLIC int fclose(FILE *file)
{
    kqshim_forget_number(fileno(file));
    return kqshim_real()->fclose(file);
}

KQSHIM_PUBLIC int closedir(DIR *directory)
{
    kqshim_forget_number(dirfd(directory));
    return kqshim_real()->closedir(directory);
}

/* The kernel makes no edge of everything that these two change. */
KQSHIM_PUBLIC int shutdown(int fd, int how)
{
    int result = kqshim_real()->shutdown(fd, how);
    int saved = errno;

    kqshim_recheck(fd);
    errno = saved;
    return result;
}

/* __CONST_SOCKADDR_ARG is the union of pointers that glibc declares the parameter as. */
KQSHIM_PUBLIC int connect(int fd, __CONST_SOCKADDR_ARG address, socklen_t size)
{
    int result = kqshim_real()->connect(fd, address.__sockaddr__, size);
    int saved = errno;

    kqshim_recheck(fd);
    errno = saved;
    return result;
}

#if defined(KQSHIM_MACOS)

/* SO_NOSIGPIPE is kept per number; an accepted socket begins without. */
static atomic_bool no_sigpipe[KQSHIM_NUMBERS];

static void set_no_sigpipe(int fd, bool set)
{
    if (fd >= 0 && fd < KQSHIM_NUMBERS && atomic_load_explicit(&no_sigpipe[fd], memory_order_relaxed) != set)
        atomic_store(&no_sigpipe[fd], set);
}

static bool quiet(int fd)
{
    return fd >= 0 && fd < KQSHIM_NUMBERS && atomic_load_explicit(&no_sigpipe[fd], memory_order_relaxed);
}

KQSHIM_PUBLIC int setsockopt(int fd, int level, int name, const void *value, socklen_t size)
{
    struct pollfd pfd = {.fd = fd, .events = POLLRDHUP};

    if (level != SOL_SOCKET || name != SO_NOSIGPIPE)
        return kqshim_real()->setsockopt(fd, level, name, value, size);
    if (size < (socklen_t)sizeof(int) || poll(&pfd, 1, 0) < 0 || (pfd.revents & POLLNVAL) != 0) {
        errno = size < (socklen_t)sizeof(int) ? EINVAL : EBADF;
        return -1;
    }
    /* A socket whose both directions are over takes no options. */
    if ((pfd.revents & POLLHUP) != 0 && (pfd.revents & POLLRDHUP) != 0) {
        errno = EINVAL;
        return -1;
    }
    set_no_sigpipe(fd, *(const int *)value != 0);
    return 0;
}

KQSHIM_PUBLIC ssize_t send(int fd, const void *base, size_t length, int flags)
{
    return kqshim_real()->send(fd, base, length, quiet(fd) ? flags | MSG_NOSIGNAL : flags);
}

KQSHIM_PUBLIC ssize_t sendto(int fd, const void *base, size_t length, int flags, __CONST_SOCKADDR_ARG address,
                             socklen_t size)
{
    if (quiet(fd))
        flags |= MSG_NOSIGNAL;
    return kqshim_real()->sendto(fd, base, length, flags, address.__sockaddr__, size);
}

KQSHIM_PUBLIC ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
    return kqshim_real()->sendmsg(fd, message, quiet(fd) ? flags | MSG_NOSIGNAL : flags);
}

KQSHIM_PUBLIC ssize_t write(int fd, const void *base, size_t length)
{
    if (quiet(fd))
        return kqshim_real()->send(fd, base, length, MSG_NOSIGNAL);
    return kqshim_real()->write(fd, base, length);
}

KQSHIM_PUBLIC ssize_t writev(int fd, const struct iovec *parts, int count)
{
    struct msghdr message = {.msg_iov = (struct iovec *)parts, .msg_iovlen = count < 0 ? 0 : (size_t)count};

    if (quiet(fd))
        return kqshim_real()->sendmsg(fd, &message, MSG_NOSIGNAL);
    return kqshim_real()->writev(fd, parts, count);
}

#endif
