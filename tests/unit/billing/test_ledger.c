/* SPDX-License-Identifier: Apache-2.0
 *
 * Postings: balanced, once, whole, for ever. What can go wrong with a database is made to go wrong.
 */
#include "tests/unit/billing/ledger_fixture.h"

#include <string.h>

/* Refused with `code`, nothing changed. */
static void check_refused(Fixture *fixture, const Posting *posting, int code)
{
    g_autoptr(GError) error = NULL;
    int64_t changes = sqlite3_total_changes(fixture->db);

    g_assert_false(ledger_post(fixture->ledger, posting, 1, &error));
    g_assert_error(error, BILLING_ERROR, code);
    g_assert_true(sqlite3_get_autocommit(fixture->db));
    if (code == BILLING_ERROR_INPUT || code == BILLING_ERROR_UNBALANCED)
        g_assert_cmpint(sqlite3_total_changes(fixture->db), ==, changes);
}

/* ---- posting ---- */

static void test_post(Fixture *fixture, gconstpointer unused)
{
    (void)unused;
    check_posted(fixture, "1", 5);
    check_posted(fixture, "2", 7);
    g_assert_cmpint(balance(fixture, "a", MONEY_USDC), ==, 12);
    g_assert_cmpint(balance(fixture, "b", MONEY_USDC), ==, -12);
    g_assert_cmpint(balance(fixture, "a", MONEY_IO), ==, 0);
    g_assert_cmpint(balance(fixture, "nobody", MONEY_USDC), ==, 0);
    check_audit(fixture, 2);
    reopen(fixture, SQLITE_OPEN_READWRITE);
    g_assert_cmpint(balance(fixture, "a", MONEY_USDC), ==, 12);
    check_audit(fixture, 2);
}

static void test_repeat(Fixture *fixture, gconstpointer unused)
{
    const Leg legs[] = {{"b", MONEY_USDC, -5}, {"a", MONEY_USDC, 5}};
    const Leg others[] = {{"a", MONEY_USDC, 5}, {"c", MONEY_USDC, -5}};
    Posting posting = {"1", 1700000099999, "memo", legs, 2};

    (void)unused;
    check_posted(fixture, "1", 5);
    check_posted(fixture, "2", 9);
    check_posted(fixture, "1", 5);
    /* At another time and with the legs in another order it is the same posting. */
    g_assert_true(ledger_post(fixture->ledger, &posting, 1, NULL));
    g_assert_cmpint(number(fixture, "SELECT at_ms FROM ledger_posting WHERE id = '1'"), ==,
                    1700000000000);
    g_assert_cmpint(balance(fixture, "a", MONEY_USDC), ==, 14);
    posting.memo = "another";
    check_refused(fixture, &posting, BILLING_ERROR_CONFLICT);
    posting.memo = "memo";
    posting.legs = others;
    check_refused(fixture, &posting, BILLING_ERROR_CONFLICT);
    g_assert_cmpint(balance(fixture, "a", MONEY_USDC), ==, 14);
    g_assert_cmpint(balance(fixture, "c", MONEY_USDC), ==, 0);
    check_audit(fixture, 2);
}

static void test_conflict_says(Fixture *fixture, gconstpointer unused)
{
    g_autoptr(GError) error = NULL;

    (void)unused;
    check_posted(fixture, "pay\x1b", 5);
    g_assert_false(post(fixture, "pay\x1b", 6, &error));
    g_assert_cmpstr(error->message, ==,
                    "posting 'pay\\033': posted before with other content; nothing was changed");
}

