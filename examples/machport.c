/* A Mach port beside a timer (macOS): another thread sends messages, the loop is told of them, and we receive. */
#include <loop.h>

#include <mach/mach.h>
#include <pthread.h>
#include <stdio.h>

#define LAST 3

struct message {
    mach_msg_header_t header;
    uint32_t number;
};

/* The system puts a trailer behind what it delivers. */
struct received {
    struct message message;
    mach_msg_trailer_t trailer;
};

static mach_port_t port;
static loop_timer_t timer;

static void *send_messages(void *unused)
{
    for (uint32_t i = 1; i <= LAST; i++) {
        struct message message = {.number = i};

        message.header.msgh_bits = MACH_MSGH_BITS(MACH_MSG_TYPE_COPY_SEND, 0);
        message.header.msgh_size = sizeof(message);
        message.header.msgh_remote_port = port;
        if (mach_msg(&message.header, MACH_SEND_MSG, sizeof(message), 0, MACH_PORT_NULL, MACH_MSG_TIMEOUT_NONE,
                     MACH_PORT_NULL) != MACH_MSG_SUCCESS)
            break;
    }
    return unused;
}

static void on_message(loop_machport_t *machport, int status, loop_mach_port_t of)
{
    struct received received;

    if (status != 0) {
        fprintf(stderr, "the port is gone: %s\n", loop_strerror(status));
        return;
    }
    /* All that is there. A time of 0: the loop does the waiting. */
    while (mach_msg(&received.message.header, MACH_RCV_MSG | MACH_RCV_TIMEOUT, 0, sizeof(received), of, 0,
                    MACH_PORT_NULL) == MACH_MSG_SUCCESS) {
        printf("message %u\n", (unsigned)received.message.number);
        if (received.message.number == LAST) {
            (void)loop_handle_close(&machport->handle, NULL);
            (void)loop_handle_close(&timer.handle, NULL);
        }
    }
}

static void on_timer(loop_timer_t *late)
{
    fprintf(stderr, "no message for a second\n");
    (void)loop_stop(loop_handle_get_loop(&late->handle));
}

static int make_port(void)
{
    kern_return_t result = mach_port_allocate(mach_task_self(), MACH_PORT_RIGHT_RECEIVE, &port);

    if (result == KERN_SUCCESS)
        result = mach_port_insert_right(mach_task_self(), port, port, MACH_MSG_TYPE_MAKE_SEND);
    return result == KERN_SUCCESS ? 0 : -1;
}

static void give_up_port(void)
{
    (void)mach_port_mod_refs(mach_task_self(), port, MACH_PORT_RIGHT_RECEIVE, -1);
    (void)mach_port_deallocate(mach_task_self(), port);
}

static int run(void)
{
    loop_t *loop;
    loop_machport_t machport;
    int error = loop_init(&loop, NULL);

    if (error != 0)
        return error;
    error = loop_machport_init(loop, &machport, port);
    if (error == 0)
        error = loop_machport_start(&machport, on_message);
    if (error == 0)
        error = loop_timer_init(loop, &timer);
    if (error == 0)
        error = loop_timer_start(&timer, on_timer, LOOP_SEC(1), 0);
    if (error == 0)
        error = loop_run(loop, LOOP_RUN_DEFAULT);
    (void)loop_shutdown(loop, LOOP_SEC(1), NULL, NULL);
    (void)loop_close(loop);
    return error;
}

int main(void)
{
    pthread_t sender;
    int error;

    if (make_port() != 0)
        return 1;
    if (pthread_create(&sender, NULL, send_messages, NULL) != 0)
        return 1;
    error = run();
    give_up_port(); /* which ends a sender that still waits for room */
    (void)pthread_join(sender, NULL);
    return error == 0 ? 0 : 1;
}
