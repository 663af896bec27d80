/* SPDX-License-Identifier: Apache-2.0
 *
 * Jobs: accepting, finding, reading. Also the row that keeps the fold of a job's events.
 */
#include "runner/queue/store_priv.h"

#include <string.h>

#define JOB_COLUMNS                                                                              \
    "id, name, run_group, state, reason, cause, attempts, retries, retry_at_ms, created_at_ms, " \
    "started_at_ms, ended_at_ms, exit_code, step, steps, loss, val_loss, tokens_per_s, "         \
    "checkpoint_step, checkpoint_at_ms, setup_done, cancel_requested, cancel_now"

static bool not_found(const char *what, GError **error)
{
    g_set_error(error, STORE_ERROR, STORE_ERROR_NOT_FOUND,
                "no job '%s'; `drover list` shows those there are", what);
    return false;
}

static bool not_found_id(JobId id, GError **error)
{
    g_autofree char *text = g_strdup_printf("%" PRId64, id.value);

    return not_found(text, error);
}

static bool insert_job(Store *store, const JobNew *new_job, JobId *id, GError **error)
{
    g_autoptr(DbQuery) query = db_query(store->db,
                                        "INSERT INTO jobs (name, run_group, spec, base_dir,"
                                        " state, attempts, retries, retry_at_ms, created_at_ms,"
                                        " started_at_ms, ended_at_ms, exit_code, step, steps,"
                                        " tokens_per_s, checkpoint_step, checkpoint_at_ms,"
                                        " setup_done, cancel_requested, cancel_now)"
                                        " VALUES (?, ?, ?, ?, 'pending',"
                                        " 0, 0, 0, 0, 0, 0, -1, 0, 0, 0, -1, 0, 0, 0, 0)",
                                        error);
    json_t *json = jobspec_to_json(new_job->spec);
    char *text = json_dumps(json, JSON_COMPACT | JSON_SORT_KEYS);
    bool ok = query != NULL;

    if (ok) {
        db_bind_text(query, 1, new_job->spec->name);
        db_bind_text(query, 2, new_job->group);
        db_bind_text(query, 3, text);
        db_bind_text(query, 4, new_job->base_dir);
        ok = db_finish(store->db, query, error);
    }
    if (ok)
        id->value = sqlite3_last_insert_rowid(db_get_handle(store->db));
    free(text);
    json_decref(json);
    return ok;
}

bool store_add_job(Store *store, const JobNew *new_job, JobId *id, GError **error)
{
    g_autoptr(DbTx) tx = db_begin(store->db, true, error);
    g_autoptr(Event) accepted = NULL;
    Job job = {0};

    if (!tx || !insert_job(store, new_job, &job.id, error))
        return false;
    accepted = event_new(&job, "accepted", new_job->at_ms, NULL);
    if (!store_append(store, accepted, error) || !db_commit(tx, error))
        return false;
    *id = job.id;
    return true;
}

static bool read_id(Store *store, DbQuery *query, JobId *id, GError **error)
{
    switch (db_step(store->db, query, error)) {
    case DB_ROW:
        id->value = sqlite3_column_int64(query, 0);
        return true;
    default:
        return false;
    }
}

bool store_find_job(Store *store, const char *id_or_name, JobId *id, GError **error)
{
    guint64 value;
    GError *failure = NULL;

    if (g_ascii_string_to_unsigned(id_or_name, 10, 1, G_MAXINT64, &value, NULL)) {
        g_autoptr(DbQuery) query = db_query(store->db, "SELECT id FROM jobs WHERE id = ?", error);

        if (!query)
            return false;
        sqlite3_bind_int64(query, 1, (int64_t)value);
        if (read_id(store, query, id, &failure))
            return true;
    }
    if (!failure) {
        g_autoptr(DbQuery) query = db_query(
            store->db, "SELECT id FROM jobs WHERE name = ? ORDER BY id DESC LIMIT 1", error);

        if (!query)
            return false;
        db_bind_text(query, 1, id_or_name);
        if (read_id(store, query, id, &failure))
            return true;
    }
    if (!failure)
        return not_found(id_or_name, error);
    g_propagate_error(error, failure);
    return false;
}

