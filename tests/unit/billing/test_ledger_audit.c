/* SPDX-License-Identifier: Apache-2.0
 *
 * Every change behind the ledger's back is found, and named by the first posting that is wrong.
 */
#include "tests/unit/billing/ledger_fixture.h"

#include <string.h>

#define POSTINGS 9

static void fill(Fixture *fixture)
{
    for (int i = 1; i <= POSTINGS; i++) {
        g_autofree char *id = g_strdup_printf("p%d", i);

        check_posted(fixture, id, i * 10);
    }
}

/* The triggers keep honest programs from mistakes; who owns the file can drop them. */
static void unlock(Fixture *fixture)
{
    static const char *const names[] = {"ledger_posting_insert", "ledger_posting_update",
                                        "ledger_posting_delete", "ledger_leg_insert",
                                        "ledger_leg_update",     "ledger_leg_delete"};

    for (size_t i = 0; i < G_N_ELEMENTS(names); i++) {
        g_autofree char *sql = g_strconcat("DROP TRIGGER ", names[i], NULL);

        exec(fixture, sql);
    }
    exec(fixture, "PRAGMA ignore_check_constraints = ON");
}

static void check_found(Fixture *fixture, const char *says)
{
    g_autoptr(GError) error = NULL;
    int64_t postings = 77;

    g_assert_false(ledger_audit(fixture->ledger, &postings, &error));
    g_assert_error(error, BILLING_ERROR, BILLING_ERROR_AUDIT);
    g_assert_cmpstr(error->message, ==, says);
    g_assert_cmpint(postings, ==, 77);
    g_assert_true(sqlite3_get_autocommit(fixture->db));
}

/* Makes the change in a transaction, looks what the audit says, and takes it back. */
static void check_change(Fixture *fixture, const char *sql, const char *says)
{
    g_autoptr(GError) error = NULL;
    int64_t postings = 0;

    exec(fixture, "BEGIN");
    exec(fixture, sql);
    g_assert_false(ledger_audit(fixture->ledger, &postings, &error));
    g_assert_error(error, BILLING_ERROR, BILLING_ERROR_AUDIT);
    g_assert_cmpstr(error->message, ==, says);
    g_assert_false(sqlite3_get_autocommit(fixture->db));
    exec(fixture, "ROLLBACK");
    check_audit(fixture, POSTINGS);
}

static void test_empty(Fixture *fixture, gconstpointer unused)
{
    (void)unused;
    check_audit(fixture, 0);
}

#define BAD_HASH "its hash is not that of its content and the posting before it"

static void test_changed_postings(Fixture *fixture, gconstpointer unused)
{
    static const struct {
        const char *sql;
        const char *says;
    } changes[] = {
        {"UPDATE ledger_posting SET id = 'q' WHERE seq = 3", "posting 3 ('q'): " BAD_HASH},
        {"UPDATE ledger_posting SET job = '1' WHERE seq = 4", "posting 4 ('p4'): " BAD_HASH},
        {"UPDATE ledger_posting SET at_ms = at_ms + 1 WHERE seq = 5",
         "posting 5 ('p5'): " BAD_HASH},
        {"UPDATE ledger_posting SET memo = 'Memo' WHERE seq = 1", "posting 1 ('p1'): " BAD_HASH},
        {"UPDATE ledger_posting SET memo = 'memo' || char(0) || 'x' WHERE seq = 2",
         "posting 2 ('p2'): " BAD_HASH},
        {"UPDATE ledger_posting SET hash = randomblob(32) WHERE seq = 9",
         "posting 9 ('p9'): " BAD_HASH},
        {"UPDATE ledger_posting SET hash = x'00' WHERE seq = 8", "posting 8 ('p8'): " BAD_HASH},
        {"DELETE FROM ledger_posting WHERE seq = 6", "posting 6 (''): it is missing"},
        {"DELETE FROM ledger_posting WHERE seq = 9",
         "posting 9 (''): it is missing, its legs are there"},
        {"DELETE FROM ledger_posting WHERE seq = 1", "posting 1 (''): it is missing"},
        {"UPDATE ledger_posting SET memo = 'x' WHERE seq IN (3, 5, 7)",
         "posting 3 ('p3'): " BAD_HASH},
    };

    (void)unused;
    fill(fixture);
    unlock(fixture);
    for (size_t i = 0; i < G_N_ELEMENTS(changes); i++)
        check_change(fixture, changes[i].sql, changes[i].says);
}

