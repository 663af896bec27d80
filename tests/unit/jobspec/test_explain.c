/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/jobspec/spec.h"

#include "jobspec/field.h"

static void test_field(void)
{
    g_autofree char *text = jobspec_explain("checkpoint.every", NULL);

    g_assert_cmpstr(text, ==,
                    "checkpoint.every\n\n"
                    "  Time between checkpoints. Not given: the program decides.\n\n"
                    "  type:     a duration, in ms, s, m, h or d\n"
                    "  range:    1s to 365d\n"
                    "  default:  none\n"
                    "  example:\n"
                    "    checkpoint:\n"
                    "      every: 15m\n");
}

static void test_words_and_children(void)
{
    g_autofree char *launch = jobspec_explain("launch.type", NULL);
    g_autofree char *retry = jobspec_explain("retry", NULL);

    g_assert_nonnull(strstr(launch, "torchrun       the environment that torchrun gives\n"));
    g_assert_nonnull(strstr(retry, "    retry.backoff "));
}

static void test_unknown(void)
{
    g_autoptr(GError) error = NULL, last_name = NULL, hostile = NULL;

    g_assert_null(jobspec_explain("chekpoint.every", &error));
    g_assert_error(error, JOBSPEC_DOMAIN, JOBSPEC_FAIL_UNKNOWN_FIELD);
    g_assert_cmpstr(error->message, ==,
                    "no field 'chekpoint.every' in a job file; did you mean 'checkpoint.every'?");
    g_assert_null(jobspec_explain("backoff", &last_name));
    g_assert_nonnull(strstr(last_name->message, "did you mean 'retry.backoff'?"));
    g_assert_null(jobspec_explain("\033[2J", &hostile));
    g_assert_null(strchr(hostile->message, '\033'));
}

/* Both the list and the manual page name every field of the table. */
static void test_all_fields_are_there(void)
{
    g_autofree char *list = jobspec_explain("", NULL), *man = jobspec_man();
    size_t count;
    const Field *table = field_table(&count);

    for (size_t i = 0; i < count; i++) {
        g_autofree char *item = g_strdup_printf(".It Sy %s\n", table[i].path);
        g_autofree char *line = g_strdup_printf("%s ", table[i].path);

        if (!strstr(man, item) || !strstr(list, line))
            g_error("%s is missing", table[i].path);
    }
}

/* No line of text begins with a character that mdoc would take as a request of its own. */
static void test_man_is_mdoc(void)
{
    g_autofree char *man = jobspec_man();
    g_auto(GStrv) lines = g_strsplit(man, "\n", -1);

    for (char **line = lines; *line; line++)
        if (**line == '.')
            g_assert_true(g_ascii_isupper((*line)[1]) || g_str_equal(*line, ".br"));
    g_assert_true(g_str_has_prefix(man, ".Dd "));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/jobspec/explain/field", test_field);
    g_test_add_func("/jobspec/explain/words", test_words_and_children);
    g_test_add_func("/jobspec/explain/unknown", test_unknown);
    g_test_add_func("/jobspec/explain/all", test_all_fields_are_there);
    g_test_add_func("/jobspec/explain/man", test_man_is_mdoc);
    return g_test_run();
}
