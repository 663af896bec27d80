/* SPDX-License-Identifier: Apache-2.0 */
#include "jobspec/scalar.h"

static void test_resolve_core_schema(void)
{
    static const struct {
        const char *text;
        ScalarKind kind;
    } cases[] = {
        {"", SCALAR_NULL},        {"~", SCALAR_NULL},       {"null", SCALAR_NULL},
        {"NULL", SCALAR_NULL},    {"nUll", SCALAR_STRING},  {"true", SCALAR_BOOL},
        {"False", SCALAR_BOOL},   {"no", SCALAR_STRING},    {"yes", SCALAR_STRING},
        {"on", SCALAR_STRING},    {"y", SCALAR_STRING},     {"0", SCALAR_INT},
        {"-7", SCALAR_INT},       {"+7", SCALAR_INT},       {"007", SCALAR_INT},
        {"0o17", SCALAR_INT},     {"0o18", SCALAR_STRING},  {"0xFf", SCALAR_INT},
        {"0x", SCALAR_STRING},    {"0o", SCALAR_STRING},    {"1_000", SCALAR_STRING},
        {"1e-4", SCALAR_FLOAT},   {"1E+4", SCALAR_FLOAT},   {".5", SCALAR_FLOAT},
        {"5.", SCALAR_FLOAT},     {".", SCALAR_STRING},     {"-.inf", SCALAR_FLOAT},
        {".NaN", SCALAR_FLOAT},   {"-.nan", SCALAR_STRING}, {"1e", SCALAR_STRING},
        {"1:30", SCALAR_STRING},  {"-", SCALAR_STRING},     {"+", SCALAR_STRING},
        {"1.2.3", SCALAR_STRING}, {"e5", SCALAR_STRING},    {"0x1.8", SCALAR_STRING},
    };

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        if (scalar_resolve(cases[i].text) != cases[i].kind)
            g_error("'%s' is of the wrong kind", cases[i].text);
    }
}

static void test_int(void)
{
    int64_t value = 42;

    g_assert_cmpint(scalar_parse_int("9223372036854775808", &value), ==, SCALAR_TOO_LARGE);
    g_assert_cmpint(scalar_parse_int("-9223372036854775809", &value), ==, SCALAR_TOO_LARGE);
    g_assert_cmpint(scalar_parse_int("0xffffffffffffffffffffffff", &value), ==, SCALAR_TOO_LARGE);
    g_assert_cmpint(scalar_parse_int("1.0", &value), ==, SCALAR_MALFORMED);
    g_assert_cmpint(scalar_parse_int("", &value), ==, SCALAR_MALFORMED);
    g_assert_cmpint(value, ==, 42); /* untouched by failures */
    g_assert_cmpint(scalar_parse_int("9223372036854775807", &value), ==, SCALAR_OK);
    g_assert_cmpint(value, ==, INT64_MAX);
    g_assert_cmpint(scalar_parse_int("-9223372036854775808", &value), ==, SCALAR_OK);
    g_assert_cmpint(value, ==, INT64_MIN);
    g_assert_cmpint(scalar_parse_int("0o17", &value), ==, SCALAR_OK);
    g_assert_cmpint(value, ==, 15);
    g_assert_cmpint(scalar_parse_int("0x1F", &value), ==, SCALAR_OK);
    g_assert_cmpint(value, ==, 31);
    g_assert_cmpint(scalar_parse_int("010", &value), ==, SCALAR_OK);
    g_assert_cmpint(value, ==, 10); /* not octal in YAML 1.2 */
}

typedef struct {
    const char *text;
    ScalarUnit unit;
    ScalarResult result;
    int64_t value;
} Quantity;

