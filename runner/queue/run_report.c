/* SPDX-License-Identifier: Apache-2.0
 *
 * What is stored of the events of an attempt. Those that move the job or start the meter go in at
 * once. The rest is held back until the next heartbeat and thinned out, so that what a job writes
 * is bounded by its duration and not by its steps:
 *
 *   progress    merged into at most one event a heartbeat (100 bytes or so: 10 MB a day)
 *   checkpoint  at once, with what is held back, as a resume begins there; after the tenth of a
 *               heartbeat the newest waits for the next
 *   note        the first 200 of an attempt; all are in the log of the rank
 *   rank_*      each, once a rank
 */
#include "runner/queue/run_priv.h"

#include <string.h>

#define NOTES_MOST       200
#define CHECKPOINTS_MOST 10

void run_init_attempt(RunAttempt *attempt)
{
    *attempt = (RunAttempt){.meter_mono_ms = -1,
                            .stop_at_ms = G_MAXINT64,
                            .kill_at_ms = G_MAXINT64,
                            .most_ms = G_MAXINT64};
    attempt->reports = g_ptr_array_new_with_free_func((GDestroyNotify)event_free);
}

void run_clear_attempt(RunAttempt *attempt)
{
    g_clear_pointer(&attempt->reports, g_ptr_array_unref);
    g_clear_pointer(&attempt->progress, event_free);
    g_clear_pointer(&attempt->checkpoint, event_free);
}

int64_t run_event_mono_ms(const Run *run, const json_t *event)
{
    const json_t *value = json_object_get(event, "mono_ms");
    int64_t now = run_mono_ms();

    if (!json_is_integer(value))
        return now;
    return CLAMP(json_integer_value(value), run->attempt.begun_mono_ms, now);
}

/* The event as the store keeps it: when and which are columns. */
static Event *event_of(const Run *run, const char *type, const json_t *event)
{
    const json_t *at = json_object_get(event, "at_ms");
    Event *stored = run_event(run, type, json_copy((json_t *)(uintptr_t)event));

    if (json_is_integer(at))
        stored->at_ms = json_integer_value(at);
    json_object_del(stored->body, "event");
    json_object_del(stored->body, "at_ms");
    json_object_del(stored->body, "mono_ms");
    return stored;
}

static int64_t step_of(const json_t *body)
{
    return json_integer_value(json_object_get(body, "step"));
}

/* Each rank reports; figures are those of the one that is farthest, shares are each one's own. */
static void merge_progress(Run *run, const json_t *event)
{
    static const char *const figures[] = {"step", "steps", "loss", "val_loss", "tokens_per_s"};
    RunAttempt *attempt = &run->attempt;
    Event *next = event_of(run, "progress", event);
    json_t *shares = attempt->progress ? json_object_get(attempt->progress->body, "shares") : NULL;
    const json_t *share = json_object_get(event, "share");
    const json_t *rank = json_object_get(event, "rank");
    json_t *merged = attempt->progress ? json_copy(attempt->progress->body) : json_object();

    if (!attempt->progress || step_of(event) >= step_of(merged)) {
        for (size_t i = 0; i < G_N_ELEMENTS(figures); i++) {
            json_t *figure = json_object_get(next->body, figures[i]);

            if (json_is_number(figure))
                json_object_set(merged, figures[i], figure);
        }
    }
    if (json_is_number(share) && json_is_integer(rank)) {
        g_autofree char *key = g_strdup_printf("%" JSON_INTEGER_FORMAT, json_integer_value(rank));

        shares = shares ? json_incref(shares) : json_object();
        json_object_set_new(shares, key, json_copy((json_t *)(uintptr_t)share));
        json_object_set_new(merged, "shares", shares);
    }
    json_decref(next->body);
    next->body = merged;
    g_clear_pointer(&attempt->progress, event_free);
    attempt->progress = next;
}

/* Whether the job can take the event where it is now; drover launch may tell "running" after it was
 * asked to stop. */
static bool is_move_now(const Run *run, const char *type)
{
    return !g_str_equal(type, "running") || run->job->state == JOB_STARTING;
}

static bool append_now(Run *run, const char *type, const json_t *event, GError **error)
{
    Store *store = run->config->store;
    g_autoptr(Event) stored = event_of(run, type, event);
    g_autoptr(DbTx) tx = NULL;

    if (!is_move_now(run, type))
        return true;
    if (g_str_equal(type, "started") && run->attempt.meter_mono_ms < 0)
        run->attempt.meter_mono_ms = run_event_mono_ms(run, event);
    tx = db_begin(store->db, false, error);
    if (!tx || !run_flush(run, error) || !store_append(store, stored, error) ||
        !run_commit(run, tx, error))
        return false;
    run_tell(run);
    return true;
}

static void hold_back(Run *run, const char *type, const json_t *event)
{
    RunAttempt *attempt = &run->attempt;

    if (g_str_equal(type, "progress")) {
        merge_progress(run, event);
    } else if (g_str_equal(type, "checkpoint")) {
        g_clear_pointer(&attempt->checkpoint, event_free);
        attempt->checkpoint = event_of(run, type, event);
    } else if (!g_str_equal(type, "note") || attempt->notes++ < NOTES_MOST) {
        g_ptr_array_add(attempt->reports, event_of(run, type, event));
    }
}

static bool flush_now(Run *run, GError **error)
{
    g_autoptr(DbTx) tx = db_begin(run->config->store->db, false, error);

    return tx && run_flush(run, error) && run_commit(run, tx, error);
}

bool run_report(Run *run, const json_t *event, GError **error)
{
    static const char *const at_once[] = {"setup", "setup_done", "started", "running", "stopping"};
    static const char *const later[] = {"rank_started", "rank_exit", "progress", "checkpoint",
                                        "note"};
    const char *type = json_string_value(json_object_get(event, "event"));

    for (size_t i = 0; i < G_N_ELEMENTS(at_once); i++) {
        if (g_str_equal(type, at_once[i]))
            return append_now(run, type, event, error);
    }
    for (size_t i = 0; i < G_N_ELEMENTS(later); i++) {
        if (g_str_equal(type, later[i]))
            hold_back(run, type, event);
    }
    if (run->attempt.checkpoint && run->attempt.checkpoints++ < CHECKPOINTS_MOST)
        return flush_now(run, error);
    return true;
}

bool run_flush(Run *run, GError **error)
{
    RunAttempt *attempt = &run->attempt;
    Store *store = run->config->store;

    for (guint i = 0; i < attempt->reports->len; i++) {
        if (!store_append(store, g_ptr_array_index(attempt->reports, i), error))
            return false;
    }
    return (!attempt->progress || store_append(store, attempt->progress, error)) &&
           (!attempt->checkpoint || store_append(store, attempt->checkpoint, error));
}

bool run_commit(Run *run, DbTx *tx, GError **error)
{
    RunAttempt *attempt = &run->attempt;

    if (!db_commit(tx, error))
        return false;
    g_ptr_array_set_size(attempt->reports, 0);
    g_clear_pointer(&attempt->progress, event_free);
    g_clear_pointer(&attempt->checkpoint, event_free);
    return true;
}
