/* A program of a user of the library. It is compiled as C11 and as C++17. */
#include <loop.h>
#include <stdio.h>

static int fired = 0;

static void on_timer(loop_timer_t *timer)
{
    fired++;
    loop_handle_close(&timer->handle, NULL);
}

int main(void)
{
    loop_t *loop = NULL;
    loop_timer_t timer;
    if (loop_init(&loop, NULL) != 0) {
        puts("loop_init failed");
        return 1;
    }
    if (loop_timer_init(loop, &timer) != 0 || loop_timer_start(&timer, on_timer, 1000000u, 0) != 0) {
        puts("the timer did not start");
        return 1;
    }
    if (loop_run(loop, LOOP_RUN_DEFAULT) != 0) {
        puts("loop_run failed");
        return 1;
    }
    int result = loop_close(loop);
    if (result != 0 || fired != 1 || loop_version() != LOOP_VERSION_NUMBER) {
        printf("loop_close: %d, timer fired %d times, version %u\n", result, fired, loop_version());
        return 1;
    }
    return 0;
}
