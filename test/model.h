/*
 * The random test and its model.
 *
 * A run is a sequence of steps. What a step does follows from the seed and the number of the step alone, and so does what each
 * callback does within it: so every part of a run, an atom, can be left out without changing what the others try to do. That is
 * what replays a failure, and what shrinks it.
 *
 *   model_test.c     the rows; iocp/model_packets_test.c has one more for Windows
 *   model_series.c   the command line, a series of runs
 *   model_shrink.c   finds a smaller run that fails in the same way
 *   model_run.c      one run: its world, its steps, its end
 *   model_turn.c     what must hold in a turn, before a wait and after a run
 *   model_handle.c   what all handles have in common; phases, asyncs, tasks
 *   model_timer.c    timers
 *   model_end.c      descriptors that come in pairs, and listeners: opening, attaching, closing, deadlines
 *   model_act.c      what a step does to one
 *   model_op.c       operations
 *   model_tcp.c      TCP handles
 *   model_flow.c     bytes and datagrams on their way
 *   model_seam.c     the wait, and what decides on faults
 *   posix/model_posix.c, iocp/model_windows.c    descriptors of the system, processes that may fail
 *   posix/model_calls.c, iocp/model_wait.c       the clock, and the calls that go wrong, by the seam of system calls
 */
#ifndef LOOP_TEST_MODEL_H
#define LOOP_TEST_MODEL_H

#include "support.h"

#define NEVER UINT64_MAX

/* -------------------------------------------------------------------------------------------------------- runs, atoms -- */

enum model_faults {
    FAULTS_NONE,
    FAULTS_MIXED,    /* interruptions, refusals to be repeated, short counts, no memory, no descriptors */
    FAULT_DUPLICATE, /* planted: a receiving call gives one byte twice */
    FAULT_FORGOTTEN  /* planted: an event is taken from the system and not told */
};

/* All that a run depends on. */
struct plan {
    uint64_t seed;
    uint32_t steps; /* 0: as many as the seed says */
    enum model_faults faults;
    bool packets_always;   /* completion ports: of what succeeds at once, too */
    bool verbose;          /* tell what is done */
    const uint64_t *units; /* NULL: everything is done; else just these, in ascending order */
    size_t unit_count;
    bool fine; /* units are atoms, not steps */
};

enum atom_kind {
    ATOM_STEP,
    ATOM_CALLBACK, /* what a callback does */
    ATOM_OUTSIDE,  /* what others do while the loop sleeps */
    ATOM_FAULT,
    ATOM_KINDS
};

#define ATOMS_MAX 65536
#define FAULT_PLACES 16

/* What became of a run; in memory that a child shares with its parent. */
struct report {
    uint64_t seed;
    uint64_t steps; /* done in all runs of the child */
    uint32_t step;  /* of the run that fails */
    bool finished;
    int line; /* of the check that failed, 0: none */
    char file[32];
    char text[400];
    uint32_t atom_count;
    uint64_t atoms[ATOMS_MAX]; /* of the run, in their order */
};

/* A run. Does not return if a check fails. */
void model_run(const struct plan *plan, struct report *report);

/* What a row does: runs of the plan with seeds from the one given on. */
void model_row(const struct plan *plan, uint64_t steps, uint64_t slow_steps);

/* harness_main(), and the options of the random test. */
int model_main(const harness_test *tests, size_t test_count, int argc, char **argv);

/* How many steps a run of this seed has. */
uint32_t model_steps(uint64_t seed);

/* A part of a run, and the numbers that belong to it. */
struct atom {
    uint64_t id; /* step, kind, place, and how many of the place were before it in the step */
    uint64_t random;
};

/* Where atoms happen. Each counts its own, so that others may be left out without making it another one. */
struct place {
    uint32_t number;
    uint32_t step; /* of the last atom here */
    uint32_t count;
};

/* The next part of a kind begins at a place: below() gives what belongs to it. Returns what atom_close() goes back to. */
struct atom atom_open(enum atom_kind kind, struct place *place);
void atom_close(struct atom outer);
/* Whether the part does something, which is so in percent of all cases, and not if the plan leaves it out. */
bool atom_acts(uint32_t percent);

uint32_t below(uint32_t n);
bool chance(uint32_t percent);

/* Tells what is done, if the plan wants it. */
void say(const char *format, ...);

