/* SPDX-License-Identifier: Apache-2.0
 *
 * Trees of processes, as /proc shows them.
 */
#ifndef LAUNCHER_PROC_H
#define LAUNCHER_PROC_H

#include <glib.h>
#include <stdbool.h>
#include <sys/types.h>

/* Which process is whose child, as of one pass over /proc. One that forks during the pass may be
 * missed: who must get all repeats until nothing is left. */
typedef struct ProcTable ProcTable;

ProcTable *proc_table_new(void);
/* pid_t: everything below `ancestor`, without itself. */
GArray *proc_list_descendants(const ProcTable *table, pid_t ancestor);
/* Asks the tree below `ancestor` to end: `signal` (0: SIGTERM) goes to those that handle it, so
 * that a shell which merely waits for the program is not killed by what was meant for the program.
 * Where nobody handles `signal`, SIGTERM takes its place, and where nobody handles that, all get
 * it. */
void proc_request_end(const ProcTable *table, pid_t ancestor, int signal);
void proc_table_free(ProcTable *table);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(ProcTable, proc_table_free)

#endif
