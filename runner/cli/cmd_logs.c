/* SPDX-License-Identifier: Apache-2.0
 *
 * Prints what the ranks wrote. The logs are files; --follow looks at them ten times a second, goes
 * on to the next attempt when there is one, and ends when the job has ended and all is printed.
 */
#include "runner/cli/follow.h"
#include "runner/cli/jobs.h"

#include <errno.h>
#include <string.h>

#define TICK_MS         100
#define STATE_TICKS     5 /* the store is asked each so many ticks */
#define READ_BYTES_EACH 262144

typedef struct {
    const Cli *cli;
    const CliArgs *args;
    Store *store;
    JobId id;
    int attempt;
    int64_t rank; /* -1: all */
    int64_t tail; /* -1: from the start */
    bool json;
    bool follow;
    Follow *logs;
} Logs;

static void line_print(const FollowLine *line, void *user_data)
{
    const Logs *logs = user_data;
    json_t *json;

    if (!logs->json) {
        printf("[%s] %s\n", line->source, line->text);
        return;
    }
    json =
        json_pack("{s:i, s:s, s:o, s:s}", "attempt", logs->attempt, "source", line->source, "rank",
                  line->rank >= 0 ? json_integer(line->rank) : json_null(), "text", line->text);
    json_dumpf(json, stdout, JSON_COMPACT | JSON_ENSURE_ASCII);
    putchar('\n');
    json_decref(json);
}

static void attempt_open(Logs *logs)
{
    g_autofree char *dir = store_get_attempt_dir(logs->store, logs->id, logs->attempt);
    FollowConfig config = {.dir = dir, .rank = (int)logs->rank, .unicode = true};

    g_clear_pointer(&logs->logs, follow_free);
    logs->logs = follow_new(&config, line_print, logs);
    if (logs->tail >= 0)
        follow_tail(logs->logs, logs->tail);
}

/* False: standard output takes no more. */
static bool attempt_print_rest(Logs *logs)
{
    while (follow_read(logs->logs, READ_BYTES_EACH)) {
        if (ferror(stdout))
            return false;
    }
    follow_finish(logs->logs);
    return !ferror(stdout);
}

/* Moves on when the job has; false: nothing more will come, or `error`. */
static bool job_look(Logs *logs, GError **error)
{
    g_autoptr(Job) job = NULL;

    if (!store_recover(logs->store, jobs_now_ms(), error))
        return false;
    job = store_get_job(logs->store, logs->id, error);
    if (!job)
        return false;
    if (job->attempts > logs->attempt) {
        if (!attempt_print_rest(logs))
            return false;
        logs->attempt++;
        logs->tail = -1;
        attempt_open(logs);
        return true;
    }
    return job->owned && !job_state_is_ended(job->state);
}

static int logs_follow(Logs *logs, GError **error)
{
    int ticks = 0;

    while (!ferror(stdout)) {
        if (follow_read(logs->logs, READ_BYTES_EACH) == 0) {
            if (fflush(stdout) != 0 || (ticks % STATE_TICKS == 0 && !job_look(logs, error)))
                break;
            g_usleep(TICK_MS * 1000);
        }
        ticks++;
    }
    attempt_print_rest(logs);
    return CLI_OK;
}

static bool args_take(Logs *logs, const CliArgs *args, GError **error)
{
    int64_t attempt = 0;
    g_autoptr(Job) job = NULL;

    if (!cli_args_get_int(args, "rank", (CliRange){0, G_MAXINT}, &logs->rank, error) ||
        !cli_args_get_int(args, "tail", (CliRange){0, INT64_MAX}, &logs->tail, error) ||
        !cli_args_get_int(args, "attempt", (CliRange){1, G_MAXINT}, &attempt, error))
        return false;
    logs->store = jobs_open(error);
    job = logs->store ? jobs_find(logs->store, cli_args_at(args, 0), error) : NULL;
    if (!job)
        return false;
    if (attempt > job->attempts) {
        g_set_error(error, CLI_ERROR, CLI_ERROR_USAGE,
                    "--attempt: job %" G_GINT64_FORMAT " has had %d %s so far", job->id.value,
                    job->attempts, job->attempts == 1 ? "attempt" : "attempts");
        return false;
    }
    logs->id = job->id;
    logs->attempt = attempt ? (int)attempt : MAX(job->attempts, 1);
    return true;
}

static int logs_run(const Cli *cli, const CliArgs *args)
{
    Logs logs = {.cli = cli,
                 .args = args,
                 .rank = -1,
                 .tail = -1,
                 .json = cli_args_has(args, "json"),
                 .follow = cli_args_has(args, "follow")};
    g_autoptr(GError) error = NULL;
    int status = CLI_OK;

    if (args_take(&logs, args, &error)) {
        attempt_open(&logs);
        if (logs.follow)
            status = logs_follow(&logs, &error);
        else
            attempt_print_rest(&logs);
    }
    g_clear_pointer(&logs.logs, follow_free);
    g_clear_pointer(&logs.store, store_close);
    return error ? cli_fail_error(args, error) : status;
}

static const CliOption logs_options[] = {
    {"follow", 'f', NULL, "go on until the job ends"},
    {"rank", 'r', "N", "only this rank"},
    {"attempt", 'a', "K", "of this attempt (the last one)"},
    {"tail", 'n', "N", "only the last N lines of each log"},
    {"json", 'j', NULL, "print one JSON object a line"},
};

const CliCommand cmd_logs = {
    .name = "logs",
    .arguments = "JOB",
    .arguments_min = 1,
    .arguments_max = 1,
    .summary = "Print what a job wrote",
    .description =
        "Each line comes with its rank. Escape sequences and control characters are left\n"
        "out; the files with every byte are where 'drover show' says.",
    .examples = "drover logs -f 12\n"
                "drover logs --rank 0 --tail 20 gpt",
    .options = logs_options,
    .options_count = G_N_ELEMENTS(logs_options),
    .completes = "job",
    .run = logs_run,
};