/* Ends the process: a promise was broken. */
_Noreturn void model_fail(const char *file, int line, const char *format, ...);
#define CHECK(condition, ...) ((condition) ? (void)0 : model_fail(__FILE__, __LINE__, __VA_ARGS__))
#define CHECK_RC(rc, expected)                                                                                         \
    CHECK((rc) == (expected), "a call returned %s, not %s", loop_err_name((int)(rc)), loop_err_name((int)(expected)))

/* ------------------------------------------------------------------------------------------------------------ handles -- */

enum life {
    LIFE_NONE,
    LIFE_OPEN,
    LIFE_CLOSING
};

/* What the model knows of a handle. Its memory is an allocation of its own, freed as soon as it may be. */
struct mhandle {
    loop_handle_t *handle;
    size_t size;
    const char *name;
    int number;
    enum life life;
    bool active; /* by itself, operations apart */
    bool ref;
    bool with_cb; /* a close callback */
    bool settled; /* closing, and when the run began nothing was in flight */
    bool queued;  /* an async that was sent */
    bool done;    /* of a walk: visited */
    uint32_t in_flight;
    uint64_t birth;
    struct place place;
    void (*gone)(struct mhandle *h); /* the close callback was entered */
    void (*act)(struct mhandle *h);  /* something of its kind */
};

loop_handle_t *handle_new(struct mhandle *h, size_t size);
/* After the init function: registers it in the model, or frees the memory. */
bool handle_opened(struct mhandle *h, int rc);
void handle_close(struct mhandle *h);
/* ... unless it is closed. */
void handle_close_open(struct mhandle *h);
/* It is closing now; rc is what the closing function returned. */
loop_close_cb handle_close_cb(struct mhandle *h);
void handle_closing(struct mhandle *h, int rc);
/* Frees the memory. */
void handle_release(struct mhandle *h);
void handle_check(const struct mhandle *h);
void handle_act(struct mhandle *h);

/* Memory that is filled with garbage before it is given back. */
void *memory_new(size_t size);
void memory_free(void *memory, size_t size);

/* --------------------------------------------------------------------------------------------------------------- flows -- */

/* A write or datagram on its way. */
struct sent {
    struct sent *next;
    uint32_t id;
    size_t length;
    size_t bytes;   /* that the completion told */
    size_t checked; /* of these: seen at the other side */
    bool done;
    bool good;     /* of a datagram: it went out */
    bool received; /* of a datagram */
};

/* One direction of a connection. */
struct flow {
    int refs;
    uint32_t id;
    bool datagrams;
    bool lossy;     /* datagrams may vanish */
    bool immediate; /* what was sent can be received at once */
    bool tcp;       /* a reset destroys what is on its way */
    bool pipe;
    bool uncounted; /* a write ended of which nobody knows how much was read: what comes cannot be compared any more */
    bool ended;     /* the sender ended its side */
    bool closed;    /* the sender is gone */
    bool reader_gone;
    bool torn; /* what is on its way may be lost */
    bool eof_seen;
    uint32_t sends; /* ids given */
    uint32_t last_id[2];
    struct sent *first;
    struct sent *last;
    uint64_t sent_total;
    uint64_t received_total;
    uint32_t pending;     /* sends without a completion */
    unsigned char *bytes; /* received, not compared yet */
    size_t count;
    size_t room;
};

struct flow *flow_new(void);
void flow_unref(struct flow *flow);
/* The next write: its data, which may come in pieces, and once it was accepted its place in the order. */
void flow_fill(const struct flow *flow, unsigned char *data, size_t offset, size_t length);
struct sent *flow_send(struct flow *flow, size_t length);
void flow_sent(struct flow *flow, struct sent *sent, size_t bytes, bool good);
void flow_received(struct flow *flow, const unsigned char *data, size_t length);
/* False if it was none of this flow. */
bool flow_received_datagram(struct flow *flow, const unsigned char *data, size_t length, size_t room, bool truncated,
                            int channel);
void flow_eof(struct flow *flow);
/* Nothing waits to be received and nothing is in flight: all that was sent has been received. */
void flow_check_settled(const struct flow *flow);

/* ---------------------------------------------------------------------------------------------------------------- ends -- */

enum pair_kind {
    PAIR_UNIX,
    PAIR_UNIX_RAW, /* the second end is driven by the test */
    PAIR_DATAGRAM,
    PAIR_UDP,
    PAIR_PIPE, /* the first end reads */
    PAIR_TCP_DESC,
    PAIR_TCP,
    PAIR_TCP_RAW,
    PAIR_DIAL_DESC, /* connects to a listener, which gives the second end */
    PAIR_DIAL,
    PAIR_KINDS
};

