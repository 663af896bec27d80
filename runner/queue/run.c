/* SPDX-License-Identifier: Apache-2.0
 *
 * The life of a job, as its runner sees it. What is durable when:
 *
 *   what                      written                        lost in a crash before that
 *   accepted                  synced, before it is shown     there is no job
 *   attempt and its leases    synced, before drover launch   still pending, nothing leased
 *   started, running,         committed, not synced          by kill -9 nothing; by a power cut the
 *   stopping, setup_done                                     event, of a job interrupted anyway
 *   progress, note, rank_*,   held back, committed with      one heartbeat of them at most, which
 *   used time                 the heartbeat, not synced      is not billed
 *   end, release, posting     synced, one transaction        the job is interrupted, billed up to
 *                                                            the last heartbeat
 *
 * Time is metered from the first process of the ranks (`started`: setup is over and not metered) to
 * the last (`done`), on CLOCK_BOOTTIME as drover launch reads it.
 *
 * max_duration counts metered time over all attempts. max_cost is turned into a point of metered
 * time before the attempt begins: the stop is asked for the grace before it, the kill two
 * heartbeats before. Should the end take longer than that, the meter stands still at the limit: the
 * bill cannot pass it.
 */
#include "runner/queue/bill.h"
#include "runner/queue/run_priv.h"

#include <time.h>
#include <unistd.h>

#define BEAT_MS           1000
#define BEATS_FAILED_MOST 10

int64_t run_wall_ms(void)
{
    return g_get_real_time() / 1000;
}

int64_t run_mono_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_BOOTTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int64_t run_beat_ms(const Run *run)
{
    return run->config->heartbeat_ms > 0 ? run->config->heartbeat_ms : BEAT_MS;
}

Run *run_new(const GroupConfig *config, JobId id, int fd, const RunFuncs *funcs, void *user_data)
{
    Run *run = g_new0(Run, 1);

    run->config = config;
    run->funcs = funcs;
    run->user_data = user_data;
    run->lock_fd = fd;
    run->job = job_new(id, NULL, NULL);
    run_init_attempt(&run->attempt);
    return run;
}

bool run_load_leases(Run *run, GError **error)
{
    GPtrArray *leases = store_list_leases(run->config->store, run->job->id, error);

    if (!leases)
        return false;
    g_clear_pointer(&run->leases, g_ptr_array_unref);
    run->leases = leases;
    return true;
}

bool run_load(Run *run, GError **error)
{
    Store *store = run->config->store;
    g_autoptr(Job) job = store_get_job(store, run->job->id, error);
    g_autofree char *base_dir = NULL;
    JobSpec *spec = job ? store_get_spec(store, job->id, &base_dir, error) : NULL;

    if (!spec)
        return false;
    g_clear_pointer(&run->spec, jobspec_free);
    run->spec = spec;
    g_free(run->base_dir);
    run->base_dir = g_steal_pointer(&base_dir);
    job_free(run->job);
    run->job = g_steal_pointer(&job);
    return run_load_leases(run, error);
}

void run_free(Run *run)
{
    if (!run)
        return;
    g_clear_handle_id(&run->beat_source, g_source_remove);
    g_clear_handle_id(&run->retry_source, g_source_remove);
    g_clear_handle_id(&run->reap_source, g_source_remove);
    if (run->launch) {
        launch_stop(run->launch, true);
        launch_free(run->launch);
    }
    run_clear_attempt(&run->attempt);
    g_clear_pointer(&run->leases, g_ptr_array_unref);
    jobspec_free(run->spec);
    job_free(run->job);
    g_free(run->base_dir);
    close(run->lock_fd);
    g_free(run);
}

const Job *run_get_job(const Run *run)
{
    return run->job;
}

const JobSpec *run_get_spec(const Run *run)
{
    return run->spec;
}

/* From the launch to "done"; what follows until the Launch is freed is no more than that. */
static bool is_at_work(const Run *run)
{
    return run->launch && !run->reap_source;
}

