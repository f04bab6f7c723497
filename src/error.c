/* Names and meanings of the error codes. The numbers of each system are translated in its platform folder. */
#include "internal.h"
#include "platform.h"

const char *loop_strerror(int error)
{
    switch (error) {
#define ERROR_CASE(name, value, message)                                                                               \
    case LOOP_##name:                                                                                                  \
        return message;
        LOOP_ERRORS(ERROR_CASE)
#undef ERROR_CASE
    case LOOP_OK:
        return "success";
    default:
        return loop_strerror(LOOP_UNKNOWN);
    }
}

const char *loop_err_name(int error)
{
    switch (error) {
#define ERROR_CASE(name, value, message)                                                                               \
    case LOOP_##name:                                                                                                  \
        return #name;
        LOOP_ERRORS(ERROR_CASE)
#undef ERROR_CASE
    case LOOP_OK:
        return "OK";
    default:
        return loop_err_name(LOOP_UNKNOWN);
    }
}

int loop_translate_sys_error(int sys_error)
{
    if (sys_error <= 0)
        return sys_error;
    return loop__system_error(sys_error);
}
