/* SPDX-License-Identifier: Apache-2.0
 *
 * Documents are the nodes of the graph (all jobs of a matrix depend on the same), so a cycle is
 * told once and not for each combination. Cycles are found by taking away, again and again, the
 * documents that wait for nothing (Kahn, CACM 5(11), 1962); from what is left every walk along
 * depends_on ends in a cycle.
 */
#include "jobspec/depend.h"
#include "jobspec/record.h"

#include <string.h>

#define CYCLE_SHOWN 12

typedef struct {
    const GPtrArray *documents;
    Diags *diags;
    GHashTable *names; /* of documents and jobs -> index + 1 */
    GArray **edges;    /* per document: guint, indexes of what it waits for */
    size_t left;       /* dependencies that may still be kept */
} Resolve;

Document *depend_new_document(void)
{
    Document *document = g_new0(Document, 1);

    document->jobs = g_ptr_array_new_with_free_func((GDestroyNotify)jobspec_free);
    document->depends_positions = g_array_new(FALSE, FALSE, sizeof(JobSpecPosition));
    return document;
}

void depend_free_document(Document *document)
{
    g_free(document->name);
    g_ptr_array_unref(document->jobs);
    g_array_unref(document->depends_positions);
    g_free(document);
}

static Document *document_at(const Resolve *resolve, guint index)
{
    return g_ptr_array_index(resolve->documents, index);
}

/* False if another document has the name. */
static bool name_claim(Resolve *resolve, const char *name, guint index)
{
    gpointer owner = g_hash_table_lookup(resolve->names, name);

    if (!owner)
        g_hash_table_insert(resolve->names, (gpointer)(uintptr_t)name, GUINT_TO_POINTER(index + 1));
    return !owner || GPOINTER_TO_UINT(owner) == index + 1;
}

static void names_collect(Resolve *resolve)
{
    for (guint i = 0; i < resolve->documents->len; i++) {
        const Document *document = document_at(resolve, i);
        const char *taken = NULL;

        if (!document->name)
            continue;
        if (!name_claim(resolve, document->name, i))
            taken = document->name;
        for (guint k = 0; k < document->jobs->len && !taken && !document->broken; k++) {
            const JobSpec *job = g_ptr_array_index(document->jobs, k);

            if (!name_claim(resolve, job->name, i))
                taken = job->name;
        }
        if (taken)
            diag_add(resolve->diags, DIAG_JOB_NAME, &document->name_position,
                     "name: another job of this file is called '%s'", taken);
    }
}

/* Could `name` be a job of a document that was not read to its end? */
static bool is_hidden(const Resolve *resolve, const char *name)
{
    for (guint i = 0; i < resolve->documents->len; i++) {
        const Document *document = document_at(resolve, i);

        size_t size = document->name ? strlen(document->name) : 0;

        if (document->broken &&
            (size == 0 || (strncmp(name, document->name, size) == 0 && name[size] == '-')))
            return true;
    }
    return false;
}

