/* SPDX-License-Identifier: Apache-2.0
 *
 * Errors are what cannot be meant; warnings are what can be meant but does nothing, or costs money
 * that the author may not expect.
 */
#include "jobspec/check.h"
#include "jobspec/emit.h"
#include "jobspec/record.h"

#include <string.h>

typedef struct {
    Diags *diags;
    const JobSpec *spec;
    GHashTable *failed;
    const JobSpecPosition *document;
} Check;

const JobSpecPosition *check_position(const JobSpec *spec, const char *path,
                                      const JobSpecPosition *document)
{
    const JobSpecPosition *at = g_hash_table_lookup(spec->set_fields, path);

    return at ? at : document;
}

#define SAY(check, code, path, ...)                                                        \
    diag_add((check)->diags, code, check_position((check)->spec, path, (check)->document), \
             __VA_ARGS__)

/* Have all of the NULL-ended paths a value that can be judged? */
G_GNUC_NULL_TERMINATED static bool is_known(const Check *check, ...)
{
    const char *path;
    bool known = true;
    va_list paths;

    va_start(paths, check);
    while ((path = va_arg(paths, const char *)))
        known &= !g_hash_table_contains(check->failed, path);
    va_end(paths);
    return known;
}

/* Did the author ask for something here? Writing the default out is not asking. */
static bool is_asked(const Check *check, const char *path)
{
    return jobspec_is_set(check->spec, path) && !emit_is_default(check->spec, field_find(path));
}

static bool is_cpu_only(const JobSpec *spec)
{
    for (guint i = 0; i < spec->resources->len; i++) {
        const JobSpecResources *resources = g_ptr_array_index(spec->resources, i);

        if (resources->accelerators->len == 0)
            return false;
        for (guint k = 0; k < resources->accelerators->len; k++) {
            const JobSpecAccelerator *accelerator = g_ptr_array_index(resources->accelerators, k);

            if (strcmp(accelerator->model, "cpu") != 0)
                return false;
        }
    }
    return true;
}

static void check_resources(const Check *check)
{
    const JobSpec *spec = check->spec;

    for (guint i = 0; i < spec->resources->len; i++) {
        const JobSpecResources *resources = g_ptr_array_index(spec->resources, i);

        if (resources->accelerators_mixed &&
            resources->num_nodes.max < resources->accelerators->len)
            SAY(check, DIAG_CONTRADICTION, "resources.accelerators",
                "resources.accelerators: %u kinds of node, but num_nodes is at most "
                "%" G_GINT64_FORMAT,
                resources->accelerators->len, resources->num_nodes.max);
    }
    if (is_cpu_only(spec) && spec->limits.idle_gpu_below_ppm > 0)
        SAY(check, DIAG_NO_EFFECT, "limits.idle_gpu",
            "limits.idle_gpu: no effect on nodes without GPUs");
}

static void check_where(const Check *check)
{
    static const char *const paths[] = {"where.same", "where.bandwidth", "where.latency"};

    if (record_get_nodes_max(check->spec) > 1)
        return;
    for (size_t i = 0; i < G_N_ELEMENTS(paths); i++)
        if (is_asked(check, paths[i]))
            SAY(check, DIAG_NO_EFFECT, paths[i], "%s: no effect on a job of one node", paths[i]);
}

static void check_train(const Check *check)
{
    const JobSpec *spec = check->spec;

    if (!is_known(check, "train.sync", "train.every", NULL))
        return;
    if (spec->train.sync == JOBSPEC_SYNC_LOCAL && spec->train.every == 0)
        SAY(check, DIAG_CONTRADICTION, "train.sync",
            "train.sync: local steps need their number, train.every (try 'every: 64')");
    if (spec->train.sync == JOBSPEC_SYNC_STEP && spec->train.every > 1)
        SAY(check, DIAG_NO_EFFECT, "train.every", "train.every: no effect with 'sync: step'");
}

static void check_checkpoint_path(const Check *check)
{
    const char *path = check->spec->checkpoint.path;
    g_autofree char *dir = path ? g_canonicalize_filename(path, "/job") : NULL;

    if (path && !g_path_is_absolute(path) && !g_str_has_prefix(dir, "/job/"))
        SAY(check, DIAG_VALUE, "checkpoint.path",
            "checkpoint.path: '%s' leaves the directory of the job; write an absolute path if that "
            "is meant",
            path);
}

