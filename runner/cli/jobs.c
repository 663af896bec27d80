/* SPDX-License-Identifier: Apache-2.0 */
#include "runner/cli/jobs.h"

#include "launcher/launch.h"
#include "launcher/plan.h"
#include "runner/cli/format.h"

#include <math.h>
#include <string.h>

int64_t jobs_now_ms(void)
{
    return g_get_real_time() / 1000;
}

Store *jobs_open(GError **error)
{
    g_autoptr(Store) store = store_open(NULL, error);

    if (!store || !store_recover(store, jobs_now_ms(), error))
        return NULL;
    return g_steal_pointer(&store);
}

Job *jobs_find(Store *store, const char *word, GError **error)
{
    JobId id;

    if (!store_find_job(store, word, &id, error))
        return NULL;
    return store_get_job(store, id, error);
}

char *jobs_get_checkpoint_dir(Store *store, JobId id)
{
    g_autoptr(JobSpec) spec = store_get_spec(store, id, NULL, NULL);
    g_autofree char *dir = store_get_job_dir(store, id);

    return spec ? plan_get_checkpoint_dir(spec, dir, NULL) : NULL;
}

/* JSON null for what has not happened. */
static json_t *time_to_json(int64_t at_ms)
{
    return at_ms > 0 ? json_integer(at_ms) : json_null();
}

/* json_real() gives NULL for NaN and infinities. */
static json_t *real_to_json(double value)
{
    json_t *json = json_real(value);

    return json ? json : json_null();
}

json_t *jobs_to_json(const Job *job)
{
    json_t *json =
        json_pack("{s:I, s:s, s:s, s:s?, s:s?, s:i, s:b}", "job", (json_int_t)job->id.value, "name",
                  job->name, "state", job_state_name(job->state), "reason", job->reason, "cause",
                  job->cause, "attempts", job->attempts, "owned", job->owned);

    json_object_set_new(json, "created_at_ms", time_to_json(job->created_at_ms));
    json_object_set_new(json, "started_at_ms", time_to_json(job->started_at_ms));
    json_object_set_new(json, "ended_at_ms", time_to_json(job->ended_at_ms));
    json_object_set_new(json, "exit_code",
                        job->exit_code < 0 ? json_null() : json_integer(job->exit_code));
    json_object_set_new(json, "step", job->step > 0 ? json_integer(job->step) : json_null());
    json_object_set_new(json, "steps", job->steps > 0 ? json_integer(job->steps) : json_null());
    json_object_set_new(json, "loss", real_to_json(job->loss));
    json_object_set_new(json, "val_loss", real_to_json(job->val_loss));
    json_object_set_new(json, "tokens_per_s",
                        real_to_json(job->tokens_per_s > 0 ? job->tokens_per_s : NAN));
    json_object_set_new(json, "checkpoint_step",
                        job->checkpoint_step < 0 ? json_null()
                                                 : json_integer(job->checkpoint_step));
    return json;
}

char *jobs_format_progress(const Job *job)
{
    if (job->steps > 0)
        return g_strdup_printf("%d %%", format_percent(job->step, job->steps));
    if (job->step > 0)
        return g_strdup_printf("step %" G_GINT64_FORMAT, job->step);
    return NULL;
}

/* An attempt with devices of several models has several lines: the longest of them, once. */
static int64_t get_ran_ms(const Invoice *invoice, guint index)
{
    const InvoiceLine *line = g_ptr_array_index(invoice->lines, index);
    int64_t ran_ms = line->gpu_ms / line->devices;

    for (guint i = 0; i < invoice->lines->len; i++) {
        const InvoiceLine *other = g_ptr_array_index(invoice->lines, i);
        int64_t other_ms = other->gpu_ms / other->devices;

        if (other->attempt == line->attempt &&
            (other_ms > ran_ms || (other_ms == ran_ms && i < index)))
            return 0;
    }
    return ran_ms;
}

char *jobs_format_ran(const Invoice *invoice)
{
    int64_t ran_ms = 0;

    for (guint i = 0; i < invoice->lines->len; i++)
        ran_ms += get_ran_ms(invoice, i);
    return invoice->lines->len ? format_duration(ran_ms) : NULL;
}

PriceList *jobs_load_prices(const CliArgs *args, GError **error)
{
    const char *path = cli_args_get(args, "prices");

    if (!path)
        path = g_getenv("DROVER_PRICES");
    return price_list_load(path && path[0] ? path : NULL, error);
}

void jobs_set_amount(json_t *json, const char *key, MoneyAsset asset, int64_t amount)
{
    g_autofree char *text = money_format_decimal(amount, money_asset_decimals(asset));
    g_autofree char *units = g_strdup_printf("%s_units", key);

    json_object_set_new(json, key, json_string(text));
    json_object_set_new(json, units, json_integer(amount));
}

void jobs_print_invoice(const Invoice *invoice, FILE *out, bool unicode)
{
    char *data = NULL;
    size_t size = 0;
    FILE *memory = unicode ? NULL : open_memstream(&data, &size);
    g_autoptr(GString) text = NULL;

    if (!memory) {
        invoice_print(invoice, out);
        return;
    }
    invoice_print(invoice, memory);
    fclose(memory);
    text = g_string_new_len(data, (gssize)size);
    g_string_replace(text, "─", "-", 0);
    fputs(text->str, out);
    free(data);
}

char *jobs_format_usd(int64_t usd_micro)
{
    g_autofree char *text = money_format_decimal(usd_micro, 6);
    size_t length = strlen(text);

    while (length > 2 && text[length - 1] == '0' && text[length - 3] != '.')
        text[--length] = '\0';
    return g_strdup_printf("%s USD", text);
}

JobSpecFile *jobs_load_file(const Cli *cli, const CliArgs *args, int *status)
{
    g_autoptr(JobSpecFile) file = jobspec_file_load(cli_args_at(args, 0), NULL);
    size_t count;
    const JobSpecRefusal *refusals = backend_local_refusals(&count);

    for (guint i = 0; i < file->jobs->len; i++)
        jobspec_file_refuse(file, g_ptr_array_index(file->jobs, i), "local", refusals, count);
    jobspec_file_print(file, stderr, cli->colour);
    if (!jobspec_file_has_errors(file))
        return g_steal_pointer(&file);
    *status = CLI_USAGE;
    if (cli_args_has(args, "json"))
        cli_print_json(jobspec_file_to_json(file));
    return NULL;
}

char *jobs_get_base_dir(const char *path)
{
    g_autofree char *dir = NULL;

    if (strcmp(path, "-") == 0)
        return g_get_current_dir();
    dir = g_path_get_dirname(path);
    return g_canonicalize_filename(dir, NULL);
}