enum mop_kind {
    MOP_READ,
    MOP_WRITE,
    MOP_RECEIVE,
    MOP_SEND,
    MOP_READY,
    MOP_ACCEPT,
    MOP_CONNECT,
    MOP_SHUTDOWN
};

enum {
    READING,
    WRITING
};

#define PIECES_MAX 12
#define OPS_PER_END 5

/* Bytes that one read brought, in the order of the reads. */
struct receipt {
    struct receipt *next;
    bool done;
    bool eof;
    unsigned char *data;
    size_t length;
};

struct end;

struct mop {
    struct end *end;
    int number;
    loop_op_t *op; /* an allocation of its own, as each of the pieces */
    struct {
        unsigned char *base;
        size_t len;
    } pieces[PIECES_MAX];
    unsigned piece_count;
    size_t length;
    struct sockaddr_storage *from;
    enum mop_kind kind;
    unsigned events;
    bool in_flight;
    bool with_cb;
    bool stream;
    bool may_cancel;   /* its end was asked for */
    bool alone;        /* ... of this one alone: it may overtake */
    bool may_time_out; /* a deadline has passed */
    bool must_time_out;
    bool to_be_delivered; /* of a stream: the last result is looked at */
    uint64_t seq;
    uint64_t due;
    struct sent *sent;
    struct receipt *receipt;
};

struct end {
    struct mhandle h;  /* first */
    struct pair *pair; /* NULL: a listener */
    int side;
    loop_os_fd_t fd; /* LOOP_INVALID_FD: none. Of a TCP handle too */
    bool is_tcp;     /* a TCP handle */
    bool owned;      /* the descriptor closes with the handle */
    bool robbed;     /* it was closed before the handle, and its number taken by another; fd is a duplicate */
    bool attached;   /* once at least, since it was opened */
    bool connecting;
    bool connected;
    bool failed;
    bool shut;     /* a TCP handle's shutdown was accepted */
    bool raw_shut; /* the test shut the socket down by itself */
    bool reading;
    bool with_alloc;
    bool eof;
    bool waits;           /* a listener reported a connection that nobody took yet */
    uint64_t pause;       /* a listener tries again */
    bool pause_unsure;    /* there may have been no memory for it */
    unsigned char *given; /* by the alloc callback, not yet back */
    size_t given_size;
    size_t low, high;
    bool drain_set;
    bool above;
    uint64_t tried;   /* bytes of try-writes */
    uint64_t written; /* bytes of writes, as completed */
    uint64_t due[2];
    bool over[2];            /* surely expired */
    bool alloc_over;         /* ... for reading when the last alloc callback began */
    uint64_t last_seq[2][2]; /* of the direction and channel: the last that completed */
    struct flow *in;
    struct flow *out;
    struct receipt *receipts;
    struct receipt *last_receipt;
    struct sockaddr_storage addr; /* of a listener; of a UDP socket */
    struct mop ops[OPS_PER_END];
};

struct pair {
    enum pair_kind kind;
    struct end ends[2];
    struct end *dialled; /* the listener in whose queue the second end is, or will be */
    int port;            /* of the first end */
};

/* Robbed, and its number was registered anew: whatever was on it has ended with LOOP_EBADF. */
bool end_is_lost(const struct end *e);

void end_init(struct end *e, struct pair *pair, int number, int side);
/* Closes the handle, or the descriptor of an end without one. */
void end_close(struct end *e);
void end_close_fd(struct end *e);
/* The run is over. */
void end_free(struct end *e);
/* A deadline of the direction has passed, or may have. */
bool end_is_over(const struct end *e, int direction);
/* What was accepted: finds its pair and gives it to that, with a handle of the given type or none. */
void end_accepted(struct end *listener, loop_os_fd_t fd);
struct end *end_of_connection(struct end *listener, loop_os_fd_t fd);
bool end_attach(struct end *e, bool as_tcp);
/* The handle of another becomes that of an end. */
void end_take_handle(struct end *e, struct mhandle *from);
void end_listener_closed(struct end *listener);
const char *end_kind_name(const struct end *e);
bool end_is_tcp_socket(const struct end *e);
void end_note_port(struct end *e);
int end_direction(const struct mop *m);
void end_deadline(struct end *e);

/* No handle and no descriptor. */
bool end_is_empty(const struct end *e);
void end_open_listener(struct end *e);
/* number: what the first descriptor is to have; LOOP_INVALID_FD: it does not matter. */
void pair_open(struct pair *pair, loop_os_fd_t number);
bool pair_is_dialling(const struct pair *pair);

