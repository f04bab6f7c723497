/* The checker of invariants: it finds nothing in a loop that has some of everything, and finds what is broken in it. */
#include "internal.h"
#include "posix/readiness.h"

#include "invariants.h"
#include "op_fixture.h" /* its `loop` would be shadowed in the headers above */

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#define TIMERS 40

static loop_timer_t timers[TIMERS];
static loop_idle_t idle;
static loop_async_t async;
static loop_task_t task;
static loop_tcp_t one;
static loop_tcp_t other;
static loop_op_t reads[3];
static loop_op_t writes[3];
static loop_op_t without_callback;
static char bytes[1 << 20];

static void on_timer(loop_timer_t *timer)
{
    support_check(loop_handle_get_loop(&timer->handle));
}

static void on_idle(loop_idle_t *handle)
{
    support_check(loop_handle_get_loop(&handle->handle));
}

static void on_async(loop_async_t *handle)
{
    support_check(loop_handle_get_loop(&handle->handle));
}

static void on_task(loop_task_t *t, int status)
{
    (void)t;
    assert_ok(status);
    support_check(loop);
}

static void on_read(loop_tcp_t *tcp, ptrdiff_t nread, const loop_buf_t *buf)
{
    (void)nread;
    (void)buf;
    support_check(loop_handle_get_loop(&tcp->handle));
}

static void on_drain(loop_tcp_t *tcp)
{
    support_check(loop_handle_get_loop(&tcp->handle));
}

/* Timers of which some are stopped and some moved, parked and finished operations, a write queue, deadlines, posted nodes,
 * a handle that closes. */
static void begin_busy(void)
{
    loop_buf_t buf = buf_of(bytes, sizeof(bytes));
    loop_buf_t small = buf_of(bytes, 10);

    begin_with(SOCK_STREAM);
    for (int i = 0; i < TIMERS; i++) {
        assert_ok(loop_timer_init(loop, &timers[i]));
        assert_ok(loop_timer_start(&timers[i], on_timer, LOOP_SEC(100 + (unsigned)(i * 7 % TIMERS)), 0));
    }
    for (int i = 0; i < TIMERS; i += 5)
        assert_ok(loop_timer_stop(&timers[i]));
    assert_ok(loop_timer_start(&timers[3], on_timer, LOOP_SEC(1000), 0));
    assert_ok(loop_timer_start(&timers[4], on_timer, LOOP_SEC(1), 0));
    assert_ok(loop_idle_init(loop, &idle));
    assert_ok(loop_idle_start(&idle, on_idle));
    assert_ok(loop_async_init(loop, &async, on_async));
    support_tcp_pair(loop, &one, &other);
    assert_ok(loop_tcp_set_watermarks(&one, 10, 20, on_drain));
    assert_ok(loop_tcp_read_start(&one, NULL, on_read));
    memset(reads, 0, sizeof(reads));
    memset(writes, 0, sizeof(writes));
    memset(&without_callback, 0, sizeof(without_callback));
    memset(&task, 0, sizeof(task));
    for (int i = 0; i < 3; i++) {
        assert_ok(loop_op_read(&left, &reads[i], &small, 1, note));
        assert_ok(loop_tcp_write(&one, &writes[i], &buf, 1, note));
        for (int j = 0; j < 8; j++) /* until it is queued */
            (void)loop_tcp_try_write(&one, &buf, 1);
    }
    assert_ok(loop_op_set_deadline(&reads[1], loop_now(loop) + LOOP_SEC(50)));
    assert_ok(loop_desc_set_deadline(&right, LOOP_READABLE, loop_now(loop) + LOOP_SEC(60)));
    assert_ok(loop_op_write(&right, &without_callback, &small, 1, NULL));
    assert_ok(loop_async_send(&async));
    assert_ok(loop_post(loop, &task, on_task));
    assert_ok(loop_handle_close(&timers[TIMERS - 1].handle, NULL));
}

static void nothing_is_found_in_a_sound_loop(void **state)
{
    loop_op_t *op;

    (void)state;
    begin_busy();
    invariants_check(loop);
    assert_int_equal(loop_wait(loop, &op, 1, 0), 1);
    invariants_check(loop);
    assert_ok(loop_tcp_read_start(&other, NULL, on_read));
    run_until(4);
    invariants_check(loop);
    support_finish(loop);
}

/* ---------------------------------------------------------------------------------------------------------- breakage -- */

static struct desc *desc_of(void *handle)
{
    return handle;
}

static struct op *op_of(loop_op_t *op)
{
    return (struct op *)op;
}

static void count_a_handle_twice(void)
{
    loop->active_handles++;
}

static void forget_a_closing_handle(void)
{
    loop->closing_first = NULL;
    loop->closing_last = NULL;
    loop->extras &= ~(unsigned)EXTRA_CLOSING;
}

static void unlink_one_way(void)
{
    desc_of(&left)->handle.all.next = desc_of(&left)->handle.all.next->next;
}

