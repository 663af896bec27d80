/* SPDX-License-Identifier: Apache-2.0
 *
 * From a job file, or a job that stopped, to its end and its bill. The work is done by the group
 * (runner/queue/group.h) and shown by the console; here it is decided whether to begin at all.
 */
#include "runner/cli/console.h"
#include "runner/cli/jobs.h"
#include "runner/cli/quote.h"

#include "launcher/plan.h"

/* What every way through `run` needs. */
typedef struct {
    const Cli *cli;
    const CliArgs *args;
    bool json;
    PriceList *prices;
    Node *node;
} Run;

/* ---- --dry-run: the plans, nothing stored ---- */

/* As attempt 1 would be planned, with names in place of folders that are not there. */
static Plan *plan_make(const Run *run, const JobSpec *spec, const Match *match, GError **error)
{
    g_autoptr(GPtrArray) devices = g_ptr_array_new();
    g_autofree char *base_dir = jobs_get_base_dir(cli_args_at(run->args, 0));
    g_autofree char *workdir = g_canonicalize_filename(spec->workdir, base_dir);
    g_autofree char *prefix = g_path_get_dirname(run->cli->program);
    PlanNode node = {.node = run->node, .devices = devices};
    PlanInput input = {.spec = spec,
                       .job = "N",
                       .attempt = 1,
                       .nodes = &node,
                       .nodes_count = 1,
                       .workdir = workdir,
                       .job_dir = "/STATE/jobs/N",
                       .attempt_dir = "/STATE/jobs/N/attempt-1",
                       .path_prefix = prefix,
                       .deadline_at_ms = INT64_MAX,
                       .max_duration_ms = spec->limits.max_duration_ms,
                       .master_port = 29500};

    for (guint i = 0; i < match->devices->len; i++)
        g_ptr_array_add(devices,
                        (gpointer)(uintptr_t)g_array_index(match->devices, MatchDevice, i).device);
    return plan_build(&input, error);
}

static void rank_print(const PlanHost *host, const PlanRank *rank)
{
    printf("  rank %d on %s, cores", rank->rank, host->node);
    for (guint i = 0; i < rank->cpus->len; i++)
        printf("%s%d", i ? "," : " ", g_array_index(rank->cpus, int, i));
    printf("%s", rank->cpus->len ? "" : " shared");
    for (guint i = 0; i < rank->devices->len; i++)
        printf("%s%s", i ? "," : ", device ", (const char *)g_ptr_array_index(rank->devices, i));
    putchar('\n');
}

static void plan_print(const Plan *plan)
{
    for (guint i = 0; i < plan->islands->len; i++) {
        const PlanIsland *island = g_ptr_array_index(plan->islands, i);

        for (guint k = 0; k < island->hosts->len; k++) {
            const PlanHost *host = g_ptr_array_index(island->hosts, k);

            for (guint r = 0; r < host->ranks->len; r++)
                rank_print(host, g_ptr_array_index(host->ranks, r));
        }
    }
}

/* Appends to `list`, or prints; CLI_NO_MATCH where the job fits nowhere. */
static int dry_run_job(const Run *run, const JobSpec *spec, json_t *list, GError **error)
{
    g_autoptr(Quote) quote = quote_new(spec, run->node, run->prices, error);
    bool fits = quote && quote->match->result == MATCH_FITS;
    g_autoptr(Plan) plan = fits ? plan_make(run, spec, quote->match, error) : NULL;
    g_autofree char *text = NULL;

    if (!quote || (fits && !plan))
        return CLI_FAILED;
    if (run->json) {
        json_t *json = quote_to_json(quote, spec);

        json_object_set_new(json, "plan", plan ? plan_to_json(plan) : json_null());
        json_array_append_new(list, json);
    } else {
        text = quote_format(quote, spec);
        printf("%s: %s\n", spec->name, text);
        if (plan)
            plan_print(plan);
    }
    return fits ? CLI_OK : CLI_NO_MATCH;
}

static int dry_run(const Run *run, const JobSpecFile *file, GError **error)
{
    json_t *list = json_array();
    int status = CLI_OK;

    for (guint i = 0; i < file->jobs->len && status != CLI_FAILED; i++) {
        int here = dry_run_job(run, g_ptr_array_index(file->jobs, i), list, error);

        status = here == CLI_OK ? status : here;
    }
    if (status != CLI_FAILED && run->json)
        cli_print_json(json_pack("{s:O}", "jobs", list));
    json_decref(list);
    return status;
}

/* ---- the run ---- */

