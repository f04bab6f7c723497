/* Two connected descriptors, and what completed on them, for the tests of descriptors and operations. */
#ifndef LOOP_TEST_OP_FIXTURE_H
#define LOOP_TEST_OP_FIXTURE_H

#include "support.h"

extern loop_t *loop;
extern loop_desc_t left;
extern loop_desc_t right;

/* How many operations completed since the test began, and which, the last 64 of them. */
extern int completions;
extern loop_op_t *done[64];

/* The callback of most operations. */
void note(loop_op_t *op);

loop_buf_t buf_of(void *base, size_t len);

/* A loop; nothing completed. */
void begin(void);

/* A loop, and left and right as a local pair of sockets of the type. They are closed with their handles. */
void begin_with(int type);

/* Turns until n operations completed. */
void run_until(int n);

#endif
