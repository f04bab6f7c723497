/*
 * Operations that wait for the exit of a process, and for whatever else is signalled: the engine below handles that are to come.
 */
#include "iocp.h"

#include "child.h"

#define CHILD_STATUS 7

static loop_t *loop;
static struct desc watched;
static struct op ops[2];
static int completions;
static int last_status;

static void note(loop_op_t *op)
{
    completions++;
    last_status = op->status;
}

/* ----------------------------------------------------------------------------------------------------- watched calls -- */

static struct loop_sys real;
static int registered;
static int unregistered;
static WAITORTIMERCALLBACK last_callback;
static void *last_context;
static int refused;           /* so many registrations fail */
static atomic_int posted;     /* packets of waits */
static atomic_int lost;       /* ... that could not be posted */
static atomic_int unpostable; /* so many more cannot; negative: none can */

static BOOL watched_register(HANDLE *wait, HANDLE object, WAITORTIMERCALLBACK callback, void *context, ULONG ms,
                             ULONG flags)
{
    BOOL done;

    if (refused > 0) {
        refused--;
        SetLastError(ERROR_NOT_ENOUGH_MEMORY);
        return FALSE;
    }
    done = real.RegisterWaitForSingleObject(wait, object, callback, context, ms, flags);
    registered += done;
    last_callback = callback;
    last_context = context;
    return done;
}

static BOOL watched_unregister(HANDLE wait, HANDLE done)
{
    unregistered++;
    return real.UnregisterWaitEx(wait, done);
}

static bool cannot_post(void)
{
    int left = atomic_load(&unpostable);

    if (left > 0)
        atomic_store(&unpostable, left - 1);
    return left != 0;
}

static BOOL watched_post(HANDLE port, DWORD bytes, ULONG_PTR key, OVERLAPPED *overlapped)
{
    BOOL done;

    if (key != PACKET_REQUEST)
        return real.PostQueuedCompletionStatus(port, bytes, key, overlapped);
    if (cannot_post()) {
        atomic_fetch_add(&lost, 1);
        SetLastError(ERROR_NO_SYSTEM_RESOURCES);
        return FALSE;
    }
    done = real.PostQueuedCompletionStatus(port, bytes, key, overlapped);
    atomic_fetch_add(&posted, 1);
    return done;
}

static void await_count(atomic_int *count, int n)
{
    while (atomic_load(count) < n)
        support_yield();
}

/* --------------------------------------------------------------------------------------------------- a loop, an object -- */

static void begin_loop(void)
{
    loop = support_loop();
    completions = 0;
    memset(ops, 0, sizeof(ops));
    real = loop__sys;
    registered = 0;
    unregistered = 0;
    refused = 0;
    atomic_store(&posted, 0);
    atomic_store(&lost, 0);
    atomic_store(&unpostable, 0);
    loop__sys.RegisterWaitForSingleObject = watched_register;
    loop__sys.UnregisterWaitEx = watched_unregister;
    loop__sys.PostQueuedCompletionStatus = watched_post;
}

static void attach(struct desc *desc, HANDLE object, unsigned flags)
{
    assert_ok(loop__desc_init(loop, desc, LOOP_DESC));
    assert_ok(loop__desc_attach(desc, (loop_os_fd_t)object, DESC_PROCESS | flags));
}

static void begin(HANDLE object)
{
    begin_loop();
    attach(&watched, object, 0);
}

static void finish(void)
{
    support_finish(loop);
    assert_int_equal(registered, unregistered);
    loop__sys = real;
}

static void turn(void)
{
    assert_true(loop_run(loop, LOOP_RUN_NOWAIT) >= 0);
}

/* Nothing more comes. */
static void turns(void)
{
    for (int i = 0; i < 8; i++)
        turn();
}

static void run_until(int n)
{
    while (completions < n)
        assert_true(loop_run(loop, LOOP_RUN_ONCE) >= 0);
    assert_int_equal(completions, n);
}

static void watch(int i)
{
    assert_ok(loop__op_watch(&ops[i], &watched, note));
}