bool run_is_at_rest(const Run *run)
{
    return !run->launch && !run->retry_source;
}

int64_t run_meter(const Run *run, int64_t mono_ms)
{
    const RunAttempt *attempt = &run->attempt;

    if (attempt->meter_mono_ms < 0)
        return -1;
    return CLAMP(mono_ms - attempt->meter_mono_ms, 0, attempt->most_ms);
}

int64_t run_metered_ms(const Run *run)
{
    return is_at_work(run) ? run_meter(run, run_mono_ms()) : -1;
}

void run_age_leases(Run *run, int64_t used_ms)
{
    for (guint i = 0; i < run->leases->len; i++) {
        Lease *lease = g_ptr_array_index(run->leases, i);

        if (!lease->released)
            lease->used_ms = MAX(lease->used_ms, used_ms);
    }
}

Invoice *run_get_invoice(Run *run, GError **error)
{
    run_age_leases(run, run_metered_ms(run));
    return bill_of_leases(run->job, bill_get_asset(run->spec), run->leases, error);
}

int64_t run_time_left_ms(const Run *run)
{
    int64_t left = run->spec->limits.max_duration_ms;
    int attempt = 0;
    int64_t longest = 0;

    if (left == G_MAXINT64)
        return left;
    /* Leases come in the order of their attempts; an attempt took what its longest lease did. */
    for (guint i = 0; i < run->leases->len; i++) {
        const Lease *lease = g_ptr_array_index(run->leases, i);

        if (lease->attempt != attempt) {
            left -= longest;
            longest = 0;
            attempt = lease->attempt;
        }
        longest = MAX(longest, lease->used_ms);
    }
    return MAX(0, left - longest);
}

Event *run_event(const Run *run, const char *type, json_t *body)
{
    return event_new(run->job, type, run_wall_ms(), body);
}

void run_break(Run *run, GError *error)
{
    g_autoptr(GError) owned = error;

    if (run->broken)
        return;
    run->broken = true;
    g_clear_handle_id(&run->beat_source, g_source_remove);
    g_clear_handle_id(&run->retry_source, g_source_remove);
    if (run->launch)
        launch_stop(run->launch, true);
    g_prefix_error(&owned, "job %" PRId64 ": ", run->job->id.value);
    run->funcs->broken(run, owned, run->user_data);
}

void run_tell(Run *run)
{
    GError *error = NULL;
    Job *job = store_get_job(run->config->store, run->job->id, &error);

    if (!job) {
        run_break(run, error);
        return;
    }
    job_free(run->job);
    run->job = job;
    run->funcs->changed(run, run->user_data);
}

void run_wait(Run *run, const char *cause, const char *reason)
{
    g_autoptr(DbTx) tx = NULL;
    g_autoptr(Event) event = NULL;
    GError *error = NULL;

    if (run->broken ||
        (g_strcmp0(run->job->cause, cause) == 0 && g_strcmp0(run->job->reason, reason) == 0))
        return;
    event = run_event(run, "waiting", json_pack("{s:s, s:s}", "reason", reason, "cause", cause));
    tx = db_begin(run->config->store->db, false, &error);
    if (tx && store_append(run->config->store, event, &error) && db_commit(tx, &error))
        run_tell(run);
    else
        run_break(run, error);
}

void run_end(Run *run, const char *type, const char *cause, const char *reason)
{
    g_autoptr(Event) event = NULL;
    GError *error = NULL;

    if (run->broken)
        return;
    event = run_event(run, type, json_pack("{s:s, s:s}", "reason", reason, "cause", cause));
    g_clear_handle_id(&run->retry_source, g_source_remove);
    if (store_end_attempt(run->config->store, event, -1, &error))
        run_tell(run);
    else
        run_break(run, error);
}

/* ---- stopping ---- */

