/* SPDX-License-Identifier: Apache-2.0
 *
 * What the database refuses by itself, and what a failing or dying one leaves behind.
 */
#include "tests/unit/billing/ledger_fixture.h"

#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define KILLS 60

/* ---- what no program can write ---- */

static void check_sql_refused(Fixture *fixture, const char *sql, const char *says)
{
    char *message = NULL;

    sqlite3_exec(fixture->db, sql, NULL, NULL, &message);
    g_assert_nonnull(message);
    if (!strstr(message, says))
        g_error("%s: '%s' instead of '%s'", sql, message, says);
    sqlite3_free(message);
}

static void test_append_only(Fixture *fixture, gconstpointer unused)
{
    static const char *const changes[] = {
        "UPDATE ledger_posting SET memo = ''",
        "DELETE FROM ledger_posting",
        "UPDATE ledger_leg SET amount = 1",
        "DELETE FROM ledger_leg WHERE posting = 1",
        "UPDATE ledger_fee SET bp = 1",
        "DELETE FROM ledger_fee",
        /* A posting out of line, or in another's place. */
        "INSERT INTO ledger_posting VALUES (9, 'x', '', 0, '', zeroblob(32))",
        "INSERT OR REPLACE INTO ledger_posting VALUES (1, 'x', '', 0, '', zeroblob(32))",
        "INSERT OR REPLACE INTO ledger_posting VALUES (3, 'p1', '', 0, '', zeroblob(32))",
        /* A leg for an old posting, or in another's place. */
        "INSERT INTO ledger_leg VALUES (1, 2, 'a', 'USDC', 1)",
        "INSERT OR REPLACE INTO ledger_leg VALUES (2, 0, 'a', 'USDC', 1)",
        "INSERT OR REPLACE INTO ledger_fee VALUES (1, 0, 'USDC', 'renter', 'service', 0)",
    };

    (void)unused;
    check_posted(fixture, "p1", 1);
    check_posted(fixture, "p2", 2);
    for (size_t i = 0; i < G_N_ELEMENTS(changes); i++)
        check_sql_refused(fixture, changes[i], "is append-only");
    check_audit(fixture, 2);
}

static void test_checks(Fixture *fixture, gconstpointer unused)
{
    static const char *const checked[] = {
        "INSERT INTO ledger_posting VALUES (2, '', '', 0, '', zeroblob(32))",
        "INSERT INTO ledger_posting VALUES (2, 'x', '', 0, '', zeroblob(31))",
        "INSERT INTO ledger_leg VALUES (1, 2, 'a', 'EUR', 1)",
        "INSERT INTO ledger_leg VALUES (1, 2, 'a', 'USDC', 0)",
        "INSERT INTO ledger_leg VALUES (1, 2, '', 'USDC', 1)",
        "INSERT INTO ledger_leg VALUES (2, -1, 'a', 'USDC', 1)",
        "INSERT INTO ledger_fee VALUES (2, 0, 'USDC', 'renter', 'service', 10001)",
        "INSERT INTO ledger_fee VALUES (2, 0, 'USDC', 'renter', 'service', -1)",
        "INSERT INTO ledger_fee VALUES (2, 0, 'USDC', 'other', 'service', 0)",
        "INSERT INTO ledger_fee VALUES (0, 0, 'USDC', 'renter', 'service', 0)",
    };

    (void)unused;
    check_posted(fixture, "p1", 1);
    for (size_t i = 0; i < G_N_ELEMENTS(checked); i++)
        check_sql_refused(fixture, checked[i], "CHECK constraint failed");
    check_sql_refused(fixture, "INSERT INTO ledger_leg VALUES (1, 2, 'a', 'USDC', 0.5)",
                      "cannot store REAL value in INTEGER column");
    check_sql_refused(fixture, "INSERT INTO ledger_leg VALUES (1, 2, 'a', 'USDC', 'much')",
                      "cannot store TEXT value in INTEGER column");
    check_audit(fixture, 1);
}

