/*
 * Preloaded into test programs, counts the assertions of cmocka that are executed, and at the end adds a line with their number
 * to the file that LOOP_ASSERTIONS names. See compare-suites.sh.
 */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dlfcn.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static atomic_long count;

#define COUNTED(name, parameters, arguments)                                                                           \
    void name parameters                                                                                               \
    {                                                                                                                  \
        static void(*real) parameters;                                                                                 \
                                                                                                                       \
        if (real == NULL)                                                                                              \
            *(void **)&real = dlsym(RTLD_NEXT, #name);                                                                 \
        count++;                                                                                                       \
        real arguments;                                                                                                \
    }

COUNTED(_assert_true, (const LargestIntegralType result, const char *what, const char *file, const int line),
        (result, what, file, line))
COUNTED(_assert_int_equal, (const LargestIntegralType a, const LargestIntegralType b, const char *file, const int line),
        (a, b, file, line))
COUNTED(_assert_int_not_equal,
        (const LargestIntegralType a, const LargestIntegralType b, const char *file, const int line),
        (a, b, file, line))
COUNTED(_assert_string_equal, (const char *a, const char *b, const char *file, const int line), (a, b, file, line))
COUNTED(_assert_memory_equal, (const void *a, const void *b, const size_t size, const char *file, const int line),
        (a, b, size, file, line))
COUNTED(_assert_in_range,
        (const LargestIntegralType value, const LargestIntegralType minimum, const LargestIntegralType maximum,
         const char *file, const int line),
        (value, minimum, maximum, file, line))

/* The row that the program runs: its first argument. */
static const char *row(void)
{
    static char text[256];
    FILE *file = fopen("/proc/self/cmdline", "r");
    size_t n = file != NULL ? fread(text, 1, sizeof(text) - 1, file) : 0;
    const char *first = memchr(text, '\0', n);

    if (file != NULL)
        (void)fclose(file);
    return first != NULL && first + 1 < text + n ? first + 1 : "";
}

__attribute__((destructor)) static void write_count(void)
{
    const char *name = getenv("LOOP_ASSERTIONS");
    FILE *file = name != NULL ? fopen(name, "a") : NULL;

    if (file == NULL)
        return;
    (void)fprintf(file, "%ld %s.%s\n", atomic_load(&count), program_invocation_short_name, row());
    (void)fclose(file);
}
