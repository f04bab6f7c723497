/*
 * Stands before the system's <stdatomic.h> when the sources are compiled for interleave_test.c: every atomic operation without an
 * explicit order first lets another thread go on, if the schedule says so. src/ uses no other for what threads agree on.
 */
#ifndef LOOP_TEST_INTERLEAVE_STDATOMIC_H
#define LOOP_TEST_INTERLEAVE_STDATOMIC_H

#pragma GCC system_header
#include_next <stdatomic.h>

#include "explore.h"

#undef atomic_load
#undef atomic_store
#undef atomic_exchange
#undef atomic_compare_exchange_strong
#undef atomic_compare_exchange_weak
#undef atomic_fetch_add
#undef atomic_fetch_sub
#undef atomic_fetch_or
#undef atomic_fetch_and

#define EXPLORED(word, operation, ...)                                                                                 \
    (explore_step(word), atomic_##operation##_explicit(word, __VA_ARGS__, memory_order_seq_cst))

#define atomic_load(word)                                                                                              \
    (explore_step(word), explore_hides(word) ? 0 : atomic_load_explicit(word, memory_order_seq_cst))
#define atomic_store(word, value)                                                                                      \
    (explore_step(word),                                                                                               \
     explore_delays(word, (unsigned)(value)) ? (void)0 : atomic_store_explicit(word, value, memory_order_seq_cst))
#define atomic_exchange(word, value) EXPLORED(word, exchange, value)
#define atomic_fetch_add(word, value) EXPLORED(word, fetch_add, value)
#define atomic_fetch_sub(word, value) EXPLORED(word, fetch_sub, value)
#define atomic_fetch_or(word, value) EXPLORED(word, fetch_or, value)
#define atomic_fetch_and(word, value) EXPLORED(word, fetch_and, value)
#define atomic_compare_exchange_strong(word, expected, value)                                                          \
    (explore_step(word),                                                                                               \
     atomic_compare_exchange_strong_explicit(word, expected, value, memory_order_seq_cst, memory_order_seq_cst))
/* It may fail without a reason. */
#define atomic_compare_exchange_weak(word, expected, value)                                                            \
    (explore_step(word), explore_fails() ? (*(expected) = atomic_load_explicit(word, memory_order_seq_cst), 0)         \
                                         : atomic_compare_exchange_strong_explicit(                                    \
                                               word, expected, value, memory_order_seq_cst, memory_order_seq_cst))

#endif
