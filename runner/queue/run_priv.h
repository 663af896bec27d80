/* SPDX-License-Identifier: Apache-2.0
 *
 * Shared by run.c (the life of a job), run_start.c (how an attempt begins), run_end.c (what its end
 * means) and run_report.c (what is stored of its events).
 */
#ifndef QUEUE_RUN_PRIV_H
#define QUEUE_RUN_PRIV_H

#include "launcher/launch.h"
#include "runner/queue/run.h"
#include "runner/queue/store_priv.h"

typedef enum { STOP_NONE, STOP_INTERRUPT, STOP_CANCEL, STOP_MAX_COST } StopWhy;

/* What is true of the attempt at work only. */
typedef struct {
    StopWhy stop;
    bool killed;           /* a stop without grace was sent */
    int64_t begun_mono_ms; /* CLOCK_BOOTTIME, as all *_mono_ms */
    int64_t
        meter_mono_ms; /* the first process of the ranks existed; -1: not yet, nothing is metered */
    int64_t stop_at_ms; /* of metered time: max_cost asks for the stop; INT64_MAX: never */
    int64_t kill_at_ms;
    int64_t most_ms;    /* what the limits allow: nothing beyond is metered */
    GPtrArray *reports; /* Event *: not stored yet */
    Event *progress;    /* merged, not stored yet; NULL: none */
    Event *checkpoint;  /* the newest, not stored yet; NULL: none */
    int notes;          /* taken so far */
    int checkpoints;    /* stored since the last heartbeat */
} RunAttempt;

struct Run {
    const GroupConfig *config;
    const RunFuncs *funcs;
    void *user_data;
    int lock_fd;
    Job *job;
    JobSpec *spec;
    char *base_dir;
    GPtrArray *leases; /* Lease *: of all attempts; those held grow with the clock */
    Launch *launch;    /* NULL: no attempt at work */
    RunAttempt attempt;
    guint beat_source;
    guint retry_source;
    guint reap_source;
    int beats_failed; /* in a row */
    bool broken;
};

/* ---- run.c ---- */

int64_t run_wall_ms(void);
int64_t run_mono_ms(void);
int64_t run_beat_ms(const Run *run);
/* The store failed: kill the attempt, tell the group. Takes the error. */
void run_break(Run *run, GError *error);
/* Reads the job again after a write and tells the group. */
void run_tell(Run *run);
/* An event about the job as it stands, now; `body` is taken. */
Event *run_event(const Run *run, const char *type, json_t *body);
bool run_load_leases(Run *run, GError **error);
/* Metered time of the attempt at a moment; -1: nothing is metered. */
int64_t run_meter(const Run *run, int64_t mono_ms);
/* The same now, of the attempt at work; -1: nothing is metered. */
int64_t run_metered_ms(const Run *run);
/* Brings the held leases at hand up to that time. */
void run_age_leases(Run *run, int64_t used_ms);
/* What max_duration leaves; INT64_MAX: no limit. */
int64_t run_time_left_ms(const Run *run);
void run_on_launch_event(const json_t *event, void *user_data);
void run_start_beats(Run *run);

/* ---- run_report.c ---- */

void run_init_attempt(RunAttempt *attempt);
void run_clear_attempt(RunAttempt *attempt);
/* Takes one event of drover launch, all but "done". False: the store failed. */
bool run_report(Run *run, const json_t *event, GError **error);
/* Adds what has been held back to the transaction that is open; run_commit() ends that one, and
 * only then is it held back no more. */
bool run_flush(Run *run, GError **error);
bool run_commit(Run *run, DbTx *tx, GError **error);
/* The event's own time where it has a credible one. */
int64_t run_event_mono_ms(const Run *run, const json_t *event);

/* ---- run_end.c ---- */

/* The attempt is over: `done` is the last event of drover launch, NULL where it died without one.
 */
void run_finish(Run *run, const json_t *done);
/* The Launch has told its last: frees it from the loop (it may not be freed in its own callback),
 * and only then may the job go on. */
void run_reap(Run *run);
/* It did not come to a launch: ends attempt and job with the reason. */
void run_finish_unlaunched(Run *run, const char *cause, const char *reason);

#endif
