/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/jobspec/spec.h"

#include "jobspec/diag.h"

static void assert_suggests(const char *word, const char *expected)
{
    static const char *const words[] = {"accelerators", "cpus", "memory", "disk", "max_price"};

    g_assert_cmpstr(diag_suggest(word, words, G_N_ELEMENTS(words)), ==, expected);
}

static void test_suggest(void)
{
    g_autofree char *long_word = g_strnfill(100000, 'a');

    assert_suggests("acelerators", "accelerators");
    assert_suggests("accelreators", "accelerators"); /* two letters swapped */
    assert_suggests("cpu", "cpus");
    assert_suggests("memroy", "memory");
    assert_suggests("max-price", "max_price");
    assert_suggests("banana", NULL);
    assert_suggests("", NULL);
    assert_suggests(long_word, NULL);
}

static void test_quote(void)
{
    g_autofree char *plain = diag_quote("a\tb");
    g_autofree char *steering = diag_quote("\033[31m\xe2\x80\xae");
    g_autofree char *many = g_strnfill(200, 'x');
    g_autofree char *cut = diag_quote(many);
    g_autoptr(GString) broken = g_string_new(NULL);

    g_assert_cmpstr(plain, ==, "'a\\x09b'");
    g_assert_cmpstr(steering, ==, "'\\x1b[31m\\u202e'");
    g_assert_cmpuint(strlen(cut), ==, 60 + strlen("'...'"));
    diag_escape(broken, "a\xff\xc3", 3);
    g_assert_cmpstr(broken->str, ==, "a\\xff\\xc3");
}

static JobSpecFile *parse_limited(const char *text, size_t diagnostics)
{
    const JobSpecLimits limits = {.diagnostics = diagnostics};

    return jobspec_file_parse("job.yaml", text, strlen(text), &limits);
}

/* Beyond the limit diagnostics are counted, and the kept ones are the first. */
static void test_limit(void)
{
    g_autoptr(JobSpecFile) file = parse_limited(SPEC_HEAD "a1: 1\na2: 1\na3: 1\na4: 1\n", 2);
    g_autofree char *found = spec_describe(file);

    g_assert_cmpstr(found, ==,
                    "4:1+2 E102 unknown field 'a1' (see 'drover spec explain')\n"
                    "5:1+2 E102 unknown field 'a2' (see 'drover spec explain')\n");
    g_assert_cmpuint(file->diagnostics_dropped, ==, 2);
}

/* A list full of warnings still has room for the error that makes the file bad. */
static void test_error_displaces_warning(void)
{
    g_autoptr(JobSpecFile) file =
        parse_limited(SPEC_HEAD "where: {same: site}\n---\n" SPEC_HEAD, 1);

    g_assert_true(jobspec_file_has_errors(file));
    g_assert_cmpuint(file->diagnostics->len, ==, 1);
    g_assert_cmpuint(file->diagnostics_dropped, ==, 1);
}

/* In the order of the file, whatever the order of the checks. */
static void test_sorted(void)
{
    spec_assert("max_parallel: 2\nspott: x\ntrain: {sync: local}\n",
                "4:1+12 E112 max_parallel: it counts the jobs of a matrix, and there is none\n"
                "5:1+5 E102 unknown field 'spott'; did you mean 'spot'?\n"
                "6:9+4 E112 train.sync: local steps need their number, train.every (try 'every: "
                "64')\n");
}

/* A message is cut, whatever the author's text was. */
static void test_message_is_bounded(void)
{
    g_autofree char *word = g_strnfill(90000, 'x');
    g_autofree char *more =
        g_strdup_printf("spot: %s\nresources: {accelerators: %s:1}\n", word, word);
    g_autoptr(JobSpecFile) file = spec_parse_more(more);

    g_assert_cmpuint(file->diagnostics->len, ==, 2);
    for (guint i = 0; i < file->diagnostics->len; i++) {
        const JobSpecDiagnostic *d = g_ptr_array_index(file->diagnostics, i);

        g_assert_cmpuint(strlen(d->message), <, 700);
    }
}

/* Every code that the program can say is explained in the README. */
static void test_codes_are_documented(void)
{
    g_autofree char *readme = NULL;

    g_assert_true(g_file_get_contents(TEST_SOURCE_DIR "/jobspec/README.md", &readme, NULL, NULL));
    for (int code = DIAG_UNREADABLE; code <= DIAG_RISKY;
         code = code == DIAG_UNFIT ? 201 : code + 1) {
        g_autofree char *row = g_strdup_printf("| %c%d |", code < 200 ? 'E' : 'W', code);

        if (!strstr(readme, row))
            g_error("README.md has no row %s", row);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/jobspec/diag/suggest", test_suggest);
    g_test_add_func("/jobspec/diag/quote", test_quote);
    g_test_add_func("/jobspec/diag/limit", test_limit);
    g_test_add_func("/jobspec/diag/error-displaces-warning", test_error_displaces_warning);
    g_test_add_func("/jobspec/diag/sorted", test_sorted);
    g_test_add_func("/jobspec/diag/bounded", test_message_is_bounded);
    g_test_add_func("/jobspec/diag/documented", test_codes_are_documented);
    return g_test_run();
}
