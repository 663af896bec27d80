/* SPDX-License-Identifier: Apache-2.0 */
#include "fixture.h"

#include <math.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

typedef struct {
    char *dir;
    char *path;
    Db *db;
} Fixture;

static void set_up(Fixture *fixture, gconstpointer data)
{
    (void)data;
    fixture->dir = fixture_make_dir();
    fixture->path = g_build_filename(fixture->dir, "t.db", NULL);
    fixture->db = db_open(fixture->path, 100, NULL);
    g_assert_nonnull(fixture->db);
    g_assert_true(db_run(fixture->db, "CREATE TABLE t (a, b)", NULL));
}

static void tear_down(Fixture *fixture, gconstpointer data)
{
    (void)data;
    db_close(fixture->db);
    g_free(fixture->path);
    fixture_remove_dir(fixture->dir);
}

static int64_t count(Db *db)
{
    g_autoptr(DbQuery) query = db_query(db, "SELECT count(*) FROM t", NULL);

    g_assert_cmpint(db_step(db, query, NULL), ==, DB_ROW);
    return sqlite3_column_int64(query, 0);
}

static void insert(Db *db)
{
    g_assert_true(db_run(db, "INSERT INTO t VALUES (1, 2)", NULL));
}

static void test_rolls_back(Fixture *fixture, gconstpointer data)
{
    (void)data;
    {
        g_autoptr(DbTx) tx = db_begin(fixture->db, true, NULL);

        insert(fixture->db);
        g_assert_cmpint(count(fixture->db), ==, 1);
        g_assert_nonnull(tx);
    }
    g_assert_cmpint(count(fixture->db), ==, 0);
}

/* An inner one that fails leaves the outer one as it was before it. */
static void test_nested(Fixture *fixture, gconstpointer data)
{
    (void)data;
    {
        g_autoptr(DbTx) outer = db_begin(fixture->db, true, NULL);

        insert(fixture->db);
        {
            g_autoptr(DbTx) lost = db_begin(fixture->db, true, NULL);
            g_autoptr(DbTx) kept_in_lost = db_begin(fixture->db, true, NULL);

            insert(fixture->db);
            g_assert_true(db_commit(kept_in_lost, NULL));
            g_assert_nonnull(lost);
        }
        g_assert_cmpint(count(fixture->db), ==, 1);
        {
            g_autoptr(DbTx) kept = db_begin(fixture->db, false, NULL);

            insert(fixture->db);
            g_assert_true(db_commit(kept, NULL));
        }
        g_assert_true(db_commit(outer, NULL));
    }
    g_assert_cmpint(count(fixture->db), ==, 2);
}

static void test_nothing_is_something(Fixture *fixture, gconstpointer data)
{
    g_autoptr(DbQuery) in = db_query(fixture->db, "INSERT INTO t VALUES (?, ?)", NULL);
    g_autoptr(DbQuery) out = NULL;
    g_autofree char *text = NULL;

    (void)data;
    db_bind_text(in, 1, NULL);
    sqlite3_bind_double(in, 2, (double)NAN);
    g_assert_true(db_finish(fixture->db, in, NULL));
    out = db_query(fixture->db, "SELECT a, b FROM t", NULL);
    g_assert_cmpint(db_step(fixture->db, out, NULL), ==, DB_ROW);
    text = db_column_text(out, 0);
    g_assert_null(text);
    g_assert_true(isnan(db_column_double(out, 1)));
}

/* The cache gives a statement back clean. */
static void test_cache(Fixture *fixture, gconstpointer data)
{
    (void)data;
    for (int i = 0; i < 3; i++) {
        g_autoptr(DbQuery) query = db_query(fixture->db, "SELECT ?", NULL);

        g_assert_cmpint(db_step(fixture->db, query, NULL), ==, DB_ROW);
        g_assert_cmpint(sqlite3_column_type(query, 0), ==, SQLITE_NULL);
        sqlite3_reset(query);
        sqlite3_bind_int(query, 1, 7);
    }
}

static void test_locked_by_another(Fixture *fixture, gconstpointer data)
{
    g_autoptr(Db) other = db_open(fixture->path, 100, NULL);
    g_autoptr(DbTx) mine = db_begin(fixture->db, true, NULL);
    g_autoptr(GError) error = NULL;

    (void)data;
    g_assert_nonnull(mine);
    g_assert_null(db_begin(other, true, &error));
    g_assert_error(error, STORE_ERROR, STORE_ERROR_BUSY);
    g_assert_nonnull(strstr(error->message, "t.db"));
    g_assert_nonnull(strstr(error->message, "another drover process"));
    /* Reading goes on. */
    g_assert_cmpint(count(other), ==, 0);
}

/* A lazy commit is there after the death of the process that made it. */
static void test_lazy_survives_death(Fixture *fixture, gconstpointer data)
{
    pid_t pid = fork();

    (void)data;
    if (pid == 0) {
        Db *mine = db_open(fixture->path, 1000, NULL);
        DbTx *tx = db_begin(mine, false, NULL);

        insert(mine);
        _exit(db_commit(tx, NULL) ? 0 : 1);
    }
    {
        int status;

        g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
        g_assert_cmpint(status, ==, 0);
    }
    g_assert_cmpint(count(fixture->db), ==, 1);
}

static void test_bad_sql_is_an_error(Fixture *fixture, gconstpointer data)
{
    g_autoptr(GError) error = NULL;

    (void)data;
    g_assert_null(db_query(fixture->db, "SELECT 1 FROM nowhere", &error));
    g_assert_error(error, STORE_ERROR, STORE_ERROR_DB);
    g_assert_nonnull(strstr(error->message, "nowhere"));
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*run)(Fixture *fixture, gconstpointer data);
    } tests[] = {
        {"rolls-back", test_rolls_back},
        {"nested", test_nested},
        {"nothing-is-something", test_nothing_is_something},
        {"cache", test_cache},
        {"locked-by-another", test_locked_by_another},
        {"lazy-survives-death", test_lazy_survives_death},
        {"bad-sql-is-an-error", test_bad_sql_is_an_error},
    };

    g_test_init(&argc, &argv, NULL);
    for (size_t i = 0; i < G_N_ELEMENTS(tests); i++) {
        g_autofree char *path = g_strdup_printf("/db/%s", tests[i].name);

        g_test_add(path, Fixture, NULL, set_up, tests[i].run, tear_down);
    }
    return g_test_run();
}
