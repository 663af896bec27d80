/* SPDX-License-Identifier: Apache-2.0
 *
 * The text form of diagnostics. The line of the file is shown in terminal cells: tabs widened, wide
 * characters two cells, combining ones none, everything unsafe escaped; and the underline counts
 * the same cells, so that the caret stands below its character. A long line is cut around the
 * caret.
 */
#include "jobspec/diag.h"

#include <string.h>

#define TAB_CELLS    4
#define CELLS_BEFORE 60 /* of a long line, shown in front of the caret */
#define CELLS_MAX    100

/* Where the file's text is being read. Diagnostics are sorted, so it only moves on. */
typedef struct {
    const char *p, *end;
    size_t line;
} Cursor;

static const char *line_end(const char *p, const char *end)
{
    while (p < end && *p != '\n' && *p != '\r')
        p++;
    return p;
}

static void cursor_seek(Cursor *cursor, size_t line)
{
    while (cursor->line < line && cursor->p < cursor->end) {
        cursor->p = line_end(cursor->p, cursor->end);
        if (cursor->p + 1 < cursor->end && cursor->p[0] == '\r' && cursor->p[1] == '\n')
            cursor->p++;
        if (cursor->p < cursor->end)
            cursor->p++;
        cursor->line++;
    }
}

/* One character as shown, and its width. */
static size_t cell_append(GString *out, const char *p, const char *end, size_t cells)
{
    gunichar c = g_utf8_get_char_validated(p, end - p);
    size_t size = out->len;

    if (c == '\t') {
        size_t width = TAB_CELLS - cells % TAB_CELLS;

        g_string_append_printf(out, "%*s", (int)width, "");
        return width;
    }
    diag_escape(out, p,
                (size_t)(c == (gunichar)-1 || c == (gunichar)-2 ? 1 : diag_next_char(p) - p));
    if (c < 0x80 || c == (gunichar)-1 || c == (gunichar)-2 || out->str[size] == '\\')
        return out->len - size;
    return g_unichar_iszerowidth(c) ? 0 : g_unichar_iswide(c) ? 2 : 1;
}

static const char *char_next(const char *p, const char *end)
{
    gunichar c = g_utf8_get_char_validated(p, end - p);

    return c == (gunichar)-1 || c == (gunichar)-2 ? p + 1 : diag_next_char(p);
}

/* The cells in front of the code point `column` (from 1). */
static size_t cells_before(const char *p, const char *end, size_t column)
{
    g_autoptr(GString) scratch = g_string_new(NULL);
    size_t cells = 0;

    for (size_t i = 1; i < column && p < end; i++) {
        g_string_truncate(scratch, 0);
        cells += cell_append(scratch, p, end, cells);
        p = char_next(p, end);
    }
    return cells;
}

static void line_render(const char *p, const char *end, const JobSpecPosition *at, GString *text,
                        GString *underline)
{
    size_t caret = cells_before(p, end, at->column);
    size_t skip = caret > CELLS_MAX - 20 ? caret - CELLS_BEFORE : 0;
    size_t cells = 0, column = 1;

    if (skip > 0) {
        g_string_append(text, "...");
        g_string_append(underline, "   ");
    }
    for (; p < end && cells < skip + CELLS_MAX; p = char_next(p, end), column++) {
        g_autoptr(GString) cell = g_string_new(NULL);
        size_t width = cell_append(cell, p, end, cells);

        cells += width;
        if (cells <= skip)
            continue;
        g_string_append(text, cell->str);
        for (size_t i = 0; i < width; i++) {
            if (column < at->column)
                g_string_append_c(underline, ' ');
            else if (column < at->column + at->length)
                g_string_append_c(underline, column == at->column && i == 0 ? '^' : '~');
        }
    }
    if (p < end)
        g_string_append(text, "...");
    if (column <= at->column)
        g_string_append_c(underline, '^');
}

static void print_one(Cursor *cursor, const char *name, const JobSpecDiagnostic *diagnostic,
                      FILE *out, bool colour)
{
    static const char *const tones[] = {[JOBSPEC_ERROR] = "\033[1;31m",
                                        [JOBSPEC_WARNING] = "\033[1;35m",
                                        [JOBSPEC_NOTE] = "\033[1;36m"};
    g_autofree char *code = diag_format_code(diagnostic);
    g_autoptr(GString) text = g_string_new(NULL), underline = g_string_new(NULL);
    const char *bold = colour ? "\033[1m" : "", *tone = colour ? tones[diagnostic->severity] : "";
    const char *plain = colour ? "\033[0m" : "";
    const JobSpecPosition *at = &diagnostic->position;

    fprintf(out, "%s%s:%zu:%zu:%s %s%s[%s]:%s %s\n", bold, name, at->line, at->column, plain, tone,
            diag_get_severity(diagnostic), code, plain, diagnostic->message);
    cursor_seek(cursor, at->line);
    if (cursor->line != at->line || cursor->p >= cursor->end)
        return;
    line_render(cursor->p, line_end(cursor->p, cursor->end), at, text, underline);
    fprintf(out, "%5zu | %s\n      | %s%s%s\n", at->line, text->str, tone, underline->str, plain);
}

void jobspec_file_print(const JobSpecFile *file, FILE *out, bool colour)
{
    g_autoptr(GString) name = g_string_new(NULL);
    gsize size;
    const char *text = g_bytes_get_data(file->text, &size);
    Cursor cursor = {.line = 1};

    text = text ? text : ""; /* of no bytes */
    cursor.p = text;
    cursor.end = text + size;
    if (size >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0)
        cursor.p += 3;
    diag_escape(name, file->name, strlen(file->name));
    for (guint i = 0; i < file->diagnostics->len; i++)
        print_one(&cursor, name->str, g_ptr_array_index(file->diagnostics, i), out, colour);
    if (file->diagnostics_dropped > 0)
        fprintf(out, "%s: %zu more not shown\n", name->str, file->diagnostics_dropped);
}
