/* SPDX-License-Identifier: Apache-2.0
 *
 * One attempt, run to its end through launch_start(), with its events kept.
 */
#ifndef TESTS_LAUNCHER_RUN_H
#define TESTS_LAUNCHER_RUN_H

#include "launcher/launch.h"

#define RUN_DEADLINE_S 60 /* a test that waits longer for an event has failed */

typedef struct {
    char *dir; /* the job's folder, removed with the run */
    char *attempt_dir;
    Plan *plan;
    Launch *launch;
    GPtrArray *events; /* json_t * */
    GMainLoop *loop;
    const char *until; /* the event that run_wait() waits for */
    bool ended;        /* "done" or the end of the stream */
} Run;

/* `ranks` ranks of `command` on `cpus` cores; the plan may be changed before run_start(). */
Run *run_new(const char *command, int ranks, int cpus);
void run_start(Run *run);
/* Waits for the first event of that name not yet waited for; the last one that came so is returned,
 * borrowed. NULL waits for the end. */
const json_t *run_wait(Run *run, const char *event);
/* The `index`th event of that name so far, or NULL. */
const json_t *run_find(const Run *run, const char *event, guint index);
const json_t *run_find_rank(const Run *run, const char *event, int rank);
int run_integer(const json_t *event, const char *member);
const char *run_string(const json_t *event, const char *member);
char *run_read(const Run *run, const char *file);
void run_free(Run *run);

/* Blocks until `file` exists in the job's folder. */
char *run_wait_file(const Run *run, const char *file);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(Run, run_free)

#endif