static void test_fees_seeded(Fixture *fixture, gconstpointer unused)
{
    (void)unused;
    g_assert_cmpint(number(fixture, "SELECT count(*) FROM ledger_fee"), ==, 2);
    g_assert_cmpint(number(fixture, "SELECT bp FROM ledger_fee WHERE version = 1 AND asset = 'USDC'"
                                    " AND side = 'renter' AND kind = 'service'"),
                    ==, 200);
    g_assert_cmpint(number(fixture, "SELECT bp FROM ledger_fee WHERE version = 1 AND asset = 'IO'"
                                    " AND side = 'renter' AND kind = 'service'"),
                    ==, 0);
    reopen(fixture, SQLITE_OPEN_READWRITE);
    g_assert_cmpint(number(fixture, "SELECT count(*) FROM ledger_fee"), ==, 2);
}

/* ---- databases that cannot ---- */

static void check_post_fails(Fixture *fixture, const char *id, const char *says)
{
    g_autoptr(GError) error = NULL;

    g_assert_false(post(fixture, id, 1, &error));
    g_assert_error(error, BILLING_ERROR, BILLING_ERROR_DB);
    if (!strstr(error->message, says))
        g_error("'%s' instead of '%s'", error->message, says);
    g_assert_true(sqlite3_get_autocommit(fixture->db));
}

static void test_read_only(Fixture *fixture, gconstpointer unused)
{
    (void)unused;
    check_posted(fixture, "1", 1);
    reopen(fixture, SQLITE_OPEN_READONLY);
    check_audit(fixture, 1);
    g_assert_cmpint(balance(fixture, "a", MONEY_USDC), ==, 1);
    check_post_fails(fixture, "2", "writable for this user");
    check_audit(fixture, 1);
    reopen(fixture, SQLITE_OPEN_READWRITE);
    exec(fixture, "PRAGMA query_only = ON");
    check_post_fails(fixture, "2", "writable for this user");
    exec(fixture, "PRAGMA query_only = OFF");
    check_posted(fixture, "2", 1);
    check_audit(fixture, 2);
}

/* A read-only database without the tables: they cannot be made, and half of them are not there. */
static void test_read_only_empty(Fixture *fixture, gconstpointer unused)
{
    g_autoptr(GError) error = NULL;
    sqlite3 *db = open_db(":memory:", SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE);

    (void)fixture;
    (void)unused;
    sqlite3_exec(db, "PRAGMA query_only = ON", NULL, NULL, NULL);
    g_assert_null(ledger_open(db, &error));
    g_assert_error(error, BILLING_ERROR, BILLING_ERROR_DB);
    g_assert_cmpstr(error->message, ==,
                    "ledger in memory: cannot begin to write: attempt to write a readonly "
                    "database (make the file and its folder writable for this user and repeat)");
    g_clear_error(&error);
    sqlite3_exec(db, "PRAGMA query_only = OFF", NULL, NULL, NULL);
    ledger_close(ledger_open(db, &error));
    g_assert_no_error(error);
    g_assert_cmpint(sqlite3_close(db), ==, SQLITE_OK);
}

/* Posts until the disk is full; the number that were posted. */
static int fill_up(Fixture *fixture, GError **error)
{
    for (int i = 0; i < 100000; i++) {
        g_autofree char *id = g_strdup_printf("fill-%d", i);

        if (!post(fixture, id, 1, error))
            return i;
    }
    g_assert_not_reached();
}

static void limit_pages(Fixture *fixture, int64_t more)
{
    g_autofree char *sql = g_strdup_printf("PRAGMA max_page_count = %" G_GINT64_FORMAT,
                                           number(fixture, "PRAGMA page_count") + more);

    exec(fixture, sql);
}

static void test_disk_full(Fixture *fixture, gconstpointer unused)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *failed = NULL;
    int posted = 0;

    (void)unused;
    limit_pages(fixture, 4);
    posted = fill_up(fixture, &error);
    g_assert_error(error, BILLING_ERROR, BILLING_ERROR_DB);
    g_assert_nonnull(strstr(error->message, "make room on the disk"));
    g_assert_true(sqlite3_get_autocommit(fixture->db));
    g_assert_cmpint(posted, >, 0);
    check_audit(fixture, posted);
    g_assert_cmpint(balance(fixture, "a", MONEY_USDC), ==, posted);
    limit_pages(fixture, 100);
    failed = g_strdup_printf("fill-%d", posted);
    check_posted(fixture, failed, 1);
    check_audit(fixture, posted + 1);
}

/* In the caller's transaction: what it holds after a failure can be committed or rolled back whole.
 */
