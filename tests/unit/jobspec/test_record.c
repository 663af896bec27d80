/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/jobspec/spec.h"

#include "jobspec/record.h"

/* A record can be filled, emptied and cleared field by field, any number of times. */
static void test_life(void)
{
    JobSpec spec = {0};
    size_t count;
    const Field *table = field_table(&count);

    record_init(RECORD_SPEC, &spec);
    for (size_t i = 0; i < count; i++) {
        const Field *field = &table[i];

        if (field->record != RECORD_SPEC || field->type == FIELD_GROUP ||
            field->type == FIELD_ANY_OF)
            continue;
        record_empty(field, &spec);
        record_empty(field, &spec);
        record_preset(field, &spec);
        record_drop(field, &spec);
        record_drop(field, &spec);
        record_preset(field, &spec);
    }
    g_assert_cmpstr(spec.image, ==, "host");
    g_assert_cmpuint(spec.resources->len, ==, 1);
    record_clear(RECORD_SPEC, &spec);
    record_clear(RECORD_SPEC, &spec);
}

static void test_empty_is_null(void)
{
    JobSpecResources *resources = record_new_resources();

    resources->cpus = (JobSpecRange){4, 8};
    resources->accelerators_mixed = true;
    record_empty(field_find("resources.cpus"), resources);
    record_empty(field_find("resources.accelerators"), resources);
    record_empty(field_find("resources.max_price"), resources);
    g_assert_cmpint(resources->cpus.min, ==, 0);
    g_assert_cmpint(resources->cpus.max, ==, INT64_MAX);
    g_assert_false(resources->accelerators_mixed);
    g_assert_cmpint(resources->max_price_usd_micro, ==, INT64_MAX);
    record_free_resources(resources);
}

/* The largest of the alternatives counts. */
static void test_nodes_max(void)
{
    g_autoptr(JobSpecFile) file =
        spec_parse_more("resources: {any_of: [{num_nodes: 1}, {num_nodes: 2..9}, {cpus: 1}]}\n");
    const JobSpec *job = spec_only_job(file);

    g_assert_cmpint(record_get_nodes_max(job), ==, 9);
    g_assert_cmpint(record_default_same(job), ==, JOBSPEC_SAME_SITE);
}

static void test_pairs(void)
{
    JobSpecPair *a = record_new_pair("A", "2"), *b = record_new_pair("B", "1");

    g_assert_cmpint(record_compare_pairs(&a, &b), <, 0);
    g_assert_cmpint(record_compare_pairs(&a, &a), ==, 0);
    record_free_pair(a);
    record_free_pair(b);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/jobspec/record/life", test_life);
    g_test_add_func("/jobspec/record/empty", test_empty_is_null);
    g_test_add_func("/jobspec/record/nodes-max", test_nodes_max);
    g_test_add_func("/jobspec/record/pairs", test_pairs);
    return g_test_run();
}
