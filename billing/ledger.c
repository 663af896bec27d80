/* SPDX-License-Identifier: Apache-2.0
 *
 * Double-entry postings. A posting is a set of legs that sum to zero per asset; it is never
 * changed, a correction is another posting. Its row is also what makes it idempotent: the id is
 * unique, and the hash says whether a repetition has the same content.
 *
 * One posting is one transaction (or savepoint of the caller's), written in this order:
 *
 *     1 begin                    takes the write lock: nobody posts between reading and writing
 *     2 the posting's row        with the hash over the row, its legs and the hash before
 *     3 its legs
 *     4 the balances             of each account, in all and of the job
 *     5 commit
 *
 * A crash at or before 5 leaves nothing of it, after 5 leaves all of it; the caller, who cannot
 * know which, repeats the call: then it finds the id and changes nothing, or finds nothing and
 * posts.
 */
#include "billing/ledger_chain.h"
#include "billing/ledger_db.h"

#include <stdlib.h>
#include <string.h>

#define TEXT_LENGTH_MAX 200
#define MEMO_LENGTH_MAX 1000
#define LEGS_COUNT_MAX  65536

#define RENTER_PREFIX   "renter/"
#define SUPPLIER_PREFIX "supplier/"
#define FEES_ACCOUNT    "platform/fees"

/* ---- opening ---- */

Ledger *ledger_open(sqlite3 *db, GError **error)
{
    g_autoptr(Ledger) ledger = g_new0(Ledger, 1);

    ledger->db = db;
    if (!ledger_db_open(ledger, error))
        return NULL;
    return g_steal_pointer(&ledger);
}

void ledger_close(Ledger *ledger)
{
    if (!ledger)
        return;
    ledger_db_close(ledger);
    g_free(ledger);
}

/* ---- what may be posted ---- */

static bool posting_fail(const Posting *posting, BillingError code, const char *what,
                         GError **error)
{
    g_autofree char *cut = g_strndup(posting->id, TEXT_LENGTH_MAX);
    g_autofree char *id = g_strescape(cut, NULL);

    g_set_error(error, BILLING_ERROR, (gint)code, "posting '%s': %s", id, what);
    return false;
}

static bool text_is_valid(const char *text, size_t length_min, size_t length_max)
{
    size_t length = strlen(text);

    return length >= length_min && length <= length_max && g_utf8_validate(text, -1, NULL);
}

static bool posting_check_sums(const Posting *posting, GError **error)
{
    __int128 sums[] = {[MONEY_USDC] = 0, [MONEY_IO] = 0};

    /* 65,536 legs of 2^63 stay far inside __int128. */
    for (size_t i = 0; i < posting->legs_count; i++)
        sums[posting->legs[i].asset] += posting->legs[i].amount;
    for (size_t asset = 0; asset < G_N_ELEMENTS(sums); asset++) {
        g_autofree char *what = NULL;

        if (sums[asset] == 0)
            continue;
        what = g_strdup_printf("its %s debits are not equal to its %s credits",
                               money_asset_name((MoneyAsset)asset),
                               money_asset_name((MoneyAsset)asset));
        return posting_fail(posting, BILLING_ERROR_UNBALANCED, what, error);
    }
    return true;
}

static bool posting_check(const Posting *posting, GError **error)
{
    if (!text_is_valid(posting->id, 1, TEXT_LENGTH_MAX))
        return posting_fail(posting, BILLING_ERROR_INPUT, "an id is 1 to 200 bytes of UTF-8",
                            error);
    if (!text_is_valid(posting->memo, 0, MEMO_LENGTH_MAX))
        return posting_fail(posting, BILLING_ERROR_INPUT, "a memo is at most 1000 bytes of UTF-8",
                            error);
    if (posting->legs_count < 2 || posting->legs_count > LEGS_COUNT_MAX)
        return posting_fail(posting, BILLING_ERROR_INPUT, "a posting has 2 to 65536 legs", error);
    for (size_t i = 0; i < posting->legs_count; i++) {
        const Leg *leg = &posting->legs[i];

        if (!text_is_valid(leg->account, 1, TEXT_LENGTH_MAX))
            return posting_fail(posting, BILLING_ERROR_INPUT,
                                "an account is 1 to 200 bytes of UTF-8", error);
        if (leg->asset != MONEY_USDC && leg->asset != MONEY_IO)
            return posting_fail(posting, BILLING_ERROR_INPUT, "an asset is USDC or IO", error);
        if (leg->amount == 0)
            return posting_fail(posting, BILLING_ERROR_INPUT, "a leg of amount 0 says nothing",
                                error);
    }
    return posting_check_sums(posting, error);
}