static void check_checkpoint(const Check *check)
{
    const JobSpec *spec = check->spec;

    if (is_known(check, "checkpoint.path", NULL))
        check_checkpoint_path(check);
    if (!is_known(check, "checkpoint.every", "checkpoint.grace", "limits.max_duration", NULL))
        return;
    if (spec->checkpoint.every_ms >= spec->limits.max_duration_ms)
        SAY(check, DIAG_RISKY, "checkpoint.every",
            "checkpoint.every: not before limits.max_duration ends the job");
    if (spec->checkpoint.grace_ms >= spec->limits.max_duration_ms)
        SAY(check, DIAG_RISKY, "checkpoint.grace",
            "checkpoint.grace: as long as the whole job may run (limits.max_duration)");
}

static void check_retry(const Check *check)
{
    const JobSpec *spec = check->spec;
    bool retries = spec->retry.on != 0 && spec->retry.max > 0;

    if (!is_known(check, "spot", "retry.on", "retry.max", NULL))
        return;
    if (spec->spot == JOBSPEC_SPOT_ONLY && !(retries && (spec->retry.on & JOBSPEC_RETRY_PREEMPTED)))
        SAY(check, DIAG_RISKY, jobspec_is_set(spec, "retry.on") ? "retry.on" : "spot",
            "spot: 'only' without a retry on 'preempted': the job ends when an offer is taken "
            "back");
    if (spec->spot == JOBSPEC_SPOT_NEVER && jobspec_is_set(spec, "retry.on") &&
        spec->retry.on == JOBSPEC_RETRY_PREEMPTED)
        SAY(check, DIAG_NO_EFFECT, "retry.on",
            "retry.on: 'preempted' cannot happen with 'spot: never'");
    if (spec->retry.on == 0 && is_asked(check, "retry.max") && spec->retry.max > 0)
        SAY(check, DIAG_NO_EFFECT, "retry.max", "retry.max: no effect, retry.on is empty");
}

static void check_limits(const Check *check)
{
    const JobSpec *spec = check->spec;

    if (is_known(check, "limits.idle_gpu", NULL) &&
        (spec->limits.idle_gpu_below_ppm > 0) != (spec->limits.idle_gpu_for_ms > 0))
        SAY(check, DIAG_CONTRADICTION, "limits.idle_gpu",
            "limits.idle_gpu: it takes both (try '{below: 10%%, for: 30m}')");
    if (is_known(check, "limits.max_duration", NULL) && spec->limits.start_within_ms != INT64_MAX &&
        spec->limits.start_within_ms >= spec->limits.max_duration_ms)
        SAY(check, DIAG_CONTRADICTION, "limits.start_within",
            "limits.start_within: not before limits.max_duration ends the job");
    if (is_asked(check, "preflight.timeout") && is_known(check, "preflight.allreduce", NULL) &&
        spec->preflight.allreduce_bytes_per_s == 0)
        SAY(check, DIAG_NO_EFFECT, "preflight.timeout",
            "preflight.timeout: no effect without preflight.allreduce");
}

static void check_names(const Check *check)
{
    const JobSpec *spec = check->spec;
    g_autoptr(GHashTable) secrets = g_hash_table_new(g_str_hash, g_str_equal);

    for (guint i = 0; i < spec->secrets->len; i++)
        g_hash_table_add(secrets, g_ptr_array_index(spec->secrets, i));
    for (guint i = 0; i < spec->envs->len; i++) {
        const JobSpecPair *pair = g_ptr_array_index(spec->envs, i);

        if (g_hash_table_contains(secrets, pair->key))
            SAY(check, DIAG_CONTRADICTION, "secrets", "secrets: '%s' is in envs too", pair->key);
    }
    if (spec->max_parallel != INT64_MAX && !spec->matrix_group &&
        is_known(check, "matrix", "matrix_group", "name", NULL))
        SAY(check, DIAG_CONTRADICTION, "max_parallel",
            "max_parallel: it counts the jobs of a matrix, and there is none");
}

void check_job(Diags *diags, const JobSpec *spec, GHashTable *failed,
               const JobSpecPosition *document)
{
    const Check check = {diags, spec, failed, document};

    if (is_known(&check, "resources", NULL)) {
        check_resources(&check);
        check_where(&check);
    }
    check_train(&check);
    check_checkpoint(&check);
    check_retry(&check);
    check_limits(&check);
    check_names(&check);
}
