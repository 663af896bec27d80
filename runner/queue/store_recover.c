/* SPDX-License-Identifier: Apache-2.0
 *
 * What a killed process leaves behind, put right by whoever looks next:
 *
 *   killed between           the store says         after store_recover
 *   accept and attempt       pending                the same; who reads it is told it is nobody's
 *   attempt and its end      starting to stopping   interrupted, used time as of the last beat, or
 *                                                   cancelled where that had been asked for
 *   retrying and the retry   retrying               the same
 *   end and posting          cannot be: they are one transaction; a bill that could not be posted
 *                            then is posted
 *
 * No lock is taken. Every writer of a job's events holds its lock and writes in a transaction that
 * reads the state again; recovery finds the lock free inside its own write transaction. So whoever
 * takes the lock after that look can write only after recovery has committed, and sees what it
 * wrote.
 */
#include "runner/queue/bill.h"
#include "runner/queue/store_priv.h"

#include <string.h>

/* Ids in the first column. */
static GArray *list_ids(Store *store, const char *sql, GError **error)
{
    g_autoptr(GArray) ids = g_array_new(false, false, sizeof(JobId));
    g_autoptr(DbQuery) query = db_query(store->db, sql, error);
    DbStep step;

    if (!query)
        return NULL;
    while ((step = db_step(store->db, query, error)) == DB_ROW) {
        JobId id = {sqlite3_column_int64(query, 0)};

        g_array_append_val(ids, id);
    }
    return step == DB_DONE ? g_steal_pointer(&ids) : NULL;
}

static bool needs_recovery(const Job *job)
{
    return job_state_is_active(job->state) || (job->state == JOB_PENDING && job->cancel_requested);
}

static bool end_ownerless(Store *store, const Job *job, int64_t now_ms, GError **error)
{
    const char *type = job->cancel_requested ? "cancelled" : "interrupted";
    g_autofree char *reason =
        job->cancel_requested
            ? g_strdup("cancelled as asked, when its drover process was gone")
            : g_strdup_printf("its drover process is gone; `drover run --resume %" PRId64
                              "` carries on",
                              job->id.value);
    g_autoptr(Event) event =
        event_new(job, type, now_ms, json_pack("{s:s, s:s}", "reason", reason, "cause", type));

    return store_end_attempt(store, event, -1, error);
}

static bool recover_job(Store *store, JobId id, int64_t now_ms, GError **error)
{
    g_autoptr(DbTx) tx = NULL;
    g_autoptr(Job) job = NULL;

    if (store_is_locked(store, id))
        return true;
    tx = db_begin(store->db, true, error);
    job = tx ? store_load_job(store, id, error) : NULL;
    if (!job)
        return false;
    if (store_is_locked(store, id) || !needs_recovery(job))
        return true;
    return end_ownerless(store, job, now_ms, error) && db_commit(tx, error);
}

bool store_recover(Store *store, int64_t now_ms, GError **error)
{
    g_autoptr(GArray) lost = list_ids(
        store,
        "SELECT id FROM jobs WHERE state IN ('starting', 'running', 'stopping', 'retrying')"
        " UNION SELECT id FROM jobs WHERE state = 'pending' AND cancel_requested = 1",
        error);
    g_autoptr(GArray) unposted = NULL;
    GError *first = NULL;

    if (!lost)
        return false;
    for (guint i = 0; i < lost->len; i++) {
        if (!recover_job(store, g_array_index(lost, JobId, i), now_ms, error))
            return false;
    }
    unposted =
        list_ids(store, "SELECT DISTINCT job FROM leases WHERE released = 1 AND posted = 0", error);
    if (!unposted)
        return false;
    /* One bill that cannot be posted does not keep the others back. */
    for (guint i = 0; i < unposted->len; i++) {
        JobId id = g_array_index(unposted, JobId, i);

        if (!bill_post(store, id, now_ms, first ? NULL : &first))
            g_prefix_error(&first, "bill of job %" PRId64 ": ", id.value);
    }
    if (!first)
        return true;
    g_propagate_error(error, first);
    return false;
}

