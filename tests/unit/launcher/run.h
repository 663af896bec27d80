/* SPDX-License-Identifier: Apache-2.0
 *
 * One attempt, run to its end through launch_start(), with its events kept. A program that uses
 * this is its own `drover`: see run_main().
 */
#ifndef TESTS_LAUNCHER_RUN_H
#define TESTS_LAUNCHER_RUN_H

#include "launcher/launch.h"

#define RUN_DEADLINE_S 60 /* a test that waits longer for an event has failed */

typedef struct {
    char *dir;         /* of the job and of the ranks; removed with the run */
    char *attempt_dir; /* DIR/attempt-1 */
    Plan *plan;
    Launch *launch;
    GPtrArray *events; /* json_t * */
    GMainLoop *loop;
    const char *until; /* the event that run_wait() waits for */
    bool ended;        /* "done" or the end of the stream */
} Run;

/* `ranks` ranks of `command` on the first `cpus` cores. The plan may be changed before run_start().
 * Every process of the attempt has TEST_DIR in its environment. */
Run *run_new(const char *command, int ranks, int cpus);
void run_start(Run *run);
/* Returns when the next event of that name has come, or the end; the last event, borrowed, NULL
 * where the launcher crashed. `event` NULL waits for the end. */
const json_t *run_wait(Run *run, const char *event);
/* The `index`th event of that name so far, or NULL. */
const json_t *run_find(const Run *run, const char *event, guint index);
const json_t *run_find_rank(const Run *run, const char *event, int rank);
int run_integer(const json_t *event, const char *member);
const char *run_string(const json_t *event, const char *member);
/* A file in the job's folder, or NULL. */
char *run_read(const Run *run, const char *file);
/* Waits until it is there and not empty. */
char *run_wait_file(const Run *run, const char *file);
/* How many processes have `dir` in their environment or on their command line. */
guint run_count_processes(const char *dir);
void run_free(Run *run);

/* The commands `launch`, `rank`, `rogue` (a rank that lies to the launcher), and `run DIR COMMAND
 * RANKS [confined]`, which is a runner of its own and writes the events to DIR/events; confined:
 * where no namespace can be made. -1: none of these. */
int run_main(int argc, char **argv);
#define RUN_EXIT_NOT_CONFINED 77

G_DEFINE_AUTOPTR_CLEANUP_FUNC(Run, run_free)

#endif
