/* SPDX-License-Identifier: Apache-2.0
 *
 * Durability: WAL with synchronous=FULL syncs the log at each commit; with NORMAL the commit is in
 * the page cache, which outlives kill -9 of every process of ours, and is synced along with the
 * next FULL commit or checkpoint (https://www.sqlite.org/pragma.html#pragma_synchronous). So the
 * order of commits is kept whatever their degree: after a power cut a lazy commit may be missing,
 * but then everything after it is missing too.
 *
 * Writers begin IMMEDIATE: what a transaction reads cannot change before it commits, and waiting
 * for another process happens at BEGIN only.
 */
#include "runner/queue/db.h"

#include "runner/queue/store.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <sys/stat.h>
#include <unistd.h>

struct Db {
    sqlite3 *handle;
    char *path;
    GHashTable *queries; /* sql -> DbQuery */
    int busy_ms;
    int depth;   /* open transactions, one inside the other */
    int durable; /* the degree set now; -1: not set yet */
};

struct DbTx {
    Db *db;
    bool open;
};

static StoreError error_of(int code, int system_errno)
{
    switch (code & 0xff) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return STORE_ERROR_BUSY;
    case SQLITE_FULL:
        return STORE_ERROR_FULL;
    case SQLITE_READONLY:
    case SQLITE_CANTOPEN:
    case SQLITE_PERM:
        return STORE_ERROR_DENIED;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return STORE_ERROR_CORRUPT;
    case SQLITE_IOERR:
        return system_errno == ENOSPC || system_errno == EDQUOT ? STORE_ERROR_FULL : STORE_ERROR_DB;
    default:
        return STORE_ERROR_DB;
    }
}

static const char *mend_of(StoreError code)
{
    switch (code) {
    case STORE_ERROR_BUSY:
        return "; another drover process holds it: try again";
    case STORE_ERROR_FULL:
        return "; free some space on its file system and try again";
    case STORE_ERROR_DENIED:
        return "; make it writable for you, or set DROVER_STATE_DIR to another folder";
    case STORE_ERROR_CORRUPT:
        return "; move it away or put back a copy, or set DROVER_STATE_DIR to another folder";
    default:
        return "";
    }
}

bool db_fail(Db *db, const char *doing, GError **error)
{
    int extended = db->handle ? sqlite3_extended_errcode(db->handle) : SQLITE_NOMEM;
    StoreError code = error_of(extended, db->handle ? sqlite3_system_errno(db->handle) : 0);

    g_set_error(error, STORE_ERROR, (int)code, "%s: %s: %s%s", db->path, doing,
                db->handle ? sqlite3_errmsg(db->handle) : "out of memory", mend_of(code));
    return false;
}

/* SQLite gives -wal and -shm the mode of the database, so it must be right from the first moment.
 */
static bool create_private(const char *path, GError **error)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    struct stat status;
    bool ok = fd >= 0 && fstat(fd, &status) == 0 &&
              ((status.st_mode & 077) == 0 || fchmod(fd, 0600) == 0);

    if (!ok) {
        int saved = errno;
        bool denied = saved == EACCES || saved == EPERM || saved == EROFS || saved == ELOOP;
        StoreError code = denied ? STORE_ERROR_DENIED : STORE_ERROR_SYSTEM;

        if (saved == ENOSPC || saved == EDQUOT)
            code = STORE_ERROR_FULL;
        g_set_error(error, STORE_ERROR, (int)code, "%s: %s%s", path, g_strerror(saved),
                    mend_of(code));
    }
    if (fd >= 0)
        close(fd);
    return ok;
}

/* The first process switches the file to WAL; another that comes at that very moment is told BUSY
 * without a wait, whatever the timeout, so the wait is here. */
static bool set_wal(Db *db, GError **error)
{
    int64_t give_up = g_get_monotonic_time() + (int64_t)db->busy_ms * 1000;
    int code;

    do {
        code = sqlite3_exec(db->handle, "PRAGMA journal_mode=WAL", NULL, NULL, NULL);
        if (code == SQLITE_BUSY)
            g_usleep(2000);
    } while (code == SQLITE_BUSY && g_get_monotonic_time() < give_up);
    return code == SQLITE_OK || db_fail(db, "cannot open", error);
}