static Job *job_of_row(DbQuery *query)
{
    Job *job = g_new0(Job, 1);
    g_autofree char *state = db_column_text(query, 3);

    job->id.value = sqlite3_column_int64(query, 0);
    job->name = db_column_text(query, 1);
    job->group = db_column_text(query, 2);
    job->reason = db_column_text(query, 4);
    job->cause = db_column_text(query, 5);
    job->attempts = sqlite3_column_int(query, 6);
    job->retries = sqlite3_column_int(query, 7);
    job->retry_at_ms = sqlite3_column_int64(query, 8);
    job->created_at_ms = sqlite3_column_int64(query, 9);
    job->started_at_ms = sqlite3_column_int64(query, 10);
    job->ended_at_ms = sqlite3_column_int64(query, 11);
    job->exit_code = sqlite3_column_int(query, 12);
    job->step = sqlite3_column_int64(query, 13);
    job->steps = sqlite3_column_int64(query, 14);
    job->loss = db_column_double(query, 15);
    job->val_loss = db_column_double(query, 16);
    job->tokens_per_s = sqlite3_column_double(query, 17);
    job->checkpoint_step = sqlite3_column_int64(query, 18);
    job->checkpoint_at_ms = sqlite3_column_int64(query, 19);
    job->setup_done = sqlite3_column_int(query, 20) != 0;
    job->cancel_requested = sqlite3_column_int(query, 21) != 0;
    job->cancel_now = sqlite3_column_int(query, 22) != 0;
    if (state && job_state_parse(state, &job->state))
        return job;
    job_free(job);
    return NULL;
}

static bool corrupt_row(Store *store, JobId id, const char *what, GError **error)
{
    g_set_error(error, STORE_ERROR, STORE_ERROR_CORRUPT,
                "%s: job %" PRId64 ": %s; the store is damaged: move it away or put back a copy",
                db_get_path(store->db), id.value, what);
    return false;
}

Job *store_load_job(Store *store, JobId id, GError **error)
{
    g_autoptr(DbQuery) query =
        db_query(store->db, "SELECT " JOB_COLUMNS " FROM jobs WHERE id = ?", error);
    g_autoptr(Job) job = NULL;
    const char *why;

    if (!query)
        return NULL;
    sqlite3_bind_int64(query, 1, id.value);
    switch (db_step(store->db, query, error)) {
    case DB_ROW:
        job = job_of_row(query);
        break;
    case DB_DONE:
        not_found_id(id, error);
        return NULL;
    case DB_FAILED:
        return NULL;
    }
    if (!job || (job->created_at_ms != 0 && !job_check(job, &why))) {
        corrupt_row(store, id, job ? why : "its state is no state", error);
        return NULL;
    }
    return g_steal_pointer(&job);
}

static void bind_job(DbQuery *query, const Job *job)
{
    db_bind_text(query, 1, job_state_name(job->state));
    db_bind_text(query, 2, job->reason);
    db_bind_text(query, 3, job->cause);
    sqlite3_bind_int(query, 4, job->attempts);
    sqlite3_bind_int(query, 5, job->retries);
    sqlite3_bind_int64(query, 6, job->retry_at_ms);
    sqlite3_bind_int64(query, 7, job->created_at_ms);
    sqlite3_bind_int64(query, 8, job->started_at_ms);
    sqlite3_bind_int64(query, 9, job->ended_at_ms);
    sqlite3_bind_int(query, 10, job->exit_code);
    sqlite3_bind_int64(query, 11, job->step);
    sqlite3_bind_int64(query, 12, job->steps);
    sqlite3_bind_double(query, 13, job->loss);
    sqlite3_bind_double(query, 14, job->val_loss);
    sqlite3_bind_double(query, 15, job->tokens_per_s);
    sqlite3_bind_int64(query, 16, job->checkpoint_step);
    sqlite3_bind_int64(query, 17, job->checkpoint_at_ms);
    sqlite3_bind_int(query, 18, job->setup_done);
    sqlite3_bind_int(query, 19, job->cancel_requested);
    sqlite3_bind_int(query, 20, job->cancel_now);
    sqlite3_bind_int64(query, 21, job->id.value);
}

