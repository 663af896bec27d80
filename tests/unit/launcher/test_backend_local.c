/* SPDX-License-Identifier: Apache-2.0 */
#include "launcher/backend.h"
#include "launcher/launch.h"

#include <string.h>

/* A refusal of a field that does not exist would never be seen by anybody. */
static void test_refusals_name_fields(void)
{
    size_t count;
    const JobSpecRefusal *refusals = backend_local_refusals(&count);

    g_assert_cmpuint(count, >, 10);
    for (size_t i = 0; i < count; i++) {
        g_autoptr(GError) error = NULL;
        g_autofree char *help = jobspec_explain(refusals[i].path, &error);

        g_assert_no_error(error);
        g_assert_nonnull(help);
        g_assert_cmpuint(strlen(refusals[i].reason), >, 10);
    }
}

static JobSpecFile *parse(const char *text)
{
    JobSpecFile *file = jobspec_file_parse("job.yaml", text, strlen(text), NULL);

    jobspec_file_print(file, stderr, false);
    g_assert_false(jobspec_file_has_errors(file));
    g_assert_cmpuint(file->jobs->len, ==, 1);
    return file;
}

static void refuse(JobSpecFile *file)
{
    size_t count;
    const JobSpecRefusal *refusals = backend_local_refusals(&count);

    jobspec_file_refuse(file, file->jobs->pdata[0], "local", refusals, count);
}

/* What an author wrote and this machine cannot do is an error at its place; what is written as it
 * would be anyway is not. */
static void test_refused(void)
{
    g_autoptr(JobSpecFile) file = parse("version: 1\nname: a\nrun: 'true'\n"
                                        "where: {location: [tw], green: true}\nspot: only\n"
                                        "image: host\ntrain: {sync: step, compress: none}\n");

    refuse(file);
    g_assert_cmpuint(file->diagnostics->len, ==, 3);
    const JobSpecDiagnostic *first = file->diagnostics->pdata[0];

    g_assert_cmpuint(first->position.line, ==, 4);
    g_assert_nonnull(strstr(first->message, "where.location"));
    g_assert_nonnull(strstr(first->message, "'local'"));
}

static void test_accepted(void)
{
    g_autoptr(JobSpecFile) file =
        parse("version: 1\nname: a\nrun: 'true'\nsetup: make\nenvs: {A: b}\n"
              "resources: {cpus: 1+}\nlaunch: {type: shell, procs_per_node: 2}\n"
              "train: {balance: even}\nlimits: {max_duration: 1h, start_within: 90s}\n"
              "checkpoint: {path: checkpoints, every: 15m, keep: 3, signal: USR1, grace: 60s}\n");

    refuse(file);
    g_assert_cmpuint(file->diagnostics->len, ==, 0);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/backend_local/refusals_name_fields", test_refusals_name_fields);
    g_test_add_func("/backend_local/refused", test_refused);
    g_test_add_func("/backend_local/accepted", test_accepted);
    return g_test_run();
}
