/* Pools: when threads are made and joined, and what a fork leaves of them. */
#include "work_fixture.h"

#include "internal.h"
#include "posix/sys.h"

#include <stdatomic.h>
#include <sys/wait.h>
#include <unistd.h>

static struct loop_sys saved;

/* Threads made and joined, through the seam. */
static atomic_int created;
static atomic_int joined;
static atomic_int named;

static int count_create(pthread_t *thread, const pthread_attr_t *attr, void *(*entry)(void *), void *argument)
{
    atomic_fetch_add(&created, 1);
    return saved.pthread_create(thread, attr, entry, argument);
}

static int count_join(pthread_t thread, void **result)
{
    int error = saved.pthread_join(thread, result);

    if (error == 0)
        atomic_fetch_add(&joined, 1);
    return error;
}

static int count_name(const char *name)
{
    static const char *const names[] = {"loop-default", "loop-slow", "loop-names"};

    for (int i = 0; i < LOOP_LANE_COUNT; i++) {
        if (strcmp(name, names[i]) == 0)
            atomic_fetch_add(&named, 1 << (8 * i));
    }
    return saved.name_thread(name);
}

static void count_threads(void)
{
    saved = loop__sys;
    atomic_store(&created, 0);
    atomic_store(&joined, 0);
    atomic_store(&named, 0);
    loop__sys.pthread_create = count_create;
    loop__sys.pthread_join = count_join;
    loop__sys.name_thread = count_name;
}

static void closing_a_loop_joins_the_threads_of_its_own_pool(void **state)
{
    loop_t *loop;
    struct item items[9];
    struct gate gate;

    (void)state;
    gate_init(&gate);
    count_threads();
    loop = support_loop();
    for (int i = 0; i < 9; i++)
        assert_ok(item_submit(loop, &items[i], i < 2 ? LOOP_LANE_SLOW : LOOP_LANE_DEFAULT, &gate));
    gate_await(&gate, 6);
    gate_open(&gate);
    assert_ok(loop_run(loop, LOOP_RUN_DEFAULT));
    assert_int_equal(atomic_load(&joined), 0);
    assert_ok(loop_close(loop));
    loop__sys = saved;
    assert_int_equal(atomic_load(&created), 6);
    assert_int_equal(atomic_load(&joined), 6);
    assert_int_equal(atomic_load(&named), 4 | 2 << 8);
    gate_destroy(&gate);
}

static void a_loop_without_work_has_no_pool(void **state)
{
    struct support_allocator counts = {0};
    loop_allocator_t allocator = support_allocator(&counts);
    loop_options_t options = LOOP_OPTIONS_INIT;
    loop_t *loop;
    struct item item;
    long before;

    (void)state;
    options.allocator = &allocator;
    count_threads();
    assert_ok(loop_init(&loop, &options));
    assert_ok(loop_run(loop, LOOP_RUN_DEFAULT));
    assert_null(loop_get_pool(loop));
    assert_int_equal(atomic_load(&created), 0);
    before = counts.live;
    for (int i = 0; i < 3; i++) { /* made once, from the loop's memory; work itself needs none */
        assert_ok(item_submit(loop, &item, LOOP_LANE_DEFAULT, NULL));
        support_until(loop, &item.ended);
        assert_int_equal(counts.live, before + 1);
    }
    assert_ok(loop_close(loop));
    loop__sys = saved;
    assert_int_equal(counts.live, 0);
}

static loop_pool_t *shared;

static void a_pool_outlives_the_loops_that_come_and_go(void **state)
{
    (void)state;
    count_threads();
    shared = pool_of(1, 0);
    for (int i = 0; i < 20; i++) {
        loop_t *loop = support_loop();
        struct item item;

        assert_ok(loop_set_pool(loop, shared));
        assert_ok(item_submit(loop, &item, LOOP_LANE_DEFAULT, NULL));
        assert_ok(loop_run(loop, LOOP_RUN_DEFAULT));
        item_expect(&item, 1, 0);
        assert_ok(loop_close(loop));
    }
    assert_int_equal(atomic_load(&created), 1);
    assert_int_equal(atomic_load(&joined), 0);
    assert_ok(loop_pool_destroy(shared));
    assert_int_equal(atomic_load(&joined), 1);
    loop__sys = saved;
}

