/* SPDX-License-Identifier: Apache-2.0
 *
 * Running one attempt. The launcher is a process of its own (`drover launch`), so that a crash on
 * one side does not take the other down:
 *
 *     runner ── plan, then "stop" / "kill" lines ──> stdin   drover launch ── mpirun ── drover rank
 *            <── events, one JSON object a line ──── stdout
 *
 * End of file on stdin means that the runner is dead: everything is killed. The events, in order:
 *
 *   {"event":"setup"}                       setup began; only where there is one to run
 *   {"event":"setup_done","status":0}       exit status (128 + signal)
 *   {"event":"started"}                     the first process of the ranks exists (engine started)
 *   {"event":"rank_started","rank":0,"pid":17}
 *   {"event":"running"}                     every rank has started
 *   {"event":"progress","rank":0,"step":1,"steps":100,"loss":4.1,"val_loss":4.2,
 *                      "tokens_per_s":1800.5,"share":0.5}       (unknown members are left out)
 *   {"event":"checkpoint","rank":0,"step":20,"path":"..."}
 *   {"event":"note","rank":0,"text":"resumed from step 20"}
 *   {"event":"stopping","reason":"requested" | "deadline"}
 *   {"event":"rank_exit","rank":0,"code":0,"signal":0}
 *   {"event":"done","reason":"succeeded","code":0,"message":"..."}
 *
 * "done" is always the last: nothing runs any more. Its reason is one of "succeeded", "failed",
 * "requested", "deadline", "setup", "start", "missing" (a program that starts ranks is not there:
 * another try would find the same) and "killed". Its code is that of the rank (or of
 * setup) which brought the end about, else of the first rank that did not end with 0; 128 + signal.
 *
 * Every event also has "at_ms" (wall clock) and "mono_ms" (CLOCK_BOOTTIME).
 */
#ifndef LAUNCHER_LAUNCH_H
#define LAUNCHER_LAUNCH_H

#include "launcher/plan.h"

typedef struct Launch Launch;

/* `event` is borrowed for the call, in which the launch must not be freed. The end of the stream
 * without a "done" (the launcher crashed) is told as event NULL, once. */
typedef void (*LaunchEventFunc)(const json_t *event, void *user_data);

/* Spawns `drover launch` (`program`: path of this executable) and watches it on the default
 * GMainContext. The child inherits `keep_fd` (-1: none), so that a lock held on it lasts until the
 * last process of the attempt's supervision is gone. Secrets are taken from this process's
 * environment; a missing one is an error that names it. */
Launch *launch_start(const char *program, const Plan *plan, int keep_fd, LaunchEventFunc func,
                     void *user_data, GError **error);
/* First call: checkpoint signal, grace, kill. `now`: kill at once. Idempotent. */
void launch_stop(Launch *launch, bool now);
void launch_free(Launch *launch);

/* Bodies of the internal commands `drover launch` and `drover rank`: return the exit status. */
int launch_main(void);
int rank_main(int argc, char **argv);

/* What the local backend cannot honour, for jobspec_file_refuse(). */
const JobSpecRefusal *backend_local_refusals(size_t *count);

#endif
