/* The table of system calls, filled with the system's own. The only file that names them outside of the table. */
#include "sys.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <unistd.h>

/* One function each: some are variadic, or have parameters of a type that only their own header can spell. */
#define SYS_FUNCTION(result, name, parameters, arguments)                                                              \
    static result sys_##name parameters                                                                                \
    {                                                                                                                  \
        return name arguments;                                                                                         \
    }
LOOP_POSIX_SYS(SYS_FUNCTION)
LOOP_BACKEND_SYS(SYS_FUNCTION)

struct loop_sys loop__sys = {
#define SYS_ENTRY(result, name, parameters, arguments) .name = sys_##name,
    LOOP_POSIX_SYS(SYS_ENTRY) LOOP_BACKEND_SYS(SYS_ENTRY)
#undef SYS_ENTRY
};
