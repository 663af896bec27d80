/* SPDX-License-Identifier: Apache-2.0
 *
 * A reader per field type, in one table. Each gets a node, says everything that is wrong with it at
 * the node's place, and writes the record only when all is right.
 */
#include "jobspec/value.h"
#include "jobspec/accelerator.h"
#include "jobspec/group.h"
#include "jobspec/record.h"

#include <string.h>

#define ENTRY_BYTES 64 /* around a text: allocations and pointers */

#define FAIL(reader, code, node, ...) \
    (diag_add((reader)->diags, code, &(node)->position, __VA_ARGS__), false)

GRegex **value_patterns_new(void)
{
    size_t count;

    field_table(&count);
    return g_new0(GRegex *, 2 * count);
}

void value_patterns_free(GRegex **patterns)
{
    size_t count;

    field_table(&count);
    for (size_t i = 0; i < 2 * count; i++)
        g_clear_pointer(&patterns[i], g_regex_unref);
    g_free(patterns);
}

/* ---- what every type checks ---- */

static ScalarKind node_kind(const TreeNode *node)
{
    return node->plain ? scalar_resolve(node->text) : SCALAR_STRING;
}

static const char *kind_name(const TreeNode *node)
{
    static const char *const names[] = {[SCALAR_NULL] = "null",
                                        [SCALAR_BOOL] = "true or false",
                                        [SCALAR_INT] = "a number",
                                        [SCALAR_FLOAT] = "a number",
                                        [SCALAR_STRING] = "text"};

    if (node->kind != TREE_SCALAR)
        return node->kind == TREE_LIST ? "a list" : "a mapping";
    return names[node_kind(node)];
}

/* How a message calls the node: its text in quotes, or "a list". Free with g_free. */
static char *node_quote(const TreeNode *node)
{
    return node->kind == TREE_SCALAR ? diag_quote(node->text) : g_strdup(kind_name(node));
}

/* "where.green: 'yes' is not true or false (try 'true')" */
static bool fail_type(ValueReader *reader, const Field *field, const TreeNode *node)
{
    g_autofree char *expected = field_describe(field);
    g_autofree char *quoted = node_quote(node);

    return FAIL(reader, DIAG_TYPE, node, "%s: %s is not %s (try '%s')", field->path, quoted,
                expected, field->example);
}

/* Is the text a string to YAML? Otherwise it must be quoted to be one. */
static bool check_string(ValueReader *reader, const Field *field, const TreeNode *node)
{
    g_autofree char *quoted = NULL;

    if (node->kind == TREE_SCALAR && node_kind(node) == SCALAR_STRING)
        return true;
    quoted = node_quote(node);
    if (node->kind != TREE_SCALAR)
        return FAIL(reader, DIAG_TYPE, node, "%s: %s is not text (try '%s')", field->path, quoted,
                    field->example);
    return FAIL(reader, DIAG_TYPE, node, "%s: %s is %s to YAML, not text (put it in quotes)",
                field->path, quoted, kind_name(node));
}

static bool check_characters(ValueReader *reader, const Field *field, const TreeNode *node)
{
    for (const char *p = node->text; *p; p = diag_next_char(p)) {
        gunichar c = g_utf8_get_char(p);

        if (c == '\t' || c == '\n' || (c >= 0x20 && c < 0x7f))
            continue;
        if (c < 0xa0 || c == 0x2028 || c == 0x2029 || c == 0xfeff || (c & 0xfffe) == 0xfffe)
            return FAIL(reader, DIAG_ENCODING, node,
                        "%s: the text holds the control character U+%04X", field->path, c);
    }
    return true;
}

static size_t text_max(const Field *field)
{
    return field->type == FIELD_ENVS ? FIELD_TEXT_BYTES_MAX : (size_t)field->max;
}

static bool check_length(ValueReader *reader, const Field *field, const TreeNode *node, size_t size)
{
    if (size > text_max(field))
        return FAIL(reader, DIAG_LIMIT, node, "%s: longer than %zu bytes", field->path,
                    text_max(field));
    if (size == 0 && field->type == FIELD_STRING && field->min > 0)
        return FAIL(reader, DIAG_VALUE, node, "%s: empty (try '%s')", field->path, field->example);
    return true;
}

