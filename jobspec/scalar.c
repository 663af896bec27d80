/* SPDX-License-Identifier: Apache-2.0
 *
 * Every number with a unit is DIGITS[.DIGITS]SUFFIX and one table row: suffixes with their factor
 * to the base unit, largest first. Parsing, formatting, the pattern of the JSON Schema and the mend
 * in an error all read that row, so a new suffix is one line. Arithmetic is exact: a value that
 * does not come out whole in the base unit is refused, never rounded.
 */
#include "jobspec/scalar.h"

#include <string.h>

typedef struct {
    const char *text;
    int64_t factor;
} Suffix;

typedef struct {
    const char *noun;
    const char *usual;      /* the suffix to suggest */
    const Suffix *suffixes; /* largest first, ended by a NULL text */
    bool decimal;           /* written with a decimal fraction of its only suffix */
} Unit;

static const Suffix count_suffixes[] = {{"", 1}, {NULL, 0}};
static const Suffix size_suffixes[] = {
    {"PiB", INT64_C(1) << 50},
    {"PB", INT64_C(1000000000000000)},
    {"TiB", INT64_C(1) << 40},
    {"TB", INT64_C(1000000000000)},
    {"GiB", INT64_C(1) << 30},
    {"GB", INT64_C(1000000000)},
    {"MiB", INT64_C(1) << 20},
    {"MB", INT64_C(1000000)},
    {"KiB", INT64_C(1) << 10},
    {"kB", INT64_C(1000)},
    {"B", 1},
    {NULL, 0},
};
static const Suffix duration_suffixes[] = {
    {"d", INT64_C(86400000)}, {"h", 3600000}, {"m", 60000}, {"s", 1000}, {"ms", 1}, {NULL, 0},
};
static const Suffix latency_suffixes[] = {{"s", 1000000}, {"ms", 1000}, {"us", 1}, {NULL, 0}};
static const Suffix bitrate_suffixes[] = {
    {"Tbps", INT64_C(1000000000000)},
    {"Gbps", 1000000000},
    {"Mbps", 1000000},
    {"kbps", 1000},
    {"bps", 1},
    {NULL, 0},
};
static const Suffix byterate_suffixes[] = {
    {"TB/s", INT64_C(1000000000000)},
    {"GiB/s", INT64_C(1) << 30},
    {"GB/s", 1000000000},
    {"MiB/s", INT64_C(1) << 20},
    {"MB/s", 1000000},
    {"KiB/s", 1024},
    {"kB/s", 1000},
    {"B/s", 1},
    {NULL, 0},
};
static const Suffix millionth_suffixes[] = {{"", 1000000}, {NULL, 0}};
static const Suffix percent_suffixes[] = {{"%", 10000}, {NULL, 0}};

static const Unit units[SCALAR_UNITS] = {
    [SCALAR_COUNT] = {"a whole number", "", count_suffixes, false},
    [SCALAR_SIZE] = {"a size", "GiB", size_suffixes, false},
    [SCALAR_DURATION] = {"a duration", "s", duration_suffixes, false},
    [SCALAR_LATENCY] = {"a latency", "ms", latency_suffixes, false},
    [SCALAR_BITRATE] = {"a bandwidth", "Gbps", bitrate_suffixes, false},
    [SCALAR_BYTERATE] = {"a data rate", "MB/s", byterate_suffixes, false},
    [SCALAR_MONEY] = {"an amount of money", "", millionth_suffixes, true},
    [SCALAR_FRACTION] = {"a fraction", "", millionth_suffixes, true},
    [SCALAR_PERCENT] = {"a percentage", "%", percent_suffixes, true},
};

#define FRACTION_DIGITS 12

static bool is_one_of(const char *text, const char *const *words)
{
    for (; *words; words++)
        if (strcmp(text, *words) == 0)
            return true;
    return false;
}

static size_t span_digits(const char *text)
{
    return strspn(text, "0123456789");
}