#define BAD_LEGS "its legs are not those that were posted"

static void test_changed_legs(Fixture *fixture, gconstpointer unused)
{
    static const struct {
        const char *sql;
        const char *says;
    } changes[] = {
        {"UPDATE ledger_leg SET amount = amount + 1 WHERE posting = 3 AND leg = 0",
         "posting 3 ('p3'): " BAD_HASH},
        {"UPDATE ledger_leg SET amount = amount * 2 WHERE posting = 7",
         "posting 7 ('p7'): " BAD_HASH},
        {"UPDATE ledger_leg SET account = 'c' WHERE posting = 4 AND leg = 1",
         "posting 4 ('p4'): " BAD_HASH},
        {"UPDATE ledger_leg SET asset = 'IO' WHERE posting = 5", "posting 5 ('p5'): " BAD_HASH},
        {"UPDATE ledger_leg SET asset = 'EUR' WHERE posting = 5", "posting 5 ('p5'): " BAD_LEGS},
        {"UPDATE ledger_leg SET account = 'a' || char(0) WHERE posting = 5 AND leg = 0",
         "posting 5 ('p5'): " BAD_LEGS},
        {"DELETE FROM ledger_leg WHERE posting = 2 AND leg = 1", "posting 2 ('p2'): " BAD_HASH},
        {"DELETE FROM ledger_leg WHERE posting = 2 AND leg = 0", "posting 2 ('p2'): " BAD_LEGS},
        {"DELETE FROM ledger_leg WHERE posting = 8", "posting 8 ('p8'): " BAD_HASH},
        {"DELETE FROM ledger_leg", "posting 1 ('p1'): " BAD_HASH},
        {"INSERT INTO ledger_leg VALUES (6, 2, 'c', 'USDC', 5)", "posting 6 ('p6'): " BAD_HASH},
        {"INSERT INTO ledger_leg VALUES (10, 0, 'c', 'USDC', 5)",
         "posting 10 (''): it is missing, its legs are there"},
        {"INSERT INTO ledger_leg VALUES (0, 0, 'c', 'USDC', 5)", "posting 1 ('p1'): " BAD_LEGS},
    };

    (void)unused;
    fill(fixture);
    unlock(fixture);
    for (size_t i = 0; i < G_N_ELEMENTS(changes); i++)
        check_change(fixture, changes[i].sql, changes[i].says);
}

#define BAD_BALANCE \
    "account 'a' (USDC): its balance is not the sum of its legs; the last postings may be missing"

static void test_changed_balances(Fixture *fixture, gconstpointer unused)
{
    (void)unused;
    fill(fixture);
    unlock(fixture);
    check_change(fixture, "UPDATE ledger_balance SET amount = amount + 1 WHERE account = 'a'",
                 BAD_BALANCE);
    check_change(fixture, "DELETE FROM ledger_balance WHERE account = 'a'",
                 "there are 1 balances on file, the legs make 2");
    check_change(fixture, "INSERT INTO ledger_balance VALUES ('', 'IO', 'c', 1)",
                 "account 'c' (IO): its balance is not the sum of its legs; the last postings may "
                 "be missing");
    check_change(fixture, "INSERT INTO ledger_balance VALUES ('12', 'USDC', 'a', 1)", BAD_BALANCE);
    /* The end cut off cleanly: the chain that is left is whole, the balances tell. */
    check_change(
        fixture,
        "DELETE FROM ledger_posting WHERE seq = 9; DELETE FROM ledger_leg WHERE posting = 9",
        BAD_BALANCE);
}

/* Two postings exchanged: each is whole, the chain is not. */
static void test_exchanged(Fixture *fixture, gconstpointer unused)
{
    (void)unused;
    fill(fixture);
    unlock(fixture);
    exec(fixture, "UPDATE ledger_posting SET seq = 100 WHERE seq = 4;"
                  "UPDATE ledger_posting SET seq = 4 WHERE seq = 5;"
                  "UPDATE ledger_posting SET seq = 5 WHERE seq = 100;"
                  "UPDATE ledger_leg SET posting = 100 WHERE posting = 4;"
                  "UPDATE ledger_leg SET posting = 4 WHERE posting = 5;"
                  "UPDATE ledger_leg SET posting = 5 WHERE posting = 100");
    check_found(fixture, "posting 4 ('p5'): " BAD_HASH);
}

