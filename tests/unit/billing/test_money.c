/* SPDX-License-Identifier: Apache-2.0
 *
 * Amounts as text and as integers, and the rounding rule against a slow, obvious one.
 */
#include "billing/billing.h"

static void check_parse(const char *text, int decimals, int64_t expected)
{
    g_autoptr(GError) error = NULL;
    int64_t amount = 77;

    g_assert_true(money_parse(text, decimals, &amount, &error));
    g_assert_no_error(error);
    g_assert_cmpint(amount, ==, expected);
}

static void check_refused(const char *text, int decimals, int code)
{
    g_autoptr(GError) error = NULL;
    int64_t amount = 77;

    g_assert_false(money_parse(text, decimals, &amount, &error));
    g_assert_error(error, BILLING_ERROR, code);
    g_assert_cmpint(amount, ==, 77);
}

static void test_parse(void)
{
    check_parse("0", 6, 0);
    check_parse("-0", 6, 0);
    check_parse("2.20", 6, 2200000);
    check_parse("0.000001", 6, 1);
    check_parse("-12.5", 6, -12500000);
    check_parse("007", 2, 700);
    check_parse("5", 0, 5);
    check_parse("9223372036854.775807", 6, INT64_MAX);
    check_parse("-9223372036854.775808", 6, INT64_MIN);
    check_parse("9.223372036854775807", 18, INT64_MAX);
}

static void test_parse_refuses(void)
{
    static const char *const malformed[] = {
        "",    "-",    ".",   ".5", "5.",  "1..2", "1.2.3", "+1",        " 1",      "1 ", "1,5",
        "1e3", "0x10", "--1", "1-", "nan", "inf",  "1.\n",  "1.0000001", "\x1b[2J", "٣",  "1_000",
    };

    for (size_t i = 0; i < G_N_ELEMENTS(malformed); i++)
        check_refused(malformed[i], 6, BILLING_ERROR_INPUT);
    check_refused("1.0", 0, BILLING_ERROR_INPUT);
    check_refused("9223372036854.775808", 6, BILLING_ERROR_RANGE);
    check_refused("-9223372036854.775809", 6, BILLING_ERROR_RANGE);
    check_refused("9223372036854775807", 1, BILLING_ERROR_RANGE);
    check_refused("18446744073709551616", 0, BILLING_ERROR_RANGE);
    check_refused("99999999999999999999999999999999999999999999", 6, BILLING_ERROR_RANGE);
}

static void test_parse_says(void)
{
    g_autoptr(GError) error = NULL;
    int64_t amount = 0;

    g_assert_false(money_parse("2,20\x1b", 6, &amount, &error));
    g_assert_cmpstr(error->message, ==,
                    "'2,20\\033' is not an amount: digits with at most 6 decimal places "
                    "(try '1.250000')");
}

static void check_format(MoneyAsset asset, int64_t amount, const char *expected)
{
    g_autofree char *text = money_format(asset, amount);

    g_assert_cmpstr(text, ==, expected);
}

static void test_format(void)
{
    check_format(MONEY_USDC, 0, "0.000000 USDC");
    check_format(MONEY_USDC, 1234, "0.001234 USDC");
    check_format(MONEY_USDC, -1, "-0.000001 USDC");
    check_format(MONEY_IO, 100000000, "1.00000000 IO");
    check_format(MONEY_USDC, INT64_MAX, "9223372036854.775807 USDC");
    check_format(MONEY_USDC, INT64_MIN, "-9223372036854.775808 USDC");
    check_format(MONEY_IO, INT64_MIN, "-92233720368.54775808 IO");
}

static int64_t random_int64(void)
{
    uint64_t bits = ((uint64_t)g_test_rand_int() << 32) | (uint32_t)g_test_rand_int();

    return (int64_t)(bits >> g_test_rand_int_range(0, 64)) * (g_test_rand_bit() ? 1 : -1);
}

static void test_format_parses_back(void)
{
    for (int i = 0; i < 10000; i++) {
        int decimals = g_test_rand_int_range(0, 19);
        int64_t amount = random_int64();
        g_autofree char *text = money_format_decimal(amount, decimals);

        check_parse(text, decimals, amount);
    }
}

static void test_asset(void)
{
    MoneyAsset asset = MONEY_USDC;

    g_assert_true(money_asset_find("IO", &asset));
    g_assert_cmpint(asset, ==, MONEY_IO);
    g_assert_true(money_asset_find("USDC", &asset));
    g_assert_cmpint(asset, ==, MONEY_USDC);
    g_assert_false(money_asset_find("usdc", &asset));
    g_assert_false(money_asset_find("", &asset));
}

static void test_price(void)
{
    g_autoptr(GError) error = NULL;
    int64_t price = 77;

    g_assert_true(money_price(MONEY_USDC, 2200000, -5, &price, &error));
    g_assert_cmpint(price, ==, 2200000);
    /* 2.20 USD at 0.15 USD for one IO: 14.666... IO, rounded down in the renter's favour. */
    g_assert_true(money_price(MONEY_IO, 2200000, 150000, &price, &error));
    g_assert_cmpint(price, ==, 1466666666);
    g_assert_true(money_price(MONEY_IO, INT64_MAX, 100000000, &price, &error));
    g_assert_cmpint(price, ==, INT64_MAX);
    g_assert_no_error(error);
}

