/*
 * post.pml: the queue of posted nodes, its wake-up, closing, and asyncs, for the model checker spin. run.sh checks it.
 *
 * It follows src/task.c, src/async.c, the wait and the end of a run in src/run.c, and the eventfd of src/epoll. A statement
 * marked "C:" is one atomic operation of the code, quoted; run.sh compares the quotes with the sources, so that the model
 * cannot fall behind them. What the code does between two such steps touches memory that only one thread may touch, and is
 * part of the step before or after.
 *
 * Where sequential consistency is relied on. Spin interleaves whole steps in one order that all threads see. C11 promises that
 * for atomic operations without an explicit order, and the queue uses one other. Two pairs of steps need it, acquire and
 * release would not do: a poster exchanges `posted` and then `wake`; the loop stores WAKE_ASLEEP and then loads `posted`. That
 * it is awake the loop stores without an order: other threads may see that late, at the latest when it stores again (late).
 *
 * What is checked, in every state that can be reached:
 *   - no wake-up is lost: when nothing can move any more, every accepted node has run (monitor, and the LTL formula)
 *   - a node runs once for each time it was accepted, those of one thread in order, and none after loop_close() returned
 *   - at most one wake-up call per sleep
 *   - a refused node (LOOP_ECLOSED) is not in the library's hands
 *   - nobody touches the loop's memory after loop_close(), nor an async's after its close callback
 *   - a send that returned 0 is followed by a callback that sees what was written before it, unless the async is closed
 *
 * What callers guarantee and the model assumes: no call on a loop begins once loop_close() has seen the last poster leave, and
 * no send once the close callback was called. A call begins here with its first access to that memory.
 *
 * Not modelled: loop_fork(), which repairs the queue in a process that has but one thread.
 * C: atomic_exchange(&loop->posters, 0) C: atomic_store(&loop->posters, 0) C: atomic_fetch_and(&async->state, ~(unsigned)ASYNC_FOUND)
 *
 * compare_exchange_weak fails here only if the values differ. A failure without reason would repeat the same steps.
 */

/* Mistakes, made on purpose by -DMUTANT=...: each must be found. The first two are also what a processor may make of the code
 * if the order of the steps is not sequentially consistent. */
#define LOOK_BEFORE_ASLEEP 1    /* the loop looks at the queue before it declares itself asleep */
#define WAKE_BEFORE_PUSH 2      /* a poster looks whether the loop sleeps before it fills the queue */
#define FREE_WITHOUT_WAIT 3     /* loop_close() does not wait for posters */
#define COUNT_AFTER_PUSH 4      /* a poster counts itself when its node is in already */
#define WAKE_IN_TWO_STEPS 5     /* a poster reads wake, then writes it */
#define NOT_REVERSED 6          /* the stack is run as it is */
#define TAKE_IN_TWO_STEPS 7     /* the loop reads posted, then empties it */
#define NEVER_AWAKE 8           /* wake stays as it is after the wait */
#define MARK_AFTER_RUN 9        /* closing empties the queue, runs it, and then puts the mark */
#define MARK_CHECKED_ONCE 10    /* a poster does not look for the mark again after a failed exchange */
#define NEXT_AFTER_RELEASE 11   /* a node is given back before its successor is read */
#define CLEAR_AFTER_CALLBACK 12 /* an async's bit is cleared after its callback */
#define ASYNC_CLOSED_AT_ONCE 13 /* closing an async does not wait for its node */
#define CHECK_BEFORE_SET 14     /* a send looks whether the async is closed, then sets the bit */
#define POST_UNDER_LOCK 15      /* posting takes a lock */
#define MUTANTS 15
#ifndef MUTANT
#define MUTANT 0
#endif

/* 1: two threads post tasks, and share one of them.  2: two threads send an async, one of them also posts.
 * 3: a signal handler on the loop's thread sends, while that thread and another one post. */
#ifndef SCENARIO
#define SCENARIO (MUTANT <= 10 ? 1 : MUTANT <= 14 ? 2 : 3)
#endif