/* ---- writing ---- */

static bool hash_read(LedgerQuery *query, int column, uint8_t hash[LEDGER_HASH_SIZE],
                      GError **error)
{
    if (sqlite3_column_bytes(query, column) != LEDGER_HASH_SIZE) {
        g_set_error(error, BILLING_ERROR, BILLING_ERROR_AUDIT,
                    "a posting of the ledger has no hash: it was changed from outside");
        return false;
    }
    memcpy(hash, sqlite3_column_blob(query, column), LEDGER_HASH_SIZE);
    return true;
}

/* The newest posting; 0 and a hash of zeros before the first. */
static bool head_get(Ledger *ledger, int64_t *seq, uint8_t hash[LEDGER_HASH_SIZE], GError **error)
{
    g_autoptr(LedgerQuery) query = ledger_db_query(ledger, SQL_HEAD);
    int code = ledger_db_step(ledger, query, "cannot read the newest posting", error);

    *seq = 0;
    memset(hash, 0, LEDGER_HASH_SIZE);
    if (code != SQLITE_ROW)
        return code == SQLITE_DONE;
    *seq = sqlite3_column_int64(query, 0);
    return hash_read(query, 1, hash, error);
}

/* The hash before posting `seq`. */
static bool previous_get(Ledger *ledger, int64_t seq, uint8_t hash[LEDGER_HASH_SIZE],
                         GError **error)
{
    g_autoptr(LedgerQuery) query = ledger_db_query(ledger, SQL_POSTING_HASH);
    int code = SQLITE_DONE;

    memset(hash, 0, LEDGER_HASH_SIZE);
    if (seq == 1)
        return true;
    sqlite3_bind_int64(query, 1, seq - 1);
    code = ledger_db_step(ledger, query, "cannot read the chain", error);
    return (code == SQLITE_ROW || code == SQLITE_DONE) && hash_read(query, 0, hash, error);
}

/* Whether a posting of this id is there; one with other content is an error. The content is the
 * same when, put in that posting's place and time, it has that posting's hash. */
static bool posting_find(Ledger *ledger, const ChainPosting *chained, bool *found, GError **error)
{
    g_autoptr(LedgerQuery) query = ledger_db_query(ledger, SQL_POSTING_FIND);
    ChainPosting repeated = *chained;
    uint8_t previous[LEDGER_HASH_SIZE];
    uint8_t stored[LEDGER_HASH_SIZE];
    uint8_t hash[LEDGER_HASH_SIZE];
    int code = SQLITE_DONE;

    ledger_db_bind_text(query, 1, chained->posting.id);
    code = ledger_db_step(ledger, query, "cannot look for the posting", error);
    *found = code == SQLITE_ROW;
    if (code != SQLITE_ROW)
        return code == SQLITE_DONE;
    repeated.seq = sqlite3_column_int64(query, 0);
    repeated.posting.at_ms = sqlite3_column_int64(query, 1);
    if (!hash_read(query, 2, stored, error) || !previous_get(ledger, repeated.seq, previous, error))
        return false;
    ledger_chain_hash(previous, &repeated, hash);
    if (memcmp(hash, stored, LEDGER_HASH_SIZE) == 0)
        return true;
    return posting_fail(&chained->posting, BILLING_ERROR_CONFLICT,
                        "posted before with other content; nothing was changed", error);
}

