/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/jobspec/spec.h"

static const JobSpecResources *resources_at(const JobSpec *job, guint index)
{
    return g_ptr_array_index(job->resources, index);
}

static void test_required(void)
{
    g_autoptr(JobSpecFile) file = spec_parse("spot: never\n");
    g_autofree char *found = spec_describe(file);

    g_assert_cmpstr(found, ==,
                    "1:1+1 E104 'name' is missing (try 'name: llama-ft')\n"
                    "1:1+1 E104 'run' is missing (try 'run: ./train --resume "
                    "\"$DROVER_CHECKPOINT_DIR\"')\n"
                    "1:1+1 E104 'version' is missing (try 'version: 1')\n");
}

static void test_unknown(void)
{
    spec_assert("resources:\n  acelerators: H100\n",
                "5:3+11 E102 unknown field 'acelerators'; did you mean 'accelerators'?\n");
    spec_assert("cpus: 8\n", "4:1+4 E102 unknown field 'cpus'; did you mean 'resources.cpus'?\n");
    spec_assert("where: {max_cost: 5}\n",
                "4:9+8 E102 unknown field 'max_cost' in where; did you mean 'limits.max_cost'?\n");
    spec_assert("train: {zzz: 5}\n",
                "4:9+3 E102 unknown field 'zzz' (see 'drover spec explain train')\n");
    spec_assert("'': 5\n", "4:1+2 E102 unknown field '' (see 'drover spec explain')\n");
}

static void test_not_a_mapping(void)
{
    spec_assert(
        "where: tw\n",
        "4:8+2 E105 where: 'tw' is not a mapping (try '{location: [tw, jp], same: site}')\n");
    spec_assert("resources: [cpus]\n", "4:12+1 E105 resources: a list is not a mapping (try "
                                       "'{num_nodes: 2, cpus: 8+}')\n");
    spec_assert("limits: {idle_gpu: 10%}\n",
                "4:20+3 E105 limits.idle_gpu: '10%' is not a mapping (try "
                "'{below: 10%, for: 30m}')\n");
}

/* Alternatives take the fields beside any_of and override them, one by one. */
static void test_any_of(void)
{
    g_autoptr(JobSpecFile) file = spec_parse_more(
        "resources:\n  any_of:\n  - {accelerators: H100:8, num_nodes: 1}\n  - {cpus: null}\n"
        "  - {accelerators: [H100, RTX4090:2], memory: 1GiB+}\n"
        "  num_nodes: 2..4\n  accelerators: RTX4090:2\n  cpus: 8+\n  max_price: 2\n");
    const JobSpec *job = spec_only_job(file);
    const JobSpecResources *first = resources_at(job, 0), *second = resources_at(job, 1),
                           *third = resources_at(job, 2);

    g_assert_cmpuint(job->resources->len, ==, 3);
    g_assert_cmpint(first->num_nodes.max, ==, 1);
    g_assert_cmpstr(((JobSpecAccelerator *)g_ptr_array_index(first->accelerators, 0))->model, ==,
                    "H100");
    g_assert_cmpint(first->cpus.min, ==, 8);
    g_assert_cmpint(first->max_price_usd_micro, ==, 2000000);
    g_assert_cmpint(second->num_nodes.max, ==, 4);
    g_assert_cmpint(second->cpus.min, ==, 0); /* asked for nothing after all */
    g_assert_cmpint(second->cpus.max, ==, INT64_MAX);
    g_assert_cmpuint(second->accelerators->len, ==, 1);
    g_assert_false(second->accelerators_mixed);
    g_assert_true(third->accelerators_mixed);
    g_assert_cmpint(third->memory_bytes.min, ==, INT64_C(1) << 30);
    g_assert_true(jobspec_is_set(job, "resources.memory"));
    g_assert_false(jobspec_is_set(job, "resources.disk"));
}

static void test_any_of_errors(void)
{
    spec_assert(
        "resources: {any_of: []}\n",
        "4:21+1 E105 resources.any_of: it is a list of one or more mappings (try "
        "'[{accelerators: \"H100:8\"}, {accelerators: \"RTX4090:2\", num_nodes: 2..4}]')\n");
    spec_assert("resources: {any_of: [{}, {cpus: x}, 5, {any_of: [{cpus: 1}]}]}\n",
                "4:22+1 E112 resources.any_of: an empty alternative asks for nothing else (remove "
                "it)\n"
                "4:33+1 E106 resources.cpus: 'x' is not a whole number\n"
                "4:37+1 E105 resources.any_of: '5' is not a mapping (try '[{accelerators: "
                "\"H100:8\"}, {accelerators: \"RTX4090:2\", num_nodes: 2..4}]')\n"
                "4:49+1 E112 resources.any_of: inside another any_of\n");
    /* what is wrong beside any_of is told once, not for each alternative */
    spec_assert("resources: {cpus: x, any_of: [{num_nodes: 1}, {num_nodes: 2}]}\n",
                "4:19+1 E106 resources.cpus: 'x' is not a whole number\n");
}

static void test_many_alternatives(void)
{
    g_autoptr(GString) text = g_string_new("resources: {any_of: [{cpus: 1}");

    for (int i = 0; i < 64; i++)
        g_string_append(text, ", {cpus: 1}");
    g_string_append(text, "]}\n");
    spec_assert(text->str, "4:21+1 E109 resources.any_of: 65 alternatives, more than 64\n");
}

/* Where the author wrote a field, for errors that are found later. */
static void test_positions(void)
{
    g_autoptr(JobSpecFile) file = spec_parse_more("where:\n  green: true\n");
    const JobSpec *job = spec_only_job(file);
    const JobSpecPosition *at = g_hash_table_lookup(job->set_fields, "where.green");

    g_assert_cmpuint(at->line, ==, 5);
    g_assert_cmpuint(at->column, ==, 3);
    g_assert_cmpuint(at->length, ==, 5);
    g_assert_true(jobspec_is_set(job, "where"));
    g_assert_false(jobspec_is_set(job, "where.location"));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/jobspec/group/required", test_required);
    g_test_add_func("/jobspec/group/unknown", test_unknown);
    g_test_add_func("/jobspec/group/not-a-mapping", test_not_a_mapping);
    g_test_add_func("/jobspec/group/any-of", test_any_of);
    g_test_add_func("/jobspec/group/any-of-errors", test_any_of_errors);
    g_test_add_func("/jobspec/group/many-alternatives", test_many_alternatives);
    g_test_add_func("/jobspec/group/positions", test_positions);
    return g_test_run();
}
