/* SPDX-License-Identifier: Apache-2.0
 *
 * Completion scripts made from the command table. What is known when the script is made is written
 * into it (commands, options, fields of job files); jobs are asked of `drover list --quiet` at the
 * moment of completion.
 */
#include "runner/cli/cli.h"

#include "jobspec/jobspec.h"

#include <string.h>

/* The word of the kind that `value` (of an option's help) stands for; NULL: nothing to complete. */
static const char *value_kind(const char *value)
{
    if (value && strcmp(value, "JOB") == 0)
        return "job";
    return value && strcmp(value, "FILE") == 0 ? "file" : NULL;
}

/* `text` for use between single quotes; `special` characters get a backslash. */
static char *quote(const char *text, const char *special)
{
    GString *out = g_string_new(NULL);

    for (; *text; text++) {
        if (*text == '\'')
            g_string_append(out, "'\\''");
        else if (strchr(special, *text))
            g_string_append_printf(out, "\\%c", *text);
        else
            g_string_append_c(out, *text);
    }
    return g_string_free(out, FALSE);
}

/* Dotted paths of the schema's properties, one level below the top as deep as the language goes. */
static void fields_append(GString *text, const char *prefix, json_t *schema)
{
    json_t *properties = json_object_get(schema, "properties"), *value;
    const char *key;

    json_object_foreach(properties, key, value)
    {
        g_autofree char *path = g_strdup_printf("%s%s%s", prefix, prefix[0] ? "." : "", key);

        g_string_append_printf(text, "%s%s", text->len ? " " : "", path);
        fields_append(text, path, value);
    }
}

static char *fields_list(void)
{
    GString *text = g_string_new(NULL);
    json_t *schema = jobspec_schema();

    fields_append(text, "", schema);
    json_decref(schema);
    return g_string_free(text, FALSE);
}

/* First words of the commands, or with `group` the second words of that group, between spaces. */
static char *names_list(const Cli *cli, const char *group)
{
    GString *text = g_string_new(NULL);
    size_t length = group ? strlen(group) : 0;

    for (size_t i = 0; i < cli->commands_count; i++) {
        const char *name = cli->commands[i]->name, *space = strchr(name, ' ');
        g_autofree char *first = g_strndup(name, strcspn(name, " "));

        if (cli->commands[i]->internal)
            continue;
        if (group && space && strncmp(name, group, length) == 0 && name[length] == ' ')
            g_string_append_printf(text, "%s ", space + 1);
        /* the commands of a group stand together in the table */
        else if (!group && (i == 0 || !g_str_has_prefix(cli->commands[i - 1]->name, first)))
            g_string_append_printf(text, "%s ", first);
    }
    g_string_append(text, group ? "" : "help");
    return g_strchomp(g_string_free(text, FALSE));
}

/* ---- bash ---- */

static void bash_command(GString *out, const CliCommand *command)
{
    g_string_append_printf(out, "    '%s')\n        options='--help", command->name);
    for (size_t i = 0; i < command->options_count; i++)
        g_string_append_printf(out, " --%s", command->options[i].name);
    g_string_append_printf(out, "'\n        kind='%s'\n        case \"$previous\" in\n",
                           command->completes ? command->completes : "");
    for (size_t i = 0; i < command->options_count; i++) {
        const CliOption *option = &command->options[i];
        const char *kind = value_kind(option->value);

        if (!option->value)
            continue;
        if (option->letter)
            g_string_append_printf(out, "        -%c) kind='%s' ;;\n", option->letter,
                                   kind ? kind : "");
        g_string_append_printf(out, "        --%s) kind='%s' ;;\n", option->name, kind ? kind : "");
    }
    g_string_append(out, "        esac\n        ;;\n");
}

