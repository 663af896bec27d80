/* SPDX-License-Identifier: Apache-2.0
 *
 * The plan of one attempt: which rank runs where, on which cores and devices, with which
 * environment. Pure data: the same input gives the same plan, byte for byte, on any machine and for
 * any backend. Secrets are in it by name only.
 */
#ifndef LAUNCHER_PLAN_H
#define LAUNCHER_PLAN_H

#include "jobspec/jobspec.h"
#include "launcher/node.h"

/* One node of the attempt: `devices` are the ones leased on it, `cpus` the cores it may use. */
typedef struct {
    const Node *node;
    GPtrArray *devices; /* Device *, borrowed */
    int island;         /* from 0, without gaps */
} PlanNode;

/* All borrowed for the call. */
typedef struct {
    const JobSpec *spec;
    const char *job; /* id in words, for DROVER_JOB */
    int attempt;     /* from 1 */
    const PlanNode *nodes;
    size_t nodes_count;
    const char *workdir;     /* absolute: where ranks start */
    const char *job_dir;     /* absolute: private to the job, outlives attempts */
    const char *attempt_dir; /* absolute: logs, event pipe, plan of this attempt */
    const char *path_prefix; /* put first in the ranks' PATH (drover's own programs); NULL: none */
    int64_t deadline_at_ms;  /* wall clock, Unix; INT64_MAX: none. DROVER_DEADLINE in seconds */
    int64_t max_duration_ms; /* left for this attempt */
    int master_port;         /* MASTER_PORT */
    bool setup_done;         /* an earlier attempt ran it on these nodes */
} PlanInput;

typedef struct {
    int rank;
    int local_rank;
    GArray *cpus;       /* int: bound to these; empty: not bound (more ranks than cores) */
    GPtrArray *devices; /* char *: ids */
    GPtrArray *env;     /* char *: "KEY=value", sorted: only what differs between ranks */
} PlanRank;

typedef struct {
    char *node;
    char *address;
    GPtrArray *ranks; /* PlanRank * */
} PlanHost;

typedef struct {
    int index;
    GPtrArray *hosts; /* PlanHost * */
} PlanIsland;

typedef struct {
    char *job;
    int attempt;
    JobSpecLaunchType type;
    char *run;
    char *setup; /* NULL: none, or done before */
    char *workdir;
    char *attempt_dir;
    char *path_prefix;     /* NULL: none */
    char *checkpoint_dir;  /* absolute; always there (DROVER_CHECKPOINT_DIR) */
    int checkpoint_signal; /* 0: none, SIGTERM only */
    int64_t grace_ms;
    int64_t max_duration_ms; /* INT64_MAX: none */
    int64_t start_within_ms; /* INT64_MAX: none; from the launcher's start to the last rank's */
    GPtrArray *env;          /* char *: "KEY=value", sorted: common to all ranks */
    GPtrArray *secrets;      /* char *: names */
    GPtrArray *islands;      /* PlanIsland * */
} Plan;

Plan *plan_build(const PlanInput *input, GError **error);
/* Where the job keeps its checkpoints: absolute. A relative checkpoint.path is inside `job_dir`. */
char *plan_get_checkpoint_dir(const JobSpec *spec, const char *job_dir, GError **error);
int plan_get_world_size(const Plan *plan);
/* Canonical: sorted keys. plan_from_json checks everything it reads. */
json_t *plan_to_json(const Plan *plan);
Plan *plan_from_json(const json_t *json, GError **error);
void plan_free(Plan *plan);

#define LAUNCHER_ERROR launcher_error_quark()
GQuark launcher_error_quark(void);
typedef enum {
    LAUNCHER_ERROR_PLAN,   /* the job cannot be planned on these nodes */
    LAUNCHER_ERROR_SYSTEM, /* a system call failed */
    LAUNCHER_ERROR_MISSING /* a program (mpirun) is not there */
} LauncherError;

G_DEFINE_AUTOPTR_CLEANUP_FUNC(Plan, plan_free)

#endif
