/* Scenarios over TCP handles: an echo under back-pressure, a listener with several connections, options and names. */
#include "fault_world.h"

#include <netinet/in.h>
#include <string.h>

#define PAYLOAD (512u * 1024u)
#define PIECES 12u /* more than an operation can hold by itself, so that their list takes an allocation */

static unsigned char payload[PAYLOAD];
static unsigned char client_room[1000];

static struct {
    loop_tcp_t server;
    loop_tcp_t client;
    loop_tcp_t peer;
    struct job connect;
    struct job write;
    struct job client_shutdown;
    struct job reply;
    struct job peer_shutdown;
    size_t peer_read;
    size_t client_read;
    bool peer_end;
    bool client_end;
    bool drained;
    bool gave_buffer;
} echo;

/* A listener on a free port of 127.0.0.1, and its address. */
static bool listen_somewhere(loop_tcp_t *server, loop_connection_cb cb, struct sockaddr_storage *addr)
{
    size_t len = sizeof(*addr);

    return world_ok(loop_tcp_init(world.loop, server)) && world_ok(loop_ip_addr("127.0.0.1", 0, addr)) &&
           world_ok(loop_tcp_bind(server, (struct sockaddr *)addr, 0)) && world_ok(loop_tcp_listen(server, 16, cb)) &&
           world_ok(loop_tcp_getsockname(server, (struct sockaddr *)addr, &len));
}

static void on_peer_read(loop_tcp_t *peer, ptrdiff_t nread, const loop_buf_t *buf)
{
    static char yes[] = "yes";
    loop_buf_t bufs[2] = {{yes, 2}, {yes + 2, 1}};

    if (nread == LOOP_EOF) {
        echo.peer_end = true;
        return;
    }
    if (!world_ok(nread))
        return;
    world_check(memcmp(buf->base, payload + echo.peer_read, (size_t)nread) == 0, "what was read is not what was sent");
    echo.peer_read += (size_t)nread;
    if (echo.peer_read == PAYLOAD && job_submitted(&echo.reply, loop_tcp_write(peer, &echo.reply.op, bufs, 2, job_done)))
        (void)job_submitted(&echo.peer_shutdown, loop_tcp_shutdown(peer, &echo.peer_shutdown.op, job_done));
}

static void on_client_alloc(loop_tcp_t *client, size_t suggested, loop_buf_t *buf)
{
    (void)client;
    (void)suggested;
    world_check(!echo.gave_buffer, "a buffer did not come back");
    echo.gave_buffer = true;
    buf->base = client_room;
    buf->len = sizeof(client_room);
}

static void on_client_read(loop_tcp_t *client, ptrdiff_t nread, const loop_buf_t *buf)
{
    (void)client;
    world_check(echo.gave_buffer && buf->base == client_room, "a buffer came that was not given");
    echo.gave_buffer = false;
    if (nread == LOOP_EOF)
        echo.client_end = true;
    else if (world_ok(nread))
        echo.client_read += (size_t)nread;
}

static void on_echo_connection(loop_tcp_t *server, int status)
{
    if (world_ok(status) && world_ok(loop_tcp_init(world.loop, &echo.peer)) &&
        world_ok(loop_tcp_accept(server, &echo.peer)))
        (void)world_ok(loop_tcp_read_start(&echo.peer, NULL, on_peer_read));
}

static void on_connected(struct job *job)
{
    (void)job;
    (void)world_ok(loop_tcp_read_start(&echo.client, on_client_alloc, on_client_read));
}

static void on_drain(loop_tcp_t *client)
{
    (void)client;
    echo.drained = true;
}

static bool echo_done(void)
{
    return echo.connect.done && echo.write.done && echo.reply.done && echo.client_shutdown.done &&
           echo.peer_shutdown.done && echo.peer_end && echo.client_end;
}

