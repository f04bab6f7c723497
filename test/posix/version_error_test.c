/* Error numbers of POSIX. */
#include "support.h"

#include <errno.h>

static void system_errors_are_translated(void **state)
{
    (void)state;
#define CHECK_TRANSLATION(name, value, message) assert_int_equal(loop_translate_sys_error(name), LOOP_##name);
    LOOP_SYSTEM_ERRORS(CHECK_TRANSLATION)
#undef CHECK_TRANSLATION
    assert_int_equal(loop_translate_sys_error(EWOULDBLOCK), LOOP_EAGAIN);
    assert_int_equal(loop_translate_sys_error(0), 0);
    assert_int_equal(loop_translate_sys_error(123456), LOOP_UNKNOWN);
    assert_int_equal(loop_translate_sys_error(LOOP_EPIPE), LOOP_EPIPE);
}

LOOP_TEST_MAIN(TEST(system_errors_are_translated))
