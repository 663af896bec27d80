/* SPDX-License-Identifier: Apache-2.0
 *
 * The job file language for people and editors: its schema and its explanation.
 */
#include "runner/cli/cli.h"

#include "jobspec/jobspec.h"

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
