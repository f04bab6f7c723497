/* Poll handles over counted system calls, whose owners close their descriptors early. */
#ifndef LOOP_TEST_FAULT_POLL_FIXTURE_H
#define LOOP_TEST_FAULT_POLL_FIXTURE_H

#include "fault_calls.h"
#include "poll_fixture.h"

/* begin() and finish() of poll_fixture.h, and what is between them counted. */
void begin_counting(void);
void finish_counting(void);
void forget_counts(void);

/* Runs for a while, in which nothing is to happen: the loop has to sleep. */
void assert_quiet(void);

/* The owner of mine[i] closes it, with polls[i] on it; a duplicate, given back, keeps the file open. */
int close_early(int i);

void start_all_but_the_first(void);
void assert_the_others_work(void);

/* Counts in lost how often a handle was told that its descriptor is not there any more. */
extern int lost;
void note_lost(loop_poll_t *poll, int status, unsigned events);

#endif
