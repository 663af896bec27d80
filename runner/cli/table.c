/* SPDX-License-Identifier: Apache-2.0 */
#include "runner/cli/table.h"

#include "runner/cli/text.h"

struct Table {
    const char *const *heads;
    size_t columns;
    GPtrArray *cells; /* char * */
};

Table *table_new(const char *const *heads, size_t columns)
{
    Table *table = g_new0(Table, 1);

    table->heads = heads;
    table->columns = columns;
    table->cells = g_ptr_array_new_with_free_func(g_free);
    return table;
}

void table_add(Table *table, char *cell)
{
    g_ptr_array_add(table->cells, cell ? cell : g_strdup("-"));
}

static bool is_right(const Table *table, size_t column)
{
    return table->heads[column][0] == '>';
}

static const char *head_get(const Table *table, size_t column)
{
    return table->heads[column] + is_right(table, column);
}

static void cell_print(const Table *table, size_t column, int width, const char *text, FILE *out)
{
    bool last = column + 1 == table->columns;
    int pad = width - text_get_width(text);

    if (last && text[0] == '\0') {
        fputc('\n', out);
        return;
    }
    if (column)
        fputs("  ", out);
    if (is_right(table, column))
        fprintf(out, "%*s%s%s", pad, "", text, last ? "\n" : "");
    else
        fprintf(out, "%s%*s%s", text, last ? 0 : pad, "", last ? "\n" : "");
}

void table_print(const Table *table, FILE *out)
{
    g_autofree int *widths = g_new(int, table->columns);

    for (size_t i = 0; i < table->columns; i++)
        widths[i] = text_get_width(head_get(table, i));
    for (guint i = 0; i < table->cells->len; i++) {
        int *width = &widths[i % table->columns];

        *width = MAX(*width, text_get_width(g_ptr_array_index(table->cells, i)));
    }
    for (size_t i = 0; i < table->columns; i++)
        cell_print(table, i, widths[i], head_get(table, i), out);
    for (guint i = 0; i < table->cells->len; i++)
        cell_print(table, i % table->columns, widths[i % table->columns],
                   g_ptr_array_index(table->cells, i), out);
}

void table_free(Table *table)
{
    if (!table)
        return;
    g_ptr_array_unref(table->cells);
    g_free(table);
}
