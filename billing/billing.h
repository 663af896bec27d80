/* SPDX-License-Identifier: Apache-2.0
 *
 * What a job costs, from prices and leased time to postings and an invoice. Amounts are integers in
 * base units: USDC in 1e-6, IO in 1e-8; prices are USD micro (1e-6) per device-hour; times are ms.
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
    BILLING_ERROR_PRICE,    /* price file unreadable, malformed, or model without a price */
    BILLING_ERROR_RANGE,    /* an amount leaves int64 */
    BILLING_ERROR_CONFLICT, /* same id, other content */
    BILLING_ERROR_UNBALANCED,
    BILLING_ERROR_DB
} BillingError;

/* ---- money.c ---- */

typedef enum { MONEY_USDC, MONEY_IO } MoneyAsset;

const char *money_asset_name(MoneyAsset asset); /* "USDC", "IO" */
/* "0.001234 USDC": all decimals of the asset. */
char *money_format(MoneyAsset asset, int64_t amount);
/* A decimal with at most `decimals` places, no exponent, no sign but '-', into 10^-decimals units. */
bool money_parse(const char *text, int decimals, int64_t *out, GError **error);

/* ---- price.c: a price list ---- */

typedef struct PriceList PriceList;

/* NULL: the list built in. */
PriceList *price_list_load(const char *path, GError **error);
/* Exact model, else without its memory suffix, else BILLING_ERROR_PRICE that names the file. */
bool price_list_find(const PriceList *list, const char *model, int64_t *usd_micro_per_hour,
                     GError **error);
/* USD micro for one IO, as of the list. */
int64_t price_list_get_io_usd_micro(const PriceList *list);
const char *price_list_get_source(const PriceList *list); /* path or "built in" */
void price_list_free(PriceList *list);

/* ---- meter.c: leased time ---- */

/* One device held by one attempt. used_ms is measured on the monotonic clock by the runner, bounded by
 * the last heartbeat. Strings are borrowed. */
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

/* ---- invoice.c ---- */

typedef struct {
    char *supplier;
    char *model;
    int attempt;
    int64_t devices;
    int64_t gpu_ms;
    int64_t price_usd_micro;
    int64_t gross; /* cumulative-floor share of the job's exact cost; lines sum to the gross total */
} InvoiceLine;

typedef struct {
    char *job;
    char *name;
    MoneyAsset asset;
    GPtrArray *lines; /* InvoiceLine * */
    int64_t gpu_ms;
    int64_t gross;
    int64_t fee_bp;
    int64_t fee;
    int64_t total; /* what the renter pays: gross + fee */
    bool final;    /* every lease released */
} Invoice;

/* Leases of one job, any order. */
Invoice *invoice_build(const char *job, const char *name, MoneyAsset asset,
                       const MeterLease *leases, size_t leases_count, GError **error);
json_t *invoice_to_json(const Invoice *invoice);
void invoice_print(const Invoice *invoice, FILE *out);
void invoice_free(Invoice *invoice);

/* What `devices` x one price cost per hour / for a duration, fees included; for quotes. */
bool invoice_estimate(MoneyAsset asset, int64_t price_usd_micro, int64_t io_usd_micro,
                      int64_t devices, int64_t duration_ms, int64_t *total, GError **error);

/* ---- ledger.c: double entry in the caller's SQLite database ---- */

typedef struct Ledger Ledger;

/* Creates its tables where they are missing. `db` is borrowed and must outlive the ledger. */
Ledger *ledger_open(sqlite3 *db, GError **error);
void ledger_close(Ledger *ledger);

typedef struct {
    const char *account; /* "renter/default", "supplier/NODE", "platform/fees" */
    MoneyAsset asset;
    int64_t amount; /* > 0 debit, < 0 credit */
} Leg;

/* Idempotent by id; see the file. Runs inside the caller's transaction when there is one. */
bool ledger_post(Ledger *ledger, const char *id, int64_t at_ms, const char *memo, const Leg *legs,
                 size_t legs_count, GError **error);
bool ledger_get_balance(Ledger *ledger, const char *account, MoneyAsset asset, int64_t *balance,
                        GError **error);
/* Posts what of `invoice` has not been posted before: charge of renter/`account` to suppliers and fees.
 * Posting ids derive from the job and the amount of time, so a repeat changes nothing. */
bool ledger_post_invoice(Ledger *ledger, const Invoice *invoice, const char *account, int64_t at_ms,
                         GError **error);
/* Recomputes chain, sums and balances; the error names the first bad posting. */
bool ledger_audit(Ledger *ledger, int64_t *postings, GError **error);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(PriceList, price_list_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Invoice, invoice_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Ledger, ledger_close)

#endif