/* Says what each job will cost; the status is CLI_NO_MATCH where one can never run here. */
static int quotes_say(const Run *run, const JobSpecFile *file, GError **error)
{
    g_autofree char *said = NULL;
    int status = CLI_OK;

    for (guint i = 0; i < file->jobs->len; i++) {
        const JobSpec *spec = g_ptr_array_index(file->jobs, i);
        g_autoptr(Quote) quote = quote_new(spec, run->node, run->prices, error);
        g_autofree char *text = quote ? quote_format(quote, spec) : NULL;

        if (!quote)
            return CLI_FAILED;
        if (quote->match->result != MATCH_FITS)
            status = cli_fail(run->args, CLI_NO_MATCH, "%s: %s", spec->name, text);
        else if (!run->json && g_strcmp0(text, said) != 0) /* once for a whole matrix */
            fprintf(stderr, "drover: %s: %s\n", spec->name, text);
        g_free(said);
        said = g_steal_pointer(&text);
    }
    return status;
}

/* `file` is NULL for --resume. */
static int group_run(const Run *run, const JobSpecFile *file, GError **error)
{
    g_autofree char *prefix = g_path_get_dirname(run->cli->program), *base_dir = NULL;
    g_autoptr(Store) store = jobs_open(error);
    g_autoptr(Console) console = store ? console_new(run->cli, store, run->json) : NULL;
    GroupConfig config = {.store = store,
                          .node = run->node,
                          .prices = run->prices,
                          .program = run->cli->program,
                          .path_prefix = prefix};
    g_autoptr(Group) group = NULL;

    if (!store)
        return CLI_FAILED;
    group = group_new(&config, console_get_funcs(), console);
    if (file) {
        base_dir = jobs_get_base_dir(cli_args_at(run->args, 0));
        if (!group_add_jobs(group, file->jobs, base_dir, error))
            return CLI_FAILED;
    } else {
        JobId id;

        if (!store_find_job(store, cli_args_get(run->args, "resume"), &id, error) ||
            !group_resume_job(group, id, error))
            return CLI_FAILED;
    }
    return console_run(console, group, error);
}

static int file_run(Run *run, GError **error)
{
    int status = CLI_OK;
    g_autoptr(JobSpecFile) file = jobs_load_file(run->cli, run->args, &status);

    if (!file)
        return status;
    run->prices = jobs_load_prices(run->args, error);
    run->node = run->prices ? node_probe(".", error) : NULL;
    if (!run->node)
        return CLI_FAILED;
    if (cli_args_has(run->args, "dry-run"))
        return dry_run(run, file, error);
    status = quotes_say(run, file, error);
    return status == CLI_OK ? group_run(run, file, error) : status;
}

static int resume_run(Run *run, GError **error)
{
    run->prices = jobs_load_prices(run->args, error);
    run->node = run->prices ? node_probe(".", error) : NULL;
    return run->node ? group_run(run, NULL, error) : CLI_FAILED;
}

static int run_run(const Cli *cli, const CliArgs *args)
{
    Run run = {.cli = cli, .args = args, .json = cli_args_has(args, "json")};
    g_autoptr(GError) error = NULL;
    bool resume = cli_args_has(args, "resume");
    int status;

    if (resume == (cli_args_count(args) == 1))
        return cli_fail(args, CLI_USAGE, "give a JOB.yaml, or --resume JOB");
    if (resume && cli_args_has(args, "dry-run"))
        return cli_fail(args, CLI_USAGE, "--dry-run is for a JOB.yaml");
    status = resume ? resume_run(&run, &error) : file_run(&run, &error);
    g_clear_pointer(&run.prices, price_list_free);
    g_clear_pointer(&run.node, node_free);
    return error ? cli_fail_error(args, error) : status;
}

static const CliOption run_options[] = {
    {"dry-run", 'n', NULL, "show which ranks would run where, and run nothing"},
    {"resume", 'r', "JOB", "carry on a job that stopped, from its last checkpoint"},
    JOBS_PRICES_OPTION,
    {"json", 'j', NULL, "print what happens as one JSON object a line"},
};

const CliCommand cmd_run = {
    .name = "run",
    .arguments = "JOB.yaml",
    .arguments_max = 1,
    .summary = "Run the jobs of a file on this machine and show how they go",
    .description =
        "The output of the ranks goes to standard output, everything else to standard error.\n"
        "Ctrl-C sends the checkpoint signal and waits for the grace; a second one kills. A job\n"
        "that was stopped, failed or was cancelled goes on with --resume. Ctrl-Z stops only the\n"
        "view: the job goes on, and so does its bill.\n\n"
        "The exit status is 0 when every job has succeeded, 1 when one has not, 2 for errors in\n"
        "the file, 4 when a job fits no device of this machine, 130 after Ctrl-C.",
    .examples = "drover run examples/02_gpt/job.yaml\n"
                "drover run --dry-run job.yaml\n"
                "drover run --resume 12",
    .options = run_options,
    .options_count = G_N_ELEMENTS(run_options),
    .completes = "file",
    .run = run_run,
};