/* `nth` of the patterns of a field: `pattern` 0, `reserved` 1. */
static bool pattern_match(ValueReader *reader, const Field *field, const char *pattern, size_t nth,
                          const char *text)
{
    size_t count;
    GRegex **regex = &reader->patterns[2 * (size_t)(field - field_table(&count)) + nth];

    if (!*regex)
        *regex = g_regex_new(pattern, G_REGEX_DOLLAR_ENDONLY, 0, NULL);
    return g_regex_match(*regex, text, 0, NULL);
}

static bool check_pattern(ValueReader *reader, const Field *field, const TreeNode *node)
{
    g_autofree char *quoted = NULL;

    if (!field->pattern || !reader->patterns ||
        pattern_match(reader, field, field->pattern, 0, node->text))
        return true;
    quoted = diag_quote(node->text);
    return FAIL(reader, DIAG_VALUE, node, "%s: %s is not %s", field->path, quoted, field->noun);
}

static bool check_word(ValueReader *reader, const Field *field, const TreeNode *node)
{
    g_autofree char *quoted = NULL, *words = NULL;
    const char *candidates[16];
    const char *near;
    size_t count = 0;

    if (field_find_word(field, node->text))
        return true;
    for (const FieldWord *word = field->words; word->text; word++)
        candidates[count++] = word->text;
    near = diag_suggest(node->text, candidates, count);
    quoted = diag_quote(node->text);
    if (near)
        return FAIL(reader, DIAG_VALUE, node, "%s: unknown word %s; did you mean '%s'?",
                    field->path, quoted, near);
    words = field_list_words(field);
    return FAIL(reader, DIAG_VALUE, node, "%s: unknown word %s; it is %s", field->path, quoted,
                words);
}

static bool check_range(ValueReader *reader, const Field *field, const TreeNode *node,
                        int64_t value)
{
    g_autofree char *quoted = NULL, *low = NULL, *high = NULL;

    if (value >= field->min && value <= field->max)
        return true;
    quoted = diag_quote(node->text);
    low = scalar_format_quantity(field->min, field->unit);
    if (field->min == field->max)
        return FAIL(reader, DIAG_RANGE, node, "%s: %s is out of range; it must be %s", field->path,
                    quoted, low);
    if (field->max == INT64_MAX)
        return FAIL(reader, DIAG_RANGE, node, "%s: %s is out of range; at least %s", field->path,
                    quoted, low);
    high = scalar_format_quantity(field->max, field->unit);
    return FAIL(reader, DIAG_RANGE, node, "%s: %s is out of range (%s to %s)", field->path, quoted,
                low, high);
}

static bool check_entries(ValueReader *reader, const Field *field, const TreeNode *node,
                          TreeKind kind, int64_t max)
{
    if (node->kind != kind)
        return fail_type(reader, field, node);
    if (node->entries_count > (size_t)max)
        return FAIL(reader, DIAG_LIMIT, node, "%s: %zu entries, more than %" G_GINT64_FORMAT,
                    field->path, node->entries_count, max);
    return true;
}

static bool fail_scalar(ValueReader *reader, const Field *field, const TreeNode *node,
                        ScalarResult result)
{
    static const DiagCode codes[] = {
        [SCALAR_MALFORMED] = DIAG_VALUE, [SCALAR_NO_UNIT] = DIAG_UNIT,
        [SCALAR_NEGATIVE] = DIAG_RANGE,  [SCALAR_TOO_LARGE] = DIAG_RANGE,
        [SCALAR_TOO_FINE] = DIAG_VALUE,  [SCALAR_REVERSED] = DIAG_RANGE};
    g_autofree char *quoted = diag_quote(node->text);
    g_autofree char *reason = scalar_explain(result, node->text, field->unit);

    return FAIL(reader, codes[result], node, "%s: %s %s", field->path, quoted, reason);
}

/* The same entry twice in a list is a slip of the pen. */
static bool check_fresh(ValueReader *reader, const Field *field, const TreeNode *node,
                        GHashTable *seen, const char *text)
{
    g_autofree char *quoted = NULL;

    if (g_hash_table_add(seen, g_strdup(text)))
        return true;
    quoted = diag_quote(text);
    return FAIL(reader, DIAG_DUPLICATE, node, "%s: %s is there twice", field->path, quoted);
}

static bool check_reserved(ValueReader *reader, const Field *field, const TreeNode *node)
{
    if (!field->reserved || !reader->patterns ||
        !pattern_match(reader, field, field->reserved, 1, node->text))
        return true;
    return FAIL(reader, DIAG_RESERVED, node, "%s: '%.80s' is set by drover itself", field->path,
                node->text);
}

/* ---- texts ---- */

