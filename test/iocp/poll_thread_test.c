/* Polls where the AFD driver cannot be opened: a thread stands in for it. */
/* Before the others, which have variables of the names of their parameters. */
#include "iocp.h"

#include "fault_scenario.h"

#define MANY 40 /* more than there is room for at first */

static struct loop_sys real;
static loop_poll_t polls[MANY];
static loop_os_fd_t mine[MANY];
static loop_os_fd_t peers[MANY];
static int told[MANY];
static int told_of_all;
static unsigned seen;
static int last_status;

static NTSTATUS no_device(HANDLE *handle, ACCESS_MASK access, OBJECT_ATTRIBUTES *attributes, IO_STATUS_BLOCK *status,
                          LARGE_INTEGER *size, ULONG file_attributes, ULONG share, ULONG disposition, ULONG options,
                          void *ea, ULONG ea_size)
{
    (void)handle;
    (void)access;
    (void)attributes;
    (void)status;
    (void)size;
    (void)file_attributes;
    (void)share;
    (void)disposition;
    (void)options;
    (void)ea;
    (void)ea_size;
    return (NTSTATUS)0xC0000022; /* access denied, as in a sandbox */
}

static void begin_without_driver(void)
{
    real = loop__sys;
    loop__sys.NtCreateFile = no_device;
}

static void note(loop_poll_t *poll, int status, unsigned events)
{
    last_status = status;
    seen |= events;
    told[poll - polls]++;
    told_of_all++;
}

static void begin(int n)
{
    begin_without_driver();
    loop = support_loop();
    memset(told, 0, sizeof(told));
    told_of_all = 0;
    seen = 0;
    last_status = 0;
    for (int i = 0; i < n; i++) {
        loop_os_fd_t fds[2];

        assert_ok(support_local_pair(fds));
        mine[i] = fds[0];
        peers[i] = fds[1];
        assert_ok(loop_poll_init(loop, &polls[i], mine[i]));
    }
}

static void finish(int n)
{
    support_finish(loop);
    for (int i = 0; i < n; i++) {
        support_close(mine[i]);
        support_close(peers[i]);
    }
    loop__sys = real;
}

static void quiet_turns(void)
{
    int before = told_of_all;

    for (int i = 0; i < 5; i++)
        assert_true(loop_run(loop, LOOP_RUN_NOWAIT) >= 0);
    assert_int_equal(told_of_all, before);
}

static void every_kind_of_readiness_is_told(void **state)
{
    char byte;

    (void)state;
    begin(1);
    assert_ok(loop_poll_start(&polls[0], LOOP_READABLE, note));
    assert_non_null(loop__iocp(loop)->poller);
    quiet_turns();
    assert_int_equal(support_send(peers[0], "x", 1, 0), 1);
    support_until(loop, &told_of_all);
    assert_int_equal(seen, LOOP_READABLE);
    told_of_all = 0;
    support_until(loop, &told_of_all); /* and again, while it is there */
    assert_int_equal(support_recv(mine[0], &byte, 1, 0), 1);

    assert_ok(loop_poll_start(&polls[0], LOOP_WRITABLE, note));
    told_of_all = 0;
    seen = 0;
    support_until(loop, &told_of_all);
    assert_int_equal(seen, LOOP_WRITABLE);

    assert_ok(loop_poll_start(&polls[0], LOOP_PRIORITIZED, note));
    assert_true(loop_run(loop, LOOP_RUN_NOWAIT) >= 0);
    told_of_all = 0;
    seen = 0;
    assert_int_equal(support_send(peers[0], "!", 1, MSG_OOB), 1);
    support_until(loop, &told_of_all);
    assert_int_equal(seen, LOOP_PRIORITIZED);

    assert_ok(loop_poll_start(&polls[0], LOOP_DISCONNECT, note));
    assert_true(loop_run(loop, LOOP_RUN_NOWAIT) >= 0);
    told_of_all = 0;
    seen = 0;
    assert_ok(support_shutdown(peers[0]));
    support_until(loop, &told_of_all);
    assert_int_equal(seen, LOOP_DISCONNECT);
    assert_ok(last_status);
    finish(1);
}

static void one_thread_serves_many(void **state)
{
    char byte;

    (void)state;
    begin(MANY);
    for (int i = 0; i < MANY; i++)
        assert_ok(loop_poll_start(&polls[i], LOOP_READABLE, note));
    for (int i = 0; i < MANY; i += 3) {
        assert_int_equal(support_send(peers[i], "x", 1, 0), 1);
        support_until(loop, &told[i]);
        assert_int_equal(support_recv(mine[i], &byte, 1, 0), 1);
    }
    for (int i = 0; i < MANY; i++)
        assert_true((told[i] > 0) == (i % 3 == 0));
    finish(MANY);
}

