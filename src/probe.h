/*
 * Static probes (USDT) of the provider "loop": a nop each, and a note in the binary that tells tracers where it is and where
 * its arguments are. docs/observing.md lists them. They exist where the build found <sys/sdt.h>, see LOOP_PROBES in CMake;
 * elsewhere they compile to nothing, arguments included.
 */
#ifndef LOOP_PROBE_H
#define LOOP_PROBE_H

#if defined(LOOP_WITH_PROBES)

#include <sys/sdt.h>

/* The header's macros leave out variadic arguments, which C11 does not know and clang reports where they are used. */
#if defined(__clang__)
#pragma clang diagnostic ignored "-Wgnu-zero-variadic-macro-arguments"
#endif

#define LOOP_PROBE2(name, a, b) DTRACE_PROBE2(loop, name, a, b)
#define LOOP_PROBE3(name, a, b, c) DTRACE_PROBE3(loop, name, a, b, c)
#define LOOP_PROBE4(name, a, b, c, d) DTRACE_PROBE4(loop, name, a, b, c, d)

#else

#define LOOP_PROBE2(name, a, b) ((void)0)
#define LOOP_PROBE3(name, a, b, c) ((void)0)
#define LOOP_PROBE4(name, a, b, c, d) ((void)0)

#endif

#endif
