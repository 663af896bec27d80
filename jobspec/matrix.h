/* SPDX-License-Identifier: Apache-2.0
 *
 * The matrix of a document: its combinations, and what ${{ matrix.NAME }} stands for in each.
 */
#ifndef JOBSPEC_MATRIX_H
#define JOBSPEC_MATRIX_H

#include "jobspec/field.h"
#include "jobspec/tree.h"

typedef struct {
    char *name;
    GPtrArray *values; /* char * */
    JobSpecPosition position;
    bool used;
} MatrixAxis;

typedef struct {
    GPtrArray *axes; /* MatrixAxis *, as written */
    size_t combinations;
} Matrix;

/* NULL with diagnostics where `node` is no matrix, or one of more than `limit` combinations. */
Matrix *matrix_new(const TreeNode *node, size_t limit, Diags *diags);
void matrix_free(Matrix *matrix);
/* NULL: no such name. The last axis varies fastest; `combination` counts from 0. */
const char *matrix_get(const Matrix *matrix, size_t combination, const char *name);

/* Where a reference in a text went wrong. */
typedef struct {
    size_t reference; /* which "${{" of the text, from 0 */
    char *message;
} MatrixFault;

/* `text` with every ${{ matrix.NAME }} replaced, at most `size_max` bytes. `matrix` may be NULL:
 * then every reference is a fault. NULL at a fault, with its message to free. Marks the axes it
 * uses. */
char *matrix_substitute(Matrix *matrix, size_t combination, const char *text, size_t size_max,
                        MatrixFault *fault);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(Matrix, matrix_free)

#endif
