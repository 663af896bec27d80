/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/jobspec/spec.h"

#include <glib/gstdio.h>
#include <sys/stat.h>

/* Defaults as the specification of job files gives them. */
static void test_defaults(void)
{
    g_autoptr(JobSpecFile) file = spec_parse_more("");
    const JobSpec *job = spec_only_job(file);
    const JobSpecResources *resources = g_ptr_array_index(job->resources, 0);

    g_assert_cmpstr(job->image, ==, "host");
    g_assert_cmpstr(job->workdir, ==, ".");
    g_assert_cmpuint(job->resources->len, ==, 1);
    g_assert_cmpint(resources->num_nodes.min, ==, 1);
    g_assert_cmpint(resources->num_nodes.max, ==, 1);
    g_assert_cmpuint(resources->accelerators->len, ==, 0);
    g_assert_cmpint(resources->cpus.min, ==, 0);
    g_assert_cmpint(resources->cpus.max, ==, INT64_MAX);
    g_assert_cmpint(resources->max_price_usd_micro, ==, INT64_MAX);
    g_assert_cmpint(job->launch.type, ==, JOBSPEC_LAUNCH_MPI);
    g_assert_cmpint(job->launch.procs_per_node, ==, JOBSPEC_PROCS_GPU);
    g_assert_cmpint(job->where.same, ==, JOBSPEC_SAME_NONE);
    g_assert_cmpint(job->where.proof_max_age_ms, ==, INT64_MAX);
    g_assert_cmpint(job->spot, ==, JOBSPEC_SPOT_NEVER);
    g_assert_null(job->setup);
    g_assert_null(job->checkpoint.path);
    g_assert_null(job->matrix_group);
    g_assert_cmpint(job->limits.max_duration_ms, ==, 86400000);
    g_assert_cmpint(job->limits.max_cost_usd_micro, ==, INT64_MAX);
    g_assert_cmpint(job->limits.start_within_ms, ==, INT64_MAX);
    g_assert_cmpint(job->max_parallel, ==, INT64_MAX);
    g_assert_cmpint(job->priority, ==, 50);
    g_assert_cmpint(job->payment.asset, ==, JOBSPEC_ASSET_USDC);
    g_assert_cmpuint(job->retry.on, ==,
                     JOBSPEC_RETRY_SUPPLIER_LOST | JOBSPEC_RETRY_PREEMPTED |
                         JOBSPEC_RETRY_PREFLIGHT);
}

static void test_default_of_same(void)
{
    g_autoptr(JobSpecFile) two = spec_parse_more("resources: {num_nodes: 1..2}\n");
    g_autoptr(JobSpecFile) said =
        spec_parse_more("resources: {num_nodes: 2}\nwhere: {same: none}\n");

    g_assert_cmpint(spec_only_job(two)->where.same, ==, JOBSPEC_SAME_SITE);
    g_assert_cmpint(spec_only_job(said)->where.same, ==, JOBSPEC_SAME_NONE);
}

/* The example of the documentation: several documents, every kind of field. */
static void test_documents(void)
{
    g_autoptr(JobSpecFile) file =
        spec_parse("version: 1\nname: a\nrun: x\n---\nversion: 1\nname: b\nrunn: y\n---\n"
                   "version: 1\nname: c\nrun: z\n");
    g_autofree char *found = spec_describe(file);

    g_assert_cmpuint(file->jobs->len, ==, 2); /* b is left out */
    g_assert_cmpstr(((JobSpec *)g_ptr_array_index(file->jobs, 1))->name, ==, "c");
    g_assert_cmpstr(found, ==,
                    "5:1+1 E104 'run' is missing (try 'run: ./train --resume "
                    "\"$DROVER_CHECKPOINT_DIR\"')\n"
                    "7:1+4 E102 unknown field 'runn'; did you mean 'run'?\n");
}

static void test_no_bytes(void)
{
    g_autoptr(JobSpecFile) file = jobspec_file_parse("f", NULL, 0, NULL);

    g_assert_true(jobspec_file_has_errors(file));
}

