/* SPDX-License-Identifier: Apache-2.0
 *
 * Help texts, made from the command table.
 */
#ifndef CLI_HELP_H
#define CLI_HELP_H

#include "runner/cli/cli.h"

/* All commands. */
char *help_format_all(const Cli *cli);
/* The commands whose name begins with the word `group` ("spec"); NULL where there is none. */
char *help_format_group(const Cli *cli, const char *group);
char *help_format_command(const CliCommand *command);

#endif