void end_act(struct mhandle *h);
/* What others do while the loop sleeps. */
void end_act_outside(struct end *e);

/* ---------------------------------------------------------------------------------------------------------- operations -- */

void op_act(struct end *e);
/* Submits on a descriptor. */
void op_submit(struct mop *m, enum mop_kind kind, bool stream);
/* Prepares memory for it; for the calls of TCP handles. */
void op_make(struct mop *m, enum mop_kind kind);
loop_buf_t *op_bufs(struct mop *m, size_t length, unsigned *count);
loop_op_cb op_cb(struct mop *m);
void op_submitted(struct mop *m, int rc, int expected);
size_t op_some_length(void);
/* loop_wait() handed it out. */
struct end *op_delivered(loop_op_t *op);
void op_cancel(struct mop *m);
void op_deadline(struct mop *m);
/* The handle is being closed, a deadline was changed, ... : what may have become of the operation until now. */
void op_note_time(struct mop *m);
void op_release(struct mop *m);
uint64_t some_due(void);

/* ----------------------------------------------------------------------------------------------------------------- TCP -- */

void tcp_act(struct end *e);
void tcp_listener_act(struct end *e);
void tcp_connected(struct end *e, int status);
bool tcp_listen(struct end *e);
loop_os_fd_t tcp_number(const loop_tcp_t *tcp);
void tcp_check(struct end *e);
void tcp_close(struct end *e);

/* -------------------------------------------------------------------------------------------------------------- timers -- */

struct mtimer {
    struct mhandle h; /* first */
    bool started;
    bool ever;
    uint64_t due;
    uint64_t seq;
    uint64_t repeat;
    uint64_t phase; /* the timer phase it was started in, 0: none */
};

void timer_act(struct mhandle *h);
void timer_close(struct mtimer *t);
/* Also one that is due at the end of time. */
bool timer_any_started(void);
uint64_t timer_next_due(void);

/* ------------------------------------------------------------------------------------------- phases, asyncs and tasks -- */

enum {
    MODEL_IDLE,
    MODEL_PREPARE,
    MODEL_CHECK
};

struct mphase {
    struct mhandle h; /* first */
    int kind;
    uint64_t seq;
    uint64_t start_turn;
    int start_rank;
    uint64_t last_turn;
};

struct mtask {
    loop_task_t *task;
    bool posted;
    uint64_t seq;
};

void phase_act(struct mhandle *h);
void async_act(struct mhandle *h);
void async_send(struct mhandle *h);
void task_act(struct mtask *t);
void walk_act(void);
/* A task that makes the current run end. */
void task_rescue(void);
/* Every handle that had to be called in this turn so far was called. */
void phase_check_turn(int up_to_rank, bool check_too);

/* --------------------------------------------------------------------------------------------------------------- turns -- */

enum rank {
    RANK_NONE,
    RANK_LEFTOVER,
    RANK_IDLE,
    RANK_PREPARE,
    RANK_POLL,
    RANK_DISPATCH,
    RANK_CHECK,
    RANK_CLOSE,
    RANK_TIMERS,
    RANK_OUTSIDE /* not in a turn */
};

enum run_mode {
    MODE_DEFAULT,
    MODE_ONCE,
    MODE_NOWAIT,
    MODE_WAIT
};

/* Every callback begins and ends with these; the first checks that it may come now. */
void callback_enter(enum rank rank, struct mhandle *h, const char *what);
void callback_leave(void);
/* ... and does something of its own; self may be NULL. */
void callback_act(struct mhandle *self);

void turn_rank(enum rank rank);
/* The loop is about to sleep for ns (negative: for ever), and the system has nothing to tell. false: there is something after
 * all that a look at the descriptors shows; the caller looks for events once more and calls again with final set. */
bool turn_before_sleep(int64_t ns, uint64_t slack, bool final);
void run_act(void);
void run_some(enum run_mode mode);
void wait_some(void);
void run_check_alive(void);
bool model_alive(void);
/* The number of the timer phase in which we are, 0: none. */
uint64_t turn_timer_phase(void);

/* One action on anything. */
void act_on_anything(void);

/* --------------------------------------------------------------------------------------------------------------- world -- */

