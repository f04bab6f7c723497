/* Version and error codes. */
#include "support.h"

static void the_linked_version_is_that_of_the_header(void **state)
{
    char text[32];

    (void)state;
    assert_int_equal(loop_version(), LOOP_VERSION_NUMBER);
    (void)snprintf(text, sizeof(text), "%d.%d.%d", LOOP_VERSION_MAJOR, LOOP_VERSION_MINOR, LOOP_VERSION_PATCH);
    assert_string_equal(loop_version_string(), text);
}

static void every_error_has_its_name_and_message(void **state)
{
    (void)state;
#define CHECK_ERROR(name, value, message)                                                                              \
    assert_int_equal(LOOP_##name, value);                                                                              \
    assert_string_equal(loop_err_name(value), #name);                                                                  \
    assert_string_equal(loop_strerror(value), message);
    LOOP_ERRORS(CHECK_ERROR)
#undef CHECK_ERROR
    assert_string_equal(loop_strerror(0), "success");
    assert_string_equal(loop_err_name(0), "OK");
    assert_string_equal(loop_err_name(-999), "UNKNOWN");
    assert_string_equal(loop_strerror(7), loop_strerror(LOOP_UNKNOWN));
}

static void handle_types_have_names(void **state)
{
    (void)state;
    assert_string_equal(loop_handle_type_name(LOOP_TIMER), "timer");
    assert_string_equal(loop_handle_type_name(LOOP_PREPARE), "prepare");
    assert_string_equal(loop_handle_type_name(LOOP_CHECK), "check");
    assert_string_equal(loop_handle_type_name(LOOP_IDLE), "idle");
    assert_string_equal(loop_handle_type_name(LOOP_ASYNC), "async");
    assert_string_equal(loop_handle_type_name(LOOP_DESC), "desc");
    assert_string_equal(loop_handle_type_name(LOOP_TCP), "tcp");
    assert_string_equal(loop_handle_type_name(LOOP_SIGNAL), "signal");
    assert_string_equal(loop_handle_type_name(LOOP_POLL), "poll");
    assert_string_equal(loop_handle_type_name(LOOP_MACHPORT), "machport");
    assert_string_equal(loop_handle_type_name(LOOP_UNKNOWN_HANDLE), "unknown");
}

LOOP_TEST_MAIN(TEST(the_linked_version_is_that_of_the_header), TEST(every_error_has_its_name_and_message),
               TEST(handle_types_have_names))
