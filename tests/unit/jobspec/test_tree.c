/* SPDX-License-Identifier: Apache-2.0
 *
 * Bytes that are no job file, or mean harm. Each ends in one clear error, soon and in little
 * memory: the programs' time limit and the limits asserted here are what would notice otherwise.
 */
#include "tests/unit/jobspec/spec.h"

#include "jobspec/tree.h"

/* The whole file (no lines in front) gives exactly these diagnostics. */
static void assert_whole(const char *data, size_t size, const char *expected)
{
    g_autoptr(JobSpecFile) file = jobspec_file_parse("job.yaml", data, size, NULL);
    g_autofree char *found = spec_describe(file);

    g_assert_cmpstr(found, ==, expected);
    g_assert_cmpuint(file->jobs->len, ==, 0);
}

static void assert_text(const char *text, const char *expected)
{
    assert_whole(text, strlen(text), expected);
}

/* `head`, `count` times `unit`, `tail`. */
static char *repeat(const char *head, const char *unit, size_t count, const char *tail)
{
    GString *text = g_string_new(head);

    for (size_t i = 0; i < count; i++)
        g_string_append(text, unit);
    g_string_append(text, tail);
    return g_string_free(text, FALSE);
}

static void test_encoding(void)
{
    static const char nul[] = "version: 1\nna\0me: x\n";
    static const char utf16[] = "\xff\xfev\0e\0r\0";

    assert_whole(nul, sizeof nul - 1, "2:3+1 E110 byte 0x00: a NUL byte is not text\n");
    assert_whole(utf16, sizeof utf16 - 1, "1:1+1 E110 the file is UTF-16; save it as UTF-8\n");
    assert_text("name: caf\xe9\n", "1:10+1 E110 byte 0xe9: not UTF-8\n");
    assert_text("name: \xc3", "1:7+1 E110 byte 0xc3: not UTF-8\n");
    assert_text("name: \xed\xa0\x80\n", "1:7+1 E110 byte 0xed: not UTF-8\n"); /* a surrogate */
    assert_text("name: \xc0\xaf\n", "1:7+1 E110 byte 0xc0: not UTF-8\n");     /* overlong */
    assert_text("name: a\033[0m\n",
                "1:8+1 E110 byte 0x1b: a control character is not text (write it "
                "as an escape in double quotes)\n");
    assert_text("\n\nrun: \xe2\x80\xa8\n",
                "3:6+1 E110 byte 0xe2: a Unicode line separator is not a "
                "line break here (remove it)\n");
    assert_text("run: \xc2\x85\n", "1:6+1 E110 byte 0xc2: a control character is not text\n");
}

/* A text may hold escapes, but not the characters that no text has. */
static void test_escaped_characters(void)
{
    spec_assert("setup: \"a\\0b\"\n", "4:8+6 E110 the text holds a NUL character\n");
    spec_assert("setup: \"a\\eb\"\n",
                "4:8+6 E110 setup: the text holds the control character U+001B\n");
    spec_assert("setup: \"a\\u2028b\"\n",
                "4:8+10 E110 setup: the text holds the control character U+2028\n");
    spec_assert_has("setup: \"\\ud800\"\n", "E101 YAML:");
    spec_assert("setup: \"a\\tb\\n\\U0001F600\"\n", "");
}

static void test_mark_and_line_breaks(void)
{
    static const char text[] = "\xef\xbb\xbfversion: 1\r\nname: a\r\nrun: |\r\n  x\r\n  y\r\n";
    g_autoptr(JobSpecFile) file = spec_parse(text);

    g_assert_cmpstr(spec_only_job(file)->run, ==, "x\ny\n");
}

static void test_size(void)
{
    size_t size = (size_t)100 << 20;
    g_autofree char *data = g_malloc(size);

    memset(data, 'x', size);
    assert_whole(data, size,
                 "1:1+1 E109 the file is larger than 1048576 bytes, the most that is read\n");
}

static void test_empty(void)
{
    static const char nothing[] =
        "1:1+1 E117 no job in this file (a job begins with 'version: 1')\n";
    g_autofree char *comment = repeat("", "#", 1000000, "");

    assert_text("", nothing);
    assert_text("\n\n  \n", nothing);
    assert_text("---\n---\n...\n", nothing);
    assert_text("\xef\xbb\xbf", nothing);
    assert_text(comment, nothing);
}

static void test_not_a_job(void)
{
    assert_text("hello\n", "1:1+5 E105 'hello' is not a job: a mapping of fields such as 'name: "
                           "hello'\n");
    assert_text("- a\n",
                "1:1+1 E105 a list is not a job: a mapping of fields such as 'name: hello'\n");
}

static void test_deep(void)
{
    static const char *const units[] = {"[", "{a: ", "- ", "? "};

    for (size_t i = 0; i < G_N_ELEMENTS(units); i++) {
        g_autofree char *text = repeat("", units[i], 200000, "");
        g_autoptr(JobSpecFile) file = spec_parse(text);
        g_autofree char *found = spec_describe(file);

        g_assert_true(
            g_str_has_suffix(found, "E109 nested deeper than 32, the most that is read\n"));
        g_assert_cmpuint(file->diagnostics->len, ==, 1);
    }
}

