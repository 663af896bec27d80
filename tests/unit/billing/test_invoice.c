/* SPDX-License-Identifier: Apache-2.0
 *
 * Invoices: the same time costs the same however it was cut up, lines add up, nothing wraps.
 */
#include "billing/billing.h"

#include <string.h>

#define KINDS_MAX  6
#define PIECES_MAX 40

static const MeterLease base = {
    .id = "1",
    .job = "12",
    .attempt = 1,
    .supplier = "s1",
    .node = "n1",
    .device = "GPU-a",
    .model = "RTX4090",
    .price_usd_micro = 390000,
    .io_usd_micro = 150000,
    .granted_at_ms = 1700000000000,
    .used_ms = 3600000,
    .released = true,
};

static Invoice *build(MoneyAsset asset, const MeterLease *leases, size_t count)
{
    g_autoptr(GError) error = NULL;
    Invoice *invoice = invoice_build("12", "gpt", asset, leases, count, &error);

    g_assert_no_error(error);
    return invoice;
}

static void check_refused(MoneyAsset asset, const MeterLease *leases, size_t count, int code)
{
    g_autoptr(GError) error = NULL;

    g_assert_null(invoice_build("12", "gpt", asset, leases, count, &error));
    g_assert_error(error, BILLING_ERROR, code);
}

static void test_usdc(void)
{
    g_autoptr(Invoice) invoice = build(MONEY_USDC, &base, 1);

    g_assert_cmpint(invoice->gpu_ms, ==, 3600000);
    g_assert_cmpint(invoice->gross, ==, 390000);
    g_assert_cmpint(invoice->fee_bp, ==, 200);
    g_assert_cmpint(invoice->fee_version, ==, 1);
    g_assert_cmpint(invoice->fee, ==, 7800);
    g_assert_cmpint(invoice->total, ==, 397800);
    g_assert_true(invoice->final);
}

static void test_io(void)
{
    g_autoptr(Invoice) invoice = build(MONEY_IO, &base, 1);

    g_assert_cmpint(invoice->gross, ==, 260000000); /* 0.39 USD at 0.15 USD for one IO */
    g_assert_cmpint(invoice->fee, ==, 0);
    g_assert_cmpint(invoice->total, ==, 260000000);
}

static void test_none(void)
{
    g_autoptr(Invoice) invoice = build(MONEY_USDC, NULL, 0);

    g_assert_cmpint(invoice->lines->len, ==, 0);
    g_assert_cmpint(invoice->total, ==, 0);
    g_assert_true(invoice->final);
}

static void test_not_final(void)
{
    MeterLease leases[] = {base, base};

    leases[1].id = "2";
    leases[1].released = false;
    g_autoptr(Invoice) invoice = build(MONEY_USDC, leases, 2);

    g_assert_false(invoice->final);
}

/* What a unit is made of is shared: three devices that used a third of a unit each cost one unit.
 */
static void test_thirds(void)
{
    MeterLease leases[] = {base, base, base};

    for (size_t i = 0; i < 3; i++) {
        leases[i].id = (const char *[]){"1", "2", "3"}[i];
        leases[i].attempt = (int)i + 1;
        leases[i].price_usd_micro = 1000;
        leases[i].used_ms = 1200; /* 1000 * 1200 / 3600000 = 1/3 */
    }
    g_autoptr(Invoice) together = build(MONEY_USDC, leases, 3);

    g_assert_cmpint(together->gross, ==, 1);
    g_assert_cmpint(((InvoiceLine *)together->lines->pdata[0])->gross, ==, 1);
    g_assert_cmpint(((InvoiceLine *)together->lines->pdata[2])->gross, ==, 0);
    leases[1].supplier = "s2"; /* between suppliers nothing is shared */
    leases[2].supplier = "s3";
    g_autoptr(Invoice) apart = build(MONEY_USDC, leases, 3);

    g_assert_cmpint(apart->gross, ==, 0);
}