static void stop_a_timer_by_halves(void)
{
    ((struct timer *)&timers[7])->handle.flags &= (uint8_t)~HANDLE_ACTIVE;
    loop->active_handles--;
}

static void disorder_the_heap(void)
{
    loop->timers.entries[0].due += LOOP_SEC(500);
}

static void let_a_node_be_sooner_than_its_entry(void)
{
    ((struct timer *)&timers[8])->node.due = 1;
}

static void point_to_the_wrong_entry(void)
{
    ((struct timer *)&timers[8])->node.position = ((struct timer *)&timers[9])->node.position;
}

static void count_a_stopped_entry(void)
{
    loop->timers.live++;
}

static void leave_a_timer_without_entry(void)
{
    struct timer_node *node = &((struct timer *)&timers[8])->node;

    loop->timers.entries[node->position - 1].node = &loop->timers.none;
    loop->timers.live--;
}

static void lose_an_operation(void)
{
    list_remove(&op_of(&reads[2])->ready.link);
}

static void count_an_operation_elsewhere(void)
{
    desc_of(&left)->inflight--;
    desc_of(&right)->inflight++;
}

static void lose_a_result(void)
{
    list_remove(&op_of(&without_callback)->ready.link);
}

static void hand_out_a_result_with_a_callback(void)
{
    op_of(&without_callback)->cb = note;
}

static void miscount_the_write_queue(void)
{
    ((struct stream *)&one)->queued--;
}

static void forget_that_the_queue_is_above(void)
{
    ((struct stream *)&one)->flags &= ~(uint32_t)STREAM_ABOVE;
}

static void leave_an_operation_parked_though_ready(void)
{
    desc_of(&left)->flags |= DESC_READABLE;
}

static void forget_to_ask_the_kernel(void)
{
    loop__posix(desc_of(&one))->interest = INTEREST_READ;
}

static void disarm_a_reader(void)
{
    desc_of(&one)->flags &= (uint16_t)~DESC_ARMED;
}

static void read_without_being_active(void)
{
    loop__handle_stop(&desc_of(&one)->handle);
}

static void forget_the_owner_of_a_number(void)
{
    loop__fd_table_set(&loop__readiness(loop)->callers, loop_desc_fd(&left), NULL);
}

static void leave_the_ready_queue_by_halves(void)
{
    list_push(&loop->ready, &desc_of(&right)->ready.link);
}

static void release_a_queued_async(void)
{
    atomic_store(&((struct async *)&async)->state, 0);
}

static void release_a_queued_task(void)
{
    atomic_store(&((struct task *)&task)->queued, 0);
}

static void lose_an_idle_handle(void)
{
    list_remove(&((struct phase_handle *)&idle)->link);
    list_init(&((struct phase_handle *)&idle)->link);
}

#define BREAKAGE(function)                                                                                             \
    {                                                                                                                  \
#function, function                                                                                            \
    }
static const struct {
    const char *name;
    void (*apply)(void);
} breakages[] = {
    BREAKAGE(count_a_handle_twice),
    BREAKAGE(forget_a_closing_handle),
    BREAKAGE(unlink_one_way),
    BREAKAGE(stop_a_timer_by_halves),
    BREAKAGE(disorder_the_heap),
    BREAKAGE(let_a_node_be_sooner_than_its_entry),
    BREAKAGE(point_to_the_wrong_entry),
    BREAKAGE(count_a_stopped_entry),
    BREAKAGE(leave_a_timer_without_entry),
    BREAKAGE(lose_an_operation),
    BREAKAGE(count_an_operation_elsewhere),
    BREAKAGE(lose_a_result),
    BREAKAGE(hand_out_a_result_with_a_callback),
    BREAKAGE(miscount_the_write_queue),
    BREAKAGE(forget_that_the_queue_is_above),
    BREAKAGE(leave_an_operation_parked_though_ready),
    BREAKAGE(forget_to_ask_the_kernel),
    BREAKAGE(disarm_a_reader),
    BREAKAGE(read_without_being_active),
    BREAKAGE(forget_the_owner_of_a_number),
    BREAKAGE(leave_the_ready_queue_by_halves),
    BREAKAGE(release_a_queued_async),
    BREAKAGE(release_a_queued_task),
    BREAKAGE(lose_an_idle_handle),
};

static bool is_found(void (*apply)(void))
{
    int status = 0;
    pid_t child = fork();

    assert_true(child >= 0);
    if (child == 0) {
        (void)close(STDERR_FILENO);
        apply();
        invariants_check(loop);
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
}

static void every_breakage_is_found(void **state)
{
    (void)state;
    begin_busy();
    for (size_t i = 0; i < sizeof(breakages) / sizeof(breakages[0]); i++) {
        if (!is_found(breakages[i].apply))
            fail_msg("not found: %s", breakages[i].name);
    }
    support_finish(loop);
}

LOOP_TEST_MAIN(TEST(nothing_is_found_in_a_sound_loop), TEST(every_breakage_is_found))
