#include "fake_time.h"

#include "backend_test.h"

#include "posix/sys.h"

uint64_t fake_time;
int fake_time_reads;
static struct loop_sys system_calls;

static int read_time(clockid_t clock, struct timespec *ts)
{
    (void)clock;
    fake_time_reads++;
    ts->tv_sec = (time_t)(fake_time / 1000000000u);
    ts->tv_nsec = (long)(fake_time % 1000000000u);
    return 0;
}

static void advance(uint64_t ns)
{
    fake_time += ns;
}

BACKEND_FAKE_WAIT(wait_in_fake_time, advance)

void fake_time_begin(void)
{
    system_calls = loop__sys;
    loop__sys.clock_gettime = read_time;
    BACKEND_FAKE_WAIT_INSTALL(wait_in_fake_time);
    fake_time = (uint64_t)1000 * 1000000000u;
    fake_time_reads = 0;
}

void fake_time_end(void)
{
    loop__sys = system_calls;
}
