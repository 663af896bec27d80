/* SPDX-License-Identifier: Apache-2.0
 *
 * What a job costs, from prices and leased time to postings and an invoice. Amounts are integers in
 * base units: USDC in 1e-6, IO in 1e-8; prices are USD micro (1e-6) per device-hour; times are ms.
 *
 * A function that fails sets `error`, changes nothing and leaves its `out` parameters alone. One
 * exception: BILLING_ERROR_DB of a COMMIT (an interrupt, a failing disk) may come after the posting
 * is durable. Whoever is told so repeats the call, which is safe: a posting is made once.
 * Nothing here keeps state between calls but the objects themselves, each of which belongs to one
 * thread at a time. Texts may come from anywhere: errors and tables escape what a terminal would
 * obey.
 */
#ifndef BILLING_BILLING_H
#define BILLING_BILLING_H

#include <glib.h>
#include <jansson.h>
#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#define BILLING_ERROR billing_error_quark()
GQuark billing_error_quark(void);
typedef enum {
    BILLING_ERROR_PRICE,      /* price file unreadable, malformed, or model without a price */
    BILLING_ERROR_RANGE,      /* an amount leaves int64 */
    BILLING_ERROR_CONFLICT,   /* same id, other content */
    BILLING_ERROR_UNBALANCED, /* the legs of a posting do not sum to zero */
    BILLING_ERROR_DB,         /* SQLite cannot: disk full, read-only, locked, damaged */
    BILLING_ERROR_INPUT,      /* not an amount, a lease or a posting */
    BILLING_ERROR_AUDIT       /* the ledger does not say what was posted */
} BillingError;

/* ---- money.c ---- */

typedef enum { MONEY_USDC, MONEY_IO } MoneyAsset;

/* An amount before rounding, as a count of 1/denominator base units. */
typedef unsigned __int128 MoneyExact;

/* The exact cost of a device is its price in base units per hour times milliseconds: a count of
 * 1/3,600,000 base units, in either asset. */
#define MONEY_MS_PER_HOUR INT64_C(3600000)
#define MONEY_BP_PER_ONE  INT64_C(10000)

const char *money_asset_name(MoneyAsset asset); /* "USDC", "IO" */
bool money_asset_find(const char *name, MoneyAsset *asset);
int money_asset_decimals(MoneyAsset asset); /* 6, 8 */
/* "0.001234 USDC": all decimals of the asset. */
char *money_format(MoneyAsset asset, int64_t amount);
/* The same without the asset; money_parse() reads it back. */
char *money_format_decimal(int64_t amount, int decimals);
/* A decimal with at most `decimals` places, no exponent, no sign but '-', into 10^-decimals units.
 * BILLING_ERROR_INPUT or BILLING_ERROR_RANGE. `decimals` is 0 to 18. */
bool money_parse(const char *text, int decimals, int64_t *out, GError **error);
/* A price in base units of `asset` per device-hour: USDC is USD micro as it is; IO is
 * floor(price_usd_micro * 10^8 / io_usd_micro). This is the one place where a rate of exchange is
 * applied; io_usd_micro is not looked at for USDC. */
bool money_price(MoneyAsset asset, int64_t price_usd_micro, int64_t io_usd_micro, int64_t *price,
                 GError **error);
/* The rounding rule, the only one. Each of `units` is floor(exact / denominator), plus one for
 * those with the largest remainders, as many as make the units add up to floor(sum of exact /
 * denominator); of equal remainders the lower index goes first. With one amount it is floor. */
bool money_round(const MoneyExact *exact, size_t count, int64_t denominator, int64_t *units,
                 GError **error);

/* ---- fee.c: the fee table ---- */

typedef enum { FEE_RENTER, FEE_SUPPLIER } FeeSide;

/* One row. Rows of a version hold from from_ms (wall clock) until those of a later version do. */
typedef struct {
    int64_t version;
    int64_t from_ms;
    MoneyAsset asset;
    FeeSide side;
    const char *kind; /* "service" */
    int64_t bp;       /* basis points of the gross */
} Fee;

const char *fee_side_name(FeeSide side); /* "renter", "supplier" */
const Fee *fee_table(size_t *count);
/* What the renter pays for the service on a job whose first lease was granted at at_ms. */
const Fee *fee_get_renter(MoneyAsset asset, int64_t at_ms);

/* ---- price.c: a price list ---- */

typedef struct PriceList PriceList;

/* NULL: the list built in. The form of the file is in billing/README.md; BILLING_ERROR_PRICE says
 * file:line:column, field and mend, with the line and a caret under it. */
PriceList *price_list_load(const char *path, GError **error);
/* The same from memory; `source` stands in errors for the path. */
PriceList *price_list_parse(const char *text, size_t size, const char *source, GError **error);
/* Exact model, else without its memory suffix, else BILLING_ERROR_PRICE that names the file. */
bool price_list_find(const PriceList *list, const char *model, int64_t *usd_micro_per_hour,
                     GError **error);
/* USD micro for one IO, as of the list. */
int64_t price_list_get_io_usd_micro(const PriceList *list);
const char *price_list_get_source(const PriceList *list); /* path or "built in" */
void price_list_free(PriceList *list);

