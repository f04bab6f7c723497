/* Poll handles on pairs of sockets, and what they reported. */
#ifndef LOOP_TEST_POLL_FIXTURE_H
#define LOOP_TEST_POLL_FIXTURE_H

#include "support.h"

#define POLLS 4

extern loop_t *loop;
extern loop_poll_t polls[POLLS];
extern loop_os_fd_t mine[POLLS];  /* the descriptors that are polled */
extern loop_os_fd_t peers[POLLS]; /* the other ends */

extern int reports[POLLS];   /* callbacks of each */
extern unsigned seen[POLLS]; /* the events of its last one */
extern int reports_of_all;

int index_of(const loop_poll_t *poll);

/* The callback of most handles. */
void note(loop_poll_t *poll, int status, unsigned events);

/* A loop, and POLLS handles on local stream sockets, not started. */
void begin(void);

/* Closes everything. */
void finish(void);

/* One turn without waiting. */
void turn(void);

/* Forgets what the first n handles reported, and turns until each of them has reported again. */
void until_reported(int n);

/* Turns until any of them reports: once, in that turn. */
void until_another_report(void);

void send_byte(loop_os_fd_t fd);
void read_byte(loop_os_fd_t fd);

/* Begins, makes all handles ready at once, and turns until the first callback, which does something to the others. */
void all_are_ready(void (*action)(loop_poll_t *poll));

/* The callback of those handles. */
void first_acts_on_the_others(loop_poll_t *poll, int status, unsigned events);

/* The callback of other handles: counts in the int that their data points to. */
void note_in_data(loop_poll_t *poll, int status, unsigned events);

#endif
