/* SPDX-License-Identifier: Apache-2.0 */
#include "jobspec/matrix.h"

#include <string.h>

#define REFERENCE_OPEN  "${{"
#define REFERENCE_CLOSE "}}"

static void axis_free(MatrixAxis *axis)
{
    g_free(axis->name);
    g_ptr_array_unref(axis->values);
    g_free(axis);
}

void matrix_free(Matrix *matrix)
{
    if (!matrix)
        return;
    g_ptr_array_unref(matrix->axes);
    g_free(matrix);
}

/* The text of one value, as written; NULL with a diagnostic for what is none. */
static const char *value_text(const MatrixAxis *axis, const TreeNode *node, Diags *diags)
{
    if (node->kind != TREE_SCALAR || (node->plain && scalar_resolve(node->text) == SCALAR_NULL)) {
        diag_add(diags, DIAG_TYPE, &node->position, "matrix.%s: a value must be text or a number",
                 axis->name);
        return NULL;
    }
    if (strstr(node->text, REFERENCE_OPEN)) {
        diag_add(diags, DIAG_MATRIX, &node->position, "matrix.%s: a value cannot hold another '%s'",
                 axis->name, REFERENCE_OPEN);
        return NULL;
    }
    return node->text;
}

static bool axis_fill_list(MatrixAxis *axis, const TreeNode *node, Diags *diags)
{
    g_autoptr(GHashTable) seen = g_hash_table_new(g_str_hash, g_str_equal);
    bool good = true;

    for (const TreeEntry *entry = node->entries; entry; entry = entry->next) {
        const char *text = value_text(axis, entry->value, diags);
        g_autofree char *quoted = text ? diag_quote(text) : NULL;

        if (text && !g_hash_table_add(seen, (gpointer)(uintptr_t)text)) {
            diag_add(diags, DIAG_DUPLICATE, &entry->value->position, "matrix.%s: %s is there twice",
                     axis->name, quoted);
            text = NULL;
        }
        if (text)
            g_ptr_array_add(axis->values, g_strdup(text));
        good &= text != NULL;
    }
    return good;
}

static bool axis_fill_range(MatrixAxis *axis, const TreeNode *node, size_t limit, Diags *diags)
{
    g_autofree char *quoted = diag_quote(node->text);
    bool is_range = strstr(node->text, "..");
    JobSpecRange range;
    ScalarResult result = scalar_parse_range(node->text, SCALAR_COUNT, &range);

    if (result == SCALAR_REVERSED) {
        diag_add(diags, DIAG_VALUE, &node->position,
                 "matrix.%s: %s has its lower end above its upper end", axis->name, quoted);
        return false;
    }
    if (result != SCALAR_OK || !is_range) {
        g_autofree char *mend = is_range
                                    ? g_strdup("1..3")
                                    : g_strdup_printf("[%s]", *node->text ? node->text : "1, 2");

        diag_add(diags, DIAG_VALUE, &node->position,
                 "matrix.%s: %s is not a list of values or a range of whole numbers (try '%s')",
                 axis->name, quoted, mend);
        return false;
    }
    if ((uint64_t)(range.max - range.min) >= limit) {
        diag_add(diags, DIAG_LIMIT, &node->position,
                 "matrix.%s: %s are more values than the file may have jobs (%zu more)", axis->name,
                 quoted, limit);
        return false;
    }
    for (int64_t value = range.min; value <= range.max; value++)
        g_ptr_array_add(axis->values, g_strdup_printf("%" G_GINT64_FORMAT, value));
    return true;
}

static MatrixAxis *axis_new(const TreeEntry *entry, size_t limit, Diags *diags)
{
    MatrixAxis *axis = g_new0(MatrixAxis, 1);
    const TreeNode *node = entry->value;
    bool good = false;

    axis->name = g_strdup(entry->key->text);
    axis->values = g_ptr_array_new_with_free_func(g_free);
    axis->position = entry->key->position;
    if (node->kind == TREE_MAP)
        diag_add(diags, DIAG_TYPE, &node->position, "matrix.%s: a mapping is not a list of values",
                 axis->name);
    else if (node->kind == TREE_LIST && node->entries_count == 0)
        diag_add(diags, DIAG_VALUE, &node->position, "matrix.%s: the list is empty", axis->name);
    else if (node->kind == TREE_LIST)
        good = axis_fill_list(axis, node, diags);
    else
        good = axis_fill_range(axis, node, limit, diags);
    if (good)
        return axis;
    axis_free(axis);
    return NULL;
}

