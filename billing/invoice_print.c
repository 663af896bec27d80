/* SPDX-License-Identifier: Apache-2.0
 *
 * The invoice as a table for a terminal. All cells are made first, as text that is safe to print;
 * then each column is as wide as its widest cell, counted in terminal cells rather than bytes.
 * Names come from outside: what a terminal would obey (control characters, marks that turn the
 * writing direction) and bytes that are not UTF-8 are shown as \xHH or \u{H}, and long names are
 * cut.
 */
#include "billing/billing.h"

#include <string.h>

#define NAME_CELLS_MAX 28
#define COLUMNS_MAX    10
#define TIME_COLUMN    4

typedef struct {
    const char *title;
    bool left; /* texts stand left, numbers right */
    int width;
} Column;

typedef struct {
    Column columns[COLUMNS_MAX];
    size_t columns_count;
    GPtrArray *cells; /* char *, row after row */
} Table;

/* The lines below the table, as texts. */
typedef struct {
    char *time;
    char *ms;
    char *gross;
    char *fee;
    char *total;
} Sums;

static int character_width(gunichar c)
{
    if (g_unichar_iszerowidth(c))
        return 0;
    return g_unichar_iswide(c) ? 2 : 1;
}

static int text_width(const char *text)
{
    int width = 0;

    for (const char *p = text; *p != '\0'; p += g_utf8_skip[(guchar)*p])
        width += character_width(g_utf8_get_char(p));
    return width;
}

static bool is_printable(gunichar c)
{
    GUnicodeType type = g_unichar_type(c);

    return g_unichar_isprint(c) && type != G_UNICODE_FORMAT && type != G_UNICODE_LINE_SEPARATOR &&
           type != G_UNICODE_PARAGRAPH_SEPARATOR;
}

/* `text` as it may be printed, at most `cells_max` wide. */
static char *text_escape(const char *text, int cells_max)
{
    GString *safe = g_string_new(NULL);
    int width = 0;

    while (*text != '\0') {
        gunichar c = g_utf8_get_char_validated(text, -1);
        bool valid = c != (gunichar)-1 && c != (gunichar)-2;
        char piece[16] = "";

        if (!valid)
            g_snprintf(piece, sizeof piece, "\\x%02x", (unsigned char)*text);
        else if (is_printable(c))
            piece[g_unichar_to_utf8(c, piece)] = '\0';
        else if (c < 0x100)
            g_snprintf(piece, sizeof piece, "\\x%02x", c);
        else
            g_snprintf(piece, sizeof piece, "\\u{%x}", c);

        int piece_width = text_width(piece);

        text += valid ? g_utf8_skip[(guchar)*text] : 1;
        if (width + piece_width > cells_max - (*text != '\0' ? 1 : 0)) {
            g_string_append(safe, "…");
            break;
        }
        width += piece_width;
        g_string_append(safe, piece);
    }
    return g_string_free(safe, FALSE);
}

/* "1:02:03.004" */
static char *time_format(int64_t ms)
{
    int64_t s = ms / 1000;

    return g_strdup_printf("%" G_GINT64_FORMAT ":%02d:%02d.%03d", s / 3600, (int)(s / 60 % 60),
                           (int)(s % 60), (int)(ms % 1000));
}

/* "12,345,678" */
static char *count_format(int64_t count)
{
    g_autofree char *digits = g_strdup_printf("%" G_GINT64_FORMAT, count);
    GString *grouped = g_string_new(NULL);
    size_t length = strlen(digits);

    for (size_t i = 0; i < length; i++) {
        if (i > 0 && (length - i) % 3 == 0)
            g_string_append_c(grouped, ',');
        g_string_append_c(grouped, digits[i]);
    }
    return g_string_free(grouped, FALSE);
}

/* A price or rate in USD: four places, the last two only where they say something. */
static char *usd_format(int64_t usd_micro)
{
    char *text = money_format_decimal(usd_micro, 6);
    size_t length = strlen(text);

    if (usd_micro % 100 == 0)
        text[length - 2] = '\0';
    return text;
}

static void table_add_column(Table *table, const char *title, bool left)
{
    table->columns[table->columns_count++] = (Column){title, left, text_width(title)};
}

static void column_widen(Column *column, const char *text)
{
    column->width = MAX(column->width, text_width(text));
}

/* Takes `cell`; cells come row by row. */
static void table_add_cell(Table *table, char *cell)
{
    column_widen(&table->columns[table->cells->len % table->columns_count], cell);
    g_ptr_array_add(table->cells, cell);
}

static void pad(FILE *out, const char *filling, int cells)
{
    for (int i = 0; i < cells; i++)
        fputs(filling, out);
}

static void print_cell(FILE *out, const Column *column, const char *text, bool last)
{
    int padding = column->width - text_width(text);

    fputs("  ", out);
    pad(out, " ", column->left ? 0 : padding);
    fputs(text, out);
    pad(out, " ", column->left && !last ? padding : 0);
}

static void print_rule(FILE *out, const Table *table)
{
    for (size_t i = 0; i < table->columns_count; i++) {
        fputs("  ", out);
        pad(out, "─", table->columns[i].width);
    }
    fputc('\n', out);
}

