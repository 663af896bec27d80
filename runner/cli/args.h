/* SPDX-License-Identifier: Apache-2.0
 *
 * The words of a command line against the table of one command.
 */
#ifndef CLI_ARGS_H
#define CLI_ARGS_H

#include "runner/cli/cli.h"

/* Long and short options, `--name=value`, `--name value`, `-nvalue`, `-ab` for two switches,
 * options between arguments, `--` for the end of options, `-` as an argument. An option given
 * twice: the last counts. `argv` are the words after the command's name and must outlive the
 * result.
 * `--help` and `-h` win over every error in the words after them and before them. */
CliArgs *args_parse(const CliCommand *command, int argc, char **argv, GError **error);
bool args_wants_help(const CliArgs *args);
const CliCommand *args_get_command(const CliArgs *args);
void args_free(CliArgs *args);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(CliArgs, args_free)

#endif
