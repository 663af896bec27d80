/* SPDX-License-Identifier: Apache-2.0
 *
 * The price list: built in, or a JSON file that operators edit (its form: billing/README.md).
 *
 * Prices are decimals in quotes, never JSON numbers: 0.1 as a JSON number is not 0.1 in any parser
 * that reads doubles. jansson reads the text and knows where a syntax error is, but not where a
 * value stood; since such a text is small and by then known to be valid JSON, a mistake in a value
 * is found again by walking over it (member_find). Everything is bounded: size of the file, of a
 * name, of a price.
 */
#include "billing/billing.h"

#include <errno.h>
#include <string.h>

#define FILE_SIZE_MAX       (256 * 1024)
#define MODEL_LENGTH_MAX    64
#define USD_MICRO_MAX       INT64_C(1000000000000) /* a million USD */
#define EXCERPT_COLUMNS_MAX 96
#define MEMBER_VERSION      "version"
#define MEMBER_RATE         "usd_per_io"
#define MEMBER_PRICES       "usd_per_device_hour"

typedef struct {
    const char *model;
    int64_t usd_micro; /* per device-hour */
} Price;

/* Examples to try drover with; they follow no market. `cpu` is a whole node without GPUs. */
static const Price built_in[] = {
    {"cpu", 40000},         {"GTX1080Ti", 60000},   {"T4", 120000},       {"V100", 250000},
    {"RTX2080Ti", 90000},   {"RTX3060", 80000},     {"RTX3070", 100000},  {"RTX3080", 140000},
    {"RTX3090", 220000},    {"RTX4070", 180000},    {"RTX4080", 280000},  {"RTX4090", 390000},
    {"RTX5080", 400000},    {"RTX5090", 690000},    {"RTXA4000", 170000}, {"RTXA5000", 260000},
    {"RTXA6000", 490000},   {"RTX6000Ada", 770000}, {"A10", 330000},      {"A40", 440000},
    {"L4", 430000},         {"L40", 840000},        {"L40S", 860000},     {"A100", 1290000},
    {"A100-80GB", 1490000}, {"H100", 2200000},      {"H200", 3190000},    {"GH200", 1990000},
    {"B200", 4990000},      {"MI250", 1150000},     {"MI300X", 2490000},
};
static const int64_t built_in_io_usd_micro = 150000; /* an example, not a quotation */

struct PriceList {
    char *source;
    int64_t io_usd_micro;
    GHashTable *prices; /* char * -> int64_t *: USD micro per device-hour */
};

/* ---- where something stands in the text ---- */

typedef struct {
    const char *text;
    size_t size;
    const char *source;
} PriceText;

/* The end of the JSON string that begins at `at`. */
static size_t string_end(const PriceText *text, size_t at)
{
    for (at++; at < text->size && text->text[at] != '"'; at++)
        at += text->text[at] == '\\' ? 1 : 0;
    return MIN(at + 1, text->size);
}

static bool string_equals(const PriceText *text, size_t begin, size_t end, const char *expected)
{
    json_t *json = json_loadb(text->text + begin, end - begin, JSON_DECODE_ANY, NULL);
    bool equal = json && strcmp(json_string_value(json), expected) == 0;

    json_decref(json);
    return equal;
}

static size_t skip_blanks(const PriceText *text, size_t at)
{
    while (at < text->size && strchr(" \t\r\n", text->text[at]) && text->text[at] != '\0')
        at++;
    return at;
}

/* A member of the root or, where `parent` is not NULL, of the root's member `parent`. */
typedef struct {
    const PriceText *text;
    const char *parent;
    const char *name;
} Member;

/* The offset of the member's value, or of its name. The text is valid JSON. 0: not there. */
static size_t member_find(const Member *member, bool name)
{
    const PriceText *text = member->text;
    int depth = 0;
    int wanted = member->parent ? 2 : 1;
    bool inside = !member->parent;

    for (size_t at = 0; at < text->size; at++) {
        char c = text->text[at];
        size_t end = 0;
        size_t colon = 0;

        if (c == '{' || c == '[')
            depth++;
        else if (c == '}' || c == ']')
            depth--;
        if (c != '"')
            continue;
        end = string_end(text, at);
        colon = skip_blanks(text, end);
        if (colon < text->size && text->text[colon] == ':') {
            if (depth == wanted && inside && string_equals(text, at, end, member->name))
                return name ? at : skip_blanks(text, colon + 1);
            if (depth == 1 && member->parent)
                inside = string_equals(text, at, end, member->parent);
        }
        at = end - 1;
    }
    return 0;
}

/* At most `columns_max` characters of `bytes`, as they may be printed. */
static char *printable(const char *bytes, size_t length, int columns_max)
{
    g_autofree char *copy = g_strndup(bytes, length);
    g_autofree char *valid = g_utf8_make_valid(copy, -1);
    GString *safe = g_string_new(NULL);
    int columns = 0;

    for (char *p = valid; *p != '\0' && columns < columns_max; p = g_utf8_next_char(p)) {
        gunichar c = g_utf8_get_char(p);

        g_string_append_unichar(safe, c == '\t' ? ' ' : g_unichar_isprint(c) ? c : '?');
        columns++;
    }
    return g_string_free(safe, FALSE);
}