/* Posting goes on above a changed one, which the audit still names; it stops where there is no hash
 * to go on from. */
static void test_later_postings_do_not_hide_it(Fixture *fixture, gconstpointer unused)
{
    (void)unused;
    fill(fixture);
    unlock(fixture);
    exec(fixture, "UPDATE ledger_posting SET memo = 'x' WHERE seq = 9");
    check_posted(fixture, "p10", 1);
    check_found(fixture, "posting 9 ('p9'): " BAD_HASH);
    exec(fixture, "UPDATE ledger_posting SET hash = x'00' WHERE seq = 10");
    g_autoptr(GError) error = NULL;

    g_assert_false(post(fixture, "p11", 1, &error));
    g_assert_error(error, BILLING_ERROR, BILLING_ERROR_AUDIT);
    g_assert_nonnull(strstr(error->message, "changed from outside"));
}

/* One bit of one value, wherever: the posting it is in is named. */
static void test_flipped_bits(Fixture *fixture, gconstpointer unused)
{
    static const char *const columns[] = {"id", "memo", "hash", "at_ms"};

    (void)unused;
    fill(fixture);
    unlock(fixture);
    for (int round = 0; round < 200; round++) {
        int seq = g_test_rand_int_range(1, POSTINGS + 1);
        const char *column = columns[g_test_rand_int_range(0, 4)];
        int bit = g_test_rand_int_range(0, strcmp(column, "hash") == 0 ? 256 : 8);
        g_autoptr(GError) error = NULL;
        g_autofree char *names = g_strdup_printf("posting %d ('", seq);
        g_autofree char *get =
            g_strdup_printf("SELECT %s FROM ledger_posting WHERE seq = %d", column, seq);
        g_autofree char *set =
            g_strdup_printf("UPDATE ledger_posting SET %s = ? WHERE seq = %d", column, seq);
        sqlite3_stmt *from = NULL;
        sqlite3_stmt *to = NULL;
        int64_t postings = 0;

        exec(fixture, "BEGIN");
        sqlite3_prepare_v2(fixture->db, get, -1, &from, NULL);
        sqlite3_prepare_v2(fixture->db, set, -1, &to, NULL);
        g_assert_cmpint(sqlite3_step(from), ==, SQLITE_ROW);
        if (sqlite3_column_type(from, 0) == SQLITE_INTEGER) {
            sqlite3_bind_int64(to, 1, sqlite3_column_int64(from, 0) ^ (sqlite3_int64)(1 << bit));
        } else {
            bool text = sqlite3_column_type(from, 0) == SQLITE_TEXT;
            int size = sqlite3_column_bytes(from, 0);
            g_autofree unsigned char *bytes = g_memdup2(sqlite3_column_blob(from, 0), (gsize)size);

            bytes[bit / 8 % size] ^= (unsigned char)(1 << bit % 8);
            if (text)
                sqlite3_bind_text(to, 1, (const char *)bytes, size, SQLITE_TRANSIENT);
            else
                sqlite3_bind_blob(to, 1, bytes, size, SQLITE_TRANSIENT);
        }
        g_assert_cmpint(sqlite3_step(to), ==, SQLITE_DONE);
        sqlite3_finalize(from);
        sqlite3_finalize(to);
        g_assert_false(ledger_audit(fixture->ledger, &postings, &error));
        g_assert_error(error, BILLING_ERROR, BILLING_ERROR_AUDIT);
        g_assert_true(g_str_has_prefix(error->message, names));
        exec(fixture, "ROLLBACK");
    }
    check_audit(fixture, POSTINGS);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    LEDGER_TEST("/ledger_audit/empty", test_empty);
    LEDGER_TEST("/ledger_audit/changed-postings", test_changed_postings);
    LEDGER_TEST("/ledger_audit/changed-legs", test_changed_legs);
    LEDGER_TEST("/ledger_audit/changed-balances", test_changed_balances);
    LEDGER_TEST("/ledger_audit/exchanged", test_exchanged);
    LEDGER_TEST("/ledger_audit/later-postings", test_later_postings_do_not_hide_it);
    LEDGER_TEST("/ledger_audit/flipped-bits", test_flipped_bits);
    return g_test_run();
}
