/* fork(2) in the middle of traffic: parent and child both go on. */
#include "fork_fixture.h"

#include <pthread.h>

/*
 * The traffic: in each game two ends pass a byte to and fro, counting. After a fork the games with an even number go on in the
 * parent and the others in the child, and each process closes what is the other's. So if one process lost an event, took a
 * byte of the other's, or was hit by its closing, a game would stop or miscount.
 */
#define GAMES 16

static loop_t *loop;
static int moves;     /* of all games */
static int last_move; /* games end when they made so many */
static int ended;     /* games */
static int fork_at;   /* fork in the callback of this move; 0: not */
static pid_t child;

struct end {
    union {
        loop_tcp_t tcp; /* a game between TCP handles */
        loop_desc_t desc;
    } h;
    loop_op_t read;
    loop_op_t write;
    char in;
    char out;
    struct game *game;
};

static struct game {
    struct end ends[2];
    int count;
    int number;
    bool open;
} games[GAMES];

static void take_half(void);

static bool is_tcp(const struct game *game)
{
    return game->number % 4 < 2;
}

static void written(loop_op_t *op)
{
    expect(op->status == 0 || op->status == LOOP_ECANCELED);
}

static void on_byte(loop_op_t *op);

static void await_byte(struct end *end)
{
    end->read.data = end;
    expect(loop_op_read(&end->h.desc, &end->read, &(loop_buf_t){&end->in, 1}, 1, on_byte) == 0);
}

static void move(struct end *end)
{
    loop_buf_t out = {&end->out, 1};

    end->out = (char)++end->game->count;
    moves++;
    if (is_tcp(end->game))
        expect(loop_tcp_write(&end->h.tcp, &end->write, &out, 1, written) == 0);
    else
        expect(loop_op_write(&end->h.desc, &end->write, &out, 1, written) == 0);
}

static void came(struct end *end, char byte)
{
    struct game *game = end->game;

    expect(byte == (char)game->count);
    if (moves >= fork_at && fork_at > 0) {
        fork_at = 0;
        child = fork_process();
        if (in_child)
            expect(loop_fork(loop) == 0);
        take_half();
    }
    if (!game->open) /* it had finished before its handle was closed, which it keeps */
        return;
    if (game->count < last_move) {
        move(end);
        if (!is_tcp(game))
            await_byte(end);
    } else {
        ended++;
    }
}

static void on_byte(loop_op_t *op)
{
    struct end *end = op->data;

    if (op->status == LOOP_ECANCELED)
        return;
    expect(op->status == 0 && op->bytes == 1);
    came(end, end->in);
}

static void on_read(loop_tcp_t *tcp, ptrdiff_t nread, const loop_buf_t *buf)
{
    expect(nread == 1);
    came(tcp->handle.data, *(char *)buf->base);
}

static void start_game(struct game *game, int number)
{
    int fds[2];

    memset(game, 0, sizeof(*game));
    game->number = number;
    game->open = true;
    if (is_tcp(game))
        support_socket_pair(fds);
    else
        assert_ok(support_local_pair(fds));
    for (int i = 0; i < 2; i++) {
        struct end *end = &game->ends[i];

        end->game = game;
        if (is_tcp(game)) {
            assert_ok(loop_tcp_init(loop, &end->h.tcp));
            end->h.tcp.handle.data = end;
            assert_ok(loop_tcp_open(&end->h.tcp, fds[i]));
            assert_ok(loop_tcp_read_start(&end->h.tcp, NULL, on_read));
        } else {
            assert_ok(loop_desc_attach(loop, &end->h.desc, fds[i], LOOP_DESC_OWNED));
            await_byte(end);
        }
    }
    move(&game->ends[0]);
}

static void start_games(void)
{
    loop = support_loop();
    moves = 0;
    ended = 0;
    fork_at = 0;
    last_move = harness_slow() ? 40 : 400;
    for (int i = 0; i < GAMES; i++)
        start_game(&games[i], i);
}

/* Closes the games that are the other process's. */
static void take_half(void)
{
    for (int i = in_child ? 0 : 1; i < GAMES; i += 2) {
        games[i].open = false;
        for (int n = 0; n < 2; n++)
            expect(loop_handle_close((loop_handle_t *)&games[i].ends[n].h, NULL) == 0);
    }
}

