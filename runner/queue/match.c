/* SPDX-License-Identifier: Apache-2.0
 *
 * Each entry of the resources is tried by itself: counts and sizes of the node first, then devices.
 * A device is wanted when model, memory and price fit; whether it is free comes last, so that
 * "wait" and "never" are told apart.
 */
#include "runner/queue/match.h"

#include <inttypes.h>
#include <string.h>

/* One entry on its way. */
typedef struct {
    const JobSpecResources *resources;
    const Node *node;
    const PriceList *prices;
    GHashTable *busy;
    GArray *devices; /* MatchDevice: chosen so far */
    char *reason;    /* why it does not fit */
    bool waits;      /* it would fit if nothing were leased */
} Try;

static char *format_usd(int64_t micro)
{
    char *text = g_strdup_printf("%" PRId64 ".%06" PRId64, micro / 1000000, micro % 1000000);
    size_t length = strlen(text);

    while (text[length - 1] == '0' && text[length - 3] != '.')
        text[--length] = '\0';
    return text;
}

static char *format_bytes(int64_t bytes)
{
    return g_format_size_full((guint64)bytes, G_FORMAT_SIZE_IEC_UNITS);
}

static bool check_nodes(Try *try)
{
    int64_t wanted = try->resources->num_nodes.min;

    if (wanted <= 1)
        return true;
    try->reason = g_strdup_printf("num_nodes: %" PRId64 " nodes asked, here is one ('%s'); write "
                                  "'num_nodes: 1', or a range that begins with 1",
                                  wanted, try->node->name);
    return false;
}

static bool check_cpus(Try *try)
{
    int64_t wanted = try->resources->cpus.min;

    if (wanted <= (int64_t)try->node->cpus->len)
        return true;
    try->reason =
        g_strdup_printf("cpus: %" PRId64 " asked, node '%s' has %u; write 'cpus: %u+'", wanted,
                        try->node->name, try->node->cpus->len, try->node->cpus->len);
    return false;
}

static bool check_bytes(Try *try, const char *field, int64_t wanted, int64_t there)
{
    g_autofree char *wanted_text = format_bytes(wanted);
    g_autofree char *there_text = format_bytes(there);

    if (wanted <= there)
        return true;
    try->reason =
        g_strdup_printf("%s: %s asked, node '%s' has %s; write '%s: %" PRId64 "MiB+'", field,
                        wanted_text, try->node->name, there_text, field, there / (1024 * 1024));
    return false;
}

/* "1 x cpu, 2 x H100": what the node has. */
static char *describe_devices(const Node *node)
{
    g_autoptr(GPtrArray) words = g_ptr_array_new_with_free_func(g_free);

    for (guint i = 0; i < node->devices->len; i++) {
        const Device *device = g_ptr_array_index(node->devices, i);
        guint same = 0;
        bool seen = false;

        for (guint j = 0; j < node->devices->len; j++) {
            const Device *other = g_ptr_array_index(node->devices, j);
            bool equal = g_str_equal(device->model, other->model);

            same += equal;
            seen |= equal && j < i;
        }
        if (!seen)
            g_ptr_array_add(words, g_strdup_printf("%u x %s", same, device->model));
    }
    g_ptr_array_add(words, NULL);
    return g_strjoinv(", ", (char **)words->pdata);
}

/* A GPU tells a little less or more memory than it is sold with: firmware, ECC, GB for GiB. */
static bool is_memory_as_sold(int64_t there, int64_t sold)
{
    return sold == 0 || (there >= sold - sold / 10 && there <= sold + sold / 10);
}

static bool is_chosen(const Try *try, const Device *device)
{
    for (guint i = 0; i < try->devices->len; i++) {
        if (g_array_index(try->devices, MatchDevice, i).device == device)
            return true;
    }
    return false;
}

/* What came of looking for one accelerator on the node. */
typedef struct {
    int64_t of_model;
    int64_t of_memory;
    int64_t of_price;
    int64_t free;
    int64_t other_memory; /* of one that has the model only */
    int64_t other_price;  /* of one that is too dear */
    char *price_error;    /* NULL: none */
} Search;

/* The memory a GPU is sold with, in its name and on price lists, given what it reports: a little
 * less, for firmware and ECC keep some. */
