/* SPDX-License-Identifier: Apache-2.0
 *
 * The ledger's tables. What must never happen is refused by SQLite itself, whoever holds the
 * connection. Values have types (STRICT) and bounds (CHECK). Triggers make the tables append-only:
 * they refuse UPDATE, DELETE, a posting that is not the next one and a leg that does not come after
 * all others. The last two also stop INSERT OR REPLACE, which deletes without firing the triggers
 * for DELETE.
 *
 * ledger_balance is the only table that changes. It holds no truth of its own: the sums of the
 * legs, in all (job '') and per job, written in the transaction of the posting and recomputed by
 * the audit.
 */
#include "billing/ledger_db.h"

#include <string.h>

#define SCHEMA_VERSION 1

static const char schema[] =
    "CREATE TABLE ledger_schema ("
    "  version INTEGER NOT NULL CHECK (version >= 1)"
    ") STRICT;"
    "CREATE TABLE ledger_fee ("
    "  version INTEGER NOT NULL CHECK (version >= 1),"
    "  from_ms INTEGER NOT NULL,"
    "  asset TEXT NOT NULL CHECK (asset IN ('USDC', 'IO')),"
    "  side TEXT NOT NULL CHECK (side IN ('renter', 'supplier')),"
    "  kind TEXT NOT NULL CHECK (length(kind) BETWEEN 1 AND 32),"
    "  bp INTEGER NOT NULL CHECK (bp BETWEEN 0 AND 10000),"
    "  PRIMARY KEY (version, asset, side, kind)"
    ") STRICT, WITHOUT ROWID;"
    "CREATE TABLE ledger_posting ("
    "  seq INTEGER PRIMARY KEY CHECK (seq >= 1),"
    "  id TEXT NOT NULL UNIQUE CHECK (length(id) BETWEEN 1 AND 200),"
    "  job TEXT NOT NULL,"
    "  at_ms INTEGER NOT NULL,"
    "  memo TEXT NOT NULL,"
    "  hash BLOB NOT NULL CHECK (length(hash) = 32)"
    ") STRICT;"
    "CREATE TABLE ledger_leg ("
    "  posting INTEGER NOT NULL REFERENCES ledger_posting (seq),"
    "  leg INTEGER NOT NULL CHECK (leg >= 0),"
    "  account TEXT NOT NULL CHECK (length(account) BETWEEN 1 AND 200),"
    "  asset TEXT NOT NULL CHECK (asset IN ('USDC', 'IO')),"
    "  amount INTEGER NOT NULL CHECK (amount <> 0),"
    "  PRIMARY KEY (posting, leg)"
    ") STRICT, WITHOUT ROWID;"
    "CREATE TABLE ledger_balance ("
    "  job TEXT NOT NULL,"
    "  asset TEXT NOT NULL,"
    "  account TEXT NOT NULL,"
    "  amount INTEGER NOT NULL,"
    "  PRIMARY KEY (job, asset, account)"
    ") STRICT, WITHOUT ROWID;"
    "CREATE TRIGGER ledger_posting_insert BEFORE INSERT ON ledger_posting"
    "  WHEN new.seq <> 1 + coalesce((SELECT max(seq) FROM ledger_posting), 0)"
    "    OR EXISTS (SELECT 1 FROM ledger_posting WHERE id = new.id)"
    "  BEGIN SELECT RAISE(ABORT, 'ledger_posting is append-only'); END;"
    "CREATE TRIGGER ledger_posting_update BEFORE UPDATE ON ledger_posting"
    "  BEGIN SELECT RAISE(ABORT, 'ledger_posting is append-only'); END;"
    "CREATE TRIGGER ledger_posting_delete BEFORE DELETE ON ledger_posting"
    "  BEGIN SELECT RAISE(ABORT, 'ledger_posting is append-only'); END;"
    "CREATE TRIGGER ledger_leg_insert BEFORE INSERT ON ledger_leg"
    "  WHEN EXISTS (SELECT 1 FROM ledger_leg WHERE (posting, leg) >= (new.posting, new.leg))"
    "  BEGIN SELECT RAISE(ABORT, 'ledger_leg is append-only'); END;"
    "CREATE TRIGGER ledger_leg_update BEFORE UPDATE ON ledger_leg"
    "  BEGIN SELECT RAISE(ABORT, 'ledger_leg is append-only'); END;"
    "CREATE TRIGGER ledger_leg_delete BEFORE DELETE ON ledger_leg"
    "  BEGIN SELECT RAISE(ABORT, 'ledger_leg is append-only'); END;"
    "CREATE TRIGGER ledger_fee_insert BEFORE INSERT ON ledger_fee"
    "  WHEN EXISTS (SELECT 1 FROM ledger_fee WHERE version = new.version AND asset = new.asset"
    "    AND side = new.side AND kind = new.kind)"
    "  BEGIN SELECT RAISE(ABORT, 'ledger_fee is append-only'); END;"
    "CREATE TRIGGER ledger_fee_update BEFORE UPDATE ON ledger_fee"
    "  BEGIN SELECT RAISE(ABORT, 'ledger_fee is append-only'); END;"
    "CREATE TRIGGER ledger_fee_delete BEFORE DELETE ON ledger_fee"
    "  BEGIN SELECT RAISE(ABORT, 'ledger_fee is append-only'); END;";

