/* SPDX-License-Identifier: Apache-2.0
 *
 * Golden plans (golden/NAME.json; rewritten when DROVER_GOLDEN_WRITE is set), and what
 * plan_from_json must refuse.
 */
#include "launcher/plan.h"

#include "tests/unit/launcher/spec.h"

#include <signal.h>
#include <string.h>

/* A node with `cpus` cores and GPUs of the given ids, or the CPU as its device. */
static Node *node_make(const char *name, const char *address, int cpus, const char *const *gpus)
{
    Node *node = g_new0(Node, 1);

    node->name = g_strdup(name);
    node->address = g_strdup(address);
    node->cpus = g_array_new(FALSE, FALSE, sizeof(int));
    for (int i = 0; i < cpus; i++)
        g_array_append_val(node->cpus, i);
    node->devices = g_ptr_array_new();
    for (int i = 0; gpus ? gpus[i] != NULL : i < 1; i++) {
        Device *device = g_new0(Device, 1);

        device->id = g_strdup(gpus ? gpus[i] : "cpu");
        device->model = g_strdup(gpus ? "RTX4090" : "cpu");
        device->index = gpus ? i : -1;
        g_ptr_array_add(node->devices, device);
    }
    return node;
}

static void node_drop(Node *node)
{
    for (guint i = 0; i < node->devices->len; i++) {
        Device *device = node->devices->pdata[i];

        g_free(device->id);
        g_free(device->model);
        g_free(device);
    }
    node_free(node);
}

static PlanInput input_make(const JobSpec *spec, const PlanNode *nodes, size_t nodes_count)
{
    return (PlanInput){
        .spec = spec,
        .job = "12",
        .attempt = 1,
        .nodes = nodes,
        .nodes_count = nodes_count,
        .workdir = "/home/ann/train",
        .job_dir = "/state/jobs/12",
        .attempt_dir = "/state/jobs/12/attempt-1",
        .path_prefix = "/usr/lib/drover",
        .deadline_at_ms = INT64_MAX,
        .max_duration_ms = 86400000,
        .master_port = 29500,
    };
}

static void golden_check(const char *name, const PlanInput *input)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(Plan) plan = plan_build(input, &error);
    g_autofree char *path =
        g_strdup_printf(TEST_SOURCE_DIR "/tests/unit/launcher/golden/%s.json", name);
    g_autofree char *want = NULL;

    g_assert_no_error(error);
    json_t *json = plan_to_json(plan);
    g_assert_nonnull(json);
    char *text = json_dumps(json, JSON_INDENT(2) | JSON_SORT_KEYS);
    g_autofree char *got = g_strconcat(text, "\n", NULL);

    if (g_getenv("DROVER_GOLDEN_WRITE"))
        g_assert_true(g_file_set_contents(path, got, -1, NULL));
    g_assert_true(g_file_get_contents(path, &want, NULL, NULL));
    g_assert_cmpstr(got, ==, want);

    g_autoptr(Plan) again = plan_from_json(json, &error);

    g_assert_no_error(error);
    json_t *json_again = plan_to_json(again);
    g_assert_true(json_equal(json, json_again));
    g_assert_cmpint(plan_get_world_size(plan), ==, plan_get_world_size(again));
    json_decref(json);
    json_decref(json_again);
    free(text);
}

static void test_golden_cpu(void)
{
    g_autoptr(TestSpec) spec = spec_make("./train");
    Node *node = node_make("box", "127.0.0.1", 4, NULL);
    const PlanNode nodes[] = {{node, node->devices, 0}};
    PlanInput input = input_make(spec, nodes, 1);

    golden_check("cpu", &input);
    node_drop(node);
}

