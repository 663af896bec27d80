/* SPDX-License-Identifier: Apache-2.0
 *
 * What the end of an attempt means for the job:
 *
 *   drover launch says       we had asked for   the job is
 *   succeeded                anything           succeeded
 *   anything else            interrupt          interrupted (pending again)
 *                            cancel             cancelled
 *                            max_cost           failed
 *   failed, setup, start,    nothing            retrying, where retry.on has the cause and
 *   killed, not even "done"                     retry.max and time are left; else failed
 *   deadline                 nothing            failed
 *   requested                nothing            interrupted: somebody else signalled it
 *
 * The k-th retry waits backoff.min x 2^(k-1), at most backoff.max.
 */
#include "runner/queue/run_priv.h"

typedef struct {
    const char *type; /* of the event that ends the attempt */
    const char *cause;
    char *reason; /* owned */
    int code;     /* -1: none */
} End;

static const struct {
    const char *said; /* the reason in "done" */
    const char *cause;
    unsigned retry; /* the bit of retry.on; 0: never */
    const char *words;
} ends[] = {
    {"failed", "nonzero_exit", JOBSPEC_RETRY_NONZERO_EXIT, "a rank failed"},
    {"setup", "setup", JOBSPEC_RETRY_NONZERO_EXIT, "setup failed"},
    {"start", "supplier_lost", JOBSPEC_RETRY_SUPPLIER_LOST, "the ranks could not be started"},
    {"missing", "missing", 0, "a program that starts ranks is not there"},
    {"killed", "supplier_lost", JOBSPEC_RETRY_SUPPLIER_LOST, "the launcher was killed"},
    {"preempted", "preempted", JOBSPEC_RETRY_PREEMPTED, "the supplier took its devices back"},
    {"preflight", "preflight", JOBSPEC_RETRY_PREFLIGHT, "the preflight test was not passed"},
    {"deadline", "deadline", 0, "limits.max_duration is over"},
    {"requested", "interrupted", 0, "stopped by a signal"},
    {"lost", "supplier_lost", JOBSPEC_RETRY_SUPPLIER_LOST, "the launcher died without a word"},
};

static int64_t backoff_ms(const JobSpec *spec, int retries)
{
    int64_t wait = MAX(0, spec->retry.backoff_ms.min);
    int64_t most = MAX(wait, spec->retry.backoff_ms.max);

    for (int i = 0; i < retries && wait < most; i++)
        wait = wait > most / 2 ? most : wait * 2;
    return MIN(wait, most);
}

static char *words_of(const json_t *done, const char *otherwise)
{
    const char *message = json_string_value(json_object_get(done, "message"));

    return g_strdup(message && *message ? message : otherwise);
}

static void end_as_asked(const Run *run, End *end)
{
    g_autofree char *limit = NULL;

    switch (run->attempt.stop) {
    case STOP_CANCEL:
        end->type = end->cause = "cancelled";
        end->reason = g_strdup("cancelled by drover cancel");
        break;
    case STOP_MAX_COST:
        limit = money_format(MONEY_USDC, run->spec->limits.max_cost_usd_micro);
        end->type = "failed";
        end->cause = "max_cost";
        end->reason =
            g_strdup_printf("stopped before it cost more than limits.max_cost, %s", limit);
        break;
    default:
        end->type = end->cause = "interrupted";
        end->reason = g_strdup_printf("stopped; `drover run --resume %" PRId64 "` carries on",
                                      run->job->id.value);
        break;
    }
}

static void end_as_said(const Run *run, const char *said, const json_t *done, End *end)
{
    size_t row = 0;
    bool again;
    int64_t max = run->spec->retry.max;

    while (row + 1 < G_N_ELEMENTS(ends) && !g_str_equal(ends[row].said, said))
        row++;
    end->cause = ends[row].cause;
    end->reason = words_of(done, ends[row].words);
    if (g_str_equal(ends[row].cause, "interrupted")) {
        end->type = "interrupted";
        return;
    }
    again = (run->spec->retry.on & ends[row].retry) && run->job->retries < max &&
            run_time_left_ms(run) > 0;
    end->type = again ? "retrying" : "failed";
    if (!again && (run->spec->retry.on & ends[row].retry) && max > 0) {
        char *reason = g_strdup_printf("%s, after %d of %" PRId64 " retries", end->reason,
                                       run->job->retries, max);

        g_free(end->reason);
        end->reason = reason;
    }
}

