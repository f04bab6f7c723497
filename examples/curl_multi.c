/*
 * Fetches URLs in parallel with libcurl: curl_multi [--timeout MS] [--limit BYTES] URL...
 *
 * Shows how a library that brings its own descriptors and timeouts is driven by a loop. libcurl's multi_socket interface tells
 * which sockets it waits for (on_socket) and for how long (on_timeout), and wants to be called when something has come of it;
 * see curl_multi_socket_action(3). A poll handle serves each socket, one timer serves all.
 *
 * --timeout ends a transfer that takes longer; --limit removes one that has brought more than so many bytes. Prints what became
 * of each, and how many sockets were watched at the same time. Exits with 1 if a transfer did not succeed.
 */
#include <loop.h>

#include <curl/curl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct transfer {
    CURL *easy;
    const char *url;
    size_t received;
    bool done;
    bool over_limit;
    CURLcode result;
    long status; /* of HTTP */
};

/* A socket of libcurl's; handle.data of the poll leads back here. */
struct watched {
    loop_poll_t poll;
    curl_socket_t fd;
};

static struct {
    loop_t *loop;
    loop_timer_t timer;
    CURLM *multi;
    struct transfer *transfers;
    size_t count;
    size_t unfinished;
    size_t limit;
    size_t sockets;
    size_t most_sockets;
} client;

static void settle_transfers(void);

static int failed(const char *what, int error)
{
    (void)fprintf(stderr, "%s: %s\n", what, loop_strerror(error));
    return -1; /* what libcurl takes for "no" */
}

/* -------------------------------------------------------------------------------------------- what libcurl waits for -- */

static void on_poll(loop_poll_t *poll, int status, unsigned events)
{
    const struct watched *watched = poll->handle.data;
    int action = status != 0 ? CURL_CSELECT_ERR : 0;
    int running;

    if (events & LOOP_READABLE)
        action |= CURL_CSELECT_IN;
    if (events & LOOP_WRITABLE)
        action |= CURL_CSELECT_OUT;
    /* This may call on_socket, which may close the very handle. */
    (void)curl_multi_socket_action(client.multi, watched->fd, action, &running);
    settle_transfers();
}

static struct watched *watch_socket(curl_socket_t fd)
{
    struct watched *watched = malloc(sizeof(*watched));
    int error;

    if (watched == NULL)
        return NULL;
    error = loop_poll_init(client.loop, &watched->poll, fd);
    if (error != 0) {
        (void)failed("poll", error);
        free(watched);
        return NULL;
    }
    watched->fd = fd;
    watched->poll.handle.data = watched;
    if (++client.sockets > client.most_sockets)
        client.most_sockets = client.sockets;
    return watched;
}

static void on_closed(loop_handle_t *handle)
{
    free(handle->data);
}

/* libcurl closes the socket, and may get its number again, right after this. */
static void forget_socket(struct watched *watched)
{
    client.sockets--;
    (void)loop_handle_close(&watched->poll.handle, on_closed);
}

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *context, void *assigned)
{
    struct watched *watched = assigned;
    unsigned events = 0;
    int error;

    (void)easy;
    (void)context;
    if (what == CURL_POLL_REMOVE) {
        if (watched != NULL)
            forget_socket(watched);
        return 0;
    }
    if (watched == NULL) {
        watched = watch_socket(fd);
        if (watched == NULL)
            return -1;
        (void)curl_multi_assign(client.multi, fd, watched);
    }
    if (what & CURL_POLL_IN)
        events |= LOOP_READABLE;
    if (what & CURL_POLL_OUT)
        events |= LOOP_WRITABLE;
    error = events != 0 ? loop_poll_start(&watched->poll, events, on_poll) : loop_poll_stop(&watched->poll);
    return error == 0 ? 0 : failed("poll", error);
}

static void on_timer(loop_timer_t *timer)
{
    int running;

    (void)timer;
    (void)curl_multi_socket_action(client.multi, CURL_SOCKET_TIMEOUT, 0, &running);
    settle_transfers();
}

static int on_timeout(CURLM *multi, long ms, void *context)
{
    int error;

    (void)multi;
    (void)context;
    if (loop_handle_is_closing(&client.timer.handle))
        return 0;
    /* Also for 0: libcurl must not be called from within its own callback. */
    error = ms < 0 ? loop_timer_stop(&client.timer) : loop_timer_start(&client.timer, on_timer, LOOP_MS(ms), 0);
    return error == 0 ? 0 : failed("timer", error);
}

/* ----------------------------------------------------------------------------------------------------------- transfers -- */

/* NOLINTNEXTLINE(readability-non-const-parameter): libcurl has the type */
static size_t on_data(char *data, size_t size, size_t n, void *context)
{
    struct transfer *transfer = context;

    (void)data;
    transfer->received += size * n;
    /* Removed later: not from within a callback of libcurl's. */
    transfer->over_limit = client.limit > 0 && transfer->received > client.limit;
    return size * n;
}

