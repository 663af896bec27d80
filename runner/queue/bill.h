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

/* Posts what the released leases of the job cost and was not posted before. Idempotent, durable;
 * runs inside the open transaction where there is one. */
bool bill_post(Store *store, JobId job, int64_t at_ms, GError **error);

/* The longest time that all held leases (`released` is false) of `leases` (Lease *) can go on,
 * counted from their used_ms, before the renter's total passes `limit_usd_micro`; INT64_MAX: for
 * ever; -1: it has passed already. */
bool bill_get_time_left(GPtrArray *leases, MoneyAsset asset, int64_t limit_usd_micro,
                        int64_t *left_ms, GError **error);

#endif