#define NODES 5
#define SHARED 3 /* a task that both posters use */
#define ASYNC 4  /* the node of the async; the others are those of tasks */
#define NIL 6
#define CLOSED 7 /* &posted_closed */

mtype = { ASLEEP, SENT, AWAKE }; /* enum wake_state */

/* The loop's memory. */
byte posted = NIL;
mtype wake = ASLEEP;
byte posters;
byte tasks = NIL;
bool late;  /* WAKE_AWAKE was stored, and other threads do not see it yet */
bool edge;  /* of the eventfd: every write makes one, the wait takes it, the counter is never read */
bool freed; /* loop_close() returned */

/* The nodes' memory. */
byte next[NODES];
bool queued[NODES];  /* task->queued */
bool async_queued;   /* async->state */
bool async_closed;
bool async_closing;  /* its close callback comes in the next closing phase */
bool async_gone;     /* it came */

/* For the checks. */
bool owned[NODES];   /* accepted and not yet run */
bool woken;          /* somebody decided to wake the loop in this sleep */
bool first_ran;      /* node 0 */
byte written[2];     /* by each sender, before it sends */
byte seen[2];        /* by the callback */
byte promised[2];    /* what was written before a send that returned 0 */
bool in_handler;
bool lock;

#define LOOP_MEMORY assert(!freed)
#define NODE_MEMORY(n) assert((n) != ASYNC || !async_gone)
#define NOTHING_OWNED (!owned[0] && !owned[1] && !owned[2] && !owned[SHARED] && !owned[ASYNC])
#define SKIP :: else fi

/* ---------------------------------------------------------------------------------------------------------- posting -- */

inline wake_up()
{
    atomic { /* C: atomic_compare_exchange_strong(&loop->wake, &asleep, WAKE_SENT) */
        LOOP_MEMORY;
#if MUTANT == WAKE_IN_TWO_STEPS
        asleep = (wake == ASLEEP)
    };
    atomic {
        if :: asleep -> wake = SENT; assert(!woken); woken = true; SKIP
#else
        if :: wake == ASLEEP -> asleep = true; wake = SENT; assert(!woken); woken = true; SKIP
#endif
    };
    if :: atomic { asleep -> asleep = false; LOOP_MEMORY; edge = true } SKIP /* backend->wake(): write(2) */
}

inline count()
{
    atomic { LOOP_MEMORY; posters++ } /* C: atomic_fetch_add(&loop->posters, 1) */
}

/* loop__post() after its first step */
inline post(n)
{
#if MUTANT == POST_UNDER_LOCK
    atomic { !lock -> lock = true };
#endif
#if MUTANT == WAKE_BEFORE_PUSH
    wake_up();
#endif
    atomic { LOOP_MEMORY; head = posted }; /* C: atomic_load(&loop->posted) */
    do
    :: atomic { head == CLOSED && !tried -> head = NIL; break }
    :: atomic { /* C: atomic_compare_exchange_weak(&loop->posted, &head, node) */
            head != CLOSED || tried ->
            LOOP_MEMORY;
            NODE_MEMORY(n);
            next[n] = head;
            tried = (MUTANT == MARK_CHECKED_ONCE);
            if
            :: posted == head -> posted = n; owned[n] = true; accepted = true; head = NIL; tried = false; break
            :: else -> head = posted
            fi
        }
    od;
#if MUTANT == COUNT_AFTER_PUSH
    count();
#endif
#if MUTANT != WAKE_BEFORE_PUSH
    if :: accepted -> wake_up() SKIP;
#endif
#if MUTANT == POST_UNDER_LOCK
    lock = false;
#endif
    atomic { LOOP_MEMORY; posters-- } /* C: atomic_fetch_sub(&loop->posters, 1) */
}

/* loop_post() */
inline post_task(n)
{
    if
    :: atomic { !queued[n] -> queued[n] = true }; /* C: atomic_exchange(&task->queued, 1) */
        if
#if MUTANT == COUNT_AFTER_PUSH
        :: !freed ->
#else
        :: atomic { !freed -> posters++ };
#endif
            post(n);
            if
            :: atomic { accepted -> accepted = false }
            :: atomic { else -> assert(!owned[n]); queued[n] = false } /* C: atomic_store(&task->queued, 0) */
            fi
        :: atomic { freed -> queued[n] = false }
        fi
    :: queued[n] /* LOOP_EBUSY */
    fi
}

