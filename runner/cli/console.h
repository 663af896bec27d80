/* SPDX-License-Identifier: Apache-2.0
 *
 * What `drover run` shows while a group of jobs runs: live lines on a terminal, plain lines where
 * there is none, JSON lines where asked for. And the other way: Ctrl-C.
 */
#ifndef CLI_CONSOLE_H
#define CLI_CONSOLE_H

#include "runner/cli/cli.h"
#include "runner/queue/group.h"

typedef struct Console Console;

/* One at a time, on the default GMainContext. The store is borrowed. */
Console *console_new(const Cli *cli, Store *store, bool json);
void console_free(Console *console);
/* For group_new(), with the console as user_data. */
const GroupFuncs *console_get_funcs(void);
/* Starts the group and shows it until its end; returns the exit status, or -1 with `error` where
 * the store failed. */
int console_run(Console *console, Group *group, GError **error);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(Console, console_free)

#endif