static void test_disk_full_in_transaction(Fixture *fixture, gconstpointer unused)
{
    g_autoptr(GError) error = NULL;
    int posted = 0;

    (void)unused;
    check_posted(fixture, "before", 1);
    limit_pages(fixture, 4);
    exec(fixture, "BEGIN IMMEDIATE");
    posted = fill_up(fixture, &error);
    g_assert_error(error, BILLING_ERROR, BILLING_ERROR_DB);
    if (sqlite3_get_autocommit(fixture->db)) { /* SQLite has rolled back all of it */
        check_audit(fixture, 1);
    } else {
        check_audit(fixture, posted + 1);
        exec(fixture, "ROLLBACK");
        check_audit(fixture, 1);
    }
}

static void test_newer_schema(Fixture *fixture, gconstpointer unused)
{
    g_autoptr(GError) error = NULL;

    (void)unused;
    exec(fixture, "UPDATE ledger_schema SET version = 2");
    g_assert_null(ledger_open(fixture->db, &error));
    g_assert_error(error, BILLING_ERROR, BILLING_ERROR_DB);
    g_assert_cmpstr(error->message, ==,
                    "the ledger's tables are of version 2, this drover knows version 1 (use the "
                    "drover that wrote them)");
}

static void test_other_fees(Fixture *fixture, gconstpointer unused)
{
    g_autoptr(GError) error = NULL;

    (void)unused;
    exec(fixture,
         "DROP TRIGGER ledger_fee_update; UPDATE ledger_fee SET bp = 1 WHERE asset = 'IO'");
    g_assert_null(ledger_open(fixture->db, &error));
    g_assert_error(error, BILLING_ERROR, BILLING_ERROR_CONFLICT);
}

static void test_missing_table(Fixture *fixture, gconstpointer unused)
{
    g_autoptr(GError) error = NULL;

    (void)unused;
    exec(fixture, "DROP TABLE ledger_leg");
    g_assert_null(ledger_open(fixture->db, &error));
    g_assert_error(error, BILLING_ERROR, BILLING_ERROR_DB);
    g_assert_nonnull(strstr(error->message, "no such table"));
}

static void test_not_a_database(Fixture *fixture, gconstpointer unused)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *path = g_build_filename(fixture->dir, "other.db", NULL);
    sqlite3 *db = NULL;

    (void)unused;
    g_assert_true(
        g_file_set_contents(path, "this is no database, whatever its name says", -1, NULL));
    db = open_db(path, SQLITE_OPEN_READWRITE);
    g_assert_null(ledger_open(db, &error));
    g_assert_error(error, BILLING_ERROR, BILLING_ERROR_DB);
    g_assert_nonnull(strstr(error->message, "restore it from a copy"));
    sqlite3_close(db);
    g_unlink(path);
}

/* ---- interrupted ---- */

static int stop_from(void *data)
{
    int *left = data;

    return --*left <= 0;
}

/* SQLite is stopped at its first instruction, its second and so on, and stays stopped until the
 * call returns: the rollback too. What is there afterwards is the posting or nothing of it. */
static void test_interrupted_anywhere(Fixture *fixture, gconstpointer unused)
{
    int64_t postings = 0;
    bool posted = false;

    (void)unused;
    for (int after = 1; !posted; after++) {
        g_autofree char *id = g_strdup_printf("p%d", after);
        g_autoptr(GError) error = NULL;
        int64_t found = 0;
        int left = after;

        sqlite3_progress_handler(fixture->db, 1, stop_from, &left);
        posted = post(fixture, id, 1, &error);
        sqlite3_progress_handler(fixture->db, 0, NULL, NULL);
        if (!posted)
            g_assert_error(error, BILLING_ERROR, BILLING_ERROR_DB);
        g_assert_true(ledger_audit(fixture->ledger, &found, NULL));
        g_assert_true(sqlite3_get_autocommit(fixture->db));
        /* COMMIT may be told as interrupted after it has taken effect. */
        g_assert_true(found == postings + 1 || (!posted && found == postings));
        check_posted(fixture, id, 1);
        check_audit(fixture, ++postings);
        g_assert_cmpint(balance(fixture, "a", MONEY_USDC), ==, postings);
    }
    g_assert_cmpint(postings, >, 50); /* it did take many instructions */
}

