/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/jobspec/spec.h"

/* What a terminal gets for a file. Free with free(). */
static char *print(const char *name, const char *text, size_t size, bool colour)
{
    g_autoptr(JobSpecFile) file = jobspec_file_parse(name, text, size, NULL);
    char *shown = NULL;
    size_t shown_size;
    FILE *out = open_memstream(&shown, &shown_size);

    jobspec_file_print(file, out, colour);
    fclose(out);
    return shown;
}

static void assert_prints(const char *text, const char *expected)
{
    char *shown = print("job.yaml", text, strlen(text), false);

    g_assert_cmpstr(shown, ==, expected);
    free(shown);
}

/* The shape that the specification of job files shows. */
static void test_shape(void)
{
    assert_prints(SPEC_HEAD "resources:\n  acelerators: H100:8\n",
                  "job.yaml:5:3: error[E102]: unknown field 'acelerators'; did you mean "
                  "'accelerators'?\n"
                  "    5 |   acelerators: H100:8\n"
                  "      |   ^~~~~~~~~~~\n");
}

static void test_tabs_and_wide(void)
{
    /* a tab in front of the value, which is two wide characters and a combining one */
    assert_prints(SPEC_HEAD "spot:\t\xe6\x97\xa5\xe6\x9c\xac"
                            "e\xcc\x81\n",
                  "job.yaml:4:7: error[E106]: spot: unknown word '\xe6\x97\xa5\xe6\x9c\xac"
                  "e\xcc\x81'; it is 'never', 'auto' or 'only'\n"
                  "    4 | spot:   \xe6\x97\xa5\xe6\x9c\xac"
                  "e\xcc\x81\n"
                  "      |         ^~~~~\n");
}

/* Columns count code points, as editors do, not bytes. */
static void test_columns_are_code_points(void)
{
    spec_assert("envs: {\xc3\xa9: 1}\n",
                "4:8+1 E106 envs: '\xc3\xa9' is not a variable name: letters, digits and '_'\n");
}

static void test_long_line(void)
{
    g_autofree char *pad = g_strnfill(5000, ' ');
    g_autofree char *tail = g_strnfill(5000, '#');
    g_autofree char *text = g_strdup_printf(SPEC_HEAD "ports: [1,%s70000] #%s\n", pad, tail);
    char *shown = print("job.yaml", text, strlen(text), false);
    g_auto(GStrv) lines = g_strsplit(shown, "\n", -1);

    g_assert_cmpstr(lines[0], ==,
                    "job.yaml:4:5011: error[E108]: ports: '70000' is out of range (1 to "
                    "65535)");
    g_assert_cmpuint(strlen(lines[1]), <, 120);
    g_assert_nonnull(strstr(lines[1], "70000] #"));
    g_assert_true(g_str_has_suffix(lines[1], "#..."));
    /* the caret is below the number */
    g_assert_cmpint(strstr(lines[1], "70000") - lines[1], ==, strchr(lines[2], '^') - lines[2]);
    free(shown);
}

/* Nothing of the file or of its name reaches the terminal as a command. */
static void test_terminal_is_safe(void)
{
    static const char text[] =
        SPEC_HEAD "\"\\e]0;evil\\a\": 1\n# \xe2\x80\xae override\n\xc2\x9b: 1\n";
    char *shown = print("job\033[2J.yaml", text, strlen(text), false);

    for (const char *p = shown; *p; p++)
        g_assert_true(*p == '\n' || (unsigned char)*p >= 0x20);
    g_assert_null(strstr(shown, "\xc2\x9b"));
    g_assert_true(g_str_has_prefix(shown, "job\\x1b[2J.yaml:"));
    free(shown);
}

static void test_raw_bytes(void)
{
    static const char text[] = "version: 1\nname: \xff\xfe\n";
    char *shown = print("job.yaml", text, strlen(text), false);

    g_assert_cmpstr(shown, ==,
                    "job.yaml:2:7: error[E110]: byte 0xff: not UTF-8\n"
                    "    2 | name: \\xff\\xfe\n"
                    "      |       ^~~~\n");
    free(shown);
}

static void test_end_of_file(void)
{
    assert_prints(
        "version: 1\nname: a\nrun: x\nsetup: \"abc",
        "job.yaml:4:12: error[E101]: YAML: found unexpected end of stream (close the quotes)\n"
        "    4 | setup: \"abc\n"
        "      |            ^\n");
    assert_prints("", "job.yaml:1:1: error[E117]: no job in this file (a job begins with 'version: "
                      "1')\n");
}

static void test_line_breaks_and_mark(void)
{
    assert_prints("\xef\xbb\xbfversion: 1\r\nname: a\r\nrun: x\r\nspott: 1\r\n",
                  "job.yaml:4:1: error[E102]: unknown field 'spott'; did you mean 'spot'?\n"
                  "    4 | spott: 1\n"
                  "      | ^~~~~\n");
}

static void test_colour(void)
{
    char *shown = print("job.yaml", SPEC_HEAD "spott: 1\n", strlen(SPEC_HEAD "spott: 1\n"), true);

    g_assert_nonnull(strstr(shown, "\033[1;31merror[E102]:\033[0m"));
    free(shown);
}

static void test_dropped(void)
{
    g_autoptr(GString) text = g_string_new(SPEC_HEAD);
    char *shown;

    for (int i = 0; i < 150; i++)
        g_string_append_printf(text, "x%d: 1\n", i);
    shown = print("job.yaml", text->str, text->len, false);
    g_assert_true(g_str_has_suffix(shown, "\njob.yaml: 50 more not shown\n"));
    free(shown);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/jobspec/print/shape", test_shape);
    g_test_add_func("/jobspec/print/tabs-and-wide", test_tabs_and_wide);
    g_test_add_func("/jobspec/print/code-points", test_columns_are_code_points);
    g_test_add_func("/jobspec/print/long-line", test_long_line);
    g_test_add_func("/jobspec/print/terminal", test_terminal_is_safe);
    g_test_add_func("/jobspec/print/raw-bytes", test_raw_bytes);
    g_test_add_func("/jobspec/print/end-of-file", test_end_of_file);
    g_test_add_func("/jobspec/print/line-breaks", test_line_breaks_and_mark);
    g_test_add_func("/jobspec/print/colour", test_colour);
    g_test_add_func("/jobspec/print/dropped", test_dropped);
    return g_test_run();
}
