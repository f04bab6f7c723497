#include "harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WATCHED_DESCRIPTORS 1024u

static unsigned char open_before[WATCHED_DESCRIPTORS / 8];

int harness_setup(void **state)
{
    (void)state;
    harness_descriptors(open_before, WATCHED_DESCRIPTORS);
    return 0;
}

static bool left_open(const unsigned char *open_after, unsigned fd)
{
    return ((open_after[fd / 8] & ~open_before[fd / 8]) >> (fd % 8) & 1) != 0;
}

int harness_teardown(void **state)
{
    unsigned char open_after[WATCHED_DESCRIPTORS / 8];
    unsigned leaked;
    unsigned turn = 0;
    (void)state;
    do {
        leaked = 0;
        harness_descriptors(open_after, WATCHED_DESCRIPTORS);
        for (unsigned fd = 0; fd < WATCHED_DESCRIPTORS; fd++) {
            leaked += left_open(open_after, fd);
        }
    } while (leaked != 0 && harness_wait_for_system(turn++));
    for (unsigned fd = 0; fd < WATCHED_DESCRIPTORS; fd++) {
        if (left_open(open_after, fd)) {
            fprintf(stderr, "descriptor %u was left open\n", fd);
        }
    }
    return leaked == 0 ? 0 : -1;
}

size_t harness_find(const harness_test *tests, size_t count, const char *name)
{
    size_t i = 0;
    while (i < count && strcmp(tests[i].name, name) != 0) {
        i++;
    }
    return i;
}

int harness_slow(void)
{
    const char *slow = getenv("LOOP_TEST_SLOW");
    return slow != NULL && slow[0] != '\0' && strcmp(slow, "0") != 0;
}

static int run(const harness_test *tests, size_t count)
{
    return _cmocka_run_group_tests("tests", tests, count, NULL, NULL) == 0 ? 0 : 1;
}

int harness_main(const harness_test *tests, size_t count, int argc, char **argv)
{
    harness_begin();
    if (argc <= 1) {
        return run(tests, count);
    }
    if (strcmp(argv[1], "--list") == 0) {
        for (size_t i = 0; i < count; i++) {
            puts(tests[i].name);
        }
        return 0;
    }

    size_t chosen_count = (size_t)argc - 1;
    harness_test *chosen = calloc(chosen_count, sizeof(*chosen));
    if (chosen == NULL) {
        fputs("out of memory\n", stderr);
        return 2;
    }
    for (size_t i = 0; i < chosen_count; i++) {
        size_t found = harness_find(tests, count, argv[i + 1]);
        if (found == count) {
            fprintf(stderr, "no test is called '%s'; --list prints the names\n", argv[i + 1]);
            free(chosen);
            return 2;
        }
        chosen[i] = tests[found];
    }
    int status = run(chosen, chosen_count);
    free(chosen);
    return status;
}
