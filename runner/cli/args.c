/* SPDX-License-Identifier: Apache-2.0
 *
 * The parser walks the words once. GOption is not used: it keeps its result in variables of the
 * caller's choosing, and help, completion and man page checks need the table in any case.
 */
#include "runner/cli/args.h"

#include "jobspec/diag.h"

#include <string.h>

struct CliArgs {
    const CliCommand *command;
    const char **values; /* one per option of the table; a given switch has "" */
    GPtrArray *words;    /* arguments, borrowed */
    bool help;
    int raw_argc;
    char **raw_argv;
};

static void option_unknown(const CliCommand *command, const char *name, GError **error)
{
    g_autofree const char **names = g_new0(const char *, command->options_count + 1);
    const char *suggestion;

    for (size_t i = 0; i < command->options_count; i++)
        names[i] = command->options[i].name;
    names[command->options_count] = "help";
    suggestion = diag_suggest(name, names, command->options_count + 1);
    if (suggestion)
        g_set_error(error, CLI_ERROR, CLI_ERROR_USAGE,
                    "unknown option '--%s'; did you mean '--%s'?", name, suggestion);
    else
        g_set_error(error, CLI_ERROR, CLI_ERROR_USAGE, "unknown option '--%s'", name);
}

static bool option_find(const CliCommand *command, const char *name, size_t length, size_t *index)
{
    for (size_t i = 0; i < command->options_count; i++) {
        if (strlen(command->options[i].name) == length &&
            strncmp(command->options[i].name, name, length) == 0) {
            *index = i;
            return true;
        }
    }
    return false;
}

/* Sets option `index`; its value is `attached`, else the next word, which *at then passes over. */
static bool option_set(CliArgs *args, size_t index, const char *attached, int *at, GError **error)
{
    const CliOption *option = &args->command->options[index];

    if (!option->value) {
        if (attached) {
            g_set_error(error, CLI_ERROR, CLI_ERROR_USAGE, "option '--%s' takes no value",
                        option->name);
            return false;
        }
        args->values[index] = "";
        return true;
    }
    if (!attached) {
        if (*at + 1 >= args->raw_argc) {
            g_set_error(error, CLI_ERROR, CLI_ERROR_USAGE, "option '--%s' needs a value: --%s %s",
                        option->name, option->name, option->value);
            return false;
        }
        attached = args->raw_argv[++*at];
    }
    args->values[index] = attached;
    return true;
}

static bool long_parse(CliArgs *args, const char *word, int *at, GError **error)
{
    const char *name = word + 2, *equals = strchr(name, '=');
    size_t length = equals ? (size_t)(equals - name) : strlen(name), index;
    g_autofree char *text = NULL;

    if (option_find(args->command, name, length, &index))
        return option_set(args, index, equals ? equals + 1 : NULL, at, error);
    text = g_strndup(name, length);
    option_unknown(args->command, text, error);
    return false;
}

/* "-fn20": switch f, then n with its value. */
static bool short_parse(CliArgs *args, const char *word, int *at, GError **error)
{
    const CliCommand *command = args->command;

    for (const char *letter = word + 1; *letter; letter++) {
        size_t index = 0;

        while (index < command->options_count && command->options[index].letter != *letter)
            index++;
        if (index == command->options_count) {
            g_set_error(error, CLI_ERROR, CLI_ERROR_USAGE, "unknown option '-%c'",
                        g_ascii_isprint(*letter) ? *letter : '?');
            return false;
        }
        if (command->options[index].value)
            return option_set(args, index, letter[1] ? letter + 1 : NULL, at, error);
        args->values[index] = "";
    }
    return true;
}

static bool words_parse(CliArgs *args, GError **error)
{
    bool options = true;

    for (int at = 0; at < args->raw_argc; at++) {
        const char *word = args->raw_argv[at];

        if (options && strcmp(word, "--") == 0)
            options = false;
        else if (options && g_str_has_prefix(word, "--")) {
            if (!long_parse(args, word, &at, error))
                return false;
        } else if (options && word[0] == '-' && word[1]) {
            if (!short_parse(args, word, &at, error))
                return false;
        } else {
            g_ptr_array_add(args->words, args->raw_argv[at]);
        }
    }
    return true;
}

static bool count_check(const CliArgs *args, GError **error)
{
    const CliCommand *command = args->command;
    int count = (int)args->words->len;

    if (count > command->arguments_max) {
        g_set_error(error, CLI_ERROR, CLI_ERROR_USAGE, "too many arguments: '%s'",
                    (const char *)g_ptr_array_index(args->words, command->arguments_max));
        return false;
    }
    if (count < command->arguments_min) {
        g_set_error(error, CLI_ERROR, CLI_ERROR_USAGE, "missing argument: drover %s %s",
                    command->name, command->arguments);
        return false;
    }
    return true;
}

/* Whether a word before "--" asks for help. */
static bool help_find(int argc, char **argv)
{
    for (int i = 0; i < argc && strcmp(argv[i], "--") != 0; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
            return true;
    }
    return false;
}

CliArgs *args_parse(const CliCommand *command, int argc, char **argv, GError **error)
{
    g_autoptr(CliArgs) args = g_new0(CliArgs, 1);

    args->command = command;
    args->values = g_new0(const char *, command->options_count + 1);
    args->words = g_ptr_array_new();
    args->raw_argc = argc;
    args->raw_argv = argv;
    if (command->internal)
        return g_steal_pointer(&args);
    args->help = help_find(argc, argv);
    if (args->help)
        return g_steal_pointer(&args);
    if (!words_parse(args, error) || !count_check(args, error))
        return NULL;
    return g_steal_pointer(&args);
}

bool args_wants_help(const CliArgs *args)
{
    return args->help;
}

const CliCommand *args_get_command(const CliArgs *args)
{
    return args->command;
}

void args_free(CliArgs *args)
{
    if (!args)
        return;
    g_free(args->values);
    g_ptr_array_unref(args->words);
    g_free(args);
}

bool cli_args_has(const CliArgs *args, const char *option)
{
    return cli_args_get(args, option) != NULL;
}

const char *cli_args_get(const CliArgs *args, const char *option)
{
    size_t index;
    bool found = option_find(args->command, option, strlen(option), &index);

    /* Asking for an option that the command's table lacks is a bug of the command. */
    g_assert(found);
    return args->values[index];
}

bool cli_args_get_int(const CliArgs *args, const char *option, CliRange range, int64_t *value,
                      GError **error)
{
    const char *text = cli_args_get(args, option);
    g_autofree char *most = NULL;

    if (!text || g_ascii_string_to_signed(text, 10, range.min, range.max, value, NULL))
        return true;
    if (range.max < INT64_MAX)
        most = g_strdup_printf(" to %" G_GINT64_FORMAT, range.max);
    g_set_error(error, CLI_ERROR, CLI_ERROR_USAGE,
                "--%s: '%s' is not a whole number from %" G_GINT64_FORMAT "%s", option, text,
                range.min, most ? most : "");
    return false;
}

int cli_args_count(const CliArgs *args)
{
    return (int)args->words->len;
}

const char *cli_args_at(const CliArgs *args, int index)
{
    g_assert(index >= 0 && index < cli_args_count(args));
    return g_ptr_array_index(args->words, index);
}

char **cli_args_raw(const CliArgs *args, int *argc)
{
    *argc = args->raw_argc;
    return args->raw_argv;
}