static void cancel(int i)
{
    assert_ok(loop_op_cancel((loop_op_t *)&ops[i]));
}

/* stays: it is signalled until it is reset; else until one wait for it has ended. */
static HANDLE new_event(bool stays)
{
    HANDLE event = CreateEventW(NULL, stays, FALSE, NULL);

    assert_non_null(event);
    return event;
}

static void set(HANDLE event)
{
    assert_true(SetEvent(event));
}

static void close_object(HANDLE object)
{
    assert_true(CloseHandle(object));
}

/* ---------------------------------------------------------------------------------------------------------- processes -- */

static void the_exit_of_a_process_ends_the_wait(void **state)
{
    struct child child;

    (void)state;
    child_start(&child, "wait", 0);
    begin(child.process);
    watch(0);
    watch(1);
    turn();
    assert_int_equal(completions, 0);
    set(child.stop);
    run_until(2); /* both */
    assert_int_equal(last_status, 0);
    assert_int_equal(child_status(&child), CHILD_STATUS);
    watch(0);                         /* it has exited for ever */
    assert_int_equal(completions, 2); /* and even that is told later */
    run_until(3);
    assert_int_equal(last_status, 0);
    finish();
    child_close(&child);
}

static void a_process_that_has_exited_before_is_told_at_once(void **state)
{
    struct child child;

    (void)state;
    child_start(&child, "wait", 0);
    set(child.stop);
    assert_int_equal(child_status(&child), CHILD_STATUS);
    begin(child.process);
    watch(0);
    assert_int_equal(completions, 0);
    run_until(1);
    assert_int_equal(last_status, 0);
    finish();
    child_close(&child);
}

static void the_end_of_a_process_that_is_killed_is_its_exit(void **state)
{
    struct child child;

    (void)state;
    child_start(&child, "wait", 0);
    begin(child.process);
    watch(0);
    turn();
    assert_true(TerminateProcess(child.process, 3));
    run_until(1);
    assert_int_equal(last_status, 0);
    assert_int_equal(child_status(&child), 3);
    finish();
    child_close(&child);
}

static void a_handle_closed_before_the_exit_hears_nothing_of_it(void **state)
{
    struct child child;
    loop_timer_t timer;

    (void)state;
    child_start(&child, "wait", 0);
    begin(child.process);
    watch(0);
    turn();
    assert_ok(loop_handle_close((loop_handle_t *)&watched, NULL));
    run_until(1);
    assert_int_equal(last_status, LOOP_ECANCELED);
    turn();
    memset(&watched, 0xff, sizeof(watched)); /* whoever follows a stale pointer will notice */
    memset(&ops, 0xff, sizeof(ops));
    set(child.stop);
    assert_int_equal(child_status(&child), CHILD_STATUS);
    assert_ok(loop_timer_init(loop, &timer));
    turns();
    assert_int_equal(completions, 1);
    finish();
    child_close(&child);
}

/* ------------------------------------------------------------------------------------------------------------- events -- */

static void an_event_that_takes_itself_back_ends_one_wait_each_time(void **state)
{
    HANDLE event = new_event(false);

    (void)state;
    begin(event);
    set(event);
    watch(0);
    watch(1);
    assert_int_equal(completions, 0);
    run_until(1);
    assert_int_equal(last_status, 0);
    turns();
    assert_int_equal(completions, 1);
    set(event);
    run_until(2);
    assert_int_equal(last_status, 0);
    finish();
    close_object(event);
}

/* More than one thread of the system can wait for. */
static void many_objects_are_waited_for_together(void **state)
{
    enum {
        MANY = 150
    };
    static struct desc descs[MANY];
    static struct op waits[MANY];
    HANDLE events[MANY];

    (void)state;
    begin_loop();
    for (int i = 0; i < MANY; i++) {
        events[i] = new_event(true);
        attach(&descs[i], events[i], DESC_OWNED);
        memset(&waits[i], 0, sizeof(waits[i]));
        assert_ok(loop__op_watch(&waits[i], &descs[i], note));
    }
    for (int i = 0; i < MANY; i += 2)
        set(events[i]);
    run_until(MANY / 2);
    turns();
    assert_int_equal(completions, MANY / 2);
    for (int i = 0; i < MANY; i++)
        assert_int_equal(waits[i].state == OP_IDLE, i % 2 == 0);
    finish(); /* the others end with their handles */
    assert_int_equal(completions, MANY);
}