/* 3 ranks on 8 cores, with everything a job file can say. */
static void test_golden_full(void)
{
    g_autoptr(TestSpec) spec = spec_make("./train --resume \"$DROVER_CHECKPOINT_DIR\"");
    Node *node = node_make("box", "127.0.0.1", 8, NULL);
    const PlanNode nodes[] = {{node, node->devices, 0}};
    PlanInput input = input_make(spec, nodes, 1);

    spec_add_env(spec, "MODEL", "llama \"3\"\n8b");
    spec_add_env(spec, "OMP_NUM_THREADS", "1");
    g_ptr_array_add(spec->secrets, g_strdup("HF_TOKEN"));
    spec->setup = g_strdup("make");
    spec->launch.type = JOBSPEC_LAUNCH_TORCHRUN;
    spec->launch.procs_per_node = 3;
    spec->train.balance = JOBSPEC_BALANCE_EVEN;
    spec->train.sync = JOBSPEC_SYNC_LOCAL;
    spec->train.compress = JOBSPEC_COMPRESS_INT4;
    spec->checkpoint.path = g_strdup("ck/points");
    spec->checkpoint.every_ms = 900000;
    spec->checkpoint.keep = 3;
    spec->checkpoint.signal = SIGUSR1;
    spec->limits.start_within_ms = 90000;
    input.deadline_at_ms = INT64_C(1700000000123);
    golden_check("full", &input);
    node_drop(node);
}

static void test_golden_per_core(void)
{
    g_autoptr(TestSpec) spec = spec_make("./train");
    Node *node = node_make("box", "127.0.0.1", 2, NULL);
    const PlanNode nodes[] = {{node, node->devices, 0}};
    PlanInput input = input_make(spec, nodes, 1);

    spec->launch.procs_per_node = JOBSPEC_PROCS_CPU_CORE;
    golden_check("per_core", &input);
    node_drop(node);
}

static void test_golden_oversubscribed(void)
{
    g_autoptr(TestSpec) spec = spec_make("./train");
    Node *node = node_make("box", "127.0.0.1", 2, NULL);
    const PlanNode nodes[] = {{node, node->devices, 0}};
    PlanInput input = input_make(spec, nodes, 1);

    spec->launch.procs_per_node = 3;
    golden_check("oversubscribed", &input);
    node_drop(node);
}

/* Two islands of unequal nodes, given out of order; one node runs two ranks a GPU. */
static void test_golden_islands(void)
{
    const char *const two[] = {"GPU-a", "GPU-b", NULL};
    const char *const one[] = {"GPU-c", NULL};
    g_autoptr(TestSpec) spec = spec_make("./train");
    Node *a = node_make("a", "10.0.0.1", 5, two), *b = node_make("b", "10.0.0.2", 4, one);
    const PlanNode nodes[] = {{b, b->devices, 1}, {a, a->devices, 0}, {b, b->devices, 0}};
    PlanInput input = input_make(spec, nodes, 3);

    golden_check("islands", &input);
    node_drop(a);
    node_drop(b);
}

static void test_golden_gpus(void)
{
    const char *const three[] = {"GPU-a", "GPU-b", "GPU-c", NULL};
    g_autoptr(TestSpec) spec = spec_make("./train");
    Node *node = node_make("box", "127.0.0.1", 5, three);
    const PlanNode nodes[] = {{node, node->devices, 0}};
    PlanInput input = input_make(spec, nodes, 1);

    spec->launch.procs_per_node = 2;
    golden_check("gpus_2_ranks", &input);
    spec->launch.procs_per_node = 4;
    golden_check("gpus_4_ranks", &input);
    node_drop(node);
}

static void expect_refused(const PlanInput *input, const char *words)
{
    g_autoptr(GError) error = NULL;

    g_assert_null(plan_build(input, &error));
    g_assert_error(error, LAUNCHER_ERROR, LAUNCHER_ERROR_PLAN);
    if (!strstr(error->message, words))
        g_error("'%s' does not say '%s'", error->message, words);
}

static void test_refused(void)
{
    g_autoptr(TestSpec) spec = spec_make("./train");
    Node *node = node_make("box", "127.0.0.1", 2, NULL);
    g_autoptr(GPtrArray) none = g_ptr_array_new();
    const PlanNode nodes[] = {{node, node->devices, 0}};
    const PlanNode bare[] = {{node, none, 0}};
    PlanInput input = input_make(spec, bare, 1);

    expect_refused(&input, "no device leased");
    input = input_make(spec, nodes, 0);
    expect_refused(&input, "no node");
    input = input_make(spec, nodes, 1);
    spec->launch.procs_per_node = INT64_MAX;
    expect_refused(&input, "launch.procs_per_node");
    spec->launch.procs_per_node = 4097;
    expect_refused(&input, "launch.procs_per_node");
    spec->launch.procs_per_node = 0;
    spec->checkpoint.path = g_strdup("../../other");
    expect_refused(&input, "checkpoint.path");
    g_clear_pointer(&spec->checkpoint.path, g_free);
    spec_add_env(spec, "DROVER_JOB", "1");
    expect_refused(&input, "envs.DROVER_JOB");
    g_ptr_array_set_size(spec->envs, 0);
    spec_add_env(spec, "RANK", "1");
    expect_refused(&input, "envs.RANK");
    g_ptr_array_set_size(spec->envs, 0);
    spec_add_env(spec, "A=B", "1");
    expect_refused(&input, "envs.A=B");
    g_ptr_array_set_size(spec->envs, 0);
    input.workdir = "/home/\xff";
    expect_refused(&input, "is not UTF-8");
    node_drop(node);
}

