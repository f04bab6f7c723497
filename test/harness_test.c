/* The harness itself: finding tests by name, and arguments. */
#include "harness.h"

#include <stdio.h>

static void some(void **state)
{
    (void)state;
}

static void other(void **state)
{
    (void)state;
}

static const harness_test samples[] = {TEST(some), TEST(other)};

static void finds_by_whole_name(void **state)
{
    (void)state;
    assert_int_equal(harness_find(samples, 2, "some"), 0);
    assert_int_equal(harness_find(samples, 2, "other"), 1);
    assert_int_equal(harness_find(samples, 2, "som"), 2);
    assert_int_equal(harness_find(samples, 2, "others"), 2);
    assert_int_equal(harness_find(samples, 0, "some"), 0);
}

static void rejects_unknown_name(void **state)
{
    (void)state;
    char program[] = "program";
    char name[] = "nothing_of_that_name";
    char *argv[] = {program, name, NULL};
    assert_int_equal(harness_main(samples, 2, 2, argv), 2);
}

static unsigned count(void)
{
    unsigned char map[128];
    unsigned bits = 0;
    harness_descriptors(map, sizeof(map) * 8);
    for (unsigned n = 0; n < sizeof(map) * 8; n++) {
        bits += (map[n / 8] >> (n % 8)) & 1;
    }
    return bits;
}

static void sees_standard_descriptors(void **state)
{
    (void)state;
    assert_true(count() >= 2);
}

static void sees_what_is_left_open(void **state)
{
    unsigned before = count();
    FILE *file = tmpfile();
    assert_non_null(file);
    assert_int_equal(count(), before + 1);
    assert_int_equal(harness_teardown(state), -1);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(count(), before);
    assert_int_equal(harness_teardown(state), 0);
}

LOOP_TEST_MAIN(TEST(finds_by_whole_name), TEST(rejects_unknown_name), TEST(sees_standard_descriptors),
               TEST(sees_what_is_left_open))
