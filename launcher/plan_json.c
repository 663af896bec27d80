/* SPDX-License-Identifier: Apache-2.0
 *
 * A plan as JSON and back. The text crosses a process boundary, so reading it believes nothing:
 * types, ranges and lengths are checked, unknown members refused, and the ranks must be exactly the
 * ones that plan_build() could have numbered. "No limit" is null.
 */
#include "launcher/plan.h"

#include "launcher/plan_check.h"

#include <string.h>

#define PLAN_JSON_VERSION 1
#define PLAN_TEXT_MAX                                                                          \
    (1 << 20)                 /* bytes of one string; the kernel takes 128 KiB of one argument \
                               */
#define PLAN_LIST_MAX   16384 /* entries of one list */
#define PLAN_SIGNAL_MAX 64

static const char *const plan_types[] = {
    [JOBSPEC_LAUNCH_MPI] = "mpi",
    [JOBSPEC_LAUNCH_TORCHRUN] = "torchrun",
    [JOBSPEC_LAUNCH_SHELL] = "shell",
};

/* ---- writing ---- */

static json_t *strings_to_json(const GPtrArray *strings)
{
    json_t *array = json_array();

    for (guint i = 0; i < strings->len; i++)
        json_array_append_new(array, json_string(strings->pdata[i]));
    return array;
}

static json_t *limit_to_json(int64_t value)
{
    return value == INT64_MAX ? json_null() : json_integer(value);
}

static json_t *rank_to_json(const PlanRank *rank)
{
    json_t *cpus = json_array();

    for (guint i = 0; i < rank->cpus->len; i++)
        json_array_append_new(cpus, json_integer(g_array_index(rank->cpus, int, i)));
    return json_pack("{s:o, s:o, s:o, s:i, s:i}", "cpus", cpus, "devices",
                     strings_to_json(rank->devices), "env", strings_to_json(rank->env),
                     "local_rank", rank->local_rank, "rank", rank->rank);
}

static json_t *island_to_json(const PlanIsland *island)
{
    json_t *hosts = json_array();

    for (guint h = 0; h < island->hosts->len; h++) {
        const PlanHost *host = island->hosts->pdata[h];
        json_t *ranks = json_array();

        for (guint r = 0; r < host->ranks->len; r++)
            json_array_append_new(ranks, rank_to_json(host->ranks->pdata[r]));
        json_array_append_new(hosts, json_pack("{s:s, s:s, s:o}", "address", host->address, "node",
                                               host->node, "ranks", ranks));
    }
    return json_pack("{s:o, s:i}", "hosts", hosts, "index", island->index);
}

json_t *plan_to_json(const Plan *plan)
{
    json_t *islands = json_array();

    for (guint i = 0; i < plan->islands->len; i++)
        json_array_append_new(islands, island_to_json(plan->islands->pdata[i]));
    return json_pack(
        "{s:i, s:s, s:s, s:i, s:o, s:I, s:o, s:s, s:o, s:s?, s:s, s:o, s:s?, s:o, s:s, s:i, s:s}",
        "attempt", plan->attempt, "attempt_dir", plan->attempt_dir, "checkpoint_dir",
        plan->checkpoint_dir, "checkpoint_signal", plan->checkpoint_signal, "env",
        strings_to_json(plan->env), "grace_ms", (json_int_t)plan->grace_ms, "islands", islands,
        "job", plan->job, "max_duration_ms", limit_to_json(plan->max_duration_ms), "path_prefix",
        plan->path_prefix, "run", plan->run, "secrets", strings_to_json(plan->secrets), "setup",
        plan->setup, "start_within_ms", limit_to_json(plan->start_within_ms), "type",
        plan_types[plan->type], "version", PLAN_JSON_VERSION, "workdir", plan->workdir);
}

/* ---- reading ---- */

static bool plan_fail(GError **error, const char *format, ...) G_GNUC_PRINTF(2, 3);

static bool plan_fail(GError **error, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    g_autofree char *words = g_strdup_vprintf(format, args);
    va_end(args);
    g_set_error(error, LAUNCHER_ERROR, LAUNCHER_ERROR_PLAN, "plan: %s", words);
    return false;
}

