/* What is promised of every operation: wrong use is refused, it completes exactly once, closing ends it. */
#include "op_fixture.h"

/* ------------------------------------------------------------------------------------------------ cancel and close -- */

static void wrong_use_is_refused(void **state)
{
    char text[4];
    loop_buf_t in = buf_of(text, 4);
    loop_op_t op = {0};
    loop_op_t other = {0};

    (void)state;
    begin_with(SOCK_STREAM);
    assert_int_equal(loop_op_cancel(NULL), LOOP_EINVAL);
    assert_int_equal(loop_op_cancel(&op), LOOP_ENOENT);
    assert_null(loop_op_get_handle(NULL));
    assert_int_equal(loop_op_read(NULL, &op, &in, 1, note), LOOP_EINVAL);
    assert_int_equal(loop_op_read(&left, NULL, &in, 1, note), LOOP_EINVAL);
    assert_int_equal(loop_op_read(&left, &op, NULL, 1, note), LOOP_EINVAL);
    assert_int_equal(loop_op_write(&left, &op, &(loop_buf_t){NULL, 1}, 1, note), LOOP_EINVAL);
    assert_int_equal(loop_op_write(&left, &op, &(loop_buf_t){text, SIZE_MAX}, 1, note), LOOP_EINVAL);
    assert_int_equal(loop_op_send(&left, &op, &in, 1, &(struct sockaddr){.sa_family = AF_UNSPEC}, note), LOOP_EINVAL);
    assert_int_equal(loop_op_accept(NULL, &op, note), LOOP_EINVAL);
    assert_int_equal(loop_op_receive(NULL, &op, &in, 1, NULL, note), LOOP_EINVAL);
    assert_int_equal(loop_op_send(NULL, &op, &in, 1, NULL, note), LOOP_EINVAL);
    assert_int_equal(loop_op_ready(NULL, &op, LOOP_READABLE, note), LOOP_EINVAL);
    assert_int_equal(loop_op_connect(NULL, &op, NULL, note), LOOP_EINVAL);
    assert_int_equal(loop_desc_detach(NULL), LOOP_EINVAL);
    assert_int_equal(loop_desc_fd(NULL), LOOP_INVALID_FD);
    assert_ok(loop_op_read(&left, &op, &in, 1, note));
    assert_int_equal(loop_op_read(&left, &op, &in, 1, note), LOOP_EBUSY);
    assert_int_equal(loop_op_write(&right, &op, &in, 1, note), LOOP_EBUSY);
    assert_ok(loop_handle_close(&left.handle, NULL));
    assert_int_equal(loop_op_read(&left, &other, &in, 1, note), LOOP_EBADF);
    assert_int_equal(loop_close(loop), LOOP_EBUSY);
    run_until(1);
    assert_int_equal(op.status, LOOP_ECANCELED);
    support_finish(loop);
}

static int closed_after;

static void note_closed(loop_handle_t *handle)
{
    (void)handle;
    closed_after = completions;
}

static void close_left(loop_op_t *op)
{
    note(op);
    (void)loop_handle_close(&left.handle, note_closed);
}

static void closing_completes_everything_once_and_then_calls_back(void **state)
{
    static char text[16];
    loop_op_t ops[8];

    (void)state;
    memset(ops, 0, sizeof(ops));
    begin_with(SOCK_STREAM);
    closed_after = 0;
    for (int i = 0; i < 8; i++)
        assert_ok(loop_op_read(&left, &ops[i], &(loop_buf_t){text, 1}, 1, close_left));
    /* Two bytes: two reads finish in the same batch, and the first callback closes. */
    assert_int_equal(support_write(loop_desc_fd(&right), "ab", 2), 2);
    run_until(8);
    (void)loop_run(loop, LOOP_RUN_NOWAIT);
    assert_int_equal(closed_after, 8);
    for (int i = 0; i < 8; i++)
        assert_int_equal(ops[i].status, i < 2 ? 0 : LOOP_ECANCELED);
    support_finish(loop);
}

static void resubmit(loop_op_t *op)
{
    static char text[4];

    note(op);
    if (completions < 100)
        assert_ok(loop_op_write(&left, op, &(loop_buf_t){text, 1}, 1, resubmit));
}