static int sold_gb(int64_t bytes)
{
    static const int sold[] = {2,  4,  6,  8,  10, 11, 12,  16,  20,  22,  24,  32,
                               40, 48, 64, 80, 94, 96, 128, 141, 180, 192, 256, 288};
    int64_t mib = bytes >> 20;

    for (size_t i = 0; i < G_N_ELEMENTS(sold); i++) {
        if (mib <= (int64_t)sold[i] * 1024)
            return sold[i];
    }
    return (int)MIN(mib / 1024, G_MAXINT);
}

/* Memory may make the price: A100-80GB is looked up before A100. */
static bool has_price(const Try *try, const Device *device, Search *search, int64_t *price)
{
    g_autofree char *name =
        g_strdup_printf("%s-%dGB", device->model, sold_gb(device->memory_bytes));
    g_autoptr(GError) failure = NULL;

    if (!price_list_find(try->prices, name, price, &failure)) {
        g_free(search->price_error);
        search->price_error = g_strdup(failure->message);
        return false;
    }
    if (*price <= try->resources->max_price_usd_micro)
        return true;
    search->other_price = *price;
    return false;
}

/* Takes the first `count` free devices that fit, in the order of the node. model NULL: any. */
static void search_devices(Try *try, const JobSpecAccelerator *wanted, Search *search)
{
    for (guint i = 0; i < try->node->devices->len; i++) {
        const Device *device = g_ptr_array_index(try->node->devices, i);
        bool held = try->busy && g_hash_table_contains(try->busy, device->id);
        MatchDevice found = {.device = device};

        if (is_chosen(try, device) ||
            (wanted->model && g_ascii_strcasecmp(wanted->model, device->model) != 0))
            continue;
        search->of_model++;
        if (!is_memory_as_sold(device->memory_bytes, wanted->memory_bytes)) {
            search->other_memory = device->memory_bytes;
            continue;
        }
        search->of_memory++;
        if (!has_price(try, device, search, &found.price_usd_micro))
            continue;
        search->of_price++;
        if (!held && search->free < wanted->count) {
            search->free++;
            g_array_append_val(try->devices, found);
        }
    }
}

static char *explain_none(const Try *try, const JobSpecAccelerator *wanted)
{
    g_autofree char *there = describe_devices(try->node);
    const Device *first = g_ptr_array_index(try->node->devices, 0);

    return g_strdup_printf("accelerators: node '%s' has no %s, it has %s%s%s; write 'accelerators: "
                           "%s', or leave the field out for any device",
                           try->node->name, wanted->model, there, try->node->note ? "; " : "",
                           try->node->note ? try->node->note : "", first->model);
}

static char *explain_price(const Try *try, const Search *search)
{
    g_autofree char *dear = format_usd(search->other_price);
    g_autofree char *limit = NULL;

    if (search->price_error)
        return g_strdup(search->price_error);
    limit = format_usd(try->resources->max_price_usd_micro);
    return g_strdup_printf(
        "max_price: %s USD per device-hour at most, on node '%s' it is %s; write "
        "'max_price: %s'",
        limit, try->node->name, dear, dear);
}

static char *explain(Try *try, const JobSpecAccelerator *wanted, const Search *search)
{
    const char *model = wanted->model ? wanted->model : "device";

    if (search->of_model == 0)
        return explain_none(try, wanted);
    if (search->of_model < wanted->count)
        return g_strdup_printf("accelerators: %" PRId64 " x %s asked, node '%s' has %" PRId64
                               "; write '%s:%" PRId64 "'",
                               wanted->count, model, try->node->name, search->of_model, model,
                               search->of_model);
    if (search->of_memory < wanted->count) {
        g_autofree char *asked = format_bytes(wanted->memory_bytes);
        g_autofree char *there = format_bytes(search->other_memory);

        return g_strdup_printf(
            "accelerators: %s with %s asked, on node '%s' it has %s; write '%s' for "
            "any memory",
            model, asked, try->node->name, there, model);
    }
    if (search->of_price < wanted->count)
        return explain_price(try, search);
    try->waits = true;
    /* In words that stay the same as long as the job waits: they are stored when they change. */
    return g_strdup_printf("accelerators: %" PRId64
                           " x %s asked, too few are free on node '%s' now; "
                           "`drover list` shows who has them",
                           wanted->count, model, try->node->name);
}

