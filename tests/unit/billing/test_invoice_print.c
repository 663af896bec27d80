/* SPDX-License-Identifier: Apache-2.0
 *
 * The invoice as people see it, character for character; the example of billing/README.md among
 * them.
 */
#include "billing/billing.h"

#include <stdlib.h>
#include <string.h>

static const MeterLease base = {
    .id = "1",
    .job = "12",
    .attempt = 1,
    .supplier = "local",
    .node = "n1",
    .device = "cpu",
    .model = "cpu",
    .price_usd_micro = 40000,
    .io_usd_micro = 150000,
    .granted_at_ms = 1700000000000,
    .used_ms = 62345,
    .released = true,
};

static char *print(const char *name, MoneyAsset asset, const MeterLease *leases, size_t count)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(Invoice) invoice = invoice_build("12", name, asset, leases, count, &error);
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);

    g_assert_no_error(error);
    invoice_print(invoice, out);
    fclose(out);
    return text;
}

static void check(const char *name, MoneyAsset asset, const MeterLease *lease, const char *expected)
{
    char *text = print(name, asset, lease, lease ? 1 : 0);

    g_assert_cmpstr(text, ==, expected);
    free(text);
}

static void test_final(void)
{
    check("gpt", MONEY_USDC, &base,
          "Invoice of job 12, gpt, in USDC\n"
          "\n"
          "  Supplier  Model  Attempt  Devices     GPU time      ms   USD/h      USDC\n"
          "  ────────  ─────  ───────  ───────  ───────────  ──────  ──────  ────────\n"
          "  local     cpu          1        1  0:01:02.345  62,345  0.0400  0.000692\n"
          "  ────────  ─────  ───────  ───────  ───────────  ──────  ──────  ────────\n"
          "  Gross                              0:01:02.345  62,345          0.000692\n"
          "  Service fee 2.00 %                                              0.000013\n"
          "  Total                                                           0.000705\n");
}

static void test_so_far(void)
{
    MeterLease lease = base;

    lease.released = false;
    lease.price_usd_micro = 40001;
    check("gpt", MONEY_USDC, &lease,
          "Invoice of job 12, gpt, in USDC, so far: devices are still leased\n"
          "\n"
          "  Supplier  Model  Attempt  Devices     GPU time      ms     USD/h      USDC\n"
          "  ────────  ─────  ───────  ───────  ───────────  ──────  ────────  ────────\n"
          "  local     cpu          1        1  0:01:02.345  62,345  0.040001  0.000692\n"
          "  ────────  ─────  ───────  ───────  ───────────  ──────  ────────  ────────\n"
          "  Gross                              0:01:02.345  62,345            0.000692\n"
          "  Service fee 2.00 %                                                0.000013\n"
          "  Total so far                                                      0.000705\n");
}

static void test_io(void)
{
    check("gpt", MONEY_IO, &base,
          "Invoice of job 12, gpt, in IO\n"
          "\n"
          "  Supplier  Model  Attempt  Devices     GPU time      ms   USD/h  USD/IO        IO/h"
          "          IO\n"
          "  ────────  ─────  ───────  ───────  ───────────  ──────  ──────  ──────  ──────────"
          "  ──────────\n"
          "  local     cpu          1        1  0:01:02.345  62,345  0.0400  0.1500  0.26666666"
          "  0.00461814\n"
          "  ────────  ─────  ───────  ───────  ───────────  ──────  ──────  ──────  ──────────"
          "  ──────────\n"
          "  Gross                              0:01:02.345  62,345                            "
          "  0.00461814\n"
          "  Service fee 0.00 %                                                                "
          "  0.00000000\n"
          "  Total                                                                             "
          "  0.00461814\n");
}