/* Nine lists of nine of the one before: 9^30 values in a kilobyte. */
static void test_alias_bomb(void)
{
    g_autoptr(GString) text = g_string_new("a0: &a0 [x, x, x, x, x, x, x, x, x]\n");

    for (int i = 1; i < 30; i++) {
        g_string_append_printf(text, "a%d: &a%d [", i, i);
        for (int k = 0; k < 9; k++)
            g_string_append_printf(text, "*a%d, ", i - 1);
        g_string_append(text, "]\n");
    }
    assert_text(text->str,
                "6:10+3 E109 more than 100000 values, aliases expanded, the most that is read\n");
}

static void test_aliases(void)
{
    g_autoptr(JobSpecFile) file =
        spec_parse(SPEC_HEAD "envs: {A: &v hello, B: *v}\nwhere: {location: &l [tw], tier: []}\n");
    const JobSpecPair *pair = g_ptr_array_index(spec_only_job(file)->envs, 1);

    g_assert_cmpstr(pair->value, ==, "hello");
    assert_text("a: &a [*a]\n", "1:1+1 E102 unknown field 'a' (see 'drover spec explain')\n"
                                "1:8+2 E111 the alias 'a' is inside its own anchor\n");
    assert_text("run: *nothing\n",
                "1:6+8 E111 no anchor of the name 'nothing' stands before this alias\n");
    /* anchors end with their document */
    spec_assert_has("setup: &s x\n---\nrun: *s\n", "6:6+2 E111 no anchor of the name 's'");
}

static void test_values_are_counted(void)
{
    g_autofree char *list = repeat(SPEC_HEAD "ports: [", "1,", 300000, "]\n");
    g_autofree char *million = repeat("", "a:\n", 340000, "");
    g_autofree char *documents = repeat("", "---\n", 260000, "");
    g_autoptr(JobSpecFile) file = spec_parse(list);
    g_autofree char *found = spec_describe(file);

    g_assert_cmpstr(found, ==,
                    "4:199991+1 E109 more than 100000 values, aliases expanded, the most "
                    "that is read\n");
    spec_assert_has(million, "E109");
    assert_text(documents,
                "100002:1+1 E109 more than 100000 values, aliases expanded, the most that "
                "is read\n");
}

static void test_many_documents(void)
{
    g_autofree char *text = repeat("", "--- a\n", 90000, "");
    g_autoptr(JobSpecFile) file = spec_parse(text);

    g_assert_cmpuint(file->diagnostics->len, ==, 100);
    g_assert_cmpuint(file->diagnostics_dropped, ==, 901); /* a thousand, then it stops */
}

/* libyaml looks each directive up among all the others. */
static void test_directives(void)
{
    g_autoptr(GString) text = g_string_new(NULL);

    for (int i = 0; i < 40000; i++)
        g_string_append_printf(text, "%%TAG !a%d! tag:x\n", i);
    assert_text(text->str, "9:1+1 E109 more than 8 lines begin with '%' (directives)\n");
}

static void test_duplicate_key(void)
{
    spec_assert("spot: auto\npriority: 1\nspot: never\n",
                "6:1+4 E103 'spot' is written twice in this mapping\n");
    spec_assert("envs: {A: 1, \"A\": 2}\n", "4:14+3 E103 'A' is written twice in this mapping\n");
}

static void test_features_left_out(void)
{
    spec_assert("where:\n  <<: {green: true}\n",
                "5:3+2 E111 merge keys ('<<') are not part of YAML 1.2; write the fields out\n");
    spec_assert("spot: !!str never\n",
                "4:7+11 E111 tags ('!') are not used in job files; remove it\n");
    spec_assert_has("? [a]\n: b\n", "4:3+1 E111 a key must be a name, not a list or a mapping\n");
    spec_assert_has("%YAML 1.1\n", "E101 YAML:");
}

/* What stands in front of a syntax error is checked; what is missing behind it is not told. */
static void test_syntax_error_and_others(void)
{
    assert_text(
        "name: a\nspott: x\nwhere: {green: maybe\n",
        "2:1+5 E102 unknown field 'spott'; did you mean 'spot'?\n"
        "3:16+5 E105 where.green: 'maybe' is not true or false (try 'true')\n"
        "4:1+1 E101 YAML: did not find expected ',' or '}' while parsing a flow mapping that "
        "began on line 3 (close the bracket)\n");
    assert_text("run: x\n\tname: a\n",
                "2:1+1 E101 YAML: found a tab character that violates "
                "indentation while scanning a plain scalar that began on line "
                "1 (indent with spaces)\n");
}