static JobSpecPosition reference_position(const ValueReader *reader, const TreeNode *node,
                                          size_t nth)
{
    JobSpecPosition at = {1, 1, 3};
    const char *p = reader->source, *end = p ? p + reader->source_size : NULL;

    if (!p)
        return node->position;
    for (; p < end; p = diag_next_char(p)) {
        bool reached = at.line > node->position.line ||
                       (at.line == node->position.line && at.column >= node->position.column);

        if (reached && end - p >= 3 && memcmp(p, "${{", 3) == 0 && nth-- == 0)
            return at;
        at = *p == '\n' ? (JobSpecPosition){at.line + 1, 1, 3}
                        : (JobSpecPosition){at.line, at.column + 1, 3};
    }
    return node->position;
}

/* Takes what one entry or text of a job is kept in off the file's share of memory. */
static bool spend(ValueReader *reader, const Field *field, const TreeNode *node, size_t size)
{
    if (!reader->bytes_left)
        return true;
    size += ENTRY_BYTES;
    if (size > *reader->bytes_left)
        return FAIL(reader, DIAG_LIMIT, node, "%s: the jobs of the file take too much memory",
                    field->path);
    *reader->bytes_left -= size;
    return true;
}

/* The text of a node as the job keeps it; NULL with a diagnostic. */
static char *text_read(ValueReader *reader, const Field *field, const TreeNode *node)
{
    g_autofree char *text = NULL;
    MatrixFault fault;

    if (!check_characters(reader, field, node) ||
        !check_length(reader, field, node, strlen(node->text)))
        return NULL;
    if ((field->flags & FIELD_SUBSTITUTED) && !reader->matrix_broken) {
        text = matrix_substitute(reader->matrix, reader->combination, node->text, text_max(field),
                                 &fault);
        if (!text) {
            JobSpecPosition at = reference_position(reader, node, fault.reference);

            diag_add(reader->diags, DIAG_MATRIX, &at, "%s: %s", field->path, fault.message);
            g_free(fault.message);
            return NULL;
        }
    } else if (!(field->flags & FIELD_SUBSTITUTED) && strstr(node->text, "${{")) {
        diag_add(reader->diags, DIAG_MATRIX, &node->position,
                 "%s: '${{' is replaced in run, setup and envs only", field->path);
        return NULL;
    } else {
        text = g_strdup(node->text);
    }
    if (!spend(reader, field, node, strlen(text)))
        return NULL;
    return g_steal_pointer(&text);
}

/* ---- a reader per type ---- */

static bool read_string(ValueReader *reader, const Field *field, const TreeNode *node, void *record)
{
    char *text;

    if (!check_string(reader, field, node))
        return false;
    if (field->words ? !check_word(reader, field, node) : !check_pattern(reader, field, node))
        return false;
    text = text_read(reader, field, node);
    if (!text)
        return false;
    record_empty(field, record);
    *(char **)field_slot(field, record) = text;
    return true;
}

static bool read_bool(ValueReader *reader, const Field *field, const TreeNode *node, void *record)
{
    if (node->kind == TREE_SCALAR && !node->plain && scalar_resolve(node->text) == SCALAR_BOOL)
        return FAIL(reader, DIAG_TYPE, node,
                    "%s: '%s' in quotes is text, not true or false (remove the quotes)",
                    field->path, node->text);
    if (node->kind != TREE_SCALAR || node_kind(node) != SCALAR_BOOL)
        return fail_type(reader, field, node);
    *(bool *)field_slot(field, record) = g_ascii_tolower(*node->text) == 't';
    return true;
}

static bool read_enum(ValueReader *reader, const Field *field, const TreeNode *node, void *record)
{
    if (!check_string(reader, field, node) || !check_word(reader, field, node))
        return false;
    *(int *)field_slot(field, record) = field_find_word(field, node->text)->value;
    return true;
}

static bool int_parse(ValueReader *reader, const Field *field, const TreeNode *node, int64_t *value)
{
    ScalarResult result;

    if (node->kind != TREE_SCALAR || node_kind(node) != SCALAR_INT) {
        bool quotes = node->kind == TREE_SCALAR && scalar_resolve(node->text) == SCALAR_INT;
        g_autofree char *quoted = node_quote(node);

        return FAIL(reader, DIAG_TYPE, node, "%s: %s is not a whole number%s", field->path, quoted,
                    quotes ? " (remove the quotes)" : "");
    }
    result = scalar_parse_int(node->text, value);
    if (result != SCALAR_OK)
        return fail_scalar(reader, field, node, result);
    return check_range(reader, field, node, *value);
}

