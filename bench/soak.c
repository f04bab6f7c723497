/*
 * soak SECONDS: a server under mixed load (slow readers, resets, half-closes, deadlines, connections of one request)
 * from a second process. Whenever a round of the load is over, nothing may be left of it: no connection, no operation
 * without its completion, no descriptor; and memory stays what it was, for which the first third of the time is compared
 * with the last.
 */
#include "bench.h"
#include "loop.h"
#include "soak.h"

#include <dirent.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define WRITES 4
#define WARM_UP 3 /* rounds until the loop has the memory it needs */
#define CHUNK (SOAK_FLOOD_SIZE / 16)

struct connection {
    loop_tcp_t tcp;
    loop_op_t ops[WRITES];
    loop_op_t shut;
    char kind;       /* enum soak_kind; 0: not told yet */
    unsigned writes; /* in flight */
    size_t flooded;  /* submitted of SOAK_FLOOD_SIZE */
    char memory[SOAK_MESSAGE + 1];
};

static struct {
    uint64_t accepted;
    uint64_t closed;
    uint64_t submitted;
    uint64_t completed;
    uint64_t expired;
    uint64_t broken; /* ended by an error */
    uint64_t drained;
    uint64_t rounds;
} counts;

static loop_t *loop;
static loop_tcp_t listener;
static loop_poll_t control;
static int control_fd;
static bool round_over;
static char chunk[CHUNK];

/* ------------------------------------------------------------------------------------------------------ what is live -- */

static uint64_t live_bytes;

/* realloc(3) and free(3) with the size before the memory. */
static void *resize(void *context, void *memory, size_t size)
{
    const size_t head = 16;
    char *block = memory == NULL ? NULL : (char *)memory - head;
    uint64_t before = 0;

    (void)context;
    if (block != NULL)
        memcpy(&before, block, sizeof(before));
    if (size == 0) {
        live_bytes -= before;
        free(block);
        return NULL;
    }
    block = realloc(block, size + head);
    BENCH_CHECK(block != NULL);
    live_bytes += size - before;
    before = size;
    memcpy(block, &before, sizeof(before));
    return block + head;
}

static unsigned count_descriptors(void)
{
    DIR *directory = opendir("/proc/self/fd");
    unsigned count = 0;

    BENCH_CHECK(directory != NULL);
    while (readdir(directory) != NULL)
        count++;
    (void)closedir(directory);
    return count;
}

/* ------------------------------------------------------------------------------------------------------------ thirds -- */

static struct third {
    uint64_t rounds;
    double live;      /* bytes of the loop and of connections */
    double anonymous; /* memory of the process, in kB */
    double descriptors;
} thirds[3];

static time_t began;
static unsigned duration;
static unsigned descriptors_at_first;

static void sample(void)
{
    time_t elapsed = time(NULL) - began;
    long which = (long)elapsed * 3 / (long)duration;
    struct third *third = &thirds[which > 2 ? 2 : which];
    unsigned descriptors = count_descriptors();

    if (descriptors_at_first == 0)
        descriptors_at_first = descriptors;
    if (descriptors != descriptors_at_first)
        bench_fail("descriptors are left over, or missing");
    if (counts.rounds <= WARM_UP)
        return;
    third->rounds++;
    third->live += (double)live_bytes;
    third->anonymous += (double)bench_anonymous_memory();
    third->descriptors += (double)descriptors;
}

static void check_thirds(void)
{
    for (int i = 0; i < 3; i++) {
        struct third *third = &thirds[i];

        BENCH_CHECK(third->rounds > 0);
        third->live /= (double)third->rounds;
        third->anonymous /= (double)third->rounds;
        third->descriptors /= (double)third->rounds;
        printf("third %d: %llu rounds, %.0f bytes live, %.0f kB of memory, %.0f descriptors\n", i + 1,
               (unsigned long long)third->rounds, third->live, third->anonymous, third->descriptors);
    }
    if (thirds[2].live > thirds[0].live * 1.01)
        bench_fail("live memory grows");
#ifndef SOAK_INSTRUMENTED /* a sanitizer keeps what was freed for a while */
    if (thirds[2].anonymous > thirds[0].anonymous * 1.01)
        bench_fail("the memory of the process grows");
#endif
}

/* A round of the load is over, and with the last connection the server's part of it, too. */
static void check_round(void)
{
    loop_metrics_t metrics = {.size = sizeof(metrics)};

    if (!round_over || counts.accepted != counts.closed)
        return;
    round_over = false;
    BENCH_CHECK(loop_metrics(loop, &metrics) == 0);
    if (counts.submitted != counts.completed || metrics.ops_submitted != metrics.ops_completed ||
        metrics.ops_submitted != counts.submitted)
        bench_fail("not one completion for each operation");
    counts.rounds++;
    sample();
    BENCH_CHECK(send(control_fd, "a", 1, MSG_NOSIGNAL) == 1);
}

