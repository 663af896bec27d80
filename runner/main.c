/* SPDX-License-Identifier: Apache-2.0
 *
 * drover: the table of its commands, in the order that help shows them.
 */
#include "runner/cli/cli.h"

int main(int argc, char **argv)
{
    static const CliCommand *const commands[] = {
        &cmd_version,
    };

    return cli_main(commands, G_N_ELEMENTS(commands), argc, argv);
}