static void echo_plot(void)
{
    struct sockaddr_storage addr;
    loop_buf_t pieces[PIECES];

    memset(&echo, 0, sizeof(echo));
    echo.connect.then = on_connected;
    for (size_t i = 0; i < PAYLOAD; i++)
        payload[i] = (unsigned char)(i * 7 + i / 251);
    for (size_t i = 0; i < PIECES; i++) {
        size_t from = PAYLOAD / PIECES * i;

        pieces[i].base = payload + from;
        pieces[i].len = i + 1 < PIECES ? PAYLOAD / PIECES : PAYLOAD - from;
    }
    if (!listen_somewhere(&echo.server, on_echo_connection, &addr) ||
        !world_ok(loop_tcp_init(world.loop, &echo.client)) ||
        !world_ok(loop_tcp_set_watermarks(&echo.client, 1000, 100000, on_drain)) ||
        !job_submitted(&echo.connect,
                       loop_tcp_connect(&echo.client, &echo.connect.op, (struct sockaddr *)&addr, job_done)))
        return;
    /* Small, so that the payload does not fit. */
    (void)setsockopt(loop_tcp_fd(&echo.client), SOL_SOCKET, SO_SNDBUF, &(int){65536}, sizeof(int));
    if (!job_submitted(&echo.write, loop_tcp_write(&echo.client, &echo.write.op, pieces, PIECES, job_done)) ||
        !job_submitted(&echo.client_shutdown,
                       loop_tcp_shutdown(&echo.client, &echo.client_shutdown.op, job_done)))
        return;
    world_until(echo_done);
    if (world.error == 0) {
        world_check(echo.peer_read == PAYLOAD && echo.write.op.bytes == PAYLOAD, "bytes were lost");
        world_check(echo.client_read == 3 && !echo.gave_buffer, "the reply was lost");
        world_check(echo.drained, "nobody was told that the write queue is short again");
        world_check(loop_tcp_write_queue_size(&echo.client) == 0, "the write queue is not empty");
    }
}

static void echo_cleanup(void)
{
    world_close(&echo.client);
    world_close(&echo.server);
    world_close(&echo.peer);
}

const struct scenario tcp_echo_scenario = {"tcp echo", echo_plot, echo_cleanup};

/* -------------------------------------------------------------------------------------------------------- listener -- */

#define CLIENTS 3

static struct {
    loop_tcp_t server;
    loop_tcp_t clients[CLIENTS];
    loop_tcp_t peers[CLIENTS];
    struct job connects[CLIENTS];
    int accepted;
    bool read[CLIENTS];
} crowd;

static void on_crowd_read(loop_tcp_t *client, ptrdiff_t nread, const loop_buf_t *buf)
{
    (void)buf;
    if (world_ok(nread)) {
        crowd.read[client - crowd.clients] = true;
        (void)world_ok(loop_tcp_read_stop(client));
    }
}

/* The first is taken as a descriptor, as one for another loop would be. */
static void on_crowd_connection(loop_tcp_t *server, int status)
{
    loop_tcp_t *peer = &crowd.peers[crowd.accepted % CLIENTS];
    loop_buf_t hello = {payload, 5};
    loop_os_fd_t fd;

    if (!world_ok(status) || !world_ok(loop_tcp_init(world.loop, peer)))
        return;
    if (crowd.accepted == 0) {
        if (!world_ok(loop_tcp_accept_fd(server, &fd)))
            return;
        if (!world_ok(loop_tcp_open(peer, fd))) {
            (void)close(fd);
            return;
        }
    } else if (!world_ok(loop_tcp_accept(server, peer))) {
        return;
    }
    crowd.accepted++;
    (void)world_ok(loop_tcp_try_write(peer, &hello, 1));
}

static void on_crowd_connected(struct job *job)
{
    (void)world_ok(loop_tcp_read_start(&crowd.clients[job - crowd.connects], NULL, on_crowd_read));
}

static bool crowd_done(void)
{
    return crowd.accepted == CLIENTS && crowd.read[0] && crowd.read[1] && crowd.read[2];
}

