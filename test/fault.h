/*
 * Fault injection through the seam: every row of the table of system calls gets a wrapper that counts, and that can make the
 * n-th call fail. A new row gets its wrapper by itself.
 */
#ifndef LOOP_TEST_FAULT_H
#define LOOP_TEST_FAULT_H

#include "support.h"

#include "fault_rows.h" /* FAULT_SYS: the rows of the platform and of its backend */

enum fault_row {
#define FAULT_ROW(result, name, parameters, arguments) FAULT_##name,
    FAULT_SYS(FAULT_ROW)
#undef FAULT_ROW
    FAULT_ROWS
};

/* Puts the wrappers in place, and takes them out. */
void fault_begin(void);
void fault_end(void);

/* From now on: counts start at 0; the n-th call of the row (1 is the first, 0 none) fails with that error number of the
 * system's; times in a row. */
void fault_arm(enum fault_row row, long n, int error, long times);

/* Nothing fails any more; counts stay. */
void fault_disarm(void);

/* Calls since fault_arm() or fault_begin(). */
long fault_count(enum fault_row row);
long fault_count_all(void);

const char *fault_name(enum fault_row row);

/* Of a wrapper that the platform or the backend puts in place itself: whether this call is to fail, as the system's error says. */
bool fault_fails(enum fault_row row);

/* Written once per platform: */

/* The plausible errors of a row, ended by 0. */
const int *fault_errors(enum fault_row row);

/* What a call of the row returns that fails with this error. */
intptr_t fault_result(enum fault_row row, int error);

/* Makes it the error of the call that failed last. */
void fault_set_error(int error);

/* Replaces the wrappers of calls that do something even when they fail. */
void fault_begin_platform(const struct loop_sys *system_calls);

/* How long a turn of a scene waits for the system, which may answer at once or a moment later, and how many turns a scene has
 * in which something has failed. */
extern const uint64_t fault_pause;
extern const int fault_turns;

/* Before and after scenes in which calls fail: signals are as they were. */
void fault_keep_signals(void);
void fault_restore_signals(void);

/* Before a scene raises the signals of support_signal(): none of them would end the process. */
void fault_ready_signals(void);

#endif