/* -------------------------------------------------------------------------------------------------------------- fork -- */

#if defined(__SANITIZE_THREAD__)
#define UNDER_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define UNDER_TSAN 1
#endif
#endif
#ifndef UNDER_TSAN
#define UNDER_TSAN 0
#endif

#define CHILD_TIME 60

/* What the child finds, 0 if all is as it should be: the number of a line otherwise. */
#define CHECK(condition)                                                                                               \
    do {                                                                                                               \
        if (!(condition))                                                                                              \
            return __LINE__;                                                                                           \
    } while (0)

/* Runs check in a child. It ends by a signal: no checker of memory may look at threads of which only the stacks were
 * copied. */
static void in_child(int (*check)(void))
{
    int found = -1;
    int fds[2];
    pid_t child;

    assert_ok(pipe(fds));
    child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        (void)alarm(CHILD_TIME);
        found = check();
        (void)!write(fds[1], &found, sizeof(found));
        (void)raise(SIGKILL);
    }
    assert_ok(close(fds[1]));
    assert_int_equal(read(fds[0], &found, sizeof(found)), sizeof(found));
    assert_int_equal(waitpid(child, NULL, 0), child);
    assert_ok(close(fds[0]));
    assert_int_equal(found, 0);
}

static struct {
    loop_t *loop;
    struct gate gate;
    struct item running;
    struct item queued[3];
    struct item finished;
} parent;

static bool ended_as(const struct item *item, int ran, int status)
{
    return item->ended == 1 && item->ran == ran && item->status == status;
}

static int child_goes_on(void)
{
    loop_pool_t *pool = loop_get_pool(parent.loop);

    CHECK(loop_fork(parent.loop) == 0);
    CHECK(loop_run(parent.loop, LOOP_RUN_DEFAULT) == 0);
    CHECK(ended_as(&parent.running, 0, LOOP_ECANCELED));
    for (int i = 0; i < 3; i++)
        CHECK(ended_as(&parent.queued[i], 1, 0));
    CHECK(ended_as(&parent.finished, 1, 0));
    CHECK(metrics_of(pool, LOOP_LANE_DEFAULT).threads == 1);
    CHECK(item_submit(parent.loop, &parent.running, LOOP_LANE_DEFAULT, NULL) == 0);
    CHECK(loop_run(parent.loop, LOOP_RUN_DEFAULT) == 0);
    CHECK(ended_as(&parent.running, 1, 0));
    CHECK(loop_close(parent.loop) == 0);
    CHECK(loop_pool_destroy(pool) == 0);
    return 0;
}

/* As if the thread had been copied between its last two steps. */
static int child_finds_an_end_that_was_not_posted(void)
{
    ((struct work *)&parent.running.work)->state = WORK_FINISHED;
    ((struct work *)&parent.running.work)->status = 0;
    CHECK(loop_fork(parent.loop) == 0);
    CHECK(loop_run(parent.loop, LOOP_RUN_DEFAULT) == 0);
    CHECK(ended_as(&parent.running, 0, 0));
    CHECK(ended_as(&parent.finished, 1, 0));
    return 0;
}

static int child_leaves(void)
{
    loop_pool_t *pool = loop_get_pool(parent.loop);

    CHECK(loop_close(parent.loop) == 0);
    CHECK(loop_pool_destroy(pool) == 0); /* waits for nobody */
    return 0;
}

static void fork_in_the_middle(int (*check)(void))
{
    loop_pool_t *pool = pool_of(1, 3);

    gate_init(&parent.gate);
    parent.loop = support_loop();
    assert_ok(loop_set_pool(parent.loop, pool));
    assert_ok(item_submit(parent.loop, &parent.running, LOOP_LANE_DEFAULT, &parent.gate));
    assert_ok(item_submit(parent.loop, &parent.finished, LOOP_LANE_SLOW, NULL));
    for (int i = 0; i < 3; i++)
        assert_ok(item_submit(parent.loop, &parent.queued[i], LOOP_LANE_DEFAULT, NULL));
    gate_await(&parent.gate, 1);
    while (metrics_of(pool, LOOP_LANE_SLOW).done == 0)
        (void)sched_yield();
    in_child(check);

    /* The parent has not noticed. */
    gate_open(&parent.gate);
    assert_ok(loop_run(parent.loop, LOOP_RUN_DEFAULT));
    item_expect(&parent.running, 1, 0);
    item_expect(&parent.finished, 1, 0);
    for (int i = 0; i < 3; i++)
        item_expect(&parent.queued[i], 1, 0);
    assert_ok(loop_close(parent.loop));
    assert_ok(loop_pool_destroy(pool));
    gate_destroy(&parent.gate);
}

