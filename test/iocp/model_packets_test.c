/* The random test where no handle skips the packets of what succeeds at once, as on layered providers of sockets. */
#include "model.h"

static void the_same_when_every_success_gives_a_packet(void **state)
{
    const struct plan plan = {.faults = FAULTS_NONE, .packets_always = true};

    (void)state;
    model_row(&plan, 60000, 6000);
}

int main(int argc, char **argv)
{
    static const harness_test tests[] = {TEST(the_same_when_every_success_gives_a_packet)};

    return model_main(tests, sizeof(tests) / sizeof(tests[0]), argc, argv);
}
