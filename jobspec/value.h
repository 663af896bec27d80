/* SPDX-License-Identifier: Apache-2.0
 *
 * One field's value: from a YAML node into its record, with a diagnostic for everything that is
 * wrong with it.
 */
#ifndef JOBSPEC_VALUE_H
#define JOBSPEC_VALUE_H

#include "jobspec/field.h"
#include "jobspec/matrix.h"
#include "jobspec/tree.h"

typedef struct {
    Diags *diags;
    GRegex **patterns;  /* of the rows of the table, compiled when first needed; NULL: unchecked */
    const char *source; /* the file, for places inside a text; may be NULL */
    size_t source_size;
    bool whole;            /* false in front of a syntax error: nothing is missing there */
    Matrix *matrix;        /* NULL: none */
    bool matrix_broken;    /* there is one, but with errors: references are left alone */
    size_t combination;    /* of the matrix */
    size_t *bytes_left;    /* that the jobs of the file may still be kept in; NULL: no limit */
    GHashTable *positions; /* gets JobSpec.set_fields; NULL: not wanted */
    GHashTable *failed;    /* gets the paths of fields with errors; NULL: not wanted */
} ValueReader;

/* `*field` from `node` into `record`, which is untouched but for groups when anything is wrong. */
bool value_read(ValueReader *reader, const Field *field, const TreeNode *node, void *record);
GRegex **value_patterns_new(void);
void value_patterns_free(GRegex **patterns);

#endif
