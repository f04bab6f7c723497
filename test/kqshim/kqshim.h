/*
 * What a test may ask of the kqueue emulation. Programs that know nothing of it are steered by the environment:
 *
 * KQSHIM_CHAOS   a list of the switches below, with commas, or "all"
 * KQSHIM_SEED    the number from which all random choices follow, 1 unless told
 */
#ifndef KQSHIM_H
#define KQSHIM_H

#include <stdint.h>

/*
 * Sets the switches, for every kqueue from now on; the seed counts for kqueues made later. NULL or "" is none.
 *
 * spurious   EVFILT_READ and EVFILT_WRITE events of registered descriptors without cause
 * swap       the two events of one descriptor in either order
 * short      an array of 1 to 3 entries, whatever its user says
 * eintr      EINTR in place of every fifth wait; the changes have been applied
 * deadpipe   EPIPE, EBADF or EPERM for adding EVFILT_WRITE to a pipe whose reader is gone
 * late       timeouts up to 20 ms late
 * nouser     EINVAL for adding EVFILT_USER
 *
 * 0, or -1 if the list has an unknown word; then nothing has changed.
 */
int kqshim_chaos(const char *list, uint64_t seed);

/*
 * EV_ADD of this descriptor fails with the error, as macOS does for some terminals; 0 accepts it again. Closing the
 * descriptor accepts its number again, too. 0, or -1 for a number that cannot be refused.
 */
int kqshim_refuse(int fd, int error);

/* Since the program began, in all kqueues. */
struct kqshim_counts {
    long calls;   /* of kevent() */
    long changes; /* handed to them */
    long events;  /* returned by them, entries for errors and receipts included */
};

struct kqshim_counts kqshim_counts(void);

#endif
