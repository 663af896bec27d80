/* SPDX-License-Identifier: Apache-2.0
 *
 * Ranks are numbered island by island, node by node in the order given, so that ranks of one node
 * are neighbours and an island is one range. On a node with R ranks:
 *
 *   cores    the node's C cores are cut into R runs of neighbours, the first C % R one longer; with
 *            R > C nothing is bound, since two ranks pinned to one core while another is free is
 * worse devices  D <= R: rank i uses device i * D / R. D > R: the devices are cut like the cores
 *
 * CUDA_VISIBLE_DEVICES lists all GPUs leased on the node, for every rank alike: a torch program
 * picks its own by LOCAL_RANK, and what is not leased stays invisible. It names them by UUID,
 * because CUDA counts devices by speed and NVML by slot.
 */
#include "launcher/plan.h"

#include "launcher/plan_check.h"

#include <signal.h>
#include <string.h>

G_DEFINE_QUARK(drover - launcher - error - quark, launcher_error)

void plan_rank_free(PlanRank *rank)
{
    if (!rank)
        return;
    g_clear_pointer(&rank->cpus, g_array_unref);
    g_clear_pointer(&rank->devices, g_ptr_array_unref);
    g_clear_pointer(&rank->env, g_ptr_array_unref);
    g_free(rank);
}

void plan_host_free(PlanHost *host)
{
    if (!host)
        return;
    g_free(host->node);
    g_free(host->address);
    g_clear_pointer(&host->ranks, g_ptr_array_unref);
    g_free(host);
}

void plan_island_free(PlanIsland *island)
{
    if (!island)
        return;
    g_clear_pointer(&island->hosts, g_ptr_array_unref);
    g_free(island);
}

void plan_free(Plan *plan)
{
    if (!plan)
        return;
    g_free(plan->job);
    g_free(plan->run);
    g_free(plan->setup);
    g_free(plan->workdir);
    g_free(plan->attempt_dir);
    g_free(plan->path_prefix);
    g_free(plan->checkpoint_dir);
    g_clear_pointer(&plan->env, g_ptr_array_unref);
    g_clear_pointer(&plan->secrets, g_ptr_array_unref);
    g_clear_pointer(&plan->islands, g_ptr_array_unref);
    g_free(plan);
}

int plan_get_world_size(const Plan *plan)
{
    int size = 0;

    for (guint i = 0; i < plan->islands->len; i++) {
        const PlanIsland *island = plan->islands->pdata[i];

        for (guint h = 0; h < island->hosts->len; h++)
            size += (int)((const PlanHost *)island->hosts->pdata[h])->ranks->len;
    }
    return size;
}

/* ---- environment ---- */

static void env_add(GPtrArray *env, const char *key, const char *format, ...) G_GNUC_PRINTF(3, 4);

static void env_add(GPtrArray *env, const char *key, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    g_autofree char *value = g_strdup_vprintf(format, args);
    va_end(args);
    g_ptr_array_add(env, g_strconcat(key, "=", value, NULL));
}

