/* SPDX-License-Identifier: Apache-2.0
 *
 * The store: jobs, their append-only events and their leases, in one SQLite file (WAL, STRICT) under
 * the state folder. A job's state is what its events say; the store keeps nothing that cannot be
 * folded again from them, except the used time of leases that are still held.
 *
 *     STATE/drover.db           mode 0600, the folder 0700
 *     STATE/jobs/ID/            one folder a job: lock, checkpoints/, attempt-K/{rank-N.log, ...}
 */
#ifndef QUEUE_STORE_H
#define QUEUE_STORE_H

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
    char *group;           /* the `drover run` that created it, shared by the jobs of one file */
    int attempts;          /* begun so far */
    int64_t created_at_ms; /* wall clock */
    int64_t started_at_ms; /* first attempt's first process; 0: not yet */
    int64_t ended_at_ms;   /* 0: not yet */
    int exit_code;         /* of the last attempt; -1: none yet */
    int64_t step;          /* last progress; 0: none */
    int64_t steps;
    double loss;           /* NAN: none */
    double val_loss;       /* NAN: none */
    double tokens_per_s;   /* 0: none */
    int64_t checkpoint_step; /* last durable checkpoint; -1: none */
    bool setup_done;
    bool owned;            /* a drover process holds the job's lock right now */
} Job;

typedef struct {
    int64_t seq;
    JobId job;
    int attempt;   /* 0: about the job as a whole */
    int64_t at_ms; /* wall clock */
    char *type;
    json_t *body;  /* an object, maybe empty */
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
    STORE_ERROR_BUSY       /* another drover process runs the job */
} StoreError;

/* NULL: $DROVER_STATE_DIR, else $XDG_STATE_HOME/drover, else ~/.local/state/drover. */
Store *store_open(const char *dir, GError **error);
void store_close(Store *store);
sqlite3 *store_get_db(Store *store);
const char *store_get_dir(const Store *store);
/* Absolute; created on demand with mode 0700. */
char *store_get_job_dir(const Store *store, JobId job);
char *store_get_attempt_dir(const Store *store, JobId job, int attempt);

/* `job_file`: absolute path of where the spec came from, `base_dir`: the folder workdir is relative to. */
bool store_add_job(Store *store, const JobSpec *spec, const char *group, const char *base_dir,
                   int64_t at_ms, JobId *id, GError **error);
/* By id ("12"), else the newest job of that name. */
bool store_find_job(Store *store, const char *id_or_name, JobId *id, GError **error);
Job *store_get_job(Store *store, JobId id, GError **error);
void job_free(Job *job);
JobSpec *store_get_spec(Store *store, JobId id, char **base_dir, GError **error);
/* Newest first; Job *. `group` NULL: all. */
GPtrArray *store_list_jobs(Store *store, const char *group, GError **error);

/* Checks the event against the state machine, appends it and updates the job, in one durable
 * transaction. `body` is borrowed, may be NULL. */
bool store_append(Store *store, JobId job, int attempt, int64_t at_ms, const char *type,
                  const json_t *body, GError **error);
/* Event * with seq > after_seq, oldest first. */
GPtrArray *store_list_events(Store *store, JobId job, int64_t after_seq, GError **error);
/* The last `count` losses reported, oldest first; double. For sparklines. */
GArray *store_list_losses(Store *store, JobId job, size_t count, GError **error);

/* Lease *, oldest first. */
GPtrArray *store_list_leases(Store *store, JobId job, GError **error);

/* Puts right what a killed drover left: jobs that say they run but whose lock nobody holds get an
 * `interrupted` event, their leases end at the last heartbeat. Idempotent; every command that shows jobs
 * calls it first. */
bool store_recover(Store *store, int64_t now_ms, GError **error);

/* Takes the job's lock for this process and those it hands the descriptor to; STORE_ERROR_BUSY if
 * another has it. The caller closes *fd. */
bool store_lock_job(Store *store, JobId job, int *fd, GError **error);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(Store, store_close)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Job, job_free)

#endif