static const char *const sql_texts[SQL_COUNT] = {
    [SQL_BEGIN] = "BEGIN IMMEDIATE",
    [SQL_COMMIT] = "COMMIT",
    [SQL_SAVEPOINT] = "SAVEPOINT ledger",
    [SQL_RELEASE] = "RELEASE ledger",
    [SQL_HEAD] = "SELECT seq, hash FROM ledger_posting ORDER BY seq DESC LIMIT 1",
    [SQL_POSTING_FIND] = "SELECT seq, at_ms, hash FROM ledger_posting WHERE id = ?",
    [SQL_POSTING_HASH] = "SELECT hash FROM ledger_posting WHERE seq = ?",
    [SQL_POSTING_INSERT] = "INSERT INTO ledger_posting (seq, id, job, at_ms, memo, hash)"
                           " VALUES (?, ?, ?, ?, ?, ?)",
    [SQL_LEG_INSERT] = "INSERT INTO ledger_leg (posting, leg, account, asset, amount)"
                       " VALUES (?, ?, ?, ?, ?)",
    /* SQLite's + would turn to floating point where the sum leaves int64; this violates NOT NULL.
     */
    [SQL_BALANCE_ADD] =
        "INSERT INTO ledger_balance (job, asset, account, amount) VALUES (?, ?, ?, ?)"
        " ON CONFLICT DO UPDATE SET amount = CASE"
        " WHEN excluded.amount > 0 AND amount > 9223372036854775807 - excluded.amount THEN NULL"
        " WHEN excluded.amount < 0 AND amount < -9223372036854775808 - excluded.amount THEN NULL"
        " ELSE amount + excluded.amount END",
    [SQL_BALANCE_GET] =
        "SELECT amount FROM ledger_balance WHERE job = ? AND asset = ? AND account = ?",
    [SQL_JOB_BALANCES] = "SELECT account, -amount FROM ledger_balance WHERE job = ? AND asset = ?",
    [SQL_FEE_GET] = "SELECT bp, from_ms FROM ledger_fee"
                    " WHERE version = ? AND asset = ? AND side = ? AND kind = ?",
    [SQL_FEE_INSERT] = "INSERT INTO ledger_fee (version, asset, side, kind, bp, from_ms)"
                       " VALUES (?, ?, ?, ?, ?, ?)",
    [SQL_POSTINGS] = "SELECT seq, id, job, at_ms, memo, hash FROM ledger_posting ORDER BY seq",
    [SQL_LEGS] =
        "SELECT posting, leg, account, asset, amount FROM ledger_leg ORDER BY posting, leg",
    [SQL_BALANCES] = "SELECT job, asset, account, amount FROM ledger_balance",
};

static const char *mend(int code)
{
    switch (code & 0xff) {
    case SQLITE_FULL:
        return " (make room on the disk and repeat)";
    case SQLITE_READONLY:
        return " (make the file and its folder writable for this user and repeat)";
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return " (another process is writing; repeat)";
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return " (the file is damaged; restore it from a copy)";
    default:
        return "";
    }
}

bool ledger_db_fail(Ledger *ledger, const char *what, GError **error)
{
    int code = sqlite3_extended_errcode(ledger->db);
    const char *file = sqlite3_db_filename(ledger->db, "main");

    g_set_error(error, BILLING_ERROR, BILLING_ERROR_DB, "ledger %s: %s: %s%s",
                file && *file ? file : "in memory", what, sqlite3_errmsg(ledger->db), mend(code));
    return false;
}

/* ---- statements ---- */

LedgerQuery *ledger_db_query(Ledger *ledger, LedgerSql sql)
{
    return ledger->statements[sql];
}