bool store_save_job(Store *store, const Job *job, GError **error)
{
    g_autoptr(DbQuery) query = db_query(
        store->db,
        "UPDATE jobs SET state = ?, reason = ?, cause = ?, attempts = ?, retries = ?,"
        " retry_at_ms = ?, created_at_ms = ?, started_at_ms = ?, ended_at_ms = ?, exit_code = ?,"
        " step = ?, steps = ?, loss = ?, val_loss = ?, tokens_per_s = ?, checkpoint_step = ?,"
        " checkpoint_at_ms = ?, setup_done = ?, cancel_requested = ?, cancel_now = ?"
        " WHERE id = ?",
        error);

    if (!query)
        return false;
    bind_job(query, job);
    return db_finish(store->db, query, error);
}

/* What only the moment tells: who owns the job, and that a pending job without an owner stays so.
 */
static void add_owner(const Store *store, Job *job)
{
    job->owned = !job_state_is_ended(job->state) && store_is_locked(store, job->id);
    if (job->state == JOB_PENDING && !job->owned && g_strcmp0(job->cause, "interrupted") != 0) {
        g_free(job->reason);
        g_free(job->cause);
        job->cause = g_strdup("interrupted");
        job->reason = g_strdup_printf("no drover process runs it; `drover run --resume %" PRId64
                                      "` carries on",
                                      job->id.value);
    }
}

Job *store_get_job(Store *store, JobId id, GError **error)
{
    Job *job = store_load_job(store, id, error);

    if (job)
        add_owner(store, job);
    return job;
}

JobSpec *store_get_spec(Store *store, JobId id, char **base_dir, GError **error)
{
    g_autoptr(DbQuery) query =
        db_query(store->db, "SELECT spec, base_dir FROM jobs WHERE id = ?", error);
    const char *text;
    JobSpec *spec;

    if (!query)
        return NULL;
    sqlite3_bind_int64(query, 1, id.value);
    switch (db_step(store->db, query, error)) {
    case DB_ROW:
        break;
    case DB_DONE:
        not_found_id(id, error);
        return NULL;
    case DB_FAILED:
        return NULL;
    }
    text = (const char *)sqlite3_column_text(query, 0);
    spec = jobspec_from_json(text, strlen(text), error);
    if (!spec)
        g_prefix_error(error, "%s: specification of job %" PRId64 ": ", db_get_path(store->db),
                       id.value);
    else if (base_dir)
        *base_dir = db_column_text(query, 1);
    return spec;
}

GPtrArray *store_list_jobs(Store *store, const char *group, GError **error)
{
    g_autoptr(GPtrArray) jobs = g_ptr_array_new_with_free_func((GDestroyNotify)job_free);
    g_autoptr(DbQuery) query =
        db_query(store->db,
                 group ? "SELECT " JOB_COLUMNS " FROM jobs WHERE run_group = ? ORDER BY id DESC"
                       : "SELECT " JOB_COLUMNS " FROM jobs ORDER BY id DESC",
                 error);
    DbStep step;

    if (!query)
        return NULL;
    if (group)
        db_bind_text(query, 1, group);
    while ((step = db_step(store->db, query, error)) == DB_ROW) {
        Job *job = job_of_row(query);

        if (!job) {
            JobId id = {sqlite3_column_int64(query, 0)};

            corrupt_row(store, id, "its state is no state", error);
            return NULL;
        }
        add_owner(store, job);
        g_ptr_array_add(jobs, job);
    }
    return step == DB_DONE ? g_steal_pointer(&jobs) : NULL;
}
