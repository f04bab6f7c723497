#include "fault.h"

#include "backend_test.h"

#include <stdatomic.h>

static struct loop_sys real;
/* Atomic: threads of a pool make calls too. */
static atomic_long counts[FAULT_ROWS];
static atomic_int armed_row;
static atomic_long armed_n;
static atomic_long armed_times;
static atomic_int armed_error;

bool fault_fails(enum fault_row row)
{
    long n = ++counts[row];

    if (armed_n == 0 || (int)row != armed_row || n < armed_n || n >= armed_n + armed_times)
        return false;
    fault_set_error(armed_error);
    return true;
}

#define FAULT_WRAPPER(result, name, parameters, arguments)                                                             \
    static result fault_##name parameters                                                                              \
    {                                                                                                                  \
        return fault_fails(FAULT_##name) ? (result)fault_result(FAULT_##name, armed_error) : real.name arguments;      \
    }
FAULT_SYS(FAULT_WRAPPER)

void fault_begin(void)
{
    backend_be_calm();
    real = loop__sys;
    fault_arm((enum fault_row)0, 0, 0, 0);
#define FAULT_INSTALL(result, name, parameters, arguments) loop__sys.name = fault_##name;
    FAULT_SYS(FAULT_INSTALL)
    fault_begin_platform(&real);
}

void fault_end(void)
{
    fault_disarm();
    loop__sys = real;
}

void fault_arm(enum fault_row row, long n, int error, long times)
{
    armed_n = 0;
    for (int i = 0; i < FAULT_ROWS; i++)
        counts[i] = 0;
    armed_row = (int)row;
    armed_error = error;
    armed_times = times;
    armed_n = n;
}

void fault_disarm(void)
{
    armed_n = 0;
}

long fault_count(enum fault_row row)
{
    return counts[row];
}

long fault_count_all(void)
{
    long all = 0;

    for (int row = 0; row < FAULT_ROWS; row++)
        all += counts[row];
    return all;
}

const char *fault_name(enum fault_row row)
{
    static const char *const names[] = {
#define FAULT_NAME(result, name, parameters, arguments) #name,
        FAULT_SYS(FAULT_NAME)};

    return names[row];
}
