/* SPDX-License-Identifier: Apache-2.0 */
#include "runner/cli/follow.h"

#include <glib/gstdio.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

typedef struct {
    char *dir;
    GString *told; /* "source|text\n" for each line; "!" before a notice */
} Fixture;

static void line_take(const FollowLine *line, void *user_data)
{
    Fixture *fixture = user_data;

    g_string_append_printf(fixture->told, "%s%s|%s\n", line->notice ? "!" : "", line->source,
                           line->text);
}

static void setup(Fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
    fixture->dir = g_dir_make_tmp("follow-XXXXXX", NULL);
    fixture->told = g_string_new(NULL);
}

static void teardown(Fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
    GDir *dir = g_dir_open(fixture->dir, 0, NULL);
    const char *file;

    while ((file = g_dir_read_name(dir))) {
        g_autofree char *path = g_build_filename(fixture->dir, file, NULL);

        g_unlink(path);
    }
    g_dir_close(dir);
    g_rmdir(fixture->dir);
    g_free(fixture->dir);
    g_string_free(fixture->told, TRUE);
}

static Follow *follow_all(Fixture *fixture)
{
    FollowConfig config = {.dir = fixture->dir, .rank = -1, .unicode = true};

    return follow_new(&config, line_take, fixture);
}

static void file_append(const Fixture *fixture, const char *name, const char *data, size_t length)
{
    g_autofree char *path = g_build_filename(fixture->dir, name, NULL);
    FILE *file = fopen(path, "a");

    g_assert_cmpuint(fwrite(data, 1, length, file), ==, length);
    fclose(file);
}

static void expect(Fixture *fixture, const char *expected)
{
    g_assert_cmpstr(fixture->told->str, ==, expected);
    g_string_truncate(fixture->told, 0);
}

static void test_whole_lines_as_they_come(Fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
    g_autoptr(Follow) follow = follow_all(fixture);

    g_assert_cmpuint(follow_read(follow, 1000), ==, 0);
    file_append(fixture, "rank-10.log", "ten\n", 4);
    file_append(fixture, "rank-2.log", "one\ntw", 6);
    file_append(fixture, "setup.log", "make\n", 5);
    file_append(fixture, "plan.json", "{}\n", 3);
    g_assert_cmpuint(follow_read(follow, 1000), ==, 15);
    expect(fixture, "setup|make\nrank 2|one\nrank 10|ten\n");
    file_append(fixture, "rank-2.log", "o\n\nlast", 7);
    follow_read(follow, 1000);
    expect(fixture, "rank 2|two\nrank 2|\n");
    follow_finish(follow);
    expect(fixture, "rank 2|last\n");
    follow_finish(follow);
    expect(fixture, "");
    g_assert_cmpuint(follow_read(follow, 1000), ==, 0);
}

static void test_one_rank_only(Fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
    FollowConfig config = {.dir = fixture->dir, .rank = 1, .unicode = true};
    g_autoptr(Follow) follow = follow_new(&config, line_take, fixture);

    file_append(fixture, "rank-0.log", "zero\n", 5);
    file_append(fixture, "rank-1.log", "one\n", 4);
    file_append(fixture, "rank-x.log", "x\n", 2);
    follow_read(follow, 1000);
    expect(fixture, "rank 1|one\n");
}

static void test_a_missing_folder_is_empty(Fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
    FollowConfig config = {.dir = "/nonexistent/attempt-1", .rank = -1};
    g_autoptr(Follow) follow = follow_new(&config, line_take, fixture);

    follow_tail(follow, 5);
    g_assert_cmpuint(follow_read(follow, 1000), ==, 0);
    follow_finish(follow);
    expect(fixture, "");
}

static void test_links_are_not_followed(Fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
    g_autofree char *path = g_build_filename(fixture->dir, "rank-0.log", NULL);
    g_autoptr(Follow) follow = follow_all(fixture);

    g_assert_cmpint(symlink("/etc/passwd", path), ==, 0);
    g_assert_cmpuint(follow_read(follow, 1000), ==, 0);
}

