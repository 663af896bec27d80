/* SPDX-License-Identifier: Apache-2.0
 *
 * NAME[-MEM][:COUNT], the way devices are asked for: "RTX4090-24GiB:2". Pure functions.
 */
#ifndef JOBSPEC_ACCELERATOR_H
#define JOBSPEC_ACCELERATOR_H

#include "jobspec/jobspec.h"

/* NULL with what is wrong with it, to follow the quoted text, in `*reason` (free with g_free). Free
 * the result with record_free_accelerator. */
JobSpecAccelerator *accelerator_parse(const char *text, char **reason);
/* The canonical spelling, its count always written. Free with g_free. */
char *accelerator_format(const JobSpecAccelerator *accelerator);

#endif
