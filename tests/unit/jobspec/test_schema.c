/* SPDX-License-Identifier: Apache-2.0
 *
 * The schema's shape; that validators agree with the parser is tested in tests/integration.
 */
#include "tests/unit/jobspec/spec.h"

#include "jobspec/field.h"

/* The schema of a dotted path. */
static json_t *property(json_t *schema, const char *path)
{
    g_auto(GStrv) parts = g_strsplit(path, ".", -1);
    json_t *at = schema;

    for (char **part = parts; *part; part++) {
        if (json_object_get(at, "items"))
            at = json_object_get(at, "items");
        at = json_object_get(json_object_get(at, "properties"), *part);
        if (!at)
            g_error("the schema has no %s", path);
    }
    return at;
}

static void test_every_field(void)
{
    json_t *schema = jobspec_schema();
    size_t count;
    const Field *table = field_table(&count);

    for (size_t i = 0; i < count; i++)
        g_assert_nonnull(json_object_get(property(schema, table[i].path), "description"));
    json_decref(schema);
}

static void test_keywords(void)
{
    json_t *schema = jobspec_schema();
    json_t *priority = property(schema, "priority"), *spot = property(schema, "spot");

    g_assert_true(json_is_false(json_object_get(schema, "additionalProperties")));
    g_assert_cmpuint(json_array_size(json_object_get(schema, "required")), ==, 3);
    g_assert_cmpint(json_integer_value(json_object_get(priority, "maximum")), ==, 100);
    g_assert_cmpint(json_integer_value(json_object_get(priority, "default")), ==, 50);
    g_assert_cmpuint(json_array_size(json_object_get(spot, "enum")), ==, 3);
    g_assert_true(json_is_false(
        json_object_get(property(schema, "limits.idle_gpu"), "additionalProperties")));
    json_decref(schema);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/jobspec/schema/every-field", test_every_field);
    g_test_add_func("/jobspec/schema/keywords", test_keywords);
    return g_test_run();
}
