/* A timer that ticks three times. */
#include <loop.h>

#include <stdio.h>

static void on_tick(loop_timer_t *timer)
{
    int *ticks = timer->handle.data;

    printf("tick %d\n", ++*ticks);
    if (*ticks == 3)
        (void)loop_handle_close(&timer->handle, NULL);
}

int main(void)
{
    loop_t *loop;
    loop_timer_t timer;
    int ticks = 0;

    if (loop_init(&loop, NULL) != 0)
        return 1;
    if (loop_timer_init(loop, &timer) != 0)
        return 1;
    timer.handle.data = &ticks;
    if (loop_timer_start(&timer, on_tick, LOOP_MS(100), LOOP_MS(100)) != 0)
        return 1;
    if (loop_run(loop, LOOP_RUN_DEFAULT) != 0)
        return 1;
    return loop_close(loop) == 0 ? 0 : 1;
}