static void test_load(void)
{
    g_autofree char *dir = g_dir_make_tmp("drover-XXXXXX", NULL);
    g_autofree char *path = g_build_filename(dir, "job.yaml", NULL);
    g_autoptr(JobSpecFile) missing = jobspec_file_load(path, NULL);
    g_autoptr(JobSpecFile) folder = jobspec_file_load(dir, NULL);
    g_autoptr(JobSpecFile) endless = jobspec_file_load("/dev/zero", NULL);
    g_autoptr(JobSpecFile) good = NULL;
    g_autofree char *missing_text = spec_describe(missing), *folder_text = spec_describe(folder);
    g_autofree char *endless_text = spec_describe(endless);

    g_assert_cmpstr(missing_text, ==, "1:1+1 E100 cannot be read: No such file or directory\n");
    g_assert_cmpstr(folder_text, ==, "1:1+1 E100 cannot be read: Is a directory\n");
    g_assert_cmpstr(endless_text, ==,
                    "1:1+1 E109 the file is larger than 1048576 bytes, the most that is read\n");
    g_assert_true(g_file_set_contents(path, SPEC_HEAD, -1, NULL));
    good = jobspec_file_load(path, NULL);
    g_assert_cmpstr(good->name, ==, path);
    g_assert_cmpstr(spec_only_job(good)->name, ==, "a");
    g_assert_cmpint(g_unlink(path), ==, 0);
    g_assert_cmpint(g_rmdir(dir), ==, 0);
}

static const JobSpecRefusal refusals[] = {
    {"where", "there is one node, this one"},
    {"image", "it runs on the host"},
    {"resources.max_price", "nothing is bought"},
};

static void assert_refused(const char *more, const char *expected)
{
    g_autoptr(JobSpecFile) file = spec_parse_more(more);
    g_autofree char *found = NULL;

    jobspec_file_refuse(file, spec_only_job(file), "local", refusals, G_N_ELEMENTS(refusals));
    found = spec_describe(file);
    g_assert_cmpstr(found, ==, expected);
}

static void test_refuse(void)
{
    assert_refused("", "");
    assert_refused(
        "where: {location: [tw], green: true}\n",
        "4:9+8 E118 backend 'local' cannot honour 'where.location': there is one node, this "
        "one\n"
        "4:25+5 E118 backend 'local' cannot honour 'where.green': there is one node, this "
        "one\n");
    assert_refused("resources:\n  any_of:\n  - {cpus: 1}\n  - {max_price: 2}\n",
                   "7:6+9 E118 backend 'local' cannot honour 'resources.max_price': nothing is "
                   "bought\n");
    /* written, but as it would be anyway */
    assert_refused(
        "image: host\nwhere: {green: false, location: [], bandwidth: null, same: none}\n", "");
    assert_refused("resources: {num_nodes: 2, max_price: null}\nwhere: {same: site}\n", "");
}

/* The jobs of a matrix have the same place, and are refused once. */
static void test_refuse_matrix(void)
{
    g_autoptr(JobSpecFile) file =
        spec_parse("version: 1\nname: a\nrun: ${{matrix.x}}\nmatrix: {x: 1..3}\nimage: oci:x\n");
    g_autofree char *found = NULL;

    for (guint i = 0; i < file->jobs->len; i++)
        jobspec_file_refuse(file, g_ptr_array_index(file->jobs, i), "local", refusals,
                            G_N_ELEMENTS(refusals));
    found = spec_describe(file);
    g_assert_cmpstr(found, ==,
                    "5:1+5 E118 backend 'local' cannot honour 'image': it runs on the host\n");
}

static void test_add_error(void)
{
    g_autoptr(JobSpecFile) file = spec_parse(SPEC_HEAD "---\nversion: 1\nname: b\nrun: x\n"
                                                       "resources: {cpus: 64+}\n");
    const JobSpec *job = g_ptr_array_index(file->jobs, 1);
    g_autofree char *found = NULL;

    jobspec_file_add_error(file, job, "resources.cpus", "this machine has %d", 4);
    jobspec_file_add_error(file, job, "resources.memory", "none is free");
    found = spec_describe(file);
    g_assert_cmpstr(found, ==, "5:1+1 E119 none is free\n8:13+4 E119 this machine has 4\n");
    g_assert_true(jobspec_file_has_errors(file));
}

