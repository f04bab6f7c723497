/* A clock that is the test's: it moves while the loop waits, and where the test moves it. Written once per platform. */
#ifndef LOOP_TEST_FAKE_TIME_H
#define LOOP_TEST_FAKE_TIME_H

#include <stdint.h>

extern uint64_t fake_time;  /* ns */
extern int fake_time_reads; /* how often it was read since the test began */

/* Before a loop is made, and after it was closed. */
void fake_time_begin(void);
void fake_time_end(void);

#endif
