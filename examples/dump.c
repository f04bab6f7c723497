/* A loop that describes itself when it gets SIGUSR1: dump [SECONDS] */
#include <loop.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

static void print(const char *line, void *file)
{
    fprintf(file, "%s\n", line);
}

static void on_signal(loop_signal_t *signal, int signum)
{
    (void)signum;
    (void)loop_dump(loop_handle_get_loop(&signal->handle), print, stdout);
    (void)fflush(stdout);
}

static void on_end(loop_timer_t *timer)
{
    (void)loop_handle_close(&timer->handle, NULL);
}

int main(int argc, char **argv)
{
    unsigned seconds = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 1;
    loop_t *loop;
    loop_signal_t usr1;
    loop_timer_t end;

    if (loop_init(&loop, NULL) != 0 || loop_signal_init(loop, &usr1) != 0 || loop_timer_init(loop, &end) != 0)
        return 1;
    if (loop_signal_start(&usr1, on_signal, SIGUSR1) != 0 || loop_timer_start(&end, on_end, LOOP_SEC(seconds), 0) != 0)
        return 1;
    (void)loop_handle_unref(&usr1.handle);
    (void)raise(SIGUSR1); /* once by itself */
    if (loop_run(loop, LOOP_RUN_DEFAULT) != 0)
        return 1;
    return loop_shutdown(loop, LOOP_SEC(1), NULL, NULL) == 0 && loop_close(loop) == 0 ? 0 : 1;
}