/* loop_async_send(), by sender number me */
inline send(me)
{
    written[me]++;
    if
#if MUTANT == CHECK_BEFORE_SET
    :: atomic { !async_gone -> was_closed = async_closed };
        atomic { if :: !was_closed -> NODE_MEMORY(ASYNC); was_queued = async_queued; async_queued = true SKIP };
#else
    :: atomic { /* C: atomic_fetch_or(&async->state, ASYNC_QUEUED) */
            !async_gone -> was_closed = async_closed; was_queued = async_queued; async_queued = true
        };
#endif
        if
        :: was_closed /* LOOP_EBADF */
        :: !was_closed && was_queued -> promised[me] = written[me]
        :: else ->
            count();
            post(ASYNC);
            /* An open async, or one whose node is out, keeps its loop from being closed. */
            atomic { assert(accepted); accepted = false; promised[me] = written[me] }
        fi;
        atomic { was_closed = false; was_queued = false }
    :: async_gone
    fi
}

#define LOCALS byte head = NIL; bool accepted, asleep, tried, was_queued, was_closed

#if SCENARIO == 1
active proctype poster_a() { LOCALS; post_task(0); post_task(1); post_task(SHARED) }
active proctype poster_b() { LOCALS; post_task(SHARED); post_task(2) }
#elif SCENARIO == 2
active proctype sender_a() { LOCALS; send(0); send(0) }
active proctype sender_b() { LOCALS; send(1); post_task(0) }
#else
active proctype poster() { LOCALS; post_task(0) }

/* Runs on the loop's thread, which stands still meanwhile. */
active proctype handler()
{
    LOCALS;
    byte signals = 2;
    do
    :: atomic { signals > 0 && !async_gone -> in_handler = true; signals-- };
        send(0);
        in_handler = false
    :: signals == 0 || async_gone -> break
    od
}
#endif

/* ------------------------------------------------------------------------------------------------------ the loop's thread -- */

/* tasks = reversed(stack): no shared memory */
inline reverse()
{
    d_step {
#if MUTANT == NOT_REVERSED
        tasks = stack;
#else
        do
        :: stack != NIL -> NODE_MEMORY(stack); node = stack; stack = next[node]; next[node] = tasks; tasks = node
        :: else -> break
        od;
#endif
        stack = NIL;
        node = NIL
    }
}

inline ran(n)
{
    assert(owned[n]);
    owned[n] = false;
    first_ran = first_ran || n == 0;
    assert(n != 1 || first_ran)
}

inline async_callback()
{
    seen[0] = written[0];
    seen[1] = written[1]
}

/* loop__async_run() */
inline run_async()
{
#if MUTANT == CLEAR_AFTER_CALLBACK
    atomic { ran(ASYNC); async_callback() };
#endif
    atomic { /* C: atomic_fetch_and(&async->state, ~(unsigned)ASYNC_QUEUED) */
        NODE_MEMORY(ASYNC);
#if MUTANT != CLEAR_AFTER_CALLBACK
        ran(ASYNC);
#endif
        async_queued = false;
        if :: async_closed -> async_closing = true; node = NIL SKIP
    };
#if MUTANT != CLEAR_AFTER_CALLBACK
    if :: atomic { node != NIL -> async_callback() } SKIP
#endif
}

/* loop__tasks_run() */
inline run_tasks()
{
    do
    :: tasks == NIL -> break
    :: atomic { tasks != NIL -> node = tasks; NODE_MEMORY(node) };
#if MUTANT != NEXT_AFTER_RELEASE
        tasks = next[node];
#endif
        if
        :: atomic { node != ASYNC -> ran(node); queued[node] = false } /* C: atomic_store(&task->queued, 0) */
        :: node == ASYNC -> run_async()
        fi;
#if MUTANT == NEXT_AFTER_RELEASE
        tasks = next[node];
#endif
        node = NIL
    od
}