static void test_none(void)
{
    check("gpt", MONEY_USDC, NULL,
          "Invoice of job 12, gpt, in USDC\n"
          "\n"
          "  Supplier  Model  Attempt  Devices     GPU time  ms  USD/h      USDC\n"
          "  ────────  ─────  ───────  ───────  ───────────  ──  ─────  ────────\n"
          "  ────────  ─────  ───────  ───────  ───────────  ──  ─────  ────────\n"
          "  Gross                              0:00:00.000   0         0.000000\n"
          "  Service fee 2.00 %                                         0.000000\n"
          "  Total                                                      0.000000\n");
}

/* Nothing that a terminal obeys gets through, and the columns stay in line. */
static void test_hostile(void)
{
    MeterLease lease = base;
    char *text = NULL;

    lease.supplier = "a\x1b[2Jb\xff\xc2\x9b\xe2\x80\xae";
    lease.model = "a name that is far longer than any column ought to be";
    text = print("日本\n", MONEY_USDC, &lease, 1);
    g_assert_nonnull(strstr(text, "Invoice of job 12, 日本\\x0a, in USDC\n"));
    g_assert_nonnull(
        strstr(text, "\n  Supplier                   Model                         Att"));
    g_assert_nonnull(strstr(text, "\n  a\\x1b[2Jb\\xff\\x9b\\u{202e}  "
                                  "a name that is far longer t…        1        1  0:01:02.345"));
    free(text);
}

static void test_wide_characters(void)
{
    MeterLease lease = base;

    lease.supplier = "台北資料中心";
    check("gpt", MONEY_USDC, &lease,
          "Invoice of job 12, gpt, in USDC\n"
          "\n"
          "  Supplier      Model  Attempt  Devices     GPU time      ms   USD/h      USDC\n"
          "  ────────────  ─────  ───────  ───────  ───────────  ──────  ──────  ────────\n"
          "  台北資料中心  cpu          1        1  0:01:02.345  62,345  0.0400  0.000692\n"
          "  ────────────  ─────  ───────  ───────  ───────────  ──────  ──────  ────────\n"
          "  Gross                                  0:01:02.345  62,345          0.000692\n"
          "  Service fee 2.00 %                                                  0.000013\n"
          "  Total                                                               0.000705\n");
}

/* ---- the example of the README ---- */

static void test_readme(void)
{
    MeterLease leases[] = {base, base, base, base};
    g_autofree char *readme = NULL;
    char *text = NULL;

    for (size_t i = 0; i < 3; i++) {
        leases[i].supplier = "tpe-1";
        leases[i].model = "RTX4090";
        leases[i].price_usd_micro = 390000;
    }
    leases[0].id = "31";
    leases[0].device = "GPU-0";
    leases[0].used_ms = 1234567;
    leases[1].id = "32";
    leases[1].device = "GPU-1";
    leases[1].used_ms = 1234567;
    leases[2].id = "33";
    leases[2].device = "GPU-0";
    leases[2].attempt = 2;
    leases[2].used_ms = 7200007;
    leases[3].id = "34";
    leases[3].supplier = "osa-7";
    leases[3].device = "GPU-9";
    leases[3].model = "H100";
    leases[3].attempt = 2;
    leases[3].price_usd_micro = 2200000;
    leases[3].used_ms = 7200007;
    text = print("llama-ft", MONEY_USDC, leases, 4);
    g_assert_true(g_file_get_contents(TEST_SOURCE_DIR "/billing/README.md", &readme, NULL, NULL));
    if (!strstr(readme, text))
        g_error("billing/README.md does not show:\n%s", text);
    free(text);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/invoice_print/final", test_final);
    g_test_add_func("/invoice_print/so-far", test_so_far);
    g_test_add_func("/invoice_print/io", test_io);
    g_test_add_func("/invoice_print/none", test_none);
    g_test_add_func("/invoice_print/hostile", test_hostile);
    g_test_add_func("/invoice_print/wide-characters", test_wide_characters);
    g_test_add_func("/invoice_print/readme", test_readme);
    return g_test_run();
}
