/* SPDX-License-Identifier: Apache-2.0 */
#include "safetensors.h"

#include <glib.h>
#include <glib/gstdio.h>
#include <math.h>

static char *path_make(const char *name)
{
    g_autoptr(GError) error = NULL;
    char *dir = g_dir_make_tmp("safetensors-XXXXXX", &error);
    char *path = g_build_filename(dir, name, NULL);

    g_assert_no_error(error);
    g_free(dir);
    return path;
}

static void path_remove(char *path)
{
    g_autofree char *dir = g_path_get_dirname(path);

    g_unlink(path);
    g_rmdir(dir);
    g_free(path);
}

static int parse(const char *header, guint64 data_size, Fault *fault)
{
    Safetensors *tensors = NULL;
    int rc = safetensors_parse(header, strlen(header), data_size, &tensors, fault);

    g_assert_true((rc == 0) == (tensors != NULL));
    safetensors_close(tensors);
    return rc;
}

static void test_round_trip(void)
{
    const float a[6] = {1, -2, 3.5F, INFINITY, -0.0F, 1e-40F}, b[1] = {7};
    const SafetensorsTensor out[] = {{.name = "b", .data = b, .shape = {1}, .dims = 1},
                                     {.name = "none", .data = a, .shape = {0, 3}, .dims = 2},
                                     {.name = "a.x", .data = a, .shape = {2, 3}, .dims = 2}};
    char *path = path_make("t");
    Safetensors *in = NULL;
    Fault fault = {0};
    float read[6];
    const SafetensorsEntry *entry;

    g_assert_cmpint(safetensors_write(path, out, 3, &fault), ==, 0);
    g_assert_cmpint(safetensors_write(path, out, 3, &fault), ==, -1); /* never over another file */
    g_assert_nonnull(strstr(fault.words, path));
    g_assert_cmpint(safetensors_open(path, &in, &fault), ==, 0);
    g_assert_cmpuint(safetensors_get_count(in), ==, 3);
    entry = safetensors_find(in, "a.x");
    g_assert_nonnull(entry);
    g_assert_cmpuint(entry->dims, ==, 2);
    g_assert_cmpuint(entry->shape[0], ==, 2);
    g_assert_cmpint(safetensors_read(in, entry, read, 6, &fault), ==, 0);
    g_assert_true(memcmp(read, a, sizeof(read)) == 0);
    g_assert_cmpint(safetensors_read(in, entry, read, 7, &fault), ==, -1);
    g_assert_null(safetensors_find(in, "a"));
    g_assert_null(safetensors_get(in, 3));
    safetensors_close(in);
    path_remove(path);
}

/* Half floats, by their definition; the F16 file is written here byte by byte. */
static void test_half_floats(void)
{
    static const char header[] =
        "{\"h\":{\"dtype\":\"F16\",\"shape\":[6],\"data_offsets\":[0,12]},"
        "\"g\":{\"dtype\":\"BF16\",\"shape\":[2],\"data_offsets\":[12,16]},"
        "\"i\":{\"dtype\":\"I8\",\"shape\":[1],\"data_offsets\":[16,17]}}";
    static const guint8 data[] = {0x00, 0x3c, 0x00, 0xc0, 0x01, 0x00, 0xff, 0x7b, 0x00,
                                  0x7c, 0x01, 0x80, 0x80, 0x3f, 0x49, 0xc0, 9};
    const float half[6] = {1, -2, 0x1p-24F, 65504, INFINITY, -0x1p-24F};
    g_autoptr(GByteArray) bytes = g_byte_array_new();
    guint64 size = GUINT64_TO_LE(strlen(header));
    char *path = path_make("half");
    Safetensors *in = NULL;
    Fault fault = {0};
    float read[6];

    g_byte_array_append(bytes, (const guint8 *)&size, 8);
    g_byte_array_append(bytes, (const guint8 *)header, (guint)strlen(header));
    g_byte_array_append(bytes, data, sizeof(data));
    g_assert_true(g_file_set_contents(path, (const char *)bytes->data, (gssize)bytes->len, NULL));
    g_assert_cmpint(safetensors_open(path, &in, &fault), ==, 0);
    g_assert_cmpint(safetensors_read(in, safetensors_find(in, "h"), read, 6, &fault), ==, 0);
    g_assert_true(memcmp(read, half, sizeof(read)) == 0);
    g_assert_cmpint(safetensors_read(in, safetensors_find(in, "g"), read, 2, &fault), ==, 0);
    g_assert_cmpfloat(read[0], ==, 1.0F);
    g_assert_cmpfloat(read[1], ==, -3.140625F);
    g_assert_cmpint(safetensors_read(in, safetensors_find(in, "i"), read, 1, &fault), ==, -1);
    safetensors_close(in);
    /* every shorter file is refused */
    for (guint length = 0; length < bytes->len; length++) {
        in = NULL;
        g_assert_true(g_file_set_contents(path, (const char *)bytes->data, (gssize)length, NULL));
        g_assert_cmpint(safetensors_open(path, &in, &fault), ==, -1);
        g_assert_null(in);
        g_assert_true(g_str_has_prefix(fault.words, path));
    }
    path_remove(path);
}

#define ENTRY(dtype, shape, offsets) \
    "{\"x\":{\"dtype\":" dtype ",\"shape\":" shape ",\"data_offsets\":" offsets "}}"