static bool is_core_int(const char *text)
{
    if (g_str_has_prefix(text, "0o"))
        return text[2] && text[2 + strspn(text + 2, "01234567")] == '\0';
    if (g_str_has_prefix(text, "0x"))
        return text[2] && text[2 + strspn(text + 2, "0123456789abcdefABCDEF")] == '\0';
    if (*text == '-' || *text == '+')
        text++;
    return *text && text[span_digits(text)] == '\0';
}

static bool is_core_float(const char *text)
{
    static const char *const special[] = {".inf", ".Inf", ".INF", NULL};
    static const char *const nan_words[] = {".nan", ".NaN", ".NAN", NULL};
    size_t whole, fraction = 0;

    if (is_one_of(text, nan_words))
        return true;
    if (*text == '-' || *text == '+')
        text++;
    if (is_one_of(text, special))
        return true;
    whole = span_digits(text);
    text += whole;
    if (*text == '.') {
        fraction = span_digits(text + 1);
        text += 1 + fraction;
    }
    if (whole + fraction == 0)
        return false;
    if (*text == 'e' || *text == 'E') {
        text++;
        if (*text == '-' || *text == '+')
            text++;
        if (span_digits(text) == 0)
            return false;
        text += span_digits(text);
    }
    return *text == '\0';
}

ScalarKind scalar_resolve(const char *text)
{
    static const char *const null_words[] = {"", "~", "null", "Null", "NULL", NULL};
    static const char *const bool_words[] = {"true",  "True",  "TRUE", "false",
                                             "False", "FALSE", NULL};

    if (is_one_of(text, null_words))
        return SCALAR_NULL;
    if (is_one_of(text, bool_words))
        return SCALAR_BOOL;
    if (is_core_int(text))
        return SCALAR_INT;
    return is_core_float(text) ? SCALAR_FLOAT : SCALAR_STRING;
}

ScalarResult scalar_parse_int(const char *text, int64_t *out)
{
    bool negative = *text == '-';
    int base = g_str_has_prefix(text, "0o") ? 8 : g_str_has_prefix(text, "0x") ? 16 : 10;
    __int128 value = 0;

    if (!is_core_int(text))
        return SCALAR_MALFORMED;
    if (base != 10)
        text += 2;
    else if (*text == '-' || *text == '+')
        text++;
    for (; *text; text++) {
        value = value * base + g_ascii_xdigit_value(*text);
        if (value > (__int128)INT64_MAX + negative)
            return SCALAR_TOO_LARGE;
    }
    *out = (int64_t)(negative ? -value : value);
    return SCALAR_OK;
}

/* The number in front of a suffix: whole part and fraction / 10^FRACTION_DIGITS. */
typedef struct {
    int64_t whole;
    int64_t fraction;
} Decimal;

static ScalarResult decimal_parse(const char **text, Decimal *out)
{
    const char *p = *text;
    size_t digits = span_digits(p);
    __int128 whole = 0;
    int64_t fraction = 0, place = INT64_C(1000000000000);
    ScalarResult result = SCALAR_OK;

    if (digits == 0)
        return SCALAR_MALFORMED;
    for (; digits; digits--, p++) {
        whole = MIN(whole * 10 + (*p - '0'), (__int128)INT64_MAX + 1);
    }
    if (whole > INT64_MAX)
        result = SCALAR_TOO_LARGE;
    if (*p == '.' && p[1] != '.') {
        digits = span_digits(++p);
        if (digits == 0)
            return SCALAR_MALFORMED;
        for (; digits; digits--, p++) {
            place /= 10;
            fraction += place * (*p - '0');
            if (place == 0 && *p != '0' && result == SCALAR_OK)
                result = SCALAR_TOO_FINE;
        }
    }
    *text = p;
    *out = (Decimal){(int64_t)MIN(whole, INT64_MAX), fraction};
    return result;
}