/* ---- meter.c: leased time ---- */

/* One device held by one attempt. used_ms is measured on the monotonic clock by the runner, bounded
 * by the last heartbeat. Strings are borrowed. */
typedef struct {
    const char *id;
    const char *job;
    int attempt;
    const char *supplier;
    const char *node;
    const char *device;
    const char *model;
    int64_t price_usd_micro; /* per hour, fixed at the grant */
    int64_t io_usd_micro;    /* rate fixed at the grant */
    int64_t granted_at_ms;   /* wall clock */
    int64_t used_ms;
    bool released;
} MeterLease;

/* Leased time of one kind: what is equal in all of it. */
typedef struct {
    char *supplier;
    char *model;
    int attempt;
    int64_t price_usd_micro;
    int64_t io_usd_micro;
    int64_t devices; /* different ones */
    int64_t gpu_ms;
} MeterUsage;

/* The leases of `job`, in any order, summed by kind: MeterUsage *, sorted by its members in their
 * order. A lease given twice counts once; twice with other content is BILLING_ERROR_CONFLICT. */
GPtrArray *meter_sum(const char *job, const MeterLease *leases, size_t leases_count,
                     GError **error);

/* ---- invoice.c, invoice_print.c ---- */

typedef struct {
    char *supplier;
    char *model;
    int attempt;
    int64_t devices;
    int64_t gpu_ms;
    int64_t price_usd_micro;
    int64_t io_usd_micro;
    int64_t price; /* base units of the asset per device-hour */
    int64_t gross; /* share of the supplier's floor(exact cost); lines sum to the gross total */
} InvoiceLine;

typedef struct {
    char *job;
    char *name;
    MoneyAsset asset;
    GPtrArray *lines; /* InvoiceLine * */
    int64_t gpu_ms;
    int64_t gross;
    int64_t fee_version;
    int64_t fee_bp;
    int64_t fee;
    int64_t total; /* what the renter pays: gross + fee */
    bool final;    /* every lease released */
} Invoice;

/* Leases of one job, any order. Per supplier the gross is floor(C), C the exact cost of all its
 * leases of the job; the fee is floor(gross * fee_bp / 10000). Both depend on the sum of the time
 * alone, so splitting it over leases in any way and order gives the same invoice. */
Invoice *invoice_build(const char *job, const char *name, MoneyAsset asset,
                       const MeterLease *leases, size_t leases_count, GError **error);
/* The fee on a gross amount: floor(gross * bp / 10000). */
bool invoice_fee(int64_t gross, int64_t bp, int64_t *fee, GError **error);
/* Members: billing/README.md. */
json_t *invoice_to_json(const Invoice *invoice);
/* A table in UTF-8. Write errors are left to ferror(out). */
void invoice_print(const Invoice *invoice, FILE *out);
void invoice_free(Invoice *invoice);

/* ---- ledger.c, ledger_audit.c: double entry in the caller's SQLite database ---- */

typedef struct Ledger Ledger;

/* Creates its tables (all are named ledger_*) where they are missing. `db` is borrowed and must
 * outlive the ledger; its journal mode, synchronous and busy timeout are the caller's. A read-only
 * database that has the tables opens too. */
Ledger *ledger_open(sqlite3 *db, GError **error);
void ledger_close(Ledger *ledger);

typedef struct {
    const char *account; /* "renter/default", "supplier/NODE", "platform/fees" */
    MoneyAsset asset;
    int64_t amount; /* > 0 debit, < 0 credit; not 0 */
} Leg;

/* Everything borrowed. Texts are UTF-8; id and accounts 1 to 200 bytes, memo up to 1000. */
typedef struct {
    const char *id;
    int64_t at_ms; /* wall clock */
    const char *memo;
    const Leg *legs;
    size_t legs_count; /* 2 to 65,536 */
} Posting;

/* Posts all of `postings` or none. The legs of each must sum to zero per asset, else
 * BILLING_ERROR_UNBALANCED. Idempotent by id: the same memo and legs, in any order, succeed and
 * change nothing (the first at_ms stands); other content is BILLING_ERROR_CONFLICT. Runs inside the
 * caller's transaction when there is one, which a failure leaves as it was before the call (but
 * SQLite itself rolls back all of it on some errors, such as a full disk). */
bool ledger_post(Ledger *ledger, const Posting *postings, size_t count, GError **error);
/* The sum of all legs of the account; 0 for one that has none. */
bool ledger_get_balance(Ledger *ledger, const char *account, MoneyAsset asset, int64_t *balance,
                        GError **error);
/* Posts what of `invoice` has not been posted before: charge of renter/`account` to suppliers and
 * fees. Posting ids derive from the job and the amount of time. Invoices of a job may come
 * repeatedly and in any order: one that says no more than what is posted changes nothing. */
bool ledger_post_invoice(Ledger *ledger, const Invoice *invoice, const char *account, int64_t at_ms,
                         GError **error);
/* Recomputes chain, sums and balances; BILLING_ERROR_AUDIT names the first bad posting. */
bool ledger_audit(Ledger *ledger, int64_t *postings, GError **error);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(PriceList, price_list_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Invoice, invoice_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Ledger, ledger_close)

#endif