static void test_refuses(Fixture *fixture, gconstpointer unused)
{
    g_autofree char *long_id = g_strnfill(201, 'x');
    g_autofree char *long_memo = g_strnfill(1001, 'x');
    const Leg good[] = {{"a", MONEY_USDC, 5}, {"b", MONEY_USDC, -5}};
    const Leg zero[] = {{"a", MONEY_USDC, 0}, {"b", MONEY_USDC, 0}};
    const Leg nameless[] = {{"", MONEY_USDC, 5}, {"b", MONEY_USDC, -5}};
    const Leg garbled[] = {{"a\xff", MONEY_USDC, 5}, {"b", MONEY_USDC, -5}};
    const Leg unknown[] = {{"a", (MoneyAsset)7, 5}, {"b", (MoneyAsset)7, -5}};
    const Posting postings[] = {
        {"", 0, "", good, 2},         {long_id, 0, "", good, 2}, {"\xc3", 0, "", good, 2},
        {"1", 0, long_memo, good, 2}, {"1", 0, "\xff", good, 2}, {"1", 0, "", good, 0},
        {"1", 0, "", good, 1},        {"1", 0, "", good, 65537}, {"1", 0, "", zero, 2},
        {"1", 0, "", nameless, 2},    {"1", 0, "", garbled, 2},  {"1", 0, "", unknown, 2},
    };

    (void)unused;
    for (size_t i = 0; i < G_N_ELEMENTS(postings); i++)
        check_refused(fixture, &postings[i], BILLING_ERROR_INPUT);
    check_audit(fixture, 0);
}

static void test_unbalanced(Fixture *fixture, gconstpointer unused)
{
    const Leg off_by_one[] = {{"a", MONEY_USDC, 5}, {"b", MONEY_USDC, -4}};
    const Leg two_assets[] = {{"a", MONEY_USDC, 5}, {"b", MONEY_IO, -5}};
    /* In 64 bits these sum to zero. */
    const Leg wraps[] = {{"a", MONEY_USDC, INT64_MIN}, {"b", MONEY_USDC, INT64_MIN}};
    const Posting postings[] = {
        {"1", 0, "", off_by_one, 2}, {"2", 0, "", two_assets, 2}, {"3", 0, "", wraps, 2}};
    g_autoptr(GError) error = NULL;

    (void)unused;
    for (size_t i = 0; i < G_N_ELEMENTS(postings); i++)
        check_refused(fixture, &postings[i], BILLING_ERROR_UNBALANCED);
    check_audit(fixture, 0);
    g_assert_false(ledger_post(fixture->ledger, &postings[0], 1, &error));
    g_assert_cmpstr(error->message, ==,
                    "posting '1': its USDC debits are not equal to its USDC credits");
}

static void test_extremes(Fixture *fixture, gconstpointer unused)
{
    const Leg smallest[] = {
        {"low", MONEY_IO, INT64_MIN}, {"x", MONEY_IO, INT64_MAX}, {"y", MONEY_IO, 1}};
    const Leg lower[] = {{"low", MONEY_IO, -1}, {"y", MONEY_IO, 1}};
    const Posting below = {"4", 0, "", lower, 2};
    const Leg higher[] = {{"a", MONEY_USDC, 1}, {"c", MONEY_USDC, -1}};
    const Posting above = {"5", 0, "", higher, 2};

    (void)unused;
    check_posted(fixture, "1", INT64_MAX);
    check_refused(fixture, &above, BILLING_ERROR_RANGE);
    check_posted(fixture, "2", -1);
    g_assert_true(post_legs(fixture, "3", smallest, 3, NULL));
    check_refused(fixture, &below, BILLING_ERROR_RANGE);
    g_assert_cmpint(balance(fixture, "a", MONEY_USDC), ==, INT64_MAX - 1);
    g_assert_cmpint(balance(fixture, "low", MONEY_IO), ==, INT64_MIN);
    check_audit(fixture, 3);
}