/* ------------------------------------------------------------------------------------------------------ cancel, close -- */

static void a_wait_can_be_cancelled_and_made_again(void **state)
{
    HANDLE event = new_event(true);

    (void)state;
    begin(event);
    watch(0);
    cancel(0);
    assert_int_equal(completions, 0);
    run_until(1);
    assert_int_equal(last_status, LOOP_ECANCELED);
    set(event);
    turns();
    assert_int_equal(completions, 1);
    watch(0);
    run_until(2);
    assert_int_equal(last_status, 0);
    finish();
    close_object(event);
}

/* The signal was first. */
static void a_wait_that_is_cancelled_after_the_signal_ends_once_and_well(void **state)
{
    HANDLE event = new_event(false);

    (void)state;
    begin(event);
    watch(0);
    watch(1);
    set(event);
    await_count(&posted, 1);
    cancel(0);
    cancel(0);
    run_until(1);
    assert_int_equal(last_status, 0);
    turns();
    assert_int_equal(completions, 1);
    set(event);
    run_until(2); /* the one behind it */
    assert_int_equal(last_status, 0);
    finish();
    close_object(event);
}

static void a_cancelled_wait_lets_those_behind_it_wait(void **state)
{
    HANDLE event = new_event(false);

    (void)state;
    begin(event);
    watch(0);
    watch(1);
    cancel(0);
    run_until(1);
    assert_int_equal(last_status, LOOP_ECANCELED);
    set(event);
    run_until(2);
    assert_int_equal(last_status, 0);
    watch(0);
    watch(1);
    cancel(1); /* and one that had not begun to */
    run_until(3);
    assert_int_equal(last_status, LOOP_ECANCELED);
    set(event);
    run_until(4);
    assert_int_equal(last_status, 0);
    finish();
    close_object(event);
}

static void a_deadline_ends_a_wait(void **state)
{
    HANDLE event = new_event(true);

    (void)state;
    begin(event);
    watch(0);
    assert_ok(loop_op_set_deadline((loop_op_t *)&ops[0], loop_now(loop) + LOOP_MS(2)));
    run_until(1);
    assert_int_equal(last_status, LOOP_ETIMEDOUT);
    assert_int_equal(unregistered, 1);
    set(event);
    turns();
    assert_int_equal(completions, 1);
    watch(0);
    assert_ok(loop_op_set_deadline((loop_op_t *)&ops[0], loop_now(loop) + LOOP_SEC(60)));
    run_until(2);
    assert_int_equal(last_status, 0);
    finish();
    close_object(event);
}

/* Wine does that: its thread had been woken by the object, and looked at the wait between two steps of unregistering. */
static void a_callback_that_comes_after_its_wait_was_unregistered_is_for_nobody(void **state)
{
    HANDLE event = new_event(true);
    WAITORTIMERCALLBACK callback;
    void *context;

    (void)state;
    begin(event);
    watch(0);
    callback = last_callback;
    context = last_context;
    cancel(0);
    run_until(1);
    assert_int_equal(last_status, LOOP_ECANCELED);
    callback(context, FALSE);
    turns();
    watch(0); /* in the same memory */
    callback(context, FALSE);
    turns();
    assert_int_equal(completions, 1);
    assert_int_equal(atomic_load(&posted), 0);
    set(event);
    run_until(2);
    assert_int_equal(last_status, 0);
    finish();
    close_object(event);
}

static bool closed;

static void on_closed(loop_handle_t *handle)
{
    (void)handle;
    closed = true;
}