static const Suffix *suffix_find(const Unit *unit, const char *text)
{
    for (const Suffix *suffix = unit->suffixes; suffix->text; suffix++)
        if (strcmp(suffix->text, text) == 0)
            return suffix;
    return NULL;
}

ScalarResult scalar_parse_quantity(const char *text, ScalarUnit unit, int64_t *out)
{
    const __int128 scale = INT64_C(1000000000000);
    const Suffix *suffix;
    Decimal number;
    ScalarResult result;
    __int128 value, rest;

    if (*text == '-' && g_ascii_isdigit(text[1]))
        return SCALAR_NEGATIVE;
    result = decimal_parse(&text, &number);
    if (result == SCALAR_MALFORMED)
        return result;
    suffix = suffix_find(&units[unit], text);
    if (!suffix)
        return *text ? SCALAR_MALFORMED : SCALAR_NO_UNIT;
    if (result != SCALAR_OK)
        return result;
    rest = (__int128)number.fraction * suffix->factor;
    if (rest % scale != 0)
        return SCALAR_TOO_FINE;
    value = (__int128)number.whole * suffix->factor + rest / scale;
    if (value >= INT64_MAX)
        return SCALAR_TOO_LARGE;
    *out = (int64_t)value;
    return SCALAR_OK;
}

ScalarResult scalar_parse_range(const char *text, ScalarUnit unit, JobSpecRange *out)
{
    const char *dots = strstr(text, "..");
    size_t size = strlen(text);
    char last = size ? text[size - 1] : '\0';
    g_autofree char *lower = NULL;
    JobSpecRange range = {0, INT64_MAX};
    ScalarResult result;

    if (dots) {
        lower = g_strndup(text, (size_t)(dots - text));
        result = scalar_parse_quantity(lower, unit, &range.min);
        if (result == SCALAR_OK)
            result = scalar_parse_quantity(dots + 2, unit, &range.max);
        if (result == SCALAR_OK && range.min > range.max)
            result = SCALAR_REVERSED;
    } else if (last == '+' || last == '-') {
        lower = g_strndup(text, size - 1);
        result = scalar_parse_quantity(lower, unit, last == '+' ? &range.min : &range.max);
    } else {
        result = scalar_parse_quantity(text, unit, &range.min);
        range.max = range.min;
    }
    if (result == SCALAR_OK)
        *out = range;
    return result;
}

static char *decimal_format(int64_t value, const Suffix *suffix)
{
    g_autofree char *fraction = NULL;
    size_t end;
    int digits = 0;

    for (int64_t factor = suffix->factor; factor > 1; factor /= 10)
        digits++;
    if (value % suffix->factor == 0)
        return g_strdup_printf("%" G_GINT64_FORMAT "%s", value / suffix->factor, suffix->text);
    fraction = g_strdup_printf("%0*" G_GINT64_FORMAT, digits, value % suffix->factor);
    for (end = strlen(fraction); fraction[end - 1] == '0'; end--)
        fraction[end - 1] = '\0';
    return g_strdup_printf("%" G_GINT64_FORMAT ".%s%s", value / suffix->factor, fraction,
                           suffix->text);
}

char *scalar_format_quantity(int64_t value, ScalarUnit unit)
{
    const Suffix *suffix = units[unit].suffixes;

    if (units[unit].decimal)
        return decimal_format(value, suffix);
    if (value == 0)
        return g_strdup_printf("0%s", units[unit].usual);
    while (value % suffix->factor != 0)
        suffix++;
    return g_strdup_printf("%" G_GINT64_FORMAT "%s", value / suffix->factor, suffix->text);
}

char *scalar_format_range(JobSpecRange range, ScalarUnit unit)
{
    g_autofree char *lower = scalar_format_quantity(range.min, unit);
    g_autofree char *upper = scalar_format_quantity(range.max, unit);

    if (range.min == range.max)
        return g_steal_pointer(&lower);
    if (range.max == INT64_MAX)
        return g_strconcat(lower, "+", NULL);
    if (range.min == 0)
        return g_strconcat(upper, "-", NULL);
    return g_strconcat(lower, "..", upper, NULL);
}

