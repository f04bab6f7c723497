/* The seam of a run over POSIX, in two parts: what is the same for every backend, and its registrations and its wait. */
#ifndef LOOP_TEST_POSIX_MODEL_CALLS_H
#define LOOP_TEST_POSIX_MODEL_CALLS_H

#include "model_seam.h"

#include "posix/sys.h"

#define FDS 4096

/* <backend>/model_wait.c */

void seam_begin_backend(void);

bool seam_is_registered(int fd);

/* Makes the kernel report what is there once more: after a refusal that was not its own, no edge would come. */
void seam_rearm(int fd);

#endif
