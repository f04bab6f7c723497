/* Pools: their life, their memory, several loops on one. Their threads, and forks: posix/pool_test.c. */
#include "work_fixture.h"

/* --------------------------------------------------------------------------------------------------------- life -- */

static void a_pool_is_made_with_checked_options(void **state)
{
    loop_pool_options_t options = LOOP_POOL_OPTIONS_INIT;
    loop_allocator_t allocator = {NULL, NULL};
    loop_pool_t *pool = (loop_pool_t *)&options;

    (void)state;
    assert_int_equal(loop_pool_create(NULL, NULL), LOOP_EINVAL);
    options.lanes[LOOP_LANE_SLOW].threads = 1025;
    assert_int_equal(loop_pool_create(&pool, &options), LOOP_EINVAL);
    assert_null(pool);
    options.lanes[LOOP_LANE_SLOW].threads = 1024; /* none of them is started */
    options.size--;
    assert_int_equal(loop_pool_create(&pool, &options), LOOP_EINVAL);
    options.size++;
    options.allocator = &allocator;
    assert_int_equal(loop_pool_create(&pool, &options), LOOP_EINVAL);
    options.allocator = NULL;
    assert_ok(loop_pool_create(&pool, &options));
    assert_int_equal(metrics_of(pool, LOOP_LANE_SLOW).most_threads, 1024);
    assert_int_equal(metrics_of(pool, LOOP_LANE_DEFAULT).most_threads, 4);
    assert_ok(loop_pool_destroy(pool));
    assert_int_equal(loop_pool_destroy(NULL), LOOP_EINVAL);
    assert_ok(loop_pool_create(&pool, NULL));
    assert_ok(loop_pool_destroy(pool));
}

static void metrics_need_a_lane_and_a_known_size(void **state)
{
    loop_pool_t *pool = pool_of(0, 0);
    loop_pool_metrics_t metrics = LOOP_POOL_METRICS_INIT;

    (void)state;
    assert_int_equal(loop_pool_metrics(NULL, LOOP_LANE_DEFAULT, &metrics), LOOP_EINVAL);
    assert_int_equal(loop_pool_metrics(pool, LOOP_LANE_DEFAULT, NULL), LOOP_EINVAL);
    assert_int_equal(loop_pool_metrics(pool, LOOP_LANE_COUNT, &metrics), LOOP_EINVAL);
    assert_ok(loop_pool_metrics(pool, LOOP_LANE_NAMES, &metrics));
    metrics.size = 0;
    assert_int_equal(loop_pool_metrics(pool, LOOP_LANE_NAMES, &metrics), LOOP_EINVAL);
    assert_ok(loop_pool_destroy(pool));
}

static void a_loop_takes_a_pool_once_and_before_it_has_its_own(void **state)
{
    loop_pool_t *pool = pool_of(0, 0);
    loop_t *loop = support_loop();
    loop_t *second;
    struct item item;

    (void)state;
    assert_int_equal(loop_set_pool(NULL, pool), LOOP_EINVAL);
    assert_int_equal(loop_set_pool(loop, NULL), LOOP_EINVAL);
    assert_null(loop_get_pool(NULL));
    assert_null(loop_get_pool(loop));
    assert_ok(loop_set_pool(loop, pool));
    assert_ptr_equal(loop_get_pool(loop), pool);
    assert_int_equal(loop_set_pool(loop, pool), LOOP_EBUSY);
    assert_int_equal(loop_pool_destroy(pool), LOOP_EBUSY);
    assert_ok(loop_close(loop));

    loop = support_loop();
    assert_ok(item_submit(loop, &item, LOOP_LANE_DEFAULT, NULL));
    assert_int_equal(loop_set_pool(loop, pool), LOOP_EBUSY);
    assert_true(loop_get_pool(loop) != pool);
    assert_int_equal(loop_pool_destroy(loop_get_pool(loop)), LOOP_EBUSY); /* a loop's own goes with the loop */
    second = support_loop();
    assert_int_equal(loop_set_pool(second, loop_get_pool(loop)), LOOP_EINVAL);
    assert_null(loop_get_pool(second));
    assert_ok(loop_close(second));
    support_finish(loop);
    assert_ok(loop_pool_destroy(pool));
}

