/* SPDX-License-Identifier: Apache-2.0
 *
 * What the ledger needs of SQLite: the statements it uses, prepared once, transactions that nest in
 * the caller's, and errors in words. Private to the folder.
 */
#ifndef BILLING_LEDGER_DB_H
#define BILLING_LEDGER_DB_H

#include "billing/billing.h"

typedef enum {
    SQL_BEGIN,
    SQL_COMMIT,
    SQL_SAVEPOINT,
    SQL_RELEASE,
    SQL_TABLES,            /* from here on the ledger's tables are needed */
    SQL_HEAD = SQL_TABLES, /* -> seq, hash of the newest posting */
    SQL_POSTING_FIND,      /* id -> seq, at_ms, hash */
    SQL_POSTING_HASH,      /* seq -> hash */
    SQL_POSTING_INSERT,    /* seq, id, job, at_ms, memo, hash */
    SQL_LEG_INSERT,        /* posting, leg, account, asset, amount */
    SQL_BALANCE_ADD,       /* job, asset, account, amount */
    SQL_BALANCE_GET,       /* job, asset, account -> amount */
    SQL_JOB_BALANCES,      /* job, asset -> account, credit */
    SQL_FEE_GET,           /* version, asset, side, kind -> bp, from_ms */
    SQL_FEE_INSERT,        /* version, asset, side, kind, bp, from_ms */
    SQL_POSTINGS,          /* -> seq, id, job, at_ms, memo, hash of all, in order */
    SQL_LEGS,              /* -> posting, leg, account, asset, amount of all, in order */
    SQL_BALANCES,          /* -> job, asset, account, amount of all */
    SQL_COUNT
} LedgerSql;

struct Ledger {
    sqlite3 *db;
    sqlite3_stmt *statements[SQL_COUNT];
    bool rollback_failed; /* a transaction of the ledger's own is still open */
};

/* Creates the tables where they are missing, in one transaction, and prepares the statements. */
bool ledger_db_open(Ledger *ledger, GError **error);
void ledger_db_close(Ledger *ledger);

/* Sets BILLING_ERROR_DB, "`what`: why (mend)", from the connection's last error. Returns false. */
bool ledger_db_fail(Ledger *ledger, const char *what, GError **error);

/* A statement to bind; reset when it goes out of scope, so two uses of one must not overlap. */
typedef sqlite3_stmt LedgerQuery;
LedgerQuery *ledger_db_query(Ledger *ledger, LedgerSql sql);
LedgerQuery *ledger_db_query_fee(Ledger *ledger, int64_t version, MoneyAsset asset, FeeSide side,
                                 const char *kind);
void ledger_db_reset(LedgerQuery *query);
void ledger_db_bind_text(LedgerQuery *query, int at, const char *text);
/* Never NULL; bytes behind it live until the next step. */
const char *ledger_db_text(LedgerQuery *query, int column);
/* SQLITE_ROW or SQLITE_DONE; anything else sets `error`. */
int ledger_db_step(Ledger *ledger, LedgerQuery *query, const char *what, GError **error);

/* A rollback can fail too, where the caller's progress handler or sqlite3_interrupt() stops it.
 * Until it is made up for, nobody may read or write: what is there is half a posting. */
bool ledger_db_settle(Ledger *ledger, GError **error);

/* BEGIN IMMEDIATE, or a savepoint where the caller has begun already. What is not committed when it
 * goes out of scope is rolled back. */
typedef struct {
    Ledger *ledger;
    bool nested;
} LedgerTransaction;
LedgerTransaction *ledger_db_begin(Ledger *ledger, GError **error);
/* On failure the transaction is still to be rolled back; on success *transaction is NULL. */
bool ledger_db_commit(LedgerTransaction **transaction, GError **error);
void ledger_db_rollback(LedgerTransaction *transaction);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(LedgerQuery, ledger_db_reset)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(LedgerTransaction, ledger_db_rollback)

#endif
