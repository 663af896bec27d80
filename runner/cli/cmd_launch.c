/* SPDX-License-Identifier: Apache-2.0
 *
 * Internal: the two programs that stand between drover and a rank, in the same executable.
 */
#include "runner/cli/cli.h"

#include "launcher/launch.h"

static int launch_run(const Cli *cli G_GNUC_UNUSED, const CliArgs *args G_GNUC_UNUSED)
{
    return launch_main();
}

const CliCommand cmd_launch = {
    .name = "launch",
    .arguments = "",
    .summary = "Run one attempt: plan on standard input, events on standard output",
    .internal = true,
    .run = launch_run,
};

static int rank_run(const Cli *cli G_GNUC_UNUSED, const CliArgs *args)
{
    int argc;
    char **argv = cli_args_raw(args, &argc);

    /* argv is a part of main()'s: the word before it is the command's own name */
    return rank_main(argc + 1, argv - 1);
}

const CliCommand cmd_rank = {
    .name = "rank",
    .arguments = "",
    .summary = "Become one rank of an attempt",
    .internal = true,
    .run = rank_run,
};
