/* The table of system calls, filled with the system's own. The only file that names them outside of the table. */
#include "sys.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <sys/socket.h>
#include <unistd.h>

/* One function each where the system's own is variadic, or has parameters of a type that only its own header can spell. */
#define SYS_FUNCTION(result, name, parameters, arguments)                                                              \
    static result sys_##name parameters                                                                                \
    {                                                                                                                  \
        return name arguments;                                                                                         \
    }
LOOP_POSIX_WRAPPED_SYS(SYS_FUNCTION)
LOOP_BACKEND_SYS(SYS_FUNCTION)

struct loop_sys loop__sys = {
#define SYS_DIRECT(result, name, parameters, arguments) .name = name,
#define SYS_ENTRY(result, name, parameters, arguments) .name = sys_##name,
    LOOP_POSIX_DIRECT_SYS(SYS_DIRECT) LOOP_POSIX_WRAPPED_SYS(SYS_ENTRY) LOOP_BACKEND_SYS(SYS_ENTRY)
#undef SYS_DIRECT
#undef SYS_ENTRY
};
