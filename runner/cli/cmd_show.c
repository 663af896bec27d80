/* SPDX-License-Identifier: Apache-2.0 */
#include "runner/cli/format.h"
#include "runner/cli/jobs.h"
#include "runner/cli/table.h"
#include "runner/queue/bill.h"

#include <math.h>

#define LOSSES      1000 /* read for the sparkline */
#define SPARK_CELLS 60

/* All that is shown of one job. */
typedef struct {
    Job *job;
    GPtrArray *leases; /* Lease * */
    GPtrArray *events; /* Event *; NULL: not asked for */
    GArray *losses;    /* double */
    Invoice *invoice;
    char *dir;
    char *checkpoint_dir; /* NULL: none, the job's path is refused */
} Show;

static void show_clear(Show *show)
{
    g_clear_pointer(&show->job, job_free);
    g_clear_pointer(&show->leases, g_ptr_array_unref);
    g_clear_pointer(&show->events, g_ptr_array_unref);
    g_clear_pointer(&show->losses, g_array_unref);
    g_clear_pointer(&show->invoice, invoice_free);
    g_clear_pointer(&show->dir, g_free);
    g_clear_pointer(&show->checkpoint_dir, g_free);
}

static bool show_load(Show *show, Store *store, const CliArgs *args, GError **error)
{
    show->job = jobs_find(store, cli_args_at(args, 0), error);
    if (!show->job)
        return false;
    show->dir = store_get_job_dir(store, show->job->id);
    show->checkpoint_dir = jobs_get_checkpoint_dir(store, show->job->id);
    show->leases = store_list_leases(store, show->job->id, error);
    show->losses = show->leases ? store_list_losses(store, show->job->id, LOSSES, error) : NULL;
    show->invoice = show->losses ? bill_build(store, show->job->id, error) : NULL;
    if (show->invoice && cli_args_has(args, "events"))
        show->events = store_list_events(store, show->job->id, 0, error);
    return show->invoice && (show->events || !cli_args_has(args, "events"));
}

/* ---- JSON ---- */

static json_t *leases_to_json(const GPtrArray *leases)
{
    json_t *list = json_array();

    for (guint i = 0; i < leases->len; i++) {
        const Lease *lease = g_ptr_array_index(leases, i);

        json_array_append_new(
            list, json_pack("{s:I, s:i, s:s, s:s, s:s, s:s, s:I, s:I, s:I, s:b}", "lease",
                            (json_int_t)lease->id, "attempt", lease->attempt, "supplier",
                            lease->supplier, "node", lease->node, "device", lease->device, "model",
                            lease->model, "price_usd_micro", (json_int_t)lease->price_usd_micro,
                            "granted_at_ms", (json_int_t)lease->granted_at_ms, "used_ms",
                            (json_int_t)lease->used_ms, "released", lease->released));
    }
    return list;
}

static json_t *events_to_json(const GPtrArray *events)
{
    json_t *list = json_array();

    for (guint i = 0; i < events->len; i++) {
        const Event *event = g_ptr_array_index(events, i);

        json_array_append_new(list, json_pack("{s:I, s:i, s:I, s:s, s:O?}", "seq",
                                              (json_int_t)event->seq, "attempt", event->attempt,
                                              "at_ms", (json_int_t)event->at_ms, "event",
                                              event->type, "body", event->body));
    }
    return list;
}

static int show_print_json(const Show *show)
{
    json_t *json = jobs_to_json(show->job), *losses = json_array();

    for (guint i = 0; i < show->losses->len; i++)
        json_array_append_new(losses, json_real(g_array_index(show->losses, double, i)));
    json_object_set_new(json, "dir", json_string(show->dir));
    json_object_set_new(json, "checkpoint_dir",
                        show->checkpoint_dir ? json_string(show->checkpoint_dir) : json_null());
    json_object_set_new(json, "losses", losses);
    json_object_set_new(json, "leases", leases_to_json(show->leases));
    json_object_set_new(json, "invoice", invoice_to_json(show->invoice));
    if (show->events)
        json_object_set_new(json, "events", events_to_json(show->events));
    return cli_print_json(json);
}

/* ---- text ---- */

static char *time_format(int64_t at_ms)
{
    g_autoptr(GDateTime) time = g_date_time_new_from_unix_local(at_ms / 1000);

    return time ? g_date_time_format(time, "%F %T %z") : g_strdup("?");
}

static void line_print(const char *head, char *text)
{
    if (text)
        printf("  %-11s %s\n", head, text);
    g_free(text);
}

