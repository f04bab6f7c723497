/*
 * The random test of everything at once, against a model; see model.h.
 *
 *     test_model [row...] [--seed N] [--steps N]    or LOOP_TEST_SEED and LOOP_TEST_STEPS in the environment
 *
 * A row is a series of runs, each with the seed after that of the run before. A run that fails is shrunk and shown.
 */
#include "model_shrink.h"

static uint64_t given_seed = 20261123;
static uint64_t given_steps;

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
    print_message("%zu atoms are left after %zu tries:\n", shrunk.plan.unit_count, shrunk.tries);
    shrink_show(&shrunk.plan);
    free(shrunk.units);
}

static void run_row(enum model_faults faults, uint64_t steps, uint64_t slow_steps)
{
    struct series series = {.plan = {.faults = faults, .seed = given_seed}};
    struct report *report = child_report();
    double began = child_clock();
    enum outcome outcome = OUTCOME_PASSED;

    series.steps = given_steps > 0 ? given_steps : harness_slow() ? slow_steps : steps;
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

static void any_sequence_of_actions_keeps_every_promise(void **state)
{
    (void)state;
    run_row(FAULTS_NONE, 60000, 6000);
}

static void and_with_interruptions_refusals_and_short_counts(void **state)
{
    (void)state;
    run_row(FAULTS_MIXED, 40000, 4000);
}

static uint64_t number(const char *text, uint64_t otherwise)
{
    char *end = NULL;
    uint64_t value = text != NULL ? strtoull(text, &end, 10) : 0;

    return text != NULL && end != text && *end == '\0' ? value : otherwise;
}

/* Takes its own options out of the arguments; the rest is for the harness. */
int main(int argc, char **argv)
{
    static const harness_test tests[] = {TEST(any_sequence_of_actions_keeps_every_promise),
                                         TEST(and_with_interruptions_refusals_and_short_counts)};
    int count = 0;

    given_seed = number(getenv("LOOP_TEST_SEED"), given_seed);
    given_steps = number(getenv("LOOP_TEST_STEPS"), 0);
    for (int i = 0; i < argc; i++) {
        if (strcmp(argv[i], "--seed") == 0 && i + 1 < argc)
            given_seed = number(argv[++i], given_seed);
        else if (strcmp(argv[i], "--steps") == 0 && i + 1 < argc)
            given_steps = number(argv[++i], 0);
        else
            argv[count++] = argv[i];
    }
    return harness_main(tests, sizeof(tests) / sizeof(tests[0]), count, argv);
}
