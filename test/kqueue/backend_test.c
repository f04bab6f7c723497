/* See backend_test.h. */
#include "backend_test.h"

#include "kqueue/kqueue.h"
#include "platform.h"

#include <stddef.h>

#ifdef KQSHIM_TEST_API
#include "kqshim.h"
#endif

void backend_be_calm(void)
{
#ifdef KQSHIM_TEST_API
    (void)kqshim_chaos(NULL, 0);
#endif
}

void backend_adopt_process(loop_t *loop)
{
    loop__kqueue(loop)->process = loop__process_id();
}

static void (*wake_hook)(void);
static ssize_t (*real_write)(int fd, const void *base, size_t len);
static int (*real_trigger)(int kq, const struct kevent *change);

/* One of them, as the kernel has EVFILT_USER or not. */
static ssize_t hooked_write(int fd, const void *base, size_t len)
{
    wake_hook();
    return real_write(fd, base, len);
}

static int hooked_trigger(int kq, const struct kevent *change)
{
    wake_hook();
    return real_trigger(kq, change);
}

void backend_hook_wake(void (*hook)(void))
{
    if (hook == NULL) {
        loop__sys.write = real_write;
        loop__sys.kevent_trigger = real_trigger;
        return;
    }
    wake_hook = hook;
    real_write = loop__sys.write;
    real_trigger = loop__sys.kevent_trigger;
    loop__sys.write = hooked_write;
    loop__sys.kevent_trigger = hooked_trigger;
}

void backend_check(loop_t *loop)
{
    (void)loop;
}
