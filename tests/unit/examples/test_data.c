/* SPDX-License-Identifier: Apache-2.0 */
#include "data.h"

#include <glib.h>
#include <glib/gstdio.h>

/* A file whose token at i is i mod 65536: a window tells where it came from. */
static Data numbered(size_t count)
{
    g_autoptr(GError) error = NULL;
    g_autofree guint16 *tokens = g_new(guint16, count);
    g_autofree char *path = NULL;
    Fault fault = {0};
    Data data;
    int fd = g_file_open_tmp("tokens-XXXXXX", &path, &error);

    g_assert_no_error(error);
    for (size_t i = 0; i < count; i++)
        tokens[i] = GUINT16_TO_LE((guint16)i);
    g_assert_true(g_file_set_contents(path, (char *)tokens, (gssize)(count * 2), NULL));
    g_assert_cmpint(data_load_tokens(&data, path, 65536, &fault), ==, 0);
    g_close(fd, NULL);
    g_unlink(path);
    return data;
}

static void test_order_is_by_index_alone(void)
{
    Data data = numbered(50000);
    guint16 a[65], b[65];
    guint different = 0, starts[10] = {0};

    for (guint i = 0; i < 1000; i++) {
        DataIndex index = {.seed = 3, .step = i / 8, .sample = i % 8};

        data_get_train(&data, index, a, 65);
        data_get_train(&data, index, b, 65);
        g_assert_true(memcmp(a, b, sizeof(a)) == 0);
        index.sample++;
        data_get_train(&data, index, b, 65);
        different += memcmp(a, b, sizeof(a)) != 0;
        starts[a[0] * 10 / 50000]++;
    }
    g_assert_cmpuint(different, >, 980);
    for (guint i = 0; i < 10; i++) /* all over the text; validation lies in the eighth tenth */
        g_assert_cmpuint(starts[i], >, 20);
    data_clear(&data);
}

/* Training and validation share no token, and together they are the text. */
static void test_streams_divide_the_text(void)
{
    static const size_t counts[] = {10, 11, 99, 1000, 40960, 40961, 50000, 65535};

    for (guint k = 0; k < G_N_ELEMENTS(counts); k++) {
        Data data = numbered(counts[k]);
        g_autofree guint8 *seen = g_new0(guint8, counts[k]);
        guint16 token;

        g_assert_cmpuint(data.train_count + data.val_count, ==, counts[k]);
        g_assert_cmpuint(data.val_count, >, 0);
        for (size_t i = 0; i < data.val_count; i++) {
            data_get_val(&data, i, data.val_count, &token, 1);
            seen[token]++;
        }
        for (guint i = 0; i < 3000; i++) {
            data_get_train(&data, (DataIndex){1, i, 0}, &token, 1);
            g_assert_cmpuint(seen[token], !=, 1);
            seen[token] = 2;
        }
        data_clear(&data);
    }
}

static void test_validation_windows(void)
{
    Data data = numbered(60000);
    guint16 first[10], last[10], only[10];

    data_get_val(&data, 0, 1, only, 10);
    data_get_val(&data, 0, 5, first, 10);
    data_get_val(&data, 4, 5, last, 10);
    g_assert_true(memcmp(only, first, sizeof(only)) == 0);
    g_assert_cmpuint(last[9], >, 30000);
    g_assert_cmpint(data_check(&data, data.val_count, NULL), ==, 0);
    data_get_val(&data, 0, 1, first, 10);
    data_clear(&data);
}

static void test_text(void)
{
    g_autofree char *dir = g_dir_make_tmp("data-XXXXXX", NULL);
    g_autofree char *a = g_build_filename(dir, "a", NULL);
    g_autofree char *b = g_build_filename(dir, "b", NULL);
    g_autofree char *dat = g_build_filename(dir, "a.dat", NULL);
    const char *const files[] = {b, a};
    Fault fault = {0};
    Data data, folder;

    g_assert_true(g_file_set_contents(a, "hello \xff", -1, NULL));
    g_assert_true(g_file_set_contents(b, "zz", -1, NULL));
    g_assert_true(g_file_set_contents(dat, "index", -1, NULL));
    g_assert_cmpint(data_load_text(&data, files, 2, &fault), ==, 0);
    g_assert_cmpuint(data.count, ==, 9);
    g_assert_cmpuint(data.tokens[0], ==, 'z');
    g_assert_cmpuint(data.tokens[8], ==, 255);
    g_assert_cmpint(data_load_fortunes(&folder, dir, &fault), ==, 0);
    g_assert_cmpuint(folder.count, ==, 9); /* a, b; not a.dat */
    g_assert_cmpuint(folder.tokens[0], ==, 'h');
    g_assert_cmphex(folder.digest, !=, data.digest);
    g_assert_cmpint(data_check(&data, 5, &fault), ==, -1);
    g_assert_nonnull(strstr(fault.words, "9 tokens"));
    data_clear(&data);
    data_clear(&folder);
    g_unlink(a);
    g_unlink(b);
    g_unlink(dat);
    g_assert_cmpint(data_load_fortunes(&folder, dir, &fault), ==, -1);
    g_assert_nonnull(strstr(fault.words, "apt-get install fortunes"));
    g_rmdir(dir);
    g_assert_cmpint(data_load_fortunes(&folder, dir, &fault), ==, -1);
    g_assert_nonnull(strstr(fault.words, "apt-get install fortunes"));
}

static void test_bad_files(void)
{
    static const char *const missing[] = {"/nowhere/text"}, *const folder[] = {"/"},
                             *const endless[] = {"/dev/zero"}, *const empty[] = {"/dev/null"};
    g_autofree char *path = NULL;
    Fault fault = {0};
    Data data;
    int fd = g_file_open_tmp("tokens-XXXXXX", &path, NULL);

    g_assert_cmpint(data_load_text(&data, missing, 1, &fault), ==, -1);
    g_assert_nonnull(strstr(fault.words, "/nowhere/text"));
    g_assert_cmpint(data_load_text(&data, folder, 1, &fault), ==, -1);
    g_assert_cmpint(data_load_text(&data, endless, 1, &fault), ==, -1);
    g_assert_cmpint(data_load_text(&data, empty, 1, &fault), ==, -1);
    g_assert_cmpint(data_load_tokens(&data, path, 256, &fault), ==, -1); /* empty */
    g_assert_true(g_file_set_contents(path, "\1\0\2", 3, NULL));
    g_assert_cmpint(data_load_tokens(&data, path, 256, &fault), ==, -1);
    g_assert_nonnull(strstr(fault.words, "uint16"));
    g_assert_true(g_file_set_contents(path, "\1\0\0\1", 4, NULL));
    g_assert_cmpint(data_load_tokens(&data, path, 256, &fault), ==, -1);
    g_assert_nonnull(strstr(fault.words, "token 256 at position 1"));
    g_assert_cmpint(data_load_tokens(&data, path, 257, &fault), ==, 0);
    data_clear(&data);
    g_close(fd, NULL);
    g_unlink(path);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/gpt/data/order_is_by_index_alone", test_order_is_by_index_alone);
    g_test_add_func("/gpt/data/streams_divide_the_text", test_streams_divide_the_text);
    g_test_add_func("/gpt/data/validation_windows", test_validation_windows);
    g_test_add_func("/gpt/data/text", test_text);
    g_test_add_func("/gpt/data/bad_files", test_bad_files);
    return g_test_run();
}
