/* Pools on Windows: when threads are made and joined, through the seam. */
#include "sys.h"

#include "work_fixture.h"

#include <stdatomic.h>

static struct loop_sys saved;
static atomic_int created;
static atomic_int joined;
static atomic_int named; /* a byte for each name */

static HANDLE count_create(thread_entry *entry, void *argument)
{
    atomic_fetch_add(&created, 1);
    return saved.thread_new(entry, argument);
}

/* What pools wait for are threads. */
static DWORD count_join(HANDLE thread, DWORD ms)
{
    DWORD result = saved.WaitForSingleObject(thread, ms);

    if (result == WAIT_OBJECT_0)
        atomic_fetch_add(&joined, 1);
    return result;
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
    loop__sys.thread_new = count_create;
    loop__sys.WaitForSingleObject = count_join;
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

static void a_pool_outlives_the_loops_that_come_and_go(void **state)
{
    loop_pool_t *pool;

    (void)state;
    count_threads();
    pool = pool_of(1, 0);
    for (int i = 0; i < 20; i++) {
        loop_t *loop = support_loop();
        struct item item;

        assert_ok(loop_set_pool(loop, pool));
        assert_ok(item_submit(loop, &item, LOOP_LANE_DEFAULT, NULL));
        assert_ok(loop_run(loop, LOOP_RUN_DEFAULT));
        item_expect(&item, 1, 0);
        assert_ok(loop_close(loop));
    }
    assert_int_equal(atomic_load(&created), 1);
    assert_int_equal(atomic_load(&joined), 0);
    assert_ok(loop_pool_destroy(pool));
    assert_int_equal(atomic_load(&joined), 1);
    loop__sys = saved;
}

LOOP_TEST_MAIN(TEST(closing_a_loop_joins_the_threads_of_its_own_pool), TEST(a_loop_without_work_has_no_pool),
               TEST(a_pool_outlives_the_loops_that_come_and_go))
