/* What the filters of descriptors ask the kernel about one, beside poll(). */
#ifndef KQSHIM_DESCRIPTOR_H
#define KQSHIM_DESCRIPTOR_H

#include "internal.h"

bool kqshim_readable_end(const struct kqshim_knote *kn);
bool kqshim_writable_end(const struct kqshim_knote *kn);
bool kqshim_listening(const struct kqshim_knote *kn);
/* Length of a listener's accept queue that is known not to be empty. */
int kqshim_accept_queue(const struct kqshim_knote *kn);
/* Whether a stream socket is connected; notes in was_connected that it was, or was connecting. */
bool kqshim_see_connection(struct kqshim_knote *kn);
/* Whether the own writing side was shut down. */
bool kqshim_writing_shut(const struct kqshim_knote *kn);
int kqshim_unread(const struct kqshim_knote *kn);
/* Bytes from which on a stream is readable; at least 1. */
int64_t kqshim_low_water(const struct kqshim_knote *kn);
/* Stores size minus offset of a file; whether it is readable. */
bool kqshim_file_rest(struct kqshim_knote *kn);

#endif