static void what_was_stopped_or_closed_is_told_of_no_more(void **state)
{
    (void)state;
    begin(2);
    for (int i = 0; i < 2; i++)
        assert_ok(loop_poll_start(&polls[i], LOOP_READABLE, note));
    assert_true(loop_run(loop, LOOP_RUN_NOWAIT) >= 0);
    assert_ok(loop_poll_stop(&polls[0]));
    assert_ok(loop_handle_close(&polls[1].handle, NULL));
    for (int i = 0; i < 2; i++)
        assert_int_equal(support_send(peers[i], "x", 1, 0), 1);
    quiet_turns();
    assert_int_equal(told_of_all, 0);
    assert_ok(loop_poll_start(&polls[0], LOOP_READABLE, note));
    support_until(loop, &told[0]);
    finish(2);
}

/* An end of the peer's side that nobody watches for is there again in each look of the thread. */
static void an_end_that_nobody_watches_for_is_not_told(void **state)
{
    (void)state;
    begin(2);
    assert_ok(loop_poll_start(&polls[0], LOOP_PRIORITIZED, note));
    assert_ok(support_shutdown(peers[0]));
    quiet_turns();
    assert_ok(loop_poll_start(&polls[1], LOOP_READABLE, note));
    assert_int_equal(support_send(peers[1], "x", 1, 0), 1);
    support_until(loop, &told[1]);
    assert_int_equal(told[0], 0);
    finish(2);
}

static int ended;

static void count(loop_op_t *op)
{
    (void)op;
    ended++;
}

static void operations_wait_for_readiness_and_can_be_cancelled(void **state)
{
    static loop_desc_t desc;
    loop_op_t ready = {0};
    loop_os_fd_t fds[2];

    (void)state;
    begin(0);
    ended = 0;
    assert_ok(support_local_pair(fds));
    assert_ok(loop_desc_attach(loop, &desc, fds[0], LOOP_DESC_OWNED));
    assert_ok(loop_op_ready(&desc, &ready, LOOP_READABLE, count));
    assert_true(loop_run(loop, LOOP_RUN_NOWAIT) >= 0);
    assert_int_equal(ended, 0);
    assert_ok(loop_op_cancel(&ready));
    support_until(loop, &ended);
    assert_int_equal(ready.status, LOOP_ECANCELED);
    ended = 0;
    assert_ok(loop_op_ready(&desc, &ready, LOOP_READABLE | LOOP_WRITABLE, count));
    support_until(loop, &ended);
    assert_ok(ready.status);
    finish(0);
    support_close(fds[1]);
}

/* What may be had a moment later is no reason to do without the driver. */
static void a_lack_of_memory_is_told_and_the_driver_is_asked_again(void **state)
{
    loop_os_fd_t fds[2];

    (void)state;
    loop = support_loop();
    assert_ok(support_local_pair(fds));
    assert_ok(loop_poll_init(loop, &polls[0], fds[0]));
    fault_begin();
    fault_arm(FAULT_NtCreateFile, 1, (int)0xC000009A, 1);
    assert_int_equal(loop_poll_start(&polls[0], LOOP_READABLE, note), LOOP_ENOMEM);
    assert_false(loop_handle_is_active(&polls[0].handle));
    assert_ok(loop_poll_start(&polls[0], LOOP_READABLE, note));
    assert_int_equal(fault_count(FAULT_NtCreateFile), 2);
    assert_int_equal(fault_count(FAULT_thread_new), 0);
    support_finish(loop);
    fault_end();
    support_close(fds[0]);
    support_close(fds[1]);
}

static void every_system_call_of_polls_fails_in_turn(void **state)
{
    (void)state;
    assert_true(support_signal(0) != support_signal(1)); /* before anything is counted */
    begin_without_driver();
    every_call_fails(scenario_watching);
    loop__sys = real;
}

static void every_allocation_of_polls_fails_in_turn(void **state)
{
    (void)state;
    begin_without_driver();
    every_allocation_fails(scenario_watching);
    loop__sys = real;
}

LOOP_TEST_MAIN(TEST(every_kind_of_readiness_is_told), TEST(one_thread_serves_many),
               TEST(what_was_stopped_or_closed_is_told_of_no_more), TEST(an_end_that_nobody_watches_for_is_not_told),
               TEST(operations_wait_for_readiness_and_can_be_cancelled),
               TEST(a_lack_of_memory_is_told_and_the_driver_is_asked_again),
               TEST(every_system_call_of_polls_fails_in_turn), TEST(every_allocation_of_polls_fails_in_turn))