static void test_hostile_headers(void)
{
    static const struct {
        const char *header, *words;
        guint64 data_size;
    } cases[] = {
        {"", "JSON", 0},
        {"[]", "object", 0},
        {"{", "JSON", 0},
        {"{} x", "JSON", 0},
        {"{}", "truncated", 1},
        {"{\"x\":3}", "dtype", 0},
        {ENTRY("\"F31\"", "[1]", "[0,4]"), "dtype", 4},
        {ENTRY("7", "[1]", "[0,4]"), "dtype", 4},
        {ENTRY("\"F32\"", "{}", "[0,4]"), "shape", 4},
        {ENTRY("\"F32\"", "[-1]", "[0,4]"), "shape", 4},
        {ENTRY("\"F32\"", "[1.0]", "[0,4]"), "shape", 4},
        {ENTRY("\"F32\"", "[1,1,1,1,1,1,1,1,1]", "[0,4]"), "shape", 4},
        {ENTRY("\"F32\"", "[9223372036854775807,2]", "[0,4]"), "overflows", 4},
        {ENTRY("\"F32\"", "[4611686018427387904]", "[0,0]"), "overflows", 0},
        {ENTRY("\"F32\"", "[99999999999999999999]", "[0,0]"), "JSON", 0},
        {ENTRY("\"F32\"", "[2]", "[0,4]"), "span", 4},
        {ENTRY("\"F32\"", "[1]", "[4,0]"), "span", 4},
        {ENTRY("\"F32\"", "[1]", "[0]"), "data_offsets", 4},
        {ENTRY("\"F32\"", "[1]", "[0,-4]"), "data_offsets", 4},
        {ENTRY("\"F32\"", "[1]", "[4,8]"), "gap", 8},
        {ENTRY("\"F32\"", "[1]", "[0,4]"), "truncated", 3},
        {ENTRY("\"F32\"", "[1]", "[0,4]"), "truncated", G_MAXUINT64},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]},"
         "\"b\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[1,3]}}",
         "overlap", 3},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},"
         "\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[1,2]}}",
         "JSON", 2},
    };

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        Fault fault = {0};

        g_test_message("%s", cases[i].header);
        g_assert_cmpint(parse(cases[i].header, cases[i].data_size, &fault), ==, -1);
        g_assert_nonnull(strstr(fault.words, cases[i].words));
    }
    g_assert_cmpint(parse(ENTRY("\"F32\"", "[]", "[0,4]"), 4, NULL), ==, 0); /* a scalar */
    g_assert_cmpint(parse("{\"__metadata__\":{\"a\":\"b\"}}  ", 0, NULL), ==, 0);
}

static void test_big_headers(void)
{
    g_autofree char *deep = g_malloc(SAFETENSORS_HEADER_MAX + 2);
    g_autoptr(GString) many = g_string_new("{");
    Safetensors *tensors = NULL;
    Fault fault = {0};

    memset(deep, '[', SAFETENSORS_HEADER_MAX + 1);
    deep[SAFETENSORS_HEADER_MAX + 1] = '\0';
    g_assert_cmpint(safetensors_parse(deep, SAFETENSORS_HEADER_MAX + 1, 0, &tensors, &fault), ==,
                    -1);
    g_assert_cmpint(safetensors_parse(deep, SAFETENSORS_HEADER_MAX, 0, &tensors, &fault), ==, -1);
    for (guint i = 0; i <= SAFETENSORS_TENSORS_MAX; i++)
        g_string_append_printf(many, "%s\"%u\":0", i ? "," : "", i);
    g_string_append(many, "}");
    g_assert_cmpint(parse(many->str, 0, &fault), ==, -1);
    g_assert_nonnull(strstr(fault.words, "more than"));
    memset(deep, 'n', 300);
    deep[300] = '\0';
    {
        g_autofree char *named = g_strdup_printf(
            "{\"%s\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}}", deep);

        g_assert_cmpint(parse(named, 0, &fault), ==, -1);
        g_assert_nonnull(strstr(fault.words, "longer"));
    }
}

static void test_odd_files(void)
{
    Safetensors *in = NULL;
    Fault fault = {0};
    char *path = path_make("odd");
    static const char huge[] = "\xff\xff\xff\xff\xff\xff\xff\xff{}";

    g_assert_cmpint(safetensors_open("/nowhere/at/all", &in, &fault), ==, -1);
    g_assert_nonnull(strstr(fault.words, "/nowhere/at/all"));
    g_assert_cmpint(safetensors_open("/", &in, &fault), ==, -1);
    g_assert_cmpint(safetensors_open("/dev/zero", &in, &fault), ==, -1);
    g_assert_nonnull(strstr(fault.words, "plain file"));
    g_assert_true(g_file_set_contents(path, huge, sizeof(huge) - 1, NULL));
    g_assert_cmpint(safetensors_open(path, &in, &fault), ==, -1);
    g_assert_nonnull(strstr(fault.words, "18446744073709551615"));
    g_assert_null(in);
    path_remove(path);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/gpt/safetensors/round_trip", test_round_trip);
    g_test_add_func("/gpt/safetensors/half_floats", test_half_floats);
    g_test_add_func("/gpt/safetensors/hostile_headers", test_hostile_headers);
    g_test_add_func("/gpt/safetensors/big_headers", test_big_headers);
    g_test_add_func("/gpt/safetensors/odd_files", test_odd_files);
    return g_test_run();
}
