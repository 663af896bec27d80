/* SPDX-License-Identifier: Apache-2.0
 *
 * Leased time from leases: summed by kind, each lease once, nothing doubtful billed.
 */
#include "billing/billing.h"

#include <string.h>

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
    .used_ms = 1000,
    .released = true,
};

static GPtrArray *sum(const MeterLease *leases, size_t count)
{
    g_autoptr(GError) error = NULL;
    GPtrArray *usages = meter_sum("12", leases, count, &error);

    g_assert_no_error(error);
    return usages;
}

static void check_refused(const MeterLease *leases, size_t count, int code, const char *says)
{
    g_autoptr(GError) error = NULL;

    g_assert_null(meter_sum("12", leases, count, &error));
    g_assert_error(error, BILLING_ERROR, code);
    g_assert_cmpstr(error->message, ==, says);
}

static void test_none(void)
{
    g_autoptr(GPtrArray) usages = sum(NULL, 0);

    g_assert_cmpint(usages->len, ==, 0);
}

static void test_kinds(void)
{
    MeterLease leases[] = {base, base, base, base, base, base, base};

    for (size_t i = 0; i < G_N_ELEMENTS(leases); i++)
        leases[i].id = (const char *[]){"a", "b", "c", "d", "e", "f", "g"}[i];
    leases[0].supplier = "s2";
    leases[1].device = "GPU-b"; /* of the kind of the last two: another device */
    leases[2].attempt = 2;
    leases[3].price_usd_micro = 380000;
    leases[4].model = "H100";

    g_autoptr(GPtrArray) usages = sum(leases, G_N_ELEMENTS(leases));
    const MeterUsage *const *usage = (const MeterUsage *const *)usages->pdata;

    g_assert_cmpint(usages->len, ==, 5);
    g_assert_cmpstr(usage[0]->model, ==, "H100");
    g_assert_cmpint(usage[1]->price_usd_micro, ==, 380000);
    g_assert_cmpint(usage[2]->gpu_ms, ==, 3000);
    g_assert_cmpint(usage[2]->devices, ==, 2);
    g_assert_cmpint(usage[3]->attempt, ==, 2);
    g_assert_cmpstr(usage[4]->supplier, ==, "s2");
}

/* Devices of the same name on two nodes ("cpu") are two devices. */
static void test_devices(void)
{
    MeterLease leases[] = {base, base, base};

    leases[1].id = "2";
    leases[1].node = "n2";
    leases[2].id = "3"; /* the first device again */
    g_autoptr(GPtrArray) usages = sum(leases, 3);

    g_assert_cmpint(usages->len, ==, 1);
    g_assert_cmpint(((MeterUsage *)usages->pdata[0])->devices, ==, 2);
}

static void test_twice(void)
{
    MeterLease leases[] = {base, base, base};

    g_autoptr(GPtrArray) usages = sum(leases, 3);

    g_assert_cmpint(((MeterUsage *)usages->pdata[0])->gpu_ms, ==, 1000);
    leases[1].used_ms = 999;
    check_refused(leases, 3, BILLING_ERROR_CONFLICT,
                  "lease '1': given twice with different content");
    leases[1] = base;
    leases[2].device = "GPU-b";
    check_refused(leases, 3, BILLING_ERROR_CONFLICT,
                  "lease '1': given twice with different content");
    leases[2] = base;
    leases[2].released = false;
    check_refused(leases, 3, BILLING_ERROR_CONFLICT,
                  "lease '1': given twice with different content");
}

static void test_refuses(void)
{
    MeterLease leases[] = {base, base};

    leases[1].id = "2\n\x1b";
    leases[1].used_ms = -1;
    check_refused(leases, 2, BILLING_ERROR_INPUT, "lease '2\\n\\033': its used time is negative");
    leases[1] = base;
    leases[1].price_usd_micro = -1;
    check_refused(leases, 2, BILLING_ERROR_INPUT, "lease '1': its price is negative");
    leases[1] = base;
    leases[1].job = "13";
    check_refused(leases, 2, BILLING_ERROR_INPUT, "lease '1': it belongs to another job");
}

static void test_extremes(void)
{
    MeterLease leases[] = {base, base};

    leases[0].used_ms = INT64_MAX;
    leases[1].id = "2";
    leases[1].used_ms = 0;
    g_autoptr(GPtrArray) usages = sum(leases, 2);

    g_assert_cmpint(((MeterUsage *)usages->pdata[0])->gpu_ms, ==, INT64_MAX);
    leases[1].used_ms = 1;
    check_refused(leases, 2, BILLING_ERROR_RANGE,
                  "lease '2': with it the job's time leaves the range (2^63 - 1 ms)");
    leases[1].supplier = "s2"; /* the job's time, whoever it is of */
    check_refused(leases, 2, BILLING_ERROR_RANGE,
                  "lease '2': with it the job's time leaves the range (2^63 - 1 ms)");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/meter/none", test_none);
    g_test_add_func("/meter/kinds", test_kinds);
    g_test_add_func("/meter/devices", test_devices);
    g_test_add_func("/meter/twice", test_twice);
    g_test_add_func("/meter/refuses", test_refuses);
    g_test_add_func("/meter/extremes", test_extremes);
    return g_test_run();
}
