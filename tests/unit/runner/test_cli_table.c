/* SPDX-License-Identifier: Apache-2.0 */
#include "runner/cli/table.h"

#include <stdlib.h>

static const char *const heads[] = {"NAME", ">COUNT", "REST"};

static void expect(const Table *table, const char *expected)
{
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);

    table_print(table, out);
    fclose(out);
    g_assert_cmpstr(text, ==, expected);
    free(text);
}

static void row_add(Table *table, const char *name, const char *count, const char *rest)
{
    table_add(table, g_strdup(name));
    table_add(table, g_strdup(count));
    table_add(table, g_strdup(rest));
}

static void test_columns_line_up(void)
{
    g_autoptr(Table) table = table_new(heads, G_N_ELEMENTS(heads));

    row_add(table, "a", "1", "x");
    row_add(table, "longer", "1234567", "some words");
    row_add(table, "漢字", NULL, "");
    expect(table, "NAME      COUNT  REST\n"
                  "a             1  x\n"
                  "longer  1234567  some words\n"
                  "漢字          -\n");
}

static void test_no_rows_is_the_heads(void)
{
    g_autoptr(Table) table = table_new(heads, G_N_ELEMENTS(heads));

    expect(table, "NAME  COUNT  REST\n");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/cli/table/columns", test_columns_line_up);
    g_test_add_func("/cli/table/empty", test_no_rows_is_the_heads);
    return g_test_run();
}
