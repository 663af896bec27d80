/* SPDX-License-Identifier: Apache-2.0
 *
 * JSON Schema 2020-12 of a job file, from the table of fields. It says what can be said about one
 * value at a time; what holds between fields is the parser's. Keywords stay within what the YAML
 * plug-ins of editors know: descriptions, defaults and examples are there for them.
 */
#include "jobspec/emit.h"
#include "jobspec/tree.h"

#include <string.h>

static json_t *schema_of(const Field *field);

static void set(json_t *object, const char *key, json_t *value)
{
    json_object_set_new(object, key, value);
}

static json_t *typed(const char *type)
{
    return json_pack("{s:s}", "type", type);
}

static json_t *pattern_of(char *pattern)
{
    json_t *schema = typed("string");

    set(schema, "pattern", json_string(pattern));
    g_free(pattern);
    return schema;
}

static json_t *words_of(const Field *field)
{
    json_t *list = json_array();

    for (const FieldWord *word = field->words; word->text; word++)
        json_array_append_new(list, json_string(word->text));
    return json_pack("{s:s, s:o}", "type", "string", "enum", list);
}

static json_t *integer_of(const Field *field)
{
    json_t *schema = typed("integer");

    set(schema, "minimum", json_integer(field->min));
    if (field->max != INT64_MAX)
        set(schema, "maximum", json_integer(field->max));
    return schema;
}

static json_t *either(json_t *a, json_t *b)
{
    return json_pack("{s:[o, o]}", "anyOf", a, b);
}

/* A quantity without suffix may be written as a number. */
static json_t *quantity_of(const Field *field)
{
    g_autofree char *quantity = scalar_get_pattern(field->unit);
    json_t *text = pattern_of(g_strdup_printf("^%s$", quantity));
    json_t *number;

    if (!scalar_is_bare(field->unit))
        return text;
    number = typed("number");
    set(number, "exclusiveMinimum", json_integer(0));
    if (field->unit == SCALAR_FRACTION)
        set(number, "maximum", json_integer(1));
    return either(number, text);
}

static json_t *range_of(const Field *field)
{
    g_autofree char *quantity = scalar_get_pattern(field->unit);
    const char *open = field->flags & FIELD_CLOSED ? "" : "[+-]|";
    json_t *text = pattern_of(g_strdup_printf("^%s(?:%s\\.\\.%s)?$", quantity, open, quantity));

    return scalar_is_bare(field->unit) ? either(integer_of(field), text) : text;
}

static json_t *text_of(const Field *field)
{
    json_t *schema;

    if (field->words)
        return words_of(field);
    schema = typed("string");
    if (field->pattern)
        set(schema, "pattern", json_string(field->pattern));
    if (field->reserved)
        set(schema, "not", json_pack("{s:s}", "pattern", field->reserved));
    if (field->type == FIELD_STRING) {
        set(schema, "maxLength", json_integer(field->max));
        if (field->min > 0)
            set(schema, "minLength", json_integer(field->min));
    }
    return schema;
}

static json_t *list_of(json_t *items, int64_t min, int64_t max)
{
    return json_pack("{s:s, s:o, s:I, s:I, s:b}", "type", "array", "items", items, "minItems",
                     (json_int_t)min, "maxItems", (json_int_t)max, "uniqueItems", 1);
}

static json_t *map_of(const Field *field, json_t *values, int64_t min)
{
    json_t *names = text_of(field);

    json_object_del(names, "type");
    return json_pack("{s:s, s:o, s:o, s:I, s:I}", "type", "object", "propertyNames", names,
                     "additionalProperties", values, "minProperties", (json_int_t)min,
                     "maxProperties", (json_int_t)field->max);
}

static json_t *matrix_of(const Field *field)
{
    json_t *value = json_pack("{s:[s, s, s]}", "type", "string", "number", "boolean");
    json_t *range = json_pack("{s:s, s:s}", "type", "string", "pattern", "^[0-9]+\\.\\.[0-9]+$");

    return map_of(field, either(list_of(value, 1, FIELD_ENTRIES_MAX), range), 1);
}

/* The fields of `group` (NULL: the whole file) without those of type `skip`. */
static json_t *group_of(const Field *group, FieldType skip)
{
    json_t *properties = json_object(), *required = json_array();
    const Field *child = NULL;
    json_t *schema;

    while ((child = field_next_child(group, child))) {
        if (child->type == skip)
            continue;
        set(properties, field_get_name(child), schema_of(child));
        if (child->flags & FIELD_REQUIRED)
            json_array_append_new(required, json_string(field_get_name(child)));
    }
    schema = json_pack("{s:s, s:o, s:b}", "type", "object", "properties", properties,
                       "additionalProperties", 0);
    if (json_array_size(required) > 0)
        set(schema, "required", required);
    else
        json_decref(required);
    return schema;
}