static bool posting_insert(Ledger *ledger, const ChainPosting *chained,
                           const uint8_t hash[LEDGER_HASH_SIZE], GError **error)
{
    g_autoptr(LedgerQuery) query = ledger_db_query(ledger, SQL_POSTING_INSERT);

    sqlite3_bind_int64(query, 1, chained->seq);
    ledger_db_bind_text(query, 2, chained->posting.id);
    ledger_db_bind_text(query, 3, chained->job);
    sqlite3_bind_int64(query, 4, chained->posting.at_ms);
    ledger_db_bind_text(query, 5, chained->posting.memo);
    sqlite3_bind_blob(query, 6, hash, LEDGER_HASH_SIZE, SQLITE_STATIC);
    return ledger_db_step(ledger, query, "cannot write a posting", error) == SQLITE_DONE;
}

static bool leg_insert(Ledger *ledger, const ChainPosting *chained, size_t at, GError **error)
{
    g_autoptr(LedgerQuery) query = ledger_db_query(ledger, SQL_LEG_INSERT);
    const Leg *leg = &chained->posting.legs[at];

    sqlite3_bind_int64(query, 1, chained->seq);
    sqlite3_bind_int64(query, 2, (sqlite3_int64)at);
    ledger_db_bind_text(query, 3, leg->account);
    ledger_db_bind_text(query, 4, money_asset_name(leg->asset));
    sqlite3_bind_int64(query, 5, leg->amount);
    return ledger_db_step(ledger, query, "cannot write a leg", error) == SQLITE_DONE;
}

static bool balance_add(Ledger *ledger, const char *job, const Leg *leg, GError **error)
{
    g_autoptr(LedgerQuery) query = ledger_db_query(ledger, SQL_BALANCE_ADD);
    g_autofree char *account = NULL;

    ledger_db_bind_text(query, 1, job);
    ledger_db_bind_text(query, 2, money_asset_name(leg->asset));
    ledger_db_bind_text(query, 3, leg->account);
    sqlite3_bind_int64(query, 4, leg->amount);
    if (sqlite3_step(query) == SQLITE_DONE)
        return true;
    if (sqlite3_extended_errcode(ledger->db) != SQLITE_CONSTRAINT_NOTNULL)
        return ledger_db_fail(ledger, "cannot write a balance", error);
    account = g_strescape(leg->account, NULL);
    g_set_error(error, BILLING_ERROR, BILLING_ERROR_RANGE,
                "account '%s': the balance would leave the range of amounts (2^63 - 1 %s units)",
                account, money_asset_name(leg->asset));
    return false;
}

/* Inside a transaction. */
static bool posting_write(Ledger *ledger, ChainPosting *chained, GError **error)
{
    const Posting *posting = &chained->posting;
    uint8_t previous[LEDGER_HASH_SIZE];
    uint8_t hash[LEDGER_HASH_SIZE];
    int64_t head = 0;

    if (!head_get(ledger, &head, previous, error))
        return false;
    chained->seq = head + 1;
    ledger_chain_hash(previous, chained, hash);
    if (!posting_insert(ledger, chained, hash, error))
        return false;
    for (size_t i = 0; i < posting->legs_count; i++) {
        if (!leg_insert(ledger, chained, i, error) ||
            !balance_add(ledger, "", &posting->legs[i], error))
            return false;
        if (*chained->job != '\0' && !balance_add(ledger, chained->job, &posting->legs[i], error))
            return false;
    }
    return true;
}

/* Inside a transaction. */
static bool posting_apply(Ledger *ledger, const char *job, const Posting *posting, GError **error)
{
    ChainPosting chained = {.posting = *posting, .job = job};
    g_autofree Leg *legs = NULL;
    bool found = false;

    if (!posting_check(posting, error))
        return false;
    legs = g_memdup2(posting->legs, posting->legs_count * sizeof *legs);
    qsort(legs, posting->legs_count, sizeof *legs, ledger_chain_compare_legs);
    chained.posting.legs = legs;
    if (!posting_find(ledger, &chained, &found, error))
        return false;
    return found || posting_write(ledger, &chained, error);
}

bool ledger_post(Ledger *ledger, const Posting *postings, size_t count, GError **error)
{
    g_autoptr(LedgerTransaction) transaction = ledger_db_begin(ledger, error);

    if (!transaction)
        return false;
    for (size_t i = 0; i < count; i++) {
        if (!posting_apply(ledger, "", &postings[i], error))
            return false;
    }
    return ledger_db_commit(&transaction, error);
}

