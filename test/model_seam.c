/*
 * The wait of a run, which looks for events, lets the model look at everything before it sleeps, and then moves the clock; and
 * what decides on faults. The calls in which they happen are the platform's.
 */
#include "model_seam.h"

#define DAY LOOP_SEC(86400)
#define LOOKS 50 /* before it is believed that nothing comes */

uint64_t seam_now;

/* Whether a call that could go wrong does. */
bool seam_fault(uint32_t percent, int place, const char *what)
{
    struct atom outer;
    bool acts;

    if (world->plan->faults != FAULTS_MIXED)
        return false;
    outer = atom_open(ATOM_FAULT, &world->faults[place]);
    acts = atom_acts(percent);
    if (acts)
        say("%s", what);
    atom_close(outer);
    return acts;
}

/* Others do something while the loop sleeps. */
static void act_outside(void)
{
    struct atom outer = atom_open(ATOM_OUTSIDE, &world->outside);

    if (!world->quiet && atom_acts(25)) {
        switch (below(6)) {
        case 0:
            task_act(&world->tasks[below((uint32_t)world->task_count)]);
            break;
        case 1:
            async_send(&world->asyncs[below((uint32_t)world->async_count)]);
            break;
        default:
            end_act_outside(&world->pairs[below((uint32_t)world->pair_count)].ends[1]);
            break;
        }
    }
    atom_close(outer);
}

int seam_disorder(void *events, size_t size, int n)
{
    unsigned char *bytes = events;

    for (int i = n - 1; i > 0; i--) {
        size_t one = (size_t)i * size;
        size_t other = below((uint32_t)i + 1) * size;

        for (size_t k = 0; k < size; k++) {
            unsigned char byte = bytes[one + k];

            bytes[one + k] = bytes[other + k];
            bytes[other + k] = byte;
        }
    }
    if (n > 0 && world->plan->faults == FAULT_FORGOTTEN && chance(2))
        n--;
    return n;
}

/* Nothing happens for ns. */
static int sleep_for(struct seam_look *look, int64_t ns, uint64_t slack)
{
    int n = 0;

    for (int i = 0; !turn_before_sleep(ns, slack, i == LOOKS); i++) {
        if (i > 0)
            system_pause(); /* the system is about to tell */
        n = seam_take(look);
        if (n != 0)
            return n;
    }
    act_outside();
    n = seam_take(look);
    if (n != 0)
        return n;
    if (ns < 0 || ns > (int64_t)DAY || world->waits_left-- <= 0) {
        task_rescue();
        n = seam_take(look);
        CHECK(n > 0, "a task that is posted wakes nobody");
        return n;
    }
    seam_now += (uint64_t)ns + (chance(20) ? below(3000000) : 0);
    say("the loop slept %lld ns: it is %llu ns", (long long)ns, (unsigned long long)seam_now);
    return 0;
}

int seam_wait(struct seam_look *look, int64_t ns, uint64_t slack)
{
    struct atom outer;
    int n;

    CHECK(world->inside == 0 && world->running, "a wait outside of a run");
    turn_rank(RANK_POLL);
    world->polled = true;
    phase_check_turn(RANK_POLL, false);
    if (seam_interrupts_wait(look))
        return -1;
    outer = atom_open(ATOM_OUTSIDE, &world->outside);
    n = seam_take(look);
    if (n == 0 && ns != 0)
        n = sleep_for(look, ns, slack);
    atom_close(outer);
    return n;
}