static void test_from_json(void)
{
    static const struct {
        const char *json, *message;
    } bad[] = {
        {"", "stored job: no job in this file (a job begins with 'version: 1') (column 1)"},
        {"{\"version\":1,\"name\":\"a\"}",
         "stored job: 'run' is missing (try 'run: ./train --resume \"$DROVER_CHECKPOINT_DIR\"') "
         "(column 1)"},
        {"{\"version\":1,\"name\":\"a\",\"run\":\"x\",\"matrix\":{\"x\":[1,2]}}",
         "stored job: 2 jobs, not one"},
    };
    static const char good[] =
        "{\"version\":1,\"name\":\"a\",\"run\":\"x\",\"depends_on\":[{\"job\":\"b\"}]}";
    g_autoptr(JobSpec) job = jobspec_from_json(good, strlen(good), NULL);

    g_assert_cmpuint(job->depends_on->len, ==, 1); /* its file is not here */
    for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autoptr(GError) error = NULL;

        g_assert_null(jobspec_from_json(bad[i].json, strlen(bad[i].json), &error));
        g_assert_error(error, JOBSPEC_DOMAIN, JOBSPEC_FAIL_INVALID);
        g_assert_cmpstr(error->message, ==, bad[i].message);
    }
}

static void test_to_json(void)
{
    g_autoptr(JobSpecFile) file = spec_parse(SPEC_HEAD "where: {same: site}\n---\nrun: 5\n");
    json_t *json = jobspec_file_to_json(file);
    json_t *first = json_array_get(json_object_get(json, "diagnostics"), 0);

    g_assert_cmpstr(json_string_value(json_object_get(json, "file")), ==, "job.yaml");
    g_assert_true(json_is_false(json_object_get(json, "ok")));
    g_assert_cmpuint(json_array_size(json_object_get(json, "jobs")), ==, 1);
    g_assert_cmpstr(json_string_value(json_object_get(first, "severity")), ==, "warning");
    g_assert_cmpstr(json_string_value(json_object_get(first, "code")), ==, "W201");
    g_assert_cmpint(json_integer_value(json_object_get(first, "line")), ==, 4);
    g_assert_cmpint(json_integer_value(json_object_get(first, "column")), ==, 9);
    g_assert_cmpint(json_integer_value(json_object_get(first, "length")), ==, 4);
    json_decref(json);
}

static void test_limits(void)
{
    const JobSpecLimits limits = {.file_bytes = 64, .depth = 2, .nodes = 12, .jobs = 1};
    static const char deep[] = "version: 1\nwhere: {tier: [[]]}\n";
    static const char two[] = "--- {name: a}\n--- {name: b}\n";
    g_autofree char *many = g_strnfill(65, 'x');
    g_autoptr(JobSpecFile) too_deep = jobspec_file_parse("f", deep, strlen(deep), &limits);
    g_autoptr(JobSpecFile) too_many = jobspec_file_parse("f", two, strlen(two), &limits);
    g_autoptr(JobSpecFile) too_large = jobspec_file_parse("f", many, 65, &limits);
    g_autofree char *deep_text = spec_describe(too_deep), *many_text = spec_describe(too_many);
    g_autofree char *large_text = spec_describe(too_large);

    g_assert_cmpstr(deep_text, ==, "2:15+1 E109 nested deeper than 2, the most that is read\n");
    g_assert_true(g_str_has_suffix(many_text, "2:5+1 E109 more than 1 jobs in the file\n"));
    g_assert_cmpstr(large_text, ==,
                    "1:1+1 E109 the file is larger than 64 bytes, the most that is read\n");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/jobspec/defaults", test_defaults);
    g_test_add_func("/jobspec/default-of-same", test_default_of_same);
    g_test_add_func("/jobspec/documents", test_documents);
    g_test_add_func("/jobspec/no-bytes", test_no_bytes);
    g_test_add_func("/jobspec/load", test_load);
    g_test_add_func("/jobspec/refuse", test_refuse);
    g_test_add_func("/jobspec/refuse-matrix", test_refuse_matrix);
    g_test_add_func("/jobspec/add-error", test_add_error);
    g_test_add_func("/jobspec/from-json", test_from_json);
    g_test_add_func("/jobspec/to-json", test_to_json);
    g_test_add_func("/jobspec/limits", test_limits);
    return g_test_run();
}
