/* SPDX-License-Identifier: Apache-2.0
 *
 * A file may hold a million errors and a key may be a megabyte long, so what is kept is bounded:
 * the first `limit` diagnostics, each with its quoted text cut. When the list is full an error
 * still takes the place of a warning, so that "has errors" stays true whatever came first.
 */
#include "jobspec/diag.h"

#include <string.h>

#define QUOTE_CODE_POINTS   60
#define SUGGEST_BYTES       48
#define MESSAGE_CODE_POINTS 600

void diag_free(JobSpecDiagnostic *diagnostic)
{
    g_free(diagnostic->message);
    g_free(diagnostic);
}

const char *diag_get_severity(const JobSpecDiagnostic *diagnostic)
{
    static const char *const names[] = {
        [JOBSPEC_ERROR] = "error", [JOBSPEC_WARNING] = "warning", [JOBSPEC_NOTE] = "note"};

    return names[diagnostic->severity];
}

char *diag_format_code(const JobSpecDiagnostic *diagnostic)
{
    return g_strdup_printf("%c%u", g_ascii_toupper(*diag_get_severity(diagnostic)),
                           diagnostic->code);
}

static bool is_unsafe(gunichar c)
{
    GUnicodeType type = g_unichar_type(c);

    return type == G_UNICODE_CONTROL || type == G_UNICODE_FORMAT ||
           type == G_UNICODE_LINE_SEPARATOR || type == G_UNICODE_PARAGRAPH_SEPARATOR ||
           type == G_UNICODE_SURROGATE;
}

void diag_escape(GString *out, const char *text, size_t size)
{
    const char *end = text + size;

    while (text < end) {
        gunichar c = g_utf8_get_char_validated(text, end - text);

        if (c == (gunichar)-1 || c == (gunichar)-2) {
            g_string_append_printf(out, "\\x%02x", (unsigned char)*text++);
            continue;
        }
        if (!is_unsafe(c))
            g_string_append_unichar(out, c);
        else if (c == '\n')
            g_string_append(out, "\\n");
        else
            g_string_append_printf(out, c < 0x100 ? "\\x%02x" : "\\u%04x", c);
        text = diag_next_char(text);
    }
}

char *diag_quote(const char *text)
{
    GString *out = g_string_new("'");
    const char *end = text;
    size_t count = 0;

    while (*end && count < QUOTE_CODE_POINTS) {
        end = diag_next_char(end);
        count++;
    }
    diag_escape(out, text, (size_t)(end - text));
    g_string_append(out, *end ? "...'" : "'");
    return g_string_free(out, FALSE);
}

/* An error matters more than a warning, and that reading stopped at a limit more than either. */
static int weight_of(unsigned code)
{
    return code == DIAG_LIMIT ? 2 : code < 200 ? 1 : 0;
}

/* Makes room for one more. A full list takes it only in place of what matters less. */
static bool diags_make_room(Diags *diags, DiagCode code)
{
    GPtrArray *list = diags->file->diagnostics;

    if (list->len < MAX(diags->limit, 1))
        return true;
    diags->file->diagnostics_dropped++;
    for (guint i = list->len; i-- > 0;) {
        JobSpecDiagnostic *kept = g_ptr_array_index(list, i);

        if (weight_of(kept->code) < weight_of(code)) {
            g_ptr_array_remove_index(list, i);
            return true;
        }
    }
    return false;
}

static int position_compare(const JobSpecPosition *a, const JobSpecPosition *b)
{
    if (a->line != b->line)
        return a->line < b->line ? -1 : 1;
    return a->column == b->column ? 0 : a->column < b->column ? -1 : 1;
}

/* Safe to print, and cut. */
static char *message_clean(const char *message)
{
    GString *safe = g_string_new(NULL);

    diag_escape(safe, message, strlen(message));
    if (g_utf8_strlen(safe->str, -1) > MESSAGE_CODE_POINTS) {
        char *cut = g_utf8_offset_to_pointer(safe->str, MESSAGE_CODE_POINTS);

        g_string_truncate(safe, (gsize)(cut - safe->str));
        g_string_append(safe, "...");
    }
    return g_string_free(safe, FALSE);
}