Matrix *matrix_new(const TreeNode *node, size_t limit, Diags *diags)
{
    g_autoptr(Matrix) matrix = g_new0(Matrix, 1);
    const Field *field = field_find("matrix");
    bool good = true;

    matrix->axes = g_ptr_array_new_with_free_func((GDestroyNotify)axis_free);
    matrix->combinations = 1;
    if (node->kind != TREE_MAP)
        return NULL;
    for (const TreeEntry *entry = node->entries; entry; entry = entry->next) {
        MatrixAxis *axis = axis_new(entry, limit, diags);

        good &= axis != NULL;
        if (!axis)
            continue;
        g_ptr_array_add(matrix->axes, axis);
        matrix->combinations = MIN(matrix->combinations * axis->values->len, limit + 1);
    }
    if (node->entries_count == 0 || node->entries_count > (size_t)field->max)
        return NULL;
    if (matrix->combinations > limit) {
        diag_add(diags, DIAG_LIMIT, &node->position,
                 "matrix: more combinations than the file may have jobs (%zu more)", limit);
        return NULL;
    }
    return good ? g_steal_pointer(&matrix) : NULL;
}

static MatrixAxis *axis_find(const Matrix *matrix, const char *name, size_t *stride)
{
    *stride = 1;
    for (guint i = matrix->axes->len; i-- > 0;) {
        MatrixAxis *axis = g_ptr_array_index(matrix->axes, i);

        if (strcmp(axis->name, name) == 0)
            return axis;
        *stride *= axis->values->len;
    }
    return NULL;
}

const char *matrix_get(const Matrix *matrix, size_t combination, const char *name)
{
    size_t stride;
    const MatrixAxis *axis = axis_find(matrix, name, &stride);

    return axis ? g_ptr_array_index(axis->values, combination / stride % axis->values->len) : NULL;
}

/* What the text between ${{ and }} stands for; NULL with a message. */
static const char *reference_resolve(Matrix *matrix, size_t combination, const char *inner,
                                     char **message)
{
    g_autofree char *quoted = diag_quote(inner);
    const char *name = inner + strlen("matrix.");
    const char *close = NULL;
    MatrixAxis *axis = NULL;
    size_t stride;

    if (!g_str_has_prefix(inner, "matrix.")) {
        *message = g_strdup_printf("%s is not known; only matrix.NAME can stand in ${{ }}", quoted);
        return NULL;
    }
    if (!matrix) {
        *message = g_strdup_printf("%s: the job has no matrix", quoted);
        return NULL;
    }
    axis = axis_find(matrix, name, &stride);
    if (!axis) {
        g_autofree const char **names = g_new(const char *, matrix->axes->len);

        for (guint i = 0; i < matrix->axes->len; i++)
            names[i] = ((MatrixAxis *)g_ptr_array_index(matrix->axes, i))->name;
        close = diag_suggest(name, names, matrix->axes->len);
        *message = g_strdup_printf("%s is not in the matrix%s%s%s", quoted,
                                   close ? "; did you mean 'matrix." : "", close ? close : "",
                                   close ? "'?" : "");
        return NULL;
    }
    axis->used = true;
    return g_ptr_array_index(axis->values, combination / stride % axis->values->len);
}

char *matrix_substitute(Matrix *matrix, size_t combination, const char *text, size_t size_max,
                        MatrixFault *fault)
{
    g_autoptr(GString) out = g_string_new(NULL);
    const char *open;

    *fault = (MatrixFault){0, NULL};
    while ((open = strstr(text, REFERENCE_OPEN))) {
        const char *start = open + strlen(REFERENCE_OPEN);
        const char *close = strstr(start, REFERENCE_CLOSE);
        g_autofree char *inner = close ? g_strndup(start, (gsize)(close - start)) : NULL;
        const char *value;

        if (!close) {
            fault->message = g_strdup("'${{' has no '}}'");
            return NULL;
        }
        value = reference_resolve(matrix, combination, g_strstrip(inner), &fault->message);
        if (!value)
            return NULL;
        g_string_append_len(out, text, open - text);
        g_string_append(out, value);
        text = close + strlen(REFERENCE_CLOSE);
        if (out->len + strlen(text) > size_max) {
            fault->message = g_strdup_printf("longer than %zu bytes with its values", size_max);
            return NULL;
        }
        fault->reference++;
    }
    g_string_append(out, text);
    return g_string_free(g_steal_pointer(&out), FALSE);
}
