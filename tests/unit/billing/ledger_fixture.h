/* SPDX-License-Identifier: Apache-2.0
 *
 * A ledger in a folder of its own, for the tests of ledger*.c.
 */
#ifndef TESTS_LEDGER_FIXTURE_H
#define TESTS_LEDGER_FIXTURE_H

#include "billing/billing.h"

#include <glib/gstdio.h>

typedef struct {
    char *dir;
    char *path;
    sqlite3 *db;
    Ledger *ledger;
} Fixture;

static inline sqlite3 *open_db(const char *path, int flags)
{
    sqlite3 *db = NULL;

    g_assert_cmpint(sqlite3_open_v2(path, &db, flags, NULL), ==, SQLITE_OK);
    return db;
}

static inline void reopen(Fixture *fixture, int flags)
{
    g_autoptr(GError) error = NULL;

    g_clear_pointer(&fixture->ledger, ledger_close);
    g_assert_cmpint(sqlite3_close(fixture->db), ==, SQLITE_OK);
    fixture->db = open_db(fixture->path, flags);
    fixture->ledger = ledger_open(fixture->db, &error);
    g_assert_no_error(error);
}

static inline void exec(Fixture *fixture, const char *sql)
{
    char *message = NULL;

    sqlite3_exec(fixture->db, sql, NULL, NULL, &message);
    g_assert_cmpstr(message, ==, NULL);
}

static inline void set_up(Fixture *fixture, gconstpointer unused)
{
    (void)unused;
    fixture->dir = g_dir_make_tmp("drover-ledger-XXXXXX", NULL);
    fixture->path = g_build_filename(fixture->dir, "ledger.db", NULL);
    reopen(fixture, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE);
    exec(fixture, "PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF");
}

static inline void tear_down(Fixture *fixture, gconstpointer unused)
{
    (void)unused;
    ledger_close(fixture->ledger);
    g_assert_cmpint(sqlite3_close(fixture->db), ==, SQLITE_OK); /* no statement was left open */
    for (size_t i = 0; i < 3; i++) {
        g_autofree char *name =
            g_strconcat(fixture->path, (const char *[]){"", "-wal", "-shm"}[i], NULL);

        g_unlink(name);
    }
    g_rmdir(fixture->dir);
    g_free(fixture->path);
    g_free(fixture->dir);
}

/* The number that `sql` gives. */
static inline int64_t number(Fixture *fixture, const char *sql)
{
    sqlite3_stmt *statement = NULL;
    int64_t value = 0;

    g_assert_cmpint(sqlite3_prepare_v2(fixture->db, sql, -1, &statement, NULL), ==, SQLITE_OK);
    g_assert_cmpint(sqlite3_step(statement), ==, SQLITE_ROW);
    value = sqlite3_column_int64(statement, 0);
    sqlite3_finalize(statement);
    return value;
}

static inline void check_audit(Fixture *fixture, int64_t expected)
{
    g_autoptr(GError) error = NULL;
    int64_t postings = -1;

    g_assert_true(ledger_audit(fixture->ledger, &postings, &error));
    g_assert_no_error(error);
    g_assert_cmpint(postings, ==, expected);
}

static inline int64_t balance(Fixture *fixture, const char *account, MoneyAsset asset)
{
    g_autoptr(GError) error = NULL;
    int64_t amount = 77;

    g_assert_true(ledger_get_balance(fixture->ledger, account, asset, &amount, &error));
    g_assert_no_error(error);
    return amount;
}

static inline bool post_legs(Fixture *fixture, const char *id, const Leg *legs, size_t count,
                             GError **error)
{
    const Posting posting = {id, 1700000000000, "memo", legs, count};

    return ledger_post(fixture->ledger, &posting, 1, error);
}

/* `amount` USDC from a to b. */
static inline bool post(Fixture *fixture, const char *id, int64_t amount, GError **error)
{
    const Leg legs[] = {{"a", MONEY_USDC, amount}, {"b", MONEY_USDC, -amount}};

    return post_legs(fixture, id, legs, 2, error);
}

static inline void check_posted(Fixture *fixture, const char *id, int64_t amount)
{
    g_autoptr(GError) error = NULL;

    g_assert_true(post(fixture, id, amount, &error));
    g_assert_no_error(error);
}

#define LEDGER_TEST(path, function) g_test_add(path, Fixture, NULL, set_up, function, tear_down)

#endif