static void finish(struct transfer *transfer)
{
    transfer->done = true;
    (void)curl_multi_remove_handle(client.multi, transfer->easy);
    if (--client.unfinished == 0)
        (void)loop_handle_close(&client.timer.handle, NULL); /* the last thing that would keep the loop alive */
}

/* Takes out the transfers that have ended, and those that we want no longer. */
static void settle_transfers(void)
{
    CURLMsg *message;
    int left;

    while ((message = curl_multi_info_read(client.multi, &left)) != NULL) {
        struct transfer *transfer = NULL;

        if (message->msg != CURLMSG_DONE ||
            curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&transfer) != CURLE_OK)
            continue;
        transfer->result = message->data.result;
        (void)curl_easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &transfer->status);
        finish(transfer);
    }
    for (size_t i = 0; i < client.count; i++) {
        if (client.transfers[i].over_limit && !client.transfers[i].done)
            finish(&client.transfers[i]);
    }
}

static bool start_transfer(struct transfer *transfer, const char *url, long timeout)
{
    transfer->url = url;
    transfer->easy = curl_easy_init();
    if (transfer->easy == NULL)
        return false;
    (void)curl_easy_setopt(transfer->easy, CURLOPT_URL, url);
    (void)curl_easy_setopt(transfer->easy, CURLOPT_PRIVATE, transfer);
    (void)curl_easy_setopt(transfer->easy, CURLOPT_WRITEFUNCTION, on_data);
    (void)curl_easy_setopt(transfer->easy, CURLOPT_WRITEDATA, transfer);
    (void)curl_easy_setopt(transfer->easy, CURLOPT_TIMEOUT_MS, timeout);
    (void)curl_easy_setopt(transfer->easy, CURLOPT_NOSIGNAL, 1L);
    if (curl_multi_add_handle(client.multi, transfer->easy) != CURLM_OK)
        return false;
    client.unfinished++;
    return true;
}

static int report(const struct transfer *transfer)
{
    bool ok = transfer->done && transfer->result == CURLE_OK && transfer->status == 200 && !transfer->over_limit;

    printf("%s: ", transfer->url);
    if (transfer->over_limit)
        printf("removed after more than %lu bytes\n", (unsigned long)client.limit);
    else if (!transfer->done)
        printf("not finished\n");
    else if (transfer->result != CURLE_OK)
        printf("%s after %lu bytes\n", transfer->result == CURLE_OPERATION_TIMEDOUT ? "timed out" : "failed",
               (unsigned long)transfer->received);
    else
        printf("status %ld, %lu bytes\n", transfer->status, (unsigned long)transfer->received);
    return ok ? 0 : 1;
}

/* ---------------------------------------------------------------------------------------------------------------- main -- */

static int run(char **urls, long timeout)
{
    int error = loop_timer_init(client.loop, &client.timer);
    int status = 0;

    if (error != 0)
        return failed("timer", error);
    (void)curl_multi_setopt(client.multi, CURLMOPT_SOCKETFUNCTION, on_socket);
    (void)curl_multi_setopt(client.multi, CURLMOPT_TIMERFUNCTION, on_timeout);
    for (size_t i = 0; i < client.count; i++) {
        if (!start_transfer(&client.transfers[i], urls[i], timeout))
            status = 1;
    }
    error = client.unfinished > 0 ? loop_run(client.loop, LOOP_RUN_DEFAULT) : LOOP_UNKNOWN;
    if (error < 0)
        return failed("run", error);
    for (size_t i = 0; i < client.count; i++)
        status |= report(&client.transfers[i]);
    printf("at most %lu sockets at a time\n", (unsigned long)client.most_sockets);
    return status;
}

int main(int argc, char **argv)
{
    long timeout = 0;
    int first = 1;
    int status;

    while (first + 1 < argc && strncmp(argv[first], "--", 2) == 0) {
        if (strcmp(argv[first], "--timeout") == 0)
            timeout = strtol(argv[first + 1], NULL, 10);
        else if (strcmp(argv[first], "--limit") == 0)
            client.limit = strtoul(argv[first + 1], NULL, 10);
        else
            break;
        first += 2;
    }
    if (first >= argc || argv[first][0] == '-') {
        (void)fputs("usage: curl_multi [--timeout MS] [--limit BYTES] URL...\n", stderr);
        return 2;
    }
    client.count = (size_t)(argc - first);
    client.transfers = calloc(client.count, sizeof(*client.transfers));
    if (client.transfers == NULL || curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK ||
        (client.multi = curl_multi_init()) == NULL || loop_init(&client.loop, NULL) != 0)
        return 2;

    status = run(argv + first, timeout);

    /* First the transfers, then libcurl, which lets go of its sockets; then the loop. */
    for (size_t i = 0; i < client.count; i++) {
        if (client.transfers[i].easy != NULL)
            curl_easy_cleanup(client.transfers[i].easy);
    }
    (void)curl_multi_cleanup(client.multi);
    curl_global_cleanup();
    (void)loop_run(client.loop, LOOP_RUN_DEFAULT);
    if (loop_close(client.loop) != 0)
        status = 2;
    free(client.transfers);
    return status == 0 ? 0 : status < 0 ? 2 : status;
}
