/* SPDX-License-Identifier: Apache-2.0
 *
 * From leases to the invoice and the ledger: the one place where the store meets billing.
 */
#ifndef QUEUE_BILL_H
#define QUEUE_BILL_H

#include "runner/queue/store.h"

MoneyAsset bill_get_asset(const JobSpec *spec);

/* The invoice of a job as its leases stand now (up to the last heartbeat while it runs). */
Invoice *bill_build(Store *store, JobId job, GError **error);
/* The same from leases (Lease *) at hand. */
Invoice *bill_of_leases(const Job *job, MoneyAsset asset, GPtrArray *leases, GError **error);

/* Posts what the released leases of the job cost and was not posted before. Idempotent, durable;
 * runs inside the open transaction where there is one. */
bool bill_post(Store *store, JobId job, int64_t at_ms, GError **error);

/* The longest time in ms that the held leases (not released) of `leases` (Lease *, all of the job)
 * can go on, counted from their used_ms, before the renter's total passes `limit_usd_micro`;
 * INT64_MAX: longer than matters; -1: it has passed already. An IO total counts at the dearest rate
 * granted. */
int64_t bill_get_time_left(GPtrArray *leases, MoneyAsset asset, int64_t limit_usd_micro);

#endif