/* loop__tasks_take() */
inline take_tasks()
{
    if
    :: posted != NIL -> /* C: atomic_load(&loop->posted) */
#if MUTANT == TAKE_IN_TWO_STEPS
        stack = posted;
        posted = NIL;
#else
        atomic { stack = posted; posted = NIL }; /* C: atomic_exchange(&loop->posted, NULL) */
#endif
        reverse()
    :: posted == NIL
    fi
}

/* The loop's thread itself sees what it stored. */
inline store()
{
    if :: atomic { late -> wake = AWAKE; late = false } SKIP
}

/* in wait_once() and in leave() */
inline declare_asleep()
{
    store();
    if
    :: wake == AWAKE -> /* C: atomic_load(&loop->wake) */
        atomic { wake = ASLEEP; woken = false } /* C: atomic_store(&loop->wake, WAKE_ASLEEP) */
    :: wake != AWAKE
    fi
}

/* in wait_once() */
inline look()
{
    if :: atomic { posted != NIL -> waits = false } SKIP /* C: atomic_load(&loop->posted) */
}

inline turn()
{
    if :: waits = true :: waits = false fi;
    do
    ::
#if MUTANT == LOOK_BEFORE_ASLEEP
        if :: waits -> look(); declare_asleep() SKIP;
#else
        if :: waits -> declare_asleep(); look() SKIP;
#endif
        /* poll: without waiting; until something else ends the wait, a timer or a signal or an event; until the edge */
        if
        :: atomic { edge -> edge = false }
        :: !waits
        :: atomic { waits -> other = true }
        :: waits -> end_poll: atomic { edge -> edge = false }
        fi;
#if MUTANT != NEVER_AWAKE
        if /* C: atomic_store_explicit(&loop->wake, WAKE_AWAKE, memory_order_relaxed) */
        :: wake = AWAKE
#if SCENARIO != 3 /* where a handler on this thread would have to see it */
        :: late = true
#endif
        fi;
#endif
        take_tasks();
        if
        :: atomic { !waits || tasks != NIL || other -> waits = false; other = false; break }
        :: else /* the wait goes on */
        fi
    od;
    run_tasks();
    async_gone = async_gone || async_closing;
    if /* the end of a run, when a loop that is watched by a host may wake itself; or another turn */
    :: declare_asleep(); if :: wake_up() :: true fi
    :: true
    fi
}

active proctype the_loop() provided (!in_handler)
{
    LOCALS;
    byte node = NIL, stack = NIL;
    bool waits, other;

#if SCENARIO == 1
    atomic { async_closed = true; async_gone = true };
#endif
    do
    :: turn()
#if SCENARIO == 3
    :: !first_ran && !queued[2] -> post_task(2) /* between two turns; as a callback does it */
#endif
    :: atomic { /* C: atomic_fetch_or(&async->state, ASYNC_CLOSED) */
            !async_closed ->
            async_closed = true;
            async_closing = (MUTANT == ASYNC_CLOSED_AT_ONCE) || !async_queued
        }
    :: async_gone -> break
    od;
    /* loop__tasks_close() */
    store();
    atomic { stack = posted; posted = (MUTANT == MARK_AFTER_RUN -> NIL : CLOSED) }; /* C: atomic_exchange(&loop->posted, &posted_closed) */
    reverse();
    run_tasks();
#if MUTANT == MARK_AFTER_RUN
    posted = CLOSED;
#endif
    atomic { posters == 0 || MUTANT == FREE_WITHOUT_WAIT -> freed = true }; /* C: atomic_load(&loop->posters) */
    assert(NOTHING_OWNED)
}

/* Some time the store is seen. */
active proctype memory()
{
    end_memory:
    do :: atomic { late -> wake = AWAKE; late = false } od
}

/* When nothing can move any more, nothing may have been forgotten. */
active proctype monitor()
{
    timeout ->
    assert(NOTHING_OWNED);
    assert(async_closed || (seen[0] >= promised[0] && seen[1] >= promised[1]))
}

/* What is accepted runs, if every thread goes on. */
#ifdef LIVENESS
ltl runs { [] (owned[LIVENESS] -> <> !owned[LIVENESS]) }
#endif