static size_t prefix_common(const char *a, const char *b)
{
    size_t length = 0;

    while (a[length] && g_ascii_tolower(a[length]) == g_ascii_tolower(b[length]))
        length++;
    return length;
}

/* The author's number with the suffix that was probably meant: the one that begins most like
 * theirs. NULL where there is no number, or one with an exponent: without it, it is another. */
static char *mend_suggest(const char *text, const Unit *unit)
{
    const char *rest = text;
    const char *suffix = unit->usual;
    g_autofree char *number_text = NULL;
    size_t best = 0;
    Decimal number;

    if (decimal_parse(&rest, &number) != SCALAR_OK || g_ascii_tolower(*rest) == 'e')
        return NULL;
    number_text = g_strndup(text, (size_t)(rest - text));
    rest += strspn(rest, " ");
    for (const Suffix *s = unit->suffixes; s->text; s++) {
        size_t common = prefix_common(s->text, rest);

        if (common > best) {
            best = common;
            suffix = s->text;
        }
    }
    return g_strconcat(number_text, suffix, NULL);
}

char *scalar_explain(ScalarResult result, const char *text, ScalarUnit unit)
{
    g_autofree char *suffixes = scalar_list_suffixes(unit);
    g_autofree char *mend = NULL;

    switch (result) {
    case SCALAR_NO_UNIT:
        mend = mend_suggest(text, &units[unit]);
        return mend ? g_strdup_printf("has no unit; write %s (try '%s')", suffixes, mend)
                    : g_strdup_printf("has no unit on one end; write %s", suffixes);
    case SCALAR_NEGATIVE:
        return g_strdup("is negative");
    case SCALAR_TOO_LARGE:
        return g_strdup("is too large a number");
    case SCALAR_TOO_FINE:
        if (unit == SCALAR_COUNT)
            return g_strdup("is not a whole number");
        return units[unit].decimal ? g_strdup("has more than six decimal places")
                                   : g_strdup("is finer than the smallest unit");
    case SCALAR_REVERSED:
        return g_strdup("has its lower end above its upper end");
    default:
        mend = mend_suggest(text, &units[unit]);
        return mend ? g_strdup_printf("is not %s (try '%s')", units[unit].noun, mend)
                    : g_strdup_printf("is not %s", units[unit].noun);
    }
}

const char *scalar_get_noun(ScalarUnit unit)
{
    return units[unit].noun;
}

bool scalar_is_bare(ScalarUnit unit)
{
    return units[unit].suffixes[0].text[0] == '\0';
}

char *scalar_list_suffixes(ScalarUnit unit)
{
    const Suffix *first = units[unit].suffixes, *last = first;
    GString *list;

    if (scalar_is_bare(unit))
        return NULL;
    list = g_string_new(NULL);
    while (last->text)
        last++;
    while (last-- > first)
        g_string_append_printf(list, "%s%s", last->text,
                               last == first       ? ""
                               : last == first + 1 ? " or "
                                                   : ", ");
    return g_string_free(list, FALSE);
}

char *scalar_get_pattern(ScalarUnit unit)
{
    GString *pattern = g_string_new(unit == SCALAR_COUNT ? "[0-9]+" : "[0-9]+(?:\\.[0-9]+)?");

    if (scalar_is_bare(unit))
        return g_string_free(pattern, FALSE);
    g_string_append(pattern, "(?:");
    for (const Suffix *suffix = units[unit].suffixes; suffix->text; suffix++)
        g_string_append_printf(pattern, "%s%s", suffix == units[unit].suffixes ? "" : "|",
                               suffix->text);
    g_string_append(pattern, ")");
    return g_string_free(pattern, FALSE);
}
