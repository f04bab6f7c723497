/* Guests in one process: several copies of the library at once, and a library that leaves nothing behind when it is unloaded. */
#include "support.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <unistd.h>

/* What the tests call, of one copy. */
struct copy {
    void *library;
    char path[4096];
#define FUNCTIONS(X)                                                                                                   \
    X(loop_init)                                                                                                       \
    X(loop_close)                                                                                                      \
    X(loop_run)                                                                                                        \
    X(loop_stop)                                                                                                       \
    X(loop_post)                                                                                                       \
    X(loop_handle_close)                                                                                               \
    X(loop_timer_init)                                                                                                 \
    X(loop_timer_start)                                                                                                \
    X(loop_async_init)                                                                                                 \
    X(loop_desc_attach)                                                                                                \
    X(loop_op_read)                                                                                                    \
    X(loop_op_write)                                                                                                   \
    X(loop_tcp_init)                                                                                                   \
    X(loop_tcp_open)                                                                                                   \
    X(loop_tcp_read_start)                                                                                             \
    X(loop_tcp_try_write)                                                                                              \
    X(loop_shutdown)
#define MEMBER(name) __typeof__(&name) name;
    FUNCTIONS(MEMBER)
};

/* A pointer to an object becomes one to a function as POSIX has it. */
#define LOAD(name)                                                                                                     \
    *(void **)(void *)&copy->name = dlsym(copy->library, #name);                                                       \
    assert_non_null(copy->name);

static void open_library(struct copy *copy, const char *path)
{
    copy->library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (copy->library == NULL)
        print_message("%s\n", dlerror());
    assert_non_null(copy->library);
    FUNCTIONS(LOAD)
}

/* A copy of the file is another library to the dynamic linker. */
static void open_copy(struct copy *copy)
{
    char block[65536];
    ssize_t n;
    int from = open(LOOP_SHARED_LIBRARY, O_RDONLY | O_CLOEXEC);
    int to;

    assert_true(from >= 0);
    (void)snprintf(copy->path, sizeof(copy->path), "%s-XXXXXX", LOOP_SHARED_LIBRARY);
    to = mkstemp(copy->path);
    assert_true(to >= 0);
    while ((n = read(from, block, sizeof(block))) > 0)
        assert_int_equal(write(to, block, (size_t)n), n);
    assert_ok(n);
    assert_ok(fchmod(to, S_IRWXU) | close(to) | close(from));
    open_library(copy, copy->path);
    assert_ok(unlink(copy->path));
}

static void use_the_linked_one(struct copy *copy)
{
    copy->library = NULL;
#define LINKED(name) copy->name = name;
    FUNCTIONS(LINKED)
}

/* ---------------------------------------------------------------------------------------------------- several copies -- */

/*
 * A ring of three: each member is a copy of the library with a loop on a thread of its own. A byte goes round, from each member
 * to the next, as data on a socket that two copies share; and with every lap a task is posted from each to the next.
 */
#define MEMBERS 3
#define LAPS_MAX 2000

static int laps;

static struct member {
    struct copy copy;
    loop_t *loop;
    loop_desc_t in;  /* from the member before */
    loop_desc_t out; /* to the next */
    loop_op_t read;
    loop_op_t write;
    loop_async_t keep_alive;
    loop_timer_t timer;
    loop_task_t task; /* posted by the member before */
    char byte;
    int seen;
    atomic_int posted;
    int ticks;
    int failures;
    struct member *next;
} members[MEMBERS];

static void note_failure(struct member *member, bool failed)
{
    member->failures += failed;
}

static void on_written(loop_op_t *op)
{
    struct member *member = op->data;

    note_failure(member, op->status != 0);
}

static void on_posted(loop_task_t *task, int status)
{
    struct member *member = task->data;

    note_failure(member, status != 0);
    member->posted++;
}

static void pass_on(struct member *member)
{
    member->write.data = member;
    note_failure(member,
                 member->copy.loop_op_write(&member->out, &member->write, &(loop_buf_t){"x", 1}, 1, on_written) != 0);
}

static void await_byte(struct member *member);

static void maybe_stop(struct member *member)
{
    if (member->seen == laps)
        note_failure(member, member->copy.loop_stop(member->loop) != 0);
}

static void on_byte(loop_op_t *op)
{
    struct member *member = op->data;
    int error;

    note_failure(member, op->status != 0 || op->bytes != 1);
    member->seen++;
    /* The last lap's task of a fast member may find the one before it still queued. */
    error = member->next->copy.loop_post(member->next->loop, &member->next->task, on_posted);
    note_failure(member, error != 0 && error != LOOP_EBUSY);
    if (member != &members[0] || member->seen < laps)
        pass_on(member);
    if (member->seen < laps)
        await_byte(member);
    maybe_stop(member);
}

static void await_byte(struct member *member)
{
    member->read.data = member;
    note_failure(member, member->copy.loop_op_read(&member->in, &member->read, &(loop_buf_t){&member->byte, 1}, 1,
                                                   on_byte) != 0);
}

static void on_tick(loop_timer_t *timer)
{
    ((struct member *)timer->handle.data)->ticks++;
}

static void on_async(loop_async_t *async)
{
    (void)async;
}

static void join_ring(struct member *member, int in, int out)
{
    struct copy *copy = &member->copy;

    assert_ok(copy->loop_init(&member->loop, NULL));
    assert_ok(copy->loop_desc_attach(member->loop, &member->in, in, LOOP_DESC_OWNED));
    assert_ok(copy->loop_desc_attach(member->loop, &member->out, out, LOOP_DESC_OWNED));
    assert_ok(copy->loop_async_init(member->loop, &member->keep_alive, on_async));
    assert_ok(copy->loop_timer_init(member->loop, &member->timer));
    member->timer.handle.data = member;
    member->task.data = member;
    assert_ok(copy->loop_timer_start(&member->timer, on_tick, 0, LOOP_MS(1)));
    await_byte(member);
}

static void *run_member(void *arg)
{
    struct member *member = arg;

    note_failure(member, member->copy.loop_run(member->loop, LOOP_RUN_DEFAULT) < 0);
    return NULL;
}

static void copies_of_the_library_run_side_by_side(void **state)
{
    pthread_t threads[MEMBERS];
    int links[MEMBERS][2];

    (void)state;
    memset(members, 0, sizeof(members));
    laps = harness_slow() ? 50 : LAPS_MAX;
    use_the_linked_one(&members[0].copy);
    for (int i = 0; i < MEMBERS; i++) {
        if (i > 0)
            open_copy(&members[i].copy);
        members[i].next = &members[(i + 1) % MEMBERS];
        assert_ok(support_local_pair(links[i]));
    }
    assert_true(members[1].copy.loop_run != members[0].copy.loop_run);
    assert_true(members[2].copy.loop_run != members[1].copy.loop_run);
    for (int i = 0; i < MEMBERS; i++)
        join_ring(&members[i], links[i][0], links[(i + 1) % MEMBERS][1]);
    pass_on(&members[0]);
    for (int i = 0; i < MEMBERS; i++)
        assert_ok(pthread_create(&threads[i], NULL, run_member, &members[i]));
    for (int i = 0; i < MEMBERS; i++)
        assert_ok(pthread_join(threads[i], NULL));
    for (int i = 0; i < MEMBERS; i++) {
        struct member *member = &members[i];

        assert_ok(member->copy.loop_shutdown(member->loop, LOOP_SEC(10), NULL, NULL));
        assert_ok(member->copy.loop_close(member->loop));
        assert_int_equal(member->failures, 0);
        assert_int_equal(member->seen, laps);
        assert_true(member->posted > 0);
        assert_true(member->ticks > 0);
        if (member->copy.library != NULL)
            assert_ok(dlclose(member->copy.library));
    }
}

/* --------------------------------------------------------------------------------------------------- nothing is left -- */

/* Whether any line of /proc/self/maps has the text. */
static bool is_mapped(const char *text)
{
    FILE *maps = fopen("/proc/self/maps", "re");
    char line[4096];
    bool found = false;

    assert_non_null(maps);
    while (fgets(line, sizeof(line), maps) != NULL)
        found = found || strstr(line, text) != NULL;
    assert_ok(fclose(maps));
    return found;
}

static long thread_count(void)
{
    struct stat tasks;

    assert_ok(stat("/proc/self/task", &tasks));
    return (long)tasks.st_nlink;
}

struct signals {
    sigset_t mask;
    struct sigaction actions[65];
};

static void note_signals(struct signals *signals)
{
    memset(signals, 0, sizeof(*signals));
    assert_ok(pthread_sigmask(SIG_SETMASK, NULL, &signals->mask));
    for (int i = 1; i < 65; i++)
        (void)sigaction(i, NULL, &signals->actions[i]);
}

static bool same_signals(const struct signals *one, const struct signals *other)
{
    for (int i = 1; i < 65; i++) {
        if (sigismember(&one->mask, i) != sigismember(&other->mask, i) ||
            one->actions[i].sa_handler != other->actions[i].sa_handler ||
            one->actions[i].sa_flags != other->actions[i].sa_flags)
            return false;
    }
    return true;
}

/* One guest's life: TCP, a pipe without a reader, timers, and a task from another thread. */
static struct {
    struct copy copy;
    loop_t *loop;
    loop_tcp_t tcp;
    loop_timer_t timer;
    loop_desc_t pipe;
    loop_op_t write;
    loop_task_t task;
    int ran;
    int ticks;
    int echoed;
    int write_status;
} guest;

static void guest_task(loop_task_t *task, int status)
{
    (void)task;
    assert_ok(status);
    guest.ran++;
}

static void *guest_thread(void *arg)
{
    return guest.copy.loop_post(guest.loop, &guest.task, guest_task) == 0 ? NULL : arg;
}

static void guest_read(loop_tcp_t *tcp, ptrdiff_t nread, const loop_buf_t *buf)
{
    assert_true(nread > 0);
    guest.echoed += (int)guest.copy.loop_tcp_try_write(tcp, &(loop_buf_t){buf->base, (size_t)nread}, 1);
}

static void guest_tick(loop_timer_t *timer)
{
    (void)timer;
    guest.ticks++;
}

static void guest_written(loop_op_t *op)
{
    guest.write_status = op->status;
}

static void live_and_leave(void)
{
    pthread_t thread;
    int pipes[2];
    int fds[2];

    memset(&guest, 0, sizeof(guest));
    open_copy(&guest.copy);
    assert_true(is_mapped(guest.copy.path));
    assert_ok(guest.copy.loop_init(&guest.loop, NULL));
    support_socket_pair(fds);
    assert_ok(guest.copy.loop_tcp_init(guest.loop, &guest.tcp));
    assert_ok(guest.copy.loop_tcp_open(&guest.tcp, fds[0]));
    assert_ok(guest.copy.loop_tcp_read_start(&guest.tcp, NULL, guest_read));
    assert_ok(guest.copy.loop_timer_init(guest.loop, &guest.timer));
    assert_ok(guest.copy.loop_timer_start(&guest.timer, guest_tick, 0, LOOP_MS(1)));
    assert_ok(pipe(pipes));
    assert_ok(close(pipes[0]));
    assert_ok(guest.copy.loop_desc_attach(guest.loop, &guest.pipe, pipes[1], LOOP_DESC_OWNED));
    assert_ok(guest.copy.loop_op_write(&guest.pipe, &guest.write, &(loop_buf_t){"x", 1}, 1, guest_written));
    assert_ok(pthread_create(&thread, NULL, guest_thread, &guest));
    assert_int_equal(write(fds[1], "hello", 5), 5);
    while (guest.echoed < 5 || guest.ticks < 3 || guest.ran < 1 || guest.write_status == 0)
        assert_int_equal(guest.copy.loop_run(guest.loop, LOOP_RUN_ONCE), 1);
    assert_int_equal(guest.write_status, LOOP_EPIPE);
    assert_ok(pthread_join(thread, NULL));
    assert_ok(guest.copy.loop_shutdown(guest.loop, LOOP_SEC(10), NULL, NULL));
    assert_ok(guest.copy.loop_close(guest.loop));
    assert_ok(close(fds[1]));
    assert_ok(dlclose(guest.copy.library));
}

/* Descriptors are what the harness looks at after every test. */
static void a_library_that_is_unloaded_leaves_nothing(void **state)
{
    struct signals before;
    struct signals after;
    long threads;

    (void)state;
    live_and_leave(); /* the first thread of a process may leave traces of the system's own */
    note_signals(&before);
    threads = thread_count();
    for (int i = 0; i < 10; i++) {
        live_and_leave();
        assert_false(is_mapped(guest.copy.path));
    }
    note_signals(&after);
    assert_true(same_signals(&before, &after));
    assert_int_equal(thread_count(), threads);
}

LOOP_TEST_MAIN(TEST(copies_of_the_library_run_side_by_side), TEST(a_library_that_is_unloaded_leaves_nothing))
