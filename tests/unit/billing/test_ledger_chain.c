/* SPDX-License-Identifier: Apache-2.0
 *
 * The byte form of a posting, against hashes made by another program from the words of
 * billing/README.md alone.
 */
#include "billing/ledger_chain.h"

#include <stdlib.h>

/* Python 3, n = lambda x: struct.pack(">q", x), t = lambda s: n(len(s.encode())) + s.encode():
 *   hashlib.sha256(b"drover ledger posting 1\n" + previous + n(seq) + t(id) + t(job) + n(at_ms)
 *     + t(memo) + n(len(legs)) + b"".join(t(a) + t(asset) + n(amount) for a, asset, amount in
 * legs))
 */
#define FIRST  "be063fd1b4d467e3245e240dbe6b8a1ee0ac6879e19d5ee07fbee0ff53b61548"
#define SECOND "47961f600396f6ee8f8a18460da86c4a4428dad0991f41743ca94d88c9723854"

static void check_hash(const uint8_t hash[LEDGER_HASH_SIZE], const char *expected)
{
    g_autoptr(GString) hex = g_string_new(NULL);

    for (int i = 0; i < LEDGER_HASH_SIZE; i++)
        g_string_append_printf(hex, "%02x", hash[i]);
    g_assert_cmpstr(hex->str, ==, expected);
}

static void sort(Leg *legs, size_t count)
{
    qsort(legs, count, sizeof *legs, ledger_chain_compare_legs);
}

static void test_known(void)
{
    Leg charge[] = {{"renter/default", MONEY_USDC, 5556443},
                    {"supplier/osa-7", MONEY_USDC, -4400004},
                    {"supplier/tpe-1", MONEY_USDC, -1047490},
                    {"platform/fees", MONEY_USDC, -108949}};
    Leg payment[] = {{"renter/default", MONEY_USDC, -10},
                     {"platform/bank", MONEY_USDC, 10},
                     {"renter/default", MONEY_IO, -7},
                     {"platform/bank", MONEY_IO, 7}};
    const ChainPosting first = {{"charge/12/USDC/16869148", 1700000000000,
                                 "job 12 up to 16869148 GPU-ms, fee table 1", charge, 4},
                                1,
                                "12"};
    const ChainPosting second = {{"pay/1", 1700000000001, "paid in", payment, 4}, 2, ""};
    const uint8_t zeros[LEDGER_HASH_SIZE] = {0};
    uint8_t first_hash[LEDGER_HASH_SIZE];
    uint8_t second_hash[LEDGER_HASH_SIZE];

    sort(charge, 4);
    sort(payment, 4);
    ledger_chain_hash(zeros, &first, first_hash);
    check_hash(first_hash, FIRST);
    ledger_chain_hash(first_hash, &second, second_hash);
    check_hash(second_hash, SECOND);
}

static void test_order(void)
{
    Leg legs[] = {{"b", MONEY_USDC, 1},         {"a", MONEY_IO, INT64_MIN},
                  {"a", MONEY_USDC, INT64_MAX}, {"a", MONEY_IO, INT64_MAX},
                  {"a", MONEY_USDC, INT64_MIN}, {"", MONEY_IO, 0}};

    sort(legs, 6);
    g_assert_cmpstr(legs[0].account, ==, "");
    g_assert_cmpint(legs[1].amount, ==, INT64_MIN);
    g_assert_cmpint(legs[1].asset, ==, MONEY_USDC);
    g_assert_cmpint(legs[2].amount, ==, INT64_MAX);
    g_assert_cmpint(legs[3].asset, ==, MONEY_IO);
    g_assert_cmpint(legs[3].amount, ==, INT64_MIN);
    g_assert_cmpint(legs[4].amount, ==, INT64_MAX);
    g_assert_cmpstr(legs[5].account, ==, "b");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/ledger_chain/known", test_known);
    g_test_add_func("/ledger_chain/order", test_order);
    return g_test_run();
}