/* An error at `offset`: where, what, and the line with a caret under the place where both are seen.
 */
static void text_fail(const PriceText *text, size_t offset, const char *what, GError **error)
{
    size_t at = MIN(offset, text->size);
    size_t begin = at;
    size_t end = at;
    int line = 1;
    int column = 1;
    g_autofree char *shown = NULL;

    while (begin > 0 && text->text[begin - 1] != '\n')
        begin--;
    while (end < text->size && text->text[end] != '\n')
        end++;
    for (size_t i = 0; i < begin; i++)
        line += text->text[i] == '\n';
    for (size_t i = begin; i < at; i++)
        column +=
            ((unsigned char)text->text[i] & 0xC0) != 0x80; /* a byte that begins a character */
    shown = printable(text->text + begin, end - begin, EXCERPT_COLUMNS_MAX);
    if (column > EXCERPT_COLUMNS_MAX)
        g_set_error(error, BILLING_ERROR, BILLING_ERROR_PRICE, "%s:%d:%d: %s", text->source, line,
                    column, what);
    else
        g_set_error(error, BILLING_ERROR, BILLING_ERROR_PRICE,
                    "%s:%d:%d: %s\n%5d | %s\n      | %*s", text->source, line, column, what, line,
                    shown, column, "^");
}

/* An error about a member: its value, or its name where that is what is wrong. Returns false. */
static bool member_fail(const Member *member, bool key, const char *what, GError **error)
{
    const char *parent = member->parent;
    g_autofree char *shown = printable(member->name, strlen(member->name), MODEL_LENGTH_MAX);
    g_autofree char *message =
        g_strdup_printf("%s%s%s: %s", parent ? parent : "", parent ? "." : "", shown, what);

    text_fail(member->text, member_find(member, key), message, error);
    return false;
}

/* ---- the members of the file ---- */

static bool read_usd(const Member *member, const json_t *value, int64_t *usd_micro, GError **error)
{
    g_autoptr(GError) reason = NULL;

    if (!json_is_string(value))
        return member_fail(member, false, "a price is a decimal in quotes (try \"2.20\")", error);
    if (!money_parse(json_string_value(value), 6, usd_micro, &reason))
        return member_fail(member, false, reason->message, error);
    if (*usd_micro < 0 || *usd_micro > USD_MICRO_MAX)
        return member_fail(member, false, "a price is between 0 and 1000000 USD", error);
    return true;
}

static bool model_is_valid(const char *model)
{
    size_t length = strlen(model);

    return length >= 1 && length <= MODEL_LENGTH_MAX &&
           strspn(model, G_CSET_A_2_Z G_CSET_a_2_z G_CSET_DIGITS "-_.") == length;
}

static void prices_add(GHashTable *prices, const char *model, int64_t usd_micro)
{
    g_hash_table_insert(prices, g_strdup(model), g_memdup2(&usd_micro, sizeof usd_micro));
}

static bool read_prices(const PriceText *text, const json_t *object, GHashTable *prices,
                        GError **error)
{
    const char *model = NULL;
    json_t *value = NULL;

    if (!json_is_object(object) || json_object_size(object) == 0)
        return member_fail(&(Member){text, NULL, MEMBER_PRICES}, false,
                           "this is an object with a price per device model "
                           "(try {\"RTX4090\": \"0.39\"})",
                           error);
    /* jansson's iterator takes no const object; it does not change it. */
    json_object_foreach((json_t *)(uintptr_t)object, model, value)
    {
        const Member member = {text, MEMBER_PRICES, model};
        int64_t usd_micro = 0;

        if (!model_is_valid(model))
            return member_fail(&member, true,
                               "a device model is 1 to 64 of A-Z a-z 0-9 - _ . (try \"RTX4090\")",
                               error);
        if (!read_usd(&member, value, &usd_micro, error))
            return false;
        prices_add(prices, model, usd_micro);
    }
    return true;
}

static bool read_members(const PriceText *text, const json_t *root, PriceList *list, GError **error)
{
    static const char *const members[] = {MEMBER_VERSION, MEMBER_RATE, MEMBER_PRICES};
    const Member rate = {text, NULL, MEMBER_RATE};
    const char *key = NULL;
    json_t *value = NULL;

    json_object_foreach((json_t *)(uintptr_t)root, key, value)
    {
        bool known = false;

        for (size_t i = 0; i < G_N_ELEMENTS(members); i++)
            known = known || strcmp(key, members[i]) == 0;
        if (!known)
            return member_fail(&(Member){text, NULL, key}, true,
                               "unknown member (there are " MEMBER_VERSION ", " MEMBER_RATE
                               " and " MEMBER_PRICES ")",
                               error);
    }
    for (size_t i = 0; i < G_N_ELEMENTS(members); i++) {
        if (!json_object_get(root, members[i])) {
            g_autofree char *what = g_strdup_printf("'%s' is missing", members[i]);

            text_fail(text, skip_blanks(text, 0), what, error);
            return false;
        }
    }
    if (json_integer_value(json_object_get(root, MEMBER_VERSION)) != 1)
        return member_fail(&(Member){text, NULL, MEMBER_VERSION}, false,
                           "this drover reads version 1", error);
    if (!read_usd(&rate, json_object_get(root, MEMBER_RATE), &list->io_usd_micro, error))
        return false;
    if (list->io_usd_micro == 0)
        return member_fail(&rate, false, "the price of one IO is above 0", error);
    return read_prices(text, json_object_get(root, MEMBER_PRICES), list->prices, error);
}

