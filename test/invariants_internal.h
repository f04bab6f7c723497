/* Shared by invariants.c and the part of each platform. */
#ifndef LOOP_TEST_INVARIANTS_INTERNAL_H
#define LOOP_TEST_INVARIANTS_INTERNAL_H

#include "internal.h"

/* object is what the condition is about, for a debugger. */
#define HOLDS(condition, object)                                                                                       \
    ((condition) ? (void)0 : invariants_broken(#condition, (const void *)(object), __FILE__, __LINE__))

_Noreturn void invariants_broken(const char *condition, const void *object, const char *file, int line);

/* The platform's part, of one open descriptor. settled: no turn is under way. */
void invariants_check_platform(struct desc *desc, bool settled);

/* Whether the end of the parked operation, which was asked for, is still to come: else it comes at once. */
bool invariants_ends_later(struct op *op);

/* How often the backend holds the descriptor: loop__desc_hold(). */
uint32_t invariants_holds(struct desc *desc);

#endif
