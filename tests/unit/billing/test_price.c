/* SPDX-License-Identifier: Apache-2.0
 *
 * The price list: what it finds, and what an operator reads when the file is wrong.
 */
#include "billing/billing.h"

#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

#define VALID                                                                                     \
    "{\n"                                                                                         \
    "  \"version\": 1,\n"                                                                         \
    "  \"usd_per_io\": \"0.15\",\n"                                                               \
    "  \"usd_per_device_hour\": {\"cpu\": \"0.04\", \"H100\": \"2.2\", \"H100-94GB\": \"2.5\"}\n" \
    "}\n"

static PriceList *parse(const char *text, GError **error)
{
    return price_list_parse(text, strlen(text), "prices.json", error);
}

static void check_price(const PriceList *list, const char *model, int64_t expected)
{
    g_autoptr(GError) error = NULL;
    int64_t price = 0;

    g_assert_true(price_list_find(list, model, &price, &error));
    g_assert_no_error(error);
    g_assert_cmpint(price, ==, expected);
}

static void check_no_price(const PriceList *list, const char *model)
{
    g_autoptr(GError) error = NULL;
    int64_t price = 77;

    g_assert_false(price_list_find(list, model, &price, &error));
    g_assert_error(error, BILLING_ERROR, BILLING_ERROR_PRICE);
    g_assert_nonnull(strstr(error->message, price_list_get_source(list)));
    g_assert_cmpint(price, ==, 77);
}

static void test_built_in(void)
{
    static const char *const models[] = {"cpu",  "RTX3090", "RTX4090", "A100",
                                         "H100", "H200",    "L40S"};
    g_autoptr(GError) error = NULL;
    g_autoptr(PriceList) list = price_list_load(NULL, &error);

    g_assert_no_error(error);
    g_assert_cmpstr(price_list_get_source(list), ==, "built in");
    g_assert_cmpint(price_list_get_io_usd_micro(list), >, 0);
    for (size_t i = 0; i < G_N_ELEMENTS(models); i++) {
        int64_t price = 0;

        g_assert_true(price_list_find(list, models[i], &price, &error));
        g_assert_cmpint(price, >, 0);
    }
}

static void test_find(void)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(PriceList) list = parse(VALID, &error);

    g_assert_no_error(error);
    check_price(list, "cpu", 40000);
    check_price(list, "H100", 2200000);
    check_price(list, "H100-80GB", 2200000);
    check_price(list, "H100-80GiB", 2200000);
    check_price(list, "H100-94GB", 2500000);
    check_price(list, "H100-81559MiB", 2200000);
    check_no_price(list, "H100-GB");
    check_no_price(list, "H100-80");
    check_no_price(list, "H100-SXM");
    check_no_price(list, "H100-80GB-80GB");
    check_no_price(list, "h100");
    check_no_price(list, "-80GB");
    check_no_price(list, "");
    g_assert_cmpint(price_list_get_io_usd_micro(list), ==, 150000);
}

static void test_find_says(void)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(PriceList) list = parse(VALID, &error);
    int64_t price = 0;

    g_assert_false(price_list_find(list, "B2\x1b[2J", &price, &error));
    g_assert_cmpstr(error->message, ==,
                    "no price for device model 'B2?[2J' in price list prices.json: add it under "
                    "\"usd_per_device_hour\"");
}

static void check_says(const char *text, const char *expected)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(PriceList) list = parse(text, &error);

    g_assert_null(list);
    g_assert_error(error, BILLING_ERROR, BILLING_ERROR_PRICE);
    g_assert_cmpstr(error->message, ==, expected);
}