/* The packet of the wait is in the port, and its memory stays until it was taken. */
static void a_handle_may_be_closed_between_the_signal_and_its_packet(void **state)
{
    HANDLE event = new_event(true);

    (void)state;
    begin(event);
    closed = false;
    watch(0);
    set(event);
    await_count(&posted, 1);
    assert_ok(loop_handle_close((loop_handle_t *)&watched, on_closed));
    run_until(1);
    assert_int_equal(last_status, 0);
    turns();
    assert_true(closed);
    assert_int_equal(completions, 1);
    finish();
    close_object(event);
}

/* ---------------------------------------------------------------------------------------------------------- bad days -- */

static void a_registration_that_fails_ends_the_operation(void **state)
{
    HANDLE event = new_event(true);

    (void)state;
    begin(event);
    refused = 1;
    watch(0);
    assert_int_equal(completions, 0);
    run_until(1);
    assert_int_equal(last_status, LOOP_ENOMEM);
    watch(0);
    watch(1);
    refused = 1;
    set(event);
    run_until(3); /* the one behind it, too */
    assert_int_equal(ops[0].status, 0);
    assert_int_equal(ops[1].status, LOOP_ENOMEM);
    finish();
    close_object(event);
}

static void a_packet_that_cannot_be_posted_is_posted_later(void **state)
{
    HANDLE event = new_event(true);

    (void)state;
    begin(event);
    atomic_store(&unpostable, 3);
    watch(0);
    set(event);
    run_until(1);
    assert_int_equal(last_status, 0);
    assert_int_equal(atomic_load(&lost), 3);
    finish();
    close_object(event);
}

static void a_wait_can_be_cancelled_while_its_packet_cannot_be_posted(void **state)
{
    HANDLE event = new_event(true);

    (void)state;
    begin(event);
    atomic_store(&unpostable, -1);
    watch(0);
    set(event);
    await_count(&lost, 1);
    cancel(0);
    run_until(1);
    assert_int_equal(last_status, LOOP_ECANCELED);
    atomic_store(&unpostable, 0);
    turns();
    assert_int_equal(completions, 1);
    finish();
    close_object(event);
}

static void what_is_no_handle_cannot_be_waited_for(void **state)
{
    HANDLE event = new_event(true);

    (void)state;
    begin_loop();
    close_object(event);
    assert_ok(loop__desc_init(loop, &watched, LOOP_DESC));
    assert_int_equal(loop__desc_attach(&watched, (loop_os_fd_t)event, DESC_PROCESS), LOOP_EBADF);
    assert_int_equal(loop__desc_attach(&watched, LOOP_INVALID_FD, DESC_PROCESS), LOOP_EBADF);
    finish();
}

/* ------------------------------------------------------------------------------------------------------------- random -- */

#define OBJECTS 4
#define WAITS 3 /* of each */
#define STEPS 4000

static struct object {
    HANDLE event;
    atomic_int signals;
    struct desc desc;
    struct op waits[WAITS];
    bool open;
} objects[OBJECTS];

static int begun[OBJECTS][WAITS];
static int ended[OBJECTS][WAITS];
static int succeeded[OBJECTS];
static atomic_bool stop_setting;

static void note_random(loop_op_t *op)
{
    for (int i = 0; i < OBJECTS; i++) {
        for (int j = 0; j < WAITS; j++) {
            if ((struct op *)op != &objects[i].waits[j])
                continue;
            ended[i][j]++;
            assert_int_equal(ended[i][j], begun[i][j]);
            assert_true(op->status == 0 || op->status == LOOP_ECANCELED || op->status == LOOP_ETIMEDOUT);
            succeeded[i] += op->status == 0;
        }
    }
}

static void *set_at_random(void *argument)
{
    uint64_t random = *(const uint64_t *)argument;

    while (!atomic_load(&stop_setting)) {
        struct object *object = &objects[support_random(&random, OBJECTS)];

        atomic_fetch_add(&object->signals, 1);
        (void)SetEvent(object->event);
        for (uint32_t i = support_random(&random, 8); i > 0; i--)
            support_yield();
    }
    return NULL;
}

static void on_object_closed(loop_handle_t *handle)
{
    CONTAINER_OF(handle, struct object, desc.handle)->open = false;
}