static void test_syntax_mends(void)
{
    spec_assert_has("spot: @x\n", "(indent with spaces, put '@' or '`' in quotes)\n");
    spec_assert_has("where:\n\tgreen: true\n", "(indent with spaces");
    spec_assert_has("setup: echo a: b\n", "(put a value that holds ': ' in quotes)\n");
    spec_assert_has("spot auto\n", "(write 'key: value')\n");
    spec_assert_has("where:\n   green: true\n  same: site\n",
                    "(indent the keys of a mapping alike)\n");
    spec_assert_has("setup: \"a\\q\"\n", "(double the backslash, or use single quotes)\n");
}

/* Long tokens of every kind are read once and not again and again. */
static void test_long_tokens(void)
{
    static const char *const units[] = {"'",  "\"", "-",  "*",   "&a ", "! ",
                                        ": ", "|",  "a,", "\n ", "@"};

    for (size_t i = 0; i < G_N_ELEMENTS(units); i++) {
        g_autofree char *text = repeat("", units[i], 1000000 / strlen(units[i]), "");
        g_autofree char *flow = repeat("{", units[i], 1000000 / strlen(units[i]), "");
        g_autoptr(JobSpecFile) file = spec_parse(text);
        g_autoptr(JobSpecFile) flow_file = spec_parse(flow);

        g_assert_true(jobspec_file_has_errors(file));
        g_assert_true(jobspec_file_has_errors(flow_file));
    }
}

/* Every prefix of a file, and every single byte of it changed: never a crash, always an answer. */
static void test_every_damage(void)
{
    static const char text[] =
        SPEC_HEAD "envs: {A: &x \"q\\n\", B: *x}\nresources:\n  any_of:\n  - {cpus: 2+}\n---\n# c\n"
                  "version: 1\nname: b\nrun: |\n  ${{ matrix.m }}\nmatrix: {m: 1..2}\n";
    size_t size = sizeof text - 1;
    g_autofree char *copy = g_memdup2(text, size + 1);

    for (size_t i = 0; i < size; i++) {
        static const char bytes[] = "\0\n:{['\"&*%-#\x80\xff ";
        g_autoptr(JobSpecFile) prefix = jobspec_file_parse("p", text, i, NULL);

        g_assert_true(prefix->jobs->len + prefix->diagnostics->len > 0);
        for (size_t k = 0; k < sizeof bytes - 1; k++) {
            g_autoptr(JobSpecFile) file = NULL;

            copy[i] = bytes[k];
            file = jobspec_file_parse("d", copy, size, NULL);
            g_assert_true(file->jobs->len + file->diagnostics->len > 0);
        }
        copy[i] = text[i];
    }
}

static void test_find(void)
{
    const JobSpecLimits limits = {.file_bytes = 100, .depth = 4, .nodes = 100};
    JobSpecFile file = {.diagnostics = g_ptr_array_new()};
    Diags diags = {.file = &file, .limit = 1};
    g_autoptr(Tree) tree = tree_new("a: {b: 'c'}\n", 12, &limits, &diags);
    bool whole;
    const TreeNode *root = tree_read(tree, &whole);
    const TreeNode *inner = tree_find(root, "a");

    g_assert_true(whole);
    g_assert_cmpuint(inner->position.column, ==, 4);
    g_assert_cmpstr(tree_find(inner, "b")->text, ==, "c");
    g_assert_false(tree_find(inner, "b")->plain);
    g_assert_null(tree_find(inner, "c"));
    g_assert_null(tree_find(tree_find(inner, "b"), "c"));
    g_assert_null(tree_read(tree, &whole));
    g_ptr_array_unref(file.diagnostics);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/jobspec/tree/encoding", test_encoding);
    g_test_add_func("/jobspec/tree/escapes", test_escaped_characters);
    g_test_add_func("/jobspec/tree/line-breaks", test_mark_and_line_breaks);
    g_test_add_func("/jobspec/tree/size", test_size);
    g_test_add_func("/jobspec/tree/empty", test_empty);
    g_test_add_func("/jobspec/tree/not-a-job", test_not_a_job);
    g_test_add_func("/jobspec/tree/deep", test_deep);
    g_test_add_func("/jobspec/tree/alias-bomb", test_alias_bomb);
    g_test_add_func("/jobspec/tree/aliases", test_aliases);
    g_test_add_func("/jobspec/tree/values", test_values_are_counted);
    g_test_add_func("/jobspec/tree/documents", test_many_documents);
    g_test_add_func("/jobspec/tree/directives", test_directives);
    g_test_add_func("/jobspec/tree/duplicate-key", test_duplicate_key);
    g_test_add_func("/jobspec/tree/features", test_features_left_out);
    g_test_add_func("/jobspec/tree/syntax-error", test_syntax_error_and_others);
    g_test_add_func("/jobspec/tree/syntax-mends", test_syntax_mends);
    g_test_add_func("/jobspec/tree/long-tokens", test_long_tokens);
    g_test_add_func("/jobspec/tree/every-damage", test_every_damage);
    g_test_add_func("/jobspec/tree/find", test_find);
    return g_test_run();
}