static void test_says_where(void)
{
    check_says("{\n  \"version\": 1, \"usd_per_io\": \"0.15\",\n"
               "  \"usd_per_device_hour\": {\"cpu\": \"0.04\",\n\t\"H100\": \"2,2\"}}",
               "prices.json:4:10: usd_per_device_hour.H100: '2,2' is not an amount: digits with at "
               "most 6 decimal places (try '1.250000')\n"
               "    4 |  \"H100\": \"2,2\"}}\n"
               "      |          ^");
    check_says(
        "{\"version\": 1, \"usd_per_io\": \"0.15\", "
        "\"usd_per_device_hour\": {\"\\u0063pu\": 0.04}}",
        "prices.json:1:74: usd_per_device_hour.cpu: a price is a decimal in quotes "
        "(try \"2.20\")\n"
        "    1 | {\"version\": 1, \"usd_per_io\": \"0.15\", \"usd_per_device_hour\": "
        "{\"\\u0063pu\": 0.04}}\n"
        "      |                                                                          ^");
    check_says("{\"version\": 1, \"usd_per_hour\": {}}",
               "prices.json:1:16: usd_per_hour: unknown member (there are version, usd_per_io and "
               "usd_per_device_hour)\n"
               "    1 | {\"version\": 1, \"usd_per_hour\": {}}\n"
               "      |                ^");
    check_says("\n {\"version\": 1}", "prices.json:2:2: 'usd_per_io' is missing\n"
                                      "    2 |  {\"version\": 1}\n"
                                      "      |  ^");
}

/* Where in the file and what about it: the two things each message must have. */
static void check_refused(const char *text, const char *place, const char *what)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(PriceList) list = parse(text, &error);

    g_assert_null(list);
    g_assert_error(error, BILLING_ERROR, BILLING_ERROR_PRICE);
    g_assert_true(g_str_has_prefix(error->message, place));
    g_assert_nonnull(strstr(error->message, what));
}

#define HEAD "{\"version\": 1, \"usd_per_io\": \"0.15\", \"usd_per_device_hour\": "

static void test_refuses(void)
{
    check_refused("", "prices.json:1:1: ", "not JSON");
    check_refused("{\"version\": 1,\n \"version\": 1}", "prices.json:2:", "duplicate");
    check_refused(HEAD "{\"cpu\": \"1\", \"cpu\": \"1\"}}", "prices.json:1:", "duplicate");
    check_refused("{\"version\": 1, }", "prices.json:1:", "not JSON");
    check_refused("[]", "prices.json:1:1: ", "one JSON object");
    check_refused("{\"version\": 2, \"usd_per_io\": \"1\", \"usd_per_device_hour\": {}}",
                  "prices.json:1:13: version", "version 1");
    check_refused(
        "{\"version\": 1, \"usd_per_io\": \"0\", \"usd_per_device_hour\": {\"a\": \"1\"}}",
        "prices.json:1:30: usd_per_io", "above 0");
    check_refused("{\"version\": 1, \"usd_per_io\": 0.15, \"usd_per_device_hour\": {\"a\": \"1\"}}",
                  "prices.json:1:30: usd_per_io", "in quotes");
    check_refused(HEAD "[]}", "prices.json:1:61: ", "an object");
    check_refused(HEAD "{}}", "prices.json:1:61: ", "an object");
    check_refused(HEAD "{\"a b\": \"1\"}}", "prices.json:1:62: ", "a device model is");
    check_refused(HEAD "{\"\": \"1\"}}", "prices.json:1:62: ", "a device model is");
    check_refused(HEAD "{\"a\": \"-1\"}}", "prices.json:1:67: ", "between 0 and 1000000 USD");
    check_refused(HEAD "{\"a\": \"1000000.000001\"}}", "prices.json:1:67: ", "between 0 and");
    check_refused(HEAD "{\"a\": \"99999999999999999999\"}}", "prices.json:1:67: ", "out of range");
    check_refused(HEAD "{\"a\": \"1e2\"}}", "prices.json:1:67: ", "not an amount");
    check_refused(HEAD "{\"a\": null}}", "prices.json:1:67: ", "in quotes");
    check_refused(HEAD "{\"a\": \"1\\u0000\"}}", "prices.json:1:", "not JSON");
    check_refused(HEAD "{\"a\xff\": \"1\"}}", "prices.json:1:", "not JSON");
    check_refused(HEAD "{\"a\": \"1\"}} {}", "prices.json:1:", "not JSON");
}