/* ------------------------------------------------------------------------------------------------------------ server -- */

static void on_read(loop_tcp_t *tcp, ptrdiff_t n, const loop_buf_t *buf);

static void on_close(loop_handle_t *handle)
{
    (void)resize(NULL, handle->data, 0);
    counts.closed++;
    check_round();
}

static void end(struct connection *connection)
{
    if (!loop_handle_is_closing(&connection->tcp.handle))
        BENCH_CHECK(loop_handle_close(&connection->tcp.handle, on_close) == 0);
}

static void on_shut(loop_op_t *op)
{
    counts.completed++;
    end(op->data);
}

static void end_orderly(struct connection *connection)
{
    connection->shut.data = connection;
    if (loop_tcp_shutdown(&connection->tcp, &connection->shut, on_shut) == 0)
        counts.submitted++;
    else
        end(connection);
}

static void give_memory(loop_tcp_t *tcp, size_t suggested, loop_buf_t *buf)
{
    struct connection *connection = tcp->handle.data;

    (void)suggested;
    buf->base = connection->memory;
    buf->len = sizeof(connection->memory);
}

static void on_written(loop_op_t *op);

static void write_on(struct connection *connection, loop_op_t *op, const void *data, size_t size)
{
    loop_buf_t buf = {(void *)(uintptr_t)data, size};

    op->data = connection;
    BENCH_CHECK(loop_tcp_write(&connection->tcp, op, &buf, 1, on_written) == 0);
    counts.submitted++;
    connection->writes++;
}

static void flood_on(struct connection *connection, loop_op_t *op)
{
    connection->flooded += CHUNK;
    write_on(connection, op, chunk, CHUNK);
}

static void on_written(loop_op_t *op)
{
    struct connection *connection = op->data;

    counts.completed++;
    connection->writes--;
    if (loop_handle_is_closing(&connection->tcp.handle))
        return;
    if (op->status != 0) {
        counts.broken++;
        end(connection);
    } else if (connection->kind == SOAK_FLOOD && connection->flooded < SOAK_FLOOD_SIZE) {
        flood_on(connection, op);
    } else if (connection->kind != SOAK_FLOOD && connection->kind != SOAK_CHURN) {
        BENCH_CHECK(loop_tcp_read_start(&connection->tcp, give_memory, on_read) == 0);
    } else if (connection->writes == 0) {
        end_orderly(connection);
    }
}

static void on_drain(loop_tcp_t *tcp)
{
    (void)tcp;
    counts.drained++;
}

static void move_deadline(struct connection *connection, uint64_t ns)
{
    BENCH_CHECK(loop_tcp_set_deadline(&connection->tcp, LOOP_READABLE, loop_now(loop) + ns) == 0);
}

/* The first byte is told, data of the others is answered with itself. */
static void serve(struct connection *connection, const char *data, size_t size)
{
    bool first = connection->kind == 0;

    if (first) {
        connection->kind = data[0];
        data++;
        size--;
    }
    move_deadline(connection, connection->kind == SOAK_STALL ? LOOP_MS(20) : LOOP_SEC(30));
    if (connection->kind == SOAK_FLOOD && first) {
        BENCH_CHECK(loop_tcp_set_watermarks(&connection->tcp, CHUNK, 2 * CHUNK, on_drain) == 0);
        for (int i = 0; i < WRITES; i++)
            flood_on(connection, &connection->ops[i]);
    } else if (connection->kind == SOAK_CHURN && first) {
        write_on(connection, &connection->ops[0], chunk, 100);
    } else if (size > 0) {
        BENCH_CHECK(loop_tcp_read_stop(&connection->tcp) == 0);
        write_on(connection, &connection->ops[0], data, size);
    }
}

static void on_read(loop_tcp_t *tcp, ptrdiff_t n, const loop_buf_t *buf)
{
    struct connection *connection = tcp->handle.data;

    if (n > 0) {
        serve(connection, buf->base, (size_t)n);
    } else if (n == LOOP_EOF && connection->kind == SOAK_HALF) {
        end_orderly(connection);
    } else if (n < 0) {
        counts.expired += n == LOOP_ETIMEDOUT;
        counts.broken += n != LOOP_ETIMEDOUT && n != LOOP_EOF;
        end(connection);
    }
}

