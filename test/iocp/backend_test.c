/* See backend_test.h. */
#include "iocp.h"

#include "backend_test.h"

#include <stddef.h>

void backend_be_calm(void) {}

static void (*wake_hook)(void);
static BOOL (*real_post)(HANDLE port, DWORD bytes, ULONG_PTR key, OVERLAPPED *overlapped);

/* The ends of times are packets too. */
static BOOL hooked_post(HANDLE port, DWORD bytes, ULONG_PTR key, OVERLAPPED *overlapped)
{
    if (key == PACKET_WAKE)
        wake_hook();
    return real_post(port, bytes, key, overlapped);
}

void backend_hook_wake(void (*hook)(void))
{
    if (hook == NULL) {
        loop__sys.PostQueuedCompletionStatus = real_post;
        return;
    }
    wake_hook = hook;
    real_post = loop__sys.PostQueuedCompletionStatus;
    loop__sys.PostQueuedCompletionStatus = hooked_post;
}

void backend_check(loop_t *loop)
{
    (void)loop;
}
