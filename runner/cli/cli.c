/* SPDX-License-Identifier: Apache-2.0
 *
 * From argv to a command's function. A command is one word or two ("spec check"); internal commands
 * get their words untouched and skip everything that costs time, as they stand on the way of every
 * rank's start.
 */
#include "runner/cli/cli.h"

#include "jobspec/diag.h"
#include "runner/cli/args.h"
#include "runner/cli/help.h"
#include "runner/cli/text.h"
#include "runner/queue/store.h"

#include <errno.h>
#include <langinfo.h>
#include <locale.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

G_DEFINE_QUARK(drover_cli_error, cli_error)

/* Bytes of a user's word that go into a message: the rest says nothing more. */
#define WORD_SHOWN 60

static bool is_unicode(void)
{
    return strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
}

/* "drover: message"; what it quotes is a stranger's (a file's name, a store's text) and shows as
 * characters alone. */
static void message_print(const char *message)
{
    g_auto(GStrv) lines = g_strsplit(message, "\n", -1);
    g_autoptr(GString) clean = g_string_new("drover: ");

    for (char **line = lines; *line; line++) {
        text_append_clean(clean, *line, strlen(*line), is_unicode());
        g_string_append_c(clean, '\n');
    }
    fflush(stdout);
    fputs(clean->str, stderr);
}

/* The command that argv begins with, and how many words its name has. */
static const CliCommand *command_find(const Cli *cli, int argc, char **argv, int *words)
{
    for (size_t i = 0; argc > 0 && i < cli->commands_count; i++) {
        const char *name = cli->commands[i]->name, *space = strchr(name, ' ');

        if (!space && strcmp(argv[0], name) == 0) {
            *words = 1;
            return cli->commands[i];
        }
        if (space && argc > 1 && strlen(argv[0]) == (size_t)(space - name) &&
            strncmp(argv[0], name, (size_t)(space - name)) == 0 &&
            strcmp(argv[1], space + 1) == 0) {
            *words = 2;
            return cli->commands[i];
        }
    }
    return NULL;
}

static int text_print(FILE *out, char *text, int status)
{
    fputs(text, out);
    g_free(text);
    return status;
}

/* First words of the commands; for "spec" the second words, as argv[0] is right then. */
static const char *command_suggest(const Cli *cli, int argc, char **argv)
{
    g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);
    g_autofree char *group = g_strdup_printf("%s ", argv[0]);
    const char *suggestion;

    for (size_t i = 0; i < cli->commands_count; i++) {
        const char *name = cli->commands[i]->name;

        if (cli->commands[i]->internal)
            continue;
        if (argc > 1 && g_str_has_prefix(name, group))
            g_ptr_array_add(names, g_strdup(name + strlen(group)));
        else
            g_ptr_array_add(names, g_strndup(name, strcspn(name, " ")));
    }
    if (argc == 1)
        g_ptr_array_add(names, g_strdup("help"));
    suggestion = diag_suggest(argv[argc - 1], (const char *const *)names->pdata, names->len);
    return suggestion ? g_intern_string(suggestion) : NULL;
}

static int command_unknown(const Cli *cli, int argc, char **argv)
{
    g_autofree char *group = help_format_group(cli, argv[0]);
    g_autoptr(GString) message = g_string_new("unknown ");
    const char *word = argv[0], *suggestion;

    if (group && argc == 1)
        return text_print(stderr, g_steal_pointer(&group), CLI_USAGE);
    if (group)
        word = argv[1];
    suggestion = command_suggest(cli, group ? 2 : 1, argv);
    g_string_append_printf(message, "%s '%.*s'", word[0] == '-' ? "option" : "command", WORD_SHOWN,
                           word);
    if (suggestion)
        g_string_append_printf(message, "; did you mean '%s%s%s'?", group ? argv[0] : "",
                               group ? " " : "", suggestion);
    g_string_append(message, "\n'drover help' lists the commands");
    message_print(message->str);
    return CLI_USAGE;
}

static bool is_help(const char *word)
{
    return strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0;
}

