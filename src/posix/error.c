/* errno values and their LOOP_E* codes. */
#include "platform.h"
#include "sys.h"

#include <errno.h>

int loop__system_error(int number)
{
    switch (number) {
#define ERRNO_CASE(name, value, message)                                                                               \
    case name:                                                                                                         \
        return LOOP_##name;
        LOOP_SYSTEM_ERRORS(ERRNO_CASE)
#undef ERRNO_CASE
#if EWOULDBLOCK != EAGAIN
    case EWOULDBLOCK:
        return LOOP_EAGAIN;
#endif
#if EOPNOTSUPP != ENOTSUP
    case EOPNOTSUPP:
        return LOOP_ENOTSUP;
#endif
    default:
        return LOOP_UNKNOWN;
    }
}

int loop__errno(void)
{
    return loop__system_error(errno);
}