/* The same in a transaction of the caller, who takes it back whenever a call in it fails. */
static void test_interrupted_in_transaction(Fixture *fixture, gconstpointer unused)
{
    bool posted = false;

    (void)unused;
    for (int after = 1; !posted; after++) {
        int left = after;

        exec(fixture, "BEGIN IMMEDIATE");
        check_posted(fixture, "first", 1);
        sqlite3_progress_handler(fixture->db, 1, stop_from, &left);
        posted = post(fixture, "second", 1, NULL);
        sqlite3_progress_handler(fixture->db, 0, NULL, NULL);
        if (posted)
            exec(fixture, "COMMIT");
        else if (!sqlite3_get_autocommit(fixture->db))
            exec(fixture, "ROLLBACK");
        check_audit(fixture, posted ? 2 : 0);
    }
}

#define OPENERS 6

/* Several processes at once find no tables; each ends with the same ledger and posts to it. */
static void test_open_at_once(Fixture *fixture, gconstpointer unused)
{
    g_autofree char *path = g_build_filename(fixture->dir, "new.db", NULL);
    Fixture opened = {.path = path};
    pid_t pids[OPENERS];

    (void)unused;
    for (int i = 0; i < OPENERS; i++) {
        pids[i] = fork();
        g_assert_cmpint(pids[i], >=, 0);
        if (pids[i] == 0) {
            const char *id = (const char *[]){"1", "2", "3", "4", "5", "6"}[i];

            opened.db = open_db(path, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE);
            sqlite3_busy_timeout(opened.db, 60000);
            opened.ledger = ledger_open(opened.db, NULL);
            _exit(opened.ledger && post(&opened, id, 1, NULL) ? 0 : 1);
        }
    }
    for (int i = 0; i < OPENERS; i++) {
        int status = 0;

        g_assert_cmpint(waitpid(pids[i], &status, 0), ==, pids[i]);
        g_assert_cmpint(status, ==, 0);
    }
    reopen(&opened, SQLITE_OPEN_READWRITE);
    check_audit(&opened, OPENERS);
    ledger_close(opened.ledger);
    sqlite3_close(opened.db);
    g_unlink(path);
}

/* ---- kill -9 ---- */

typedef enum { KILL_AT_INSTRUCTION, KILL_BEFORE_COMMIT, KILL_AFTER_COMMIT, KILL_FROM_OUTSIDE } Kill;

/* The job after `step` steps: its leases grow by fixed amounts. */
static Invoice *invoice_at(int step)
{
    const MeterLease leases[] = {
        {"1", "12", 1, "s1", "n", "d1", "H100", 2200000, 150000, 0, step * INT64_C(1234), false},
        {"2", "12", 1, "s2", "n", "d2", "A100", 1290000, 150000, 0, step * INT64_C(777), false},
    };

    return invoice_build("12", "gpt", MONEY_USDC, leases, 2, NULL);
}

static int count_down(void *data)
{
    int *left = data;

    if (--*left <= 0)
        kill(getpid(), SIGKILL);
    return 0;
}

static int count_down_wal(void *data, sqlite3 *db, const char *name, int pages)
{
    (void)db;
    (void)name;
    (void)pages;
    return count_down(data);
}

/* The child: posts step after step, tells each one that is acknowledged, and is killed in between.
 */
static void post_until_killed(const char *path, int step, Kill way, int after, int fd)
{
    sqlite3 *db = open_db(path, SQLITE_OPEN_READWRITE);
    Ledger *ledger = ledger_open(db, NULL);

    if (!ledger)
        _exit(1);
    if (way == KILL_AT_INSTRUCTION)
        sqlite3_progress_handler(db, 1, count_down, &after);
    else if (way == KILL_BEFORE_COMMIT)
        sqlite3_commit_hook(db, count_down, &after);
    else if (way == KILL_AFTER_COMMIT)
        sqlite3_wal_hook(db, count_down_wal, &after);
    for (;;) {
        g_autoptr(Invoice) invoice = invoice_at(++step);

        if (!ledger_post_invoice(ledger, invoice, "default", step, NULL) ||
            write(fd, &step, sizeof step) != sizeof step)
            _exit(1);
    }
}