/* The key that is wrong is the member, not a text of the same spelling elsewhere. */
static void test_finds_the_member(void)
{
    check_refused(
        "{\"version\": 1, \"usd_per_io\": \"version\",\n\"usd_per_device_hour\": {\"a\": \"1\"}}",
        "prices.json:1:30: usd_per_io", "not an amount");
    check_refused("{\"version\": 1, \"usd_per_device_hour\": {\"usd_per_io\": \"1\"},\n"
                  " \"usd_per_io\": \"x\"}",
                  "prices.json:2:16: usd_per_io", "not an amount");
    check_refused("{\"version\": 1, \"x\": {\"y\": [{\"version\": 2}]}}", "prices.json:1:16: x",
                  "unknown member");
}

static void test_hostile(void)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *large = g_strnfill(300 * 1024, ' ');
    g_autofree char *deep = g_strnfill(200 * 1024, '[');
    g_autofree char *key = g_strnfill(100 * 1024, 'k');
    g_autofree char *wide = g_strconcat(HEAD "{\"", key, "\": \"1\"}}", NULL);

    g_assert_null(parse(large, &error));
    g_assert_cmpstr(error->message, ==, "prices.json: larger than a price list may be (256 KiB)");
    check_refused(deep, "prices.json:1:", "not JSON");
    check_refused(wide, "prices.json:1:62: ", "a device model is");
    check_refused(HEAD "{\"\xe2\x80\xae\": \"1\"}}", "prices.json:1:62: ", "a device model is");
}

static void test_nothing(void)
{
    g_autoptr(GError) error = NULL;

    g_assert_null(price_list_parse(NULL, 0, "prices.json", &error));
    g_assert_error(error, BILLING_ERROR, BILLING_ERROR_PRICE);
    g_assert_true(g_str_has_prefix(error->message, "prices.json:1:1: not JSON"));
}

static void test_file(void)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *path = g_build_filename(g_get_tmp_dir(), "drover-prices-XXXXXX", NULL);
    int fd = g_mkstemp(path);
    g_autoptr(PriceList) list = NULL;

    g_assert_cmpint(fd, >=, 0);
    g_assert_cmpint(write(fd, VALID, strlen(VALID)), ==, (gssize)strlen(VALID));
    close(fd);
    list = price_list_load(path, &error);
    g_assert_no_error(error);
    g_assert_cmpstr(price_list_get_source(list), ==, path);
    check_price(list, "H100-80GB", 2200000);
    g_unlink(path);
    g_assert_null(price_list_load(path, &error));
    g_assert_error(error, BILLING_ERROR, BILLING_ERROR_PRICE);
    g_assert_nonnull(strstr(error->message, "No such file"));
    g_clear_error(&error);
    g_assert_null(price_list_load(g_get_tmp_dir(), &error));
    g_assert_nonnull(strstr(error->message, "directory"));
    g_clear_error(&error);
    g_assert_null(price_list_load("/dev/zero", &error));
    g_assert_nonnull(strstr(error->message, "256 KiB"));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/price/built-in", test_built_in);
    g_test_add_func("/price/find", test_find);
    g_test_add_func("/price/find/says", test_find_says);
    g_test_add_func("/price/says-where", test_says_where);
    g_test_add_func("/price/refuses", test_refuses);
    g_test_add_func("/price/finds-the-member", test_finds_the_member);
    g_test_add_func("/price/hostile", test_hostile);
    g_test_add_func("/price/nothing", test_nothing);
    g_test_add_func("/price/file", test_file);
    return g_test_run();
}
