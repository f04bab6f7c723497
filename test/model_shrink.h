/* Finds a smaller run that fails in the same way as a given one. */
#ifndef LOOP_TEST_MODEL_SHRINK_H
#define LOOP_TEST_MODEL_SHRINK_H

#include "model.h"

struct shrunk {
    struct plan plan; /* its units are the atoms that are left; free() them */
    uint64_t *units;
    size_t tries;
};

/* The run of plan failed as the report tells. Takes about `seconds` at the most. */
struct shrunk shrink(const struct plan *plan, const struct report *failure, double seconds);

/* Performs a run in a child and tells what it does; then why it failed. */
void shrink_show(const struct plan *plan);

#endif