static void crowd_plot(void)
{
    struct sockaddr_storage addr;

    memset(&crowd, 0, sizeof(crowd));
    if (!listen_somewhere(&crowd.server, on_crowd_connection, &addr))
        return;
    for (int i = 0; i < CLIENTS; i++) {
        struct job *job = &crowd.connects[i];

        job->then = on_crowd_connected;
        if (!world_ok(loop_tcp_init(world.loop, &crowd.clients[i])) ||
            !job_submitted(job, loop_tcp_connect(&crowd.clients[i], &job->op, (struct sockaddr *)&addr, job_done)))
            return;
    }
    world_until(crowd_done);
}

static void crowd_cleanup(void)
{
    world_close(&crowd.server);
    for (int i = 0; i < CLIENTS; i++) {
        world_close(&crowd.clients[i]);
        world_close(&crowd.peers[i]);
    }
}

const struct scenario tcp_listener_scenario = {"tcp listener", crowd_plot, crowd_cleanup};

/* --------------------------------------------------------------------------------------------------------- options -- */

static struct {
    loop_tcp_t server;
    loop_tcp_t client;
    loop_tcp_t peer;
    loop_tcp_t dual;
    loop_tcp_t bound;
    struct job connect;
    bool accepted;
} options;

static void on_options_connection(loop_tcp_t *server, int status)
{
    if (world_ok(status) && world_ok(loop_tcp_init(world.loop, &options.peer)) &&
        world_ok(loop_tcp_accept(server, &options.peer)))
        options.accepted = true;
}

static bool options_connected(void)
{
    return options.accepted && options.connect.done;
}

static bool open_bound_socket(void)
{
    struct sockaddr_in any = {.sin_family = AF_INET};
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    (void)bind(fd, (struct sockaddr *)&any, sizeof(any));
    if (world_ok(loop_tcp_init(world.loop, &options.bound)) && world_ok(loop_tcp_open(&options.bound, fd)))
        return true;
    (void)close(fd);
    return false;
}

static void options_plot(void)
{
    struct sockaddr_storage addr;
    struct sockaddr_storage name;
    size_t len = sizeof(name);
    const unsigned flags = LOOP_TCP_REUSEPORT | LOOP_TCP_IPV6ONLY;

    memset(&options, 0, sizeof(options));
    if (!listen_somewhere(&options.server, on_options_connection, &addr) ||
        !world_ok(loop_tcp_init(world.loop, &options.client)) ||
        !job_submitted(&options.connect,
                       loop_tcp_connect(&options.client, &options.connect.op, (struct sockaddr *)&addr, job_done)))
        return;
    world_until(options_connected);
    if (world.error != 0 || !open_bound_socket() || !world_ok(loop_tcp_listen(&options.bound, 4, on_options_connection)))
        return;
    if (!world_ok(loop_tcp_init(world.loop, &options.dual)) || !world_ok(loop_ip_addr("fe80::1%lo", 0, &name)) ||
        !world_ok(loop_ip_addr("::", 0, &name)) ||
        !world_ok(loop_tcp_bind(&options.dual, (struct sockaddr *)&name, flags)))
        return;
    if (world_ok(loop_tcp_nodelay(&options.client, 1)) && world_ok(loop_tcp_keepalive(&options.client, 1, 60, 10, 5)) &&
        world_ok(loop_tcp_keepalive(&options.client, 0, 0, 0, 0)) &&
        world_ok(loop_tcp_getpeername(&options.client, (struct sockaddr *)&name, &len)) &&
        world_ok(loop_tcp_close_reset(&options.client, NULL)))
        world_check(memcmp(&name, &addr, len) == 0, "the peer has another name");
}

static void options_cleanup(void)
{
    world_close(&options.server);
    world_close(&options.client);
    world_close(&options.peer);
    world_close(&options.dual);
    world_close(&options.bound);
}

const struct scenario tcp_options_scenario = {"tcp options", options_plot, options_cleanup};
