/* Poll handles on pairs of sockets, and what they reported. */
#ifndef LOOP_TEST_POLL_FIXTURE_H
#define LOOP_TEST_POLL_FIXTURE_H

#include "support.h"

#define POLLS 4

extern loop_t *loop;
extern loop_poll_t polls[POLLS];
extern int mine[POLLS];  /* the descriptors that are polled */
extern int peers[POLLS]; /* the other ends */

extern int reports[POLLS];   /* callbacks of each */
extern unsigned seen[POLLS]; /* the events of its last one */
extern int reports_of_all;

int index_of(const loop_poll_t *poll);

/* The callback of most handles. */
void note(loop_poll_t *poll, int status, unsigned events);

/* A loop, and POLLS handles on Unix stream sockets, not started. */
void begin(void);

/* Closes everything. */
void finish(void);

/* One turn without waiting. */
void turn(void);

void send_byte(int fd);
void read_byte(int fd);

#endif
