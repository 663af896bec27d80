/* SPDX-License-Identifier: Apache-2.0
 *
 * What the files of the store share, and what only the owner of a job's lock may call (run.c).
 */
#ifndef QUEUE_STORE_PRIV_H
#define QUEUE_STORE_PRIV_H

#include "runner/queue/db.h"
#include "runner/queue/store.h"

#include <inttypes.h>

struct Store {
    Db *db;
    Ledger *ledger;
    char *dir;
    int64_t data_version; /* as store_has_changed saw it last */
};

/* ---- store.c ---- */

/* Some process holds the job's lock right now. */
bool store_is_locked(const Store *store, JobId job);

/* Somebody else wrote to the store since the last call. */
bool store_has_changed(Store *store);

/* ---- store_jobs.c ---- */

/* The row as stored, without `owned`. */
Job *store_load_job(Store *store, JobId id, GError **error);
bool store_save_job(Store *store, const Job *job, GError **error);

/* ---- job.c: the fold ---- */

/* Moves `job` on by one event. False: the state machine refuses it, and nothing changed. */
bool job_apply(Job *job, const Event *event);
/* A job before its first event. */
Job *job_new(JobId id, const char *name, const char *group);
/* What must hold of every job; *why is a static string. */
bool job_check(const Job *job, const char **why);
/* Same in all that is folded from events. */
bool job_is_equal(const Job *a, const Job *b);

/* ---- store_events.c ---- */

/* `body` is taken; NULL: none. */
Event *event_new(const Job *job, const char *type, int64_t at_ms, json_t *body);

/* ---- store_leases.c ---- */

/* Holds a device for an attempt. STORE_ERROR_BUSY: it is held already. id, used_ms and released are
 * not read; granted_at_ms is moved on to the end of the device's last lease where the wall clock
 * went back. */
bool store_grant_lease(Store *store, const Lease *lease, GError **error);
/* The heartbeat: used_ms of the job's held leases, never less than before. */
bool store_beat_leases(Store *store, JobId job, int64_t used_ms, GError **error);
/* The set of device ids (char *) held on the node. */
GHashTable *store_list_busy(Store *store, const char *node, GError **error);
/* Ends an attempt (or a job without one) in one transaction: appends `event`, releases what the job
 * holds with `used_ms` (-1: as of the last heartbeat), and posts the bill. A bill that cannot be
 * posted does not undo the end: store_recover tries again and tells. */
bool store_end_attempt(Store *store, const Event *event, int64_t used_ms, GError **error);
/* Sets `posted` on the job's released leases. */
bool store_mark_posted(Store *store, JobId job, GError **error);

#endif
