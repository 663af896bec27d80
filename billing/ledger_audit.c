/* SPDX-License-Identifier: Apache-2.0
 *
 * The audit reads every posting and leg once, in order, side by side, in one snapshot, and trusts
 * nothing but the legs: it recomputes each hash, each posting's sums and every balance. Its memory
 * grows with the number of accounts and jobs, not with the postings.
 *
 * It finds what differs from what was posted. It does not find a ledger that was rewritten as a
 * whole by someone who recomputed all hashes; for that the newest hash must be kept somewhere else.
 */
#include "billing/ledger_chain.h"
#include "billing/ledger_db.h"

#include <string.h>

typedef struct {
    Ledger *ledger;
    LedgerQuery *postings;
    LedgerQuery *legs;
    bool legs_left;       /* `legs` stands on a row */
    GHashTable *balances; /* Balance * -> itself */
} Audit;

typedef struct {
    char *job;
    char *asset;
    char *account;
    __int128 amount;
} Balance;

static guint balance_hash(const void *data)
{
    const Balance *balance = data;

    return g_str_hash(balance->account) * 31 + g_str_hash(balance->job) * 17 +
           g_str_hash(balance->asset);
}

static gboolean balance_equal(const void *a, const void *b)
{
    const Balance *x = a;
    const Balance *y = b;

    return strcmp(x->account, y->account) == 0 && strcmp(x->job, y->job) == 0 &&
           strcmp(x->asset, y->asset) == 0;
}

static void balance_free(void *data)
{
    Balance *balance = data;

    g_free(balance->job);
    g_free(balance->asset);
    g_free(balance->account);
    g_free(balance);
}

static void balances_add(GHashTable *balances, const char *job, const Leg *leg)
{
    const Balance key = {(char *)(uintptr_t)job, (char *)(uintptr_t)money_asset_name(leg->asset),
                         (char *)(uintptr_t)leg->account, 0};
    Balance *balance = g_hash_table_lookup(balances, &key);

    if (!balance) {
        balance = g_new0(Balance, 1);
        *balance = (Balance){g_strdup(job), g_strdup(key.asset), g_strdup(leg->account), 0};
        g_hash_table_add(balances, balance);
    }
    balance->amount += leg->amount;
}

static bool audit_fail(int64_t seq, const char *id, const char *what, GError **error)
{
    g_autofree char *shown = g_strescape(id, NULL);

    g_set_error(error, BILLING_ERROR, BILLING_ERROR_AUDIT,
                "posting %" G_GINT64_FORMAT " ('%s'): %s", seq, shown, what);
    return false;
}

static bool next_leg(Audit *audit, GError **error)
{
    int code = ledger_db_step(audit->ledger, audit->legs, "cannot read the legs", error);

    audit->legs_left = code == SQLITE_ROW;
    return code == SQLITE_ROW || code == SQLITE_DONE;
}

static void leg_clear(void *data)
{
    Leg *leg = data;

    g_free((char *)(uintptr_t)leg->account);
}

/* A NUL would hide what follows it from the hash. */
static bool text_is_whole(LedgerQuery *query, int column)
{
    return strlen(ledger_db_text(query, column)) == (size_t)sqlite3_column_bytes(query, column);
}

/* The legs of posting `seq` into `legs`. */
static bool read_legs(Audit *audit, int64_t seq, const char *id, GArray *legs, GError **error)
{
    g_array_set_size(legs, 0);
    while (audit->legs_left && sqlite3_column_int64(audit->legs, 0) <= seq) {
        Leg leg = {NULL, MONEY_USDC, sqlite3_column_int64(audit->legs, 4)};

        if (sqlite3_column_int64(audit->legs, 0) != seq ||
            sqlite3_column_int64(audit->legs, 1) != legs->len || !text_is_whole(audit->legs, 2) ||
            !money_asset_find(ledger_db_text(audit->legs, 3), &leg.asset))
            return audit_fail(seq, id, "its legs are not those that were posted", error);
        leg.account = g_strdup(ledger_db_text(audit->legs, 2));
        g_array_append_val(legs, leg);
        if (!next_leg(audit, error))
            return false;
    }
    return true;
}

static bool legs_balance(const Posting *posting)
{
    __int128 sums[] = {[MONEY_USDC] = 0, [MONEY_IO] = 0};

    for (size_t i = 0; i < posting->legs_count; i++)
        sums[posting->legs[i].asset] += posting->legs[i].amount;
    return posting->legs_count >= 2 && sums[MONEY_USDC] == 0 && sums[MONEY_IO] == 0;
}

/* Whether the row on which `postings` stands has the hash it should; `hash` is the one before it,
 * then its own. */
static bool check_hash(Audit *audit, const ChainPosting *chained, uint8_t hash[LEDGER_HASH_SIZE],
                       GError **error)
{
    uint8_t previous[LEDGER_HASH_SIZE];

    memcpy(previous, hash, LEDGER_HASH_SIZE);
    ledger_chain_hash(previous, chained, hash);
    if (text_is_whole(audit->postings, 1) && text_is_whole(audit->postings, 2) &&
        text_is_whole(audit->postings, 4) &&
        sqlite3_column_bytes(audit->postings, 5) == LEDGER_HASH_SIZE &&
        memcmp(sqlite3_column_blob(audit->postings, 5), hash, LEDGER_HASH_SIZE) == 0)
        return true;
    return audit_fail(chained->seq, chained->posting.id,
                      "its hash is not that of its content and the posting before it", error);
}