struct world {
    const struct plan *plan;
    struct report *report;
    loop_t *loop;
    struct support_allocator counts;
    bool alloc_fails;
    bool refused; /* there was no memory, in this step */
    struct atom atom;
    struct atom outer[8]; /* by depth */
    uint32_t step;
    struct place here;    /* of what happens to no handle */
    struct place outside; /* of waits */
    struct place faults[FAULT_PLACES];
    int inside;  /* in calls that must not call back */
    int depth;   /* of callbacks */
    bool quiet;  /* callbacks do nothing of their own any more */
    bool ending; /* in loop_close() */
    /* turns */
    bool running;
    bool walking;
    bool stop_asked;
    bool polled;
    enum run_mode mode;
    enum rank rank;
    uint64_t turn;
    uint64_t timer_phase;
    uint64_t phase_seq;
    uint64_t wait_end;
    int waits_left;
    /* order */
    uint64_t seq;
    uint64_t task_seq;
    struct sockaddr_storage loopback;
    uint32_t run_rate; /* percent of the steps that run the loop */
    bool storm;        /* most writes are short */
    /* tables */
    struct pair *pairs;
    int pair_count;
    struct end *listeners;
    int listener_count;
    struct mtimer *timers;
    int timer_count;
    struct mphase *phases;
    int phase_count;
    struct mhandle *asyncs;
    int async_count;
    struct mtask *tasks;
    int task_count;
    struct mtask rescue;
    struct mhandle stray;     /* a TCP handle that a connection is being accepted with */
    struct mhandle **handles; /* all of them */
    int handle_count;
    uint32_t flow_ids;
};

extern struct world *world;

/* A call of the library that must call nothing back. */
#define CALL(result, call) (world->inside++, (result) = (call), world->inside--)

/* Whether an error is what an injected lack of memory gives. */
bool is_injected(int error);

/* -------------------------------------------------------------------------------------------------- what systems differ in -- */

/* What the system or its backend has not, the model leaves out. */
extern const struct system_abilities {
    unsigned step_costs; /* so many times what a step takes elsewhere: a row has as many fewer, watched or not */
    bool detaches; /* a descriptor leaves its loop alive, and may come back; its owner may give its number to another */
    bool counts_sent;      /* seam_sent() tells */
    bool counts_cancelled; /* of a write to a pipe that was cancelled it is known how much was read before */
    bool answers_at_once;  /* what is cancelled or closed is given back by then, not by a later event */
} system_can;

/* The kind whose pairs stand for those that the system has not. */
enum pair_kind system_kind(enum pair_kind kind);

/* Opens a pair; addresses are set for UDP only. */
void system_pair(enum pair_kind kind, loop_os_fd_t fds[2], struct sockaddr_storage addrs[2]);
loop_os_fd_t system_socket(void);
loop_os_fd_t system_listener(struct sockaddr_storage *addr);
void system_small_buffers(loop_os_fd_t fd);
void system_close(loop_os_fd_t fd);
loop_os_fd_t system_duplicate(loop_os_fd_t fd);
/* Gives a descriptor another number, closing what has it. */
void system_renumber(loop_os_fd_t fd, loop_os_fd_t number);
/* Bytes, 0 for the end, or a LOOP_E* code. */
ptrdiff_t system_read(loop_os_fd_t fd, void *base, size_t len);
ptrdiff_t system_write(loop_os_fd_t fd, const void *base, size_t len);
void system_shutdown(loop_os_fd_t fd);
/* 0 if it has none. */
int system_port(loop_os_fd_t fd, bool peer);
bool system_is_async(loop_os_fd_t fd);
/* Surely, so that it can be promised: not every system tells. */
bool system_is_surely_async(loop_os_fd_t fd);
bool system_is_stream(loop_os_fd_t fd);
/* The LOOP_READABLE and LOOP_WRITABLE of wanted that hold now. */
unsigned system_ready(loop_os_fd_t fd, unsigned wanted);
int system_open_count(void);
/* Gives the system a moment to tell what it knows. */
void system_pause(void);

/* The clock of the test, and the wait that moves it. */
void seam_begin(void);
void seam_end(void);
extern uint64_t seam_now;
/* Bytes that the library sent through a descriptor since seam_opened(). */
uint64_t seam_sent(loop_os_fd_t fd);
void seam_opened(loop_os_fd_t fd);

enum outcome {
    OUTCOME_PASSED,
    OUTCOME_FAILED,
    OUTCOME_HUNG
};

/* Calls job in a process of its own. A report to share is made by child_report(). */
struct report *child_report(void);
void child_report_free(struct report *report);
enum outcome child_run(void (*job)(void *arg, struct report *report), void *arg, struct report *report,
                       unsigned seconds);
/* Ends a child that failed. */
_Noreturn void child_fail(void);
double child_clock(void);

#endif