static const Quantity quantities[] = {
    {"32GiB", SCALAR_SIZE, SCALAR_OK, INT64_C(32) << 30},
    {"32GB", SCALAR_SIZE, SCALAR_OK, INT64_C(32000000000)},
    {"1.5GiB", SCALAR_SIZE, SCALAR_OK, INT64_C(3) << 29},
    {"0.5B", SCALAR_SIZE, SCALAR_TOO_FINE, 0},
    {"0.1KiB", SCALAR_SIZE, SCALAR_TOO_FINE, 0},
    {"32", SCALAR_SIZE, SCALAR_NO_UNIT, 0},
    {"32 GiB", SCALAR_SIZE, SCALAR_MALFORMED, 0},
    {"32gib", SCALAR_SIZE, SCALAR_MALFORMED, 0},
    {"GiB", SCALAR_SIZE, SCALAR_MALFORMED, 0},
    {"", SCALAR_SIZE, SCALAR_MALFORMED, 0},
    {"1.GiB", SCALAR_SIZE, SCALAR_MALFORMED, 0},
    {"+1GiB", SCALAR_SIZE, SCALAR_MALFORMED, 0},
    {"-1GiB", SCALAR_SIZE, SCALAR_NEGATIVE, 0},
    {"8191PiB", SCALAR_SIZE, SCALAR_OK, INT64_C(8191) << 50},
    {"8192PiB", SCALAR_SIZE, SCALAR_TOO_LARGE, 0},
    {"9223372036854775806B", SCALAR_SIZE, SCALAR_OK, INT64_MAX - 1},
    {"9223372036854775807B", SCALAR_SIZE, SCALAR_TOO_LARGE, 0}, /* stands for no limit */
    {"99999999999999999999999999999999999999999999B", SCALAR_SIZE, SCALAR_TOO_LARGE, 0},
    {"99999999999999999999999999999999999999999999", SCALAR_SIZE, SCALAR_NO_UNIT, 0},
    {"250ms", SCALAR_DURATION, SCALAR_OK, 250},
    {"0.5s", SCALAR_DURATION, SCALAR_OK, 500},
    {"0.0005s", SCALAR_DURATION, SCALAR_TOO_FINE, 0},
    {"15m", SCALAR_DURATION, SCALAR_OK, 900000},
    {"24h", SCALAR_DURATION, SCALAR_OK, 86400000},
    {"2d", SCALAR_DURATION, SCALAR_OK, 172800000},
    {"1h30m", SCALAR_DURATION, SCALAR_MALFORMED, 0},
    {"5ms", SCALAR_LATENCY, SCALAR_OK, 5000},
    {"80us", SCALAR_LATENCY, SCALAR_OK, 80},
    {"1Gbps", SCALAR_BITRATE, SCALAR_OK, 1000000000},
    {"2.5Gbps", SCALAR_BITRATE, SCALAR_OK, INT64_C(2500000000)},
    {"1GBps", SCALAR_BITRATE, SCALAR_MALFORMED, 0},
    {"100MB/s", SCALAR_BYTERATE, SCALAR_OK, 100000000},
    {"1MiB/s", SCALAR_BYTERATE, SCALAR_OK, 1048576},
    {"2.20", SCALAR_MONEY, SCALAR_OK, 2200000},
    {"0.000001", SCALAR_MONEY, SCALAR_OK, 1},
    {"0.0000010", SCALAR_MONEY, SCALAR_OK, 1},
    {"0.0000001", SCALAR_MONEY, SCALAR_TOO_FINE, 0},
    {"1.0000000000000000000000000000000000001", SCALAR_MONEY, SCALAR_TOO_FINE, 0},
    {"1.0000000000000000000000000000000000000", SCALAR_MONEY, SCALAR_OK, 1000000},
    {"9223372036854.775806", SCALAR_MONEY, SCALAR_OK, INT64_MAX - 1},
    {"9223372036854.775807", SCALAR_MONEY, SCALAR_TOO_LARGE, 0},
    {"1e3", SCALAR_MONEY, SCALAR_MALFORMED, 0},
    {"$2", SCALAR_MONEY, SCALAR_MALFORMED, 0},
    {".5", SCALAR_MONEY, SCALAR_MALFORMED, 0},
    {"-0.01", SCALAR_MONEY, SCALAR_NEGATIVE, 0},
    {"0.97", SCALAR_FRACTION, SCALAR_OK, 970000},
    {"97%", SCALAR_FRACTION, SCALAR_MALFORMED, 0},
    {"10%", SCALAR_PERCENT, SCALAR_OK, 100000},
    {"0.25%", SCALAR_PERCENT, SCALAR_OK, 2500},
    {"10", SCALAR_PERCENT, SCALAR_NO_UNIT, 0},
    {"8", SCALAR_COUNT, SCALAR_OK, 8},
    {"8.0", SCALAR_COUNT, SCALAR_OK, 8},
    {"8.5", SCALAR_COUNT, SCALAR_TOO_FINE, 0},
};

