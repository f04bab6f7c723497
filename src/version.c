/* The version of the library. */
#include "loop.h"

#define TEXT(x) #x
#define EXPAND(x) TEXT(x)

unsigned loop_version(void)
{
    return LOOP_VERSION_NUMBER;
}

const char *loop_version_string(void)
{
    return EXPAND(LOOP_VERSION_MAJOR) "." EXPAND(LOOP_VERSION_MINOR) "." EXPAND(LOOP_VERSION_PATCH);
}
