/* SPDX-License-Identifier: Apache-2.0
 *
 * Numbers with a unit are texts in their shortest spelling and no JSON number is a fraction, so the
 * bytes are the same on every machine. Alternatives are written out whole: any_of holds merged
 * entries and nothing stands beside it.
 */
#include "jobspec/emit.h"
#include "jobspec/accelerator.h"
#include "jobspec/record.h"

static json_t *string_take(char *text)
{
    json_t *json = json_string(text);

    g_free(text);
    return json;
}

static json_t *emit_word(const Field *field, int64_t value)
{
    for (const FieldWord *word = field->words; word->text; word++)
        if (word->value == value)
            return json_string(word->text);
    return json_null();
}

static json_t *emit_number(const Field *field, int64_t value)
{
    if (!field->preset && value == field->none && field->type != FIELD_INT_OR_WORD &&
        !(field->flags & FIELD_REQUIRED))
        return json_null();
    if (field->type == FIELD_INT_OR_WORD && value <= 0)
        return emit_word(field, value);
    if (field->type == FIELD_QUANTITY)
        return string_take(scalar_format_quantity(value, field->unit));
    return json_integer(value);
}

static json_t *emit_range(const Field *field, const JobSpecRange *range)
{
    if (range->min == 0 && range->max == INT64_MAX)
        return json_null();
    if (range->min == range->max && field->unit == SCALAR_COUNT)
        return json_integer(range->min);
    if ((field->flags & FIELD_CLOSED) && range->min == 0 && range->max > 0) {
        g_autofree char *low = scalar_format_quantity(range->min, field->unit);
        g_autofree char *high = scalar_format_quantity(range->max, field->unit);

        return string_take(g_strconcat(low, "..", high, NULL));
    }
    return string_take(scalar_format_range(*range, field->unit));
}

static json_t *emit_words(const GPtrArray *words)
{
    json_t *list = json_array();

    for (guint i = 0; i < words->len; i++)
        json_array_append_new(list, json_string(g_ptr_array_index(words, i)));
    return list;
}

static json_t *emit_flags(const Field *field, unsigned flags)
{
    json_t *list = json_array();

    for (const FieldWord *word = field->words; word->text; word++)
        if (flags & (unsigned)word->value)
            json_array_append_new(list, json_string(word->text));
    return list;
}

static json_t *emit_ports(const GArray *ports)
{
    json_t *list = json_array();

    for (guint i = 0; i < ports->len; i++)
        json_array_append_new(list, json_integer(g_array_index(ports, int64_t, i)));
    return list;
}

/* A matrix of one combination has lists of one value. */
static json_t *emit_pairs(const Field *field, const GPtrArray *pairs)
{
    json_t *map;

    if (field->type == FIELD_MATRIX && pairs->len == 0)
        return json_null();
    map = json_object();
    for (guint i = 0; i < pairs->len; i++) {
        const JobSpecPair *pair = g_ptr_array_index(pairs, i);
        json_t *value = json_string(pair->value);

        if (field->type == FIELD_MATRIX) {
            json_t *list = json_array();

            json_array_append_new(list, value);
            value = list;
        }
        json_object_set_new(map, pair->key, value);
    }
    return map;
}

static json_t *emit_accelerators(const GPtrArray *accelerators)
{
    json_t *list;

    if (accelerators->len == 0)
        return json_null();
    if (accelerators->len == 1)
        return string_take(accelerator_format(g_ptr_array_index(accelerators, 0)));
    list = json_array();
    for (guint i = 0; i < accelerators->len; i++)
        json_array_append_new(list,
                              string_take(accelerator_format(g_ptr_array_index(accelerators, i))));
    return list;
}

/* A list of groups, each a record. */
static json_t *emit_records(const Field *field, const GPtrArray *records)
{
    json_t *list = json_array();

    for (guint i = 0; i < records->len; i++)
        json_array_append_new(list, emit_group(field, g_ptr_array_index(records, i)));
    return list;
}

static json_t *emit_resources(const Field *field, const GPtrArray *alternatives)
{
    json_t *any_of;

    if (alternatives->len == 1)
        return emit_group(field, g_ptr_array_index(alternatives, 0));
    any_of = json_object();
    json_object_set_new(any_of, "any_of", emit_records(field, alternatives));
    return any_of;
}

json_t *emit_value(const Field *field, const void *record)
{
    const void *slot = field_peek(field, record);
    const char *text;

    switch (field->type) {
    case FIELD_GROUP:
        return emit_group(field, record);
    case FIELD_RESOURCES:
        return emit_resources(field, *(GPtrArray *const *)slot);
    case FIELD_STRING:
        text = *(char *const *)slot;
        return text ? json_string(text) : json_null();
    case FIELD_BOOL:
        return json_boolean(*(const bool *)slot);
    case FIELD_ENUM:
        return emit_word(field, *(const int *)slot);
    case FIELD_INT:
    case FIELD_INT_OR_WORD:
    case FIELD_QUANTITY:
        return emit_number(field, *(const int64_t *)slot);
    case FIELD_RANGE:
        return emit_range(field, slot);
    case FIELD_WORDS:
        return emit_words(*(GPtrArray *const *)slot);
    case FIELD_FLAGS:
        return emit_flags(field, *(const unsigned *)slot);
    case FIELD_PORTS:
        return emit_ports(*(GArray *const *)slot);
    case FIELD_ENVS:
    case FIELD_MATRIX:
        return emit_pairs(field, *(GPtrArray *const *)slot);
    case FIELD_ACCELERATORS:
        return emit_accelerators(*(GPtrArray *const *)slot);
    case FIELD_DEPENDS:
        return emit_records(field, *(GPtrArray *const *)slot);
    default:
        return json_null(); /* any_of is written by the resources that hold it */
    }
}

json_t *emit_group(const Field *group, const void *record)
{
    json_t *map = json_object();
    const Field *child = NULL;

    while ((child = field_next_child(group, child)))
        if (child->type != FIELD_ANY_OF)
            json_object_set_new(map, field_get_name(child), emit_value(child, record));
    return map;
}

json_t *emit_preset(const Field *field)
{
    union {
        JobSpec spec;
        JobSpecResources resources;
        JobSpecDependency dependency;
    } fresh = {0};
    json_t *preset;

    record_preset(field, &fresh);
    preset = emit_value(field, &fresh);
    record_drop(field, &fresh);
    return preset;
}

static bool record_is_default(const Field *field, const void *record)
{
    json_t *value = emit_value(field, record), *preset = emit_preset(field);
    bool same = json_equal(value, preset);

    json_decref(value);
    json_decref(preset);
    return same;
}

static bool children_are_default(const JobSpec *spec, const Field *group)
{
    const Field *child = NULL;

    while ((child = field_next_child(group, child)))
        if (!emit_is_default(spec, child))
            return false;
    return true;
}

bool emit_is_default(const JobSpec *spec, const Field *field)
{
    if (field_is_group(field))
        return children_are_default(spec, field);
    if (field->type == FIELD_ANY_OF)
        return spec->resources->len == 1;
    if (field->offset == offsetof(JobSpec, where.same) && field->record == RECORD_SPEC)
        return spec->where.same == record_default_same(spec);
    if (field->record == RECORD_SPEC)
        return record_is_default(field, spec);
    for (guint i = 0; i < spec->resources->len && field->record == RECORD_RESOURCES; i++)
        if (!record_is_default(field, g_ptr_array_index(spec->resources, i)))
            return false;
    return true;
}