/* Through an alias, or the jobs of a matrix, the same can be found at the same place again. */
static bool diags_has(const Diags *diags, const JobSpecPosition *at, const char *message)
{
    const GPtrArray *list = diags->file->diagnostics;

    for (guint i = 0; i < list->len; i++) {
        const JobSpecDiagnostic *kept = g_ptr_array_index(list, i);

        if (position_compare(&kept->position, at) == 0 && strcmp(kept->message, message) == 0)
            return true;
    }
    return false;
}

void diag_add(Diags *diags, DiagCode code, const JobSpecPosition *at, const char *format, ...)
{
    JobSpecSeverity severity = code < 200 ? JOBSPEC_ERROR : JOBSPEC_WARNING;
    g_autofree char *raw = NULL, *message = NULL;
    JobSpecDiagnostic *diagnostic;
    va_list args;

    if (diags->muted)
        return;
    diags->errors += severity == JOBSPEC_ERROR;
    va_start(args, format);
    raw = g_strdup_vprintf(format, args);
    va_end(args);
    message = message_clean(raw);
    if (diags_has(diags, at, message) || !diags_make_room(diags, code))
        return;
    diagnostic = g_new0(JobSpecDiagnostic, 1);
    diagnostic->severity = severity;
    diagnostic->code = code;
    diagnostic->position = *at;
    diagnostic->message = g_steal_pointer(&message);
    g_ptr_array_add(diags->file->diagnostics, diagnostic);
}

size_t diag_count_errors(const JobSpecFile *file)
{
    size_t count = 0;

    for (guint i = 0; i < file->diagnostics->len; i++) {
        const JobSpecDiagnostic *diagnostic = g_ptr_array_index(file->diagnostics, i);

        count += diagnostic->severity == JOBSPEC_ERROR;
    }
    return count;
}

/* Glib's pointer array sort keeps no order among equals, so they are told apart by their message.
 */
static int diagnostic_compare(gconstpointer a, gconstpointer b)
{
    const JobSpecDiagnostic *x = *(const JobSpecDiagnostic *const *)a;
    const JobSpecDiagnostic *y = *(const JobSpecDiagnostic *const *)b;
    int order = position_compare(&x->position, &y->position);

    if (order == 0)
        order = (int)x->code - (int)y->code;
    return order ? order : strcmp(x->message, y->message);
}

void diag_sort(JobSpecFile *file)
{
    g_ptr_array_sort(file->diagnostics, diagnostic_compare);
}

/* Optimal string alignment: insertions, deletions, replacements and swaps of neighbours, one each.
 */
static size_t distance_between(const char *a, const char *b)
{
    size_t rows[3][SUGGEST_BYTES + 1];
    size_t a_size = strlen(a), b_size = strlen(b);

    for (size_t j = 0; j <= b_size; j++)
        rows[0][j] = j;
    for (size_t i = 1; i <= a_size; i++) {
        size_t *row = rows[i % 3], *above = rows[(i + 2) % 3], *above2 = rows[(i + 1) % 3];

        row[0] = i;
        for (size_t j = 1; j <= b_size; j++) {
            size_t swap = above[j - 1] + (a[i - 1] != b[j - 1]);

            row[j] = MIN(MIN(row[j - 1], above[j]) + 1, swap);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                row[j] = MIN(row[j], above2[j - 2] + 1);
        }
    }
    return rows[a_size % 3][b_size];
}

const char *diag_suggest(const char *word, const char *const *candidates, size_t count)
{
    size_t size = strlen(word);
    size_t best = MIN(MAX(size / 3, 1) + 1, size); /* something of the word must stay */
    const char *found = NULL;

    if (size == 0 || size > SUGGEST_BYTES)
        return NULL;
    for (size_t i = 0; i < count; i++) {
        size_t distance;

        if (strlen(candidates[i]) > SUGGEST_BYTES)
            continue;
        distance = distance_between(word, candidates[i]);
        if (distance < best) {
            best = distance;
            found = candidates[i];
        }
    }
    return found;
}
