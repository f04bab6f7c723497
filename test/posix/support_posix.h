/* What tests that are about POSIX need beside support.h. */
#ifndef LOOP_TEST_POSIX_SUPPORT_POSIX_H
#define LOOP_TEST_POSIX_SUPPORT_POSIX_H

#include "support.h"

/* The option that tells what a socket of TCP really is, and the one that tells what the kernel has put above it; -1: none. */
extern const int support_so_protocol;
extern const int support_tcp_ulp;

/* An eventfd; -1 and ENOSYS where there are none. */
int support_eventfd(void);

/* The n-th real-time signal, -1 where there are none; and sigqueue() to this process, -1 and ENOSYS where there is none. */
int support_realtime_signal(int n);
int support_queue_signal(int number, int value);

/* What the resolver can say here but for EAI_SYSTEM, and the library for it. */
extern const struct support_resolver_error {
    int number;
    int code;
} support_resolver_errors[];
extern const size_t support_resolver_errors_count;

#endif
