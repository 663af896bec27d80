/* SPDX-License-Identifier: Apache-2.0
 *
 * drover: the table of its commands, in the order that help shows them.
 */
#include "runner/cli/cli.h"

int main(int argc, char **argv)
{
    static const CliCommand *const commands[] = {
        &cmd_run,          &cmd_quote,      &cmd_list,    &cmd_show,       &cmd_logs,
        &cmd_cancel,       &cmd_bill,       &cmd_nodes,   &cmd_spec_check, &cmd_spec_schema,
        &cmd_spec_explain, &cmd_completion, &cmd_version, &cmd_launch,     &cmd_rank,
    };

    return cli_main(commands, G_N_ELEMENTS(commands), argc, argv);
}
