/* The seam of a run: what decides on faults and waits, and what the platform has for it. */
#ifndef LOOP_TEST_MODEL_SEAM_H
#define LOOP_TEST_MODEL_SEAM_H

#include "model.h"

/* Where faults happen. */
enum {
    PLACE_MEMORY,
    PLACE_RECV,
    PLACE_READV,
    PLACE_RECVMSG,
    PLACE_SEND,
    PLACE_SENDMSG,
    PLACE_WRITEV,
    PLACE_ACCEPT,
    PLACE_CONNECT,
    PLACE_POLL,
    PLACE_WAIT,
    PLACE_CONTROL
};

/* model_seam.c */

/* Whether a call that could go wrong does. */
bool seam_fault(uint32_t percent, int place, const char *what);

/* Brings n events into any order. How many there are: planted, the last is forgotten. */
int seam_disorder(void *events, size_t size, int n);

/* A wait of the loop for ns, of which the system may take slack more: looks, sleeps on the clock of the run, looks again. */
struct seam_look;
int seam_wait(struct seam_look *look, int64_t ns, uint64_t slack);

/* Once per backend: */

/* Events that are there, in any order and not all at once. */
int seam_take(struct seam_look *look);

/* Whether the wait is interrupted, as the system would say it. */
bool seam_interrupts_wait(struct seam_look *look);

#endif