static void an_operation_may_be_submitted_again_in_its_callback_without_starving_others(void **state)
{
    loop_op_t op = {0};
    char text[4] = "";

    (void)state;
    begin_with(SOCK_STREAM);
    assert_ok(loop_op_write(&left, &op, &(loop_buf_t){text, 1}, 1, resubmit));
    (void)loop_run(loop, LOOP_RUN_NOWAIT);
    assert_true(completions > 1 && completions < 100); /* several rounds, and an end of the turn */
    while (completions < 100)
        (void)loop_run(loop, LOOP_RUN_NOWAIT);
    support_finish(loop);
}

/* ---------------------------------------------------------------------------------------------------- random sequence -- */

#define PAIRS 12
#define OPS 6

struct model_op {
    loop_op_t op;
    bool in_flight;
    int end;
    bool writes;
    char byte[64];
};

static loop_desc_t descs[PAIRS * 2];
static bool open_desc[PAIRS * 2];
static struct model_op model[PAIRS * 2][OPS];
static size_t sent[PAIRS * 2];     /* bytes that left an end */
static size_t received[PAIRS * 2]; /* bytes that arrived at it */
static bool inside_call;

static void check_completion(loop_op_t *op)
{
    struct model_op *m = op->data;

    assert_false(inside_call);
    assert_true(m->in_flight);
    assert_true(loop_handle_get_type(&descs[m->end].handle) == LOOP_DESC); /* not after its close callback */
    m->in_flight = false;
    if (m->writes)
        sent[m->end] += op->bytes;
    else
        received[m->end] += op->bytes;
}

static void check_closed(loop_handle_t *handle)
{
    int end = (int)((loop_desc_t *)handle - descs);

    for (int i = 0; i < OPS; i++)
        assert_false(model[end][i].in_flight);
    open_desc[end] = false;
}

static void open_pair(int pair)
{
    loop_os_fd_t fds[2];

    assert_ok(support_local_pair(fds));
    for (int i = 0; i < 2; i++) {
        int end = pair * 2 + i;

        assert_ok(loop_desc_attach(loop, &descs[end], fds[i], LOOP_DESC_OWNED));
        open_desc[end] = true;
        sent[end] = 0;
        received[end] = 0;
    }
}

static void any_sequence_of_operations_completes_each_exactly_once(void **state)
{
    uint64_t random = support_seed();
    int steps = harness_slow() ? 3000 : 30000;

    (void)state;
    loop = support_loop();
    memset(model, 0, sizeof(model));
    for (int pair = 0; pair < PAIRS; pair++)
        open_pair(pair);
    for (int step = 0; step < steps; step++) {
        int end = (int)support_random(&random, PAIRS * 2);
        struct model_op *m = &model[end][support_random(&random, OPS)];
        uint32_t action = support_random(&random, 100);
        loop_buf_t buf = buf_of(m->byte, 1 + support_random(&random, sizeof(m->byte)));
        bool usable = open_desc[end] && !loop_handle_is_closing(&descs[end].handle);
        int rc;

        inside_call = true;
        m->op.data = m;
        if (action < 70 && !m->in_flight) {
            m->end = end;
            m->writes = action < 30;
            rc = m->writes     ? loop_op_write(&descs[end], &m->op, &buf, 1, check_completion)
                 : action < 60 ? loop_op_read(&descs[end], &m->op, &buf, 1, check_completion)
                               : loop_op_ready(&descs[end], &m->op, 1 + support_random(&random, 3), check_completion);
            assert_int_equal(rc, usable ? 0 : LOOP_EBADF);
            m->in_flight = rc == 0;
        } else if (action < 80) {
            assert_int_equal(loop_op_cancel(&m->op), m->in_flight ? 0 : LOOP_ENOENT);
        } else if (action < 81 && usable) {
            assert_ok(loop_handle_close(&descs[end].handle, check_closed));
        }
        inside_call = false;
        if (action >= 81)
            assert_true(loop_run(loop, LOOP_RUN_NOWAIT) >= 0);
        support_check(loop);
        if (!open_desc[end] && !open_desc[end ^ 1]) {
            assert_true(received[end] <= sent[end ^ 1]);
            assert_true(received[end ^ 1] <= sent[end]);
            open_pair(end / 2);
        }
    }
    support_finish(loop);
    for (int end = 0; end < PAIRS * 2; end++) {
        for (int i = 0; i < OPS; i++)
            assert_false(model[end][i].in_flight);
    }
}

LOOP_TEST_MAIN(TEST(wrong_use_is_refused), TEST(closing_completes_everything_once_and_then_calls_back),
               TEST(an_operation_may_be_submitted_again_in_its_callback_without_starving_others),
               TEST(any_sequence_of_operations_completes_each_exactly_once))
