/* SPDX-License-Identifier: Apache-2.0 */
#include "runner/cli/jobs.h"
#include "runner/cli/quote.h"

static int quote_run(const Cli *cli, const CliArgs *args)
{
    g_autoptr(GError) error = NULL;
    int status = CLI_OK;
    g_autoptr(JobSpecFile) file = jobs_load_file(cli, args, &status);
    g_autoptr(PriceList) prices = file ? jobs_load_prices(args, &error) : NULL;
    g_autoptr(Node) node = prices ? node_probe(".", &error) : NULL;
    json_t *list;

    if (!file)
        return status;
    if (!node)
        return cli_fail_error(args, error);
    list = json_array();
    for (guint i = 0; i < file->jobs->len && !error; i++) {
        const JobSpec *spec = g_ptr_array_index(file->jobs, i);
        g_autoptr(Quote) quote = quote_new(spec, node, prices, &error);
        g_autofree char *text = quote ? quote_format(quote, spec) : NULL;

        if (!quote)
            break;
        if (quote->match->result != MATCH_FITS)
            status = CLI_NO_MATCH;
        if (cli_args_has(args, "json"))
            json_array_append_new(list, quote_to_json(quote, spec));
        else
            printf("%s: %s\n", spec->name, text);
    }
    if (error)
        status = cli_fail_error(args, error);
    else if (cli_args_has(args, "json"))
        cli_print_json(json_pack("{s:O}", "jobs", list));
    json_decref(list);
    return status;
}

static const CliOption quote_options[] = {
    JOBS_PRICES_OPTION,
    {"json", 'j', NULL, "print JSON"},
};

const CliCommand cmd_quote = {
    .name = "quote",
    .arguments = "JOB.yaml",
    .arguments_min = 1,
    .arguments_max = 1,
    .summary = "Show which devices a job would get, and what it would cost",
    .description = "Nothing is run and nothing is stored. The exit status is 4 when a job fits no\n"
                   "device of this machine; the reasons say why.",
    .examples = "drover quote job.yaml",
    .options = quote_options,
    .options_count = G_N_ELEMENTS(quote_options),
    .completes = "file",
    .run = quote_run,
};