static void stop_waiting(Run *run, GroupStop how)
{
    g_autofree char *reason = NULL;

    if (how == GROUP_STOP_CANCEL) {
        run_end(run, "cancelled", "cancelled", "cancelled by drover cancel");
    } else if (run->job->state == JOB_RETRYING) {
        reason = g_strdup_printf(
            "stopped while it waited for a retry; `drover run --resume %" PRId64 "` carries on",
            run->job->id.value);
        run_end(run, "interrupted", "interrupted", reason);
    }
}

static void stop_attempt(Run *run, StopWhy why, bool now)
{
    /* A cancel outranks what was asked before; being asked again only makes it faster. */
    if (run->attempt.stop == STOP_NONE || why == STOP_CANCEL)
        run->attempt.stop = why;
    run->attempt.killed |= now;
    launch_stop(run->launch, now);
}

void run_stop(Run *run, GroupStop how, bool now)
{
    if (run->broken || job_state_is_ended(run->job->state))
        return;
    if (is_at_work(run))
        stop_attempt(run, how == GROUP_STOP_CANCEL ? STOP_CANCEL : STOP_INTERRUPT, now);
    else
        stop_waiting(run, how);
}

void run_refresh(Run *run)
{
    GError *error = NULL;
    g_autoptr(Job) job = NULL;

    if (run->broken || job_state_is_ended(run->job->state))
        return;
    job = store_load_job(run->config->store, run->job->id, &error);
    if (!job) {
        run_break(run, error);
        return;
    }
    if (!job->cancel_requested)
        return;
    if (!is_at_work(run) || run->attempt.stop != STOP_CANCEL ||
        (job->cancel_now && !run->attempt.killed))
        run_stop(run, GROUP_STOP_CANCEL, job->cancel_now);
}

/* ---- the heartbeat ---- */

static bool store_beat(Run *run, int64_t used_ms, GError **error)
{
    Store *store = run->config->store;
    g_autoptr(DbTx) tx = db_begin(store->db, false, error);

    return tx && (used_ms < 0 || store_beat_leases(store, run->job->id, used_ms, error)) &&
           run_flush(run, error) && run_commit(run, tx, error);
}

static void keep_max_cost(Run *run, int64_t used_ms)
{
    if (used_ms >= run->attempt.kill_at_ms && !run->attempt.killed)
        stop_attempt(run, STOP_MAX_COST, true);
    else if (used_ms >= run->attempt.stop_at_ms && run->attempt.stop == STOP_NONE)
        stop_attempt(run, STOP_MAX_COST, false);
}

/* A beat that cannot be stored costs nothing but time that is not billed; the next one brings all.
 */
static gboolean on_beat(gpointer user_data)
{
    Run *run = user_data;
    int64_t used_ms = run_metered_ms(run);
    GError *error = NULL;

    run->attempt.checkpoints = 0;
    if (store_beat(run, used_ms, &error)) {
        run->beats_failed = 0;
    } else if (++run->beats_failed >= BEATS_FAILED_MOST) {
        run->beat_source = 0;
        run_break(run, error);
        return G_SOURCE_REMOVE;
    }
    g_clear_error(&error);
    if (used_ms >= 0)
        keep_max_cost(run, used_ms);
    return G_SOURCE_CONTINUE;
}

void run_start_beats(Run *run)
{
    run->beats_failed = 0;
    run->beat_source = g_timeout_add((guint)run_beat_ms(run), on_beat, run);
}

/* ---- the stream of drover launch ---- */

void run_on_launch_event(const json_t *event, void *user_data)
{
    Run *run = user_data;
    const char *type = json_string_value(json_object_get(event, "event"));
    bool over = !event || g_strcmp0(type, "done") == 0;
    GError *error = NULL;

    if (run->reap_source)
        return;
    if (event && !run->broken)
        run->funcs->event(run, event, run->user_data);
    if (over && run->broken)
        run_reap(run);
    else if (over)
        run_finish(run, event);
    else if (type && !run->broken && !run_report(run, event, &error))
        run_break(run, error);
}
