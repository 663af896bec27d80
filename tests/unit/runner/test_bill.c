/* SPDX-License-Identifier: Apache-2.0 */
#include "fixture.h"
#include "runner/queue/bill.h"

static GPtrArray *leases_of(int count, int64_t price_usd_micro, int64_t used_ms, bool released)
{
    GPtrArray *leases = g_ptr_array_new_with_free_func((GDestroyNotify)lease_free);

    for (int i = 0; i < count; i++) {
        Lease *lease = g_new0(Lease, 1);

        *lease = (Lease){.id = i + 1,
                         .job = {1},
                         .attempt = 1,
                         .supplier = g_strdup("local"),
                         .node = g_strdup("n"),
                         .device = g_strdup_printf("GPU-%d", i),
                         .model = g_strdup("H100"),
                         .price_usd_micro = price_usd_micro,
                         .io_usd_micro = 150000,
                         .granted_at_ms = 1700000000000,
                         .used_ms = used_ms,
                         .released = released};
        g_ptr_array_add(leases, lease);
    }
    return leases;
}

static int64_t total_after(GPtrArray *leases, MoneyAsset asset, int64_t more_ms)
{
    g_autoptr(Job) job = job_new((JobId){1}, "t", "g");
    g_autoptr(Invoice) invoice = NULL;
    g_autoptr(GError) error = NULL;

    for (guint i = 0; i < leases->len; i++)
        ((Lease *)g_ptr_array_index(leases, i))->used_ms += more_ms;
    invoice = bill_of_leases(job, asset, leases, &error);
    g_assert_no_error(error);
    for (guint i = 0; i < leases->len; i++)
        ((Lease *)g_ptr_array_index(leases, i))->used_ms -= more_ms;
    return invoice->total;
}

/* The limit is reached and not passed, to the millisecond, whatever the numbers. */
static void test_time_left_is_exact(void)
{
    for (int i = 0; i < 200; i++) {
        g_autoptr(GPtrArray) leases =
            leases_of(g_test_rand_int_range(1, 9), g_test_rand_int_range(1, 100000000),
                      g_test_rand_int_range(0, 100000), false);
        int64_t now = total_after(leases, MONEY_USDC, 0);
        int64_t limit = now + g_test_rand_int_range(0, 1000000);
        int64_t left = bill_get_time_left(leases, MONEY_USDC, limit);

        if (left == G_MAXINT64)
            continue; /* a price so low that ten years do not reach the limit */
        g_assert_cmpint(left, >=, 0);
        g_assert_cmpint(total_after(leases, MONEY_USDC, left), <=, limit);
        g_assert_cmpint(total_after(leases, MONEY_USDC, left + 1), >, limit);
    }
}

static void test_time_left_at_the_ends(void)
{
    g_autoptr(GPtrArray) held = leases_of(1, 3600000, 10000, false);
    g_autoptr(GPtrArray) free_of_charge = leases_of(1, 0, 10000, false);
    g_autoptr(GPtrArray) dear = leases_of(8, G_MAXINT64, 10000, false);
    g_autoptr(GPtrArray) none = leases_of(0, 1, 1, false);

    g_assert_cmpint(bill_get_time_left(held, MONEY_USDC, G_MAXINT64), ==, G_MAXINT64);
    g_assert_cmpint(bill_get_time_left(held, MONEY_USDC, 1), ==, -1);
    g_assert_cmpint(bill_get_time_left(held, MONEY_USDC, 0), ==, -1);
    g_assert_cmpint(bill_get_time_left(free_of_charge, MONEY_USDC, 0), ==, G_MAXINT64);
    g_assert_cmpint(bill_get_time_left(none, MONEY_USDC, 0), ==, G_MAXINT64);
    /* More than int64 holds is more than any limit. */
    g_assert_cmpint(bill_get_time_left(dear, MONEY_USDC, 1000), ==, -1);
}

/* In IO the limit is still one in USD: 1 USD an hour, no fee, an hour's worth. */
static void test_time_left_in_io(void)
{
    g_autoptr(GPtrArray) leases = leases_of(1, 1000000, 0, false);
    int64_t left = bill_get_time_left(leases, MONEY_IO, 1000000);

    g_assert_cmpint(left, >=, 3600000 - 1);
    g_assert_cmpint(left, <=, 3600000 + 1);
}

static int64_t balance_of(Store *store)
{
    int64_t balance;

    g_assert_true(
        ledger_get_balance(store_get_ledger(store), "renter/default", MONEY_USDC, &balance, NULL));
    return ABS(balance);
}

/* 3.60 USD an hour is 1 micro a ms; 2 % on the sum. Posted as it comes, never twice. */
static void test_posts_what_is_new(StoreFixture *fixture, gconstpointer data)
{
    JobId id = fixture_add(fixture->store, "");
    g_autoptr(Invoice) invoice = NULL;
    g_autoptr(GError) error = NULL;

    (void)data;
    fixture_begin(fixture->store, id, 1, "d");
    fixture_end(fixture->store, id, 1, "retrying", 10000);
    g_assert_cmpint(balance_of(fixture->store), ==, 10200);
    for (int i = 0; i < 3; i++)
        g_assert_true(bill_post(fixture->store, id, fixture_now_ms(), &error));
    g_assert_cmpint(balance_of(fixture->store), ==, 10200);
    fixture_append(fixture->store, id, 1, "queued", NULL);
    fixture_begin(fixture->store, id, 2, "d");
    g_assert_true(store_beat_leases(fixture->store, id, 3000, NULL));
    /* What is still held is on the invoice and not yet posted. */
    invoice = bill_build(fixture->store, id, NULL);
    g_assert_false(invoice->final);
    g_assert_cmpint(invoice->gpu_ms, ==, 13000);
    g_assert_true(bill_post(fixture->store, id, fixture_now_ms(), &error));
    g_assert_cmpint(balance_of(fixture->store), ==, 10200);
    fixture_end(fixture->store, id, 2, "succeeded", 5000);
    g_assert_cmpint(balance_of(fixture->store), ==, 15300);
    fixture_check(fixture->store);
}

static void test_account_and_asset(StoreFixture *fixture, gconstpointer data)
{
    JobId id = fixture_add(fixture->store, "payment: {asset: IO, account: lab}");
    int64_t balance;

    (void)data;
    fixture_begin(fixture->store, id, 1, "d");
    fixture_end(fixture->store, id, 1, "succeeded", 3600000);
    g_assert_true(ledger_get_balance(store_get_ledger(fixture->store), "renter/lab", MONEY_IO,
                                     &balance, NULL));
    /* 3.60 USD at 0.15 USD an IO are 24 IO, without a fee. */
    g_assert_cmpint(ABS(balance), ==, INT64_C(2400000000));
    g_assert_cmpint(balance_of(fixture->store), ==, 0);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/bill/time-left/exact", test_time_left_is_exact);
    g_test_add_func("/bill/time-left/ends", test_time_left_at_the_ends);
    g_test_add_func("/bill/time-left/io", test_time_left_in_io);
    g_test_add("/bill/posts-what-is-new", StoreFixture, NULL, fixture_set_up,
               test_posts_what_is_new, fixture_tear_down);
    g_test_add("/bill/account-and-asset", StoreFixture, NULL, fixture_set_up,
               test_account_and_asset, fixture_tear_down);
    return g_test_run();
}
