/* The harness itself: finding tests by name, and arguments. */
#include "harness.h"

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

static void sees_standard_descriptors(void **state)
{
    (void)state;
    unsigned char map[2] = {0xff, 0xff};
    harness_descriptors(map, 16);
    assert_int_equal(map[0] & 6, 6);
}

LOOP_TEST_MAIN(TEST(finds_by_whole_name), TEST(rejects_unknown_name), TEST(sees_standard_descriptors))
