/* SPDX-License-Identifier: Apache-2.0
 *
 * any_of merges by reading: each alternative is a record into which first the fields beside any_of
 * and then the alternative's own are read. Nothing has to know how to copy a record.
 */
#include "jobspec/group.h"
#include "jobspec/record.h"

#include <string.h>

/* A field of that name elsewhere, for a key in the wrong group. */
static const Field *find_elsewhere(const char *name)
{
    size_t count;
    const Field *table = field_table(&count);

    for (size_t i = 0; i < count; i++)
        if (strcmp(field_get_name(&table[i]), name) == 0)
            return &table[i];
    return NULL;
}

static bool fail_unknown(ValueReader *reader, const Field *group, const TreeNode *key)
{
    const char *names[64];
    size_t count = 0;
    const Field *child = NULL, *elsewhere = find_elsewhere(key->text);
    g_autofree char *quoted = diag_quote(key->text);
    const char *near;

    while ((child = field_next_child(group, child)) && count < G_N_ELEMENTS(names))
        names[count++] = field_get_name(child);
    near = diag_suggest(key->text, names, count);
    if (elsewhere)
        diag_add(reader->diags, DIAG_UNKNOWN_FIELD, &key->position,
                 "unknown field %s%s%s; did you mean '%s'?", quoted, group ? " in " : "",
                 group ? group->path : "", elsewhere->path);
    else if (near)
        diag_add(reader->diags, DIAG_UNKNOWN_FIELD, &key->position,
                 "unknown field %s; did you mean '%s'?", quoted, near);
    else
        diag_add(reader->diags, DIAG_UNKNOWN_FIELD, &key->position,
                 "unknown field %s (see 'drover spec explain%s%s')", quoted, group ? " " : "",
                 group ? group->path : "");
    return false;
}

/* The first place of a field counts: any_of may write it again. */
static void note_position(ValueReader *reader, const Field *field, const TreeNode *key)
{
    if (reader->positions && !g_hash_table_contains(reader->positions, field->path))
        g_hash_table_insert(reader->positions, (gpointer)(uintptr_t)field->path,
                            g_memdup2(&key->position, sizeof key->position));
}

static bool check_required(ValueReader *reader, const Field *group, const TreeNode *node)
{
    const Field *child = NULL;
    bool good = true;

    if (!reader->whole)
        return true;
    while ((child = field_next_child(group, child))) {
        if (!(child->flags & FIELD_REQUIRED) || tree_find(node, field_get_name(child)))
            continue;
        diag_add(reader->diags, DIAG_MISSING, &node->position, "'%s' is missing (try '%s: %s')",
                 child->path, field_get_name(child), child->example);
        good = false;
    }
    return good;
}

static bool check_map(ValueReader *reader, const Field *group, const TreeNode *node)
{
    g_autofree char *quoted = NULL;

    if (node->kind == TREE_MAP)
        return true;
    quoted = node->kind == TREE_SCALAR ? diag_quote(node->text) : g_strdup("a list");
    if (!group)
        diag_add(reader->diags, DIAG_TYPE, &node->position,
                 "%s is not a job: a mapping of fields such as 'name: hello'", quoted);
    else
        diag_add(reader->diags, DIAG_TYPE, &node->position, "%s: %s is not a mapping (try '%s')",
                 group->path, quoted, group->example);
    return false;
}

/* `skip` is left for later, or to others. */
static bool children_read(ValueReader *reader, const Field *group, const TreeNode *node,
                          void *record, FieldType skip)
{
    bool good = true;

    for (const TreeEntry *entry = node->entries; entry; entry = entry->next) {
        const Field *field = field_find_child(group, entry->key->text);

        if (!field) {
            good = fail_unknown(reader, group, entry->key);
            continue;
        }
        note_position(reader, field, entry->key);
        if (field->type == skip || value_read(reader, field, entry->value, record))
            continue;
        good = false;
        if (reader->failed)
            g_hash_table_add(reader->failed, (gpointer)(uintptr_t)field->path);
    }
    return good;
}

bool group_read(ValueReader *reader, const Field *group, const TreeNode *node, void *record)
{
    bool good;

    if (!check_map(reader, group, node))
        return false;
    good = children_read(reader, group, node, record, FIELD_TYPES);
    if (!group)
        good &= check_required(reader, group, node);
    return good;
}

