/* SPDX-License-Identifier: Apache-2.0
 *
 * Runs the jobs of one `drover run`, on the default GMainContext: everything from `pending` to the
 * last posting, without a user interface. Use:
 *
 *     Store *store = store_open(NULL, &error);
 *     store_recover(store, now, &error);
 *     Group *group = group_new(&config, &funcs, ui);
 *     group_add_jobs(group, file->jobs, base_dir, &error);     accepted: durable, and ours (locked)
 *       or group_resume_job(group, id, &error);
 *     group_start(group);
 *     g_main_loop_run(loop);                                   funcs.done quits the loop
 *     group_free(group); store_close(store);
 *
 * It decides which job may start (dependencies and their `when`, max_parallel of a matrix,
 * priority, free devices), leases the devices, starts `drover launch` and turns its events into
 * those of the store; it meters, retries with backoff, keeps max_duration, max_cost and
 * start_within over all attempts, obeys `drover cancel`, and posts the bill.
 *
 * Ctrl-C: group_stop(group, GROUP_STOP_INTERRUPT); a second one: the same call again, which kills.
 * An interrupted job is `pending` again and can be resumed; a cancelled one has ended.
 */
#ifndef QUEUE_GROUP_H
#define QUEUE_GROUP_H

#include "launcher/node.h"
#include "runner/queue/store.h"

typedef struct Group Group;

/* All borrowed; must outlive the group. */
typedef struct {
    Store *store;
    const Node *node;
    const PriceList *prices;
    const char *program;     /* absolute path of `drover`: runs `drover launch` */
    const char *path_prefix; /* first in the PATH of ranks; NULL: none */
    int64_t heartbeat_ms;    /* 0: 1000 */
} GroupConfig;

/* All arguments are borrowed for the call. Any may be NULL. The group must not be freed inside. */
typedef struct {
    /* Each change of a job's state, reason or attempt, when it is in the store; first `pending`. */
    void (*changed)(const Job *job, void *user_data);
    /* Each event of drover launch as it comes (launcher/launch.h), before the store thins them out.
     */
    void (*event)(const Job *job, const json_t *event, void *user_data);
    /* Once, when no job of the group will do anything more. `error`: the store failed under us, the
     * jobs were killed and the next store_recover tells how far they came; else NULL. */
    void (*done)(const GError *error, void *user_data);
} GroupFuncs;

Group *group_new(const GroupConfig *config, const GroupFuncs *funcs, void *user_data);
/* Kills what still runs. */
void group_free(Group *group);

/* The name that store_list_jobs() takes to list just these jobs. */
const char *group_get_name(const Group *group);

/* Adds the jobs of one file (JobSpec *, borrowed for the call) to the store. */
bool group_add_jobs(Group *group, GPtrArray *specs, const char *base_dir, GError **error);
/* Takes over a job that nobody runs: interrupted, failed or cancelled, with the jobs it depends on
 * that have not ended. STORE_ERROR_BUSY: another drover runs it; STORE_ERROR_STATE: it has
 * succeeded. */
bool group_resume_job(Group *group, JobId id, GError **error);

void group_start(Group *group);

typedef enum { GROUP_STOP_INTERRUPT, GROUP_STOP_CANCEL } GroupStop;
/* Checkpoint signal, grace, kill; called again: kill at once. Jobs not started yet stop right away.
 */
void group_stop(Group *group, GroupStop how);

/* The jobs as the group has them now, in the order of their ids: the array is the caller's, the Job
 * * in it are borrowed until the main loop runs again. */
GPtrArray *group_get_jobs(const Group *group);
/* What the job has cost up to this moment, without asking the store: cheap enough for a live line.
 */
Invoice *group_get_invoice(Group *group, JobId id, GError **error);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(Group, group_free)

#endif
