/* What both sides of the soak test know. */
#ifndef LOOP_BENCH_SOAK_H
#define LOOP_BENCH_SOAK_H

#include <stddef.h>

/* The first byte on a connection says what the client will do. */
enum soak_kind {
    SOAK_ECHO = 'e',  /* sends, and reads it back */
    SOAK_FLOOD = 'f', /* gets SOAK_FLOOD_SIZE bytes, reads them slowly, and may leave before the end */
    SOAK_STALL = 's', /* sends nothing more: the server's deadline ends it */
    SOAK_HALF = 'h',  /* sends, ends its direction, and reads all of it back until the server ends the other */
    SOAK_RESET = 'r', /* sends, and resets the connection */
    SOAK_CHURN = 'c'  /* gets one answer and the end */
};

#define SOAK_CONNECTIONS 60 /* of one round */

#define SOAK_FLOOD_SIZE ((size_t)1024 * 1024)
#define SOAK_MESSAGE ((size_t)8192)

/* The client's process: rounds of connections of every kind for so many seconds. After each round, when it has closed
 * everything, it sends a byte on control and waits for one. Never returns. */
_Noreturn void soak_load(int port, int control, unsigned seconds);

#endif