bool plan_key_is_valid(const char *key, size_t size)
{
    if (size == 0 || g_ascii_isdigit(key[0]))
        return false;
    for (size_t i = 0; i < size; i++)
        if (!g_ascii_isalnum(key[i]) && key[i] != '_')
            return false;
    return true;
}

/* The string in `json`, borrowed; NULL and an error where it is none or has a length of 0, a NUL or
 * too many bytes. */
static const char *read_text(const json_t *json, const char *name, GError **error)
{
    const char *text = json_string_value(json);
    size_t size = json_string_length(json);

    if (!text || size == 0 || size > PLAN_TEXT_MAX || strlen(text) != size) {
        plan_fail(error, "'%s' must be a text of 1 to %d bytes", name, PLAN_TEXT_MAX);
        return NULL;
    }
    return text;
}

static bool read_string(const json_t *json, const char *name, char **out, GError **error)
{
    const char *text = read_text(json, name, error);

    if (text)
        *out = g_strdup(text);
    return text != NULL;
}

static bool read_path(const json_t *json, const char *name, char **out, GError **error)
{
    const char *text = read_text(json, name, error);

    if (!text)
        return false;
    if (text[0] != '/')
        return plan_fail(error, "'%s' must be an absolute path, not '%s'", name, text);
    *out = g_strdup(text);
    return true;
}

static bool read_integer(const json_t *json, int64_t min, int64_t max, int64_t *out)
{
    if (!json_is_integer(json) || json_integer_value(json) < min || json_integer_value(json) > max)
        return false;
    *out = json_integer_value(json);
    return true;
}

static bool read_limit(const json_t *json, const char *name, int64_t *out, GError **error)
{
    if (json_is_null(json)) {
        *out = INT64_MAX;
        return true;
    }
    return read_integer(json, 0, INT64_MAX - 1, out) ||
           plan_fail(error, "'%s' must be null or a number of milliseconds, not negative", name);
}

static bool read_list(const json_t *json, const char *name, GError **error)
{
    return (json_is_array(json) && json_array_size(json) <= PLAN_LIST_MAX) ||
           plan_fail(error, "'%s' must be a list of at most %d entries", name, PLAN_LIST_MAX);
}

typedef enum { STRINGS_ANY, STRINGS_NAMES, STRINGS_ENV } StringsKind;

/* "KEY=value" in byte order, no key twice. Entries that share a key are neighbours in that order.
 */
static bool env_entry_check(const char *previous, const char *entry)
{
    const char *equals = strchr(entry, '=');
    size_t size = equals ? (size_t)(equals - entry) : 0;

    return plan_key_is_valid(entry, size) &&
           (!previous || (strcmp(previous, entry) < 0 && strncmp(previous, entry, size + 1) != 0));
}

static bool read_strings(const json_t *json, const char *name, StringsKind kind, GPtrArray **out,
                         GError **error)
{
    g_autoptr(GPtrArray) strings = g_ptr_array_new_with_free_func(g_free);

    if (!read_list(json, name, error))
        return false;
    for (size_t i = 0; i < json_array_size(json); i++) {
        const char *text = read_text(json_array_get(json, i), name, error);
        const char *previous = i ? strings->pdata[i - 1] : NULL;

        if (!text)
            return false;
        if ((kind == STRINGS_NAMES && !plan_key_is_valid(text, strlen(text))) ||
            (kind == STRINGS_ENV && !env_entry_check(previous, text)))
            return plan_fail(error, "'%s' has a bad entry, number %zu", name, i + 1);
        g_ptr_array_add(strings, g_strdup(text));
    }
    *out = g_steal_pointer(&strings);
    return true;
}

static bool read_cpus(const json_t *json, GArray **out, GError **error)
{
    g_autoptr(GArray) cpus = g_array_new(FALSE, FALSE, sizeof(int));
    int64_t value = -1;

    if (!read_list(json, "cpus", error))
        return false;
    for (size_t i = 0; i < json_array_size(json); i++) {
        if (!read_integer(json_array_get(json, i), value + 1, PLAN_CPU_MAX, &value))
            return plan_fail(error, "'cpus' must be rising numbers up to %d", PLAN_CPU_MAX);

        int cpu = (int)value;

        g_array_append_val(cpus, cpu);
    }
    *out = g_steal_pointer(&cpus);
    return true;
}

