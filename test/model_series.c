/* A series of runs, which is what a row does, and the options of the command line; see model.h. */
#include "model_shrink.h"

static uint64_t given_seed = 20261123;
static uint64_t given_steps;
static bool given_verbose;

struct series {
    struct plan plan;
    uint64_t steps;
};

static void run_series(void *arg, struct report *report)
{
    const struct series *series = arg;
    struct plan plan = series->plan;

    for (; report->steps < series->steps; plan.seed++)
        model_run(&plan, report);
}

/* Under something that watches this process alone, runs cannot have one of their own. */
static bool is_watched(void)
{
    const char *launcher = getenv("LOOP_TEST_LAUNCHER");

    return launcher != NULL && launcher[0] != '\0';
}

static void explain(struct series *series, const struct report *report)
{
    struct shrunk shrunk;

    series->plan.seed = report->seed;
    print_message("failed with seed %llu in step %u of its run: %s:%d: %s\n", (unsigned long long)report->seed,
                  report->step, report->file, report->line, report->text);
    print_message("repeat it by --seed %llu\n", (unsigned long long)report->seed);
    shrunk = shrink(&series->plan, report, 120);
    print_message("%lu atoms are left after %lu tries:\n", (unsigned long)shrunk.plan.unit_count,
                  (unsigned long)shrunk.tries);
    shrink_show(&shrunk.plan);
    free(shrunk.units);
}

/* A system that is slow by itself is so whatever watches the tests. */
static uint64_t steps_here(uint64_t steps, uint64_t slow_steps)
{
    if (system_can.step_costs > 1)
        return steps / system_can.step_costs;
    return harness_slow() ? slow_steps : steps;
}

void model_row(const struct plan *plan, uint64_t steps, uint64_t slow_steps)
{
    struct series series = {.plan = *plan};
    struct report *report = child_report();
    double began = child_clock();
    enum outcome outcome = OUTCOME_PASSED;

    series.plan.seed = given_seed;
    series.plan.verbose = given_verbose;
    series.steps = given_steps > 0 ? given_steps : steps_here(steps, slow_steps);
    if (is_watched())
        run_series(&series, report);
    else
        outcome = child_run(run_series, &series, report, 0);
    print_message("seeds %llu to %llu, %llu steps, %.1f s\n", (unsigned long long)given_seed,
                  (unsigned long long)report->seed, (unsigned long long)report->steps, child_clock() - began);
    if (outcome != OUTCOME_PASSED)
        explain(&series, report);
    child_report_free(report);
    assert_int_equal(outcome, OUTCOME_PASSED);
}

static uint64_t number(const char *text, uint64_t otherwise)
{
    char *end = NULL;
    uint64_t value = text != NULL ? strtoull(text, &end, 10) : 0;

    return text != NULL && end != text && *end == '\0' ? value : otherwise;
}

/* Takes its own options out of the arguments; the rest is for the harness. */
int model_main(const harness_test *tests, size_t test_count, int argc, char **argv)
{
    int count = 0;

    given_seed = number(getenv("LOOP_TEST_SEED"), given_seed);
    given_steps = number(getenv("LOOP_TEST_STEPS"), 0);
    for (int i = 0; i < argc; i++) {
        if (strcmp(argv[i], "--seed") == 0 && i + 1 < argc)
            given_seed = number(argv[++i], given_seed);
        else if (strcmp(argv[i], "--steps") == 0 && i + 1 < argc)
            given_steps = number(argv[++i], 0);
        else if (strcmp(argv[i], "--verbose") == 0)
            given_verbose = true;
        else
            argv[count++] = argv[i];
    }
    return harness_main(tests, test_count, count, argv);
}
