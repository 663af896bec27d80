/* SPDX-License-Identifier: Apache-2.0 */
#include "runner/cli/cli.h"

#include "jobspec/jobspec.h"
#include "launcher/launch.h"

#include <string.h>

static void backend_check(JobSpecFile *file, const char *backend)
{
    size_t count;
    const JobSpecRefusal *refusals = backend_local_refusals(&count);

    for (guint i = 0; i < file->jobs->len; i++)
        jobspec_file_refuse(file, g_ptr_array_index(file->jobs, i), backend, refusals, count);
}

static void file_print(const Cli *cli, const JobSpecFile *file)
{
    jobspec_file_print(file, stderr, cli->colour);
    if (!jobspec_file_has_errors(file))
        printf("%s: %u %s, no errors\n", file->name, file->jobs->len,
               file->jobs->len == 1 ? "job" : "jobs");
}

static int check_run(const Cli *cli, const CliArgs *args)
{
    const char *format = cli_args_get(args, "format"), *backend = cli_args_get(args, "backend");
    bool as_json = cli_args_has(args, "json"), ok = true;
    json_t *list;

    if (format && strcmp(format, "json") != 0 && strcmp(format, "text") != 0)
        return cli_fail(args, CLI_USAGE, "--format: '%s' is neither 'text' nor 'json'", format);
    if (backend && strcmp(backend, "local") != 0)
        return cli_fail(args, CLI_USAGE, "--backend: '%s' is not a backend (there is 'local')",
                        backend);
    as_json = as_json || (format && strcmp(format, "json") == 0);
    list = json_array();
    for (int i = 0; i < cli_args_count(args); i++) {
        g_autoptr(JobSpecFile) file = jobspec_file_load(cli_args_at(args, i), NULL);

        if (backend)
            backend_check(file, backend);
        ok = ok && !jobspec_file_has_errors(file);
        if (as_json)
            json_array_append_new(list, jobspec_file_to_json(file));
        else
            file_print(cli, file);
    }
    if (as_json && cli_print_json(json_pack("{s:b, s:O}", "ok", ok, "files", list)) != CLI_OK)
        ok = false;
    json_decref(list);
    return ok ? CLI_OK : CLI_USAGE;
}

static const CliOption check_options[] = {
    {"backend", 'b', "NAME", "refuse also what this backend cannot honour ('local')"},
    {"format", 0, "FORMAT", "'text' or 'json'"},
    {"json", 'j', NULL, "the same as --format json"},
};

const CliCommand cmd_spec_check = {
    .name = "spec check",
    .arguments = "FILE...",
    .arguments_min = 1,
    .arguments_max = G_MAXINT,
    .summary = "Check job files and show every error with its place",
    .description = "Diagnostics go to standard error, in the shape of compilers. '-' is standard\n"
                   "input. The exit status is 2 when a file has an error.",
    .examples = "drover spec check job.yaml\n"
                "drover spec check --backend local --json *.yaml",
    .options = check_options,
    .options_count = G_N_ELEMENTS(check_options),
    .completes = "file",
    .run = check_run,
};
