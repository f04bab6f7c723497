/*
 * Faults on demand: while installed, every call through loop__sys is counted, and chosen ones fail without being made.
 * A new row of the seam is covered without a change here. And an allocator that can fail, and counts what lives.
 */
#ifndef LOOP_TEST_FAULT_H
#define LOOP_TEST_FAULT_H

#include "loop.h"
#include "posix/sys.h"

#include <stdbool.h>

enum fault_row {
#define FAULT_ENUMERATOR(result, name, parameters, arguments) FAULT_##name,
    LOOP_POSIX_SYS(FAULT_ENUMERATOR) LOOP_BACKEND_SYS(FAULT_ENUMERATOR)
#undef FAULT_ENUMERATOR
        FAULT_ROWS
};

const char *fault_row_name(enum fault_row row);

/* Puts the wrappers into the seam, with all counts 0 and nothing failing; and takes them out again. */
void fault_install(void);
void fault_remove(void);

/* Counts from 0, and nothing fails. */
void fault_reset(void);

/* Calls of one row, and of all rows. */
unsigned fault_calls(enum fault_row row);
unsigned fault_calls_of_all(void);

/* From the first-th call of the row from now on (1 is the next), `times` of them fail with the given errno. close(2) is made
 * all the same, as the system does, and so is a connect(2) that is interrupted. */
void fault_fail(enum fault_row row, unsigned first, unsigned times, int error);

/* Likewise, but send, sendmsg, writev and readv transfer one byte only. */
void fault_shorten(enum fault_row row, unsigned first, unsigned times);

/* Every other call of all rows that may be interrupted fails with EINTR, until fault_reset(). */
void fault_interrupt_everything(void);

/* How many calls were made to fail or fall short. */
unsigned fault_hits(void);

/* Of epoll_ctl: the operation of the last call that was made to fail. */
int fault_epoll_ctl_operation(void);

/* Calls to write(2) on the wake-up object are counted as FAULT_write; a wait without an end is cut off after some seconds,
 * and then fails with ETIMEDOUT. True if that happened: somebody was forgotten. */
bool fault_hung(void);

/* The time-out of the last wait in ms (epoll_wait) or ns (epoll_pwait_ns); -1 for none. */
int64_t fault_last_wait(void);

/* The allocator. It counts from fault_allocator_reset() on. */
const loop_allocator_t *fault_allocator(void);
void fault_allocator_reset(void);
void fault_allocator_fail(unsigned nth); /* 1 is the next; 0: none */
bool fault_allocator_hit(void);
unsigned fault_allocations(void);
unsigned fault_live_blocks(void);

#endif
