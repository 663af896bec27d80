/* SPDX-License-Identifier: Apache-2.0
 *
 * The store: jobs, their append-only events and their leases, in one SQLite file (WAL, STRICT)
 * under the state folder. A job's state is what its events say; the store keeps nothing that cannot
 * be folded again from them, except the used time of leases that are still held.
 *
 *     STATE/drover.db           mode 0600, the folder 0700
 *     STATE/jobs/ID/            one folder a job: lock, checkpoints/, attempt-K/{rank-N.log, ...}
 *
 * Any number of processes may have the same store open; a Store belongs to one thread. Commands
 * that only look use store_open, store_recover, store_find_job, store_get_job, store_list_*; a
 * command that runs jobs hands the Store to a Group (group.h), which is the only writer of events
 * besides store_recover and store_cancel_job.
 */
#ifndef QUEUE_STORE_H
#define QUEUE_STORE_H

#include "billing/billing.h"
#include "jobspec/jobspec.h"
#include "runner/queue/state.h"

#include <sqlite3.h>

typedef struct Store Store;

typedef struct {
    int64_t value; /* from 1; what users type and see */
} JobId;

/* What the events of a job add up to. */
typedef struct {
    JobId id;
    char *name;
    JobState state;
    char *reason;          /* why it ended or waits, in words; NULL: nothing to say */
    char *cause;           /* the same as one word for programs (below); NULL: nothing to say */
    char *group;           /* the `drover run` that created it, shared by the jobs of one file */
    int attempts;          /* begun so far */
    int retries;           /* automatic ones since it was accepted or last resumed by hand */
    int64_t retry_at_ms;   /* wall clock, while retrying */
    int64_t created_at_ms; /* wall clock */
    int64_t started_at_ms; /* first attempt's first process; 0: not yet */
    int64_t ended_at_ms;   /* 0: not yet */
    int exit_code;         /* of the last attempt; -1: none yet */
    int64_t step;          /* last progress; 0: none */
    int64_t steps;
    double loss;              /* NAN: none */
    double val_loss;          /* NAN: none */
    double tokens_per_s;      /* 0: none */
    int64_t checkpoint_step;  /* last durable checkpoint; -1: none */
    int64_t checkpoint_at_ms; /* wall clock; 0: none */
    bool setup_done;
    bool cancel_requested; /* by store_cancel_job, while a drover process owns the job */
    bool cancel_now;       /* without the grace */
    bool owned;            /* not ended, and a drover process holds its lock right now */
} Job;

/* Job.cause: "nonzero_exit" "setup" "supplier_lost" "preempted" "preflight" "missing" (how an
 * attempt failed), "deadline" (max_duration) "max_cost" "start_within" "no_match" "plan"
 * "dependency" (why the job did), "cancelled" "interrupted" (who stopped it), "devices"
 * "dependency" "max_parallel" (what it waits for). */

typedef struct {
    int64_t seq;
    JobId job;
    int attempt;   /* 0: about the job as a whole */
    int64_t at_ms; /* wall clock */
    char *type;
    json_t *body; /* an object, maybe empty */
} Event;

typedef struct {
    int64_t id;
    JobId job;
    int attempt;
    char *supplier;
    char *node;
    char *device;
    char *model;
    int64_t price_usd_micro; /* per device-hour */
    int64_t io_usd_micro;
    int64_t granted_at_ms;
    int64_t used_ms; /* up to the last heartbeat, or to the release */
    bool released;
} Lease;

#define STORE_ERROR store_error_quark()
GQuark store_error_quark(void);
typedef enum {
    STORE_ERROR_DB,
    STORE_ERROR_SYSTEM,
    STORE_ERROR_NOT_FOUND, /* no such job */
    STORE_ERROR_STATE,     /* the state machine does not allow the event */
    STORE_ERROR_BUSY,      /* another drover process runs the job, or has held the store too long */
    STORE_ERROR_FULL,      /* no space left */
    STORE_ERROR_CORRUPT,   /* not a drover store, damaged, or written by a newer drover */
    STORE_ERROR_DENIED     /* owned by somebody else, writable by others, or read-only */
} StoreError;

/* NULL: $DROVER_STATE_DIR, else $XDG_STATE_HOME/drover, else ~/.local/state/drover. */
Store *store_open(const char *dir, GError **error);
void store_close(Store *store);
sqlite3 *store_get_db(Store *store);
Ledger *store_get_ledger(Store *store);
const char *store_get_dir(const Store *store);
/* Absolute; created on demand with mode 0700. */
char *store_get_job_dir(const Store *store, JobId job);
char *store_get_attempt_dir(const Store *store, JobId job, int attempt);

/* A job to be. All borrowed for the call. */
typedef struct {
    const JobSpec *spec;
    const char *group;    /* a word that no other `drover run` has */
    const char *base_dir; /* absolute: the folder workdir is relative to */
    int64_t at_ms;
} JobNew;

/* Durable when it returns; the job is `pending`. */
bool store_add_job(Store *store, const JobNew *job, JobId *id, GError **error);
/* By id ("12"), else the newest job of that name. */
bool store_find_job(Store *store, const char *id_or_name, JobId *id, GError **error);
Job *store_get_job(Store *store, JobId id, GError **error);
Job *job_copy(const Job *job);
void job_free(Job *job);
JobSpec *store_get_spec(Store *store, JobId id, char **base_dir, GError **error);
/* Newest first; Job *. `group` NULL: all. */
GPtrArray *store_list_jobs(Store *store, const char *group, GError **error);

/* Checks the event against the state machine, appends it and updates the job, in one durable
 * transaction (or in the transaction that is open). `event->seq` is not read; `event->body` is
 * borrowed, may be NULL. */
bool store_append(Store *store, const Event *event, GError **error);
/* Event * with seq > after_seq, oldest first. */
GPtrArray *store_list_events(Store *store, JobId job, int64_t after_seq, GError **error);
/* The last `count` losses reported, oldest first; double. For sparklines. */
GArray *store_list_losses(Store *store, JobId job, size_t count, GError **error);

/* Lease *, oldest first. */
GPtrArray *store_list_leases(Store *store, JobId job, GError **error);

/* Asks for the end of a job, whoever runs it: an owned job is stopped by its owner within a second
 * (checkpoint signal, grace, kill; `now`: no grace), any other is `cancelled` when this returns. A
 * job that has ended stays as it is: not an error, and *job tells. Idempotent. `job` may be NULL.
 */
bool store_cancel_job(Store *store, JobId id, bool now, int64_t at_ms, Job **job, GError **error);

/* Puts right what a killed drover left: jobs that say they run but whose lock nobody holds get an
 * `interrupted` event (a `cancelled` one where that was asked for), their leases end at the last
 * heartbeat, and what was not posted to the ledger is. Idempotent; every command that shows jobs
 * calls it first. Costs one read when there is nothing to do. */
bool store_recover(Store *store, int64_t now_ms, GError **error);

/* Checks the whole store and says the first thing wrong: each job row equals the fold of its
 * events, leases of one device do not overlap, every released lease is posted, the ledger audits
 * clean. */
bool store_check(Store *store, GError **error);

/* Takes the job's lock for this process and those it hands the descriptor to (close-on-exec
 * otherwise); STORE_ERROR_BUSY if another has it. The caller closes *fd. */
bool store_lock_job(Store *store, JobId job, int *fd, GError **error);

void event_free(Event *event);
void lease_free(Lease *lease);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(Store, store_close)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Job, job_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Event, event_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Lease, lease_free)

#endif
