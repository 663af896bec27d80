/* SPDX-License-Identifier: Apache-2.0
 *
 * Leases: a device is held by one attempt from the grant to the release. used_ms only grows, by
 * heartbeats of the owner while it is held, and is final once released. The release, the event that
 * caused it and the posting of the bill are one transaction, so no crash can come between them.
 */
#include "runner/queue/bill.h"
#include "runner/queue/store_priv.h"

/* The end of the last lease of the device, so that intervals never overlap even when the wall clock
 * steps back between two grants. */
static bool end_of_last(Store *store, const Lease *lease, int64_t *end_ms, GError **error)
{
    g_autoptr(DbQuery) query = db_query(
        store->db, "SELECT max(granted_at_ms + used_ms) FROM leases WHERE node = ? AND device = ?",
        error);

    if (!query)
        return false;
    db_bind_text(query, 1, lease->node);
    db_bind_text(query, 2, lease->device);
    if (db_step(store->db, query, error) != DB_ROW)
        return false;
    *end_ms = sqlite3_column_int64(query, 0);
    return true;
}

static bool insert_lease(Store *store, const Lease *lease, int64_t granted_at_ms, GError **error)
{
    g_autoptr(DbQuery) query =
        db_query(store->db,
                 "INSERT INTO leases (job, attempt, supplier, node, device, model, price_usd_micro,"
                 " io_usd_micro, granted_at_ms, used_ms, released, posted)"
                 " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 0, 0, 0)",
                 error);

    if (!query)
        return false;
    sqlite3_bind_int64(query, 1, lease->job.value);
    sqlite3_bind_int(query, 2, lease->attempt);
    db_bind_text(query, 3, lease->supplier);
    db_bind_text(query, 4, lease->node);
    db_bind_text(query, 5, lease->device);
    db_bind_text(query, 6, lease->model);
    sqlite3_bind_int64(query, 7, lease->price_usd_micro);
    sqlite3_bind_int64(query, 8, lease->io_usd_micro);
    sqlite3_bind_int64(query, 9, granted_at_ms);
    return db_finish(store->db, query, error);
}

bool store_grant_lease(Store *store, const Lease *lease, GError **error)
{
    g_autoptr(DbTx) tx = db_begin(store->db, true, error);
    g_autoptr(GError) failure = NULL;
    int64_t end_ms;

    if (!tx || !end_of_last(store, lease, &end_ms, error))
        return false;
    if (insert_lease(store, lease, MAX(lease->granted_at_ms, end_ms), &failure))
        return db_commit(tx, error);
    if (sqlite3_extended_errcode(db_get_handle(store->db)) == SQLITE_CONSTRAINT_UNIQUE)
        g_set_error(error, STORE_ERROR, STORE_ERROR_BUSY, "%s on %s is leased already",
                    lease->device, lease->node);
    else
        g_propagate_error(error, g_steal_pointer(&failure));
    return false;
}

bool store_beat_leases(Store *store, JobId job, int64_t used_ms, GError **error)
{
    g_autoptr(DbQuery) query = db_query(
        store->db, "UPDATE leases SET used_ms = max(used_ms, ?) WHERE job = ? AND released = 0",
        error);

    if (!query)
        return false;
    sqlite3_bind_int64(query, 1, used_ms);
    sqlite3_bind_int64(query, 2, job.value);
    return db_finish(store->db, query, error);
}

static bool release_leases(Store *store, JobId job, GError **error)
{
    g_autoptr(DbQuery) query =
        db_query(store->db, "UPDATE leases SET released = 1 WHERE job = ? AND released = 0", error);

    if (!query)
        return false;
    sqlite3_bind_int64(query, 1, job.value);
    return db_finish(store->db, query, error);
}

bool store_mark_posted(Store *store, JobId job, GError **error)
{
    g_autoptr(DbQuery) query = db_query(
        store->db, "UPDATE leases SET posted = 1 WHERE job = ? AND released = 1 AND posted = 0",
        error);

    if (!query)
        return false;
    sqlite3_bind_int64(query, 1, job.value);
    return db_finish(store->db, query, error);
}

