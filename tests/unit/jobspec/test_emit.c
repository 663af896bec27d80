/* SPDX-License-Identifier: Apache-2.0
 *
 * Canonical JSON: one spelling for one meaning, and a job file itself.
 */
#include "tests/unit/jobspec/spec.h"

#include "jobspec/emit.h"

static char *canonical(const JobSpec *job)
{
    json_t *json = jobspec_to_json(job);
    char *text = json_dumps(json, JSON_COMPACT | JSON_SORT_KEYS);
    char *copy = g_strdup(text);

    free(text);
    json_decref(json);
    return copy;
}

static void test_defaults(void)
{
    g_autoptr(JobSpecFile) file = spec_parse_more("");
    g_autofree char *text = canonical(spec_only_job(file));

    g_assert_cmpstr(
        text, ==,
        "{\"checkpoint\":{\"every\":null,\"grace\":\"1m\",\"keep\":3,\"path\":null,"
        "\"signal\":null},"
        "\"depends_on\":[],\"envs\":{},\"image\":\"host\","
        "\"launch\":{\"procs_per_node\":\"gpu\",\"type\":\"mpi\"},"
        "\"limits\":{\"idle_gpu\":{\"below\":null,\"for\":null},\"max_cost\":null,"
        "\"max_duration\":\"1d\",\"start_within\":null},"
        "\"matrix\":null,\"matrix_group\":null,\"max_parallel\":null,\"name\":\"a\","
        "\"payment\":{\"account\":\"default\",\"asset\":\"USDC\"},\"ports\":[],"
        "\"preflight\":{\"allreduce\":null,\"timeout\":\"1m\"},\"priority\":50,"
        "\"resources\":{\"accelerators\":null,\"cpus\":null,\"disk\":null,\"max_price\":null,"
        "\"memory\":null,\"num_nodes\":1},"
        "\"retry\":{\"backoff\":\"10s..5m\",\"max\":3,"
        "\"on\":[\"supplier_lost\",\"preempted\",\"preflight\"]},"
        "\"run\":\"x\",\"secrets\":[],\"setup\":null,\"spot\":\"never\","
        "\"train\":{\"balance\":\"auto\",\"compress\":\"none\",\"every\":null,\"sync\":\"step\"},"
        "\"version\":1,"
        "\"where\":{\"bandwidth\":null,\"compliance\":[],\"green\":false,\"latency\":null,"
        "\"location\":[],\"proof_max_age\":null,\"reliability\":null,\"same\":\"none\","
        "\"tier\":[]},"
        "\"workdir\":\".\"}");
}

static void assert_same(const char *a, const char *b)
{
    g_autoptr(JobSpecFile) file_a = spec_parse_more(a), file_b = spec_parse_more(b);
    g_autofree char *digest_a = jobspec_digest(spec_only_job(file_a));
    g_autofree char *digest_b = jobspec_digest(spec_only_job(file_b));

    g_assert_cmpstr(digest_a, ==, digest_b);
    g_assert_cmpuint(strlen(digest_a), ==, 64);
}

static void test_one_spelling(void)
{
    assert_same("limits: {max_duration: 24h}\n", "limits: {max_duration: 1d}\n");
    assert_same("limits: {max_cost: 400.00}\n", "limits: {max_cost: '400'}\n");
    assert_same("resources: {cpus: 8..8, memory: 1024MiB+}\n",
                "resources: {cpus: 8, memory: 1GiB+}\n");
    assert_same("resources: {accelerators: [H100]}\n", "resources: {accelerators: H100:1}\n");
    assert_same("resources: {cpus: 0+}\n", "resources: {cpus: null}\n");
    assert_same("resources: {any_of: [{cpus: 2}]}\n", "resources: {cpus: 2}\n");
    assert_same("envs: {A: 1, B: 'x'}\n", "envs: {\"B\": x, A: '1'}\n");
    assert_same("resources: {num_nodes: 2}\n", "resources: {num_nodes: 2}\nwhere: {same: site}\n");
    assert_same("retry: {on: [preempted, supplier_lost]}\n",
                "retry: {on: [supplier_lost, preempted]}\n");
}

static void test_difference(void)
{
    g_autoptr(JobSpecFile) a = spec_parse_more("priority: 50\n"),
                           b = spec_parse_more("priority: 51\n");
    g_autofree char *digest_a = jobspec_digest(spec_only_job(a));
    g_autofree char *digest_b = jobspec_digest(spec_only_job(b));

    g_assert_cmpstr(digest_a, !=, digest_b);
}

/* Random fields with random values, many files: canonical JSON of each job is a job file, whose job
 * has the same canonical JSON. Together they are the file again, dependencies and all. */
