/* One run: its world, its steps, its end. */
#include "model.h"

struct world *world;

/* -------------------------------------------------------------------------------------------------- numbers and atoms -- */

static uint64_t mixed(uint64_t z)
{
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

uint32_t below(uint32_t n)
{
    return support_random(&world->atom.random, n);
}

bool chance(uint32_t percent)
{
    return below(100) < percent;
}

struct atom atom_open(enum atom_kind kind, struct place *place)
{
    struct atom outer = world->atom;

    if (place->step != world->step)
        place->count = 0;
    place->step = world->step;
    world->atom.id =
        (uint64_t)world->step << 32 | (uint64_t)kind << 28 | (uint64_t)place->number << 14 | place->count++;
    world->atom.random = mixed(world->plan->seed * 0x9e3779b97f4a7c15u + mixed(world->atom.id + 1));
    return outer;
}

void atom_close(struct atom outer)
{
    world->atom = outer;
}

static bool is_left_out(uint64_t id)
{
    const struct plan *plan = world->plan;
    uint64_t unit = plan->fine ? id : id >> 32;
    size_t low = 0;
    size_t high = plan->unit_count;

    if (plan->units == NULL)
        return false;
    while (low < high) {
        size_t middle = (low + high) / 2;

        if (plan->units[middle] < unit)
            low = middle + 1;
        else
            high = middle;
    }
    return low == plan->unit_count || plan->units[low] != unit;
}

bool atom_acts(uint32_t percent)
{
    static const char *const kinds[] = {"", ", in a callback", ", while the loop sleeps", ", a fault"};
    struct report *report = world->report;
    uint64_t id = world->atom.id;

    if (!chance(percent) || is_left_out(id))
        return false;
    if (report->atom_count < ATOMS_MAX)
        report->atoms[report->atom_count++] = id;
    if (world->plan->verbose)
        printf("step %u%s\n", (unsigned)(id >> 32), kinds[id >> 28 & 3]);
    return true;
}

void say(const char *format, ...)
{
    va_list list;

    if (!world->plan->verbose)
        return;
    va_start(list, format);
    printf("    ");
    vprintf(format, list);
    printf("\n");
    (void)fflush(stdout); /* the process may die at any time */
    va_end(list);
}

void model_fail(const char *file, int line, const char *format, ...)
{
    struct report *report = world->report;
    const char *name = strrchr(file, '/');
    va_list list;

    va_start(list, format);
    (void)vsnprintf(report->text, sizeof(report->text), format, list);
    va_end(list);
    (void)snprintf(report->file, sizeof(report->file), "%s", name != NULL ? name + 1 : file);
    report->line = line;
    report->step = world->step;
    if (world->plan->verbose)
        printf("FAILED: %s\n", report->text);
    (void)fflush(stdout);
    child_fail();
}

/* ------------------------------------------------------------------------------------------------------------ the world -- */

/* Worlds are of several sizes: in the small ones everything meets everything. */
struct size {
    uint32_t steps;
    int pairs;
    int listeners;
    int timers;
    int phases;
    int asyncs;
    int tasks;
};

static const struct size sizes[] = {
    {400, 3, 1, 3, 3, 1, 2},
    {1500, 10, 2, 16, 6, 2, 4},
    {4000, 40, 3, 80, 9, 4, 6},
    {10000, 120, 4, 400, 15, 6, 10},
};

static const struct size *size_of(uint64_t seed)
{
    return &sizes[mixed(seed + 77) % 8 < 3 ? 0 : mixed(seed + 77) % 8 < 6 ? 1 : mixed(seed + 77) % 8 < 7 ? 2 : 3];
}

uint32_t model_steps(uint64_t seed)
{
    return size_of(seed)->steps;
}

static void *some(int count, size_t size)
{
    void *memory = calloc((size_t)count, size);

    CHECK(memory != NULL, "no memory for the test");
    return memory;
}

static void add_handle(struct mhandle *h)
{
    h->place.number = 100 + (uint32_t)world->handle_count;
    world->handles[world->handle_count++] = h;
}

static void name_handle(struct mhandle *h, const char *name, int number, void (*act)(struct mhandle *h))
{
    h->name = name;
    h->number = number;
    h->act = act;
    add_handle(h);
}

static void make_tables(const struct size *size)
{
    static const char *const phase_names[] = {"idle", "prepare", "check"};
    uint64_t first_kind = mixed(world->plan->seed + 5);

    world->run_rate = 10 + (uint32_t)(mixed(world->plan->seed + 3) % 4) * 15;
    world->storm = mixed(world->plan->seed + 4) % 4 == 0;
    world->outside.number = 1;
    for (uint32_t i = 0; i < FAULT_PLACES; i++)
        world->faults[i].number = 2 + i;
    world->pair_count = size->pairs;
    world->pairs = some(size->pairs, sizeof(*world->pairs));
    world->listener_count = size->listeners;
    world->listeners = some(size->listeners, sizeof(*world->listeners));
    world->timer_count = size->timers;
    world->timers = some(size->timers, sizeof(*world->timers));
    world->phase_count = size->phases;
    world->phases = some(size->phases, sizeof(*world->phases));
    world->async_count = size->asyncs;
    world->asyncs = some(size->asyncs, sizeof(*world->asyncs));
    world->task_count = size->tasks;
    world->tasks = some(size->tasks, sizeof(*world->tasks));
    world->handles = some(2 * size->pairs + size->listeners + size->timers + size->phases + size->asyncs + 1,
                          sizeof(struct mhandle *));
    for (int i = 0; i < size->pairs; i++) {
        world->pairs[i].kind = system_kind((enum pair_kind)((first_kind + (uint64_t)i * 3) % PAIR_KINDS));
        for (int side = 0; side < 2; side++) {
            end_init(&world->pairs[i].ends[side], &world->pairs[i], 2 * i + side, side);
            add_handle(&world->pairs[i].ends[side].h);
        }
    }
    for (int i = 0; i < size->listeners; i++) {
        end_init(&world->listeners[i], NULL, 2 * size->pairs + i, 0);
        add_handle(&world->listeners[i].h);
    }
    for (int i = 0; i < size->timers; i++)
        name_handle(&world->timers[i].h, "timer", i, timer_act);
    for (int i = 0; i < size->phases; i++) {
        world->phases[i].kind = i % 3;
        name_handle(&world->phases[i].h, phase_names[i % 3], i, phase_act);
    }
    for (int i = 0; i < size->asyncs; i++)
        name_handle(&world->asyncs[i], "async", i, async_act);
    name_handle(&world->stray, "tcp handle", 0, handle_close_open);
}

static void *resize(void *context, void *ptr, size_t size)
{
    struct support_allocator *counts = context;
    loop_allocator_t allocator = support_allocator(counts);
    bool fails = false;

    if (world->alloc_fails && size > 0) {
        struct atom outer = atom_open(ATOM_FAULT, &world->faults[0]);

        fails = atom_acts(10);
        atom_close(outer);
    }
    if (fails) {
        say("there is no memory");
        world->refused = true;
        return NULL;
    }
    return allocator.resize(counts, ptr, size);
}

static void make_loopback(void)
{
    struct sockaddr_in *in = (struct sockaddr_in *)&world->loopback;
    unsigned char *bytes = (unsigned char *)&in->sin_addr;

    world->loopback = support_loopback();
    /* Of the process alone, if it is not the one that all share: then each run has its own. */
    if (bytes[1] != 0) {
        bytes[2] = (unsigned char)(1 + world->plan->seed / 250 % 250);
        bytes[3] = (unsigned char)(1 + world->plan->seed % 250);
    }
}

static void begin(const struct plan *plan, struct report *report)
{
    loop_options_t options = LOOP_OPTIONS_INIT;
    loop_allocator_t allocator = {resize, NULL};

    world = calloc(1, sizeof(*world));
    if (world == NULL)
        abort();
    world->plan = plan;
    world->report = report;
    world->rank = RANK_OUTSIDE;
    report->seed = plan->seed;
    report->atom_count = 0;
    make_loopback();
    seam_begin();
    make_tables(size_of(plan->seed));
    allocator.context = &world->counts;
    options.allocator = &allocator;
    options.data = world;
    CHECK_RC(loop_init(&world->loop, &options), 0);
    CHECK(loop_get_data(world->loop) == world, "the data of the loop");
    world->alloc_fails = plan->faults == FAULTS_MIXED;
}

/* -------------------------------------------------------------------------------------------------------------- steps -- */

static struct end *some_end(void)
{
    uint32_t n = below((uint32_t)(2 * world->pair_count + world->listener_count));

    if (n >= (uint32_t)(2 * world->pair_count))
        return &world->listeners[n - (uint32_t)(2 * world->pair_count)];
    return &world->pairs[n / 2].ends[n % 2];
}

static void time_passes(void)
{
    seam_now += chance(50) ? 1 + below(1000) : LOOP_US(1 + below(3000));
    say("time passes: it is %llu ns", (unsigned long long)seam_now);
    if (chance(70)) {
        int rc;

        CALL(rc, loop_update_time(world->loop));
        CHECK_RC(rc, 0);
        CHECK(loop_now(world->loop) == seam_now, "the time is not that of the clock");
    }
}

static void stop_loop(void)
{
    int rc;

    say("stop");
    CALL(rc, loop_stop(world->loop));
    CHECK_RC(rc, 0);
    world->stop_asked = true;
}

void act_on_anything(void)
{
    uint32_t what = below(100);

    if (what < 65)
        end_act(&some_end()->h);
    else if (what < 85)
        timer_act(&world->timers[below((uint32_t)world->timer_count)].h);
    else if (what < 89)
        phase_act(&world->phases[below((uint32_t)world->phase_count)].h);
    else if (what < 92)
        async_act(&world->asyncs[below((uint32_t)world->async_count)]);
    else if (what < 95)
        task_act(&world->tasks[below((uint32_t)world->task_count)]);
    else if (what < 97)
        walk_act();
    else if (what < 99)
        time_passes();
    else
        stop_loop();
}

static void step(void)
{
    struct atom outer = atom_open(ATOM_STEP, &world->here);

    world->report->step = world->step;
    world->refused = false;
    if (atom_acts(100)) {
        if (chance(world->run_rate))
            run_act();
        else
            act_on_anything();
        run_check_alive();
    }
    atom_close(outer);
}

/* ------------------------------------------------------------------------------------------------------------ the end -- */

static void close_everything(void)
{
    world->quiet = true;
    for (int i = 0; i < world->handle_count; i++) {
        if (world->handles[i]->life != LIFE_OPEN)
            continue;
        if (world->handles[i]->act == end_act)
            end_close((struct end *)world->handles[i]);
        else if (world->handles[i]->act == timer_act)
            timer_close((struct mtimer *)world->handles[i]);
        else
            handle_close(world->handles[i]);
    }
}

static void finish_runs(void)
{
    for (int i = 0; model_alive(); i++) {
        CHECK(i < 1000, "closing everything does not end");
        run_some(MODE_NOWAIT);
        wait_some();
    }
    run_check_alive();
}

static void check_end(void)
{
    for (int i = 0; i < world->handle_count; i++)
        CHECK(world->handles[i]->life == LIFE_NONE, "%s %d was never closed", world->handles[i]->name,
              world->handles[i]->number);
}

static void free_ends(void)
{
    for (int i = 0; i < world->listener_count; i++)
        end_free(&world->listeners[i]);
    for (int i = 0; i < world->pair_count; i++) {
        end_free(&world->pairs[i].ends[0]);
        end_free(&world->pairs[i].ends[1]);
    }
}

/* A loop that is closed while tasks are queued. */
static void close_loop(void)
{
    int rc;

    for (int i = 0; i < world->task_count; i++) {
        if (chance(50))
            task_act(&world->tasks[i]);
    }
    world->ending = true;
    world->running = true;
    rc = loop_close(world->loop);
    CHECK_RC(rc, 0);
    world->running = false;
    for (int i = 0; i < world->task_count; i++) {
        CHECK(!world->tasks[i].posted, "a task never ran");
        memory_free(world->tasks[i].task, sizeof(loop_task_t));
    }
    memory_free(world->rescue.task, sizeof(loop_task_t));
    CHECK(world->counts.live == 0, "%ld blocks of memory are left", world->counts.live);
}

static void end(void)
{
    struct atom outer = atom_open(ATOM_STEP, &world->here);

    world->report->step = world->step;
    close_everything();
    finish_runs();
    check_end();
    free_ends();
    close_loop();
    atom_close(outer);
    seam_end();
    free(world->pairs);
    free(world->listeners);
    free(world->timers);
    free(world->phases);
    free(world->asyncs);
    free(world->tasks);
    free(world->handles);
}

void model_run(const struct plan *plan, struct report *report)
{
    uint32_t steps = plan->steps != 0 ? plan->steps : model_steps(plan->seed);
    int open_before = system_open_count();

    begin(plan, report);
    for (world->step = 0; world->step < steps; world->step++)
        step();
    end();
    CHECK(system_open_count() == open_before, "%d descriptors are left open", system_open_count() - open_before);
    report->steps += steps;
    free(world);
    world = NULL;
}