/* A batch is posted whole, or not at all; what of it was there before is no obstacle. */
static void test_batch(Fixture *fixture, gconstpointer unused)
{
    const Leg legs[] = {{"a", MONEY_USDC, 5}, {"b", MONEY_USDC, -5}};
    const Leg bad[] = {{"a", MONEY_USDC, 5}, {"b", MONEY_USDC, -4}};
    Posting postings[] = {
        {"1", 0, "memo", legs, 2}, {"2", 0, "memo", legs, 2}, {"3", 0, "memo", bad, 2}};
    g_autoptr(GError) error = NULL;

    (void)unused;
    check_posted(fixture, "1", 5);
    g_assert_false(ledger_post(fixture->ledger, postings, 3, &error));
    g_assert_error(error, BILLING_ERROR, BILLING_ERROR_UNBALANCED);
    g_assert_nonnull(strstr(error->message, "posting '3'"));
    check_audit(fixture, 1);
    postings[2].legs = legs;
    g_assert_true(ledger_post(fixture->ledger, postings, 3, NULL));
    check_audit(fixture, 3);
    g_assert_true(ledger_post(fixture->ledger, NULL, 0, NULL));
    check_audit(fixture, 3);
    g_assert_cmpint(balance(fixture, "a", MONEY_USDC), ==, 15);
}

static void test_caller_transaction(Fixture *fixture, gconstpointer unused)
{
    const Leg legs[] = {{"a", MONEY_USDC, 5}, {"b", MONEY_USDC, -4}};
    g_autoptr(GError) error = NULL;

    (void)unused;
    exec(fixture, "CREATE TABLE mine (x)");
    exec(fixture, "BEGIN; INSERT INTO mine VALUES (1)");
    check_posted(fixture, "1", 5);
    g_assert_false(post_legs(fixture, "2", legs, 2, &error)); /* takes nothing else with it */
    check_posted(fixture, "3", 5);
    exec(fixture, "COMMIT");
    g_assert_cmpint(number(fixture, "SELECT count(*) FROM mine"), ==, 1);
    check_audit(fixture, 2);
    exec(fixture, "BEGIN; INSERT INTO mine VALUES (2)");
    check_posted(fixture, "4", 5);
    check_audit(fixture, 3);
    exec(fixture, "ROLLBACK");
    check_audit(fixture, 2);
    g_assert_cmpint(balance(fixture, "a", MONEY_USDC), ==, 10);
    check_posted(fixture, "4", 6); /* nothing of the first remembers */
    check_audit(fixture, 3);
}

/* Two connections post in turn; neither keeps a stale end of the chain. */
static void test_two_writers(Fixture *fixture, gconstpointer unused)
{
    Fixture other = {.db = open_db(fixture->path, SQLITE_OPEN_READWRITE)};
    g_autoptr(GError) error = NULL;

    (void)unused;
    other.ledger = ledger_open(other.db, &error);
    g_assert_no_error(error);
    for (int i = 0; i < 20; i++) {
        g_autofree char *id = g_strdup_printf("%d", i);

        check_posted(i % 2 == 0 ? fixture : &other, id, i + 1);
        check_posted(i % 2 == 0 ? &other : fixture, id, i + 1);
    }
    check_audit(fixture, 20);
    exec(&other, "BEGIN IMMEDIATE");
    g_assert_false(post(fixture, "late", 1, &error));
    g_assert_error(error, BILLING_ERROR, BILLING_ERROR_DB);
    g_assert_nonnull(strstr(error->message, "another process is writing"));
    exec(&other, "ROLLBACK");
    ledger_close(other.ledger);
    sqlite3_close(other.db);
    check_posted(fixture, "late", 1);
    check_audit(fixture, 21);
}

/* ---- invoices ---- */

static Invoice *make_invoice(const MeterLease *leases, size_t count)
{
    g_autoptr(GError) error = NULL;
    Invoice *invoice = invoice_build("12", "gpt", MONEY_USDC, leases, count, &error);

    g_assert_no_error(error);
    return invoice;
}

static void post_invoice(Fixture *fixture, const Invoice *invoice)
{
    g_autoptr(GError) error = NULL;

    g_assert_true(ledger_post_invoice(fixture->ledger, invoice, "default", 1700000000000, &error));
    g_assert_no_error(error);
}