static bool read_members(const json_t *json, const char *name, GError **error, const char *format,
                         ...)
{
    json_error_t why;
    va_list args;
    int rc;

    va_start(args, format);
    rc = json_vunpack_ex((json_t *)(uintptr_t)json, &why, 0, format, args);
    va_end(args);
    return rc == 0 || plan_fail(error, "%s: %s", name, why.text);
}

/* Ranks are numbered through: `rank` is the next of all, `local_rank` the next of its host. */
static bool read_rank(const json_t *json, int rank, int local_rank, GPtrArray *ranks,
                      GError **error)
{
    json_t *cpus, *devices, *env;
    json_int_t rank_read = -1, local_read = -1;
    PlanRank *read = g_new0(PlanRank, 1);

    g_ptr_array_add(ranks, read);
    if (!read_members(json, "rank", error, "{s:o, s:o, s:o, s:I, s:I !}", "cpus", &cpus, "devices",
                      &devices, "env", &env, "local_rank", &local_read, "rank", &rank_read))
        return false;
    if (rank_read != rank || local_read != local_rank || rank >= PLAN_RANKS_MAX)
        return plan_fail(error, "rank %d of its host is out of order or beyond %d", local_rank,
                         PLAN_RANKS_MAX);
    read->rank = rank;
    read->local_rank = local_rank;
    return read_cpus(cpus, &read->cpus, error) &&
           read_strings(devices, "devices", STRINGS_ANY, &read->devices, error) &&
           read_strings(env, "env", STRINGS_ENV, &read->env, error);
}

static bool read_host(const json_t *json, int *rank, GPtrArray *hosts, GError **error)
{
    json_t *node, *address, *ranks;
    PlanHost *host = g_new0(PlanHost, 1);

    g_ptr_array_add(hosts, host);
    host->ranks = g_ptr_array_new_with_free_func((GDestroyNotify)plan_rank_free);
    if (!read_members(json, "host", error, "{s:o, s:o, s:o !}", "address", &address, "node", &node,
                      "ranks", &ranks) ||
        !read_string(address, "address", &host->address, error) ||
        !read_string(node, "node", &host->node, error) || !read_list(ranks, "ranks", error))
        return false;
    if (json_array_size(ranks) == 0)
        return plan_fail(error, "host '%s' has no rank", host->node);
    for (size_t i = 0; i < json_array_size(ranks); i++)
        if (!read_rank(json_array_get(ranks, i), (*rank)++, (int)i, host->ranks, error))
            return false;
    return true;
}

static bool read_islands(const json_t *json, GPtrArray **out, GError **error)
{
    g_autoptr(GPtrArray) islands = g_ptr_array_new_with_free_func((GDestroyNotify)plan_island_free);
    int rank = 0;

    if (!read_list(json, "islands", error))
        return false;
    for (size_t i = 0; i < json_array_size(json); i++) {
        PlanIsland *island = g_new0(PlanIsland, 1);
        json_int_t index = -1;
        json_t *hosts;

        g_ptr_array_add(islands, island);
        island->index = (int)i;
        island->hosts = g_ptr_array_new_with_free_func((GDestroyNotify)plan_host_free);
        if (!read_members(json_array_get(json, i), "island", error, "{s:o, s:I !}", "hosts", &hosts,
                          "index", &index) ||
            !read_list(hosts, "hosts", error))
            return false;
        if (index != (json_int_t)i || json_array_size(hosts) == 0)
            return plan_fail(error, "island %zu is out of order or has no host", i);
        for (size_t h = 0; h < json_array_size(hosts); h++)
            if (!read_host(json_array_get(hosts, h), &rank, island->hosts, error))
                return false;
    }
    if (rank == 0)
        return plan_fail(error, "there is no rank");
    *out = g_steal_pointer(&islands);
    return true;
}

