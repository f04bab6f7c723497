/* The rows of the seam on Windows, for fault.h. */
#ifndef LOOP_TEST_IOCP_FAULT_ROWS_H
#define LOOP_TEST_IOCP_FAULT_ROWS_H

#include "iocp/sys.h"

#define FAULT_SYS(X) LOOP_WINDOWS_SYS(X) LOOP_BACKEND_SYS(X)

/* Starts a thread; waits for its end; tells which process this is. */
#define FAULT_THREAD FAULT_thread_new
#define FAULT_JOIN FAULT_WaitForSingleObject
#define FAULT_PROCESS FAULT_GetCurrentProcessId

#endif