static void a_pool_allocates_when_it_is_made_only(void **state)
{
    struct support_allocator counts = {0};
    loop_allocator_t allocator = support_allocator(&counts);
    loop_pool_options_t options = LOOP_POOL_OPTIONS_INIT;
    loop_t *loop = support_loop();
    loop_pool_t *pool;
    struct item items[50];
    long calls;

    (void)state;
    options.allocator = &allocator;
    counts.fail_at = 1;
    assert_int_equal(loop_pool_create(&pool, &options), LOOP_ENOMEM);
    assert_null(pool);
    assert_ok(loop_pool_create(&pool, &options));
    calls = counts.calls;
    assert_ok(loop_set_pool(loop, pool));
    for (int i = 0; i < 50; i++)
        assert_ok(item_submit(loop, &items[i], LOOP_LANE_DEFAULT, NULL));
    support_finish(loop);
    assert_int_equal(counts.calls, calls);
    assert_int_equal(counts.live, 1);
    assert_ok(loop_pool_destroy(pool));
    assert_int_equal(counts.live, 0);
}

/* ----------------------------------------------------------------------------------------------------- several loops -- */

#define LOOPS 3
#define EACH 400

static loop_pool_t *shared;
static int runs_of_each;

struct user;

struct use {
    struct item item; /* first */
    struct user *user;
};

struct user {
    struct use uses[8];
    loop_t *loop;
    int left; /* submissions to come */
    bool failed;
};

static struct user users[LOOPS];

static void use_again(loop_work_t *work, int status);

/* No assertions: this is not the test's thread. */
static void use_once(struct user *user, struct use *use)
{
    user->left--;
    if (loop_work(user->loop, &use->item.work, LOOP_LANE_DEFAULT, item_run, use_again) != 0)
        user->failed = true;
}

static void use_again(loop_work_t *work, int status)
{
    struct use *use = work->data;

    if (status != 0)
        use->user->failed = true;
    else if (use->user->left > 0)
        use_once(use->user, use);
}

static void *use_pool(void *argument)
{
    struct user *user = argument;

    if (loop_init(&user->loop, NULL) != 0 || loop_set_pool(user->loop, shared) != 0)
        return argument;
    user->left = runs_of_each;
    for (int i = 0; i < 8; i++) {
        user->uses[i].item.work.data = &user->uses[i];
        user->uses[i].user = user;
        use_once(user, &user->uses[i]);
    }
    if (loop_run(user->loop, LOOP_RUN_DEFAULT) != 0 || loop_close(user->loop) != 0)
        return argument;
    return NULL;
}

static void several_loops_share_the_threads_of_a_pool(void **state)
{
    pthread_t threads[LOOPS];
    uint64_t ran = 0;

    (void)state;
    shared = pool_of(2, 0);
    runs_of_each = harness_slow() ? 60 : EACH;
    memset(users, 0, sizeof(users));
    for (int i = 0; i < LOOPS; i++)
        assert_ok(pthread_create(&threads[i], NULL, use_pool, &users[i]));
    for (int i = 0; i < LOOPS; i++) {
        void *failed = NULL;

        assert_ok(pthread_join(threads[i], &failed));
        assert_null(failed);
        assert_false(users[i].failed);
        for (int j = 0; j < 8; j++)
            ran += (uint64_t)users[i].uses[j].item.ran;
    }
    assert_true(metrics_of(shared, LOOP_LANE_DEFAULT).threads <= 2);
    assert_int_equal(metrics_of(shared, LOOP_LANE_DEFAULT).done, ran);
    assert_int_equal(ran, LOOPS * (uint64_t)runs_of_each);
    assert_ok(loop_pool_destroy(shared));
}

LOOP_TEST_MAIN(TEST(a_pool_is_made_with_checked_options), TEST(metrics_need_a_lane_and_a_known_size),
               TEST(a_loop_takes_a_pool_once_and_before_it_has_its_own), TEST(a_pool_allocates_when_it_is_made_only),
               TEST(several_loops_share_the_threads_of_a_pool))