/* ---- splitting ---- */

/* A random kind of lease: few values each, so that kinds meet in some members and differ in others.
 */
static MeterLease random_kind(void)
{
    static const char *const suppliers[] = {"s1", "s2"};
    static const char *const models[] = {"RTX4090", "H100"};
    MeterLease lease = base;

    lease.supplier = suppliers[g_test_rand_int_range(0, 2)];
    lease.model = models[g_test_rand_int_range(0, 2)];
    lease.attempt = g_test_rand_int_range(1, 3);
    lease.price_usd_micro = g_test_rand_int_range(0, 3) * 333333 + 1;
    lease.io_usd_micro = 150000 + g_test_rand_int_range(0, 3);
    lease.used_ms = g_test_rand_int_range(0, 1 << g_test_rand_int_range(1, 30));
    return lease;
}

static void shuffle(MeterLease *leases, size_t count)
{
    for (size_t i = count; i > 1; i--) {
        size_t j = (size_t)g_test_rand_int_range(0, (gint32)i);
        MeterLease moved = leases[i - 1];

        leases[i - 1] = leases[j];
        leases[j] = moved;
    }
}

/* Cuts the time of `kinds` at random into leases with ids of their own, in random order. */
static size_t split(const MeterLease *kinds, size_t kinds_count, MeterLease *leases, char ids[][16])
{
    size_t count = 0;

    for (size_t i = 0; i < kinds_count; i++) {
        int pieces = g_test_rand_int_range(1, PIECES_MAX + 1);
        int64_t left = kinds[i].used_ms;

        for (int piece = 0; piece < pieces; piece++) {
            int64_t part = piece == pieces - 1 ? left : g_test_rand_int_range(0, (gint32)left + 1);

            g_snprintf(ids[count], sizeof ids[count], "%zu", count);
            leases[count] = kinds[i];
            leases[count].id = ids[count];
            leases[count++].used_ms = part;
            left -= part;
        }
    }
    shuffle(leases, count);
    return count;
}

static json_t *invoice_json(MoneyAsset asset, const MeterLease *leases, size_t count)
{
    g_autoptr(Invoice) invoice = build(asset, leases, count);

    return invoice_to_json(invoice);
}

static void test_split_any_way(void)
{
    MeterLease leases[KINDS_MAX * PIECES_MAX];
    char ids[KINDS_MAX * PIECES_MAX][16];

    for (int round = 0; round < 300; round++) {
        MoneyAsset asset = g_test_rand_bit() ? MONEY_USDC : MONEY_IO;
        size_t kinds_count = (size_t)g_test_rand_int_range(1, KINDS_MAX + 1);
        MeterLease kinds[KINDS_MAX];
        static const char *const kind_ids[] = {"a", "b", "c", "d", "e", "f"};

        for (size_t i = 0; i < kinds_count; i++) {
            kinds[i] = random_kind();
            kinds[i].id = kind_ids[i];
        }
        json_t *whole = invoice_json(asset, kinds, kinds_count);

        for (int again = 0; again < 3; again++) {
            size_t count = split(kinds, kinds_count, leases, ids);
            json_t *parts = invoice_json(asset, leases, count);

            g_assert_true(json_equal(whole, parts));
            json_decref(parts);
        }
        json_decref(whole);
    }
}

/* Charged after every step of time, the differences add up to one invoice at the end, and no step
 * takes anything back. */
