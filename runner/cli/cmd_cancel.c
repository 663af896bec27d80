/* SPDX-License-Identifier: Apache-2.0 */
#include "runner/cli/jobs.h"

static void outcome_print(const Job *job)
{
    if (job->state == JOB_CANCELLED)
        printf("job %" G_GINT64_FORMAT " is cancelled\n", job->id.value);
    else if (job_state_is_ended(job->state))
        printf("job %" G_GINT64_FORMAT " had ended before: %s\n", job->id.value,
               job_state_name(job->state));
    else
        printf("job %" G_GINT64_FORMAT " is asked to stop\n", job->id.value);
}

static int cancel_run(const Cli *cli G_GNUC_UNUSED, const CliArgs *args)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(Store) store = jobs_open(&error);
    json_t *list = json_array();
    int status = CLI_OK;

    if (!store) {
        json_decref(list);
        return cli_fail_error(args, error);
    }
    for (int i = 0; i < cli_args_count(args); i++) {
        g_autoptr(GError) failure = NULL;
        g_autoptr(Job) job = NULL;
        JobId id;

        if (!store_find_job(store, cli_args_at(args, i), &id, &failure) ||
            !store_cancel_job(store, id, cli_args_has(args, "now"), jobs_now_ms(), &job, &failure))
            status = cli_fail_error(args, failure);
        else if (cli_args_has(args, "json"))
            json_array_append_new(list, jobs_to_json(job));
        else
            outcome_print(job);
    }
    if (cli_args_has(args, "json"))
        cli_print_json(json_pack("{s:O}", "jobs", list));
    json_decref(list);
    return status;
}

static const CliOption cancel_options[] = {
    {"now", 0, NULL, "kill it without the grace for a checkpoint"},
    {"json", 'j', NULL, "print JSON"},
};

const CliCommand cmd_cancel = {
    .name = "cancel",
    .arguments = "JOB...",
    .arguments_min = 1,
    .arguments_max = G_MAXINT,
    .summary = "Cancel jobs",
    .description =
        "A running job gets its checkpoint signal and its grace, as with Ctrl-C, and is then\n"
        "'cancelled'. A job that has ended stays as it is.",
    .examples = "drover cancel 12\n"
                "drover cancel --now gpt",
    .options = cancel_options,
    .options_count = G_N_ELEMENTS(cancel_options),
    .completes = "job",
    .run = cancel_run,
};
