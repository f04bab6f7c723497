/* Shared by invariants.c and invariants_posix.c. */
#ifndef LOOP_TEST_INVARIANTS_INTERNAL_H
#define LOOP_TEST_INVARIANTS_INTERNAL_H

#include "internal.h"

/* object is what the condition is about, for a debugger. */
#define HOLDS(condition, object)                                                                                       \
    ((condition) ? (void)0 : invariants_broken(#condition, (const void *)(object), __FILE__, __LINE__))

_Noreturn void invariants_broken(const char *condition, const void *object, const char *file, int line);

/* The readiness engine's part, of one open descriptor. settled: no turn is under way. */
void invariants_check_posix(struct desc *desc, bool settled);

#endif
