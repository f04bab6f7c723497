/*
 * Fault injection through the seam: every row of the table of system calls gets a wrapper that counts, and that can make the
 * n-th call fail. A new row gets its wrapper by itself.
 */
#ifndef LOOP_TEST_FAULT_H
#define LOOP_TEST_FAULT_H

#include "support.h"

#include "backend_test.h"
#include "posix/sys.h"

enum fault_row {
#define FAULT_ROW(result, name, parameters, arguments) FAULT_##name,
    LOOP_POSIX_SYS(FAULT_ROW)
    LOOP_BACKEND_SYS(FAULT_ROW)
#undef FAULT_ROW
        FAULT_ROWS
};

/* Puts the wrappers in place, and takes them out. */
void fault_begin(void);
void fault_end(void);

/* From now on: counts start at 0; the n-th call of the row (1 is the first, 0 none) fails with that errno; times in a row. */
void fault_arm(enum fault_row row, long n, int error, long times);

/* Nothing fails any more; counts stay. */
void fault_disarm(void);

/* Calls since fault_arm() or fault_begin(). */
long fault_count(enum fault_row row);
long fault_count_all(void);

/* From now on: the n-th registration of a descriptor fails with that errno, times in a row, however it gets to the kernel. */
void fault_registrations(long n, int error, long times);

/* Waits since fault_arm() or fault_begin(). */
long fault_waits(void);

const char *fault_name(enum fault_row row);

/* The plausible errors of a row, ended by 0. */
const int *fault_errors(enum fault_row row);
/* The backend's part of it: NULL for a row that is not its own. */
const int *fault_backend_errors(enum fault_row row);

/* Of a wrapper that the backend's part puts in place itself: whether this call is to fail, with errno. */
bool fault_fails(enum fault_row row);
void fault_begin_backend(const struct loop_sys *real);

#endif