bool ledger_get_balance(Ledger *ledger, const char *account, MoneyAsset asset, int64_t *balance,
                        GError **error)
{
    g_autoptr(LedgerQuery) query = ledger_db_query(ledger, SQL_BALANCE_GET);
    int code = SQLITE_DONE;

    if (!ledger_db_settle(ledger, error))
        return false;
    ledger_db_bind_text(query, 1, "");
    ledger_db_bind_text(query, 2, money_asset_name(asset));
    ledger_db_bind_text(query, 3, account);
    code = ledger_db_step(ledger, query, "cannot read a balance", error);
    if (code != SQLITE_ROW && code != SQLITE_DONE)
        return false;
    *balance = code == SQLITE_ROW ? sqlite3_column_int64(query, 0) : 0;
    return true;
}

/* ---- invoices ---- */

/* What is owed to each supplier of a job, before and after an invoice: both grow only. */
typedef struct {
    GHashTable *posted; /* account -> int64_t *: credited so far; suppliers only */
    GHashTable *due;    /* account -> int64_t *: what the invoice says */
    int64_t gross_posted;
    int64_t fee_posted;
} Charge;

static void charge_init(Charge *charge)
{
    *charge = (Charge){
        .posted = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free),
        .due = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free),
    };
}

static void charge_clear(Charge *charge)
{
    g_hash_table_unref(charge->posted);
    g_hash_table_unref(charge->due);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Charge, charge_clear)

static bool amount_add(int64_t *sum, int64_t amount, GError **error)
{
    int64_t result = 0;

    if (!__builtin_add_overflow(*sum, amount, &result)) {
        *sum = result;
        return true;
    }
    g_set_error(error, BILLING_ERROR, BILLING_ERROR_RANGE,
                "the charge leaves the range of amounts (2^63 - 1 base units)");
    return false;
}

static int64_t amount_get(GHashTable *amounts, const char *account)
{
    const int64_t *amount = g_hash_table_lookup(amounts, account);

    return amount ? *amount : 0;
}

/* Adds to the account's amount. */
static bool amounts_add(GHashTable *amounts, const char *account, int64_t amount, GError **error)
{
    int64_t sum = amount_get(amounts, account);

    if (!amount_add(&sum, amount, error))
        return false;
    g_hash_table_insert(amounts, g_strdup(account), g_memdup2(&sum, sizeof sum));
    return true;
}

static bool charge_read_posted(Charge *charge, Ledger *ledger, const Invoice *invoice,
                               GError **error)
{
    g_autoptr(LedgerQuery) query = ledger_db_query(ledger, SQL_JOB_BALANCES);
    int code = SQLITE_DONE;

    ledger_db_bind_text(query, 1, invoice->job);
    ledger_db_bind_text(query, 2, money_asset_name(invoice->asset));
    while ((code = ledger_db_step(ledger, query, "cannot read the job's postings", error)) ==
           SQLITE_ROW) {
        const char *account = ledger_db_text(query, 0);
        int64_t credit = sqlite3_column_int64(query, 1);

        if (g_str_has_prefix(account, RENTER_PREFIX))
            continue;
        if (strcmp(account, FEES_ACCOUNT) == 0)
            charge->fee_posted = credit;
        else if (!amounts_add(charge->posted, account, credit, error) ||
                 !amount_add(&charge->gross_posted, credit, error))
            return false;
    }
    return code == SQLITE_DONE;
}

static bool charge_read_due(Charge *charge, const Invoice *invoice, GError **error)
{
    for (guint i = 0; i < invoice->lines->len; i++) {
        const InvoiceLine *line = invoice->lines->pdata[i];
        g_autofree char *account = g_strconcat(SUPPLIER_PREFIX, line->supplier, NULL);

        if (!amounts_add(charge->due, account, line->gross, error))
            return false;
    }
    return true;
}

/* The legs of what is due beyond what is posted, into `legs`; none where nothing is. `renter` is
 * borrowed by the legs, and so are the charge's accounts. */
