/* SPDX-License-Identifier: Apache-2.0
 *
 * Build tool: prints what the build makes from the table of fields.
 */
#include "jobspec/jobspec.h"

#include <stdlib.h>

int main(void)
{
    g_autofree char *text = jobspec_man();

    return fputs(text, stdout) < 0 || fflush(stdout) != 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
