/*
 * Fuzz targets: each file defines the function below, which takes any bytes and requires what must hold for all of them. With
 * libFuzzer (./dev fuzz) it looks for bytes that break it; in ordinary builds replay.c runs the seeds and what was found before.
 */
#ifndef LOOP_TEST_FUZZ_H
#define LOOP_TEST_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REQUIRE(condition)                                                                                             \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #condition);                             \
            abort();                                                                                                   \
        }                                                                                                              \
    } while (0)

#endif
