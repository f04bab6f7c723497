/* What of ../fault_test.c is about POSIX systems: what makes a loop there, and calls that are interrupted. */
#include "fault_calls.h"
#include "fault_scenario.h"

#include <errno.h>

static void every_call_of_init_fails_in_turn(void **state)
{
    static const enum fault_row rows[] = {FAULT_BACKEND_CREATE, FAULT_BACKEND_WAKER, FAULT_BACKEND_CHANGE};

    (void)state;
    fault_begin();
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        for (const int *error = fault_errors(rows[i]); *error != 0; error++) {
            if (*error == EINTR)
                continue; /* and so it is asked again */
            loop = (loop_t *)&loop;
            fault_arm(rows[i], 1, *error, 1);
            assert_int_equal(loop_init(&loop, NULL), loop_translate_sys_error(*error));
            assert_null(loop);
        }
    }
    fault_end();
}

/* Interrupted again and again, nothing is noticed. */
static void interruptions_are_not_noticed(void **state)
{
    (void)state;
    for (int row = 0; row < FAULT_ROWS; row++) {
        long clean;

        if (row == FAULT_close || row == FAULT_connect || row == FAULT_fcntl)
            continue; /* close and connect go on after EINTR; fcntl knows none here */
        for (const int *error = fault_errors((enum fault_row)row); *error != 0; error++) {
            if (*error != EINTR)
                continue;
            begin_scene(NULL);
            fault_begin();
            successes = 0;
            scenario_tcp();
            scenario_desc();
            clean = successes;
            successes = 0;
            fault_arm((enum fault_row)row, 1, EINTR, 3);
            scenario_tcp();
            fault_arm((enum fault_row)row, 1, EINTR, 3);
            scenario_desc();
            if (successes != clean)
                print_message("EINTR of %s is noticed\n", fault_name((enum fault_row)row));
            assert_int_equal(successes, clean);
            fault_end();
            assert_ok(loop_close(loop));
        }
    }
}

LOOP_TEST_MAIN(TEST(every_call_of_init_fails_in_turn), TEST(interruptions_are_not_noticed))
