/* SPDX-License-Identifier: Apache-2.0
 *
 * The fee table: what it is seeded with and how a version is chosen.
 */
#include "billing/billing.h"

static void test_seed(void)
{
    g_assert_cmpint(fee_get_renter(MONEY_USDC, 0)->bp, ==, 200);
    g_assert_cmpint(fee_get_renter(MONEY_IO, 0)->bp, ==, 0);
    g_assert_cmpstr(fee_get_renter(MONEY_IO, 0)->kind, ==, "service");
    g_assert_cmpstr(fee_side_name(FEE_RENTER), ==, "renter");
    g_assert_cmpstr(fee_side_name(FEE_SUPPLIER), ==, "supplier");
}

static void test_any_time(void)
{
    static const int64_t times[] = {INT64_MIN, -1, 0, INT64_C(1700000000000), INT64_MAX};

    for (size_t i = 0; i < G_N_ELEMENTS(times); i++) {
        g_assert_nonnull(fee_get_renter(MONEY_USDC, times[i]));
        g_assert_nonnull(fee_get_renter(MONEY_IO, times[i]));
    }
}

/* The lookup relies on versions that ascend together with their times. */
static void test_order(void)
{
    size_t count = 0;
    const Fee *table = fee_table(&count);

    for (size_t i = 0; i < count; i++) {
        g_assert_cmpint(table[i].bp, >=, 0);
        g_assert_cmpint(table[i].bp, <=, MONEY_BP_PER_ONE);
        if (i > 0) {
            g_assert_cmpint(table[i].version, >=, table[i - 1].version);
            g_assert_cmpint(table[i].from_ms, >=, table[i - 1].from_ms);
        }
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/fee/seed", test_seed);
    g_test_add_func("/fee/any-time", test_any_time);
    g_test_add_func("/fee/order", test_order);
    return g_test_run();
}
