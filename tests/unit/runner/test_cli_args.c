/* SPDX-License-Identifier: Apache-2.0 */
#include "runner/cli/args.h"

#include <string.h>

static const CliOption options[] = {
    {"follow", 'f', NULL, "follow"},
    {"tail", 'n', "N", "last lines"},
    {"rank", 0, "N", "one rank"},
    {"json", 'j', NULL, "JSON"},
};

static const CliCommand command = {
    .name = "logs",
    .arguments = "JOB [FILE]",
    .arguments_min = 1,
    .arguments_max = 2,
    .summary = "logs",
    .options = options,
    .options_count = G_N_ELEMENTS(options),
};

/* Words as the shell hands them over; the array must outlive the result. */
static CliArgs *parse(const char *const *words, GError **error)
{
    union {
        const char *const *read_only;
        char **writable;
    } argv = {.read_only = words};
    int argc = 0;

    while (words[argc])
        argc++;
    return args_parse(&command, argc, argv.writable, error);
}

static void refuse(const char *const *words, const char *expected)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(CliArgs) args = parse(words, &error);

    g_assert_null(args);
    g_assert_error(error, CLI_ERROR, CLI_ERROR_USAGE);
    g_assert_cmpstr(error->message, ==, expected);
}

static void test_every_spelling_of_an_option(void)
{
    static const char *const spellings[][4] = {
        {"--tail=5", "job", NULL}, {"--tail", "5", "job", NULL}, {"-n5", "job", NULL},
        {"-n", "5", "job", NULL},  {"job", "-n", "5", NULL},     {"-fn5", "job", NULL},
    };

    for (size_t i = 0; i < G_N_ELEMENTS(spellings); i++) {
        g_autoptr(CliArgs) args = parse(spellings[i], NULL);

        g_assert_nonnull(args);
        g_assert_cmpstr(cli_args_get(args, "tail"), ==, "5");
        g_assert_cmpint(cli_args_count(args), ==, 1);
        g_assert_cmpstr(cli_args_at(args, 0), ==, "job");
        g_assert_cmpint(cli_args_has(args, "follow"), ==, i == 5);
        g_assert_false(cli_args_has(args, "rank"));
    }
}

static void test_dashes_end_the_options(void)
{
    g_autoptr(CliArgs) args = parse((const char *const[]){"--", "--tail", "-", NULL}, NULL);

    g_assert_nonnull(args);
    g_assert_cmpint(cli_args_count(args), ==, 2);
    g_assert_cmpstr(cli_args_at(args, 0), ==, "--tail");
    g_assert_cmpstr(cli_args_at(args, 1), ==, "-");
    g_assert_false(cli_args_has(args, "tail"));
}

static void test_the_last_of_two_counts(void)
{
    g_autoptr(CliArgs) args = parse((const char *const[]){"-n1", "x", "--tail=2", NULL}, NULL);

    g_assert_cmpstr(cli_args_get(args, "tail"), ==, "2");
}

static void test_an_empty_value_is_a_value(void)
{
    g_autoptr(CliArgs) args = parse((const char *const[]){"--tail=", "x", NULL}, NULL);
    g_autoptr(GError) error = NULL;
    int64_t value = 7;

    g_assert_cmpstr(cli_args_get(args, "tail"), ==, "");
    g_assert_false(cli_args_get_int(args, "tail", (CliRange){0, 10}, &value, &error));
    g_assert_cmpint(value, ==, 7);
}

static void test_wrong_words_are_named(void)
{
    refuse((const char *const[]){"--tial", "5", "x", NULL},
           "unknown option '--tial'; did you mean '--tail'?");
    refuse((const char *const[]){"--zzzzzz", "x", NULL}, "unknown option '--zzzzzz'");
    refuse((const char *const[]){"-x", NULL}, "unknown option '-x'");
    refuse((const char *const[]){"-\x1b", NULL}, "unknown option '-?'");
    refuse((const char *const[]){"x", "--tail", NULL}, "option '--tail' needs a value: --tail N");
    refuse((const char *const[]){"x", "-n", NULL}, "option '--tail' needs a value: --tail N");
    refuse((const char *const[]){"--json=yes", "x", NULL}, "option '--json' takes no value");
    refuse((const char *const[]){NULL}, "missing argument: drover logs JOB [FILE]");
    refuse((const char *const[]){"a", "b", "c", NULL}, "too many arguments: 'c'");
}

static void test_help_wins_over_errors(void)
{
    g_autoptr(CliArgs) args =
        parse((const char *const[]){"--wrong", "a", "b", "c", "-h", NULL}, NULL);
    g_autoptr(CliArgs) after = parse((const char *const[]){"--", "--help", NULL}, NULL);

    g_assert_true(args_wants_help(args));
    g_assert_false(args_wants_help(after));
    g_assert_cmpstr(cli_args_at(after, 0), ==, "--help");
}

static void test_numbers_keep_to_their_range(void)
{
    static const char *const wrong[] = {"-1", "11", "5x", " 5", "0x5", "99999999999999999999"};
    int64_t value = 3;

    for (size_t i = 0; i < G_N_ELEMENTS(wrong); i++) {
        g_autofree char *word = g_strdup_printf("--tail=%s", wrong[i]);
        g_autoptr(GError) error = NULL;
        g_autoptr(CliArgs) args = parse((const char *const[]){word, "x", NULL}, NULL);

        g_assert_false(cli_args_get_int(args, "tail", (CliRange){0, 10}, &value, &error));
        g_assert_error(error, CLI_ERROR, CLI_ERROR_USAGE);
        g_assert_nonnull(strstr(error->message, "--tail: '"));
        g_assert_cmpint(value, ==, 3);
    }
}

static void test_internal_words_are_untouched(void)
{
    static const CliCommand internal = {.name = "rank", .arguments = "", .internal = true};
    char *words[] = {(char[]){"--help"}, (char[]){"--"}, (char[]){"--x=1"}, NULL};
    g_autoptr(CliArgs) args = args_parse(&internal, 3, words, NULL);
    int count;
    char **raw = cli_args_raw(args, &count);

    g_assert_false(args_wants_help(args));
    g_assert_cmpint(count, ==, 3);
    g_assert_cmpstr(raw[2], ==, "--x=1");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/cli/args/spellings", test_every_spelling_of_an_option);
    g_test_add_func("/cli/args/dashes", test_dashes_end_the_options);
    g_test_add_func("/cli/args/last", test_the_last_of_two_counts);
    g_test_add_func("/cli/args/empty", test_an_empty_value_is_a_value);
    g_test_add_func("/cli/args/wrong", test_wrong_words_are_named);
    g_test_add_func("/cli/args/help", test_help_wins_over_errors);
    g_test_add_func("/cli/args/numbers", test_numbers_keep_to_their_range);
    g_test_add_func("/cli/args/internal", test_internal_words_are_untouched);
    return g_test_run();
}
