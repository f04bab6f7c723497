/* See backend_test.h. */
#include "backend_test.h"

#include <stddef.h>

void backend_be_calm(void) {}

void backend_adopt_process(loop_t *loop)
{
    (void)loop;
}

static void (*wake_hook)(void);
static ssize_t (*real_write)(int fd, const void *base, size_t len);

static ssize_t hooked_write(int fd, const void *base, size_t len)
{
    wake_hook();
    return real_write(fd, base, len);
}

void backend_hook_wake(void (*hook)(void))
{
    if (hook == NULL) {
        loop__sys.write_wake_up = real_write;
        return;
    }
    wake_hook = hook;
    real_write = loop__sys.write_wake_up;
    loop__sys.write_wake_up = hooked_write;
}