static void test_price_refuses(void)
{
    g_autoptr(GError) error = NULL;
    int64_t price = 77;

    g_assert_false(money_price(MONEY_USDC, -1, 150000, &price, &error));
    g_assert_error(error, BILLING_ERROR, BILLING_ERROR_INPUT);
    g_clear_error(&error);
    g_assert_false(money_price(MONEY_IO, 1, 0, &price, &error));
    g_assert_error(error, BILLING_ERROR, BILLING_ERROR_INPUT);
    g_clear_error(&error);
    g_assert_false(money_price(MONEY_IO, INT64_MAX, 99999999, &price, &error));
    g_assert_error(error, BILLING_ERROR, BILLING_ERROR_RANGE);
    g_assert_cmpint(price, ==, 77);
}

static void test_round_known(void)
{
    /* Tenths: 0.4 + 0.9 + 1.9 + 0.8 = 4. Floors are 0 0 1 0; the three left go to .9, .9 and .8. */
    const MoneyExact exact[] = {4, 9, 19, 8};
    const MoneyExact equal[] = {5, 5, 5, 5};
    int64_t units[4] = {0};

    g_assert_true(money_round(exact, 4, 10, units, NULL));
    g_assert_cmpint(units[0], ==, 0);
    g_assert_cmpint(units[1], ==, 1);
    g_assert_cmpint(units[2], ==, 2);
    g_assert_cmpint(units[3], ==, 1);
    /* Of equal remainders the lower index goes first. */
    g_assert_true(money_round(equal, 4, 10, units, NULL));
    g_assert_cmpint(units[0], ==, 1);
    g_assert_cmpint(units[1], ==, 1);
    g_assert_cmpint(units[2], ==, 0);
    g_assert_cmpint(units[3], ==, 0);
}

/* Each gets its floor or one more, and who got one more had no smaller remainder than who did not.
 */
static void check_round(const MoneyExact *exact, int count, int64_t denominator)
{
    MoneyExact whole = (MoneyExact)denominator;
    MoneyExact total = 0;
    int64_t units[8];
    int64_t sum = 0;

    g_assert_true(money_round(exact, (size_t)count, denominator, units, NULL));
    for (int i = 0; i < count; i++) {
        int64_t more = units[i] - (int64_t)(exact[i] / whole);

        total += exact[i];
        sum += units[i];
        g_assert_true(more == 0 || more == 1);
        for (int j = 0; j < count; j++)
            g_assert_true(more == 0 || units[j] != (int64_t)(exact[j] / whole) ||
                          exact[i] % whole >= exact[j] % whole);
    }
    g_assert_true(sum == (int64_t)(total / whole));
}

static void test_round_random(void)
{
    for (int round = 0; round < 5000; round++) {
        int count = g_test_rand_int_range(1, 9);
        MoneyExact exact[8];

        for (int i = 0; i < count; i++)
            exact[i] = (MoneyExact)(random_int64() & INT64_MAX) >> 3;
        check_round(exact, count, g_test_rand_int_range(1, 20));
        check_round(exact, count, MONEY_MS_PER_HOUR);
    }
}

static void test_round_extremes(void)
{
    g_autoptr(GError) error = NULL;
    MoneyExact exact[3] = {(MoneyExact)INT64_MAX * MONEY_MS_PER_HOUR + MONEY_MS_PER_HOUR - 1, 0, 0};
    int64_t units[3] = {77, 77, 77};

    g_assert_true(money_round(exact, 1, MONEY_MS_PER_HOUR, units, &error));
    g_assert_cmpint(units[0], ==, INT64_MAX);
    exact[0]++;
    units[0] = 77;
    g_assert_false(money_round(exact, 1, MONEY_MS_PER_HOUR, units, &error));
    g_assert_error(error, BILLING_ERROR, BILLING_ERROR_RANGE);
    g_clear_error(&error);
    exact[0] = exact[1] = ~(MoneyExact)0;
    exact[2] = 2; /* the sum is 0 in 128 bits */
    g_assert_false(money_round(exact, 3, 1, units, &error));
    g_assert_error(error, BILLING_ERROR, BILLING_ERROR_RANGE);
    g_assert_cmpint(units[0], ==, 77);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/money/parse", test_parse);
    g_test_add_func("/money/parse/refuses", test_parse_refuses);
    g_test_add_func("/money/parse/says", test_parse_says);
    g_test_add_func("/money/format", test_format);
    g_test_add_func("/money/format/parses-back", test_format_parses_back);
    g_test_add_func("/money/asset", test_asset);
    g_test_add_func("/money/price", test_price);
    g_test_add_func("/money/price/refuses", test_price_refuses);
    g_test_add_func("/money/round/known", test_round_known);
    g_test_add_func("/money/round/random", test_round_random);
    g_test_add_func("/money/round/extremes", test_round_extremes);
    return g_test_run();
}