static bool check_posting(Audit *audit, int64_t expected, GArray *legs,
                          uint8_t hash[LEDGER_HASH_SIZE], GError **error)
{
    ChainPosting chained = {
        .posting =
            {
                .id = ledger_db_text(audit->postings, 1),
                .at_ms = sqlite3_column_int64(audit->postings, 3),
                .memo = ledger_db_text(audit->postings, 4),
            },
        .seq = sqlite3_column_int64(audit->postings, 0),
        .job = ledger_db_text(audit->postings, 2),
    };
    Posting *posting = &chained.posting;

    if (chained.seq != expected)
        return audit_fail(expected, "", "it is missing", error);
    if (!read_legs(audit, chained.seq, posting->id, legs, error))
        return false;
    posting->legs = (const Leg *)(void *)legs->data;
    posting->legs_count = legs->len;
    if (!check_hash(audit, &chained, hash, error))
        return false;
    if (!legs_balance(posting))
        return audit_fail(chained.seq, posting->id, "its debits are not equal to its credits",
                          error);
    for (size_t i = 0; i < posting->legs_count; i++) {
        balances_add(audit->balances, "", &posting->legs[i]);
        if (*chained.job != '\0')
            balances_add(audit->balances, chained.job, &posting->legs[i]);
    }
    return true;
}

static bool check_chain(Audit *audit, int64_t *count, GError **error)
{
    g_autoptr(GArray) legs = g_array_new(FALSE, FALSE, sizeof(Leg));
    uint8_t hash[LEDGER_HASH_SIZE] = {0};
    int64_t postings = 0;
    int code = SQLITE_DONE;

    g_array_set_clear_func(legs, leg_clear);
    if (!next_leg(audit, error))
        return false;
    while ((code = ledger_db_step(audit->ledger, audit->postings, "cannot read the postings",
                                  error)) == SQLITE_ROW) {
        if (!check_posting(audit, postings + 1, legs, hash, error))
            return false;
        postings++;
    }
    if (code != SQLITE_DONE)
        return false;
    if (audit->legs_left)
        return audit_fail(sqlite3_column_int64(audit->legs, 0), "",
                          "it is missing, its legs are there", error);
    *count = postings;
    return true;
}

/* The balances on file are the sums of the legs, no more and no less. */
static bool check_balances(Audit *audit, GError **error)
{
    g_autoptr(LedgerQuery) query = ledger_db_query(audit->ledger, SQL_BALANCES);
    guint found = 0;
    int code = SQLITE_DONE;

    while ((code = ledger_db_step(audit->ledger, query, "cannot read the balances", error)) ==
           SQLITE_ROW) {
        const Balance key = {(char *)(uintptr_t)ledger_db_text(query, 0),
                             (char *)(uintptr_t)ledger_db_text(query, 1),
                             (char *)(uintptr_t)ledger_db_text(query, 2), 0};
        const Balance *balance = g_hash_table_lookup(audit->balances, &key);
        g_autofree char *account = g_strescape(key.account, NULL);

        if (!balance || balance->amount != sqlite3_column_int64(query, 3)) {
            g_set_error(error, BILLING_ERROR, BILLING_ERROR_AUDIT,
                        "account '%s' (%s): its balance is not the sum of its legs; the last "
                        "postings may be missing",
                        account, key.asset);
            return false;
        }
        found++;
    }
    if (code != SQLITE_DONE)
        return false;
    if (found == g_hash_table_size(audit->balances))
        return true;
    g_set_error(error, BILLING_ERROR, BILLING_ERROR_AUDIT,
                "there are %u balances on file, the legs make %u", found,
                g_hash_table_size(audit->balances));
    return false;
}

bool ledger_audit(Ledger *ledger, int64_t *postings, GError **error)
{
    bool begun = false;
    g_autoptr(LedgerQuery) posting_rows = ledger_db_query(ledger, SQL_POSTINGS);
    g_autoptr(LedgerQuery) leg_rows = ledger_db_query(ledger, SQL_LEGS);
    g_autoptr(GHashTable) balances =
        g_hash_table_new_full(balance_hash, balance_equal, balance_free, NULL);
    Audit audit = {ledger, posting_rows, leg_rows, false, balances};
    int64_t count = 0;
    bool ok = false;

    if (!ledger_db_settle(ledger, error))
        return false;
    begun = sqlite3_get_autocommit(ledger->db);
    if (begun && sqlite3_exec(ledger->db, "BEGIN", NULL, NULL, NULL) != SQLITE_OK)
        return ledger_db_fail(ledger, "cannot begin to read", error);
    ok = check_chain(&audit, &count, error) && check_balances(&audit, error);
    sqlite3_reset(posting_rows);
    sqlite3_reset(leg_rows);
    if (begun)
        sqlite3_exec(ledger->db, "COMMIT", NULL, NULL, NULL);
    if (ok)
        *postings = count;
    return ok;
}