static void play_to_the_end(void)
{
    run_until_count(loop, &ended, GAMES / 2);
    for (int i = in_child ? 1 : 0; i < GAMES; i += 2)
        expect(games[i].count == last_move);
    end_loop(loop);
    if (in_child)
        child_passed();
    await_child(child);
}

static void traffic_goes_on_in_both_after_a_fork_between_turns(void **state)
{
    (void)state;
    start_games();
    while (moves < GAMES * last_move / 4)
        assert_int_equal(loop_run(loop, LOOP_RUN_ONCE), 1);
    child = fork_process();
    if (in_child)
        expect(loop_fork(loop) == 0);
    take_half();
    play_to_the_end();
}

static void traffic_goes_on_in_both_after_a_fork_in_a_callback(void **state)
{
    (void)state;
    start_games();
    fork_at = GAMES * last_move / 4;
    while (fork_at > 0)
        expect(loop_run(loop, LOOP_RUN_ONCE) == 1);
    play_to_the_end();
}

/* At a different move each time, whatever the state of the other games is then. */
static void traffic_survives_forks_at_any_move(void **state)
{
    int rounds = harness_slow() ? 3 : 25;

    (void)state;
    for (int round = 0; round < rounds; round++) {
        start_games();
        fork_at = GAMES * 2 + round * 7 + 1;
        while (fork_at > 0)
            expect(loop_run(loop, LOOP_RUN_ONCE) == 1);
        play_to_the_end();
    }
}

/* ------------------------------------------------------------------------------------------------ timers and tasks -- */

#define TASKS 10

static int ticks;
static int ran;
static loop_task_t tasks[TASKS];

static void on_tick(loop_timer_t *timer)
{
    (void)timer;
    ticks++;
}

static void run_task(loop_task_t *task, int status)
{
    expect(status == 0);
    expect(task == &tasks[ran]);
    ran++;
}

static void timers_and_tasks_run_in_both(void **state)
{
    loop_timer_t repeating;
    loop_timer_t once;
    int before;

    (void)state;
    loop = support_loop();
    ticks = 0;
    ran = 0;
    memset(tasks, 0, sizeof(tasks));
    assert_ok(loop_timer_init(loop, &repeating));
    assert_ok(loop_timer_init(loop, &once));
    assert_ok(loop_timer_start(&repeating, on_tick, LOOP_MS(1), LOOP_MS(1)));
    run_until_count(loop, &ticks, 3);
    assert_ok(loop_timer_stop(&repeating));
    assert_ok(loop_timer_start(&once, on_tick, LOOP_MS(5), 0));
    for (int i = 0; i < TASKS; i++)
        assert_ok(loop_post(loop, &tasks[i], run_task));
    before = ticks;
    child = fork_process();
    if (in_child)
        expect(loop_fork(loop) == 0);
    run_until_count(loop, &ran, TASKS);
    expect(loop_run(loop, LOOP_RUN_DEFAULT) == 0);
    expect(ticks == before + 1);
    expect(ran == TASKS);
    expect(loop_timer_start(&repeating, on_tick, LOOP_MS(1), LOOP_MS(1)) == 0);
    run_until_count(loop, &ticks, before + 4);
    end_loop(loop);
    if (in_child)
        child_passed();
    await_child(child);
}

#define MANY_TASKS 20000

static loop_task_t many[MANY_TASKS];
static loop_task_t final;
static int final_ran;

static void run_next(loop_task_t *task, int status)
{
    expect(status == 0);
    expect(task == &many[ran]);
    ran++;
}

static void run_final(loop_task_t *task, int status)
{
    (void)task;
    expect(status == 0);
    final_ran++;
}

static void *post_many(void *arg)
{
    for (int i = 0; i < MANY_TASKS; i++) {
        if (loop_post(loop, &many[i], run_next) != 0)
            return arg;
    }
    return NULL;
}