static bool read_int(ValueReader *reader, const Field *field, const TreeNode *node, void *record)
{
    int64_t value;

    if (!int_parse(reader, field, node, &value))
        return false;
    *(int64_t *)field_slot(field, record) = value;
    return true;
}

static bool read_int_or_word(ValueReader *reader, const Field *field, const TreeNode *node,
                             void *record)
{
    if (node->kind != TREE_SCALAR || node_kind(node) != SCALAR_STRING)
        return read_int(reader, field, node, record);
    if (!check_word(reader, field, node))
        return false;
    *(int64_t *)field_slot(field, record) = field_find_word(field, node->text)->value;
    return true;
}

static bool read_quantity(ValueReader *reader, const Field *field, const TreeNode *node,
                          void *record)
{
    ScalarResult result;
    int64_t value;

    if (node->kind != TREE_SCALAR)
        return fail_type(reader, field, node);
    result = scalar_parse_quantity(node->text, field->unit, &value);
    if (result != SCALAR_OK)
        return fail_scalar(reader, field, node, result);
    if (!check_range(reader, field, node, value))
        return false;
    *(int64_t *)field_slot(field, record) = value;
    return true;
}

static bool read_range(ValueReader *reader, const Field *field, const TreeNode *node, void *record)
{
    bool open_low = node->kind == TREE_SCALAR && g_str_has_suffix(node->text, "-");
    ScalarResult result;
    JobSpecRange range;

    if (node->kind != TREE_SCALAR)
        return fail_type(reader, field, node);
    result = scalar_parse_range(node->text, field->unit, &range);
    if (result != SCALAR_OK)
        return fail_scalar(reader, field, node, result);
    if ((field->flags & FIELD_CLOSED) && (open_low || range.max == INT64_MAX)) {
        g_autofree char *quoted = diag_quote(node->text);

        return FAIL(reader, DIAG_VALUE, node, "%s: %s has no %s end (try '%s')", field->path,
                    quoted, open_low ? "lower" : "upper", field->example);
    }
    if (range.min > 0 && !check_range(reader, field, node, range.min))
        return false;
    if (range.max < INT64_MAX && !check_range(reader, field, node, range.max))
        return false;
    if ((field->flags & FIELD_CLOSED) && !check_range(reader, field, node, range.min))
        return false;
    *(JobSpecRange *)field_slot(field, record) = range;
    return true;
}

/* ISO 3166-1 alpha-2, officially assigned, in order. */
static bool is_country(const char *code)
{
    static const char codes[] =
        "adaeafagaialamaoaqarasatauawaxazbabbbdbebfbgbhbibjblbmbnbobqbrbsbtbvbwbybzcacccdcfcg"
        "chcickclcmcncocrcucvcwcxcyczdedjdkdmdodzeceeegeheresetfifjfkfmfofrgagbgdgegfggghgigl"
        "gmgngpgqgrgsgtgugwgyhkhmhnhrhthuidieiliminioiqirisitjejmjojpkekgkhkikmknkpkrkwkykzla"
        "lblclilklrlsltlulvlymamcmdmemfmgmhmkmlmmmnmompmqmrmsmtmumvmwmxmymznancnenfngninlnonp"
        "nrnunzompapepfpgphpkplpmpnprpsptpwpyqarerorsrurwsasbscsdsesgshsisjskslsmsnsosrssstsv"
        "sxsysztctdtftgthtjtktltmtntotrtttvtwtzuaugumusuyuzvavcvevgvivnvuwfwsyeytzazmzw";

    for (const char *p = codes; *p; p += 2)
        if (p[0] == code[0] && p[1] == code[1])
            return true;
    return false;
}

static bool check_country(ValueReader *reader, const Field *field, const TreeNode *node,
                          const char *text)
{
    if (!(field->flags & FIELD_COUNTRIES) || strlen(text) != 2 || is_country(text))
        return true;
    return FAIL(reader, DIAG_VALUE, node, "%s: '%s' is not an ISO 3166 country code%s", field->path,
                text, strcmp(text, "uk") == 0 ? "; did you mean 'gb'?" : "");
}

static bool word_check(ValueReader *reader, const Field *field, const TreeNode *node)
{
    if (!check_string(reader, field, node))
        return false;
    if (field->words)
        return check_word(reader, field, node);
    return check_pattern(reader, field, node) && check_reserved(reader, field, node);
}

