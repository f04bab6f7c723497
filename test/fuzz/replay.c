/* replay FILE...: runs a fuzz target over files, and over every beginning of each, which makes many inputs of few. */
#include "fuzz.h"

#include <string.h>

#define SIZE_MAX_OF_FILE 65536

static uint8_t bytes[SIZE_MAX_OF_FILE];

/* In memory of its own and exact size, so that a sanitizer sees reads past its end. */
static void run(size_t size)
{
    uint8_t *copy = malloc(size > 0 ? size : 1);

    REQUIRE(copy != NULL);
    if (size > 0)
        memcpy(copy, bytes, size);
    (void)LLVMFuzzerTestOneInput(copy, size);
    free(copy);
}

int main(int argc, char **argv)
{
    REQUIRE(argc > 1);
    for (int i = 1; i < argc; i++) {
        FILE *file = fopen(argv[i], "rb");
        size_t size;

        REQUIRE(file != NULL);
        size = fread(bytes, 1, sizeof(bytes), file);
        (void)fclose(file);
        for (size_t length = 0; length <= size; length++)
            run(length);
    }
    printf("%d files\n", argc - 1);
    return 0;
}
