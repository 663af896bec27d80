/* SPDX-License-Identifier: Apache-2.0
 *
 * One table per command: its words and options make the parser, --help and the shell completion,
 * and tests/lint holds the man pages against it.
 */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include <glib.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/* Exit statuses of every command. A job's own failure is CLI_FAILED, whatever its code was. */
typedef enum {
    CLI_OK = 0,
    CLI_FAILED = 1,       /* the job or the operation failed */
    CLI_USAGE = 2,        /* wrong words on the command line, or a job file with errors */
    CLI_NOT_FOUND = 3,    /* no such job */
    CLI_NO_MATCH = 4,     /* no device offered fits the job */
    CLI_INTERRUPTED = 130 /* stopped by Ctrl-C, SIGTERM or SIGHUP */
} CliStatus;

#define CLI_ERROR cli_error_quark()
GQuark cli_error_quark(void);
typedef enum {
    CLI_ERROR_USAGE, /* wrong words on the command line */
    CLI_ERROR_OUTPUT /* standard output takes no more */
} CliError;

typedef struct {
    const char *name;  /* long, without dashes */
    char letter;       /* 0: none */
    const char *value; /* NULL: a switch; else the word for the value in help: "FILE" */
    const char *help;  /* one line, no full stop */
} CliOption;

typedef struct {
    int64_t min, max; /* both in */
} CliRange;

typedef struct CliArgs CliArgs;
typedef struct CliCommand CliCommand;

typedef struct {
    const char *program; /* absolute path of this executable */
    bool tty;            /* standard error is a terminal */
    bool colour;         /* on standard error, NO_COLOR honoured */
    bool unicode;        /* the locale's characters are UTF-8 */
    const CliCommand *const *commands;
    size_t commands_count;
} Cli;

struct CliCommand {
    const char *name;      /* "run"; a sub-subcommand is "spec check" */
    const char *arguments; /* "JOB.yaml", "[JOB]"; "" for none */
    int arguments_min;
    int arguments_max;
    const char *summary;     /* one line */
    const char *description; /* paragraphs; NULL: the summary is enough */
    const char *examples;    /* command lines, one a line; NULL: none */
    const CliOption *options;
    size_t options_count;
    bool internal; /* not in help or completion; its words are not parsed, all are arguments */
    const char
        *completes; /* what its arguments are: "job", "file", "field", "shell"; NULL: nothing */
    int (*run)(const Cli *cli, const CliArgs *args);
};

/* Finds the command, parses, runs; also `drover help COMMAND`, `--help` anywhere, `--version`. */
int cli_main(const CliCommand *const *commands, size_t commands_count, int argc, char **argv);

bool cli_args_has(const CliArgs *args, const char *option);
const char *cli_args_get(const CliArgs *args, const char *option); /* NULL: not given */
/* Leaves *value as it is where the option is not given. */
bool cli_args_get_int(const CliArgs *args, const char *option, CliRange range, int64_t *value,
                      GError **error);
int cli_args_count(const CliArgs *args);
const char *cli_args_at(const CliArgs *args, int index);
/* The arguments after the command's name, as main() got them; of internal commands only. */
char **cli_args_raw(const CliArgs *args, int *argc);

/* "drover: message" on standard error, with "drover COMMAND --help" for CLI_USAGE. Returns
 * `status`. */
int cli_fail(const CliArgs *args, CliStatus status, const char *format, ...) G_GNUC_PRINTF(3, 4);
/* The same from a GError, with the status that fits its domain and code. */
int cli_fail_error(const CliArgs *args, const GError *error);
/* Prints with two spaces of indent and a newline, and frees. Returns CLI_OK or CLI_FAILED (disk
 * full, closed pipe). */
int cli_print_json(json_t *json);

extern const CliCommand cmd_run, cmd_quote, cmd_list, cmd_show, cmd_logs, cmd_cancel, cmd_bill,
    cmd_nodes, cmd_spec_check, cmd_spec_schema, cmd_spec_explain, cmd_version, cmd_completion,
    cmd_launch, cmd_rank;

#endif
