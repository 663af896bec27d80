/* SPDX-License-Identifier: Apache-2.0
 *
 * From leases to what is owed. An invoice is a pure function of the leases: nothing is added up
 * from earlier invoices, so one made while the job runs, after a crash or a year later says the
 * same about the same time. C, the exact cost, is kept per supplier as a count of 1/3,600,000 base
 * units:
 *
 *     C(supplier) = sum over its leases of price (base units per device-hour) * used_ms
 *     gross       = sum over suppliers of floor(C / 3,600,000)
 *     fee         = floor(gross * fee_bp / 10,000)
 *
 * Prices may differ between leases: the denominator is the same for all, because a price is
 * converted into a whole number of base units of the asset before time enters.
 */
#include "billing/billing.h"

static void line_free(void *data)
{
    InvoiceLine *line = data;

    g_free(line->supplier);
    g_free(line->model);
    g_free(line);
}

void invoice_free(Invoice *invoice)
{
    if (!invoice)
        return;
    g_free(invoice->job);
    g_free(invoice->name);
    g_ptr_array_unref(invoice->lines);
    g_free(invoice);
}

bool invoice_fee(int64_t gross, int64_t bp, int64_t *fee, GError **error)
{
    MoneyExact exact = (MoneyExact)gross * (MoneyExact)bp;

    return money_round(&exact, 1, MONEY_BP_PER_ONE, fee, error);
}

static bool add(int64_t a, int64_t b, int64_t *sum, GError **error)
{
    int64_t result = 0;

    if (!__builtin_add_overflow(a, b, &result)) {
        *sum = result;
        return true;
    }
    g_set_error(error, BILLING_ERROR, BILLING_ERROR_RANGE,
                "the total leaves the range of amounts (2^63 - 1 base units)");
    return false;
}

static InvoiceLine *line_new(const MeterUsage *usage, MoneyAsset asset, GError **error)
{
    int64_t price = 0;
    InvoiceLine *line = NULL;

    if (!money_price(asset, usage->price_usd_micro, usage->io_usd_micro, &price, error)) {
        g_autofree char *model = g_strescape(usage->model, NULL);

        g_prefix_error(error, "device model '%s': ", model);
        return NULL;
    }
    line = g_new0(InvoiceLine, 1);
    line->supplier = g_strdup(usage->supplier);
    line->model = g_strdup(usage->model);
    line->attempt = usage->attempt;
    line->devices = usage->devices;
    line->gpu_ms = usage->gpu_ms;
    line->price_usd_micro = usage->price_usd_micro;
    line->io_usd_micro = usage->io_usd_micro;
    line->price = price;
    return line;
}

/* Rounds the cost of the `count` lines of one supplier and hands each its share. */
static bool lines_charge(InvoiceLine *const *lines, size_t count, int64_t *sum, GError **error)
{
    g_autofree MoneyExact *exact = g_new(MoneyExact, count);
    g_autofree int64_t *units = g_new(int64_t, count);

    for (size_t i = 0; i < count; i++)
        exact[i] = (MoneyExact)lines[i]->price * (MoneyExact)lines[i]->gpu_ms;
    if (!money_round(exact, count, MONEY_MS_PER_HOUR, units, error)) {
        g_autofree char *supplier = g_strescape(lines[0]->supplier, NULL);

        g_prefix_error(error, "supplier '%s': ", supplier);
        return false;
    }
    *sum = 0;
    for (size_t i = 0; i < count; i++) {
        lines[i]->gross = units[i];
        *sum += units[i]; /* money_round() has checked that the sum fits */
    }
    return true;
}

/* The lines are sorted by supplier; each run of one supplier is rounded as a whole. */
static bool invoice_charge(Invoice *invoice, GError **error)
{
    InvoiceLine **lines = (InvoiceLine **)invoice->lines->pdata;
    guint count = invoice->lines->len;

    for (guint begin = 0, end = 0; begin < count; begin = end) {
        int64_t sum = 0;

        while (end < count && strcmp(lines[end]->supplier, lines[begin]->supplier) == 0)
            invoice->gpu_ms += lines[end++]->gpu_ms;
        if (!lines_charge(lines + begin, end - begin, &sum, error) ||
            !add(invoice->gross, sum, &invoice->gross, error))
            return false;
    }
    return invoice_fee(invoice->gross, invoice->fee_bp, &invoice->fee, error) &&
           add(invoice->gross, invoice->fee, &invoice->total, error);
}

