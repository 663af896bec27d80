/* SPDX-License-Identifier: Apache-2.0 */
#include "runner/cli/console_priv.h"

#include "runner/cli/format.h"
#include "runner/cli/jobs.h"
#include "runner/cli/text.h"
#include "runner/queue/bill.h"

#include <string.h>

#define INVOICES_WHOLE 4 /* more jobs than this get a line each instead of an invoice each */

char *console_format_cost(Console *console, const Shown *shown)
{
    g_autoptr(Invoice) invoice =
        console->group ? group_get_invoice(console->group, shown->job->id, NULL) : NULL;

    return invoice ? money_format(invoice->asset, invoice->total) : NULL;
}

static void say(Console *console, const Job *job, const char *words)
{
    g_autoptr(GString) clean = g_string_new(NULL);

    text_append_clean(clean, words, strlen(words), console->style.unicode);
    screen_say(console->screen, "drover: %s #%" G_GINT64_FORMAT " %s", job->name, job->id.value,
               clean->str);
}

static void say_end(Console *console, const Shown *shown)
{
    const Job *job = shown->job;
    ViewJob view = {.job = job, .course = shown->course, .now_ms = console_now_ms()};
    g_autofree char *course = view_format_plain(&view), *elapsed = NULL, *words = NULL;

    elapsed = shown->started_ms < 0 ? NULL : format_duration(view.now_ms - shown->started_ms);
    words = g_strdup_printf("%s%s%s%s%s%s%s", job_state_name(job->state), elapsed ? " after " : "",
                            elapsed ? elapsed : "", course[0] ? ": " : "", course,
                            job->reason ? "; " : "", job->reason ? job->reason : "");
    say(console, job, words);
    if (job->state == JOB_SUCCEEDED && job->checkpoint_step >= 0) {
        g_autofree char *dir = jobs_get_checkpoint_dir(console->store, job->id);

        if (dir)
            screen_say(console->screen, "drover: its checkpoints: %s", dir);
    }
    if (job->state == JOB_FAILED && job->attempts)
        screen_say(console->screen, "drover: its output: drover logs %" G_GINT64_FORMAT,
                   job->id.value);
}

static bool is_active(const Shown *shown)
{
    return shown->job->state != JOB_PENDING && !job_state_is_ended(shown->job->state);
}

static bool has_active(const Console *console)
{
    for (guint i = 0; i < console->jobs->len; i++) {
        if (is_active(g_ptr_array_index(console->jobs, i)))
            return true;
    }
    return false;
}

/* Waiting for one's own siblings is how a group works, and not worth a line. */
static bool is_sibling_wait(const Console *console, const Job *job)
{
    static const char *const causes[] = {"devices", "max_parallel", NULL};

    return job->cause && g_strv_contains(causes, job->cause) && has_active(console);
}

/* For other jobs, as was said: one is enough, however many there are. */
static bool is_still_waiting(const Job *job, const Job *before)
{
    return before->state == JOB_PENDING && g_strcmp0(job->cause, "dependency") == 0 &&
           g_strcmp0(before->cause, "dependency") == 0;
}

static void say_pending(Console *console, const Job *job, const Job *before)
{
    g_autofree char *words = NULL;

    if (is_still_waiting(job, before))
        return;
    if (job->cause && strcmp(job->cause, "interrupted") == 0)
        words = g_strdup_printf(
            "is interrupted; to carry on: drover run --resume %" G_GINT64_FORMAT, job->id.value);
    else if (job->reason && before->state != JOB_RETRYING && !is_sibling_wait(console, job))
        words = g_strdup_printf("pending: %s", job->reason);
    if (words)
        say(console, job, words);
}

void console_say_accepted(Console *console)
{
    const Shown *first, *last;

    if (console->jobs->len == 0)
        return;
    first = g_ptr_array_index(console->jobs, 0);
    last = g_ptr_array_index(console->jobs, console->jobs->len - 1);
    if (console->jobs->len == 1)
        say(console, first->job, first->job->attempts ? "goes on" : "is accepted");
    else
        screen_say(console->screen,
                   "drover: %u jobs are accepted, #%" G_GINT64_FORMAT " to #%" G_GINT64_FORMAT,
                   console->jobs->len, first->job->id.value, last->job->id.value);
}

void console_say_change(Console *console, Shown *shown, const Job *before)
{
    const Job *job = shown->job;
    g_autofree char *words = NULL;

    if (!before || (before->state == job->state && before->attempts == job->attempts &&
                    g_strcmp0(before->reason, job->reason) == 0))
        return;
    if (job_state_is_ended(job->state)) {
        say_end(console, shown);
    } else if (job->state == JOB_PENDING) {
        say_pending(console, job, before);
    } else if (job->state == JOB_RETRYING) {
        int64_t wait_ms = job->retry_at_ms - jobs_now_ms();
        g_autofree char *wait = format_duration(wait_ms);

        words = g_strdup_printf("failed: %s; again in %s", job->reason ? job->reason : "?", wait);
        say(console, job, words);
    } else if (!console->live) {
        words = job->state == JOB_STARTING ? g_strdup_printf("starts, attempt %d", job->attempts)
                                           : g_strdup_printf("is %s", job_state_name(job->state));
        say(console, job, words);
    }
}

