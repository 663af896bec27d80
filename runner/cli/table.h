/* SPDX-License-Identifier: Apache-2.0
 *
 * Columns of text for standard output.
 */
#ifndef CLI_TABLE_H
#define CLI_TABLE_H

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

typedef struct Table Table;

/* `heads`: one string a column; a head that begins with '>' is set to the right. Borrowed. */
Table *table_new(const char *const *heads, size_t columns);
/* Takes ownership of `cell`; NULL shows as "-". Cells come row by row. */
void table_add(Table *table, char *cell);
void table_print(const Table *table, FILE *out);
void table_free(Table *table);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(Table, table_free)

#endif
