/* SPDX-License-Identifier: Apache-2.0
 *
 * All that a job owes follows from its leases, so a bill is always built from all of them and
 * posted as what is new: billing/ledger.c keeps it from counting anything twice, however often it
 * is posted.
 */
#include "runner/queue/bill.h"

#include "runner/queue/store_priv.h"

#define TEN_YEARS_MS  (INT64_C(10) * 366 * 24 * 3600 * 1000)
#define IO_BASE_UNITS 100000000 /* in one IO */

MoneyAsset bill_get_asset(const JobSpec *spec)
{
    return spec->payment.asset == JOBSPEC_ASSET_IO ? MONEY_IO : MONEY_USDC;
}

/* `more_ms` is added to what is still held. */
static Invoice *build(const Job *job, MoneyAsset asset, GPtrArray *leases, int64_t more_ms,
                      GError **error)
{
    g_autofree char *id = g_strdup_printf("%" PRId64, job->id.value);
    g_autofree MeterLease *meter = g_new0(MeterLease, leases->len + 1);
    g_autoptr(GPtrArray) ids = g_ptr_array_new_with_free_func(g_free);

    for (guint i = 0; i < leases->len; i++) {
        const Lease *lease = g_ptr_array_index(leases, i);
        char *lease_id = g_strdup_printf("%" PRId64, lease->id);
        int64_t more = lease->released ? 0 : MIN(more_ms, G_MAXINT64 - lease->used_ms);

        g_ptr_array_add(ids, lease_id);
        meter[i] = (MeterLease){.id = lease_id,
                                .job = id,
                                .attempt = lease->attempt,
                                .supplier = lease->supplier,
                                .node = lease->node,
                                .device = lease->device,
                                .model = lease->model,
                                .price_usd_micro = lease->price_usd_micro,
                                .io_usd_micro = lease->io_usd_micro,
                                .granted_at_ms = lease->granted_at_ms,
                                .used_ms = lease->used_ms + more,
                                .released = lease->released};
    }
    return invoice_build(id, job->name, asset, meter, leases->len, error);
}

Invoice *bill_of_leases(const Job *job, MoneyAsset asset, GPtrArray *leases, GError **error)
{
    return build(job, asset, leases, 0, error);
}

Invoice *bill_build(Store *store, JobId id, GError **error)
{
    g_autoptr(Job) job = store_load_job(store, id, error);
    g_autoptr(JobSpec) spec = job ? store_get_spec(store, id, NULL, error) : NULL;
    g_autoptr(GPtrArray) leases = spec ? store_list_leases(store, id, error) : NULL;

    return leases ? build(job, bill_get_asset(spec), leases, 0, error) : NULL;
}

bool bill_post(Store *store, JobId id, int64_t at_ms, GError **error)
{
    g_autoptr(DbTx) tx = db_begin(store->db, true, error);
    g_autoptr(Job) job = tx ? store_load_job(store, id, error) : NULL;
    g_autoptr(JobSpec) spec = job ? store_get_spec(store, id, NULL, error) : NULL;
    g_autoptr(GPtrArray) leases = spec ? store_list_leases(store, id, error) : NULL;
    g_autoptr(Invoice) invoice = NULL;

    if (!leases)
        return false;
    for (guint i = leases->len; i > 0; i--) {
        const Lease *lease = g_ptr_array_index(leases, i - 1);

        if (!lease->released)
            g_ptr_array_remove_index(leases, i - 1);
    }
    invoice = build(job, bill_get_asset(spec), leases, 0, error);
    return invoice &&
           ledger_post_invoice(store->ledger, invoice, spec->payment.account, at_ms, error) &&
           store_mark_posted(store, id, error) && db_commit(tx, error);
}

/* What the renter would have paid in all, in USD micro rounded up, had the held leases gone on for
 * `more_ms`. An amount beyond int64 is more than any limit. */
static int64_t get_cost(GPtrArray *leases, MoneyAsset asset, int64_t more_ms)
{
    Job job = {.name = (char[]){"limit"}};
    g_autoptr(Invoice) invoice = build(&job, asset, leases, more_ms, NULL);
    int64_t rate = 0;
    __int128 cost;

    if (!invoice)
        return G_MAXINT64;
    if (asset == MONEY_USDC)
        return invoice->total;
    for (guint i = 0; i < leases->len; i++) {
        const Lease *lease = g_ptr_array_index(leases, i);

        rate = MAX(rate, lease->io_usd_micro);
    }
    cost = ((__int128)invoice->total * rate + IO_BASE_UNITS - 1) / IO_BASE_UNITS;
    return cost > G_MAXINT64 ? G_MAXINT64 : (int64_t)cost;
}

int64_t bill_get_time_left(GPtrArray *leases, MoneyAsset asset, int64_t limit_usd_micro)
{
    int64_t within = 0;
    int64_t beyond = TEN_YEARS_MS;

    if (limit_usd_micro == G_MAXINT64 || get_cost(leases, asset, beyond) <= limit_usd_micro)
        return G_MAXINT64;
    if (get_cost(leases, asset, 0) > limit_usd_micro)
        return -1;
    /* The cost never falls with time: halve the interval that holds the limit. */
    while (beyond - within > 1) {
        int64_t middle = within + (beyond - within) / 2;

        if (get_cost(leases, asset, middle) <= limit_usd_micro)
            within = middle;
        else
            beyond = middle;
    }
    return within;
}