static End decide(const Run *run, const json_t *done)
{
    const char *said = done ? json_string_value(json_object_get(done, "reason")) : "lost";
    const json_t *code = json_object_get(done, "code");
    End end = {.code = -1};

    if (json_is_integer(code) && json_integer_value(code) >= 0 &&
        json_integer_value(code) <= G_MAXINT)
        end.code = (int)json_integer_value(code);
    if (g_strcmp0(said, "succeeded") == 0)
        end.type = "succeeded";
    else if (run->attempt.stop != STOP_NONE)
        end_as_asked(run, &end);
    else
        end_as_said(run, said ? said : "lost", done, &end);
    return end;
}

static json_t *body_of(const Run *run, const End *end)
{
    json_t *body = json_object();

    if (end->reason)
        json_object_set_new(body, "reason", json_string(end->reason));
    if (end->cause)
        json_object_set_new(body, "cause", json_string(end->cause));
    if (end->code >= 0)
        json_object_set_new(body, "code", json_integer(end->code));
    if (g_str_equal(end->type, "retrying")) {
        int64_t wait = backoff_ms(run->spec, run->job->retries);

        json_object_set_new(body, "retry_at_ms", json_integer(run_wall_ms() + wait));
    }
    return body;
}

/* Held-back events, the end, the release and the bill: one synced transaction. */
static bool store_end(Run *run, const End *end, int64_t used_ms, GError **error)
{
    Store *store = run->config->store;
    g_autoptr(Event) event = run_event(run, end->type, body_of(run, end));
    g_autoptr(DbTx) tx = db_begin(store->db, true, error);

    return tx && run_flush(run, error) && store_end_attempt(store, event, used_ms, error) &&
           run_commit(run, tx, error) && run_load_leases(run, error);
}

static gboolean on_retry(gpointer user_data)
{
    Run *run = user_data;
    g_autoptr(Event) event = run_event(run, "queued", NULL);
    g_autoptr(DbTx) tx = NULL;
    GError *error = NULL;

    run->retry_source = 0;
    tx = db_begin(run->config->store->db, false, &error);
    if (tx && store_append(run->config->store, event, &error) && db_commit(tx, &error))
        run_tell(run);
    else
        run_break(run, error);
    return G_SOURCE_REMOVE;
}

static void schedule_retry(Run *run)
{
    int64_t wait = CLAMP(run->job->retry_at_ms - run_wall_ms(), 0, G_MAXUINT);

    run->retry_source = g_timeout_add((guint)wait, on_retry, run);
}

static gboolean on_reap(gpointer user_data)
{
    Run *run = user_data;

    run->reap_source = 0;
    g_clear_pointer(&run->launch, launch_free);
    if (run->job->state == JOB_RETRYING && !run->broken)
        schedule_retry(run);
    run->funcs->changed(run, run->user_data);
    return G_SOURCE_REMOVE;
}

void run_reap(Run *run)
{
    run->reap_source = g_idle_add_full(G_PRIORITY_DEFAULT, on_reap, run, NULL);
}

/* The time to bill: up to "done", or as of the last heartbeat (-1) where there is none. A preflight
 * runs before the first process of the ranks, so one that fails has metered nothing. */
static int64_t final_ms(const Run *run, const json_t *done)
{
    return done ? run_meter(run, run_event_mono_ms(run, done)) : -1;
}

void run_finish(Run *run, const json_t *done)
{
    int64_t used_ms = final_ms(run, done);
    GError *error = NULL;
    bool stored;
    End end;

    run_age_leases(run, used_ms);
    end = decide(run, done);
    g_clear_handle_id(&run->beat_source, g_source_remove);
    run_reap(run);
    stored = store_end(run, &end, used_ms, &error);
    g_free(end.reason);
    if (stored)
        run_tell(run);
    else
        run_break(run, error);
}

void run_finish_unlaunched(Run *run, const char *cause, const char *reason)
{
    End end = {.type = "failed", .cause = cause, .reason = (char *)(uintptr_t)reason, .code = -1};
    GError *error = NULL;

    if (store_end(run, &end, -1, &error))
        run_tell(run);
    else
        run_break(run, error);
}
