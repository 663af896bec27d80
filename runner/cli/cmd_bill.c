/* SPDX-License-Identifier: Apache-2.0
 *
 * The invoice of a job, built from its leases; or those of all jobs, and an audit of the ledger.
 */
#include "runner/cli/jobs.h"
#include "runner/cli/table.h"
#include "runner/queue/bill.h"

#define ASSETS 2

typedef struct {
    GPtrArray *invoices; /* Invoice *, newest job first */
    int64_t gpu_ms;
    int64_t total[ASSETS]; /* of the invoices */
    int64_t open[ASSETS];  /* ... of those that are not final */
    int64_t postings;
} Bill;

static int one_print(const Cli *cli, Store *store, const CliArgs *args, GError **error)
{
    g_autoptr(Job) job = jobs_find(store, cli_args_at(args, 0), error);
    g_autoptr(Invoice) invoice = job ? bill_build(store, job->id, error) : NULL;

    if (!invoice)
        return CLI_FAILED;
    if (cli_args_has(args, "json"))
        return cli_print_json(invoice_to_json(invoice));
    jobs_print_invoice(invoice, stdout, cli->unicode);
    return CLI_OK;
}

static bool bill_fill(Bill *bill, Store *store, GError **error)
{
    g_autoptr(GPtrArray) jobs = store_list_jobs(store, NULL, error);

    if (!jobs)
        return false;
    for (guint i = 0; i < jobs->len; i++) {
        const Job *job = g_ptr_array_index(jobs, i);
        Invoice *invoice = bill_build(store, job->id, error);

        if (!invoice)
            return false;
        g_ptr_array_add(bill->invoices, invoice);
        bill->gpu_ms += invoice->gpu_ms;
        bill->total[invoice->asset] += invoice->total;
        if (!invoice->final)
            bill->open[invoice->asset] += invoice->total;
    }
    return ledger_audit(store_get_ledger(store), &bill->postings, error);
}

static int bill_print_json(const Bill *bill)
{
    json_t *list = json_array(), *totals = json_array();

    for (guint i = 0; i < bill->invoices->len; i++)
        json_array_append_new(list, invoice_to_json(g_ptr_array_index(bill->invoices, i)));
    for (int i = 0; i < ASSETS; i++) {
        json_t *total = json_pack("{s:s}", "asset", money_asset_name((MoneyAsset)i));

        jobs_set_amount(total, "total", (MoneyAsset)i, bill->total[i]);
        json_array_append_new(totals, total);
    }
    return cli_print_json(json_pack("{s:o, s:I, s:o, s:{s:I, s:b}}", "invoices", list, "gpu_ms",
                                    (json_int_t)bill->gpu_ms, "totals", totals, "ledger",
                                    "postings", (json_int_t)bill->postings, "audited", 1));
}

static int bill_print(const Bill *bill)
{
    static const char *const heads[] = {"JOB", "NAME", ">GPU SECONDS", ">TOTAL", ""};
    g_autoptr(Table) table = table_new(heads, G_N_ELEMENTS(heads));

    for (guint i = 0; i < bill->invoices->len; i++) {
        const Invoice *invoice = g_ptr_array_index(bill->invoices, i);

        table_add(table, g_strdup(invoice->job));
        table_add(table, g_strdup(invoice->name));
        table_add(table, money_format_decimal(invoice->gpu_ms, 3));
        table_add(table, money_format(invoice->asset, invoice->total));
        table_add(table, g_strdup(invoice->final ? "" : "so far"));
    }
    if (bill->invoices->len)
        table_print(table, stdout);
    for (int i = 0; i < ASSETS; i++) {
        g_autofree char *total = money_format((MoneyAsset)i, bill->total[i]);
        g_autofree char *open = money_format((MoneyAsset)i, bill->open[i]);

        if (bill->total[i])
            printf("in all %s%s%s%s\n", total, bill->open[i] ? ", of which " : "",
                   bill->open[i] ? open : "", bill->open[i] ? " is still running" : "");
    }
    printf("the ledger has %" G_GINT64_FORMAT " postings; chain, sums and balances are right\n",
           bill->postings);
    return CLI_OK;
}

static void invoice_free_any(void *invoice)
{
    invoice_free(invoice);
}

static int all_print(Store *store, const CliArgs *args, GError **error)
{
    g_autoptr(GPtrArray) invoices = g_ptr_array_new_with_free_func(invoice_free_any);
    Bill bill = {.invoices = invoices};

    if (!bill_fill(&bill, store, error))
        return CLI_FAILED;
    return cli_args_has(args, "json") ? bill_print_json(&bill) : bill_print(&bill);
}

static int bill_run(const Cli *cli, const CliArgs *args)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(Store) store = NULL;
    bool all = cli_args_count(args) == 0;
    int status = CLI_FAILED;

    store = jobs_open(&error);
    if (store)
        status = all ? all_print(store, args, &error) : one_print(cli, store, args, &error);
    return error ? cli_fail_error(args, error) : status;
}

static const CliOption bill_options[] = {
    {"json", 'j', NULL, "print JSON"},
};

const CliCommand cmd_bill = {
    .name = "bill",
    .arguments = "[JOB]",
    .arguments_max = 1,
    .summary = "Show what a job cost, or all of them",
    .description = "Without JOB: all jobs, their sum, and an audit of the ledger.\n"
                   "\n"
                   "While a job runs the invoice says what it cost up to its last heartbeat.",
    .examples = "drover bill 12\n"
                "drover bill --json",
    .options = bill_options,
    .options_count = G_N_ELEMENTS(bill_options),
    .completes = "job",
    .run = bill_run,
};
