#include "fault_world.h"

#include "harness.h"

#include <stdio.h>
#include <string.h>

#define TURNS_AT_MOST 5000
#define DESCRIPTORS 1024u

struct world world;

static char description[160];

void world_describe(const char *text)
{
    (void)snprintf(description, sizeof(description), "%s", text);
}

void world_check(bool holds, const char *text)
{
    if (!holds)
        fail_msg("%s: %s", description, text);
}

bool world_ok(ptrdiff_t result)
{
    if (result < 0 && world.error == 0 && !world.ended)
        world.error = (int)result;
    return result >= 0;
}

void world_until(bool (*reached)(void))
{
    for (unsigned turns = 0; world.error == 0 && !reached(); turns++) {
        int result = loop_run(world.loop, LOOP_RUN_ONCE);

        world_check(!fault_hung(), "the loop waits for what never comes");
        world_check(turns < TURNS_AT_MOST, "the loop turns without getting anywhere");
        world_check(result != 0 || reached() || world.error != 0, "the loop has nothing left to do");
        (void)world_ok(result);
    }
}

static void handle_closed(loop_handle_t *handle)
{
    (void)handle;
    world.closed++;
}

void world_close(void *handle)
{
    if (loop_handle_get_type(handle) == LOOP_UNKNOWN_HANDLE || loop_handle_is_closing(handle))
        return;
    world_check(loop_handle_close(handle, handle_closed) == 0, "a handle cannot be closed");
    world.closing++;
}

void job_done(loop_op_t *op)
{
    struct job *job = op->data;

    world_check(job->pending, "an operation completed twice");
    job->pending = false;
    job->done = true;
    world.completed++;
    if (op->status != job->expected)
        (void)world_ok(op->status);
    if (world.error == 0 && !world.ended && job->then != NULL)
        job->then(job);
}

bool job_submitted(struct job *job, int result)
{
    if (!world_ok(result))
        return false;
    job->op.data = job;
    job->pending = true;
    job->done = false;
    world.submitted++;
    return true;
}

int world_play(loop_t *loop, const struct scenario *scenario)
{
    unsigned char before[DESCRIPTORS / 8];
    unsigned char after[DESCRIPTORS / 8];
    int result = 1;

    harness_descriptors(before, DESCRIPTORS);
    memset(&world, 0, sizeof(world));
    world.loop = loop;
    scenario->plot();
    world.ended = world.error == 0;
    scenario->cleanup();
    for (unsigned turns = 0; result != 0; turns++) {
        result = loop_run(loop, LOOP_RUN_DEFAULT);
        world_check(!fault_hung(), "a handle or an operation never ends");
        world_check(turns < 10, "the loop stays alive without cause");
        if (result < 0 && world.error == 0)
            world.error = result;
    }
    world_check(world.completed == world.submitted, "an accepted operation did not complete");
    world_check(world.closed == world.closing, "a close callback did not come");
    world_check(loop_alive(loop) == 0, "the loop is alive after the end");
    harness_descriptors(after, DESCRIPTORS);
    world_check(memcmp(before, after, sizeof(before)) == 0, "a descriptor was left open, or closed too much");
    return world.error;
}
