/* timers COUNT [start] [later] [random] [stop] [fire]: what is named is done, in this order, over all timers. */
#include "bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint32_t *timeouts(uint32_t count)
{
    uint32_t *values = bench_calloc(count, sizeof(*values));

    for (uint32_t i = 0; i < count; i++)
        values[i] = bench_random(timers_per_second);
    return values;
}

static bool phase(struct timers_job *job, const char *name)
{
    struct {
        const char *name;
        bool *wanted;
    } phases[] = {
        {"start", &job->start}, {"later", &job->later}, {"random", &job->random},
        {"stop", &job->stop},   {"fire", &job->fire},
    };

    for (size_t i = 0; i < sizeof(phases) / sizeof(phases[0]); i++) {
        if (strcmp(name, phases[i].name) == 0) {
            *phases[i].wanted = true;
            return true;
        }
    }
    return false;
}

int main(int argc, char **argv)
{
    struct timers_job job = {0};
    uint32_t *first;
    uint32_t *second;
    uint64_t fired;

    if (argc < 2) {
        (void)fprintf(stderr, "usage: %s COUNT [start] [later] [random] [stop] [fire]\n", argv[0]);
        return 2;
    }
    job.count = (uint32_t)bench_number(argv[1], 100000000);
    for (int i = 2; i < argc; i++) {
        if (!phase(&job, argv[i])) {
            (void)fprintf(stderr, "there is no phase '%s'\n", argv[i]);
            return 2;
        }
    }
    first = timeouts(job.count);
    second = timeouts(job.count);
    job.first = first;
    job.second = second;
    bench_begin();
    fired = timers_run(&job);
    bench_end();
    if (fired != (job.fire && job.start && !job.stop ? job.count : 0))
        bench_fail("not all timers fired, or too many");
    printf("%s timers: check %llu fired of %u\n", contender_version(), (unsigned long long)fired, job.count);
    free(second);
    free(first);
    return 0;
}