static void test_reading_is_bounded(Fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
    g_autoptr(Follow) follow = follow_all(fixture);
    g_autofree char *flood = g_malloc(300000);
    size_t total = 0, got;

    memset(flood, 'x', 300000);
    file_append(fixture, "rank-0.log", flood, 300000);
    while ((got = follow_read(follow, 1000))) {
        g_assert_cmpuint(got, <=, 1000);
        total += got;
    }
    g_assert_cmpuint(total, ==, 300000);
    follow_finish(follow);
    /* 300,000 without a newline: 36 lines of 8,192 and one of 5,088 */
    g_assert_cmpuint(fixture->told->len, ==, 300000 + 37 * strlen("rank 0|\n"));
}

/* Lines of every length around the limit must come out whole, in pieces, or in order. */
static void test_long_lines_lose_no_byte(Fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
    g_autoptr(Follow) follow = follow_all(fixture);
    size_t expected = 0;

    for (size_t length = 8185; length < 8200; length++) {
        g_autofree char *line = g_strnfill(length, 'y');

        file_append(fixture, "rank-0.log", line, length);
        file_append(fixture, "rank-0.log", "\n", 1);
        expected += length;
    }
    while (follow_read(follow, 4097))
        ;
    for (const char *at = fixture->told->str; *at; at++)
        expected -= *at == 'y';
    g_assert_cmpuint(expected, ==, 0);
}

static void test_tail(Fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
    static const struct {
        int64_t lines;
        const char *expected;
    } cases[] = {
        {0, ""},
        {1, "rank 0|c\n"},
        {2, "rank 0|b\nrank 0|c\n"},
        {9, "rank 0|a\nrank 0|b\nrank 0|c\n"},
        {INT64_MAX, "rank 0|a\nrank 0|b\nrank 0|c\n"},
    };

    file_append(fixture, "rank-0.log", "a\nb\nc\n", 6);
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(Follow) follow = follow_all(fixture);

        follow_tail(follow, cases[i].lines);
        follow_read(follow, 1000);
        expect(fixture, cases[i].expected);
    }
}

static void test_tail_of_a_large_file(Fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
    g_autoptr(Follow) follow = follow_all(fixture);
    g_autoptr(GString) text = g_string_new(NULL);

    for (int i = 0; i < 100000; i++)
        g_string_append_printf(text, "line %d\n", i);
    file_append(fixture, "rank-0.log", text->str, text->len);
    follow_tail(follow, 30000);
    while (follow_read(follow, 100000))
        ;
    g_assert_true(g_str_has_prefix(fixture->told->str, "rank 0|line 70000\n"));
    g_assert_true(g_str_has_suffix(fixture->told->str, "rank 0|line 99999\n"));
}

static void test_skip_tells_how_much(Fixture *fixture, gconstpointer data G_GNUC_UNUSED)
{
    g_autoptr(Follow) follow = follow_all(fixture);

    file_append(fixture, "rank-0.log", "first\n", 6);
    follow_read(follow, 1000);
    follow_skip(follow, 100);
    expect(fixture, "rank 0|first\n");
    for (int i = 0; i < 1000; i++)
        file_append(fixture, "rank-0.log", "0123456\n", 8);
    follow_skip(follow, 20);
    g_assert_true(
        g_str_has_prefix(fixture->told->str, "!rank 0|7.8 KiB not shown; all of it is in "));
    g_string_truncate(fixture->told, 0);
    follow_read(follow, 1000);
    expect(fixture, "rank 0|0123456\nrank 0|0123456\n");
}

#define ADD(path, function) g_test_add(path, Fixture, NULL, setup, function, teardown)

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    ADD("/cli/follow/lines", test_whole_lines_as_they_come);
    ADD("/cli/follow/rank", test_one_rank_only);
    ADD("/cli/follow/missing", test_a_missing_folder_is_empty);
    ADD("/cli/follow/link", test_links_are_not_followed);
    ADD("/cli/follow/bounded", test_reading_is_bounded);
    ADD("/cli/follow/long", test_long_lines_lose_no_byte);
    ADD("/cli/follow/tail", test_tail);
    ADD("/cli/follow/tail-large", test_tail_of_a_large_file);
    ADD("/cli/follow/skip", test_skip_tells_how_much);
    return g_test_run();
}