static void on_connection(loop_tcp_t *server, int status)
{
    struct connection *connection = resize(NULL, NULL, sizeof(*connection));

    BENCH_CHECK(status == 0);
    memset(connection, 0, sizeof(*connection));
    BENCH_CHECK(loop_tcp_init(loop, &connection->tcp) == 0);
    BENCH_CHECK(loop_tcp_accept(server, &connection->tcp) == 0);
    connection->tcp.handle.data = connection;
    counts.accepted++;
    move_deadline(connection, LOOP_SEC(30));
    BENCH_CHECK(loop_tcp_read_start(&connection->tcp, give_memory, on_read) == 0);
}

static void on_control(loop_poll_t *poll, int status, unsigned events)
{
    char byte;

    (void)events;
    BENCH_CHECK(status == 0);
    if (recv(control_fd, &byte, 1, 0) == 1) {
        round_over = true;
        check_round();
    } else {
        BENCH_CHECK(loop_handle_close(&poll->handle, NULL) == 0);
        BENCH_CHECK(loop_handle_close(&listener.handle, NULL) == 0);
    }
}

static void on_timer(loop_timer_t *timer)
{
    (void)timer;
}

/* Room for twice as many timers as there are connections: one that was stopped may keep its place until the stopped
 * ones are more than the others. When that happens first depends on chance. */
static void make_room_for_timers(void)
{
    static loop_timer_t timers[2 * SOAK_CONNECTIONS + 1];

    for (size_t i = 0; i < sizeof(timers) / sizeof(timers[0]); i++) {
        BENCH_CHECK(loop_timer_init(loop, &timers[i]) == 0);
        BENCH_CHECK(loop_timer_start(&timers[i], on_timer, LOOP_SEC(1), 0) == 0);
    }
    for (size_t i = 0; i < sizeof(timers) / sizeof(timers[0]); i++)
        BENCH_CHECK(loop_handle_close(&timers[i].handle, NULL) == 0);
}

static int serve_port(void)
{
    const int size_of_sends = 65536;
    struct sockaddr_storage addr;
    size_t size = sizeof(addr);

    BENCH_CHECK(loop_ip_addr("127.0.0.1", 0, &addr) == 0);
    BENCH_CHECK(loop_tcp_init(loop, &listener) == 0);
    BENCH_CHECK(loop_tcp_bind(&listener, (struct sockaddr *)&addr, 0) == 0);
    BENCH_CHECK(loop_tcp_listen(&listener, 1024, on_connection) == 0);
    /* Which connections inherit: so that writes wait for slow readers. */
    BENCH_CHECK(setsockopt(loop_tcp_fd(&listener), SOL_SOCKET, SO_SNDBUF, &size_of_sends, sizeof(size_of_sends)) == 0);
    BENCH_CHECK(loop_tcp_getsockname(&listener, (struct sockaddr *)&addr, &size) == 0);
    return loop_ip_port((struct sockaddr *)&addr);
}

int main(int argc, char **argv)
{
    const loop_allocator_t allocator = {resize, NULL};
    loop_options_t options = LOOP_OPTIONS_INIT;
    int pair[2];
    int status;
    int port;
    pid_t pid;

    if (argc != 2) {
        (void)fprintf(stderr, "usage: %s SECONDS\n", argv[0]);
        return 2;
    }
    duration = (unsigned)bench_number(argv[1], 1000000);
    options.allocator = &allocator;
    BENCH_CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
    BENCH_CHECK(loop_init(&loop, &options) == 0);
    make_room_for_timers();
    port = serve_port();
    pid = fork();
    BENCH_CHECK(pid >= 0);
    if (pid == 0) {
        (void)close(pair[0]);
        (void)close(loop_tcp_fd(&listener));
        soak_load(port, pair[1], duration);
    }
    (void)close(pair[1]);
    control_fd = pair[0];
    began = time(NULL);
    BENCH_CHECK(loop_poll_init(loop, &control, control_fd) == 0);
    BENCH_CHECK(loop_poll_start(&control, LOOP_READABLE, on_control) == 0);
    BENCH_CHECK(loop_run(loop, LOOP_RUN_DEFAULT) == 0);
    BENCH_CHECK(loop_close(loop) == 0);
    (void)close(control_fd);
    BENCH_CHECK(waitpid(pid, &status, 0) == pid);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        bench_fail("the client failed");
    if (live_bytes != 0)
        bench_fail("memory is left over");
    if (counts.expired == 0 || counts.broken == 0 || counts.drained == 0)
        bench_fail("the load was not as mixed as it should be");
    check_thirds();
    printf("%s soak: %llu rounds, %llu connections, %llu operations; %llu expired, %llu broken, %llu drained\n",
           contender_version(), (unsigned long long)counts.rounds, (unsigned long long)counts.closed,
           (unsigned long long)counts.completed, (unsigned long long)counts.expired, (unsigned long long)counts.broken,
           (unsigned long long)counts.drained);
    return 0;
}