/* "killed in 58s": the grace of the checkpoint, counted down. */
static char *notice_format(Console *console, const Shown *shown)
{
    g_autoptr(JobSpec) spec = NULL;
    g_autofree char *base_dir = NULL, *left = NULL;

    if (shown->job->state == JOB_PENDING)
        return g_strdup(shown->job->reason);
    if (shown->job->state == JOB_RETRYING) {
        left = format_duration(shown->job->retry_at_ms - jobs_now_ms());
        return g_strdup_printf("again in %s", left);
    }
    if (shown->stopping_ms < 0)
        return NULL;
    if (console->interrupts > 1)
        return g_strdup("killing");
    spec = store_get_spec(console->store, shown->job->id, &base_dir, NULL);
    if (!spec)
        return NULL;
    left = format_duration(shown->stopping_ms + spec->checkpoint.grace_ms - console_now_ms());
    return g_strdup_printf("stopping: killed in %s if it has not ended; Ctrl-C%s kills it now",
                           left, console->interrupts ? " again" : " twice");
}

/* "5 jobs: 2 running, 2 pending, 1 succeeded" */
static char *counts_format(const Console *console)
{
    int counts[JOB_CANCELLED + 1] = {0};
    GString *text = g_string_new(NULL);
    bool first = true;

    for (guint i = 0; i < console->jobs->len; i++)
        counts[((Shown *)g_ptr_array_index(console->jobs, i))->job->state]++;
    g_string_append_printf(text, "%u jobs: ", console->jobs->len);
    for (JobState state = JOB_PENDING; state <= JOB_CANCELLED; state++) {
        if (counts[state] == 0)
            continue;
        g_string_append_printf(text, "%s%d %s", first ? "" : ", ", counts[state],
                               job_state_name(state));
        first = false;
    }
    return g_string_free(text, FALSE);
}

static void job_append_lines(Console *console, const Shown *shown, GPtrArray *lines)
{
    g_autofree char *cost = console_format_cost(console, shown);
    g_autofree char *notice = notice_format(console, shown);
    int64_t now_ms = console_now_ms();
    ViewJob view = {.job = shown->job,
                    .course = shown->course,
                    .now_ms = now_ms,
                    .elapsed_ms = shown->started_ms < 0 ? -1 : now_ms - shown->started_ms,
                    .cost = cost,
                    .notice = notice};

    view_append_job(lines, &view, &console->style);
}

/* A job alone is shown while it waits, too. */
static bool is_shown(const Console *console, const Shown *shown)
{
    return is_active(shown) || (console->jobs->len == 1 && !job_state_is_ended(shown->job->state));
}

void console_append_lines(Console *console, GPtrArray *lines)
{
    int rows;

    screen_get_size(console->screen, &console->style.columns, &rows);
    if (console->jobs->len > 1) {
        g_autofree char *counts = counts_format(console);

        g_ptr_array_add(lines, text_cut(counts, console->style.columns, console->style.unicode));
    }
    for (guint i = 0; i < console->jobs->len; i++) {
        const Shown *shown = g_ptr_array_index(console->jobs, i);

        if (is_shown(console, shown) && (int)lines->len + VIEW_LINES < MAX(rows, VIEW_LINES + 2))
            job_append_lines(console, shown, lines);
    }
    while ((int)lines->len >= MAX(rows, 2))
        g_ptr_array_remove_index(lines, lines->len - 1);
}

/* ---- the end ---- */

static int status_get(const Console *console)
{
    int status = CLI_OK;

    for (guint i = 0; i < console->jobs->len; i++) {
        const Job *job = ((const Shown *)g_ptr_array_index(console->jobs, i))->job;

        if (job->cause && strcmp(job->cause, "no_match") == 0 && status == CLI_OK)
            status = CLI_NO_MATCH;
        else if (job->state != JOB_SUCCEEDED)
            status = CLI_FAILED;
    }
    return console->interrupts && status != CLI_OK ? CLI_INTERRUPTED : status;
}

static void invoice_say(const Console *console, const Job *job, const Invoice *invoice)
{
    g_autofree char *total = NULL, *seconds = NULL;

    if (console->jobs->len <= INVOICES_WHOLE) {
        fputc('\n', stderr);
        jobs_print_invoice(invoice, stderr, console->style.unicode);
        return;
    }
    total = money_format(invoice->asset, invoice->total);
    seconds = money_format_decimal(invoice->gpu_ms, 3);
    fprintf(stderr, "drover: %s #%" G_GINT64_FORMAT ": %s GPU-seconds, %s\n", job->name,
            job->id.value, seconds, total);
}

static json_t *job_end_to_json(const Job *job, const Invoice *invoice)
{
    json_t *json = jobs_to_json(job);

    json_object_set_new(json, "invoice", invoice ? invoice_to_json(invoice) : json_null());
    return json;
}

int console_finish(Console *console)
{
    json_t *list = json_array(), *end;
    int status = status_get(console);

    for (guint i = 0; i < console->jobs->len; i++) {
        const Shown *shown = g_ptr_array_index(console->jobs, i);
        g_autoptr(Invoice) invoice = bill_build(console->store, shown->job->id, NULL);
        g_autoptr(Job) job = store_get_job(console->store, shown->job->id, NULL);

        if (console->json)
            json_array_append_new(list, job_end_to_json(job ? job : shown->job, invoice));
        else if (invoice && invoice->gpu_ms)
            invoice_say(console, shown->job, invoice);
    }
    end = json_pack("{s:s, s:i, s:O}", "event", "end", "status", status, "jobs", list);
    if (console->json) {
        char *text = json_dumps(end, JSON_COMPACT | JSON_ENSURE_ASCII);

        screen_add_raw(console->screen, text);
        screen_drain(console->screen);
        free(text);
    }
    json_decref(end);
    json_decref(list);
    return status;
}
