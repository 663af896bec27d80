/* SPDX-License-Identifier: Apache-2.0 */
#include "runner/cli/format.h"
#include "runner/cli/jobs.h"
#include "runner/cli/table.h"
#include "runner/queue/bill.h"

#include <math.h>
#include <string.h>

static bool state_is_known(const char *name)
{
    for (JobState state = JOB_PENDING; state <= JOB_CANCELLED; state++) {
        if (strcmp(job_state_name(state), name) == 0)
            return true;
    }
    return false;
}

static void row_add(Table *table, const Job *job, const Invoice *invoice, int64_t now_ms)
{
    table_add(table, g_strdup_printf("%" G_GINT64_FORMAT, job->id.value));
    table_add(table, g_strdup(job->name));
    table_add(table, g_strdup(job_state_name(job->state)));
    table_add(table, format_age(now_ms - job->created_at_ms));
    table_add(table, jobs_format_ran(invoice));
    table_add(table, jobs_format_progress(job));
    table_add(table, isnan(job->loss) ? NULL : format_loss(job->loss));
    table_add(table, money_format(invoice->asset, invoice->total));
}

static json_t *row_to_json(const Job *job, const Invoice *invoice)
{
    json_t *json = jobs_to_json(job);

    json_object_set_new(json, "gpu_ms", json_integer(invoice->gpu_ms));
    json_object_set_new(json, "asset", json_string(money_asset_name(invoice->asset)));
    jobs_set_amount(json, "cost", invoice->asset, invoice->total);
    return json;
}

/* `pending` alone would let a reader think that somebody is going to run it. */
static void note_add(GString *notes, const Job *job)
{
    if (!job_state_is_ended(job->state) && !job->owned && job->reason)
        g_string_append_printf(notes, "job %" G_GINT64_FORMAT ": %s\n", job->id.value, job->reason);
}

typedef struct {
    const char *state; /* NULL: all */
    int64_t limit;     /* 0: none */
    bool quiet;
    bool json;
} ListChoice;

static int jobs_print(Store *store, const GPtrArray *jobs, const ListChoice *choice, GError **error)
{
    static const char *const heads[] = {"JOB",  "NAME",      "STATE", ">AGE",
                                        ">RAN", ">PROGRESS", ">LOSS", ">COST"};
    g_autoptr(Table) table = table_new(heads, G_N_ELEMENTS(heads));
    g_autoptr(GString) notes = g_string_new(NULL);
    json_t *list = json_array();
    int64_t now_ms = jobs_now_ms(), shown = 0;

    for (guint i = 0; i < jobs->len && (!choice->limit || shown < choice->limit); i++) {
        const Job *job = g_ptr_array_index(jobs, i);
        g_autoptr(Invoice) invoice = NULL;

        if (choice->state && strcmp(choice->state, job_state_name(job->state)) != 0)
            continue;
        shown++;
        if (choice->quiet && !choice->json) {
            printf("%" G_GINT64_FORMAT "\n", job->id.value);
            continue;
        }
        invoice = bill_build(store, job->id, error);
        if (!invoice) {
            json_decref(list);
            return CLI_FAILED;
        }
        if (choice->json)
            json_array_append_new(list, row_to_json(job, invoice));
        else {
            row_add(table, job, invoice, now_ms);
            note_add(notes, job);
        }
    }
    if (choice->json)
        return cli_print_json(json_pack("{s:o}", "jobs", list));
    json_decref(list);
    if (!choice->quiet && shown)
        table_print(table, stdout);
    if (notes->len)
        printf("\n%s", notes->str);
    return CLI_OK;
}

static int list_run(const Cli *cli G_GNUC_UNUSED, const CliArgs *args)
{
    ListChoice choice = {cli_args_get(args, "state"), 50, cli_args_has(args, "quiet"),
                         cli_args_has(args, "json")};
    g_autoptr(GError) error = NULL;
    g_autoptr(Store) store = NULL;
    g_autoptr(GPtrArray) jobs = NULL;
    int status = CLI_FAILED;

    if (choice.state && !state_is_known(choice.state))
        return cli_fail(args, CLI_USAGE,
                        "--state: '%s' is not a state (pending, starting, running, stopping, "
                        "retrying, succeeded, failed, cancelled)",
                        choice.state);
    if (!cli_args_get_int(args, "limit", (CliRange){0, INT64_MAX}, &choice.limit, &error))
        return cli_fail_error(args, error);
    store = jobs_open(&error);
    jobs = store ? store_list_jobs(store, NULL, &error) : NULL;
    if (jobs)
        status = jobs_print(store, jobs, &choice, &error);
    return error ? cli_fail_error(args, error) : status;
}

static const CliOption list_options[] = {
    {"limit", 'n', "N", "the newest N jobs (50; 0: all)"},
    {"state", 's', "STATE", "only jobs in this state"},
    {"quiet", 'q', NULL, "only the ids"},
    {"json", 'j', NULL, "print JSON"},
};

const CliCommand cmd_list = {
    .name = "list",
    .arguments = "",
    .summary = "List jobs, the newest first",
    .examples = "drover list --state failed",
    .options = list_options,
    .options_count = G_N_ELEMENTS(list_options),
    .run = list_run,
};