static bool request_cancel(Store *store, const Job *job, bool now, int64_t at_ms, GError **error)
{
    g_autoptr(Event) event = NULL;

    if (job->cancel_requested && (job->cancel_now || !now))
        return true;
    event = event_new(job, "cancel_requested", at_ms, json_pack("{s:b}", "now", now));
    return store_append(store, event, error);
}

static bool cancel_ownerless(Store *store, const Job *job, int64_t at_ms, GError **error)
{
    g_autoptr(Event) event = event_new(
        job, "cancelled", at_ms,
        json_pack("{s:s, s:s}", "reason", "cancelled by drover cancel", "cause", "cancelled"));

    return store_end_attempt(store, event, -1, error);
}

bool store_cancel_job(Store *store, JobId id, bool now, int64_t at_ms, Job **job, GError **error)
{
    g_autoptr(DbTx) tx = db_begin(store->db, true, error);
    g_autoptr(Job) before = tx ? store_load_job(store, id, error) : NULL;

    if (!before)
        return false;
    if (!job_state_is_ended(before->state)) {
        bool ok = store_is_locked(store, id) ? request_cancel(store, before, now, at_ms, error)
                                             : cancel_ownerless(store, before, at_ms, error);

        if (!ok || !db_commit(tx, error))
            return false;
    }
    if (job) {
        Job *after = store_get_job(store, id, error);

        if (!after)
            return false;
        *job = after;
    }
    return true;
}

/* ---- the check of everything ---- */

static bool is_wrong(Store *store, JobId id, const char *what, GError **error)
{
    g_set_error(error, STORE_ERROR, STORE_ERROR_CORRUPT, "%s: job %" PRId64 ": %s",
                db_get_path(store->db), id.value, what);
    return false;
}

static bool check_job(Store *store, JobId id, GError **error)
{
    g_autoptr(Job) row = store_load_job(store, id, error);
    g_autoptr(GPtrArray) events = row ? store_list_events(store, id, 0, error) : NULL;
    g_autoptr(Job) fold = NULL;

    if (!events)
        return false;
    fold = job_new(id, row->name, row->group);
    for (guint i = 0; i < events->len; i++) {
        if (!job_apply(fold, g_ptr_array_index(events, i)))
            return is_wrong(store, id, "its events contain a move that cannot happen", error);
    }
    if (!job_is_equal(row, fold))
        return is_wrong(store, id, "its row is not what its events say", error);
    return true;
}

static bool check_none(Store *store, const char *sql, const char *what, GError **error)
{
    g_autoptr(GArray) ids = list_ids(store, sql, error);

    if (!ids)
        return false;
    return ids->len == 0 || is_wrong(store, g_array_index(ids, JobId, 0), what, error);
}

static bool check_leases(Store *store, GError **error)
{
    return check_none(store,
                      "SELECT job FROM (SELECT job, granted_at_ms, max(granted_at_ms + used_ms)"
                      " OVER (PARTITION BY node, device ORDER BY granted_at_ms, id"
                      " ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before FROM leases)"
                      " WHERE before > granted_at_ms",
                      "a device was leased before its last lease had ended", error) &&
           check_none(store,
                      "SELECT jobs.id FROM jobs JOIN leases ON leases.job = jobs.id"
                      " WHERE leases.released = 0"
                      " AND jobs.state NOT IN ('starting', 'running', 'stopping')",
                      "it holds a lease and no attempt is at work", error) &&
           check_none(store, "SELECT job FROM leases WHERE released = 1 AND posted = 0",
                      "a lease has ended and is not posted", error);
}

bool store_check(Store *store, GError **error)
{
    g_autoptr(GArray) ids = list_ids(store, "SELECT id FROM jobs ORDER BY id", error);
    int64_t postings;

    if (!ids)
        return false;
    for (guint i = 0; i < ids->len; i++) {
        if (!check_job(store, g_array_index(ids, JobId, i), error))
            return false;
    }
    return check_leases(store, error) && ledger_audit(store->ledger, &postings, error);
}