static void bash_print(const Cli *cli, GString *out, const char *fields)
{
    g_autofree char *names = names_list(cli, NULL), *spec = names_list(cli, "spec");

    g_string_append_printf(out,
                           "# bash completion for drover, made by: drover completion bash\n"
                           "_drover()\n{\n"
                           "    local current=\"${COMP_WORDS[COMP_CWORD]}\"\n"
                           "    local previous=\"${COMP_WORDS[COMP_CWORD-1]}\"\n"
                           "    local command=\"${COMP_WORDS[1]}\" options='' kind='' words=''\n"
                           "    if ((COMP_CWORD == 1)); then\n"
                           "        mapfile -t COMPREPLY < <(compgen -W '%s' -- \"$current\")\n"
                           "        return\n    fi\n"
                           "    if [[ $command == spec ]]; then\n"
                           "        if ((COMP_CWORD == 2)); then\n"
                           "            mapfile -t COMPREPLY < <(compgen -W '%s' -- \"$current\")\n"
                           "            return\n        fi\n"
                           "        command=\"spec ${COMP_WORDS[2]}\"\n    fi\n"
                           "    case \"$command\" in\n    help) kind='command' ;;\n",
                           names, spec);
    for (size_t i = 0; i < cli->commands_count; i++) {
        if (!cli->commands[i]->internal)
            bash_command(out, cli->commands[i]);
    }
    g_string_append_printf(
        out,
        "    esac\n"
        "    case \"$kind\" in\n"
        "    job) words=\"$(drover list --quiet 2>/dev/null)\" ;;\n"
        "    field) words='%s' ;;\n"
        "    command) words='%s' ;;\n"
        "    shell) words='bash zsh fish' ;;\n"
        "    esac\n"
        "    if [[ $current == -* ]]; then\n"
        "        mapfile -t COMPREPLY < <(compgen -W \"$options\" -- \"$current\")\n"
        "    elif [[ $kind == file ]]; then\n"
        "        compopt -o filenames\n"
        "        mapfile -t COMPREPLY < <(compgen -f -- \"$current\")\n"
        "    else\n"
        "        mapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$current\")\n"
        "    fi\n}\n"
        "complete -F _drover drover\n",
        fields, names);
}

/* ---- zsh ---- */

static const char *zsh_action(const char *kind)
{
    if (!kind)
        return " ";
    if (strcmp(kind, "file") == 0)
        return "_files";
    if (strcmp(kind, "job") == 0)
        return "_drover_jobs";
    if (strcmp(kind, "field") == 0)
        return "_drover_fields";
    return "(bash zsh fish)";
}

static void zsh_option(GString *out, const CliOption *option)
{
    g_autofree char *help = quote(option->help, "[]:\\");
    g_autofree char *value = option->value ? g_strdup_printf(":%s:%s", option->value,
                                                             zsh_action(value_kind(option->value)))
                                           : g_strdup("");
    const char *equals = option->value ? "=" : "", *plus = option->value ? "+" : "";

    if (option->letter)
        g_string_append_printf(out, " \\\n            '(-%c --%s)-%c%s[%s]%s'", option->letter,
                               option->name, option->letter, plus, help, value);
    g_string_append_printf(out, " \\\n            '--%s%s[%s]%s'", option->name, equals, help,
                           value);
}

static void zsh_print(const Cli *cli, GString *out, const char *fields)
{
    static const CliOption help = {"help", 'h', NULL, "show help"};
    g_autofree char *names = names_list(cli, NULL), *spec = names_list(cli, "spec");

    g_string_append_printf(
        out,
        "#compdef drover\n# zsh completion for drover, made by: drover completion zsh\n"
        "_drover_jobs()\n{\n    compadd -- ${(f)\"$(drover list --quiet 2>/dev/null)\"}\n}\n"
        "_drover_fields()\n{\n    compadd -- %s\n}\n"
        "_drover()\n{\n    local command=\"$words[2]\"\n"
        "    if ((CURRENT == 2)); then\n        compadd -- %s\n        return\n    fi\n"
        "    if [[ $command == spec ]]; then\n"
        "        if ((CURRENT == 3)); then\n            compadd -- %s\n            return\n"
        "        fi\n        command=\"spec $words[3]\"\n        shift words\n"
        "        ((CURRENT--))\n    fi\n    shift words\n    ((CURRENT--))\n"
        "    case \"$command\" in\n    help) compadd -- %s ;;\n",
        fields, names, spec, names);
    for (size_t i = 0; i < cli->commands_count; i++) {
        const CliCommand *command = cli->commands[i];

        if (command->internal)
            continue;
        g_string_append_printf(out, "    '%s')\n        _arguments -s", command->name);
        for (size_t k = 0; k < command->options_count; k++)
            zsh_option(out, &command->options[k]);
        zsh_option(out, &help);
        if (command->completes)
            g_string_append_printf(out, " \\\n            '*:%s:%s'", command->completes,
                                   zsh_action(command->completes));
        g_string_append(out, "\n        ;;\n");
    }
    g_string_append(out, "    esac\n}\n"
                         "if [[ $funcstack[1] == _drover ]]; then\n    _drover \"$@\"\n"
                         "else\n    compdef _drover drover\nfi\n");
}

/* ---- fish ---- */

static char *fish_condition(const char *name)
{
    const char *space = strchr(name, ' ');

    if (!space)
        return g_strdup_printf("__fish_seen_subcommand_from %s", name);
    return g_strdup_printf("__fish_seen_subcommand_from %.*s; and __fish_seen_subcommand_from %s",
                           (int)(space - name), name, space + 1);
}

static const char *fish_words(const char *kind)
{
    if (kind && strcmp(kind, "job") == 0)
        return " -a '(drover list --quiet 2>/dev/null)'";
    if (kind && strcmp(kind, "field") == 0)
        return " -a \"$__drover_fields\"";
    if (kind && strcmp(kind, "shell") == 0)
        return " -a 'bash zsh fish'";
    return kind ? " -F" : "";
}

