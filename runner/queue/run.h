/* SPDX-License-Identifier: Apache-2.0
 *
 * One job on its way from `pending` to its end, for a Group. A Run holds the job's lock as long as
 * it lives, so it is the only writer of the job's events. All state changes go through the store
 * first; what the members below say is a copy.
 */
#ifndef QUEUE_RUN_H
#define QUEUE_RUN_H

#include "runner/queue/group.h"

typedef struct Run Run;

/* Called from the main loop and from the calls below. The Run must not be freed inside. */
typedef struct {
    void (*changed)(Run *run, void *user_data);
    void (*event)(Run *run, const json_t *event, void *user_data);
    /* The store cannot be written any more; the attempt is being killed. Once. */
    void (*broken)(Run *run, const GError *error, void *user_data);
} RunFuncs;

/* `fd`: the job's lock, owned from now on, also on failure. `config` and `funcs` must outlive it.
 */
Run *run_new(const GroupConfig *config, JobId id, int fd, const RunFuncs *funcs, void *user_data);
bool run_load(Run *run, GError **error);
/* Kills the attempt at work; the store then tells of it as of one whose runner died. */
void run_free(Run *run);

const Job *run_get_job(const Run *run);
const JobSpec *run_get_spec(const Run *run);
/* Nothing of an attempt is left, and no retry is due. */
bool run_is_at_rest(const Run *run);
/* With the time up to this moment. */
Invoice *run_get_invoice(Run *run, GError **error);

/* The job is pending and nothing forbids its start: leases devices and starts an attempt; or leaves
 * it pending with a reason (devices are leased), or ends it with one (never fits, no time or money
 * left). What it came to is in the job. */
void run_try_start(Run *run);
/* The job is pending and waits for something: reason and cause. Repeats are not stored. */
void run_wait(Run *run, const char *cause, const char *reason);
/* Ends a job that has no attempt at work: `type` is "failed" or "cancelled". */
void run_end(Run *run, const char *type, const char *cause, const char *reason);
/* An attempt at work is stopped, a pending or retrying job at once; `now`: no grace. */
void run_stop(Run *run, GroupStop how, bool now);
/* Another process wrote to the store: was it to cancel this job? */
void run_refresh(Run *run);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(Run, run_free)

#endif