static const char *const pool[] = {
    "image: 'docker:x/y:1'",
    "workdir: \"a b/\xe2\x82\xac\"",
    "envs: {A: \"q\\\"\\\\\\n\\t\xf0\x9f\x98\x80\", B: 1e-4, C: '${{ matrix.x }}', D: ' lead: #'}",
    "secrets: [T1, T2]",
    "resources: {num_nodes: 2..4, accelerators: [H100-80GiB:8, 'A100-SXM4:2'], disk: 1TB..2TB}",
    "resources: {cpus: 3-, any_of: [{num_nodes: 3}, {memory: 5kB+, accelerators: cpu}]}",
    "where: {location: [TW, eu-west], green: true, reliability: 0.999999, latency: 80us..5ms}",
    "where: {tier: [consumer], bandwidth: 2.5Gbps+, proof_max_age: 90m, compliance: [a-b.c_d]}",
    "spot: only",
    "setup: |\n  make\n    x ${{ matrix.x }}\n\n  y",
    "launch: {procs_per_node: 7, type: shell}",
    "launch: {procs_per_node: cpu-core}",
    "preflight: {allreduce: 1.5MiB/s}",
    "train: {sync: local, every: 8, compress: int4}",
    "checkpoint: {path: '/c', every: 1500ms, signal: HUP, grace: 0s}",
    "retry: {on: [], max: 0, backoff: 0s..1ms}",
    "limits: {max_cost: 0.000001, start_within: 1s, idle_gpu: {below: 0.0001%, for: 1s}}",
    "payment: {asset: IO, account: x.y}",
    "priority: 0",
    "ports: [65535, 1]",
    "depends_on: [{job: prep, when: ended}]",
};

static char *random_file(GRand *rand)
{
    g_autoptr(GHashTable) used = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    g_autoptr(GString) text = g_string_new("version: 1\nname: job\n");

    g_string_append(text, "matrix: {x: [1e-4, no, 'a b'], y: 1..2}\nmax_parallel: 1\n"
                          "run: 'echo ${{ matrix.x }} ${{ matrix.y }}'\n");
    for (size_t i = 0; i < G_N_ELEMENTS(pool); i++) {
        const char *colon = strchr(pool[i], ':');

        if (g_rand_boolean(rand) &&
            g_hash_table_add(used, g_strndup(pool[i], (gsize)(colon - pool[i]))))
            g_string_append_printf(text, "%s\n", pool[i]);
    }
    g_string_append(text, "---\nversion: 1\nname: prep\nrun: x\n");
    return g_string_free(g_steal_pointer(&text), FALSE);
}

static void test_round_trip(void)
{
    g_autoptr(GRand) rand = g_rand_new_with_seed(2);

    for (int i = 0; i < 200; i++) {
        g_autofree char *text = random_file(rand);
        g_autoptr(JobSpecFile) file = spec_parse(text), again = NULL;
        g_autoptr(GString) joined = g_string_new(NULL);

        if (file->jobs->len != 7)
            g_error("%s%s", text, spec_describe(file));
        for (guint k = 0; k < file->jobs->len; k++) {
            g_autofree char *json = canonical(g_ptr_array_index(file->jobs, k));
            g_autoptr(JobSpec) alone = jobspec_from_json(json, strlen(json), NULL);
            g_autofree char *json_alone = alone ? canonical(alone) : NULL;

            g_assert_cmpstr(json, ==, json_alone);
            g_string_append_printf(joined, "---\n%s\n", json);
        }
        again = spec_parse(joined->str);
        if (again->jobs->len != file->jobs->len)
            g_error("%s%s", joined->str, spec_describe(again));
        for (guint k = 0; k < file->jobs->len; k++) {
            g_autofree char *digest = jobspec_digest(g_ptr_array_index(file->jobs, k));
            g_autofree char *digest_again = jobspec_digest(g_ptr_array_index(again->jobs, k));

            g_assert_cmpstr(digest, ==, digest_again);
        }
    }
}

static void test_preset(void)
{
    json_t *on = emit_preset(field_find("retry.on")),
           *cost = emit_preset(field_find("limits.max_cost"));

    g_assert_cmpuint(json_array_size(on), ==, 3);
    g_assert_true(json_is_null(cost));
    json_decref(on);
    json_decref(cost);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/jobspec/emit/defaults", test_defaults);
    g_test_add_func("/jobspec/emit/one-spelling", test_one_spelling);
    g_test_add_func("/jobspec/emit/difference", test_difference);
    g_test_add_func("/jobspec/emit/round-trip", test_round_trip);
    g_test_add_func("/jobspec/emit/preset", test_preset);
    return g_test_run();
}