LedgerQuery *ledger_db_query_fee(Ledger *ledger, int64_t version, MoneyAsset asset, FeeSide side,
                                 const char *kind)
{
    LedgerQuery *query = ledger_db_query(ledger, SQL_FEE_GET);

    sqlite3_bind_int64(query, 1, version);
    ledger_db_bind_text(query, 2, money_asset_name(asset));
    ledger_db_bind_text(query, 3, fee_side_name(side));
    ledger_db_bind_text(query, 4, kind);
    return query;
}

void ledger_db_reset(LedgerQuery *query)
{
    sqlite3_reset(query);
    sqlite3_clear_bindings(query);
}

void ledger_db_bind_text(LedgerQuery *query, int at, const char *text)
{
    sqlite3_bind_text(query, at, text, -1, SQLITE_STATIC);
}

const char *ledger_db_text(LedgerQuery *query, int column)
{
    const char *text = (const char *)sqlite3_column_text(query, column);

    return text ? text : "";
}

int ledger_db_step(Ledger *ledger, LedgerQuery *query, const char *what, GError **error)
{
    int code = sqlite3_step(query);

    if (code != SQLITE_ROW && code != SQLITE_DONE)
        ledger_db_fail(ledger, what, error);
    return code;
}

/* ---- transactions ---- */

static bool execute(Ledger *ledger, const char *sql, const char *what, GError **error)
{
    return sqlite3_exec(ledger->db, sql, NULL, NULL, NULL) == SQLITE_OK ||
           ledger_db_fail(ledger, what, error);
}

/* A statement without parameters or rows. */
static bool run(Ledger *ledger, LedgerSql sql, const char *what, GError **error)
{
    g_autoptr(LedgerQuery) query = ledger_db_query(ledger, sql);

    return ledger_db_step(ledger, query, what, error) == SQLITE_DONE;
}

bool ledger_db_settle(Ledger *ledger, GError **error)
{
    if (ledger->rollback_failed && !sqlite3_get_autocommit(ledger->db) &&
        !execute(ledger, "ROLLBACK", "cannot take back a failed posting", error))
        return false;
    ledger->rollback_failed = false;
    return true;
}

/* Takes back what is open; SQLite may have done so already (a full disk). */
static void take_back(Ledger *ledger, bool nested)
{
    const char *sql = nested ? "ROLLBACK TO ledger; RELEASE ledger" : "ROLLBACK";

    if (sqlite3_get_autocommit(ledger->db))
        return;
    if (sqlite3_exec(ledger->db, sql, NULL, NULL, NULL) != SQLITE_OK)
        ledger->rollback_failed = !nested;
}

LedgerTransaction *ledger_db_begin(Ledger *ledger, GError **error)
{
    LedgerTransaction *transaction = NULL;
    bool nested = false;

    if (!ledger_db_settle(ledger, error))
        return NULL;
    nested = !sqlite3_get_autocommit(ledger->db);
    if (!run(ledger, nested ? SQL_SAVEPOINT : SQL_BEGIN, "cannot begin to write", error)) {
        if (!nested)
            take_back(ledger, false); /* an interrupt may be told after BEGIN has taken effect */
        return NULL;
    }
    transaction = g_new(LedgerTransaction, 1);
    *transaction = (LedgerTransaction){ledger, nested};
    return transaction;
}

bool ledger_db_commit(LedgerTransaction **transaction, GError **error)
{
    bool nested = (*transaction)->nested;

    if (!run((*transaction)->ledger, nested ? SQL_RELEASE : SQL_COMMIT, "cannot commit", error))
        return false;
    g_clear_pointer(transaction, g_free);
    return true;
}

void ledger_db_rollback(LedgerTransaction *transaction)
{
    if (!transaction)
        return;
    take_back(transaction->ledger, transaction->nested);
    g_free(transaction);
}

/* ---- schema ---- */

/* The first column of the one row that `sql` gives. */
static bool get_number(Ledger *ledger, const char *sql, int64_t *number, GError **error)
{
    sqlite3_stmt *statement = NULL;
    int code = sqlite3_prepare_v2(ledger->db, sql, -1, &statement, NULL);

    if (code == SQLITE_OK)
        code = sqlite3_step(statement);
    if (code == SQLITE_ROW)
        *number = sqlite3_column_int64(statement, 0);
    else
        ledger_db_fail(ledger, "cannot read its schema", error);
    sqlite3_finalize(statement);
    return code == SQLITE_ROW;
}

