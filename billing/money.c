/* SPDX-License-Identifier: Apache-2.0
 *
 * Amounts of money as text and as integers, and the one rounding rule.
 *
 * Everything that is charged goes through money_round(). Its input is exact and cumulative, so what
 * is charged for a stretch of time is the difference of two roundings, floor(C_k) - floor(C_(k-1));
 * these differences add up to floor(C) however the time was cut. Where a floor is shown in parts
 * (the lines of an invoice), the parts are floors too and the units left over go to the largest
 * remainders (Hamilton's method of apportionment), so that the parts add up.
 */
#include "billing/billing.h"

#define IO_UNITS 100000000 /* base units of one IO */

GQuark billing_error_quark(void)
{
    return g_quark_from_static_string("billing-error-quark");
}

static const struct {
    const char *name;
    int decimals;
} assets[] = {
    [MONEY_USDC] = {"USDC", 6},
    [MONEY_IO] = {"IO", 8},
};

const char *money_asset_name(MoneyAsset asset)
{
    return assets[asset].name;
}

int money_asset_decimals(MoneyAsset asset)
{
    return assets[asset].decimals;
}

bool money_asset_find(const char *name, MoneyAsset *asset)
{
    for (size_t i = 0; i < G_N_ELEMENTS(assets); i++) {
        if (strcmp(name, assets[i].name) == 0) {
            *asset = (MoneyAsset)i;
            return true;
        }
    }
    return false;
}

static uint64_t power_of_ten(int exponent)
{
    uint64_t power = 1;

    for (int i = 0; i < exponent; i++)
        power *= 10;
    return power;
}

char *money_format_decimal(int64_t amount, int decimals)
{
    uint64_t magnitude = amount < 0 ? -(uint64_t)amount : (uint64_t)amount;
    uint64_t scale = power_of_ten(decimals);
    const char *sign = amount < 0 ? "-" : "";

    if (decimals == 0)
        return g_strdup_printf("%s%" G_GUINT64_FORMAT, sign, magnitude);
    return g_strdup_printf("%s%" G_GUINT64_FORMAT ".%0*" G_GUINT64_FORMAT, sign, magnitude / scale,
                           decimals, magnitude % scale);
}

char *money_format(MoneyAsset asset, int64_t amount)
{
    g_autofree char *decimal = money_format_decimal(amount, assets[asset].decimals);

    return g_strconcat(decimal, " ", assets[asset].name, NULL);
}

static bool parse_fail(const char *text, int decimals, GError **error)
{
    g_autofree char *cut = g_strndup(text, 40);
    g_autofree char *shown = g_strescape(cut, NULL);
    g_autofree char *example = money_format_decimal(INT64_C(1250000000000000000), 18);

    example[decimals == 0 ? 1 : 2 + decimals] = '\0';
    g_set_error(error, BILLING_ERROR, BILLING_ERROR_INPUT,
                "'%s' is not an amount: digits with at most %d decimal places (try '%s')", shown,
                decimals, example);
    return false;
}

bool money_parse(const char *text, int decimals, int64_t *out, GError **error)
{
    const char *p = text;
    bool negative = *p == '-';
    int places = -1; /* digits after the point; -1: no point yet */
    bool digit = false;
    bool overflow = false;
    uint64_t magnitude = 0;

    for (p += negative ? 1 : 0; *p != '\0'; p++) {
        if (*p == '.' && digit && places < 0) {
            places = 0;
            digit = false; /* one must follow */
            continue;
        }
        if (!g_ascii_isdigit(*p) || (places >= 0 && ++places > decimals))
            return parse_fail(text, decimals, error);
        digit = true;
        overflow |= __builtin_mul_overflow(magnitude, 10u, &magnitude);
        overflow |= __builtin_add_overflow(magnitude, (uint64_t)(*p - '0'), &magnitude);
    }
    if (!digit)
        return parse_fail(text, decimals, error);
    overflow |=
        __builtin_mul_overflow(magnitude, power_of_ten(decimals - MAX(places, 0)), &magnitude);
    if (overflow || magnitude > (uint64_t)INT64_MAX + (negative ? 1 : 0)) {
        g_set_error(error, BILLING_ERROR, BILLING_ERROR_RANGE,
                    "'%.40s' is out of range: at most 2^63 - 1 units of 10^-%d", text, decimals);
        return false;
    }
    *out = negative ? (int64_t)-magnitude : (int64_t)magnitude;
    return true;
}

bool money_price(MoneyAsset asset, int64_t price_usd_micro, int64_t io_usd_micro, int64_t *price,
                 GError **error)
{
    if (price_usd_micro < 0) {
        g_set_error(error, BILLING_ERROR, BILLING_ERROR_INPUT,
                    "a price of %" G_GINT64_FORMAT " USD micro per hour is negative",
                    price_usd_micro);
        return false;
    }
    if (asset == MONEY_USDC) {
        *price = price_usd_micro;
        return true;
    }
    if (io_usd_micro <= 0) {
        g_set_error(error, BILLING_ERROR, BILLING_ERROR_INPUT,
                    "a rate of %" G_GINT64_FORMAT " USD micro for one IO is not above zero",
                    io_usd_micro);
        return false;
    }
    MoneyExact units = (MoneyExact)price_usd_micro * IO_UNITS / (MoneyExact)io_usd_micro;

    if (units > INT64_MAX) {
        g_set_error(error, BILLING_ERROR, BILLING_ERROR_RANGE,
                    "a price of %" G_GINT64_FORMAT " USD micro per hour at %" G_GINT64_FORMAT
                    " USD micro for one IO leaves the range of amounts",
                    price_usd_micro, io_usd_micro);
        return false;
    }
    *price = (int64_t)units;
    return true;
}

typedef struct {
    int64_t remainder;
    size_t index;
} Remainder;

static int remainder_compare(const void *a, const void *b, void *unused)
{
    const Remainder *x = a;
    const Remainder *y = b;

    (void)unused;
    if (x->remainder != y->remainder)
        return x->remainder > y->remainder ? -1 : 1;
    return x->index < y->index ? -1 : x->index > y->index;
}

bool money_round(const MoneyExact *exact, size_t count, int64_t denominator, int64_t *units,
                 GError **error)
{
    MoneyExact whole = (MoneyExact)denominator;
    MoneyExact total = 0;
    bool overflow = false;

    for (size_t i = 0; i < count; i++)
        overflow |= __builtin_add_overflow(total, exact[i], &total);
    if (overflow || total / whole > INT64_MAX) {
        g_set_error(error, BILLING_ERROR, BILLING_ERROR_RANGE,
                    "the cost leaves the range of amounts (2^63 - 1 base units)");
        return false;
    }

    g_autofree Remainder *remainders = g_new(Remainder, count);
    int64_t left = (int64_t)(total / whole);

    for (size_t i = 0; i < count; i++) {
        units[i] = (int64_t)(exact[i] / whole);
        left -= units[i];
        remainders[i] = (Remainder){(int64_t)(exact[i] % whole), i};
    }
    if (left > 0)
        g_qsort_with_data(remainders, (gint)count, sizeof *remainders, remainder_compare, NULL);
    for (int64_t i = 0; i < left; i++)
        units[remainders[i].index]++;
    return true;
}
