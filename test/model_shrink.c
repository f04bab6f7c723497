/*
 * Delta debugging (Zeller, Hildebrandt, "Simplifying and isolating failure-inducing input", 2002): leave out parts of the run,
 * larger ones first, as long as it goes on failing in the same way. First whole steps, then single atoms.
 */
#include "model_shrink.h"

struct search {
    struct plan plan;
    int line; /* of the failing check; 0: the process died */
    bool hangs;
    struct report *report;
    unsigned patience; /* seconds for one run */
    double end;
    size_t tries;
};

static void run_plan(void *arg, struct report *report)
{
    model_run(arg, report);
}

/* Whether the run of these units fails in the same way. */
static bool still_fails(struct search *search, const uint64_t *units, size_t count)
{
    enum outcome outcome;

    search->plan.units = units;
    search->plan.unit_count = count;
    search->tries++;
    outcome = child_run(run_plan, &search->plan, search->report, search->patience);
    if (search->hangs)
        return outcome == OUTCOME_HUNG;
    return outcome == OUTCOME_FAILED && search->report->line == search->line;
}

/* Leaves out chunks, of half of what is left at first, down to single units. Returns how many are left. */
static size_t reduce(struct search *search, uint64_t *units, size_t count)
{
    uint64_t *rest = malloc((count + 1) * sizeof(*rest));
    size_t chunk = count / 2 > 0 ? count / 2 : 1;
    bool removed = false;

    assert_non_null(rest);
    for (size_t at = 0; count > 0 && child_clock() < search->end;) {
        size_t n = at + chunk < count ? chunk : count - at;

        memcpy(rest, units, at * sizeof(*rest));
        memcpy(rest + at, units + at + n, (count - at - n) * sizeof(*rest));
        if (still_fails(search, rest, count - n)) {
            count -= n;
            memcpy(units, rest, count * sizeof(*units));
            removed = true;
        } else {
            at += n;
        }
        if (at < count)
            continue;
        if (chunk == 1 && !removed)
            break;
        if (chunk > 1)
            chunk = (chunk + 1) / 2;
        at = 0;
        removed = false;
    }
    free(rest);
    return count;
}

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

struct shrunk shrink(const struct plan *plan, const struct report *failure, double seconds)
{
    struct search search = {.plan = *plan, .line = failure->line, .report = child_report()};
    uint32_t steps = failure->step + 1;
    uint64_t *units = malloc((ATOMS_MAX + (size_t)steps) * sizeof(*units));
    struct shrunk result;
    size_t count = steps;
    double began = child_clock();

    assert_non_null(units);
    search.plan.verbose = false;
    search.plan.fine = false;
    search.patience = 60;
    search.end = began + seconds;
    for (uint32_t i = 0; i < steps; i++)
        units[i] = i;
    if (!still_fails(&search, units, count))
        print_message("the failure does not repeat: what follows may be of no use\n");
    search.patience = 5 + 5 * (unsigned)(child_clock() - began);
    count = reduce(&search, units, count);

    /* Once more, for the atoms of the steps that are left. */
    if (still_fails(&search, units, count)) {
        count = search.report->atom_count;
        memcpy(units, search.report->atoms, count * sizeof(*units));
        qsort(units, count, sizeof(*units), compare);
        search.plan.fine = true;
        count = reduce(&search, units, count);
    }
    result.plan = search.plan;
    result.plan.units = units;
    result.plan.unit_count = count;
    result.units = units;
    result.tries = search.tries;
    child_report_free(search.report);
    return result;
}

void shrink_show(const struct plan *plan)
{
    struct report *report = child_report();
    struct plan shown = *plan;

    shown.verbose = true;
    (void)child_run(run_plan, &shown, report, 60);
    if (report->line != 0)
        print_message("%s:%d: %s\n", report->file, report->line, report->text);
    else
        print_message("%s\n", report->text);
    child_report_free(report);
}