/* The child has what was posted until then, in order and without a gap, and is not held up by the thread it does not have. */
static void a_fork_while_another_thread_posts_leaves_the_queue_whole(void **state)
{
    pthread_t thread;
    void *failed;

    (void)state;
    loop = support_loop();
    ran = 0;
    final_ran = 0;
    memset(many, 0, sizeof(many));
    memset(&final, 0, sizeof(final));
    assert_ok(pthread_create(&thread, NULL, post_many, &ran));
    run_until_count(loop, &ran, MANY_TASKS / 10);
    child = fork_process();
    if (in_child) {
        expect(loop_fork(loop) == 0);
        expect(loop_post(loop, &final, run_final) == 0);
        expect(loop_run(loop, LOOP_RUN_DEFAULT) == 0);
        expect(final_ran == 1);
        end_loop(loop);
        child_passed();
    }
    run_until_count(loop, &ran, MANY_TASKS);
    assert_ok(pthread_join(thread, &failed));
    assert_null(failed);
    await_child(child);
    end_loop(loop);
}

/* -------------------------------------------------------------------------------------------- whose registration -- */

#define DESCS 64

static loop_desc_t descs[DESCS];
static loop_op_t reads[DESCS];
static char bytes[DESCS];
static int peers[DESCS];
static int completions;

static void read_done(loop_op_t *op)
{
    if (op->status != LOOP_ECANCELED) {
        expect(op->status == 0 && op->bytes == 1);
        completions++;
    }
}

static void park_reads(void)
{
    loop = support_loop();
    completions = 0;
    memset(reads, 0, sizeof(reads));
    for (int i = 0; i < DESCS; i++) {
        int fds[2];

        assert_ok(support_local_pair(fds));
        assert_ok(loop_desc_attach(loop, &descs[i], fds[0], LOOP_DESC_OWNED));
        assert_ok(loop_op_read(&descs[i], &reads[i], &(loop_buf_t){&bytes[i], 1}, 1, read_done));
        peers[i] = fds[1];
    }
    assert_int_equal(loop_run(loop, LOOP_RUN_NOWAIT), 1);
}

static void write_to_all(void)
{
    for (int i = 0; i < DESCS; i++)
        expect(write(peers[i], "x", 1) == 1);
}

static void close_peers(void)
{
    for (int i = 0; i < DESCS; i++)
        expect(close(peers[i]) == 0);
}

static void a_child_that_closes_everything_disturbs_no_registration_of_the_parent(void **state)
{
    (void)state;
    park_reads();
    child = fork_process();
    if (in_child) {
        expect(loop_fork(loop) == 0);
        end_loop(loop);
        child_passed();
    }
    await_child(child);
    write_to_all();
    run_until_count(loop, &completions, DESCS);
    end_loop(loop);
    close_peers();
}

static void parked_operations_of_the_child_are_served_by_its_own_copies(void **state)
{
    (void)state;
    park_reads();
    child = fork_process();
    if (in_child) {
        expect(loop_fork(loop) == 0);
        expect(loop_run(loop, LOOP_RUN_NOWAIT) == 1);
        expect(completions == 0);
        write_to_all();
        run_until_count(loop, &completions, DESCS);
        end_loop(loop);
        child_passed();
    }
    await_child(child);
    assert_int_equal(loop_run(loop, LOOP_RUN_NOWAIT), 1); /* events came here as well: there is nothing to read */
    assert_int_equal(completions, 0);
    write_to_all();
    run_until_count(loop, &completions, DESCS);
    end_loop(loop);
    close_peers();
}

static void what_was_there_before_the_fork_is_reported_to_the_child(void **state)
{
    (void)state;
    park_reads();
    write_to_all();
    child = fork_process();
    if (in_child) {
        expect(loop_fork(loop) == 0);
        run_until_count(loop, &completions, DESCS);
        end_loop(loop);
        child_passed();
    }
    await_child(child);
    assert_int_equal(loop_run(loop, LOOP_RUN_NOWAIT), 1);
    assert_int_equal(completions, 0);
    end_loop(loop);
    close_peers();
}

LOOP_TEST_MAIN(TEST(traffic_goes_on_in_both_after_a_fork_between_turns),
               TEST(traffic_goes_on_in_both_after_a_fork_in_a_callback), TEST(traffic_survives_forks_at_any_move),
               TEST(timers_and_tasks_run_in_both), TEST(a_fork_while_another_thread_posts_leaves_the_queue_whole),
               TEST(a_child_that_closes_everything_disturbs_no_registration_of_the_parent),
               TEST(parked_operations_of_the_child_are_served_by_its_own_copies),
               TEST(what_was_there_before_the_fork_is_reported_to_the_child))