static void test_checkpoint_every(void)
{
    static const struct {
        int64_t ms;
        const char *want; /* NULL: not set */
    } table[] = {{0, NULL},
                 {1, "DROVER_CHECKPOINT_EVERY_S=0.001"},
                 {1500, "DROVER_CHECKPOINT_EVERY_S=1.500"},
                 {900000, "DROVER_CHECKPOINT_EVERY_S=900"}};
    g_autoptr(TestSpec) spec = spec_make("./train");
    Node *node = node_make("box", "127.0.0.1", 2, NULL);
    const PlanNode nodes[] = {{node, node->devices, 0}};
    PlanInput input = input_make(spec, nodes, 1);

    for (size_t i = 0; i < G_N_ELEMENTS(table); i++) {
        spec->checkpoint.every_ms = table[i].ms;
        g_autoptr(Plan) plan = plan_build(&input, NULL);
        const char *got = NULL;

        for (guint e = 0; e < plan->env->len; e++)
            if (g_str_has_prefix(plan->env->pdata[e], "DROVER_CHECKPOINT_EVERY_S="))
                got = plan->env->pdata[e];
        g_assert_cmpstr(got, ==, table[i].want);
    }
    node_drop(node);
}

static void test_setup_once(void)
{
    g_autoptr(TestSpec) spec = spec_make("./train");
    Node *node = node_make("box", "127.0.0.1", 2, NULL);
    const PlanNode nodes[] = {{node, node->devices, 0}};
    PlanInput input = input_make(spec, nodes, 1);

    spec->setup = g_strdup("make");
    input.setup_done = true;
    g_autoptr(Plan) plan = plan_build(&input, NULL);

    g_assert_null(plan->setup);
    node_drop(node);
}

/* ---- reading ---- */

static json_t *json_valid(void)
{
    json_t *json =
        json_load_file(TEST_SOURCE_DIR "/tests/unit/launcher/golden/islands.json", 0, NULL);

    g_assert_nonnull(json);
    return json;
}

static void expect_bad(json_t *json, const char *what)
{
    g_autoptr(GError) error = NULL;
    Plan *plan = plan_from_json(json, &error);

    if (plan)
        g_error("accepted: %s", what);
    g_assert_error(error, LAUNCHER_ERROR, LAUNCHER_ERROR_PLAN);
    g_assert_true(g_str_has_prefix(error->message, "plan: "));
}

/* Every value of the document in turn, replaced by each of these, must be refused or give a plan
 * that writes itself out as it was read. */
static void mutate_all(json_t *document, json_t *node)
{
    const char *replacements[] = {
        "null", "-1",     "99999999999",         "1.5", "\"\"", "\"x\"", "[]", "{}",
        "true", "[null]", "9223372036854775807", "[{}]"};
    size_t count = json_is_object(node) ? json_object_size(node) : json_array_size(node);
    void *iter = json_is_object(node) ? json_object_iter(node) : NULL;

    for (size_t i = 0; i < count; i++) {
        g_autofree char *key = iter ? g_strdup(json_object_iter_key(iter)) : NULL;
        json_t *old = json_incref(key ? json_object_get(node, key) : json_array_get(node, i));

        for (size_t r = 0; r < G_N_ELEMENTS(replacements); r++) {
            json_t *value = json_loads(replacements[r], JSON_DECODE_ANY, NULL);

            if (key)
                json_object_set_new(node, key, value);
            else
                json_array_set_new(node, i, value);
            g_autoptr(Plan) plan = plan_from_json(document, NULL);

            if (plan) {
                json_t *again = plan_to_json(plan);

                g_assert_true(json_equal(again, document));
                json_decref(again);
            }
        }
        if (key)
            json_object_set(node, key, old);
        else
            json_array_set(node, i, old);
        if (json_is_object(old) || json_is_array(old))
            mutate_all(document, old);
        json_decref(old);
        iter = key ? json_object_iter_next(node, json_object_iter_at(node, key)) : NULL;
    }
}