static bool count_tables(Ledger *ledger, int64_t *count, GError **error)
{
    return get_number(ledger, "SELECT count(*) FROM sqlite_schema WHERE name = 'ledger_schema'",
                      count, error);
}

static bool create_tables(Ledger *ledger, GError **error)
{
    g_autoptr(LedgerTransaction) transaction = ledger_db_begin(ledger, error);
    int64_t tables = 0;

    if (!transaction || !count_tables(ledger, &tables, error))
        return false;
    if (tables > 0)
        return true; /* another process was faster */
    return execute(ledger, schema, "cannot create its tables", error) &&
           execute(ledger, "INSERT INTO ledger_schema VALUES (" G_STRINGIFY(SCHEMA_VERSION) ")",
                   "cannot create its tables", error) &&
           ledger_db_commit(&transaction, error);
}

static bool check_version(Ledger *ledger, GError **error)
{
    int64_t version = 0;

    if (!get_number(ledger, "SELECT max(version) FROM ledger_schema", &version, error))
        return false;
    if (version == SCHEMA_VERSION)
        return true;
    g_set_error(error, BILLING_ERROR, BILLING_ERROR_DB,
                "the ledger's tables are of version %" G_GINT64_FORMAT
                ", this drover knows version %d (use the drover that wrote them)",
                version, SCHEMA_VERSION);
    return false;
}

static bool prepare(Ledger *ledger, int begin, int end, GError **error)
{
    for (int i = begin; i < end; i++) {
        if (sqlite3_prepare_v3(ledger->db, sql_texts[i], -1, SQLITE_PREPARE_PERSISTENT,
                               &ledger->statements[i], NULL) != SQLITE_OK)
            return ledger_db_fail(ledger, "cannot use its tables", error);
    }
    return true;
}

/* Whether the row is there, as it should be. */
static bool has_fee(Ledger *ledger, const Fee *fee, bool *has, GError **error)
{
    g_autoptr(LedgerQuery) query =
        ledger_db_query_fee(ledger, fee->version, fee->asset, fee->side, fee->kind);
    int code = ledger_db_step(ledger, query, "cannot read the fee table", error);

    *has = code == SQLITE_ROW;
    if (code != SQLITE_ROW)
        return code == SQLITE_DONE;
    if (sqlite3_column_int64(query, 0) == fee->bp && sqlite3_column_int64(query, 1) == fee->from_ms)
        return true;
    g_set_error(error, BILLING_ERROR, BILLING_ERROR_CONFLICT,
                "fee table version %" G_GINT64_FORMAT " of the ledger says otherwise than this "
                "drover's (a changed fee is a new version)",
                fee->version);
    return false;
}

static bool add_fee(Ledger *ledger, const Fee *fee, GError **error)
{
    g_autoptr(LedgerTransaction) transaction = ledger_db_begin(ledger, error);
    g_autoptr(LedgerQuery) query = ledger_db_query(ledger, SQL_FEE_INSERT);
    bool has = false;

    if (!transaction || !has_fee(ledger, fee, &has, error))
        return false;
    if (has)
        return true; /* another process was faster */
    sqlite3_bind_int64(query, 1, fee->version);
    ledger_db_bind_text(query, 2, money_asset_name(fee->asset));
    ledger_db_bind_text(query, 3, fee_side_name(fee->side));
    ledger_db_bind_text(query, 4, fee->kind);
    sqlite3_bind_int64(query, 5, fee->bp);
    sqlite3_bind_int64(query, 6, fee->from_ms);
    return ledger_db_step(ledger, query, "cannot write the fee table", error) == SQLITE_DONE &&
           ledger_db_commit(&transaction, error);
}

bool ledger_db_open(Ledger *ledger, GError **error)
{
    int64_t tables = 0;
    size_t fees_count = 0;
    const Fee *fees = fee_table(&fees_count);

    if (!count_tables(ledger, &tables, error) || !prepare(ledger, 0, SQL_TABLES, error))
        return false;
    if (tables == 0 && !create_tables(ledger, error))
        return false;
    if (!check_version(ledger, error) || !prepare(ledger, SQL_TABLES, SQL_COUNT, error))
        return false;
    for (size_t i = 0; i < fees_count; i++) {
        bool has = false;

        if (!has_fee(ledger, &fees[i], &has, error) || (!has && !add_fee(ledger, &fees[i], error)))
            return false;
    }
    return true;
}

void ledger_db_close(Ledger *ledger)
{
    for (int i = 0; i < SQL_COUNT; i++)
        sqlite3_finalize(ledger->statements[i]);
}