/* Runs a child from `step` and kills it; the last step it was told is posted. */
static int run_and_kill(const char *path, int step, Kill way)
{
    int after =
        way == KILL_AT_INSTRUCTION ? g_test_rand_int_range(1, 4000) : g_test_rand_int_range(1, 8);
    int acknowledged = step;
    int status = 0;
    int fds[2];
    pid_t pid = 0;

    g_assert_cmpint(pipe(fds), ==, 0);
    pid = fork();
    g_assert_cmpint(pid, >=, 0);
    if (pid == 0) {
        close(fds[0]);
        post_until_killed(path, step, way, after, fds[1]);
    }
    close(fds[1]);
    while (read(fds[0], &step, sizeof step) == sizeof step) {
        acknowledged = step;
        if (way == KILL_FROM_OUTSIDE && --after <= 0)
            kill(pid, SIGKILL);
    }
    close(fds[0]);
    g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
    g_assert_true(WIFSIGNALED(status));
    g_assert_cmpint(WTERMSIG(status), ==, SIGKILL);
    return acknowledged;
}

/* The step the ledger has come to; every account says the same one. */
static int step_posted(Fixture *fixture, int acknowledged)
{
    int64_t total = balance(fixture, "renter/default", MONEY_USDC);

    for (int step = acknowledged;; step++) {
        g_autoptr(Invoice) invoice = invoice_at(step);

        g_assert_cmpint(invoice->total, <=, total); /* nothing acknowledged is lost */
        if (invoice->total < total)
            continue;
        g_assert_cmpint(balance(fixture, "platform/fees", MONEY_USDC), ==, -invoice->fee);
        g_assert_cmpint(balance(fixture, "supplier/s1", MONEY_USDC) +
                            balance(fixture, "supplier/s2", MONEY_USDC),
                        ==, -invoice->gross);
        return step;
    }
}

static void test_kill(Fixture *fixture, gconstpointer unused)
{
    int step = 0;

    (void)unused;
    for (int round = 0; round < KILLS; round++) {
        Kill way = (Kill)(round % 4);
        int acknowledged = 0;
        int posted = 0;

        ledger_close(g_steal_pointer(&fixture->ledger));
        g_assert_cmpint(sqlite3_close(fixture->db), ==, SQLITE_OK);
        fixture->db = NULL; /* no connection crosses the fork */
        acknowledged = run_and_kill(fixture->path, step, way);
        reopen(fixture, SQLITE_OPEN_READWRITE);
        posted = step_posted(fixture, acknowledged);
        if (way == KILL_AFTER_COMMIT) /* durable, though the child never knew */
            g_assert_cmpint(posted, ==, acknowledged + 1);
        else if (way != KILL_FROM_OUTSIDE) /* there the parent may be slow */
            g_assert_cmpint(posted, <=, acknowledged + 1);
        check_audit(fixture, posted); /* a posting a step: none twice, none half */
        step = acknowledged;          /* and the last one is repeated by the next child */
    }
    g_test_message("%d kills, %d postings", KILLS, step);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    LEDGER_TEST("/ledger_db/append-only", test_append_only);
    LEDGER_TEST("/ledger_db/checks", test_checks);
    LEDGER_TEST("/ledger_db/fees-seeded", test_fees_seeded);
    LEDGER_TEST("/ledger_db/read-only", test_read_only);
    LEDGER_TEST("/ledger_db/read-only-empty", test_read_only_empty);
    LEDGER_TEST("/ledger_db/disk-full", test_disk_full);
    LEDGER_TEST("/ledger_db/disk-full-in-transaction", test_disk_full_in_transaction);
    LEDGER_TEST("/ledger_db/newer-schema", test_newer_schema);
    LEDGER_TEST("/ledger_db/other-fees", test_other_fees);
    LEDGER_TEST("/ledger_db/missing-table", test_missing_table);
    LEDGER_TEST("/ledger_db/not-a-database", test_not_a_database);
    LEDGER_TEST("/ledger_db/interrupted", test_interrupted_anywhere);
    LEDGER_TEST("/ledger_db/interrupted/in-transaction", test_interrupted_in_transaction);
    LEDGER_TEST("/ledger_db/open-at-once", test_open_at_once);
    LEDGER_TEST("/ledger_db/kill", test_kill);
    return g_test_run();
}