static void step(uint64_t *random)
{
    int i = (int)support_random(random, OBJECTS);
    int j = (int)support_random(random, WAITS);
    struct object *object = &objects[i];
    struct op *op = &object->waits[j];

    if (!object->open) {
        attach(&object->desc, object->event, 0);
        object->open = true;
    }
    switch (support_random(random, 8)) {
    case 0:
    case 1:
    case 2:
        if (op->state == OP_IDLE && !(object->desc.handle.flags & HANDLE_CLOSING)) {
            begun[i][j]++;
            assert_ok(loop__op_watch(op, &object->desc, note_random));
        }
        break;
    case 3:
    case 4:
        if (op->state != OP_IDLE)
            (void)loop_op_cancel((loop_op_t *)op);
        break;
    case 5:
        if (op->state == OP_PARKED)
            (void)loop_op_set_deadline((loop_op_t *)op, loop_now(loop) + support_random(random, 1000000));
        break;
    case 6:
        if (support_random(random, 16) == 0)
            (void)loop_handle_close((loop_handle_t *)&object->desc, on_object_closed);
        break;
    default:
        turn();
        support_check(loop);
        break;
    }
}

static bool every_object_was_waited_for(void)
{
    for (int i = 0; i < OBJECTS; i++) {
        if (succeeded[i] == 0)
            return false;
    }
    return true;
}

/* Every wait ends once, and no signal ends two. */
static void random_waits_signals_cancels_and_closes(void **state)
{
    uint64_t random = support_seed();
    uint64_t other_random = random + 2;
    pthread_t thread;

    (void)state;
    begin_loop();
    memset(objects, 0, sizeof(objects));
    memset(begun, 0, sizeof(begun));
    memset(ended, 0, sizeof(ended));
    memset(succeeded, 0, sizeof(succeeded));
    for (int i = 0; i < OBJECTS; i++)
        objects[i].event = new_event(false);
    atomic_store(&stop_setting, false);
    assert_ok(pthread_create(&thread, NULL, set_at_random, &other_random));
    for (int i = 0; i < STEPS || !every_object_was_waited_for(); i++)
        step(&random);
    atomic_store(&stop_setting, true);
    assert_ok(pthread_join(thread, NULL));
    finish();
    for (int i = 0; i < OBJECTS; i++) {
        assert_true(succeeded[i] <= atomic_load(&objects[i].signals));
        for (int j = 0; j < WAITS; j++)
            assert_int_equal(begun[i][j], ended[i][j]);
        close_object(objects[i].event);
    }
}

int main(int argc, char **argv)
{
    static const harness_test tests[] = {TEST(the_exit_of_a_process_ends_the_wait),
                                         TEST(a_process_that_has_exited_before_is_told_at_once),
                                         TEST(the_end_of_a_process_that_is_killed_is_its_exit),
                                         TEST(a_handle_closed_before_the_exit_hears_nothing_of_it),
                                         TEST(an_event_that_takes_itself_back_ends_one_wait_each_time),
                                         TEST(many_objects_are_waited_for_together),
                                         TEST(a_wait_can_be_cancelled_and_made_again),
                                         TEST(a_wait_that_is_cancelled_after_the_signal_ends_once_and_well),
                                         TEST(a_cancelled_wait_lets_those_behind_it_wait),
                                         TEST(a_deadline_ends_a_wait),
                                         TEST(a_callback_that_comes_after_its_wait_was_unregistered_is_for_nobody),
                                         TEST(a_handle_may_be_closed_between_the_signal_and_its_packet),
                                         TEST(a_registration_that_fails_ends_the_operation),
                                         TEST(a_packet_that_cannot_be_posted_is_posted_later),
                                         TEST(a_wait_can_be_cancelled_while_its_packet_cannot_be_posted),
                                         TEST(what_is_no_handle_cannot_be_waited_for),
                                         TEST(random_waits_signals_cancels_and_closes)};

    if (child_is("wait", argc, argv)) {
        child_await_stop(argv);
        return CHILD_STATUS;
    }
    return harness_main(tests, sizeof(tests) / sizeof(tests[0]), argc, argv);
}