static bool read_type(const json_t *json, JobSpecLaunchType *type, GError **error)
{
    const char *text = read_text(json, "type", error);

    if (!text)
        return false;
    for (size_t i = 0; i < G_N_ELEMENTS(plan_types); i++)
        if (strcmp(text, plan_types[i]) == 0) {
            *type = (JobSpecLaunchType)i;
            return true;
        }
    return plan_fail(error, "'type' must be mpi, torchrun or shell");
}

/* The numbers of a plan. */
static bool read_numbers(const json_t *json, Plan *plan, GError **error)
{
    const struct {
        const char *name;
        int64_t min, max;
    } ranges[] = {
        {"version", PLAN_JSON_VERSION, PLAN_JSON_VERSION},
        {"attempt", 1, G_MAXINT},
        {"checkpoint_signal", 0, PLAN_SIGNAL_MAX},
        {"grace_ms", 0, INT64_MAX - 1},
    };
    int64_t values[G_N_ELEMENTS(ranges)];

    for (size_t i = 0; i < G_N_ELEMENTS(ranges); i++)
        if (!read_integer(json_object_get(json, ranges[i].name), ranges[i].min, ranges[i].max,
                          &values[i]))
            return plan_fail(error,
                             "'%s' must be a number from %" G_GINT64_FORMAT " to %" G_GINT64_FORMAT,
                             ranges[i].name, ranges[i].min, ranges[i].max);
    plan->attempt = (int)values[1];
    plan->checkpoint_signal = (int)values[2];
    plan->grace_ms = values[3];
    return read_limit(json_object_get(json, "max_duration_ms"), "max_duration_ms",
                      &plan->max_duration_ms, error) &&
           read_limit(json_object_get(json, "start_within_ms"), "start_within_ms",
                      &plan->start_within_ms, error);
}

/* The texts of a plan. */
static bool read_texts(const json_t *json, Plan *plan, GError **error)
{
    const json_t *setup = json_object_get(json, "setup");
    const json_t *path_prefix = json_object_get(json, "path_prefix");

    return read_string(json_object_get(json, "job"), "job", &plan->job, error) &&
           read_string(json_object_get(json, "run"), "run", &plan->run, error) &&
           (json_is_null(setup) || read_string(setup, "setup", &plan->setup, error)) &&
           read_path(json_object_get(json, "workdir"), "workdir", &plan->workdir, error) &&
           read_path(json_object_get(json, "attempt_dir"), "attempt_dir", &plan->attempt_dir,
                     error) &&
           read_path(json_object_get(json, "checkpoint_dir"), "checkpoint_dir",
                     &plan->checkpoint_dir, error) &&
           (json_is_null(path_prefix) ||
            read_path(path_prefix, "path_prefix", &plan->path_prefix, error));
}

static bool check_member_names(const json_t *json, GError **error)
{
    static const char *const names[] = {"attempt",
                                        "attempt_dir",
                                        "checkpoint_dir",
                                        "checkpoint_signal",
                                        "env",
                                        "grace_ms",
                                        "islands",
                                        "job",
                                        "max_duration_ms",
                                        "path_prefix",
                                        "run",
                                        "secrets",
                                        "setup",
                                        "start_within_ms",
                                        "type",
                                        "version",
                                        "workdir"};

    if (!json_is_object(json))
        return plan_fail(error, "must be an object");
    for (size_t i = 0; i < G_N_ELEMENTS(names); i++)
        if (!json_object_get(json, names[i]))
            return plan_fail(error, "'%s' is missing", names[i]);
    return json_object_size(json) == G_N_ELEMENTS(names) ||
           plan_fail(error, "it has members that this version does not know");
}

Plan *plan_from_json(const json_t *json, GError **error)
{
    g_autoptr(Plan) plan = g_new0(Plan, 1);

    if (!check_member_names(json, error) || !read_numbers(json, plan, error) ||
        !read_texts(json, plan, error) ||
        !read_type(json_object_get(json, "type"), &plan->type, error) ||
        !read_strings(json_object_get(json, "env"), "env", STRINGS_ENV, &plan->env, error) ||
        !read_strings(json_object_get(json, "secrets"), "secrets", STRINGS_NAMES, &plan->secrets,
                      error) ||
        !read_islands(json_object_get(json, "islands"), &plan->islands, error))
        return NULL;
    return g_steal_pointer(&plan);
}