static void fish_command(GString *out, const CliCommand *command)
{
    g_autofree char *condition = fish_condition(command->name),
                    *summary = quote(command->summary, "\\");
    const char *space = strchr(command->name, ' ');

    if (space)
        g_string_append_printf(out,
                               "complete -c drover -n '__fish_seen_subcommand_from %.*s' -a %s "
                               "-d '%s'\n",
                               (int)(space - command->name), command->name, space + 1, summary);
    else
        g_string_append_printf(out, "complete -c drover -n __fish_use_subcommand -a %s -d '%s'\n",
                               command->name, summary);
    for (size_t i = 0; i < command->options_count; i++) {
        const CliOption *option = &command->options[i];
        g_autofree char *help = quote(option->help, "\\");

        g_string_append_printf(out, "complete -c drover -n '%s' -l %s", condition, option->name);
        if (option->letter)
            g_string_append_printf(out, " -s %c", option->letter);
        g_string_append_printf(out, "%s%s -d '%s'\n", option->value ? " -x" : "",
                               fish_words(value_kind(option->value)), help);
    }
    if (command->completes)
        g_string_append_printf(out, "complete -c drover -n '%s'%s\n", condition,
                               fish_words(command->completes));
}

static void fish_print(const Cli *cli, GString *out, const char *fields)
{
    g_autofree char *names = names_list(cli, NULL);

    g_string_append_printf(out,
                           "# fish completion for drover, made by: drover completion fish\n"
                           "set -g __drover_fields '%s'\n"
                           "complete -c drover -f\n"
                           "complete -c drover -s h -l help -d 'show help'\n"
                           "complete -c drover -n __fish_use_subcommand -a spec -d 'job files'\n"
                           "complete -c drover -n __fish_use_subcommand -a help -d 'show help'\n"
                           "complete -c drover -n '__fish_seen_subcommand_from help' -a '%s'\n",
                           fields, names);
    for (size_t i = 0; i < cli->commands_count; i++) {
        if (!cli->commands[i]->internal)
            fish_command(out, cli->commands[i]);
    }
}

/* ---- the table itself ---- */

static json_t *command_to_json(const CliCommand *command)
{
    json_t *options = json_array();

    for (size_t i = 0; i < command->options_count; i++) {
        const CliOption *option = &command->options[i];
        char letter[2] = {option->letter, '\0'};

        json_array_append_new(options, json_pack("{s:s, s:s?, s:s?, s:s}", "name", option->name,
                                                 "letter", letter[0] ? letter : NULL, "value",
                                                 option->value, "help", option->help));
    }
    return json_pack("{s:s, s:s, s:s, s:o}", "name", command->name, "arguments", command->arguments,
                     "summary", command->summary, "options", options);
}

static int table_print(const Cli *cli)
{
    json_t *list = json_array();

    for (size_t i = 0; i < cli->commands_count; i++) {
        if (!cli->commands[i]->internal)
            json_array_append_new(list, command_to_json(cli->commands[i]));
    }
    return cli_print_json(json_pack("{s:o}", "commands", list));
}

static int completion_run(const Cli *cli, const CliArgs *args)
{
    g_autofree char *fields = NULL;
    g_autoptr(GString) out = g_string_new(NULL);
    const char *shell;

    if (cli_args_has(args, "json"))
        return table_print(cli);
    if (cli_args_count(args) == 0)
        return cli_fail(args, CLI_USAGE, "which shell: bash, zsh or fish?");
    shell = cli_args_at(args, 0);
    fields = fields_list();
    if (strcmp(shell, "bash") == 0)
        bash_print(cli, out, fields);
    else if (strcmp(shell, "zsh") == 0)
        zsh_print(cli, out, fields);
    else if (strcmp(shell, "fish") == 0)
        fish_print(cli, out, fields);
    else
        return cli_fail(args, CLI_USAGE, "'%s' is not a shell known here (bash, zsh or fish)",
                        shell);
    return fputs(out->str, stdout) >= 0 ? CLI_OK : CLI_FAILED;
}

static const CliOption completion_options[] = {
    {"json", 'j', NULL, "print the table of commands that the scripts are made from"},
};

const CliCommand cmd_completion = {
    .name = "completion",
    .arguments = "SHELL",
    .arguments_max = 1,
    .summary = "Print the completion script of bash, zsh or fish",
    .examples = "source <(drover completion bash)\n"
                "drover completion zsh > ~/.zfunc/_drover\n"
                "drover completion fish > ~/.config/fish/completions/drover.fish",
    .options = completion_options,
    .options_count = G_N_ELEMENTS(completion_options),
    .completes = "shell",
    .run = completion_run,
};
