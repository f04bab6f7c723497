/* Noticing forks, after which a child has what its parent has. For loop__fork_epoch() of platform.h. */
#ifndef LOOP_POSIX_FORKS_H
#define LOOP_POSIX_FORKS_H

/*
 * There are epochs from now on. Not for want of memory: it can be tried again. Any thread, but not inside of a handler of
 * pthread_atfork(3), where that may wait for itself.
 */
void loop__forks_notice(void);

/* This may be the child of a fork that nobody has noticed. */
void loop__forks_count(void);

#endif