static void test_quantity(void)
{
    for (size_t i = 0; i < G_N_ELEMENTS(quantities); i++) {
        const Quantity *q = &quantities[i];
        int64_t value = -1;
        ScalarResult result = scalar_parse_quantity(q->text, q->unit, &value);

        if (result != q->result || value != (result == SCALAR_OK ? q->value : -1))
            g_error("'%s': result %d, value %" G_GINT64_FORMAT, q->text, (int)result, value);
    }
}

static void assert_range(const char *text, ScalarUnit unit, int64_t min, int64_t max)
{
    JobSpecRange range = {-1, -1};

    g_assert_cmpint(scalar_parse_range(text, unit, &range), ==, SCALAR_OK);
    g_assert_cmpint(range.min, ==, min);
    g_assert_cmpint(range.max, ==, max);
}

static void test_range(void)
{
    JobSpecRange range = {-1, -1};

    assert_range("8", SCALAR_COUNT, 8, 8);
    assert_range("8+", SCALAR_COUNT, 8, INT64_MAX);
    assert_range("8-", SCALAR_COUNT, 0, 8);
    assert_range("2..4", SCALAR_COUNT, 2, 4);
    assert_range("4..4", SCALAR_COUNT, 4, 4);
    assert_range("8GiB..16GiB", SCALAR_SIZE, INT64_C(8) << 30, INT64_C(16) << 30);
    assert_range("1.5s..2.5s", SCALAR_DURATION, 1500, 2500);
    assert_range("10s..5m", SCALAR_DURATION, 10000, 300000);
    assert_range("5ms-", SCALAR_LATENCY, 0, 5000);

    g_assert_cmpint(scalar_parse_range("4..2", SCALAR_COUNT, &range), ==, SCALAR_REVERSED);
    g_assert_cmpint(scalar_parse_range("8..16GiB", SCALAR_SIZE, &range), ==, SCALAR_NO_UNIT);
    g_assert_cmpint(scalar_parse_range("8GiB..", SCALAR_SIZE, &range), ==, SCALAR_MALFORMED);
    g_assert_cmpint(scalar_parse_range("..8GiB", SCALAR_SIZE, &range), ==, SCALAR_MALFORMED);
    g_assert_cmpint(scalar_parse_range("..", SCALAR_COUNT, &range), ==, SCALAR_MALFORMED);
    g_assert_cmpint(scalar_parse_range("+", SCALAR_COUNT, &range), ==, SCALAR_MALFORMED);
    g_assert_cmpint(scalar_parse_range("", SCALAR_COUNT, &range), ==, SCALAR_MALFORMED);
    g_assert_cmpint(scalar_parse_range("1..2..3", SCALAR_COUNT, &range), ==, SCALAR_MALFORMED);
    g_assert_cmpint(scalar_parse_range("1...3", SCALAR_COUNT, &range), ==, SCALAR_MALFORMED);
    g_assert_cmpint(scalar_parse_range("2+..4", SCALAR_COUNT, &range), ==, SCALAR_MALFORMED);
    g_assert_cmpint(scalar_parse_range("-4", SCALAR_COUNT, &range), ==, SCALAR_NEGATIVE);
    g_assert_cmpint(range.min, ==, -1);
    g_assert_cmpint(range.max, ==, -1);
}

static void assert_format(int64_t value, ScalarUnit unit, const char *expected)
{
    g_autofree char *text = scalar_format_quantity(value, unit);

    g_assert_cmpstr(text, ==, expected);
}

static void test_format(void)
{
    assert_format(INT64_C(32) << 30, SCALAR_SIZE, "32GiB");
    assert_format(8000000000, SCALAR_SIZE, "8GB");
    assert_format(1, SCALAR_SIZE, "1B");
    assert_format(0, SCALAR_DURATION, "0s");
    assert_format(90000, SCALAR_DURATION, "90s");
    assert_format(2200000, SCALAR_MONEY, "2.2");
    assert_format(400000000, SCALAR_MONEY, "400");
    assert_format(1, SCALAR_MONEY, "0.000001");
    assert_format(2500, SCALAR_PERCENT, "0.25%");
    assert_format(INT64_MAX, SCALAR_COUNT, "9223372036854775807");
}

