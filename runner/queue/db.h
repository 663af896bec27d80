/* SPDX-License-Identifier: Apache-2.0
 *
 * SQLite as the store wants it: cached statements, nested transactions, two degrees of durability,
 * and errors in words. One thread.
 */
#ifndef QUEUE_DB_H
#define QUEUE_DB_H

#include <glib.h>
#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct Db Db;

/* Opens or creates `path` (mode 0600) in WAL mode and waits up to `busy_ms` for other processes. */
Db *db_open(const char *path, int busy_ms, GError **error);
void db_close(Db *db);
sqlite3 *db_get_handle(Db *db);
const char *db_get_path(const Db *db);

/* Runs statements without results. */
bool db_run(Db *db, const char *sql, GError **error);

/* A cached statement, reset and unbound. Leaving the scope of its g_autoptr resets it. A statement
 * is not used again before that. */
typedef sqlite3_stmt DbQuery;
DbQuery *db_query(Db *db, const char *sql, GError **error);
typedef enum { DB_FAILED, DB_ROW, DB_DONE } DbStep;
DbStep db_step(Db *db, DbQuery *query, GError **error);
/* Steps a statement that has no rows. */
bool db_finish(Db *db, DbQuery *query, GError **error);
void db_query_reset(DbQuery *query);
/* NULL and NAN go in as NULL; NULL comes out as NULL and NAN. */
void db_bind_text(DbQuery *query, int index, const char *text);
char *db_column_text(DbQuery *query, int column);
double db_column_double(DbQuery *query, int column);

/* A transaction that rolls back unless it is committed. Inside another it is a savepoint, and what
 * it wrote is as durable as the outer one. `durable`: on the disk when db_commit returns; else it
 * survives the death of the process, and that of the machine only after the next durable one. */
typedef struct DbTx DbTx;
DbTx *db_begin(Db *db, bool durable, GError **error);
bool db_commit(DbTx *tx, GError **error);
void db_tx_free(DbTx *tx);

/* Sets a STORE_ERROR from the state of the handle after a failed call. Always false. */
bool db_fail(Db *db, const char *doing, GError **error);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(Db, db_close)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(DbQuery, db_query_reset)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(DbTx, db_tx_free)

#endif