Db *db_open(const char *path, int busy_ms, GError **error)
{
    g_autoptr(Db) db = g_new0(Db, 1);
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_PRIVATECACHE |
                SQLITE_OPEN_EXRESCODE;

    db->path = g_strdup(path);
    db->busy_ms = busy_ms;
    db->durable = -1;
    db->queries = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, NULL);
    if (!create_private(path, error))
        return NULL;
    if (sqlite3_open_v2(path, &db->handle, flags, NULL) != SQLITE_OK) {
        db_fail(db, "cannot open", error);
        return NULL;
    }
    sqlite3_busy_timeout(db->handle, busy_ms);
    sqlite3_db_config(db->handle, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    sqlite3_db_config(db->handle, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
    if (!set_wal(db, error) || !db_run(db, "PRAGMA foreign_keys=ON", error))
        return NULL;
    return g_steal_pointer(&db);
}

void db_close(Db *db)
{
    GHashTableIter iter;
    gpointer query;

    if (!db)
        return;
    g_hash_table_iter_init(&iter, db->queries);
    while (g_hash_table_iter_next(&iter, NULL, &query))
        sqlite3_finalize(query);
    g_hash_table_unref(db->queries);
    sqlite3_close(db->handle);
    g_free(db->path);
    g_free(db);
}

sqlite3 *db_get_handle(Db *db)
{
    return db->handle;
}

const char *db_get_path(const Db *db)
{
    return db->path;
}

bool db_run(Db *db, const char *sql, GError **error)
{
    if (sqlite3_exec(db->handle, sql, NULL, NULL, NULL) != SQLITE_OK)
        return db_fail(db, "cannot write", error);
    return true;
}

DbQuery *db_query(Db *db, const char *sql, GError **error)
{
    DbQuery *query = g_hash_table_lookup(db->queries, sql);

    if (query) {
        sqlite3_reset(query);
        sqlite3_clear_bindings(query);
        return query;
    }
    if (sqlite3_prepare_v3(db->handle, sql, -1, SQLITE_PREPARE_PERSISTENT, &query, NULL) !=
        SQLITE_OK) {
        db_fail(db, "cannot read", error);
        return NULL;
    }
    /* The statement keeps its own copy of the text, which serves as the key. */
    g_hash_table_insert(db->queries, (gpointer)(uintptr_t)sqlite3_sql(query), query);
    return query;
}

DbStep db_step(Db *db, DbQuery *query, GError **error)
{
    switch (sqlite3_step(query)) {
    case SQLITE_ROW:
        return DB_ROW;
    case SQLITE_DONE:
        return DB_DONE;
    default:
        db_fail(db, sqlite3_stmt_readonly(query) ? "cannot read" : "cannot write", error);
        return DB_FAILED;
    }
}

bool db_finish(Db *db, DbQuery *query, GError **error)
{
    DbStep step = db_step(db, query, error);

    sqlite3_reset(query);
    return step != DB_FAILED;
}

void db_query_reset(DbQuery *query)
{
    sqlite3_reset(query);
}

void db_bind_text(DbQuery *query, int index, const char *text)
{
    sqlite3_bind_text(query, index, text, -1, SQLITE_TRANSIENT);
}

char *db_column_text(DbQuery *query, int column)
{
    return g_strdup((const char *)sqlite3_column_text(query, column));
}

double db_column_double(DbQuery *query, int column)
{
    if (sqlite3_column_type(query, column) == SQLITE_NULL)
        return (double)NAN;
    return sqlite3_column_double(query, column);
}

static bool set_durable(Db *db, bool durable, GError **error)
{
    if (db->durable == (int)durable)
        return true;
    if (!db_run(db, durable ? "PRAGMA synchronous=FULL" : "PRAGMA synchronous=NORMAL", error))
        return false;
    db->durable = durable;
    return true;
}

DbTx *db_begin(Db *db, bool durable, GError **error)
{
    bool nested = db->depth > 0;
    DbTx *tx = NULL;

    if (!nested && !set_durable(db, durable, error))
        return NULL;
    if (!db_run(db, nested ? "SAVEPOINT nested" : "BEGIN IMMEDIATE", error)) {
        /* It may have failed with the transaction already open. */
        if (!nested && !sqlite3_get_autocommit(db->handle))
            sqlite3_exec(db->handle, "ROLLBACK", NULL, NULL, NULL);
        return NULL;
    }
    db->depth++;
    tx = g_new0(DbTx, 1);
    tx->db = db;
    tx->open = true;
    return tx;
}

bool db_commit(DbTx *tx, GError **error)
{
    if (!db_run(tx->db, tx->db->depth > 1 ? "RELEASE nested" : "COMMIT", error))
        return false;
    tx->db->depth--;
    tx->open = false;
    return true;
}

void db_tx_free(DbTx *tx)
{
    if (!tx)
        return;
    if (tx->open) {
        Db *db = tx->db;

        /* After some errors (disk full, I/O) SQLite has rolled back everything already. */
        if (!sqlite3_get_autocommit(db->handle))
            sqlite3_exec(db->handle,
                         db->depth > 1 ? "ROLLBACK TO nested; RELEASE nested" : "ROLLBACK", NULL,
                         NULL, NULL);
        db->depth--;
    }
    g_free(tx);
}
