#include "forks.h"

#include "platform.h"
#include "sys.h"

#include <stdatomic.h>

static atomic_bool noticed;
static atomic_uint begun;
static atomic_uint ended; /* in this process */

static void prepare(void)
{
    atomic_fetch_add(&begun, 1);
}

static void end_in_parent(void)
{
    atomic_fetch_add(&ended, 1);
}

/* Those that other threads of the parent had begun do not end here. */
static void end_in_child(void)
{
    atomic_store(&ended, atomic_load(&begun));
}

void loop__forks_notice(void)
{
    /* That two threads come at once does no harm: each fork counts twice then. */
    if (!atomic_load(&noticed) && loop__sys.pthread_atfork(prepare, end_in_parent, end_in_child) == 0)
        atomic_store(&noticed, true);
}

void loop__forks_count(void)
{
    prepare();
    end_in_child();
}

uint32_t loop__fork_epoch(void)
{
    unsigned before = atomic_load(&begun);

    return atomic_load(&noticed) && atomic_load(&ended) == before ? before + 1 : 0;
}
