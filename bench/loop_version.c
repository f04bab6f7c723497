#include "bench.h"
#include "loop.h"

#include <stdio.h>

const char *contender_version(void)
{
    static char text[32];

    (void)snprintf(text, sizeof(text), "loop %s", loop_version_string());
    return text;
}
