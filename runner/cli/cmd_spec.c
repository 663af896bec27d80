/* SPDX-License-Identifier: Apache-2.0
 *
 * The job file language for people and editors: check, schema, explain, and (internal) the man
 * page.
 */
#include "runner/cli/cli.h"

#include "jobspec/jobspec.h"
#include "launcher/launch.h"

#include <string.h>

/* ---- spec check ---- */

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

/* ---- spec schema ---- */

static int schema_run(const Cli *cli G_GNUC_UNUSED, const CliArgs *args G_GNUC_UNUSED)
{
    return cli_print_json(jobspec_schema());
}

static const CliOption schema_options[] = {
    {"json", 'j', NULL, "print JSON, as it does anyway"},
};

const CliCommand cmd_spec_schema = {
    .name = "spec schema",
    .arguments = "",
    .summary = "Print the JSON Schema of job files, for editors",
    .description =
        "JSON Schema 2020-12. With the YAML plug-in of an editor it completes and checks\n"
        "fields while one types.",
    .examples = "drover spec schema > drover.schema.json",
    .options = schema_options,
    .options_count = G_N_ELEMENTS(schema_options),
    .run = schema_run,
};

/* ---- spec explain ---- */

static int explain_run(const Cli *cli G_GNUC_UNUSED, const CliArgs *args)
{
    g_autoptr(GError) error = NULL;
    const char *field = cli_args_count(args) ? cli_args_at(args, 0) : "";
    g_autofree char *text = jobspec_explain(field, &error);

    if (!text)
        return cli_fail(args, CLI_USAGE, "%s", error->message);
    if (cli_args_has(args, "json"))
        return cli_print_json(json_pack("{s:s, s:s}", "field", field, "text", text));
    fputs(text, stdout);
    if (!g_str_has_suffix(text, "\n"))
        putchar('\n');
    return CLI_OK;
}

static const CliOption explain_options[] = {
    {"json", 'j', NULL, "print JSON"},
};

const CliCommand cmd_spec_explain = {
    .name = "spec explain",
    .arguments = "[FIELD]",
    .arguments_max = 1,
    .summary = "Explain a field of job files, or list all fields",
    .examples = "drover spec explain checkpoint.every",
    .options = explain_options,
    .options_count = G_N_ELEMENTS(explain_options),
    .completes = "field",
    .run = explain_run,
};

/* ---- spec man: drover-job(5), written at build time ---- */

static int man_run(const Cli *cli G_GNUC_UNUSED, const CliArgs *args G_GNUC_UNUSED)
{
    g_autofree char *text = jobspec_man();

    return fputs(text, stdout) >= 0 ? CLI_OK : CLI_FAILED;
}

const CliCommand cmd_spec_man = {
    .name = "spec man",
    .arguments = "",
    .summary = "Print the man page of job files",
    .internal = true,
    .run = man_run,
};