static bool read_words(ValueReader *reader, const Field *field, const TreeNode *node, void *record)
{
    g_autoptr(GPtrArray) words = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GHashTable) seen = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    bool good = true;

    if (!check_entries(reader, field, node, TREE_LIST, field->max))
        return false;
    for (const TreeEntry *entry = node->entries; entry; entry = entry->next) {
        g_autofree char *text = NULL;

        if (!word_check(reader, field, entry->value)) {
            good = false;
            continue;
        }
        text = field->flags & FIELD_LOWER ? g_ascii_strdown(entry->value->text, -1)
                                          : g_strdup(entry->value->text);
        if (!check_country(reader, field, entry->value, text) ||
            !check_fresh(reader, field, entry->value, seen, text) ||
            !spend(reader, field, entry->value, strlen(text)))
            good = false;
        else
            g_ptr_array_add(words, g_steal_pointer(&text));
    }
    if (!good)
        return false;
    record_empty(field, record);
    g_ptr_array_extend_and_steal(*(GPtrArray **)field_slot(field, record), g_steal_pointer(&words));
    return true;
}

static bool read_flags(ValueReader *reader, const Field *field, const TreeNode *node, void *record)
{
    bool good = true;
    unsigned flags = 0;

    if (!check_entries(reader, field, node, TREE_LIST, field->max))
        return false;
    for (const TreeEntry *entry = node->entries; entry; entry = entry->next) {
        unsigned flag;

        if (!word_check(reader, field, entry->value)) {
            good = false;
            continue;
        }
        flag = (unsigned)field_find_word(field, entry->value->text)->value;
        if (flags & flag)
            good = FAIL(reader, DIAG_DUPLICATE, entry->value, "%s: '%s' is there twice",
                        field->path, entry->value->text);
        flags |= flag;
    }
    if (good)
        *(unsigned *)field_slot(field, record) = flags;
    return good;
}

static bool read_ports(ValueReader *reader, const Field *field, const TreeNode *node, void *record)
{
    g_autoptr(GArray) ports = g_array_new(FALSE, FALSE, sizeof(int64_t));
    g_autoptr(GHashTable) seen = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    bool good = true;

    if (!check_entries(reader, field, node, TREE_LIST, FIELD_ENTRIES_MAX))
        return false;
    for (const TreeEntry *entry = node->entries; entry; entry = entry->next) {
        g_autofree char *text = NULL;
        int64_t port;

        if (!int_parse(reader, field, entry->value, &port)) {
            good = false;
            continue;
        }
        text = scalar_format_quantity(port, SCALAR_COUNT);
        good &= check_fresh(reader, field, entry->value, seen, text) &&
                spend(reader, field, entry->value, sizeof port);
        g_array_append_val(ports, port);
    }
    if (!good)
        return false;
    record_empty(field, record);
    g_array_append_vals(*(GArray **)field_slot(field, record), ports->data, ports->len);
    return true;
}

static bool read_env(ValueReader *reader, const Field *field, const TreeEntry *entry,
                     GPtrArray *pairs)
{
    JobSpecPair *pair;
    char *text = NULL;
    bool good =
        check_pattern(reader, field, entry->key) && check_reserved(reader, field, entry->key);

    if (entry->value->kind != TREE_SCALAR || node_kind(entry->value) == SCALAR_NULL)
        return FAIL(reader, DIAG_TYPE, entry->value,
                    "%s: %s is not a value of a variable (\"\" is the empty text)", field->path,
                    kind_name(entry->value));
    text = text_read(reader, field, entry->value);
    if (!text || !good) {
        g_free(text);
        return false;
    }
    pair = record_new_pair(entry->key->text, NULL);
    pair->value = text;
    g_ptr_array_add(pairs, pair);
    return true;
}

static bool read_envs(ValueReader *reader, const Field *field, const TreeNode *node, void *record)
{
    g_autoptr(GPtrArray) pairs = g_ptr_array_new_with_free_func((GDestroyNotify)record_free_pair);
    bool good = true;

    if (node->kind == TREE_SCALAR && *node->text == '\0')
        return fail_type(reader, field, node);
    if (!check_entries(reader, field, node, TREE_MAP, field->max))
        return false;
    for (const TreeEntry *entry = node->entries; entry; entry = entry->next)
        good &= read_env(reader, field, entry, pairs);
    if (!good)
        return false;
    g_ptr_array_sort(pairs, record_compare_pairs);
    record_empty(field, record);
    g_ptr_array_extend_and_steal(*(GPtrArray **)field_slot(field, record), g_steal_pointer(&pairs));
    return true;
}