/* What is written can be read, and gives the same: over all units and many magnitudes. */
static void test_format_round_trip(void)
{
    g_autoptr(GRand) rand = g_rand_new_with_seed(20261124);

    for (int unit = 0; unit < SCALAR_UNITS; unit++) {
        for (int i = 0; i < 2000; i++) {
            uint64_t bits = ((uint64_t)g_rand_int(rand) << 32) | g_rand_int(rand);
            int64_t value = (int64_t)(bits >> (1 + g_rand_int_range(rand, 0, 63)));
            JobSpecRange range = {value / 2, value}, again;
            g_autofree char *text = NULL, *range_text = NULL;
            int64_t back;

            if (value == INT64_MAX)
                continue;
            text = scalar_format_quantity(value, (ScalarUnit)unit);
            g_assert_cmpint(scalar_parse_quantity(text, (ScalarUnit)unit, &back), ==, SCALAR_OK);
            g_assert_cmpint(back, ==, value);
            range_text = scalar_format_range(range, (ScalarUnit)unit);
            g_assert_cmpint(scalar_parse_range(range_text, (ScalarUnit)unit, &again), ==,
                            SCALAR_OK);
            g_assert_cmpint(again.min, ==, range.min);
            g_assert_cmpint(again.max, ==, range.max);
        }
    }
}

static void assert_explains(const char *text, ScalarUnit unit, const char *expected)
{
    JobSpecRange range;
    g_autofree char *reason = scalar_explain(scalar_parse_range(text, unit, &range), text, unit);

    g_assert_cmpstr(reason, ==, expected);
}

/* The mend in the message is the suffix that was probably meant. */
static void test_explain(void)
{
    assert_explains("16G8", SCALAR_SIZE, "is not a size (try '16GiB')");
    assert_explains("16 gb", SCALAR_SIZE, "is not a size (try '16GB')");
    assert_explains("15min", SCALAR_DURATION, "is not a duration (try '15m')");
    assert_explains("2hours", SCALAR_DURATION, "is not a duration (try '2h')");
    assert_explains("1Gbit", SCALAR_BITRATE, "is not a bandwidth (try '1Gbps')");
    assert_explains("x", SCALAR_SIZE, "is not a size");
    assert_explains("24", SCALAR_DURATION, "has no unit; write ms, s, m, h or d (try '24s')");
    assert_explains("9e-1", SCALAR_FRACTION, "is not a fraction");
    assert_explains("10", SCALAR_PERCENT, "has no unit; write % (try '10%')");
    assert_explains("0.1234567", SCALAR_MONEY, "has more than six decimal places");
    assert_explains("5..2", SCALAR_COUNT, "has its lower end above its upper end");
}

/* The pattern of the JSON Schema takes what the parser takes. */
static void test_pattern(void)
{
    g_autofree char *inner = scalar_get_pattern(SCALAR_BYTERATE);
    g_autofree char *pattern = g_strdup_printf("^%s$", inner);

    g_assert_true(g_regex_match_simple(pattern, "1.5MiB/s", 0, 0));
    g_assert_false(g_regex_match_simple(pattern, "1.5MiB", 0, 0));
    g_assert_false(g_regex_match_simple(pattern, "MiB/s", 0, 0));
    g_assert_true(scalar_is_bare(SCALAR_MONEY));
    g_assert_false(scalar_is_bare(SCALAR_PERCENT));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/jobspec/scalar/resolve", test_resolve_core_schema);
    g_test_add_func("/jobspec/scalar/int", test_int);
    g_test_add_func("/jobspec/scalar/quantity", test_quantity);
    g_test_add_func("/jobspec/scalar/range", test_range);
    g_test_add_func("/jobspec/scalar/format", test_format);
    g_test_add_func("/jobspec/scalar/round-trip", test_format_round_trip);
    g_test_add_func("/jobspec/scalar/explain", test_explain);
    g_test_add_func("/jobspec/scalar/pattern", test_pattern);
    return g_test_run();
}