static void table_print(FILE *out, const Table *table)
{
    size_t last = table->columns_count - 1;

    for (size_t i = 0; i <= last; i++)
        print_cell(out, &table->columns[i], table->columns[i].title, i == last);
    fputc('\n', out);
    print_rule(out, table);
    for (guint i = 0; i < table->cells->len; i++) {
        size_t at = i % table->columns_count;

        print_cell(out, &table->columns[at], table->cells->pdata[i], at == last);
        if (at == last)
            fputc('\n', out);
    }
    print_rule(out, table);
}

static void columns_init(Table *table, MoneyAsset asset)
{
    table_add_column(table, "Supplier", true);
    table_add_column(table, "Model", true);
    table_add_column(table, "Attempt", false);
    table_add_column(table, "Devices", false);
    table_add_column(table, "GPU time", false);
    table_add_column(table, "ms", false);
    table_add_column(table, "USD/h", false);
    if (asset == MONEY_IO) {
        table_add_column(table, "USD/IO", false);
        table_add_column(table, "IO/h", false);
    }
    table_add_column(table, money_asset_name(asset), false);
}

static void line_add(Table *table, const InvoiceLine *line, MoneyAsset asset)
{
    int decimals = money_asset_decimals(asset);

    table_add_cell(table, text_escape(line->supplier, NAME_CELLS_MAX));
    table_add_cell(table, text_escape(line->model, NAME_CELLS_MAX));
    table_add_cell(table, count_format(line->attempt));
    table_add_cell(table, count_format(line->devices));
    table_add_cell(table, time_format(line->gpu_ms));
    table_add_cell(table, count_format(line->gpu_ms));
    table_add_cell(table, usd_format(line->price_usd_micro));
    if (asset == MONEY_IO) {
        table_add_cell(table, usd_format(line->io_usd_micro));
        table_add_cell(table, money_format_decimal(line->price, decimals));
    }
    table_add_cell(table, money_format_decimal(line->gross, decimals));
}

/* A line below the table: a label where the names and counts are, then texts in the columns of time
 * and amount. */
static void print_sum(FILE *out, const Table *table, const char *label, const char *const *cells)
{
    size_t last = table->columns_count - 1;
    int indent = 0;

    for (size_t i = 0; i < TIME_COLUMN; i++)
        indent += 2 + table->columns[i].width;
    fprintf(out, "  %s", label);
    pad(out, " ", indent - 2 - text_width(label));
    for (size_t i = TIME_COLUMN; i <= last; i++) {
        const char *text = i == TIME_COLUMN       ? cells[0]
                           : i == TIME_COLUMN + 1 ? cells[1]
                           : i == last            ? cells[2]
                                                  : "";

        print_cell(out, &table->columns[i], text, i == last);
    }
    fputc('\n', out);
}

static void print_sums(FILE *out, const Table *table, const Invoice *invoice, const Sums *sums)
{
    g_autofree char *percent = money_format_decimal(invoice->fee_bp, 2);
    g_autofree char *fee = g_strdup_printf("Service fee %s %%", percent);

    print_sum(out, table, "Gross", (const char *[]){sums->time, sums->ms, sums->gross});
    print_sum(out, table, fee, (const char *[]){"", "", sums->fee});
    print_sum(out, table, invoice->final ? "Total" : "Total so far",
              (const char *[]){"", "", sums->total});
}

static void sums_init(Sums *sums, const Invoice *invoice)
{
    int decimals = money_asset_decimals(invoice->asset);

    *sums = (Sums){
        .time = time_format(invoice->gpu_ms),
        .ms = count_format(invoice->gpu_ms),
        .gross = money_format_decimal(invoice->gross, decimals),
        .fee = money_format_decimal(invoice->fee, decimals),
        .total = money_format_decimal(invoice->total, decimals),
    };
}

static void sums_clear(Sums *sums)
{
    g_free(sums->time);
    g_free(sums->ms);
    g_free(sums->gross);
    g_free(sums->fee);
    g_free(sums->total);
}

void invoice_print(const Invoice *invoice, FILE *out)
{
    Table table = {.cells = g_ptr_array_new_with_free_func(g_free)};
    g_autofree char *job = text_escape(invoice->job, NAME_CELLS_MAX);
    g_autofree char *name = text_escape(invoice->name, 64);
    Sums sums;

    sums_init(&sums, invoice);
    columns_init(&table, invoice->asset);
    for (guint i = 0; i < invoice->lines->len; i++)
        line_add(&table, invoice->lines->pdata[i], invoice->asset);
    column_widen(&table.columns[TIME_COLUMN], sums.time);
    column_widen(&table.columns[TIME_COLUMN + 1], sums.ms);
    column_widen(&table.columns[table.columns_count - 1], sums.total);
    fprintf(out, "Invoice of job %s, %s, in %s%s\n\n", job, name, money_asset_name(invoice->asset),
            invoice->final ? "" : ", so far: devices are still leased");
    table_print(out, &table);
    print_sums(out, &table, invoice, &sums);
    sums_clear(&sums);
    g_ptr_array_unref(table.cells);
}