/* `drover help [COMMAND]`, and --help in place of a command or behind a group. */
static int help_run(const Cli *cli, int argc, char **argv)
{
    int words;
    const CliCommand *command;
    char *group;

    if (argc == 0 || is_help(argv[0]))
        return text_print(stdout, help_format_all(cli), CLI_OK);
    command = command_find(cli, argc, argv, &words);
    if (command)
        return text_print(stdout, help_format_command(command), CLI_OK);
    group = argc == 1 || is_help(argv[1]) ? help_format_group(cli, argv[0]) : NULL;
    if (group)
        return text_print(stdout, group, CLI_OK);
    return command_unknown(cli, argc, argv);
}

static int command_run(const Cli *cli, const CliCommand *command, int argc, char **argv)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(CliArgs) args = args_parse(command, argc, argv, &error);

    if (!args) {
        message_print(error->message);
        fprintf(stderr, "'drover %s --help' explains the command\n", command->name);
        return CLI_USAGE;
    }
    if (args_wants_help(args))
        return text_print(stdout, help_format_command(command), CLI_OK);
    return command->run(cli, args);
}

/* A full disk or a closed pipe behind standard output must not look like success. */
static int output_finish(int status)
{
    bool failed = fflush(stdout) != 0 || ferror(stdout);

    if (failed && errno != EPIPE)
        fprintf(stderr, "drover: standard output: %s\n", g_strerror(errno));
    return failed && status == CLI_OK ? CLI_FAILED : status;
}

/* So that a write past `ulimit -f` fails, and says so, instead of killing. A handler, unlike an
 * ignored signal, is not inherited by the ranks. */
static void file_limit_handle(int signal_number G_GNUC_UNUSED)
{
}

static void cli_init(Cli *cli, char **program)
{
    const struct sigaction action = {.sa_handler = file_limit_handle, .sa_flags = SA_RESTART};
    const char *term = g_getenv("TERM"), *no_colour = g_getenv("NO_COLOR");

    sigaction(SIGXFSZ, &action, NULL);
    setlocale(LC_CTYPE, "");
    *program = g_file_read_link("/proc/self/exe", NULL);
    cli->program = *program ? *program : "drover";
    cli->unicode = is_unicode();
    cli->tty = isatty(STDERR_FILENO) && term && strcmp(term, "dumb") != 0;
    cli->colour = cli->tty && !(no_colour && no_colour[0]);
}

int cli_main(const CliCommand *const *commands, size_t commands_count, int argc, char **argv)
{
    Cli cli = {.commands = commands, .commands_count = commands_count};
    g_autofree char *program = NULL;
    const CliCommand *command;
    char version[] = "version";
    int words = 0;

    if (argc < 2)
        return text_print(stderr, help_format_all(&cli), CLI_USAGE);
    if (strcmp(argv[1], "--version") == 0)
        argv[1] = version;
    command = command_find(&cli, argc - 1, argv + 1, &words);
    if (!command || !command->internal)
        cli_init(&cli, &program);
    if (command)
        return output_finish(command_run(&cli, command, argc - 1 - words, argv + 1 + words));
    if (strcmp(argv[1], "help") == 0)
        return output_finish(help_run(&cli, argc - 2, argv + 2));
    if (is_help(argv[1]) || (argc == 3 && is_help(argv[2])))
        return output_finish(help_run(&cli, argc - 1, argv + 1));
    return command_unknown(&cli, argc - 1, argv + 1);
}

int cli_fail(const CliArgs *args, CliStatus status, const char *format, ...)
{
    g_autofree char *message = NULL;
    va_list list;

    va_start(list, format);
    message = g_strdup_vprintf(format, list);
    va_end(list);
    message_print(message);
    if (status == CLI_USAGE)
        fprintf(stderr, "'drover %s --help' explains the command\n", args_get_command(args)->name);
    return (int)status;
}

int cli_fail_error(const CliArgs *args, const GError *error)
{
    CliStatus status = CLI_FAILED;

    if (error->domain == CLI_ERROR && error->code == CLI_ERROR_USAGE)
        status = CLI_USAGE;
    else if (g_error_matches(error, STORE_ERROR, STORE_ERROR_NOT_FOUND))
        status = CLI_NOT_FOUND;
    return cli_fail(args, status, "%s", error->message);
}

int cli_print_json(json_t *json)
{
    int rc = json_dumpf(json, stdout, JSON_INDENT(2) | JSON_ENSURE_ASCII);

    json_decref(json);
    if (rc == 0 && putchar('\n') != EOF && fflush(stdout) == 0)
        return CLI_OK;
    return CLI_FAILED;
}
