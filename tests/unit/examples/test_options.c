/* SPDX-License-Identifier: Apache-2.0 */
#include "options.h"

#include <glib.h>

/* Parses a command line, divided by blanks. Names in `options` are gone after it. */
static int parse(const char *line, Options *options, Fault *fault)
{
    g_autofree char *whole = g_strconcat("gpt_train ", line, NULL);
    g_auto(GStrv) words = g_strsplit(g_strchomp(whole), " ", -1);

    return options_parse(options, (int)g_strv_length(words), words, fault);
}

static void test_defaults(void)
{
    Options options;
    Fault fault = {0};

    g_assert_cmpint(parse("", &options, &fault), ==, 0);
    g_assert_cmpint(options.batch, ==, 8);
    g_assert_cmpint(options.keep, ==, 3);
    g_assert_cmpfloat(options.checkpoint_s, ==, 900);
    g_assert_null(options.resume);
    g_assert_false(options.balance);
}

static void test_values(void)
{
    Options options;
    Fault fault = {0};

    g_assert_cmpint(parse("--steps 7 --steps=9 --lr 2e-3 --data a --data b --quiet --resume= "
                          "--checkpoint-every 40",
                          &options, &fault),
                    ==, 0);
    g_assert_cmpint(options.steps, ==, 9);
    g_assert_cmpfloat(options.rate, ==, 2e-3);
    g_assert_cmpint(options.files_count, ==, 2);
    g_assert_true(options.quiet);
    g_assert_cmpint(options.checkpoint_steps, ==, 40);
    g_assert_cmpfloat(options.checkpoint_s, ==, 0);
    g_assert_cmpint(parse("--checkpoint-every 1.5m", &options, &fault), ==, 0);
    g_assert_cmpfloat(options.checkpoint_s, ==, 90);
    g_assert_cmpint(options.checkpoint_steps, ==, 0);
    g_assert_cmpint(parse("--tokens t --vocab 50257 --heads 4 --channels 8", &options, &fault), ==,
                    0);
    g_assert_cmpint(options_get_model(&options).vocab, ==, 50257);
}

static void test_refusals(void)
{
    static const struct {
        const char *line, *words;
    } cases[] = {{"--step 3", "'--step'"},
                 {"-x", "'-x'"},
                 {"file", "'file'"},
                 {"--", "'--'"},
                 {"--steps", "needs a value"},
                 {"--steps x", "'x' is not a whole number"},
                 {"--steps 1.5", "whole number"},
                 {"--steps=", "whole number"},
                 {"--steps -1", "out of range"},
                 {"--steps 99999999999999999999", "out of range"},
                 {"--batch 0", "out of range (1 to 1000000)"},
                 {"--lr nan", "not a number"},
                 {"--lr inf", "not a number"},
                 {"--lr 1e999", "not a number"},
                 {"--lr -1", "out of range"},
                 {"--lr 1e-3x", "not a number"},
                 {"--quiet=yes", "takes no value"},
                 {"--heads 5", "do not divide"},
                 {"--vocab 300", "--tokens"},
                 {"--data a --tokens b", "exclude"},
                 {"--data=", "empty"},
                 {"--checkpoint-every soon", "steps nor a time"},
                 {"--checkpoint-every 1.5", "steps nor a time"},
                 {"--checkpoint-every -3", "steps nor a time"},
                 {"--checkpoint-every 5mm", "steps nor a time"},
                 {"--context 65537", "out of range"}};

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        Options options;
        Fault fault = {0};

        g_test_message("%s", cases[i].line);
        g_assert_cmpint(parse(cases[i].line, &options, &fault), ==, -1);
        g_assert_nonnull(strstr(fault.words, cases[i].words));
    }
}

static void test_too_many_files(void)
{
    g_autoptr(GString) line = g_string_new(NULL);
    Options options;
    Fault fault = {0};

    for (int i = 0; i <= OPTIONS_FILES_MAX; i++)
        g_string_append(line, "--data f ");
    g_assert_cmpint(parse(line->str, &options, &fault), ==, -1);
    g_assert_nonnull(strstr(fault.words, "more than"));
}

static void test_environment(void)
{
    char name[] = "gpt_train", resume[] = "--resume=/d", keep[] = "--keep=2";
    char every[] = "--checkpoint-every=7";
    char *stronger[] = {name, resume, keep, every};
    Options options;
    Fault fault = {0};

    g_setenv("DROVER_CHECKPOINT_DIR", "/c", TRUE);
    g_setenv("DROVER_CHECKPOINT_EVERY_S", "30", TRUE);
    g_setenv("DROVER_CHECKPOINT_KEEP", "5", TRUE);
    g_setenv("DROVER_TRAIN_BALANCE", "auto", TRUE);
    g_assert_cmpint(parse("", &options, &fault), ==, 0);
    g_assert_cmpstr(options.resume, ==, "/c");
    g_assert_cmpfloat(options.checkpoint_s, ==, 30);
    g_assert_cmpint(options.keep, ==, 5);
    g_assert_true(options.balance);
    g_assert_cmpint(options_parse(&options, 4, stronger, &fault), ==, 0);
    g_assert_cmpstr(options.resume, ==, "/d"); /* a flag is stronger */
    g_assert_cmpint(options.keep, ==, 2);
    g_assert_cmpfloat(options.checkpoint_s, ==, 0);
    g_setenv("DROVER_TRAIN_BALANCE", "fair", TRUE);
    g_assert_cmpint(parse("", &options, &fault), ==, -1);
    g_assert_nonnull(strstr(fault.words, "DROVER_TRAIN_BALANCE"));
    g_setenv("DROVER_TRAIN_BALANCE", "even", TRUE);
    g_setenv("DROVER_CHECKPOINT_KEEP", "0", TRUE);
    g_assert_cmpint(parse("", &options, &fault), ==, -1);
    g_assert_nonnull(strstr(fault.words, "DROVER_CHECKPOINT_KEEP"));
    g_unsetenv("DROVER_CHECKPOINT_KEEP");
    g_unsetenv("DROVER_CHECKPOINT_DIR");
    g_unsetenv("DROVER_CHECKPOINT_EVERY_S");
    g_unsetenv("DROVER_TRAIN_BALANCE");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/gpt/options/defaults", test_defaults);
    g_test_add_func("/gpt/options/values", test_values);
    g_test_add_func("/gpt/options/refusals", test_refusals);
    g_test_add_func("/gpt/options/too_many_files", test_too_many_files);
    g_test_add_func("/gpt/options/environment", test_environment);
    return g_test_run();
}