static void test_cumulative(void)
{
    for (int round = 0; round < 100; round++) {
        MoneyAsset asset = g_test_rand_bit() ? MONEY_USDC : MONEY_IO;
        MeterLease leases[3] = {random_kind(), random_kind(), random_kind()};
        int64_t gross = 0;
        int64_t fee = 0;

        for (size_t i = 0; i < 3; i++) {
            leases[i].id = (const char *[]){"a", "b", "c"}[i];
            leases[i].used_ms = 0;
        }
        for (int step = 0; step < 100; step++) {
            leases[g_test_rand_int_range(0, 3)].used_ms += g_test_rand_int_range(0, 5000);
            g_autoptr(Invoice) invoice = build(asset, leases, 3);
            int64_t lines = 0;

            for (guint i = 0; i < invoice->lines->len; i++)
                lines += ((InvoiceLine *)invoice->lines->pdata[i])->gross;
            g_assert_cmpint(lines, ==, invoice->gross);
            g_assert_cmpint(invoice->gross, >=, gross);
            g_assert_cmpint(invoice->fee, >=, fee);
            g_assert_cmpint(invoice->fee, ==, invoice->gross * invoice->fee_bp / 10000);
            g_assert_cmpint(invoice->total, ==, invoice->gross + invoice->fee);
            gross = invoice->gross;
            fee = invoice->fee;
        }
    }
}

/* The gross recomputed from first principles: one division per supplier. */
static void test_exact(void)
{
    for (int round = 0; round < 300; round++) {
        MeterLease leases[4] = {random_kind(), random_kind(), random_kind(), random_kind()};
        unsigned __int128 exact[2] = {0, 0};

        for (size_t i = 0; i < 4; i++) {
            leases[i].id = (const char *[]){"a", "b", "c", "d"}[i];
            exact[strcmp(leases[i].supplier, "s2") == 0] +=
                (unsigned __int128)leases[i].price_usd_micro * (unsigned __int128)leases[i].used_ms;
        }
        g_autoptr(Invoice) invoice = build(MONEY_USDC, leases, 4);

        g_assert_cmpint(invoice->gross, ==,
                        (int64_t)(exact[0] / 3600000) + (int64_t)(exact[1] / 3600000));
    }
}

/* ---- extremes ---- */

static void test_extremes(void)
{
    MeterLease leases[] = {base, base};

    /* The largest gross that leaves room for its fee. */
    leases[0].price_usd_micro = INT64_C(9042521604759584125);
    g_autoptr(Invoice) largest = build(MONEY_USDC, leases, 1);

    g_assert_cmpint(largest->total, ==, INT64_MAX);
    leases[0].price_usd_micro++;
    check_refused(MONEY_USDC, leases, 1, BILLING_ERROR_RANGE);
    leases[0].price_usd_micro = INT64_MAX;
    check_refused(MONEY_USDC, leases, 1, BILLING_ERROR_RANGE);
    leases[0].used_ms = INT64_MAX;
    check_refused(MONEY_USDC, leases, 1, BILLING_ERROR_RANGE);
    /* Each supplier fits, both do not. */
    leases[0] = leases[1] = base;
    leases[0].price_usd_micro = leases[1].price_usd_micro = INT64_MAX / 2 + 1;
    leases[1].id = "2";
    leases[1].supplier = "s2";
    check_refused(MONEY_USDC, leases, 2, BILLING_ERROR_RANGE);
    /* In IO: a price that fits in USD micro and not in IO units. */
    leases[0].io_usd_micro = 1;
    check_refused(MONEY_IO, leases, 1, BILLING_ERROR_RANGE);
}

static void test_fee(void)
{
    g_autoptr(GError) error = NULL;
    int64_t fee = 77;

    g_assert_true(invoice_fee(49, 200, &fee, &error));
    g_assert_cmpint(fee, ==, 0);
    g_assert_true(invoice_fee(50, 200, &fee, &error));
    g_assert_cmpint(fee, ==, 1);
    g_assert_true(invoice_fee(INT64_MAX, 10000, &fee, &error));
    g_assert_cmpint(fee, ==, INT64_MAX);
    fee = 77;
    g_assert_false(invoice_fee(INT64_MAX, 10001, &fee, &error));
    g_assert_error(error, BILLING_ERROR, BILLING_ERROR_RANGE);
    g_assert_cmpint(fee, ==, 77);
}