static void fail_unknown(const Resolve *resolve, const char *name, const JobSpecPosition *at)
{
    g_autofree gpointer *names = NULL;
    guint count = 0;
    const char *near = NULL;

    if (g_hash_table_size(resolve->names) <= 1000) {
        names = g_hash_table_get_keys_as_array(resolve->names, &count);
        near = diag_suggest(name, (const char *const *)names, count);
    }
    diag_add(resolve->diags, DIAG_DEPENDENCY, at, "depends_on.job: no job '%s' in this file%s%s%s",
             name, near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
}

/* The names that `name`, found in `target`, stands for. */
static void names_append(GPtrArray *out, const Document *target,
                         const JobSpecDependency *dependency)
{
    bool all = strcmp(target->name, dependency->job) == 0;

    for (guint i = 0; i < target->jobs->len; i++) {
        const JobSpec *job = g_ptr_array_index(target->jobs, i);
        JobSpecDependency *copy;

        if (!all && strcmp(job->name, dependency->job) != 0)
            continue;
        copy = g_new0(JobSpecDependency, 1);
        copy->job = g_strdup(job->name);
        copy->when = g_strdup(dependency->when);
        g_ptr_array_add(out, copy);
    }
}

/* Notes an edge of the graph; the target, or NULL with a diagnostic. */
static const Document *edge_add(Resolve *resolve, guint index, const JobSpecDependency *dependency,
                                const JobSpecPosition *at)
{
    gpointer found = g_hash_table_lookup(resolve->names, dependency->job);
    guint target = GPOINTER_TO_UINT(found) - 1;

    if (!found) {
        if (!is_hidden(resolve, dependency->job))
            fail_unknown(resolve, dependency->job, at);
        return NULL;
    }
    if (target == index) {
        diag_add(resolve->diags, DIAG_DEPENDENCY, at, "depends_on.job: '%s' depends on itself",
                 dependency->job);
        return NULL;
    }
    g_array_append_val(resolve->edges[index], target);
    return document_at(resolve, target);
}

static void depends_check_repeats(const Resolve *resolve, const Document *document,
                                  const GPtrArray *expanded)
{
    g_autoptr(GHashTable) seen = g_hash_table_new(g_str_hash, g_str_equal);

    for (guint i = 0; i < expanded->len; i++) {
        const JobSpecDependency *dependency = g_ptr_array_index(expanded, i);

        if (!g_hash_table_add(seen, dependency->job)) {
            diag_add(resolve->diags, DIAG_DUPLICATE,
                     &g_array_index(document->depends_positions, JobSpecPosition,
                                    document->depends_positions->len - 1),
                     "depends_on: '%s' is there twice", dependency->job);
            return;
        }
    }
}

/* Resolves what one document depends on, for all of its jobs. */
static bool document_resolve(Resolve *resolve, guint index)
{
    const Document *document = document_at(resolve, index);
    const JobSpec *first = document->jobs->len ? g_ptr_array_index(document->jobs, 0) : NULL;
    g_autoptr(GPtrArray) expanded =
        g_ptr_array_new_with_free_func((GDestroyNotify)record_free_dependency);

    for (guint i = 0; first && i < first->depends_on->len; i++) {
        const JobSpecDependency *dependency = g_ptr_array_index(first->depends_on, i);
        const JobSpecPosition *at = &g_array_index(document->depends_positions, JobSpecPosition, i);
        const Document *target = dependency->job ? edge_add(resolve, index, dependency, at) : NULL;

        if (target)
            names_append(expanded, target, dependency);
        if ((size_t)expanded->len * document->jobs->len > resolve->left) {
            diag_add(resolve->diags, DIAG_LIMIT, at,
                     "depends_on: too many dependencies among the jobs of this file");
            return false;
        }
    }
    resolve->left -= (size_t)expanded->len * document->jobs->len;
    depends_check_repeats(resolve, document, expanded);
    for (guint k = 0; k < document->jobs->len; k++) {
        JobSpec *job = g_ptr_array_index(document->jobs, k);

        g_ptr_array_set_size(job->depends_on, 0);
        for (guint i = 0; i < expanded->len; i++) {
            const JobSpecDependency *dependency = g_ptr_array_index(expanded, i);
            JobSpecDependency *copy = g_new0(JobSpecDependency, 1);

            copy->job = g_strdup(dependency->job);
            copy->when = g_strdup(dependency->when);
            g_ptr_array_add(job->depends_on, copy);
        }
    }
    return true;
}

/* waiting[i] becomes false for each document that is in no cycle and waits for none. */
static void waiting_reduce(const Resolve *resolve, bool *waiting)
{
    guint count = resolve->documents->len;
    g_autofree guint *open = g_new0(guint, MAX(count, 1)); /* unmet dependencies */
    g_autofree guint *queue = g_new0(guint, MAX(count, 1));
    g_autofree GArray **waiters = g_new0(GArray *, MAX(count, 1));
    guint head = 0, tail = 0;

    for (guint i = 0; i < count; i++)
        waiters[i] = g_array_new(FALSE, FALSE, sizeof(guint));
    for (guint i = 0; i < count; i++) {
        open[i] = resolve->edges[i]->len;
        waiting[i] = open[i] > 0;
        if (!waiting[i])
            queue[tail++] = i;
        for (guint k = 0; k < open[i]; k++)
            g_array_append_val(waiters[g_array_index(resolve->edges[i], guint, k)], i);
    }
    while (head < tail) {
        const GArray *freed = waiters[queue[head++]];

        for (guint k = 0; k < freed->len; k++) {
            guint waiter = g_array_index(freed, guint, k);

            if (--open[waiter] == 0) {
                waiting[waiter] = false;
                queue[tail++] = waiter;
            }
        }
    }
    for (guint i = 0; i < count; i++)
        g_array_unref(waiters[i]);
}

static guint next_in_cycle(const Resolve *resolve, const bool *waiting, guint index)
{
    for (guint k = 0; k < resolve->edges[index]->len; k++) {
        guint target = g_array_index(resolve->edges[index], guint, k);

        if (waiting[target])
            return target;
    }
    g_assert_not_reached(); /* what waits after the reduction waits for something that waits */
}

static void cycle_report(const Resolve *resolve, const bool *waiting, guint start)
{
    g_autoptr(GString) path = g_string_new(document_at(resolve, start)->name);
    guint shown = 0, index = start;

    do {
        index = next_in_cycle(resolve, waiting, index);
        if (++shown <= CYCLE_SHOWN)
            g_string_append_printf(path, " -> %s", document_at(resolve, index)->name);
    } while (index != start);
    if (shown > CYCLE_SHOWN)
        g_string_append_printf(path, " -> ... (%u jobs)", shown);
    diag_add(resolve->diags, DIAG_DEPENDENCY, &document_at(resolve, start)->name_position,
             "depends_on: a cycle: %s", path->str);
}

static void cycles_check(const Resolve *resolve)
{
    guint count = resolve->documents->len;
    g_autofree bool *waiting = g_new0(bool, MAX(count, 1));
    g_autofree guint *walk = g_new0(guint, MAX(count, 1)); /* number of the walk that came by */

    waiting_reduce(resolve, waiting);
    for (guint i = 0; i < count; i++) {
        guint index = i;

        if (!waiting[i] || walk[i])
            continue;
        while (!walk[index]) {
            walk[index] = i + 1;
            index = next_in_cycle(resolve, waiting, index);
        }
        if (walk[index] == i + 1)
            cycle_report(resolve, waiting, index);
    }
}

void depend_resolve(const GPtrArray *documents, size_t limit, Diags *diags)
{
    Resolve resolve = {documents, diags, g_hash_table_new(g_str_hash, g_str_equal), NULL, limit};
    bool good = true;

    resolve.edges = g_new0(GArray *, MAX(documents->len, 1));
    for (guint i = 0; i < documents->len; i++)
        resolve.edges[i] = g_array_new(FALSE, FALSE, sizeof(guint));
    names_collect(&resolve);
    for (guint i = 0; i < documents->len && good; i++)
        good = document_resolve(&resolve, i);
    cycles_check(&resolve);
    for (guint i = 0; i < documents->len; i++)
        g_array_unref(resolve.edges[i]);
    g_free(resolve.edges);
    g_hash_table_unref(resolve.names);
}
