/* SPDX-License-Identifier: Apache-2.0
 *
 * A backend knows one engine: which command starts the ranks of a plan. The command must run
 * `PROGRAM rank ATTEMPT_DIR` once per rank, with the rank's number in OMPI_COMM_WORLD_RANK; all
 * else (logs, environment, ends) is the same for every backend.
 */
#ifndef LAUNCHER_BACKEND_H
#define LAUNCHER_BACKEND_H

#include "launcher/plan.h"

typedef struct {
    const char *name;
    /* The engine's command line and environment, for the caller to g_strfreev; argv[0] is a path.
     * `program` is this executable, `scratch` a folder for the engine's own files. */
    bool (*make_command)(const Plan *plan, const char *program, const char *scratch, char ***argv,
                         char ***env, GError **error);
} Backend;

extern const Backend backend_local;

#endif