static void leases_init(MeterLease leases[2])
{
    leases[0] = (MeterLease){"1", "12", 1, "s1", "n", "d1", "H100", 2200000, 150000, 0, 0, false};
    leases[1] = (MeterLease){"2", "12", 1, "s2", "n", "d2", "A100", 1290000, 150000, 0, 0, false};
}

/* What the ledger says of the job is what the invoice says. */
static void check_charged(Fixture *fixture, const Invoice *invoice)
{
    int64_t suppliers =
        balance(fixture, "supplier/s1", MONEY_USDC) + balance(fixture, "supplier/s2", MONEY_USDC);

    g_assert_cmpint(balance(fixture, "renter/default", MONEY_USDC), ==, invoice->total);
    g_assert_cmpint(suppliers, ==, -invoice->gross);
    g_assert_cmpint(balance(fixture, "platform/fees", MONEY_USDC), ==, -invoice->fee);
}

static void test_invoice(Fixture *fixture, gconstpointer unused)
{
    MeterLease leases[2];
    int64_t postings = 0;

    (void)unused;
    leases_init(leases);
    for (int step = 0; step < 200; step++) {
        leases[0].used_ms += g_test_rand_int_range(0, 2000);
        leases[1].used_ms += g_test_rand_int_range(0, 2000);
        g_autoptr(Invoice) invoice = make_invoice(leases, 2);

        post_invoice(fixture, invoice);
        postings = number(fixture, "SELECT count(*) FROM ledger_posting");
        post_invoice(fixture, invoice);
        check_charged(fixture, invoice);
        check_audit(fixture, postings);
    }
}

static void test_invoice_any_order(Fixture *fixture, gconstpointer unused)
{
    MeterLease leases[2];
    g_autoptr(GPtrArray) invoices = g_ptr_array_new_with_free_func((GDestroyNotify)invoice_free);

    (void)unused;
    leases_init(leases);
    for (int step = 0; step < 50; step++) {
        leases[step % 2].used_ms += 12345;
        g_ptr_array_add(invoices, make_invoice(leases, 2));
    }
    for (int delivery = 0; delivery < 150; delivery++)
        post_invoice(fixture, invoices->pdata[g_test_rand_int_range(0, 50)]);
    post_invoice(fixture, invoices->pdata[49]);
    post_invoice(fixture, invoices->pdata[0]);
    check_charged(fixture, invoices->pdata[49]);
    check_audit(fixture, number(fixture, "SELECT count(*) FROM ledger_posting"));
}

/* The worked example of billing/README.md. */
static void test_invoice_readme(Fixture *fixture, gconstpointer unused)
{
    const MeterLease leases[] = {
        {"31", "12", 1, "tpe-1", "n", "GPU-0", "RTX4090", 390000, 150000, 0, 1234567, true},
        {"32", "12", 1, "tpe-1", "n", "GPU-1", "RTX4090", 390000, 150000, 0, 1234567, true},
        {"33", "12", 2, "tpe-1", "n", "GPU-0", "RTX4090", 390000, 150000, 0, 7200007, true},
        {"34", "12", 2, "osa-7", "n", "GPU-9", "H100", 2200000, 150000, 0, 7200007, true},
    };
    g_autoptr(Invoice) invoice = make_invoice(leases, 4);

    (void)unused;
    post_invoice(fixture, invoice);
    g_assert_cmpint(balance(fixture, "renter/default", MONEY_USDC), ==, 5556443);
    g_assert_cmpint(balance(fixture, "supplier/osa-7", MONEY_USDC), ==, -4400004);
    g_assert_cmpint(balance(fixture, "supplier/tpe-1", MONEY_USDC), ==, -1047490);
    g_assert_cmpint(balance(fixture, "platform/fees", MONEY_USDC), ==, -108949);
    check_audit(fixture, 1);
}