void lease_free(Lease *lease)
{
    if (!lease)
        return;
    g_free(lease->supplier);
    g_free(lease->node);
    g_free(lease->device);
    g_free(lease->model);
    g_free(lease);
}

static Lease *lease_of_row(DbQuery *query)
{
    Lease *lease = g_new0(Lease, 1);

    lease->id = sqlite3_column_int64(query, 0);
    lease->job.value = sqlite3_column_int64(query, 1);
    lease->attempt = sqlite3_column_int(query, 2);
    lease->supplier = db_column_text(query, 3);
    lease->node = db_column_text(query, 4);
    lease->device = db_column_text(query, 5);
    lease->model = db_column_text(query, 6);
    lease->price_usd_micro = sqlite3_column_int64(query, 7);
    lease->io_usd_micro = sqlite3_column_int64(query, 8);
    lease->granted_at_ms = sqlite3_column_int64(query, 9);
    lease->used_ms = sqlite3_column_int64(query, 10);
    lease->released = sqlite3_column_int(query, 11) != 0;
    return lease;
}

GPtrArray *store_list_leases(Store *store, JobId job, GError **error)
{
    g_autoptr(GPtrArray) leases = g_ptr_array_new_with_free_func((GDestroyNotify)lease_free);
    g_autoptr(DbQuery) query =
        db_query(store->db,
                 "SELECT id, job, attempt, supplier, node, device, model, price_usd_micro,"
                 " io_usd_micro, granted_at_ms, used_ms, released FROM leases WHERE job = ?"
                 " ORDER BY id",
                 error);
    DbStep step;

    if (!query)
        return NULL;
    sqlite3_bind_int64(query, 1, job.value);
    while ((step = db_step(store->db, query, error)) == DB_ROW)
        g_ptr_array_add(leases, lease_of_row(query));
    return step == DB_DONE ? g_steal_pointer(&leases) : NULL;
}

GHashTable *store_list_busy(Store *store, const char *node, GError **error)
{
    g_autoptr(GHashTable) busy = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    g_autoptr(DbQuery) query =
        db_query(store->db, "SELECT device FROM leases WHERE node = ? AND released = 0", error);
    DbStep step;

    if (!query)
        return NULL;
    db_bind_text(query, 1, node);
    while ((step = db_step(store->db, query, error)) == DB_ROW)
        g_hash_table_add(busy, db_column_text(query, 0));
    return step == DB_DONE ? g_steal_pointer(&busy) : NULL;
}

/* The time that the job's held leases have now; -1: it holds none. */
static bool get_held_ms(Store *store, JobId job, int64_t *used_ms, GError **error)
{
    g_autoptr(DbQuery) query = db_query(
        store->db, "SELECT coalesce(max(used_ms), -1) FROM leases WHERE job = ? AND released = 0",
        error);

    if (!query)
        return false;
    sqlite3_bind_int64(query, 1, job.value);
    if (db_step(store->db, query, error) != DB_ROW)
        return false;
    *used_ms = sqlite3_column_int64(query, 0);
    return true;
}

/* With the used time, so that the events alone tell what each attempt held. */
static bool append_end(Store *store, const Event *event, int64_t used_ms, GError **error)
{
    Event with = *event;
    bool ok;

    with.body = event->body ? json_copy(event->body) : json_object();
    if (used_ms >= 0)
        json_object_set_new(with.body, "used_ms", json_integer(used_ms));
    ok = store_append(store, &with, error);
    json_decref(with.body);
    return ok;
}

bool store_end_attempt(Store *store, const Event *event, int64_t used_ms, GError **error)
{
    g_autoptr(DbTx) tx = db_begin(store->db, true, error);
    int64_t held_ms;

    if (!tx || (used_ms >= 0 && !store_beat_leases(store, event->job, used_ms, error)))
        return false;
    if (!get_held_ms(store, event->job, &held_ms, error) ||
        !append_end(store, event, held_ms, error))
        return false;
    if (held_ms >= 0) {
        if (!release_leases(store, event->job, error))
            return false;
        bill_post(store, event->job, event->at_ms, NULL);
    }
    return db_commit(tx, error);
}
