/* What the servers among the examples share: options, the line that says where they listen, a stop by signal. */
#ifndef EXAMPLES_SERVING_H
#define EXAMPLES_SERVING_H

#include "os.h"

#include <stdbool.h>

/* Reads `--host TEXT` and `--port NUMBER` (127.0.0.1, 0) into an address. 0 or an error. */
int serving_options(int argc, char **argv, struct sockaddr_storage *addr);

/* Takes `NAME NUMBER` out of the arguments, if it is there, into *value. 0 or an error: no number from least to most. */
int serving_take(int *argc, char **argv, const char *name, long least, long most, long *value);

/* Makes tcp listen on the address and returns the address it got. */
int serving_listen(loop_tcp_t *tcp, struct sockaddr_storage *addr, unsigned flags, loop_connection_cb cb);

/* Prints "listening on PREFIX HOST:PORT SUFFIX", without the spaces. */
void serving_announce(const char *prefix, const struct sockaddr_storage *addr, const char *suffix);

/* Makes SIGINT and SIGTERM signal the handle: the first one; a second ends the program as usual. Watching for them does not keep
 * the handle's loop alive. 0 or an error. */
int serving_stop_on_signals(loop_async_t *async);

/* Prints what failed, and returns 1, the exit status. */
int serving_failed(const char *what, int error);

#endif