static bool choose(Try *try, const JobSpecAccelerator *wanted)
{
    Search search = {0};

    search_devices(try, wanted, &search);
    if (search.free < wanted->count)
        try->reason = explain(try, wanted, &search);
    g_free(search.price_error);
    return search.free == wanted->count;
}

static bool choose_devices(Try *try)
{
    const JobSpecResources *resources = try->resources;
    /* A mixed list gives each node in turn one of its entries: the first node the first. */
    guint entries = resources->accelerators_mixed ? MIN(1, resources->accelerators->len)
                                                  : resources->accelerators->len;
    const JobSpecAccelerator any = {.count = 1};

    if (entries == 0)
        return choose(try, &any);
    for (guint i = 0; i < entries; i++) {
        if (!choose(try, g_ptr_array_index(resources->accelerators, i)))
            return false;
    }
    return true;
}

static bool try_entry(Try *try)
{
    return check_nodes(try) && check_cpus(try) &&
           check_bytes(try, "memory", try->resources->memory_bytes.min, try->node->memory_bytes) &&
           check_bytes(try, "disk", try->resources->disk_bytes.min, try->node->disk_bytes) &&
           choose_devices(try);
}

static void add_reason(Match *match, const JobSpec *spec, size_t entry, Try *try)
{
    g_autofree char *reason = g_steal_pointer(&try->reason);

    if (spec->resources->len > 1)
        g_ptr_array_add(match->reasons,
                        g_strdup_printf("resources.any_of[%zu].%s", entry + 1, reason));
    else
        g_ptr_array_add(match->reasons, g_strdup_printf("resources.%s", reason));
}

Match *match_find(const JobSpec *spec, const Node *node, const PriceList *prices, GHashTable *busy)
{
    Match *match = g_new0(Match, 1);
    bool waits = false;

    match->devices = g_array_new(false, false, sizeof(MatchDevice));
    match->reasons = g_ptr_array_new_with_free_func(g_free);
    match->result = MATCH_NONE;
    for (guint i = 0; i < spec->resources->len; i++) {
        Try try = {.resources = g_ptr_array_index(spec->resources, i),
                   .node = node,
                   .prices = prices,
                   .busy = busy,
                   .devices = match->devices};

        g_array_set_size(match->devices, 0);
        if (try_entry(&try)) {
            match->result = MATCH_FITS;
            match->entry = i;
            match->cpus = MIN((int64_t)node->cpus->len, try.resources->cpus.max);
            return match;
        }
        waits |= try.waits;
        add_reason(match, spec, i, &try);
    }
    g_array_set_size(match->devices, 0);
    if (waits)
        match->result = MATCH_BUSY;
    return match;
}

static char *describe_chosen(const Match *match)
{
    GString *text = g_string_new(NULL);

    for (guint i = 0; i < match->devices->len;) {
        const MatchDevice *first = &g_array_index(match->devices, MatchDevice, i);
        g_autofree char *price = format_usd(first->price_usd_micro);
        guint count = 0;

        while (i < match->devices->len &&
               g_str_equal(first->device->model,
                           g_array_index(match->devices, MatchDevice, i).device->model)) {
            count++;
            i++;
        }
        g_string_append_printf(text, "%s%s x %u at %s USD an hour%s", text->len ? ", " : "",
                               first->device->model, count, price, count > 1 ? " each" : "");
    }
    return g_string_free(text, false);
}

char *match_describe(const Match *match)
{
    GString *text;

    if (match->result == MATCH_FITS)
        return describe_chosen(match);
    text = g_string_new(NULL);
    for (guint i = 0; i < match->reasons->len; i++)
        g_string_append_printf(text, "%s%s", i ? "\n" : "",
                               (const char *)g_ptr_array_index(match->reasons, i));
    return g_string_free(text, false);
}

void match_free(Match *match)
{
    if (!match)
        return;
    g_array_unref(match->devices);
    g_ptr_array_unref(match->reasons);
    g_free(match);
}