static int env_compare(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static const JobSpecPair *env_find(const JobSpec *spec, const char *key)
{
    for (guint i = 0; i < spec->envs->len; i++) {
        const JobSpecPair *pair = spec->envs->pdata[i];

        if (strcmp(pair->key, key) == 0)
            return pair;
    }
    return NULL;
}

/* What drover says about a rank is true for every program in it; a job file must not contradict it.
 */
static bool env_check_names(const JobSpec *spec, GError **error)
{
    static const char *const reserved[] = {
        "RANK",       "WORLD_SIZE",  "LOCAL_RANK",  "LOCAL_WORLD_SIZE",    "NODE_RANK",
        "GROUP_RANK", "MASTER_ADDR", "MASTER_PORT", "CUDA_VISIBLE_DEVICES"};

    for (guint i = 0; i < spec->envs->len; i++) {
        const JobSpecPair *pair = spec->envs->pdata[i];
        bool taken = g_str_has_prefix(pair->key, "DROVER_");

        for (size_t r = 0; r < G_N_ELEMENTS(reserved); r++)
            taken = taken || strcmp(pair->key, reserved[r]) == 0;
        if (taken || !plan_key_is_valid(pair->key, strlen(pair->key))) {
            g_set_error(error, LAUNCHER_ERROR, LAUNCHER_ERROR_PLAN,
                        taken ? "envs.%s: drover itself sets this variable; use another name"
                              : "envs.%s: not a name for a variable (letters, digits and _)",
                        pair->key);
            return false;
        }
    }
    return true;
}

static void env_add_train(GPtrArray *env, const JobSpec *spec)
{
    static const char *const balances[] = {"auto", "even"};
    static const char *const syncs[] = {"step", "local"};
    static const char *const compressions[] = {"none", "bf16", "int8", "int4"};

    env_add(env, "DROVER_TRAIN_BALANCE", "%s", balances[spec->train.balance]);
    env_add(env, "DROVER_TRAIN_SYNC", "%s", syncs[spec->train.sync]);
    env_add(env, "DROVER_TRAIN_EVERY", "%" G_GINT64_FORMAT, spec->train.every);
    env_add(env, "DROVER_TRAIN_COMPRESS", "%s", compressions[spec->train.compress]);
    if (spec->checkpoint.every_ms % 1000)
        env_add(env, "DROVER_CHECKPOINT_EVERY_S", "%" G_GINT64_FORMAT ".%03d",
                spec->checkpoint.every_ms / 1000, (int)(spec->checkpoint.every_ms % 1000));
    else if (spec->checkpoint.every_ms > 0)
        env_add(env, "DROVER_CHECKPOINT_EVERY_S", "%" G_GINT64_FORMAT,
                spec->checkpoint.every_ms / 1000);
    if (spec->checkpoint.keep > 0)
        env_add(env, "DROVER_CHECKPOINT_KEEP", "%" G_GINT64_FORMAT, spec->checkpoint.keep);
    if (spec->checkpoint.signal > 0)
        env_add(env, "DROVER_CHECKPOINT_SIGNAL", "%d", spec->checkpoint.signal);
}

/* `plan` has its islands already: rank 0 is on the first host of the first. */
static GPtrArray *env_common(const PlanInput *input, const Plan *plan, const char *checkpoint_dir)
{
    GPtrArray *env = g_ptr_array_new_with_free_func(g_free);
    const PlanIsland *first = plan->islands->pdata[0];
    const char *master = ((const PlanHost *)first->hosts->pdata[0])->address;

    for (guint i = 0; i < input->spec->envs->len; i++) {
        const JobSpecPair *pair = input->spec->envs->pdata[i];

        env_add(env, pair->key, "%s", pair->value);
    }
    env_add(env, "WORLD_SIZE", "%d", plan_get_world_size(plan));
    env_add(env, "MASTER_ADDR", "%s", master);
    env_add(env, "MASTER_PORT", "%d", input->master_port);
    /* Between nodes NCCL finds the interface of their network by itself. */
    if (strcmp(master, "127.0.0.1") == 0 && !env_find(input->spec, "NCCL_SOCKET_IFNAME"))
        env_add(env, "NCCL_SOCKET_IFNAME", "lo");
    env_add(env, "DROVER_JOB", "%s", input->job);
    env_add(env, "DROVER_ATTEMPT", "%d", input->attempt);
    env_add(env, "DROVER_ISLANDS", "%u", plan->islands->len);
    env_add(env, "DROVER_CHECKPOINT_DIR", "%s", checkpoint_dir);
    if (input->deadline_at_ms != INT64_MAX)
        env_add(env, "DROVER_DEADLINE", "%" G_GINT64_FORMAT, input->deadline_at_ms / 1000);
    env_add_train(env, input->spec);
    g_ptr_array_sort(env, env_compare);
    return env;
}

/* ---- ranks of one node ---- */

typedef struct {
    int64_t first;
    int64_t count;
} Slice;

/* Part `i` of `parts` of `total` things in a row, the longer parts first. */
static Slice slice_of(int64_t total, int64_t parts, int64_t i)
{
    int64_t base = total / parts, extra = total % parts;

    return (Slice){i * base + MIN(i, extra), base + (i < extra)};
}

static int64_t node_count_ranks(const PlanInput *input, const PlanNode *node)
{
    int64_t wanted = input->spec->launch.procs_per_node;

    if (wanted == JOBSPEC_PROCS_GPU)
        return node->devices->len;
    if (wanted == JOBSPEC_PROCS_CPU_CORE)
        return node->node->cpus->len;
    return wanted;
}

static GArray *rank_cpus(const PlanNode *node, int64_t ranks, int64_t local_rank)
{
    const GArray *cpus = node->node->cpus;
    GArray *bound = g_array_new(FALSE, FALSE, sizeof(int));

    if (ranks > cpus->len)
        return bound;

    Slice slice = slice_of(cpus->len, ranks, local_rank);

    g_array_append_vals(bound, &g_array_index(cpus, int, slice.first), (guint)slice.count);
    return bound;
}

static GPtrArray *rank_devices(const PlanNode *node, int64_t ranks, int64_t local_rank)
{
    int64_t devices = node->devices->len;
    Slice slice = devices > ranks ? slice_of(devices, ranks, local_rank)
                                  : (Slice){local_rank * devices / ranks, 1};
    GPtrArray *ids = g_ptr_array_new_with_free_func(g_free);

    for (int64_t i = slice.first; i < slice.first + slice.count; i++)
        g_ptr_array_add(ids, g_strdup(((const Device *)node->devices->pdata[i])->id));
    return ids;
}

static char *node_visible_gpus(const PlanNode *node)
{
    GString *ids = g_string_new(NULL);

    for (guint i = 0; i < node->devices->len; i++) {
        const Device *device = node->devices->pdata[i];

        if (device->index >= 0)
            g_string_append_printf(ids, "%s%s", ids->len ? "," : "", device->id);
    }
    return g_string_free(ids, FALSE);
}

static PlanRank *rank_build(const PlanInput *input, const PlanNode *node, int64_t ranks,
                            int first_rank, int local_rank)
{
    PlanRank *rank = g_new0(PlanRank, 1);
    g_autofree char *gpus = node_visible_gpus(node);

    rank->rank = first_rank + local_rank;
    rank->local_rank = local_rank;
    rank->cpus = rank_cpus(node, ranks, local_rank);
    rank->devices = rank_devices(node, ranks, local_rank);
    rank->env = g_ptr_array_new_with_free_func(g_free);
    env_add(rank->env, "RANK", "%d", rank->rank);
    env_add(rank->env, "LOCAL_RANK", "%d", local_rank);
    env_add(rank->env, "LOCAL_WORLD_SIZE", "%" G_GINT64_FORMAT, ranks);
    env_add(rank->env, "DROVER_ISLAND", "%d", node->island);
    if (*gpus)
        env_add(rank->env, "CUDA_VISIBLE_DEVICES", "%s", gpus);
    if (!env_find(input->spec, "OMP_NUM_THREADS"))
        env_add(rank->env, "OMP_NUM_THREADS", "%u", MAX(rank->cpus->len, 1));
    return rank;
}

static PlanHost *host_build(const PlanInput *input, const PlanNode *node, int first_rank,
                            int node_rank)
{
    PlanHost *host = g_new0(PlanHost, 1);
    int64_t ranks = node_count_ranks(input, node);

    host->node = g_strdup(node->node->name);
    host->address = g_strdup(node->node->address);
    host->ranks = g_ptr_array_new_with_free_func((GDestroyNotify)plan_rank_free);
    for (int local_rank = 0; local_rank < ranks; local_rank++) {
        PlanRank *rank = rank_build(input, node, ranks, first_rank, local_rank);

        env_add(rank->env, "NODE_RANK", "%d", node_rank);
        env_add(rank->env, "GROUP_RANK", "%d", node_rank);
        g_ptr_array_sort(rank->env, env_compare);
        g_ptr_array_add(host->ranks, rank);
    }
    return host;
}

static GPtrArray *islands_build(const PlanInput *input, int islands_count)
{
    GPtrArray *islands = g_ptr_array_new_with_free_func((GDestroyNotify)plan_island_free);
    int rank = 0, node_rank = 0;

    for (int index = 0; index < islands_count; index++) {
        PlanIsland *island = g_new0(PlanIsland, 1);

        island->index = index;
        island->hosts = g_ptr_array_new_with_free_func((GDestroyNotify)plan_host_free);
        for (size_t i = 0; i < input->nodes_count; i++) {
            if (input->nodes[i].island != index)
                continue;
            PlanHost *host = host_build(input, &input->nodes[i], rank, node_rank++);

            rank += (int)host->ranks->len;
            g_ptr_array_add(island->hosts, host);
        }
        g_ptr_array_add(islands, island);
    }
    return islands;
}

/* ---- the whole ---- */

/* How many islands there are; 0 and an error where the nodes make no plan. */
static int input_check(const PlanInput *input, GError **error)
{
    int64_t ranks = 0;
    int islands = 0;

    for (size_t i = 0; i < input->nodes_count; i++)
        islands = MAX(islands, input->nodes[i].island + 1);
    for (int island = 0; island < islands; island++) {
        bool found = false;

        for (size_t i = 0; i < input->nodes_count; i++)
            found = found || input->nodes[i].island == island;
        g_return_val_if_fail(found, 0); /* the caller's bug: islands have no gaps */
    }
    for (size_t i = 0; i < input->nodes_count; i++) {
        int64_t here = node_count_ranks(input, &input->nodes[i]);

        if (input->nodes[i].devices->len == 0 || here < 1) {
            g_set_error(error, LAUNCHER_ERROR, LAUNCHER_ERROR_PLAN,
                        "node '%s' has no device leased, so no rank can run on it",
                        input->nodes[i].node->name);
            return 0;
        }
        ranks = MIN(ranks + MIN(here, PLAN_RANKS_MAX + 1), PLAN_RANKS_MAX + 1);
    }
    if (ranks < 1 || ranks > PLAN_RANKS_MAX) {
        g_set_error(error, LAUNCHER_ERROR, LAUNCHER_ERROR_PLAN,
                    ranks < 1 ? "no node to run on (at most %d ranks in all)"
                              : "launch.procs_per_node: more than %d ranks in all",
                    PLAN_RANKS_MAX);
        return 0;
    }
    return islands;
}

/* A plan is JSON on its way, which has no other text. */
static bool paths_check(const PlanInput *input, GError **error)
{
    const char *const paths[] = {input->workdir, input->job_dir, input->attempt_dir,
                                 input->path_prefix};

    for (size_t i = 0; i < G_N_ELEMENTS(paths); i++) {
        if (!paths[i] || g_utf8_validate(paths[i], -1, NULL))
            continue;
        g_autofree char *shown = g_utf8_make_valid(paths[i], -1);

        g_set_error(error, LAUNCHER_ERROR, LAUNCHER_ERROR_PLAN,
                    "the name of '%s' is not UTF-8 (rename the folder)", shown);
        return false;
    }
    return true;
}

char *plan_get_checkpoint_dir(const JobSpec *spec, const char *job_dir, GError **error)
{
    const char *path = spec->checkpoint.path;
    g_autofree char *base = g_canonicalize_filename(job_dir, "/");
    g_autofree char *dir = g_canonicalize_filename(path ? path : "checkpoints", base);
    g_autofree char *inside = g_strconcat(base, "/", NULL);

    if (path && !g_path_is_absolute(path) && !g_str_has_prefix(dir, inside)) {
        g_set_error(error, LAUNCHER_ERROR, LAUNCHER_ERROR_PLAN,
                    "checkpoint.path: '%s' leaves the directory of the job; "
                    "write an absolute path if that is meant",
                    path);
        return NULL;
    }
    return g_steal_pointer(&dir);
}

Plan *plan_build(const PlanInput *input, GError **error)
{
    const JobSpec *spec = input->spec;
    g_autofree char *checkpoint_dir = NULL;
    int islands = input_check(input, error);

    if (islands == 0 || !paths_check(input, error) || !env_check_names(spec, error))
        return NULL;
    checkpoint_dir = plan_get_checkpoint_dir(spec, input->job_dir, error);
    if (!checkpoint_dir)
        return NULL;

    Plan *plan = g_new0(Plan, 1);

    plan->job = g_strdup(input->job);
    plan->attempt = input->attempt;
    plan->type = spec->launch.type;
    plan->run = g_strdup(spec->run);
    plan->setup = input->setup_done ? NULL : g_strdup(spec->setup);
    plan->workdir = g_strdup(input->workdir);
    plan->attempt_dir = g_strdup(input->attempt_dir);
    plan->path_prefix = g_strdup(input->path_prefix);
    plan->checkpoint_signal = spec->checkpoint.signal;
    plan->grace_ms = spec->checkpoint.grace_ms;
    plan->max_duration_ms = input->max_duration_ms;
    plan->start_within_ms = spec->limits.start_within_ms;
    plan->secrets = g_ptr_array_new_with_free_func(g_free);
    for (guint i = 0; i < spec->secrets->len; i++)
        g_ptr_array_add(plan->secrets, g_strdup(spec->secrets->pdata[i]));
    plan->islands = islands_build(input, islands);
    plan->env = env_common(input, plan, checkpoint_dir);
    plan->checkpoint_dir = g_steal_pointer(&checkpoint_dir);
    return plan;
}