static void test_refuses(void)
{
    MeterLease lease = base;

    lease.io_usd_micro = 0;
    check_refused(MONEY_IO, &lease, 1, BILLING_ERROR_INPUT);
    g_autoptr(Invoice) usdc = build(MONEY_USDC, &lease, 1); /* no rate is needed */

    g_assert_cmpint(usdc->gross, ==, 390000);
    lease.job = "13";
    check_refused(MONEY_USDC, &lease, 1, BILLING_ERROR_INPUT);
}

static void test_refusal_says(void)
{
    g_autoptr(GError) error = NULL;
    MeterLease lease = base;

    lease.io_usd_micro = 0;
    g_assert_null(invoice_build("12", "gpt", MONEY_IO, &lease, 1, &error));
    g_assert_cmpstr(error->message, ==,
                    "device model 'RTX4090': a rate of 0 USD micro for one IO is not above zero");
    g_clear_error(&error);
    lease.price_usd_micro = INT64_MAX;
    lease.used_ms = INT64_MAX;
    g_assert_null(invoice_build("12", "gpt", MONEY_USDC, &lease, 1, &error));
    g_assert_cmpstr(error->message, ==,
                    "supplier 's1': the cost leaves the range of amounts (2^63 - 1 base units)");
}

/* ---- JSON ---- */

static void test_json(void)
{
    g_autoptr(Invoice) invoice = build(MONEY_IO, &base, 1);
    json_t *json = invoice_to_json(invoice);
    json_t *expected = json_pack(
        "{s:s, s:s, s:s, s:i, s:b, s:[{s:s, s:s, s:i, s:i, s:i, s:i, s:i, s:s, s:i, s:s, s:i}],"
        " s:i, s:s, s:i, s:i, s:i, s:s, s:i, s:s, s:i}",
        "job", "12", "name", "gpt", "asset", "IO", "decimals", 8, "final", 1, "lines", "supplier",
        "s1", "model", "RTX4090", "attempt", 1, "devices", 1, "gpu_ms", 3600000, "price_usd_micro",
        390000, "io_usd_micro", 150000, "price", "2.60000000", "price_units", 260000000, "gross",
        "2.60000000", "gross_units", 260000000, "gpu_ms", 3600000, "gross", "2.60000000",
        "gross_units", 260000000, "fee_version", 1, "fee_bp", 0, "fee", "0.00000000", "fee_units",
        0, "total", "2.60000000", "total_units", 260000000);

    g_assert_nonnull(expected);
    g_assert_true(json_equal(json, expected));
    json_decref(json);
    json_decref(expected);
}

static void test_json_hostile(void)
{
    MeterLease lease = base;
    char *text = NULL;
    json_t *json = NULL;

    lease.supplier = "s\x1b[2J\xff\"";
    json = invoice_json(MONEY_USDC, &lease, 1);
    text = json_dumps(json, JSON_COMPACT);
    g_assert_nonnull(text);
    g_assert_true(g_utf8_validate(text, -1, NULL));
    g_assert_nonnull(strstr(text, "\"s\\u001B[2J\xef\xbf\xbd\\\"\""));
    free(text);
    json_decref(json);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/invoice/usdc", test_usdc);
    g_test_add_func("/invoice/io", test_io);
    g_test_add_func("/invoice/none", test_none);
    g_test_add_func("/invoice/not-final", test_not_final);
    g_test_add_func("/invoice/thirds", test_thirds);
    g_test_add_func("/invoice/split-any-way", test_split_any_way);
    g_test_add_func("/invoice/cumulative", test_cumulative);
    g_test_add_func("/invoice/exact", test_exact);
    g_test_add_func("/invoice/extremes", test_extremes);
    g_test_add_func("/invoice/fee", test_fee);
    g_test_add_func("/invoice/refuses", test_refuses);
    g_test_add_func("/invoice/refuses/says", test_refusal_says);
    g_test_add_func("/invoice/json", test_json);
    g_test_add_func("/invoice/json/hostile", test_json_hostile);
    return g_test_run();
}
