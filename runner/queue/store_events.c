/* SPDX-License-Identifier: Apache-2.0
 *
 * Events: the only way in which a job changes. Row and fold move in one transaction, so a crash
 * leaves both or neither.
 */
#include "runner/queue/store_priv.h"

static bool insert_event(Store *store, const Event *event, GError **error)
{
    g_autoptr(DbQuery) query = db_query(
        store->db, "INSERT INTO events (job, attempt, at_ms, type, body) VALUES (?, ?, ?, ?, ?)",
        error);
    char *body = event->body ? json_dumps(event->body, JSON_COMPACT | JSON_SORT_KEYS) : NULL;
    bool ok = false;

    if (query) {
        sqlite3_bind_int64(query, 1, event->job.value);
        sqlite3_bind_int(query, 2, event->attempt);
        sqlite3_bind_int64(query, 3, event->at_ms);
        db_bind_text(query, 4, event->type);
        db_bind_text(query, 5, body ? body : "{}");
        ok = db_finish(store->db, query, error);
    }
    free(body);
    return ok;
}

bool store_append(Store *store, const Event *event, GError **error)
{
    g_autoptr(DbTx) tx = db_begin(store->db, true, error);
    g_autoptr(Job) job = tx ? store_load_job(store, event->job, error) : NULL;
    JobState before;
    const char *why;

    if (!job)
        return false;
    before = job->state;
    if (!job_apply(job, event)) {
        g_set_error(
            error, STORE_ERROR, STORE_ERROR_STATE,
            "job %" PRId64 " is %s with %d attempts begun: '%s' of attempt %d cannot happen",
            event->job.value, job_state_name(before), job->attempts, event->type, event->attempt);
        return false;
    }
    if (!job_check(job, &why)) {
        g_set_error(error, STORE_ERROR, STORE_ERROR_STATE,
                    "job %" PRId64 ": '%s' breaks a rule: %s", event->job.value, event->type, why);
        return false;
    }
    return insert_event(store, event, error) && store_save_job(store, job, error) &&
           db_commit(tx, error);
}

Event *event_new(const Job *job, const char *type, int64_t at_ms, json_t *body)
{
    Event *event = g_new0(Event, 1);

    event->job = job->id;
    event->attempt = job->attempts;
    event->at_ms = at_ms;
    event->type = g_strdup(type);
    event->body = body;
    return event;
}

void event_free(Event *event)
{
    if (!event)
        return;
    json_decref(event->body);
    g_free(event->type);
    g_free(event);
}

static Event *event_of_row(DbQuery *query)
{
    Event *event = g_new0(Event, 1);

    event->seq = sqlite3_column_int64(query, 0);
    event->job.value = sqlite3_column_int64(query, 1);
    event->attempt = sqlite3_column_int(query, 2);
    event->at_ms = sqlite3_column_int64(query, 3);
    event->type = db_column_text(query, 4);
    event->body = json_loads((const char *)sqlite3_column_text(query, 5), 0, NULL);
    if (!json_is_object(event->body)) {
        json_decref(event->body);
        event->body = json_object();
    }
    return event;
}

GPtrArray *store_list_events(Store *store, JobId job, int64_t after_seq, GError **error)
{
    g_autoptr(GPtrArray) events = g_ptr_array_new_with_free_func((GDestroyNotify)event_free);
    g_autoptr(DbQuery) query = db_query(store->db,
                                        "SELECT seq, job, attempt, at_ms, type, body FROM events"
                                        " WHERE job = ? AND seq > ? ORDER BY seq",
                                        error);
    DbStep step;

    if (!query)
        return NULL;
    sqlite3_bind_int64(query, 1, job.value);
    sqlite3_bind_int64(query, 2, after_seq);
    while ((step = db_step(store->db, query, error)) == DB_ROW)
        g_ptr_array_add(events, event_of_row(query));
    return step == DB_DONE ? g_steal_pointer(&events) : NULL;
}

GArray *store_list_losses(Store *store, JobId job, size_t count, GError **error)
{
    g_autoptr(GArray) losses = g_array_new(false, false, sizeof(double));
    g_autoptr(DbQuery) query =
        db_query(store->db,
                 "SELECT loss FROM (SELECT seq, json_extract(body, '$.loss') AS loss FROM events"
                 " WHERE job = ? AND type = 'progress' AND json_extract(body, '$.loss') IS NOT NULL"
                 " ORDER BY seq DESC LIMIT ?) ORDER BY seq",
                 error);
    DbStep step;

    if (!query)
        return NULL;
    sqlite3_bind_int64(query, 1, job.value);
    sqlite3_bind_int64(query, 2, count > G_MAXINT64 ? G_MAXINT64 : (int64_t)count);
    while ((step = db_step(store->db, query, error)) == DB_ROW) {
        double loss = sqlite3_column_double(query, 0);

        g_array_append_val(losses, loss);
    }
    return step == DB_DONE ? g_steal_pointer(&losses) : NULL;
}
