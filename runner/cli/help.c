/* SPDX-License-Identifier: Apache-2.0 */
#include "runner/cli/help.h"

#include <string.h>

static bool in_group(const CliCommand *command, const char *group)
{
    size_t length = strlen(group);

    return strncmp(command->name, group, length) == 0 && command->name[length] == ' ';
}

/* The lines of the commands of `group` (NULL: all); false where there is none. */
static bool commands_append(const Cli *cli, const char *group, GString *text)
{
    bool any = false;

    for (size_t i = 0; i < cli->commands_count; i++) {
        const CliCommand *command = cli->commands[i];
        g_autofree char *usage = NULL;

        if (command->internal || (group && !in_group(command, group)))
            continue;
        usage = g_strdup_printf("%s %s", command->name, command->arguments);
        g_string_append_printf(text, "  %-22s %s\n", usage, command->summary);
        any = true;
    }
    return any;
}

char *help_format_all(const Cli *cli)
{
    GString *text =
        g_string_new("drover runs batch training jobs: one YAML file in, a trained model "
                     "and its bill out.\n\n"
                     "Usage: drover COMMAND [OPTIONS] [ARGUMENTS]\n\n"
                     "Commands:\n");

    commands_append(cli, NULL, text);
    g_string_append(text,
                    "\nOptions:\n"
                    "  -h, --help             show help, of a command too\n"
                    "      --version          show the version\n\n"
                    "Begin with:\n"
                    "  drover spec check job.yaml\n"
                    "  drover run job.yaml\n\n"
                    "'drover help COMMAND' explains a command; 'man drover' is the manual.\n");
    return g_string_free(text, FALSE);
}

char *help_format_group(const Cli *cli, const char *group)
{
    g_autoptr(GString) text = g_string_new(NULL);

    g_string_append_printf(text, "Usage: drover %s COMMAND [OPTIONS] [ARGUMENTS]\n\nCommands:\n",
                           group);
    if (!commands_append(cli, group, text))
        return NULL;
    return g_string_free(g_steal_pointer(&text), FALSE);
}

static void option_append(GString *text, const CliOption *option)
{
    g_autofree char *left = g_strdup_printf("%s%s%s", option->name, option->value ? " " : "",
                                            option->value ? option->value : "");

    if (option->letter)
        g_string_append_printf(text, "  -%c, --%-19s %s\n", option->letter, left, option->help);
    else
        g_string_append_printf(text, "      --%-19s %s\n", left, option->help);
}

char *help_format_command(const CliCommand *command)
{
    static const CliOption help = {"help", 'h', NULL, "show this help"};
    GString *text = g_string_new(NULL);

    g_string_append_printf(text, "Usage: drover %s [OPTIONS]%s%s\n\n", command->name,
                           command->arguments[0] ? " " : "", command->arguments);
    g_string_append_printf(text, "%s.\n", command->summary);
    if (command->description)
        g_string_append_printf(text, "\n%s\n", command->description);
    g_string_append(text, "\nOptions:\n");
    for (size_t i = 0; i < command->options_count; i++)
        option_append(text, &command->options[i]);
    option_append(text, &help);
    if (command->examples) {
        g_auto(GStrv) lines = g_strsplit(command->examples, "\n", -1);

        g_string_append(text, "\nExamples:\n");
        for (char **line = lines; *line; line++)
            g_string_append_printf(text, "  %s\n", *line);
    }
    return g_string_free(text, FALSE);
}
