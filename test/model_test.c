/*
 * The random test of everything at once, against a model; see model.h.
 *
 *     test_model [row...] [--seed N] [--steps N] [--verbose]    or LOOP_TEST_SEED and LOOP_TEST_STEPS in the environment
 *
 * A row is a series of runs, each with the seed after that of the run before. A run that fails is shrunk and shown.
 */
#include "model.h"

static void any_sequence_of_actions_keeps_every_promise(void **state)
{
    const struct plan plan = {.faults = FAULTS_NONE};

    (void)state;
    model_row(&plan, 60000, 6000);
}

static void and_with_interruptions_refusals_and_short_counts(void **state)
{
    const struct plan plan = {.faults = FAULTS_MIXED};

    (void)state;
    model_row(&plan, 40000, 4000);
}

int main(int argc, char **argv)
{
    static const harness_test tests[] = {TEST(any_sequence_of_actions_keeps_every_promise),
                                         TEST(and_with_interruptions_refusals_and_short_counts)};

    return model_main(tests, sizeof(tests) / sizeof(tests[0]), argc, argv);
}