/* One alternative: the fields beside any_of, unless they are wrong (NULL), then its own. */
static bool alternative_read(ValueReader *reader, const Field *group, const TreeNode *common,
                             const TreeNode *node, JobSpecResources *record)
{
    const Field *any_of = field_find("resources.any_of");
    bool was_muted = reader->diags->muted;

    if (!check_map(reader, any_of, node))
        return false;
    if (node->entries_count == 0) {
        diag_add(reader->diags, DIAG_CONTRADICTION, &node->position,
                 "%s: an empty alternative asks for nothing else (remove it)", any_of->path);
        return false;
    }
    reader->diags->muted = true;
    if (common)
        children_read(reader, group, common, record, FIELD_ANY_OF);
    reader->diags->muted = was_muted;
    return children_read(reader, group, node, record, FIELD_TYPES);
}

static bool alternatives_read(ValueReader *reader, const Field *group, const TreeNode *common,
                              const TreeNode *node, GPtrArray *list)
{
    const Field *any_of = field_find("resources.any_of");
    bool good = true;

    if (node->kind == TREE_SCALAR && node->plain && *node->text &&
        scalar_resolve(node->text) == SCALAR_NULL)
        return true;
    if (node->kind != TREE_LIST || node->entries_count == 0) {
        diag_add(reader->diags, DIAG_TYPE, &node->position,
                 "%s: it is a list of one or more mappings (try '%s')", any_of->path,
                 any_of->example);
        return false;
    }
    if (node->entries_count > (size_t)any_of->max) {
        diag_add(reader->diags, DIAG_LIMIT, &node->position,
                 "%s: %zu alternatives, more than %" G_GINT64_FORMAT, any_of->path,
                 node->entries_count, any_of->max);
        return false;
    }
    g_ptr_array_set_size(list, 0);
    for (const TreeEntry *entry = node->entries; entry; entry = entry->next) {
        JobSpecResources *record = record_new_resources();

        g_ptr_array_add(list, record);
        good &= alternative_read(reader, group, common, entry->value, record);
    }
    return good;
}

bool group_read_resources(ValueReader *reader, const Field *field, const TreeNode *node,
                          void *record)
{
    GPtrArray *list = *(GPtrArray **)field_slot(field, record);
    const TreeNode *alternatives;
    bool good;

    if (!check_map(reader, field, node))
        return false;
    g_ptr_array_set_size(list, 0);
    g_ptr_array_add(list, record_new_resources());
    good = children_read(reader, field, node, g_ptr_array_index(list, 0), FIELD_ANY_OF);
    alternatives = tree_find(node, "any_of");
    if (alternatives)
        good &= alternatives_read(reader, field, good ? node : NULL, alternatives, list);
    return good;
}

/* The outer any_of is read with the fields beside it, so this one is inside another. */
bool group_read_any_of(ValueReader *reader, const Field *field, const TreeNode *node, void *record)
{
    (void)record;
    diag_add(reader->diags, DIAG_CONTRADICTION, &node->position, "%s: inside another any_of",
             field->path);
    return false;
}

bool group_read_depends(ValueReader *reader, const Field *field, const TreeNode *node, void *record)
{
    GPtrArray *list = *(GPtrArray **)field_slot(field, record);
    bool good = true;

    if (node->kind != TREE_LIST) {
        diag_add(reader->diags, DIAG_TYPE, &node->position, "%s: not a list (try '%s')",
                 field->path, field->example);
        return false;
    }
    if (node->entries_count > (size_t)field->max) {
        diag_add(reader->diags, DIAG_LIMIT, &node->position,
                 "%s: %zu entries, more than %" G_GINT64_FORMAT, field->path, node->entries_count,
                 field->max);
        return false;
    }
    for (const TreeEntry *entry = node->entries; entry; entry = entry->next) {
        JobSpecDependency *dependency = g_new0(JobSpecDependency, 1);

        record_init(RECORD_DEPENDENCY, dependency);
        g_ptr_array_add(list, dependency);
        if (!check_map(reader, field, entry->value)) {
            good = false;
            continue;
        }
        good &= children_read(reader, field, entry->value, dependency, FIELD_TYPES);
        good &= check_required(reader, field, entry->value);
    }
    return good;
}
