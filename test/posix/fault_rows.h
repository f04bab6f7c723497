/* The rows of the seam on POSIX systems, for fault.h. */
#ifndef LOOP_TEST_POSIX_FAULT_ROWS_H
#define LOOP_TEST_POSIX_FAULT_ROWS_H

#include "posix/sys.h"

#define FAULT_SYS(X) LOOP_POSIX_SYS(X) LOOP_BACKEND_SYS(X)

/* Starts a thread; waits for its end; tells which process this is. */
#define FAULT_THREAD FAULT_pthread_create
#define FAULT_JOIN FAULT_pthread_join
#define FAULT_PROCESS FAULT_getpid

#endif