static void a_child_runs_what_was_queued_and_is_told_what_was_lost(void **state)
{
    (void)state;
    if (UNDER_TSAN)
        skip(); /* it starts no threads in a child of a process with threads */
    fork_in_the_middle(child_goes_on);
}

static void a_child_delivers_what_had_ended(void **state)
{
    (void)state;
    if (UNDER_TSAN)
        skip();
    fork_in_the_middle(child_finds_an_end_that_was_not_posted);
}

static void a_child_may_close_a_loop_whose_threads_stayed_with_the_parent(void **state)
{
    loop_pool_t *pool = pool_of(1, 0);
    struct item item;

    (void)state;
    parent.loop = support_loop();
    assert_ok(loop_set_pool(parent.loop, pool));
    assert_ok(item_submit(parent.loop, &item, LOOP_LANE_DEFAULT, NULL));
    support_until(parent.loop, &item.ended);
    in_child(child_leaves);
    assert_ok(loop_close(parent.loop));
    assert_ok(loop_pool_destroy(pool));
}

static loop_t *other;
static struct item of_other;

static int child_goes_on_with_two_loops(void)
{
    CHECK(loop_fork(parent.loop) == 0);
    CHECK(loop_run(parent.loop, LOOP_RUN_DEFAULT) == 0);
    CHECK(of_other.ran == 0); /* its loop has not said that it lives on */
    CHECK(loop_fork(other) == 0);
    CHECK(metrics_of(shared, LOOP_LANE_DEFAULT).threads == 1);
    CHECK(loop_run(other, LOOP_RUN_DEFAULT) == 0);
    CHECK(ended_as(&of_other, 1, 0));
    CHECK(ended_as(&parent.running, 0, LOOP_ECANCELED));
    CHECK(ended_as(&parent.queued[0], 1, 0));
    return 0;
}

static void in_a_child_each_loop_of_a_shared_pool_takes_up_its_own_work(void **state)
{
    (void)state;
    if (UNDER_TSAN)
        skip();
    shared = pool_of(1, 0);
    gate_init(&parent.gate);
    parent.loop = support_loop();
    other = support_loop();
    assert_ok(loop_set_pool(parent.loop, shared));
    assert_ok(loop_set_pool(other, shared));
    assert_ok(item_submit(parent.loop, &parent.running, LOOP_LANE_DEFAULT, &parent.gate));
    gate_await(&parent.gate, 1);
    assert_ok(item_submit(other, &of_other, LOOP_LANE_DEFAULT, NULL));
    assert_ok(item_submit(parent.loop, &parent.queued[0], LOOP_LANE_DEFAULT, NULL));
    in_child(child_goes_on_with_two_loops);
    gate_open(&parent.gate);
    assert_ok(loop_run(parent.loop, LOOP_RUN_DEFAULT));
    assert_ok(loop_run(other, LOOP_RUN_DEFAULT));
    assert_ok(loop_close(parent.loop));
    assert_ok(loop_close(other));
    assert_ok(loop_pool_destroy(shared));
    gate_destroy(&parent.gate);
}

LOOP_TEST_MAIN(TEST(closing_a_loop_joins_the_threads_of_its_own_pool), TEST(a_loop_without_work_has_no_pool),
               TEST(a_pool_outlives_the_loops_that_come_and_go),
               TEST(a_child_runs_what_was_queued_and_is_told_what_was_lost), TEST(a_child_delivers_what_had_ended),
               TEST(a_child_may_close_a_loop_whose_threads_stayed_with_the_parent),
               TEST(in_a_child_each_loop_of_a_shared_pool_takes_up_its_own_work))
