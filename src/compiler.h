/*
 * What the compiler is told about the paths of every packet: LOOP_INLINE belongs into all that call it; LOOP_APART stays out of
 * them, which then need fewer registers; the path on which LOOP_LIKELY() holds runs straight on.
 */
#ifndef LOOP_COMPILER_H
#define LOOP_COMPILER_H

#if defined(__GNUC__)
#define LOOP_INLINE static inline __attribute__((always_inline))
#define LOOP_APART __attribute__((noinline))
#define LOOP_LIKELY(condition) __builtin_expect((condition), 1)
#elif defined(_MSC_VER)
#define LOOP_INLINE static __forceinline
#define LOOP_APART __declspec(noinline)
#define LOOP_LIKELY(condition) (condition)
#else
#define LOOP_INLINE static inline
#define LOOP_APART
#define LOOP_LIKELY(condition) (condition)
#endif

#endif
