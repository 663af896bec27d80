/* SPDX-License-Identifier: Apache-2.0 */
#include "runner/cli/quote.h"

#include "runner/cli/format.h"
#include "runner/cli/jobs.h"
#include "runner/queue/bill.h"

#define HOUR_MS 3600000

/* What the invoice would say, were each device leased for `duration_ms`. */
static bool amount_get(Quote *quote, const PriceList *prices, int64_t duration_ms, int64_t *total,
                       GError **error)
{
    const GArray *devices = quote->match->devices;
    g_autofree MeterLease *leases = g_new0(MeterLease, devices->len);
    g_autoptr(Invoice) invoice = NULL;

    for (guint i = 0; i < devices->len; i++) {
        const MatchDevice *device = &g_array_index(devices, MatchDevice, i);

        leases[i] = (MeterLease){.id = device->device->id,
                                 .job = "quote",
                                 .supplier = "",
                                 .node = "",
                                 .device = device->device->id,
                                 .model = device->device->model,
                                 .price_usd_micro = device->price_usd_micro,
                                 .io_usd_micro = price_list_get_io_usd_micro(prices),
                                 .granted_at_ms = G_MAXINT64, /* by the newest fees */
                                 .used_ms = duration_ms};
    }
    invoice = invoice_build("quote", "", quote->asset, leases, devices->len, error);
    if (!invoice) {
        g_prefix_error(error, "no quote (lower limits.max_duration): ");
        return false;
    }
    *total = invoice->total;
    quote->fee_bp = invoice->fee_bp;
    return true;
}

Quote *quote_new(const JobSpec *spec, const Node *node, const PriceList *prices, GError **error)
{
    g_autoptr(Quote) quote = g_new0(Quote, 1);

    quote->asset = bill_get_asset(spec);
    quote->match = match_find(spec, node, prices, NULL);
    if (quote->match->result != MATCH_FITS)
        return g_steal_pointer(&quote);
    for (guint i = 0; i < quote->match->devices->len; i++)
        quote->price_usd_micro +=
            g_array_index(quote->match->devices, MatchDevice, i).price_usd_micro;
    if (!amount_get(quote, prices, HOUR_MS, &quote->per_hour, error) ||
        !amount_get(quote, prices, spec->limits.max_duration_ms + spec->checkpoint.grace_ms,
                    &quote->at_most, error))
        return NULL;
    return g_steal_pointer(&quote);
}

char *quote_format(const Quote *quote, const JobSpec *spec)
{
    g_autofree char *what = match_describe(quote->match);
    g_autofree char *per_hour = money_format(quote->asset, quote->per_hour);
    g_autofree char *at_most = money_format(quote->asset, quote->at_most);
    g_autofree char *duration = format_duration(spec->limits.max_duration_ms);
    g_autofree char *grace = format_duration(spec->checkpoint.grace_ms);
    g_autofree char *limit = NULL, *fee = NULL;

    if (quote->match->result != MATCH_FITS)
        return g_steal_pointer(&what);
    if (spec->limits.max_cost_usd_micro < INT64_MAX) {
        g_autofree char *usd = jobs_format_usd(spec->limits.max_cost_usd_micro);

        limit = g_strdup_printf(", and stops at %s", usd);
    }
    if (quote->fee_bp) {
        g_autofree char *percent = money_format_decimal(quote->fee_bp, 2);

        fee = g_strdup_printf("with %s %% fee ", percent);
    }
    return g_strdup_printf("%s: %s%s per hour, at most %s in %s and %s of grace%s", what,
                           fee ? fee : "", per_hour, at_most, duration, grace, limit ? limit : "");
}

json_t *quote_to_json(const Quote *quote, const JobSpec *spec)
{
    json_t *devices = json_array(), *reasons = json_array(), *json;
    const Match *match = quote->match;
    bool fits = match->result == MATCH_FITS;

    for (guint i = 0; fits && i < match->devices->len; i++) {
        const MatchDevice *device = &g_array_index(match->devices, MatchDevice, i);

        json_array_append_new(devices, json_pack("{s:s, s:s, s:I}", "device", device->device->id,
                                                 "model", device->device->model, "price_usd_micro",
                                                 (json_int_t)device->price_usd_micro));
    }
    for (guint i = 0; match->reasons && i < match->reasons->len; i++)
        json_array_append_new(reasons, json_string(g_ptr_array_index(match->reasons, i)));
    json =
        json_pack("{s:s, s:b, s:o, s:o, s:s, s:I, s:I}", "name", spec->name, "fits", fits,
                  "devices", devices, "reasons", reasons, "asset", money_asset_name(quote->asset),
                  "max_duration_ms", (json_int_t)spec->limits.max_duration_ms, "grace_ms",
                  (json_int_t)spec->checkpoint.grace_ms);
    if (fits) {
        jobs_set_amount(json, "per_hour", quote->asset, quote->per_hour);
        jobs_set_amount(json, "at_most", quote->asset, quote->at_most);
    }
    if (spec->limits.max_cost_usd_micro < INT64_MAX)
        json_object_set_new(json, "max_cost_usd_micro",
                            json_integer(spec->limits.max_cost_usd_micro));
    return json;
}

void quote_free(Quote *quote)
{
    if (!quote)
        return;
    g_clear_pointer(&quote->match, match_free);
    g_free(quote);
}