Invoice *invoice_build(const char *job, const char *name, MoneyAsset asset,
                       const MeterLease *leases, size_t leases_count, GError **error)
{
    g_autoptr(GPtrArray) usages = meter_sum(job, leases, leases_count, error);
    g_autoptr(Invoice) invoice = g_new0(Invoice, 1);
    int64_t first_at_ms = INT64_MAX;
    const Fee *fee = NULL;

    invoice->job = g_strdup(job);
    invoice->name = g_strdup(name);
    invoice->asset = asset;
    invoice->lines = g_ptr_array_new_with_free_func(line_free);
    invoice->final = true;
    if (!usages)
        return NULL;
    for (size_t i = 0; i < leases_count; i++) {
        invoice->final = invoice->final && leases[i].released;
        first_at_ms = MIN(first_at_ms, leases[i].granted_at_ms);
    }
    fee = fee_get_renter(asset, first_at_ms);
    invoice->fee_bp = fee->bp;
    invoice->fee_version = fee->version;
    for (guint i = 0; i < usages->len; i++) {
        InvoiceLine *line = line_new(usages->pdata[i], asset, error);

        if (!line)
            return NULL;
        g_ptr_array_add(invoice->lines, line);
    }
    if (!invoice_charge(invoice, error))
        return NULL;
    return g_steal_pointer(&invoice);
}

/* JSON is UTF-8; names from outside need not be. */
static json_t *text_to_json(const char *text)
{
    g_autofree char *valid = g_utf8_make_valid(text, -1);

    return json_string(valid);
}

/* An amount twice: `key` for people and exact in any parser, `key`_units for programs. */
static void amount_to_json(json_t *json, const char *key, int64_t amount, int decimals)
{
    g_autofree char *decimal = money_format_decimal(amount, decimals);
    g_autofree char *units = g_strconcat(key, "_units", NULL);

    json_object_set_new(json, key, json_string(decimal));
    json_object_set_new(json, units, json_integer(amount));
}

static json_t *line_to_json(const InvoiceLine *line, MoneyAsset asset)
{
    int decimals = money_asset_decimals(asset);
    json_t *json = json_object();

    json_object_set_new(json, "supplier", text_to_json(line->supplier));
    json_object_set_new(json, "model", text_to_json(line->model));
    json_object_set_new(json, "attempt", json_integer(line->attempt));
    json_object_set_new(json, "devices", json_integer(line->devices));
    json_object_set_new(json, "gpu_ms", json_integer(line->gpu_ms));
    json_object_set_new(json, "price_usd_micro", json_integer(line->price_usd_micro));
    json_object_set_new(json, "io_usd_micro", json_integer(line->io_usd_micro));
    amount_to_json(json, "price", line->price, decimals);
    amount_to_json(json, "gross", line->gross, decimals);
    return json;
}

json_t *invoice_to_json(const Invoice *invoice)
{
    int decimals = money_asset_decimals(invoice->asset);
    json_t *json = json_object();
    json_t *lines = json_array();

    for (guint i = 0; i < invoice->lines->len; i++)
        json_array_append_new(lines, line_to_json(invoice->lines->pdata[i], invoice->asset));
    json_object_set_new(json, "job", text_to_json(invoice->job));
    json_object_set_new(json, "name", text_to_json(invoice->name));
    json_object_set_new(json, "asset", json_string(money_asset_name(invoice->asset)));
    json_object_set_new(json, "decimals", json_integer(decimals));
    json_object_set_new(json, "final", json_boolean(invoice->final));
    json_object_set_new(json, "lines", lines);
    json_object_set_new(json, "gpu_ms", json_integer(invoice->gpu_ms));
    amount_to_json(json, "gross", invoice->gross, decimals);
    json_object_set_new(json, "fee_version", json_integer(invoice->fee_version));
    json_object_set_new(json, "fee_bp", json_integer(invoice->fee_bp));
    amount_to_json(json, "fee", invoice->fee, decimals);
    amount_to_json(json, "total", invoice->total, decimals);
    return json;
}