static json_t *any_of_of(const Field *field)
{
    json_t *entry = group_of(field_find("resources"), FIELD_ANY_OF);

    set(entry, "minProperties", json_integer(1));
    return list_of(entry, field->min, field->max);
}

static json_t *value_of(const Field *field)
{
    switch (field->type) {
    case FIELD_GROUP:
    case FIELD_RESOURCES:
        return group_of(field, FIELD_TYPES);
    case FIELD_ANY_OF:
        return any_of_of(field);
    case FIELD_STRING:
        return text_of(field);
    case FIELD_BOOL:
        return typed("boolean");
    case FIELD_ENUM:
        return words_of(field);
    case FIELD_INT:
        return integer_of(field);
    case FIELD_INT_OR_WORD:
        return either(integer_of(field), words_of(field));
    case FIELD_QUANTITY:
        return quantity_of(field);
    case FIELD_RANGE:
        return range_of(field);
    case FIELD_WORDS:
    case FIELD_FLAGS:
        return list_of(text_of(field), 0, field->max);
    case FIELD_PORTS:
        return list_of(integer_of(field), 0, FIELD_ENTRIES_MAX);
    case FIELD_ENVS:
        return map_of(field, json_pack("{s:[s, s, s]}", "type", "string", "number", "boolean"), 0);
    case FIELD_MATRIX:
        return matrix_of(field);
    case FIELD_ACCELERATORS:
        return either(text_of(field), list_of(text_of(field), 1, field->max));
    default:
        return list_of(group_of(field, FIELD_TYPES), 0, field->max);
    }
}

/* `null` beside what the schema allows. */
static json_t *nullable(json_t *schema)
{
    json_t *type = json_object_get(schema, "type"), *words = json_object_get(schema, "enum");

    if (!type) {
        json_array_append_new(json_object_get(schema, "anyOf"), typed("null"));
        return schema;
    }
    set(schema, "type", json_pack("[O, s]", type, "null"));
    if (words)
        json_array_append_new(words, json_null());
    return schema;
}

static void describe(json_t *schema, const Field *field)
{
    GString *text = g_string_new(field->help);

    for (const FieldWord *word = field->words; word && word->text; word++)
        g_string_append_printf(text, "%s'%s': %s", word == field->words ? " " : "; ", word->text,
                               word->help);
    if (field->preset_note)
        g_string_append_printf(text, " Default: %s.", field->preset_note);
    set(schema, "description", json_string(text->str));
    g_string_free(text, TRUE);
}

static json_t *node_to_json(const TreeNode *node)
{
    json_t *json;
    int64_t value;

    if (node->kind == TREE_SCALAR) {
        ScalarKind kind = node->plain ? scalar_resolve(node->text) : SCALAR_STRING;

        if (kind == SCALAR_INT && scalar_parse_int(node->text, &value) == SCALAR_OK)
            return json_integer(value);
        if (kind == SCALAR_FLOAT)
            return json_real(g_ascii_strtod(node->text, NULL));
        return kind == SCALAR_BOOL ? json_boolean(*node->text == 't') : json_string(node->text);
    }
    json = node->kind == TREE_LIST ? json_array() : json_object();
    for (const TreeEntry *entry = node->entries; entry; entry = entry->next) {
        if (node->kind == TREE_LIST)
            json_array_append_new(json, node_to_json(entry->value));
        else
            set(json, entry->key->text, node_to_json(entry->value));
    }
    return json;
}

/* The row's example as the value it is to YAML. */
static json_t *example_of(const Field *field)
{
    const JobSpecLimits limits = {.file_bytes = 1000, .depth = 8, .nodes = 100};
    Diags muted = {.muted = true};
    g_autoptr(Tree) tree = tree_new(field->example, strlen(field->example), &limits, &muted);
    bool whole;
    const TreeNode *root = tree_read(tree, &whole);

    g_assert(root && whole); /* the table's own text */
    return node_to_json(root);
}

static json_t *schema_of(const Field *field)
{
    json_t *schema = value_of(field);
    bool group = field_is_group(field);

    if (!field->preset && !(field->flags & FIELD_REQUIRED) && !group)
        schema = nullable(schema);
    describe(schema, field);
    set(schema, "examples", json_pack("[o]", example_of(field)));
    if (!group && !field->preset_note && field->type != FIELD_ANY_OF &&
        !(field->flags & FIELD_REQUIRED))
        set(schema, "default", emit_preset(field));
    return schema;
}

json_t *jobspec_schema(void)
{
    json_t *schema = group_of(NULL, FIELD_TYPES);

    set(schema, "$schema", json_string("https://json-schema.org/draft/2020-12/schema"));
    set(schema, "title", json_string("drover job file"));
    set(schema, "description", json_string("One document of a job file; see drover-job(5)."));
    return schema;
}