/* ---- the list ---- */

static PriceList *list_new(const char *source)
{
    PriceList *list = g_new0(PriceList, 1);

    list->source = g_strdup(source);
    list->prices = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    return list;
}

void price_list_free(PriceList *list)
{
    if (!list)
        return;
    g_free(list->source);
    g_hash_table_unref(list->prices);
    g_free(list);
}

PriceList *price_list_parse(const char *bytes, size_t size, const char *source, GError **error)
{
    const PriceText text = {size > 0 ? bytes : "", size, source};
    g_autoptr(PriceList) list = list_new(source);
    json_error_t where;
    json_t *root = NULL;
    bool ok = false;

    if (size > FILE_SIZE_MAX) {
        g_set_error(error, BILLING_ERROR, BILLING_ERROR_PRICE,
                    "%s: larger than a price list may be (%d KiB)", source, FILE_SIZE_MAX / 1024);
        return NULL;
    }
    root = json_loadb(text.text, size, JSON_REJECT_DUPLICATES, &where);
    if (!root) {
        g_autofree char *reason = printable(where.text, strlen(where.text), 120);
        g_autofree char *what = g_strdup_printf("not JSON: %s", reason);

        text_fail(&text, where.position > 0 ? (size_t)where.position - 1 : 0, what, error);
        return NULL;
    }
    if (json_is_object(root))
        ok = read_members(&text, root, list, error);
    else
        text_fail(&text, skip_blanks(&text, 0), "a price list is one JSON object, in { }", error);
    json_decref(root);
    return ok ? g_steal_pointer(&list) : NULL;
}

static PriceList *list_built_in(void)
{
    PriceList *list = list_new("built in");

    for (size_t i = 0; i < G_N_ELEMENTS(built_in); i++)
        prices_add(list->prices, built_in[i].model, built_in[i].usd_micro);
    list->io_usd_micro = built_in_io_usd_micro;
    return list;
}

PriceList *price_list_load(const char *path, GError **error)
{
    g_autofree char *bytes = g_malloc(FILE_SIZE_MAX + 1);
    FILE *file = NULL;
    size_t size = 0;
    int code = 0;

    if (!path)
        return list_built_in();
    errno = 0;
    file = fopen(path, "rbe");
    if (file) {
        size = fread(bytes, 1, FILE_SIZE_MAX + 1, file);
        code = ferror(file) ? errno : 0;
        fclose(file);
    } else {
        code = errno;
    }
    if (code != 0) {
        g_set_error(error, BILLING_ERROR, BILLING_ERROR_PRICE, "price list %s cannot be read: %s",
                    path, g_strerror(code));
        return NULL;
    }
    return price_list_parse(bytes, size, path, error);
}

/* The length of `model` without a memory suffix ("H100-80GB", "A100-40GiB"); 0 where it has none.
 */
static size_t length_without_memory(const char *model)
{
    static const char *const units[] = {"MB", "MiB", "GB", "GiB", "TB", "TiB"};
    const char *dash = strrchr(model, '-');
    size_t digits = dash ? strspn(dash + 1, G_CSET_DIGITS) : 0;

    for (size_t i = 0; digits > 0 && i < G_N_ELEMENTS(units); i++) {
        if (strcmp(dash + 1 + digits, units[i]) == 0)
            return (size_t)(dash - model);
    }
    return 0;
}

bool price_list_find(const PriceList *list, const char *model, int64_t *usd_micro_per_hour,
                     GError **error)
{
    g_autofree char *base = g_strndup(model, length_without_memory(model));
    const int64_t *price = g_hash_table_lookup(list->prices, model);

    if (!price)
        price = g_hash_table_lookup(list->prices, base);
    if (!price) {
        g_autofree char *shown = printable(model, strlen(model), MODEL_LENGTH_MAX);

        g_set_error(error, BILLING_ERROR, BILLING_ERROR_PRICE,
                    "no price for device model '%s' in price list %s: add it under "
                    "\"" MEMBER_PRICES "\"",
                    shown, list->source);
        return false;
    }
    *usd_micro_per_hour = *price;
    return true;
}

int64_t price_list_get_io_usd_micro(const PriceList *list)
{
    return list->io_usd_micro;
}

const char *price_list_get_source(const PriceList *list)
{
    return list->source;
}
