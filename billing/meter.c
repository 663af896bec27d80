/* SPDX-License-Identifier: Apache-2.0
 *
 * Leased time from leases. A lease is a statement with an id: however often it arrives it counts
 * once, and two statements under one id that differ are refused, because one of them would be
 * billed wrongly. Everything works on sorted pointers, so the order of arrival cannot show in the
 * result.
 */
#include "billing/billing.h"

static int compare_int64(int64_t a, int64_t b)
{
    return a < b ? -1 : a > b;
}

/* Leases that compare equal here are one line of the bill. */
static int compare_kinds(const MeterLease *a, const MeterLease *b)
{
    int order = strcmp(a->supplier, b->supplier);

    if (order == 0)
        order = strcmp(a->model, b->model);
    if (order == 0)
        order = compare_int64(a->attempt, b->attempt);
    if (order == 0)
        order = compare_int64(a->price_usd_micro, b->price_usd_micro);
    if (order == 0)
        order = compare_int64(a->io_usd_micro, b->io_usd_micro);
    return order;
}

static int compare_devices(const MeterLease *a, const MeterLease *b)
{
    int order = strcmp(a->node, b->node);

    return order == 0 ? strcmp(a->device, b->device) : order;
}

static int sort_by_id(const void *a, const void *b)
{
    const MeterLease *const *x = a;
    const MeterLease *const *y = b;

    return strcmp((*x)->id, (*y)->id);
}

static int sort_by_kind(const void *a, const void *b)
{
    const MeterLease *const *x = a;
    const MeterLease *const *y = b;
    int order = compare_kinds(*x, *y);

    return order == 0 ? compare_devices(*x, *y) : order;
}

static bool lease_is_same(const MeterLease *a, const MeterLease *b)
{
    return compare_kinds(a, b) == 0 && compare_devices(a, b) == 0 && strcmp(a->job, b->job) == 0 &&
           a->granted_at_ms == b->granted_at_ms && a->used_ms == b->used_ms &&
           a->released == b->released;
}

static bool lease_fail(const MeterLease *lease, BillingError code, const char *what, GError **error)
{
    g_autofree char *id = g_strescape(lease->id, NULL);

    g_set_error(error, BILLING_ERROR, (gint)code, "lease '%s': %s", id, what);
    return false;
}

static bool lease_check(const MeterLease *lease, const char *job, GError **error)
{
    if (strcmp(lease->job, job) != 0)
        return lease_fail(lease, BILLING_ERROR_INPUT, "it belongs to another job", error);
    if (lease->used_ms < 0)
        return lease_fail(lease, BILLING_ERROR_INPUT, "its used time is negative", error);
    if (lease->price_usd_micro < 0)
        return lease_fail(lease, BILLING_ERROR_INPUT, "its price is negative", error);
    return true;
}

/* The leases, checked and each id once. */
static GPtrArray *leases_collect(const char *job, const MeterLease *leases, size_t count,
                                 GError **error)
{
    g_autoptr(GPtrArray) all = g_ptr_array_new();
    g_autoptr(GPtrArray) once = g_ptr_array_new();
    int64_t gpu_ms = 0;

    for (size_t i = 0; i < count; i++) {
        if (!lease_check(&leases[i], job, error))
            return NULL;
        g_ptr_array_add(all, (gpointer)(uintptr_t)&leases[i]);
    }
    g_ptr_array_sort(all, sort_by_id);
    for (guint i = 0; i < all->len; i++) {
        const MeterLease *lease = all->pdata[i];
        const MeterLease *previous = once->len > 0 ? once->pdata[once->len - 1] : NULL;

        if (!previous || strcmp(previous->id, lease->id) != 0) {
            g_ptr_array_add(once, all->pdata[i]);
            if (__builtin_add_overflow(gpu_ms, lease->used_ms, &gpu_ms)) {
                lease_fail(lease, BILLING_ERROR_RANGE,
                           "with it the job's time leaves the range (2^63 - 1 ms)", error);
                return NULL;
            }
        } else if (!lease_is_same(previous, lease)) {
            lease_fail(lease, BILLING_ERROR_CONFLICT, "given twice with different content", error);
            return NULL;
        }
    }
    return g_steal_pointer(&once);
}

static void usage_free(void *data)
{
    MeterUsage *usage = data;

    g_free(usage->supplier);
    g_free(usage->model);
    g_free(usage);
}

static MeterUsage *usage_new(const MeterLease *lease)
{
    MeterUsage *usage = g_new0(MeterUsage, 1);

    usage->supplier = g_strdup(lease->supplier);
    usage->model = g_strdup(lease->model);
    usage->attempt = lease->attempt;
    usage->price_usd_micro = lease->price_usd_micro;
    usage->io_usd_micro = lease->io_usd_micro;
    return usage;
}

GPtrArray *meter_sum(const char *job, const MeterLease *leases, size_t leases_count, GError **error)
{
    g_autoptr(GPtrArray) sorted = leases_collect(job, leases, leases_count, error);
    GPtrArray *usages = NULL;
    MeterUsage *usage = NULL;
    const MeterLease *previous = NULL;

    if (!sorted)
        return NULL;
    usages = g_ptr_array_new_with_free_func(usage_free);
    g_ptr_array_sort(sorted, sort_by_kind);
    for (guint i = 0; i < sorted->len; i++) {
        const MeterLease *lease = sorted->pdata[i];
        bool same_kind = previous && compare_kinds(previous, lease) == 0;

        if (!same_kind)
            g_ptr_array_add(usages, usage = usage_new(lease));
        if (!same_kind || compare_devices(previous, lease) != 0)
            usage->devices++;
        usage->gpu_ms += lease->used_ms;
        previous = lease;
    }
    return usages;
}