static bool charge_make_legs(const Charge *charge, const Invoice *invoice, const char *renter,
                             GArray *legs, GError **error)
{
    GHashTableIter iter;
    gpointer account = NULL;
    gpointer due = NULL;
    int64_t gross = 0;
    int64_t after = charge->gross_posted;
    int64_t fee = 0;
    int64_t total = 0;

    g_hash_table_iter_init(&iter, charge->due);
    while (g_hash_table_iter_next(&iter, &account, &due)) {
        int64_t delta = *(int64_t *)due - amount_get(charge->posted, account);
        Leg leg = {account, invoice->asset, -delta};

        if (delta <= 0)
            continue;
        g_array_append_val(legs, leg);
        if (!amount_add(&gross, delta, error))
            return false;
    }
    if (legs->len == 0)
        return true;
    if (!amount_add(&after, gross, error) || !invoice_fee(after, invoice->fee_bp, &fee, error))
        return false;
    fee -= charge->fee_posted;
    total = gross;
    if (!amount_add(&total, fee, error))
        return false;
    if (fee != 0) {
        Leg leg = {FEES_ACCOUNT, invoice->asset, -fee};

        g_array_append_val(legs, leg);
    }
    Leg leg = {renter, invoice->asset, total};

    g_array_append_val(legs, leg);
    return true;
}

/* The invoice was made by the fee table of this program; the ledger's copy must say the same. */
static bool fee_check(Ledger *ledger, const Invoice *invoice, GError **error)
{
    const Fee *fee = fee_get_renter(invoice->asset, 0);
    g_autoptr(LedgerQuery) query =
        ledger_db_query_fee(ledger, invoice->fee_version, invoice->asset, FEE_RENTER, fee->kind);
    int code = ledger_db_step(ledger, query, "cannot read the fee table", error);

    if (code == SQLITE_ROW && sqlite3_column_int64(query, 0) == invoice->fee_bp)
        return true;
    if (code == SQLITE_ROW || code == SQLITE_DONE)
        g_set_error(error, BILLING_ERROR, BILLING_ERROR_CONFLICT,
                    "the invoice's fee of %" G_GINT64_FORMAT " basis points is not that of version "
                    "%" G_GINT64_FORMAT " of the fee table",
                    invoice->fee_bp, invoice->fee_version);
    return false;
}

/* Inside a transaction. */
static bool invoice_apply(Ledger *ledger, const Invoice *invoice, const char *renter, int64_t at_ms,
                          GError **error)
{
    g_auto(Charge) charge;
    g_autoptr(GArray) legs = g_array_new(FALSE, FALSE, sizeof(Leg));
    g_autofree char *id = g_strdup_printf("charge/%s/%s/%" G_GINT64_FORMAT, invoice->job,
                                          money_asset_name(invoice->asset), invoice->gpu_ms);
    g_autofree char *memo =
        g_strdup_printf("job %s up to %" G_GINT64_FORMAT " GPU-ms, fee table %" G_GINT64_FORMAT,
                        invoice->job, invoice->gpu_ms, invoice->fee_version);

    charge_init(&charge);
    if (!fee_check(ledger, invoice, error) ||
        !charge_read_posted(&charge, ledger, invoice, error) ||
        !charge_read_due(&charge, invoice, error) ||
        !charge_make_legs(&charge, invoice, renter, legs, error))
        return false;
    if (legs->len == 0)
        return true;

    const Posting posting = {.id = id,
                             .at_ms = at_ms,
                             .memo = memo,
                             .legs = (const Leg *)(void *)legs->data,
                             .legs_count = legs->len};

    return posting_apply(ledger, invoice->job, &posting, error);
}

bool ledger_post_invoice(Ledger *ledger, const Invoice *invoice, const char *account, int64_t at_ms,
                         GError **error)
{
    g_autofree char *renter = g_strconcat(RENTER_PREFIX, account, NULL);
    g_autoptr(LedgerTransaction) transaction = NULL;

    if (*invoice->job == '\0') {
        g_set_error(error, BILLING_ERROR, BILLING_ERROR_INPUT, "an invoice of no job");
        return false;
    }
    transaction = ledger_db_begin(ledger, error);
    return transaction && invoice_apply(ledger, invoice, renter, at_ms, error) &&
           ledger_db_commit(&transaction, error);
}
