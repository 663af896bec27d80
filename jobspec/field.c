/* SPDX-License-Identifier: Apache-2.0 */
#include "jobspec/field.h"

#include <string.h>

/* Is `path` a direct child of the group of that path ("" is the whole file)? */
static bool path_is_child(const char *path, const char *group)
{
    size_t size = strlen(group);

    if (size > 0) {
        if (strncmp(path, group, size) != 0 || path[size] != '.')
            return false;
        path += size + 1;
    }
    return strchr(path, '.') == NULL;
}

const Field *field_find(const char *path)
{
    size_t count;
    const Field *table = field_table(&count);

    for (size_t i = 0; i < count; i++)
        if (strcmp(table[i].path, path) == 0)
            return &table[i];
    return NULL;
}

/* Children follow their group in the table, without a row of another group between. */
const Field *field_next_child(const Field *group, const Field *previous)
{
    size_t count;
    const Field *table = field_table(&count);
    const char *path = group ? group->path : "";
    const Field *field = previous ? previous + 1 : group ? group + 1 : table;

    for (; field < table + count; field++) {
        if (path_is_child(field->path, path))
            return field;
        if (group && !field_path_covers(path, field->path))
            break;
    }
    return NULL;
}

const Field *field_find_child(const Field *group, const char *name)
{
    const Field *field = NULL;

    while ((field = field_next_child(group, field)))
        if (strcmp(field_get_name(field), name) == 0)
            return field;
    return NULL;
}

const char *field_get_name(const Field *field)
{
    const char *dot = strrchr(field->path, '.');

    return dot ? dot + 1 : field->path;
}

bool field_is_group(const Field *field)
{
    return field->type == FIELD_GROUP || field->type == FIELD_RESOURCES;
}

bool field_path_covers(const char *path, const char *inner)
{
    size_t size = strlen(path);

    return strncmp(path, inner, size) == 0 && (inner[size] == '\0' || inner[size] == '.');
}

const FieldWord *field_find_word(const Field *field, const char *text)
{
    for (const FieldWord *word = field->words; word && word->text; word++)
        if (strcmp(word->text, text) == 0)
            return word;
    return NULL;
}

char *field_list_words(const Field *field)
{
    GString *list = g_string_new(NULL);

    for (const FieldWord *word = field->words; word->text; word++)
        g_string_append_printf(list, "%s'%s'",
                               word == field->words ? ""
                               : word[1].text       ? ", "
                                                    : " or ",
                               word->text);
    return g_string_free(list, FALSE);
}

char *field_describe(const Field *field)
{
    g_autofree char *words = field->words ? field_list_words(field) : NULL;

    switch (field->type) {
    case FIELD_GROUP:
    case FIELD_RESOURCES:
        return g_strdup("a mapping");
    case FIELD_ANY_OF:
    case FIELD_DEPENDS:
        return g_strdup("a list of mappings");
    case FIELD_BOOL:
        return g_strdup("true or false");
    case FIELD_INT:
        return g_strdup("a whole number");
    case FIELD_INT_OR_WORD:
        return g_strdup_printf("a whole number, %s", words);
    case FIELD_QUANTITY:
        return g_strdup(scalar_get_noun(field->unit));
    case FIELD_RANGE:
        return g_strdup_printf("%s or a range (%s)", scalar_get_noun(field->unit),
                               field->flags & FIELD_CLOSED ? "N or A..B" : "N, N+, N- or A..B");
    case FIELD_ENUM:
        return g_steal_pointer(&words);
    case FIELD_STRING:
        return words ? g_steal_pointer(&words) : g_strdup(field->noun ? field->noun : "text");
    case FIELD_FLAGS:
    case FIELD_WORDS:
        return words ? g_strdup_printf("a list of %s", words) : g_strdup("a list of names");
    case FIELD_PORTS:
        return g_strdup("a list of port numbers");
    case FIELD_ENVS:
        return g_strdup("a mapping of names to values");
    case FIELD_MATRIX:
        return g_strdup("a mapping of names to lists of values");
    default:
        return g_strdup_printf("%s, or a list of them", field->noun);
    }
}

void *field_slot(const Field *field, void *record)
{
    return (char *)record + field->offset;
}

const void *field_peek(const Field *field, const void *record)
{
    return (const char *)record + field->offset;
}
