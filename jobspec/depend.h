/* SPDX-License-Identifier: Apache-2.0
 *
 * depends_on across the documents of a file.
 */
#ifndef JOBSPEC_DEPEND_H
#define JOBSPEC_DEPEND_H

#include "jobspec/diag.h"

/* One document: the jobs it became, and where its author wrote what. */
typedef struct {
    char *name;      /* as written; NULL: none could be read */
    bool broken;     /* has errors: only its first job is here, to see what it depends on */
    GPtrArray *jobs; /* JobSpec * */
    JobSpecPosition name_position;
    GArray *depends_positions; /* JobSpecPosition: of each depends_on.job */
} Document;

Document *depend_new_document(void);
void depend_free_document(Document *document);
/* Unknown jobs, repeats, cycles and names used twice are errors. The name of a matrix becomes the
 * names of its jobs. `limit` is the most dependencies kept for the whole file. */
void depend_resolve(const GPtrArray *documents, size_t limit, Diags *diags);

#endif
