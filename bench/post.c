/* post TASKS: one thread posts them to the loop of another one as fast as it can. */
#include "work.h"

#include <pthread.h>
#include <stdio.h>

static void *flood(void *arg)
{
    (void)arg;
    for (uint64_t i = 0; i < post_work.tasks; i++)
        post_send(i);
    return NULL;
}

int main(int argc, char **argv)
{
    pthread_t thread;

    if (argc != 2) {
        (void)fprintf(stderr, "usage: %s TASKS\n", argv[0]);
        return 2;
    }
    post_work.tasks = bench_number(argv[1], 100000000);
    post_open(post_work.tasks);
    bench_begin();
    BENCH_CHECK(pthread_create(&thread, NULL, flood, NULL) == 0);
    post_serve();
    BENCH_CHECK(pthread_join(thread, NULL) == 0);
    bench_end();
    if (post_work.ran != post_work.tasks)
        bench_fail("tasks were lost");
    post_report();
    printf("%s post: check %llu tasks\n", contender_version(), (unsigned long long)post_work.ran);
    return 0;
}
