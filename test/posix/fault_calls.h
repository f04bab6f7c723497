/* Fault injection, and what of it only POSIX systems have: registrations of descriptors, waits of two kinds. */
#ifndef LOOP_TEST_POSIX_FAULT_CALLS_H
#define LOOP_TEST_POSIX_FAULT_CALLS_H

#include "fault.h"

#include "backend_test.h"

/* Waits since fault_arm() or fault_begin(). */
long fault_waits(void);

/* Written once per backend: */

/* From now on: the n-th registration of a descriptor fails with that errno, times in a row, however it gets to the kernel. */
void fault_registrations(long n, int error, long times);

/* The plausible errors of the backend's own rows: NULL for another. */
const int *fault_backend_errors(enum fault_row row);

void fault_begin_backend(const struct loop_sys *real);

#endif