static void course_print(const Cli *cli, const Show *show)
{
    const Job *job = show->job;
    g_autofree char *loss = format_loss(job->loss), *val = format_loss(job->val_loss);

    if (job->steps > 0)
        line_print("step",
                   g_strdup_printf("%" G_GINT64_FORMAT "/%" G_GINT64_FORMAT " (%d %%)", job->step,
                                   job->steps, format_percent(job->step, job->steps)));
    else if (job->step > 0)
        line_print("step", g_strdup_printf("%" G_GINT64_FORMAT, job->step));
    if (!isnan(job->loss))
        line_print("loss", g_strdup(loss));
    if (!isnan(job->val_loss))
        line_print("val loss", g_strdup(val));
    if (show->losses->len > 1)
        line_print("", format_sparkline((const double *)(const void *)show->losses->data,
                                        show->losses->len, SPARK_CELLS, cli->unicode));
    if (job->tokens_per_s > 0)
        line_print("tokens/s", format_count(job->tokens_per_s));
    if (job->checkpoint_step >= 0 && show->checkpoint_dir)
        line_print("checkpoint", g_strdup_printf("at step %" G_GINT64_FORMAT ", in %s",
                                                 job->checkpoint_step, show->checkpoint_dir));
}

static void head_print(const Show *show)
{
    const Job *job = show->job;
    g_autofree char *created = time_format(job->created_at_ms);
    g_autofree char *age = format_age(jobs_now_ms() - job->created_at_ms);

    printf("%s #%" G_GINT64_FORMAT "  %s\n", job->name, job->id.value, job_state_name(job->state));
    line_print("reason", g_strdup(job->reason));
    line_print("created", g_strdup_printf("%s, %s ago", created, age));
    line_print("ran", jobs_format_ran(show->invoice));
    if (job->exit_code > 0)
        line_print("exit code", g_strdup_printf("%d", job->exit_code));
    line_print("attempts", g_strdup_printf("%d", job->attempts));
}

static void leases_print(const GPtrArray *leases)
{
    static const char *const heads[] = {"LEASE", ">ATTEMPT",  "NODE",     "DEVICE",
                                        "MODEL", ">USD/HOUR", ">SECONDS", ""};
    g_autoptr(Table) table = table_new(heads, G_N_ELEMENTS(heads));

    if (leases->len == 0)
        return;
    for (guint i = 0; i < leases->len; i++) {
        const Lease *lease = g_ptr_array_index(leases, i);

        table_add(table, g_strdup_printf("%" G_GINT64_FORMAT, lease->id));
        table_add(table, g_strdup_printf("%d", lease->attempt));
        table_add(table, g_strdup(lease->node));
        table_add(table, g_strdup(lease->device));
        table_add(table, g_strdup(lease->model));
        table_add(table, money_format_decimal(lease->price_usd_micro, 6));
        table_add(table, money_format_decimal(lease->used_ms, 3));
        table_add(table, g_strdup(lease->released ? "" : "held"));
    }
    putchar('\n');
    table_print(table, stdout);
}

static void events_print(const GPtrArray *events)
{
    static const char *const heads[] = {"TIME", ">ATTEMPT", "EVENT", ""};
    g_autoptr(Table) table = table_new(heads, G_N_ELEMENTS(heads));

    for (guint i = 0; i < events->len; i++) {
        const Event *event = g_ptr_array_index(events, i);
        char *body = event->body && json_object_size(event->body)
                         ? json_dumps(event->body, JSON_COMPACT | JSON_ENSURE_ASCII)
                         : NULL;

        table_add(table, time_format(event->at_ms));
        table_add(table, g_strdup_printf("%d", event->attempt));
        table_add(table, g_strdup(event->type));
        table_add(table, g_strdup(body ? body : ""));
        free(body);
    }
    putchar('\n');
    table_print(table, stdout);
}

static int show_print(const Cli *cli, const Show *show)
{
    head_print(show);
    course_print(cli, show);
    if (show->job->attempts > 0)
        line_print("logs", g_strdup_printf("%s/attempt-%d", show->dir, show->job->attempts));
    line_print("cost", money_format(show->invoice->asset, show->invoice->total));
    leases_print(show->leases);
    if (show->events)
        events_print(show->events);
    return CLI_OK;
}

static int show_run(const Cli *cli, const CliArgs *args)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(Store) store = jobs_open(&error);
    Show show = {0};
    int status = CLI_FAILED;

    if (store && show_load(&show, store, args, &error))
        status = cli_args_has(args, "json") ? show_print_json(&show) : show_print(cli, &show);
    show_clear(&show);
    return error ? cli_fail_error(args, error) : status;
}

static const CliOption show_options[] = {
    {"events", 'e', NULL, "all events too: everything that has happened to it"},
    {"json", 'j', NULL, "print JSON"},
};

const CliCommand cmd_show = {
    .name = "show",
    .arguments = "JOB",
    .arguments_min = 1,
    .arguments_max = 1,
    .summary = "Show one job: state, course, checkpoint, leases, where its logs are",
    .description = "JOB is an id, or a name: then the newest job of that name.",
    .examples = "drover show 12\n"
                "drover show --events gpt",
    .options = show_options,
    .options_count = G_N_ELEMENTS(show_options),
    .completes = "job",
    .run = show_run,
};
