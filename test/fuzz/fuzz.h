/*
 * Fuzz targets: each file defines the function below, which takes any bytes and requires what must hold for all of them. With
 * libFuzzer (./dev fuzz) it looks for bytes that break it; in ordinary builds replay.c runs the seeds and what was found before.
 */
#ifndef LOOP_TEST_FUZZ_H
#define LOOP_TEST_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Byte by byte, padding included: that nothing at all was written. */
static inline bool same_bytes(const void *a, const void *b, size_t size)
{
    return memcmp(a, b, size) == 0;
}

#define REQUIRE(condition)                                                                                             \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #condition);                             \
            abort();                                                                                                   \
        }                                                                                                              \
    } while (0)

#endif