/* The values were read when the document began (matrix_new); here the combination gets its pairs.
 */
static bool read_matrix(ValueReader *reader, const Field *field, const TreeNode *node, void *record)
{
    GPtrArray *pairs;
    bool good = true;

    if (!check_entries(reader, field, node, TREE_MAP, field->max))
        return false;
    if (node->entries_count == 0)
        return FAIL(reader, DIAG_VALUE, node, "%s: empty (try '%s')", field->path, field->example);
    for (const TreeEntry *entry = node->entries; entry; entry = entry->next)
        good &= check_pattern(reader, field, entry->key);
    if (!good || !reader->matrix)
        return false;
    record_empty(field, record);
    pairs = *(GPtrArray **)field_slot(field, record);
    for (guint i = 0; i < reader->matrix->axes->len; i++) {
        const MatrixAxis *axis = g_ptr_array_index(reader->matrix->axes, i);
        const char *value = matrix_get(reader->matrix, reader->combination, axis->name);

        g_ptr_array_add(pairs, record_new_pair(axis->name, value));
    }
    g_ptr_array_sort(pairs, record_compare_pairs);
    return true;
}

static bool accelerator_add(ValueReader *reader, const Field *field, const TreeNode *node,
                            GPtrArray *list)
{
    g_autofree char *reason = NULL, *quoted = NULL;
    JobSpecAccelerator *accelerator;

    if (!check_string(reader, field, node) || !spend(reader, field, node, strlen(node->text)))
        return false;
    accelerator = accelerator_parse(node->text, &reason);
    if (accelerator) {
        g_ptr_array_add(list, accelerator);
        return true;
    }
    quoted = diag_quote(node->text);
    return FAIL(reader, DIAG_VALUE, node, "%s: %s %s", field->path, quoted, reason);
}

static bool read_accelerators(ValueReader *reader, const Field *field, const TreeNode *node,
                              void *record)
{
    g_autoptr(GPtrArray) list =
        g_ptr_array_new_with_free_func((GDestroyNotify)record_free_accelerator);
    bool good = true;

    if (node->kind == TREE_LIST) {
        if (!check_entries(reader, field, node, TREE_LIST, field->max))
            return false;
        if (node->entries_count == 0)
            return FAIL(reader, DIAG_VALUE, node, "%s: the list is empty (try '%s')", field->path,
                        field->example);
        for (const TreeEntry *entry = node->entries; entry; entry = entry->next)
            good &= accelerator_add(reader, field, entry->value, list);
    } else {
        good = accelerator_add(reader, field, node, list);
    }
    if (!good)
        return false;
    record_empty(field, record);
    ((JobSpecResources *)record)->accelerators_mixed = list->len > 1;
    g_ptr_array_extend_and_steal(*(GPtrArray **)field_slot(field, record), g_steal_pointer(&list));
    return true;
}

bool value_read(ValueReader *reader, const Field *field, const TreeNode *node, void *record)
{
    static bool (*const readers[FIELD_TYPES])(ValueReader *, const Field *, const TreeNode *,
                                              void *) = {
        [FIELD_GROUP] = group_read,
        [FIELD_RESOURCES] = group_read_resources,
        [FIELD_ANY_OF] = group_read_any_of,
        [FIELD_STRING] = read_string,
        [FIELD_BOOL] = read_bool,
        [FIELD_ENUM] = read_enum,
        [FIELD_INT] = read_int,
        [FIELD_INT_OR_WORD] = read_int_or_word,
        [FIELD_QUANTITY] = read_quantity,
        [FIELD_RANGE] = read_range,
        [FIELD_WORDS] = read_words,
        [FIELD_FLAGS] = read_flags,
        [FIELD_PORTS] = read_ports,
        [FIELD_ENVS] = read_envs,
        [FIELD_MATRIX] = read_matrix,
        [FIELD_ACCELERATORS] = read_accelerators,
        [FIELD_DEPENDS] = group_read_depends,
    };
    bool null = node->kind == TREE_SCALAR && node_kind(node) == SCALAR_NULL;

    if (null && *node->text == '\0')
        return FAIL(reader, DIAG_MISSING, node, "%s: no value (try '%s')", field->path,
                    field->example);
    if (null && !field->preset && !(field->flags & FIELD_REQUIRED) && !field_is_group(field)) {
        if (field->type != FIELD_ANY_OF)
            record_empty(field, record);
        return true;
    }
    return readers[field->type](reader, field, node, record);
}
