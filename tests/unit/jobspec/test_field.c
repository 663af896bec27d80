/* SPDX-License-Identifier: Apache-2.0
 *
 * The table holds what its readers rely on.
 */
#include "tests/unit/jobspec/spec.h"

#include "jobspec/field.h"

static void test_lookup(void)
{
    const Field *checkpoint = field_find("checkpoint"), *every = field_find("checkpoint.every");

    g_assert_true(field_find_child(checkpoint, "every") == every);
    g_assert_cmpstr(field_get_name(every), ==, "every");
    g_assert_null(field_find("checkpoint.evry"));
    g_assert_null(field_find(""));
    g_assert_null(field_find_child(checkpoint, "train"));
    g_assert_null(field_find_child(NULL, "checkpoint.every"));
    g_assert_true(field_find_child(NULL, "checkpoint") == checkpoint);
    g_assert_null(field_next_child(every, NULL));
    g_assert_true(field_path_covers("where", "where"));
    g_assert_true(field_path_covers("where", "where.same"));
    g_assert_false(field_path_covers("where", "whereabouts"));
    g_assert_false(field_path_covers("where.same", "where"));
}

/* Walking the groups meets every row once: no row is out of its group's reach. */
static size_t count_below(const Field *group)
{
    const Field *child = NULL;
    size_t count = 0;

    while ((child = field_next_child(group, child)))
        count += 1 + count_below(child);
    return count;
}

static void test_rows(void)
{
    size_t count;
    const Field *table = field_table(&count);

    g_assert_cmpuint(count_below(NULL), ==, count);
    for (size_t i = 0; i < count; i++) {
        const Field *field = &table[i];
        g_autofree char *kind = field_describe(field);

        g_assert_true(field_find(field->path) == field); /* no path twice */
        g_assert_true(g_str_has_suffix(field->help, "."));
        g_assert_cmpuint(strlen(kind), >, 0);
        g_assert_nonnull(field->example);
        g_assert_true(!field->preset || !(field->flags & FIELD_REQUIRED));
        g_assert_cmpint(field->min, <=, field->max);
        g_assert_true(!field->pattern || field->noun);
    }
}

/* A job file in which `field` has its row's example, and what the example needs beside it. */
static char *example_file(const Field *field)
{
    g_autoptr(GString) text = g_string_new(NULL);
    g_auto(GStrv) parts = g_strsplit(field->path, ".", -1);
    bool root = parts[1] == NULL;

    if (!root || !g_str_equal(parts[0], "version"))
        g_string_append(text, "version: 1\n");
    if (!root || !g_str_equal(parts[0], "name"))
        g_string_append(text, "name: a\n");
    if (!root || !g_str_equal(parts[0], "run"))
        g_string_append(text, "run: x\n");
    if (g_str_equal(field->path, "max_parallel"))
        g_string_append(text, "matrix: {x: [1, 2]}\n");
    if (g_str_equal(field->path, "matrix_group"))
        g_string_append(text, "matrix: {x: [1]}\n");
    if (field->record == RECORD_DEPENDENCY)
        g_string_append_printf(text, "depends_on: [{%s%s: %s}]\n",
                               g_str_equal(parts[1], "job") ? "" : "job: prep, ", parts[1],
                               field->example);
    else if (root)
        g_string_append_printf(text, "%s: %s\n", parts[0], field->example);
    else if (g_str_equal(field->path, "checkpoint.every"))
        g_string_append_printf(text, "checkpoint: {path: c, every: %s}\n", field->example);
    else if (g_str_has_prefix(field->path, "limits.idle_gpu."))
        g_string_append_printf(text, "limits: {idle_gpu: {%s: %s, %s}}\n", parts[2], field->example,
                               g_str_equal(parts[2], "for") ? "below: 5%" : "for: 5m");
    else
        g_string_append_printf(text, "%s: {%s: %s}\n", parts[0], parts[1], field->example);
    g_string_append(text, "---\nversion: 1\nname: prep\nrun: x\n");
    return g_string_free(g_steal_pointer(&text), FALSE);
}

/* What the help shows can be written, and comes back from the canonical form unchanged. */
static void test_examples(void)
{
    size_t count;
    const Field *table = field_table(&count);

    for (size_t i = 0; i < count; i++) {
        g_autofree char *text = example_file(&table[i]);
        g_autoptr(JobSpecFile) file = spec_parse(text);
        g_autofree char *found = spec_describe(file);

        if (jobspec_file_has_errors(file))
            g_error("the example of %s:\n%s%s", table[i].path, text, found);
        for (guint k = 0; k < file->jobs->len; k++) {
            const JobSpec *job = g_ptr_array_index(file->jobs, k);
            json_t *json = jobspec_to_json(job);
            char *canonical = json_dumps(json, JSON_COMPACT);
            g_autoptr(JobSpec) again = jobspec_from_json(canonical, strlen(canonical), NULL);
            g_autofree char *digest = jobspec_digest(job);
            g_autofree char *digest_again = again ? jobspec_digest(again) : NULL;

            g_assert_cmpstr(digest, ==, digest_again);
            free(canonical);
            json_decref(json);
        }
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/jobspec/field/lookup", test_lookup);
    g_test_add_func("/jobspec/field/rows", test_rows);
    g_test_add_func("/jobspec/field/examples", test_examples);
    return g_test_run();
}
