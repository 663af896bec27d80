/* SPDX-License-Identifier: Apache-2.0
 *
 * A record is preset from the table's own texts through the same readers as the author's values, so
 * a default is a value like any other.
 */
#include "jobspec/record.h"
#include "jobspec/value.h"

#include <string.h>

void record_free_pair(JobSpecPair *pair)
{
    g_free(pair->key);
    g_free(pair->value);
    g_free(pair);
}

JobSpecPair *record_new_pair(const char *key, const char *value)
{
    JobSpecPair *pair = g_new0(JobSpecPair, 1);

    pair->key = g_strdup(key);
    pair->value = g_strdup(value);
    return pair;
}

int record_compare_pairs(gconstpointer a, gconstpointer b)
{
    const JobSpecPair *x = *(const JobSpecPair *const *)a;
    const JobSpecPair *y = *(const JobSpecPair *const *)b;

    return strcmp(x->key, y->key);
}

void record_free_accelerator(JobSpecAccelerator *accelerator)
{
    g_free(accelerator->model);
    g_free(accelerator);
}

void record_free_dependency(JobSpecDependency *dependency)
{
    record_clear(RECORD_DEPENDENCY, dependency);
    g_free(dependency);
}

JobSpecResources *record_new_resources(void)
{
    JobSpecResources *resources = g_new0(JobSpecResources, 1);

    record_init(RECORD_RESOURCES, resources);
    return resources;
}

void record_free_resources(JobSpecResources *resources)
{
    record_clear(RECORD_RESOURCES, resources);
    g_free(resources);
}

/* How the elements of a field's array are freed; NULL: the field is no GPtrArray. */
static GDestroyNotify array_free_func(const Field *field)
{
    switch (field->type) {
    case FIELD_WORDS:
        return g_free;
    case FIELD_ENVS:
    case FIELD_MATRIX:
        return (GDestroyNotify)record_free_pair;
    case FIELD_ACCELERATORS:
        return (GDestroyNotify)record_free_accelerator;
    case FIELD_DEPENDS:
        return (GDestroyNotify)record_free_dependency;
    case FIELD_RESOURCES:
        return (GDestroyNotify)record_free_resources;
    default:
        return NULL;
    }
}

void record_drop(const Field *field, void *record)
{
    void *slot = field_slot(field, record);

    if (array_free_func(field))
        g_clear_pointer((GPtrArray **)slot, g_ptr_array_unref);
    else if (field->type == FIELD_PORTS)
        g_clear_pointer((GArray **)slot, g_array_unref);
    else if (field->type == FIELD_STRING)
        g_clear_pointer((char **)slot, g_free);
}

/* Nothing asked for: what `null` means. */
void record_empty(const Field *field, void *record)
{
    void *slot = field_slot(field, record);
    GDestroyNotify free_func = array_free_func(field);

    record_drop(field, record);
    if (free_func)
        *(GPtrArray **)slot = g_ptr_array_new_with_free_func(free_func);
    else if (field->type == FIELD_PORTS)
        *(GArray **)slot = g_array_new(FALSE, FALSE, sizeof(int64_t));
    else if (field->type == FIELD_RANGE)
        *(JobSpecRange *)slot = (JobSpecRange){0, INT64_MAX};
    else if (field->type == FIELD_ENUM)
        *(int *)slot = (int)field->none;
    else if (field->type == FIELD_INT || field->type == FIELD_QUANTITY)
        *(int64_t *)slot = field->none;
    if (field->type == FIELD_ACCELERATORS)
        ((JobSpecResources *)record)->accelerators_mixed = false;
}

static bool is_stored(const Field *field, FieldRecord kind)
{
    return field->record == kind && field->type != FIELD_GROUP && field->type != FIELD_ANY_OF;
}

void record_clear(FieldRecord kind, void *record)
{
    size_t count;
    const Field *table = field_table(&count);

    for (size_t i = 0; i < count; i++)
        if (is_stored(&table[i], kind))
            record_drop(&table[i], record);
}

void record_init(FieldRecord kind, void *record)
{
    size_t count;
    const Field *table = field_table(&count);

    for (size_t i = 0; i < count; i++)
        if (is_stored(&table[i], kind))
            record_preset(&table[i], record);
}

/* The texts of presets are scalars, or lists of plain words on one line. */
void record_preset(const Field *field, void *record)
{
    g_auto(GStrv) words = NULL;
    Diags muted = {.muted = true};
    ValueReader reader = {.diags = &muted};
    TreeNode nodes[8] = {{0}};
    TreeEntry entries[8] = {{0}};
    TreeNode whole = {.kind = TREE_SCALAR, .plain = true, .text = field->preset};
    g_autofree char *inner = NULL;

    record_empty(field, record);
    if (field->type == FIELD_RESOURCES)
        g_ptr_array_add(*(GPtrArray **)field_slot(field, record), record_new_resources());
    if (!field->preset || g_str_equal(field->preset, "[]") || g_str_equal(field->preset, "{}"))
        return;
    if (*field->preset == '[') {
        inner = g_strndup(field->preset + 1, strlen(field->preset) - 2);
        words = g_strsplit(inner, ", ", (int)G_N_ELEMENTS(nodes));
        whole = (TreeNode){.kind = TREE_LIST, .entries = entries};
        for (size_t i = 0; words[i]; i++) {
            nodes[i] = (TreeNode){.kind = TREE_SCALAR, .plain = true, .text = words[i]};
            entries[i] =
                (TreeEntry){.value = &nodes[i], .next = words[i + 1] ? &entries[i + 1] : NULL};
            whole.entries_count++;
        }
    }
    if (!value_read(&reader, field, &whole, record))
        g_error("the default of %s does not parse", field->path);
}

int64_t record_get_nodes_max(const JobSpec *spec)
{
    int64_t max = 0;

    for (guint i = 0; i < spec->resources->len; i++)
        max = MAX(max, ((JobSpecResources *)g_ptr_array_index(spec->resources, i))->num_nodes.max);
    return max;
}

JobSpecSame record_default_same(const JobSpec *spec)
{
    return record_get_nodes_max(spec) > 1 ? JOBSPEC_SAME_SITE : JOBSPEC_SAME_NONE;
}
