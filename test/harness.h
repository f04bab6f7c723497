/*
 * The frame of every test program. A program is a file of functions
 *
 *     static void name(void **state)
 *
 * that ends with one line naming them:
 *
 *     LOOP_TEST_MAIN(TEST(name), TEST(other))
 *
 * Arguments of the program: none runs every test, --list prints the names, names run just these tests.
 * A test that leaves a descriptor open fails.
 */
#ifndef LOOP_TEST_HARNESS_H
#define LOOP_TEST_HARNESS_H

/* cmocka.h wants these four before it. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
/* It would define uintptr_t where it does not know how the system says that <stdint.h> did. */
#ifndef _UINTPTR_T_DEFINED
#define _UINTPTR_T_DEFINED
#endif
#include <cmocka.h>
#include <stdbool.h>

typedef struct CMUnitTest harness_test;

int harness_setup(void **state);
int harness_teardown(void **state);

/* What main() does. The result is the exit status: 0, 1 if tests failed, 2 for wrong arguments. */
int harness_main(const harness_test *tests, size_t count, int argc, char **argv);

/* Index of the test of that name, or count. */
size_t harness_find(const harness_test *tests, size_t count, const char *name);

/* 1 if the test runs under something that makes it many times slower, and should do less. */
int harness_slow(void);

/* Written once per platform: */

/* What a process needs before its tests; later calls do nothing. */
void harness_begin(void);

/* The number of this process. */
unsigned long harness_process(void);

/* Sets bit n of the map for every open descriptor n below bits; on Windows for every handle 4 * n. */
void harness_descriptors(unsigned char *map, unsigned bits);

/* Whether the system itself may still close some, after a pause that this call has made; turn counts the calls from 0. */
bool harness_wait_for_system(unsigned turn);

/* clang-format off: the two macros are lists, not statements */
#define TEST(function)                                                                                                 \
    {                                                                                                                  \
#function, function, harness_setup, harness_teardown, NULL                                                     \
    }

#define LOOP_TEST_MAIN(...)                                                                                            \
    int main(int argc, char **argv)                                                                                    \
    {                                                                                                                  \
        static const harness_test tests[] = {__VA_ARGS__};                                                             \
        return harness_main(tests, sizeof(tests) / sizeof(tests[0]), argc, argv);                                      \
    }
/* clang-format on */

#endif
