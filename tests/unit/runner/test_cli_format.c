/* SPDX-License-Identifier: Apache-2.0 */
#include "runner/cli/format.h"

#include <math.h>

static void expect(char *got, const char *expected)
{
    g_assert_cmpstr(got, ==, expected);
    g_free(got);
}

static void test_duration(void)
{
    expect(format_duration(0), "0.0s");
    expect(format_duration(-5), "0.0s");
    expect(format_duration(INT64_MIN), "0.0s");
    expect(format_duration(9999), "9.9s");
    expect(format_duration(10000), "10s");
    expect(format_duration(59999), "59s");
    expect(format_duration(60000), "1m00s");
    expect(format_duration(3599999), "59m59s");
    expect(format_duration(3600000), "1h00m");
    expect(format_duration(86399999), "23h59m");
    expect(format_duration(86400000), "1d00h");
    expect(format_duration(INT64_MAX), "106751991167d07h");
    expect(format_age(59999), "59s");
    expect(format_age(60000), "1m");
    expect(format_age(INT64_C(3) * 86400000), "3d");
    expect(format_age(INT64_MIN), "0s");
}

static void test_count(void)
{
    expect(format_count(0), "0.0");
    expect(format_count(9.949), "9.9");
    expect(format_count(950), "950");
    expect(format_count(999.5), "1.00k");
    expect(format_count(18234), "18.2k");
    expect(format_count(999499), "999k");
    expect(format_count(999500), "1.00M");
    expect(format_count(1.25e6), "1.25M");
    expect(format_count(NAN), "?");
    expect(format_count(-1), "?");
    expect(format_count(INFINITY), "?");
}

static void test_bytes(void)
{
    expect(format_bytes(-1), "0 B");
    expect(format_bytes(1023), "1023 B");
    expect(format_bytes(1024), "1.0 KiB");
    expect(format_bytes(1048575), "1.0 MiB");
    expect(format_bytes(INT64_C(32) << 30), "32.0 GiB");
    expect(format_bytes(INT64_MAX), "8.0 EiB");
}

static void test_loss(void)
{
    expect(format_loss(2.41321), "2.4132");
    expect(format_loss(0), "0.0000");
    expect(format_loss(-1.5), "-1.5000");
    expect(format_loss(123.456), "123.5");
    expect(format_loss(0.00012), "1.200e-04");
    expect(format_loss(1e300), "1.000e+300");
    expect(format_loss(NAN), "nan");
    expect(format_loss(-INFINITY), "-inf");
}

static void test_percent_is_full_only_at_the_end(void)
{
    g_assert_cmpint(format_percent(0, 10), ==, 0);
    g_assert_cmpint(format_percent(999999, 1000000), ==, 99);
    g_assert_cmpint(format_percent(10, 10), ==, 100);
    g_assert_cmpint(format_percent(11, 10), ==, 100);
    g_assert_cmpint(format_percent(5, 0), ==, 0);
    g_assert_cmpint(format_percent(-5, 10), ==, 0);
    g_assert_cmpint(format_percent(INT64_MAX - 1, INT64_MAX), ==, 99);
}

static void test_eta(void)
{
    g_assert_cmpint(format_eta_ms(1000, 10, 90), ==, 9000);
    g_assert_cmpint(format_eta_ms(1000, 10, 0), ==, 0);
    g_assert_cmpint(format_eta_ms(1000, 0, 90), ==, -1);
    g_assert_cmpint(format_eta_ms(0, 10, 90), ==, -1);
    g_assert_cmpint(format_eta_ms(1000, 10, -1), ==, -1);
    g_assert_cmpint(format_eta_ms(INT64_MAX, 1, INT64_MAX), ==, -1);
}

static void test_bar(void)
{
    expect(format_bar(0, 100, 4, true), "░░░░");
    expect(format_bar(50, 100, 4, true), "██░░");
    expect(format_bar(54, 100, 4, true), "██▏░");
    expect(format_bar(99, 100, 4, true), "███▉");
    expect(format_bar(100, 100, 4, true), "████");
    expect(format_bar(50, 100, 4, false), "##--");
    expect(format_bar(1, 0, 4, false), "----");
    expect(format_bar(1, 2, 0, true), "");
    expect(format_bar(1, 2, -3, true), "");
    expect(format_bar(INT64_MAX, INT64_MAX, 3, false), "###");
}

static void test_sparkline(void)
{
    const double falling[] = {8, 7, 6, 5, 4, 3, 2, 1};
    const double flat[] = {2, 2, 2};
    const double holes[] = {1, NAN, 8, INFINITY};
    const double extremes[] = {-1.7e308, 1.7e308};
    const double nothing[] = {NAN, NAN};

    expect(format_sparkline(falling, 8, 20, true), "█▇▆▅▄▃▂▁");
    expect(format_sparkline(falling, 8, 4, true), "█▆▃▁");
    expect(format_sparkline(falling, 8, 8, false), "#*+=-,._");
    expect(format_sparkline(falling, 8, 1, true), "▁");
    expect(format_sparkline(flat, 3, 8, true), "▁▁▁");
    expect(format_sparkline(holes, 4, 8, true), "▁ ██");
    expect(format_sparkline(extremes, 2, 8, true), "▁█");
    expect(format_sparkline(nothing, 2, 8, true), "  ");
    expect(format_sparkline(NULL, 0, 8, true), "");
    expect(format_sparkline(falling, 8, 0, true), "");
    expect(format_sparkline(falling, 8, -1, true), "");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/cli/format/duration", test_duration);
    g_test_add_func("/cli/format/count", test_count);
    g_test_add_func("/cli/format/bytes", test_bytes);
    g_test_add_func("/cli/format/loss", test_loss);
    g_test_add_func("/cli/format/percent", test_percent_is_full_only_at_the_end);
    g_test_add_func("/cli/format/eta", test_eta);
    g_test_add_func("/cli/format/bar", test_bar);
    g_test_add_func("/cli/format/sparkline", test_sparkline);
    return g_test_run();
}