/* Nothing used, nothing charged, no posting. */
static void test_invoice_of_nothing(Fixture *fixture, gconstpointer unused)
{
    MeterLease leases[2];

    (void)unused;
    leases_init(leases);
    g_autoptr(Invoice) idle = make_invoice(leases, 2);
    g_autoptr(Invoice) empty = make_invoice(NULL, 0);

    post_invoice(fixture, idle);
    post_invoice(fixture, empty);
    check_audit(fixture, 0);
}

static void test_invoice_refuses(Fixture *fixture, gconstpointer unused)
{
    MeterLease leases[2];
    g_autoptr(GError) error = NULL;

    (void)unused;
    leases_init(leases);
    leases[0].used_ms = 3600000;
    g_autoptr(Invoice) invoice = make_invoice(leases, 2);
    g_autoptr(Invoice) dearer = make_invoice(leases, 2);

    invoice->fee_bp = 300;
    g_assert_false(ledger_post_invoice(fixture->ledger, invoice, "default", 0, &error));
    g_assert_error(error, BILLING_ERROR, BILLING_ERROR_CONFLICT);
    g_clear_error(&error);
    invoice->fee_bp = 200;
    invoice->fee_version = 9;
    g_assert_false(ledger_post_invoice(fixture->ledger, invoice, "default", 0, &error));
    g_assert_error(error, BILLING_ERROR, BILLING_ERROR_CONFLICT);
    g_clear_error(&error);
    invoice->fee_version = 1;
    check_audit(fixture, 0);
    /* The same time at another price is not more time. */
    post_invoice(fixture, invoice);
    ((InvoiceLine *)dearer->lines->pdata[0])->gross += 1000;
    g_assert_false(ledger_post_invoice(fixture->ledger, dearer, "default", 0, &error));
    g_assert_error(error, BILLING_ERROR, BILLING_ERROR_CONFLICT);
    g_clear_error(&error);
    check_charged(fixture, invoice);
    g_free(invoice->job);
    invoice->job = g_strdup("");
    g_assert_false(ledger_post_invoice(fixture->ledger, invoice, "default", 0, &error));
    g_assert_error(error, BILLING_ERROR, BILLING_ERROR_INPUT);
    check_audit(fixture, 1);
}

/* Jobs of one renter do not see each other's charges. */
static void test_invoice_jobs(Fixture *fixture, gconstpointer unused)
{
    MeterLease leases[2];

    (void)unused;
    leases_init(leases);
    leases[0].used_ms = 3600000;
    g_autoptr(Invoice) one = make_invoice(leases, 2);
    g_autoptr(Invoice) two = make_invoice(leases, 2);

    g_free(two->job);
    two->job = g_strdup("1"); /* the beginning of the other's name */
    post_invoice(fixture, one);
    post_invoice(fixture, two);
    g_assert_cmpint(balance(fixture, "renter/default", MONEY_USDC), ==, one->total + two->total);
    check_audit(fixture, 2);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    LEDGER_TEST("/ledger/post", test_post);
    LEDGER_TEST("/ledger/repeat", test_repeat);
    LEDGER_TEST("/ledger/conflict-says", test_conflict_says);
    LEDGER_TEST("/ledger/refuses", test_refuses);
    LEDGER_TEST("/ledger/unbalanced", test_unbalanced);
    LEDGER_TEST("/ledger/extremes", test_extremes);
    LEDGER_TEST("/ledger/batch", test_batch);
    LEDGER_TEST("/ledger/caller-transaction", test_caller_transaction);
    LEDGER_TEST("/ledger/two-writers", test_two_writers);
    LEDGER_TEST("/ledger/invoice", test_invoice);
    LEDGER_TEST("/ledger/invoice/any-order", test_invoice_any_order);
    LEDGER_TEST("/ledger/invoice/readme", test_invoice_readme);
    LEDGER_TEST("/ledger/invoice/of-nothing", test_invoice_of_nothing);
    LEDGER_TEST("/ledger/invoice/refuses", test_invoice_refuses);
    LEDGER_TEST("/ledger/invoice/jobs", test_invoice_jobs);
    return g_test_run();
}
