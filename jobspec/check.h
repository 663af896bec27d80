/* SPDX-License-Identifier: Apache-2.0
 *
 * What no single field can know: contradictions between the fields of a job, and between the jobs
 * of a file.
 */
#ifndef JOBSPEC_CHECK_H
#define JOBSPEC_CHECK_H

#include "jobspec/diag.h"

/* Where a field was written; `document` where it was not. */
const JobSpecPosition *check_position(const JobSpec *spec, const char *path,
                                      const JobSpecPosition *document);
/* `failed` is the set of field paths that have errors already: what depends on them is not judged.
 * `document` is where the job's document starts. */
void check_job(Diags *diags, const JobSpec *spec, GHashTable *failed,
               const JobSpecPosition *document);

#endif