static void test_mutations(void)
{
    json_t *json = json_valid();
    json_t *before = json_deep_copy(json);

    mutate_all(json, json);
    g_assert_true(json_equal(json, before));
    json_decref(before);
    json_decref(json);
}

static json_t *first_host(json_t *json)
{
    return json_array_get(
        json_object_get(json_array_get(json_object_get(json, "islands"), 0), "hosts"), 0);
}

static void test_bad_json(void)
{
    const char *const top[][2] = {
        {"version", "2"},
        {"attempt", "0"},
        {"attempt", "2147483648"},
        {"type", "\"slurm\""},
        {"workdir", "\"relative\""},
        {"checkpoint_signal", "65"},
        {"grace_ms", "-1"},
        {"run", "\"\""},
        {"max_duration_ms", "-1"},
        {"env", "[\"B=1\",\"A=1\"]"},
        {"env", "[\"A=1\",\"A=2\"]"},
        {"env", "[\"=1\"]"},
        {"env", "[\"1A=1\"]"},
        {"secrets", "[\"A=secret\"]"},
        {"islands", "[]"},
        {"path_prefix", "\"bin\""},
        {"extra", "1"},
    };

    for (size_t i = 0; i < G_N_ELEMENTS(top); i++) {
        json_t *json = json_valid();

        json_object_set_new(json, top[i][0], json_loads(top[i][1], JSON_DECODE_ANY, NULL));
        expect_bad(json, top[i][0]);
        json_decref(json);
    }
    expect_bad(NULL, "NULL");
}

static void test_bad_ranks(void)
{
    json_t *json = json_valid();
    json_t *ranks = json_object_get(first_host(json), "ranks");
    json_t *rank = json_array_get(ranks, 1);

    json_object_set_new(rank, "rank", json_integer(2));
    expect_bad(json, "a gap in the ranks");
    json_object_set_new(rank, "rank", json_integer(0));
    expect_bad(json, "a rank twice");
    json_object_set_new(rank, "rank", json_integer(1));
    json_object_set_new(rank, "cpus", json_pack("[i,i]", 3, 3));
    expect_bad(json, "a core twice");
    json_object_set_new(rank, "cpus", json_pack("[i]", 65536));
    expect_bad(json, "a core out of range");
    json_object_set_new(rank, "cpus", json_array());
    json_array_clear(ranks);
    expect_bad(json, "a host without ranks");
    json_decref(json);
}

static void test_huge(void)
{
    json_t *json = json_valid();
    json_t *many = json_array();
    g_autofree char *text = g_strnfill((1 << 20) + 1, 'x');

    json_object_set_new(json, "run", json_string(text));
    expect_bad(json, "a text beyond the bound");
    json_object_set_new(json, "run", json_string("true"));
    for (int i = 0; i < 20000; i++)
        json_array_append_new(many, json_string("X"));
    json_object_set_new(json, "secrets", many);
    expect_bad(json, "a list beyond the bound");
    json_decref(json);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/plan/golden/cpu", test_golden_cpu);
    g_test_add_func("/plan/golden/full", test_golden_full);
    g_test_add_func("/plan/golden/per_core", test_golden_per_core);
    g_test_add_func("/plan/golden/oversubscribed", test_golden_oversubscribed);
    g_test_add_func("/plan/golden/islands", test_golden_islands);
    g_test_add_func("/plan/golden/gpus", test_golden_gpus);
    g_test_add_func("/plan/refused", test_refused);
    g_test_add_func("/plan/checkpoint_every", test_checkpoint_every);
    g_test_add_func("/plan/setup_once", test_setup_once);
    g_test_add_func("/plan/json/mutations", test_mutations);
    g_test_add_func("/plan/json/bad", test_bad_json);
    g_test_add_func("/plan/json/bad_ranks", test_bad_ranks);
    g_test_add_func("/plan/json/huge", test_huge);
    return g_test_run();
}
